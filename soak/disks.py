"""Full disks: the k-th file that a call brings to the disk is refused, with no space, no quota or too large.

The call must end with one message that names a file and says what to do, leave nothing damaged, and the next call must
leave the same bytes as an undisturbed one. Linux only.
"""

import errno
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soak import states
from soak.calls import CALLS, Call, Stage, begin, finish, open_stage, start
from soak.kills import Reference, Trial, call_again, refer, summarise

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHARES = {"train": 10, "report": 10, "encode": 20, "grade": 30, "start": 30}
FIXES = ("Free some space there", "Raise the limit on the size of files")


def run(count: int = 60, seed: int = 0, workers: int = 1, names: tuple[str, ...] = tuple(SHARES)) -> dict[str, Any]:
    """Refuse one write of so many calls; a table of calls and outcomes. workers: not used, one call at a time."""
    draw, begun, trials = random.Random(seed), time.monotonic(), []
    total = sum(SHARES[name] for name in names)
    with open_stage(names) as stage:
        for name in names:
            reference = refer(CALLS[name], stage)
            writes = reference.points.count("before fsync")
            for number in range(max(1, round(count * SHARES[name] / total))):
                place = begin(CALLS[name], stage, stage.root / f"{name}-{number}")
                refused = draw.randint(1, writes) if writes else 0, draw.choice(REFUSALS)
                trials.append(refuse_once(CALLS[name], stage, reference, place, *refused))
                shutil.rmtree(place, ignore_errors=True)
    return summarise(trials, seed, time.monotonic() - begun)


def refuse_once(call: Call, stage: Stage, reference: Reference, place: Path, at: int, code: int) -> Trial:
    """Refuse write `at` of a call; look; call again; look."""
    ended = finish(start(call, stage, place, change=lambda: _refuse(at, code)), place)
    trial = Trial(call.name, errno.errorcode[code], seconds=ended.seconds, mib=ended.mib)
    said = [line for line in ended.said.splitlines() if "mmlab: " in line or "Traceback" in line]
    if ended.status == 0:
        trial.where += ", which does not matter"  # a note of the cache, which the next call makes again
    elif len(said) != 1 or "cannot be written" not in said[0] or not any(fix in said[0] for fix in FIXES):
        trial.faults.append(f"not one message with a file and a fix: {said or ended.said[-300:]}")
    trial.faults += [f"after the refusal: {fault}" for fault in states.find_damage(place)]
    call_again(trial, call, stage, reference, place)
    return trial


def _refuse(at: int, code: int) -> None:
    real: Callable = os.fsync
    seen: Counter = Counter()

    def fsync(file: int) -> None:
        seen["writes"] += 1
        if seen["writes"] == at:
            raise OSError(code, os.strerror(code))
        real(file)

    os.fsync = fsync
