"""What confidence is worth, what the rare labels cost, and whether more pairs would help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from mmlab.config import LABELS
from mmlab.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("positive", "-"), ("negative", "--"), ("neutral", "-."))  # colours of labels, told apart by their lines too


@style.styled
def plot_risk_coverage(curves: Mapping[str, pd.DataFrame], n: int | None = None, ax: Axes | None = None) -> Axes:
    """The share of wrong answers among those given, against the share of pairs that is answered, the surest first.

    curves: by name, frames of `evaluation.risk_coverage`. n: number of pairs. Explained in notebook 06, section 6.2.
    """
    ax = style.axes_or_new(ax, (6.4, 4.2))
    for (name, curve), (colour, line) in zip(curves.items(), _LOOKS * len(curves), strict=False):
        ax.plot(curve["coverage"], curve["risk"], line, color=style.COLOURS[colour], drawstyle="steps-post", label=name)
    ax.set(xlabel="share of the pairs that is answered" + (f" (n = {n} pairs)" if n else ""), xlim=(0, 1.01))
    worst = max((curve["risk"].iloc[-1] for curve in curves.values()), default=0)
    # Of the first few answers the share jumps between 0 and 1, which says nothing.
    ax.set(ylabel="share of wrong answers among them", ylim=(0, min(1.0, 1.5 * worst + 0.02)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(style.IN_PERCENT)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


@style.styled
def plot_price(table: pd.DataFrame, n: int | None = None, ax: Axes | None = None) -> Axes:
    """Accuracy, macro-F1 and the recall of each label, as the label shares are taken out of the answers.

    table: of `evaluation.price_of_recall`. n: number of pairs. Explained in notebook 06, section 6.3.
    """
    ax = style.axes_or_new(ax, (6.4, 4.2))
    for number, name in enumerate(("accuracy", "macro_f1")):
        line = {"color": style.INK, "linewidth": 2, "linestyle": ("-", ":")[number]}
        ax.plot(table["strength"], table[name], label=name.replace("_f1", "-F1"), **line)
    for label, marker in zip(LABELS, "vso", strict=True):
        if f"recall {label}" in table:
            look = {"color": style.COLOURS[label], "marker": marker, "linewidth": 1}
            ax.plot(table["strength"], table[f"recall {label}"], label=f"recall of {label}", **look)
    words = "strength: 0 answers as the model does, 1 as if all labels were equally frequent"
    ax.set(xlabel=words + (f"\n(n = {n} pairs)" if n else ""), ylabel="share of 1")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


@style.styled
def plot_learning_curve(
    table: pd.DataFrame, references: Mapping[str, float] | None = None, n: int | None = None, ax: Axes | None = None
) -> Axes:
    """Accuracy against the number of training pairs, with its 95 % band.

    table: of `runs.learning_curve`. references: values by name, such as {"majority": 0.6}. n: number of pairs scored.
    Explained in notebook 06, section 6.5.
    """
    ax = style.axes_or_new(ax, (6.4, 4.0))
    ax.fill_between(
        table["n"], table["low"], table["high"], color=style.COLOURS["positive"], alpha=0.2, label="95 % band"
    )
    ax.plot(table["n"], table["accuracy"], "o-", color=style.COLOURS["positive"], label="accuracy, out of fold")
    for number, (name, value) in enumerate((references or {}).items()):
        ax.axhline(
            value, color=style.INK, linewidth=1.1, linestyle=("--", ":")[number % 2], label=f"{name} {value:.3f}"
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(table["n"], [str(n) for n in table["n"]])
    ax.minorticks_off()
    scored = f" (n = {n} pairs)" if n else ""
    ax.set(xlabel="training pairs (each step doubles them)", ylabel=f"accuracy, share of 1{scored}")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax
