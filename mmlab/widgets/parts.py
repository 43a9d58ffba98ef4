"""What the views share: a figure as a piece of HTML for an ipywidgets.HTML, which neither flickers nor jumps."""

import base64
import html
import io

DPI = 110  # dots per inch: 8.6 inches are the width of a notebook on a laptop


def draw_html(figure, words: str) -> str:
    """A figure as an `img` with `words` as its alternative text; the figure is closed."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    plt.close(figure)  # otherwise pyplot keeps it and shows it below the cell
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{picture}">'
