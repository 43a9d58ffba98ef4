"""Two models on the same pairs: the paired difference with its interval. Explained in notebook 06, section 1.1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import GUID, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, check_predicted, read_frame
from mmlab.evaluation.scores import Interval, draw_groups, group_sums, interval_of


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same n pairs.

    difference: accuracy of a − accuracy of b, as a share of 1. p_value: two-sided exact McNemar, which takes the pairs
    as independent.
    """

    difference: Interval
    b: int  # pairs that only model a has right (the name in McNemar's table)
    c: int  # pairs that only model b has right
    p_value: float
    n: int

    @property
    def verdict(self) -> str:
        """The interval decides, because it honours twins and the McNemar p-value does not."""
        if self.difference.low > 0:
            return "a is better"
        return "b is better" if self.difference.high < 0 else "cannot be told apart"

    def __str__(self) -> str:
        return (
            f"a − b {self.difference:+.3f}: {self.verdict} "
            f"(only a right {self.b}, only b right {self.c} of {self.n} pairs, McNemar p = {self.p_value:.2g})"
        )

    def to_dict(self) -> dict[str, Any]:
        return {"difference": self.difference.to_list(), "b": self.b, "c": self.c, "p_value": self.p_value, "n": self.n}


def adjust_holm(p_values) -> np.ndarray:
    """p-values (k,) that may be held against 0.05 one by one though there are k of them (Holm 1979).

    The smallest is multiplied by k, the next by k − 1, and so on; none becomes smaller than one before it, or above 1.
    The chance of even one false alarm among all k stays below the level, whatever the comparisons have in common.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise MmlabError("p-values are a list of numbers between 0 and 1.")
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def compare_predictions(labels, a, b, groups, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare two models on the same rows: each draw takes the same twin groups for both.

    Arguments and errors as in `score_predictions`, a and b as its predicted. `compare_frames` aligns by guid first.
    """
    from scipy.special import bdtr  # binomtest says the same, but scipy.stats takes a second to import

    labels = check_classes(labels, "labels")
    a, b = check_predicted(a, "a"), check_predicted(b, "b")
    check_lengths(labels=labels, a=a, b=b, groups=groups)
    only_a, only_b = (a == labels) & (b != labels), (a != labels) & (b == labels)
    cells = group_sums(np.stack([only_a, only_b, np.ones_like(only_a)], axis=1).astype(np.int64), groups)
    difference = [
        (sums[..., 0] - sums[..., 1]) / sums[..., 2] for sums in (cells.sum(axis=0), draw_groups(cells, draws, seed))
    ]
    wins, losses = int(only_a.sum()), int(only_b.sum())
    p_value = min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))
    return Comparison(interval_of(*difference, len(cells)), wins, losses, p_value, len(labels))


def compare_frames(
    frame_a: pd.DataFrame, scenario_a: str, frame_b: pd.DataFrame, scenario_b: str, draws: int = 2000, seed: int = 0
) -> Comparison:
    """Compare a scenario of one predictions frame with a scenario of another (or the same), joined on guid.

    The rows may be in any order. Raises MmlabError when the frames do not hold the same guids, labels and twin
    groups: then they come from different data, and their accuracies must not be subtracted.
    """
    labels, a = read_frame(frame_a, scenario_a)
    labels_b, b = read_frame(frame_b, scenario_b)
    guids_a, guids_b = frame_a[GUID].astype(str), frame_b[GUID].astype(str)
    unmatched = sorted(set(guids_a) ^ set(guids_b))
    if unmatched:
        raise MmlabError(
            f"The two frames do not hold the same pairs: {len(unmatched)} guids are in only one of them "
            f"(first: {unmatched[0]}). Compare predictions for the same pairs."
        )
    order = pd.Index(guids_b).get_indexer(guids_a)
    labels_b, b, twins_b = labels_b[order], b[order], frame_b[TWIN].to_numpy()[order]
    if (differ := np.flatnonzero(labels != labels_b)).size:
        raise MmlabError(
            f"The two frames disagree on the label of {differ.size} pairs (first: guid {guids_a.iloc[differ[0]]}). "
            "Train both models on the same course folder, neither of them with shuffled labels as its truth."
        )
    # Numbered by first appearance, so that the same groups under other numbers are still the same groups.
    if not np.array_equal(pd.factorize(frame_a[TWIN].to_numpy())[0], pd.factorize(twins_b)[0]):
        raise MmlabError("The two frames group the twins differently. Train both models on the same course folder.")
    return compare_predictions(labels, a, b, frame_a[TWIN].to_numpy(), draws, seed)
