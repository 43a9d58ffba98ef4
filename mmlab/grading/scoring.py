"""The scores of all entrants with their noise, from one bootstrap of twin groups.

Each draw takes the same groups for everyone, so that two entrants are compared on the same pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmlab.config import LABELS
from mmlab.evaluation import METRICS, Interval
from mmlab.evaluation.scores import draw_groups, group_sums, interval_of, recall_of
from mmlab.grading.entrants import Entrant
from mmlab.grading.key import Key

_CLASSES = len(LABELS)
DRAWS = 2000


@dataclass(frozen=True)
class Standing:
    """How one entrant did.

    values: an Interval for each metric. recall: one for each label. gain: accuracy − that of the
    majority label. rank: the lowest and highest rank among the students that the noise allows, 1 is the best. best: the
    share of draws in which no student is better, divided where several are equal. Both are None where the entrant is no
    student.
    """

    values: dict[str, Interval]
    recall: dict[str, Interval]
    gain: Interval
    rank: tuple[int, int] | None = None
    best: float | None = None


@dataclass(frozen=True, eq=False)
class Reach:
    """The reference with the highest accuracy, and who is above it by more than the noise: from name to p-value (Holm).

    Accuracies that no student of the course should reach are a reason to ask how.
    """

    name: str
    accuracy: Interval
    above: dict[str, float]


def score_entrants(
    key: Key, entrants: Sequence[Entrant], draws: int = DRAWS, seed: int = 0
) -> tuple[list[Standing], Reach | None]:
    """A standing for each entrant, and the reach of the references, None where there are none.

    entrants: those to score; the first one of kind "baseline" is the majority label.
    """
    answers = np.stack([one.answers for one in entrants])  # (entrants, n)
    cells = np.eye(_CLASSES**2, dtype=np.int64)[key.labels * _CLASSES + answers]  # (entrants, n, 9)
    cells = group_sums(cells.swapaxes(0, 1).reshape(len(key.labels), -1), key.groups)
    shape = len(entrants), _CLASSES, _CLASSES
    point = cells.sum(axis=0).reshape(shape).astype(np.float64)
    drawn = draw_groups(cells, draws, seed).reshape(draws, *shape)
    values = {name: (one.compute(point), one.compute(drawn)) for name, one in METRICS.items()}

    def intervals(points: np.ndarray, each: np.ndarray) -> list[Interval]:
        return [interval_of(value, each[:, number], len(cells)) for number, value in enumerate(points)]

    accuracy, accuracies = values["accuracy"]
    first = next(number for number, one in enumerate(entrants) if one.kind == "baseline")
    gains = intervals(accuracy - accuracy[first], accuracies - accuracies[:, [first]])
    by_metric = {name: intervals(*both) for name, both in values.items()}
    recalls = recall_of(point), recall_of(drawn)
    by_label = {label: intervals(*(one[..., number] for one in recalls)) for number, label in enumerate(LABELS)}
    students = [number for number, one in enumerate(entrants) if one.kind == "student"]
    ranks = dict(zip(students, rank_intervals(accuracy[students], accuracies[:, students])))
    best = dict(zip(students, best_shares(accuracies[:, students])))
    standings = [
        Standing(
            {name: every[number] for name, every in by_metric.items()},
            {label: every[number] for label, every in by_label.items()},
            gains[number],
            ranks.get(number),
            best.get(number),
        )
        for number in range(len(entrants))
    ]
    return standings, _find_reach(entrants, by_metric["accuracy"], accuracies)


def rank_intervals(point: np.ndarray, drawn: np.ndarray, level: float = 0.95) -> list[tuple[int, int]]:
    """The lowest and highest rank of each that the noise allows; 1 is the highest value.

    point: (k,) values; drawn: (draws, k), their bootstrap. One is ranked behind those that are better by more than the
    noise of all its differences at once (the level's quantile of the largest studentised one), and before those that
    are worse by as much. Ranks inside the noise stay open, however many are equal: Mogstad et al. 2024, "Inference for
    Ranks".
    """
    noise = drawn - point
    found = []
    for one in range(len(point)):
        ahead, noises = point - point[one], noise - noise[:, [one]]
        spread = noises.std(axis=0)
        moves = spread > 1e-12  # not so for equal answers, and where there is only one group to draw
        if not moves.any():
            found.append((1, len(point)))
            continue
        cut = np.quantile(np.abs(noises[:, moves] / spread[moves]).max(axis=1), level) * spread
        better, worse = int((moves & (ahead > cut)).sum()), int((moves & (-ahead > cut)).sum())
        found.append((1 + better, len(point) - worse))
    return found


def best_shares(drawn: np.ndarray) -> list[float]:
    """(k,) shares of the draws (draws, k) in which each is the highest; equals share a draw."""
    if not drawn.shape[1]:
        return []
    top = drawn >= drawn.max(axis=1, keepdims=True) - 1e-12
    return (top / top.sum(axis=1, keepdims=True)).mean(axis=0).tolist()


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values (m,) made larger so that all of them together keep their level: Holm 1979."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values, dtype=np.float64)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _find_reach(entrants: Sequence[Entrant], accuracy: list[Interval], drawn: np.ndarray) -> Reach | None:
    from scipy.special import ndtr

    references = [number for number, one in enumerate(entrants) if one.kind == "reference"]
    if not references:
        return None
    best = max(references, key=lambda number: accuracy[number].value)
    students = [number for number, one in enumerate(entrants) if one.kind == "student"]
    ahead = np.array([accuracy[number].value - accuracy[best].value for number in students])
    spread = (drawn[:, students] - drawn[:, [best]]).std(axis=0)
    score = np.divide(ahead, spread, out=np.zeros_like(ahead), where=spread > 1e-12)
    p_values = holm(ndtr(-score))
    above = {entrants[number].name: float(p) for number, p in zip(students, p_values) if p < 0.05}
    return Reach(entrants[best].name, accuracy[best], above)
