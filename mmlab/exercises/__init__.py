"""Exercises that answer: a question in a notebook, a check of what the student's object does, a hint for each mistake.

`judging` says how a judge reports and `verdict` what the student sees. `cells` makes the notebooks' cells from the
solutions, `copies` writes them for a student, `progress` reads which are passed, `rerun` judges them again. Each
further file holds the exercises of one notebook.
"""

from typing import Any

from mmlab.exercises.judging import Exercise, Found, refuse_blank
from mmlab.exercises.verdict import MIME, SIGNS, Kind, Verdict


def __getattr__(name: str) -> Any:
    """The names that load every judge, and torch with them, when they are asked for: most commands do not need them."""
    if name not in ("EXERCISES", "Checker", "open_exercises"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mmlab.exercises import checking

    return getattr(checking, name)
