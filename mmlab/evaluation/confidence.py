"""Whether a model's confidence can be taken at its word. Explained in notebook 02, section 5.2."""

import numpy as np
import pandas as pd

from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, check_predicted


def calibration_error(labels, probabilities, bins: int = 10) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over equally wide confidence bins.

    labels: (n,) int class numbers; probabilities: (n, 3). Returns a share of 1; 0 is a model whose confidence can
    be taken at its word. Raises MmlabError as `score_predictions` does. Guo et al. 2017, section 2.
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
