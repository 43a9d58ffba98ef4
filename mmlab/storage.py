"""Where the lab keeps what it need not compute twice, and how it writes files whole or not at all."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]  # the folder that holds notebooks/ and requirements.lock, in a checkout

_UMASK = threading.Lock()


def cache_folder(*parts: str) -> Path:
    """A folder of the user's cache, made if missing; the environment variable MMLAB_CACHE names another root."""
    import platformdirs

    root = os.environ.get("MMLAB_CACHE")
    folder = Path(root).expanduser() if root else platformdirs.user_cache_path("mmlab")
    folder = folder.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_atomic(path: Path | str, data: bytes | str) -> Path:
    """Write a file so that readers see the old one or the new one, never a part: temporary file, fsync, rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = data.encode("utf-8") if isinstance(data, str) else data
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes 0600; results are shared with a group on clusters
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


@contextmanager
def one_at_a_time(lock: Path, words: str) -> Iterator[None]:
    """Hold a lock file, which goes with its process however that ends; print `words` where it has to be waited for."""
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        held.acquire(timeout=0.1)
    except Timeout:
        print(words, file=sys.stderr, flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def umask() -> int:
    """The permissions that new files of this process do not get."""
    with _UMASK:  # it can only be read by changing it, and another thread must not see the change
        mask = os.umask(0)
        os.umask(mask)
    return mask
