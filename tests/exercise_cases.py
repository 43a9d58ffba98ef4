"""The answers that tests give to each exercise: our solution, a blank, mistakes, and other right answers.

`tests/exercises/<exercise>.py` holds MISTAKES, a list of (code, patch), and ALTERNATIVES, from a name to a patch or a
whole source. A patch is a dict from a piece of our solution, which must occur in it once, to what takes its place.
"""

import linecache
import runpy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mmlab.exercises import EXERCISES, Verdict
from mmlab.exercises.cells import Task, read_tasks

FOLDER = Path(__file__).parent / "exercises"


# The kind of verdict on each kind of answer.
EXPECTED = {"solution": "passed", "blank": "blank", "mistake": "mistake", "alternative": "passed"}


@dataclass(frozen=True)
class Case:
    """An answer in source, and what it must be told. kind: solution, blank, mistake, alternative."""

    exercise: str
    kind: str
    name: str  # of the case; a mistake's is its code and a number
    code: str  # of the mistake; empty for the others
    source: str

    def __str__(self) -> str:
        return f"{self.exercise}-{self.kind}-{self.name}"


@cache
def find_task(exercise: str) -> Task:
    (task,) = [one for one in read_tasks(EXERCISES[exercise].notebook) if one.name == exercise]
    return task


def list_cases(exercise: str) -> Iterator[Case]:
    task = find_task(exercise)
    given = runpy.run_path(str(FOLDER / f"{exercise}.py"))
    yield Case(exercise, "solution", "ours", "", task.shown)
    yield Case(exercise, "blank", "stub", "", task.stub.rpartition("\ncheck.")[0])
    for number, (code, patch) in enumerate(given["MISTAKES"], 1):
        yield Case(exercise, "mistake", f"{code}-{number}", code, apply_patch(task.shown, patch))
    for name, patch in given["ALTERNATIVES"].items():
        yield Case(exercise, "alternative", name, "", apply_patch(task.shown, patch))


def apply_patch(source: str, patch: dict[str, str] | str) -> str:
    if isinstance(patch, str):
        return patch
    for old, new in patch.items():
        assert source.count(old) == 1, f"the solution holds {source.count(old)} times: {old}"
        source = source.replace(old, new)
    return source


def judge(case: Case, muted: frozenset[str] = frozenset()) -> Verdict:
    """What a fresh check tells about the case's answer."""
    return replace(EXERCISES[case.exercise], asked={}).check(build_answer(case), muted)


def is_right(case: Case, verdict: Verdict) -> bool:
    """Whether the case was told what it should be told."""
    return (verdict.kind, verdict.code) == (EXPECTED[case.kind], case.code)


def build_answer(case: Case):
    """Run the source as a cell does, and give the object that its check gets."""
    name, space = f"<cell {case}>", {"__name__": "__main__"}
    linecache.cache[name] = (len(case.source), None, case.source.splitlines(keepends=True), name)
    exec(compile(case.source, name, "exec"), space)
    return space[find_task(case.exercise).answer]
