"""The models of a cross-fitting, one after another or several at once in processes of their own.

What passes between the processes are files of a temporary folder that only this user can read.
"""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmlab.config import RunConfig
from mmlab.device import own_random
from mmlab.errors import RunError
from mmlab.features import Features, Pairs
from mmlab.kernel import KernelModel
from mmlab.models import FUSIONS, FusionModel
from mmlab.processes import ADDRESS, kill_session, start_process
from mmlab.storage import temporary_folder, write_atomic
from mmlab.training.finetuning import TunedModel, TuningHooks
from mmlab.training.loop import Hooks, fit, needed, predict

WORTH = 100_000  # pairs times epochs at most: less is trained sooner than more processes have started
LARGEST = 2**30  # bytes of the summaries in all processes together
SHARED, WORKER = "shared", "mmlab.training.worker"


@dataclass(frozen=True)
class Part:
    """One model of a cross-fitting: what it is trained on and stopped by, and what it predicts (row numbers)."""

    fold: int
    seed: int
    train_rows: np.ndarray
    dev_rows: np.ndarray
    held_out: np.ndarray


@dataclass
class FittedPart:
    """A part's model, the way there, and its probabilities of each scenario (n, 3) for held-out and test pairs."""

    model: FusionModel | TunedModel | KernelModel
    history: pd.DataFrame
    best_epoch: int
    held_out: dict[str, np.ndarray]
    test: dict[str, np.ndarray]


def build_model(config: RunConfig, pairs: Pairs) -> FusionModel | TunedModel | KernelModel:
    """An untrained model for this config and these pairs; the encoders in it, if any, as they were pretrained."""
    if config.model == "kernel":
        return KernelModel(config)
    if config.tunes:
        return TunedModel(config, pairs)
    return FusionModel(config, pairs.text.width, pairs.image.width)


def fit_part(
    config: RunConfig,
    pairs: Pairs,
    labels: np.ndarray,
    part: Part,
    checkpoints: Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
) -> FittedPart:
    """Train one model of a cross-fitting, here and now; the arguments are those of `cross_fit`."""
    if config.model == "kernel":
        return _fit_kernel(config, needed(config, pairs), labels, part)
    hooks = Hooks(config, on_batch)
    if config.tunes:
        checkpoint = checkpoints and checkpoints / f"fold{part.fold}_seed{part.seed}.pt"
        hooks = TuningHooks(config, on_batch, checkpoint)
    rows = part.train_rows, part.dev_rows
    fitted = fit(config, pairs, labels, *rows, part.seed + part.fold, on_epoch, hooks)
    held_out = predict(fitted.model, pairs, part.held_out)
    test = predict(fitted.model, pairs, np.arange(len(labels), len(pairs)))
    return FittedPart(fitted.model.cpu(), fitted.history, fitted.best_epoch, held_out, test)


def _fit_kernel(config: RunConfig, pairs: Features, labels: np.ndarray, part: Part) -> FittedPart:
    """Fit a kernel machine to all pairs outside the fold: nothing has to be stopped, dev pairs only judge it."""
    started, model = time.perf_counter(), KernelModel(config)
    rows = np.sort(np.concatenate([part.train_rows, part.dev_rows]))
    dev = np.isin(rows, part.dev_rows)
    judged, truth = model.fit(pairs, labels, rows, dev), labels[part.dev_rows[np.argsort(part.dev_rows)]]
    held_out = predict(model, pairs, part.held_out)
    test = predict(model, pairs, np.arange(len(labels), len(pairs)))
    right = [one[np.arange(len(truth)), truth] for one in judged.values()]
    loss = float(-np.log(np.clip(right, 1e-12, None)).mean())
    accuracy = float((judged[config.trained_scenarios[-1]].argmax(axis=1) == truth).mean())
    seconds = time.perf_counter() - started
    row = {"epoch": 1, "train_loss": loss, "dev_loss": loss, "dev_accuracy": accuracy, "lr": 0.0, "seconds": seconds}
    return FittedPart(model, pd.DataFrame([row]), 1, held_out, test)


def count_workers(config: RunConfig, features: Pairs, parts: int) -> int:
    """How many processes train the parts: one for each core that this process may use, where that pays.

    One for trained encoders, which take all cores themselves, and for a fusion that other processes cannot import.
    """
    ours = FUSIONS[config.fusion].__module__.startswith("mmlab.")
    if config.tunes or config.model == "kernel" or not ours or parts * config.epochs * len(features) < WORTH:
        return 1
    summaries = 4 * len(features) * (features.text.width + features.image.width)
    return max(1, min(parts, torch.get_num_threads(), LARGEST // summaries))


def fit_in_processes(
    config: RunConfig, features: Pairs, labels: np.ndarray, parts: list[Part], workers: int
) -> Iterator[FittedPart]:
    """The fitted parts in order; closing the iterator stops the processes. Raises what a training raises."""
    with temporary_folder() as folder:
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        _write(folder / SHARED, (config, features, labels, parts))
        call = os.environ.get(ADDRESS), [WORKER, str(folder)], env, Path.cwd()
        processes = [start_process(*call) for _ in range(workers)]
        try:
            for number in range(len(parts)):
                while not (folder / str(number)).exists():
                    if all(one.poll() is not None for one in processes) and not (folder / str(number)).exists():
                        fix = "If memory ran out, close other programs or set OMP_NUM_THREADS=1."
                        raise RunError(f"The processes that train the models have ended before their time. {fix}")
                    time.sleep(0.02)
                outcome, weights = pickle.loads((folder / str(number)).read_bytes())
                if isinstance(outcome, Exception):
                    raise outcome
                with own_random(0, torch.device("cpu")):  # its first weights are drawn, and then replaced
                    outcome.model = build_model(config, features)
                outcome.model.load_learned({name: torch.from_numpy(one) for name, one in weights.items()})
                outcome.model.eval()
                yield outcome
        finally:
            for one in processes:
                kill_session(one)
                one.wait()


def work(folder: Path) -> None:
    """What each process of `fit_in_processes` does: take part after part until none is left."""
    parent = os.getppid()
    config, features, labels, parts = pickle.loads((folder / SHARED).read_bytes())
    pairs = needed(config, features)
    for number, part in enumerate(parts):
        if os.getppid() != parent:  # whoever asked for this has gone
            return
        with suppress(FileExistsError):
            (folder / f"{number}.taken").touch(exist_ok=False)
            try:
                outcome = fit_part(config, pairs, labels, part)
                weights = {name: one.numpy() for name, one in outcome.model.learned().items()}
                outcome.model = None
            except Exception as error:
                outcome, weights = error, {}
            _write(folder / str(number), (outcome, weights))


def _write(path: Path, content) -> None:
    write_atomic(path, pickle.dumps(content))
