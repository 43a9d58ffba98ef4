"""A grid: notebook 04 executed once for each combination of values, each cell into its own run folder.

What is complete is never done again, whatever was killed and when: a run folder appears whole or not at all, and it
is named after the knobs, the data, the split and the code. Explained in notebook 05.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mmlab.config import GUID, KNOBS, RunConfig, name_knobs, suggest
from mmlab.course.reading import Course, read_course
from mmlab.errors import ConfigError, RunError
from mmlab.evaluation import Scores, score_frame
from mmlab.runs import RUNS, Run, is_complete, load_run, open_results, run_folder
from mmlab.storage import CHECKOUT, one_at_a_time, write_atomic
from mmlab.workbook.execute import READING, Job, NotebookResult, check_parameters, run_notebooks

GRID, TABLE = "grid", "grid.csv"  # a grid's runs lie in <results>/grid/runs/, beside its table
FUSION_NOTEBOOK = CHECKOUT / "notebooks" / "04_fusion.ipynb"
SCORED = "text_and_image"  # the scenario a grid is read by


@dataclass(frozen=True)
class Outcome:
    """How a cell stands: its knobs, its run if it is complete, and what went wrong if it failed."""

    cell: dict[str, Any]
    run: Run | None = None
    error: str = ""
    new: bool = False  # trained by this call, not found

    @property
    def status(self) -> str:
        return "complete" if self.run else "failed" if self.error else "missing"


@dataclass(frozen=True)
class Setting:
    """One combination of values: its complete runs, one a seed."""

    knobs: dict[str, Any]
    runs: list[Run]

    @property
    def name(self) -> str:
        return name_knobs(self.knobs)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions of all its runs under one another. A pair that several seeds have scored has several rows,
        told apart by the seed in their guid; they stay in one twin group, so that an interval does not take them for
        more evidence than they are."""
        if len(self.runs) == 1:
            return self.runs[0].predictions
        frames = [run.predictions.assign(guid=run.predictions[GUID] + f"#{run.config.seed}") for run in self.runs]
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def score(self) -> Scores:
        """Of the joint scenario, over the predictions of all its runs."""
        return self.runs[0].scores[SCORED] if len(self.runs) == 1 else score_frame(self.predictions, SCORED)


@dataclass(frozen=True)
class Grid:
    """The cells: every combination of `values`, on top of the knobs in `base` that all share.

    With `seeds` above 1 each setting is trained so many times, with seed, seed + 1, ...: the split, the folds and the
    training all follow the seed, so the spread shows how much of a score is chance. A wrong name or value is refused
    when the grid is made: ConfigError or RunError, with a suggestion.
    """

    data: Path | str
    results: Path | str
    values: dict[str, list[Any]]
    base: dict[str, Any] = field(default_factory=lambda: {"folds": 0, "seeds": 1})
    seeds: int = 1
    notebook: Path | str = FUSION_NOTEBOOK

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds={self.seeds} trains nothing. Use 1 or more.")
        for name, choices in self.values.items():
            if not choices:
                raise ConfigError(f"{name} has no values to try.")
            if len(set(map(str, choices))) < len(choices):
                raise ConfigError(f"{name} has a value twice: {', '.join(map(str, choices))}. Each cell is run once.")
        if "seed" in self.values and self.seeds > 1:
            raise ConfigError("seed is among the values already: leave `seeds` out, or the seed.")
        for cell in self.cells:
            RunConfig.from_params(cell)
        check_parameters(self.notebook, {**self._places, **self.cells[0]})

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The knobs of every cell, the seed changing fastest, then the last name."""
        first = self.base.get("seed", 0)
        repeats = {} if "seed" in self.values else {"seed": [first + number for number in range(self.seeds)]}
        return [{**self.base, **cell} for cell in list_cells({**self.values, **repeats})]

    @property
    def folder(self) -> Path:
        return Path(self.results) / GRID

    @property
    def names(self) -> list[str]:
        """The knobs that differ between cells."""
        return [*self.values, *([] if "seed" in self.values else ["seed"])]

    @cached_property
    def run_folders(self) -> list[Path]:
        """Where each cell's run belongs; encodes what the feature cache lacks, so that no cell has to."""
        from mmlab.features import encode_course

        courses: dict[int, Course] = {}
        folders, digests = [], {}
        for cell in self.cells:
            config = RunConfig.from_params(cell)
            if config.seed not in courses:
                courses[config.seed] = read_course(self.data, seed=config.seed)
            encoders = (config.text_encoder, config.image_encoder)
            if encoders not in digests:
                digests[encoders] = encode_course(courses[config.seed], *encoders).digest
            folders.append(run_folder(config, courses[config.seed], digests[encoders], self.folder))
        return folders

    def outcomes(self) -> list[Outcome]:
        """How each cell stands on disk now, in order; also while the grid is running elsewhere."""
        return [
            Outcome(cell, load_run(folder)) if is_complete(folder) else Outcome(cell, error=_read_error(folder))
            for cell, folder in zip(self.cells, self.run_folders, strict=True)
        ]

    def run(
        self,
        jobs: int = 1,
        on: str = "local",
        on_cell: Callable[[Outcome], None] = lambda outcome: None,
        **cluster: Any,
    ) -> list[Outcome]:
        """Train the cells that have no complete run, `jobs` at a time, and say how each stands, in order.

        on: "local", or "slurm" for one array job (`cluster`: submitit's parameters, such as slurm_partition). on_cell:
        called once a cell, first for those that were complete. `<results>/grid/grid.csv` is kept up to date. A failed
        cell stops no other. A second grid on the same folder waits for the first.
        """
        self.check_call(jobs, on)
        folders = self.run_folders
        with one_at_a_time(self.folder / ".lock", f"Another grid is running in {self.folder}; waiting for it ..."):
            known = [replace(outcome, error="") for outcome in self.outcomes()]
            for outcome in known:
                if outcome.run:
                    on_cell(outcome)
            missing = [number for number, outcome in enumerate(known) if not outcome.run]
            execute = self._run_local if on == "local" else self._run_slurm
            self.write_table(known)
            with closing(execute(missing, jobs, **cluster)) as errors:
                for number, error in errors:
                    cell, folder = self.cells[number], folders[number]
                    if is_complete(folder):  # the run folder decides, not what became of the process
                        error = ""
                    elif not error:
                        error = f"The notebook ended, but there is no complete run {folder.name}."
                    _write_error(folder, error)
                    known[number] = Outcome(cell, None if error else load_run(folder), error, new=True)
                    self.write_table(known)
                    on_cell(known[number])
        return known

    def settings(self, outcomes: list[Outcome] | None = None) -> list[Setting]:
        """The settings all of whose seeds are complete, in order; `outcomes`: those on disk now, unless given."""
        found: dict[str, tuple[dict[str, Any], list[Run | None]]] = {}
        for outcome in self.outcomes() if outcomes is None else outcomes:
            knobs = {name: outcome.cell[name] for name in self.values}
            found.setdefault(str(knobs), (knobs, []))[1].append(outcome.run)
        return [Setting(knobs, runs) for knobs, runs in found.values() if all(runs)]

    def check_call(self, jobs: int, on: str) -> None:
        """Raise ConfigError for arguments that `run` would refuse, RunError for a folder that cannot be written."""
        if on not in ("local", "slurm"):
            raise ConfigError(f"on={on!r} is unknown.{suggest(on, ['local', 'slurm'])}")
        if jobs < 1:
            raise ConfigError(f"jobs={jobs} runs nothing. Use 1 or more.")
        open_results(self.folder, self.data)

    def count_superseded(self) -> int:
        """How many cells have no complete run but had one, of other data, another split or older code."""
        missing = [folder for folder in self.run_folders if not is_complete(folder)]
        names = {folder.name.rpartition("-")[0] for folder in (self.folder / RUNS).glob("[!.]*") if is_complete(folder)}
        return sum(folder.name.rpartition("-")[0] in names for folder in missing)

    def table(self) -> pd.DataFrame:
        """One row a cell as it stands on disk now; see `outcomes_table`."""
        return outcomes_table(self.outcomes(), self.names)

    def write_table(self, outcomes: list[Outcome]) -> None:
        write_atomic(self.folder / TABLE, outcomes_table(outcomes, self.names).to_csv(index=False))

    @property
    def _places(self) -> dict[str, str]:
        return {"data": str(self.data), "results": str(self.folder)}

    def job(self, number: int) -> Job:
        """How cell `number` is executed: notebook 04 with its knobs, without the cells for reading."""
        output = _notebook_of(self.run_folders[number])
        return Job(self.notebook, output, {**self._places, **self.cells[number]}, skip=READING)

    def _run_local(self, missing: list[int], jobs: int) -> Iterator[tuple[int, str]]:
        with closing(run_notebooks([self.job(number) for number in missing], jobs, _split_machine(jobs))) as outcomes:
            for place, outcome in outcomes:
                number = missing[place]
                yield number, _settle(outcome, self.run_folders[number])

    def _run_slurm(self, missing: list[int], jobs: int, **cluster: Any) -> Iterator[tuple[int, str]]:
        from mmlab.workbook.slurm import run_array

        yield from run_array(self, missing, jobs, cluster)


def run_cell(job: Job, folder: Path) -> str:
    """Execute one cell and keep its notebook in its run folder; what went wrong, or "". For a job on a cluster."""
    if is_complete(folder):
        return ""
    with closing(run_notebooks([job])) as outcomes:
        _, outcome = next(outcomes)
    return _settle(outcome, folder)


def list_cells(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name changing fastest: {"lr": [..], "dropout": [..]} -> dicts."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def read_values(settings: list[str]) -> dict[str, list[Any]]:
    """`["lr=1e-2,1e-3", "fusion=concat,late"]` as lists of the knobs' own types.

    Raises ConfigError for a setting without `=`, a name that is no knob and a value of another type.
    """
    values: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not text.strip():
            raise ConfigError(f"--set {setting}: write a name and its values, such as lr=1e-2,1e-3.")
        if name not in KNOBS:
            raise ConfigError(f"--set {setting}: there is no knob {name!r}.{suggest(name, list(KNOBS))}")
        if name in values:
            raise ConfigError(f"--set {setting}: {name} is set twice. Give all its values at once.")
        values[name] = [KNOBS[name].read(one.strip()) for one in text.split(",")]
    return values


def outcomes_table(outcomes: list[Outcome], names: list[str]) -> pd.DataFrame:
    """One row a cell: the named knobs, status, n, accuracy with low and high, macro_f1, best_epoch, epochs, seconds,
    run, error (its first line). Numbers are missing where there is no run."""
    rows = []
    for outcome in outcomes:
        row = {name: outcome.cell[name] for name in names} | {"status": outcome.status}
        if outcome.run:
            scores, best = outcome.run.scores[SCORED], outcome.run.best_epochs
            row |= {
                "n": scores.n,
                "accuracy": scores.accuracy.value,
                "low": scores.accuracy.low,
                "high": scores.accuracy.high,
                "macro_f1": scores.macro_f1.value,
                "best_epoch": float(best["best_epoch"].mean()),
                "epochs": len(outcome.run.history) / len(best),
                "seconds": outcome.run.seconds,
                "run": outcome.run.id,
            }
        rows.append(row | {"error": outcome.error.strip().split("\n")[0]})
    columns = ["status", "n", "accuracy", "low", "high", "macro_f1", "best_epoch", "epochs", "seconds", "run", "error"]
    return pd.DataFrame(rows, columns=[*names, *columns])


def tabulate(settings: list[Setting]) -> pd.DataFrame:
    """One row a setting: its knobs, n, accuracy with low and high and macro_f1 over all its seeds, and the means of
    best_epoch, epochs and seconds."""
    rows = []
    for one in settings:
        best = [run.best_epochs["best_epoch"].mean() for run in one.runs]
        epochs = [len(run.history) / len(run.best_epochs) for run in one.runs]
        scores = {
            "n": one.score.n,
            "accuracy": one.score.accuracy.value,
            "low": one.score.accuracy.low,
            "high": one.score.accuracy.high,
            "macro_f1": one.score.macro_f1.value,
        }
        seconds = [run.seconds for run in one.runs]
        means = {"best_epoch": best, "epochs": epochs, "seconds": seconds}
        rows.append({**one.knobs, **scores, **{name: sum(each) / len(each) for name, each in means.items()}})
    return pd.DataFrame(rows)


def _split_machine(jobs: int) -> list[dict[str, str]]:
    """Environment variables for each of the jobs at a time: a share of the cores, and a GPU if there are any."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    if not visible:
        return [threads] * jobs
    return [{**threads, "CUDA_VISIBLE_DEVICES": visible[number % len(visible)]} for number in range(jobs)]


def _notebook_of(folder: Path) -> Path:
    return folder.parents[1] / "notebooks" / f"{folder.name}.ipynb"


def _settle(outcome: NotebookResult | RunError, folder: Path) -> str:
    """What went wrong with a cell, or "" when its notebook has reached its end and lies in its run folder now."""
    if isinstance(outcome, RunError):
        return str(outcome)
    if folder.is_dir():
        shutil.move(_notebook_of(folder), folder / "notebook.ipynb")
    return ""


def _error_file(folder: Path) -> Path:
    return _notebook_of(folder).with_suffix(".failed.txt")


def _read_error(folder: Path) -> str:
    path = _error_file(folder)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write_error(folder: Path, error: str) -> None:
    if error:
        write_atomic(_error_file(folder), error + "\n")
    else:
        _error_file(folder).unlink(missing_ok=True)
        _notebook_of(folder).with_suffix(".failed.ipynb").unlink(missing_ok=True)
