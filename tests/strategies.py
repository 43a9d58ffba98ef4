"""What property tests draw: texts, guids, labels, whole courses, twin groups, predictions, knobs.

A property is a function that asserts something about one example. A test holds the package to it; its twin shows by
`assert_caught` that the same property fails for something that is broken on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from courses import draw_image, jpeg
from hypothesis import Phase, assume, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from mmlab.config import KNOBS, LABELS, Knob, probability_columns
from mmlab.course import normalise_for_twins
from mmlab.course.tables import guid_fault


def share_of_examples(share: float) -> settings:
    """For a property that takes long: only a share of the examples of the profile, at least 5."""
    return settings(max_examples=max(5, round(share * settings().max_examples)))


def assert_caught(check: Callable[[Any], None], examples: st.SearchStrategy, tries: int = 300) -> None:
    """Assert that the property fails for at least one example. The same examples are drawn at each call."""

    def fails(example: Any) -> bool:
        try:
            check(example)
        except AssertionError:
            return True
        return False

    search = settings(max_examples=tries, phases=[Phase.generate], database=None, derandomize=False)
    try:
        find(examples, fails, settings=search, random=Random(0))
    except NoSuchExample:
        raise AssertionError("Nothing shows that the property can fail.") from None


# ---- texts

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # a text file may hold all others
PIECES = (
    "RT @anna: ",
    "rt @a_1 ",
    "http://t.co/aB3",
    "https…",
    "pic.twitter.com/x",
    "&amp;",
    "#so",
    "??",
    "今天很开心",
)
PIECES += (
    "Straße",
    "İzmir",
    "ΟΔΟΣ",
    "fine",
    "weather",
    "@kofi",
    "\u200d",
    "\ufe0f",
    "👩‍👩‍👧",
    "\r\n",
    "  ",
    "a_http://b",
)


def texts(most: int = 60) -> st.SearchStrategy[str]:
    """Any text: odd letters of all planes, and pieces of tweets in any order."""
    tweets = st.lists(st.one_of(st.sampled_from(PIECES), st.text(LETTERS, max_size=8)), max_size=8).map("".join)
    return st.one_of(st.text(LETTERS, max_size=most), tweets)


def filled_texts() -> st.SearchStrategy[str]:
    """Texts as a course holds them: something besides white space, no byte-order mark in front."""
    return texts().map(lambda text: text.strip("\ufeff").strip()).filter(lambda text: text and text[0] != "\ufeff")


def encode(text: str, encoding: str) -> bytes | None:
    """The bytes of a text; None where the charset lacks a letter, or where the bytes are legal UTF-8 as well."""
    try:
        raw = text.encode(encoding)
        if encoding == "gb18030" and not text.isascii():
            raw.decode("utf-8")
            return None
    except UnicodeEncodeError:
        return None
    except UnicodeDecodeError:
        pass
    return raw


# ---- guids, labels, tables

LABEL = st.sampled_from(LABELS)
CLASS = st.integers(0, len(LABELS) - 1)


def guids() -> st.SearchStrategy[str]:
    """Names that a course folder may give to a pair."""
    plain = st.text("0123456789abcXYZ-_.", min_size=1, max_size=12)
    odd = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=12)
    return st.one_of(plain, odd).map(str.strip).filter(lambda guid: guid_fault(guid) is None)


def guid_lists(least: int, most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(guids(), min_size=least, max_size=most, unique=True)


@dataclass(frozen=True)
class Form:
    """How a table may be written: the charset, the line ends, spaces around cells, blank lines, the last line end."""

    encoding: str
    line_end: str
    space: str
    blank: bool
    ended: bool

    def write(self, rows: list[tuple[str, str]]) -> bytes | None:
        """The bytes of a table; None where the charset cannot hold it."""
        lines = [f"{self.space}{guid}{self.space},{tag}{self.space}" for guid, tag in [("guid", "tag"), *rows]]
        if self.blank:
            lines = [one for line in lines for one in (line, "  ")]
        return encode(self.line_end.join(lines) + self.line_end * self.ended, self.encoding)


FORMS = st.builds(
    Form,
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", " ", "\t"]),
    st.booleans(),
    st.booleans(),
)


# ---- courses

DAMAGES = ("text gone", "text empty", "text broken", "image gone", "image broken")  # what a pair may suffer


@dataclass(frozen=True)
class DrawnPair:
    guid: str
    label: str | None
    text: str
    encoding: str
    damages: tuple[str, ...]

    @property
    def bad_files(self) -> list[str]:
        """The files of the pair that cannot be used."""
        sides = {damage.split()[0] for damage in self.damages}
        return [f"data/{self.guid}.{end}" for side, end in (("text", "txt"), ("image", "jpg")) if side in sides]


@dataclass(frozen=True)
class DrawnCourse:
    """A course as it is written; all pictures differ."""

    labelled: list[DrawnPair]
    test: list[DrawnPair]
    form: Form

    @property
    def pairs(self) -> list[DrawnPair]:
        return [*self.labelled, *self.test]

    def write(self, root: Path) -> Path:
        (root / "data").mkdir(parents=True)
        for number, pair in enumerate(self.pairs):
            text, image = pair.text.encode(pair.encoding), picture(number)
            for damage in pair.damages:
                what = damage.split()[1]
                if damage.startswith("text"):
                    text = {"gone": None, "empty": b" \n", "broken": b"ab \xff\xff"}[what]
                else:
                    image = {"gone": None, "broken": image[: len(image) // 2]}[what]
            for raw, end in ((text, "txt"), (image, "jpg")):
                if raw is not None:
                    (root / "data" / f"{pair.guid}.{end}").write_bytes(raw)
        (root / "train.txt").write_bytes(self.form.write([(one.guid, one.label) for one in self.labelled]))
        (root / "test_without_label.txt").write_bytes(self.form.write([(one.guid, "null") for one in self.test]))
        return root


@cache
def picture(number: int) -> bytes:
    """A small JPEG, another for each number."""
    return jpeg(draw_image(number, (24, 18)))


@st.composite
def courses(draw: st.DrawFn, damages: int = 3) -> DrawnCourse:
    """From 12 sound labelled pairs on, of at least two labels; some further pairs may be damaged. No twins."""
    form = draw(FORMS)
    names = draw(guid_lists(13, 20).filter(lambda names: form.write([(name, "null") for name in names]) is not None))
    n = draw(st.integers(12, len(names)))
    labels = ["negative"] * 3 + ["positive"] * 3 + draw(st.lists(LABEL, min_size=n - 6, max_size=n - 6))
    some = st.sets(st.sampled_from(DAMAGES), max_size=2)
    bad = draw(st.dictionaries(st.integers(12, len(names) - 1), some, max_size=damages))
    pairs = []
    for number, guid in enumerate(names):
        encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]))
        text = draw(filled_texts())
        encoding = encoding if encode(text, encoding) is not None else "utf-8"
        own = tuple(sorted(bad.get(number, ())))
        pairs.append(DrawnPair(guid, labels[number] if number < n else None, text, encoding, own))
    assume(len(words := [key for one in pairs if (key := normalise_for_twins(one.text))]) == len(set(words)))
    order = draw(st.permutations(range(n)))
    return DrawnCourse([pairs[place] for place in order], pairs[n:], form)


# ---- twin groups


@dataclass(frozen=True)
class Grouped:
    """labels (n,) int8 class numbers, groups (n,) int64 twin ids."""

    labels: np.ndarray
    groups: np.ndarray

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.labels.tolist(), self.groups.tolist(), strict=True))


def grouped(least: int = 2, most: int = 60) -> st.SearchStrategy[Grouped]:
    """Labelled pairs in twin groups of any size; the twins of a group may disagree, and a label may be absent."""
    return st.integers(1, most).flatmap(lambda ids: _grouped(st.tuples(CLASS, st.integers(0, ids)), least, most))


def grouped_alike(least: int = 2, most: int = 60) -> st.SearchStrategy[Grouped]:
    """The same, but the twins of a group have one label."""
    pairs = st.integers(0, most).map(lambda group: (group % 7 % 3, group))
    return _grouped(pairs, least, most)


def _grouped(pairs: st.SearchStrategy[tuple[int, int]], least: int, most: int) -> st.SearchStrategy[Grouped]:
    drawn = st.lists(pairs, min_size=least, max_size=most)
    return drawn.map(lambda rows: Grouped(*(np.array(one, kind) for one, kind in zip(zip(*rows), ("i1", "i8")))))


# ---- predictions


@dataclass(frozen=True)
class Predicted:
    """labels (n,) class numbers, two models' answers a and b (n,), twin groups (n,)."""

    labels: np.ndarray
    a: np.ndarray
    b: np.ndarray
    groups: np.ndarray


def predicted(least: int = 1, most: int = 60) -> st.SearchStrategy[Predicted]:
    rows = st.lists(st.tuples(CLASS, CLASS, CLASS, st.integers(0, most)), min_size=least, max_size=most)
    return rows.map(lambda drawn: Predicted(*np.array(drawn).T))


def probabilities(rows: int) -> st.SearchStrategy[np.ndarray]:
    """Distributions over the labels, float64 (rows, 3); some are certain, some even."""
    one = st.tuples(*[st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e-9]))] * len(LABELS))
    even = (1 / len(LABELS),) * len(LABELS)
    distribution = one.map(lambda row: tuple(value / sum(row) for value in row) if sum(row) > 1e-6 else even)
    return st.lists(distribution, min_size=rows, max_size=rows).map(lambda drawn: np.array(drawn).reshape(-1, 3))


@st.composite
def prediction_frames(draw: st.DrawFn, scenario: str) -> pd.DataFrame:
    """The frame of predictions.csv: guid, fold, label, twin and the probabilities of one scenario."""
    names = draw(guid_lists(1, 12))
    n = len(names)
    frame = pd.DataFrame({
        "guid": names,
        "fold": draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)),
        "label": draw(st.lists(LABEL, min_size=n, max_size=n)),
        "twin": draw(st.lists(st.integers(0, n), min_size=n, max_size=n)),
    })  # fmt: skip
    frame[probability_columns(scenario)] = draw(probabilities(n))
    return frame


# ---- knobs


def knob_values(knob: Knob) -> st.SearchStrategy[Any]:
    """Values within the bounds of a knob, of its own type."""
    if knob.choices is not None:
        return st.sampled_from(knob.list_choices())
    if knob.name == "members":
        return st.sampled_from(["laptop", "kernel", "laptop, kernel", "kernel, upper, laptop"])
    if knob.kind is bool:
        return st.booleans()
    if knob.kind is int:
        return st.integers(knob.low, knob.high)
    if knob.kind is float:
        low, high = (
            one if one is not None else other for one, other in ((knob.low, knob.above), (knob.high, knob.below))
        )
        bounds = {"exclude_min": knob.low is None, "exclude_max": knob.high is None}
        return st.floats(low, high, **bounds)
    return st.text(LETTERS, min_size=1, max_size=20)


def knobs() -> st.SearchStrategy[dict[str, Any]]:
    """Some knobs with values within their bounds, which fit together."""
    some = st.fixed_dictionaries({}, optional={name: knob_values(knob) for name, knob in KNOBS.items()})
    return some.map(lambda drawn: drawn | ({"heads": 1} if {"heads", "hidden"} & drawn.keys() else {})).filter(
        lambda drawn: drawn.get("folds") != 1
    )
