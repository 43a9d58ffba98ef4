"""The points at which a process is killed: before and after each call that moves, removes or seals a file.

`arm` puts a counter around these calls of the operating system. The environment of a process says where its counts go
and at which number it dies, so that a process which was forked from an armed one counts too.
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path

LOG, AT, VICTIM = "SOAK_LOG", "SOAK_AT", "SOAK_VICTIM"  # a file; a number; the process that dies together with this one
CALLS = ("replace", "rename", "link", "unlink", "fsync")  # fsync: a file is written and not yet in its place
_WIDTH = 32  # bytes of a line of the log


def arm() -> None:
    """From now on the calls of this process, and of those that it forks, are counted where LOG is set."""
    for name in CALLS:
        setattr(os, name, _counted(name, getattr(os, name)))


def _counted(name: str, real: Callable) -> Callable:
    @functools.wraps(real)
    def call(*arguments, **options):
        _pass(f"before {name}")
        value = real(*arguments, **options)
        if name in ("replace", "rename", "link"):
            _pass(f"after {name}")
        return value

    return call


def _pass(point: str) -> None:
    if not (log := os.environ.get(LOG)):
        return
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{point:<{_WIDTH - 1}}\n".encode())
    number = os.lseek(file, 0, os.SEEK_CUR) // _WIDTH
    os.close(file)
    if number == int(os.environ.get(AT, 0)):
        if victim := int(os.environ.get(VICTIM, 0)):
            os.kill(victim, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def read_points(log: Path) -> list[str]:
    """The points that were passed, in order."""
    return [line.strip() for line in log.read_text().splitlines()] if log.exists() else []
