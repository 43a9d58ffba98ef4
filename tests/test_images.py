"""Only a closed list of image formats is opened, and no image file starts a program."""

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlab.course import read_course
from mmlab.images import FORMATS, open_image, read_pixels, read_rgb

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program called gs, first on the path, that leaves a file when it is started."""
    from PIL import EpsImagePlugin

    started, folder = tmp_path / "started", tmp_path / "bin"
    folder.mkdir()
    program = folder / "gs"
    program.write_text(f"#!/bin/sh\necho started > '{started}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # Pillow looks for it once
    return started


def test_an_eps_file_named_jpg_starts_no_program(tmp_path, ghostscript):
    eps = tmp_path / "drawing.jpg"
    eps.write_bytes(EPS)
    with pytest.raises(OSError, match="cannot identify"):
        read_rgb(eps)
    assert not ghostscript.exists()


def test_twin_pillow_alone_starts_it(tmp_path, ghostscript):
    eps = tmp_path / "drawing.jpg"
    eps.write_bytes(EPS)
    with pytest.raises((OSError, subprocess.CalledProcessError)), Image.open(eps) as image:
        image.load()
    assert ghostscript.exists()


def test_a_course_with_an_eps_file_lists_it_and_starts_nothing(tmp_path, ghostscript):
    rows = []
    (tmp_path / "data").mkdir()
    for number in range(12):
        guid, label = f"p{number}", ("negative", "neutral", "positive")[number % 3]
        rows.append(f"{guid},{label}")
        (tmp_path / "data" / f"{guid}.txt").write_text(f"a text of its own, number {number}")
        colour = (20 * number, 90, 255 - 20 * number)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "data" / f"{guid}.jpg")
    (tmp_path / "data" / "p11.jpg").write_bytes(EPS)
    (tmp_path / "train.txt").write_text("guid,tag\n" + "\n".join(rows) + "\n")
    (tmp_path / "test_without_label.txt").write_text("guid,tag\n")
    course = read_course(tmp_path, dev_share=0.4)
    assert [issue.guid for issue in course.health.issues] == ["p11"]
    assert not ghostscript.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_of_the_list_opens(name):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 30)).save(buffer, name)
    buffer.seek(0)
    with open_image(buffer) as image:
        assert (image.format, image.size) == (name, (8, 6))


def test_no_other_module_opens_an_image_by_itself():
    root = Path(__file__).resolve().parents[1]
    files = [*root.glob("mmlab/**/*.py"), *root.glob("notebooks/*.ipynb")]
    opening = [file.name for file in files if re.search(r"\bImage\.open\(", file.read_text(encoding="utf-8"))]
    assert opening == ["images.py"]


# --------------------------------------------------------------------------------------- pixels for an encoder

SIDE = 288


def timm_pixels(path, draft: int = 0):
    """What timm's own transform makes of an image, before its mean and deviation: int64 (height, width, 3).

    draft: decode a JPEG at a fraction of its size, but at no fewer pixels than this.
    """
    import timm

    settings = {"input_size": (3, SIDE, SIDE), "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bicubic"}
    transform = timm.data.create_transform(**settings, mean=(0, 0, 0), std=(1, 1, 1), is_training=False)
    with Image.open(path) as image:
        if draft:
            image.draft("RGB", (draft, draft))
        return (transform(image.convert("RGB")) * 255).round().permute(1, 2, 0).numpy().astype(int)


@pytest.fixture(scope="module")
def pictures(demo_folder, tmp_path_factory):
    """Drawings as they are in a course, and a photograph as a camera makes it."""
    from sklearn.datasets import load_sample_image

    large = tmp_path_factory.mktemp("large") / "large.jpg"
    Image.fromarray(load_sample_image("china.jpg")).resize((2560, 1708), Image.Resampling.LANCZOS).save(
        large, quality=92
    )
    return [*sorted((demo_folder / "data").glob("*.jpg"))[:20], large]


def test_pixels_stay_within_a_level_of_those_of_timm(pictures):
    for path in pictures:
        pixels = read_pixels(path, (SIDE, SIDE))
        assert pixels.shape == (SIDE, SIDE, 3) and pixels.dtype == np.uint8
        assert np.abs(pixels - timm_pixels(path)).mean() < 1, path


def test_twin_a_jpeg_decoded_at_too_small_a_size_is_further_off(pictures):
    large = pictures[-1]
    assert np.abs(timm_pixels(large, draft=SIDE // 2) - timm_pixels(large)).mean() > 1


MODES = ("bicubic", "bilinear", "nearest")
SIZES = [(288, 288), (224, 224), (8, 16), (1, 1), (333, 77)]


def torchvision_pixels(pixels, size, interpolation: str, **options):
    import torch
    from torchvision.transforms.v2 import InterpolationMode, functional

    image = torch.from_numpy(pixels).permute(2, 0, 1)
    resized = functional.resize(image, list(size), InterpolationMode(interpolation), **options)
    return resized.permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def sources(pictures):
    """Pixels of pictures, and noise of odd shapes: one pixel, a line, some as large as one of SIZES."""
    noise = np.random.default_rng(0)
    shapes = [(1, 1), (1, 9), (7, 3), (288, 288), (100, 288), (333, 77), (31, 1000)]
    return [np.array(read_rgb(path)) for path in pictures[:8]] + [
        noise.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes
    ]


@pytest.mark.parametrize("interpolation", MODES)
def test_a_picture_is_resized_to_the_bit_as_torchvision_does_it(sources, interpolation):
    for pixels in sources:
        for size in SIZES:
            found = read_pixels(pixels, size, interpolation)
            assert found.dtype == np.uint8 and found.shape == (*size, 3)
            assert np.array_equal(found, torchvision_pixels(pixels, size, interpolation)), (pixels.shape, size)


def test_twin_other_settings_give_other_bits(sources):
    found = read_pixels(sources[0], (288, 288))
    assert not np.array_equal(found, torchvision_pixels(sources[0], (288, 288), "bilinear"))
    assert not np.array_equal(found, torchvision_pixels(sources[0], (288, 288), "bicubic", antialias=False))


def test_height_and_width_are_not_exchanged(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "wide.png")
    assert read_pixels(tmp_path / "wide.png", (8, 16)).shape == (8, 16, 3)
    assert read_pixels(tmp_path / "wide.png", (8, 16))[0, 0].tolist() == [255, 0, 0]
