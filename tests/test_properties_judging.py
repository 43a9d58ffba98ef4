"""Properties of the exercises' judges: how an answer is written makes no difference, and what it does decides."""

import ast
import builtins
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exercise_cases import Case, build_answer, find_task, is_right, judge, list_cases
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_caught, share_of_examples

from mmlab.exercises import EXERCISES, Verdict
from mmlab.models import FUSIONS

SLOW = {"better_fusion", "view", "rivals"}  # these judges train, open notebooks or draw for long
QUICK = [name for name in EXERCISES if name not in SLOW]


@pytest.fixture(scope="module", autouse=True)
def same_fusions():
    """Answers register fusions; other tests list them all."""
    before = dict(FUSIONS)
    yield
    FUSIONS.clear()
    FUSIONS.update(before)


# ---- how it is written


class Rename(ast.NodeTransformer):
    """Gives other names to the variables that a source assigns inside its functions, parameters among them."""

    def __init__(self, tree: ast.AST, prefix: str) -> None:
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
        own = {one.arg for function in functions for one in ast.walk(function.args) if isinstance(one, ast.arg)}
        for function in functions:
            stored = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
            own |= {node.id for node in stored if isinstance(node.ctx, ast.Store)}
        defined = (ast.FunctionDef, ast.ClassDef)
        kept = {node.name for node in ast.walk(tree) if isinstance(node, defined)} | set(dir(builtins))
        kept |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
        kept |= {name for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
        kept |= {alias.asname or alias.name for node in ast.walk(tree) for alias in getattr(node, "names", []) if
                 isinstance(alias, ast.alias)}  # fmt: skip
        self.names = {name: f"{prefix}{number}" for number, name in enumerate(sorted(own - kept))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names.get(node.arg, node.arg), node.annotation)


def rewrite(source: str, prefix: str, words: str) -> str:
    """The same program: other names, another layout, no comments, a docstring in each function."""
    tree = ast.parse(source)
    tree = Rename(tree, prefix).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not ast.get_docstring(node):
            node.body.insert(0, ast.Expr(ast.Constant(words)))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


CASES = [case for name in QUICK for case in list_cases(name) if case.kind != "blank"]
REWRITTEN = st.tuples(
    st.sampled_from(CASES), st.from_regex(r"[a-z]{1,3}_", fullmatch=True), st.text("abc ", min_size=1, max_size=9)
)


def is_judged_the_same(drawn: tuple[Case, str, str], check: Callable = judge) -> None:
    case, prefix, words = drawn
    verdict = check(replace(case, source=rewrite(case.source, prefix, words)))
    assert is_right(case, verdict), (case, verdict)


@given(REWRITTEN)
def test_names_layout_and_comments_make_no_difference(drawn):
    is_judged_the_same(drawn)


def test_twin_a_judge_that_compares_the_source_is_caught():
    def broken(case: Case) -> Verdict:
        same = case.source == find_task(case.exercise).shown
        return Verdict(case.exercise, "passed" if same else "mistake", case.code)

    assert_caught(partial(is_judged_the_same, check=broken), REWRITTEN)


# ---- what it does


@cache
def solution(exercise: str) -> Callable:
    return build_answer(next(list_cases(exercise)))


def check(exercise: str, answer: Any) -> Verdict:
    return replace(EXERCISES[exercise], asked={}).check(answer)


def also(exercise: str, change: Callable) -> Callable:
    """Our solution, whose result is changed afterwards."""

    def answer(*args):
        return change(solution(exercise)(*args), *args)

    return answer


SHAPES = {  # results that mean the same
    "log_grid": [list, tuple, np.asarray],
    "interval": [list, tuple, np.asarray],
    "honest_score": [float, np.float32, np.asarray],
    "accuracy_from_file": [float, np.float32, np.asarray],
    "reader": [list, lambda pair: (pair[0], pair[1].upper()), lambda pair: (pair[0], pair[1].replace("-", "_"))],
    "twin_split": [list, np.asarray, lambda dev: dev.astype(int), lambda dev: dev.sample(frac=1, random_state=3)],
    "conclusion": [str.upper, lambda said: f" {said}.", str.capitalize],
    "rivals": [set, sorted, np.asarray, lambda rows: rows[::-1]],
}


@pytest.mark.parametrize("exercise", SHAPES)
def test_the_form_of_a_result_makes_no_difference(exercise):
    for shape in SHAPES[exercise]:
        verdict = check(exercise, also(exercise, lambda result, *_, shape=shape: shape(result)))
        assert verdict.ok, verdict


SIZES = st.one_of(st.floats(0.08, 0.5), st.floats(-0.5, -0.08))


def bend(values: Any, size: float, place: int) -> np.ndarray:
    """One of the values made larger or smaller by a share."""
    bent = np.array(values, dtype=float)
    bent[place % len(bent)] *= 1 + size
    return bent


def divide(dev: pd.Series, pairs: pd.DataFrame, place: int) -> pd.Series:
    """One row of a twin group on the other side than its twins."""
    rows = pairs.index[pairs["twin"].duplicated(keep=False)]
    changed = dev.copy()
    changed[rows[place % len(rows)]] ^= True
    return changed


def cut(text: str, place: int) -> str:
    place %= max(1, len(text))
    return text[:place] + text[place + 1 :]


CONCLUSIONS = ("a is better", "b is better", "cannot be told apart", "neither beats the majority")
SPOILT = {  # each makes a wrong result of a right one
    "log_grid": lambda result, size, place, *_: bend(result, size, place),
    "interval": lambda result, size, place, *_: np.array(result) + size / 2,
    "majority": lambda result, size, place, *_: bend(result, size, place),
    "honest_score": lambda result, size, place, *_: result * (1 + size / 4),
    "accuracy_from_file": lambda result, size, place, *_: result * (1 + size / 4),
    "reader": lambda result, size, place, *_: (cut(result[0], place), result[1]),
    "cleaner": lambda result, size, place, *_: cut(result, place),
    "twin_split": lambda result, size, place, pairs, *_: divide(result, pairs, place),
    "conclusion": lambda result, size, place, *_: CONCLUSIONS[(CONCLUSIONS.index(result) + 1 + place % 3) % 4],
    "standardising": lambda result, size, place, *_: result + size,
    "masked_mean": lambda result, size, place, *_: result + size,
}
WRONG = st.tuples(st.sampled_from(list(SPOILT)), SIZES, st.integers(0, 10**6))


def is_not_passed(drawn: tuple[str, float, int], judge_: Callable = check) -> None:
    exercise, size, place = drawn
    spoil = SPOILT[exercise]
    verdict = judge_(exercise, also(exercise, lambda result, *args: spoil(result, size, place, *args)))
    assert verdict.kind == "mistake" and verdict.code in EXERCISES[exercise].hints, verdict


@given(WRONG)
def test_a_wrong_result_is_not_passed_whatever_is_wrong_with_it(drawn):
    is_not_passed(drawn)


def test_twin_a_judge_that_looks_at_shapes_alone_is_caught():
    def broken(exercise: str, answer: Any) -> Verdict:
        return Verdict(exercise, "passed")

    assert_caught(partial(is_not_passed, judge_=broken), WRONG)


@share_of_examples(0.1)
@given(st.sets(st.integers(0, 6), min_size=1))
def test_rivals_that_are_too_many_or_missing_are_not_passed(changed):
    verdict = check("rivals", also("rivals", lambda rows, *_: sorted(set(rows) ^ changed)))
    assert verdict.kind == "mistake", verdict


ODD = st.sampled_from([None, ..., 0, "", "text", [], (), {}, np.zeros(0), np.nan, object(), type, lambda *a: None])


@given(st.sampled_from(QUICK), ODD, st.booleans())
def test_whatever_is_handed_in_gets_a_verdict(exercise, odd, called):
    verdict = check(exercise, (lambda *_args, **_named: odd) if called else odd)
    assert not verdict.ok and str(verdict)
    assert verdict.to_html().count("<div") == verdict.to_html().count("</div>")


@given(st.sampled_from([ValueError, KeyError, ZeroDivisionError, RecursionError, SystemExit]), st.text(max_size=400))
def test_an_answer_that_fails_is_told_so_on_one_line(kind, words):
    def answer(*_args):
        raise kind(words)

    verdict = check("log_grid", answer)
    assert verdict.kind == "error" and "\n" not in verdict.hint and len(verdict.hint) < 600
