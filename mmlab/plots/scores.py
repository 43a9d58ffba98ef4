"""How good a model is: scores and differences with their intervals, confusion, calibration, probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import LABELS
from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS, Comparison, Interval, Scores, calibration_error, calibration_table
from mmlab.plots import style
from mmlab.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_confusion(scores: Scores, title: str = "", ax: Axes | None = None) -> Axes:
    """The confusion of one set of predictions: shares of each true label in colour, with shares and counts as text.

    scores: from `evaluation.score_predictions` or `score_frame`. Explained in notebook 02, section 4.3.
    """
    ax = style.axes_or_new(ax, (4.7, 4.1))
    counts = pd.DataFrame(scores.confusion, index=LABELS, columns=LABELS)
    truth = counts.sum(axis=1)
    shares = counts.div(truth, axis=0).fillna(0.0)
    words = shares.map("{:.0%}".format).where(truth > 0, "no pairs") + "\n" + counts.astype(str)
    bar = {"shrink": 0.85, "format": style.IN_PERCENT, "label": "share of the true label's pairs"}
    style.draw_heat(ax, shares, words, bar, vmin=0, vmax=1)
    for text in ax.texts[:: len(LABELS) + 1]:
        text.set_fontweight("bold")  # the right answers
    ax.set_yticks(ax.get_yticks(), [f"{label}\nn = {n}" for label, n in truth.items()])
    ax.set(xlabel=f"predicted label (n = {scores.n} pairs)", ylabel="true label")
    ax.set_title(title)
    return ax


@styled
def plot_scores(
    scores: Mapping[str, Scores],
    metric: str = "accuracy",
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One line per model: a metric as a dot with its 95 % interval, and reference values as vertical lines.

    scores: Scores by name, drawn from top to bottom; a scenario's name gets its colour and marker. metric: a name in
    `evaluation.METRICS`, or a label for its recall. references: values by name, such as {"majority": 0.6}. Raises
    MmlabError for an unknown metric. Explained in notebook 02, section 4.2.
    """
    if metric not in METRICS and metric not in LABELS:
        raise MmlabError(f"metric={metric!r} is not one of {', '.join([*METRICS, *LABELS])}.")
    references = references or {}
    intervals = {name: one.recall[metric] if metric in LABELS else getattr(one, metric) for name, one in scores.items()}
    ax = style.axes_or_new(ax, (7.2, 1.35 + 0.42 * len(scores) + (0.25 if references else 0)))
    style.draw_intervals(ax, intervals, ".3f", marked=references.values())
    for number, (name, value) in enumerate(references.items()):
        dashes = ("--", ":", "-.")[number % 3]
        ax.axvline(value, color=style.INK, linewidth=1.1, linestyle=dashes, label=f"{name} {value:.3f}", zorder=1)
    title = f"recall of {metric}" if metric in LABELS else METRICS[metric].title
    ax.set_xlabel(f"{title}, share of 1, with 95 % interval ({style.count_pairs([one.n for one in scores.values()])})")
    if references:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(references)), borderaxespad=0.1)
    return ax


@styled
def plot_comparisons(comparisons: Mapping[str, Comparison], ax: Axes | None = None) -> Axes:
    """One line per comparison: the difference in accuracy with its 95 % interval, and a line at 0.

    comparisons: Comparison by name ("joint − text"). A marker is filled when the interval leaves out 0, and hollow
    when the difference may be noise. Explained in notebook 06, section 1.1.
    """
    ax = style.axes_or_new(ax, (7.2, 1.3 + 0.42 * len(comparisons)))
    points, hollow = {}, []
    for name, one in comparisons.items():
        points[name] = percent = Interval(*(100 * end for end in vars(one.difference).values()))
        if not (percent.low > 0 or percent.high < 0):
            hollow.append(name)
    style.draw_intervals(ax, points, "+.1f", marked=[0], hollow=hollow)
    ax.axvline(0, color=style.INK, linewidth=1.2, zorder=1)
    words = f"with 95 % interval ({style.count_pairs([one.n for one in comparisons.values()])})"
    ax.set_xlabel(f"difference in accuracy, percentage points, {words}\nhollow: the interval contains 0")
    return ax


@styled
def plot_reliability(labels, probabilities: Mapping[str, np.ndarray], bins: int = 10, ax: Axes | None = None) -> Axes:
    """Confidence against accuracy for one or more models; a calibrated model follows the diagonal.

    labels: (n,) int class numbers; probabilities: (n, 3) by name. The legend gives the expected calibration error.
    Explained in notebook 02, section 5.2.
    """
    ax = style.axes_or_new(ax, (4.8, 4.6))
    ax.plot([0, 1], [0, 1], color=style.OTHER, linewidth=1, linestyle=":")
    for number, (name, values) in enumerate(probabilities.items()):
        error, (colour, marker) = calibration_error(labels, values, bins), style.look_of(name, number)
        ax.plot("confidence", "accuracy", data=calibration_table(labels, values, bins), color=colour, marker=marker,
                linestyle=style.LINES.get(name, "-"), label=f"{name} (calibration error {error:.3f})")  # fmt: skip
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    ax.set(xlabel=f"confidence, mean of each bin (n = {len(labels)} pairs)", ylabel="accuracy in the bin, share of 1")
    ax.set(xlim=(0.3, 1.02), ylim=(0, 1.02))
    return ax


@styled
def plot_probe(changed: Mapping[str, float], n: int | None = None, ax: Axes | None = None) -> Axes:
    """The share of predictions that changed in each probe ("images swapped" …).

    changed: share of 1 by the probe's name. n: number of pairs predicted. Explained in notebook 04, section 5.
    """
    ax = style.axes_or_new(ax, (6.8, 1.0 + 0.5 * len(changed)))
    names, shares = list(changed)[::-1], list(changed.values())[::-1]
    style.draw_bars(ax, names, shares, [f"{share:.1%}" for share in shares])
    ax.set_xlabel("share of predictions that changed" + (f" (n = {n} pairs)" if n else ""))
    ax.set_ylabel("probe")
    ax.xaxis.set_major_formatter(style.IN_PERCENT)
    return ax
