"""Pairs with their pictures, and pictures with what a model sees in them. Notebooks show these figures as JPEG."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import GUID, IMAGE, LABEL, LABELS, TEXT
from mmlab.errors import MmlabError
from mmlab.images import read_rgb
from mmlab.plots.output import show_as_jpeg
from mmlab.plots.style import COLOURS, OTHER, list_fonts, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

_ENCODED = (288, 288)  # px: what the default image encoder is given, whatever a picture's shape
_WIDE = "\U0001f7e7"  # two columns wide and in no text font; replaced by □ after wrapping


@styled
def plot_gallery(
    pairs: pd.DataFrame, n: int = 6, columns: int = 3, predicted: str | None = None, ax: Sequence[Axes] | None = None
) -> np.ndarray:
    """The first n pairs with guid, label and text; with `predicted` also what a model answered.

    pairs: columns guid, label, text and image (path; "" or missing shows an empty frame). predicted: the name of a
    column of predicted labels; a wrong answer gets a cross and a thick border. Returns an array of n Axes. Raises
    MmlabError for no pairs, or for fewer Axes than pairs. Explained in notebook 01, section 6.
    """
    rows = pairs.head(n)
    if rows.empty:
        raise MmlabError("There are no pairs to show.")
    axes = _photo_axes(len(rows), min(columns, len(rows)), (2.9, 3.75)) if ax is None else np.ravel(ax)
    if len(axes) < len(rows):
        raise MmlabError(f"{len(rows)} pairs do not fit into {len(axes)} axes.")
    for panel, row in zip(axes, rows.to_dict("records"), strict=False):
        label = row[LABEL] if isinstance(row[LABEL], str) else "no label"
        title, wrong = f"{row[GUID]} · {label}", False
        if predicted is not None:
            wrong = row[predicted] != label and label in LABELS
            mark = "✗ " if wrong else "✓ " if label in LABELS else ""
            title = f"{title}\n{mark}predicted {row[predicted]}"
        _draw_picture(panel, row[IMAGE], COLOURS.get(label, OTHER), 4 if wrong else 2)
        panel.set_title(title, fontsize=9.5, parse_math=False)
        text = row[TEXT] if isinstance(row[TEXT], str) and row[TEXT].strip() else "(no text)"
        panel.set_xlabel(wrap_text(text, 40, lines=4), fontsize=8, loc="left", parse_math=False)
    return axes[: len(rows)]


@styled
def plot_patches(picture: Image, grid: int) -> np.ndarray:
    """A picture as it was sent, and squeezed into the encoder's square with the grid of patches on it.

    grid: patches per side. Returns an array of two Axes. Explained in notebook 03, section 1.
    """
    sent, encoded = axes = _photo_axes(2, 2, (3.6, 3.6))
    sent.imshow(picture)
    sent.set_title(f"as sent, {picture.width} × {picture.height} px")
    encoded.imshow(picture.resize(_ENCODED), extent=(0, grid, grid, 0))
    encoded.set_title(f"as encoded, {grid} × {grid} patches")
    for edge in range(1, grid):
        encoded.axvline(edge, color="white", linewidth=1.5)
        encoded.axhline(edge, color="white", linewidth=1.5)
    for panel in axes:
        panel.set_axis_off()
    return axes


@styled
def plot_patch_answers(pairs: pd.DataFrame, whole: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Pictures with the likeliest label of each patch and its probability; below, the answer for the whole picture.

    pairs: columns guid, label and image, one row per picture. whole: (n, 3) probabilities; patches: (n, grid², 3),
    row by row. Returns an array of n Axes. Explained in notebook 03, section 3.2.
    """
    signs, grid = dict(zip(LABELS, "−0+", strict=True)), math.isqrt(patches.shape[1])
    axes = _photo_axes(len(pairs), len(pairs), (3.05, 3.7))
    for panel, row, answer, views in zip(axes, pairs.to_dict("records"), whole, patches, strict=True):
        panel.imshow(read_rgb(row[IMAGE]).resize(_ENCODED), extent=(0, grid, grid, 0), alpha=0.75)
        for number, view in enumerate(views):
            label, (down, across) = LABELS[view.argmax()], divmod(number, grid)
            box = {"facecolor": "white", "edgecolor": COLOURS[label], "linewidth": 2}
            words = f"{signs[label]} {view.max():.0%}"
            panel.text(across + 0.5, down + 0.5, words, ha="center", va="center", bbox=box)
        panel.set(xticks=[], yticks=[], title=f"{row[GUID]} · {row[LABEL]}")
        meaning = ", ".join(f"{sign}: {label}" for label, sign in signs.items())
        panel.set_xlabel(f"whole: {LABELS[answer.argmax()]} {answer.max():.0%}\n({meaning})")
    return axes


def wrap_text(text: str, width: int, lines: int) -> str:
    """The text broken into at most `lines` lines of `width` columns; letters no installed font has become "□".

    A Chinese or Japanese character takes two columns. A shortened text ends in "…".
    """
    from rich.cells import chop_cells
    from rich.console import Console
    from rich.text import Text

    shown = itertools.islice(_drawn(" ".join(text.split())), (width + 1) * lines + 1)  # more would not be seen
    rows = [row.plain.rstrip() for row in Text("".join(shown)).wrap(Console(), width) if row]
    if len(rows) > lines:
        rows = [*rows[: lines - 1], chop_cells(rows[lines - 1], width - 1)[0].rstrip() + "…"]
    return "\n".join(rows).replace(_WIDE, "□")


def _photo_axes(n: int, columns: int, size: tuple[float, float]) -> np.ndarray:
    """n Axes of a new figure, each `size` inches large."""
    lines = math.ceil(n / columns)
    figure = new_figure((size[0] * columns, size[1] * lines))
    figure.set_dpi(90)  # a notebook of 9 + 6 photographs stays under 700 KB
    show_as_jpeg(figure)
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
        panel.text(1, 1, "no image", ha="center", va="center", color=OTHER)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines[:].set(visible=True, color=colour, linewidth=border)


def _drawn(text: str) -> Iterable[str]:
    """The characters that take room, those without a letter in any font replaced."""
    known = _drawable()
    for one in text:
        if unicodedata.category(one) not in ("Mn", "Cf", "Cc"):
            yield one if ord(one) in known else _WIDE


@cache
def _drawable() -> frozenset[int]:
    """Code points that one of the fonts in use can draw; for the others matplotlib would warn and draw boxes."""
    from matplotlib import font_manager

    known: set[int] = set()
    for name in list_fonts():
        known |= set(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    return frozenset(known)
