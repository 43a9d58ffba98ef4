"""A class that hands in: files of models that err on the same hard pairs; broken, copied, lucky and leaked ones."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmlab.config import LABELS
from mmlab.grading.collecting import MAX_BYTES

SHARES = (0.3, 0.1, 0.6)  # of the labels, as in the course
# Names that a spreadsheet, a browser or a file system may take for something else.
HOSTILE = ("=1+1", "@SUM(A1)", "-2", "+3", "<img src=x onerror=alert(1)>", "a&b\"c'", "x..y", "x" * 180, "人 a\u202eb")


@dataclass
class Class:
    """What was handed in. broken: from student to a word of the reason; copies: from student to whom they copied."""

    folder: Path
    honest: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    lucky: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)


def draw_labels(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([1, seed]).choice(len(LABELS), n, p=SHARES)


class Models:
    """Answers of models that see the same pairs: what is hard for one is hard for all. About 0.7 of them are right."""

    def __init__(self, labels: np.ndarray, seed: int = 0) -> None:
        self.rng = np.random.default_rng([2, seed])
        self.evidence = 1.7 * np.eye(3)[labels] + np.log(SHARES) / 2 + self.rng.normal(0, 1, (len(labels), 3))

    def answer(self, noise: float = 0.6) -> np.ndarray:
        return (self.evidence + self.rng.normal(0, noise, self.evidence.shape)).argmax(axis=1)


def to_text(guids: Sequence[str], answers: np.ndarray) -> str:
    return "guid,tag\n" + "".join(f"{guid},{LABELS[number]}\n" for guid, number in zip(guids, answers))


def change_some(answers: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The answers, a share of them exchanged for other ones."""
    changed = answers.copy()
    places = rng.choice(len(answers), round(share * len(answers)), replace=False)
    changed[places] = (changed[places] + rng.integers(1, 3, len(places))) % 3
    return changed


def break_in_every_way(text: str, strict: bool) -> dict[str, tuple[bytes, str]]:
    """Spoilt contents by the way of spoiling, each with a word of the reason. strict: the course's order is known."""
    lines = text.splitlines(keepends=True)
    first = lines[1].strip()
    guid, label = first.split(",")
    ways = {
        "header": (text.replace("guid,tag", "id,label"), "header"),
        "noheader": ("".join(lines[1:]), "header"),
        "semicolons": (text.replace(",", ";"), "comma"),
        "spaces": (text.replace(first, f"{guid}, {label}"), "Spaces around"),
        "short": ("".join(lines[:-5]), "not answered"),
        "twice": (text + lines[1], "answered twice"),
        "capital": (text.replace(first, f"{guid},{label.title()}"), "Did you mean"),
        "null": (text.replace(first, f"{guid},null"), "not legal"),
        "numbers": (text.replace(first, f"{guid},2"), "not legal"),
        "columns": (text.replace(first, f"{first},0.9"), "Not two columns"),
        "oneclass": ("guid,tag\n" + "".join(f"{line.split(',')[0]},positive\n" for line in lines[1:]), "All"),
        "empty": ("", "empty"),
        "blank": ("\n \n", "empty"),
    }
    if strict:
        ways["order"] = (lines[0] + "".join(reversed(lines[1:])), "out of order")
        ways["strange"] = (text + "nobody,positive\n", "are not in")
    raw = {way: (content.encode(), word) for way, (content, word) in ways.items()}
    raw["charset"] = (text.encode() + "é".encode("latin-1"), "UTF-8")
    raw["wide"] = (text.encode("utf-16"), "UTF-8")
    raw["picture"] = (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "UTF-8")
    raw["large"] = (b"x" * (MAX_BYTES + 1), "larger than")
    return raw


def make_class(folder: Path, guids: Sequence[str], labels: np.ndarray, size: int = 200, strict: bool = False) -> Class:
    """A folder of `size` students' files `<student>_<time>.txt`, some with an older one, and files of nobody."""
    folder.mkdir(parents=True)
    made, models, rng = Class(folder), Models(labels), np.random.default_rng(3)

    def hand_in(student: str, content: str | bytes, time: int = 20) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (folder / f"{student}_{time}.txt").write_bytes(raw)

    sound = to_text(guids, models.answer())
    for way, (raw, word) in break_in_every_way(sound, strict).items():
        hand_in(f"broken-{way}", raw)
        hand_in(f"broken-{way}", sound, time=9)  # the older one was fine and does not count
        made.broken[f"broken-{way}"] = word
    if sys.platform != "win32":
        (folder / "broken-link_20.txt").symlink_to(folder / "broken-spaces_9.txt")
        os.mkfifo(folder / "broken-pipe_20.txt")
        made.broken |= {"broken-link": "symbolic link", "broken-pipe": "no regular file"}
    preset = to_text(guids, models.answer(0.1))
    (folder.parent / "preset.txt").write_text(preset)
    made.equal = [f"preset-{number}" for number in range(4)]
    made.lucky = [f"lucky-{number}" for number in range(6)]
    made.leaked = [f"leaked-{number}" for number in range(2)]
    for student in made.equal:
        hand_in(student, preset)
    for student in made.lucky:
        hand_in(student, to_text(guids, rng.choice(3, len(labels), p=SHARES)))
    for student in made.leaked:
        hand_in(student, to_text(guids, change_some(labels, 0.04, rng)))
    copied = {f"copied-{number}": models.answer(rng.uniform(0.4, 1.0)) for number in range(5)}
    for student, answers in copied.items():
        hand_in(student, to_text(guids, answers))
        hand_in(f"{student}-again", to_text(guids, change_some(answers, rng.uniform(0, 0.05), rng)))
        made.copies[f"{student}-again"] = student
    names = [name for name in HOSTILE if sys.platform != "win32"]
    taken = len(made.broken) + len(made.equal) + len(made.lucky) + len(made.leaked) + 2 * len(copied)
    made.honest = [*names, *(f"student-{number:03d}" for number in range(size - taken - len(names)))]
    for student in made.honest:
        hand_in(student, to_text(guids, models.answer(rng.uniform(0.4, 1.2))))
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "read me.pdf").write_bytes(b"%PDF")
    return made


PATTERN = r"(?P<student>.+)_(?P<time>\d+)\.txt"
