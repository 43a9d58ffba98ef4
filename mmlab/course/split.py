"""Splits without leaks: whole twin groups are dealt to folds, or to train and dev, with the class shares kept."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import LABEL, LABELS, TWIN
from mmlab.course.tables import TRAIN_FILE
from mmlab.errors import CourseError

DEV_SHARE = 0.2  # of the labelled pairs


def fit_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> int:
    """`folds`, or fewer where a label has fewer twin groups: as many as the rarest label that has two, at least 2.

    labels (n,) class numbers, groups (n,) twin ids.
    """
    found = [len(np.unique(groups[labels == number])) for number in np.unique(labels)]
    return max(2, min([folds, *(one for one in found if one > 1)]))


def split_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int, sparse: bool = False) -> np.ndarray:
    """Fold numbers 0 .. folds-1 of any set of pairs, (n,) int8: no twin group in two folds, class shares kept.

    labels (n,) class numbers, groups (n,) twin ids. Raises CourseError when a class has fewer twin groups than
    there are folds, unless `sparse`: then such a class is in some of the folds alone. Like scikit-learn's
    StratifiedGroupKFold (large groups first, each where it is missed most), but 20 ms instead of 1 s on 3,200 pairs,
    with class counts equal to within a pair or so. Explained in notebook 01, section 5.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if not 2 <= folds <= 127:
        raise CourseError(f"folds={folds!r} is out of range: it must be 2 to 127.")
    if len(labels) != len(groups):
        raise CourseError(f"{len(labels)} labels but {len(groups)} twin ids: they must belong to the same pairs.")
    for number in np.unique(labels):
        found = len(np.unique(groups[labels == number]))
        if found < folds and not sparse:
            fix = f"Use at most {found} folds, or add pairs with this label to {TRAIN_FILE}."
            raise CourseError(f"{LABELS[number]}: {found} independent pairs cannot be dealt to {folds} folds. {fix}")
    return _deal(labels, groups, np.full(folds, 1 / folds), seed, held_out=range(folds))


def split_dev(root: Path, frame: pd.DataFrame, seed: int, dev_share: float) -> list[str]:
    """The split, "train", "dev" or "test" for each row of `Course.pairs`; the labelled rows come first.

    Raises CourseError where nothing is left for one of the sides, or no pair of a label to train on.
    """
    labelled = frame[LABEL].notna().to_numpy()
    if not labelled.any():
        return ["test"] * len(frame)
    labels = class_numbers(frame.loc[labelled, LABEL])
    twins, shares = frame.loc[labelled, TWIN].to_numpy(), np.array([1 - dev_share, dev_share])
    dev = _deal(labels, twins, shares, seed, held_out=(1,)) == 1
    present = np.unique(labels)
    unlearned = [LABELS[number] for number in present if not (~dev & (labels == number)).any()]
    problem = f"{len(labels)} usable pairs are too few to split with {dev_share=:g}"
    if len(present) < 2:
        problem = f"every usable pair has the label {LABELS[present[0]]!r}, so there is nothing to tell apart"
    elif unlearned:
        problem += f": no pair with the label {unlearned[0]!r} is left to train on"
    elif dev.any():
        return np.where(dev, "dev", "train").tolist() + ["test"] * int((~labelled).sum())
    fix = "Add pairs that are not twins of one another: a few of each label."
    raise CourseError(f"{root / TRAIN_FILE}: {problem}. {fix}")


def _deal(labels: np.ndarray, groups: np.ndarray, shares: np.ndarray, seed: int, held_out: Sequence[int]) -> np.ndarray:
    """Deal whole groups to piles of the given shares, (n,) int8: large groups first, then in an order drawn by seed.

    Where that can be helped, no pile of `held_out` gets all pairs of a class: none would be left to train on.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    ids, members = np.unique(groups, return_inverse=True)
    content = np.zeros((len(ids), len(classes)), dtype=np.int64)
    np.add.at(content, (members, numbers), 1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(ids))
    order = order[np.argsort(-content[order].sum(axis=1), kind="stable")]
    preference = random.permutation(len(shares)).tolist()
    there = content.sum(axis=0)
    wanted, there = (there[:, None] * shares).tolist(), there.tolist()  # (classes, piles), (classes,)
    room = (shares * len(labels)).tolist()
    held, full = [[0] * len(shares) for _ in classes], [0] * len(shares)
    pile_of = np.zeros(len(ids), dtype=np.int8)
    for group, counts in zip(order.tolist(), content[order].tolist(), strict=True):
        present = [(c, count) for c, count in enumerate(counts) if count]
        size = sum(counts)
        # The pile that is least full afterwards, judged by its fullest class; then by size, then by the drawn order.
        filled = [[(have + k) / want for have, want in zip(held[c], wanted[c], strict=True)] for c, k in present]
        fullest = filled[0] if len(filled) == 1 else [max(one) for one in zip(*filled, strict=True)]
        closed = {p for p in held_out if any(held[c][p] + k == there[c] > k for c, k in present)}
        free = [p for p in preference if p not in closed] or preference
        least = min(fullest[p] for p in free)
        best = min((p for p in free if fullest[p] == least), key=lambda p: (full[p] + size) / room[p])
        for c, count in present:
            held[c][best] += count
        full[best] += size
        pile_of[group] = best
    return pile_of[members]


def class_numbers(labels: Iterable[str]) -> np.ndarray:
    """Positions in LABELS, (n,) int8."""
    return np.array([LABELS.index(label) for label in labels], dtype=np.int8)
