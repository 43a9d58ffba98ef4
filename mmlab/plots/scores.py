"""How good a model is (scores, differences, confusion, calibration, probes), and how good each setting of a grid is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import LABELS
from mmlab.errors import MmlabError, NothingToShow
from mmlab.evaluation import METRICS, Comparison, Interval, Scores, calibration_error, calibration_table
from mmlab.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED, _BESIDE = 30, 16  # settings that fit side by side above an axes; lines of a legend that fit beside one


@style.styled
def plot_confusion(scores: Scores, title: str = "", ax: Axes | None = None) -> Axes:
    """The confusion of one set of predictions: shares of each true label in colour, with shares and counts as text.

    scores: from `evaluation.score_predictions` or `score_frame`. Explained in notebook 02, section 4.3.
    """
    counts = pd.DataFrame(scores.confusion, index=LABELS, columns=LABELS)
    truth = counts.sum(axis=1)
    shares = counts.div(truth, axis=0).fillna(0.0)
    words = shares.map("{:.0%}".format).where(truth > 0, "no pairs") + "\n" + counts.astype(str)
    bar = {"shrink": 0.85, "format": style.IN_PERCENT, "label": "share of the true label's pairs"}
    ax = style.axes_or_new(ax, (4.7, 4.1))
    _draw_heat(ax, shares, words, bar, vmin=0, vmax=1)
    for text in ax.texts[:: len(LABELS) + 1]:
        text.set_fontweight("bold")  # the right answers
    ax.set_yticks(ax.get_yticks(), [f"{label}\nn = {n}" for label, n in truth.items()])
    ax.set(xlabel=f"predicted label (n = {scores.n} pairs)", ylabel="true label", title=title)
    return ax


@style.styled
def plot_scores(
    scores: Mapping[str, Scores], metric: str = "accuracy", references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One line per model: a metric as a dot with its 95 % interval, and reference values as vertical lines.

    metric: a name in `evaluation.METRICS`, or a label for its recall. references: values by name, such as
    {"majority": 0.6}. Raises MmlabError for an unknown metric. Explained in notebook 02, section 4.2.
    """
    if metric not in METRICS and metric not in LABELS:
        raise MmlabError(f"metric={metric!r} is not one of {', '.join([*METRICS, *LABELS])}.")
    references = references or {}
    intervals = {name: one.recall[metric] if metric in LABELS else getattr(one, metric) for name, one in scores.items()}
    ax = style.axes_or_new(ax, (7.2, 1.35 + 0.42 * len(scores) + (0.25 if references else 0)))
    _draw_intervals(ax, intervals, ".3f", marked=references.values())
    for number, (name, value) in enumerate(references.items()):
        dashes = ("--", ":", "-.")[number % 3]
        ax.axvline(value, color=style.INK, linewidth=1.1, linestyle=dashes, label=f"{name} {value:.3f}", zorder=1)
    title = f"recall of {metric}" if metric in LABELS else METRICS[metric].title
    ax.set_xlabel(f"{title}, share of 1, with 95 % interval ({_count_pairs(scores)})")
    if references:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(references)), borderaxespad=0.1)
    return ax


@style.styled
def plot_comparisons(comparisons: Mapping[str, Comparison], ax: Axes | None = None) -> Axes:
    """One line per comparison: the difference in accuracy with its 95 % interval, and a line at 0.

    comparisons: Comparison by name ("joint − text"). A marker is filled when the interval leaves out 0, and hollow
    when the difference may be noise. Explained in notebook 06, section 1.1.
    """
    if not comparisons:
        raise NothingToShow("There are no two models to compare.")
    ax = style.axes_or_new(ax, (7.2, 1.3 + 0.42 * len(comparisons)))
    points = {name: Interval(*(100 * end for end in astuple(one.difference))) for name, one in comparisons.items()}
    hollow = {name for name, point in points.items() if not (point.low > 0 or point.high < 0)}
    _draw_intervals(ax, points, "+.1f", marked=[0], hollow=hollow)
    ax.axvline(0, color=style.INK, linewidth=1.2, zorder=1)
    words = f"with 95 % interval ({_count_pairs(comparisons)})"
    ax.set_xlabel(f"difference in accuracy, percentage points, {words}\nhollow: the interval contains 0")
    return ax


@style.styled
def plot_reliability(labels, probabilities: Mapping[str, np.ndarray], bins: int = 10, ax: Axes | None = None) -> Axes:
    """Confidence against accuracy for one or more models; a calibrated model follows the diagonal.

    labels: (n,) int class numbers; probabilities: (n, 3) by name. The legend gives the expected calibration error.
    Explained in notebook 02, section 5.2.
    """
    ax = style.axes_or_new(ax, (4.8, 4.6))
    ax.plot([0, 1], [0, 1], color=style.OTHER, linewidth=1, linestyle=":")
    for number, (name, values) in enumerate(probabilities.items()):
        error, (colour, marker) = calibration_error(labels, values, bins), _look_of(name, number)
        ax.plot("confidence", "accuracy", data=calibration_table(labels, values, bins), color=colour, marker=marker,
                linestyle=style.LINES.get(name, "-"), label=f"{name} (calibration error {error:.3f})")  # fmt: skip
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    ax.set(xlabel=f"confidence, mean of each bin (n = {len(labels)} pairs)", ylabel="accuracy in the bin, share of 1")
    ax.set(xlim=(0.3, 1.02), ylim=(0, 1.02))
    return ax


@style.styled
def plot_probe(changed: Mapping[str, float], n: int | None = None, ax: Axes | None = None) -> Axes:
    """The share of predictions that changed in each probe.

    changed: share of 1 by the probe's name, such as "images swapped". n: number of pairs predicted. Explained in
    notebook 04, section 5.
    """
    ax = style.axes_or_new(ax, (6.8, 1.0 + 0.5 * len(changed)))
    changed = dict(reversed(changed.items()))
    style.draw_bars(ax, changed, [f"{share:.1%}" for share in changed.values()])
    ax.set(xlabel="share of predictions that changed" + (f" (n = {n} pairs)" if n else ""), ylabel="probe")
    ax.xaxis.set_major_formatter(style.IN_PERCENT)
    return ax


@style.styled
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
    values = table.pivot(index=rows, columns=columns, values=value).rename(index=_show_value, columns=_show_value)
    words = table.assign(words=words).pivot(index=rows, columns=columns, values="words")
    low, high = table[value].min(), table[value].max()
    room = 0.0 if high > low else 0.01  # equal settings get the middle colour
    ax = style.axes_or_new(ax, (1.9 + 1.35 * values.shape[1], 1.3 + 0.75 * values.shape[0]))
    title = METRICS[value].title if value in METRICS else value
    bar = {"label": f"{title}, share of 1" + (f"\n(n = {n} pairs)" if n else "")}
    _draw_heat(ax, values, words, bar, vmin=low - room, vmax=high + room)
    down, across = np.unravel_index(np.nanargmax(values), values.shape)
    ax.add_patch(Rectangle((across + 0.03, down + 0.03), 0.94, 0.94, fill=False, edgecolor=style.INK, linewidth=2.5))
    units = {"dropout": "dropout (share of units)", "lr": "lr (learning rate)"}
    ax.set(xlabel=units.get(columns, columns), ylabel=units.get(rows, rows))
    return ax


@style.styled
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


@style.styled
def plot_parallel(table: pd.DataFrame, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Parallel coordinates: each setting is a line through its knobs' values to its accuracy; higher is darker.

    table: one row per setting with the named columns and accuracy. Each axis runs from its lowest value to its
    highest. Explained in notebook 05, section 4.2.
    """
    from matplotlib import colormaps

    ax = style.axes_or_new(ax, (1.6 + 1.9 * (len(names) + 1), 3.4))
    values = table[list(names)].rank(method="dense").assign(accuracy=table["accuracy"])  # equal steps, in order
    heights = ((values - values.min()) / (values.max() - values.min())).fillna(0.5)  # all are equal: in the middle
    for _, line in heights.sort_values("accuracy").iterrows():
        colour = colormaps[style.SEQUENTIAL](0.9 - 0.9 * line["accuracy"])
        ax.plot(line.to_numpy(), color=colour, linewidth=1 + 2 * line["accuracy"])
    words = {"xytext": (5, 0), "textcoords": "offset points", "fontsize": 9, "va": "center"}
    for place, name in enumerate(names):
        for one, height in dict(zip(table[name], heights[name], strict=True)).items():
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.annotate(_show_value(one), (place, height), **words, bbox=box)
    for height, value in ((0, table["accuracy"].min()), (1, table["accuracy"].max())):
        ax.annotate(f"{value:.3f}", (len(names), height), **words)
    ax.set_xticks(range(len(names) + 1), [*names, "accuracy"])
    ax.set(xlim=(-0.2, len(names) + 0.5), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.grid(True, axis="x", color="#888888")
    return ax


@style.styled
def plot_cost(table: pd.DataFrame, names: Sequence[str], n: int | None = None, ax: Axes | None = None) -> Axes:
    """Cost against score: each setting's training seconds and accuracy with its 95 % interval, and its number.

    table: one row per setting with the named columns, seconds, accuracy, low and high. The numbers are in the order of
    the cost, and the legend says which setting each is; of many settings, the 30 of the highest accuracy are named.
    Explained in notebook 05, section 4.2.
    """
    named = table.nlargest(_NAMED, "accuracy").sort_index().sort_values("seconds", kind="stable")
    few = len(named) <= _BESIDE
    columns = 1 if few else 3
    room = 0 if few else 0.4 + 0.19 * math.ceil(len(named) / columns)  # of the legend: beside the axes or below them
    ax = style.axes_or_new(ax, (9.0, 4.0 + room))
    arms = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    look = {"fmt": "o", "color": style.COLOURS["text_and_image"], "elinewidth": 1, "label": "_"}
    ax.errorbar("seconds", "accuracy", yerr=arms, data=table, **look)
    right = 1.05 * table["seconds"].max() or 1.0
    ax.set(xlabel="training time (seconds per setting)", xlim=(0, right))
    ax.set_ylabel("accuracy, share of 1, with 95 % interval" + (f"\n(n = {n} pairs per setting)" if n else ""))
    # The numbers stand side by side above the axes, each with a line down to its setting: dots may lie upon each other.
    places = _spread(named["seconds"] / right, 1 / (24 if few else _NAMED))
    line = {"arrowstyle": "-", "color": style.OTHER, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 1}
    for number, (place, setting) in enumerate(zip(places, named.to_dict("records"), strict=True), start=1):
        ax.annotate(str(number), (setting["seconds"], setting["high"]), (place, 1.04), textcoords="axes fraction",
                    ha="center", va="bottom", fontsize=9, arrowprops=line, annotation_clip=False)  # fmt: skip
        words = ", ".join(f"{name} {_show_value(setting[name])}" for name in names)
        ax.plot([], [], linestyle="none", label=f"{number}  {words}")
    ax.legend(title="setting, the cheapest first", alignment="left", loc="upper left", ncols=columns, fontsize=9,
              bbox_to_anchor=(1, 1) if few else (0, -0.18), handlelength=0, handletextpad=0)  # fmt: skip
    return ax


def _spread(places: Iterable[float], gap: float) -> list[float]:
    """Rising numbers from 0 to 1, moved as little as it takes that neighbours are `gap` apart."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else max(place, 0.0))
    for number in range(len(moved) - 1, -1, -1):
        most = 1.0 if number == len(moved) - 1 else moved[number + 1] - gap
        moved[number] = min(moved[number], most)
    return moved


def _show_value(value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _look_of(name: str, number: int = 0) -> tuple[str, str]:
    """Colour and marker of a scenario or label; anything else is dark grey with a marker of its own."""
    return style.COLOURS.get(name, style.OTHER), style.MARKERS.get(name, "o^sDvP*X"[number % 8])


def _count_pairs(measured: Mapping[str, Scores | Comparison]) -> str:
    sizes = [one.n for one in measured.values()]
    low, high = min(sizes), max(sizes)
    return f"n = {low} pairs" if low == high else f"n = {low} to {high} pairs"


def _draw_intervals(
    ax: Axes, intervals: Mapping[str, Interval], spec: str, marked: Iterable[float], hollow: Iterable[str] = ()
) -> None:
    """Dots with intervals from top to bottom, each with its numbers, in the format `spec`, in a column at the right.

    marked: values that must be in view. hollow: names whose marker is not filled.
    """
    for number, (name, interval) in enumerate(intervals.items()):
        colour, marker = _look_of(name)
        ax.plot([interval.low, interval.high], [number, number], color=colour, linewidth=2.4, solid_capstyle="butt")
        face = "white" if name in hollow else colour
        ax.plot(interval.value, number, marker, color=colour, markersize=8, markerfacecolor=face, markeredgewidth=1.6)
        ax.annotate(format(interval, spec).replace("-", "−"), (1, number), (8, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize=9, annotation_clip=False)  # fmt: skip
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.set_ylim(len(intervals) - 0.4, -0.6)
    ends = [*marked, *(end for one in intervals.values() for end in one.to_list() if end is not None)]
    if ends:
        room = 0.06 * (max(ends) - min(ends)) or 0.05
        ax.set_xlim(min(ends) - room, max(ends) + room)
    ax.grid(axis="y", visible=False)


def _draw_heat(ax: Axes, values: pd.DataFrame, words: pd.DataFrame, bar: Mapping[str, object], **limits) -> None:
    """A heat map of values with words of the same shape on it; a field that is nan stays empty.

    bar: options of the colour bar. limits: vmin and vmax. (seaborn's draws the whole figure to see whether labels
    overlap.)
    """
    from seaborn.utils import relative_luminance

    ax.grid(False)
    ax.spines[:].set_visible(False)
    shown = values.to_numpy(dtype=float)
    mesh = ax.pcolormesh(np.ma.masked_invalid(shown), cmap=style.SEQUENTIAL, **limits)
    ax.figure.colorbar(mesh, ax=ax, **bar).outline.set_linewidth(0)
    for down, across in np.argwhere(~np.isnan(shown)):
        light = relative_luminance(mesh.cmap(mesh.norm(shown[down, across])))
        colour = "black" if light > 0.179 else "white"  # the one with more contrast: they are equal at 0.179
        ax.text(across + 0.5, down + 0.5, words.iloc[down, across], ha="center", va="center", color=colour)
    ax.set_xticks(np.arange(shown.shape[1]) + 0.5, values.columns)
    ax.set_yticks(np.arange(shown.shape[0]) + 0.5, values.index)
    ax.invert_yaxis()
