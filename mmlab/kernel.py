"""A kernel machine over views: logistic regression on likeness to training pairs. No epochs.

Two pairs are alike in a view if their vectors are near each other; the mean over the views of a side says how alike
they are. An answer is a sum over some training pairs, each weighted by its likeness. Explained in docs/scores.md.
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
# Training pairs that others are compared with, at most, evenly spread. With all of 2,560 a fold takes twice as long and
# scores the same out of fold (docs/what-was-tried.md).
LANDMARKS = 1600
RANK = 500  # directions in which a side's likeness varies most, at most: the features of the regression
_SMALL = 1e-6  # a direction of a smaller eigenvalue is rounding


@dataclass(frozen=True)
class SeenSide:
    """A view of the landmarks, float16 (m, width), standardised; which of them have this side; what standardises."""

    mean: np.ndarray
    scale: np.ndarray
    width: float  # the median of the squared distances
    vectors: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, present: np.ndarray, landmarks: np.ndarray) -> "SeenSide":
        """vectors: float32 (n, width) of all training pairs; landmarks: the rows that are kept."""
        there = vectors[present]
        mean = there.mean(axis=0) if len(there) else np.zeros(vectors.shape[1], np.float32)
        spread = there.std(axis=0) if len(there) else np.ones(vectors.shape[1], np.float32)
        scale = 1 / np.maximum(spread, 1e-6)
        kept = _standardise(vectors, mean, scale).astype(np.float16)
        kept[~present] = 0
        some = kept[present][:: 1 + present.sum() // SAMPLED].astype(np.float32)
        apart = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
        width = float(np.median(apart[apart > 1e-6])) if (apart > 1e-6).any() else 1.0
        return cls(mean.astype(np.float32), scale.astype(np.float32), width, kept[landmarks], present[landmarks])

    def kernel(self, vectors: np.ndarray, present: np.ndarray) -> np.ndarray:
        """How alike n pairs are to the landmarks, float32 (n, m): 1 at distance 0, 1/e at the median, 0: absent.

        vectors: float32 (n, width); present: bool (n,).
        """
        distances = _squared_distances(_standardise(vectors, self.mean, self.scale), self.vectors.astype(np.float32))
        return np.exp(-distances / self.width) * (present[:, None] & self.present)


class KernelModel(nn.Module):
    """Answers for each scenario from the views of its sides. It has no weights of torch: `fit` makes arrays.

    The likenesses of a side are turned into features: the directions in which they vary most (kernel PCA; for other
    pairs the Nyström method, Williams and Seeger 2001). A logistic regression on the features of one side or of both
    then is, for each landmark, one weight on the likeness to it (`dual`). The landmarks are some of the training pairs;
    the regression learns from all of them.
    """

    def __init__(self, config: RunConfig):
        super().__init__()
        self.config, self.scenarios = config, config.trained_scenarios
        self.views: dict[str, dict[str, SeenSide]] = {"text": {}, "image": {}}
        self.dual: dict[tuple[str, str], np.ndarray] = {}  # by scenario and side, float64 (m, 3)
        self.offsets: dict[str, np.ndarray] = {}  # by scenario, float64 (3,)

    def fit(self, pairs: Features, labels: np.ndarray, rows: np.ndarray, dev: np.ndarray) -> dict[str, np.ndarray]:
        """Fit to these rows; all that is fitted (means, widths, directions, weights) sees no other pair.

        labels: (n,) class numbers; dev: bool (m,). Returns for the rows at True the probabilities of each scenario,
        float64, by a regression on the others alone: how good the model is, which no choice depends on.
        """
        from scipy.special import softmax
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the same sums in the same order on every machine
            vectors = {side: _list_views(self.config, pairs, side, rows) for side in self.views}
            landmarks = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), LANDMARKS)).astype(int))
            for side, (views, present) in vectors.items():
                self.views[side] = {name: SeenSide.of(one, present, landmarks) for name, one in views.items()}
            likeness = self._compare(vectors)
            directions = {side: _find_directions(one[landmarks]) for side, one in likeness.items()}
            features, truth, judged = {side: one @ directions[side] for side, one in likeness.items()}, labels[rows], {}
            log_shares = np.log(np.maximum(np.bincount(truth, minlength=len(LABELS)), 1) / len(truth))
            for scenario in self.scenarios:
                sides = SIDES[scenario]
                joined = np.concatenate([features[side] for side in sides], axis=1)
                weights, offsets = _regress(joined, truth, self.config.regularise)
                parts = np.split(weights, np.cumsum([features[side].shape[1] for side in sides])[:-1])
                for side, part in zip(sides, parts, strict=True):
                    self.dual[scenario, side] = directions[side] @ part
                shift = self.config.prior_shift * log_shares
                self.offsets[scenario] = offsets - shift
                some, at = _regress(joined[~dev], truth[~dev], self.config.regularise)
                judged[scenario] = softmax(joined[dev] @ some + at - shift, axis=1)
        return judged

    def answer(self, pairs: Features, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities of each scenario, float64 (n, 3). A pair without a side that is asked for gets the offsets'."""
        from scipy.special import softmax
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            likeness = self._compare({side: _list_views(self.config, pairs, side, rows) for side in self.views})
        answers = {}
        for scenario in self.scenarios:
            said = sum(likeness[side] @ self.dual[scenario, side] for side in SIDES[scenario])
            answers[scenario] = softmax(said + self.offsets[scenario], axis=1)
        return answers

    def _compare(self, vectors: dict[str, tuple[dict[str, np.ndarray], np.ndarray]]) -> dict[str, np.ndarray]:
        """The mean over its views of how alike n pairs are to the landmarks, by side, float64 (n, m)."""
        kernels = {
            side: [self.views[side][name].kernel(one, present) for name, one in views.items()]
            for side, (views, present) in vectors.items()
        }
        return {side: np.mean(several, axis=0, dtype=np.float64) for side, several in kernels.items()}

    def learned(self) -> dict[str, Tensor]:
        arrays: dict[str, Any] = {}
        for side, views in self.views.items():
            for name, view in views.items():
                arrays |= {f"{side}.{name}.{part}": np.asarray(value) for part, value in vars(view).items()}
        for scenario in self.scenarios:
            arrays |= {f"{scenario}.dual.{side}": self.dual[scenario, side] for side in SIDES[scenario]}
            arrays[f"{scenario}.offsets"] = self.offsets[scenario]
        return {name: torch.from_numpy(np.array(one)) for name, one in arrays.items()}

    def load_learned(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError for a tensor that is missing."""
        arrays = {name: one.numpy() for name, one in tensors.items()}
        for name in [name.removesuffix(".mean") for name in arrays if name.endswith(".mean")]:
            side, view = name.split(".")
            parts = {part: arrays[f"{name}.{part}"] for part in ("mean", "scale", "vectors", "present")}
            self.views[side][view] = SeenSide(**parts, width=float(arrays[f"{name}.width"]))
        for scenario in self.scenarios:
            self.offsets[scenario] = arrays[f"{scenario}.offsets"]
            for side in SIDES[scenario]:
                self.dual[scenario, side] = arrays[f"{scenario}.dual.{side}"]


def _list_views(
    config: RunConfig, pairs: Features, side: str, rows: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The views of a side, float32 (n, width) with zeros where the side is absent, and where it is there, bool (n,).

    The first is what the encoder makes of it, then each view that is turned on.
    """
    own = getattr(pairs.summarised, side)
    present = (own.lengths > 0)[rows]
    found = {}
    names = config.view_names
    views = {name: one for name, one in pairs.views[side].items() if name in names}
    for name, sequences in {ENCODED: own, **views}.items():
        chosen = sequences.take(rows)
        vectors = np.zeros((len(rows), chosen.width), np.float32)
        vectors[chosen.lengths > 0] = chosen.values
        found[name] = vectors
    return found, present


def _standardise(vectors: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((vectors - mean) * scale, -CUT, CUT).astype(np.float32)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) from (n, width) and (m, width)."""
    sums = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(sums - 2 * a @ b.T, 0)


def _find_directions(likeness: np.ndarray) -> np.ndarray:
    """(m, r) that turns likeness (n, m) into features (n, r), whose products are again the likeness, nearly.

    likeness: (m, m) of the landmarks. r: RANK at most, fewer for few pairs; 0 where no pair has the side.
    """
    from scipy.linalg import eigh

    m = len(likeness)
    values, vectors = eigh(likeness, subset_by_index=[max(0, m - RANK), m - 1])
    kept = values > _SMALL * max(values[-1], _SMALL)
    return vectors[:, kept] / np.sqrt(values[kept])


def _regress(features: np.ndarray, truth: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (r, 3) and offsets (3,) of a multinomial logistic regression; −inf for a label without pairs."""
    from sklearn.linear_model import LogisticRegression

    known = np.unique(truth)
    weights, offsets = np.zeros((features.shape[1], len(LABELS))), np.full(len(LABELS), -np.inf)
    if len(known) == 1 or not features.shape[1]:
        offsets[known] = np.log(np.bincount(truth, minlength=len(LABELS))[known] / len(truth))
        return weights, offsets
    fitted = LogisticRegression(C=1 / strength, max_iter=1000).fit(features, truth)
    two = len(known) == 2  # scikit-learn then has one row, of the second label against the first
    weights[:, known] = np.concatenate([0 * fitted.coef_, fitted.coef_]).T if two else fitted.coef_.T
    offsets[known] = np.concatenate([[0.0], fitted.intercept_]) if two else fitted.intercept_
    return weights, offsets
