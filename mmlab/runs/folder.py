"""A run as its folder: where it belongs, and what is read from it. Explained in notebook 04, section 4.1."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, RunConfig, find_fusions, probability_columns
from mmlab.course import Course
from mmlab.device import find_precision
from mmlab.errors import MmlabError, RunError
from mmlab.evaluation import Scores, score_frame
from mmlab.evaluation.selection import NEW
from mmlab.features import Features, Pairs
from mmlab.freshness import code_digest, digest_of
from mmlab.views import find_views

JOINT = "text_and_image"  # the scenario that runs are compared by
RUNS = "runs"
CONFIG, METRICS = "config.json", "metrics.json"
PREDICTIONS, TEST_PREDICTIONS = "predictions.csv", "test_predictions.csv"
HISTORY, BEST_EPOCHS = "history.csv", "best_epochs.csv"
WEIGHTS, MEMBERS = "weights.csv", "members"  # of an ensemble; the folder that holds its members if it was exported


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
    # The digest of each file of the run but metrics.json, which holds them; {}: of a run that was made without.
    seal: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)  # of an ensemble: the id of each member's run, by preset

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
        return self._read_probabilities(PREDICTIONS, self.n)

    @cached_property
    def test_predictions(self) -> pd.DataFrame:
        """guid and three probabilities a scenario, a row for each test pair in the order to answer in."""
        return self._read_probabilities(TEST_PREDICTIONS, self.provenance.get("n_test"))

    @cached_property
    def history(self) -> pd.DataFrame:
        """fold, seed, epoch, train_loss, dev_loss, dev_accuracy, lr, seconds: a row for each epoch of each model."""
        return _read_frame(self.folder / HISTORY, ["epoch", "dev_loss"])

    @cached_property
    def best_epochs(self) -> pd.DataFrame:
        """fold, seed, best_epoch: a row for each model."""
        return _read_frame(self.folder / BEST_EPOCHS, [FOLD, "seed", "best_epoch"])

    @cached_property
    def weights(self) -> pd.DataFrame:
        """fold, scenario, and a column for each member of an ensemble: its weight, 0 to 1, which sum to 1."""
        return _read_frame(self.folder / WEIGHTS, [FOLD, "scenario", *self.members])

    def load_members(self) -> dict[str, "Run"]:
        """The runs of an ensemble's members, by preset."""
        exported = self.folder / MEMBERS
        return {
            name: load_run((exported if exported.is_dir() else self.folder.parent) / id)
            for name, id in self.members.items()
        }

    def _read_probabilities(self, name: str, rows: int | None) -> pd.DataFrame:
        """A table that is held against what the run says of it: a part of one would be scored as a whole."""
        wanted = [GUID, *(column for scenario in self.scenarios for column in probability_columns(scenario))]
        frame = _read_frame(self.folder / name, wanted)
        if (rows is not None and len(frame) != rows) or frame[wanted].isna().to_numpy().any():
            raise _damaged(self.folder / name, f"{len(frame)} rows, of {rows}")
        return frame

    @property
    def is_fresh(self) -> bool:
        """Whether the code that made the predictions would make the same ones now."""
        try:
            return self.provenance["code"] == code_digest(*self.provenance["code_of"])
        except LookupError:  # made before this was recorded, or by code that is gone
            return False

    def find_folds(self, course: Course) -> np.ndarray:
        """The fold in which each labelled pair of the course was predicted, by guid, (n_labelled,) int64; -1: none."""
        fold_of = self.predictions.set_index(GUID)[FOLD]
        return course.labelled[GUID].map(fold_of).fillna(-1).to_numpy(np.int64)

    def check_files(self) -> None:
        """Hold each file against the seal, or read it where there is none. Raises RunError naming the first fault."""
        for name, digest in self.seal.items():
            if not (self.folder / name).is_file():
                raise _damaged(self.folder / name, "it is missing")
            if digest_file(self.folder / name) != digest:
                raise _damaged(self.folder / name, "it was changed after the run")
        from safetensors import SafetensorError, safe_open

        _ = self.predictions
        if self.config is None:
            return
        _ = self.test_predictions
        for name, frame in ((HISTORY, self.history), (BEST_EPOCHS, self.best_epochs)):
            if frame.empty:
                raise _damaged(self.folder / name, "no rows")
        if self.members:
            _ = self.weights
            for one in self.load_members().values():
                one.check_files()
            return
        for fold, seed in self.best_epochs[[FOLD, "seed"]].itertuples(index=False):
            path = self.folder / model_file(fold, seed)
            try:
                with safe_open(path, framework="numpy") as content:
                    content.keys()
            except (OSError, SafetensorError) as error:
                raise _damaged(path, error) from error

    def load_models(self, features: Pairs, new: bool = False) -> dict[int, list]:
        """Fold -> its trained models in eval mode, in the order of their seeds; an ensemble is one model.

        new: for pairs that no fold holds; an ensemble then weighs its members by the weights for such pairs.
        """
        if self.members:
            return self._load_ensemble(features, new)
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from mmlab.training import build_model

        models: dict[int, list] = {}
        for fold, seed in self.best_epochs[["fold", "seed"]].itertuples(index=False):
            model, path = build_model(self.config, features), self.folder / model_file(fold, seed)
            try:
                model.load_learned(load_file(path))
            except (OSError, SafetensorError, RuntimeError, KeyError, MmlabError) as error:
                raise _damaged(path, str(error).splitlines()[0]) from error
            models.setdefault(int(fold), []).append(model.eval())
        return models

    def _load_ensemble(self, pairs: Pairs, new: bool) -> dict[int, list]:
        from mmlab.training import EnsembleModel, needed

        loaded = {name: one.load_models(needed(one.config, pairs)) for name, one in self.load_members().items()}
        weights = {fold: rows.set_index("scenario")[list(loaded)].stack() for fold, rows in self.weights.groupby(FOLD)}
        return {
            fold: [
                EnsembleModel(
                    self.config, {name: one[fold] for name, one in loaded.items()}, weights[NEW if new else fold]
                )
            ]
            for fold in next(iter(loaded.values()))
        }


def load_run(folder: Path | str) -> Run:
    """Read a complete run. Raises RunError naming the file that is missing or damaged and how to mend it."""
    folder = Path(folder)
    if not is_complete(folder):
        raise RunError(f"{folder}: no complete run here ({METRICS} is missing). `mmlab run` makes it again.")
    record, metrics = _read_json(folder / CONFIG), _read_json(folder / METRICS)
    try:
        config = RunConfig.from_params(record["config"]) if "config" in record else None
        scenarios, n = tuple(metrics["scores"]), next(iter(metrics["scores"].values()))["n"]
        seal = {str(name): str(digest) for name, digest in metrics.get("seal", {}).items()}
        members = {str(name): str(id) for name, id in record.get("members", {}).items()}
        origin, name, seconds = record["provenance"], metrics["name"], metrics["seconds"]
        for value, kind in ((name, str), (origin, dict), (n, int), (seconds, int | float)):
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} in the place of {getattr(kind, '__name__', 'a number')}")
        return Run(folder, config, name, origin, scenarios, n, seconds, seal, members)
    except (KeyError, TypeError, AttributeError, StopIteration, MmlabError) as error:
        raise _damaged(folder / f"{CONFIG} or {METRICS}", error) from error


def seal_folder(folder: Path) -> dict[str, str]:
    """The digest of each file of a run that is about to be completed."""
    return {path.name: digest_file(path) for path in sorted(folder.iterdir()) if path.name != METRICS}


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(folder: Path) -> bool:
    return (Path(folder) / METRICS).is_file()  # it is written last


def run_folder(config: RunConfig, course: Course, features: Features | str, results: Path | str) -> Path:
    """Where this training belongs, done or not: a readable name and a digest of all that decides its numbers.

    features: the encoded pairs, or just their digest.
    """
    encoders = features if isinstance(features, str) else features.digest
    code, arithmetic = code_digest(*training_code(config)), find_precision(config.precision) if config.tunes else ""
    inputs = course.fingerprint, course.split_hash, encoders
    views = [view.fingerprint for view in find_views(config).values()]
    members = [one.to_dict() for one in config.list_members().values()]
    digest = digest_of(members, arithmetic, inputs, views, code, length=10)
    control = "" if config.control == "none" else f"-{config.control}"
    kind = f"-{config.model}"
    if config.model == "neural":
        kind = f"-{config.fusion}" if config.scenario == JOINT else ""
        control += f"-lr{config.lr:g}-do{config.dropout:g}"
    return Path(results) / RUNS / f"{config.scenario}{kind}{control}-s{config.seed}-{digest}"


def training_code(config: RunConfig) -> tuple[Any, ...]:
    """Where the code begins that makes the predictions of a training: cross-fitting, and the fusion it uses."""
    if config.model == "ensemble":
        of_members = (code for one in config.list_members().values() for code in training_code(one))
        return (*dict.fromkeys(of_members), "mmlab.runs.ensemble:combine")
    fusion = (find_fusions()[config.fusion],) if config.scenario == JOINT and config.model == "neural" else ()
    return ("mmlab.training:cross_fit", *fusion)


def model_file(fold: int, seed: int) -> str:
    return f"model_fold{fold}_seed{seed}.safetensors"


def result_name(config: RunConfig, scenario: str) -> str:
    return f"test_result_{config.lr:g}_{config.dropout:g}_{scenario}.txt"


def _damaged(path: Path, why: object) -> RunError:
    return RunError(f"{path}: is damaged ({why}). Delete the run's folder and run again.")


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_frame(path: Path, wanted: Sequence[str] = ()) -> pd.DataFrame:
    try:
        no_number = {"train_loss": [""], "dev_loss": [""]}  # of an epoch that went astray
        frame = pd.read_csv(path, dtype={GUID: str, LABEL: str}, keep_default_na=False, na_values=no_number)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if lacking := [column for column in wanted if column not in frame]:
        raise _damaged(path, f"no column {lacking[0]}")
    return frame
