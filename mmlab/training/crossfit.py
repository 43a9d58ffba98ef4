"""Cross-fit: every labelled pair gets a prediction that no model trained on it, or on a twin of it, has made.

Explained in notebook 04, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from mmlab.config import FOLD, GUID, LABEL, LABELS, TWIN, RunConfig, probability_columns
from mmlab.course import Course, split_folds
from mmlab.features import Pairs
from mmlab.models import FusionModel
from mmlab.training.controls import apply_control
from mmlab.training.finetuning import TunedModel, TuningHooks
from mmlab.training.loop import Hooks, fit, needed, predict

INNER_FOLDS = 8  # an eighth of a fold's training pairs decides when to stop


@dataclass
class CrossFit:
    """Out-of-fold predictions of every labelled pair, test predictions averaged over all models, and the way there."""

    predictions: pd.DataFrame  # guid, fold, label, twin, three probabilities per scenario
    test_predictions: pd.DataFrame  # guid, three probabilities per scenario
    history: pd.DataFrame  # fold, seed and the columns of a Fit's history
    best_epochs: pd.DataFrame  # fold, seed, best_epoch
    models: list[nn.Module]


def build_model(config: RunConfig, pairs: Pairs) -> FusionModel | TunedModel:
    """An untrained model for this config and these pairs; the encoders in it, if any, as they were pretrained."""
    if config.tunes:
        return TunedModel(config, pairs)
    return FusionModel(config, pairs.text.width, pairs.image.width)


def cross_fit(
    config: RunConfig,
    course: Course,
    features: Pairs,
    on_model: Callable[[int, int], None] | None = None,
    checkpoints: Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
) -> CrossFit:
    """Train `folds` x `seeds` models; each labelled pair is predicted by those that did not see it or a twin of it.

    Early stopping looks at an inner split of the training folds, never at the fold that is predicted. Probabilities
    are averaged over seeds, and for test pairs over all models. With `folds=0` there is one fold: `train` is trained
    on and `dev` predicted, with an inner split of `train` for stopping just the same.
    features: those of `prepare_pairs`. on_model: called with (models done, models in all); on_epoch: see `fit`;
    on_batch: see `Hooks`. checkpoints: a folder for the checkpoint of each model that trains encoders, from which an
    interrupted cross-fitting goes on. Honours `config.control`.
    """
    frame, labels, features = apply_control(config.control, course, features, config.seed)
    features = needed(config, features)
    test_rows = np.arange(len(labels), len(features))
    fold_of = _deal_folds(config, frame, labels)
    folds = sorted(set(fold_of[fold_of >= 0]))
    out = {s: np.zeros((len(labels), len(LABELS))) for s in config.trained_scenarios}
    test = {s: np.zeros((len(test_rows), len(LABELS))) for s in config.trained_scenarios}
    histories, best_epochs, models = [], [], []
    for fold in folds:
        held_out, others = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        for number in range(config.seeds):
            seed = config.seed + 1000 * number
            inner = split_folds(labels[others], frame[TWIN].to_numpy()[others], INNER_FOLDS, seed)
            hooks = Hooks(config, on_batch)
            if config.tunes:
                checkpoint = checkpoints and checkpoints / f"fold{fold}_seed{seed}.pt"
                hooks = TuningHooks(config, on_batch, checkpoint)
            rows = others[inner != 0], others[inner == 0]
            fitted = fit(config, features, labels, *rows, seed + int(fold), on_epoch, hooks)
            for scenario, probabilities in predict(fitted.model, features, held_out).items():
                out[scenario][held_out] += probabilities / config.seeds
            for scenario, probabilities in predict(fitted.model, features, test_rows).items():
                test[scenario] += probabilities / (config.seeds * len(folds))
            histories.append(fitted.history.assign(**{FOLD: fold, "seed": seed}))
            best_epochs.append({FOLD: fold, "seed": seed, "best_epoch": fitted.best_epoch})
            models.append(fitted.model.cpu())
            if on_model is not None:
                on_model(len(models), len(folds) * config.seeds)
    return CrossFit(
        *_tabulate(config, frame, labels, fold_of, out, test, features.guids),
        pd.concat(histories, ignore_index=True),
        pd.DataFrame(best_epochs),
        models,
    )


def _deal_folds(config: RunConfig, frame: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    """The fold of each labelled pair; -1 for a pair that is only trained on."""
    if config.folds:
        return split_folds(labels, frame[TWIN].to_numpy(), config.folds, config.seed)
    return np.where(frame["split"].to_numpy() == "dev", 0, -1)


def _tabulate(config, frame, labels, fold_of, out, test, guids) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames of predictions and of test predictions."""
    scored = np.flatnonzero(fold_of >= 0)
    predictions = pd.DataFrame({
        GUID: frame[GUID].to_numpy()[scored],
        FOLD: fold_of[scored],
        LABEL: np.asarray(LABELS)[labels[scored]],
        TWIN: frame[TWIN].to_numpy()[scored],
    })  # fmt: skip
    test_predictions = pd.DataFrame({GUID: np.asarray(guids, dtype=object)[len(labels) :]})
    for scenario in config.trained_scenarios:
        columns = probability_columns(scenario)
        predictions[columns] = out[scenario][scored]
        test_predictions[columns] = test[scenario]
    return predictions, test_predictions
