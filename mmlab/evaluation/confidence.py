"""How far a probability can be taken at its word. Explained in docs/ask.md."""

import numpy as np

from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths

BOUNDS = (0.05, 20.0)  # of the temperature
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
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(np.log(heat(probabilities, np.exp(log_temperature))[rows, labels]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded").x))
