"""A grid of settings: every setting at once, one knob at a time, and what the settings cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS
from mmlab.plots import style
from mmlab.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_heatmap(
    table: pd.DataFrame, rows: str = "lr", columns: str = "dropout", value: str = "accuracy", n: int | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A grid of two knobs: each setting's colour and text are its value, with the 95 % interval below it.

    table: one row per setting, with the columns named by `rows`, `columns` and `value`, and low and high. A setting
    without a row stays empty; the best one has a border, which means nothing when the intervals overlap. Raises
    MmlabError when two rows have the same setting. Explained in notebook 05, section 4.
    """
    from matplotlib.patches import Rectangle

    if table.duplicated([rows, columns]).any():
        raise MmlabError(f"Two runs have the same {rows} and {columns}. Choose one of them for each setting.")
    words = [f"{row[value]:.3f}\n[{row['low']:.3f}, {row['high']:.3f}]" for row in table.to_dict("records")]
    values = table.pivot(index=rows, columns=columns, values=value)
    words = table.assign(words=words).pivot(index=rows, columns=columns, values="words")
    low, high = table[value].min(), table[value].max()
    room = 0.0 if high > low else 0.01  # equal settings get the middle colour
    ax = style.axes_or_new(ax, (1.9 + 1.35 * values.shape[1], 1.3 + 0.75 * values.shape[0]))
    title = METRICS[value].title if value in METRICS else value
    bar = {"label": f"{title}, share of 1" + (f"\n(n = {n} pairs)" if n else "")}
    style.draw_heat(ax, values, words, bar, vmin=low - room, vmax=high + room)
    down, across = np.unravel_index(np.nanargmax(values), values.shape)
    ax.add_patch(Rectangle((across + 0.03, down + 0.03), 0.94, 0.94, fill=False, edgecolor=style.INK, linewidth=2.5))
    ax.set_xticks(ax.get_xticks(), map(_show_value, values.columns))
    ax.set_yticks(ax.get_yticks(), map(_show_value, values.index))
    ax.set_xlabel(f"{columns} (share of units)" if columns == "dropout" else columns)
    ax.set_ylabel("lr (learning rate)" if rows == "lr" else rows)
    return ax


@styled
def plot_effects(table: pd.DataFrame, names: Sequence[str], n: int | None = None) -> np.ndarray:
    """One panel per knob: every setting as a dot over its value, and the mean of each value as a line.

    table: one row per setting with the named columns and accuracy. The spread of the dots is what the other knobs and
    the seeds do; a line that moves less than its dots spread ranks nothing. Returns an array of Axes, one per name.
    Explained in notebook 05, section 4.1.
    """
    import seaborn as sns

    panels = style.new_figure((0.6 + 2.9 * len(names), 2.9)).subplots(1, len(names), sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=True):
        order = sorted(table[name].unique())
        what = {"data": table, "x": name, "y": "accuracy", "order": order, "ax": panel, "legend": False}
        sns.swarmplot(**what, color=style.COLOURS["text_and_image"], alpha=0.6, warn_thresh=1)  # many dots may overlap
        sns.pointplot(**what, errorbar=None, color=style.INK, markers="D", linewidth=1.5)
        panel.set_xticks(range(len(order)), map(_show_value, order))
    panels[0].set_ylabel("accuracy, share of 1" + (f"\n(n = {n} pairs per setting)" if n else ""))
    panels[0].legend(handles=panels[0].lines[:1], labels=["mean"])
    return panels


@styled
def plot_parallel(table: pd.DataFrame, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Parallel coordinates: each setting is a line through its knobs' values to its accuracy; higher is darker.

    table: one row per setting with the named columns and accuracy. Each axis runs from its lowest value to its
    highest. Explained in notebook 05, section 4.2.
    """
    from matplotlib import colormaps

    ax = style.axes_or_new(ax, (1.6 + 1.9 * (len(names) + 1), 3.4))
    heights = [_spread(table[name].rank(method="dense")) for name in names]  # equal steps, in order
    heights.append(_spread(table["accuracy"]))
    for row in np.argsort(table["accuracy"].to_numpy()):
        share = heights[-1][row]
        colour = colormaps[style.SEQUENTIAL](0.9 - 0.9 * share)
        ax.plot([height[row] for height in heights], color=colour, linewidth=1 + 2 * share)
    words = {"xytext": (5, 0), "textcoords": "offset points", "fontsize": 9, "va": "center"}
    for place, name in enumerate(names):
        for one, height in dict(zip(table[name], heights[place], strict=True)).items():
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.annotate(_show_value(one), (place, height), **words, bbox=box)
    for height, value in ((0, table["accuracy"].min()), (1, table["accuracy"].max())):
        ax.annotate(f"{value:.3f}", (len(names), height), **words)
    ax.set_xticks(range(len(names) + 1), [*names, "accuracy"])
    ax.set(xlim=(-0.2, len(names) + 0.5), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.grid(True, axis="x", color="#888888")
    return ax


@styled
def plot_cost(table: pd.DataFrame, n: int | None = None, ax: Axes | None = None) -> Axes:
    """Cost against score: each setting's training seconds and accuracy with its 95 % interval.

    table: one row per setting with seconds, accuracy, low and high. Explained in notebook 05, section 4.2.
    """
    ax = style.axes_or_new(ax, (6.0, 3.4))
    arms = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    look = {"fmt": "o", "color": style.COLOURS["text_and_image"], "elinewidth": 1}
    ax.errorbar("seconds", "accuracy", yerr=arms, data=table, **look)
    ax.set(xlabel="training time (seconds per setting)", xlim=(0, None))
    ax.set_ylabel("accuracy, share of 1, with 95 % interval" + (f"\n(n = {n} pairs per setting)" if n else ""))
    return ax


def _show_value(value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _spread(column: pd.Series) -> np.ndarray:
    """Heights from 0 to 1 in proportion to the values; 0.5 if all are equal."""
    values = column.to_numpy()
    low, high = values.min(), values.max()
    return np.full(len(values), 0.5) if low == high else (values - low) / (high - low)
