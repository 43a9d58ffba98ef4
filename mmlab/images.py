"""One way to open an image: a closed list of formats, and pixels in one form.

Pillow knows formats that start a program (Ghostscript for EPS). A data file must never do that: only FORMATS are tried.
A picture is shown to an encoder as a person sees it: turned as its camera says, transparency laid on white, and so on.
"""

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# What stands for a picture: its file, that file's bytes, a Pillow image, or pixels, uint8 (height, width, 3).
Picture = Any
# How a picture may have to be changed before an encoder sees it.
CONVERSIONS = ("turned", "first frame of several", "16 bits made 8", "transparency on white", "CMYK")
ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
LARGEST_FILE = 100 * 10**6  # bytes
LARGEST_PICTURE = 89_000_000  # pixels, 0.9 GB while it is read; a little more, and Pillow warns of an attack
DECODED_AT_ONCE = 60_000_000  # pixels of all pictures that are decoded at a time: 0.2 GB, or one larger picture alone
_BLOCK = 64 * 2**20  # bytes at a time of a large picture; smaller ones would stay with the process when it is closed
_DECODING, _decoding = threading.Condition(), []  # pixels of each
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


def open_image(source: Picture):
    """A Pillow image, to use as a context manager. Raises OSError for a file that is of none of FORMATS."""
    from PIL import Image

    Image.core.set_block_size(_BLOCK)
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    if isinstance(source, Image.Image):
        return source.copy()  # closing it leaves the caller's open
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def list_conversions(image) -> list[str]:
    """What `to_rgb` has to do to an open image besides unpacking it: some of CONVERSIONS, in their order."""
    needs = {
        "turned": image.getexif().get(ORIENTATION) in range(2, 9),
        "first frame of several": getattr(image, "is_animated", False),
        "16 bits made 8": image.mode.startswith(("I", "F")),
        "transparency on white": image.has_transparency_data,
        "CMYK": image.mode == "CMYK",
    }
    return [name for name in CONVERSIONS if needs[name]]


def to_rgb(image):
    """An open image as a person sees it, in RGB with 8 bits a channel: the first frame, turned upright.

    More than 8 bits a channel are scaled to 8, transparency lies on white, CMYK goes through its own colour profile.
    """
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)  # first: an image that is made of numbers has no tags
    if image.mode == "CMYK":
        image = _print_colours(image, image.info.get("icc_profile"))
    elif image.mode.startswith("I;16"):
        values = np.asarray(image, np.uint16)
        values = np.where(values == image.info.get("transparency"), 65535, values)
        image = Image.fromarray((values // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):  # whole numbers of 16 bits in some files; nobody knows the range of the others
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        top = 65535 if image.mode == "I" and values.max(initial=0) <= 65535 else max(values.max(initial=0), 1e-12)
        image = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _print_colours(image, profile: bytes | None):
    """A CMYK image in RGB: through its profile; without one, or with a damaged one, by the plain formula."""
    from PIL import ImageCms

    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")


@contextmanager
def room_for(image) -> Iterator[None]:
    """Hold back until the pictures that are decoded at this moment leave room for this open one.

    Raises OSError for one of more than LARGEST_PICTURE pixels.
    """
    pixels = image.size[0] * image.size[1]
    if pixels > LARGEST_PICTURE:
        raise OSError(f"the picture has {pixels / 1e6:.0f} megapixels; at most {LARGEST_PICTURE / 1e6:.0f} are read")
    with _DECODING:
        _DECODING.wait_for(lambda: not _decoding or sum(_decoding) + pixels <= DECODED_AT_ONCE)
        _decoding.append(pixels)
    try:
        yield
    finally:
        with _DECODING:
            _decoding.remove(pixels)
            _DECODING.notify_all()


def read_rgb(source: Picture):
    """All pixels of a picture as a Pillow image in RGB. Raises OSError as `open_image` does."""
    with open_image(source) as image, room_for(image):
        image.load()
        return to_rgb(image).copy()  # the pixels outlive the file


def read_pixels(source: Picture, size: tuple[int, int], interpolation: str = "bicubic") -> np.ndarray:
    """A whole picture squashed to (height, width): uint8 (height, width, 3). Raises OSError as `open_image` does.

    A JPEG that is more than twice as large is decoded at a half, a quarter or an eighth of its size. torch resizes;
    within rounding it gives what Pillow does, in a third of the time. interpolation: `bicubic`, `bilinear`, `nearest`.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = size
    with open_image(source) as image:
        image.draft(None, (2 * width, 2 * height))  # other formats ignore it
        with room_for(image):
            pixels = np.array(to_rgb(image))
            # The dimension of one picture comes first and the channels last: so torch works on the bytes as they lie.
            one = torch.from_numpy(pixels[None]).permute(0, 3, 1, 2)
            smooth = {} if interpolation.startswith("nearest") else {"align_corners": False, "antialias": True}
            return interpolate(one, (height, width), mode=interpolation, **smooth)[0].permute(1, 2, 0).numpy()


def make_thumbnail(source: Picture, longest: int) -> str:
    """A picture as a small JPEG, for the `src` of an HTML `img`: at most `longest` pixels wide and high.

    Raises OSError as `open_image` does.
    """
    buffer = io.BytesIO()
    with open_image(source) as image:
        image.draft("RGB", (2 * longest, 2 * longest))
        with room_for(image):
            small = to_rgb(image)
        small.thumbnail((longest, longest))
        small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
