"""What a notebook's exercise cells call: `check = open_exercises(...)`, then `check.fusion(MyFusion)`."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmlab.config import nearest
from mmlab.errors import ConfigError
from mmlab.exercises import ablation, data_exploration, fusion, grid, image_only, report, text_only
from mmlab.exercises.cells import NOTEBOOKS, edition, list_notebooks, read_tasks
from mmlab.exercises.judging import Exercise
from mmlab.exercises.verdict import Verdict
from mmlab.storage import CHECKOUT

ROOMS = (data_exploration, text_only, image_only, fusion, grid, ablation, report)
EXERCISES: Mapping[str, Exercise] = {one.name: one for room in ROOMS for one in room.EXERCISES}

_OPENED: dict[str, "Checker"] = {}  # by notebook: whoever runs the opening cell again keeps what was passed


class Checker:
    """The exercises of one notebook by name: `check.fusion(MyFusion)` judges, `check.fusion.solution()` shows ours."""

    def __init__(self, notebook: str) -> None:
        self._notebook = notebook
        self._questions = {name: Question(one) for name, one in EXERCISES.items() if one.notebook == notebook}

    def __getattr__(self, name: str) -> "Question":
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._questions:
            known = list(self._questions)
            raise ConfigError(f"There is no exercise {name!r} here.{nearest(name, known)} Known: {', '.join(known)}.")
        return self._questions[name]

    def __dir__(self) -> list[str]:
        return [*self._questions, "summary"]

    def list_verdicts(self) -> dict[str, Verdict]:
        """The last verdict on each exercise that has been checked."""
        return {name: one.verdict for name, one in self._questions.items() if one.verdict}

    def summary(self) -> "Summary":
        """What is passed in this notebook, and where to go on."""
        passed = {name: one.passed for name, one in self._questions.items()}
        return Summary(passed, next((name for name in list_notebooks() if name > self._notebook), ""))


class Question:
    """One exercise in a notebook. verdict: the last one. passed: whether it was passed since the kernel started."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise, self.passed = exercise, False
        self.verdict: Verdict | None = None

    def __call__(self, answer: Any = ...) -> Verdict:
        """Judge an answer: a `Verdict`, which a cell shows when it is its last expression."""
        self.verdict = self._exercise.check(answer)
        self.passed = self.passed or self.verdict.ok
        return self.verdict

    def solution(self) -> "Shown":
        """Our solution, once yours has passed."""
        name = self._exercise.name
        if not self.passed:
            return Shown(f"Pass check.{name} first; then this shows our solution, to compare it with yours.")
        (task,) = [one for one in read_tasks(self._exercise.notebook) if one.name == name]
        return Shown(task.shown, code=True)


class Shown(str):
    """A text that a notebook shows as it is."""

    def __new__(cls, text: str, code: bool = False) -> "Shown":
        shown = super().__new__(cls, text)
        shown.code = code
        return shown

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self}\n```" if self.code else str(self)


class Summary:
    """passed: from an exercise's name to whether it is passed. later: the next notebook, empty after the last."""

    def __init__(self, passed: dict[str, bool], later: str) -> None:
        self.passed, self.later = passed, later

    def _tell(self, later: str) -> Iterator[str]:
        done = [name for name, passed in self.passed.items() if passed]
        yield f"Passed since the kernel started: {len(done)} of {len(self.passed)} exercises" + (
            f" ({', '.join(done)})." if done else "."
        )
        if still := [name for name, passed in self.passed.items() if not passed]:
            yield f"Open: {', '.join(still)}."
        yield f"Next: {later}." if later else "This was the last notebook."

    def __repr__(self) -> str:
        return " ".join(self._tell(self.later))

    def _repr_html_(self) -> str:
        link = self.later and f'<a href="{self.later}.ipynb">{self.later}</a>'
        return f"<p>{' '.join(self._tell(link))}</p>"


def open_exercises(notebook: str, made: str) -> Checker:
    """The checks of a notebook's exercises. made: the edition of its cells; if today's is another, it is reported."""
    if (today := edition(notebook)) != made:
        here = Path.cwd()
        command = "make exercises" if here in (CHECKOUT, NOTEBOOKS) else f"mmlab start {shlex.quote(str(here))}"
        print(f"These exercises are of edition {made}, and this mmlab has {today}. To update them: {command}")
    return _OPENED.setdefault(notebook, Checker(notebook))
