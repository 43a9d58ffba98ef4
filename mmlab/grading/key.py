"""What submissions are graded against: the labels of the pairs to predict, and what the course adds to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmlab.config import GUID, LABELS, TWIN
from mmlab.course import Course, Verification, judge_predictions, read_labels, train_shares
from mmlab.course.tables import first_few
from mmlab.errors import CourseError


@dataclass(frozen=True, eq=False)
class Key:
    """The true labels of n pairs. guids: theirs; labels: (n,) int64 class numbers; groups: (n,) int64 twin groups.

    course: the course of these pairs, or None: then each pair is its own group, and neither the order of a submission
    nor guids outside the key are judged.
    """

    guids: list[str]
    labels: np.ndarray
    groups: np.ndarray = field(repr=False)
    course: Course | None = field(repr=False)

    @property
    def n_test(self) -> int | None:
        """The number of pairs to predict, where the course tells."""
        return None if self.course is None else len(self.course.test)

    def judge(self, raw: bytes) -> Verification:
        """Judge the bytes of a prediction file as `mmlab verify` does, as far as can be known."""
        if self.course is None:
            return judge_predictions(raw, self.guids, partly=True)
        return judge_predictions(raw, self.course.test[GUID].tolist(), train_shares(self.course))

    def align(self, answers: Iterable[tuple[str, str]]) -> np.ndarray:
        """Guids with their labels, all of the key's among them, as (n,) int64 class numbers in the key's order."""
        label_of = dict(answers)
        return np.array([LABELS.index(label_of[guid]) for guid in self.guids], dtype=np.int64)


def read_key(path: Path, course: Course | None = None) -> Key:
    """Read a table `guid,tag` like train.txt. It may label all pairs to predict or only some of them.

    Raises CourseError for every fault of the table, and for guids that are not among the course's pairs to predict.
    """
    rows = read_labels(path)
    guids = [row.guid for row in rows]
    labels = np.array([LABELS.index(row.label) for row in rows], dtype=np.int64)
    if course is None:
        return Key(guids, labels, np.arange(len(guids)), None)
    groups = dict(zip(course.test[GUID], course.test[TWIN]))
    if strange := [guid for guid in guids if guid not in groups]:
        problem = f"{len(strange)} guids are not among the pairs to predict of {course.root}: {first_few(strange)}"
        raise CourseError(f"{path}: {problem}. Give the labels of the pairs in test_without_label.txt.")
    return Key(guids, labels, np.array([groups[guid] for guid in guids]), course)
