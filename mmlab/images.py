"""One way to open an image: a closed list of formats, and pixels in one form.

Pillow knows formats that start a program (Ghostscript for EPS). A data file must never do that: only FORMATS are tried.
"""

import base64
import io
from typing import Any

import numpy as np

# What stands for a picture: its file, that file's bytes, a Pillow image, or pixels, uint8 (height, width, 3).
Picture = Any
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def open_image(source: Picture):
    """A Pillow image, to use as a context manager. Raises OSError for a file that is of none of FORMATS."""
    from PIL import Image

    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    if isinstance(source, Image.Image):
        return source.copy()  # closing it leaves the caller's open
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def read_rgb(source: Picture):
    """All pixels of a picture as a Pillow image in RGB. Raises OSError as `open_image` does."""
    with open_image(source) as image:
        return image.convert("RGB")


def read_pixels(source: Picture, size: tuple[int, int], interpolation: str = "bicubic") -> np.ndarray:
    """A whole picture squashed to (height, width): uint8 (height, width, 3). Raises OSError as `open_image` does.

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


def make_thumbnail(source: Picture, longest: int) -> str:
    """A picture as a small JPEG, for the `src` of an HTML `img`: at most `longest` pixels wide and high.

    Raises OSError as `open_image` does.
    """
    buffer = io.BytesIO()
    with open_image(source) as image:
        image.draft("RGB", (2 * longest, 2 * longest))
        small = image.convert("RGB")
        small.thumbnail((longest, longest))
        small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
