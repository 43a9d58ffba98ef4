"""A leaderboard that does not leak the labels: the Ladder mechanism of Blum and Hardt 2015.

Whoever is shown the score of every submission can find the labels out by submitting often. Here a student's shown score
moves only when a submission is better than their best one by more than the noise, so that little is learned from it.
"""

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmlab.config import LABELS
from mmlab.errors import MmlabError, writing
from mmlab.grading.key import Key
from mmlab.storage import read_file, write_atomic

LEAST = 0.5  # two honest models differ in the rightness of about a quarter of the pairs, which has this spread
_DIGITS = frozenset("".join(map(str, range(len(LABELS)))))


@dataclass(frozen=True)
class Rung:
    """Where a student stands: the accuracy shown, the answers that reached it (a digit for each pair of the key), how
    many different submissions were counted, and a digest of the last one."""

    shown: float
    answers: str
    submissions: int
    last: str


class Ledger:
    """The rungs of all students for one key, in a JSON file. It holds no label, but answers: keep it to yourself."""

    def __init__(self, path: Path, key: Key) -> None:
        """Read the file, or start anew where there is none. Raises MmlabError for a file of another key."""
        self.path, self.labels = path, key.labels
        named = zip(key.guids, key.labels.tolist())
        self.key = hashlib.sha256("\n".join(f"{guid},{label}" for guid, label in named).encode()).hexdigest()
        self.rungs: dict[str, Rung] = self._read() if path.exists() else {}

    def submit(self, student: str, answers: np.ndarray) -> Rung:
        """Count a submission, (n,) class numbers, and return where the student stands now.

        The same file graded again changes nothing.
        """
        digits = "".join(map(str, answers.tolist()))
        digest = hashlib.sha256(digits.encode()).hexdigest()[:16]
        old = self.rungs.get(student)
        if old and old.last == digest:
            return old
        count = old.submissions + 1 if old else 1
        if old is None or climbs(self.labels, np.array(list(old.answers), dtype=np.int64), answers, old.shown):
            rung = Rung(float((answers == self.labels).mean()), digits, count, digest)
        else:
            rung = Rung(old.shown, old.answers, count, digest)
        self.rungs[student] = rung
        return rung

    def write(self) -> Path:
        """Write the file, whole or not at all; where it is a link, what it links to."""
        students = {name: asdict(rung) for name, rung in sorted(self.rungs.items())}
        text = json.dumps({"key": self.key, "students": students}, indent=1) + "\n"
        with writing(self.path):
            return write_atomic(os.path.realpath(self.path), text)

    def _read(self) -> dict[str, Rung]:
        try:
            content = json.loads(read_file(self.path).decode("utf-8"))
            key, rungs = content["key"], {name: _read_rung(facts) for name, facts in content["students"].items()}
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise MmlabError(f"{self.path}: {why}. Name another file for --ledger.") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MmlabError(f"{self.path}: is no ledger that mmlab wrote. Name another file for --ledger.") from None
        if key != self.key or any(len(one.answers) != len(self.labels) for one in rungs.values()):
            raise MmlabError(f"{self.path}: is the ledger of another key. Name another file for --ledger.")
        return rungs


def _read_rung(facts: dict) -> Rung:
    """Raises TypeError or ValueError where this is none."""
    rung = Rung(**facts)
    kinds = [type(one) for one in (rung.answers, rung.submissions, rung.last)]
    if kinds != [str, int, str] or not _DIGITS.issuperset(rung.answers):
        raise ValueError
    if type(rung.shown) not in (int, float) or not 0 <= rung.shown <= 1 or rung.submissions < 1:
        raise ValueError
    return rung


def climbs(labels: np.ndarray, best: np.ndarray, new: np.ndarray, shown: float, least: float = LEAST) -> bool:
    """Whether new answers move the shown accuracy: they exceed it by the standard error of the difference to the best.

    labels, best, new: (n,) class numbers. This is the Ladder that needs no parameter, but for `least`: the smallest
    spread of the difference. Whoever changes two answers at a time would have a tiny one, and learn both.
    """
    right = new == labels
    spread = (right.astype(np.float64) - (best == labels)).std()
    return bool(right.mean() > shown + max(spread, least) / math.sqrt(len(labels)))
