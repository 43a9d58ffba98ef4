"""The kernel machine: exact leave-one-out, absent sides, no say for held-out pairs, the same answers when loaded."""

from dataclasses import replace

import numpy as np
import pytest

from mmlab.config import RunConfig
from mmlab.features import Features, Sequences
from mmlab.kernel import KernelModel, SeenSide, _invert, _leave_out, _list_groups, _soften

CONFIG = RunConfig.from_params({"folds": 3}, "kernel")
N = 150


def one_each(vectors: np.ndarray, present: np.ndarray | None = None) -> Sequences:
    present = np.ones(len(vectors), bool) if present is None else present
    return Sequences(vectors[present].astype(np.float32), np.concatenate([[0], np.cumsum(present)]))


def make_pairs(cue: float = 3.0, seed: int = 0) -> tuple[Features, np.ndarray]:
    """Pairs whose text's vector and one view of the text tell something of the label; the image's is noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, N)
    text, image, view = (random.standard_normal((N, width)) for width in (6, 7, 4))
    text[:, :3] += cue * np.eye(3)[labels]
    view[:, :3] += cue * np.eye(3)[labels]
    sides = [one_each(one) for one in (text, image)]
    views = {"text": {"told": one_each(view)}, "image": {}}
    return Features([str(number) for number in range(N)], *sides, digest="", views=views), labels


def fit(pairs: Features, labels: np.ndarray, rows: np.ndarray, twins: np.ndarray | None = None) -> KernelModel:
    model = KernelModel(CONFIG)
    model.fit(pairs, labels, rows, np.arange(N) if twins is None else twins)
    return model


TRAIN, TEST = np.arange(0, 100), np.arange(100, N)


def test_it_learns_what_the_text_tells_and_nothing_from_noise():
    pairs, labels = make_pairs()
    answers = fit(pairs, labels, TRAIN).answer(pairs, TEST)
    right = {name: (one.argmax(axis=1) == labels[TEST]).mean() for name, one in answers.items()}
    assert right["text_only"] > 0.9
    assert right["text_and_image"] > 0.8
    assert right["image_only"] < 0.55
    for one in answers.values():
        np.testing.assert_allclose(one.sum(axis=1), 1)


def test_shuffled_labels_teach_nothing():
    pairs, labels = make_pairs()
    shuffled = np.random.default_rng(1).permutation(labels)
    answers = fit(pairs, shuffled, TRAIN).answer(pairs, TEST)
    assert (answers["text_and_image"].argmax(axis=1) == shuffled[TEST]).mean() < 0.55
    assert answers["text_and_image"].max() < 0.8  # the calibration has noticed


def test_the_error_of_a_group_left_out_is_that_of_a_fit_without_it():
    random = np.random.default_rng(0)
    vectors, targets = random.standard_normal((30, 5)), random.standard_normal((30, 3))
    twins = np.array([0, 0, 0, 1, 1, *range(2, 27)])
    likeness = np.exp(-((vectors[:, None] - vectors) ** 2).sum(axis=2) / 5)
    inverse = _invert(likeness, 0.2)
    errors = _leave_out(inverse, inverse @ targets, _list_groups(twins))
    for group in range(27):
        out, rest = np.flatnonzero(twins == group), np.flatnonzero(twins != group)
        dual = _invert(likeness[np.ix_(rest, rest)], 0.2) @ targets[rest]
        np.testing.assert_allclose(targets[out] - errors[out], likeness[np.ix_(out, rest)] @ dual, rtol=1e-8)


def test_twins_left_out_together_are_judged_more_strictly_than_alone():
    """Two copies of each pair: to leave out one alone would let the model read its label from the other."""
    pairs, labels = make_pairs(cue=0.0)
    rows = np.repeat(np.arange(50), 2)
    doubled = pairs.pair_up(rows, rows)
    doubled = replace(doubled, guids=[str(number) for number in range(100)])
    twins, labels, every = rows, labels[rows], np.arange(100)
    alone = KernelModel(CONFIG).fit(doubled, labels, every, np.arange(100))["text_and_image"]
    together = KernelModel(CONFIG).fit(doubled, labels, every, twins)["text_and_image"]
    assert (alone.argmax(axis=1) == labels).mean() > 0.9
    assert (together.argmax(axis=1) == labels).mean() < 0.6


def test_an_absent_side_says_nothing():
    pairs, labels = make_pairs()
    model = fit(pairs, labels, TRAIN)
    blind = pairs.without("text")
    answers = model.answer(blind, TEST)
    np.testing.assert_allclose(answers["text_only"], np.tile(answers["text_only"][0], (len(TEST), 1)))
    np.testing.assert_allclose(answers["image_only"], model.answer(pairs, TEST)["image_only"])
    assert abs(answers["text_and_image"] - model.answer(pairs, TEST)["text_and_image"]).max() > 0.1


def test_a_held_out_pair_has_no_say():
    pairs, labels = make_pairs()
    other = labels.copy()
    other[TEST] = (other[TEST] + 1) % 3
    np.testing.assert_array_equal(
        fit(pairs, labels, TRAIN).answer(pairs, TEST)["text_and_image"],
        fit(pairs, other, TRAIN).answer(pairs, TEST)["text_and_image"],
    )


def test_loaded_it_answers_the_same():
    pairs, labels = make_pairs()
    model, again = fit(pairs, labels, TRAIN), KernelModel(CONFIG)
    again.load_learned(model.learned())
    for name, one in model.answer(pairs, TEST).items():
        np.testing.assert_array_equal(one, again.answer(pairs, TEST)[name])
    tensors = model.learned()
    del tensors["text.told.scale"]
    with pytest.raises(KeyError):
        KernelModel(CONFIG).load_learned(tensors)


def test_a_label_without_training_pairs_is_not_answered():
    pairs, labels = make_pairs()
    rows = TRAIN[labels[TRAIN] != 1]
    answers = fit(pairs, labels, rows).answer(pairs, TEST)["text_and_image"]
    assert (answers.argmax(axis=1) != 1).all()
    assert np.isfinite(answers).all()


def test_likeness_is_one_at_home_and_one_over_e_at_the_median():
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    present = np.ones(200, bool)
    kernel = SeenSide.of(vectors, present).kernel(vectors, present)
    np.testing.assert_allclose(np.diagonal(kernel), 1, atol=2e-3)  # vectors are kept with 16 bits
    assert np.median(kernel[np.triu_indices(200, 1)]) == pytest.approx(np.exp(-1), abs=0.01)


def test_the_calibration_keeps_the_order_of_scores():
    scores = np.array([[0.2, 0.1, 0.7], [0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(_soften(scores, np.array([3.0, 0, 0, 0])).argsort(axis=1), scores.argsort(axis=1))
