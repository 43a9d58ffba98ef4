"""The model that answers in place of notebook 04's: an ensemble or a kernel machine, beside the notebooks' runs.

Explained in docs/scores.md.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.progress import model_bar
from mmlab.runs import BEST, Run, ablate_views, check_minutes, open_results, train_run, write_record
from mmlab.views import find_views
from mmlab.workbook.parameters import resolve_folders

MINUTES = 30.0


def train_best(
    data: Path | str,
    results: Path | str,
    knobs: dict[str, Any] | None = None,
    minutes: float | None = MINUTES,
    on_model: Callable[[int, int], None] | None = None,
    preset: str = "best",
) -> Run:
    """Train the model of a preset, or read it, and record it: `find_main` gives it from now on.

    knobs: of an ensemble, those that all members share, and `members`. minutes: after which an ensemble answers with
    the members that are ready; None: no limit. on_model: called with (models done, models in all). Raises as
    `run_workbook` does.
    """
    from mmlab.training import prepare_pairs

    check_minutes(minutes)  # before anything is encoded
    config = RunConfig.from_params(resolve_folders(knobs or {}), preset)
    find_views(config)
    course = read_course(data, seed=config.seed)
    open_results(results, course.root)
    limit = f", for {minutes:g} minutes at most" if minutes is not None and config.model == "ensemble" else ""
    print(f"mmlab: the model that answers, {preset}, is trained first{limit}", flush=True)
    pairs, started = prepare_pairs(course, config), time.monotonic()
    run = train_run(config, course, pairs, results, on_model, minutes=minutes)
    ablated: dict[str, Run] = {}
    if minutes is None or time.monotonic() - started < 60 * minutes:
        with model_bar("what each view is worth") as tick:
            ablated = ablate_views(config, course, getattr(pairs, "frozen", pairs), results, tick)
    left_out = [name for name in config.list_members() if name and name not in run.members]
    views = {name: one.id for name, one in ablated.items()}
    write_record(results, BEST, {"runs": {BEST: run.id}, "minutes": minutes, "left_out": left_out, "ablated": views})
    return run
