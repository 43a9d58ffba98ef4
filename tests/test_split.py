"""Splits keep twins together and class shares equal."""

import numpy as np
import pytest
from courses import N_TEST, N_TRAIN, guid_of, make_folder, sentence

from mmlab.course import random_split_leak, read_course, save_split, split_folds
from mmlab.course.split import fit_folds
from mmlab.errors import CourseError


def many_twins(n: int = 900, seed: int = 0):
    """Labels in the shares of the course and twin groups of 1 to 8 pairs that often disagree."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, n, p=[0.3, 0.1, 0.6]).astype(np.int8)
    groups = np.repeat(np.arange(n), random.choice([1, 2, 8], n, p=[0.8, 0.15, 0.05]))[:n]
    return labels, random.permutation(groups)


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_keep_twins_together_and_class_shares_equal(folds):
    labels, groups = many_twins()
    fold = split_folds(labels, groups, folds, seed=0)
    assert fold.dtype == np.int8
    assert set(fold) == set(range(folds))
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    counts = np.array([np.bincount(labels[fold == number], minlength=3) for number in range(folds)])
    assert (np.abs(counts - np.bincount(labels) / folds) <= 2).all()


def test_folds_that_ignore_twins_break_them():
    labels, groups = many_twins()
    fold = split_folds(labels, np.arange(len(labels)), 5, seed=0)
    assert any(len(set(fold[groups == group])) > 1 for group in set(groups))


def test_folds_depend_on_the_seed_alone():
    labels, groups = many_twins()
    first = split_folds(labels, groups, 5, seed=3)
    assert (first == split_folds(labels, groups, 5, seed=3)).all()
    assert (first == split_folds(labels, groups * 7 + 100, 5, seed=3)).all()  # names of groups carry nothing
    agreement = (first == split_folds(labels, groups, 5, seed=4)).mean()
    assert 0.1 < agreement < 0.3  # by chance a fifth


def test_folds_serve_any_subset():
    labels, groups = many_twins()
    rows = np.flatnonzero(split_folds(labels, groups, 5, seed=0) != 2)
    inner = split_folds(labels[rows], groups[rows], 8, seed=1)
    assert inner.shape == rows.shape
    assert all(len(set(inner[groups[rows] == group])) == 1 for group in set(groups[rows]))


def test_folds_that_cannot_be_filled_are_refused():
    labels = np.array([0] * 20 + [1] * 4 + [2] * 20)
    with pytest.raises(CourseError, match="neutral: 4 independent pairs.*at most 4 folds"):
        split_folds(labels, np.arange(44), 5, seed=0)
    groups = np.arange(44)
    groups[20:23] = 20
    with pytest.raises(CourseError, match="neutral: 2 independent"):
        split_folds(labels, groups, 3, seed=0)
    with pytest.raises(CourseError, match="folds=1"):
        split_folds(labels, groups, 1, seed=0)


def test_folds_adapt_to_the_rarest_label():
    labels, groups = np.array([0] * 20 + [1] * 4 + [2] * 20), np.arange(44)
    assert fit_folds(labels, groups, 5) == 4 and fit_folds(labels, groups, 3) == 3
    assert fit_folds(np.array([0] * 20 + [1]), np.arange(21), 5) == 5, "a label of one pair decides nothing"
    fold = split_folds(labels, groups, 8, seed=0, sparse=True)
    assert len(set(fold[labels == 1])) == 4 and set(fold) == set(range(8))


@pytest.fixture
def retweeted(tmp_path, cache):
    """A folder in which every third labelled pair repeats the text of its neighbour but one."""
    root = make_folder(tmp_path / "retweeted", 60, 6)
    for number in range(0, 60, 3):
        (root / "data" / f"{guid_of(number)}.txt").write_text(sentence((number + 2) % 60))
    return root


@pytest.mark.parametrize("seed", range(5))
def test_the_split_has_no_leak_where_a_random_one_has(retweeted, seed):
    course = read_course(retweeted, seed=seed)
    assert course.health.twin_groups == 20
    assert not set(course.dev.twin) & set(course.train.twin)
    assert random_split_leak(course, seed=seed) > 0.2
    assert course.dev.label.value_counts().tolist() == [4, 4, 4]


def test_a_random_split_of_distinct_pairs_leaks_nothing(sound):
    assert random_split_leak(sound) == 0.0


def test_the_split_is_fixed_by_the_seed(folder, sound):
    assert read_course(folder).split_hash == sound.split_hash
    assert read_course(folder, seed=1).split_hash != sound.split_hash
    assert read_course(folder, seed=1).fingerprint == sound.fingerprint
    assert len(read_course(folder, dev_share=0.4).dev) == 18


def test_the_split_is_saved(sound, tmp_path):
    path = save_split(sound, tmp_path / "run" / "split.csv")
    lines = path.read_text().splitlines()
    assert lines[0] == "guid,split,twin"
    assert len(lines) == 1 + N_TRAIN + N_TEST
    assert lines[-1].startswith("056,test,")
    assert [entry.name for entry in path.parent.iterdir()] == ["split.csv"]
