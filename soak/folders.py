"""Course folders with one to three kinds of damage: is what is read from them right?

Each folder is read in a process of its own, with 2 GiB of memory and 20 s of processor time: the course, its health
report, what `mmlab check` prints, report.yml, and the gallery of notebook 01. What is read is compared with what the
damages declare: the pairs with their labels, texts and pixels, what is listed and counted, the twins and the split; or
one MmlabError that names the file and the fix.
"""

import importlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from mmlab.errors import MmlabError
from soak.children import call_in_child
from soak.course import Damaged, Skip, Taken, make_course
from soak.expected import differences, expect, find_odd
from soak.kinds import KINDS

SECONDS, MIB = 20, 2048  # of processor time; of memory, in 2**20 bytes
LONGEST = 4000  # letters of a message that a user is expected to read
OUTCOMES = ("right", "one clear error", "skipped", "foreign exception", "hang", "over memory", "silently wrong")
GOOD = OUTCOMES[:3]
DRAWN = ("texts", "guids")  # the files whose kinds can be seen in a gallery
LAST = "whole"  # what moves the folder comes after all other damage


@dataclass(frozen=True)
class Trial:
    """One folder. why: what is wrong with what was read, empty for an outcome in GOOD."""

    kinds: tuple[str, ...]
    seed: int
    outcome: str
    why: str
    seconds: float
    mib: float


def run(count: int = 5000, seed: int = 0, workers: int = 1) -> dict[str, Any]:
    """Try every kind alone, then folders with one to three kinds drawn by seed, `count` in all.

    Returns counts by outcome and by kind, the worst seconds and MiB, and each folder that went wrong with the kinds and
    the seed that make it again: `try_folder(kinds, seed)`.
    """
    _warm()
    jobs = list(draw_jobs(count, seed))
    if workers == 1:
        return _summarise(list(_tell_wrong(starmap(try_folder, jobs))), seed)
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        trials = pool.map(try_folder, *zip(*jobs, strict=True), chunksize=8)
        return _summarise(list(_tell_wrong(trials)), seed)


def _tell_wrong(trials: Iterable[Trial]) -> Iterator[Trial]:
    """The same trials; those that went wrong are printed when they are found, and now and then how many are done."""
    for number, trial in enumerate(trials, 1):
        if number % 500 == 0:
            print(f"{number} folders", file=sys.stderr, flush=True)
        if trial.outcome not in GOOD:
            print(trial, file=sys.stderr, flush=True)
        yield trial


def draw_jobs(count: int, seed: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Names of kinds and a seed, for each folder: every kind alone first."""
    names, random = list(KINDS), np.random.default_rng(seed)
    for number in range(count):
        alone = number < len(names)
        drawn = [number] if alone else random.choice(len(names), random.integers(1, 4), replace=False)
        yield tuple(names[one] for one in drawn), seed * 10**6 + number


def _warm() -> None:
    """Import and make here, once, what every child would by itself."""
    for name in ("PIL.Image", "mmlab.plots.style", "mmlab.report.words", "rich.table"):
        importlib.import_module(name)
    sys.modules["PIL.Image"].init()
    sys.modules["mmlab.plots.style"].fit_text("words", 1.0, 1, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        read_folder(make_course(Path(folder) / "course", 0).root, True)


def try_folder(names: Sequence[str], seed: int, read: Callable[[Path, bool], Any] | None = None) -> Trial:
    """Make a course folder, damage it in these ways and judge what is read from it.

    Kinds that want the same thing cannot both be had: the later one is left out, and so is one that this machine cannot
    do (root reads every file). read: see `read_folder`.
    """
    base = Path(tempfile.mkdtemp(prefix="mmlab-soak-"))
    try:
        damaged = make_course(base / "course", seed)
        done = []
        for name in sorted(names, key=lambda name: KINDS[name].theme == LAST):
            try:
                KINDS[name](damaged)
                done.append(name)
            except Taken:
                continue
            except Skip:  # it may have begun: start again without it
                others = [one for one in names if one != name]
                return try_folder(others, seed, read) if others else Trial((name,), seed, "skipped", "", 0.0, 0.0)
        drawn = len(names) == 1 and KINDS[names[0]].theme in DRAWN
        call = call_in_child(_judge, read or read_folder, damaged, drawn, seconds=SECONDS, mib=MIB)
        outcome, why = call.value if call.ended == "returned" else (call.ended, "")
        if outcome == "died":
            outcome, why = "foreign exception", "the process ended without an answer"
        return Trial(tuple(done), seed, outcome, why, call.seconds, call.mib)
    finally:
        _remove(base)


def _remove(folder: Path) -> None:
    shutil.rmtree(os.fsencode(folder), ignore_errors=True)


def read_folder(root: Path, drawn: bool) -> tuple[Any, str]:
    """The course, and what `mmlab check` prints of it. drawn: with the gallery of notebook 01 too."""
    from mmlab.cli.app import check
    from mmlab.course import normalise_for_twins, read_course

    course = read_course(root)
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # strict, as a terminal is
    again = patch("mmlab.course.read_course", lambda *_, **__: course)  # `check` needs not read it another time
    with again, redirect_stdout(printed), redirect_stderr(printed):
        check(root)
    printed.flush()
    json.dumps(course.health.to_dict()).encode("utf-8")
    if drawn:
        from mmlab import plots

        course.pairs.text.map(normalise_for_twins)
        plots.plot_gallery(course.pairs.sort_values("text", key=lambda text: -text.str.len()), n=1)
    return course, printed.buffer.getvalue().decode("utf-8")


def _judge(read: Callable[[Path, bool], Any], damaged: Damaged, drawn: bool) -> tuple[str, str]:
    """(outcome, why) of one folder, in its own process."""
    cache = damaged.root.parent / "cache"
    os.environ["MMLAB_CACHE"] = str(cache)
    try:
        problem = _judge_options(damaged)
        if problem:
            return "silently wrong", problem
        course, printed = read(damaged.root, drawn)
    except MmlabError as error:
        return _judge_message(str(error), damaged)
    except MemoryError:
        return "over memory", ""
    except BaseException:
        return "foreign exception", traceback.format_exc()[-1500:]
    try:
        wrong = differences(course, printed, damaged)
    except Exception:
        return "silently wrong", traceback.format_exc()[-1500:]
    return ("silently wrong", "; ".join(wrong)[:1500]) if wrong else ("right", "")


def _judge_options(damaged: Damaged) -> str:
    """What is wrong with how report.yml is read, or an empty text."""
    from mmlab.report.words import ReportOptions

    path = damaged.root.parent / "report.yml"
    try:
        found = ReportOptions.read(path)
    except MmlabError as error:
        return "" if damaged.options_refused and _fits(str(error), damaged.options_refused) else f"report.yml: {error}"
    if damaged.options_refused:
        return f"report.yml is read as {found}"
    return "" if found == ReportOptions(**damaged.options or {}) else f"report.yml is read as {found}"


def _fits(message: str, patterns: Iterable[str]) -> bool:
    return all(re.search(pattern, message, re.DOTALL) for pattern in patterns)


def _judge_message(message: str, damaged: Damaged) -> tuple[str, str]:
    from mmlab.cli.output import print_error

    expect(damaged)  # adds what a test pair without anything is refused with
    if not any(_fits(message, patterns) for patterns in damaged.refusals):
        return "silently wrong", f"refused with {message[:1000]!r}; declared: {damaged.refusals}"
    if len(message) > LONGEST:
        return "silently wrong", f"a message of {len(message)} letters"
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stderr(shown):
        print_error(message)
    shown.flush()
    if odd := find_odd(shown.buffer.getvalue().decode("utf-8")):
        return "silently wrong", f"a message with {odd}"
    return "one clear error", ""


def _summarise(trials: list[Trial], seed: int) -> dict[str, Any]:
    by_kind: dict[str, Counter] = defaultdict(Counter)
    for trial in trials:
        for name in trial.kinds:
            by_kind[name][trial.outcome] += 1
    slowest, largest = max(trials, key=lambda one: one.seconds), max(trials, key=lambda one: one.mib)
    return {
        "what": "damaged course folders",
        "seed": seed,
        "folders": len(trials),
        "kinds": len(KINDS),
        "limits": {"seconds": SECONDS, "MiB": MIB},
        "outcomes": {name: sum(one.outcome == name for one in trials) for name in OUTCOMES},
        "worst": {
            "seconds": {"value": slowest.seconds, "kinds": slowest.kinds},
            "MiB": {"value": largest.mib, "kinds": largest.kinds},
        },
        "wrong": [asdict(one) for one in trials if one.outcome not in GOOD],
        "by kind": {name: dict(by_kind[name]) for name in KINDS},
    }
