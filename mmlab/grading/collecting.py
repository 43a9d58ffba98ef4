"""The prediction files in a folder or a zip: who handed in what, the newest of each, and what is not read.

Names and sizes are looked at first; only the newest file of each student is ever opened. Whatever is not a plain file
of sensible size is refused by name. A faulty file never stops the others.
"""

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mmlab.errors import ConfigError, MmlabError

MAX_BYTES = 5_000_000  # of one file; 50,000 answers take a fifth of it
STUDENT, TIME = "student", "time"  # the named groups of a pattern
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound


class Unreadable(Exception):
    """A file that is not read, with the reason."""


@dataclass(frozen=True)
class Submission:
    """One file that was handed in. refusal: why it is not read, "" where it can be."""

    name: str  # its path inside the folder or zip, printable
    refusal: str = ""
    changed: float = 0.0  # larger is later
    student: str = ""  # "" where the name does not tell
    time: tuple = ()  # larger is later; what the pattern found
    read: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)  # raises Unreadable


@dataclass(frozen=True)
class Collected:
    """newest: the file of each student, in the order of their names. older: those that do not count. stray: files that
    belong to no student, each with the reason."""

    newest: list[Submission]
    older: list[Submission]
    stray: list[Submission]


@contextmanager
def collect_submissions(place: Path, pattern: str | None = None) -> Iterator[Collected]:
    """The submissions in a folder or zip, to be read while the context lasts.

    pattern: a regular expression with the group `student` and perhaps `time`. It must fit the whole name of a file, or
    its whole path where the pattern holds a slash. Without one the student is the name without its suffix. The newest
    is the one with the largest time, or without one the file that was changed last. Raises ConfigError for a pattern
    that cannot be used, and MmlabError for a place that is no folder and no zip or holds no file.
    """
    fits = _read_pattern(pattern)
    if place.is_dir():
        yield _sort(place, [_find_student(one, fits) for one in _list_folder(place)])
        return
    if not place.is_file():
        raise MmlabError(f"{place}: there is no such folder or zip. Name the place of the prediction files.")
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MmlabError(f"{place}: is no folder and no zip that can be opened ({error}).") from None
    with archive:
        members = [_look_at_member(archive, member) for member in archive.infolist() if not member.is_dir()]
        yield _sort(place, [_find_student(one, fits) for one in members])


def printable(text: str) -> str:
    """A name from outside with � for what is invisible, turns the writing direction or cannot be encoded."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _read_pattern(pattern: str | None) -> re.Pattern | None:
    if pattern is None:
        return None
    try:
        fits = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--pattern {pattern!r} is no regular expression ({error}).") from None
    if STUDENT not in fits.groupindex:
        raise ConfigError(f"--pattern {pattern!r} has no group (?P<{STUDENT}>...), which says who handed a file in.")
    return fits


def _sort(place: Path, found: list[Submission]) -> Collected:
    if not found:
        raise MmlabError(f"{place}: there is no file in it. Name the place of the prediction files.")
    newest: dict[str, Submission] = {}
    older = []
    for one in sorted((one for one in found if one.student), key=lambda one: (one.time, one.changed, one.name)):
        if one.student in newest:
            older.append(newest[one.student])
        newest[one.student] = one
    stray = sorted((one for one in found if not one.student), key=lambda one: one.name)
    return Collected([newest[student] for student in sorted(newest, key=_natural)], older, stray)


def _natural(text: str) -> tuple:
    """A key that sorts 9 before 10, whatever is around the numbers."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part[:4000]) if number % 2 else part for number, part in enumerate(parts))


def _find_student(one: Submission, fits: re.Pattern | None) -> Submission:
    """The submission with its student and time, as far as its name tells them."""
    path = PurePosixPath(one.name)
    if "__MACOSX" in path.parts or path.name.startswith("."):
        return replace(one, refusal="it is a hidden file of an operating system")
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:/", one.name):
        return replace(one, refusal="its name leads out of the folder")
    student, time = path.stem, ""
    if fits is not None:
        match = fits.fullmatch(one.name if "/" in fits.pattern else path.name)
        groups = match.groupdict("") if match else {}
        student, time = groups.get(STUDENT, "").strip(), groups.get(TIME, "")
    if not student:
        return replace(one, refusal=one.refusal or "its name does not fit the pattern")
    return replace(one, student=student, time=_natural(time))


def _list_folder(root: Path) -> Iterator[Submission]:
    """Every file below a folder; links are never followed."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield Submission(_inside(root, folder), f"the folder cannot be listed ({error.strerror})")
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                yield _look_at_file(root, entry)


def _look_at_file(root: Path, entry: os.DirEntry) -> Submission:
    name = _inside(root, Path(entry.path))
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Submission(name, f"it cannot be read ({error.strerror})")
    refusal = _judge_kind(facts.st_mode, facts.st_size)
    return Submission(name, refusal, facts.st_mtime, read=lambda: _read_file(entry.path))


def _inside(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def _judge_kind(mode: int, size: int) -> str:
    """Why a file is not read, or ""."""
    if stat.S_ISLNK(mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(mode):
        return "it is no regular file"
    return f"it is larger than {MAX_BYTES // 10**6} MB" if size > MAX_BYTES else ""


def _read_file(path: str) -> bytes:
    # What was listed may have been exchanged since: neither a link is followed nor a pipe waited for.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if refusal := _judge_kind(facts.st_mode, facts.st_size):
                raise Unreadable(refusal)
            return _read_bounded(file)
    except OSError as error:
        raise Unreadable(f"it cannot be read ({error.strerror})") from None


def _read_bounded(file) -> bytes:
    raw = file.read(MAX_BYTES + 1)
    if refusal := _judge_kind(stat.S_IFREG, len(raw)):
        raise Unreadable(refusal)
    return raw


def _look_at_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Submission:
    name = printable(member.filename.replace("\\", "/"))
    mode = member.external_attr >> 16
    refusal = _judge_kind(mode if stat.S_IFMT(mode) else stat.S_IFREG, member.file_size)
    if member.flag_bits & 1:
        refusal = refusal or "it is encrypted"
    if member.compress_type not in _METHODS:
        refusal = refusal or "it is compressed in an unusual way"
    changed = float("".join(f"{part:02d}" for part in member.date_time))
    return Submission(name, refusal, changed, read=lambda: _read_member(archive, member))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(member) as file:
            return _read_bounded(file)
    except Unreadable:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds; whichever it is, this member is damaged
        raise Unreadable(f"it cannot be unpacked ({printable(str(error)) or type(error).__name__})") from None
