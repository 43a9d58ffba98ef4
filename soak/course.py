"""A small good course, what damage did to it, and what is right to read from it then."""

import io
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
TRAIN, TEST = "train.txt", "test_without_label.txt"
# Small pairs of the demo, none a twin of another; two texts of the labelled and one of the others are GB18030.
LABELLED = {
    "negative": ("1364", "320", "1115", "1195", "120"),
    "neutral": ("386", "383", "1450", "1499", "751"),
    "positive": ("1194", "1293", "1095", "1142", "871"),
}
UNLABELLED = ("858", "1226", "1009", "1106", "492")
SIDE = 64  # pixels: the pictures are made small, so that a folder is read in a moment


class Taken(Exception):
    """A kind of damage wants what another one has damaged already."""


class Skip(Exception):
    """A kind of damage cannot be done on this machine."""


@dataclass
class Pair:
    """What is right to read of one pair. A fault is a pattern of the problem that is to be listed for that file."""

    guid: str
    label: str | None
    text: str
    encoding: str
    picture: np.ndarray | None  # (height, width, 3) uint8 as a person sees it; None: only its size is known
    size: tuple[int, int] | None  # width, height; None: nothing is known
    place: str  # table and line
    text_fault: str = ""
    image_fault: str = ""
    apart: float = 0.0  # levels of 255 by which the mean pixel may differ
    conversions: tuple[str, ...] = ()
    doubtful: bool = False
    files: bool = True  # False: a row without files, made by a damage
    either: bool = False  # a decoder may take the picture or refuse it

    def fault(self, suffix: str) -> str:
        return self.text_fault if suffix == ".txt" else self.image_fault


@dataclass
class Damaged:
    """A course folder, and what is right to read from it: what is drawn is drawn by `random`."""

    root: Path
    pairs: list[Pair]
    random: np.random.Generator
    orphans: set[str] = field(default_factory=set)
    refusals: list[tuple[str, ...]] = field(default_factory=list)  # patterns that one message must all hold
    twins: list[set[str]] = field(default_factory=list)
    options: dict | None = None  # of report.yml
    options_refused: tuple[str, ...] = ()
    taken: set[str] = field(default_factory=set)

    @property
    def data(self) -> Path:
        return self.root / "data"

    def take(self, *what: str) -> None:
        """Claim what only one damage may touch."""
        if not self.taken.isdisjoint(what):
            raise Taken
        self.taken.update(what)

    def victim(self, labelled: bool | None = None) -> Pair:
        """A pair that no damage has touched yet. labelled: True, False, or None for any."""
        free = [one for one in self.pairs if one.guid not in self.taken and one.files]
        free = [one for one in free if labelled is None or (one.label is not None) == labelled]
        if not free:
            raise Taken
        pair = free[int(self.random.integers(len(free)))]
        self.take(pair.guid)
        return pair

    def path(self, pair: Pair, suffix: str) -> Path:
        return self.data / f"{pair.guid}{suffix}"

    def write_text(self, raw: bytes, pair: Pair | None = None) -> Pair:
        """Bytes for the text of a pair; what they should be read as is the caller's to say."""
        pair = pair or self.victim()
        self.path(pair, ".txt").write_bytes(raw)
        return pair

    def write_image(self, raw: bytes, pair: Pair | None = None) -> Pair:
        pair = pair or self.victim()
        self.path(pair, ".jpg").write_bytes(raw)
        return pair

    def table(self, name: str = "") -> Path:
        """One of the two tables, which no other damage may touch then."""
        name = name or str(self.random.choice([TRAIN, TEST]))
        self.take(name)
        return self.root / name

    def rows_of(self, name: str) -> list[Pair]:
        return [pair for pair in self.pairs if (pair.label is not None) == (name == TRAIN)]

    def refuse(self, file: str, *patterns: str) -> None:
        """One error is right, whose text holds the name of a file, what is wrong and how to mend it."""
        self.refusals.append((re.escape(file), *patterns))

    def rename(self, pair: Pair, guid: str) -> None:
        """Another guid for a pair: in its table and for its files."""
        name = TRAIN if pair.label else TEST
        self.take(name)
        label = pair.label or "null"
        _replace(self.root / name, f"\n{pair.guid},{label}\n", f"\n{guid},{label}\n")
        for suffix in (".txt", ".jpg"):
            self.path(pair, suffix).rename(self.data / f"{guid}{suffix}")
        pair.guid = guid
        self.taken.add(guid)

    def write_row(self, pair: Pair, row: str) -> Path:
        """Another row for a pair in its table, which no other damage may touch then."""
        name = TRAIN if pair.label else TEST
        self.take(name)
        _replace(self.root / name, f"\n{pair.guid},{pair.label or 'null'}\n", f"\n{row}\n")
        return self.root / name


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode("utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} rows {old!r}"
    path.write_bytes(text.replace(old, new).encode("utf-8", "surrogatepass"))


@cache
def _good_pairs() -> tuple[dict[str, bytes], list[dict]]:
    """The files of the good course, and the fields of its pairs."""
    files, pairs = {}, []
    labels = {guid: label for number in range(5) for label, guids in LABELLED.items() for guid in guids[number:][:1]}
    for guid, label in [*labels.items(), *((guid, None) for guid in UNLABELLED)]:
        raw = (DEMO / "data" / f"{guid}.txt").read_bytes()
        try:
            text, encoding = raw.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            text, encoding = raw.decode("gb18030"), "gb18030"
        path = DEMO / "data" / f"{guid}.jpg"
        with Image.open(path) as image:
            small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        picture = to_jpeg(small)
        files |= {f"{guid}.txt": raw, f"{guid}.jpg": picture}
        pixels = decode(picture)
        pairs.append(
            {"guid": guid, "label": label, "text": text.strip(), "encoding": encoding, "picture": pixels,
             "size": pixels.shape[1::-1]}
        )  # fmt: skip
    return files, pairs


def make_course(root: Path, seed: int) -> Damaged:
    """The good course in a new folder."""
    files, fields = _good_pairs()
    (root / "data").mkdir(parents=True)
    for name, raw in files.items():
        (root / "data" / name).write_bytes(raw)
    lines, pairs = {TRAIN: ["guid,tag"], TEST: ["guid,tag"]}, []
    for one in fields:
        name = TRAIN if one["label"] else TEST
        lines[name].append(f"{one['guid']},{one['label'] or 'null'}")
        pairs.append(Pair(**one, place=f"{name} line {len(lines[name])}"))
    for name, rows in lines.items():
        (root / name).write_text("\n".join(rows) + "\n", newline="")
    return Damaged(root, pairs, np.random.default_rng(seed))


def to_jpeg(image: Image.Image, **options) -> bytes:
    return save(image, "JPEG", **{"quality": 92, **options})


def save(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decode(raw: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(raw)) as image:
        return np.asarray(image.convert("RGB"))


def encode_name(name: str | bytes) -> str:
    """A name of a file from outside, as the health report lists it."""
    text = os.fsdecode(name)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
