"""What the text and the image each add to an answer. Explained in notebook 06, section 5.3."""

import numpy as np

from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_lengths


def share_credit(none, text, image, both) -> np.ndarray:
    """The credit of the text and of the image, float64 (n, 2): the Shapley values of two players, exact.

    none, text, image, both: (n,) what one model answers to n pairs when it sees neither side, the text alone, the image
    alone, and both, such as the probability of one label. A side is credited with what it adds to nothing and with
    what it adds to the other side, half each. Each row sums to both − none; a side that changes no answer gets
    exactly 0. Raises MmlabError for numbers that are not of the same pairs, or that are nan or infinite.
    """
    answers = {"none": none, "text": text, "image": image, "both": both}
    answers = {name: np.atleast_1d(np.asarray(values, np.float64)) for name, values in answers.items()}
    check_lengths(**answers)
    for name, values in answers.items():
        if values.ndim != 1 or not np.isfinite(values).all():
            raise MmlabError(f"{name} must hold one finite number for each pair.")
    none, text, image, both = answers.values()
    return np.stack([(text - none) + (both - image), (image - none) + (both - text)], axis=1) / 2
