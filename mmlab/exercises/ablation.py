"""Exercises of notebook 06: both ablations, a control that shuffles, an interval by twin groups, a view that helps."""

import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmlab.config import IMAGE, LABELS, TEXT, TWIN
from mmlab.course import read_course, split_folds
from mmlab.demo import read_ceilings
from mmlab.errors import ConfigError
from mmlab.evaluation import compare_predictions, score_predictions
from mmlab.evaluation.scores import draw_groups, group_sums
from mmlab.exercises.judging import Found, load_exercises, refuse_blank
from mmlab.features import encode_course
from mmlab.storage import CHECKOUT

BOTH, ONLY_TEXT, ONLY_IMAGE = frozenset({TEXT, IMAGE}), frozenset({TEXT}), frozenset({IMAGE})
# How many of 200 pairs each made-up model has right: (trained with, asked with). No two differences are equal.
RIGHT = {
    (BOTH, BOTH): 184,
    (BOTH, ONLY_TEXT): 122,
    (BOTH, ONLY_IMAGE): 105,
    (ONLY_TEXT, ONLY_TEXT): 141,
    (ONLY_IMAGE, ONLY_IMAGE): 129,
}
PER_LABEL = (72, 40, 88)  # in the order of LABELS; the last is the majority
COSTS = ("trained_without", "taken_away")
# Shrinks the 768 numbers of a text vector beside a view's few columns. With it the text alone reaches its ceiling on
# the demo, so that no view gains by mending a weak model.
TEXT_WEIGHT = 0.3


@dataclass(frozen=True)
class _Model:
    sides: frozenset[str]


@dataclass
class _Lab:
    """What an answer to `ablations` gets, and notes of what it asked for. aligned: all rows come in one order."""

    aligned: bool
    trained: list[frozenset[str]] = field(default_factory=list)
    asked: list[tuple[frozenset[str], frozenset[str]]] = field(default_factory=list)

    @property
    def labels(self) -> pd.Series:
        names = np.repeat(LABELS, PER_LABEL)
        guids = [str(1000 + 7 * number) for number in range(len(names))]
        return pd.Series(names, guids).sample(frac=1, random_state=1)

    def train(self, sides: Iterable[str] | str) -> _Model:
        self.trained.append(_read_sides(sides))
        return _Model(self.trained[-1])

    def predict(self, model: _Model, sides: Iterable[str] | str) -> pd.Series:
        if not isinstance(model, _Model):
            raise ConfigError(f"predict needs a model that train returned, not {type(model).__name__}.")
        seen = _read_sides(sides) & model.sides
        self.asked.append((model.sides, seen))
        labels = self.labels
        shift = (labels.map(LABELS.index) + 1) % len(LABELS)
        said = pd.Series(np.asarray(LABELS)[shift], labels.index)
        if (model.sides, seen) in RIGHT:
            number = list(RIGHT).index((model.sides, seen))
            right = labels.sample(RIGHT[model.sides, seen], random_state=number).index
            said[right] = labels[right]
        else:
            number, said[:] = len(RIGHT), LABELS[-1]  # nothing to see: always the majority
        return said if self.aligned else said.sample(frac=1, random_state=10 + number)


def _read_sides(sides: Iterable[str] | str) -> frozenset[str]:
    chosen = frozenset({sides} if isinstance(sides, str) else sides)
    if not chosen <= BOTH:
        raise ConfigError(f"The sides are {sorted(map(str, chosen))}. They may be text and image, nothing else.")
    return chosen


def judge_ablations(answer: Any, found: Found) -> str:
    lab, aligned = _Lab(aligned=False), _Lab(aligned=True)
    costs, ordered = (_read_costs(answer(one.train, one.predict, one.labels), found) for one in (lab, aligned))
    n, joint, majority = sum(PER_LABEL), RIGHT[BOTH, BOTH], PER_LABEL[-1]
    text, masked = RIGHT[ONLY_TEXT, ONLY_TEXT], RIGHT[BOTH, ONLY_TEXT]
    image, text_masked = RIGHT[ONLY_IMAGE, ONLY_IMAGE], RIGHT[BOTH, ONLY_IMAGE]

    def equal(trained_without: int, taken_away: int) -> bool:
        return all(abs(cost - pairs / n) < 1e-4 for cost, pairs in zip(ordered, (trained_without, taken_away)))

    said = f"trained without costs {costs[0]:.3f}, taken away costs {costs[1]:.3f}"
    mixed = f"{said}; with all rows in one order {ordered[0]:.3f} and {ordered[1]:.3f}"
    found("rows_mixed", max(abs(one - other) for one, other in zip(costs, ordered)) > 1e-4, mixed)
    found("percent", max(map(abs, costs)) > 1, said)
    found("accuracy", equal(text, masked), said)
    found("sign", min(costs) < 0, said)
    found("exchanged", equal(joint - masked, joint - text), said)
    found("wrong_side", equal(joint - image, joint - text_masked), said)
    found("majority", equal(text - majority, masked - majority), said)
    trained = ", ".join(" and ".join(sorted(sides)) or "nothing" for sides in lab.trained)
    found("not_retrained", ONLY_TEXT not in lab.trained, f"trained were models with: {trained}; {said}")
    found("not_masked", (BOTH, ONLY_TEXT) not in lab.asked, said)
    found("off", not equal(joint - text, joint - masked), said)
    found("joint_twice", lab.trained.count(BOTH) > 1, f"trained were models with: {trained}")
    return f"The image costs {costs[0]:.3f} trained without, and {costs[1]:.3f} taken away: two answers, not one."


def _read_costs(given: Any, found: Found) -> tuple[float, float]:
    refuse_blank(given)
    try:
        costs = [float(refuse_blank(given[name])) for name in COSTS]
    except (KeyError, IndexError, TypeError, ValueError):
        costs = [math.nan, math.nan]
    found("names", not all(map(math.isfinite, costs)), f"it returned {_shorten(given)}")
    return costs[0], costs[1]


def judge_shuffle_control(answer: Any, found: Found) -> str:
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), (24, 12, 24))  # sorted, as a list of pairs may be
    given = draw.normal(size=(60, 16)), draw.normal(size=(60, 7, 16)), labels
    inputs, before = [one.copy() for one in given], _random_state()
    shuffled = refuse_blank(answer(*inputs, 1))
    touched = before != _random_state()
    order = _judge_images(given, inputs, shuffled, found)
    again, *others = (_trace(given[1], answer(*(one.copy() for one in given), seed)[1]) for seed in (1, 2, 3))
    differ = int((order != again).sum())
    found("unrepeatable", differ > 0, f"with the same seed, {differ} of 60 pairs got another image")
    same = all(np.array_equal(order, one) for one in others)
    found("seed_ignored", same, f"seeds 1, 2 and 3: the first pair got the image of pair {order[0]} each time")
    found("global_random", touched, "the state of random, numpy.random or torch differs after the call")
    kept = int((order == np.arange(60)).sum())
    return f"{kept} of 60 pairs kept their own image by chance; every image is still there once."


def _judge_images(given: tuple[np.ndarray, ...], inputs: list[np.ndarray], shuffled: Any, found: Found) -> np.ndarray:
    """Of each pair the row whose image it got. given: texts, images and labels; inputs: the copies handed over."""
    shapes = [np.shape(_as_array(one)) for one in shuffled] if len(shuffled) == 3 else [(len(shuffled),)]
    found("shape", shapes != [one.shape for one in given], f"it returned arrays of the shapes {shapes}")
    changed = [name for name, one, old in zip(("texts", "images", "labels"), inputs, given) if (one != old).any()]
    found("changed_in_place", bool(changed), f"after the call the {' and '.join(changed)} you were given differ")
    texts, images, labels = map(_as_array, shuffled)
    order, text_order, rows = _trace(given[1], images), _trace(given[0], texts), np.arange(60)
    strange = int((order < 0).sum())
    found("inside", strange > 0, f"{strange} of 60 images are none of those that were given")
    lost = 60 - len(np.unique(order))
    found("replacement", lost > 0, f"{lost} of 60 images are gone, and others are there twice or more")
    moved = (text_order != rows).any()
    found("together", moved and (text_order == order).all(), "each of the 60 texts still has its own image")
    other = int((labels != given[2]).sum())
    evidence = f"{int((text_order != rows).sum())} texts and {other} labels are in another row"
    found("moved_too", bool(moved or other), evidence)
    kept = int((order == rows).sum())
    found("kept", kept > 8, f"{kept} of 60 pairs keep their own image; by chance it would be about 1")
    same = int((given[2][order] == given[2]).sum())
    found("within_label", same > 42, f"{same} of 60 images come from a pair with the same label; by chance about 22")
    return order


def _trace(given: np.ndarray, returned: Any) -> np.ndarray:
    """Of each returned row its place among the given ones, and -1 for a row that was not there."""
    flat, back = given.reshape(len(given), -1), _as_array(returned).reshape(len(given), -1)
    distance = np.abs(back[:, None] - flat[None]).mean(axis=2)
    return np.where(distance.min(axis=1) < 0.05, distance.argmin(axis=1), -1)


def _random_state() -> tuple[Any, ...]:
    kind, numbers, *rest = np.random.get_state()  # noqa: NPY002 (this is the state that must stay as it is)
    return random.getstate(), kind, numbers.tobytes(), *rest, torch.get_rng_state().numpy().tobytes()


def judge_interval(answer: Any, found: Found) -> str:
    right, twin = _make_groups()

    def ask(draws: int, seed: int) -> np.ndarray:
        return _read_ends(refuse_blank(answer(right.copy(), twin.copy(), draws, seed)), found)

    low, high = ends = np.mean([ask(600, seed) for seed in (1, 2, 3)], axis=0)
    said = f"{low:.3f} to {high:.3f}, around an accuracy of {right.mean():.3f}"
    found("percent", high > 5, said)
    found("reversed", low > high, said)
    true, pairwise = _draw_ends(right, twin), _draw_ends(right, np.arange(len(twin)))
    evidence = f"{said}; 95 % of the draws lie from {true[0]:.3f} to {true[1]:.3f}"
    width, below, above = np.ptp(true), right.mean() - low, high - right.mean()
    found("level", high < right.mean() and high - low < 0.3 * width, evidence)  # 0.025 per cent and 0.975 per cent
    found("spread_of_rows", min(below, above) > 0.9 * width, evidence)
    found("pairs_drawn", np.abs(ends - pairwise).max() < 0.075 * np.ptp(pairwise), evidence)
    group_mean = pd.Series(right).groupby(twin).mean().mean()
    found(
        "equal_weights", abs(ends.mean() - group_mean) < 0.25 * width, f"{said}; the groups' mean is {group_mean:.3f}"
    )
    found("one_sided", min(below, above) < 0.65 * max(below, above), evidence)
    off = abs((high - low) / width - 1) > 0.08 or np.abs(ends - true).max() > 0.1 * width
    found("level", off, evidence)
    first, again, other, longer = ask(40, 5), ask(40, 5), ask(40, 6), ask(300, 5)
    found("unrepeatable", not np.allclose(first, again), f"seed 5 gave {first.round(3)}, then {again.round(3)}")
    # A formula without draws gives the same for every seed, too, but then also for every number of draws.
    frozen = np.allclose(first, other) and not np.allclose(first, longer)
    found("seed_ignored", frozen, f"seeds 5 and 6 both gave {first.round(3)}")
    return f"{low:.3f} to {high:.3f}. Drawing single pairs would claim {pairwise[0]:.3f} to {pairwise[1]:.3f}."


def _make_groups() -> tuple[np.ndarray, np.ndarray]:
    """right (660,) bool and twin (660,) int64 of 140 groups in mixed order; large groups are right more often."""
    counts = [(1, 24, 1), (1, 36, 0), (3, 20, 3), (3, 8, 2), (3, 12, 0), (12, 26, 12), (12, 4, 8), (12, 10, 0)]
    groups = [[True] * good + [False] * (size - good) for size, many, good in counts for _ in range(many)]
    draw = np.random.default_rng(0)
    names = draw.choice(9000, size=len(groups), replace=False)
    order = draw.permutation(sum(map(len, groups)))
    return np.concatenate(groups)[order], np.repeat(names, [len(one) for one in groups])[order]


def _draw_ends(right: np.ndarray, groups: np.ndarray) -> np.ndarray:
    sums = draw_groups(group_sums(np.stack([right, np.ones_like(right)], axis=1).astype(np.int64), groups), 20_000, 0)
    return np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])


def _read_ends(given: Any, found: Found) -> np.ndarray:
    try:
        ends = _as_array(given).astype(float)
    except (TypeError, ValueError):
        ends = np.array([math.nan])
    found("shape", ends.shape != (2,) or not np.isfinite(ends).all(), f"it returned {_shorten(given)}")
    return ends


def judge_view(answer: Any, found: Found) -> str:
    pairs, labels, folds, vectors, by_text = _read_demo()
    shown = pairs[[TEXT, IMAGE]]
    _judge_rows(answer, shown.head(8), found)
    columns = _look(answer, shown, found)
    found("constant", np.ptp(columns, axis=0).max() == 0, f"each of {columns.shape[1]} columns holds one value only")
    by_view = _answer_out_of_fold(vectors, columns, labels, folds)
    twins = pairs[TWIN].to_numpy()
    accuracy, before = (score_predictions(labels, one, twins).accuracy for one in (by_view, by_text))
    gain = compare_predictions(labels, by_view, by_text, twins).difference
    said = f"accuracy {before.value:.3f} without your view, {accuracy.value:.3f} with it: {gain:+.3f}"
    ceiling = (read_ceilings(CHECKOUT / "data" / "demo") or {}).get("text_and_image", 1.0)
    found("leak", accuracy.low > ceiling, f"{said}; the ceiling is {ceiling:.3f}")
    found("hurts", gain.high < 0, said)
    found("not_better", not gain.low > 0, f"{said}: cannot be told apart")
    return f"It helps: {said}."


def _judge_rows(answer: Any, few: pd.DataFrame, found: Found) -> None:
    """Each pair must get its own numbers, whoever stands beside it."""
    at_once = _look(answer, few, found)
    singles = [_look(answer, few.iloc[[row]].reset_index(drop=True), found) for row in range(len(few))]
    widths = sorted({one.shape[1] for one in (at_once, *singles)})
    found("other_rows", len(widths) > 1, f"the number of columns is {' or '.join(map(str, widths))}")
    alone = np.concatenate(singles)
    same = np.isclose(at_once[:, None], alone[None], rtol=1e-4, atol=1e-6).all(axis=2)  # (row at once, row alone)
    strange = int((~same.diagonal()).sum())
    moved = strange > 0 and same.any(axis=0).all() and same.any(axis=1).all()
    found("order", moved, f"{strange} of {len(few)} pairs have the numbers of another pair")
    found("other_rows", strange > 0, f"{strange} of {len(few)} pairs get other numbers when they are asked alone")


def _look(answer: Any, pairs: pd.DataFrame, found: Found) -> np.ndarray:
    """The columns (n, k) float64 that an answer gives to n pairs."""
    given = refuse_blank(answer(pairs.copy()))
    try:
        columns = _as_array(given).astype(float)
    except (TypeError, ValueError):
        columns = np.zeros(0)
    columns = columns[:, None] if columns.ndim == 1 else columns
    fits = columns.ndim == 2 and len(columns) == len(pairs) and columns.shape[1] > 0
    what = f"numbers of the shape {columns.shape}" if columns.size else "no numbers"
    found("shape", not fits, f"{len(pairs)} pairs gave {what}")
    bad = int((~np.isfinite(columns)).sum())
    found("not_finite", bad > 0, f"{bad} of {columns.size} numbers are nan or infinite")
    return columns


@cache
def _read_demo() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The labelled pairs of the demo, their class numbers, folds and text vectors, and the answers to these alone."""
    course = read_course(CHECKOUT / "data" / "demo")
    pairs, labels = course.labelled.reset_index(drop=True), np.asarray(course.labels)
    folds = split_folds(labels, pairs[TWIN].to_numpy(), folds=5, seed=0)
    texts = replace(course, pairs=course.pairs.assign(has_image=False))  # nobody waits for pictures to be encoded
    vectors = encode_course(texts, progress=None).pooled(TEXT)[: len(pairs)]
    return pairs, labels, folds, vectors, _answer_out_of_fold(vectors, np.zeros((len(pairs), 0)), labels, folds)


def _answer_out_of_fold(vectors: np.ndarray, columns: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Class numbers (n,) int64, each by a logistic regression on the text vectors and the view of the other folds."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    predicted = np.zeros(len(labels), dtype=np.int64)
    with threadpool_limits(1):  # such small fits gain nothing from threads
        for fold in np.unique(folds):
            held_out = folds == fold
            mean, spread = columns[~held_out].mean(axis=0), columns[~held_out].std(axis=0)
            scaled = (columns - mean) / np.where(spread > 0, spread, 1)
            inputs = np.concatenate([TEXT_WEIGHT * vectors, scaled], axis=1)
            model = LogisticRegression(C=0.1, max_iter=300).fit(inputs[~held_out], labels[~held_out])
            predicted[held_out] = model.predict(inputs[held_out])
    return predicted


def _as_array(value: Any) -> np.ndarray:
    """An array of whatever holds numbers: torch, pandas, scipy's sparse matrices, lists."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy()
    if isinstance(value, list | tuple) and any(isinstance(one, torch.Tensor) for one in value):
        return np.array([_as_array(one) for one in value])
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def _shorten(value: Any) -> str:
    text = re.sub(r"np\.\w+\((.*?)\)", r"\1", " ".join(repr(value).split()))  # 0.2, not np.float64(0.2)
    return text if len(text) <= 80 else f"{text[:77]}..."


EXERCISES = load_exercises(__file__, "06_ablation", judge_ablations, judge_shuffle_control, judge_interval, judge_view)
