"""Prediction files: written whole or not at all, and judged before they are handed in."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import GUID, LABEL, LABELS, suggest
from mmlab.course.reading import Course, write_file
from mmlab.course.tables import HEADER, TEST_FILE, first_few, guid_fault, split_table
from mmlab.errors import CourseError

_Answer = tuple[int, str, str]  # line, guid, label


@dataclass(frozen=True, eq=False)
class Verification:
    """What is wrong (problems) or odd (warnings) about a prediction file.

    shares: columns label, train_share and file_share (0 to 1), one row for each of LABELS.
    """

    problems: list[str]
    warnings: list[str]
    shares: pd.DataFrame = field(repr=False)

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
    return write_file(path, f"{HEADER}\n{body}")


def verify_predictions(path: Path | str, course: Course, siblings: Iterable[Path | str] = ()) -> Verification:
    """Judge a prediction file before it is handed in: header, guids and their order, labels, class shares.

    Class shares far from the training shares are a warning; one class only, and the same answers as in one of
    `siblings` (files of other scenarios), are problems. Raises CourseError when a file is missing or cannot be read.
    """
    path = Path(path)
    rows, problems, warnings = _read_predictions(path)
    if rows or not problems:
        problems += _judge_answers(rows, course.test[GUID].tolist())
    shares = _class_shares(course, [label for _, _, label in rows])
    if rows and not problems:
        _judge_shares(shares, len(rows), problems, warnings)
    for sibling in [other for other in map(Path, siblings) if rows and other.resolve() != path.resolve()]:
        if [row[1:] for row in _read_predictions(sibling)[0]] == [row[1:] for row in rows]:
            problems.append(f"Every answer is the same as in {sibling}: two scenarios should differ somewhere.")
    return Verification(problems, warnings, shares)


def _read_predictions(path: Path) -> tuple[list[_Answer], list[str], list[str]]:
    """(answers, problems, warnings); no answers where there is no table."""
    if not path.is_file():
        raise CourseError(f"{path}: there is no such file. Give the path of a prediction file.")
    try:
        raw = path.read_bytes()
        table = split_table(raw.decode("utf-8-sig"), "Line 1")
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). Make the file readable.") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return [], [f"Line {line}: byte {error.start} is not UTF-8. Save the file as UTF-8."], []
    except CourseError as error:
        return [], [str(error)], []
    odd = [f"line {line}: {','.join(cells)[:60]!r}" for line, cells in table if len(cells) != 2]
    problems = [f"Not two columns: {first_few(odd, '; ')}. Write {HEADER}."] if odd else []
    warnings = ["The file starts with a byte-order mark; save it as plain UTF-8."] if raw[:3] == BOM_UTF8 else []
    return [(line, *cells) for line, cells in table if len(cells) == 2], problems, warnings


def _judge_answers(answers: list[_Answer], expected: list[str]) -> list[str]:
    first, problems = {}, []
    for line, guid, _ in answers:
        first.setdefault(guid, line)
    wanted = set(expected)
    if strange := [f"line {line}: {guid!r}" for guid, line in first.items() if guid not in wanted]:
        problems.append(f"{len(strange)} guids are not in {TEST_FILE}: {first_few(strange, '; ')}. Remove these rows.")
    again = [(line, guid) for line, guid, _ in answers if first[guid] != line]
    if twice := [f"line {line}: {guid!r}, first on line {first[guid]}" for line, guid in again]:
        problems.append(f"{len(twice)} guids are answered twice: {first_few(twice, '; ')}. Keep one row for each.")
    if missing := [guid for guid in expected if guid not in first]:
        problems.append(f"{len(missing)} of {len(expected)} guids are not answered: {first_few(missing)}. Add them.")
    wrong = [(line, guid, due) for (line, guid, _), due in zip(answers, expected) if guid != due]
    if wrong and not problems:
        line, guid, due = wrong[0]
        where = f"the first on line {line}: {guid!r} where {due!r} is due"
        problems.append(f"{len(wrong)} rows are out of order, {where}. Keep the order of {TEST_FILE}.")
    illegal = []
    for line, guid, label in answers:
        if label not in LABELS:
            illegal.append(f"line {line}: guid {guid!r} has {label!r}.{suggest(label.lower(), LABELS)}")
    if illegal:
        problems.append(f"{len(illegal)} labels are not legal: {first_few(illegal, '; ')} Use {', '.join(LABELS)}.")
    return problems


def _class_shares(course: Course, answers: list[str]) -> pd.DataFrame:
    train = [course.health.label_counts[label] / course.health.n_labelled for label in LABELS]
    answered = [answers.count(label) / max(1, len(answers)) for label in LABELS]
    return pd.DataFrame({LABEL: LABELS, "train_share": train, "file_share": answered})


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
