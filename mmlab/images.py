"""One way to open an image: a closed list of formats, and pixels in one form.

Pillow knows formats that start a program (Ghostscript for EPS). A data file must never do that: only FORMATS are tried.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def open_image(source: Path | str | BinaryIO):
    """A Pillow image of one of FORMATS, to use as a context manager. Raises OSError for a file that is none."""
    from PIL import Image

    return Image.open(source, formats=FORMATS)


def read_rgb(source: Path | str | BinaryIO):
    """All pixels of an image file as a Pillow image in RGB. Raises OSError as `open_image` does."""
    with open_image(source) as image:
        return image.convert("RGB")


def read_pixels(source: Path | str, size: tuple[int, int], interpolation: str = "bicubic") -> np.ndarray:
    """A whole image file squashed to (height, width): uint8 (height, width, 3). Raises OSError as `open_image` does.

    A JPEG that is more than twice as large is decoded at a half, a quarter or an eighth of its size. torchvision
    resizes; within rounding it gives what Pillow does, in a third of the time.
    """
    import torch
    from torchvision.transforms.v2 import functional

    height, width = size
    with open_image(source) as image:
        image.draft("RGB", (2 * width, 2 * height))  # other formats ignore it
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    mode = functional.InterpolationMode(interpolation)
    return functional.resize(pixels, [height, width], interpolation=mode, antialias=True).permute(1, 2, 0).numpy()
