"""A grid: notebook 04 executed once for each combination of values, each into its own run folder.

Explained in notebook 05.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from mmlab.config import RunConfig
from mmlab.course import Course
from mmlab.errors import RunError
from mmlab.features import Features
from mmlab.notebooks import READING, Job, run_notebooks
from mmlab.runs import Run, is_complete, load_run, run_folder

GRID = "grid"  # a grid's runs lie in <results>/grid/runs/


def list_cells(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name changing fastest: {"lr": [..], "dropout": [..]} -> dicts."""
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def run_grid(
    notebook: Path | str,
    data: Path | str,
    results: Path | str,
    course: Course,
    features: Features,
    values: dict[str, list[Any]],
    base: dict[str, Any],
    jobs: int = 1,
    on_cell: Callable[[dict[str, Any], Run, bool], None] = lambda cell, run, new: None,
) -> list[Run]:
    """Execute the notebook for each cell of the grid that has no complete run yet; return all runs in order.

    values: the lists to combine; base: knobs all cells share; jobs: how many notebooks run at once. Cells tagged
    `reading` are left out, which more than halves a cell's time; the run's notebook holds them to be executed by hand.
    Every cell is checked before the first one runs, so a wrong value costs nothing. on_cell: called with (cell, its
    run, whether it was trained now) as each is complete. Raises RunError with what the first failed cell said, after
    the others are done.
    """
    cells = list_cells(values)
    configs = [RunConfig.from_params({**base, **cell}) for cell in cells]
    grid = Path(results) / GRID
    folders = [run_folder(config, course, features, grid) for config in configs]
    missing = [number for number, folder in enumerate(folders) if not is_complete(folder)]
    for number in sorted(set(range(len(cells))) - set(missing)):
        on_cell(cells[number], load_run(folders[number]), False)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    todo = [
        Job(
            notebook,
            grid / "notebooks" / f"{folders[number].name}.ipynb",
            {"data": str(data), "results": str(grid), **base, **cells[number]},
            env={"OMP_NUM_THREADS": threads},
            skip=READING,
        )
        for number in missing
    ]
    failures = []
    with closing(run_notebooks(todo, jobs)) as outcomes:
        for place, outcome in outcomes:
            if isinstance(outcome, RunError):
                failures.append(outcome)
                continue
            number = missing[place]
            run = load_run(folders[number])
            shutil.move(outcome.path, run.folder / "notebook.ipynb")
            on_cell(cells[number], run, True)
    if failures:
        raise RunError(f"{len(failures)} of {len(cells)} cells failed, the first with this:\n{failures[0]}")
    return [load_run(folder) for folder in folders]


def grid_table(runs: list[Run], names: list[str], scenario: str = "text_and_image") -> pd.DataFrame:
    """One row a run: the named knobs, n, accuracy with low and high, macro_f1, best_epoch, seconds."""
    return pd.DataFrame(_table_rows(runs, names, scenario))


def _table_rows(runs: list[Run], names: list[str], scenario: str) -> Iterator[dict[str, Any]]:
    for run in runs:
        scores = run.scores[scenario]
        yield {
            **{name: getattr(run.config, name) for name in names},
            "n": scores.n,
            "accuracy": scores.accuracy.value,
            "low": scores.accuracy.low,
            "high": scores.accuracy.high,
            "macro_f1": scores.macro_f1.value,
            "best_epoch": float(run.best_epochs["best_epoch"].mean()),
            "seconds": run.seconds,
        }
