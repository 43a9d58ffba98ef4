"""What an encoder sees of a picture is what a person sees: each kind of file with its expected pixels."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from mmlab import images
from mmlab.course.twins import look_at_image, read_conversions
from mmlab.images import list_conversions, open_image, read_pixels, read_rgb, room_for

RED, BLUE, GREY, WHITE = (200, 30, 40), (20, 40, 210), (128, 128, 128), (255, 255, 255)


def halves(left, right, mode="RGB", size=(16, 16)) -> Image.Image:
    """Two colours side by side: what is turned, and which way, can be seen."""
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def save(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    return save(halves(RED, BLUE), "PNG", exif=exif)


def sixteen_bits() -> bytes:
    return save(Image.fromarray(np.repeat(np.array([[0, 128 * 257]], np.uint16), 8, axis=1).repeat(16, axis=0)), "PNG")


def drawing(format: str, **options) -> bytes:
    """A black left half on transparent black, as drawing programs save it."""
    return save(halves((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"), format, **options)


CASES = {
    "plain": (save(halves(RED, BLUE), "PNG"), [], RED, BLUE),
    "bmp": (save(halves(RED, BLUE), "BMP"), [], RED, BLUE),
    "grey": (save(halves(0, 128, "L"), "PNG"), [], (0, 0, 0), GREY),
    "bits": (save(halves(0, 1, "1"), "PNG"), [], (0, 0, 0), WHITE),
    "palette": (save(halves(RED, BLUE).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), [], RED, BLUE),
    "mirrored": (turned(2), ["turned"], BLUE, RED),
    "upside down": (turned(3), ["turned"], BLUE, RED),
    "upright": (turned(1), [], RED, BLUE),
    "16 bits": (sixteen_bits(), ["16 bits made 8"], (0, 0, 0), GREY),
    "drawing": (drawing("PNG"), ["transparency on white"], (0, 0, 0), WHITE),
    "webp drawing": (drawing("WEBP", lossless=True), ["transparency on white"], (0, 0, 0), WHITE),
    "tiff drawing": (drawing("TIFF"), ["transparency on white"], (0, 0, 0), WHITE),
    "one clear colour": (
        save(halves(0, 128, "L"), "PNG", transparency=128), ["transparency on white"], (0, 0, 0), WHITE
    ),
    "animation": (
        save(halves(RED, BLUE), "GIF", save_all=True, append_images=[halves(BLUE, RED)]),
        ["first frame of several"], RED, BLUE,
    ),
    "print": (save(halves((0, 0, 0, 0), (0, 0, 0, 255), "CMYK"), "JPEG", quality=95), ["CMYK"], WHITE, (0, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_kind_has_the_pixels_that_a_person_sees(name):
    raw, conversions, left, right = CASES[name]
    with open_image(raw) as image:
        assert list_conversions(image) == conversions
    for pixels in (np.asarray(read_rgb(raw)), read_pixels(raw, (16, 16))):
        assert pixels.shape == (16, 16, 3)
        found = [pixels[8, column].astype(int) for column in (2, 13)]
        assert np.abs(np.array(found) - [left, right]).max() <= 6, found


@pytest.mark.parametrize("name", ["16 bits", "drawing", "mirrored"])
def test_twin_pillow_alone_shows_another_picture(name):
    raw, _, left, right = CASES[name]
    with Image.open(io.BytesIO(raw)) as image:
        found = np.asarray(image.convert("RGB"))[8, [2, 13]].astype(int)
    assert np.abs(found - [left, right]).max() > 60


def test_a_quarter_turn_changes_width_and_height():
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    raw = save(halves(RED, BLUE, size=(40, 20)), "JPEG", exif=exif, quality=95)
    assert read_rgb(raw).size == (20, 40)
    facts = look_at_image(raw, b"x" * 32)
    assert (facts["width"], facts["height"]) == (20, 40)
    assert read_conversions(facts) == ["turned"]


def test_print_colours_go_through_their_profile():
    """There is no free CMYK profile at hand; a damaged one must not cost the picture."""
    raw = save(halves((0, 0, 0, 0), (0, 0, 0, 255), "CMYK"), "JPEG", icc_profile=b"not a profile", quality=95)
    pixels = np.asarray(read_rgb(raw))
    assert pixels[8, 2].min() > 245 and pixels[8, 13].max() < 10


def test_a_profile_of_the_wrong_kind_is_left_aside():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = save(halves((0, 0, 0, 0), (0, 0, 0, 255), "CMYK"), "JPEG", icc_profile=profile, quality=95)
    assert np.asarray(read_rgb(raw))[8, 2].min() > 245


def test_large_pictures_wait_for_one_another(monkeypatch):
    monkeypatch.setattr(images, "DECODED_AT_ONCE", 100)
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (20, 20))
    with room_for(large):  # alone it may be larger than the room
        assert images._decoding == [400]
    with room_for(small):
        held = images._DECODING.wait_for
        waited = []
        monkeypatch.setattr(images._DECODING, "wait_for", lambda free: waited.append(free()))
        with room_for(small):
            assert waited == [False], "64 + 64 pixels are more than 100"
        monkeypatch.setattr(images._DECODING, "wait_for", held)
    assert images._decoding == []


def test_an_attack_is_refused_before_it_is_decoded():
    raw = save(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(Exception, match="pixels"):
        read_rgb(raw)
