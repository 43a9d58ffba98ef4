"""Which models to average, and with what weights: greedy selection with replacement. Explained in docs/scores.md."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, probability_columns
from mmlab.errors import MmlabError
from mmlab.evaluation.confidence import log_loss
from mmlab.evaluation.frames import check_classes, read_frame

NEW = -1  # in place of a fold: the weights for pairs that no fold holds
ROUNDS = 50  # members that are added, one after another: weights are multiples of 1/50 at the finest


def choose_weights(answers, labels, rounds: int = ROUNDS) -> np.ndarray:
    """The weights (k,), which sum to 1, with which k models answer together.

    answers: (k, n, 3) probabilities of the same n pairs, out of fold; labels: (n,) class numbers. Each round adds the
    model with which the mean of all that were added has the least log loss, also a second and a third time (Caruana et
    al. 2004); of all rounds, the one with the least loss is kept. A model that never helps gets exactly 0.
    """
    answers, labels = np.asarray(answers, np.float64), check_classes(labels, "labels")
    if answers.ndim != 3 or answers.shape[1] != len(labels) or not len(answers):
        raise MmlabError(f"The answers have the shape {answers.shape}. It must be (models, {len(labels)}, 3).")
    total, counts = np.zeros_like(answers[0]), np.zeros(len(answers))
    best, kept = np.inf, counts
    for number in range(1, rounds + 1):
        losses = [log_loss(labels, (total + one) / number) for one in answers]
        chosen = int(np.argmin(losses))
        total, counts = total + answers[chosen], counts + (np.arange(len(answers)) == chosen)
        if losses[chosen] < best - 1e-9:
            best, kept = losses[chosen], counts
    return kept / kept.sum()


def cross_choose(frames: Mapping[str, pd.DataFrame], scenario: str) -> pd.DataFrame:
    """The weights for each fold, chosen on the pairs of all *other* folds: one row a fold, one column a model.

    So no pair has a say in how the answers to it are weighted. With one fold there are no others: all models weigh the
    same. The row NEW, for pairs that no fold holds, is chosen on all pairs. frames: predictions frames of the same
    pairs and folds, by the models' names.
    """
    names, first = list(frames), next(iter(frames.values()))
    for name, frame in frames.items():
        if list(frame[GUID]) != list(first[GUID]) or list(frame[FOLD]) != list(first[FOLD]):
            raise MmlabError(f"{name} was predicted on other pairs or other folds than {names[0]}.")
    labels, folds = read_frame(first, scenario)[0], first[FOLD].to_numpy()
    answers = np.stack([read_frame(frame, scenario)[1] for frame in frames.values()])
    rows = {NEW: choose_weights(answers, labels)}
    for fold in np.unique(folds):
        others = folds != fold
        equal = np.full(len(names), 1 / len(names))
        rows[int(fold)] = choose_weights(answers[:, others], labels[others]) if others.any() else equal
    return pd.DataFrame.from_dict(rows, "index", columns=names).rename_axis(FOLD)


def weigh(frames: Mapping[str, pd.DataFrame], scenario: str, weights: pd.DataFrame) -> np.ndarray:
    """The weighted probabilities (n, 3) of a scenario; weights: those of `cross_choose`, by the fold of each pair."""
    first = next(iter(frames.values()))
    share = weights.loc[first[FOLD]]
    columns = probability_columns(scenario)
    return sum(frame[columns].to_numpy() * share[[name]].to_numpy() for name, frame in frames.items())
