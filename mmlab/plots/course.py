"""What is in a course folder: labels, lengths of texts, charsets, sizes of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import ENCODING, LABEL, LABELS, SPLIT, TEXT
from mmlab.errors import MmlabError
from mmlab.plots.style import COLOURS, HATCH, LINES, MARKERS, OTHER, axes_or_new, draw_bars, in_percent, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_balance(pairs: pd.DataFrame | Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """The share of each label in each split, with the number of pairs on every bar.

    pairs: a frame with columns label and split, or one frame with a column label per name. Rows without a label (the
    test pairs) are left out. Raises MmlabError when no row has a label. Explained in notebook 01, section 2.
    """
    import seaborn as sns

    if isinstance(pairs, pd.DataFrame):
        pairs = {name: pairs[pairs[SPLIT] == name] for name in ("train", "dev", "test")}
    counts = pd.DataFrame({name: frame[LABEL].value_counts() for name, frame in pairs.items()}, index=LABELS)
    counts = counts.fillna(0).astype(int).loc[:, lambda table: table.sum() > 0]
    if counts.empty:
        raise MmlabError("No pair has a label: there is no balance to show.")
    shares = counts / counts.sum()
    ax = axes_or_new(ax, (6.4, 3.6))
    long = shares.rename_axis(LABEL).reset_index().melt(LABEL, var_name=SPLIT, value_name="share")
    sns.barplot(long, x=LABEL, y="share", hue=SPLIT, errorbar=None, gap=0.06, legend=False, ax=ax)
    for number, (name, bars) in enumerate(zip(counts, ax.containers, strict=True)):
        for bar, label in zip(bars, LABELS, strict=True):
            # A split differs from its neighbour by hatch, a label from its neighbour by place and name.
            bar.set(facecolor=COLOURS[label], hatch=HATCH if number else "", edgecolor="white", linewidth=0)
        words = [f"{name}\n{n}" if len(counts.columns) > 1 else f"{n}" for n in counts[name]]
        ax.bar_label(bars, words, padding=2, fontsize=8.5)
    ax.set(xlabel="label", ylim=(0, 1.18 * shares.max(axis=None)))
    ax.set_ylabel(f"share of the split's pairs\n({', '.join(f'{name} n = {n}' for name, n in counts.sum().items())})")
    ax.yaxis.set_major_formatter(in_percent())
    return ax


@styled
def plot_lengths(pairs: pd.DataFrame, ax: Axes | None = None, bins: int = 30) -> Axes:
    """How long the texts are, in characters, for each label; a marker shows each median.

    pairs: columns text and label; rows without a label are left out. Raises MmlabError when no row has a label.
    Explained in notebook 01, section 2.2.
    """
    import seaborn as sns

    rows = pairs[pairs[LABEL].isin(LABELS)]
    if rows.empty:
        raise MmlabError("No pair has a label: there are no lengths to compare.")
    lengths = rows[TEXT].str.len()
    end = (lengths.max() + 1) * (1 + 1 / bins)  # one empty bin more, so that every line comes down to 0
    ax = axes_or_new(ax, (6.8, 3.6))
    for label, of_label in lengths.groupby(rows[LABEL]):
        median, look = of_label.median(), {"color": COLOURS[label], "linestyle": LINES[label]}
        sns.histplot(x=of_label, bins=bins + 1, binrange=(0, end), stat="proportion", element="step", fill=False, ax=ax,
                     **look)  # fmt: skip
        edges, shares = ax.lines[-1].get_data()
        height = shares[np.searchsorted(edges, median, side="right") - 1]
        ax.plot(median, height, MARKERS[label], color=COLOURS[label], markersize=8, markeredgecolor="white")
        # One legend entry that shows both the line and the marker.
        name = f"{label} (n = {len(of_label)}, median {median:.0f})"
        ax.plot([], [], **look, marker=MARKERS[label], label=name)
    ax.legend(title="label (marker: median)", alignment="left")
    ax.set(xlabel=f"length of the text in characters (n = {len(rows)} texts)", ylabel="share of the label's texts")
    ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
    ax.yaxis.set_major_formatter(in_percent())
    return ax


@styled
def plot_encodings(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many texts are written in each charset.

    pairs: a column encoding, empty for a missing text. Raises MmlabError when no row has one. Explained in notebook
    01, section 3.
    """
    known = pairs[ENCODING].replace("", np.nan).dropna()
    if known.empty:
        raise MmlabError("No text has an encoding: there is nothing to count.")
    counts = known.value_counts().sort_values()
    ax = axes_or_new(ax, (6.4, 0.9 + 0.5 * len(counts)))
    draw_bars(ax, list(counts.index), counts.to_numpy(), [f"{n} ({n / len(known):.1%})" for n in counts])
    ax.set(xlabel=f"texts (n = {len(known)})", ylabel="encoding")
    return ax


@styled
def plot_image_sizes(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Width against height of the images; a larger dot means more images of that size.

    pairs: columns width and height in pixels, 0 or nan for a missing image. Raises MmlabError when no row has a size.
    Explained in notebook 01, section 2.3.
    """
    sizes = pairs.loc[(pairs["width"] > 0) & (pairs["height"] > 0), ["width", "height"]]
    if sizes.empty:
        raise MmlabError("No image has a size: there is nothing to show.")
    counts = sizes.value_counts().rename("n").reset_index()
    top, reach = counts.iloc[0], float(sizes.to_numpy().max()) * 1.12
    ax = axes_or_new(ax, (5.4, 4.6))
    ax.scatter("width", "height", s=12 + 500 * counts["n"] / top["n"], data=counts, color=COLOURS["positive"],
               alpha=0.35, edgecolors=COLOURS["positive"], linewidths=0.6)  # fmt: skip
    ax.plot([0, reach], [0, reach], color=OTHER, linewidth=0.8, linestyle=":", zorder=0)
    ax.text(reach * 0.97, reach * 0.84, "square", fontsize=8.5, color=OTHER, ha="right", va="top")
    ax.set_title(f"most common: {top['width']:.0f} × {top['height']:.0f} px, {top['n']:.0f} images", fontsize=9.5)
    ax.set(xlabel=f"width in px (n = {len(sizes)} images; dot area: images of that size)", ylabel="height in px")
    ax.set(xlim=(0, reach), ylim=(0, reach), aspect="equal")
    return ax
