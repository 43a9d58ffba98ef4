"""Scores with their noise, and the registry of metrics. Explained in notebook 02, section 4.2.

A metric is one entry of METRICS; it then appears in scores, intervals, the grid's table, the report and metrics.json.
All three classes always count: one that is neither present nor predicted adds an F1 of 0 to the macro average.
Every interval is a 95 % percentile bootstrap that draws whole twin groups, since twins are not independent. It holds
the noise of the sample of pairs, not that of training with another seed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import LABELS, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_classes, check_lengths, check_predicted, read_frame

_CLASSES = len(LABELS)
_CHUNK = 2_000_000  # numbers of one bootstrap chunk: 16 MB


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval, in the unit of the value.

    `value` is nan for the recall of a class without pairs, `low` and `high` with fewer than two twin groups to draw.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, spec: str) -> str:
        """The value and its bounds, each in the number format `spec` (".3f" by default): "0.712 [0.696, 0.728]"."""
        spec = spec or ".3f"
        if math.isnan(self.value):
            return "no pairs"
        if math.isnan(self.low):
            return f"{self.value:{spec}} [no interval]"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __neg__(self) -> "Interval":
        return Interval(-self.value, -self.high, -self.low)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def to_list(self) -> list[float | None]:
        """[value, low, high] for JSON, with None for nan."""
        return [None if math.isnan(number) else number for number in (self.value, self.low, self.high)]


@dataclass(frozen=True)
class Metric:
    """One number that sums up a confusion.

    compute: confusions (..., 3, 3) float64, rows the true class and columns the predicted one, to values (...).
    """

    name: str
    title: str  # in figures and tables
    help: str
    compute: Callable[[np.ndarray], np.ndarray]


def f1_of(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, (..., 3): the harmonic mean of precision and recall; 0 where a class is nowhere."""
    right, truth, answers = np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2)
    return np.divide(2 * right, truth + answers, out=np.zeros_like(right), where=truth + answers > 0)


def recall_of(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class, (..., 3): the share of its pairs that is found; nan where there are none."""
    right, truth = np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1)
    return np.divide(right, truth, out=np.full_like(right, np.nan), where=truth > 0)


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def _weighted_f1(confusion: np.ndarray) -> np.ndarray:
    return (f1_of(confusion) * confusion.sum(-1)).sum(-1) / confusion.sum(axis=(-2, -1))


# The first is the one that runs are compared by.
METRICS: dict[str, Metric] = {
    one.name: one
    for one in (
        Metric("accuracy", "accuracy", "the share of right answers", _accuracy),
        Metric("macro_f1", "macro-F1", "the mean F1 of the labels, each counted alike", lambda c: f1_of(c).mean(-1)),
        Metric("weighted_f1", "weighted F1", "the mean F1 of the labels, each counted by its pairs", _weighted_f1),
    )
}


@dataclass(frozen=True, eq=False)
class Scores:
    """How well one set of predictions matches the labels of `n` pairs. Explained in notebook 02, section 4.2.

    values: one Interval for each metric, also as attributes (`scores.accuracy`), shares of 1. recall: one Interval for
    each label name. confusion: (3, 3) int64, rows the true class, columns the predicted one, in the order of LABELS.
    """

    n: int
    values: dict[str, Interval]
    recall: dict[str, Interval]
    confusion: np.ndarray

    def __getattr__(self, name: str) -> Interval:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"There is no score {name!r}: the metrics are {', '.join(METRICS)}.") from None

    def __str__(self) -> str:
        words = ", ".join(f"{METRICS[name].title} {value}" for name, value in self.values.items())
        return f"{words} (n = {self.n} pairs, 95 % intervals over twin groups)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and self.to_dict() == other.to_dict()

    def to_row(self) -> dict[str, int | str]:
        """One row of a table: the number of pairs, then every score as "value [low, high]", always on one line."""
        scores = {METRICS[name].title: value for name, value in self.values.items()}
        scores |= {f"recall {label}": one for label, one in self.recall.items()}
        return {"n": self.n} | {name: str(one).replace(" ", "\N{NO-BREAK SPACE}") for name, one in scores.items()}

    def to_dict(self) -> dict[str, Any]:
        values = {name: value.to_list() for name, value in self.values.items()}
        recall = {label: interval.to_list() for label, interval in self.recall.items()}
        return {"n": self.n, **values, "recall": recall, "confusion": self.confusion.tolist()}


def score_predictions(labels, predicted, groups, draws: int = 2000, seed: int = 0) -> Scores:
    """Score predictions row by row: row i of each argument must be the same pair (`score_frame` makes sure of it).

    labels: (n,) int class numbers. predicted: (n,) int class numbers or (n, 3) probabilities. groups: (n,) twin groups.
    Raises MmlabError for no rows, unequal lengths, a class outside 0..2 or a row that is no probability distribution.
    """
    labels = check_classes(labels, "labels")
    predicted = check_predicted(predicted, "predicted")
    check_lengths(labels=labels, predicted=predicted, groups=groups)
    cells = group_sums(np.eye(_CLASSES**2, dtype=np.int64)[labels * _CLASSES + predicted], groups)
    confusion = cells.sum(axis=0).reshape(_CLASSES, _CLASSES).astype(np.float64)
    drawn = draw_groups(cells, draws, seed).reshape(-1, _CLASSES, _CLASSES)

    def measure(compute: Callable[[np.ndarray], np.ndarray]) -> Interval:
        return interval_of(compute(confusion), compute(drawn), len(cells))

    return Scores(
        n=len(labels),
        values={name: measure(metric.compute) for name, metric in METRICS.items()},
        recall={label: measure(lambda c, k=k: recall_of(c)[..., k]) for k, label in enumerate(LABELS)},
        confusion=confusion.astype(np.int64),
    )


def score_counts(right: np.ndarray, groups, draws: int = 2000, seed: int = 0, most: int = 1) -> Interval:
    """The mean of counts (n,), each of 0 to `most`, as a share of 1, with its interval over twin groups."""
    cells = group_sums(np.stack([right, np.full_like(right, most)], axis=1), groups)
    sums, drawn = cells.sum(axis=0), draw_groups(cells, draws, seed)
    return interval_of(sums[0] / sums[1], drawn[:, 0] / drawn[:, 1], len(cells))


def score_frame(frame: pd.DataFrame, scenario: str, draws: int = 2000, seed: int = 0) -> Scores:
    """Score one scenario of a predictions frame: guid, label (text), twin and three probabilities a scenario.

    Raises MmlabError for a missing column, a duplicate guid, an unknown label or a row without probabilities.
    """
    labels, probabilities = read_frame(frame, scenario)
    return score_predictions(labels, probabilities, frame[TWIN].to_numpy(), draws, seed)


def group_sums(rows: np.ndarray, groups) -> np.ndarray:
    """Sums (G, k) of the rows (n, k) of each group."""
    codes, names = pd.factorize(np.asarray(groups))
    if (codes < 0).any():
        raise MmlabError("A pair has no twin group (nan). Every pair needs one, if only its own.")
    sums = np.zeros((len(names), rows.shape[1]), dtype=np.int64)
    np.add.at(sums, codes, rows)
    return sums


def draw_groups(cells: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Sums (draws, k) over G groups drawn with replacement from cells (G, k).

    A multinomial over the distinct cells has the same distribution as drawing row numbers and is far faster.
    """
    if draws < 1:
        raise MmlabError(f"draws={draws!r} is out of range: it must be at least 1.")
    rng = np.random.default_rng(seed)
    ranked = cells[np.lexsort(cells.T[::-1])]  # np.unique(axis=0) finds the same kinds in ten times the time
    starts = np.flatnonzero(np.append(True, (ranked[1:] != ranked[:-1]).any(axis=1)))
    kinds, counts = ranked[starts], np.diff(np.append(starts, len(ranked)))
    chunk = max(1, _CHUNK // len(kinds))
    parts = []
    for start in range(0, draws, chunk):
        drawn = rng.multinomial(len(cells), counts / len(cells), size=min(chunk, draws - start))
        parts.append(drawn.astype(np.float64) @ kinds.astype(np.float64))  # exact: whole numbers far below 2**53
    return np.concatenate(parts)


def interval_of(point, drawn: np.ndarray, groups: int) -> Interval:
    if math.isnan(point) or groups < 2:
        return Interval(math.nan if math.isnan(point) else float(point), math.nan, math.nan)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])  # a draw without a rare class has no recall for it
    return Interval(float(point), float(low), float(high))
