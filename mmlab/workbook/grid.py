"""A grid: notebook 04 executed once for each combination of values and each seed, each into its own run folder.

A complete run is never done again, whatever was killed and when: a run folder appears whole or not at all, and it is
named after the knobs, the data, the split and the code. Explained in notebook 05.
"""

import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import EXERCISE_TAG, GUID, LISTS, RunConfig, check_choice, find_knob, name_knobs
from mmlab.course import read_course
from mmlab.errors import ConfigError, RunError, stoppable, writing
from mmlab.evaluation import METRICS, Scores, adjust_holm, compare_frames, score_frame
from mmlab.processes import open_nursery
from mmlab.runs import JOINT, RUNS, Run, is_complete, load_run, open_results, run_folder
from mmlab.storage import one_at_a_time, tidy, write_atomic
from mmlab.workbook.execute import EXECUTED, READING_TAG, Job, NotebookResult, run_notebooks
from mmlab.workbook.parameters import NOTEBOOKS, check_knobs, check_length, check_parameters, resolve_folders
from mmlab.workbook.slurm import check_cluster, run_array

GRID, TABLE = "grid", "grid.csv"  # a grid's runs are in <results>/grid/runs/, and its table in <results>/grid/
MOST_RUNS = 10_000  # of a grid: a week on a laptop
FUSION_NOTEBOOK = NOTEBOOKS / "04_fusion.ipynb"


@dataclass(frozen=True)
class SettingRun:
    """One setting with one seed: all its knobs, its run if that is complete, and what went wrong if it failed."""

    knobs: dict[str, Any]
    run: Run | None = None
    error: str = ""
    new: bool = False  # trained by this call, not found

    @property
    def status(self) -> str:
        return "complete" if self.run else "failed" if self.error else "missing"


@dataclass(frozen=True)
class Setting:
    """One combination of values: its complete runs, one for each seed."""

    knobs: dict[str, Any]
    runs: list[Run]

    @property
    def name(self) -> str:
        return name_knobs(self.knobs)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions of all its runs, one after another; of several seeds, with the seed added to each guid.

        A pair's rows stay in one twin group, so that an interval does not take them for more evidence than they are.
        """
        if len(self.runs) == 1:
            return self.runs[0].predictions
        frames = [run.predictions.assign(guid=run.predictions[GUID] + f"#{run.config.seed}") for run in self.runs]
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def score(self) -> Scores:
        """Of the joint scenario, over the predictions of all its runs."""
        return score_frame(self.predictions, JOINT)


@dataclass(frozen=True)
class Grid:
    """The settings: every combination of `values`, on top of the knobs in `base` that all share.

    With `seeds` above 1 each setting is trained so many times, with seed, seed + 1, ...: the split, the folds and the
    training follow the seed, so the spread shows how much of a score is chance. Any knob may vary but those that train
    an encoder. A wrong name or value is refused when the grid is made: ConfigError, EncoderError or RunError.
    """

    data: Path | str
    results: Path | str
    values: dict[str, list[Any]]
    base: dict[str, Any] = field(default_factory=lambda: {"folds": 0, "seeds": 1})
    seeds: int = 1
    notebook: Path | str = FUSION_NOTEBOOK

    def __post_init__(self) -> None:
        check_length("seeds", self.seeds)
        if self.seeds < 1:
            raise ConfigError(f"seeds={self.seeds} trains nothing. Use 1 or more.")
        for name, choices in self.values.items():
            if not choices:
                raise ConfigError(f"{name} has no values to try.")
            if any(one == other for one, other in itertools.combinations(choices, 2)):  # 1 and 1.0 are one setting
                raise ConfigError(f"{name} has a value twice: {', '.join(map(str, choices))}. Keep one of them.")
        if "seed" in self.values and self.seeds > 1:
            raise ConfigError("seed is among the values already: leave `seeds` out, or the seed.")
        if (total := self.seeds * math.prod(map(len, self.values.values()))) > MOST_RUNS:
            raise ConfigError(f"This grid has {total:,} trainings; at most {MOST_RUNS:,} are run. Try fewer.")
        for knobs in self.planned:
            check_knobs(knobs, frozen=False)
        check_parameters(self.notebook, self.parameters(0))

    @cached_property
    def planned(self) -> list[dict[str, Any]]:
        """The knobs of every run, the seed changing fastest, then the last name."""
        first = self.base.get("seed", 0)
        repeats = {} if "seed" in self.values else {"seed": list(range(first, first + self.seeds))}
        return [resolve_folders({**self.base, **knobs}) for knobs in combine({**self.values, **repeats})]

    @property
    def folder(self) -> Path:
        return Path(self.results) / GRID

    @property
    def names(self) -> list[str]:
        """The knobs that differ between runs."""
        return [*self.values, *([] if "seed" in self.values else ["seed"])]

    @cached_property
    def run_folders(self) -> list[Path]:
        """Where each run belongs; encodes what the feature cache lacks, so that no kernel has to."""
        from mmlab.features import encode_course

        configs = [RunConfig.from_params(knobs) for knobs in self.planned]
        read = cache(lambda seed: read_course(self.data, seed=seed))
        first = read(configs[0].seed)
        encode = cache(lambda text, image, precision: encode_course(first, text, image, precision=precision).digest)
        digests = [encode(one.text_encoder, one.image_encoder, one.precision) for one in configs]
        return [run_folder(one, read(one.seed), digest, self.folder) for one, digest in zip(configs, digests)]

    def find_runs(self) -> list[SettingRun]:
        """What is on disk now for each planned run, in order; also while the grid is running elsewhere."""
        found = []
        for knobs, folder in zip(self.planned, self.run_folders, strict=True):
            file = _kept(folder, ".failed.txt")
            run, error = None, file.read_text("utf-8") if file.is_file() else ""
            if is_complete(folder):
                try:
                    run, error = load_run(folder), ""
                except RunError as damaged:  # its training, asked for again, sets it aside
                    error = str(damaged)
            found.append(SettingRun(knobs, run, error))
        return found

    @stoppable("Trainings that were complete before are kept.")
    def run(
        self, jobs: int = 1, on: str = "local", on_run: Callable[[SettingRun], Any] = lambda one: None, **cluster: Any
    ) -> list[SettingRun]:
        """Train what has no complete run, `jobs` at a time; give every run, in order.

        on: "local", or "slurm" for one array job (`cluster`: submitit's parameters, such as slurm_partition). on_run:
        called once for each run, first for those that were complete. `<results>/grid/grid.csv` is kept up to date. A
        failed setting is reported, and the others continue. A second grid on the same folder waits for the first.
        """
        self.check_call(jobs, on)
        table = self.folder / TABLE
        words = f"Another grid is running in {self.folder}; waiting for it ..."
        # A nursery imports while this process looks for what is complete.
        opened = open_nursery() if on == "local" else nullcontext()
        with one_at_a_time(self.folder / ".lock", words), opened as nursery:
            tidy(Path(tempfile.gettempdir()))
            known, missing = [replace(one, error="") for one in self.find_runs()], []
            for number, one in enumerate(known):
                if one.run:
                    _move_in(one.run.folder)  # a call may have been killed just before
                if one.run and _has_notebook(one.run.folder):
                    on_run(one)
                else:  # a complete run without its notebook takes seconds: it is read, not trained
                    missing.append(number)
            write_atomic(table, tabulate_runs(known, self.names).to_csv(index=False))
            with closing(self._train(missing, jobs, on, cluster, nursery)) as errors:
                for number, error in errors:
                    folder = self.run_folders[number]
                    if is_complete(folder):  # the run folder decides, not what became of the process
                        error = ""
                    elif not error:
                        error = f"The notebook ended, but there is no complete run {folder.name}."
                    _keep_error(folder, error)
                    run, new = None if error else load_run(folder), not known[number].run
                    known[number] = SettingRun(self.planned[number], run, error, new)
                    write_atomic(table, tabulate_runs(known, self.names).to_csv(index=False))
                    on_run(known[number])
        write_atomic(table, self.table(known).to_csv(index=False))
        return known

    def settings(self, runs: list[SettingRun] | None = None) -> list[Setting]:
        """The settings all of whose seeds are complete, in order; `runs`: those on disk now, unless given."""
        found: dict[str, tuple[dict[str, Any], list[Run | None]]] = {}
        for one in self.find_runs() if runs is None else runs:
            knobs = {name: one.knobs[name] for name in self.values}
            found.setdefault(str(knobs), (knobs, []))[1].append(one.run)
        return [Setting(knobs, complete) for knobs, complete in found.values() if all(complete)]

    def check_call(self, jobs: int, on: str) -> None:
        """Raise ConfigError for arguments that `run` would refuse, RunError for a folder or a cluster out of reach."""
        check_choice("on", on, ("local", "slurm"))
        if jobs < 1:
            raise ConfigError(f"jobs={jobs} runs nothing. Use 1 or more.")
        if on == "slurm":
            check_cluster()
        open_results(self.folder, self.data)

    def count_superseded(self) -> int:
        """How many planned runs are not complete but once were, on other data, another split or with older code."""
        missing = [folder for folder in self.run_folders if not is_complete(folder)]
        names = {folder.name.rpartition("-")[0] for folder in (self.folder / RUNS).glob("[!.]*") if is_complete(folder)}
        return sum(folder.name.rpartition("-")[0] in names for folder in missing)

    def table(self, runs: list[SettingRun] | None = None) -> pd.DataFrame:
        """`tabulate_runs` (of what is on disk now, unless given), and how each setting compares with the best one.

        from_best: best, worse, or "cannot be told apart", as `rank_settings` has it; empty for a setting without all
        of its seeds.
        """
        runs = self.find_runs() if runs is None else runs
        settings = self.settings(runs)
        ranked, best = rank_settings(settings), find_best(settings)
        words = {row.name: "worse" if row.apart else "cannot be told apart" for row in ranked.itertuples(index=False)}
        words |= {best.name: "best"} if best else {}
        names = [name_knobs({name: one.knobs[name] for name in self.values}) for one in runs]
        return tabulate_runs(runs, self.names).assign(from_best=[words.get(name, "") for name in names])

    def parameters(self, number: int) -> dict[str, Any]:
        """Those of notebook 04 for planned run `number`."""
        return {"data": str(self.data), "results": str(self.folder), **self.planned[number]}

    def job(self, number: int) -> Job:
        """How planned run `number` is executed: without the cells that a reader or a student needs."""
        kept = _kept(self.run_folders[number], ".ipynb")
        return Job(self.notebook, kept, self.parameters(number), skip=(EXERCISE_TAG, READING_TAG))

    def _train(
        self, missing: list[int], jobs: int, on: str, cluster: dict[str, Any], nursery: str | None = None
    ) -> Iterator[tuple[int, str]]:
        if on == "slurm":
            calls = {number: partial(run_job, self.job(number), self.run_folders[number]) for number in missing}
            yield from run_array(calls, self.folder / "slurm", jobs, cluster)
            return
        planned = [self.job(number) for number in missing]
        with closing(run_notebooks(planned, jobs, _split_machine(jobs), nursery)) as outcomes:
            for place, outcome in outcomes:
                yield missing[place], _settle(outcome, self.run_folders[missing[place]])


def run_job(job: Job, folder: Path) -> str:
    """Execute one setting and keep its notebook in its run folder; what went wrong, or "". For a job on a cluster."""
    return "" if _has_notebook(folder) else _settle(dict(run_notebooks([job]))[0], folder)


def combine(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name changing fastest: {"lr": [..], "dropout": [..]} -> dicts."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def read_values(settings: list[str]) -> dict[str, list[Any]]:
    """`["lr=1e-2,1e-3", "fusion=concat,late"]` as lists of the knobs' own types.

    Raises ConfigError for a text without `=`, a name that is no knob and a value of another type.
    """
    values: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not (text.strip() or name in LISTS):
            raise ConfigError(f"--set {setting}: write a name and its values, such as lr=1e-2,1e-3.")
        if name in values:
            raise ConfigError(f"--set {setting}: {name} is set twice. Give all its values at once.")
        values[name] = [find_knob(name).read(one.strip()) for one in text.split(",")]
    return values


def tabulate_runs(runs: list[SettingRun], names: list[str]) -> pd.DataFrame:
    """One row for each run: the named knobs, status, n, every metric (accuracy with low and high), best_epoch,
    trained_epochs, seconds, run, error (its first line). Numbers are missing where there is no run."""
    rows = []
    for one in runs:
        row = {name: one.knobs[name] for name in names} | {"status": one.status}
        if one.run:
            row |= _measure(one.run.scores[JOINT], [one.run]) | {"run": one.run.id}
        rows.append(row | {"error": one.error.strip().split("\n")[0]})
    rest = [name for name in METRICS if name != "accuracy"]
    scores = ["n", "accuracy", "low", "high", *rest]
    return pd.DataFrame(rows, columns=[*names, "status", *scores, *_COSTS, "run", "error"])


def tabulate(settings: list[Setting]) -> pd.DataFrame:
    """One row for each setting: its knobs, n and every metric (accuracy with low and high) over all its seeds, and the
    means of best_epoch, trained_epochs and seconds."""
    return pd.DataFrame([{**one.knobs, **_measure(one.score, one.runs)} for one in settings])


def rank_settings(settings: list[Setting]) -> pd.DataFrame:
    """Every other setting against the one with the highest accuracy, pair by pair: which cannot be told apart from it.

    A row for each of the others: name, difference (an Interval: how much lower), p_value (McNemar), adjusted (Holm, as
    many are compared), apart (bool: adjusted below 0.05, and the interval above 0). Empty with fewer than two.
    """
    best = find_best(settings)
    others = [one for one in settings if one is not best]
    found = [compare_frames(best.predictions, JOINT, one.predictions, JOINT) for one in others]
    p_values = np.array([one.p_value for one in found])
    adjusted, lower = adjust_holm(p_values), np.array([one.difference.low > 0 for one in found], bool)
    return pd.DataFrame({
        "name": [one.name for one in others], "difference": [one.difference for one in found],
        "p_value": p_values, "adjusted": adjusted, "apart": (adjusted < 0.05) & lower,
    })  # fmt: skip


def find_best(settings: list[Setting]) -> Setting | None:
    """The setting with the highest accuracy; None of none."""
    return max(settings, key=lambda one: one.score.accuracy.value, default=None)


_COSTS = {
    "best_epoch": lambda run: run.best_epochs["best_epoch"].mean(),
    "trained_epochs": lambda run: len(run.history) / len(run.best_epochs),
    "seconds": lambda run: run.seconds,
}


def _measure(scores: Scores, runs: list[Run]) -> dict[str, float]:
    accuracy = scores.values["accuracy"]
    metrics = {name: scores.values[name].value for name in METRICS}
    costs = {name: float(sum(map(cost, runs)) / len(runs)) for name, cost in _COSTS.items()}
    return {"n": scores.n, **metrics, "low": accuracy.low, "high": accuracy.high, **costs}


def _split_machine(jobs: int) -> list[dict[str, str]]:
    """Environment variables for each of the jobs at a time: a share of the cores, and a GPU if there are any."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    if not visible:
        return [threads] * jobs
    return [{**threads, "CUDA_VISIBLE_DEVICES": visible[number % len(visible)]} for number in range(jobs)]


def _kept(folder: Path, suffix: str) -> Path:
    """A file about the run in this folder, kept outside of it: a folder without a complete run is none."""
    return folder.parents[1] / "notebooks" / f"{folder.name}{suffix}"


def _settle(outcome: NotebookResult | RunError, folder: Path) -> str:
    """What went wrong, or "" when the notebook has reached its end; it is moved into its run folder then."""
    if isinstance(outcome, RunError):
        return str(outcome)
    _move_in(folder)
    return ""


def _move_in(folder: Path) -> None:
    """Move the executed notebook of a run into its folder, if that has not been done."""
    kept = _kept(folder, ".ipynb")
    if folder.is_dir() and kept.is_file():
        with writing(folder):
            shutil.move(kept, folder / EXECUTED)


def _has_notebook(folder: Path) -> bool:
    return is_complete(folder) and (folder / EXECUTED).is_file()


def _keep_error(folder: Path, error: str) -> None:
    if error:
        write_atomic(_kept(folder, ".failed.txt"), error + "\n")
        return
    for suffix in (".failed.txt", ".failed.ipynb"):
        _kept(folder, suffix).unlink(missing_ok=True)
