"""The lab's look: one palette, one theme, and the parts that several figures share.

A label or a scenario has the same colour, marker, line style and hatch in every figure, so that colour is never the
only code. Matplotlib and seaborn load with the first figure: a setting of a grid draws none.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlab.errors import NothingToShow

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour, marker and line style. The colours are Okabe and Ito's, which people with any colour vision can distinguish;
# the greys differ in print as well.
_LOOKS = {
    "negative": ("#D55E00", "v", "--"),  # vermillion
    "neutral": ("#999999", "s", ":"),  # grey
    "positive": ("#0072B2", "^", "-"),  # blue
    "text_only": ("#E69F00", "D", "--"),  # orange
    "image_only": ("#009E73", "o", ":"),  # green
    "text_and_image": ("#5D3A9B", "P", "-"),  # purple
    "train": ("#8C6D31", "o", "--"),  # brown
    "dev": ("#1B7F8C", "s", "-"),  # teal
}
COLOURS, MARKERS, LINES = ({name: look[part] for name, look in _LOOKS.items()} for part in range(3))
HATCH = "///"  # the second of two splits
INK, OTHER = "#222222", "#444444"  # text; whatever has no colour of its own
IN_PERCENT = "{x:.0%}"  # format of the ticks of shares
SEQUENTIAL = "cividis"  # even in lightness and the same for every colour vision

# The first that is installed draws the letters DejaVu Sans lacks; a font that is missing would flood the output.
_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "SimHei", "Noto Sans CJK JP",
)  # fmt: skip
_QUOTED = "quoted"
_WIDE = "\U0001f7e7"  # two columns wide and in no text font; replaced by □ after wrapping


@functools.cache
def _look() -> dict[str, object]:
    import matplotlib.pyplot as plt
    import seaborn as sns

    # Loading the backend makes matplotlib interactive in a notebook. Loaded inside lab_style, this would end with it.
    plt.switch_backend(plt.get_backend())
    chinese = find_cjk_font()
    return {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("paper"),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.08,
        "figure.constrained_layout.w_pad": 0.08,
        "font.family": ["DejaVu Sans", *([chinese] if chinese else [])],
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": "#888888",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#D9D9D9",
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "mmlab",  # the same figure gives the same bytes
    }


def find_cjk_font() -> str | None:
    """The installed font that draws Chinese and Japanese letters, by its name; None without one.

    Matplotlib lists the fonts of a machine once and keeps the list: a font that was installed later is added to it.
    """
    from matplotlib import font_manager, get_cachedir

    manager = font_manager.fontManager

    def find() -> str | None:
        listed = {font.name for font in manager.ttflist if Path(font.fname).is_file()}
        return next((name for name in _CJK_FONTS if name in listed), None)

    if found := find():
        return found
    for path in sorted(set(font_manager.findSystemFonts()) - {font.fname for font in manager.ttflist}):
        with suppress(Exception):  # whatever is wrong with the file
            manager.addfont(path)
    if found := find():  # the next process is spared this
        font_manager.json_dump(manager, Path(get_cachedir()) / f"fontlist-v{manager.__version__}.json")
    return found


def lab_style() -> AbstractContextManager[None]:
    """The lab's look inside a `with` block; matplotlib's settings are as before when it ends."""
    from matplotlib import style

    return style.context(["default", _look()])


def fonts() -> list[str]:
    """The families in use, in the order in which a letter is looked for."""
    return list(_look()["font.family"])


def styled(plot: Callable) -> Callable:
    """A plot function that draws in the lab's look and changes none of the caller's settings.

    The first line of its docstring becomes the label of the figure, with which its alternative text begins. Where it
    raises NothingToShow, the sentence stands in the figure, and one Axes is returned.
    """

    @functools.wraps(plot)
    def draw(*args, **options):
        from matplotlib.text import Text

        with lab_style():
            try:
                drawn = plot(*args, **options)
            except NothingToShow as nothing:
                drawn = _write_sentence(str(nothing), options.get("ax"))
            figure = np.ravel(drawn)[0].figure
            figure.set_label((inspect.getdoc(plot) or "").partition("\n")[0])
            for text in itertools.chain(*(axes.findobj(Text) for axes in np.ravel(drawn))):
                text.set_parse_math(False)  # a name with two dollar signs is no formula
            # Matplotlib makes ticks only when a figure is shown, in the look of that moment. The others copy the first.
            for axes in figure.axes:
                axes.xaxis.set_tick_params(labelsize=_look()["xtick.labelsize"])
                axes.yaxis.set_tick_params(labelsize=_look()["ytick.labelsize"])
        return drawn

    return draw


def _write_sentence(sentence: str, ax: Axes | Sequence[Axes] | None) -> Axes:
    """A sentence where a figure would be. ax: where it was to be drawn, if that was given."""
    ax = axes_or_new(None if ax is None else np.ravel(ax)[0], (7.2, 0.6))
    ax.set_axis_off()
    ax.text(0, 0.5, wrap_text(sentence, 100, 3), va="center", transform=ax.transAxes, parse_math=False)
    return ax


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure, width and height in inches, that a notebook shows below its cell."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size)


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given Axes, or those of a new figure of this size in inches."""
    return new_figure(size).subplots() if ax is None else ax


def translate_figure(drawn, words: Mapping[str, str]) -> None:
    """Replace words in a finished figure: in titles, labels, ticks, legends and notes.

    drawn: a Figure, an Axes or an array of Axes. words: the words or phrases to replace, each with its translation; the
    longest is looked for first, and only where a whole word begins and ends. A translation that no installed font can
    draw is left out. What the figure quotes, such as a tweet, stays as it is: plot functions mark it with `quote`. Call
    this before `save_figure`.
    """
    from matplotlib.text import Text

    figure = np.ravel(drawn)[0].figure
    possible = [one for one, translation in words.items() if can_draw(translation)]
    phrases = "|".join(re.escape(one) for one in sorted(possible, key=len, reverse=True))
    if not phrases:
        return

    def translate(text: str) -> str:
        return re.sub(rf"(?<!\w)(?:{phrases})(?!\w)", lambda found: words[found[0]], text)

    with lab_style():
        ticks, formats = set(), []
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            drawn_labels = axis.get_ticklabels()
            ticks.update(drawn_labels)
            labels = [label.get_text() for label in drawn_labels]
            translated = [translate(label) for label in labels]
            # A figure writes its ticks anew whenever it is drawn, and axes that are shared have one format.
            if translated != labels and not any(axis.major is one for one in formats):
                axis.set_ticks(axis.get_majorticklocs(), translated)
                formats.append(axis.major)
        for text in figure.findobj(Text):
            if text.get_label() != _QUOTED and text not in ticks:
                text.set_text(translate(text.get_text()))


def quote(text: Artist) -> None:
    """Mark a text of a figure as somebody's own words: they are never translated."""
    text.set_label(_QUOTED)


def draw_bars(ax: Axes, lengths: Mapping[str, float], words: Sequence[str]) -> None:
    """One horizontal bar per name, from bottom to top, with words at its end."""
    bars = ax.barh(range(len(lengths)), lengths.values(), height=0.62, color=COLOURS["positive"])
    ax.bar_label(bars, words, padding=4, fontsize=9)
    ax.set_yticks(range(len(lengths)), lengths)
    ax.set_xlim(0, max(lengths.values()) * 1.22 or 1e-9)
    ax.grid(axis="y", visible=False)


def wrap_text(text: str, width: int, lines: int) -> str:
    """The text broken into at most `lines` lines of `width` columns; letters no installed font has become "□".

    A Chinese or Japanese character takes two columns. A shortened text ends in "…".
    """
    from rich.cells import chop_cells
    from rich.console import Console
    from rich.text import Text

    visible = (one for one in " ".join(text.split()) if unicodedata.category(one) not in ("Mn", "Cf", "Cc"))
    drawn = (one if ord(one) in _drawable() else _WIDE for one in visible)
    start = "".join(itertools.islice(drawn, (width + 1) * lines + 1))  # more would not be seen
    rows = [row.plain.rstrip() for row in Text(start).wrap(Console(), width) if row]
    if len(rows) > lines:
        rows = [*rows[: lines - 1], chop_cells(rows[lines - 1], width - 1)[0].rstrip() + "…"]
    return "\n".join(rows).replace(_WIDE, "□")


def can_draw(text: str) -> bool:
    """Whether one of the fonts in use has each letter of a text."""
    return _drawable().issuperset(map(ord, text))


def fit_text(text: str, inches: float, lines: int, size: float, weight: str = "normal") -> str:
    """As `wrap_text`, for a width in inches and letters of this size in points: capitals take more room than an i."""
    from rich.cells import cell_len

    def measure(row: str) -> float:
        return sum(_measure_letter(one, weight) for one in row) * size / 72

    start = wrap_text(text, 300, 1)
    columns = max(2, round(1.3 * inches * cell_len(start) / max(measure(start), 0.01)))  # more than fit, on average
    while True:
        wrapped = wrap_text(text, columns, lines)
        if columns == 2 or max(map(measure, wrapped.split("\n"))) <= inches:
            return wrapped
        columns = max(2, min(columns - 1, round(0.94 * columns)))


@functools.cache
def _measure_letter(letter: str, weight: str) -> float:
    """The width of a letter, as a share of the size of the font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_look()["font.family"], size=100, weight=weight)
    return text_to_path.get_text_width_height_descent(letter, font, ismath=False)[0] / 100


@functools.cache
def _drawable() -> frozenset[int]:
    """Code points that one of the fonts in use can draw; for the others matplotlib would warn and draw boxes."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in fonts()))
