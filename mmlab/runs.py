"""A run on disk: one training, one folder, complete or not there.

`<results>/runs/<run id>/` holds config.json (every knob and where it came from), predictions.csv, test_predictions.csv,
history.csv, the models' weights, the prediction files for the test pairs, and metrics.json, which is written last: a
folder without it is unfinished. The run id is derived from the knobs, the data, the split, the encoders and the code
that trains, so the same training is found again and never done twice.

Explained in notebook 04, section 4.
"""

import glob
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, LABELS, TWIN, RunConfig, find_fusions, probability_columns
from mmlab.course import Course, write_predictions
from mmlab.device import resolved, trained_precisions
from mmlab.errors import MmlabError, RunError, find_fix
from mmlab.evaluation import Scores, score_frame
from mmlab.features import Features
from mmlab.freshness import code_digest, digest_of, place_of
from mmlab.storage import CHECKOUT, umask, write_atomic

JOINT = "text_and_image"  # the scenario that runs are compared by
RUNS, CHECKPOINTS = "runs", "checkpoints"
TEST_RESULT = "test_result.txt"  # the joint scenario's prediction file under the name to hand in
CONFIG, METRICS = "config.json", "metrics.json"
PREDICTIONS, TEST_PREDICTIONS = "predictions.csv", "test_predictions.csv"
HISTORY, BEST_EPOCHS = "history.csv", "best_epochs.csv"

STALE_SECONDS = 3600  # a draft not written to for so long was left by a process that was killed
_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy", "transformers", "timm", "torchvision", "pillow")


@dataclass(frozen=True)
class Run:
    """One complete run, read from its folder. Frames are read when they are asked for."""

    folder: Path
    config: RunConfig | None  # None for a baseline, which has no knobs
    name: str  # `majority`, `tfidf`, or the config's scenario
    provenance: dict[str, Any]
    scenarios: tuple[str, ...]  # those it predicts
    n: int  # pairs scored
    seconds: float

    @property
    def id(self) -> str:
        return self.folder.name

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Each scenario's scores, from the predictions: a metric that is newer than the run has its value too."""
        return {scenario: score_frame(self.predictions, scenario) for scenario in self.scenarios}

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """guid, fold, label, twin and three probabilities a scenario, a row for each scored pair."""
        return self._read_whole(PREDICTIONS, self.n)

    @cached_property
    def test_predictions(self) -> pd.DataFrame:
        """guid and three probabilities a scenario, a row for each test pair in the order to answer in."""
        return self._read_whole(TEST_PREDICTIONS, self.provenance.get("n_test"))

    @cached_property
    def history(self) -> pd.DataFrame:
        """fold, seed, epoch, train_loss, dev_loss, dev_accuracy, lr, seconds: a row for each epoch of each model."""
        return _read_frame(self.folder / HISTORY)

    @cached_property
    def best_epochs(self) -> pd.DataFrame:
        """fold, seed, best_epoch: a row for each model."""
        return _read_frame(self.folder / BEST_EPOCHS)

    def _read_whole(self, name: str, rows: int | None) -> pd.DataFrame:
        """A table of probabilities, held against what the run says of it: a part of one would be scored as a whole."""
        frame, path = _read_frame(self.folder / name), self.folder / name
        wanted = [GUID, *(column for scenario in self.scenarios for column in probability_columns(scenario))]
        lacking = [column for column in wanted if column not in frame]
        if lacking or (rows is not None and len(frame) != rows) or frame[wanted].isna().to_numpy().any():
            found = f"no column {lacking[0]}" if lacking else f"{len(frame)} rows, of {rows}"
            raise RunError(f"{path}: is damaged ({found}). Delete the run's folder, and `mmlab run` makes it again.")
        return frame

    @property
    def is_fresh(self) -> bool:
        """Whether the code that made the predictions would make the same ones now."""
        try:
            return self.provenance["code"] == code_digest(*self.provenance["code_of"])
        except LookupError:  # made before this was recorded, or by code that is gone
            return False

    def find_folds(self, course: Course) -> np.ndarray:
        """The fold in which each labelled pair of the course was predicted, (n_labelled,) int64; -1 where in none.

        Matched by guid, never by the number of a row. Explained in notebook 02, section 4.1.
        """
        fold_of = self.predictions.set_index(GUID)[FOLD]
        return course.labelled[GUID].map(fold_of).fillna(-1).to_numpy(np.int64)

    def check_files(self) -> None:
        """Read each table and the head of each weight file. Raises RunError naming the first that is damaged."""
        from safetensors import SafetensorError, safe_open

        _ = self.predictions
        if self.config is None:
            return
        _ = self.test_predictions
        for name, columns in ((HISTORY, ["epoch", "dev_loss"]), (BEST_EPOCHS, [FOLD, "seed", "best_epoch"])):
            frame = _read_frame(self.folder / name)
            if frame.empty or any(column not in frame for column in columns):
                raise RunError(f"{self.folder / name}: is damaged. Delete the run's folder and run again.")
        for fold, seed in self.best_epochs[[FOLD, "seed"]].itertuples(index=False):
            path = self.folder / model_file(fold, seed)
            try:
                with safe_open(path, framework="numpy") as content:
                    content.keys()
            except (OSError, SafetensorError) as error:
                raise RunError(f"{path}: cannot be read ({error}). Delete the run's folder and run again.") from error

    def load_models(self, features: Features) -> dict[int, list]:
        """The trained models of each fold, fold -> models in eval mode, in the order of their seeds."""
        from safetensors.torch import load_file

        from mmlab.training import build_model

        models: dict[int, list] = {}
        for fold, seed in self.best_epochs[["fold", "seed"]].itertuples(index=False):
            model = build_model(self.config, features)
            model.load_learned(load_file(self.folder / model_file(fold, seed)))
            models.setdefault(int(fold), []).append(model.eval())
        return models


def train_run(
    config: RunConfig,
    course: Course,
    features: Features,
    results: Path | str,
    on_model: Callable[[int, int], None] | None = None,
    resume: bool = True,
    **watch: Callable | None,
) -> Run:
    """Cross-fit this config and keep everything about it, or return the complete run that already holds it.

    on_model: called with (models done, models in all) while it trains; watch: on_epoch and on_batch of `fit`. A
    fine-tuning leaves a checkpoint after each epoch in `<results>/checkpoints`, from which the next call goes on unless
    `resume` is False. Raises RunError when the prediction files of two scenarios are the same to the last row, which no
    sound fusion produces.
    """
    folder = run_folder(config, course, features, results)
    if is_complete(folder):
        return load_run(folder)
    checkpoints = Path(results) / CHECKPOINTS / folder.name if config.tunes else None
    if checkpoints and not resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    from safetensors.torch import save

    from mmlab.training import cross_fit

    started = time.perf_counter()
    fitted = cross_fit(config, course, features, on_model, checkpoints, **watch)
    seconds = time.perf_counter() - started
    if config.tunes:  # epochs that an earlier, interrupted call has done count as well
        seconds = max(seconds, float(fitted.history["seconds"].sum()))
    with _drafted(folder) as draft:
        origin = provenance(course, features, training_code(config), resolved(config))
        _write_json(draft / CONFIG, {"config": config.to_dict(), "provenance": origin})
        _write_frame(draft / HISTORY, fitted.history)
        _write_frame(draft / BEST_EPOCHS, fitted.best_epochs)
        _write_frame(draft / PREDICTIONS, fitted.predictions)
        _write_frame(draft / TEST_PREDICTIONS, fitted.test_predictions)
        for model, row in zip(fitted.models, fitted.best_epochs.itertuples(), strict=True):
            write_atomic(draft / model_file(row.fold, row.seed), save(model.learned()))
        if len(fitted.test_predictions):
            write_test_results(draft, config, fitted.test_predictions)
        scores = {scenario: score_frame(fitted.predictions, scenario) for scenario in config.trained_scenarios}
        _write_metrics(draft, config.scenario, scores, seconds)
    if checkpoints:
        shutil.rmtree(checkpoints, ignore_errors=True)
    return load_run(folder)


def predict_out_of_fold(run: Run, features: Features, seeds: int | None = None) -> pd.DataFrame:
    """A frame like `run.predictions` from the run's own models and other features of the same pairs.

    With `features.without("image")` it shows what the model says when the image is taken away; with
    `features.pair_up(...)` what it says when images are exchanged. A pair is answered by the models that did not
    see it: all of its fold, or only the first `seeds` of them, for a fair comparison with a run that has no more.
    Explained in notebook 04, section 5 and notebook 06, section 2.
    """
    from mmlab.training import needed, predict

    frame = run.predictions.copy()
    row_of = {guid: row for row, guid in enumerate(features.guids)}
    rows = frame[GUID].map(row_of).to_numpy()
    features = needed(run.config, features)
    for fold, models in run.load_models(features).items():
        held_out = np.flatnonzero(frame[FOLD].to_numpy() == fold)
        answers = [predict(model, features, rows[held_out]) for model in models[:seeds]]
        for scenario in run.config.trained_scenarios:
            mean = np.mean([answer[scenario] for answer in answers], axis=0)
            frame.loc[frame.index[held_out], probability_columns(scenario)] = mean
    return frame


def predict_without(run: Run, features: Features, modality: str) -> pd.DataFrame:
    """The joint head's out-of-fold answers when no pair has this modality ("text" or "image").

    A predictions frame with the one scenario `joint_without_<modality>`. Explained in notebook 06, section 2.1.
    """
    frame = predict_out_of_fold(run, features.without(modality))
    names = dict(zip(probability_columns(JOINT), probability_columns(f"joint_without_{modality}"), strict=True))
    return frame[[GUID, FOLD, LABEL, TWIN, *names]].rename(columns=names)


def predict_patches(run: Run, features: Features) -> np.ndarray:
    """What the image head says of each image and of each of its patches, asked as if a patch were an image.

    Probabilities float64 (n, 1 + patches, 3), row i for row i of `run.predictions`, the whole image first. Each pair is
    answered by the models that did not see it. Explained in notebook 03, section 3.2.
    """
    import torch

    frame = run.predictions
    place = pd.Index(features.guids).get_indexer(frame[GUID])
    seen, _ = features.image.take(place).padded
    answers = np.zeros((*seen.shape[:2], len(LABELS)))
    with torch.inference_mode():
        for fold, models in run.load_models(features).items():
            held_out = np.flatnonzero(frame[FOLD] == fold)
            for model in models:
                logits = model.image_head(seen[held_out].flatten(0, 1)).double()
                answers[held_out] += logits.softmax(dim=-1).unflatten(0, (len(held_out), -1)).numpy() / len(models)
    return answers


def keep_predictions(
    name: str, predict: Callable[[], pd.DataFrame], course: Course, results: Path | str, key: Any
) -> Run:
    """Out-of-fold predictions that no training of the heads made (a baseline, a probe), kept like a trained run's.

    predict: gives a frame like `Run.predictions` with the probabilities of one scenario called `name`; only called when
    there is no complete run yet. key: what decides the predictions besides the course and the code (the folds, the
    run they come from), as plain values.
    """
    digest = digest_of(name, key, course.fingerprint, code_digest(predict), length=10)
    folder = Path(results) / RUNS / f"{name}-{digest}"
    if is_complete(folder):
        return load_run(folder)
    started = time.perf_counter()
    predictions = predict()
    seconds = time.perf_counter() - started
    with _drafted(folder) as draft:
        _write_json(draft / CONFIG, {"baseline": name, "provenance": provenance(course, None, (predict,))})
        _write_frame(draft / PREDICTIONS, predictions)
        _write_metrics(draft, name, {name: score_frame(predictions, name)}, seconds)
    return load_run(folder)


def run_folder(config: RunConfig, course: Course, features: Features | str, results: Path | str) -> Path:
    """Where this training belongs, whether or not it was done: a readable name and a digest of all that decides it.

    features: the encoded pairs, or just their digest.
    """
    encoders = features if isinstance(features, str) else features.digest
    code, arithmetic = code_digest(*training_code(config)), trained_precisions(config)
    inputs = course.fingerprint, course.split_hash, encoders
    digest = digest_of(config.to_dict(), arithmetic, inputs, code, length=10)
    control = "" if config.control == "none" else f"-{config.control}"
    fusion = f"-{config.fusion}" if config.scenario == "text_and_image" else ""
    name = f"{config.scenario}{fusion}{control}-lr{config.lr:g}-do{config.dropout:g}-s{config.seed}-{digest}"
    return Path(results) / RUNS / name


def training_code(config: RunConfig) -> tuple[Any, ...]:
    """Where the code begins that makes the predictions of a training: cross-fitting, and the fusion it uses."""
    fusion = (find_fusions()[config.fusion],) if config.scenario == "text_and_image" else ()
    return ("mmlab.training:cross_fit", *fusion)


def is_complete(folder: Path) -> bool:
    """Whether a run reached its end: metrics.json is written last."""
    return (Path(folder) / METRICS).is_file()


def predict_course(run: Run, features: Features) -> pd.DataFrame:
    """Predictions of all a run's models, averaged, for every pair of any encoded course: guid and probabilities."""
    from mmlab.training import needed, predict

    features = needed(run.config, features)
    models = [model for fold in run.load_models(features).values() for model in fold]
    answers = [predict(model, features) for model in models]
    frame = pd.DataFrame({GUID: features.guids})
    for scenario in run.config.trained_scenarios:
        frame[probability_columns(scenario)] = np.mean([answer[scenario] for answer in answers], axis=0)
    return frame


def load_run(folder: Path | str) -> Run:
    """Read a complete run. Raises RunError naming the file that is missing or damaged and how to mend it."""
    folder = Path(folder)
    if not is_complete(folder):
        raise RunError(f"{folder}: no complete run here ({METRICS} is missing). `mmlab run` makes it again.")
    record, metrics = _read_json(folder / CONFIG), _read_json(folder / METRICS)
    try:
        config = RunConfig.from_params(record["config"]) if "config" in record else None
        scenarios, n = tuple(metrics["scores"]), next(iter(metrics["scores"].values()))["n"]
        return Run(folder, config, metrics["name"], record["provenance"], scenarios, n, metrics["seconds"])
    except (KeyError, TypeError, AttributeError, StopIteration, MmlabError) as error:
        raise RunError(
            f"{folder}: {CONFIG} or {METRICS} is not as this version writes it ({error}). "
            "Delete the folder and run again."
        ) from error


def list_runs(results: Path | str) -> list[Run]:
    """All complete runs below a results folder, by name."""
    return [load_run(path.parent) for path in sorted((Path(results) / RUNS).glob(f"[!.]*/{METRICS}"))]


def result_name(config: RunConfig, scenario: str) -> str:
    """The name of a prediction file: `test_result_<lr>_<dropout>_<scenario>.txt`."""
    return f"test_result_{config.lr:g}_{config.dropout:g}_{scenario}.txt"


def find_siblings(file: Path | str) -> list[Path]:
    """The other scenarios' prediction files beside a prediction file, for `verify_predictions`.

    test_result.txt is the joint scenario's file under the name to hand in, so its own source is left out.
    """
    file = Path(file)
    others = sorted(file.parent.glob("test_result_*_*_*.txt"))
    if file.name == TEST_RESULT or file.name.endswith("text_and_image.txt"):
        return [other for other in others if not other.name.endswith("text_and_image.txt")]
    return [other for other in others if other.name != file.name]


def write_test_results(folder: Path | str, config: RunConfig, test_predictions: pd.DataFrame) -> list[Path]:
    """One prediction file for each scenario, each in the order of the test pairs.

    Raises RunError when two scenarios answer alike to the last of at least 50 rows.
    """
    answers = {}
    for scenario in config.trained_scenarios:
        best = test_predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
        answers[scenario] = [LABELS[number] for number in best]
    for first in answers:
        for second in answers:
            if first < second and answers[first] == answers[second] and len(test_predictions) >= 50:
                raise RunError(
                    f"{first} and {second} answer alike in all {len(test_predictions)} rows: one head seems to return "
                    f"the other's output, or the training did not move (lr={config.lr:g}). Nothing was written."
                )
    guids = test_predictions[GUID]
    return [write_predictions(Path(folder) / result_name(config, s), guids, answers[s]) for s in answers]


def provenance(course: Course, features: Features | None, code: tuple[Any, ...], device: str = "cpu") -> dict[str, Any]:
    """Where a run's numbers come from: data, split, encoders, code, packages, machine."""
    return {
        "data_fingerprint": course.fingerprint,
        "split_hash": course.split_hash,
        "n_labelled": int(len(course.labels)),
        "n_test": int(len(course.test)),
        "encoders": features.digest if features is not None else None,
        "code": code_digest(*code),
        "code_of": [place_of(one) for one in code],
        "commit": _git_commit(),
        "python": platform.python_version(),
        "packages": _package_versions(),
        "device": device,
    }


def model_file(fold: int, seed: int) -> str:
    """The name of a model's weights in its run folder."""
    return f"model_fold{fold}_seed{seed}.safetensors"


def open_results(results: Path | str, data: Path | str) -> Path:
    """The results folder, made if missing. Raises RunError when it cannot be written or lies in the course folder."""
    results, data = Path(results), Path(data)
    if data.resolve() in (results.resolve(), *results.resolve().parents):
        raise RunError(f"{results} lies in the course folder {data}, which is never changed. Choose another.")
    return check_writable(results)


def check_writable(results: Path) -> Path:
    """The folder, made if missing. Raises RunError when nothing can be written there."""
    file = next((place for place in (results, *results.parents) if place.is_file()), None)
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            return results
    except OSError as error:
        why = f"{file} is a file" if file and file != results else "it is a file" if file else error.strerror
        raise RunError(f"{results} cannot be written ({why}). Choose another results folder.") from None


@contextmanager
def _drafted(folder: Path) -> Iterator[Path]:
    """An empty folder beside the final one to write into; moved there when all is written, removed when not.

    So nobody ever reads half a run. Of two processes that made the same run, the first one's stays.
    """
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield draft
        os.chmod(draft, 0o777 & ~umask())  # mkdtemp makes 0700; results are shared with a group on clusters
        if folder.exists() and not is_complete(folder):
            shutil.rmtree(folder)  # what an older, interrupted attempt left
        try:
            os.rename(draft, folder)
        except OSError:
            if not is_complete(folder):
                raise
    except OSError as error:
        fix = find_fix(error) or "Choose another results folder"
        raise RunError(f"{folder}: cannot be written ({error.strerror}). {fix}.") from error
    finally:
        if draft is not None and draft.exists():
            shutil.rmtree(draft, ignore_errors=True)


def _write_metrics(folder: Path, name: str, scores: dict[str, Scores], seconds: float) -> None:
    data = {
        "name": name,
        "scores": {key: value.to_dict() for key, value in scores.items()},
        "seconds": round(seconds, 2),
    }
    _write_json(folder / METRICS, data)


def _write_json(path: Path, data: dict) -> None:
    write_atomic(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}). Delete the run's folder and run again.") from error


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    write_atomic(path, frame.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        no_number = {"train_loss": [""], "dev_loss": [""]}  # of an epoch that went astray
        return pd.read_csv(path, dtype={GUID: str, LABEL: str}, keep_default_na=False, na_values=no_number)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}). Delete the run's folder and run again.") from error


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
def _git_commit() -> str | None:
    """The commit of the checkout the package lies in, with + when files differ from it; None outside a checkout."""
    here = CHECKOUT
    if not (here / ".git").exists():
        return None
    try:
        call = {"cwd": here, "capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **call).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--", "mmlab"], **call).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
