"""Properties of pictures: each mode of each lossless format becomes the pixels that a person sees, in 8-bit RGB."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from strategies import assert_caught

from mmlab.course.twins import look_at_image
from mmlab.images import CONVERSIONS, ORIENTATION, list_conversions, open_image, read_pixels, read_rgb

# The modes that each format keeps without a loss.
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "BMP": ("1", "L", "P", "RGB"),
}
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what each value of the EXIF tag asks for
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture as it is saved. values: (height, width) or (height, width, channels) of the mode."""

    format: str
    mode: str
    values: np.ndarray
    turn: int
    key: int | None  # the value that is transparent, in a PNG of one channel

    def save(self) -> bytes:
        if self.mode == "P":
            image = Image.fromarray(self.values, "P")
            image.putpalette(PALETTE.tobytes())
        else:
            image = Image.fromarray(self.values, self.mode if self.mode in ("LA", "CMYK") else None)
        options = {} if self.key is None else {"transparency": self.key}
        if self.turn != 1:
            exif = Image.Exif()
            exif[ORIENTATION] = self.turn
            options["exif"] = exif.tobytes()
        buffer = io.BytesIO()
        image.save(buffer, self.format, **options)
        return buffer.getvalue()

    def seen(self) -> np.ndarray:
        """The pixels that a person sees, float64 (height, width, 3)."""
        values = self.values.astype(np.float64)
        if self.mode == "1":
            values = values * 255
        elif self.mode == "P":
            values = PALETTE[self.values].astype(np.float64)
        elif self.mode in ("I;16", "I"):
            values = values / 257
        elif self.mode == "F":
            values = values.clip(0) * (255 / max(values.max(), 1e-12))
        elif self.mode == "CMYK":
            values = (255 - values[..., :3]) * (255 - values[..., 3:]) / 255
        if self.mode in ("LA", "RGBA"):
            share = values[..., -1:] / 255
            values = values[..., :-1] * share + 255 * (1 - share)
        if values.ndim == 2:
            values = values[..., None]
        if self.key is not None:
            values = np.where((self.values == self.key)[..., None], 255, values)
        return TURNS[self.turn](np.broadcast_to(values, (*values.shape[:2], 3)))


PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


@st.composite
def drawings(draw, formats=tuple(MODES)) -> Drawing:
    kind = draw(st.sampled_from(formats))
    mode = draw(st.sampled_from(MODES[kind]))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    dtype, top = {"1": (bool, None), "I;16": (np.uint16, 65535), "I": (np.int32, 65535)}.get(mode, (np.uint8, 255))
    if mode == "F":
        values = draw(arrays(np.float32, shape, elements=st.floats(-4, 1000, width=32)))
    elif mode in CHANNELS:
        values = draw(arrays(dtype, (*shape, CHANNELS[mode]), elements=st.integers(0, 255)))
    else:
        values = draw(arrays(dtype, shape, elements=st.booleans() if mode == "1" else st.integers(0, top)))
    turn = draw(st.integers(1, 8)) if kind != "BMP" else 1
    keyed = kind == "PNG" and mode in ("L", "I;16", "P") and draw(st.booleans())
    return Drawing(kind, mode, values, turn, int(values[0, 0]) if keyed else None)


def shows_what_is_seen(drawn: Drawing, read: Callable = read_rgb) -> None:
    image = read(drawn.save())
    assert image.mode == "RGB"
    pixels, seen = np.asarray(image), drawn.seen()
    assert pixels.dtype == np.uint8 and pixels.shape == seen.shape
    assert np.abs(pixels - seen).max() <= 1.01  # of 255: rounding, once for the mode and once for transparency


DEEP = np.array([[0, 20000], [40000, 65535], [7, 20001]], np.uint16)


@given(drawings())
@example(Drawing("PNG", "I;16", DEEP, 6, None))  # it was not turned
@example(Drawing("PNG", "I;16", DEEP, 1, 20000))  # what is transparent stayed grey
def test_each_mode_of_each_lossless_format_becomes_the_pixels_that_are_seen(drawn):
    shows_what_is_seen(drawn)


def test_twin_pillow_alone_is_caught():
    assert_caught(partial(shows_what_is_seen, read=lambda raw: Image.open(io.BytesIO(raw)).convert("RGB")), drawings())


@given(drawings())
def test_what_has_to_be_done_to_a_picture_is_named(drawn):
    raw = drawn.save()
    with open_image(raw) as image:
        named = list_conversions(image)
    deep, clear = drawn.mode in ("I;16", "I", "F"), drawn.mode in ("LA", "RGBA") or drawn.key is not None
    wanted = dict(zip(CONVERSIONS, (drawn.turn != 1, False, deep, clear, drawn.mode == "CMYK"), strict=True))
    assert named == [name for name, needed in wanted.items() if needed]
    facts = look_at_image(raw, bytes(32))
    assert (facts["width"], facts["height"]) == drawn.seen().shape[1::-1]


@given(drawings(), st.integers(1, 12), st.integers(1, 12))
def test_a_picture_is_squashed_to_any_size(drawn, height, width):
    pixels = read_pixels(drawn.save(), (height, width))
    assert pixels.dtype == np.uint8 and pixels.shape == (height, width, 3)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_pixels_images_and_files_are_the_same_picture(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    for source in (pixels, Image.fromarray(pixels), buffer.getvalue(), io.BytesIO(buffer.getvalue())):
        assert (np.asarray(read_rgb(source)) == pixels).all()


@given(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, 300.0]), min_size=1, max_size=6))
@example([np.nan, 0.0, 1.0])
def test_numbers_that_are_none_make_no_picture_fail(values):
    buffer = io.BytesIO()
    Image.fromarray(np.array([values], np.float32)).save(buffer, "TIFF")
    with np.errstate(all="raise"):
        pixels = np.asarray(read_rgb(buffer.getvalue()))
    assert pixels.shape == (1, len(values), 3)
    brightest = [value for value in values if np.isfinite(value)]
    assert not brightest or max(brightest) <= 0 or pixels[0, values.index(max(brightest))].min() == 255


@given(st.binary(max_size=80), drawings(("PNG",)), st.integers(0, 200))
def test_a_picture_that_is_cut_is_refused_unless_all_its_pixels_are_there(noise, drawn, place):
    raw = drawn.save()
    for broken in (noise, raw[: place % len(raw)]):
        try:
            facts = look_at_image(broken, bytes(32))
        except (OSError, SyntaxError, ValueError):
            continue
        assert facts == look_at_image(raw, bytes(32)), "only its last mark is missing"
