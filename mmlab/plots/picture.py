"""A figure as a picture: its alternative text, its files, and what a notebook shows of it.

JupyterLab and nbconvert ignore the alternative text in the metadata of an image. So a notebook shows a figure as an
`img` element of HTML, which has one: every figure, also those that a cell draws with seaborn.
"""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlab.errors import MmlabError
from mmlab.images import read_rgb
from mmlab.plots.style import lab_style
from mmlab.progress import in_kernel
from mmlab.storage import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_LONGEST = 900  # letters of an alternative text: a screen reader takes a minute for them


def show_with_words() -> None:
    """From now on this notebook shows every figure with its alternative text; outside a notebook nothing happens."""
    if in_kernel():
        formatter = sys.modules["IPython"].get_ipython().display_formatter.ipython_display_formatter
        formatter.for_type_by_name("matplotlib.figure", "Figure", show_figure)


def show_figure(figure: Figure) -> None:
    """Show a figure below the cell, as a picture with its alternative text."""
    from IPython.display import display

    display(make_output(figure), raw=True)


def make_output(figure: Figure) -> dict[str, str]:
    """A figure as a cell's output, by MIME type: a chart as PNG, photographs as JPEG, which are a quarter as large.

    What was saved is shown until the figure changes: drawing takes longer than reading.
    """
    from PIL import Image

    around = None if figure.get_layout_engine() else "tight"  # a cell's own figure may have labels outside
    content, kind = vars(figure).get("_saved") or _draw_png(figure, bbox_inches=around), "png"
    with read_rgb(io.BytesIO(content)) as picture:
        width, height = (round(pixels * figure.dpi / _DPI) for pixels in picture.size)
        if _has_photographs(figure):
            buffer, kind = io.BytesIO(), "jpeg"
            picture.resize((width, height), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=80)
            content = buffer.getvalue()
    words, data = describe_figure(figure), base64.b64encode(content).decode("ascii")
    shown = f'<img alt="{html.escape(words)}" src="data:image/{kind};base64,{data}" width="{width}">'
    return {"text/html": shown, "text/plain": f"<Figure: {words}>"}


def describe_figure(figure: Figure) -> str:
    """The alternative text of a figure: what it shows, and what is written in it, 900 letters at most.

    What it shows is its label (`figure.set_label`); for a plot function of this package, the first line of its
    docstring.
    """
    whole = [figure.get_label() or "A figure", figure.get_suptitle()]
    words = " ".join(_end(part) for part in [*whole, *map(_describe_panel, figure.axes)] if part)
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"


def _describe_panel(panel: Axes) -> str:
    if not panel.get_visible():
        return ""
    parts = [panel.get_title(place) for place in ("left", "center", "right")]
    if panel.axison:
        parts += [_describe_axis(axis, name) for axis, name in ((panel.xaxis, "x axis"), (panel.yaxis, "y axis"))]
    if legend := panel.get_legend():
        parts.append(_list("legend", (text.get_text() for text in legend.get_texts())))
    parts.append(_list("written on it", (text.get_text() for text in panel.texts)))
    return "; ".join(" ".join(part.replace(r"\$", "$").split()) for part in parts if part)


def _describe_axis(axis, name: str) -> str:
    """The label of an axis, and its ticks where they are words or were chosen. A picture's caption has no ticks."""
    from matplotlib.ticker import FixedLocator

    label, ticks = axis.get_label_text(), [tick.get_text() for tick in axis.get_ticklabels()]
    if not ticks:
        return label
    chosen = isinstance(axis.get_major_locator(), FixedLocator) or any(map(str.isalpha, "".join(ticks)))
    listed = f"({_list('', ticks)})" if chosen and any(ticks) else ""
    return f"{name}: {' '.join(filter(None, (label, listed)))}" if label or listed else ""


def _list(name: str, words: Iterable[str]) -> str:
    listed = ", ".join(filter(None, words))
    return f"{name}: {listed}" if name and listed else listed


def _end(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def save_figure(drawn, results: Path | str, name: str, subfolder: str = "figures") -> None:
    """Write a figure as name.png (150 dpi) and name.svg into a results folder, each whole or not at all.

    drawn: a Figure, an Axes or an array of Axes. The same figure gives the same bytes. A chart's PNG has a palette of
    256 colours, which makes it a third of the size. A figure of photographs is written as PNG alone: as SVG it takes
    seconds and megabytes, and is no sharper. A notebook then shows what was written. Raises MmlabError for a name with
    a folder in it.
    """
    if not name or Path(name).name != name:
        raise MmlabError(f"{name!r} is not a file name: leave out folders and suffix.")
    figure = np.ravel(drawn)[0].figure
    dpi = figure.dpi
    try:
        with lab_style():
            figure.dpi = _DPI
            if engine := figure.get_layout_engine():  # lay out once: savefig would draw twice for each file to do so
                engine.execute(figure)
                figure.get_layout_engine = lambda: None
            files = {"png": _draw_png(figure)}
            if not _has_photographs(figure):
                files["svg"] = _draw_svg(figure)
    finally:
        vars(figure).pop("get_layout_engine", None)
        figure.dpi = dpi
    for suffix, content in files.items():
        write_atomic(Path(results) / subfolder / f"{name}.{suffix}", content)
    _remember(figure, files["png"])


def _has_photographs(figure: Figure) -> bool:
    return any(image.get_array().ndim == 3 for axes in figure.axes for image in axes.images)


def _draw_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw_png(figure: Figure, **options) -> bytes:
    buffer = io.BytesIO()
    # More compression takes seconds for a tenth of the size.
    options |= {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
    figure.savefig(buffer, format="png", dpi=_DPI, **options)
    if _has_photographs(figure):
        return buffer.getvalue()
    smaller = io.BytesIO()
    read_rgb(buffer).quantize(256).save(smaller, "PNG")
    return smaller.getvalue()


def _remember(figure: Figure, png: bytes) -> None:
    """Keep what was saved until the figure changes."""
    before = figure.stale_callback

    def forget(*_) -> None:
        vars(figure).pop("_saved", None)
        figure.stale_callback = before

    figure._saved = png
    figure.stale = False  # so that pyplot does not draw it when a cell ends
    figure.stale_callback = forget
