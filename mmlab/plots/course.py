"""What is in a course folder: labels, texts and images, and the pairs with their pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import ENCODING, GUID, IMAGE, LABEL, LABELS, SPLIT, TEXT
from mmlab.errors import MmlabError, NothingToShow
from mmlab.images import Picture, read_rgb
from mmlab.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL, _WIDEST, _PAD = 2.9, 9.2, 0.24  # inches: a picture of a gallery, a whole gallery, what is empty in a panel
_TITLE, _CAPTION = 10.5, 10.5  # points, of which a notebook shows nine tenths
_ENCODED = (288, 288)  # px: what the default image encoder is given, whatever a picture's shape


@style.styled
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
    ax = style.axes_or_new(ax, (6.4, 3.6))
    long = shares.rename_axis(LABEL).reset_index().melt(LABEL, var_name=SPLIT, value_name="share")
    sns.barplot(long, x=LABEL, y="share", hue=SPLIT, errorbar=None, gap=0.06, legend=False, ax=ax)
    for number, (name, bars) in enumerate(zip(counts, ax.containers, strict=True)):
        for bar, label in zip(bars, LABELS, strict=True):
            # A split differs from its neighbour by hatch, a label from its neighbour by place and name.
            bar.set(facecolor=style.COLOURS[label], hatch=style.HATCH if number else "", edgecolor="white", linewidth=0)
        words = [f"{name}\n{n}" if len(counts.columns) > 1 else f"{n}" for n in counts[name]]
        ax.bar_label(bars, words, padding=2, fontsize=8.5)
    ax.set(xlabel="label", ylim=(0, 1.18 * shares.max(axis=None)))
    ax.set_ylabel(f"share of the split's pairs\n({', '.join(f'{name} n = {n}' for name, n in counts.sum().items())})")
    ax.yaxis.set_major_formatter(style.IN_PERCENT)
    return ax


@style.styled
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
    ax = style.axes_or_new(ax, (6.8, 3.6))
    for label, of_label in lengths.groupby(rows[LABEL]):
        median, look = of_label.median(), {"color": style.COLOURS[label], "linestyle": style.LINES[label]}
        sns.histplot(x=of_label, bins=bins + 1, binrange=(0, end), stat="proportion", element="step", fill=False, ax=ax,
                     **look)  # fmt: skip
        edges, shares = ax.lines[-1].get_data()
        height = shares[np.searchsorted(edges, median, side="right") - 1]
        ax.plot(median, height, style.MARKERS[label], color=style.COLOURS[label], markersize=8, markeredgecolor="white")
        # One legend entry that shows both the line and the marker.
        name = f"{label} (n = {len(of_label)}, median {median:.0f})"
        ax.plot([], [], **look, marker=style.MARKERS[label], label=name)
    ax.legend(title="label (marker: median)", alignment="left")
    ax.set(xlabel=f"length of the text in characters (n = {len(rows)} texts)", ylabel="share of the label's texts")
    ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
    ax.yaxis.set_major_formatter(style.IN_PERCENT)
    return ax


@style.styled
def plot_encodings(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many texts are written in each charset.

    pairs: a column encoding, empty for a missing text. Explained in notebook 01, section 3.
    """
    counts = pairs[ENCODING].value_counts(ascending=True).drop("", errors="ignore")
    if counts.empty:
        raise NothingToShow("No pair has a text: there is no charset to count.")
    ax = style.axes_or_new(ax, (6.4, 0.9 + 0.5 * len(counts)))
    style.draw_bars(ax, counts.to_dict(), [f"{n} ({n / counts.sum():.1%})" for n in counts])
    ax.set(xlabel=f"texts (n = {counts.sum()})", ylabel="encoding")
    return ax


@style.styled
def plot_image_sizes(pairs: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Width against height of the images; a larger dot means more images of that size.

    pairs: columns width and height in px, 0 or nan without an image. Explained in notebook 01, section 2.3.
    """
    sizes = pairs.loc[(pairs["width"] > 0) & (pairs["height"] > 0), ["width", "height"]]
    if sizes.empty:
        raise NothingToShow("No pair has an image: there is no size to show.")
    counts = sizes.value_counts().rename("n").reset_index()
    top, reach = counts.iloc[0], float(sizes.to_numpy().max()) * 1.12
    ax = style.axes_or_new(ax, (5.4, 4.6))
    ax.scatter("width", "height", s=12 + 500 * counts["n"] / top["n"], data=counts, color=style.COLOURS["positive"],
               alpha=0.35, edgecolors=style.COLOURS["positive"], linewidths=0.6)  # fmt: skip
    ax.plot([0, reach], [0, reach], color=style.OTHER, linewidth=0.8, linestyle=":", zorder=0)
    ax.text(reach * 0.97, reach * 0.84, "square", fontsize=8.5, color=style.OTHER, ha="right", va="top")
    ax.set_title(f"most common: {top['width']:.0f} × {top['height']:.0f} px, {top['n']:.0f} images", fontsize=9.5)
    ax.set(xlabel=f"width in px (n = {len(sizes)} images; dot area: images of that size)", ylabel="height in px")
    ax.set(xlim=(0, reach), ylim=(0, reach), aspect="equal")
    return ax


@style.styled
def plot_gallery(
    pairs: pd.DataFrame, n: int = 6, columns: int = 3, predicted: str | None = None, ax: Sequence[Axes] | None = None
) -> np.ndarray:
    """Pairs as pictures, with guid and label above and the text below; a model's answer gets a tick or a cross.

    pairs: columns guid, label, text and image (path; "" or missing shows an empty frame); the first n are shown.
    predicted: the name of a column of predicted labels; a wrong answer gets a cross and a thick border. ax: one Axes
    per pair. Returns an array of n Axes, or one Axes that says that there are no pairs. Explained in notebook 01,
    section 6.
    """
    rows = pairs.head(n)
    if rows.empty:
        raise NothingToShow("There are no pairs to show.")
    columns, records = min(columns, len(rows)), rows.to_dict("records")
    width = min(_PANEL, _WIDEST / columns) if ax is None else _width_of(np.ravel(ax)[0])
    titles = [_name_pair(row, predicted, width - _PAD) for row in records]
    captions = [_caption(row[TEXT], width - _PAD) for row in records]
    if ax is None:
        down = _row_heights(titles, captions, columns, width)
        axes = _photo_axes(len(rows), columns, (width, sum(down) / len(down)))
    else:
        axes = np.ravel(ax)
    for panel, row, title, caption in zip(axes, records, titles, captions, strict=True):
        wrong = predicted is not None and row[LABEL] in LABELS and row[predicted] != row[LABEL]
        _draw_picture(panel, row[IMAGE], style.COLOURS.get(row[LABEL], style.OTHER), 4 if wrong else 2)
        panel.set_title(title, fontsize=_TITLE)
        panel.set_xlabel(caption, fontsize=_CAPTION, loc="left")
        style.quote(panel.xaxis.label)
    return axes


def _name_pair(row: Mapping[str, object], predicted: str | None, inches: float) -> str:
    """Guid and label and, on a line of its own, what a model answered and whether that is right."""
    label = row[LABEL] if isinstance(row[LABEL], str) else "no label"
    name = style.fit_text(f"{row[GUID]} · {label}", inches, 3, _TITLE, "bold")
    if name.endswith("…"):  # the label is worth more than the end of a long guid
        name = f"{style.fit_text(row[GUID], inches, 2, _TITLE, 'bold')}\n{label}"
    if predicted is not None:
        mark = "" if label not in LABELS else "✓ " if row[predicted] == label else "✗ "
        name = f"{name}\n{mark}predicted {row[predicted]}"
    return name


def _caption(text: object, inches: float) -> str:
    given = isinstance(text, str) and text.strip()
    return style.fit_text(text if given else "(no text)", inches, 5, _CAPTION)


def _width_of(panel: Axes) -> float:
    return panel.get_window_extent().width / panel.figure.dpi


def _row_heights(titles: Sequence[str], captions: Sequence[str], columns: int, width: float) -> list[float]:
    """Inches of each row of a gallery: a square picture, and the room of the longest title and caption."""
    heights = []
    for first in range(0, len(titles), columns):
        title, caption = (
            max(words.count("\n") + 1 for words in part[first : first + columns]) for part in (titles, captions)
        )
        heights.append(width + (1.2 * (title * _TITLE + caption * _CAPTION) + 24) / 72)
    return heights


@style.styled
def plot_patches(image: Picture, grid: int) -> np.ndarray:
    """A picture as it was sent, and squeezed into the encoder's square with the grid of patches on it.

    image: what `read_rgb` takes, or "" where there is none. grid: patches per side. Returns an array of two Axes.
    Explained in notebook 03, section 1.
    """
    if isinstance(image, str) and not image:
        raise NothingToShow("This pair has no image: there are no patches to show.")
    picture = read_rgb(image)
    sent, encoded = axes = _photo_axes(2, 2, (3.6, 3.6))
    sent.imshow(picture)
    sent.set_title(f"as sent, {picture.width} × {picture.height} px")
    encoded.imshow(picture.resize(_ENCODED), extent=(0, grid, grid, 0))
    encoded.set_title(f"as encoded, {grid} × {grid} patches")
    for edge in range(1, grid):
        encoded.axvline(edge, color="white", linewidth=1.5)
        encoded.axhline(edge, color="white", linewidth=1.5)
    sent.set_axis_off()
    encoded.set_axis_off()
    return axes


@style.styled
def plot_patch_answers(pairs: pd.DataFrame, whole: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Pictures with the likeliest label of each patch and its probability; below, the answer for the whole picture.

    pairs: columns guid, label and image, one row per picture. whole: (n, 3) probabilities; patches: (n, grid², 3),
    row by row. A pair without an image is left out. Returns an Axes for each of the others. Explained in notebook 03,
    section 3.2.
    """
    there = (pairs[IMAGE] != "").to_numpy()
    if not there.any():
        raise NothingToShow("There is no picture to show: no pair of these has an image, or none was answered right.")
    pairs, whole, patches = pairs[there], whole[there], patches[there]
    signs, grid = dict(zip(LABELS, "−0+", strict=True)), math.isqrt(patches.shape[1])
    axes = _photo_axes(len(pairs), len(pairs), (3.05, 3.7))
    for panel, row, answer, views in zip(axes, pairs.to_dict("records"), whole, patches, strict=True):
        panel.imshow(read_rgb(row[IMAGE]).resize(_ENCODED), extent=(0, grid, grid, 0), alpha=0.75)
        for number, view in enumerate(views):
            label, (down, across) = LABELS[view.argmax()], divmod(number, grid)
            box = {"facecolor": "white", "edgecolor": style.COLOURS[label], "linewidth": 2}
            words = f"{signs[label]} {view.max():.0%}"
            panel.text(across + 0.5, down + 0.5, words, ha="center", va="center", bbox=box)
        panel.set(xticks=[], yticks=[], title=f"{row[GUID]} · {row[LABEL]}")
        meaning = ", ".join(f"{sign}: {label}" for label, sign in signs.items())
        panel.set_xlabel(f"whole: {LABELS[answer.argmax()]} {answer.max():.0%}\n({meaning})")
    return axes


def _photo_axes(n: int, columns: int, size: tuple[float, float]) -> np.ndarray:
    """n Axes of a new figure, each `size` inches large."""
    lines = math.ceil(n / columns)
    figure = style.new_figure((size[0] * columns, size[1] * lines))
    figure.set_dpi(90)  # a notebook of 9 + 6 photographs stays under 700 KB
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for empty in axes[n:]:
        empty.set_axis_off()
    return axes[:n]


def _draw_picture(panel: Axes, image, colour: str, border: float) -> None:
    from PIL import ImageOps

    try:
        picture = ImageOps.pad(read_rgb(image), (256, 256), color="#F2F2F2")  # equal panels line up
        panel.imshow(np.asarray(picture))
    except (OSError, ValueError, AttributeError):  # missing or unreadable: the course's health has listed it
        panel.imshow(np.full((3, 3, 3), 242, dtype=np.uint8))
        panel.text(1, 1, "no image", ha="center", va="center", color=style.OTHER)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[:].set(visible=True, color=colour, linewidth=border)
