"""Properties of twins, splits, folds and stoppers: groups stay whole, labels are dealt evenly, seeds decide."""

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import Grouped, assert_caught, grouped, grouped_alike, texts

from mmlab.config import LABELS, RunConfig
from mmlab.course import fit_folds, normalise_for_twins, split_folds, twins
from mmlab.course.split import split_dev
from mmlab.errors import CourseError
from mmlab.training.crossfit import INNER_FOLDS, _choose_stoppers, deal_folds, note_few

SEEDS = st.integers(0, 2**31 - 1)


# ---- twins


def as_sets(groups: np.ndarray) -> set[frozenset[int]]:
    members = defaultdict(set)
    for place, group in enumerate(groups):
        members[group].add(place)
    return set(map(frozenset, members.values()))


def join(n: int, links: list[tuple[int, int]]) -> set[frozenset[int]]:
    """The groups that links make, in the plainest way: join two sets at each link."""
    sets = [{place} for place in range(n)]
    for one, other in links:
        (first,), (second,) = ([group for group in sets if place in group] for place in (one, other))
        if first is not second:
            sets = [group for group in sets if group is not first and group is not second] + [first | second]
    return set(map(frozenset, sets))


LINKS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=12))
)


def groups_are_transitive(drawn: tuple[int, list], group=twins.group_links) -> None:
    n, links = drawn
    found = group(n, links)
    assert as_sets(found) == join(n, links) == as_sets(group(n, [(b, a) for a, b in links]))
    assert found[np.sort(np.unique(found, return_index=True)[1])].tolist() == list(range(found.max() + 1))


@given(LINKS)
def test_groups_of_links_are_transitive_and_numbered_as_they_appear(drawn):
    groups_are_transitive(drawn)


def test_twin_groups_that_follow_one_link_alone_are_caught():
    def broken(n, links):
        first = dict(reversed(links))
        return pd.factorize(np.array([min(place, first.get(place, place)) for place in range(n)]))[0]

    assert_caught(partial(groups_are_transitive, group=broken), LINKS)


REPEATED = st.lists(st.one_of(st.sampled_from(["so fine a day", "RT @a: so fine a day!", "今天很开心"]), texts(20)))


@given(REPEATED, st.randoms(use_true_random=False))
def test_equal_texts_share_a_group_in_any_order(written, random):
    keys = [normalise_for_twins(text) for text in written]
    assume(keys)
    groups = twins.group_links(len(keys), twins.link_equal(keys))
    for one, other in combinations(range(len(keys)), 2):
        assert (groups[one] == groups[other]) == (keys[one] == keys[other] != "")
    order = random.sample(range(len(keys)), len(keys))
    moved = twins.group_links(len(keys), twins.link_equal([keys[place] for place in order]))
    assert {frozenset(order[place] for place in group) for group in as_sets(moved)} == as_sets(groups)


@st.composite
def facts(draw) -> list:
    """What images show: some alike in both ways, in one, just at the bounds; copies; pairs without an image."""
    base = np.random.default_rng(draw(st.integers(0, 3)))
    bits, colours = base.integers(0, 2**63, 4, dtype=np.uint64), base.integers(20, 230, 192)
    images = []
    for number in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 5)) == 0:
            images.append(draw(st.sampled_from([None, *images])))
            continue
        one = np.zeros((), dtype=twins.FACTS)
        apart, levels, extra = draw(st.integers(0, 40)), draw(st.integers(-7, 7)), draw(st.integers(0, 3))
        one["digest"] = np.void(number.to_bytes(32, "big"))
        one["hash"] = bits ^ np.packbits(np.arange(256) < apart, bitorder="little").view("<u8")
        one["colours"] = colours + levels + (np.arange(192) < extra)
        one["steps"] = draw(st.sampled_from([twins.STEPS_NEEDED, 200, twins.STEPS_NEEDED - 1]))
        images.append(one[()])
    return images


def alike(one, other) -> bool:
    """The rule of `link_images`, word by word."""
    if one is None or other is None:
        return False
    if one["digest"].item() == other["digest"].item():
        return True
    apart = int(np.bitwise_count(one["hash"] ^ other["hash"]).sum())
    levels = np.abs(one["colours"].astype(int) - other["colours"].astype(int)).mean()
    seen = min(one["steps"], other["steps"]) >= twins.STEPS_NEEDED
    return bool(seen and apart <= twins.HASH_BITS_APART and levels <= twins.COLOUR_LEVELS_APART)


def links_what_is_alike(images: list, link: Callable = twins.link_images) -> None:
    every = [(a, b) for a, b in combinations(range(len(images)), 2) if alike(images[a], images[b])]
    assert as_sets(twins.group_links(len(images), link(images))) == join(len(images), every)
    back = as_sets(twins.group_links(len(images), link(images[::-1])))
    assert {frozenset(len(images) - 1 - place for place in group) for group in back} == join(len(images), every)


@given(facts())
def test_images_are_twins_by_the_rule_in_any_order(images):
    links_what_is_alike(images)


def test_twin_a_rule_that_looks_at_neighbours_alone_is_caught():
    def broken(images):
        return [(a, a + 1) for a in range(len(images) - 1) if alike(images[a], images[a + 1])]

    assert_caught(partial(links_what_is_alike, link=broken), facts())


# ---- folds


def keeps_groups_whole(drawn: Grouped, deal: Callable = split_folds, folds: int = 5) -> None:
    fold = deal(drawn.labels, drawn.groups, folds, 0, sparse=True)
    assert fold.shape == drawn.labels.shape and set(fold.tolist()) <= set(range(folds))
    assert len(set(zip(drawn.groups.tolist(), fold.tolist()))) == len(set(drawn.groups.tolist()))


@given(grouped(), st.integers(2, 12))
def test_each_pair_is_in_one_fold_and_no_group_in_two(drawn, folds):
    keeps_groups_whole(drawn, folds=folds)


def deal_pairs(labels, groups, folds, seed, sparse):
    """Folds that ignore twins."""
    return split_folds(labels, np.arange(len(labels)), folds, seed, sparse)


def test_twin_folds_that_ignore_twins_are_caught():
    assert_caught(partial(keeps_groups_whole, deal=deal_pairs), grouped())


def seed_decides(drawn: Grouped, seed: int, deal: Callable = split_folds) -> None:
    first = deal(drawn.labels, drawn.groups, 3, seed, sparse=True)
    names = (drawn.groups * 13 + 5, drawn.groups - drawn.groups.max())
    assert all((first == deal(drawn.labels, groups, 3, seed, sparse=True)).all() for groups in names)


@given(grouped(), SEEDS)
def test_the_seed_decides_and_the_numbers_of_the_groups_do_not(drawn, seed):
    seed_decides(drawn, seed)


def deals_evenly(drawn: Grouped, deal: Callable = split_folds, folds: int = 3) -> None:
    """As even as whole groups allow: two folds differ in a label by no more than its largest group."""
    fold = deal(drawn.labels, drawn.groups, folds, 0, sparse=True)
    for label in np.unique(drawn.labels):
        ours = drawn.labels == label
        counts = np.bincount(fold[ours], minlength=folds)
        assert counts.max() - counts.min() <= max(Counter(drawn.groups[ours].tolist()).values())


@given(grouped_alike(), st.integers(2, 8))
def test_folds_are_as_even_as_groups_allow(drawn, folds):
    deals_evenly(drawn, folds=folds)


def test_twin_folds_that_are_not_stratified_are_caught():
    def broken(labels, groups, folds, seed, sparse):
        return split_folds(np.zeros_like(labels), groups, folds, seed, sparse)

    assert_caught(partial(deals_evenly, deal=broken), grouped_alike())


# Both groups of the label 0 went to one of two folds.
CROWDED = Grouped(np.array([0, 2, 2, 2, 2, 2, 0, 1, 2], np.int8), np.array([7, 17, 3, 8, 17, 17, 3, 7, 17]))


def leaves_each_label_to_train_on(drawn: Grouped, folds: int = 4, deal: Callable = split_folds) -> None:
    """A label of two twin groups or more is in the training part of every fold."""
    fold = deal(drawn.labels, drawn.groups, folds, 0, sparse=True)
    for label in np.unique(drawn.labels):
        ours = drawn.labels == label
        assert len(set(fold[ours].tolist())) > 1 or len(set(drawn.groups[ours].tolist())) == 1


@given(grouped(), st.integers(4, 12))  # with fewer folds, a group of three labels may have no fold to go to
def test_every_training_part_has_every_label_that_it_can(drawn, folds):
    leaves_each_label_to_train_on(drawn, folds)


@given(grouped_alike(), st.integers(2, 12))
def test_with_two_folds_as_well_where_twins_agree(drawn, folds):
    leaves_each_label_to_train_on(drawn, folds)


def test_both_folds_get_a_group_of_a_label_although_another_label_is_crowded():
    leaves_each_label_to_train_on(CROWDED, 2)


def test_twin_folds_that_take_a_label_whole_are_caught():
    def broken(labels, groups, folds, seed, sparse):
        return (labels % folds).astype(np.int8)

    assert_caught(partial(leaves_each_label_to_train_on, deal=broken), grouped())


@given(grouped(), st.integers(2, 12))
def test_folds_adapt_to_the_rarest_label_and_each_is_filled(drawn, wanted):
    folds = fit_folds(drawn.labels, drawn.groups, wanted)
    assert 2 <= folds <= wanted
    many = [one for label in set(drawn.labels) if (one := len(set(drawn.groups[drawn.labels == label]))) > 1]
    assert folds == max(2, min([wanted, *many]))
    if len(set(drawn.groups)) >= 2 * folds:
        fold = split_folds(drawn.labels, drawn.groups, folds, 0, sparse=True)
        assert set(fold.tolist()) == set(range(folds))


@given(grouped(4), st.integers(2, 12))
def test_a_training_uses_as_many_folds_as_it_can_and_says_when_they_are_fewer(drawn, wanted):
    frame = to_frame(drawn).assign(split="train")
    config = RunConfig(folds=wanted)
    fold = deal_folds(config, frame, drawn.labels)
    folds = fit_folds(drawn.labels, drawn.groups, wanted)
    assert (fold == split_folds(drawn.labels, drawn.groups, folds, 0, sparse=True)).all()
    notes = note_few(config, drawn.labels, drawn.groups, fold)
    assert any(note.startswith(f"folds={wanted}: ") for note in notes) == (folds < wanted)


@given(grouped(), st.integers(-2, 130))
def test_folds_that_cannot_be_filled_are_refused_in_a_sentence(drawn, folds):
    few = {LABELS[label] for label in drawn.labels if len(set(drawn.groups[drawn.labels == label])) < folds}
    try:
        fold = split_folds(drawn.labels, drawn.groups, folds, 0)
    except CourseError as error:
        assert f"folds={folds}" in str(error) if not 2 <= folds <= 127 else any(label in str(error) for label in few)
    else:
        assert not few and len(fold) == len(drawn.labels)


# ---- train and dev


def to_frame(drawn: Grouped, test: int = 0) -> pd.DataFrame:
    labels = [LABELS[number] for number in drawn.labels] + [None] * test
    twin = [*drawn.groups.tolist(), *range(1000, 1000 + test)]
    return pd.DataFrame({"label": pd.Series(labels, dtype=object), "twin": twin})


def splits_soundly(drawn: Grouped, seed: int = 0, split: Callable = split_dev) -> None:
    frame = to_frame(drawn, test=2)
    try:
        sides = np.array(split(Path("course"), frame, seed, 0.2))
    except CourseError as error:
        assert "course/train.txt" in str(error)
        assert len(set(drawn.labels)) == 1 or len(set(drawn.groups)) < len(drawn.groups) or len(drawn.labels) < 12
        return
    labelled = sides[:-2]
    assert set(labelled) == {"train", "dev"} and sides[-2:].tolist() == ["test", "test"]
    assert len(set(zip(drawn.groups.tolist(), labelled))) == len(set(drawn.groups.tolist()))
    assert set(drawn.labels[labelled == "train"]) == set(drawn.labels)
    assert split(Path("course"), frame, seed, 0.2) == sides.tolist()


@given(grouped(12), SEEDS)
def test_train_and_dev_divide_no_twins_and_train_has_every_label(drawn, seed):
    splits_soundly(drawn, seed)


@given(st.lists(st.integers(0, 2), min_size=12, max_size=40), SEEDS)
def test_twelve_pairs_without_twins_of_two_labels_are_enough(labels, seed):
    assume(len(set(labels)) > 1)
    drawn = Grouped(np.array(labels, np.int8), np.arange(len(labels)))
    sides = split_dev(Path("course"), to_frame(drawn), seed, 0.2)
    assert 1 <= sides.count("dev") <= 0.2 * len(labels) + 3


def test_twin_a_split_that_ignores_twins_is_caught():
    def broken(root, frame, seed, dev_share):
        return split_dev(root, frame.assign(twin=range(len(frame))), seed, dev_share)

    assert_caught(partial(splits_soundly, split=broken), grouped(12))


# ---- what decides when to stop


def stops_soundly(drawn: Grouped, choose: Callable = _choose_stoppers) -> None:
    stops = choose(drawn.labels, drawn.groups, 0)
    assert stops.dtype == bool and stops.any() and not stops.all()
    assert not set(drawn.groups[stops]) & set(drawn.groups[~stops])
    # A label of one group may have to go with that group, and with two or three inner folds a group of several labels
    # may have no fold to go to.
    agree = len(set(drawn.pairs)) == len(set(drawn.groups.tolist()))
    strict = agree or fit_folds(drawn.labels, drawn.groups, INNER_FOLDS) > 3
    for label in set(drawn.labels):
        alone = len(set(drawn.groups[drawn.labels == label])) == 1
        assert alone or not strict or label in drawn.labels[~stops]


SEVERAL = grouped(4).filter(lambda drawn: len(set(drawn.groups.tolist())) > 1)


@given(SEVERAL | grouped_alike(4).filter(lambda drawn: len(set(drawn.groups.tolist())) > 1))
@example(Grouped(np.array([0, 0, 2, 0, 0], np.int8), np.array([17, 17, 24, 17, 17])))  # none was chosen
def test_stoppers_share_no_twin_with_training_and_take_no_label_away(drawn):
    stops_soundly(drawn)


def test_pairs_that_are_all_twins_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match="train.txt.*twins of one another"):
        _choose_stoppers(np.array([0, 2, 2]), np.array([4, 4, 4]), 0)


def test_twin_stoppers_that_ignore_twins_are_caught():
    def broken(labels, groups, seed):
        return _choose_stoppers(labels, np.arange(len(labels)), seed)

    assert_caught(partial(stops_soundly, choose=broken), SEVERAL)
