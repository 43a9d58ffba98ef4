"""The loop: batches, loss, backward, step; stop early, and keep the best weights. Fine-tuning enters through `Hooks`.

Explained in notebook 02, section 3.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.config import LABELS, SCENARIOS, RunConfig
from mmlab.device import own_random, threads_for
from mmlab.errors import ConfigError
from mmlab.features import Batch, Features, Pairs
from mmlab.models import FusionModel, uses_sequences
from mmlab.training.inputs import Inputs, bucketed_batches


@dataclass
class Fit:
    """A trained model, what happened on the way, and the epoch whose weights it carries (from 1)."""

    model: nn.Module
    history: pd.DataFrame  # epoch, train_loss, dev_loss, dev_accuracy, lr, seconds
    best_epoch: int


@dataclass
class Progress:
    """How far a training has come: the history, and a copy of the weights of its best epoch."""

    history: list[dict] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    best: dict[str, Tensor] | None = None

    @property
    def epochs(self) -> int:
        return len(self.history)

    def ended(self, config: RunConfig) -> bool:
        """Whether it is time to stop: no epoch is left, or `patience` epochs have brought no better dev loss."""
        return self.epochs >= config.epochs or self.epochs - self.best_epoch >= config.patience

    def keep_better(self, model: nn.Module, dev_loss: float) -> None:
        """Copy the weights if the last epoch is the best so far."""
        if dev_loss < self.best_loss:
            self.best_loss, self.best_epoch = dev_loss, self.epochs
            # A copy: state_dict() alone refers to the live weights, which the next epoch changes.
            self.best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.learned().items()}


class Hooks:
    """What a training may do in its own way; this one trains heads on frozen features. on_batch: (pairs, mean loss)."""

    device = torch.device("cpu")

    def __init__(self, config: RunConfig, on_batch: Callable[[int, float], None] | None = None):
        self.config, self.on_batch = config, on_batch or (lambda pairs, loss: None)

    @contextmanager
    def running(self, seed: int) -> Iterator[None]:
        with threads_for(self.config), own_random(seed, self.device):
            yield

    def begin(self, pairs: Pairs, labels, train_rows, dev_rows, seed: int) -> nn.Module:
        """The model with which training begins; remember how to make batches."""
        model = FusionModel(self.config, pairs.text.width, pairs.image.width)
        model.standardise(pairs, train_rows)
        self.whole = uses_sequences(self.config)
        self.batch_of = pairs.batch if self.whole else pairs.batch(np.arange(len(pairs))).take
        return model

    def prepare(self, model: nn.Module, steps: int) -> Progress:
        """Make the optimizer and its schedule; where nothing was trained before, progress is at its start."""
        groups = self.parameter_groups(model)
        self.optimizer = AdamW(groups, lr=self.config.lr, fused=self.device.type in ("cpu", "cuda"))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, warmup_cosine(steps, self.config.warmup))
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        return Progress()

    def parameter_groups(self, model: nn.Module) -> list[dict]:
        return split_decay(model.parameters(), self.config.weight_decay)

    def steps(self, n_batches: int) -> int:
        return n_batches

    def batches(self, pairs: Pairs, rows: np.ndarray, epoch: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """The rows in a new random order, batch by batch; whole texts come with others of similar length."""
        size = self.config.batch_size
        if self.whole:
            order = bucketed_batches(rows, pairs.text.lengths, size)
        else:
            shuffled = np.asarray(rows)[torch.randperm(len(rows)).numpy()]
            order = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
        for chosen in order:
            yield chosen, self.batch_of(chosen)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self) -> None:
        """Move the weights a little; the gradient is clipped first and forgotten afterwards."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()

    def after_epoch(self, model: nn.Module, progress: Progress) -> None:
        """What is left to do when an epoch has been recorded."""


def fit(
    config: RunConfig,
    features: Pairs,
    labels: np.ndarray,
    train_rows: np.ndarray,
    dev_rows: np.ndarray,
    seed: int = 0,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    hooks: Hooks | None = None,
) -> Fit:
    """Train on `train_rows` and keep the weights of the epoch with the lowest loss on `dev_rows`.

    labels: integer (n,), the class number of each row of `features`; only those of the two sets of rows count.
    on_epoch: called after each epoch with the history so far, for a live curve. hooks: the plain ones, which train
    heads on frozen features, or those of `finetuning`. The same arguments give the same weights on the same machine.
    Raises ConfigError when the learning rate is too high for any epoch to give a model.
    """
    hooks = hooks or Hooks(config)
    pairs, targets = needed(config, features), torch.as_tensor(np.asarray(labels), dtype=torch.long)
    with hooks.running(seed):
        model = hooks.begin(pairs, labels, train_rows, dev_rows, seed).to(hooks.device)
        weights = class_weights(targets[train_rows]).to(hooks.device) if config.class_weights else None
        shift = config.prior_shift * log_shares(targets[train_rows])
        n_batches = math.ceil(len(train_rows) / config.batch_size)
        progress = hooks.prepare(model, config.epochs * hooks.steps(n_batches))
        while not progress.ended(config):
            started, losses = time.perf_counter(), []
            model.train()
            for rows, batch in hooks.batches(pairs, train_rows, epoch=progress.epochs + 1):
                batch = drop_modalities(batch, config.modality_dropout).to(hooks.device)
                # Shares that the loss adds, the model need not: its own answers are without them (Menon et al. 2021).
                logits = {name: one + shift.to(one) for name, one in model(batch).items()}
                loss = total_loss(logits, targets[rows].to(hooks.device), weights, config.label_smoothing)
                hooks.backward(loss)
                hooks.step()
                losses.append(loss.item() * len(rows))
                hooks.on_batch(len(rows), losses[-1] / len(rows) / len(model.scenarios))
            dev_loss, dev_accuracy = _dev_scores(model, pairs, targets, dev_rows, shift)
            progress.history.append({
                "epoch": progress.epochs + 1,
                "train_loss": sum(losses) / len(train_rows) / len(model.scenarios),
                "dev_loss": dev_loss,
                "dev_accuracy": dev_accuracy,
                "lr": hooks.schedule.get_last_lr()[0],
                "seconds": time.perf_counter() - started,
            })  # fmt: skip
            if on_epoch is not None:
                on_epoch(pd.DataFrame(progress.history))
            progress.keep_better(model, dev_loss)
            hooks.after_epoch(model, progress)
    if progress.best is None:
        raise ConfigError(f"The loss was not a number from the first epoch on: lr={config.lr} is too high. Lower it.")
    model.load_learned(progress.best)
    return Fit(model.eval(), pd.DataFrame(progress.history), progress.best_epoch)


def predict(model: nn.Module, features: Pairs, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Probabilities of each scenario, float64 (n, 3), for the given rows (default: all)."""
    rows = np.arange(len(features)) if rows is None else np.asarray(rows)
    if model.config.model != "neural":
        return model.answer(needed(model.config, features), rows)
    model.eval()
    device = next(model.parameters()).device
    probabilities = {scenario: np.zeros((len(rows), len(LABELS))) for scenario in model.scenarios}
    with threads_for(model.config), torch.inference_mode():
        for places, batch in features.batches(rows):
            for scenario, logits in model(batch.to(device)).items():
                probabilities[scenario][places] = logits.double().softmax(dim=-1).cpu().numpy()
    return probabilities


def needed(config: RunConfig, features: Pairs) -> Pairs:
    """The pairs as this config's model looks at them: whole sequences, or one summary per side (far quicker)."""
    if config.model == "ensemble":
        return features
    if isinstance(features, Inputs) and not config.tunes:  # of an ensemble, another member of which trains encoders
        features = features.frozen
    return features.summarised if isinstance(features, Features) and not uses_sequences(config) else features


def total_loss(logits: dict[str, Tensor], targets: Tensor, weights, smoothing: float) -> Tensor:
    """Sum over the scenarios of the cross-entropy: each head learns its own task in the same step."""
    return sum(F.cross_entropy(one, targets, weights, label_smoothing=smoothing) for one in logits.values())


def drop_modalities(batch: Batch, share: float) -> Batch:
    """Hide the text or the image (an even choice, never both) of a random `share` of the pairs that have both.

    It is meant for the joint head, which so learns to answer from what is there; for the other heads a hidden side is a
    pair with nothing to read. The batch returned shares its vectors with the one given.
    """
    if not share:
        return batch
    chance = torch.rand(len(batch))
    both = batch.text_mask.any(dim=1) & batch.image_mask.any(dim=1)
    no_text, no_image = (chance < share / 2) & both, (chance >= 1 - share / 2) & both
    return Batch(batch.text, batch.text_mask & ~no_text[:, None], batch.image, batch.image_mask & ~no_image[:, None])


def warmup_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """A factor on lr per step: up from 0 in the first `warmup` share, then down to 0 along a cosine."""
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor


def class_weights(targets: Tensor) -> Tensor:
    """Weights float32 (3,) inverse to the class counts, with mean 1 over the pairs; 0 for an absent class."""
    counts = torch.bincount(targets, minlength=len(LABELS)).float()
    present = counts > 0
    return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0.0)


def log_shares(targets: Tensor) -> Tensor:
    """The logarithm of each label's share of the targets, float32 (3,); an absent label counts as one pair."""
    counts = torch.bincount(targets, minlength=len(LABELS)).clamp(min=1).float()
    return (counts / counts.sum()).log()


def split_decay(parameters: Iterable[nn.Parameter], weight_decay: float, **settings) -> list[dict]:
    """Groups for the optimizer, with weight decay for matrices only: a norm's gain or a bias pulled towards zero makes
    no simpler function. settings: what both groups share, such as lr."""
    matrices, vectors = [], []
    for parameter in parameters:
        (matrices if parameter.ndim > 1 else vectors).append(parameter)
    groups = (matrices, weight_decay), (vectors, 0.0)
    return [{"params": chosen, "weight_decay": decay, **settings} for chosen, decay in groups if chosen]


class AdamW(torch.optim.AdamW):
    """torch's AdamW without its guards for torch.compile, which nothing here uses.

    The first guard imports the whole compiler, sympy and triton with it: 2 s in every process that trains. torch has no
    setting against it.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def _dev_scores(
    model: nn.Module, features: Pairs, targets: Tensor, rows: np.ndarray, shift: Tensor
) -> tuple[float, float]:
    """Mean negative log-likelihood over the scenarios, and the accuracy of the last (joint) one.

    shift: what the loss adds to the logits, so that a shifted model stops where it fits the pairs best.
    """
    probabilities, factors = predict(model, features, rows), shift.double().exp().numpy()
    truth, losses = targets[rows].numpy(), []
    for one in probabilities.values():
        whole = one * factors / (one * factors).sum(axis=1, keepdims=True) if shift.any() else one
        losses.append(-np.log(np.clip(whole[np.arange(len(rows)), truth], 1e-12, None)).mean())
    last = probabilities[[s for s in SCENARIOS if s in probabilities][-1]]
    return float(np.mean(losses)), float((last.argmax(axis=1) == truth).mean())
