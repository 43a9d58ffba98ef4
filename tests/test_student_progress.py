"""Which exercises are passed: read from saved notebooks of any kind without running them, or judged again."""

import csv
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mmlab.cli import exercises as commands
from mmlab.errors import RunError
from mmlab.exercises import MIME, Verdict, rerun
from mmlab.exercises.cells import list_notebooks, make_cells, read_tasks
from mmlab.exercises.copies import start_copies
from mmlab.exercises.files import LARGEST, load_notebook, make_cell, save_notebook
from mmlab.exercises.progress import read_folder, to_csv
from mmlab.exercises.rerun import Limits, choose_cells, rerun_answers
from mmlab.storage import format_csv

NAME = "04_fusion"
TASKS = [task.name for task in read_tasks(NAME)]


def shown(kind: str, exercise: str = "fusion", code: str = "") -> dict:
    """The output that a check leaves in a notebook."""
    data = Verdict(exercise, kind, code, "A hint.")._repr_mimebundle_()
    return {"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}


def write_notebook(path: Path, *outputs: dict, source: str = "", extra: tuple[str, ...] = ()) -> Path:
    """A student's notebook 04, of which the cell that answers `fusion` holds these outputs, and perhaps an answer."""
    made = make_cells(NAME)
    for cell in made:
        if cell["id"] == "fusion":
            cell["outputs"] = list(outputs)
            cell["source"] = source or cell["source"]
    imports = make_cell("code", "04-02", "import numpy as np", {}, [])
    added = [make_cell("code", f"added-{number}", text, {}, []) for number, text in enumerate(extra)]
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = {"cells": [imports, made[0], *added, *made[1:]], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    save_notebook(path, notebook)
    return path


def read_one(folder: Path):
    (found,) = read_folder(folder)
    return found


# ---- what the outputs say


@pytest.mark.parametrize(
    ("outputs", "kind", "code"),
    [
        ([], "unrun", ""),
        ([("blank",)], "blank", ""),
        ([("error",)], "error", ""),
        ([("mistake", "fusion", "one_key")], "mistake", "one_key"),
        ([("passed",)], "passed", ""),
        ([("passed",), ("mistake", "fusion", "one_key")], "passed", ""),
        ([("blank",), ("mistake", "fusion", "one_key")], "mistake", "one_key"),
        ([("passed", "no_such_exercise")], "unrun", ""),
        ([("cheated",)], "unrun", ""),
    ],
)
def test_the_verdict_of_an_exercise_is_read_from_its_output(tmp_path, outputs, kind, code):
    saved = [shown("passed", *rest) if one == "cheated" else shown(one, *rest) for one, *rest in outputs]
    for output, (one, *_) in zip(saved, outputs, strict=True):
        output["data"] = json.loads(json.dumps(output["data"]).replace('"kind": "passed"', f'"kind": "{one}"'))
    write_notebook(tmp_path / f"{NAME}.ipynb", *saved)
    found = read_one(tmp_path)
    assert (found.answers["fusion"].kind, found.answers["fusion"].code) == (kind, code)
    assert list(found.answers) == TASKS and found.passed == (kind == "passed") and found.notes == []


def test_each_kind_has_its_sign_and_word(tmp_path):
    write_notebook(tmp_path / f"{NAME}.ipynb", shown("mistake", "fusion", "one_key"))
    assert "✗ Not yet: fusion (one_key)" in read_one(tmp_path).list_marks()


def test_outputs_of_an_odd_shape_are_passed_over(tmp_path):
    facts = {"exercise": ["fusion"], "kind": {}, "code": 1}
    odd = [
        None,
        3,
        [],
        {},
        {"data": 3},
        {"data": {"text/plain": "passed"}},
        {"data": {MIME: "passed"}},
        {"data": {MIME: facts}},
    ]
    write_notebook(tmp_path / f"{NAME}.ipynb", *odd)
    assert read_one(tmp_path).answers["fusion"].kind == "unrun"


def test_another_edition_is_noted(tmp_path):
    path = write_notebook(tmp_path / f"{NAME}.ipynb", shown("passed"))
    path.write_text(path.read_text().replace('fusion\\", \\"', 'fusion\\", \\"0.0.1-'))
    (note,) = read_one(tmp_path).notes
    assert note.startswith("edition 0.0.1-") and "today's is" in note


def test_a_notebook_without_exercise_cells_is_noted(tmp_path):
    notebook = {"cells": [make_cell("code", "a", "1", {}, [])], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    save_notebook(tmp_path / f"{NAME}.ipynb", notebook)
    found = read_one(tmp_path)
    assert found.notes == ["has no exercise cells"] and {one.kind for one in found.answers.values()} == {"unrun"}


# ---- where notebooks are


def test_students_are_found_in_every_layout(tmp_path):
    write_notebook(tmp_path / "ann" / f"{NAME}.ipynb")
    write_notebook(tmp_path / "bob" / "work" / f"{NAME} (1).ipynb")
    write_notebook(tmp_path / f"Cleo_123_{NAME}.ipynb")
    write_notebook(tmp_path / "dan" / "renamed.ipynb")
    write_notebook(tmp_path / "ann" / "results" / f"{NAME}.ipynb")
    (tmp_path / "ann" / "results" / "records").mkdir()  # what runs wrote
    write_notebook(tmp_path / "ann" / ".ipynb_checkpoints" / f"{NAME}-checkpoint.ipynb")
    (tmp_path / "ann" / "notes.txt").write_text("mine")
    found = read_folder(tmp_path)
    assert [(one.student, one.notebook) for one in found] == [
        (name, NAME) for name in ("Cleo_123", "ann", "bob", "dan")
    ]


def test_one_students_folder_is_named_after_itself(tmp_path):
    dict(start_copies(tmp_path / "eve"))
    found = read_folder(tmp_path / "eve")
    assert {one.student for one in found} == {"eve"}
    assert [one.notebook for one in found] == [name for name in list_notebooks() if read_tasks(name)]
    assert all(one.passed == 0 and one.notes == [] for one in found)


@pytest.mark.parametrize("place", ["nowhere", "empty", "file"])
def test_a_folder_without_notebooks_is_one_plain_error(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=place):
        read_folder(tmp_path / place)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "is damaged"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is damaged"),
        (lambda path: path.write_bytes(b"[" * 200_000), "is damaged"),
        (lambda path: path.write_text('{"cells": 3}'), "is no notebook"),
        (lambda path: path.write_text('{"cells": [{"cell_type": "code", "source": 3, "metadata": {}}]}'), "cell 1"),
        (lambda path: os.truncate(path, LARGEST + 1), "more than the"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "symbolic link"),
        (lambda path: (path.unlink(), path.symlink_to(path.name)), "symbolic link"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
        (lambda path: (path.unlink(), path.parent.rmdir(), path.parent.symlink_to("/etc")), "symbolic link"),
        (lambda path: path.rename(path.with_name("sketch.ipynb")).write_text('{"cells": []}'), "none of the lab's"),
    ],
)
def test_what_cannot_be_read_is_listed_and_stops_nobody(tmp_path, spoil, reason):
    write_notebook(tmp_path / "ann" / f"{NAME}.ipynb", shown("passed"))
    spoil(write_notebook(tmp_path / "bob" / f"{NAME}.ipynb", shown("passed")))
    ann, bob = read_folder(tmp_path)
    assert (ann.student, ann.passed, ann.notes) == ("ann", 1, [])
    assert bob.student == "bob" and bob.answers == {} and reason in bob.notes[0]


def test_reading_never_runs_code(tmp_path):
    """The twin is `test_run_again_judges_objects`, where the same cell leaves its mark."""
    write_notebook(tmp_path / f"{NAME}.ipynb", source=f"open({str(tmp_path / 'ran')!r}, 'w')")
    read_folder(tmp_path)
    assert not (tmp_path / "ran").exists()


# ---- what is written


def test_a_cell_of_the_table_is_no_formula(tmp_path):
    write_notebook(tmp_path / "=HYPERLINK(1)" / f"{NAME}.ipynb", shown("passed"))
    header, row = csv.reader(io.StringIO(to_csv(read_folder(tmp_path)).lstrip("\ufeff")))
    assert dict(zip(header, row, strict=True))["student"] == "'=HYPERLINK(1)"
    cells = next(csv.reader(io.StringIO(format_csv([("=1", "+1", "-1", "@a", "\t=1", "a=1", "", -1)])[1:])))
    assert cells == ["'=1", "'+1", "'-1", "'@a", "'\t=1", "a=1", "", "-1"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs such names")
def test_a_name_or_code_that_cannot_be_shown_breaks_no_table(tmp_path, capsys):
    for name in (b"ann\nb", b"ann\x1b[2J", b"ann\xe9"):
        place = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"in", name)))
        write_notebook(place / f"{NAME}.ipynb", shown("mistake", "fusion", "a\nb\x1b"))
    found = read_folder(tmp_path / "in")
    assert {one.student for one in found} == {r"ann\nb", r"ann\x1b[2J", r"ann\udce9"}
    commands.progress(tmp_path / "in", csv=tmp_path / "out.csv")
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()) == 4
    commands.progress(tmp_path / "in", as_json=True)
    assert "\x1b" not in capsys.readouterr().out


def test_the_command_shows_a_table_json_and_csv_whatever_a_name_holds(tmp_path, capsys):
    write_notebook(tmp_path / "in" / "[red]Ann[bold]" / f"{NAME}.ipynb", shown("passed"))
    (tmp_path / "in" / "bob").mkdir()
    (tmp_path / "in" / "bob" / f"{NAME}.ipynb").write_text("{")
    commands.progress(tmp_path / "in", csv=tmp_path / "out.csv")
    told = capsys.readouterr().out
    assert "[red]Ann[bold]" in told and "Passed: fusion" in told
    assert "1 of 2 files could not be read" in told and "forge" in told
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()) == 3
    commands.progress(tmp_path / "in", as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["passed"], first["total"], second["exercises"]) == (1, len(TASKS), {})
    assert first["exercises"]["fusion"] == {"kind": "passed", "code": ""}


def test_two_hundred_students_are_read(tmp_path):
    for number in range(200):
        write_notebook(tmp_path / f"student{number:03}" / f"{NAME}.ipynb", shown("passed" if number % 2 else "blank"))
    found = read_folder(tmp_path)
    assert len(found) == 200 and sum(one.passed for one in found) == 100


# ---- with --run


def test_the_labs_own_cells_are_left_out(tmp_path):
    dict(start_copies(tmp_path))
    notebook = load_notebook(tmp_path / f"{NAME}.ipynb")
    notebook["cells"].insert(3, make_cell("code", "mine", "extra = 1", {}, []))
    chosen = choose_cells(notebook["cells"], NAME)
    assert [known for known, _ in chosen] == ["", "", *TASKS]
    assert chosen[0][1].startswith("import numpy") and "extra = 1" in [source for _, source in chosen]


SOLUTION = next(task.shown for task in read_tasks(NAME) if task.name == "fusion")
CHECKED = SOLUTION + "\ncheck.fusion(MyFusion)"
REACH = """\
import socket
try:
    socket.create_connection({address!r}, 2).close()
    open({mark!r}, "w").close()
except OSError:
    pass
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Path, dict]:
    """One course, judged again in one call: the students by name, and where their cells left marks."""
    folder, marks = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("marks")
    listener = socket.create_server(("127.0.0.1", 0))
    reach, alone = (
        REACH.format(address=listener.getsockname(), mark=str(marks / name)) for name in ("reached", "twin")
    )
    mark = f"open({str(marks / 'ran')!r}, 'w').close(); open('here', 'w').close(); print(np)"
    students = {
        "right": {"outputs": [shown("mistake", "fusion", "one_key")], "source": CHECKED, "extra": (mark,)},
        "forged": {"outputs": [shown("passed")]},
        "unchecked": {"source": SOLUTION},
        "helped": {"source": CHECKED.replace("import torch\n", "", 1), "extra": ("import torch", "%time 1")},
        "stops": {"source": "number = 1 / 0"},
        "loops": {"source": CHECKED, "extra": ("while True: pass",)},
        "hogs": {"source": "hog = bytearray(2 ** 33)"},
        "exits": {"source": "import os; os._exit(0)"},
        "talks": {"source": CHECKED, "extra": (reach,)},
        "adds": {"source": CHECKED, "extra": ("\n# mine\x1b\nlost + 1", "def (")},
    }
    for name, given in students.items():
        write_notebook(folder / name / f"{NAME}.ipynb", *given.pop("outputs", ()), **given)
    found = read_folder(folder)
    with listener:
        rerun_answers(found, Limits(seconds=30, memory=2))
        subprocess.run([sys.executable, "-c", alone], timeout=60, check=True)
    return marks, {one.student: one for one in found}


def test_run_again_judges_objects(judged):
    marks, students = judged
    right = students["right"]
    assert right.answers["fusion"].kind == "passed" and (marks / "ran").exists()
    assert "the saved output says otherwise: fusion" in right.notes
    assert students["unchecked"].answers["fusion"].kind == students["helped"].answers["fusion"].kind == "passed"


def test_run_again_finds_a_forged_output(judged):
    forged = judged[1]["forged"]
    assert forged.answers["fusion"].kind == "blank" and "the saved output says otherwise: fusion" in forged.notes


def test_run_again_names_what_stopped(judged):
    students = judged[1]
    assert students["stops"].answers["fusion"].kind == students["hogs"].answers["fusion"].kind == "error"
    assert any("ZeroDivisionError" in note for note in students["stops"].notes)
    assert any("MemoryError" in note for note in students["hogs"].notes)
    assert "stopped after 30 s" in students["loops"].notes
    assert any("process died" in note for note in students["exits"].notes)
    assert not any("stopped" in note or "died" in note for note in students["right"].notes)  # the twin


def test_run_again_notes_a_cell_that_stopped_beside_the_answers(judged):
    adds, helped = judged[1]["adds"], judged[1]["helped"]
    assert adds.answers["fusion"].kind == "passed"
    stopped = [note for note in adds.notes if note.startswith("the cell")]
    assert stopped[0] == r"the cell `# mine\x1b lost + 1` stopped: NameError: name 'lost' is not defined"
    assert stopped[1].startswith("the cell `def (` stopped: SyntaxError") and len(stopped) == 2
    assert not [note for note in helped.notes if note.startswith("the cell")]  # the twin: its cells run


def test_run_again_has_no_network_where_the_system_allows_that(judged):
    marks, students = judged
    if rerun.NETWORK in students["talks"].notes:
        pytest.skip("this system does not let a process leave the network")
    assert students["talks"].answers["fusion"].kind == "passed"
    assert (marks / "twin").exists() and not (marks / "reached").exists()
