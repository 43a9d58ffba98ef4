"""Every exercise against every known answer: ours passes, a blank is met politely, each mistake gets its hint."""

import pytest
from exercise_cases import FOLDER, find_task, is_right, judge, list_cases

from mmlab.exercises import EXERCISES
from mmlab.models import FUSIONS

CASES = [case for exercise in EXERCISES for case in list_cases(exercise)]


@pytest.fixture(autouse=True)
def same_fusions():
    """Answers register fusions; other tests list them all."""
    before = dict(FUSIONS)
    yield
    FUSIONS.clear()
    FUSIONS.update(before)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_told_what_it_should_be_told(case):
    verdict = judge(case)
    assert is_right(case, verdict), verdict


@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "mistake"], ids=str)
def test_twin_without_its_check_a_mistake_is_not_named(case):
    verdict = judge(case, frozenset({case.code}))
    assert verdict.code != case.code


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_hint_is_reached_and_ten_other_answers_pass(exercise):
    cases = [case for case in CASES if case.exercise == exercise]
    reached = {case.code for case in cases if case.kind == "mistake"}
    assert reached == set(EXERCISES[exercise].hints)
    assert len([case for case in cases if case.kind == "alternative"]) >= 10
    assert len({case.source for case in cases}) == len(cases)


def test_each_file_of_answers_belongs_to_an_exercise():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(EXERCISES)
    assert all(find_task(name).name == name for name in EXERCISES)
