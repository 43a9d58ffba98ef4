"""The prediction files in a folder or a zip: who handed in what, the newest of each, and what is not read.

Names and sizes are looked at first; only the newest file of each student is ever opened. Whatever is not a plain file
of sensible size is refused by name. A faulty file never stops the others.
"""

import json
import os
import posixpath
import re
import shlex
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mmlab.errors import ConfigError, MmlabError
from mmlab.storage import printable, read_file

CSV, JSON, PAGE, FEEDBACK = "grades.csv", "grades.json", "index.html", "feedback"  # what a folder of grades holds
MAX_BYTES = 5_000_000  # of one file; 50,000 answers take a fifth of it
STUDENT, TIME = "student", "time"  # the named groups of a pattern
_MARKED_UTF8 = 0x800  # the bit of a zip's member
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound
_HIDDEN = ("thumbs.db", "desktop.ini")  # Windows writes them into folders
_UNFIT = "its name does not fit the pattern"
_EMPTY = "it is an empty folder; hand in the file itself"
_SECONDS = 10  # for all names together
_MATCHER = """\
import json, re, sys
pattern, names = json.load(sys.stdin)
found = [re.fullmatch(pattern, name) for name in names]
json.dump([one.groupdict("") if one else {} for one in found], sys.stdout)
"""


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
    its whole path where the pattern holds a slash. Without one the student is the name without its suffix, and such a
    name must not be in two folders. The newest is the one with the largest time, or without one the file that was
    changed last. Raises ConfigError for a pattern that cannot be used or is missing, and MmlabError for a place that is
    no folder and no zip or holds nothing to grade.
    """
    _check_pattern(pattern)
    if place.is_dir():
        yield _sort(place, _find_students(place, _list_folder(place), pattern))
        return
    if not place.is_file():
        raise MmlabError(f"{place}: there is no such folder or zip. Name the place of the prediction files.")
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        why = printable(str(error).rstrip("."))
        fix = "Fetch it again, or unpack it and name the folder"
        raise MmlabError(f"{place}: is no folder and no zip that can be opened ({why}). {fix}.") from None
    with archive:
        yield _sort(place, _find_students(place, _list_zip(archive), pattern))


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"--pattern {pattern!r} is no regular expression ({error}).") from None
    if STUDENT not in groups:
        raise ConfigError(f"--pattern {pattern!r} has no group (?P<{STUDENT}>...), which says who handed a file in.")


def _sort(place: Path, found: list[Submission]) -> Collected:
    if not found:
        raise MmlabError(f"{place}: there is no file in it. Name the place of the prediction files.")
    newest: dict[str, Submission] = {}
    older = []
    for one in sorted((one for one in found if one.student), key=lambda one: (one.time, one.changed, one.name)):
        if one.student in newest:
            older.append(newest[one.student])
        newest[one.student] = one
    stray = sorted((one for one in found if not one.student), key=lambda one: (one.refusal != _UNFIT, one.name))
    if not newest:
        example = f"for example {stray[0].name}: {stray[0].refusal}"
        fix = "Mend --pattern" if stray[0].refusal == _UNFIT else "Name the place of the prediction files"
        raise MmlabError(f"{place}: there is no file of a student, {example}. {fix}.")
    return Collected([newest[student] for student in sorted(newest, key=_natural)], older, stray)


def _natural(text: str) -> tuple:
    """A key that sorts 9 before 10, whatever is around the numbers."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(int(part[:4000]) if number % 2 else part for number, part in enumerate(parts))


def _find_students(place: Path, found: Iterable[Submission], pattern: str | None) -> list[Submission]:
    """The submissions with their students and times, as far as their names tell them."""
    named, nobodys = _set_aside(list(found))
    if pattern is None:
        stems = [PurePosixPath(one.name).stem for one in named]
        named = [replace(one, student=stem if stem.strip() else repr(stem)) for one, stem in zip(named, stems)]
        _check_folders(place, named)
    else:
        matched = _match(pattern, [one.name if "/" in pattern else PurePosixPath(one.name).name for one in named])
        named = [_take_groups(one, groups) for one, groups in zip(named, matched, strict=True)]
    return named + nobodys


def _take_groups(one: Submission, groups: dict[str, str]) -> Submission:
    student = groups.get(STUDENT, "").strip()
    refusal = one.refusal or ("" if student else _UNFIT)
    return replace(one, student=student, time=_natural(groups.get(TIME, "")), refusal=refusal)


def _set_aside(found: list[Submission]) -> tuple[list[Submission], list[Submission]]:
    """(what a student may have handed in, what is nobody's with the reason). Grades are one entry for their folder."""
    grades = tuple(_find_grades({one.name for one in found}))
    named, nobodys = [], [Submission(folder or ".", "these are grades that mmlab wrote") for folder in grades]
    for one in found:
        if one.name.startswith(grades):
            continue
        refusal = _judge_name(one.name)
        (nobodys if refusal else named).append(replace(one, refusal=refusal or one.refusal))
    return named, nobodys


def _find_grades(names: set[str]) -> Iterator[str]:
    """The folders of grades, each with its slash at the end; "" for the place itself."""
    for name in names:
        folder = name.removesuffix(JSON)
        if PurePosixPath(name).name == JSON and {folder + CSV, folder + PAGE} <= names:
            if any(other.startswith(f"{folder}{FEEDBACK}/") for other in names):
                yield folder


def _judge_name(name: str) -> str:
    """Why a file of this name is no student's, or ""."""
    path = PurePosixPath(name)
    if "__MACOSX" in path.parts or path.name.startswith(".") or path.name.lower() in _HIDDEN:
        return "it is a hidden file of an operating system"
    leads_out = path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:/", name)
    return "its name leads out of the folder" if leads_out else ""


def _check_folders(place: Path, named: list[Submission]) -> None:
    """Raise ConfigError where one name is in several folders: it may be of one student, or of another one in each."""
    folders: dict[str, set[str]] = {}
    for one in named:
        folders.setdefault(one.student, set()).add(str(PurePosixPath(one.name).parent))
    student, several = max(folders.items(), key=lambda item: len(item[1]), default=("", ()))
    if len(several) > 1:
        above = posixpath.commonpath(several)
        by_folder = shlex.quote(f"{re.escape(above)}{'/' * bool(above)}(?P<{STUDENT}>[^/]+)/.*")
        by_name = shlex.quote(rf"(?P<{STUDENT}>.+)\.[^.]*")
        fix = f"Say who handed in what: --pattern {by_folder} takes the folder, --pattern {by_name} the name"
        raise ConfigError(f"{place}: a file named {student} is in {len(several)} folders. {fix}.")


def _match(pattern: str, names: list[str]) -> list[dict[str, str]]:
    """The groups found in each name, none where the pattern does not fit. Some patterns take years for some names, and
    nothing but the end of its process stops a match."""
    command = [sys.executable, "-I", "-S", "-c", _MATCHER]
    order = json.dumps([pattern, names])
    try:
        done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        fix = "Write it without a repetition inside a repetition"
        raise ConfigError(f"--pattern {pattern!r} cannot be matched in {_SECONDS} s. {fix}.") from None
    return json.loads(done.stdout)


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
        if not entries and folder.suffix and folder != root:
            yield Submission(_inside(root, folder), _EMPTY)
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
    name = path.relative_to(root).as_posix()
    return printable(name.replace("\\", r"\\"))  # so that two names never look the same


def _judge_kind(mode: int, size: int) -> str:
    """Why a file is not read, or ""."""
    if stat.S_ISLNK(mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(mode):
        return "it is no regular file"
    return f"it is larger than {MAX_BYTES // 10**6} MB; hand in the table alone" if size > MAX_BYTES else ""


def _read_file(path: str) -> bytes:
    try:
        return _check_packed(read_file(path, MAX_BYTES, follow=False))  # it may have been exchanged since it was listed
    except OSError as error:
        raise Unreadable(f"it cannot be read ({error.strerror})") from None


def _read_bounded(file) -> bytes:
    raw = file.read(MAX_BYTES + 1)
    if refusal := _judge_kind(stat.S_IFREG, len(raw)):
        raise Unreadable(refusal)
    return _check_packed(raw)


def _check_packed(raw: bytes) -> bytes:
    if raw.startswith(b"PK\3\4"):
        raise Unreadable("it is a zip or a spreadsheet; hand in the text file itself")
    return raw


def _list_zip(archive: zipfile.ZipFile) -> Iterator[Submission]:
    """Every file in a zip, and each folder that is named like a file and empty."""
    members = archive.infolist()
    filled = {folder.as_posix() for member in members for folder in PurePosixPath(member.filename).parents}
    for member in members:
        if not member.is_dir():
            yield _look_at_member(archive, member)
        elif (folder := PurePosixPath(member.filename)).suffix and folder.as_posix() not in filled:
            yield Submission(_read_name(member).rstrip("/"), _EMPTY)


def _read_name(member: zipfile.ZipInfo) -> str:
    """The name of a member as it can be shown. One that is not marked as UTF-8 may be so all the same (macOS), or be in
    the charset of a Chinese Windows, of which every letter has two bytes above 127; Python takes it for code page 437.
    """
    name = member.filename
    if not member.flag_bits & _MARKED_UTF8 and not name.isascii():
        with suppress(UnicodeError):
            raw = name.encode("cp437")
            with suppress(UnicodeError):
                chinese = re.fullmatch(rb"(?:[\0-\x7f]|[\x81-\xfe][\x80-\xfe])*", raw)
                name = raw.decode("gb18030") if chinese else name
            with suppress(UnicodeError):
                name = raw.decode("utf-8")
    return printable(name.replace("\\", "/"))


def _look_at_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Submission:
    name = _read_name(member)
    mode = member.external_attr >> 16
    refusal = _judge_kind(mode if stat.S_IFMT(mode) else stat.S_IFREG, member.file_size)
    if member.flag_bits & 1:
        refusal = refusal or "it is encrypted; pack it without a password"
    if member.compress_type not in _METHODS:
        refusal = refusal or "it is compressed in an unusual way; pack it with the method Deflate"
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
