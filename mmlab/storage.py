"""Where the lab keeps what it need not compute twice, and how it writes files whole or not at all."""

import csv
import glob
import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmlab.errors import RunError, find_fix
from mmlab.progress import show_while

CHECKOUT = Path(__file__).resolve().parents[1]  # the folder that holds notebooks/ and requirements.lock, in a checkout
STALE_SECONDS = 3600  # a draft that was not written to for so long was left by a process that was killed
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins with one of these
_UMASK = threading.Lock()


def cache_folder(*parts: str) -> Path:
    """A folder of the user's cache, made if missing; the environment variable MMLAB_CACHE names another root."""
    import platformdirs

    root = os.environ.get("MMLAB_CACHE") or platformdirs.user_cache_path("mmlab")
    folder = Path(root).expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def format_csv(rows: Iterable[Iterable[Any]]) -> str:
    """A table for spreadsheets: a text that one would take for a formula begins with an apostrophe.

    It begins with the mark by which Excel knows UTF-8.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        table.writerow([f"'{one}" if isinstance(one, str) and one.startswith(FORMULA) else one for one in row])
    return "\ufeff" + text.getvalue()


def printable(text: str) -> str:
    """A name from outside with an escape for what is invisible, turns the writing direction or cannot be encoded."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def is_inside(path: Path | str, folder: Path | str) -> bool:
    """Whether a path is a folder or below it, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def write_atomic(path: Path | str, data: bytes | str) -> Path:
    """Write a file so that readers see the old one or the new one, never a part: temporary file, fsync, rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes 0600; results are shared with a group on clusters
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def draft_folder(folder: Path, is_complete: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder next to the final one to write into; it is moved there when all is written, removed when not.

    Of two processes that make the same one, the first one's stays. Raises RunError when it cannot be written.
    """
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield draft
        os.chmod(draft, 0o777 & ~umask())  # mkdtemp makes 0700; results are shared with a group on clusters
        if folder.exists() and not is_complete(folder):
            shutil.rmtree(folder)  # what an older, interrupted attempt left
        try:
            os.rename(draft, folder)
        except OSError:
            if not is_complete(folder):
                raise
    except OSError as error:
        fix = find_fix(error) or "Choose another folder"
        raise RunError(f"{folder}: cannot be written ({error.strerror}). {fix}.") from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def one_at_a_time(lock: Path, words: str) -> Iterator[None]:
    """Hold a lock file, which goes with its process however that ends; show `words` while it is waited for."""
    from filelock import FileLock, Timeout

    try:
        held = FileLock(lock).acquire(timeout=0.1)
    except Timeout:
        with show_while(words):
            held = FileLock(lock).acquire()
    with held:
        yield


def umask() -> int:
    with _UMASK:  # it can only be read by changing it, and another thread must not see the change
        mask = os.umask(0)
        os.umask(mask)
    return mask
