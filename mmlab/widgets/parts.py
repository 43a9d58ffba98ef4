"""What the views share: rows that wrap, pieces of HTML, bursts that are collapsed, errors in words.

A view shows `ipywidgets.HTML` and never an Output: it takes an alternative text, does not flicker, and works headless,
where an Output may stall nbclient until the cell's time limit.
"""

import asyncio
import base64
import html
import io
from collections.abc import Callable

from mmlab.errors import MmlabError

DPI = 110  # dots per inch: 8.6 inches are the width of a notebook on a laptop
PAUSE = 0.06  # seconds without another change, after which a burst is over
NO_KERNEL = "This view needs a running kernel: run the cell in JupyterLab."


def draw_html(figure, words: str) -> str:
    """A figure as an `img` with `words` as its alternative text; the figure is closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    plt.close(figure)  # otherwise pyplot keeps it and shows it below the cell
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    # In a narrow window the picture shrinks; it is never clipped.
    return f'<img alt="{html.escape(words)}" style="max-width:100%" src="data:image/png;base64,{picture}">'


def stack(*rows):
    """The rows of a view, one below the other. In a notebook that is only read, a sentence stands in its place."""
    import ipywidgets

    class View(ipywidgets.VBox):
        def _repr_mimebundle_(self, **options):
            shown = super()._repr_mimebundle_(**options)
            return {**shown, "text/plain": NO_KERNEL, "text/html": f"<p><i>{NO_KERNEL}</i></p>"}

    return View(rows)


def in_a_row(*controls):
    """Controls side by side; in a narrow window they continue on the next line."""
    import ipywidgets

    return ipywidgets.HBox(controls, layout={"flex_flow": "row wrap", "align_items": "center"})


def sized(width: str) -> dict[str, dict[str, str]]:
    """The layout and the style of a control of this width, in which its name takes no more room than it needs."""
    return {"layout": {"width": width}, "style": {"description_width": "initial"}}


def frame(height: int, **layout: str):
    """An empty HTML of a fixed height in pixels, so that the page does not jump; what is longer scrolls."""
    import ipywidgets

    return ipywidgets.HTML(layout={"height": f"{height}px", "overflow": "auto", **layout})


def collapse(act: Callable[[], None], pause: float = PAUSE) -> Callable[..., None]:
    """An observer that calls `act` once a burst of changes is over, `pause` seconds after the last of them.

    Without a running event loop, as in a plain program, it calls at once.
    """
    timer = None

    def later(*_) -> None:
        nonlocal timer
        if timer is not None:
            timer.cancel()
        try:
            timer = asyncio.get_running_loop().call_later(pause, act)
        except RuntimeError:
            act()

    return later


def say(words: str) -> str:
    """A sentence of a view as HTML, which a screen reader reads out."""
    return f"<div role='status' style='line-height:1.4'>{html.escape(words)}</div>"


def guard(act: Callable[..., str | None], note) -> Callable[..., None]:
    """A callback that puts what `act` returns into the HTML `note`; an error becomes a sentence there, no traceback."""

    def guarded(*change) -> None:
        try:
            words = act(*change) or ""
        except MmlabError as error:
            words = str(error)
        except Exception as error:  # a callback's traceback would go to a log that nobody sees
            words = f"This did not work ({type(error).__name__}: {error}). Run the cell again."
        note.value = say(words)

    return guarded
