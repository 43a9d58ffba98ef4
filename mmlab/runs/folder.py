"""A run as its folder: where it belongs, and what is read from it. Explained in notebook 04, section 4.1."""

import hashlib
import io
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
from mmlab.storage import CHANGED, LARGEST_WEIGHTS, digest_file, read_file, unseal_json
from mmlab.views import find_views

JOINT = "text_and_image"  # the scenario that runs are compared by
RUNS = "runs"
CONFIG, METRICS = "config.json", "metrics.json"
PREDICTIONS, TEST_PREDICTIONS = "predictions.csv", "test_predictions.csv"
HISTORY, BEST_EPOCHS = "history.csv", "best_epochs.csv"
WEIGHTS, MEMBERS = "weights.csv", "members"  # of an ensemble; the folder that holds its members if it was exported
EXPORT = "export.json"  # what an exported model has besides


@dataclass(frozen=True)
class Run:
    """One complete run, whose files are as they were written. Frames are read when they are asked for."""

    folder: Path
    config: RunConfig | None  # None for a baseline, which has no knobs
    name: str  # `majority`, `tfidf`, or the config's scenario
    provenance: dict[str, Any]
    scenarios: tuple[str, ...]  # those it predicts
    n: int  # pairs scored
    seconds: float
    seal: dict[str, str]  # the digest of each of its files but metrics.json, which holds these and one of itself
    members: dict[str, str] = field(default_factory=dict)  # of an ensemble: the id of each member's run, by preset
    notes: tuple[str, ...] = ()  # what the reader should know of how it was trained, in sentences

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def lacks(self) -> list[str]:
        """The sides, "text" or "image", that no pair of its course has: its models cannot read them."""
        return self.provenance.get("lacks", [])

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
        return self._read_frame(HISTORY, ["epoch", "dev_loss"])

    @cached_property
    def best_epochs(self) -> pd.DataFrame:
        """fold, seed, best_epoch: a row for each model."""
        return self._read_frame(BEST_EPOCHS, [FOLD, "seed", "best_epoch"])

    @cached_property
    def weights(self) -> pd.DataFrame:
        """fold, scenario, and a column for each member of an ensemble: its weight, 0 to 1, which sum to 1."""
        return self._read_frame(WEIGHTS, [FOLD, "scenario", *self.members])

    @cached_property
    def member_runs(self) -> dict[str, "Run"]:
        """The runs of an ensemble's members, by preset, each held against its own seal."""
        exported = self.folder / MEMBERS
        return {
            name: load_run((exported if exported.is_dir() else self.folder.parent) / id)
            for name, id in self.members.items()
        }

    def _read_probabilities(self, name: str, rows: int | None) -> pd.DataFrame:
        """A table that is held against what the run says of it: a part of one would be scored as a whole."""
        wanted = [GUID, *(column for scenario in self.scenarios for column in probability_columns(scenario))]
        frame = self._read_frame(name, wanted)
        if (rows is not None and len(frame) != rows) or frame[wanted].isna().to_numpy().any():
            raise _damaged(self.folder / name, f"{len(frame)} rows, of {rows}")
        return frame

    def _read_frame(self, name: str, wanted: Sequence[str]) -> pd.DataFrame:
        try:
            no_number = {"train_loss": [""], "dev_loss": [""]}  # of an epoch that went astray
            raw, text = io.BytesIO(self.read(name)), {GUID: str, LABEL: str}
            frame = pd.read_csv(raw, dtype=text, keep_default_na=False, na_values=no_number)
        except ValueError as error:
            raise _damaged(self.folder / name, error) from error
        if lacking := [column for column in wanted if column not in frame]:
            raise _damaged(self.folder / name, f"no column {lacking[0]}")
        return frame

    def read(self, name: str) -> bytes:
        """A file of the run, as it was sealed. Raises RunError where it no longer is, since `load_run`."""
        path = self.folder / name
        try:
            raw = read_file(path, LARGEST_WEIGHTS)
        except OSError as error:
            raise _damaged(path, error.strerror) from error
        if hashlib.sha256(raw).hexdigest() != self.seal.get(name):
            raise _damaged(path, CHANGED)
        return raw

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

    def load_models(self, features: Pairs, new: bool = False) -> dict[int, list]:
        """Fold -> its trained models in eval mode, in the order of their seeds; an ensemble is one model.

        new: for pairs that no fold holds; an ensemble then weighs its members by the weights for such pairs. Raises
        RunError for weights that are damaged, for features of other encoders than those it was trained on, and for
        features of a side that the run's course had none of.
        """
        if self.members:
            return self._load_ensemble(features, new)
        from safetensors import SafetensorError
        from safetensors.torch import load

        from mmlab.training import build_model

        self.check_weights(features.weights)
        for side in self.lacks:
            if getattr(features, side).width > 1:  # 1: no pair has this side
                raise RunError(f"{self.folder}: its course has no {side}s, so its models cannot answer pairs with one.")
        models: dict[int, list] = {}
        for fold, seed in self.best_epochs[["fold", "seed"]].itertuples(index=False):
            model, name = build_model(self.config, features), model_file(fold, seed)
            try:
                model.load_learned(load(self.read(name)))
            except (SafetensorError, RuntimeError, KeyError, MmlabError) as error:
                raise error if isinstance(error, RunError) else _damaged(self.folder / name, error) from error
            models.setdefault(int(fold), []).append(model.eval())
        return models

    def _load_ensemble(self, pairs: Pairs, new: bool) -> dict[int, list]:
        from mmlab.training import EnsembleModel, needed

        loaded = {name: one.load_models(needed(one.config, pairs)) for name, one in self.member_runs.items()}
        weights = {fold: rows.set_index("scenario")[list(loaded)].stack() for fold, rows in self.weights.groupby(FOLD)}
        return {
            fold: [
                EnsembleModel(
                    self.config, {name: one[fold] for name, one in loaded.items()}, weights[NEW if new else fold]
                )
            ]
            for fold in next(iter(loaded.values()))
        }

    def check_weights(self, weights: dict[str, str]) -> None:
        """Hold the digests of encoders' weights, by modality, against those that the run was trained with."""
        for modality, known in self.provenance.get("weights", {}).items():
            if weights.get(modality, known) != known:
                name = getattr(self.config, f"{modality}_encoder")
                raise RunError(
                    f"{self.folder}: was trained with other weights of the {modality} encoder {name!r} than are here. "
                    "Bring those weights back, or train again with these."
                )


def load_run(folder: Path | str) -> Run:
    """Read a complete run and hold each file against its seal.

    Raises RunError naming the file that is missing or damaged and how to mend it.
    """
    folder = Path(folder)
    path = folder / METRICS
    if not is_complete(folder):
        if (folder / EXPORT).is_file():
            raise _damaged(path, "it is missing")
        raise RunError(f"{folder}: no complete run here ({METRICS} is missing). `mmlab run` makes it again.")
    try:
        metrics = unseal_json(read_file(path))
        for name, digest in metrics["seal"].items():
            path = folder / name
            if digest_file(path) != digest:
                raise ValueError(CHANGED)
        path = folder / CONFIG
        record = json.loads(read_file(path))
        config = RunConfig.from_params(record["config"]) if "config" in record else None
        scenarios, n = tuple(metrics["scores"]), int(next(iter(metrics["scores"].values()))["n"])
        name, seconds = str(metrics["name"]), float(metrics["seconds"])
        members = {str(preset): str(id) for preset, id in dict(record.get("members", {})).items()}
        rest = metrics["seal"], members, tuple(map(str, record.get("notes", ())))
        run = Run(folder, config, name, dict(record["provenance"]), scenarios, n, seconds, *rest)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration, MmlabError) as error:
        raise _damaged(path, getattr(error, "strerror", None) or error) from error
    _ = run.member_runs  # a damaged member damages the ensemble
    return run


def seal_folder(folder: Path) -> dict[str, str]:
    """The digest of each file of a run that is about to be completed."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != METRICS]
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


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
    exported = path.name == EXPORT or any((one / EXPORT).is_file() for one in path.parents[:3])
    fix = "Export the model again" if exported else "Delete the run's folder and run again"
    first = (str(why).splitlines() or [type(why).__name__])[0]
    return RunError(f"{path}: is damaged ({first}). {fix}.")
