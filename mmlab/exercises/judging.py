"""One exercise and how an answer to it is judged: by what the answer does, never by how it is written.

A judge is a function `judge(answer, found)`. It calls the answer on small data and reports each mistake in a fixed
order, the most basic first: `found("image_ignored", changed == 0, "largest change of an output: 0")`. The first one
that is true ends the judgement. What the function returns, if anything, is told to those who passed.
"""

import inspect
import linecache
import os
import sysconfig
import tomllib
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.exercises.verdict import Verdict
from mmlab.freshness import digest_of

Judge = Callable[[Any, "Found"], str | None]
_PACKAGE = os.fspath(Path(__file__).parents[1])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Blank(Exception):
    """There is no answer yet: the cell still holds `...`."""


class _Mistake(Exception):
    def __init__(self, code: str, evidence: str) -> None:
        self.code, self.evidence = code, evidence


class Found:
    """How a judge reports. muted: mistakes that are overlooked; for the tests, which show that each one is needed."""

    def __init__(self, known: dict[str, Any], muted: frozenset[str] = frozenset()) -> None:
        self.known, self.muted = known, muted

    def __call__(self, code: str, seen: bool, evidence: str = "") -> None:
        """If `seen`, end the judgement with this mistake. evidence: the numbers that show it."""
        if code not in self.known:
            raise KeyError(f"{code} has no hint")
        if seen and code not in self.muted:
            raise _Mistake(code, evidence)


@dataclass(frozen=True)
class Exercise:
    """One question. hints: from each mistake to its hint, in the order in which they are looked for.

    notebook: its name, such as `04_fusion`. reread: the section that helps. why: told to those who passed. asked: how
    often each mistake was told for the same code.
    """

    name: str
    notebook: str
    judge: Judge
    hints: dict[str, str]
    reread: str
    why: str
    asked: dict[tuple[str, str], int] = field(default_factory=dict, compare=False, repr=False)

    def check(self, answer: Any, muted: frozenset[str] = frozenset()) -> Verdict:
        """Judge an answer. Asked again on the same code, it tells more: the section to reread, then the numbers."""
        try:
            told = self._judge(answer, Found(self.hints, muted))
        except Blank:
            if is_stub(answer):
                return Verdict(self.name, "blank", "", "Replace the dots by your answer, then run the cell again.")
            return Verdict(self.name, "error", "", "Your code ran, and gave None back. Is there a return at the end?")
        except _Mistake as mistake:
            return self._tell(mistake, answer)
        except (Exception, SystemExit) as error:
            return Verdict(self.name, "error", "", describe_error(error))
        return Verdict(self.name, "passed", "", self.why, (told,) if told else ())

    def _judge(self, answer: Any, found: Found) -> str | None:
        refuse_blank(answer)
        with same_random():
            return self.judge(answer, found)

    def _tell(self, mistake: _Mistake, answer: Any) -> Verdict:
        key = (mistake.code, fingerprint(answer))
        self.asked[key] = times = self.asked.get(key, 0) + 1
        more = (f"Read again: {self.reread}.", mistake.evidence and f"Seen: {mistake.evidence}")
        return Verdict(
            self.name, "mistake", mistake.code, self.hints[mistake.code], tuple(filter(None, more[: times - 1]))
        )


def load_exercises(file: str, notebook: str, *judges: Judge) -> list[Exercise]:
    """The exercises of a notebook: each `judge_NAME` of a module, with the table `[NAME]` of the TOML file beside it.

    The table holds `reread`, `why`, and under `hints` a sentence or two for each mistake, in the order of the judge.
    """
    words = tomllib.loads(Path(file).with_suffix(".toml").read_text(encoding="utf-8"))
    names = [judge.__name__.removeprefix("judge_") for judge in judges]
    return [Exercise(name, notebook, judge, **words[name]) for name, judge in zip(names, judges, strict=True)]


def refuse_blank(value: Any) -> Any:
    """The value, or Blank where it is None or `...`: what a stub gives."""
    if value is None or value is Ellipsis:
        raise Blank
    return value


@contextmanager
def same_random() -> Iterator[None]:
    """The same random numbers at each judgement; whatever the student's cells draw afterwards is not touched."""
    import random

    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (students may draw from the global state)
    with torch.random.fork_rng(devices=[]):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0]), np.random.set_state(states[1])  # noqa: NPY002


def is_stub(answer: Any) -> bool:
    """Whether an answer is still what the notebook gave: dots, or definitions that hold nothing else."""
    if inspect.isclass(answer):
        return all(is_stub(one) for one in vars(answer).values() if inspect.isfunction(one))
    code = getattr(answer, "__code__", None)  # a stub of __init__ calls that of its base class
    return answer is None or answer is Ellipsis or (code is not None and set(code.co_names) <= {"super", "__init__"})


def on_one_line(value: Any) -> str:
    """A value as evidence shows it."""
    return " ".join(repr(value).split())[:60]


def describe_error(error: BaseException) -> str:
    """One line for an exception of the student's code: what, where, and the line itself."""
    text = " ".join(str(error).split())[:300]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_library(frame.filename)]
    if not own:
        return f"The check could not use your answer ({what}). Compare what it takes and returns with the question."
    line = (own[-1].line or linecache.getline(own[-1].filename, own[-1].lineno or 0)).strip()
    return f"{what}, in line {own[-1].lineno} of your cell: {line}" if line else f"{what}, in your cell"


def _is_library(filename: str) -> bool:
    return filename.startswith((_PACKAGE, *_LIBRARIES, "<frozen"))


def fingerprint(answer: Any) -> str:
    """Names the code of an answer, so that asking again is told from trying something else."""
    parts: list[str] = []
    _collect(answer, parts)
    return digest_of(*parts)


def _collect(value: Any, parts: list[str]) -> None:
    if isinstance(value, types.FunctionType | types.MethodType):
        _collect(value.__code__, parts)
    elif isinstance(value, types.CodeType):
        parts += [value.co_code.hex(), repr(value.co_names)]
        for constant in value.co_consts:
            _collect(constant, parts)
    elif inspect.isclass(value):
        for name in sorted(vars(value)):
            if name not in ("__dict__", "__weakref__", "__module__", "__firstlineno__"):
                parts.append(name)
                _collect(vars(value)[name], parts)
    elif isinstance(value, tuple | list):
        for one in value:
            _collect(one, parts)
    elif isinstance(value, dict):
        for name, one in value.items():
            parts.append(str(name))
            _collect(one, parts)
    elif isinstance(value, str | int | float | bool | bytes | None):
        parts.append(repr(value))
    else:
        parts.append(type(value).__name__)
