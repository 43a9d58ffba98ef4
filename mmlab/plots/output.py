"""Where a figure goes: into files, and below a notebook's cell."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlab.errors import MmlabError
from mmlab.plots.style import lab_style
from mmlab.storage import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(drawn, results: Path | str, name: str, subfolder: str = "figures") -> None:
    """Write a figure as name.png (150 dpi) and name.svg into a results folder, each whole or not at all.

    drawn: a Figure, an Axes or an array of Axes. The same figure gives the same bytes. A figure of photographs is
    written as PNG alone: as SVG it takes seconds and megabytes, and is no sharper. Raises MmlabError for a name with
    a folder in it.
    """
    from matplotlib.figure import Figure

    if not name or Path(name).name != name:
        raise MmlabError(f"{name!r} is not a file name: leave out folders and suffix.")
    figure = drawn if isinstance(drawn, Figure) else np.ravel(drawn)[0].figure
    formats = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    if any(image.get_array().ndim == 3 for axes in figure.axes for image in axes.images):
        del formats["svg"]
    engine = figure.get_layout_engine()
    try:
        for suffix, metadata in formats.items():
            buffer = io.BytesIO()
            with lab_style():
                figure.savefig(buffer, format=suffix, metadata=metadata, dpi=150)
            write_atomic(Path(results) / subfolder / f"{name}.{suffix}", buffer.getvalue())
            figure.set_layout_engine("none")  # laid out once: that takes half of the time of a saving
    finally:
        figure.set_layout_engine(engine)


def show_as_jpeg(figure: Figure) -> None:
    """Let notebooks show this figure as JPEG: photographs as PNG make a saved notebook four times as large."""
    figure._ipython_display_ = functools.partial(_show_jpeg, figure)  # IPython asks an object for this method first


def _show_jpeg(figure: Figure) -> None:
    from IPython.display import Image, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=figure.dpi, bbox_inches="tight", pil_kwargs={"quality": 80})
    display(Image(buffer.getvalue(), format="jpeg"))
