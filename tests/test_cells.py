"""The exercise cells of the notebooks: made from the solutions, in their place, and up to date."""

import copy
import json

import pytest
from exercise_cases import find_task

from mmlab.config import EXERCISE_TAG
from mmlab.errors import RunError
from mmlab.exercises import MIME, Checker, open_exercises
from mmlab.exercises.cells import NOTEBOOKS, _run, edition, find_cell, list_notebooks, make_cells, read_tasks, weave
from mmlab.exercises.files import has_tag, load_notebook, make_cell, read_source, save_notebook

TOY = """\
# %% [markdown] double
# ### Exercise 1: twice as much
#
# Write `double`.
# %% double
def double(number):
    # BEGIN SOLUTION
    return 2 * number
    # END SOLUTION


check.double(double)
"""


@pytest.fixture
def toy(tmp_path):
    """A folder of solutions with one exercise for the notebook `toy` and none for `bare`."""
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "bare.py").write_text("")
    return tmp_path


def notebook_of(*cells):
    made = [make_cell(kind, f"own-{number}", source, {}, []) for number, (kind, source) in enumerate(cells)]
    return {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def find_stale(notebook: dict, name: str) -> list[str]:
    """The ids of the cells that `make exercises` would change; what they printed does not count."""
    woven = copy.deepcopy(notebook)
    weave(woven, name)
    before, after = ({cell.get("id"): (number, cell["cell_type"], read_source(cell), cell["metadata"])
                      for number, cell in enumerate(one["cells"])} for one in (notebook, woven))  # fmt: skip
    return sorted(id for id in {*before, *after} if before.get(id) != after.get(id))


@pytest.mark.parametrize("name", list_notebooks())
def test_the_exercise_cells_are_what_the_solutions_give(name):
    """Where it fails: `make exercises`."""
    assert find_stale(load_notebook(NOTEBOOKS / f"{name}.ipynb"), name) == []


def test_twin_a_changed_moved_or_missing_cell_is_noticed():
    notebook = load_notebook(NOTEBOOKS / "04_fusion.ipynb")
    weave(notebook, "04_fusion")
    assert find_stale(notebook, "04_fusion") == []
    at = next(number for number, cell in enumerate(notebook["cells"]) if cell.get("id") == "fusion")
    changed = copy.deepcopy(notebook)
    changed["cells"][at]["source"] = ["pass"]
    assert find_stale(changed, "04_fusion") == ["fusion"]
    changed = copy.deepcopy(notebook)
    changed["cells"][at]["metadata"].pop("mmlab")
    assert find_stale(changed, "04_fusion") == ["fusion"]
    changed = copy.deepcopy(notebook)
    changed["cells"].insert(0, changed["cells"].pop(at))
    assert "fusion" in find_stale(changed, "04_fusion")
    changed = copy.deepcopy(notebook)
    del changed["cells"][at]
    assert "fusion" in find_stale(changed, "04_fusion")


def test_cells_come_right_after_the_heading_wherever_it_stands(toy):
    for heading in ("## Exercises", "## What we saw\n- it\n\n## Exercises\n\n1. Think."):
        notebook = notebook_of(("markdown", "# T"), ("markdown", heading), ("code", "finish_notebook()"))
        for _ in range(2):  # again changes nothing
            weave(notebook, "toy", toy)
            ids = [cell["id"] for cell in notebook["cells"]]
            assert ids == ["own-0", "own-1", "exercises", "double-question", "double", "summary", "own-2"]


def test_a_stub_holds_no_solution_and_its_cells_say_what_they_are(toy):
    opening, question, answer, summary = make_cells("toy", toy)
    assert "2 * number" not in json.dumps([opening, question, answer, summary])
    assert read_source(answer) == "def double(number):\n    ...\n\ncheck.double(double)"
    assert answer["metadata"]["mmlab"]["exercise"] == question["metadata"]["mmlab"]["exercise"] == "double"
    assert f'open_exercises("toy", "{edition("toy", toy)}")' in read_source(opening)
    assert all(has_tag(cell, EXERCISE_TAG) for cell in (opening, question, answer, summary))
    before = edition("toy", toy)
    (toy / "toy.py").write_text(TOY.replace("2 * number", "number + number"))
    assert edition("toy", toy) != before  # the twin: another solution, another edition


def test_a_notebook_without_exercises_keeps_its_cells(toy):
    notebook = notebook_of(("markdown", "# T"), ("code", "1"))
    before = copy.deepcopy(notebook)
    assert weave(notebook, "bare", toy) == [] and notebook == before
    with pytest.raises(RunError, match="## Exercises"):
        weave(notebook, "toy", toy)


@pytest.mark.parametrize(
    ("old", "new"),
    [("# %% double", "# %% triple"), ("check.double(double)", "check.double"), ("# %% [markdown] double\n", "")],
)
def test_a_file_of_solutions_that_is_not_as_described_is_refused(toy, old, new):
    (toy / "toy.py").write_text(TOY.replace(old, new, 1))
    with pytest.raises(RunError, match="toy.py"):
        read_tasks("toy", toy)


def test_a_cell_is_found_by_metadata_by_id_and_by_what_it_calls(toy):
    made = make_cells("toy", toy)
    for lost in ((), ("mmlab",), ("mmlab", "id")):
        cells = [copy.deepcopy(cell) for cell in made]
        for cell in cells:
            cell["source"] = read_source(cell).replace("...", "return number * 2")
            if "mmlab" in lost:
                cell["metadata"] = {}
            if "id" in lost:
                del cell["id"]
        assert [find_cell(cells, one) for one in made] == cells
    for cell in cells:  # the twin: nothing is left to know it by
        cell["source"] = "x"
    assert [find_cell(cells, one) for one in made] == [None] * 4


def test_running_the_cells_meets_each_blank_politely_and_needs_no_other_cell():
    ran = _run(make_cells("04_fusion"))
    told = [output["data"].get(MIME, {}) for cell in ran for output in cell.get("outputs", [])]
    assert [facts["exercise"] for facts in told if facts] == [task.name for task in read_tasks("04_fusion")]
    assert {facts["kind"] for facts in told if facts} == {"blank"}
    (text,) = (output["data"]["text/plain"] for output in ran[-1]["outputs"])
    assert "0 of" in "".join(text) and "05_hyperparameter_grid" in "".join(text)


def test_a_notebook_that_has_not_changed_is_written_as_it_was(tmp_path):
    for path in NOTEBOOKS.glob("*.ipynb"):
        save_notebook(tmp_path / path.name, load_notebook(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_another_edition_is_one_line_with_the_command_that_mends_it(tmp_path, monkeypatch, capsys):
    for place, command in ((tmp_path, f"mmlab start {tmp_path}"), (NOTEBOOKS, "make exercises")):
        monkeypatch.chdir(place)
        open_exercises("04_fusion", "0.0.1-old")
        (line,) = capsys.readouterr().out.splitlines()
        assert "0.0.1-old" in line and edition("04_fusion") in line and line.endswith(command)
    open_exercises("04_fusion", edition("04_fusion"))
    assert capsys.readouterr().out == ""  # the twin


def test_the_summary_says_what_is_passed_and_links_the_next_notebook():
    check = Checker("04_fusion")
    before = repr(check.summary())
    assert "0 of" in before and before.endswith("Next: 05_hyperparameter_grid.") and before == repr(check.summary())
    assert '<a href="05_hyperparameter_grid.ipynb">' in check.summary()._repr_html_()
    space = {}
    exec(find_task("fusion").shown, space)
    assert check.fusion(space["MyFusion"]).ok
    assert "1 of" in repr(check.summary()) and "(fusion)" in repr(check.summary())  # the twin
    assert "last notebook" in repr(open_exercises("07_report", edition("07_report")).summary())
