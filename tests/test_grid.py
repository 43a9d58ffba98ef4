"""A grid: which settings there are, that a wrong one costs nothing, that a completed one is skipped, and that
nothing is lost whatever is killed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmlab import features as features_module
from mmlab.config import GRID_PRESETS, KNOBS, LABELS, RunConfig, read_knobs
from mmlab.course.reading import Course
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.evaluation import METRICS, Metric, score_frame
from mmlab.features import Features, Sequences
from mmlab.runs import JOINT, train_run
from mmlab.workbook import grid as grid_module
from mmlab.workbook.execute import NotebookResult
from mmlab.workbook.grid import Grid, combine, read_values, tabulate_runs
from mmlab.workbook.parameters import check_parameters, resolve_folders
from mmlab.workbook.pipeline import run_workbook

BASE = {"fusion": "concat", "epochs": 1, "folds": 2, "seeds": 1}
VALUES = {"lr": [1e-2, 1e-3], "dropout": [0.1, 0.3]}
PAIRS = [(1e-2, 0.1), (1e-2, 0.3), (1e-3, 0.1), (1e-3, 0.3)]


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
    """The parameters of every notebook that is run; each trains as notebook 04 does, without a kernel."""
    done = []

    def pretend(jobs, workers=1, places=None, nursery=None):
        for number, job in enumerate(jobs):
            done.append(job.parameters)
            knobs = {name: value for name, value in job.parameters.items() if name not in ("data", "results")}
            train_run(RunConfig.from_params(knobs), *data, job.parameters["results"])
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            Path(job.output).write_text("{}")
            yield number, NotebookResult(job.output, 0.0, 1.0, {})

    monkeypatch.setattr(grid_module, "run_notebooks", pretend)
    monkeypatch.setattr(grid_module, "read_course", lambda folder, seed: data[0])
    monkeypatch.setattr(features_module, "encode_course", lambda *_, **__: data[1])
    return done


def make(results, values=VALUES, base=BASE, **rest) -> Grid:
    return Grid("course", results, values, base, **rest)


def tried(executed) -> list[tuple]:
    return [(one["lr"], one["dropout"]) for one in executed]


# ------------------------------------------------------------------------------------------------ which settings


def test_settings_are_all_combinations_with_the_last_name_changing_fastest():
    assert combine({"lr": [1, 2], "dropout": [3, 4, 5]}) == [
        {"lr": 1, "dropout": 3}, {"lr": 1, "dropout": 4}, {"lr": 1, "dropout": 5},
        {"lr": 2, "dropout": 3}, {"lr": 2, "dropout": 4}, {"lr": 2, "dropout": 5},
    ]  # fmt: skip
    assert combine({"lr": []}) == []


def test_each_setting_is_repeated_with_its_own_seed(tmp_path):
    grid = make(tmp_path, {"lr": [1e-2, 1e-3]}, {**BASE, "seed": 5}, seeds=2)
    assert [(one["lr"], one["seed"]) for one in grid.planned] == [(1e-2, 5), (1e-2, 6), (1e-3, 5), (1e-3, 6)]
    assert grid.names == ["lr", "seed"]


def test_values_are_read_as_the_knobs_own_types():
    read = read_values(["lr=1e-2, 1e-3", "fusion=concat,late", "epochs=5", "class_weights=true,False"])
    assert read == {
        "lr": [0.01, 0.001], "fusion": ["concat", "late"], "epochs": [5], "class_weights": [True, False]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lr", "write a name and its values"),
        ("lr=", "write a name and its values"),
        ("dropuot=0.1", "Did you mean 'dropout'"),
        ("lr=fast", "not a number"),
        ("epochs=2.5", "not a whole number"),
        ("class_weights=yes", "true or false"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        read_values([setting])


def test_a_knob_set_twice_is_refused():
    with pytest.raises(ConfigError, match="set twice"):
        read_values(["lr=1", "lr=2"])


@pytest.mark.parametrize(
    ("values", "rest", "words"),
    [
        ({"lr": [1e-3, "1e-4"]}, {}, "without quotes"),
        ({"dropout": [0.1, 1.5]}, {}, "out of range"),
        ({"learning": [1]}, {}, "Unknown parameter 'learning'"),
        ({"fusion": ["concatt"]}, {}, "Did you mean 'concat'"),
        ({"lr": []}, {}, "no values"),
        ({"lr": [1e-3, 1e-3]}, {}, "twice"),
        ({"seed": [1, 2]}, {"seeds": 2}, "seed is among the values"),
        (VALUES, {"seeds": 0}, "trains nothing"),
        ({"scenario": ["text_only", "text_and_image"]}, {}, "each notebook sets its own scenario"),
        ({"hidden": [64, 66]}, {}, "not a multiple of heads"),
        ({"image_encoder": ["./nowhere"]}, {}, "nowhere: no encoder"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_runs(executed, tmp_path, values, rest, words):
    with pytest.raises(MmlabError, match=words):
        make(tmp_path, values, **rest)
    assert executed == [] and list(tmp_path.iterdir()) == []


def test_a_grid_may_train_encoders_which_the_workbook_does_not(tmp_path, demo_folder):
    assert len(Grid(demo_folder, tmp_path, {"text_layers": [0, 2]}).planned) == 2
    with pytest.raises(MmlabError, match="Fine-tune with `mmlab train` and --set text_layers=2"):
        run_workbook(demo_folder, tmp_path, {"text_layers": 2})
    assert list(tmp_path.iterdir()) == []


def test_no_column_of_the_table_has_the_name_of_a_knob():
    """Any knob may vary, and its values have a column of their own."""
    assert not set(tabulate_runs([], []).columns) & set(KNOBS)


def test_any_knob_reaches_the_notebook(tmp_path):
    """What notebook 04 does not declare travels in its parameter `knobs`; a folder by its absolute path."""
    sets = ["hidden=64,128", "class_weights=true", "weight_decay=1e-05"]
    grid = make(tmp_path, read_values(sets))
    first = check_parameters(grid.notebook, grid.parameters(0))
    assert first["knobs"] == "hidden=64 class_weights=true weight_decay=1e-05" and first["fusion"] == "concat"
    assert RunConfig(**read_knobs(first["knobs"])).hidden == 64 and len(grid.planned) == 2
    assert "knobs" not in check_parameters(grid.notebook, {**make(tmp_path).planned[0]})


def test_an_encoder_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "minilm"):
        (tmp_path / name).mkdir()
    assert resolve_folders({"text_encoder": "mine", "lr": 1.0}) == {"text_encoder": str(tmp_path / "mine"), "lr": 1.0}
    assert resolve_folders({"text_encoder": "minilm"}) == {"text_encoder": "minilm"}  # the installed one
    assert resolve_folders({"text_encoder": "roberta-base"}) == {"text_encoder": "roberta-base"}


@pytest.mark.parametrize("options", [{"on": "slrum"}, {"jobs": 0}])
def test_a_wrong_way_to_run_is_refused(executed, tmp_path, options):
    with pytest.raises(ConfigError, match="slurm|jobs=0"):
        make(tmp_path).run(**options)
    assert executed == []


@pytest.mark.parametrize("name", GRID_PRESETS)
def test_presets_are_grids(name, tmp_path):
    assert len(make(tmp_path, GRID_PRESETS[name]).planned) in (6, 8)


# ------------------------------------------------------------------------------------------------ running them


def test_each_setting_runs_the_notebook_once_with_its_values(executed, tmp_path):
    seen = []
    outcomes = make(tmp_path).run(on_run=seen.append)
    assert tried(executed) == PAIRS and seen == outcomes
    assert all(one["data"] == "course" and one["fusion"] == "concat" and one["seed"] == 0 for one in executed)
    assert [(one.run.config.lr, one.run.config.dropout) for one in outcomes] == PAIRS
    assert all(one.new and one.status == "complete" for one in outcomes)
    assert all((one.run.folder / "notebook.ipynb").is_file() for one in outcomes)
    assert len({one.run.folder for one in outcomes}) == 4


def test_completed_settings_are_skipped(executed, tmp_path):
    first = make(tmp_path).run()
    executed.clear()
    again = make(tmp_path).run()
    assert executed == [] and [one.new for one in again] == [False] * 4
    assert [one.run.id for one in again] == [one.run.id for one in first]
    (first[2].run.folder / "metrics.json").unlink()  # the twin: an unfinished one is trained, and it alone
    make(tmp_path).run()
    assert tried(executed) == [(1e-3, 0.1)]


def test_a_complete_run_without_its_notebook_gets_it_from_the_next_call(executed, tmp_path):
    first = make(tmp_path).run()
    executed.clear()
    (first[2].run.folder / "notebook.ipynb").unlink()  # killed between the end of the training and that of the notebook
    again = make(tmp_path).run()
    assert tried(executed) == [(1e-3, 0.1)] and not any(one.new for one in again)
    assert (first[2].run.folder / "notebook.ipynb").is_file()
    executed.clear()
    make(tmp_path).run()
    assert executed == []


def test_a_larger_grid_trains_only_what_is_new(executed, tmp_path):
    make(tmp_path, {"lr": [1e-2], "dropout": [0.1, 0.3]}).run()
    executed.clear()
    make(tmp_path).run()
    assert tried(executed) == PAIRS[2:]


def test_other_data_is_never_mixed_in(executed, data, tmp_path, monkeypatch):
    make(tmp_path).run()
    executed.clear()
    changed = Course(Path("nowhere"), data[0].pairs, None, 0, "other data", "split")
    monkeypatch.setattr(grid_module, "read_course", lambda folder, seed: changed)
    assert make(tmp_path).table()["status"].tolist() == ["missing"] * 4


def test_a_failed_setting_is_reported_and_the_others_continue(executed, tmp_path, monkeypatch):
    good = grid_module.run_notebooks

    def second_fails(jobs, workers=1, *rest):
        for number, outcome in good(jobs, workers):
            if number == 1:
                shutil.rmtree(next(tmp_path.glob("grid/runs/*lr0.01-do0.3*")))
                outcome = RunError("04_fusion.ipynb, code cell 9: out of memory\nThe notebook as far as it went: here")
            yield number, outcome

    with monkeypatch.context() as patch:
        patch.setattr(grid_module, "run_notebooks", second_fails)
        outcomes = make(tmp_path).run()
    assert [one.status for one in outcomes] == ["complete", "failed", "complete", "complete"]
    table = pd.read_csv(tmp_path / "grid" / "grid.csv", keep_default_na=False)
    assert table["error"].tolist() == ["", "04_fusion.ipynb, code cell 9: out of memory", "", ""]
    assert make(tmp_path).table()["status"].tolist() == ["complete", "failed", "complete", "complete"]
    executed.clear()
    assert [one.status for one in make(tmp_path).run()] == ["complete"] * 4  # a failure is not kept for ever
    assert tried(executed) == [(1e-2, 0.3)]
    assert make(tmp_path).table()["error"].tolist() == [""] * 4


def test_a_notebook_that_leaves_no_complete_run_has_failed(executed, tmp_path, monkeypatch):
    """papermill calls a dead kernel completed: the run folder decides."""

    def pretend(jobs, workers=1, places=None, nursery=None):
        for number, job in enumerate(jobs):
            yield number, NotebookResult(job.output, 0.0, 1.0, {})

    monkeypatch.setattr(grid_module, "run_notebooks", pretend)
    outcomes = make(tmp_path).run()
    assert [one.status for one in outcomes] == ["failed"] * 4 and "no complete run" in outcomes[0].error


def test_the_table_has_one_row_for_each_run_and_shows_a_running_grid(executed, tmp_path):
    grid = make(tmp_path)
    seen = []
    grid.run(on_run=lambda one: seen.append(pd.read_csv(tmp_path / "grid" / "grid.csv")["status"].tolist()))
    assert [row.count("complete") for row in seen] == [1, 2, 3, 4] and seen[0][3] == "missing"
    table = grid.table()
    assert list(zip(table["lr"], table["dropout"])) == PAIRS
    assert table["accuracy"].tolist() == [one.run.scores["text_and_image"].accuracy.value for one in grid.find_runs()]
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    costs = ["best_epoch", "trained_epochs", "seconds", "run", "error"]
    scores = ["n", "accuracy", "low", "high", *list(METRICS)[1:]]
    assert list(table) == ["lr", "dropout", "seed", "status", *scores, *costs, "from_best"]
    assert (table["n"] == 60).all() and (table["best_epoch"] == 1).all() and (table["trained_epochs"] == 1).all()


def test_a_new_metric_has_its_column(executed, tmp_path, monkeypatch):
    grid = make(tmp_path, {"lr": [1e-2]})
    grid.run()
    toy = Metric("toy", "toy", "always one half", lambda confusion: confusion.sum(axis=(-2, -1)) * 0 + 0.5)
    monkeypatch.setitem(METRICS, "toy", toy)
    assert grid.table()["toy"].tolist() == [0.5]
    assert grid_module.tabulate(grid.settings())["toy"].tolist() == [0.5]


def test_a_folder_that_cannot_be_written_is_one_clear_error(executed, tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(RunError, match="Choose another results folder"):
        make(tmp_path / "results").run()


def test_a_second_grid_waits_for_the_first(executed, tmp_path, capfd):
    entered, leave = threading.Event(), threading.Event()

    def hold(outcome):
        entered.set()
        leave.wait(10)

    first = threading.Thread(target=lambda: make(tmp_path).run(on_run=hold))
    first.start()
    entered.wait(10)
    second = threading.Thread(target=lambda: make(tmp_path).run())
    second.start()
    time.sleep(0.5)
    assert second.is_alive() and len(executed) == 1
    leave.set()
    first.join(20), second.join(20)
    assert tried(executed) == PAIRS  # each once
    assert "Another grid is running" in capfd.readouterr().err


def test_the_machine_is_divided(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert grid_module._split_machine(3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in grid_module._split_machine(2)] == ["4", "5"]


# ------------------------------------------------------------------------------------------------ real kernels, killed


def command(results: Path, demo: Path) -> list[str]:
    sets = ["--set", "lr=0.01,0.001", "--set", "epochs=1,2"]
    return [sys.executable, "-m", "mmlab.cli", "grid", *sets, "--data", str(demo), "--results", str(results)]


def line_of(pid: str) -> bytes:
    return Path("/proc", pid, "cmdline").read_bytes()


def parent_of(pid: str) -> str:
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1]


def kernels(results: Path) -> list[int]:
    """The grid's kernels, oldest first: forked from the nursery of the command that names the results folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"mmlab.processes" in line_of(folder.name):
                nursery = parent_of(folder.name)
                if b"mmlab.processes" in line_of(nursery) and str(results).encode() in line_of(parent_of(nursery)):
                    found.append(int(folder.name))
        except OSError:
            pass
    return sorted(found)


def kill_kernel(process: subprocess.Popen) -> None:
    results = Path(process.args[process.args.index("--results") + 1])
    os.kill(kernels(results)[-1], signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find the kernels")
def test_a_grid_survives_kills_of_its_kernels_and_of_itself(tmp_path, demo_folder):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    subprocess.run(command(undisturbed, demo_folder), check=True, capture_output=True)
    for kill in (kill_kernel, subprocess.Popen.kill, None):
        process = subprocess.Popen(command(disturbed, demo_folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if kill:
            while not kernels(disturbed):
                assert process.poll() is None, "the command ended before anything could be killed"
                time.sleep(0.05)
            time.sleep(0.3)
            assert kernels(disturbed), "the kernel ended before it could be killed"
            kill(process)
        process.communicate()
        assert (process.returncode == 0) == (kill is None)
    times = ["seconds"]
    one, other = (pd.read_csv(folder / "grid" / "grid.csv").drop(columns=times) for folder in (undisturbed, disturbed))
    pd.testing.assert_frame_equal(one, other)
    assert (one["status"] == "complete").all() and len(one) == 4


# -------------------------------------------------------------------------------------------- several seeds


def test_a_setting_is_scored_over_all_its_seeds_and_listed_only_when_all_are_there(executed, tmp_path):
    grid = make(tmp_path, {"lr": [1e-2, 1e-3]}, seeds=2)
    outcomes = grid.run()
    settings = grid.settings(outcomes)
    assert [one.name for one in settings] == ["lr 0.01", "lr 0.001"]
    table = grid_module.tabulate(settings)
    for one, row in zip(settings, table.itertuples(), strict=True):
        each = [run.scores["text_and_image"] for run in one.runs]
        assert row.n == sum(score.n for score in each) == 120
        assert row.accuracy == pytest.approx(np.mean([score.accuracy.value for score in each]))
        assert one.predictions["guid"].is_unique and one.predictions["twin"].nunique() == 60
    # More seeds are not more pairs: of the same answers twice the interval must stay as wide as of them once.
    one = outcomes[0].run
    twice = grid_module.Setting({}, [one, replace(one, config=one.config.replace(seed=9))])
    width, once = (interval.high - interval.low for interval in (twice.score.accuracy, one.scores[JOINT].accuracy))
    assert width == pytest.approx(once, rel=0.1)
    loose = score_frame(twice.predictions.assign(twin=range(120)), JOINT).accuracy  # the twin: as if they were more
    assert loose.high - loose.low < 0.85 * once
    shutil.rmtree(outcomes[0].run.folder)
    assert [one.name for one in grid.settings()] == ["lr 0.001"]


def test_runs_on_other_data_are_counted_and_trained_again(executed, data, tmp_path, monkeypatch):
    make(tmp_path).run()
    assert make(tmp_path).count_superseded() == 0
    changed = replace(data[0], fingerprint="other data")
    monkeypatch.setattr(grid_module, "read_course", lambda folder, seed: changed)
    grid = make(tmp_path)
    assert grid.count_superseded() == 4
    grid.run()
    assert len(executed) == 8
