"""A report as blocks in order. Nothing here knows what a report says, or how a page is written."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.images import Picture, read_rgb
from mmlab.storage import write_atomic

SIDE = 360  # pixels of the longer side of a gallery's picture: sharp at a third of a page's width
FULL, HALF, WIDE = 6.7, 4.4, 9.6  # inches: the text of an A4 page, a smaller figure, one laid out with more room


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 1  # 1 a section, 2 a part of one


@dataclass(frozen=True)
class Paragraph:
    """Plain words, as in every text of a block; what is between backticks is code."""

    text: str


@dataclass(frozen=True)
class Items:
    items: list[str]


@dataclass(frozen=True)
class Notice:
    """What is missing or must be read with care; it is set apart from the text."""

    text: str


@dataclass(frozen=True)
class Formula:
    latex: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Figure:
    """A figure, as Axes until it is saved and as a PNG with an SVG of the same name afterwards.

    width: inches on an A4 page. drawn: the width at which it is laid out, where that is larger: what is crowded is then
    drawn with more room and shown smaller. height: inches, where it is not to follow the width.
    """

    name: str  # of its files, after `report_`
    axes: Any  # one of its Axes, or an array of them
    caption: str
    width: float = FULL
    drawn: float | None = None
    height: float | None = None
    path: Path | None = None  # of the PNG, once it is saved

    def save(self, folder: Path) -> "Figure":
        """The figure as files, its Axes closed."""
        import matplotlib.pyplot as plt

        from mmlab import plots

        figure = np.ravel(self.axes)[0].figure
        across, down = figure.get_size_inches()
        wide = self.drawn or self.width
        figure.set_size_inches(wide, self.height or down * wide / across * 1.05)
        plots.save_figure(figure, folder, f"report_{self.name}", subfolder="")
        plt.close(figure)
        return replace(self, axes=None, path=folder / f"report_{self.name}.png")


@dataclass(frozen=True)
class Table:
    name: str  # of its files
    frame: pd.DataFrame
    caption: str


@dataclass(frozen=True)
class Example:
    """One pair of a gallery: a line above it, its picture and its text. picture: None where it is not shown.

    alt: the words for a reader who cannot see the picture. path: of the JPEG, once the gallery is saved; None where
    there is no picture, or one that cannot be read.
    """

    title: str
    text: str
    picture: Picture | None = None
    alt: str = ""
    path: Path | None = None

    def save(self, path: Path) -> "Example":
        if self.picture is None:
            return self
        buffer = io.BytesIO()
        try:
            image = read_rgb(self.picture)
        except (OSError, ValueError):  # the course's health has listed it
            return replace(self, picture=None)
        image.thumbnail((SIDE, SIDE))
        image.save(buffer, "JPEG", quality=85)
        return replace(self, picture=None, path=write_atomic(path, buffer.getvalue()))


@dataclass(frozen=True)
class Gallery:
    """Pairs with their pictures, three to a line. It is counted as a figure. nothing: the words for a missing picture.

    Its texts are texts of the page, so that they can be read aloud, searched and shown in any script.
    """

    name: str  # of its files, after `report_`
    examples: list[Example]
    caption: str
    nothing: str = ""  # nothing at all is shown for a picture that is left out on purpose

    def save(self, folder: Path) -> "Gallery":
        """The gallery with its pictures as files."""
        paths = [folder / f"report_{self.name}_{number}.jpg" for number in range(1, len(self.examples) + 1)]
        return replace(self, examples=[one.save(path) for one, path in zip(self.examples, paths, strict=True)])


Block = Heading | Paragraph | Items | Notice | Formula | Code | Figure | Gallery | Table


@dataclass
class Document:
    """A title, the lines below it, and the blocks in order. Its figures are saved."""

    title: str
    lines: list[tuple[str, str]]  # label and value: name, number, date
    blocks: list[Block]
    language: str = "en"
    words: dict[str, str] = field(default_factory=lambda: {key: key.title() for key in ("figure", "table", "contents")})
    meta: dict[str, str] = field(default_factory=dict)  # name and value of the HTML file's meta elements
