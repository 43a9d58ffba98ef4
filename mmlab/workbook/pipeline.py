"""The workbook: the seven notebooks, what each needs, and one call that executes them all."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from mmlab.config import EXERCISE_TAG, TWIN, suggest
from mmlab.course import read_course, split_folds
from mmlab.errors import ConfigError, RunError
from mmlab.processes import kill_session, open_nursery, start_process
from mmlab.runs import open_results
from mmlab.runs.records import MAIN_NOTEBOOK, find_main, write_record
from mmlab.workbook.execute import Job, run_notebooks
from mmlab.workbook.parameters import NOTEBOOKS, check_knobs, resolve_folders, share_parameters
from mmlab.workbook.timeline import ENCODING, IMPORTS, REPORT, Timeline

# The notebooks whose runs each one reads. Features are no need: they are encoded while the first notebooks begin. In
# the order in which the notebooks start, two at a time, since the heads train on one thread each: the longest first.
# When 05 trains its best setting anew, 04 has long trained the same, if it is the same.
NEEDS = {
    "01_data_exploration": (),
    "02_text_only": (),
    "04_fusion": (),
    "03_image_only": ("02_text_only",),
    "05_hyperparameter_grid": (),
    "06_ablation": ("02_text_only", "03_image_only", "04_fusion"),
}
NEEDS["07_report"] = tuple(NEEDS)
# Each notebook leaves a record under its name, and `run_workbook` leaves one of its arguments.
NAMES, WORKBOOK = tuple(sorted(NEEDS)), "workbook"
REPORT_TAG = "report"  # of the cell in 07 that writes the report, which `run_workbook` has written meanwhile


def run_workbook(
    data: Path | str,
    results: Path | str,
    knobs: dict[str, Any] | None = None,
    on_done: Callable[[str, float, int, int], None] = lambda name, seconds, number, total: None,
    only: str | None = None,
    write_report: Callable[[str | None], Any] = lambda nursery: None,
) -> dict[str, float]:
    """Execute the seven notebooks on a course folder; the seconds that each took, by name.

    on_done: called after each notebook with (name, seconds, number, total). only: the one notebook to execute.
    write_report: called with the nursery (as for `start_warm`) once all runs are there, while notebook 07 is executed.
    The folder and the knobs (of RunConfig) are judged before the first notebook starts: CourseError, ConfigError,
    EncoderError or RunError.
    """
    if only is not None and only not in NAMES:
        raise ConfigError(f"There is no notebook {only!r}.{suggest(only, list(NAMES))}")
    knobs = resolve_folders(knobs or {})
    names = [only] if only else list(NEEDS)
    seconds: dict[str, float] = {}
    timeline, nursery, encoded = Timeline(), None, None
    with ExitStack() as stack:
        if only is None:  # it imports while the folder and the knobs are judged
            nursery = stack.enter_context(open_nursery())
        jobs = _plan_jobs(data, results, knobs, names)
        if only is None:
            write_record(results, WORKBOOK, {"data": str(data), "knobs": knobs})
            encoded = stack.enter_context(_encode_ahead(nursery, data, knobs))
            timeline.add(IMPORTS, timeline.begun)
        for number, one in stack.enter_context(closing(run_notebooks(jobs, 2, nursery=nursery))):
            if isinstance(one, RunError):
                raise one
            seconds[names[number]] = round(one.seconds, 1)
            timeline.add(names[number], one.started, one.started + one.seconds, NEEDS[names[number]])
            on_done(names[number], one.seconds, len(seconds), len(jobs))
            if only is None and len(seconds) == len(jobs) - 1:  # 07 makes nothing that the report needs
                shutil.copyfile(jobs[names.index(MAIN_NOTEBOOK)].output, find_main(results) / "notebook.ipynb")
                timeline.add(ENCODING, *encoded.result())
                with timeline.measure(REPORT, NEEDS["07_report"]):
                    timeline.write(results)
                    write_report(nursery)
        if only is None:
            timeline.write(results)
    return seconds


@contextmanager
def _encode_ahead(
    nursery: str | None, data: Path | str, knobs: dict[str, Any]
) -> Iterator[Future[tuple[float, float]]]:
    """Encode in a process of its own while the block lasts, with a bar for a person at the terminal.

    Gives when it started and ended, on the clock of `time.perf_counter`.
    """
    arguments = ["mmlab.workbook.encoding", str(data), json.dumps(knobs)]
    process, started = start_process(nursery, arguments, dict(os.environ), Path.cwd()), time.perf_counter()

    def watch() -> tuple[float, float]:
        process.wait()
        return started, time.perf_counter()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(watch)
        try:
            yield ended
        finally:
            if not ended.done():
                kill_session(process)


def _plan_jobs(data: Path | str, results: Path | str, knobs: dict[str, Any], order: list[str]) -> list[Job]:
    """The notebooks to execute, when all that is given fits."""
    config = check_knobs(knobs)
    sources = {name: NOTEBOOKS / f"{name}.ipynb" for name in NAMES}
    if missing := [name for name, source in sources.items() if not source.is_file()]:
        fix = "Run mmlab from a checkout of the lab (pip install -e .)."
        raise RunError(f"{NOTEBOOKS}: {', '.join(missing)} missing. {fix}")
    course = read_course(data, seed=config.seed)
    if config.folds:
        split_folds(course.labels, course.labelled[TWIN].to_numpy(), config.folds, config.seed)
    own = dict(zip(NAMES, share_parameters([*sources.values()], results, {"data": str(data), **knobs}), strict=True))
    open_results(results, data)
    alone = len(order) == 1
    return [
        Job(
            sources[name],
            Path(results) / "notebooks" / f"{name}.ipynb",
            own[name],
            after=() if alone else tuple(map(order.index, NEEDS[name])),
            skip=(EXERCISE_TAG,) if alone else (EXERCISE_TAG, REPORT_TAG),
        )
        for name in order
    ]
