"""What each notebook leaves for those that come after it: one JSON file, written by its last cell."""

import os
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mmlab.config import SCENARIOS
from mmlab.errors import RunError
from mmlab.runs.folder import JOINT, METRICS, RUNS
from mmlab.storage import read_file, seal_json, unseal_json, write_atomic

RECORDS = "records"
MAIN, MAIN_NOTEBOOK = "main", "04_fusion"  # the run of the workbook, and the notebook whose record names it
BEST = "best"  # the model that answers in its place, where one was trained for that, and the record that names it
# Names a file outside the results, so that two runs leave the same results byte for byte.
RECEIPT = "MMLAB_NOTEBOOK_RECEIPT"


def finish_notebook(results: Path | str, name: str, record: dict[str, Any]) -> None:
    """Write what a notebook found to `<results>/records/<name>.json`; the last line of every notebook.

    Under `run_notebook` it is also the proof that the notebook reached its end. Raises RunError for a record that
    JSON cannot hold (NaN among them).
    """
    written = write_record(results, name, record)
    if receipt := os.environ.get(RECEIPT):
        write_atomic(receipt, written.read_bytes())


def write_record(results: Path | str, name: str, record: dict[str, Any]) -> Path:
    """Write `<results>/records/<name>.json`. Raises RunError for a record that JSON cannot hold."""
    try:
        text = seal_json(record, default=_to_plain)
    except (TypeError, ValueError) as error:
        fix = "Use texts, numbers, lists and dicts, and None where there is no number."
        raise RunError(f"The record of {name} cannot be written as JSON: {error}. {fix}") from None
    # What a name of a file holds that is not UTF-8 becomes JSON's own escape, and is read back as it was.
    return write_atomic(Path(results) / RECORDS / f"{name}.json", text.encode("utf-8", "backslashreplace"))


def check_results(results: Path | str) -> None:
    """Raise RunError when there is no such folder."""
    if not Path(results).is_dir():
        what = "is a file" if Path(results).exists() else "does not exist"
        raise RunError(f"{results} {what}: name the results folder of a finished `mmlab run`.")


def read_record(results: Path | str, name: str) -> dict[str, Any]:
    """What a notebook left for the report. Raises RunError when it has not been run on this results folder."""
    path = Path(results) / RECORDS / f"{name}.json"
    check_results(results)
    try:
        return unseal_json(read_file(path))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: run {_maker(name)} on this results folder first.") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunError(f"{path} cannot be read ({why}): run {_maker(name)} again.") from error


def find_main(results: Path | str) -> Path:
    """The folder of the run that answers new pairs: the one of `train_best`, else the run of notebook 04.

    Without a record of either, the only training there is; of several trainings the only one of all scenarios. Raises
    RunError where there is none, where several could be meant, and where notebook 04 failed when it was last run.
    """
    results = Path(results)
    check_results(results)
    if (failed := results / "notebooks" / f"{MAIN_NOTEBOOK}.failed.ipynb").exists():
        fix = f"Mend what it says and run it again, or name the folder of one run in {results / RUNS}"
        raise RunError(f"{failed}: notebook {MAIN_NOTEBOOK} failed, so this holds no finished run of it. {fix}.")
    for part, name in ((BEST, BEST), (MAIN, MAIN_NOTEBOOK)):
        if (results / RECORDS / f"{name}.json").exists():
            return find_recorded(results, name, part)
    every = {
        scenario: [metrics.parent for metrics in sorted(results.glob(f"{RUNS}/{scenario}-*/{METRICS}"))]
        for scenario in SCENARIOS
    }
    found = every[JOINT] or sum(every.values(), [])
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(folder.name for folder in found)
        raise RunError(f"{results} holds several runs: name the folder of one of them in {results / RUNS}: {names}.")
    raise RunError(f"{results} holds no finished run. `mmlab run` makes one, or mmlab.fit in Python.")


def find_recorded(results: Path | str, name: str, part: str) -> Path:
    """The folder of the run that a record names as this part. Raises RunError for a record that names none."""
    try:
        return Path(results) / RUNS / read_record(results, name)["runs"][part]
    except (KeyError, TypeError):
        raise RunError(f"{Path(results) / RECORDS / name}.json names no run: run {_maker(name)} again.") from None


def _maker(name: str) -> str:
    """What writes the record of this name."""
    return "`mmlab run` with the preset best or kernel" if name == BEST else f"notebook {name}"


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is not a plain value")
