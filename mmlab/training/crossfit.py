"""Cross-fit: every labelled pair gets a prediction that no model trained on it, or on a twin of it, has made.

Explained in notebook 04, section 3.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from mmlab.config import FOLD, GUID, LABEL, LABELS, TWIN, RunConfig, probability_columns
from mmlab.course import DEV_SHARE, Course, fit_folds, split_folds
from mmlab.course.tables import TRAIN_FILE
from mmlab.errors import CourseError
from mmlab.features import Pairs
from mmlab.progress import model_bar, open_bar
from mmlab.training.loop import needed
from mmlab.training.parts import Part, count_workers, fit_in_processes, fit_part

INNER_FOLDS = 8  # an eighth of a fold's training pairs decides when to stop


@dataclass
class CrossFit:
    """Out-of-fold predictions of every labelled pair, test predictions averaged over all models, and the way there."""

    predictions: pd.DataFrame  # guid, fold, label, twin, three probabilities per scenario
    test_predictions: pd.DataFrame  # guid, three probabilities per scenario
    history: pd.DataFrame  # fold, seed and the columns of a Fit's history
    best_epochs: pd.DataFrame  # fold, seed, best_epoch
    models: list[nn.Module]
    notes: list[str]  # of `note_few`


def apply_control(control: str, course: Course, features: Pairs, seed: int):
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


def cross_fit(
    config: RunConfig,
    course: Course,
    features: Pairs,
    on_model: Callable[[int, int], None] | None = None,
    checkpoints: Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    on_batch: Callable[[int, float], None] | None = None,
    relabelled: np.ndarray | None = None,
) -> CrossFit:
    """Train `folds` x `seeds` models; each labelled pair is predicted by those that did not see it or a twin of it.

    Early stopping looks at an inner split of the training folds, never at the fold that is predicted. Probabilities
    are averaged over seeds, and for test pairs over all models. With `folds=0`, `train` is trained on and `dev`
    predicted. features: those of `prepare_pairs`. on_model: called with (models done, models in all); on_epoch: see
    `fit`; on_batch: see `Hooks`. checkpoints: a folder, from which an interrupted training of encoders goes on.
    Heads are trained in several processes where that pays, with the same result to the last bit. relabelled: class
    numbers (n labelled,) to train on in place of the course's; the folds stay those of the course's labels.
    """
    frame, labels, features = apply_control(config.control, course, features, config.seed)
    fold_of = deal_folds(config, frame, labels)
    labels = labels if relabelled is None else relabelled
    twins = frame[TWIN].to_numpy()
    parts = list(plan_parts(config, labels, twins, fold_of))
    workers = count_workers(config, features, len(parts))
    if workers > 1 and on_epoch is on_batch is None:
        fitted = fit_in_processes(config, features, labels, parts, workers)
    else:
        pairs = needed(config, features)
        watch = {"checkpoints": checkpoints, "on_epoch": on_epoch, "on_batch": on_batch}
        fitted = (fit_part(config, pairs, labels, part, **watch) for part in parts)
    out = {s: np.zeros((len(labels), len(LABELS))) for s in config.trained_scenarios}
    test = {s: np.zeros((len(features) - len(labels), len(LABELS))) for s in config.trained_scenarios}
    histories, best_epochs, models = [], [], []
    with closing(fitted):
        for part, one in zip(parts, fitted, strict=True):
            for scenario in config.trained_scenarios:
                out[scenario][part.held_out] += one.held_out[scenario] / config.seeds
                test[scenario] += one.test[scenario] / len(parts)
            histories.append(one.history.assign(**{FOLD: part.fold, "seed": part.seed}))
            best_epochs.append({FOLD: part.fold, "seed": part.seed, "best_epoch": one.best_epoch})
            models.append(one.model)
            if on_model is not None:
                on_model(len(models), len(parts))
    return CrossFit(
        *_tabulate(config, frame, labels, fold_of, out, test, features.guids),
        pd.concat(histories, ignore_index=True),
        pd.DataFrame(best_epochs),
        models,
        note_few(config, labels, twins, fold_of),
    )


def plan_parts(config: RunConfig, labels: np.ndarray, twins: np.ndarray, fold_of: np.ndarray) -> Iterator[Part]:
    for fold in np.unique(fold_of[fold_of >= 0]).tolist():
        held_out, others = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        for number in range(config.seeds):
            seed = config.seed + 1000 * number
            stops = _choose_stoppers(labels[others], twins[others], seed)
            yield Part(fold, seed, others[~stops], others[stops], held_out)


def note_few(config: RunConfig, labels: np.ndarray, twins: np.ndarray, fold_of: np.ndarray) -> list[str]:
    """What few pairs of a label have changed: sentences for the reader. fold_of: (n,), as `deal_folds` gives it."""
    notes, filled = [], np.unique(fold_of[fold_of >= 0])
    folds = fit_folds(labels, twins, config.folds) if config.folds else 0
    if folds < config.folds:
        few = f"the rarest label has {folds} independent pairs, so {folds} folds are used"
        notes.append(f"folds={config.folds}: {few}.")
    inner = min(fit_folds(labels[fold_of != one], twins[fold_of != one], INNER_FOLDS) for one in filled)
    if inner < INNER_FOLDS and config.model == "neural":
        few = f"1 in {inner} training pairs, not 1 in {INNER_FOLDS}, decides when to stop"
        notes.append(f"The rarest label has few independent pairs: {few}.")
    return notes


def _choose_stoppers(labels: np.ndarray, twins: np.ndarray, seed: int) -> np.ndarray:
    """Which of a fold's training pairs decide when to stop, bool (n,): one inner fold that holds no label alone.

    Where each holds one, it is the smallest. Raises CourseError for pairs that are all twins of one another.
    """
    inner = split_folds(labels, twins, fit_folds(labels, twins, INNER_FOLDS), seed, sparse=True)
    filled, sizes = np.unique(inner, return_counts=True)
    if len(filled) < 2:
        problem = "the training pairs of a fold are all twins of one another, so that none can decide when to stop"
        raise CourseError(f"{TRAIN_FILE}: {problem}. Add pairs that are not twins, or use other folds.")
    every = len(np.unique(labels))
    whole = [one for one in filled if len(np.unique(labels[inner != one])) == every]
    return inner == (whole[0] if whole else filled[sizes.argmin()])


def deal_folds(config: RunConfig, frame: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    if config.folds:
        folds = fit_folds(labels, twins := frame[TWIN].to_numpy(), config.folds)
        return split_folds(labels, twins, folds, config.seed, sparse=True)
    return np.where(frame["split"].to_numpy() == "dev", 0, -1)  # -1: only trained on


def _tabulate(config, frame, labels, fold_of, out, test, guids) -> tuple[pd.DataFrame, pd.DataFrame]:
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


@contextmanager
def show_training(config: RunConfig, n_labelled: int) -> Iterator[dict[str, Callable]]:
    """What `train_run` tells its progress to while the block lasts: a bar over models, or over pairs for encoders."""
    if not config.tunes or config.model == "ensemble":
        with model_bar("train") as tick:
            yield {"on_model": tick}
        return
    with TrainingBar(config, n_labelled) as bar:
        yield {"on_model": bar.on_model, "on_epoch": bar.on_epoch, "on_batch": bar.on_batch}


class TrainingBar:
    """A bar over all pairs of all epochs, for trainings that take hours; early stopping makes it jump ahead.

    Its methods are `on_model`, `on_epoch` and `on_batch` of `train_run`.
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
        if self.bar is None:
            self.bar = open_bar(self.models * self.per_model, "", "pair")
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
