"""Course folders for tests: sound ones, and the tools to spoil them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlab.config import LABELS
from mmlab.course import read_course
from mmlab.errors import CourseError

N_TRAIN, N_TEST = 45, 12
WORDS = (
    "river garden window orange silver thunder market bridge candle forest mirror pocket rocket summer tiger".split()
)


def draw_image(seed: int, size=(96, 72)) -> Image.Image:
    """A smooth picture full of detail, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sentence(seed: int) -> str:
    return " ".join(np.random.default_rng([7, seed]).permutation(WORDS)[:8])


def guid_of(number: int) -> str:
    return f"{number:03d}"


def make_folder(root: Path, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Path:
    """Pairs without twins: guids 000, 001, ...; labels in turn; train first, then test."""
    data = root / "data"
    data.mkdir(parents=True)
    for number in range(n_train + n_test):
        (data / f"{guid_of(number)}.txt").write_bytes(f"{sentence(number)}\n".encode())
        (data / f"{guid_of(number)}.jpg").write_bytes(jpeg(draw_image(number)))
    write_tables(
        root,
        [(guid_of(number), LABELS[number % 3]) for number in range(n_train)],
        [(guid_of(number), "null") for number in range(n_train, n_train + n_test)],
    )
    return root


def write_tables(root: Path, train, test) -> None:
    for name, rows in (("train.txt", train), ("test_without_label.txt", test)):
        (root / name).write_text("guid,tag\n" + "".join(f"{guid},{tag}\n" for guid, tag in rows), newline="")


def change_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().split("\n")
    lines[number - 1] = text
    path.write_text("\n".join(lines))


def refusal(root, **options) -> str:
    with pytest.raises(CourseError) as caught:
        read_course(root, **options)
    return str(caught.value)


def truncated(raw: bytes) -> bytes:
    return raw[: len(raw) * 2 // 3]
