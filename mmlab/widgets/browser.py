"""The browser of pairs: one pair at a time, with filters. Explained in notebook 01, section 6."""

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.config import ENCODING, GUID, LABEL, LABELS, SPLIT, TEXT, TWIN
from mmlab.errors import MmlabError
from mmlab.widgets.parts import DPI, draw_html

ANY, NO_LABEL = "all", "no label"  # choices of a filter, besides the labels and splits
NO_PAIR = "<p>No pair has this label in this split.</p>"
TWINS_SHOWN = 4
_SIZE = (8.6, 3.3)  # inches


def find_pairs(pairs: pd.DataFrame, label: str = ANY, split: str = ANY) -> np.ndarray:
    """Positions (n,) int64 of the pairs with this label (or "no label") and in this split, in their order.

    pairs: columns label and split. "all" keeps every pair. Explained in notebook 01, section 6.
    """
    fits_label = (pairs[LABEL].fillna(NO_LABEL) == label) | (label == ANY)
    fits_split = (pairs[SPLIT] == split) | (split == ANY)
    return np.flatnonzero(fits_label & fits_split)


@plots.styled
def show_pair(pairs: pd.DataFrame, position: int) -> np.ndarray:
    """One pair: its picture, its text, what is known of both files, and its twins among `pairs`.

    pairs: `Course.pairs` or a part of it; position: a row of it, from 0. Returns two Axes, of the picture and of the
    words. Raises MmlabError when there is no such row. Explained in notebook 01, section 6.
    """
    if not 0 <= position < len(pairs):
        raise MmlabError(f"There is no pair {position}: positions go from 0 to {len(pairs) - 1}.")
    pairs = pairs.fillna({LABEL: NO_LABEL})
    row = pairs.iloc[position]
    picture, words = axes = plots.new_figure(_SIZE).subplots(1, 2, width_ratios=(1, 1.75))
    plots.show_as_jpeg(picture.figure)
    plots.plot_gallery(pairs.iloc[[position]], ax=[picture])
    picture.set_xlabel(f"{row.width} × {row.height} px" if row.has_image else "no image")
    words.set_axis_off()
    # Long texts must not squeeze the picture: the layout is made without them.
    look = {"parse_math": False, "in_layout": False}
    text = plots.wrap_text(row[TEXT], 54, lines=8) if row.has_text else "(no text)"
    words.text(0, 1, text, va="top", fontsize=12, linespacing=1.4, **look)
    words.text(0, 0, _describe(pairs, row), va="bottom", fontsize=9, color=plots.OTHER, linespacing=1.5, **look)
    return axes


def browse_pairs(pairs: pd.DataFrame):
    """The pairs one by one, with filters for label and split and a slider over the pairs that fit.

    Returns an ipywidgets VBox, which a cell shows when it is its last expression. Raises MmlabError when there are no
    pairs. Explained in notebook 01, section 6.
    """
    import ipywidgets

    if pairs.empty:
        raise MmlabError("There are no pairs to browse.")
    pairs = pairs.fillna({LABEL: NO_LABEL})
    label = ipywidgets.Dropdown(options=_choices(pairs[LABEL], (*LABELS, NO_LABEL)), description="label")
    split = ipywidgets.Dropdown(options=_choices(pairs[SPLIT], ("train", "dev", "test")), description="split")
    place = ipywidgets.IntSlider(min=1, description="pair", continuous_update=False, layout={"width": "60%"})
    count = ipywidgets.Label()
    # A fixed height, so that the page does not jump. HTML and not an Output: it takes an alternative text, does not
    # flicker, and works headless, where an Output may stall nbclient until the cell's time limit.
    view = ipywidgets.HTML(layout={"height": f"{_SIZE[1] * DPI + 20:.0f}px", "overflow": "auto"})

    def draw(_=None) -> None:
        found = find_pairs(pairs, label.value, split.value)
        view.value = _draw_html(pairs, found[place.value - 1]) if len(found) else NO_PAIR

    def start_again(_) -> None:
        found = len(find_pairs(pairs, label.value, split.value))
        place.unobserve(draw, "value")  # otherwise the pair is drawn twice
        place.value = 1
        place.max, place.disabled = max(found, 1), found < 2
        place.observe(draw, "value")
        count.value = f"of {found}"
        draw()

    label.observe(start_again, "value")
    split.observe(start_again, "value")
    start_again(None)
    return ipywidgets.VBox([ipywidgets.HBox([label, split]), ipywidgets.HBox([place, count]), view])


def _choices(values: pd.Series, order: tuple[str, ...]) -> list[str]:
    return [ANY, *(name for name in order if (values == name).any())]


def _describe(pairs: pd.DataFrame, row: pd.Series) -> str:
    others = pairs[(pairs[TWIN] == row[TWIN]) & (pairs[GUID] != row[GUID])]
    twins = [f"{twin[GUID]} ({twin[LABEL]}, {twin[SPLIT]})" for _, twin in others.head(TWINS_SHOWN).iterrows()]
    more = f" and {len(others) - TWINS_SHOWN} more" if len(others) > TWINS_SHOWN else ""
    lines = [
        f"split: {row[SPLIT]}",
        f"text: {len(row[TEXT])} characters, {row[ENCODING]}" if row.has_text else "text: none",
        f"twins: {', '.join(twins) or 'none'}{more}",
    ]
    return "\n".join(plots.wrap_text(line, 78, lines=3) for line in lines)


def _draw_html(pairs: pd.DataFrame, position: int) -> str:
    row = pairs.iloc[position]
    return draw_html(show_pair(pairs, position)[0].figure, f"Pair {row[GUID]}, {row[LABEL]}: {row[TEXT]}")
