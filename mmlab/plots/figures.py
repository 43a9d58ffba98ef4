"""Every figure of the lab: data in, Axes out. One style, one palette, and colour is never the only code.

A label or a scenario has the same colour, marker, line style and hatch in every figure. Every function draws into
`ax` when it is given one and makes a figure of its own otherwise. Numbers are passed in; nothing is computed here
that a reader could not see in the data. The figures appear from notebook 01 on.

Matplotlib loads with the first figure: a cell of a grid draws none.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import ENCODING, FOLD, GUID, IMAGE, LABEL, LABELS, SPLIT, TEXT
from mmlab.errors import MmlabError
from mmlab.evaluation import Comparison, Scores, calibration_error, calibration_table
from mmlab.images import read_rgb
from mmlab.storage import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    from mmlab.models import Node

# Okabe and Ito's colours, which people with any colour vision tell apart; the greys differ in print as well.
COLOURS = {
    "negative": "#D55E00",  # vermillion
    "neutral": "#999999",  # grey
    "positive": "#0072B2",  # blue
    "text_only": "#E69F00",  # orange
    "image_only": "#009E73",  # green
    "text_and_image": "#5D3A9B",  # purple
    "train": "#8C6D31",
    "dev": "#1B7F8C",
}
MARKERS = {
    "negative": "v", "neutral": "s", "positive": "^",
    "text_only": "D", "image_only": "o", "text_and_image": "P", "train": "o", "dev": "s",
}  # fmt: skip
LINES = {
    "negative": "--", "neutral": ":", "positive": "-",
    "text_only": "--", "image_only": ":", "text_and_image": "-", "train": "--", "dev": "-",
}  # fmt: skip
HATCHES = {"negative": "\\\\\\", "neutral": "...", "positive": "", "train": "", "dev": "///"}
INK, FAINT, OTHER = "#222222", "#D9D9D9", "#444444"  # text, grid lines, whatever has no colour of its own
SEQUENTIAL = "cividis"  # even in lightness and the same for every colour vision

METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1"}
# The first that is installed draws the letters DejaVu Sans lacks; asking for a missing font would flood the output.
_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "SimHei", "Noto Sans CJK JP",
)  # fmt: skip


@cache
def _fonts() -> tuple[str, ...]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1])


def use_style() -> None:
    """Set the lab's look for all figures that follow. Figures made by this module call it themselves."""
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.08,
            "figure.constrained_layout.w_pad": 0.08,
            "font.family": list(_fonts()),
            "font.size": 10,
            "text.color": INK,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.edgecolor": "#888888",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": FAINT,
            "grid.linewidth": 0.6,
            "xtick.color": OTHER,
            "ytick.color": OTHER,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "hatch.linewidth": 0.6,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "svg.hashsalt": "mmlab",  # the same figure gives the same bytes
        }
    )


# --- what is in the folder ------------------------------------------------------------------------------------------


def plot_balance(pairs: pd.DataFrame | Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """The share of each label in each split, with the number of pairs on every bar. Explained in notebook 01.

    pairs: a frame with columns label and split, or one frame with a column label for each name. Rows without a
    label (the test pairs) are left out. Raises MmlabError when no row has a label.
    """
    if isinstance(pairs, pd.DataFrame):
        order = [name for name in ("train", "dev", "test") if (pairs[SPLIT] == name).any()]
        pairs = {name: pairs[pairs[SPLIT] == name] for name in order}
    counts = {name: _label_counts(frame) for name, frame in pairs.items()}
    counts = {name: count for name, count in counts.items() if count.sum()}
    if not counts:
        raise MmlabError("No pair has a label: there is no balance to show.")
    ax = _axes(ax, (6.4, 3.6))
    width = 0.8 / len(counts)
    for number, (name, count) in enumerate(counts.items()):
        shares = count / count.sum()
        places = np.arange(len(LABELS)) + (number - (len(counts) - 1) / 2) * width
        bars = ax.bar(places, shares, width * 0.94, color=[COLOURS[label] for label in LABELS])
        for bar, value in zip(bars, count, strict=True):
            # A split differs from its neighbour by hatch, a label from its neighbour by place and name.
            bar.set(hatch=HATCHES["dev"] if number else "", edgecolor="white", linewidth=0)
            words = f"{name}\n{value}" if len(counts) > 1 else f"{value}"
            ax.annotate(words, (bar.get_x() + bar.get_width() / 2, bar.get_height()), (0, 2),
                        textcoords="offset points", ha="center", va="bottom", fontsize=8.5)  # fmt: skip
    ax.set_xticks(range(len(LABELS)), LABELS)
    ax.set(xlabel="label", ylim=(0, 1.18 * max((count / count.sum()).max() for count in counts.values())))
    sizes = ", ".join(f"{name} n = {count.sum()}" for name, count in counts.items())
    ax.set_ylabel(f"share of the split's pairs\n({sizes})")
    ax.yaxis.set_major_formatter(_percent())
    ax.grid(axis="x", visible=False)
    return ax


def plot_lengths(pairs: pd.DataFrame, ax: Axes | None = None, bins: int = 30) -> Axes:
    """How long the texts are, in characters, for each label; a marker stands on each median.

    pairs: columns text and label; rows without a label are left out. Explained in notebook 01.
    """
    rows = pairs[pairs[LABEL].isin(LABELS)]
    if rows.empty:
        raise MmlabError("No pair has a label: there are no lengths to compare.")
    lengths = rows[TEXT].str.len()
    edges = np.linspace(0, max(lengths.max(), 1), bins + 1)
    ax = _axes(ax, (6.8, 3.6))
    for label in LABELS:
        of_label = lengths[rows[LABEL] == label]
        if of_label.empty:
            continue
        shares, _ = np.histogram(of_label, edges, weights=np.full(len(of_label), 1 / len(of_label)))
        median = of_label.median()
        name = f"{label} (n = {len(of_label)}, median {median:.0f})"
        ax.stairs(shares, edges, color=COLOURS[label], linestyle=LINES[label], linewidth=1.8)
        height = shares[min(int(np.searchsorted(edges, median, side="right")) - 1, bins - 1)]
        ax.plot(median, height, MARKERS[label], color=COLOURS[label], markersize=8, markeredgecolor="white")
        # One legend entry that shows both the line and the marker.
        ax.plot([], [], color=COLOURS[label], linestyle=LINES[label], marker=MARKERS[label], label=name)
    ax.legend(title="label (marker: median)", alignment="left")
    ax.set(xlabel=f"length of the text in characters (n = {len(rows)} texts)", ylabel="share of the label's texts")
    ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
    ax.yaxis.set_major_formatter(_percent())
    return ax


def plot_encodings(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many texts are written in each encoding. pairs: a column encoding, empty for a missing text."""
    known = pairs[ENCODING].replace("", np.nan).dropna()
    if known.empty:
        raise MmlabError("No text has an encoding: there is nothing to count.")
    counts = known.value_counts().sort_values()
    ax = _axes(ax, (6.4, 0.9 + 0.5 * len(counts)))
    _labelled_bars(ax, list(counts.index), counts.to_numpy(), [f"{n} ({n / len(known):.1%})" for n in counts])
    ax.set(xlabel=f"texts (n = {len(known)})", ylabel="encoding")
    return ax


def plot_image_sizes(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Width against height of the images; a larger dot stands for more images of that size.

    pairs: columns width and height in pixels, 0 or nan for a missing image. Explained in notebook 01.
    """
    sizes = pairs.loc[(pairs["width"] > 0) & (pairs["height"] > 0), ["width", "height"]]
    if sizes.empty:
        raise MmlabError("No image has a size: there is nothing to show.")
    counts = sizes.value_counts().rename("n").reset_index().sort_values("n", ascending=False)
    ax = _axes(ax, (5.4, 4.6))
    largest = counts["n"].max()
    ax.scatter(counts["width"], counts["height"], s=12 + 500 * counts["n"] / largest, color=COLOURS["positive"],
               alpha=0.35, edgecolors=COLOURS["positive"], linewidths=0.6)  # fmt: skip
    reach = float(sizes.to_numpy().max()) * 1.12
    ax.plot([0, reach], [0, reach], color=OTHER, linewidth=0.8, linestyle=":", zorder=0)
    ax.text(reach * 0.97, reach * 0.84, "square", fontsize=8.5, color=OTHER, ha="right", va="top")
    top = counts.iloc[0]
    ax.set_title(f"most common: {top['width']:.0f} × {top['height']:.0f} px, {top['n']:.0f} images", fontsize=9.5)
    ax.set(xlabel=f"width in px (n = {len(sizes)} images; dot area: images of that size)", ylabel="height in px")
    ax.set(xlim=(0, reach), ylim=(0, reach), aspect="equal")
    return ax


def plot_gallery(
    pairs: pd.DataFrame, n: int = 6, columns: int = 3, predicted: str | None = None, ax: Sequence[Axes] | None = None
) -> np.ndarray:
    """The first n pairs with guid, label and text; with `predicted` also what a model answered.

    pairs: columns guid, label, text and image (path; "" or missing shows an empty frame). predicted: the name of a
    column of predicted labels; a wrong answer gets a cross and a thick border. Returns an array of n Axes.
    """
    from PIL import ImageOps

    rows = pairs.head(n)
    if rows.empty:
        raise MmlabError("There are no pairs to show.")
    columns = min(columns, len(rows))
    if ax is None:
        lines = math.ceil(len(rows) / columns)
        use_style()
        figure = _new_figure((2.9 * columns, 3.75 * lines))
        figure.set_dpi(80)  # photographs: a notebook with galleries stays under 1.5 MB
        ax = figure.subplots(lines, columns, squeeze=False).ravel()
        for empty in ax[len(rows) :]:
            empty.set_axis_off()
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) < len(rows):
        raise MmlabError(f"{len(rows)} pairs do not fit into {len(axes)} axes.")
    for panel, row in zip(axes, rows.to_dict("records"), strict=False):
        label = row[LABEL] if isinstance(row[LABEL], str) else "no label"
        title, wrong = f"{row[GUID]} · {label}", False
        if predicted is not None:
            wrong = row[predicted] != label and label in LABELS
            mark = "✗ " if wrong else "✓ " if label in LABELS else ""
            title = f"{row[GUID]} · {label}\n{mark}predicted {row[predicted]}"
        panel.set_title(title, fontsize=9.5, parse_math=False)
        try:
            picture = ImageOps.pad(read_rgb(row[IMAGE]), (256, 256), color="#F2F2F2")  # equal panels line up
            panel.imshow(np.asarray(picture))
        except (OSError, ValueError, AttributeError):  # missing or unreadable: course.py has listed it
            panel.imshow(np.full((3, 3, 3), 242, dtype=np.uint8))
            panel.text(1, 1, "no image", ha="center", va="center", color=OTHER)
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        for spine in panel.spines.values():
            spine.set(visible=True, color=COLOURS.get(label, OTHER), linewidth=4 if wrong else 2)
        text = row[TEXT] if isinstance(row[TEXT], str) and row[TEXT].strip() else "(no text)"
        panel.set_xlabel(wrap_text(text, 40, lines=4), fontsize=8, loc="left", parse_math=False)
    return axes[: len(rows)]


def wrap_text(text: str, width: int, lines: int) -> str:
    """The text broken into at most `lines` lines of `width` columns; letters no installed font has become "□".

    A Chinese or Japanese character takes two columns. A shortened text ends in "…".
    """
    known = _drawable()
    rows, row, used = [], "", 0
    for word in " ".join(text.split()).split(" "):
        word = "".join(c if ord(c) in known else "□" for c in word if unicodedata.category(c) not in ("Mn", "Cf", "Cc"))
        while word:
            space = 1 if row else 0
            if used + space + _columns(word) <= width:
                row, used, word = row + " " * space + word, used + space + _columns(word), ""
            elif row and _columns(word) <= width:
                rows, row, used = [*rows, row], "", 0
            else:  # longer than a line: break it where the line ends
                room, cut = width - used - space, 0
                while cut < len(word) and _columns(word[: cut + 1]) <= room:
                    cut += 1
                if cut:
                    row, word = row + " " * space + word[:cut], word[cut:]
                rows, row, used = [*rows, row], "", 0
    rows = [*rows, row] if row else rows
    if len(rows) > lines:
        rows = rows[:lines]
        while _columns(rows[-1]) >= width:
            rows[-1] = rows[-1][:-1]
        rows[-1] = rows[-1].rstrip() + "…"
    return "\n".join(rows)


# --- scores ---------------------------------------------------------------------------------------------------------


def plot_confusion(scores: Scores, title: str = "", ax: Axes | None = None) -> Axes:
    """The confusion of one set of predictions: shares of each true label in colour, with counts written out.

    scores: from `evaluation.score_predictions` or `score_frame`. Explained in notebook 02.
    """
    ax = _axes(ax, (4.7, 4.1))
    truth = scores.confusion.sum(axis=1, keepdims=True)
    shares = np.divide(scores.confusion, truth, out=np.zeros(scores.confusion.shape), where=truth > 0)
    picture = ax.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(scores.confusion):
        share = f"{shares[row, column]:.0%}" if truth[row, 0] else "no pairs"
        look = {
            "color": _readable_on(picture, shares[row, column]),
            "fontweight": "bold" if row == column else "normal",
        }
        ax.text(column, row, f"{share}\n{count}", ha="center", va="center", **look)
    ax.set_xticks(range(len(LABELS)), LABELS)
    ax.set_yticks(range(len(LABELS)), [f"{label}\nn = {n}" for label, n in zip(LABELS, truth[:, 0], strict=True)])
    ax.set(xlabel=f"predicted label (n = {scores.n} pairs)", ylabel="true label")
    ax.set_title(title)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(picture, ax=ax, shrink=0.85, format=_percent())
    bar.set_label("share of the true label's pairs")
    bar.outline.set_visible(False)
    return ax


def plot_scores(
    scores: Mapping[str, Scores],
    metric: str = "accuracy",
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One line for each model: a metric as a dot with its 95 % interval, and reference values as vertical lines.

    scores: Scores by name, drawn from top to bottom; a scenario's name gets its colour and marker. metric:
    "accuracy", "macro_f1", "weighted_f1" or a label for its recall. references: values by name, such as
    {"majority": 0.6}. Raises MmlabError for an unknown metric.
    """
    if metric not in METRICS and metric not in LABELS:
        raise MmlabError(f"metric={metric!r} is not one of {', '.join([*METRICS, *LABELS])}.")
    intervals = {name: one.recall[metric] if metric in LABELS else getattr(one, metric) for name, one in scores.items()}
    ax = _axes(ax, (7.2, 1.35 + 0.42 * len(scores) + (0.25 if references else 0)))
    _forest(ax, intervals, ".3f", marked=(references or {}).values())
    for number, (name, value) in enumerate((references or {}).items()):
        style = ("--", ":", "-.")[number % 3]
        ax.axvline(value, color=INK, linewidth=1.1, linestyle=style, label=f"{name} {value:.3f}", zorder=1)
    sizes = {one.n for one in scores.values()}
    words = f"n = {sizes.pop()} pairs" if len(sizes) == 1 else f"n = {min(sizes)} to {max(sizes)} pairs"
    name = f"recall of {metric}" if metric in LABELS else METRICS[metric]
    ax.set_xlabel(f"{name}, share of 1, with 95 % interval ({words})")
    if references:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(references)), borderaxespad=0.1)
    return ax


def plot_comparisons(comparisons: Mapping[str, Comparison], ax: Axes | None = None) -> Axes:
    """One line for each comparison: the difference in accuracy with its 95 % interval, and a line at 0.

    comparisons: Comparison by name ("joint − text"). A filled marker says that the interval leaves out 0, a hollow
    one that the models cannot be told apart. Explained in notebook 06.
    """
    ax = _axes(ax, (7.2, 1.3 + 0.42 * len(comparisons)))
    points = {name: _times(one.difference, 100) for name, one in comparisons.items()}
    hollow = [name for name, one in comparisons.items() if one.verdict == "cannot be told apart"]
    _forest(ax, points, "+.1f", marked=[0], hollow=hollow)
    ax.axvline(0, color=INK, linewidth=1.2, zorder=1)
    sizes = sorted({one.n for one in comparisons.values()})
    words = f"n = {sizes[0]} pairs" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]} pairs"
    ax.set_xlabel(
        f"difference in accuracy, percentage points, with 95 % interval ({words})\nhollow: cannot be told apart"
    )
    return ax


def plot_heatmap(
    table: pd.DataFrame, rows: str = "lr", columns: str = "dropout", value: str = "accuracy", n: int | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A grid of runs: each cell's colour and text are its value, with the 95 % interval below it.

    table: one row a cell, with the columns named by `rows`, `columns` and `value`, and low and high. A cell without
    a row stays empty; the best cell has a border, which says nothing when the intervals overlap. Explained in
    notebook 05. Raises MmlabError when a cell has two rows.
    """
    if table.duplicated([rows, columns]).any():
        raise MmlabError(f"Two runs have the same {rows} and {columns}. Choose one of them for each cell.")
    down, across = sorted(table[rows].unique()), sorted(table[columns].unique())
    from matplotlib.patches import Rectangle

    values = np.full((len(down), len(across)), np.nan)
    ax = _axes(ax, (1.9 + 1.35 * len(across), 1.3 + 0.75 * len(down)))
    cells = [(down.index(row[rows]), across.index(row[columns]), row) for row in table.to_dict("records")]
    for i, j, row in cells:
        values[i, j] = row[value]
    low, high = np.nanmin(values), np.nanmax(values)
    room = 0.0 if high > low else 0.01  # equal cells get the middle colour, before the text is coloured to suit it
    limits = {"vmin": low - room, "vmax": high + room}
    picture = ax.imshow(np.ma.masked_invalid(values), cmap=SEQUENTIAL, aspect="auto", **limits)
    for i, j, row in cells:
        text = f"{row[value]:.3f}\n[{row['low']:.3f}, {row['high']:.3f}]"
        ax.text(j, i, text, ha="center", va="center", fontsize=9, color=_readable_on(picture, row[value]))
    i, j = np.unravel_index(np.nanargmax(values), values.shape)
    ax.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=2.5))
    ax.set_xticks(range(len(across)), [_show_value(one) for one in across])
    ax.set_yticks(range(len(down)), [_show_value(one) for one in down])
    ax.set(xlabel=f"{columns} (share of units)" if columns == "dropout" else columns)
    ax.set_ylabel("lr (learning rate)" if rows == "lr" else rows)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(picture, ax=ax)
    bar.set_label(f"{METRICS.get(value, value)}, share of 1" + (f"\n(n = {n} pairs)" if n else ""))
    bar.outline.set_visible(False)
    return ax


def plot_effects(table: pd.DataFrame, names: Sequence[str], n: int | None = None) -> np.ndarray:
    """One panel a knob: every cell as a dot over its value, and the mean over all others as a line.

    table: one row a cell with the named columns and accuracy. The spread of the dots is what the other knobs and the
    seeds do; a line that moves less than its dots spread ranks nothing. Returns an array of Axes. See notebook 05.
    """
    use_style()
    panels = _new_figure((0.6 + 2.9 * len(names), 2.9)).subplots(1, len(names), sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=True):
        choices = sorted(table[name].unique())
        groups = [table.loc[table[name] == one, "accuracy"].to_numpy() for one in choices]
        for place, group in enumerate(groups):
            shift = np.linspace(-0.14, 0.14, len(group)) if len(group) > 1 else [0]
            panel.plot(
                place + np.asarray(shift), np.sort(group), "o", color=COLOURS["text_and_image"], alpha=0.6, markersize=5
            )
        panel.plot(range(len(groups)), [group.mean() for group in groups], "-D", color=INK, markersize=6, label="mean")
        panel.set_xticks(range(len(choices)), [_show_value(one) for one in choices])
        panel.set_xlim(-0.5, len(choices) - 0.5)
        panel.set_xlabel(name)
    panels[0].set_ylabel("accuracy, share of 1" + (f"\n(n = {n} pairs a cell)" if n else ""))
    panels[0].legend(loc="best")
    return panels


def plot_parallel(table: pd.DataFrame, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Parallel coordinates: each cell a line through its knobs' values to its accuracy, the higher the darker.

    table: one row a cell with the named columns and accuracy. Each axis runs from its lowest value to its highest.
    See notebook 05.
    """
    from matplotlib import colormaps

    ax = _axes(ax, (1.6 + 1.9 * (len(names) + 1), 3.4))
    heights = [_spread(table[name].rank(method="dense")) for name in names]  # equal steps, in order
    heights.append(_spread(table["accuracy"]))
    colours = colormaps[SEQUENTIAL]
    for row in np.argsort(table["accuracy"].to_numpy()):
        share = heights[-1][row]
        ax.plot([height[row] for height in heights], color=colours(0.9 - 0.9 * share), linewidth=1 + 2 * share)
    for place, name in enumerate(names):
        for one in sorted(table[name].unique()):
            height = heights[place][(table[name] == one).to_numpy()][0]
            ax.annotate(_show_value(one), (place, height), (5, 0), textcoords="offset points", fontsize=9, va="center",
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    for height, value in ((0, table["accuracy"].min()), (1, table["accuracy"].max())):
        ax.annotate(f"{value:.3f}", (len(names), height), (5, 0), textcoords="offset points", fontsize=9, va="center")
    ax.set_xticks(range(len(names) + 1), [*names, "accuracy"])
    ax.set(xlim=(-0.2, len(names) + 0.5), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.grid(True, axis="x", color="#888888")
    return ax


def plot_cost(table: pd.DataFrame, n: int | None = None, ax: Axes | None = None) -> Axes:
    """Cost against score: each cell's training seconds and accuracy with its 95 % interval. See notebook 05.

    table: one row a cell with seconds, accuracy, low and high.
    """
    ax = _axes(ax, (6.0, 3.4))
    arms = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    ax.errorbar(
        table["seconds"],
        table["accuracy"],
        yerr=arms,
        fmt="o",
        color=COLOURS["text_and_image"],
        elinewidth=1,
        markersize=6,
    )
    ax.set_xlim(left=0)
    ax.set(xlabel="training time (seconds a cell)")
    ax.set_ylabel("accuracy, share of 1, with 95 % interval" + (f"\n(n = {n} pairs a cell)" if n else ""))
    return ax


def plot_architecture(nodes: Sequence[Node], ax: Axes | None = None) -> Axes:
    """A model as boxes and arrows: what its forward pass goes through, from the inputs on top to the logits below.

    nodes: from `models.list_parts`. Left: what depends on the text alone; right: on the image alone; in the middle: on
    both. B is the number of pairs. Explained in notebook 04, section 2.
    """
    by_name = {node.name: node for node in nodes}

    def reached(start: str) -> set[str]:
        found = {start}
        for name in by_name[start].feeds:
            found |= reached(name)
        return found

    text, image = reached("text"), reached("image")
    depth = dict.fromkeys(by_name, 0)
    for _ in nodes:  # the longest way down to each
        for node in nodes:
            for name in node.feeds:
                depth[name] = max(depth[name], depth[node.name] + 1)
    last = max(depth.values())
    depth |= {node.name: last for node in nodes if node.kind == "logits"}
    places: dict[str, tuple[float, float]] = {}
    for level in range(last + 1):
        for middle, sees in ((0.0, text - image), (1.0, text & image), (2.0, image - text)):
            here = [node.name for node in nodes if depth[node.name] == level and node.name in sees]
            for number, name in enumerate(here):
                step = (number - (len(here) - 1) / 2) * (-1 if middle == 2.0 else 1)  # those that go on, inside
                places[name] = (middle + 0.62 * step, -level)
    ax = _axes(ax, (9.4, 1.0 + 1.15 * (last + 1)))
    boxes = {}
    for node in nodes:
        shape = " × ".join(["B", *map(str, node.shape[1:])])
        words = [node.name, node.kind if node.kind not in node.name else "", shape]
        words += [f"parameters: {node.parameters:,}"] if node.parameters else []
        fill = {"input": "#FFFFFF", "logits": "#EFEFEF"}.get(node.kind, "#E3ECF5")
        style = {"boxstyle": "round,pad=0.35", "facecolor": fill, "edgecolor": INK}
        lines = "\n".join(filter(None, words))
        text = ax.text(*places[node.name], lines, ha="center", va="center", fontsize=7.5, bbox=style, zorder=3)
        boxes[node.name] = text.get_bbox_patch()
    for node in nodes:
        for name in node.feeds:
            ends = {"patchA": boxes[node.name], "patchB": boxes[name], "shrinkA": 1, "shrinkB": 1}
            arrow = {"arrowstyle": "-|>", "color": OTHER, "linewidth": 1.1, **ends}
            ax.annotate("", xy=places[name], xytext=places[node.name], arrowprops=arrow, zorder=1)
    ax.set_xlim(-0.75, 2.75)
    ax.set_ylim(-last - 0.5, 0.5)
    ax.axis("off")
    return ax


def plot_probe(
    changed: Mapping[str, float], n: int | None = None, baseline: float | None = None, ax: Axes | None = None
) -> Axes:
    """The share of predictions that changed in each probe ("images swapped" …). Explained in notebook 04.

    changed: share of 1 by the probe's name. n: pairs predicted. baseline: a share to compare with, drawn as a line.
    """
    ax = _axes(ax, (6.8, 1.0 + 0.5 * len(changed)))
    names, shares = list(changed)[::-1], np.array(list(changed.values()), dtype=float)[::-1]
    _labelled_bars(ax, names, shares, [f"{share:.1%}" for share in shares])
    if baseline is not None:
        ax.axvline(baseline, color=INK, linestyle="--", linewidth=1.2)
    ax.set_xlabel("share of predictions that changed" + (f" (n = {n} pairs)" if n else ""))
    ax.set_ylabel("probe")
    ax.xaxis.set_major_formatter(_percent())
    return ax


def plot_reliability(labels, probabilities: Mapping[str, np.ndarray], bins: int = 10, ax: Axes | None = None) -> Axes:
    """Confidence against accuracy for one or more models; on the diagonal a model knows how sure it may be.

    labels: (n,) int class numbers; probabilities: (n, 3) by name. The legend gives the expected calibration error.
    """
    ax = _axes(ax, (4.8, 4.6))
    ax.plot([0, 1], [0, 1], color=OTHER, linewidth=1, linestyle=":")
    for number, (name, values) in enumerate(probabilities.items()):
        table = calibration_table(labels, values, bins)
        error = calibration_error(labels, values, bins)
        colour, marker = _look(name, number)
        ax.plot(table["confidence"], table["accuracy"], color=colour, marker=marker, linestyle=LINES.get(name, "-"),
                label=f"{name} (calibration error {error:.3f})")  # fmt: skip
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    ax.set(xlabel=f"confidence, mean of each bin (n = {len(labels)} pairs)", ylabel="accuracy in the bin, share of 1")
    ax.set(xlim=(0.3, 1.02), ylim=(0, 1.02))
    return ax


# --- training -------------------------------------------------------------------------------------------------------


def plot_history(history: pd.DataFrame, best_epoch=None, ax: Axes | Sequence[Axes] | None = None) -> Axes | np.ndarray:
    """Train and dev loss over the epochs and, in a second panel, dev accuracy; the best epoch is marked.

    history: columns epoch, train_loss, dev_loss, dev_accuracy, and fold and seed where several models were trained:
    then each has thin lines, and thick ones are the mean as long as all of them train. best_epoch: the epoch whose
    weights were kept: one number, or for several models a sequence in the order of their first rows, or a frame
    with columns fold, seed and best_epoch. ax: two Axes, or one for the loss alone. Returns what it drew on. Raises
    MmlabError for an epoch the history does not hold. Explained in notebook 02.
    """
    from matplotlib.axes import Axes

    alone = isinstance(ax, Axes)
    if ax is None:
        use_style()
        ax = _new_figure((9.2, 3.5)).subplots(1, 2)
    axes = np.atleast_1d(np.asarray(ax, dtype=object))
    models = _split_history(history, best_epoch)
    _draw_curves(axes[0], models, {"train_loss": "train", "dev_loss": "dev"}, marked="dev_loss")
    axes[0].set_ylabel("loss (cross-entropy, nats)")
    if len(axes) > 1:
        _draw_curves(axes[1], models, {"dev_accuracy": "dev"}, marked="dev_accuracy")
        axes[1].set_ylabel("accuracy, share of 1")
    count = len(models)
    for panel in axes:
        panel.set_xlabel("epoch" + (f" (n = {count} models, thick: mean)" if count > 1 else " (n = 1 model)"))
    return axes[0] if alone else axes


def plot_history_grid(
    runs: Sequence[tuple[str, pd.DataFrame, object]], columns: int = 3, ax: Sequence[Axes] | None = None
) -> np.ndarray:
    """Small multiples of the loss curves with shared axes: one panel for each (title, history, best epoch).

    history and best epoch as in `plot_history`. Returns an array with one Axes for each run. See notebook 05.
    """
    runs = list(runs)
    if not runs:
        raise MmlabError("There are no runs to show.")
    columns, extra = min(columns, len(runs)), []
    if ax is None:
        lines = math.ceil(len(runs) / columns)
        use_style()
        figure = _new_figure((3.0 * columns + 0.4, 2.25 * lines + 0.5))
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        ax, extra = grid.ravel()[: len(runs)], grid.ravel()[len(runs) :]
    axes = np.asarray(ax, dtype=object).ravel()
    for number, (panel, (title, history, best_epoch)) in enumerate(zip(axes, runs, strict=True)):
        models = _split_history(history, best_epoch)
        _draw_curves(panel, models, {"train_loss": "train", "dev_loss": "dev"}, "dev_loss", legend=number == 0)
        panel.set_title(title, fontsize=9.5)
        words = "epoch" + (f" (n = {len(models)} models)" if len(models) > 1 else " (n = 1 model)")
        panel.set(xlabel=words, ylabel="loss (nats)")
        last_row = number + columns >= len(runs)
        panel.xaxis.label.set_visible(last_row)
        panel.yaxis.label.set_visible(number % columns == 0)
        panel.tick_params(labelbottom=last_row)
    for empty in extra:
        empty.set_axis_off()
    return axes


class LiveCurve:
    """A loss curve that redraws itself in one place of a notebook while a model trains.

    Use it as `with live_curve() as curve: … curve.update(history)`. Outside a notebook it draws and prints nothing.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.every = every  # at least so many seconds between two drawings: drawing must not slow the training
        self._handle = self._history = self._best_epoch = None
        self._drawn_at = -math.inf
        self._stale = False
        self._in_notebook = _in_notebook()

    def __enter__(self) -> LiveCurve:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def update(self, history: pd.DataFrame, best_epoch=None) -> None:
        """Show the history so far; columns and best_epoch as in `plot_history`. May skip a drawing to save time."""
        import time

        if not self._in_notebook or len(history) == 0:
            return
        self._history, self._best_epoch, self._stale = history, best_epoch, True
        if time.monotonic() - self._drawn_at >= self.every:
            self._draw()
            self._drawn_at = time.monotonic()

    def close(self) -> None:
        """Draw the last state if it was skipped. No figure stays open: none was ever registered with pyplot."""
        if self._stale:
            self._draw()

    def _draw(self) -> None:
        import matplotlib as mpl
        from IPython.display import Image, display
        from matplotlib.figure import Figure

        use_style()
        figure = Figure(figsize=(9.2, 3.5))
        plot_history(self._history, self._best_epoch, figure.subplots(1, 2))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        picture = Image(buffer.getvalue(), format="png", width=round(9.2 * mpl.rcParams["figure.dpi"]))
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._stale = False


def live_curve(every: float = 0.5) -> LiveCurve:
    """A LiveCurve that redraws at most every `every` seconds. Explained in notebook 02."""
    return LiveCurve(every)


# --- files ----------------------------------------------------------------------------------------------------------


def save_figure(ax_or_figure, folder: Path | str, name: str) -> list[Path]:
    """Write a figure as name.png (150 dpi) and name.svg, whole or not at all; the same figure gives the same bytes.

    ax_or_figure: a Figure, an Axes or an array of Axes. A figure of photographs is written as PNG alone: as SVG it
    takes seconds and megabytes, and is no sharper. Returns the paths. Raises MmlabError for a name with a path
    separator.
    """
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if not name or Path(name).name != name:
        raise MmlabError(f"{name!r} is not a file name: leave out folders and suffix.")
    target = ax_or_figure
    while not isinstance(target, Figure):
        target = target.figure if isinstance(target, Axes) else np.ravel(target)[0]
    paths = []
    formats = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    if any(image.get_array().ndim == 3 for axes in target.axes for image in axes.images):
        del formats["svg"]
    engine = target.get_layout_engine()
    try:
        for suffix, metadata in formats.items():
            buffer = io.BytesIO()
            with mpl.rc_context({"svg.hashsalt": "mmlab"}):
                target.savefig(buffer, format=suffix, metadata=metadata, dpi=150)
            paths.append(write_atomic(Path(folder) / f"{name}.{suffix}", buffer.getvalue()))
            target.set_layout_engine("none")  # laid out once: that takes half of the time of a saving
    finally:
        target.set_layout_engine(engine)
    return paths


# --- helpers --------------------------------------------------------------------------------------------------------


def _new_figure(size: tuple[float, float]) -> Figure:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size)


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    use_style()
    return _new_figure(size).subplots()


def _show_value(value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _spread(column: pd.Series) -> np.ndarray:
    """Heights from 0 to 1 in proportion to the values; 0.5 if all are equal."""
    values = column.to_numpy()
    low, high = values.min(), values.max()
    return np.full(len(values), 0.5) if low == high else (values - low) / (high - low)


def _percent() -> PercentFormatter:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1, decimals=0)


def _label_counts(frame: pd.DataFrame) -> np.ndarray:
    return frame[LABEL].value_counts().reindex(LABELS, fill_value=0).to_numpy()


def _look(name: str, number: int = 0) -> tuple[str, str]:
    """Colour and marker of a scenario or label; anything else is dark grey with a marker of its own."""
    return COLOURS.get(name, OTHER), MARKERS.get(name, "o^sDvP*X"[number % 8])


def _times(interval, factor: float):
    return type(interval)(interval.value * factor, interval.low * factor, interval.high * factor)


def _labelled_bars(ax: Axes, names: list[str], values: np.ndarray, words: list[str]) -> None:
    bars = ax.barh(range(len(names)), values, height=0.62, color=COLOURS["positive"])
    ax.bar_label(bars, words, padding=4, fontsize=9)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlim(0, max(float(np.max(values)) * 1.22, 1e-9))
    ax.grid(axis="y", visible=False)


def _forest(ax: Axes, intervals: Mapping, spec: str, marked=(), hollow: Sequence[str] = ()) -> None:
    """Dots with intervals from top to bottom, each with its numbers in a column at the right; `marked` stay in view."""
    for number, (name, interval) in enumerate(intervals.items()):
        colour, marker = _look(name)
        if not math.isnan(interval.low):
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
    ax.tick_params(axis="y", length=0)


def _readable_on(picture, value: float) -> str:
    """Black or white, whichever stands out more from the colour that a value has in a picture."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in picture.cmap(picture.norm(value))[:3]
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"  # equal contrast at 0.179


def _split_history(history: pd.DataFrame, best_epoch) -> list[tuple[pd.DataFrame, int | None]]:
    """The history of each trained model, with its best epoch."""
    keys = [name for name in (FOLD, "seed") if name in history.columns]
    parts = list(history.groupby(keys, sort=False)) if keys else [((), history)]
    if isinstance(best_epoch, pd.DataFrame):
        rows = best_epoch[keys].itertuples(index=False, name=None)
        kept = dict(zip(rows, best_epoch["best_epoch"], strict=True))
        best = [kept[key] for key, _ in parts if key in kept]
    elif best_epoch is None or np.ndim(best_epoch) == 0:
        best = [best_epoch] * len(parts)
    else:
        best = list(best_epoch)
    if len(best) != len(parts):
        raise MmlabError(f"{len(best)} best epochs do not fit the history of {len(parts)} models.")
    for epoch, (_, part) in zip(best, parts, strict=True):
        if epoch is not None and not (part["epoch"] == epoch).any():
            raise MmlabError(f"Epoch {epoch} is not in the history: it holds {list(part['epoch'])}.")
    return [(part.sort_values("epoch"), epoch) for (_, part), epoch in zip(parts, best, strict=True)]


def _draw_curves(ax: Axes, models, columns: dict[str, str], marked: str, legend: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    single = len(models) == 1
    for column, split in columns.items():
        look = {"color": COLOURS[split], "linestyle": LINES[split]}
        for part, _ in models:
            if single:
                dots = MARKERS[split] if len(part) <= 12 else None
                ax.plot(part["epoch"], part[column], **look, marker=dots, markersize=4, label=split)
            else:
                ax.plot(part["epoch"], part[column], **look, alpha=0.35, linewidth=0.9)
        if not single:
            # Only while all train: the mean of the few that go on longer would jump as the others stop.
            both = pd.concat([part for part, _ in models]).groupby("epoch")[column]
            mean = both.mean()[both.size() == len(models)]
            ax.plot(mean.index, mean, **look, linewidth=2.4, label=f"{split}, mean")
    points = [(epoch, part.loc[part["epoch"] == epoch, marked].iloc[0]) for part, epoch in models if epoch is not None]
    if points:
        name = f"best epoch: {points[0][0]}" if single else "best epochs"
        ax.plot(*zip(*points, strict=True), "*", color=INK, markersize=13 if single else 9, markeredgecolor="white",
                label=name, zorder=5)  # fmt: skip
        if single:
            ax.axvline(points[0][0], color=INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        ax.legend()


@cache
def _drawable() -> frozenset[int]:
    """Code points that one of the fonts in use can draw; for the others matplotlib would warn and draw boxes."""
    from matplotlib import font_manager

    known: set[int] = set()
    for name in _fonts():
        known |= set(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(known)


def _columns(text: str) -> int:
    return sum(2 if c == "□" or unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code, asked without importing IPython where nobody has."""
    import sys

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
