"""How exercises talk: one verdict in words and in HTML, more on asking again, one line for a student's exception."""

import dataclasses
import json
import random
import re
import sys

import numpy as np
import pytest
import torch
from exercise_cases import build_answer, list_cases

from mmlab.errors import ConfigError, RunError
from mmlab.exercises import EXERCISES, MIME, SIGNS, Checker, Exercise, Verdict, open_exercises
from mmlab.exercises.cells import edition, read_tasks, weave
from mmlab.exercises.verdict import BARS


def judge_double(answer, found):
    got = answer(3)
    found("wrong", got == 9, f"answer(3) is {got}")
    found("other", got != 6, f"answer(3) is {got}")
    return "answer(3) is 6."


@pytest.fixture
def double() -> Exercise:
    hints = {"wrong": "It squares. Look at the sign.", "other": "It is not the double."}
    return Exercise("double", "04_fusion", judge_double, hints, "notebook 04, section 2", "Twice is twice.")


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_asked_again_on_the_same_code_it_tells_more_and_on_new_code_it_begins_anew(double):
    def square(x):
        return x * x

    told = [double.check(square) for _ in range(4)]
    assert [one.more for one in told] == [
        (),
        ("Read again: notebook 04, section 2.",),
        ("Read again: notebook 04, section 2.", "Seen: answer(3) is 9"),
        ("Read again: notebook 04, section 2.", "Seen: answer(3) is 9"),
    ]
    assert double.check(lambda x: x**2).more == ()
    passed = double.check(lambda x: 2 * x)
    assert passed.ok and passed.hint == "Twice is twice." and passed.more == ("answer(3) is 6.",)


@pytest.mark.parametrize("answer", [None, ..., lambda x: None, lambda x: ...])
def test_a_blank_gets_a_polite_line(double, answer):
    def judge(answer, found):
        from mmlab.exercises import refuse_blank

        refuse_blank(answer(3))

    verdict = dataclasses.replace(double, judge=judge).check(answer)
    assert verdict.kind == "blank" and "Replace the dots" in verdict.hint


def test_an_exception_names_the_line_of_the_student_and_nothing_of_ours(double):
    source = "def answer(x):\n    y = x + 1\n    return y / 0  # here\n"
    space: dict = {}
    exec(compile(source, "<cell>", "exec"), space)
    import linecache

    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    verdict = double.check(space["answer"])
    assert verdict.kind == "error"
    assert verdict.hint == "ZeroDivisionError: division by zero, in line 3 of your cell: return y / 0  # here"
    assert "mmlab" not in str(verdict) and "Traceback" not in str(verdict)


def test_an_answer_that_cannot_be_called_is_told_so():
    verdict = EXERCISES["fusion"].check(lambda: 1)
    assert verdict.kind == "error" and "takes 0 positional arguments" in verdict.hint
    assert verdict.hint.startswith("The check could not use your answer") and "line" not in verdict.hint


def test_both_forms_say_the_same_and_html_is_escaped():
    verdict = Verdict("fusion", "mistake", "x", "<b>1 < 2</b> & so on", ("Seen: <script>",))
    bundle = verdict._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"] and "&lt;b&gt;1 &lt; 2" in bundle["text/html"]
    words = re.sub(r"<[^>]*>", " ", bundle["text/html"])
    import html

    assert html.unescape(words).split() == bundle["text/plain"].split()
    assert json.loads(json.dumps(bundle[MIME])) == {"exercise": "fusion", "kind": "mistake", "code": "x"}


@pytest.mark.parametrize("kind", SIGNS)
def test_bars_are_seen_in_both_themes_and_never_say_it_alone(kind):
    assert min(contrast(BARS[kind], "#ffffff"), contrast(BARS[kind], "#111111")) >= 3
    html = Verdict("fusion", kind, "", "hint").to_html()
    assert all(word in html for word in SIGNS[kind])
    assert re.findall(r"(?<!-)color:([^;\"]*)", html) == ["inherit"]  # words have the contrast of the page's own text


def test_twin_a_pale_bar_would_be_noticed():
    assert contrast("#ffee88", "#ffffff") < 3 and contrast("#000000", "#ffffff") == pytest.approx(21)


def test_judging_leaves_the_random_numbers_of_the_notebook_alone_and_repeats_itself():
    (case,) = [one for one in list_cases("fusion") if one.kind == "solution"]
    torch.manual_seed(5), random.seed(5)
    expected = torch.rand(2), random.random()
    torch.manual_seed(5), random.seed(5)
    answer = build_answer(case)
    told = [dataclasses.replace(EXERCISES["fusion"], asked={}).check(answer) for _ in range(2)]
    assert torch.equal(torch.rand(2), expected[0]) and random.random() == expected[1]
    assert told[0] == told[1] and told[0].ok


def test_the_solution_is_shown_after_passing_and_not_before():
    check = Checker("04_fusion")
    (task,) = [one for one in read_tasks("04_fusion") if one.name == "fusion"]
    assert "Pass check.fusion first" in str(check.fusion.solution())
    (case,) = [one for one in list_cases("fusion") if one.kind == "solution"]
    assert check.fusion(build_answer(case)).ok
    assert str(check.fusion.solution()) == task.shown and "SOLUTION" not in task.shown


def test_opening_again_keeps_what_was_passed():
    made = edition("04_fusion")
    assert open_exercises("04_fusion", made).fusion is open_exercises("04_fusion", made).fusion
    assert open_exercises("01_data_exploration", edition("01_data_exploration")).reader is not None


def test_a_notebook_without_solutions_is_refused():
    with pytest.raises(RunError, match="08_nothing.py: cannot be read"):
        open_exercises("08_nothing", "")


def test_an_answer_that_forgets_its_return_is_no_blank(double):
    def judge(answer, found):
        from mmlab.exercises import refuse_blank

        refuse_blank(answer(3))

    verdict = dataclasses.replace(double, judge=judge).check(lambda x: print(x))
    assert verdict.kind == "error" and "return" in verdict.hint


def test_an_answer_that_ends_python_is_told_so(double):
    verdict = double.check(lambda x: sys.exit(1))
    assert verdict.kind == "error" and verdict.hint.startswith("SystemExit: 1")


def test_an_unknown_exercise_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="fusion"):
        _ = open_exercises("04_fusion", edition("04_fusion")).fusoin


def test_a_stub_holds_no_part_of_the_solution(tmp_path):
    (task,) = [one for one in read_tasks("04_fusion") if one.name == "fusion"]
    assert "self.missing" not in task.stub and task.stub.count("        ...\n") == 2
    assert task.stub.endswith("check.fusion(MyFusion)") and task.question.startswith("### ")
    (tmp_path / "04_fusion.py").write_text("# %% [markdown] one\n# What?\n# %% other\nx = 1\ncheck.one(x)\n")
    with pytest.raises(RunError, match="one: write a markdown cell"):
        read_tasks("04_fusion", tmp_path)


def test_weaving_twice_changes_nothing_and_other_cells_stay():
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    node = new_notebook(cells=[new_markdown_cell("Text\n\n## Exercises\n\nTry."), new_code_cell("finish()")])
    weave(node, "04_fusion")
    first = [dict(cell) for cell in node.cells]
    weave(node, "04_fusion")
    assert [dict(cell) for cell in node.cells] == first
    assert node.cells[0].source.endswith("Try.") and node.cells[-1].source == "finish()" and len(node.cells) >= 6
    with pytest.raises(RunError, match="## Exercises"):
        weave(new_notebook(cells=[new_markdown_cell("nothing")]), "04_fusion")
