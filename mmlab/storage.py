"""Where the lab keeps what it need not compute twice; how it reads files it does not trust and writes files whole."""

import csv
import errno
import getpass
import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmlab.errors import ConfigError, writing
from mmlab.progress import show_while

CHECKOUT = Path(__file__).resolve().parents[1]  # the folder that holds notebooks/ and requirements.lock, in a checkout
STALE_SECONDS = 3600  # what another machine's process has not written to for so long, it left when it was killed
LARGEST = 2**30  # bytes of a file that is read at once, unless its reader says less
LARGEST_WEIGHTS = 2**36  # bytes of a file of weights
SEAL = "digest"  # in a JSON file: of its other values
CHANGED = "it was changed after it was written"
# A spreadsheet computes a cell that begins with one of these; the wide ones, where East Asian letters are typed.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_LEFT = re.compile(r"\.([0-9a-f]{8})-(\d+)\.")  # `_owner` in a name
_TIDIED: set[Path] = set()
_UMASK = threading.Lock()


def cache_folder(*parts: str) -> Path:
    """A folder of the user's cache, made if missing; the environment variable MMLAB_CACHE names another root."""
    folder = _cache_root().joinpath(*parts)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cache_root() -> Path:
    import platformdirs

    return expand(os.environ.get("MMLAB_CACHE") or platformdirs.user_cache_path("mmlab"))


def expand(path: Path | str) -> Path:
    """A path with the home folder for `~`. Raises ConfigError for the home folder of a user that there is not."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: nobody here has this home folder. Write the path out, from / on.") from None


def _writing(path: Path):
    """`writing`, which knows how another cache is chosen."""
    in_cache = path.is_relative_to(_cache_root())
    return writing(path, *["Set MMLAB_CACHE to a folder that you may write to"][:in_cache])


def format_csv(rows: Iterable[Iterable[Any]]) -> str:
    """A table for spreadsheets: a text that one would take for a formula gets an apostrophe in front (OWASP's remedy).

    Programs read it as any CSV, with the apostrophe; numbers stay numbers. It begins with the mark by which Excel knows
    UTF-8.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)  # lines end in \r\n: only so does csv, before Python 3.13, put quotes around a lone \r
    for row in rows:
        table.writerow([f"'{one}" if isinstance(one, str) and one.startswith(FORMULA) else one for one in row])
    return "\ufeff" + text.getvalue()


def printable(text: str, keep: str = "") -> str:
    """A text from outside with an escape for what is invisible, turns the writing direction or cannot be encoded.

    keep: letters that stay as they are, such as the end of a line.
    """
    return "".join(one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text)


def is_inside(path: Path | str, folder: Path | str) -> bool:
    """Whether a path is a folder or below it, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def read_file(path: Path | str, largest: int = LARGEST, follow: bool = True) -> bytes:
    """The bytes of a regular file. follow: go where a symbolic link points.

    Raises OSError, whose `strerror` says it in plain words, for a folder, a pipe, a device or a socket, which may never
    end, and for more than `largest` bytes: nothing of them is read.
    """
    with _open_regular(path, largest, follow) as file:
        size = os.fstat(file.fileno()).st_size  # Python sets aside as much memory as is asked for
        raw = file.read(size + 1)
        if len(raw) > size:  # it has grown
            raw += file.read(largest + 1 - len(raw))
    _refuse_size(path, len(raw), largest)
    return raw


@contextmanager
def _open_regular(path: Path | str, largest: int, follow: bool) -> Iterator[io.BufferedReader]:
    flags = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_CLOEXEC"):  # a pipe is not waited for
        flags |= getattr(os, name, 0)
    try:
        facts = os.stat(path, follow_symlinks=follow)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "there is no such file", str(path)) from None
    _refuse(path, facts, largest)  # opening a device may already do something
    with os.fdopen(os.open(path, os.O_RDONLY | flags), "rb") as file:
        _refuse(path, os.fstat(file.fileno()), largest)
        try:
            yield file
        except OSError as error:  # of a disk, or of what only looks like a file: it names no file
            raise OSError(error.errno, error.strerror, str(path)) from None


def _refuse(path: Path | str, facts: os.stat_result, largest: int) -> None:
    kinds = {stat.S_ISDIR: "it is a folder", stat.S_ISLNK: "it is a symbolic link", stat.S_ISFIFO: "it is a pipe"}
    if not stat.S_ISREG(facts.st_mode):
        what = next((words for test, words in kinds.items() if test(facts.st_mode)), "it is a device or a socket")
        raise OSError(errno.EINVAL, f"{what}, not a regular file", str(path))
    _refuse_size(path, facts.st_size, largest)


def _refuse_size(path: Path | str, size: int, largest: int) -> None:
    if size > largest:
        have, most = (f"{one / 1e6:,.0f} MB" if one >= 1e6 else f"{one:,} bytes" for one in (size, largest))
        raise OSError(errno.EFBIG, f"it has {have}, more than the {most} that are read", str(path))


def digest_file(path: Path, remembered: bool = False) -> str:
    """SHA-256 of a regular file, 64 hex digits. remembered: of an earlier reading, if its size and times are the same.

    Weights are large, and every process needs theirs. Raises OSError as `read_file` does.
    """
    if not remembered:
        with _open_regular(path, sys.maxsize, True) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    facts = path.stat()
    state = f"{path} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"
    name = hashlib.sha256(state.encode()).hexdigest()[:32]
    note = cache_folder("digests") / f"{name}.json"
    with suppress(OSError, ValueError, LookupError):
        known = unseal_json(read_file(note))
        if known["of"] == name and re.fullmatch("[0-9a-f]{64}", str(known["sha256"])):  # no other note under its name
            return known["sha256"]
    digest = digest_file(path)
    with suppress(OSError):  # in a cache that others may only read, each computes it
        write_atomic(note, seal_json({"of": name, "sha256": digest}))
    return digest


def seal_bytes(content: bytes) -> bytes:
    """The content behind its digest, which `unseal_bytes` holds it against."""
    return hashlib.sha256(content).digest() + content


def unseal_bytes(raw: bytes) -> bytes:
    """The content. Raises ValueError where one bit of it or of its digest is not as it was sealed."""
    if hashlib.sha256(raw[32:]).digest() != raw[:32]:
        raise ValueError(CHANGED)
    return raw[32:]


def seal_json(record: dict[str, Any], **options: Any) -> str:
    """JSON that also holds a digest of its values, which `unseal_json` holds them against. options: of `json.dumps`.

    Raises ValueError and TypeError for what JSON cannot hold.
    """
    plain = json.loads(json.dumps(record, allow_nan=False, **options))
    return json.dumps({**plain, SEAL: _digest_values(plain)}, indent=1, ensure_ascii=False) + "\n"


def unseal_json(raw: bytes) -> dict[str, Any]:
    """The values, without the digest. Raises ValueError where one of them is not as it was sealed."""
    try:
        record = json.loads(raw.decode("utf-8"))
        if record.pop(SEAL) != _digest_values(record):
            raise ValueError(CHANGED)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it has no digest that would show whether it is as it was written") from None
    except RecursionError:
        raise ValueError(CHANGED) from None
    return record


def _digest_values(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def write_atomic(path: Path | str, data: bytes | str) -> Path:
    """Write a file so that readers see the old one or the new one, never a part: temporary file, fsync, rename.

    Raises DiskError, and leaves no temporary file, where the disk refuses it. A device or a pipe is not replaced.
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):  # where root may, a rename takes /dev/null away
        with writing(path, "Name another file"):
            _refuse(path, os.stat(path), LARGEST)
    with _writing(path):
        if not _LEFT.search(path.parent.name):  # a draft that was removed meanwhile does not begin in its middle
            path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}{_owner()}", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                # Of a name that is no UTF-8, Python has halves of letters. In JSON such an escape means the same.
                file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes 0600; results are shared with a group on clusters
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return path


def _owner() -> str:
    """What a temporary name says of the process that made it: `.<digits of the machine>-<process>.`"""
    return f".{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}-{os.getpid()}."


def tidy(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder: once for each folder and process."""
    if folder in _TIDIED:
        return
    _TIDIED.add(folder)
    machine = _LEFT.search(_owner())[1]
    with suppress(OSError):
        for entry in os.scandir(folder):
            if not entry.name.startswith((".", "mmlab.")) or not (found := _LEFT.search(entry.name)):
                continue
            here = found[1] == machine and sys.platform != "win32"  # there, signal 0 would end the process
            with suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > STALE_SECONDS if not here else not _is_alive(int(found[2])):
                    remove = shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.unlink
                    remove(entry.path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that only this user can read, for as long as the block lasts."""
    root = Path(tempfile.gettempdir())
    tidy(root)
    with writing(root, "Set TMPDIR to a folder that you may write to"):
        made = tempfile.TemporaryDirectory(prefix=f"mmlab{_owner()}", dir=root, ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder)


@contextmanager
def draft_folder(folder: Path, is_complete: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder next to the final one to write into; it is moved there when all is written, removed when not.

    Of two processes that make the same one, the first one's stays. What is there and is not complete is replaced, and
    stays whole until then. Raises DiskError when it cannot be written.
    """
    draft = None
    with writing(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            tidy(folder.parent)
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name[:120]}{_owner()}", dir=folder.parent))
            yield draft
            os.chmod(draft, 0o777 & ~umask())  # mkdtemp makes 0700; results are shared with a group on clusters
            _put(draft, folder, is_complete)
        finally:
            if draft is not None:
                shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, folder: Path, is_complete: Callable[[Path], bool]) -> None:
    """Move a draft to its place. The older folder there is moved aside first: half removed, it would look like one."""
    aside = draft.with_name(f"{draft.name}.older")
    if folder.exists() and not is_complete(folder):
        os.rename(folder, aside)
    try:
        os.rename(draft, folder)
    except OSError:
        if not is_complete(folder):
            if aside.exists() and not folder.exists():
                os.rename(aside, folder)
            raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def one_at_a_time(lock: Path, words: str) -> Iterator[None]:
    """Hold a lock file, which goes with its process however that ends.

    While another process holds it, `words` and what that process has written into the file are shown. On a file system
    without locks filelock looks whether the process that it finds in the file is alive, which it can tell for this
    machine. Raises DiskError where the file cannot be written.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    with _writing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(lock).acquire(timeout=0.1)
        except Timeout:
            with show_while(f"{words} {_read_holder(lock)}".rstrip()):
                held = FileLock(lock).acquire()
        if not isinstance(held.lock, SoftFileLock):
            with suppress(OSError, KeyError):  # Windows lets nobody read or write a locked file; a user without name
                holder = f"(process {os.getpid()} of {getpass.getuser()} on {platform.node()})"
                lock.write_text(holder, encoding="utf-8")
    with held:
        yield


def _read_holder(lock: Path) -> str:
    with suppress(OSError, ValueError):
        holder = lock.read_text(encoding="utf-8")[:200]
        return printable(holder) if holder.startswith("(") else ""
    return ""


def umask() -> int:
    with _UMASK:  # it can only be read by changing it, and another thread must not see the change
        mask = os.umask(0)
        os.umask(mask)
    return mask
