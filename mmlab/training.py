"""Fit the heads, stop early, and cross-fit so that every labelled pair gets a prediction no model trained on it made.

Explained in notebook 02, section 3 (the loop) and notebook 04, section 3 (cross-fitting).
"""

import copy
import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmlab.config import FOLD, GUID, LABEL, LABELS, SCENARIOS, TWIN, RunConfig, probability_columns
from mmlab.course import Course, split_folds
from mmlab.errors import ConfigError
from mmlab.features import Batch, Features
from mmlab.models import FusionModel, uses_sequences

INNER_FOLDS = 8  # an eighth of a fold's training pairs decides when to stop
PREDICT_BATCH = 512


@contextmanager
def one_thread():
    """Torch on one thread while it lasts: matrices as small as a head's gain nothing from more, wait for each other
    when the machine has other work, and would round differently on a machine with more cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass
class Fit:
    """A trained model, what happened on the way, and the epoch whose weights it carries (from 1)."""

    model: FusionModel
    history: pd.DataFrame  # epoch, train_loss, dev_loss, dev_accuracy, lr, seconds
    best_epoch: int


@dataclass
class CrossFit:
    """Out-of-fold predictions of every labelled pair, test predictions averaged over all models, and the way there."""

    predictions: pd.DataFrame  # guid, fold, label, twin, three probabilities a scenario
    test_predictions: pd.DataFrame  # guid, three probabilities a scenario
    history: pd.DataFrame  # fold, seed and the columns of a Fit's history
    best_epochs: pd.DataFrame  # fold, seed, best_epoch
    models: list[FusionModel]


@one_thread()
def fit(
    config: RunConfig,
    features: Features,
    labels: np.ndarray,
    train_rows: np.ndarray,
    dev_rows: np.ndarray,
    seed: int = 0,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> Fit:
    """Train the heads on `train_rows` and keep the weights of the epoch with the lowest loss on `dev_rows`.

    labels: integer (n,), the class number of each row of `features` (rows of neither set may hold anything).
    on_epoch: called after each epoch with the history so far, for a live curve.
    The same arguments give the same weights on the same machine.
    """
    targets = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    features = needed(config, features)
    with torch.random.fork_rng(devices=[]):  # a seed of our own, without touching the caller's
        torch.manual_seed(seed)
        model = FusionModel(config, features.text.width, features.image.width)
        model.standardise(features, train_rows)
        batch_of = features.batch if uses_sequences(config) else features.batch(np.arange(len(features))).take
        parameters = list(model.parameters())
        optimizer = torch.optim.AdamW(_parameter_groups(model, config.weight_decay), lr=config.lr, fused=True)
        steps = config.epochs * math.ceil(len(train_rows) / config.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(steps, config.warmup))
        weights = class_weights(targets[train_rows]) if config.class_weights else None
        history, best_loss, best_epoch, best_weights = [], math.inf, 0, None
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            model.train()
            losses = []
            for rows in _shuffled_batches(train_rows, config.batch_size):
                batch = drop_modalities(batch_of(rows), config.modality_dropout)
                loss = total_loss(model(batch), targets[rows], weights, config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
                optimizer.step()
                schedule.step()
                losses.append(loss.item() * len(rows))
            dev_loss, dev_accuracy = _dev_scores(model, features, targets, dev_rows)
            history.append({
                "epoch": epoch,
                "train_loss": sum(losses) / len(train_rows) / len(model.scenarios),
                "dev_loss": dev_loss,
                "dev_accuracy": dev_accuracy,
                "lr": schedule.get_last_lr()[0],
                "seconds": time.perf_counter() - started,
            })  # fmt: skip
            if on_epoch is not None:
                on_epoch(pd.DataFrame(history))
            if dev_loss < best_loss:
                # A copy: state_dict() alone refers to the live weights, which the next epoch changes.
                best_loss, best_epoch, best_weights = dev_loss, epoch, copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= config.patience:
                break
    if best_weights is None:
        raise ConfigError(f"The loss was not a number from the first epoch on: lr={config.lr} is too high. Lower it.")
    model.load_state_dict(best_weights)
    return Fit(model.eval(), pd.DataFrame(history), best_epoch)


@one_thread()
def predict(model: FusionModel, features: Features, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Probabilities of each scenario, float64 (n, 3), for the given rows (default: all)."""
    rows = np.arange(len(features)) if rows is None else np.asarray(rows)
    model.eval()
    parts: dict[str, list[np.ndarray]] = {scenario: [] for scenario in model.scenarios}
    with torch.inference_mode():
        for start in range(0, len(rows), PREDICT_BATCH):
            for scenario, logits in model(features.batch(rows[start : start + PREDICT_BATCH])).items():
                parts[scenario].append(logits.double().softmax(dim=-1).numpy())
    return {scenario: np.concatenate(part) if part else np.zeros((0, len(LABELS))) for scenario, part in parts.items()}


def cross_fit(
    config: RunConfig,
    course: Course,
    features: Features,
    on_model: Callable[[int, int], None] | None = None,
) -> CrossFit:
    """Train `folds` x `seeds` models; each labelled pair is predicted by those that did not see it or a twin of it.

    Early stopping looks at an inner split of the training folds, never at the fold that is predicted. Probabilities
    are averaged over seeds, and for test pairs over all models. With `folds=0` there is one fold: `train` is trained
    on and `dev` predicted, with an inner split of `train` for stopping just the same.
    on_model: called with (models done, models in all). Honours `config.control`.
    """
    frame, labels, features = apply_control(config.control, course, features, config.seed)
    features = needed(config, features)
    n_labelled = len(labels)
    test_rows = np.arange(n_labelled, len(features))
    groups = frame[TWIN].to_numpy()
    if config.folds:
        fold_of = split_folds(labels, groups, config.folds, config.seed)
    else:
        fold_of = np.where(frame["split"].to_numpy() == "dev", 0, -1)
    folds = sorted(set(fold_of[fold_of >= 0]))
    out = {s: np.zeros((n_labelled, len(LABELS))) for s in config.trained_scenarios}
    test = {s: np.zeros((len(test_rows), len(LABELS))) for s in config.trained_scenarios}
    histories, best_epochs, models = [], [], []
    for fold in folds:
        held_out = np.flatnonzero(fold_of == fold)
        others = np.flatnonzero(fold_of != fold)
        for number in range(config.seeds):
            seed = config.seed + 1000 * number
            inner = split_folds(labels[others], groups[others], INNER_FOLDS, seed)
            fitted = fit(config, features, labels, others[inner != 0], others[inner == 0], seed=seed + int(fold))
            for scenario, probabilities in predict(fitted.model, features, held_out).items():
                out[scenario][held_out] += probabilities / config.seeds
            for scenario, probabilities in predict(fitted.model, features, test_rows).items():
                test[scenario] += probabilities / (config.seeds * len(folds))
            histories.append(fitted.history.assign(**{FOLD: fold, "seed": seed}))
            best_epochs.append({FOLD: fold, "seed": seed, "best_epoch": fitted.best_epoch})
            models.append(fitted.model)
            if on_model is not None:
                on_model(len(models), len(folds) * config.seeds)
    scored = np.flatnonzero(fold_of >= 0)
    predictions = pd.DataFrame({
        GUID: frame[GUID].to_numpy()[scored],
        FOLD: fold_of[scored],
        LABEL: np.asarray(LABELS)[labels[scored]],
        TWIN: groups[scored],
    })  # fmt: skip
    test_predictions = pd.DataFrame({GUID: np.asarray(features.guids, dtype=object)[test_rows]})
    for scenario in config.trained_scenarios:
        columns = probability_columns(scenario)
        predictions[columns] = out[scenario][scored]
        test_predictions[columns] = test[scenario]
    return CrossFit(
        predictions, test_predictions, pd.concat(histories, ignore_index=True), pd.DataFrame(best_epochs), models
    )


def apply_control(control: str, course: Course, features: Features, seed: int):
    """The labelled frame, its labels and the features after a control experiment has broken one relation.

    shuffle_images: each labelled pair gets another's image; shuffle_texts: another's text; shuffle_labels: another's
    label. Test pairs stay as they are. `none` changes nothing. Explained in notebook 06, section 3.
    """
    frame, labels = course.labelled, np.asarray(course.labels)
    order = np.random.default_rng([seed, 77]).permutation(len(labels))
    rows = np.arange(len(features))
    swapped = np.concatenate([order, rows[len(labels) :]])
    if control == "shuffle_labels":
        labels = labels[order]
    elif control == "shuffle_images":
        features = features.pair_up(rows, swapped)
    elif control == "shuffle_texts":
        features = features.pair_up(swapped, rows)
    return frame, labels, features


def needed(config: RunConfig, features: Features) -> Features:
    """The features as this config's model looks at them: whole sequences, or one summary a side (far quicker)."""
    return features if uses_sequences(config) else features.summarised


def total_loss(logits: dict[str, torch.Tensor], targets: torch.Tensor, weights, smoothing: float) -> torch.Tensor:
    """Sum over the scenarios of the cross-entropy: each head learns its own task in the same step."""
    return sum(F.cross_entropy(one, targets, weights, label_smoothing=smoothing) for one in logits.values())


def drop_modalities(batch: Batch, share: float) -> Batch:
    """Hide the text or the image (an even choice, never both) of a random `share` of the pairs that have both.

    Meant for the joint head, which so learns to answer from what is there. The text head never sees the image and the
    image head never sees the text, so for them a hidden side is a pair with nothing to read.
    """
    if not share:
        return batch
    chance = torch.rand(len(batch))
    both = batch.text_mask.any(dim=1) & batch.image_mask.any(dim=1)
    return batch.without(text=(chance < share / 2) & both, image=(chance >= 1 - share / 2) & both)


def warmup_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """A factor on lr for each step: up from 0 in the first `warmup` share, then down to 0 along a cosine."""
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor


def class_weights(targets: torch.Tensor) -> torch.Tensor:
    """Weights float32 (3,) inverse to the class counts, with mean 1 over the pairs; 0 for an absent class."""
    counts = torch.bincount(targets, minlength=len(LABELS)).float()
    present = counts > 0
    return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)


def _shuffled_batches(rows: np.ndarray, size: int):
    shuffled = np.asarray(rows)[torch.randperm(len(rows)).numpy()]
    return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]


def _dev_scores(model: FusionModel, features: Features, targets: torch.Tensor, rows: np.ndarray) -> tuple[float, float]:
    """Mean negative log-likelihood over the scenarios, and the accuracy of the last (joint) one."""
    probabilities = predict(model, features, rows)
    truth = targets[rows].numpy()
    losses = [-np.log(np.clip(p[np.arange(len(rows)), truth], 1e-12, None)).mean() for p in probabilities.values()]
    last = probabilities[[s for s in SCENARIOS if s in probabilities][-1]]
    return float(np.mean(losses)), float((last.argmax(axis=1) == truth).mean())


def _parameter_groups(model: FusionModel, weight_decay: float) -> list[dict]:
    """Weight decay for matrices only: decaying a norm's gain or a bias pulls towards no simpler function."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


@contextmanager
def model_bar(label: str):
    """A progress bar for `cross_fit` and `train_run`: gives the function to pass as their `on_model`.

    The bar appears with the first model, so that a run that is only read back shows none.
    """
    from tqdm import tqdm  # not tqdm.auto: the widget bar is blank in a saved notebook

    bars = []

    def tick(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, desc=label, unit="model"))
        bars[0].update(done - bars[0].n)

    try:
        yield tick
    finally:
        for bar in bars:
            bar.close()
