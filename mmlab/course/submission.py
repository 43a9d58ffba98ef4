"""Prediction files: written whole or not at all, and judged before they are handed in."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import GUID, LABEL, LABELS, suggest
from mmlab.course.reading import Course
from mmlab.course.tables import HEADER, LARGEST_TABLE, SHORT, TEST_FILE, first_few, guid_fault, shorten, split_table
from mmlab.errors import CourseError
from mmlab.storage import read_file, write_atomic

_Answer = tuple[int, str, str]  # line, guid, label


@dataclass(frozen=True, eq=False)
class Verification:
    """What is wrong (problems) or odd (warnings) about a prediction file.

    shares: columns label, train_share (nan where it is not known) and file_share (0 to 1), one row for each of LABELS.
    answers: guid and label of each row with two columns, in the order of the file.
    """

    problems: list[str]
    warnings: list[str]
    shares: pd.DataFrame = field(repr=False)
    answers: list[tuple[str, str]] = field(repr=False)

    @property
    def ok(self) -> bool:
        """True when there is no problem; warnings may remain."""
        return not self.problems


def write_predictions(path: Path | str, guids: Iterable[str], labels: Iterable[str]) -> Path:
    """Write a prediction file (header `guid,tag`, rows in the order given), whole or not at all; returns its path.

    Raises CourseError for a label outside LABELS, a guid given twice and lists of different length.
    """
    guids, labels = [str(guid) for guid in guids], list(labels)
    if len(guids) != len(labels):
        raise CourseError(f"{path}: {len(guids)} guids but {len(labels)} labels. Give one label for each guid.")
    for row, (guid, label) in enumerate(zip(guids, labels, strict=True), 2):
        if label not in LABELS:
            raise CourseError(f"{path}, line {row}: guid {guid!r} has {label!r}. Labels are {', '.join(LABELS)}.")
        if fault := guid_fault(guid):
            raise CourseError(f"{path}, line {row}: {': '.join(fault[:2])}. {fault[2]}")
    if twice := [guid for guid, count in Counter(guids).items() if count > 1]:
        raise CourseError(f"{path}: guid given more than once: {first_few(twice)}. Give each guid one label.")
    body = "".join(f"{guid},{label}\n" for guid, label in zip(guids, labels, strict=True))
    return write_atomic(path, f"{HEADER}\n{body}")


def verify_predictions(path: Path | str, course: Course, siblings: Iterable[Path | str] = ()) -> Verification:
    """Judge a prediction file before it is handed in: `judge_predictions` on a file and a course.

    The same answers as in one of `siblings` (files of other scenarios) are one more problem. Raises CourseError when a
    file is missing or cannot be read.
    """
    path = Path(path)
    judged = judge_predictions(_read_bytes(path), course.test[GUID].tolist(), train_shares(course))
    for sibling in [other for other in map(Path, siblings) if judged.answers and other.resolve() != path.resolve()]:
        if [answer[1:] for answer in _split_answers(_read_bytes(sibling))[0]] == judged.answers:
            judged.problems.append(f"Every answer is the same as in {sibling}: two scenarios should differ somewhere.")
    return judged


def judge_predictions(
    raw: bytes, guids: Sequence[str], trained: Sequence[float] | None = None, partly: bool = False
) -> Verification:
    """Judge the bytes of a prediction file: header, guids and their order, labels, class shares.

    guids: those to answer, in order; partly: they are only some of them, so that other guids and the order say nothing.
    trained: the share (0 to 1) of each of LABELS in training, where it is known. Class shares far from these are a
    warning, one class only is a problem. Never raises.
    """
    rows, problems, warnings = _split_answers(raw)
    if rows or not problems:
        problems += _judge_answers(rows, guids, partly)
    answered = [label for _, _, label in rows]
    shares = pd.DataFrame({LABEL: LABELS, "train_share": trained or [np.nan] * len(LABELS)})
    shares["file_share"] = [answered.count(label) / max(1, len(answered)) for label in LABELS]
    if rows and not problems:
        _judge_shares(shares, len(rows), problems, warnings)
    return Verification(problems, warnings, shares, [answer[1:] for answer in rows])


def train_shares(course: Course) -> list[float]:
    """The share (0 to 1) of each of LABELS among the labelled pairs."""
    return [course.health.label_counts[label] / course.health.n_labelled for label in LABELS]


def _read_bytes(path: Path) -> bytes:
    try:
        return read_file(path, LARGEST_TABLE)
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). Give the path of a prediction file.") from None


def _split_answers(raw: bytes) -> tuple[list[_Answer], list[str], list[str]]:
    """(answers, problems, warnings); no answers where there is no table."""
    try:
        table = split_table(raw.decode("utf-8-sig"), "Line 1", strip=False)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return [], [f"Line {line}: byte {error.start} is not UTF-8. Save the file as UTF-8."], []
    except CourseError as error:
        return [], [str(error)], []
    problems = []
    if odd := [f"line {line}: {shorten(','.join(cells))}" for line, cells in table if len(cells) != 2]:
        problems.append(f"Not two columns: {first_few(odd, '; ')}. Write {HEADER}.")
    spaced = [(line, cells) for line, cells in table if len(cells) == 2 and [*map(str.strip, cells)] != cells]
    if padded := [f"line {line}: {shorten(','.join(cells))}" for line, cells in spaced]:
        problems.append(f"Spaces around a value in {len(padded)} rows: {first_few(padded, '; ')}. Remove the spaces.")
    warnings = ["The file starts with a byte-order mark; save it as plain UTF-8."] if raw[:3] == BOM_UTF8 else []
    return [(line, *map(str.strip, cells)) for line, cells in table if len(cells) == 2], problems, warnings


def _judge_answers(answers: list[_Answer], expected: Sequence[str], partly: bool) -> list[str]:
    first, problems = {}, []
    for line, guid, _ in answers:
        first.setdefault(guid, line)
    wanted = set(expected)
    strange = [f"line {line}: {shorten(guid)}" for guid, line in first.items() if guid not in wanted]
    if strange and not partly:
        problems.append(f"{len(strange)} guids are not in {TEST_FILE}: {first_few(strange, '; ')}. Remove these rows.")
    again = [(line, guid) for line, guid, _ in answers if first[guid] != line]
    if twice := [f"line {line}: {shorten(guid)}, first on line {first[guid]}" for line, guid in again]:
        problems.append(f"{len(twice)} guids are answered twice: {first_few(twice, '; ')}. Keep one row for each.")
    if missing := [guid for guid in expected if guid not in first]:
        problems.append(f"{len(missing)} of {len(expected)} guids are not answered: {first_few(missing)}. Add them.")
    wrong = [(line, guid, due) for (line, guid, _), due in zip(answers, expected) if guid != due]
    if wrong and not problems and not partly:
        line, guid, due = wrong[0]
        where = f"the first on line {line}: {guid!r} where {due!r} is due"
        problems.append(f"{len(wrong)} rows are out of order, {where}. Keep the order of {TEST_FILE}.")
    illegal = [answer for answer in answers if answer[2] not in LABELS]
    if words := [f"line {line}: guid {shorten(guid)} has {shorten(label)}" for line, guid, label in illegal]:
        hint = suggest(illegal[0][2][:SHORT].lower(), LABELS)
        problems.append(f"{len(illegal)} labels are not legal: {first_few(words, '; ')}.{hint}")
    return problems


def _judge_shares(shares: pd.DataFrame, n: int, problems: list[str], warnings: list[str]) -> None:
    absent = shares.loc[shares.file_share == 0, LABEL].tolist()
    if len(absent) == len(LABELS) - 1:
        only = shares.loc[shares.file_share > 0, LABEL].item()
        found = problems if n >= 10 else warnings  # a handful of pairs may well be all of one class
        found.append(f"All {n} answers are {only!r}: the model does not tell the classes apart.")
        return
    if absent and n >= 10:
        warnings.append(f"Never answered: {', '.join(absent)}.")
    # Half the summed differences; models avoid the rare class (0.1), and small files differ by chance.
    distance = float(np.abs(shares.train_share - shares.file_share).sum() / 2)
    if distance > 0.15 + 0.6 / np.sqrt(n):
        compared = ", ".join(f"{r.label} {r.file_share:.0%} (train {r.train_share:.0%})" for r in shares.itertuples())
        warnings.append(f"The class shares are far from the training shares: {compared}. Are labels swapped?")
