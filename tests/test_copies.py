"""A student's own copies: they find the data, and no later call takes anything of a student's work away."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest

from mmlab.errors import RunError
from mmlab.exercises import cells, copies
from mmlab.exercises.cells import NOTEBOOKS, SOLUTIONS, list_notebooks, make_cells
from mmlab.exercises.copies import start_copies
from mmlab.exercises.files import has_tag, load_notebook, make_cell, read_source, save_notebook
from mmlab.storage import CHECKOUT

NAME = "04_fusion"
ANSWER = "class MyFusion:  # mine\n    pass\n\ncheck.fusion(MyFusion)"


@pytest.fixture
def folder(tmp_path) -> Path:
    dict(start_copies(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def later(monkeypatch, tmp_path):
    """The lab after an update: the question and the stub of the exercise `fusion` have changed."""
    solutions = tmp_path / "solutions"
    solutions.mkdir()
    for path in SOLUTIONS.glob("*.py"):
        (solutions / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    changed = (solutions / f"{NAME}.py").read_text(encoding="utf-8")
    changed = re.sub(r"(# %% \[markdown\] fusion\n.*\n)", r"\1#\n# Asked anew.\n", changed)
    changed = changed.replace("# %% fusion\n", "# %% fusion\n# Begin anew.\n")
    (solutions / f"{NAME}.py").write_text(changed, encoding="utf-8")
    for name in ("make_cells", "edition"):
        monkeypatch.setattr(copies, name, partial(getattr(cells, name), folder=solutions))
    return solutions


def cell_of(notebook: dict, id: str) -> dict:
    (found,) = [cell for cell in notebook["cells"] if cell.get("id") == id]
    return found


def change(folder: Path, edit) -> None:
    path = folder / f"{NAME}.ipynb"
    notebook = load_notebook(path)
    edit(notebook)
    save_notebook(path, notebook)


def answer(notebook: dict) -> None:
    """What a student leaves: an answer that was run, a cell of their own, and a changed cell of the lab."""
    cell = cell_of(notebook, "fusion")
    cell["source"] = ANSWER
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["told"]}]
    notebook["cells"].insert(notebook["cells"].index(cell), make_cell("code", "mine", "def helper(): ...", {}, []))
    cell_of(notebook, "04-02")["source"] = "import this"


def test_there_are_seven_copies_with_the_exercises_and_the_originals_stay(tmp_path):
    before = {path: path.read_bytes() for path in NOTEBOOKS.glob("*.ipynb")}
    done = dict(start_copies(tmp_path / "work"))
    assert list(done) == list_notebooks() and set(done.values()) == {"new copy"}
    assert before == {path: path.read_bytes() for path in NOTEBOOKS.glob("*.ipynb")}
    for name in done:
        copied = load_notebook(tmp_path / "work" / f"{name}.ipynb")
        nbformat.validate(nbformat.read(tmp_path / "work" / f"{name}.ipynb", as_version=4))
        own = [cell for cell in copied["cells"] if has_tag(cell, "exercise")]
        assert own == make_cells(name)  # blank, without outputs
        lab = [cell for cell in load_notebook(NOTEBOOKS / f"{name}.ipynb")["cells"] if not has_tag(cell, "exercise")]
        kept = [cell for cell in copied["cells"] if not has_tag(cell, "exercise")]
        differ = [one["id"] for one, other in zip(lab, kept, strict=True) if one != other]
        assert [has_tag(cell, "parameters") for cell in lab if cell["id"] in differ] == [True]


def read_parameters(notebook: dict) -> dict:
    (cell,) = [cell for cell in notebook["cells"] if has_tag(cell, "parameters")]
    values: dict = {}
    exec(read_source(cell), values)
    return values


def test_a_copy_finds_the_data_and_writes_beside_itself(folder):
    for name in list_notebooks():
        values = read_parameters(load_notebook(folder / f"{name}.ipynb"))
        assert (folder / values["results"]) == folder / "results"
        assert "data" not in values or (folder / values["data"] / "train.txt").is_file()
    original = read_parameters(load_notebook(NOTEBOOKS / f"{NAME}.ipynb"))
    assert not (folder / original["data"]).exists()  # the twin: as it was, it finds nothing


def test_inside_the_checkout_the_path_stays_relative():
    given = 'data = "../data/demo"  # where\nresults = "../results/notebooks"  # there\nseed = 0  # data = "x"'
    inside = copies._point(given, CHECKOUT / "work" / "ann")
    assert inside == 'data = "../../data/demo"  # where\nresults = "results"  # there\nseed = 0  # data = "x"'
    outside = copies._point(given, Path("/elsewhere"))
    assert f'data = "{(CHECKOUT / "data" / "demo").as_posix()}"  # where' in outside


def test_a_second_call_leaves_every_byte(folder):
    change(folder, answer)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert set(dict(start_copies(folder)).values()) == {"up to date, left as it is"}
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_later_edition_keeps_an_answer_and_updates_what_was_asked(folder, later):
    change(folder, answer)
    said = dict(start_copies(folder))
    assert "1 answer kept" in said[NAME] and copies.edition(NAME) in said[NAME]
    now = load_notebook(folder / f"{NAME}.ipynb")
    assert read_source(cell_of(now, "fusion")) == ANSWER and cell_of(now, "fusion")["outputs"] == []
    assert "Asked anew." in read_source(cell_of(now, "fusion-question"))
    assert copies.edition(NAME) in read_source(cell_of(now, "exercises"))
    assert cell_of(now, "fusion")["metadata"]["mmlab"]["edition"] == copies.edition(NAME)
    order = [cell["id"] for cell in now["cells"]]
    assert order.index("fusion-question") < order.index("mine") < order.index("fusion")
    assert read_source(cell_of(now, "mine")) == "def helper(): ..."
    assert read_source(cell_of(now, "04-02")) == "import this"
    assert dict(start_copies(folder))[NAME] == "up to date, left as it is"


def test_twin_an_untouched_stub_is_replaced(folder, later):
    assert "0 answers kept" in dict(start_copies(folder))[NAME]
    now = load_notebook(folder / f"{NAME}.ipynb")
    assert "# Begin anew." in read_source(cell_of(now, "fusion"))


@pytest.mark.parametrize("lost", ["metadata", "metadata and ids"])
def test_cells_are_known_after_their_metadata_were_lost(folder, later, lost):
    def lose(notebook):
        answer(notebook)
        for cell in notebook["cells"]:
            cell["metadata"] = {}
            if "ids" in lost:
                del cell["id"]
        notebook["nbformat_minor"] = 4 if "ids" in lost else 5

    change(folder, lose)
    count = len(load_notebook(folder / f"{NAME}.ipynb")["cells"])
    assert "answer" in dict(start_copies(folder))[NAME]
    now = load_notebook(folder / f"{NAME}.ipynb")
    assert len(now["cells"]) == count, "no cell was added a second time"
    (found,) = [
        cell for cell in now["cells"] if cell["metadata"].get("mmlab", {}).get("stub") and "mine" in read_source(cell)
    ]
    assert read_source(found) == ANSWER
    nbformat.validate(nbformat.read(folder / f"{NAME}.ipynb", as_version=4))


def test_a_cell_that_was_deleted_comes_back_in_its_place(folder):
    def delete(notebook):
        answer(notebook)
        notebook["cells"] = [cell for cell in notebook["cells"] if cell.get("id") not in ("fusion-question", "summary")]

    change(folder, delete)
    assert "restored" in dict(start_copies(folder))[NAME]
    order = [cell["id"] for cell in load_notebook(folder / f"{NAME}.ipynb")["cells"]]
    assert order.index("exercises") < order.index("fusion-question") < order.index("fusion") < order.index("summary")
    assert read_source(cell_of(load_notebook(folder / f"{NAME}.ipynb"), "fusion")) == ANSWER


@pytest.mark.parametrize("content", [b'{"cells": [', b"", b"[1]", b'{"cells": [{"cell_type": "code"}]}', b"[" * 100000])
def test_a_damaged_notebook_is_named_and_left_alone_and_the_others_are_written(tmp_path, content):
    (tmp_path / "02_text_only.ipynb").write_bytes(content)
    done = {}
    with pytest.raises(RunError, match="02_text_only.ipynb.*Left as found"):
        for name, words in start_copies(tmp_path):
            done[name] = words
    assert (tmp_path / "02_text_only.ipynb").read_bytes() == content
    assert list(done) == [name for name in list_notebooks() if name != "02_text_only"]
    assert all((tmp_path / f"{name}.ipynb").is_file() for name in done)


def test_the_originals_and_a_file_are_no_place_to_work(tmp_path):
    (tmp_path / "file").write_text("kept")
    for place, words in ((NOTEBOOKS, "Choose another"), (tmp_path / "file", "is a file")):
        with pytest.raises(RunError, match=words):
            dict(start_copies(place))


def test_commands_of_the_exercises_load_nothing_heavy():
    code = "import sys, mmlab.exercises.copies, mmlab.exercises.progress, mmlab.exercises.rerun; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout.split()
    assert not {"torch", "numpy", "pandas", "nbformat", "IPython"} & set(loaded)
    assert "mmlab.exercises.copies" in loaded  # the twin: this is where a module would be seen


def test_a_place_that_cannot_be_written_is_one_plain_error(tmp_path):
    """A folder that refuses by its kind, so that it also refuses root."""
    if Path("/proc/self").exists():
        with pytest.raises(RunError, match=r"/proc/work: cannot be written \(.*\)\..* Choose another folder"):
            dict(start_copies("/proc/work"))
    call = [sys.executable, "-m", "mmlab.cli", "start", str(tmp_path / ("x" * 300))]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "File name too long. Choose a shorter name." in done.stderr
