"""The workbook: the seven notebooks, what each needs, and one call that executes them all."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmlab.config import EXERCISE_TAG, RunConfig, suggest
from mmlab.course import Course, read_course
from mmlab.errors import ConfigError, RunError
from mmlab.processes import kill_session, open_nursery, start_process
from mmlab.runs import open_results
from mmlab.runs.records import MAIN, MAIN_NOTEBOOK, find_recorded, write_record
from mmlab.storage import one_at_a_time, temporary_folder, write_atomic
from mmlab.workbook.estimate import are_trained, estimate_seconds
from mmlab.workbook.execute import EXECUTED, Job, Underway, run_notebooks
from mmlab.workbook.note import read_note
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
    on_start: Callable[[float | None], None] = lambda seconds: None,
    on_wait: Callable[[list[Underway]], None] = lambda underway: None,
) -> dict[str, float]:
    """Execute the seven notebooks on a course folder; the seconds that each took, by name.

    on_start: called once all that is given was judged, with about how many seconds it will take (None: nobody knows).
    on_wait: called each second with what runs. on_done: called after each notebook with (name, seconds, number, total).
    only: the one notebook to execute. write_report: called with the nursery (as for `start_warm`) once all runs are
    there, while notebook 07 is executed. The folder and the knobs (of RunConfig) are judged before the first notebook
    starts: CourseError, ConfigError, EncoderError or RunError.
    """
    knobs, seconds, timeline = resolve_folders(knobs or {}), {}, Timeline()
    if only is not None:
        return _run_alone(only, data, results, knobs, on_done, on_start, on_wait)
    names, given = list(NEEDS), {"data": str(data), "knobs": knobs}
    with ExitStack() as stack:
        nursery = stack.enter_context(open_nursery())  # it imports while the folder and the knobs are judged
        config, course, sources = _judge(data, results, knobs)
        stack.enter_context(_alone_in(results))
        jobs = [
            replace(sources[name], after=tuple(map(names.index, NEEDS[name])), skip=(EXERCISE_TAG, REPORT_TAG))
            for name in names
        ]
        print(*course.health.notices, sep="\n", end="\n" if course.health.notices else "", flush=True)
        on_start(estimate_seconds(config, course, are_trained(results, WORKBOOK, given)))
        write_record(results, WORKBOOK, given)
        encoding = stack.enter_context(_encode_ahead(nursery, data, knobs))
        timeline.add(IMPORTS, timeline.begun)

        def watch(underway: list[Underway]) -> None:
            on_wait([*encoding.underway, *underway])

        for number, one in stack.enter_context(closing(run_notebooks(jobs, 2, nursery=nursery, on_wait=watch))):
            if isinstance(one, RunError):
                raise one
            seconds[names[number]] = round(one.seconds, 1)
            timeline.add(names[number], one.started, one.started + one.seconds, NEEDS[names[number]])
            on_done(names[number], one.seconds, len(seconds), len(jobs))
            if len(seconds) == len(jobs) - 1:  # 07 makes nothing that the report needs
                executed = Path(jobs[names.index(MAIN_NOTEBOOK)].output).read_bytes()
                write_atomic(find_recorded(results, MAIN_NOTEBOOK, MAIN) / EXECUTED, executed)
                timeline.add(ENCODING, *encoding.ended.result())
                with timeline.measure(REPORT, NEEDS["07_report"]):
                    timeline.write(results)
                    write_report(nursery)
        timeline.write(results)
    return seconds


def _run_alone(name, data, results, knobs, on_done, on_start, on_wait) -> dict[str, float]:
    if name not in NAMES:
        raise ConfigError(f"There is no notebook {name!r}.{suggest(name, list(NAMES))}")
    job = _judge(data, results, knobs)[2][name]
    on_start(None)
    with _alone_in(results), closing(run_notebooks([job], on_wait=on_wait)) as outcomes:
        for _, one in outcomes:
            if isinstance(one, RunError):
                raise one
            on_done(name, one.seconds, 1, 1)
    return {name: round(one.seconds, 1)}


def _alone_in(results: Path | str):
    """Hold the results folder: the records of two calls at once, on other data say, would not fit together."""
    words = f"Another `mmlab run` is at work in {results}; waiting for it ..."
    return one_at_a_time(Path(results) / ".lock", words)


@dataclass(frozen=True)
class Encoding:
    """The process that encodes ahead. ended: when it started and ended, on the clock of `time.perf_counter`."""

    started: float
    ended: Future[tuple[float, float]]
    note: Path

    @property
    def underway(self) -> list[Underway]:
        """How far it is; nothing once it has ended, or if there was nothing to encode."""
        done, total = read_note(self.note)
        running = total and not self.ended.done()
        return [Underway(ENCODING, done, total, time.perf_counter() - self.started)] if running else []


@contextmanager
def _encode_ahead(nursery: str | None, data: Path | str, knobs: dict[str, Any]) -> Iterator[Encoding]:
    """Encode in a process of its own while the block lasts."""
    with temporary_folder() as folder, ThreadPoolExecutor(1) as pool:
        note = folder / "note"
        arguments = ["mmlab.workbook.encoding", str(data), json.dumps(knobs), str(note)]
        process, started = start_process(nursery, arguments, dict(os.environ), Path.cwd()), time.perf_counter()

        def watch() -> tuple[float, float]:
            process.wait()
            return started, time.perf_counter()

        ended = pool.submit(watch)
        try:
            yield Encoding(started, ended, note)
        finally:
            if not ended.done():
                kill_session(process)


def _judge(data: Path | str, results: Path | str, knobs: dict[str, Any]) -> tuple[RunConfig, Course, dict[str, Job]]:
    """The config, the course, and how each notebook is executed by itself, when all that is given fits."""
    config = check_knobs(knobs)
    sources = {name: NOTEBOOKS / f"{name}.ipynb" for name in NAMES}
    if missing := [name for name, source in sources.items() if not source.is_file()]:
        fix = "Run mmlab from a checkout of the lab (pip install -e .)."
        raise RunError(f"{NOTEBOOKS}: {', '.join(missing)} missing. {fix}")
    course = read_course(data, seed=config.seed)
    own = dict(zip(NAMES, share_parameters([*sources.values()], results, {"data": str(data), **knobs}), strict=True))
    open_results(results, data)
    folder = Path(results) / "notebooks"
    return config, course, {name: Job(source, folder / source.name, own[name]) for name, source in sources.items()}
