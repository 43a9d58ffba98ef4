"""Exercises of notebook 05: learning rates to try, settings that cannot be told apart, an honest score of a choice."""

import math
from typing import Any

import numpy as np

from mmlab.exercises.judging import Found, load_exercises, refuse_blank


def judge_log_grid(answer: Any, found: Found) -> None:
    for low, high, count in ((1e-4, 1e-2, 3), (3e-5, 0.05, 7), (0.001, 0.002, 2)):
        rates = np.asarray(refuse_blank(answer(low, high, count)), dtype=np.float64)
        asked = f"{count} from {low:g} to {high:g}: "
        found("wrong_count", rates.shape != (count,), f"{asked}the result has the shape {rates.shape}")
        seen = asked + ", ".join(f"{rate:.3g}" for rate in rates)
        found("not_positive", not (np.isfinite(rates) & (rates > 0)).all(), seen)
        found("wrong_order", bool((np.diff(rates) <= 0).any()), seen)
        found("ends_missing", not _is_near(rates[[0, -1]], [low, high]), seen)
        found("linear", count > 2 and _is_near(rates, np.linspace(low, high, count)), seen)
        found("unequal_ratios", not _is_near(np.diff(np.log(rates)), math.log(high / low) / (count - 1)), seen)


def _is_near(values: np.ndarray, expected: Any) -> bool:
    return bool(np.allclose(values, expected, rtol=0.02, atol=0))


# What the settings of the sample are, each by the pairs on which it and the best differ: those that only the best has
# right, then those that only it has right. The best has pairs 0 to 279 of 400 right. The pairs 0 to 11 are one twin
# group and 12 to 23 another; each of the others is a group of its own. How far a setting is behind the best says
# nothing here: `steady` is 12 pairs behind and really worse, `noisy` is 14 behind and cannot be told apart.
_PAIRS, _BEST_RIGHT = 400, 280
_DIFFERENT = {
    "best": (range(0), range(0)),
    "close": (range(100, 130), range(280, 309)),
    "noisy": (range(24, 124), range(280, 366)),
    "steady": (range(24, 36), range(0)),
    "twins": (range(24), range(280, 288)),  # all that the best gains are two twin groups
    "far": (range(24, 134), range(280, 300)),
    "last": (range(134, 250), range(300, 320)),
}
_RIVALS = {"close", "noisy", "twins"}
_OVERLAPPING = _RIVALS | {"steady"}  # whose own interval overlaps that of the best
_OVER_PAIRS = _RIVALS - {"twins"}  # which cannot be told apart when each pair is drawn by itself
_LIKE_LAST = {"far", "last"}  # which cannot be told apart from the last


def judge_rivals(answer: Any, found: Found) -> str:
    for seed in (5, 7):  # the best is the last row, then the first
        names, right, twins = _make_settings(seed)
        rows = _read_rows(refuse_blank(answer(right.copy(), twins.copy())))
        unknown = rows is None or not rows <= set(range(len(names)))
        found("not_rows", unknown, f"{len(names)} settings have the rows 0 to {len(names) - 1}")
        given = {names[row] for row in rows}
        found("includes_best", "best" in given, f"row {names.index('best')} has the most right answers")
        _judge_names(given, {name: f"row {row}" for row, name in enumerate(names)}, found)
    return "A setting 12 pairs behind the best was really worse here, and one 16 pairs behind could not be told apart."


def _judge_names(given: set[str], row: dict[str, str], found: Found) -> None:
    """Name the mistake that leads to these settings. row: the row of each setting, in words."""
    others = set(_DIFFERENT) - {"best"}
    found("inverted", given == others - _RIVALS, f"you return {len(given)} settings; the question asks for the others")
    never = f"{row['steady']} is wrong on 12 pairs that the best has right, and never right where the best is wrong"
    found("single_intervals", given == _OVERLAPPING, never)
    groups = f"{row['twins']} is wrong on 24 pairs of 2 twin groups that the best has right"
    found("pairs_drawn", given == _OVER_PAIRS, groups)
    lowest = f"{row['last']} has the fewest right answers, and your rows can hardly be told apart from it"
    found("wrong_reference", bool(given) and given <= _LIKE_LAST, lowest)
    behind = {name: len(_DIFFERENT[name][0]) - len(_DIFFERENT[name][1]) for name in others}
    highest = set(sorted(others, key=behind.__getitem__)[: len(given)])
    found("by_mean", given == highest, f"you return the {len(given)} of {len(others)} with the highest accuracy")
    wrong = ", ".join(sorted(row[name] for name in given ^ _RIVALS))
    found("other_settings", given != _RIVALS, f"too many or missing: {wrong}")


def _make_settings(seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The settings in some order: names, right answers bool (settings, 400), twin groups (400,)."""
    draw = np.random.default_rng(seed)
    names, pairs = [str(one) for one in draw.permutation(list(_DIFFERENT))], draw.permutation(_PAIRS)
    right = np.tile(np.arange(_PAIRS) < _BEST_RIGHT, (len(names), 1))
    for row, name in zip(right, names, strict=True):
        only_best, only_it = _DIFFERENT[name]
        row[list(only_best)], row[list(only_it)] = False, True
    twins = 3 * np.concatenate([np.zeros(12, int), np.ones(12, int), np.arange(2, _PAIRS - 22)]) + 5
    return names, right[:, pairs], twins[pairs]


def _read_rows(value: Any) -> set[int] | None:
    """The row numbers in a list, a set or an array; None for anything else."""
    rows = np.asarray(sorted(value) if isinstance(value, set | frozenset) else value)
    whole = rows.ndim == 1 and (rows.dtype.kind in "iu" or not rows.size)
    return {int(row) for row in rows} if whole else None


# Right answers of each setting on the folds 2, 5 and 9. Where one setting is best, the others choose another.
_FOLDS = {2: 40, 5: 60, 9: 100}  # pairs
_RIGHT = ((36, 33, 62), (24, 54, 55), (26, 30, 82), (18, 36, 66))


def judge_honest_score(answer: Any, found: Found) -> str:
    right, folds = _make_folds()
    score = np.asarray(refuse_blank(answer(right.copy(), folds.copy())), dtype=np.float64)
    found("not_one_number", score.shape != (), f"the result has the shape {score.shape}")
    found("not_a_share", not 0 <= score <= 1, f"the result is {score:.4g}")
    honest, by_fold = _score_choices(right, folds, choose_here=False, score_here=True)
    best = right.mean(axis=1).argmax()
    flattered = right[best].mean()
    seen = f"your score is {score:.3f}; the setting with the most right answers has {flattered:.3f} of all pairs"

    def is_one_of(*numbers: float) -> bool:
        return any(abs(score - number) < 2e-3 for number in numbers)

    best_by_fold = np.mean([right[best, folds == fold].mean() for fold in _FOLDS])
    found("flattered", is_one_of(flattered, best_by_fold), seen)
    found("chosen_on_scored", is_one_of(*_score_choices(right, folds, choose_here=True, score_here=True)), seen)
    found("scored_on_chosen", is_one_of(*_score_choices(right, folds, choose_here=False, score_here=False)), seen)
    found("swapped", is_one_of(*_score_choices(right, folds, choose_here=True, score_here=False)), seen)
    found("averaged", is_one_of(right.mean()), f"{seen}; the mean of all settings is {right.mean():.3f}")
    found("folds_equal", is_one_of(by_fold), f"{seen}; the folds have {', '.join(map(str, _FOLDS.values()))} pairs")
    found("other_number", not is_one_of(honest), seen)
    return f"Here the honest score is {honest:.3f}. The best setting has {flattered:.3f} of all pairs: that flatters."


def _make_folds() -> tuple[np.ndarray, np.ndarray]:
    """Right answers bool (4, 200) with the counts of _RIGHT, and the folds (200,), in a random order of pairs."""
    draw = np.random.default_rng(0)
    folds = draw.permutation(np.repeat(list(_FOLDS), list(_FOLDS.values())))
    right = np.zeros((len(_RIGHT), len(folds)), dtype=bool)
    for row, counts in zip(right, _RIGHT, strict=True):
        for fold, count in zip(_FOLDS, counts, strict=True):
            row[draw.permutation(np.flatnonzero(folds == fold))[:count]] = True
    return right, folds


def _score_choices(right: np.ndarray, folds: np.ndarray, choose_here: bool, score_here: bool) -> tuple[float, float]:
    """For each fold, choose the best setting on it or on the others, and score it on it or on the others.

    Returns the share of right answers among all pairs that are scored, and the mean of the folds' shares.
    """
    scored = []
    for fold in _FOLDS:
        here = folds == fold
        chosen = right[:, here == choose_here].sum(axis=1).argmax()
        scored.append(right[chosen, here == score_here])
    return float(np.concatenate(scored).mean()), float(np.mean([one.mean() for one in scored]))


EXERCISES = load_exercises(__file__, "05_hyperparameter_grid", judge_log_grid, judge_rivals, judge_honest_score)
