"""Calls as one array job of a Slurm cluster, through submitit."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmlab.errors import ConfigError, RunError

POLL_SECONDS = 2.0
ANSWER_SECONDS = 30
LOST_SECONDS = 15.0  # a job that Slurm no longer lists may still be writing its result to a shared folder
DEFAULTS = {"timeout_min": 60, "cpus_per_task": 2, "mem_gb": 8}


class ClusterJob:
    """Executes a call on a node; a job that is preempted or out of time is queued again, and starts from nothing."""

    def __call__(self, call: Callable[[], str]) -> str:
        return call()

    def checkpoint(self, call: Callable[[], str]):
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, call)


def run_array(
    calls: dict[int, Callable[[], str]], folder: Path, jobs: int, options: dict[str, Any]
) -> Iterator[tuple[int, str]]:
    """Submit the calls as one array, `jobs` at a time; give (number of the call, error or "") as each ends.

    folder: for submitit's files; it and the environment must be on a file system that the nodes share. options:
    submitit's parameters, such as slurm_partition, timeout_min. Closing the iterator cancels what has not ended.
    Raises ConfigError when submitit is missing or knows no such option, RunError when Slurm takes no jobs.
    """
    try:
        import submitit
    except ImportError:
        fix = "python -m pip install submitit"
        raise ConfigError(f"Slurm needs the package submitit, which is not installed: {fix}") from None
    if not calls:
        return
    try:
        executor = submitit.AutoExecutor(folder=folder.resolve(), cluster="slurm")
        executor.update_parameters(name="mmlab", slurm_array_parallelism=jobs, **{**DEFAULTS, **options})
        submitted = executor.map_array(ClusterJob(), list(calls.values()))
    except (NameError, TypeError) as error:  # submitit's for an unknown parameter, with the known ones
        raise ConfigError(str(error).strip().splitlines()[0]) from None
    except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
        said = str(error).strip().splitlines()[-1]
        raise RunError(f"Slurm did not take the grid: {said}. Does `sinfo` answer here?") from None
    waiting = dict(zip(calls, submitted, strict=True))
    gone: dict[int, float] = {}  # when Slurm was first found not to list a job any more
    try:
        while waiting:
            ended = [number for number, job in waiting.items() if job.paths.result_pickle.exists()]
            listed, now = _list_jobs(waiting), time.monotonic()
            for number, job in waiting.items():
                if listed is None or job.job_id in listed:
                    gone.pop(number, None)
                elif number not in ended and now - gone.setdefault(number, now) > LOST_SECONDS:
                    ended.append(number)
            for number in ended:
                yield number, _result(waiting.pop(number))
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        for job in waiting.values():
            job.cancel()


def check_cluster() -> None:
    """Raise RunError where no Slurm answers; without this, sbatch would complain in words of its own."""
    try:
        asked = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, timeout=ANSWER_SECONDS)
        problem = (asked.stderr.strip().splitlines() or ["sinfo failed"])[0] if asked.returncode else ""
    except FileNotFoundError:
        problem = "the command sinfo is missing"
    except subprocess.TimeoutExpired:
        problem = f"sinfo did not answer in {ANSWER_SECONDS} s"
    if problem:
        fix = "Run the grid on a machine of the cluster, or on this one without --on slurm"
        raise RunError(f"No Slurm cluster can be reached from here ({problem}). {fix}.")


def _list_jobs(waiting: dict[int, Any]) -> set[str] | None:
    """The array tasks that Slurm still lists, or None when it does not answer. squeue, since not all sites keep
    accounts for the sacct that submitit asks."""
    arrays = ",".join(sorted({job.job_id.split("_")[0] for job in waiting.values()}))
    said = subprocess.run(["squeue", "-h", "-r", "-o", "%i", "-j", arrays], capture_output=True, text=True)
    if said.returncode and "Invalid job id" not in said.stderr:
        return None
    return set(said.stdout.split())


def _result(job) -> str:
    if not job.paths.result_pickle.exists():
        return f"Slurm lost job {job.job_id}: it was killed or its node failed. Its output: {job.paths.stderr}"
    outcome, result = job._get_outcome_and_result()
    return str(result) if outcome == "success" else "\n".join(str(result).strip().splitlines()[-6:])
