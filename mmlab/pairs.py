"""A table of new pairs, and the table of answers to them. Explained in docs/ask.md."""

import csv
import io
from pathlib import Path

import pandas as pd

from mmlab.config import GUID, IMAGE, TEXT
from mmlab.course.tables import LARGEST_TABLE, NEW_LINE, first_few
from mmlab.errors import CourseError
from mmlab.storage import format_csv, read_file, write_atomic

COLUMNS = (GUID, TEXT, IMAGE)


def read_pairs(path: Path | str) -> pd.DataFrame:
    """A CSV of pairs: the columns text and image, or one of them, and perhaps guid; the index is the line in the file.

    An empty cell is an absent side; the path of an image starts in the table's folder. Raises CourseError with the line
    for what cannot be read.
    """
    path = Path(path)
    try:
        text = read_file(path, LARGEST_TABLE).decode("utf-8-sig")
    except UnicodeDecodeError as error:  # what a spreadsheet saves as "ANSI" may also be legal GB18030: no guess
        raise CourseError(f"{path}: is not UTF-8 (byte {error.start}). Save the table as CSV UTF-8.") from None
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). Give a table with a header.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, faults = [], [], []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, path)
        line = reader.line_num + 1
        for row in reader:
            if any(row):
                if len(row) != len(header):
                    problem = f"{len(row)} cells, and the header has {len(header)}. Put a text with a comma in quotes"
                    faults.append(f"line {line}: has {problem}.")
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise CourseError(
            f"{path}, line {reader.line_num}: is no CSV ({error}). Save the table as CSV again."
        ) from None
    if faults:
        several = f": {len(faults)} rows cannot be read:{NEW_LINE}" if len(faults) > 1 else ", "
        raise CourseError(f"{path}{several}{first_few(faults, NEW_LINE)}")
    if not rows:
        raise CourseError(f"{path}: there are no rows below the header. Add one for each pair.")
    frame = pd.DataFrame(index=pd.Index(lines, name="line"), dtype=object)
    for name in [name for name in COLUMNS if name in header]:
        cells = [row[header.index(name)].strip() for row in rows]
        values = [(str(path.parent / cell) if name == IMAGE else cell) if cell else None for cell in cells]
        frame[name] = pd.Series(values, frame.index, object)
    return frame


def write_answers(table: pd.DataFrame, path: Path | str) -> Path:
    """Write a table of answers for spreadsheets, whole or not at all; returns its path."""
    rows = table.round(4).astype(object).where(table.notna(), "").itertuples(index=False)
    return write_atomic(path, format_csv([list(table.columns), *rows]))


def _check_header(header: list[str], path: Path) -> None:
    problem = ""
    if not {TEXT, IMAGE} & set(header):
        problem = f"the header is {','.join(header)[:80]!r}; it must name the column text or image"
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            problem += ". Separate the columns with a comma"
    elif twice := [name for name in COLUMNS if header.count(name) > 1]:
        problem = f"the column {twice[0]} is there twice. Keep one"
    if problem:
        raise CourseError(f"{path}, line 1: {problem}.")
