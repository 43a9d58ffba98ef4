"""One call in a process of its own, which may take so much time and so much memory, and no more."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 2**20
CLOCK = 10  # a call may take so many times its processor time by the clock: other work shares the machine
_PAGE, _LOOK = resource.getpagesize(), 0.05  # bytes; seconds between two looks at a child


@dataclass(frozen=True)
class Call:
    """How a call ended. value: what it returned, when `ended` is "returned"."""

    ended: str  # "returned", "died", "hang" or "over memory"
    value: Any
    seconds: float  # of the processor, or by the clock for one that was stopped
    mib: float  # the most memory that the process held at a time


def call_in_child(function: Callable[..., Any], *arguments: Any, seconds: float = 20, mib: float = 2048) -> Call:
    """Call a function in a forked process: what this one has imported is there, and what it does stays there.

    seconds: of processor time, or ten times as many by the clock. mib: of resident memory, 2**20 bytes.
    """
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_answer, args=(theirs, function, arguments))
    start = time.monotonic()
    child.start()
    theirs.close()
    ended, most = "", 0.0
    try:
        while not ended and not ours.poll(_LOOK):
            most = max(most, resident_mib(child.pid))
            if most > mib:
                ended = "over memory"
            elif processor_seconds(child.pid) > seconds or time.monotonic() - start > CLOCK * seconds:
                ended = "hang"
        value, spent, held = (None, time.monotonic() - start, most) if ended else ours.recv()
    except EOFError:
        ended, value, spent, held = "died", None, time.monotonic() - start, most
    finally:
        child.kill()
        child.join()
        ours.close()
    if not ended:
        ended = "over memory" if held > mib else "hang" if spent > seconds else "returned"
    return Call(ended, value, round(spent, 3), round(max(most, held), 1))


def _answer(pipe, function: Callable[..., Any], arguments: tuple) -> None:
    before = time.process_time()
    value = function(*arguments)
    pipe.send((value, time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def processor_seconds(process: int) -> float:
    """The processor time that a process has used; 0 for one that has ended."""
    try:
        numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def resident_mib(process: int) -> float:
    """The memory that a process holds now, in 2**20 bytes; 0 for one that has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / MIB
    except (OSError, IndexError):  # it has ended
        return 0.0
