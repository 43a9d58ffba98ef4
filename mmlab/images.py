"""One way to open an image: a closed list of formats, and pixels in one form.

Pillow knows formats that start a program (Ghostscript for EPS). A data file must never do that: only FORMATS are tried.
"""

from pathlib import Path
from typing import BinaryIO

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def open_image(source: Path | str | BinaryIO):
    """A Pillow image of one of FORMATS, to use as a context manager. Raises OSError for a file that is none."""
    from PIL import Image

    return Image.open(source, formats=FORMATS)


def read_rgb(source: Path | str | BinaryIO):
    """All pixels of an image file as a Pillow image in RGB. Raises OSError as `open_image` does."""
    with open_image(source) as image:
        return image.convert("RGB")
