"""How far the labels themselves can be believed: suspects, disagreeing twins, and the ceiling that noise implies.

Explained in notebook 06, section 6.4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlab.config import GUID, LABEL, LABELS, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, read_frame

FLIPPED = 0.05  # share of the labels that a test of the ranking makes wrong


def rank_suspects(frame: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """The pairs of a predictions frame, the most suspicious label first.

    Columns: guid, label, predicted, doubt (higher is more suspicious), suspect (bool). Confident learning (Northcutt et
    al. 2021): a label is suspect where another label is answered with at least the mean probability that this other
    label gets on its own pairs. doubt: how far that probability is above the one of the given label.
    """
    labels, probabilities = read_frame(frame, scenario)
    doubt, suspect = doubt_labels(labels, probabilities)
    best = probabilities.argmax(axis=1)
    table = pd.DataFrame({
        GUID: frame[GUID].to_numpy(), LABEL: frame[LABEL].to_numpy(), "predicted": np.asarray(LABELS)[best],
        "doubt": doubt, "suspect": suspect,
    })  # fmt: skip
    return table.sort_values("doubt", ascending=False, kind="stable", ignore_index=True)


def doubt_labels(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """doubt float64 (n,), −1 to 1, and suspect bool (n,); labels (n,) class numbers, probabilities (n, 3)."""
    labels = check_classes(labels, "labels")
    check_lengths(labels=labels, probabilities=probabilities)
    rows, classes = np.arange(len(labels)), probabilities.shape[1]
    usual = np.array([probabilities[labels == k, k].mean() if (labels == k).any() else np.inf for k in range(classes)])
    others = np.where(np.arange(classes) == labels[:, None], -np.inf, probabilities)
    rival = others.argmax(axis=1)
    confident = probabilities[rows, rival] >= usual[rival]
    doubt = probabilities[rows, rival] - probabilities[rows, labels]
    return doubt, confident & (doubt > 0)


@dataclass(frozen=True)
class Found:
    """How well a ranking finds labels that were made wrong on purpose.

    flipped: how many were; precision: the share of flipped ones among the first `flipped` of the ranking, which is
    recall as well; precision_suspects, recall_suspects: of the pairs marked suspect; chance: the share of flipped ones.
    """

    flipped: int
    precision: float
    precision_suspects: float
    recall_suspects: float
    chance: float

    def __str__(self) -> str:
        return (
            f"of {self.flipped} labels that were made wrong, {self.precision:.0%} are among the first {self.flipped} "
            f"of the ranking (chance: {self.chance:.0%}); {self.precision_suspects:.0%} of the suspects are wrong "
            f"ones, and they are {self.recall_suspects:.0%} of the wrong ones"
        )


def measure_suspects(
    labels, predict: Callable[[np.ndarray], np.ndarray], share: float = FLIPPED, seed: int = 0
) -> Found:
    """Make a share of the labels wrong, predict out of fold with these, and see how many the ranking finds.

    predict: class numbers (n,) to probabilities (n, 3) out of fold, by models that were trained on them. Labels that
    are wrong in the data already count against the ranking: the true precision is higher.
    """
    labels = check_classes(labels, "labels")
    if not 0 < share < 1:
        raise MmlabError(f"share={share!r} is out of range: it must be above 0 and below 1.")
    rng = np.random.default_rng([seed, 5])
    flipped = np.zeros(len(labels), bool)
    flipped[rng.choice(len(labels), max(1, round(share * len(labels))), replace=False)] = True
    given = np.where(flipped, (labels + rng.integers(1, len(LABELS), len(labels))) % len(LABELS), labels)
    doubt, suspect = doubt_labels(given, predict(given))
    first = np.argsort(-doubt, kind="stable")[: flipped.sum()]
    among = float(flipped[suspect].mean()) if suspect.any() else 0.0
    return Found(
        int(flipped.sum()), float(flipped[first].mean()), among, float(suspect[flipped].mean()), float(flipped.mean())
    )


@dataclass(frozen=True)
class TwinNoise:
    """What twins with the same text and the same image say about the labels.

    twins: pairs of twins compared; agree: the share of them with one label; noise: the share of wrong labels that this
    implies; ceiling: the best accuracy that any model can have on labels as noisy. Needs no model.
    """

    twins: int
    agree: float
    noise: float
    ceiling: float

    def __str__(self) -> str:
        if not self.twins:
            return "No two pairs share their text and their image: their labels cannot be compared."
        return (
            f"{self.agree:.0%} of {self.twins} pairs of twins agree: about {self.noise:.0%} of the labels are wrong, "
            f"and no model can score far above {self.ceiling:.2f}"
        )


def measure_noise(pairs: pd.DataFrame) -> TwinNoise:
    """pairs: with label, text_digest and image_digest, such as `course.labelled`.

    Each label is taken as right with the probability 1 − e, and as one of the others with e / (classes − 1) each,
    independently: two labels of one thing agree with (1 − e)² + e² / (classes − 1), which is solved for e.
    """
    agree = count = 0
    for _, group in pairs.groupby(["text_digest", "image_digest"], sort=False):
        if len(group) > 1:
            sizes = group[LABEL].value_counts().to_numpy()
            agree += int((sizes * (sizes - 1) // 2).sum())
            count += len(group) * (len(group) - 1) // 2
    if not count:
        return TwinNoise(0, np.nan, np.nan, np.nan)
    share, others = agree / count, len(LABELS) - 1
    # (1 − e)² + e² / k = share: the smaller root. Below 1 / (k + 1), labels agree no more than by chance.
    root = max(0.0, 1 - (1 + 1 / others) * (1 - share))
    noise = (1 - np.sqrt(root)) / (1 + 1 / others)
    return TwinNoise(count, share, float(noise), float(1 - noise))


def find_disputed(pairs: pd.DataFrame) -> np.ndarray:
    """bool (n,): is there another label in the pair's twin group? pairs: with label and twin."""
    return (pairs.groupby(TWIN)[LABEL].transform("nunique") > 1).to_numpy()


def find_alone(pairs: pd.DataFrame) -> np.ndarray:
    """bool (n,): has the pair no twin? pairs: with twin."""
    return (pairs.groupby(TWIN)[TWIN].transform("size") == 1).to_numpy()
