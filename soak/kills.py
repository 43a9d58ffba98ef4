"""Kills: commands that die by SIGKILL, at random moments and at each point where a file moves.

After each kill whatever looks final must read, and the next undisturbed call must leave the same bytes as a call that
nobody killed, and nothing of what the killed one has left. Linux only.
"""

import os
import pickle
import random
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soak import points, states
from soak.calls import CALLS, Call, Ended, Stage, begin, finish, open_stage, start, wait_for_orphans

# How many of a hundred kills belong to a call: those that take longest are killed least often.
SHARES = {
    "run": 1, "train": 5, "report": 4, "encode": 9, "grid": 4, "grade": 36, "demo": 3, "start": 36, "convert": 2,
}  # fmt: skip
CHOSEN = 0.7  # the share of kills at chosen points; the others come at random moments
SOUND = "the next call ends as if nothing had happened"


@dataclass
class Reference:
    """What an undisturbed call does: the points it passes, its seconds, its files. varies: those of no fixed bytes."""

    points: list[str]
    seconds: float
    files: dict[str, str]
    varies: set[str]


@dataclass
class Trial:
    """One kill. where: the point or the moment. faults: empty, if all is well."""

    call: str
    where: str
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    mib: float = 0.0


def run(
    count: int = 300, seed: int = 0, workers: int = 1, names: tuple[str, ...] = tuple(SHARES), spoil=None
) -> dict[str, Any]:
    """Kill so many calls; a table of calls and outcomes. workers: so many calls at a time.

    names: the calls. spoil: called in each process before its call, to show that the search finds a fault.
    """
    begun, total = time.monotonic(), sum(SHARES[name] for name in names)
    counts = {name: max(1, round(count * SHARES[name] / total)) for name in names}
    with open_stage(names) as stage:

        def search(own: tuple[str, ...]) -> list[Trial]:
            trials = []
            for name in own:
                reference, draw = refer(CALLS[name], stage), random.Random(f"{seed} {name}")
                trials += kill_often(CALLS[name], stage, reference, counts[name], draw, spoil)
            return trials

        trials = _share_out(search, [names[number::workers] for number in range(workers)], stage.root)
    return summarise(trials, seed, time.monotonic() - begun)


def _share_out(search: Callable[[tuple[str, ...]], list[Trial]], parts: list, root: Path) -> list[Trial]:
    """What `search` finds in each part, each in a process of its own: those fork, and a pool has threads."""
    processes = {}
    for number, part in enumerate(parts):
        if (process := os.fork()) == 0:
            try:
                (root / f"part{number}").write_bytes(pickle.dumps(search(part)))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        processes[process] = root / f"part{number}"
    ended = {process: os.waitpid(process, 0)[1] for process in processes}
    if any(ended.values()):
        raise RuntimeError("a part of the search has failed")
    return [trial for file in processes.values() for trial in pickle.loads(file.read_bytes())]


def refer(call: Call, stage: Stage) -> Reference:
    """Make the call twice, undisturbed, and look at what it leaves."""
    files, log = [], stage.root / f"{call.name}.log"
    for number, env in enumerate(({points.LOG: str(log)}, {})):
        place = begin(call, stage, stage.root / f"{call.name}-{number}")
        ended = finish(start(call, stage, place, env), place)
        if ended.status:
            raise RuntimeError(f"{call.name} fails when nobody kills it: {ended.said}")
        if damage := states.find_damage(place):
            raise RuntimeError(f"{call.name} leaves damage when nobody kills it: {damage}")
        files.append(states.snapshot(place))
        shutil.rmtree(place)
    one, other = files
    varies = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    return Reference(points.read_points(log), ended.seconds, one, varies)


def kill_often(
    call: Call, stage: Stage, reference: Reference, count: int, draw: random.Random, spoil: Callable | None
) -> Iterator[Trial]:
    """Trials at evenly spread points, in an order that is drawn, and at random moments."""
    chosen = min(len(reference.points), round(count * CHOSEN))
    places = draw.sample(range(1, len(reference.points) + 1), chosen)
    moments: list[tuple[int, float]] = [(number, 0.0) for number in sorted(places)]
    moments += [(0, draw.uniform(0, reference.seconds)) for _ in range(count - chosen)]
    for number, (at, after) in enumerate(moments):
        place = begin(call, stage, stage.root / f"{call.name}-{number}")
        trial = kill_once(call, stage, reference, place, at, after, spoil or (lambda: None))
        shutil.rmtree(place, ignore_errors=True)
        yield trial


def kill_once(
    call: Call, stage: Stage, reference: Reference, place: Path, at: int, after: float, spoil: Callable
) -> Trial:
    """Kill a call at point `at`, or after so many seconds if that is 0; look; call again; look."""
    where = f"at point {at} of {len(reference.points)}" if at else "at a random moment"
    log = place.with_suffix(".log")
    env = {points.LOG: str(log), points.AT: str(at)} if at else {}
    ended = finish(start(call, stage, place, env, spoil), place, after if not at else None)
    passed = points.read_points(log)
    if at and len(passed) >= at:
        where = f"{passed[at - 1]}"
    trial = Trial(call.name, where, seconds=ended.seconds, mib=ended.mib)
    if ended.status != -signal.SIGKILL:
        trial.where = "ended before the kill"
        if ended.status:
            trial.faults.append(f"it failed before it was killed: {_last_line(ended)}")
    if alive := wait_for_orphans(place):
        trial.faults.append(f"{len(alive)} processes outlive the call")
    trial.faults += [f"after the kill: {fault}" for fault in states.find_damage(place)]
    again = call_again(trial, call, stage, reference, place, spoil)
    trial.seconds, trial.mib = max(trial.seconds, again.seconds), max(trial.mib, again.mib)
    return trial


def call_again(
    trial: Trial, call: Call, stage: Stage, reference: Reference, place: Path, change: Callable = lambda: None
) -> Ended:
    """The next call, undisturbed: note as faults in what its end differs from that of an undisturbed call."""
    again = finish(start(call, stage, place, change=change), place)
    if again.status:
        trial.faults.append(f"the next call fails: {_last_line(again)}")
    else:
        wait_for_orphans(place)
        trial.faults += states.compare(states.snapshot(place), reference.files, reference.varies)
        trial.faults += [f"{name} is left over" for name in states.find_leftovers(place)]
    return again


def summarise(trials: list[Trial], seed: int, seconds: float) -> dict[str, Any]:
    """The table: for each call how many kills, where, and what came of them."""
    outcomes = Counter("sound" if not one.faults else "faulty" for one in trials)
    table = {}
    for name in dict.fromkeys(one.call for one in trials):
        own = [one for one in trials if one.call == name]
        table[name] = {
            "kills": sum(one.where != "ended before the kill" for one in own),
            "sound": sum(not one.faults for one in own),
            "where": dict(sorted(Counter(one.where for one in own).items())),
            "worst_seconds": max(one.seconds for one in own),
            "worst_mib": max(one.mib for one in own),
        }
    faults = [asdict(one) for one in trials if one.faults]
    return {"seed": seed, "outcomes": dict(outcomes), "seconds": round(seconds), "calls": table, "faults": faults}


def _last_line(ended: Ended) -> str:
    lines = ended.said.strip().splitlines() or [f"status {ended.status}"]
    return lines[-1][:300]
