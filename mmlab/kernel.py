"""A kernel machine over views: ridge regression on the labels, with one kernel a view. No gradient, no epochs.

Two pairs are alike in a view if its vectors are near each other; the mean over the views says how alike they are. An
answer is a sum over the training pairs, each weighted by its likeness. Explained in docs/scores.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import LABELS, RunConfig
from mmlab.features import Features

SIDES = {"text_only": ("text",), "image_only": ("image",), "text_and_image": ("text", "image")}
ENCODED = "encoded"  # the name of the encoder's own vector among the views of a side
CUT = 5.0  # deviations at which a standardised number is cut: one odd pair must not decide the distance
SAMPLED = 1000  # training pairs whose distances give the median
_CALIBRATION_PULL = 1e-3  # keeps the offset of a label without training pairs finite


@dataclass(frozen=True)
class SeenSide:
    """A view of the training pairs: float16 (m, width), standardised; which of them have this side; what did so."""

    mean: np.ndarray
    scale: np.ndarray
    width: float  # the median of the squared distances
    vectors: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, present: np.ndarray) -> "SeenSide":
        there = vectors[present]
        mean = there.mean(axis=0) if len(there) else np.zeros(vectors.shape[1], np.float32)
        spread = there.std(axis=0) if len(there) else np.ones(vectors.shape[1], np.float32)
        scale = 1 / np.maximum(spread, 1e-6)
        kept = _standardise(vectors, mean, scale).astype(np.float16)
        kept[~present] = 0
        some = kept[present][:: 1 + present.sum() // SAMPLED].astype(np.float32)
        apart = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
        width = float(np.median(apart[apart > 1e-6])) if (apart > 1e-6).any() else 1.0
        return cls(mean.astype(np.float32), scale.astype(np.float32), width, kept, present)

    def kernel(self, vectors: np.ndarray, present: np.ndarray) -> np.ndarray:
        """How alike n pairs are to the training pairs, float32 (n, m): 1 at distance 0, 1/e at the median, 0: absent.

        vectors: float32 (n, width); present: bool (n,).
        """
        distances = _squared_distances(_standardise(vectors, self.mean, self.scale), self.vectors.astype(np.float32))
        return np.exp(-distances / self.width) * (present[:, None] & self.present)


class KernelModel(nn.Module):
    """Answers for each scenario from the views of its sides. It has no weights of torch: `fit` makes arrays."""

    def __init__(self, config: RunConfig):
        super().__init__()
        self.config, self.scenarios = config, config.trained_scenarios
        self.views: dict[str, dict[str, SeenSide]] = {"text": {}, "image": {}}
        self.dual: dict[str, np.ndarray] = {}  # by scenario, float64 (m, 3): the weight of each training pair
        self.calibration: dict[str, np.ndarray] = {}  # by scenario, float64 (1 + 3,): the slope and the offsets
        self.shares = np.zeros(len(LABELS))

    def fit(self, pairs: Features, labels: np.ndarray, rows: np.ndarray, twins: np.ndarray) -> dict[str, np.ndarray]:
        """Fit to these rows; all that is fitted (means, widths, weights, calibration) sees no other pair.

        labels: (n,) class numbers; twins: (n,) groups. Returns what the model would answer to each of the rows had it
        not been trained on this pair and its twins: probabilities of each scenario, float64 (m, 3).
        """
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the same sums in the same order on every machine
            vectors = {side: _list_views(pairs, side, rows) for side in self.views}
            for side, (views, present) in vectors.items():
                self.views[side] = {name: SeenSide.of(one, present) for name, one in views.items()}
            targets = np.eye(len(LABELS))[labels[rows]]
            self.shares = targets.mean(axis=0)
            kernels = self._kernels(vectors)
            groups, without = _list_groups(twins[rows]), {}
            for scenario in self.scenarios:
                likeness = _mean_over(kernels, scenario).astype(np.float64)
                inverse = _invert(likeness, self.config.ridge)
                self.dual[scenario] = inverse @ (targets - self.shares)
                left_out = targets - _leave_out(inverse, self.dual[scenario], groups)
                self.calibration[scenario] = _calibrate(left_out, labels[rows])
                log_shares = np.log(np.maximum(self.shares, 1 / len(rows)))
                self.calibration[scenario][1:] -= self.config.prior_shift * log_shares
                without[scenario] = _soften(left_out, self.calibration[scenario])
        return without

    def answer(self, pairs: Features, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities of each scenario, float64 (n, 3). A pair without a side that is asked for gets the shares."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            kernels = self._kernels({side: _list_views(pairs, side, rows) for side in self.views})
        answers = {}
        for scenario in self.scenarios:
            scores = _mean_over(kernels, scenario) @ self.dual[scenario] + self.shares
            answers[scenario] = _soften(scores, self.calibration[scenario])
        return answers

    def _kernels(self, vectors: dict[str, tuple[dict[str, np.ndarray], np.ndarray]]) -> dict[str, list[np.ndarray]]:
        return {
            side: [self.views[side][name].kernel(one, present) for name, one in views.items()]
            for side, (views, present) in vectors.items()
        }

    def learned(self) -> dict[str, Tensor]:
        arrays: dict[str, Any] = {"shares": self.shares}
        for side, views in self.views.items():
            for name, view in views.items():
                arrays |= {f"{side}.{name}.{part}": np.asarray(value) for part, value in vars(view).items()}
        for scenario in self.scenarios:
            arrays |= {f"{scenario}.dual": self.dual[scenario], f"{scenario}.calibration": self.calibration[scenario]}
        return {name: torch.from_numpy(np.array(one)) for name, one in arrays.items()}

    def load_learned(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError for a tensor that is missing."""
        arrays = {name: one.numpy() for name, one in tensors.items()}
        self.shares = arrays["shares"]
        for name in [name.removesuffix(".mean") for name in arrays if name.endswith(".mean")]:
            side, view = name.split(".")
            parts = {part: arrays[f"{name}.{part}"] for part in ("mean", "scale", "vectors", "present")}
            self.views[side][view] = SeenSide(**parts, width=float(arrays[f"{name}.width"]))
        for scenario in self.scenarios:
            self.dual[scenario] = arrays[f"{scenario}.dual"]
            self.calibration[scenario] = arrays[f"{scenario}.calibration"]


def _list_views(pairs: Features, side: str, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every view of a side, float32 (n, width) with zeros where it is absent, and where it is there, bool (n,)."""
    own = getattr(pairs.summarised, side)
    present = (own.lengths > 0)[rows]
    found = {}
    for name, sequences in {ENCODED: own, **pairs.views[side]}.items():
        chosen = sequences.take(rows)
        vectors = np.zeros((len(rows), chosen.width), np.float32)
        vectors[chosen.lengths > 0] = chosen.values
        found[name] = vectors
    return found, present


def _mean_over(kernels: dict[str, list[np.ndarray]], scenario: str) -> np.ndarray:
    chosen = [one for side in SIDES[scenario] for one in kernels[side]]
    return sum(chosen) / len(chosen)


def _standardise(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((vectors - mean) * scale, -CUT, CUT).astype(np.float32)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) from (n, width) and (m, width)."""
    sums = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(sums - 2 * a @ b.T, 0)


def _invert(likeness: np.ndarray, ridge: float) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    diagonal = np.eye(len(likeness))
    return cho_solve(cho_factor(likeness + ridge * diagonal), diagonal)


def _list_groups(twins: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(twins, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(twins[order])) + 1)


def _leave_out(inverse: np.ndarray, dual: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """How far off each pair's scores would be had it and its twins not been trained on, (m, 3): exact, without a fit.

    For one pair left out the error is dual / diagonal of the inverse; for a group, the same with its block.
    """
    errors = dual / np.diagonal(inverse)[:, None]
    for group in groups:
        if len(group) > 1:
            errors[group] = np.linalg.solve(inverse[np.ix_(group, group)], dual[group])
    return errors


def _soften(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Probabilities (n, 3) from scores: the softmax of slope · score + offset of the label."""
    logits = calibration[0] * scores + calibration[1:]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _calibrate(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The slope and the offsets under which scores of pairs left out have the least log loss (Platt 1999)."""
    from scipy.optimize import minimize

    rows = np.arange(len(labels))

    def loss(calibration: np.ndarray) -> float:
        right = np.clip(_soften(scores, calibration)[rows, labels], 1e-12, None)
        return -np.log(right).mean() + _CALIBRATION_PULL * np.square(calibration[1:]).mean()

    return minimize(loss, np.array([3.0, 0.0, 0.0, 0.0]), method="L-BFGS-B", bounds=[(0, 100)] + [(-20, 20)] * 3).x
