"""The two tables of a course folder: file names, header, and each row with the line it is on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmlab.config import GUID, LABELS, suggest
from mmlab.course.text import decode_text
from mmlab.errors import CourseError
from mmlab.storage import read_file

TRAIN_FILE, TEST_FILE, DATA_FOLDER = "train.txt", "test_without_label.txt", "data"
LABEL_COLUMN, NO_LABEL = "tag", "null"  # the course files' word for the label, and for a label that is to be predicted
HEADER = f"{GUID},{LABEL_COLUMN}"
_NOT_IN_NAMES = frozenset('/\\:*?"<>|,')
_LONGEST_NAME = 255 - len(".txt")  # bytes of UTF-8 that file systems take
LARGEST_TABLE = 10 * 10**6  # bytes: half a million rows
SHOWN = 5  # how many items a message lists
SHORT = 60  # letters of a file's text that a message shows
NEW_LINE = "\n  "  # between items, where each is a sentence


@dataclass(frozen=True)
class Row:
    """One row of a table; `place` is where an editor shows it, for instance "train.txt line 12"."""

    guid: str
    label: str | None  # None in test_without_label.txt
    place: str


def first_few(items: Sequence[str], separator: str = ", ") -> str:
    """The first SHOWN of many items, and how many more there are."""
    more = f"{separator}and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return separator.join(items[:SHOWN]) + more


def read_rows(root: Path, unlabelled: bool = False) -> list[Row]:
    """The rows of train.txt, then those of test_without_label.txt. Raises CourseError with every fault of both.

    unlabelled: train.txt may be missing.
    """
    if unlabelled and not (root / TRAIN_FILE).exists():
        return _read_tables((root / TEST_FILE, False))
    rows = _read_tables((root / TRAIN_FILE, True), (root / TEST_FILE, False))
    return _require_labels(root / TRAIN_FILE, rows)


def read_labels(path: Path) -> list[Row]:
    """The rows of one table of labelled pairs, written like train.txt. Raises CourseError with every fault of it."""
    try:
        return _require_labels(path, _read_tables((path, True)))
    except OSError as error:
        fix = f"Give a file with the header {HEADER} and one row for each pair"
        raise CourseError(f"{path}: cannot be read ({error.strerror}). {fix}.") from None


def _read_tables(*tables: tuple[Path, bool]) -> list[Row]:
    """The rows of all tables, each given with whether it is labelled; no guid may be in two of them."""
    rows, faults, places = [], {}, {}
    for path, labelled in tables:
        for line, cells in split_table(decode_text(read_file(path, LARGEST_TABLE), path)[0], f"{path}, line 1"):
            fault = _row_fault(cells, labelled, alone=len(tables) == 1)
            if not fault and cells[0] in places:
                fault = "guid twice", f"{cells[0]!r} is already in {places[cells[0]]}", "Keep one row for each guid."
            if fault:
                kind, what, fix = fault
                faults.setdefault((path, kind, fix), []).append(f"line {line}: {what}")
                continue
            places[cells[0]] = f"{path.name} line {line}"
            rows.append(Row(cells[0], cells[1] if labelled else None, places[cells[0]]))
    if faults:
        lines = [f"{path}: {kind}: {first_few(at, '; ')}. {fix}" for (path, kind, fix), at in faults.items()]
        raise CourseError("\n".join(lines))
    return rows


def _require_labels(path: Path, rows: list[Row]) -> list[Row]:
    if not any(row.label for row in rows):
        raise CourseError(f"{path}: no rows below the header. Add one line guid,label for each pair.")
    return rows


def split_table(text: str, where: str, strip: bool = True) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each row below the header that is not blank. strip: without spaces around the cells.

    Raises CourseError, which starts with `where`, for an empty text and a wrong header.
    """
    if not text.strip():
        raise CourseError(f"{where}: the file is empty. Its first line must be {HEADER!r}.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header = _split_row(lines[0], strip)
    if header != HEADER.split(","):
        hint = ""
        if ";" in lines[0] or "\t" in lines[0]:
            hint = " Separate the columns with a comma."
        elif len(header) == 2 and header[1] in (*LABELS, NO_LABEL):
            hint = " The header is missing: add it as line 1."
        raise CourseError(f"{where}: the header is {lines[0][:80]!r}, it must be {HEADER!r}.{hint}")
    return [(number, _split_row(line, strip)) for number, line in enumerate(lines[1:], 2) if line.strip()]


def _split_row(line: str, strip: bool) -> list[str]:
    """The cells of a line; of more than two, the third holds the rest."""
    return [cell.strip() if strip else cell for cell in line.split(",", 2)]


def _row_fault(cells: list[str], labelled: bool, alone: bool) -> tuple[str, str, str] | None:
    """(kind, what, fix) of a row that cannot be used. alone: there is no other table that it could belong to."""
    if len(cells) != 2:
        return "not two columns", shorten(",".join(cells)), f"Write {HEADER}: two values with one comma between."
    guid, label = cells
    what = f"guid {guid!r} has {shorten(label)}"
    if fault := guid_fault(guid):
        return fault
    if labelled and label == NO_LABEL:
        return "no label", what, f"Give it a label or {'leave it out' if alone else f'move the row to {TEST_FILE}'}."
    if labelled and label not in LABELS:
        what += f".{suggest(label[:SHORT].lower(), LABELS)}".rstrip(".")
        return "unknown label", what, f"Labels are {', '.join(LABELS)}, in lower case."
    if not labelled and label != NO_LABEL:
        return "a label in the test file", what, f"Write {NO_LABEL!r}, or move the row to {TRAIN_FILE}."
    return None


def guid_fault(guid: str) -> tuple[str, str, str] | None:
    """(kind, what, fix) of a guid that cannot name the files of a pair."""
    if not guid:
        return "no guid", "there is nothing before the comma", f"Give each row the name of its files in {DATA_FOLDER}/."
    if guid[0] == "." or guid != guid.strip() or not guid.isprintable() or not _NOT_IN_NAMES.isdisjoint(guid):
        signs = "no dot in front, no space at its ends, none of / \\ : * ? < > | and no comma"
        fix = f"A guid names files in data/: no path, no quotes, {signs}."
        return "guid is no file name", shorten(guid), fix
    if len(guid.encode("utf-8")) > _LONGEST_NAME:
        return "guid is too long", shorten(guid), f"No file can have this name: use at most {_LONGEST_NAME} bytes."
    return None


def shorten(text: str) -> str:
    """A text from a file as a message shows it: anything but a short one may be the work of a mistake or of malice."""
    return repr(text if len(text) <= SHORT else f"{text[:SHORT]}…")
