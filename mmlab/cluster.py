"""A grid's cells as one array job of a Slurm cluster, through submitit. Explained in README, "A cluster"."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmlab.errors import ConfigError, RunError
from mmlab.grid import Grid, run_cell
from mmlab.notebooks import Job

POLL_SECONDS = 2.0
DEFAULTS = {"timeout_min": 60, "cpus_per_task": 2, "mem_gb": 8}


class Cell:
    """One cell as a cluster job: a call executes it; a job that is preempted or out of time is queued again."""

    def __call__(self, job: Job, folder: Path) -> str:
        return run_cell(job, folder)

    def checkpoint(self, job: Job, folder: Path):
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job, folder)  # a half-done run folder is never taken for a run: begin anew


def run_array(grid: Grid, missing: list[int], jobs: int, options: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Submit the cells as one array, `jobs` at a time on the cluster; give (cell number, error or "") as each ends.

    options: submitit's parameters, such as slurm_partition, timeout_min, gpus_per_node. The results folder and the
    environment must be on a file system that the nodes share. Closing the iterator cancels what has not ended.
    """
    try:
        import submitit
    except ImportError:
        fix = "python -m pip install submitit, or install mmlab[slurm]"
        raise ConfigError(f"Slurm needs the package submitit, which is not installed: {fix}.") from None
    if not missing:
        return
    folder = grid.folder.resolve() / "slurm"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(name="mmlab", slurm_array_parallelism=jobs, **{**DEFAULTS, **options})
        submitted = executor.map_array(
            Cell(), [grid.job(number) for number in missing], [grid.run_folders[number] for number in missing]
        )
    except (RuntimeError, NameError, submitit.core.utils.FailedJobError) as error:
        raise RunError(
            f"Slurm did not take the grid: {str(error).splitlines()[0]}. Does `sinfo` answer here?"
        ) from None
    waiting = dict(zip(missing, submitted, strict=True))
    try:
        while waiting:
            ended = [number for number, job in waiting.items() if job.done()]
            for number in ended:
                yield number, _result(waiting.pop(number))
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        for job in waiting.values():
            job.cancel()


def _result(job) -> str:
    import submitit

    try:
        return job.result()
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return "\n".join(
            [f"Job {job.job_id} did not end well ({job.state}).", *lines[-3:], f"Its output: {job.paths.stderr}"]
        )
