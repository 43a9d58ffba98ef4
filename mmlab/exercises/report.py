"""Exercises of notebook 07: the accuracy of a run from its file, and a conclusion that the numbers carry."""

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, LABELS, SCENARIOS, TWIN, probability_columns
from mmlab.evaluation import Interval
from mmlab.exercises.judging import Found, load_exercises, on_one_line, refuse_blank

ANSWERED, LABELLED, SHARED = range(40), range(8, 48), range(8, 40)  # guids with predictions, with a label, with both


def judge_accuracy_from_file(answer: Any, found: Found) -> None:
    predictions, key = make_files()
    given = np.array([_call(answer, predictions, key, scenario, found) for scenario in SCENARIOS])
    numbers = _numbers(predictions)
    truth = key.set_index(GUID)[LABEL].map(LABELS.index)
    rows = predictions[GUID].isin(SHARED).to_numpy()
    labels = truth.loc[predictions[GUID][rows]].to_numpy()
    right = (numbers[:, rows] == labels).mean(axis=1)
    evidence = f"{', '.join(SCENARIOS)}: {_round(given)} instead of {_round(right)}"

    def find(code: str, *wrong: np.ndarray) -> None:
        found(code, any(np.allclose(given, one, atol=1e-3) for one in wrong), evidence)

    found("above_one", (given > 1).any(), evidence)
    by_position = truth.to_numpy()  # numbers of the key in its own order
    both = by_position[key[GUID].isin(SHARED).to_numpy()]
    find("rows_by_position", (numbers == by_position).mean(axis=1), (numbers[:, rows] == both).mean(axis=1))
    find("guid_as_row", (numbers == by_position[predictions[GUID].to_numpy()]).mean(axis=1))
    others = [right[list(order)] for order in product(range(3), repeat=3) if order != (0, 1, 2)]
    find("scenario", *others)
    orders = [np.array(order) for order in permutations(range(3)) if order != (0, 1, 2)]
    find("labels_swapped", *((order[numbers[:, rows]] == labels).mean(axis=1) for order in orders))
    shared, every = len(SHARED), len({*ANSWERED, *LABELLED})
    find("rows_counted", right * shared / len(ANSWERED), right * shared / every)
    scores = np.array([_score_labels(labels, one) for one in numbers[:, rows]])
    find("other_metric", *scores.T)
    found("accuracy", not np.allclose(given, right, atol=1e-3), evidence)


def make_files() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of 40 pairs for each scenario, and the labels of 40 pairs; 32 pairs are in both. No common order."""
    draw = np.random.default_rng(0)
    numbers = draw.choice(len(LABELS), len({*ANSWERED, *LABELLED}), p=(0.3, 0.2, 0.5))  # at each guid its label
    guids = draw.permutation(ANSWERED)
    predictions = pd.DataFrame({GUID: guids, FOLD: draw.integers(5, size=len(guids)), TWIN: draw.permutation(100)[:40]})
    for scenario, strength in zip(SCENARIOS, (0.8, 0.4, 1.6)):
        scores = draw.gumbel(size=(len(guids), len(LABELS))) + 2 * strength * np.eye(len(LABELS))[numbers[guids]]
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        for number in (2, 0, 1):  # the columns stand in another order than LABELS
            predictions[probability_columns(scenario)[number]] = shares[:, number]
    labelled = draw.permutation(LABELLED)
    return predictions, pd.DataFrame({GUID: labelled, LABEL: np.array(LABELS)[numbers[labelled]]})


def _call(answer: Any, predictions: pd.DataFrame, key: pd.DataFrame, scenario: str, found: Found) -> float:
    result = refuse_blank(answer(predictions.copy(), key.copy(), scenario))
    try:
        number = float(result)
    except (TypeError, ValueError):
        number = np.nan
    found("number", not np.isfinite(number), f"{scenario} gave this {type(result).__name__}: {on_one_line(result)}")
    return number


def _numbers(predictions: pd.DataFrame) -> np.ndarray:
    """Class numbers of the answers, (scenarios, pairs)."""
    columns = [probability_columns(scenario) for scenario in SCENARIOS]
    return np.array([predictions[of_one].to_numpy().argmax(axis=1) for of_one in columns])


def _score_labels(labels: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """The mean recall and the macro-F1."""
    hits, asked, given = (
        np.bincount(one, minlength=len(LABELS)) for one in (labels[labels == answers], labels, answers)
    )
    return (hits / asked).mean(), (2 * hits / (asked + given)).mean()


def _round(numbers: np.ndarray) -> str:
    return str(np.round(numbers, 3).tolist())


A, B, EVEN, NEITHER = "a is better", "b is better", "cannot be told apart", "neither beats the majority"
FLOOR = 0.6  # the accuracy of the majority


@dataclass(frozen=True)
class _Case:
    """A comparison with its conclusion. code: of the mistake that the likeliest wrong conclusion comes from."""

    code: str
    a: Interval
    b: Interval
    difference: Interval
    right: str

    @property
    def swapped(self) -> "_Case":
        """The same comparison with a and b exchanged."""
        back = Interval(-self.difference.value, -self.difference.high, -self.difference.low)
        return _Case(self.code, self.b, self.a, back, {A: B, B: A}.get(self.right, self.right))

    def find_mistake(self, said: str) -> str:
        """The code of a wrong conclusion, empty for the right one."""
        if said == self.right:
            return ""
        if {said, self.right} == {A, B}:
            return "reversed"
        return "majority_either" if said == NEITHER else self.code

    def __str__(self) -> str:
        return f"a {self.a}, b {self.b}, a − b {self.difference:+.4f}, majority {FLOOR:.3f}"


def _make_case(code: str, a: tuple, b: tuple, half: float, right: str) -> _Case:
    """a, b: (value, half the width of its interval). half: that of their difference."""
    a, b, difference = (Interval(value, value - width, value + width) for value, width in (a, b, (a[0] - b[0], half)))
    return _Case(code, a, b, difference, right)


# The numbers are multiples of 1/1024, so that an interval which ends at 0 ends there exactly.
_UNIT = 1 / 1024
CASES = [
    one
    for case in (
        _make_case("one_winner", (0.80, 0.03), (0.70, 0.03), 0.04, A),
        _make_case("zero_inside", (0.72, 0.04), (0.68, 0.04), 0.05, EVEN),
        _make_case("zero_at_the_edge", (740 * _UNIT, 40 * _UNIT), (710 * _UNIT, 40 * _UNIT), 30 * _UNIT, EVEN),
        _make_case("intervals_overlap", (0.74, 0.04), (0.69, 0.04), 0.03, A),
        _make_case("small_ignored", (0.706, 0.0008), (0.700, 0.0008), 0.0011, A),
        _make_case("majority_silent", (0.55, 0.04), (0.45, 0.04), 0.04, NEITHER),
        _make_case("majority_silent", (0.54, 0.04), (0.53, 0.04), 0.03, NEITHER),
        _make_case("majority_inside", (0.62, 0.04), (0.55, 0.04), 0.04, NEITHER),
        _make_case("one_winner", (0.70, 0.04), (0.58, 0.04), 0.04, A),
    )
    for one in (case, case.swapped)
]


def judge_conclusion(answer: Any, found: Found) -> None:
    seen: dict[str, str] = {}  # from a mistake to the first comparison that shows it
    for case in CASES:
        said = refuse_blank(answer(case.a, case.b, case.difference, FLOOR))
        known = isinstance(said, str) and said.strip().rstrip(".").lower() in (A, B, EVEN, NEITHER)
        found("sentence", not known, f"{case}: the answer was {said!r:.60}")
        code = case.find_mistake(str(said).strip().rstrip(".").lower())
        seen.setdefault(code, f"{case}: {said!r} instead of {case.right!r}")
    for code in found.known:
        found(code, code in seen, seen.get(code, ""))


EXERCISES = load_exercises(__file__, "07_report", judge_accuracy_from_file, judge_conclusion)
