"""The kernel machine: likeness and its directions, absent sides, no say for held-out pairs, the same when loaded."""

import numpy as np
import pytest

from mmlab.config import RunConfig
from mmlab.features import Features, Sequences
from mmlab.kernel import KernelModel, SeenSide, _find_directions, _regress

CONFIG = RunConfig.from_params({"folds": 3, "views": "told"}, "kernel")
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


def fit(pairs: Features, labels: np.ndarray, rows: np.ndarray) -> KernelModel:
    model = KernelModel(CONFIG)
    model.fit(pairs, labels, rows, np.arange(len(rows)) % 8 == 0)
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


def test_a_view_that_is_turned_off_is_not_looked_at():
    pairs, labels = make_pairs()
    for views, known in (("told", {"encoded", "told"}), ("", {"encoded"})):
        model = KernelModel(CONFIG.replace(views=views))
        model.fit(pairs, labels, TRAIN, TRAIN % 8 == 0)
        assert set(model.views["text"]) == known and set(model.views["image"]) == {"encoded"}


def test_shuffled_labels_teach_nothing():
    pairs, labels = make_pairs()
    shuffled = np.random.default_rng(1).permutation(labels)
    answers = fit(pairs, shuffled, TRAIN).answer(pairs, TEST)
    assert (answers["text_and_image"].argmax(axis=1) == shuffled[TEST]).mean() < 0.55


def test_the_features_of_likeness_have_the_likeness_as_products():
    vectors = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    seen = SeenSide.of(vectors[:40], np.ones(40, bool), np.arange(40))
    likeness = seen.kernel(vectors[:40], np.ones(40, bool)).astype(np.float64)
    directions = _find_directions(likeness)
    np.testing.assert_allclose((likeness @ directions) @ (likeness @ directions).T, likeness, atol=1e-3)
    others = seen.kernel(vectors[40:], np.ones(20, bool)).astype(np.float64)
    np.testing.assert_allclose((others @ directions) @ (likeness @ directions).T, others, atol=1e-2)


def test_the_regression_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    features, truth = random.standard_normal((80, 4)), random.integers(0, 3, 80)
    weights, offsets = _regress(features, truth, 0.5)
    logits = features @ weights + offsets
    expected = LogisticRegression(C=2, max_iter=1000).fit(features, truth).predict_proba(features)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), expected, atol=1e-9)


def test_two_labels_and_one_are_enough():
    random = np.random.default_rng(0)
    features, truth = random.standard_normal((80, 4)), random.choice([0, 2], 80)
    weights, offsets = _regress(features, truth, 0.5)
    logits = features @ weights + offsets
    assert ((logits[:, 2] > logits[:, 0]) == (truth == 2)).mean() > 0.4
    assert (logits[:, 1] == -np.inf).all()
    weights, offsets = _regress(features, np.full(80, 1), 0.5)
    assert not weights.any() and offsets.tolist() == [-np.inf, 0.0, -np.inf]


def test_the_pairs_that_judge_it_are_not_trained_on():
    """With labels at random, a model knows its own training pairs, and nothing of the others."""
    pairs, labels = make_pairs(cue=0.0)
    every, judged = np.arange(N), np.arange(N) % 3 == 0
    answers = KernelModel(CONFIG.replace(regularise=1e-4)).fit(pairs, labels, every, judged)["text_and_image"]
    assert (answers.argmax(axis=1) == labels[judged]).mean() < 0.55
    model = KernelModel(CONFIG.replace(regularise=1e-4))
    model.fit(pairs, labels, every, judged)
    assert (model.answer(pairs, every)["text_and_image"].argmax(axis=1) == labels).mean() > 0.9


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
    kernel = SeenSide.of(vectors, present, np.arange(200)).kernel(vectors, present)
    np.testing.assert_allclose(np.diagonal(kernel), 1, atol=2e-3)  # vectors are kept with 16 bits
    assert np.median(kernel[np.triu_indices(200, 1)]) == pytest.approx(np.exp(-1), abs=0.01)
