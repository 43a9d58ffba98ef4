"""A grid: which cells there are, that a wrong one costs nothing, and that a complete one is never done again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmlab import grid as grid_module
from mmlab.config import LABELS, RunConfig
from mmlab.course import Course
from mmlab.errors import ConfigError, RunError
from mmlab.features import Features, Sequences
from mmlab.grid import grid_table, list_cells, run_grid
from mmlab.notebooks import NotebookResult
from mmlab.runs import is_complete, train_run

BASE = {"fusion": "concat", "hidden": 8, "heads": 2, "epochs": 1, "folds": 2, "seeds": 1}
VALUES = {"lr": [1e-2, 1e-3], "dropout": [0.1, 0.3]}


@pytest.fixture(scope="module")
def data() -> tuple[Course, Features]:
    """A small course without files, nothing to predict."""
    random = np.random.default_rng(0)
    n = 60
    sides = [Sequences(random.standard_normal((2 * n, 5)).astype(np.float16), np.arange(0, 2 * n + 1, 2)) for _ in "ti"]
    guids = [f"g{number}" for number in range(n)]
    pairs = pd.DataFrame({
        "guid": guids, "label": [LABELS[number % 3] for number in range(n)], "twin": range(n),
        "split": ["dev", *["train"] * 4] * (n // 5),
    })  # fmt: skip
    return Course(Path("nowhere"), pairs, None, 0, "data", "split"), Features(guids, *sides, "encoders")


@pytest.fixture
def executed(data, monkeypatch) -> list[dict]:
    """The parameters of every notebook that is run; each trains as notebook 04 does."""
    done = []

    def pretend(jobs, workers):
        for number, job in enumerate(jobs):
            done.append(job.parameters)
            knobs = {name: value for name, value in job.parameters.items() if name not in ("data", "results")}
            train_run(RunConfig.from_params(knobs), *data, job.parameters["results"])
            job.output.parent.mkdir(parents=True, exist_ok=True)
            job.output.write_text("{}")
            yield number, NotebookResult(job.output, 1.0, {})

    monkeypatch.setattr(grid_module, "run_notebooks", pretend)
    return done


def run(data, results, values=VALUES, base=BASE, **rest):
    return run_grid("04_fusion.ipynb", "course", results, *data, values, base, **rest)


def test_cells_are_all_combinations_with_the_last_name_changing_fastest():
    assert list_cells({"lr": [1, 2], "dropout": [3, 4, 5]}) == [
        {"lr": 1, "dropout": 3}, {"lr": 1, "dropout": 4}, {"lr": 1, "dropout": 5},
        {"lr": 2, "dropout": 3}, {"lr": 2, "dropout": 4}, {"lr": 2, "dropout": 5},
    ]  # fmt: skip
    assert list_cells({"lr": []}) == []


def test_each_cell_runs_the_notebook_once_with_its_values(data, executed, tmp_path):
    told = []
    runs = run(data, tmp_path, on_cell=lambda *about: told.append(about))
    assert [(one["lr"], one["dropout"]) for one in executed] == [(1e-2, 0.1), (1e-2, 0.3), (1e-3, 0.1), (1e-3, 0.3)]
    assert all(one["data"] == "course" and one["hidden"] == 8 for one in executed)
    assert [{"lr": one.config.lr, "dropout": one.config.dropout} for one in runs] == list_cells(VALUES)
    assert [new for _, _, new in told] == [True] * 4
    assert all((one.folder / "notebook.ipynb").is_file() for one in runs)
    assert len({one.folder for one in runs}) == 4


def test_complete_cells_are_not_run_again(data, executed, tmp_path):
    first = run(data, tmp_path)
    executed.clear()
    told = []
    again = run(data, tmp_path, on_cell=lambda cell, one, new: told.append(new))
    assert executed == [] and told == [False] * 4
    assert [one.folder for one in again] == [one.folder for one in first]
    (first[2].folder / "metrics.json").unlink()  # the twin: a half-done cell is, and it alone
    run(data, tmp_path)
    assert [(one["lr"], one["dropout"]) for one in executed] == [(1e-3, 0.1)]


@pytest.mark.parametrize(
    ("values", "base", "words"),
    [
        ({"lr": [1e-3, "1e-4"]}, BASE, "without quotes"),
        ({"dropout": [0.1, 1.5]}, BASE, "out of range"),
        ({"learning": [1]}, BASE, "Unknown parameter 'learning'"),
        (VALUES, {**BASE, "fusion": "concatt"}, "Did you mean 'concat'"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_runs(data, executed, tmp_path, values, base, words):
    with pytest.raises(ConfigError, match=words):
        run(data, tmp_path, values, base)
    assert executed == [] and list(tmp_path.iterdir()) == []


def test_a_notebook_that_leaves_no_complete_run_is_an_error(data, tmp_path, monkeypatch):
    """papermill calls a dead kernel completed: the run folder decides."""

    def pretend(jobs, workers):
        yield 0, NotebookResult(jobs[0].output, 1.0, {})

    monkeypatch.setattr(grid_module, "run_notebooks", pretend)
    with pytest.raises(RunError, match="no complete run here"):
        run(data, tmp_path)


def test_a_failed_cell_is_told_after_the_others_are_done(data, executed, tmp_path, monkeypatch):
    good = grid_module.run_notebooks

    def second_fails(jobs, workers):
        for number, outcome in good(jobs, workers):
            yield number, RunError("out of memory") if number == 1 else outcome

    monkeypatch.setattr(grid_module, "run_notebooks", second_fails)
    told = []
    with pytest.raises(RunError, match="1 of 4 cells failed, the first with this:\nout of memory"):
        run(data, tmp_path, on_cell=lambda cell, *_: told.append(cell))
    assert told == [cell for number, cell in enumerate(list_cells(VALUES)) if number != 1]


def test_a_table_has_one_row_a_run(data, executed, tmp_path):
    runs = run(data, tmp_path)
    table = grid_table(runs, ["lr", "dropout"])
    assert table[["lr", "dropout"]].to_numpy().tolist() == [[1e-2, 0.1], [1e-2, 0.3], [1e-3, 0.1], [1e-3, 0.3]]
    assert table["accuracy"].tolist() == [one.scores["text_and_image"].accuracy.value for one in runs]
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    assert (table["n"] == 60).all() and (table["best_epoch"] == 1).all()
    assert all(is_complete(one.folder) for one in runs)
