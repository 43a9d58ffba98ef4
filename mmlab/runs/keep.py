"""Train and keep: a run folder appears whole or not at all, and a complete run is never repeated."""

import importlib.metadata
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pandas as pd

from mmlab.config import GUID, IMAGE, LABELS, TEXT, RunConfig, probability_columns
from mmlab.course import Course, write_predictions
from mmlab.device import resolved
from mmlab.errors import RunError, stoppable, writing
from mmlab.evaluation import score_frame
from mmlab.features import Features, Pairs
from mmlab.freshness import code_digest, digest_of, place_of
from mmlab.runs import folder as files
from mmlab.runs.ensemble import check_minutes, combine, train_members
from mmlab.runs.folder import Run, is_complete, load_run, run_folder, training_code
from mmlab.storage import CHECKOUT, draft_folder, one_at_a_time, seal_json, write_atomic

SET_ASIDE = "set_aside"  # runs that were changed after they were made, in the results folder
CHECKPOINTS = "checkpoints"  # of unfinished fine-tunings, in the results folder
_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy", "transformers", "timm", "torchvision", "pillow")


@stoppable("Runs that were complete before are kept, and so are the epochs of an encoder's training.")
def train_run(
    config: RunConfig,
    course: Course,
    features: Pairs,
    results: Path | str,
    on_model: Callable[[int, int], None] | None = None,
    resume: bool = True,
    minutes: float | None = None,
    **watch: Callable | None,
) -> Run:
    """Cross-fit this config and keep everything about it, or return the complete run that already holds it.

    features: those of `prepare_pairs`. minutes: of an ensemble, after which members that are not ready are left out;
    then the run is that of the others. on_model: called with (models done, models in all) while it trains; watch:
    on_epoch and on_batch of `fit`. A fine-tuning leaves a checkpoint after each epoch, from which the next call goes on
    unless `resume` is False. Prints the run's notes. Raises RunError as `write_test_results` does.
    """
    check_minutes(minutes)
    run = _find_or_train(config, course, features, results, on_model, resume, minutes, watch)
    for note in run.notes:  # also of one that was found: the reader of a notebook sees the same, whoever trained it
        print(note)
    return run


def _find_or_train(
    config: RunConfig,
    course: Course,
    features: Pairs,
    results: Path | str,
    on_model: Callable[[int, int], None] | None,
    resume: bool,
    minutes: float | None,
    watch: dict[str, Callable | None],
) -> Run:
    folder, ensemble = run_folder(config, course, features, results), config.model == "ensemble"
    checkpoints = Path(results) / CHECKPOINTS / folder.name if config.tunes and not ensemble else None
    if run := _find_sound(folder, checkpoints):
        return run
    if ensemble:
        return _train_ensemble(config, course, features, results, on_model, resume, minutes, watch)
    lock = folder.with_name(f".{folder.name}.lock")  # other trainings go on beside it in the same results folder
    with one_at_a_time(lock, f"Another process is training {folder}; waiting for it ..."):
        try:
            if run := _find_sound(folder, checkpoints):
                return run
            if checkpoints and not resume:
                shutil.rmtree(checkpoints, ignore_errors=True)
            return _train(config, course, features, folder, checkpoints, on_model, **watch)
        finally:
            with suppress(OSError):  # Windows removes no open file
                lock.unlink()


def _train(
    config: RunConfig, course: Course, features: Features, folder: Path, checkpoints: Path | None, on_model, **watch
) -> Run:
    from safetensors.torch import save

    from mmlab.training import cross_fit

    started = time.perf_counter()
    fitted = cross_fit(config, course, features, on_model, checkpoints, **watch)
    seconds = time.perf_counter() - started
    if config.tunes:  # epochs that an earlier, interrupted call has done count as well
        seconds = max(seconds, float(fitted.history["seconds"].sum()))
    with draft_folder(folder, is_complete) as draft:
        origin = provenance(course, features, training_code(config), resolved(config))
        _write_json(draft / files.CONFIG, {"config": config.to_dict(), "notes": fitted.notes, "provenance": origin})
        _write_frame(draft / files.HISTORY, fitted.history)
        _write_frame(draft / files.BEST_EPOCHS, fitted.best_epochs)
        _write_frame(draft / files.TEST_PREDICTIONS, fitted.test_predictions)
        for model, row in zip(fitted.models, fitted.best_epochs.itertuples(), strict=True):
            write_atomic(draft / files.model_file(row.fold, row.seed), save(model.learned()))
        if len(fitted.test_predictions):
            write_test_results(draft, config, fitted.test_predictions)
        _write_scored(draft, config.scenario, fitted.predictions, config.trained_scenarios, seconds)
    if checkpoints:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return load_run(folder)


def _train_ensemble(
    config: RunConfig,
    course: Course,
    pairs: Pairs,
    results: Path | str,
    on_model: Callable[[int, int], None] | None,
    resume: bool,
    minutes: float | None,
    watch: dict[str, Callable | None],
) -> Run:
    def train(one: RunConfig, tick: Callable[[int, int], None]) -> Run:
        from mmlab.training import needed

        return _find_or_train(one, course, needed(one, pairs), results, tick, resume, None, watch if one.tunes else {})

    runs = train_members(config, train, on_model, minutes)
    config = config.replace(members=", ".join(runs))
    folder = run_folder(config, course, pairs, results)
    if run := _find_sound(folder):
        return run
    started = time.perf_counter()
    predictions, test, weights = combine(config, runs)
    seconds = sum(run.seconds for run in runs.values()) + time.perf_counter() - started
    with draft_folder(folder, is_complete) as draft:
        origin = provenance(course, pairs, training_code(config), resolved(config))
        said = {"members": {name: run.id for name, run in runs.items()}}
        said["notes"] = list(dict.fromkeys(note for run in runs.values() for note in run.notes))
        _write_json(draft / files.CONFIG, {"config": config.to_dict(), **said, "provenance": origin})
        for file, part in ((files.HISTORY, "history"), (files.BEST_EPOCHS, "best_epochs")):
            frames = [getattr(run, part).assign(member=name) for name, run in runs.items()]
            _write_frame(draft / file, pd.concat(frames, ignore_index=True))
        _write_frame(draft / files.WEIGHTS, weights)
        _write_frame(draft / files.TEST_PREDICTIONS, test)
        if len(test):
            write_test_results(draft, config, test)
        _write_scored(draft, config.scenario, predictions, config.trained_scenarios, seconds)
    return load_run(folder)


def keep_predictions(
    name: str, predict: Callable[[], pd.DataFrame], course: Course, results: Path | str, key: Any
) -> Run:
    """Out-of-fold predictions that no training of the heads made (a baseline, a probe), kept like a trained run's.

    predict: gives a frame like `Run.predictions` with the one scenario `name`; only called when there is no complete
    run yet. key: plain values that decide the predictions besides the course and the code, such as the folds.
    """
    digest = digest_of(name, key, course.fingerprint, code_digest(predict), length=10)
    folder = Path(results) / files.RUNS / f"{name}-{digest}"
    if run := _find_sound(folder):
        return run
    started = time.perf_counter()
    predictions = predict()
    seconds = time.perf_counter() - started
    with draft_folder(folder, is_complete) as draft:
        _write_json(draft / files.CONFIG, {"baseline": name, "provenance": provenance(course, None, (predict,))})
        _write_scored(draft, name, predictions, (name,), seconds)
    return load_run(folder)


def write_test_results(folder: Path | str, config: RunConfig, test_predictions: pd.DataFrame) -> list[Path]:
    """One prediction file for each scenario, each in the order of the test pairs.

    Raises RunError when two scenarios answer alike to the last of at least 50 rows, which no sound fusion produces.
    """
    answers = {}
    for scenario in config.trained_scenarios:
        best = test_predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
        answers[scenario] = [LABELS[number] for number in best]
    for first, second in combinations(sorted(answers), 2):
        if answers[first] == answers[second] and len(test_predictions) >= 50:
            raise RunError(
                f"{first} and {second} answer alike in all {len(test_predictions)} rows: one head seems to return "
                f"the other's output, or the training did not move (lr={config.lr:g}). Nothing was written."
            )
    guids = test_predictions[GUID]
    return [write_predictions(Path(folder) / files.result_name(config, s), guids, answers[s]) for s in answers]


def _write_scored(folder: Path, name: str, frame: pd.DataFrame, scenarios: tuple[str, ...], seconds: float) -> None:
    _write_frame(folder / files.PREDICTIONS, frame)
    scores = {scenario: score_frame(frame, scenario).to_dict() for scenario in scenarios}
    write_metrics(folder, name, scores, seconds)


def write_metrics(folder: Path, name: str, scores: dict[str, dict[str, Any]], seconds: float) -> None:
    """Complete a run with the file that seals it and all others."""
    seal = files.seal_folder(folder)
    metrics = {"name": name, "scores": scores, "seconds": round(seconds, 2), "seal": seal}
    write_atomic(folder / files.METRICS, seal_json(metrics))


def _find_sound(folder: Path, checkpoints: Path | None = None) -> Run | None:
    """The complete run of a folder; None where there is none yet. One that was changed is set aside, not believed.

    checkpoints: those of the training, which a complete run needs no more.
    """
    if not is_complete(folder):
        return None
    try:
        run = load_run(folder)
    except RunError as error:
        aside = folder.parents[1] / SET_ASIDE
        place = next(one for n in count(1) if not (one := aside / f"{folder.name}-{n}").exists())
        with writing(place):
            aside.mkdir(exist_ok=True)
            folder.rename(place)
        print(f"{str(error).partition('. ')[0]}. The folder is kept as {place}, and the run is made again.")
        return None
    if checkpoints:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return run


def _write_json(path: Path, data: dict) -> None:
    write_atomic(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    write_atomic(path, frame.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def provenance(course: Course, features: Features | None, code: tuple[Any, ...], device: str = "cpu") -> dict[str, Any]:
    lacking = [side for side in (TEXT, IMAGE) if features is not None and not getattr(features, side).lengths.any()]
    return {
        "data_fingerprint": course.fingerprint,
        "split_hash": course.split_hash,
        "n_labelled": int(len(course.labels)),
        "n_test": int(len(course.test)),
        "encoders": features.digest if features is not None else None,
        "weights": features.weights if features is not None else {},
        "code": code_digest(*code),
        "code_of": [place_of(one) for one in code],
        "commit": find_commit(),
        "python": platform.python_version(),
        "packages": _package_versions(),
        "device": device,
        **({"lacks": lacking} if lacking else {}),
    }


@cache
def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@cache
def find_commit() -> str | None:
    """The commit of the checkout that holds the package, with + when files differ from it; None outside a checkout."""
    if not (CHECKOUT / ".git").exists():
        return None
    try:
        call = {"cwd": CHECKOUT, "capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **call).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--", "mmlab"], **call).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
