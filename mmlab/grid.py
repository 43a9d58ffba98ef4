"""A grid: notebook 04 executed once for each combination of values, each into its own run folder.

Explained in notebook 05.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from mmlab.config import RunConfig
from mmlab.course import Course
from mmlab.features import Features
from mmlab.notebooks import run_notebook
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
    on_cell: Callable[[dict[str, Any], Run, bool], None] = lambda cell, run, new: None,
) -> list[Run]:
    """Execute the notebook for each cell of the grid that has no complete run yet; return all runs in order.

    values: the lists to combine; base: knobs all cells share. Every cell is checked before the first one runs, so a
    wrong value costs nothing. on_cell: called with (cell, its run, whether it was trained now).
    """
    cells = list_cells(values)
    configs = [RunConfig.from_params({**base, **cell}) for cell in cells]
    grid = Path(results) / GRID
    runs = []
    for cell, config in zip(cells, configs, strict=True):
        folder = run_folder(config, course, features, grid)
        new = not is_complete(folder)
        if new:
            output = grid / "notebooks" / f"{folder.name}.ipynb"
            run_notebook(notebook, output, {"data": str(data), "results": str(grid), **base, **cell})
            run = load_run(folder)
            shutil.move(output, folder / "notebook.ipynb")
        else:
            run = load_run(folder)
        on_cell(cell, run, new)
        runs.append(run)
    return runs


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
