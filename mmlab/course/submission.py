"""Prediction files: written whole or not at all, and judged before they are handed in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import GUID, LABEL, LABELS, suggest
from mmlab.course.reading import Course, write_file
from mmlab.course.tables import HEADER, TEST_FILE, first_few, guid_fault
from mmlab.errors import CourseError


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
    if len(set(guids)) < len(guids):
        twice = [guid for guid, count in Counter(guids).items() if count > 1]
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
    expected = course.test[GUID].tolist()
    if rows is not None:
        problems += _guid_problems([(line, guid) for line, guid, _ in rows], expected)
        problems += _label_problems(rows)
    shares = _class_shares(course, [label for _, _, label in rows or []])
    if rows and not problems:
        _judge_shares(shares, len(rows), problems, warnings)
    for sibling in map(Path, siblings):
        if rows and sibling.resolve() != path.resolve():
            other = _read_predictions(sibling)[0]
            if other is not None and [row[1:] for row in other] == [row[1:] for row in rows]:
                problems.append(f"Every answer is the same as in {sibling}: two scenarios should differ somewhere.")
    return Verification(problems, warnings, shares)


def _read_predictions(path: Path) -> tuple[list[tuple[int, str, str]] | None, list[str], list[str]]:
    """((line, guid, label) rows or None when there is no table, problems, warnings)."""
    if not path.is_file():
        raise CourseError(f"{path}: there is no such file. Give the path of a prediction file.")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). Make the file readable.") from None
    if not raw.strip():
        return None, [f"The file is empty. Its first line must be {HEADER!r}."], []
    warnings = ["The file starts with a byte-order mark; save it as plain UTF-8."] if raw[:3] == b"\xef\xbb\xbf" else []
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return None, [f"Line {line}: byte {error.start} is not UTF-8. Save the file as UTF-8."], []
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != HEADER:
        return None, [f"Line 1: the header is {lines[0][:80]!r}, it must be {HEADER!r}."], warnings
    rows, odd = [], []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 2:
            rows.append((number, *cells))
        else:
            odd.append(f"line {number}: {line[:60]!r}")
    return rows, [f"Not two columns: {first_few(odd, '; ')}. Write {HEADER}."] if odd else [], warnings


def _guid_problems(found: list[tuple[int, str]], expected: list[str]) -> list[str]:
    wanted, seen, twice, strange = set(expected), {}, [], []
    for line, guid in found:
        if guid in seen:
            twice.append(f"line {line}: {guid!r}, first on line {seen[guid]}")
        elif guid not in wanted:
            strange.append(f"line {line}: {guid!r}")
        seen.setdefault(guid, line)
    missing = [guid for guid in expected if guid not in seen]
    problems = []
    if strange:
        problems.append(f"{len(strange)} guids are not in {TEST_FILE}: {first_few(strange, '; ')}. Remove these rows.")
    if twice:
        problems.append(f"{len(twice)} guids are answered twice: {first_few(twice, '; ')}. Keep one row for each.")
    if missing:
        listed = first_few(missing)
        problems.append(f"{len(missing)} of {len(expected)} guids are not answered: {listed}. Add their rows.")
    wrong = [(line, guid, due) for (line, guid), due in zip(found, expected) if guid != due]
    if wrong and not problems:
        line, guid, due = wrong[0]
        where = f"the first on line {line}: {guid!r} where {due!r} is due"
        problems.append(f"{len(wrong)} rows are out of order, {where}. Keep the order of {TEST_FILE}.")
    return problems


def _label_problems(rows: list[tuple[int, str, str]]) -> list[str]:
    wrong = [
        f"line {line}: guid {guid!r} has {label!r}.{suggest(label.lower(), LABELS)}"
        for line, guid, label in rows
        if label not in LABELS
    ]
    return [f"{len(wrong)} labels are not legal: {first_few(wrong, '; ')} Use {', '.join(LABELS)}."] if wrong else []


def _class_shares(course: Course, answers: list[str]) -> pd.DataFrame:
    counts, train = Counter(answers), course.health.label_counts
    return pd.DataFrame(
        {
            LABEL: LABELS,
            "train_share": [train[label] / course.health.n_labelled for label in LABELS],
            "file_share": [counts[label] / len(answers) if answers else 0.0 for label in LABELS],
        }
    )


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
