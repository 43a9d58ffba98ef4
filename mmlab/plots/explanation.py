"""What moved an answer: the two sides as bars, the words as text, the cells over the picture, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmlab.config import IMAGE, TEXT
from mmlab.explain import AGAINST, FOR, INK, NOTHING, Explanation, in_points, tint
from mmlab.images import read_rgb
from mmlab.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_COLUMNS = 50  # of a line of words
_LONGEST = 24  # columns of a word
_CAPTION = 78  # columns of a line of the caption
_FONTS = "DejaVu Sans Mono"  # every letter as wide as the next: a word's box is known before it is drawn
_APART = "////"  # the hatch of a part on which the baselines disagree


@style.styled
def plot_explanation(explanation: Explanation, ax: Sequence[Axes] | None = None) -> np.ndarray:
    """From p(none) to p(both): the credit of text and image, of each word and of each cell, in percentage points.

    ax: three Axes, for bars, words and picture. Returns an array of these. The colour bar stands beside the picture and
    holds for the words as well. A part has its sign and number; brackets: within its noise; hatched with ≠: a second
    baseline disagrees. Explained in docs/explanations.md.
    """
    axes = _new_axes(explanation) if ax is None else np.ravel(ax)
    bars, words, picture = axes
    _draw_bars(bars, explanation)
    _draw_words(words, explanation)
    _draw_cells(picture, explanation)
    bar = picture.figure.colorbar(_scale(explanation), ax=picture, fraction=0.05, pad=0.03)
    bar.set_label(f"percentage points of p({explanation.label})", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    rows = [style.wrap_text(line, _CAPTION, lines=3) for line in explanation.caption[1:]]
    words.set_xlabel("\n".join(rows), fontsize=8, loc="left", color=style.OTHER)
    style.quote(words.xaxis.label)
    return axes


def _new_axes(explanation: Explanation) -> np.ndarray:
    lines = len(_lay_out(explanation)[1]) if TEXT in explanation.sides else 1
    notes = len(explanation.caption)
    figure = style.new_figure((9.6, max(3.6, 1.9 + 0.5 * lines) + 0.16 * notes))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1), height_ratios=(1.1, max(1.9, 0.5 * lines)))
    return np.array([figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[:, 1])])


def _draw_bars(ax: Axes, explanation: Explanation) -> None:
    """A bridge: p(none), then each side's step, then p(both)."""
    text, image = (explanation.credit[name] for name in (TEXT, IMAGE))
    steps = [
        ("nothing", 0.0, explanation.none),
        ("+ text", explanation.none, text),
        ("+ image", explanation.none + text, image),
        ("all", 0.0, explanation.both),
    ]
    for row, (name, start, length) in enumerate(steps):
        step = name.startswith("+")
        colour = np.divide(FOR if length > 0 else AGAINST, 255) if step else "#BBBBBB"
        ax.barh(row, length, left=start, height=0.7, color=colour, edgecolor=style.OTHER, linewidth=0.6)
        words = f"{100 * length:+.1f}".replace("-", "−") if step else f"{length:.1%}"
        ax.text(max(start, start + length) + 0.01, row, words, va="center", fontsize=8.5)
    ax.set_yticks(range(4), [name for name, _, _ in steps])
    ax.set(xlim=(0, 1.1), ylim=(3.6, -0.6), xticks=np.linspace(0, 1, 5))
    ax.xaxis.set_major_formatter(style.IN_PERCENT)
    ax.set_xlabel(f"probability of {explanation.label}", fontsize=8.5)
    ax.grid(axis="y", visible=False)


def _lay_out(explanation: Explanation) -> tuple[list[str], list[list[int]]]:
    """The words as they are drawn, and which of them stand in each line."""
    from rich.cells import cell_len

    side = explanation.sides[TEXT]
    words = [style.wrap_text(part, _LONGEST, lines=1) or "□" for part in side.parts]
    lines, room = [[]], _COLUMNS
    for i, word in enumerate(words):
        wide = max(cell_len(word), len(in_points(side, i))) + 2
        if wide > room and lines[-1]:
            lines.append([])
            room = _COLUMNS
        lines[-1].append(i)
        room -= wide
    return words, lines


def _draw_words(ax: Axes, explanation: Explanation) -> None:
    from matplotlib.patches import Rectangle
    from rich.cells import cell_len

    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title("words", fontsize=9.5)
    if TEXT not in explanation.sides:
        ax.text(0.5, 0.5, "no text", ha="center", va="center", color=style.OTHER)
        return
    side = explanation.sides[TEXT]
    words, lines = _lay_out(explanation)
    ax.set(xlim=(0, _COLUMNS), ylim=(max(len(lines), 3), 0))
    for row, line in enumerate(lines):
        start = 0
        for i in line:
            wide = max(cell_len(words[i]), len(in_points(side, i))) + 2
            colour = np.divide(tint(side.first.values[i], explanation.top), 255)
            look = {"hatch": _APART if side.disagree[i] else "", "edgecolor": "#999999", "linewidth": 0.6}
            ax.add_patch(Rectangle((start + 0.15, row + 0.06), wide - 0.3, 0.88, facecolor=colour, **look))
            middle = start + wide / 2
            put = {"ha": "center", "va": "center", "color": INK, "family": [_FONTS, *style.fonts()]}
            style.quote(ax.text(middle, row + 0.33, words[i], fontsize=8, **put))
            ax.text(middle, row + 0.72, in_points(side, i), fontsize=7.5, **put)
            start += wide


def _draw_cells(ax: Axes, explanation: Explanation) -> None:
    from matplotlib.patches import Rectangle

    from mmlab.explain.parts import ACROSS, DOWN

    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.set_title("cells", fontsize=9.5)
    if IMAGE not in explanation.sides:
        ax.spines[:].set_visible(False)
        ax.text(0.5, 0.5, "no image", ha="center", va="center", color=style.OTHER, transform=ax.transAxes)
        return
    picture = read_rgb(explanation.image)
    picture.thumbnail((480, 480))
    side, (wide, high) = explanation.sides[IMAGE], (picture.width / len(ACROSS), picture.height / len(DOWN))
    ax.imshow(np.asarray(picture), extent=(0, picture.width, picture.height, 0))
    for i, value in enumerate(side.first.values):
        row, column = divmod(i, len(ACROSS))
        colour, hatch = np.divide(tint(value, explanation.top), 255), _APART if side.disagree[i] else ""
        place = (column * wide, row * high)
        ax.add_patch(
            Rectangle(place, wide, high, facecolor=(*colour, 0.55), edgecolor="white", linewidth=1, hatch=hatch)
        )
        box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.2"}
        middle = (place[0] + wide / 2, place[1] + high / 2)
        ax.text(*middle, in_points(side, i), ha="center", va="center", fontsize=8.5, color=INK, bbox=box)


def _scale(explanation: Explanation) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("credit", np.divide([AGAINST, NOTHING, FOR], 255))
    end = 100 * explanation.top
    return ScalarMappable(Normalize(-end, end), colours)
