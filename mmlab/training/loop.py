"""Fit the heads, stop early, and cross-fit so that every labelled pair gets a prediction no model trained on it made.

Explained in notebook 02, section 3 (the loop) and notebook 04, section 3 (cross-fitting).
"""

import inspect
import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmlab.config import FOLD, GUID, LABEL, LABELS, SCENARIOS, TWIN, RunConfig, probability_columns
from mmlab.course import DEV_SHARE, Course, split_folds
from mmlab.encoders import find_device
from mmlab.errors import ConfigError
from mmlab.features import Batch, Features
from mmlab.models import FusionModel, uses_sequences
from mmlab.training.finetuning import (
    TunedModel,
    bucketed_batches,
    explain_memory,
    read_batches,
    read_checkpoint,
    write_checkpoint,
)

INNER_FOLDS = 8  # an eighth of a fold's training pairs decides when to stop
PREDICT_BATCH, TUNED_PREDICT_BATCH = 512, 64


@contextmanager
def _threads(config: RunConfig):
    """Torch on one thread while heads are trained or asked: matrices so small gain nothing from more, wait for each
    other when the machine has other work, and would round differently on a machine with more cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if config.tunes else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _own_random(device: torch.device, seed: int):
    """Torch's random numbers from this seed while it lasts, without touching the caller's."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class AdamW(torch.optim.AdamW):
    """torch's AdamW without its guards for torch.compile, which nothing here uses and the first of which imports the
    whole compiler, sympy and triton with it: 2 s in every process that trains."""

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


@dataclass
class Fit:
    """A trained model, what happened on the way, and the epoch whose weights it carries (from 1)."""

    model: FusionModel | TunedModel
    history: pd.DataFrame  # epoch, train_loss, dev_loss, dev_accuracy, lr, seconds
    best_epoch: int


@dataclass
class Progress:
    """How far a training has come: the history, and a copy of the weights of its best epoch."""

    history: list[dict] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    best: dict[str, torch.Tensor] | None = None

    @property
    def epochs(self) -> int:
        return len(self.history)

    def ended(self, patience: int) -> bool:
        """Whether it is time to stop: `patience` epochs have brought no better dev loss."""
        return self.epochs - self.best_epoch >= patience


def save_progress(path: Path, progress: Progress, model, optimizer, schedule, scaler) -> None:
    """Everything that the next epoch depends on, in one file: weights, optimizer, schedule, random numbers."""
    tensors = {f"model/{name}": tensor for name, tensor in model.learned().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (progress.best or {}).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": moment for name, moment in moments.items()}
    tensors["random/cpu"] = torch.get_rng_state()
    device = next(model.parameters()).device
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    state = {
        "history": progress.history,
        "best_loss": progress.best_loss,
        "best_epoch": progress.best_epoch,
        "schedule": schedule.last_epoch,
        "scaler": scaler.state_dict(),
    }
    write_checkpoint(path, tensors, state)


def load_progress(path: Path, model, optimizer, schedule, scaler) -> Progress | None:
    """Put model, optimizer, schedule and random numbers back where `save_progress` found them; None without a file."""
    found = read_checkpoint(path)
    if found is None:
        return None
    tensors, state = found
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "random": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    model.load_learned(parts["model"])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, moment in parts["optimizer"].items():
        number, _, kind = name.partition("/")
        moments.setdefault(int(number), {})[kind] = moment
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    schedule.last_epoch = state["schedule"] - 1
    schedule.step()
    scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"], next(model.parameters()).device)
    return Progress(state["history"], state["best_loss"], state["best_epoch"], parts["best"] or None)


@dataclass
class CrossFit:
    """Out-of-fold predictions of every labelled pair, test predictions averaged over all models, and the way there."""

    predictions: pd.DataFrame  # guid, fold, label, twin, three probabilities a scenario
    test_predictions: pd.DataFrame  # guid, three probabilities a scenario
    history: pd.DataFrame  # fold, seed and the columns of a Fit's history
    best_epochs: pd.DataFrame  # fold, seed, best_epoch
    models: list[FusionModel | TunedModel]


def fit(
    config: RunConfig,
    features: Features,
    labels: np.ndarray,
    train_rows: np.ndarray,
    dev_rows: np.ndarray,
    seed: int = 0,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
    checkpoint: Path | None = None,
) -> Fit:
    """Train on `train_rows` and keep the weights of the epoch with the lowest loss on `dev_rows`.

    Trains the heads on frozen features; where the config names encoder layers, encoders and heads together, on the
    pairs of `prepare_pairs`, beginning with heads that were trained on the frozen features first (Kumar et al. 2022).

    labels: integer (n,), the class number of each row of `features` (rows of neither set may hold anything).
    on_epoch: called after each epoch with the history so far, for a live curve; on_batch: after each batch with its
    number of pairs and its loss. checkpoint: a file that is written after each epoch; where it exists, training goes on
    from it and ends as if it had never stopped.
    The same arguments give the same weights on the same machine. Raises ConfigError when the memory is too small.
    """
    targets = torch.as_tensor(np.asarray(labels), dtype=torch.long)
    features = needed(config, features)
    device = find_device() if config.tunes else torch.device("cpu")
    with _threads(config), _own_random(device, seed), explain_memory(config):
        model = _begin_model(config, features, labels, train_rows, dev_rows, seed).to(device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        groups = _parameter_groups(model, config.weight_decay)
        optimizer = AdamW(groups, lr=config.lr, fused=device.type in ("cpu", "cuda"))
        steps = config.epochs * math.ceil(math.ceil(len(train_rows) / config.batch_size) / config.accumulate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(steps, config.warmup))
        scaler = torch.amp.GradScaler(device.type, enabled=_uses_fp16(model))
        weights = class_weights(targets[train_rows]).to(device) if config.class_weights else None
        epoch_batches = _batches_of(config, features, train_rows, seed)
        progress = Progress()
        if checkpoint is not None:
            progress = load_progress(checkpoint, model, optimizer, schedule, scaler) or progress
        for epoch in range(progress.epochs + 1, config.epochs + 1):
            if progress.ended(config.patience):
                break
            started = time.perf_counter()
            model.train()
            losses = []
            for number, last, rows, batch in epoch_batches(epoch):
                batch = drop_modalities(batch, config.modality_dropout).to(device)
                loss = total_loss(model(batch), targets[rows].to(device), weights, config.label_smoothing)
                scaler.scale(loss / config.accumulate).backward()
                if (number + 1) % config.accumulate == 0 or last:
                    scaler.unscale_(optimizer)
                    torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                    schedule.step()
                losses.append(loss.item() * len(rows))
                if on_batch is not None:
                    on_batch(len(rows), losses[-1] / len(rows) / len(model.scenarios))
            dev_loss, dev_accuracy = _dev_scores(model, features, targets, dev_rows)
            progress.history.append({
                "epoch": epoch,
                "train_loss": sum(losses) / len(train_rows) / len(model.scenarios),
                "dev_loss": dev_loss,
                "dev_accuracy": dev_accuracy,
                "lr": schedule.get_last_lr()[0],
                "seconds": time.perf_counter() - started,
            })  # fmt: skip
            if on_epoch is not None:
                on_epoch(pd.DataFrame(progress.history))
            if dev_loss < progress.best_loss:
                # A copy: state_dict() alone refers to the live weights, which the next epoch changes.
                best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.learned().items()}
                progress.best_loss, progress.best_epoch, progress.best = dev_loss, epoch, best
            if checkpoint is not None:
                save_progress(checkpoint, progress, model, optimizer, schedule, scaler)
    if progress.best is None:
        raise ConfigError(f"The loss was not a number from the first epoch on: lr={config.lr} is too high. Lower it.")
    model.load_learned(progress.best)
    return Fit(model.eval(), pd.DataFrame(progress.history), progress.best_epoch)


def _begin_model(config, features, labels, train_rows, dev_rows, seed) -> FusionModel | TunedModel:
    model = build_model(config, features)
    if config.tunes:
        start = fit(config.frozen(), features.frozen, labels, train_rows, dev_rows, seed)
        model.head.load_state_dict(start.model.state_dict())
    else:
        model.standardise(features, train_rows)
    return model


def build_model(config: RunConfig, features: Features) -> FusionModel | TunedModel:
    """An untrained model for this config and these pairs; the encoders in it, if any, as they were pretrained."""
    known = features.frozen or features
    kind = TunedModel if config.tunes else FusionModel
    return kind(config, known.text.width, known.image.width)


def _batches_of(config: RunConfig, features: Features, train_rows: np.ndarray, seed: int):
    """A function of the epoch that gives (number, is it the last, rows, batch) in a new random order each time."""
    if not config.tunes:
        batch_of = features.batch if uses_sequences(config) else features.batch(np.arange(len(features))).take

    def batches(epoch: int):
        if config.tunes:
            order = bucketed_batches(train_rows, features.text.lengths, config.batch_size)
            draw = seed * 1000 + epoch if config.augment else None
            made = read_batches(features, order, draw)
        else:
            order = _shuffled_batches(train_rows, config.batch_size)
            made = map(batch_of, order)
        for number, (rows, batch) in enumerate(zip(order, made, strict=True)):
            yield number, number == len(order) - 1, rows, batch

    return batches


def predict(model: FusionModel | TunedModel, features: Features, rows: np.ndarray | None = None) -> dict:
    """Probabilities of each scenario, float64 (n, 3), for the given rows (default: all)."""
    rows = np.arange(len(features)) if rows is None else np.asarray(rows)
    model.eval()
    tunes = model.config.tunes
    size = max(TUNED_PREDICT_BATCH, model.config.batch_size) if tunes else PREDICT_BATCH
    device = next(model.parameters()).device
    order = np.argsort(features.text.lengths[rows], kind="stable") if tunes else np.arange(len(rows))
    places = [order[start : start + size] for start in range(0, len(rows), size)]
    probabilities = {scenario: np.zeros((len(rows), len(LABELS))) for scenario in model.scenarios}
    with _threads(model.config), torch.inference_mode():
        for place, batch in zip(places, read_batches(features, [rows[place] for place in places]), strict=True):
            for scenario, logits in model(batch.to(device)).items():
                probabilities[scenario][place] = logits.double().softmax(dim=-1).cpu().numpy()
    return probabilities


def cross_fit(
    config: RunConfig,
    course: Course,
    features: Features,
    on_model: Callable[[int, int], None] | None = None,
    checkpoints: Path | None = None,
    **watch: Callable | None,
) -> CrossFit:
    """Train `folds` x `seeds` models; each labelled pair is predicted by those that did not see it or a twin of it.

    Early stopping looks at an inner split of the training folds, never at the fold that is predicted. Probabilities
    are averaged over seeds, and for test pairs over all models. With `folds=0` there is one fold: `train` is trained
    on and `dev` predicted, with an inner split of `train` for stopping just the same.
    on_model: called with (models done, models in all). checkpoints: a folder for the checkpoint of each model, from
    which an interrupted cross-fitting goes on. watch: on_epoch and on_batch of `fit`. Honours `config.control`.
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
            checkpoint = checkpoints and checkpoints / f"fold{fold}_seed{seed}.safetensors"
            rows = others[inner != 0], others[inner == 0]
            fitted = fit(config, features, labels, *rows, seed=seed + int(fold), checkpoint=checkpoint, **watch)
            for scenario, probabilities in predict(fitted.model, features, held_out).items():
                out[scenario][held_out] += probabilities / config.seeds
            for scenario, probabilities in predict(fitted.model, features, test_rows).items():
                test[scenario] += probabilities / (config.seeds * len(folds))
            histories.append(fitted.history.assign(**{FOLD: fold, "seed": seed}))
            best_epochs.append({FOLD: fold, "seed": seed, "best_epoch": fitted.best_epoch})
            models.append(fitted.model.cpu())
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
    return features if config.tunes or uses_sequences(config) else features.summarised


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


def _parameter_groups(model: FusionModel | TunedModel, weight_decay: float) -> list[dict]:
    """Weight decay for matrices only: decaying a norm's gain or a bias pulls towards no simpler function."""
    head = model.head if isinstance(model, TunedModel) else model
    matrices = [p for p in head.parameters() if p.ndim > 1]
    vectors = [p for p in head.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return groups + (model.encoder_groups() if isinstance(model, TunedModel) else [])


def _uses_fp16(model: FusionModel | TunedModel) -> bool:
    return any(model.precision(modality) == "fp16" for modality in model.config.tunes)


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


class TrainingBar:
    """A progress bar for long trainings: pairs a second, time left, loss, dev accuracy and the model's number.

    Its methods are `on_model`, `on_epoch` and `on_batch` of `train_run`. The bar appears with the first batch. Early
    stopping makes it jump ahead, never back.
    """

    def __init__(self, config: RunConfig, n_labelled: int) -> None:
        kept = (1 - 1 / INNER_FOLDS) * (1 - 1 / config.folds if config.folds else 1 - DEV_SHARE)
        self.models, self.per_model = max(1, config.folds) * config.seeds, config.epochs * round(kept * n_labelled)
        self.done, self.bar, self.dev, self.loss = 0, None, "", None

    def __enter__(self) -> "TrainingBar":
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.close()

    def on_batch(self, pairs: int, loss: float) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=self.models * self.per_model, unit="pair", mininterval=1.0, dynamic_ncols=True)
            self.bar.update(self.done * self.per_model)
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss
        self.bar.set_description(f"model {min(self.done + 1, self.models)}/{self.models}", refresh=False)
        self.bar.set_postfix_str(f"loss {self.loss:.3f}{self.dev}", refresh=False)
        self.bar.update(min(pairs, (self.done + 1) * self.per_model - self.bar.n))

    def on_epoch(self, history: pd.DataFrame) -> None:
        self.dev = f", dev accuracy {history['dev_accuracy'].iloc[-1]:.3f} (epoch {len(history)})"

    def on_model(self, done: int, total: int) -> None:
        self.done, self.models, self.loss = done, total, None
        if self.bar is not None:
            self.bar.total = total * self.per_model
            self.bar.update(max(0, done * self.per_model - self.bar.n))
