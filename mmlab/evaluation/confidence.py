"""How far a probability can be taken at its word, and what a model that may stay silent is worth.

Explained in notebook 06, section 6 and docs/ask.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlab.config import FOLD, LABEL, LABELS, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, check_predicted, read_frame
from mmlab.evaluation.scores import METRICS, Interval, draw_groups, group_sums, interval_of, recall_of

BOUNDS = (0.05, 20.0)  # of the temperature
STRENGTHS = tuple(step / 10 for step in range(11))  # of the shift of priors, 0 to 1
FEW = 0.05  # of the pairs: if fewer are answered, an interval of their accuracy says little
_LEAST = 1e-12  # a probability of 0 would cost an infinite loss


def heat(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, 3) raised to the power 1 / temperature and brought back to a sum of 1.

    Above 1 they come closer together, below 1 they move apart; the most probable label stays the same.
    """
    powers = np.clip(probabilities, _LEAST, None) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which probabilities (n, 3) of pairs that no model was trained on fit their labels best.

    labels: (n,) class numbers. The best has the least log loss (Guo et al. 2017). Raises MmlabError for no pairs.
    """
    from scipy.optimize import minimize_scalar

    labels = check_classes(labels, "labels")
    check_lengths(probabilities=probabilities, labels=labels)
    if not np.isfinite(probabilities).all():
        raise MmlabError("A probability is no number. Every pair needs three.")

    def loss(log_temperature: float) -> float:
        return log_loss(labels, heat(probabilities, np.exp(log_temperature)))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded").x))


def cross_heat(frame: pd.DataFrame, scenario: str) -> tuple[np.ndarray, pd.Series]:
    """A frame's probabilities (n, 3), each fold heated by the temperature of the *other* folds; these temperatures.

    So no pair had a say in how it is heated. With one fold there are no others: its own temperature is 1.
    """
    labels, probabilities = read_frame(frame, scenario)
    folds, heated = frame[FOLD].to_numpy(), probabilities.copy()
    temperatures = {}
    for fold in np.unique(folds):
        here = folds == fold
        temperatures[int(fold)] = fit_temperature(probabilities[~here], labels[~here]) if not here.all() else 1.0
        heated[here] = heat(probabilities[here], temperatures[int(fold)])
    return heated, pd.Series(temperatures, name="temperature").rename_axis(FOLD)


def log_loss(labels, probabilities) -> float:
    """The mean of −log of the probability that each pair's label was given; 0 is best. Natural logarithm."""
    right = np.asarray(probabilities)[np.arange(len(labels)), labels]
    return -float(np.log(np.clip(right, _LEAST, None)).mean())


def brier_score(labels, probabilities) -> float:
    """The mean squared distance from probabilities (n, 3) to the label's (1 for it, 0 for the others), 0 to 2."""
    return float(((np.asarray(probabilities) - np.eye(len(LABELS))[labels]) ** 2).sum(axis=1).mean())


def risk_coverage(confidence, right) -> pd.DataFrame:
    """What a model answers if it answers only from some confidence up: coverage against risk.

    confidence: (n,); right: bool (n,). One row for each distinct confidence, from the highest down: threshold, coverage
    (the share answered), risk (the share of wrong among those answered). Pairs of equal confidence cannot be told
    apart, so they are answered together (El-Yaniv and Wiener 2010).
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    check_lengths(confidence=confidence, right=right)
    if not len(right):
        raise MmlabError("There are no answers to rank.")
    table = pd.DataFrame({"threshold": confidence, "n": 1, "wrong": ~right}).groupby("threshold").sum()
    table = table.sort_index(ascending=False).cumsum().reset_index()
    return pd.DataFrame({
        "threshold": table["threshold"], "coverage": table["n"] / len(right), "risk": table["wrong"] / table["n"]
    })  # fmt: skip


def augrc(confidence, right) -> float:
    """The area under the generalised risk-coverage curve, 0 (best) to 1/2: the mean risk of a silent failure.

    The generalised risk at a coverage is the share of *all* pairs that are answered and wrong, so that a few sure
    mistakes do not count for as much as they do in risk itself (Traub et al. 2024).
    """
    curve = risk_coverage(confidence, right)
    coverage = np.concatenate([[0.0], curve["coverage"]])
    failures = np.concatenate([[0.0], curve["coverage"] * curve["risk"]])
    return float(np.trapezoid(failures, coverage))


def find_threshold(confidence, right, accuracy: float) -> float:
    """The lowest confidence from which on answers are right as often as `accuracy` (above 0, at most 1); inf: none."""
    if not 0 < accuracy <= 1:
        raise MmlabError(f"accuracy={accuracy!r} is out of range: it must be above 0 and at most 1, such as 0.85.")
    curve = risk_coverage(confidence, right)
    good = curve[1 - curve["risk"] >= accuracy - 1e-12]
    return float(good["threshold"].iloc[-1]) if len(good) else np.inf


@dataclass(frozen=True)
class Abstention:
    """A model that answers only where it is sure enough, out of fold.

    accuracy: of the pairs answered; coverage: the share answered, both with intervals over twin groups. kept: the share
    answered of each label. answered: bool (n,), in the order of the frame.
    """

    target: float
    accuracy: Interval
    coverage: Interval
    kept: dict[str, float]
    answered: np.ndarray

    def __str__(self) -> str:
        if not self.answered.any():
            return f"No threshold reaches {100 * self.target:.3g}%: the model would answer nothing."
        first = min(self.kept, key=self.kept.get)
        asked = f"asked for {100 * self.target:.3g}%"
        if self.accuracy.high < self.target or (self.coverage.value < FEW and self.accuracy.value < self.target):
            asked += ", which no confidence reaches"
        words = f"It answers {self.coverage.value:.0%} of the tweets at {self.accuracy:.0%} ({asked})"
        if self.kept[first] > 0.995:
            return f"{words}; {'none' if self.answered.all() else 'hardly one'} falls out."
        return f"{words}; {first} falls out first: {self.kept[first]:.0%} of its tweets are answered."


def abstain(frame: pd.DataFrame, scenario: str, accuracy: float, draws: int = 2000, seed: int = 0) -> Abstention:
    """Answer only from the confidence on that reaches this accuracy; each fold's threshold is chosen on the others."""
    labels, _ = read_frame(frame, scenario)
    probabilities, _ = cross_heat(frame, scenario)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    folds, answered = frame[FOLD].to_numpy(), np.zeros(len(frame), bool)
    for fold in np.unique(folds):
        here = folds == fold
        others = here if here.all() else ~here
        answered[here] = confidence[here] >= find_threshold(confidence[others], right[others], accuracy)
    cells = group_sums(
        np.stack([answered & right, answered, np.ones_like(right)], axis=1).astype(np.int64), frame[TWIN]
    )
    sums, drawn = cells.sum(axis=0), draw_groups(cells, draws, seed)
    with np.errstate(invalid="ignore"):
        hits = interval_of(sums[0] / sums[1] if sums[1] else np.nan, drawn[:, 0] / drawn[:, 1], len(cells))
    share = interval_of(sums[1] / sums[2], drawn[:, 1] / drawn[:, 2], len(cells))
    kept = {label: float(answered[frame[LABEL] == label].mean()) for label in LABELS if (frame[LABEL] == label).any()}
    return Abstention(accuracy, hits, share, kept, answered)


def shift_priors(probabilities: np.ndarray, priors: np.ndarray, strength: float) -> np.ndarray:
    """Probabilities (n, 3) whose logits have lost `strength` times the log of each label's share, priors (3,).

    0 changes nothing; with 1 the rare labels are answered as if all were equally frequent (Menon et al. 2021).
    """
    from scipy.special import softmax

    logits = np.log(np.clip(probabilities, _LEAST, None)) - strength * np.log(np.clip(priors, _LEAST, None))
    return softmax(logits, axis=1)


def price_of_recall(frame: pd.DataFrame, scenario: str, strengths: Sequence[float] = STRENGTHS) -> pd.DataFrame:
    """What the weakest labels gain and accuracy loses as the priors are taken out of the answers.

    One row for each strength: accuracy, macro_f1, and the recall of each label, shares of 1. The priors of a fold are
    the label shares of the other folds.
    """
    labels, probabilities = read_frame(frame, scenario)
    folds = frame[FOLD].to_numpy()
    priors = np.empty_like(probabilities)
    for fold in np.unique(folds):
        others = folds != fold if (folds != fold).any() else folds == fold
        priors[folds == fold] = np.bincount(labels[others], minlength=len(LABELS)) / others.sum()
    rows = []
    for strength in strengths:
        answered = shift_priors(probabilities, priors, strength).argmax(axis=1)
        confusion = np.zeros((len(LABELS), len(LABELS)))
        np.add.at(confusion, (labels, answered), 1)
        scores = {name: float(METRICS[name].compute(confusion)) for name in ("accuracy", "macro_f1")}
        found = dict(zip(LABELS, recall_of(confusion), strict=True))
        recall = {f"recall {label}": share for label, share in found.items() if not np.isnan(share)}
        rows.append({"strength": strength, **scores, **recall})
    return pd.DataFrame(rows)


def score_confidence(frame: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Log loss, Brier score, calibration error and AUGRC, as they are and with the temperature of the other folds."""
    from mmlab.evaluation.probes import calibration_error

    labels, probabilities = read_frame(frame, scenario)
    heated, _ = cross_heat(frame, scenario)
    rows = {}
    for name, values in (("as it is", probabilities), ("heated", heated)):
        right = check_predicted(values, scenario) == labels
        rows[name] = {
            "log loss": log_loss(labels, values),
            "Brier score": brier_score(labels, values),
            "calibration error": calibration_error(labels, values),
            "AUGRC": augrc(values.max(axis=1), right),
        }
    return pd.DataFrame(rows).T
