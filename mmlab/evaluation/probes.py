"""What predictions say beyond a score: calibration, and the flattery of choosing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlab.config import GUID, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, check_predicted, list_answers


def calibration_error(labels, probabilities, bins: int = 10) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over equally wide confidence bins.

    labels: (n,) int class numbers; probabilities: (n, 3). Returns a share of 1. Raises MmlabError as
    `score_predictions` does. Guo et al. 2017, section 2. Explained in notebook 02, section 5.2.
    """
    table = calibration_table(labels, probabilities, bins)
    return float((table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / table["n"].sum())


def calibration_table(labels, probabilities, bins: int = 10) -> pd.DataFrame:
    """Confidence against accuracy: one row for each non-empty bin, with columns n, confidence and accuracy (means).

    labels: (n,) int class numbers; probabilities: (n, 3); confidence is the largest of a row.
    """
    labels = check_classes(labels, "labels")
    predicted = check_predicted(probabilities, "probabilities")
    if np.ndim(probabilities) != 2:
        raise MmlabError("Calibration needs probabilities of shape (n, 3), not class numbers.")
    if bins < 1:
        raise MmlabError(f"bins={bins!r} is out of range: it must be at least 1.")
    check_lengths(labels=labels, probabilities=predicted)
    confidence = np.max(np.asarray(probabilities, dtype=np.float64), axis=1)
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": labels == predicted})
    grouped = rows.groupby("bin")
    return pd.DataFrame({"n": grouped.size(), **grouped[["confidence", "accuracy"]].mean()}).reset_index(drop=True)


@dataclass(frozen=True)
class Optimism:
    """Mean accuracy of the chosen setting where it was chosen and on the pairs that had no say, shares of 1."""

    chosen: float
    elsewhere: float

    @property
    def points(self) -> float:
        return 100 * (self.chosen - self.elsewhere)


def measure_optimism(frames: Sequence[pd.DataFrame], scenario: str, draws: int = 1000, seed: int = 0) -> Optimism:
    """How much choosing the best of several settings flatters it.

    Each draw deals whole twin groups to two halves at random, chooses the setting with the most right answers on one
    half, and scores it on both. frames: one predictions frame per setting. Raises MmlabError when they are not of the
    same pairs in the same order. Explained in notebook 05, section 6.
    """
    answers = [list_answers(frame, scenario) for frame in frames]
    if len({tuple(one[GUID]) for one in answers}) != 1:
        raise MmlabError("The frames do not hold the same pairs in the same order. Sort each by guid.")
    right = np.array([one["right"] for one in answers], dtype=np.float64)  # (settings, pairs)
    groups, number = np.unique(answers[0][TWIN], return_inverse=True)
    halves = (np.random.default_rng(seed).random((draws, len(groups))) < 0.5)[:, number]  # (draws, pairs)
    halves = halves[halves.any(axis=1) & ~halves.all(axis=1)]
    if not len(halves):
        raise MmlabError("All pairs are twins of one another: they cannot be dealt to two halves. Add others.")
    here = right @ halves.T / halves.sum(axis=1)  # (settings, draws)
    there = right @ ~halves.T / (~halves).sum(axis=1)
    best = here.argmax(axis=0), np.arange(len(halves))
    return Optimism(float(here[best].mean()), float(there[best].mean()))
