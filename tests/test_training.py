"""The loop and cross-fitting on made-up features with a planted signal: what is learnt, and what must not be."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmlab.config import LABELS, SCENARIOS, RunConfig, probability_columns
from mmlab.course import Course, split_folds
from mmlab.errors import ConfigError, RunError
from mmlab.features import Batch, Features, Sequences
from mmlab.models import FUSIONS
from mmlab.runs import train_run
from mmlab.training import (
    apply_control,
    class_weights,
    cross_fit,
    drop_modalities,
    fit,
    loop,
    parts,
    predict,
    total_loss,
    warmup_cosine,
)
from mmlab.training.crossfit import _choose_stoppers

QUICK = RunConfig(
    fusion="concat", hidden=16, heads=2, dropout=0.1, modality_dropout=0.1, lr=1e-2, epochs=12, patience=12,
    batch_size=32, folds=3, seeds=1, weight_decay=0.05, warmup=0.1, label_smoothing=0.1,
)  # fmt: skip
N_TEST = 24
SHARES = (0.25, 0.15, 0.6)  # of negative, neutral and positive


def sequences(vectors: np.ndarray, lengths: np.ndarray, random) -> Sequences:
    """Each vector repeated with a little noise."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    values = np.repeat(vectors, lengths, axis=0)
    return Sequences((values + 0.1 * random.standard_normal(values.shape)).astype(np.float16), starts)


def make_data(n: int = 240, kind: str = "text", seed: int = 0) -> tuple[Course, Features]:
    """A course without files, and its features.

    kind "text": the text alone tells the label; "both": text and image each tell half of it, and only both together
    all; "nothing": neither tells anything. Pairs 0 and 1, 2 and 3, ... up to 19 are twins of each other.
    """
    random = np.random.default_rng(seed)
    total = n + N_TEST
    if kind == "both":
        side = random.integers(0, 2, (total, 2))
        numbers = np.where(side[:, 0] == side[:, 1], 2, np.where(side[:, 0] == 1, 0, 1))  # equal: positive
        text_cue, image_cue = np.eye(2)[side[:, 0]], np.eye(2)[side[:, 1]]
    else:
        numbers = random.choice(3, total, p=SHARES)
        shown = numbers if kind == "text" else random.permutation(numbers)
        text_cue, image_cue = np.eye(3)[shown], np.zeros((total, 3))
    numbers[1:20:2], text_cue[1:20:2], image_cue[1:20:2] = numbers[:20:2], text_cue[:20:2], image_cue[:20:2]

    def side_of(cue, width, lengths):
        vectors = random.standard_normal((total, width)) * 0.5
        vectors[:, : cue.shape[1]] += 3 * cue
        return sequences(vectors, lengths, random)

    text = side_of(text_cue, 8, random.integers(1, 5, total))
    image = side_of(image_cue, 10, np.full(total, 4))
    guids = [f"p{i}" for i in range(total)]
    twins = np.arange(total)
    twins[1:20:2] = twins[:20:2]
    split = np.where(split_folds(numbers[:n], twins[:n], 5, seed) == 0, "dev", "train").tolist()
    pairs = pd.DataFrame({
        "guid": guids,
        "label": [LABELS[number] for number in numbers[:n]] + [None] * N_TEST,
        "twin": twins,
        "split": split + ["test"] * N_TEST,
    })  # fmt: skip
    course = Course(Path("nowhere"), pairs, None, 0, "data", "split")
    return course, Features(guids, text, image, "made-up")


@pytest.fixture(scope="module")
def data():
    return make_data()


def rows_of(course: Course) -> tuple[np.ndarray, np.ndarray]:
    split = course.labelled["split"].to_numpy()
    return np.flatnonzero(split == "train"), np.flatnonzero(split == "dev")


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def joint_accuracy(predictions: pd.DataFrame, scenario: str = "text_and_image") -> float:
    best = predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
    return float((np.asarray(LABELS)[best] == predictions["label"]).mean())


# ------------------------------------------------------------------------------------------------- by hand


def test_warmup_cosine_by_hand():
    factor = warmup_cosine(10, 0.2)
    assert [factor(0), factor(1), factor(2)] == [0.5, 1.0, 1.0]
    assert factor(6) == pytest.approx(0.5)
    assert factor(10) == pytest.approx(0.0, abs=1e-12)
    assert factor(4) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    steps = [factor(step) for step in range(2, 11)]
    assert steps == sorted(steps, reverse=True)


def test_warmup_of_nothing_starts_at_the_top():
    assert warmup_cosine(10, 0.0)(0) == 1.0


def test_class_weights_by_hand():
    targets = torch.tensor([0] * 2 + [1] * 1 + [2] * 3)
    weights = class_weights(targets)
    np.testing.assert_allclose(weights.numpy(), [6 / (3 * 2), 6 / (3 * 1), 6 / (3 * 3)], rtol=1e-6)
    assert weights[targets].mean() == pytest.approx(1.0)
    np.testing.assert_allclose(class_weights(torch.tensor([0, 2, 2, 2])).numpy(), [2.0, 0.0, 2 / 3], rtol=1e-6)


def test_total_loss_by_hand():
    logits = {"a": torch.zeros(2, 3), "b": torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]).log()}
    targets = torch.tensor([0, 2])
    expected = math.log(3) + math.log(2)
    assert total_loss(logits, targets, None, 0.0).item() == pytest.approx(expected, rel=1e-5)
    weighted = total_loss(logits, torch.tensor([0, 1]), torch.tensor([3.0, 1.0, 0.0]), 0.0)
    assert weighted.item() == pytest.approx(math.log(3) + (3 * math.log(2) + math.log(4)) / 4, rel=1e-5)
    smoothed = total_loss({"a": logits["b"][:1]}, targets[:1], None, 0.3)  # 0.8, 0.1, 0.1 of the three logarithms
    assert smoothed.item() == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4), rel=1e-5)


def test_modalities_are_dropped_in_the_asked_share_and_never_both():
    n = 4000
    batch = Batch(torch.zeros(n, 1, 1), torch.ones(n, 2, dtype=torch.bool), torch.zeros(n, 1, 1),
                  torch.ones(n, 3, dtype=torch.bool))  # fmt: skip
    batch.text_mask[:500] = False  # pairs that have one side keep it
    batch.image_mask[500:1000] = False
    torch.manual_seed(0)
    dropped = drop_modalities(batch, 0.4)
    no_text, no_image = ~dropped.text_mask.any(dim=1), ~dropped.image_mask.any(dim=1)
    assert not (no_text & no_image).any()
    assert no_text[1000:].float().mean() == pytest.approx(0.2, abs=0.03)
    assert no_image[1000:].float().mean() == pytest.approx(0.2, abs=0.03)
    assert batch.text_mask[500:].all()  # the batch itself is as it was
    assert drop_modalities(batch, 0.0) is batch


# ----------------------------------------------------------------------------------------------- the loop


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_same_call_gives_the_same_weights_and_leaves_the_random_state_alone(data):
    course, features = data
    train, dev = rows_of(course)
    config = QUICK.replace(epochs=2)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = fit(config, features, course.labels, train, dev, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(456)  # the caller's seed does not matter
    second = fit(config, features, course.labels, train, dev, seed=3)
    assert equal(weights_of(first.model), weights_of(second.model))
    pd.testing.assert_frame_equal(first.history.drop(columns="seconds"), second.history.drop(columns="seconds"))
    other = fit(config, features, course.labels, train, dev, seed=4)
    assert not equal(weights_of(first.model), weights_of(other.model))


@pytest.mark.parametrize("fusion", ["gated", "attention", "transformer"])
def test_the_predictions_of_a_cross_fit_are_the_same_to_the_last_bit(fusion, data):
    course, features = data
    config = QUICK.replace(fusion=fusion, epochs=2, folds=2)
    first, second = (cross_fit(config, course, features).predictions.to_csv() for _ in range(2))
    assert first == second
    other = cross_fit(config.replace(dropout=0.11), course, features).predictions.to_csv()
    assert first != other  # the twin: a little more dropout is seen


@pytest.fixture
def two_processes(monkeypatch):
    """Models are trained in two processes, however small they are; gives the list of those that were started."""
    started = []
    whole = parts.start_process

    def remember(*call):
        started.append(whole(*call))
        return started[-1]

    monkeypatch.setattr(parts, "WORTH", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(parts, "start_process", remember)
    return started


def test_several_processes_train_the_same_models_to_the_last_bit(data, two_processes, monkeypatch):
    course, features = data
    config = QUICK.replace(epochs=2, folds=3, control="shuffle_images")
    torch.manual_seed(5)
    before, ticks = torch.get_rng_state(), []
    found = cross_fit(config, course, features, lambda *done: ticks.append(done))
    assert len(two_processes) == 2 and ticks == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(before, torch.get_rng_state())
    assert all(one.poll() is not None for one in two_processes)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = cross_fit(config, course, features)
    assert len(two_processes) == 2
    for name in ("predictions", "test_predictions", "best_epochs"):
        assert getattr(found, name).to_csv() == getattr(alone, name).to_csv()
    assert all(equal(weights_of(a), weights_of(b)) for a, b in zip(found.models, alone.models, strict=True))
    assert not any(one.training for one in found.models)


def test_what_goes_wrong_in_a_process_is_the_error_of_the_call(data, two_processes, monkeypatch):
    course, features = data
    monkeypatch.setattr(RunConfig, "__post_init__", lambda self: None)
    with pytest.raises(ConfigError, match="too high"):
        cross_fit(replace(QUICK, lr=1e30, epochs=2), course, features)
    assert all(one.poll() is not None for one in two_processes)


def test_processes_that_die_are_reported(data, two_processes, monkeypatch):
    monkeypatch.setattr(parts, "WORKER", "no.such.module")
    with pytest.raises(RunError, match="ended before their time"):
        cross_fit(QUICK, *data)


def test_small_trainings_and_fusions_of_a_notebook_stay_in_this_process(data, two_processes, monkeypatch):
    course, features = data
    assert parts.count_workers(QUICK, features, 5) == 2
    assert parts.count_workers(QUICK, features, 1) == 1
    monkeypatch.setattr(FUSIONS["concat"], "__module__", "__main__")
    assert parts.count_workers(QUICK, features, 5) == 1
    monkeypatch.undo()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert parts.count_workers(QUICK, features, 5) == 1  # so few pairs are trained at once


def dev_loss(model, features, labels, rows) -> float:
    answers = predict(model, features, rows).values()
    return float(np.mean([-np.log(p[np.arange(len(rows)), labels[rows]]).mean() for p in answers]))


def test_the_best_weights_are_those_of_the_best_epoch(monkeypatch):
    course, features = make_data(120, "nothing")  # nothing to learn: the dev loss soon rises
    train, dev = rows_of(course)
    config = QUICK.replace(epochs=15, patience=15, lr=2e-2, dropout=0.0)
    last = {}
    score = loop._dev_scores

    def remember(model, *rest):
        last["weights"], last["model"] = weights_of(model), copy.deepcopy(model)
        return score(model, *rest)

    monkeypatch.setattr(loop, "_dev_scores", remember)
    fitted = fit(config, features, course.labels, train, dev)
    losses = fitted.history["dev_loss"]
    assert fitted.best_epoch == losses.argmin() + 1 < len(losses)
    assert dev_loss(fitted.model, features, course.labels, dev) == pytest.approx(losses.min(), rel=1e-6)
    # The twin: had "best" been a reference, these would be the last weights, which are worse.
    assert not equal(weights_of(fitted.model), last["weights"])
    assert dev_loss(last["model"], features, course.labels, dev) > losses.min() + 0.01
    assert not fitted.model.training


def test_training_stops_when_patience_ends():
    course, features = make_data(120, "nothing")
    train, dev = rows_of(course)
    fitted = fit(QUICK.replace(epochs=40, patience=3, lr=2e-2), features, course.labels, train, dev)
    assert len(fitted.history) == fitted.best_epoch + 3 < 40


def test_the_history_says_what_happened(data):
    course, features = data
    seen = []
    fitted = fit(QUICK.replace(epochs=4, warmup=0.5), features, course.labels, *rows_of(course), on_epoch=seen.append)
    assert list(fitted.history) == ["epoch", "train_loss", "dev_loss", "dev_accuracy", "lr", "seconds"]
    assert fitted.history["epoch"].tolist() == [1, 2, 3, 4]
    assert [len(frame) for frame in seen] == [1, 2, 3, 4]  # as a live curve would be drawn
    assert fitted.history["train_loss"].iloc[-1] < fitted.history["train_loss"].iloc[0]
    assert fitted.history["lr"].iloc[1] == pytest.approx(QUICK.lr)
    assert fitted.history["lr"].iloc[-1] == pytest.approx(0.0, abs=1e-9)


def test_rows_outside_training_and_dev_do_not_matter(data):
    course, features = data
    train, dev = rows_of(course)
    config = QUICK.replace(epochs=2)
    labels = np.concatenate([course.labels, np.zeros(N_TEST, np.int8)])
    other = labels.copy()
    used = np.union1d(train[:100], dev)
    other[np.setdiff1d(np.arange(len(labels)), used)] = 1
    first = fit(config, features, labels, train[:100], dev)
    second = fit(config, features, other, train[:100], dev)
    assert equal(weights_of(first.model), weights_of(second.model))
    other[train[0]] = (other[train[0]] + 1) % 3  # the twin: one label that is trained on
    assert not equal(weights_of(first.model), weights_of(fit(config, features, other, train[:100], dev).model))


@pytest.mark.parametrize("fusion", ["concat", "gated", "attention", "transformer", "late"])
def test_a_planted_signal_is_learnt_by_every_fusion(fusion, data):
    course, features = data
    train, dev = rows_of(course)
    fitted = fit(QUICK.replace(fusion=fusion), features, course.labels, train, dev)
    answers = predict(fitted.model, features, dev)
    majority = np.bincount(course.labels[dev]).max() / len(dev)
    assert accuracy(answers["text_only"], course.labels[dev]) > 0.9 > majority + 0.2
    assert accuracy(answers["text_and_image"], course.labels[dev]) > 0.9
    assert accuracy(answers["image_only"], course.labels[dev]) < majority + 0.1  # the image tells nothing here


def test_class_weights_help_the_rare_class():
    course, features = make_data(240, "nothing")
    train, dev = rows_of(course)
    config = QUICK.replace(epochs=3, scenario="text_only", modality_dropout=0.0)
    plain, weighted = (
        predict(fit(config.replace(class_weights=on), features, course.labels, train, dev).model, features, dev)
        for on in (False, True)
    )
    assert weighted["text_only"][:, 1].mean() > 1.5 * plain["text_only"][:, 1].mean()


def test_predict_gives_probabilities_in_the_order_of_the_rows(data):
    course, features = data
    model = fit(QUICK.replace(epochs=1), features, course.labels, *rows_of(course)).model
    everything = predict(model, features)
    assert all(p.shape == (len(features), 3) and p.dtype == np.float64 for p in everything.values())
    np.testing.assert_allclose(everything["text_and_image"].sum(axis=1), 1.0)
    some = predict(model, features, [7, 3, 200])
    np.testing.assert_allclose(some["text_and_image"], everything["text_and_image"][[7, 3, 200]], rtol=1e-5)
    assert predict(model, features, np.array([], int))["text_only"].shape == (0, 3)


class Astray(torch.nn.Module):
    """A model whose answer is not a number, as after a far too long step."""

    def __init__(self, config, text_width, image_width):
        super().__init__()
        self.config, self.scenarios = config, config.trained_scenarios
        self.weight = torch.nn.Parameter(torch.tensor(float("nan")))

    def standardise(self, features, rows):
        pass

    def forward(self, batch):
        return {scenario: self.weight.expand(len(batch), 3) for scenario in self.scenarios}


def test_a_loss_that_is_no_number_is_an_error(data, monkeypatch):
    course, features = data
    monkeypatch.setattr(loop, "FusionModel", Astray)
    with pytest.raises(ConfigError, match=r"lr=0\.01 is too high"):
        fit(QUICK.replace(patience=2), features, course.labels, *rows_of(course))


def test_a_learning_rate_far_too_high_never_gives_a_model_of_nans(data, monkeypatch):
    monkeypatch.setattr(RunConfig, "__post_init__", lambda self: None)  # which refuses it
    course, features = data
    train, dev = rows_of(course)
    try:
        fitted = fit(replace(QUICK, lr=1e6, epochs=3), features, course.labels, train, dev)
    except ConfigError as error:
        assert "too high" in str(error)
    else:
        assert all(np.isfinite(p).all() for p in predict(fitted.model, features, dev).values())


# ------------------------------------------------------------------------------------------- cross-fitting


@pytest.fixture(scope="module")
def fitted_both():
    """Text and image each tell half: cross-fitted with two seeds, and the rows every model saw."""
    course, features = make_data(300, "both")
    seen = []
    whole = parts.fit

    def remember(config, features, labels, train_rows, dev_rows, seed, *rest):
        seen.append((np.asarray(train_rows), np.asarray(dev_rows), seed))
        return whole(config, features, labels, train_rows, dev_rows, seed, *rest)

    ticks = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "fit", remember)
        found = cross_fit(QUICK.replace(seeds=2), course, features, lambda *done: ticks.append(done))
    return course, features, found, seen, ticks


def test_every_labelled_pair_is_predicted_once(fitted_both):
    course, _, found, _, ticks = fitted_both
    assert found.predictions["guid"].tolist() == course.labelled["guid"].tolist()
    assert found.predictions["label"].tolist() == course.labelled["label"].tolist()
    assert sorted(found.predictions["fold"].unique()) == [0, 1, 2]
    assert list(found.predictions.columns[:4]) == ["guid", "fold", "label", "twin"]
    for scenario in SCENARIOS:
        probabilities = found.predictions[probability_columns(scenario)].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert ticks == [(done, 6) for done in range(1, 7)]


def assert_no_peeking(predictions: pd.DataFrame, seen, seeds: int) -> None:
    """No model was trained or stopped on a pair it predicts, nor on a twin of one; nor stopped on twins it learnt."""
    folds, twins = predictions["fold"].to_numpy(), predictions["twin"].to_numpy()
    assert len(seen) == seeds * len(np.unique(folds))
    for number, (train, dev, _) in enumerate(seen):
        predicted = np.flatnonzero(folds == number // seeds)
        assert not np.isin(twins[predicted], twins[np.concatenate([train, dev])]).any()
        assert not np.isin(twins[dev], twins[train]).any()
        assert sorted([*predicted, *train, *dev]) == list(range(len(folds)))


def test_no_model_predicts_a_pair_it_saw_or_a_twin_of_it(fitted_both):
    _, _, found, seen, _ = fitted_both
    assert_no_peeking(found.predictions, seen, seeds=2)
    assert len({seed for _, _, seed in seen}) == 6  # each starts from other weights


def test_the_check_for_peeking_catches_a_twin(fitted_both):
    _, _, found, seen, _ = fitted_both
    torn = found.predictions.copy()
    torn.loc[0, "twin"] = torn.loc[torn["fold"] != torn.loc[0, "fold"], "twin"].iloc[0]
    with pytest.raises(AssertionError):
        assert_no_peeking(torn, seen, seeds=2)


def test_predictions_are_means_over_the_models(fitted_both):
    course, features, found, _, _ = fitted_both
    n = len(course.labels)
    test_rows = np.arange(n, len(features))
    assert found.test_predictions["guid"].tolist() == course.test["guid"].tolist()
    for scenario in SCENARIOS:
        columns = probability_columns(scenario)
        of_each = [predict(model, features, test_rows)[scenario] for model in found.models]
        np.testing.assert_allclose(found.test_predictions[columns], np.mean(of_each, axis=0), rtol=1e-4)
        held_out = np.flatnonzero(found.predictions["fold"] == 1)
        of_fold = [predict(model, features, held_out)[scenario] for model in found.models[2:4]]
        np.testing.assert_allclose(found.predictions[columns].to_numpy()[held_out], np.mean(of_fold, axis=0), rtol=1e-4)


def test_the_history_names_fold_and_seed(fitted_both):
    _, _, found, seen, _ = fitted_both
    assert found.best_epochs[["fold", "seed"]].to_numpy().tolist() == [[f, s] for f in range(3) for s in (0, 1000)]
    for (fold, seed), one in found.history.groupby(["fold", "seed"]):
        assert one["epoch"].tolist() == list(range(1, len(one) + 1))
        best = found.best_epochs.query(f"fold == {fold} and seed == {seed}")["best_epoch"].item()
        assert best == one["dev_loss"].to_numpy().argmin() + 1
    assert len(found.history.groupby(["fold", "seed"])) == len(seen) == 6


def test_what_both_sides_tell_together_is_learnt_from_both_alone(fitted_both):
    _, _, found, _, _ = fitted_both
    assert joint_accuracy(found.predictions) > 0.85
    assert joint_accuracy(found.predictions, "text_only") < 0.7
    assert joint_accuracy(found.predictions, "image_only") < 0.7


@pytest.mark.parametrize("control", ["shuffle_images", "shuffle_texts"])
def test_shuffling_one_side_destroys_the_gain_of_both(fitted_both, control):
    course, features, found, _, _ = fitted_both
    broken = cross_fit(QUICK.replace(control=control, epochs=6), course, features)
    assert joint_accuracy(broken.predictions) < joint_accuracy(found.predictions) - 0.2
    kept = "text_only" if control == "shuffle_images" else "image_only"
    assert joint_accuracy(broken.predictions, kept) == pytest.approx(joint_accuracy(found.predictions, kept), abs=0.08)


def test_shuffled_labels_fall_to_the_majority(data):
    course, features = data
    majority = np.bincount(course.labels).max() / len(course.labels)
    plain = cross_fit(QUICK, course, features)
    shuffled = cross_fit(QUICK.replace(control="shuffle_labels"), course, features)
    assert joint_accuracy(plain.predictions) > 0.9  # the twin
    assert joint_accuracy(shuffled.predictions) == pytest.approx(majority, abs=0.07)
    assert sorted(shuffled.predictions["label"]) == sorted(plain.predictions["label"])
    assert shuffled.predictions["label"].tolist() != plain.predictions["label"].tolist()


@pytest.mark.parametrize("control", ["none", "shuffle_images", "shuffle_texts", "shuffle_labels"])
def test_a_control_breaks_one_relation_and_leaves_the_test_pairs_alone(data, control):
    course, features = data
    _, labels, changed = apply_control(control, course, features, seed=0)
    n = len(course.labels)
    for modality in ("text", "image"):
        before, after = features.pooled(modality), changed.pooled(modality)
        np.testing.assert_array_equal(before[n:], after[n:])
        assert (not np.array_equal(before[:n], after[:n])) == (control == f"shuffle_{modality}s")
        assert sorted(map(tuple, before[:n].tolist())) == sorted(map(tuple, after[:n].tolist()))
    assert (labels.tolist() != course.labels.tolist()) == (control == "shuffle_labels")


def test_without_folds_train_is_trained_on_and_dev_predicted(data, monkeypatch):
    course, features = data
    train, dev = rows_of(course)
    seen = []
    whole = parts.fit

    def remember(config, features, labels, train_rows, dev_rows, *rest):
        seen.append(np.sort(np.concatenate([train_rows, dev_rows])))
        return whole(config, features, labels, train_rows, dev_rows, *rest)

    monkeypatch.setattr(parts, "fit", remember)
    found = cross_fit(QUICK.replace(folds=0, epochs=2), course, features)
    assert found.predictions["guid"].tolist() == course.dev["guid"].tolist()
    assert found.predictions["label"].tolist() == course.dev["label"].tolist()
    assert set(found.predictions["fold"]) == {0}
    assert len(seen) == 1 and seen[0].tolist() == train.tolist()  # dev did not even decide when to stop
    assert len(found.test_predictions) == N_TEST


def test_one_scenario_alone_is_predicted_alone(data):
    course, features = data
    found = cross_fit(QUICK.replace(scenario="text_only", epochs=6), course, features)
    assert list(found.predictions.columns[4:]) == probability_columns("text_only")
    assert joint_accuracy(found.predictions, "text_only") > 0.9


def test_a_test_pair_without_a_side_is_answered_from_the_other(data):
    course, features = data
    n = len(course.labels)
    lengths = features.image.lengths.copy()
    lengths[n] = 0
    keep = np.ones(len(features.image.values), bool)
    keep[features.image.starts[n] : features.image.starts[n + 1]] = False
    image = Sequences(features.image.values[keep], np.concatenate([[0], np.cumsum(lengths)]))
    halved = Features(features.guids, features.text, image, features.digest)
    found = cross_fit(QUICK.replace(epochs=6), course, halved)
    joint = found.test_predictions[probability_columns("text_and_image")].to_numpy()
    assert np.isfinite(joint).all()
    assert joint[0].argmax() == found.test_predictions[probability_columns("text_only")].to_numpy()[0].argmax()


def test_a_class_with_too_few_pairs_means_fewer_folds_and_it_is_noted():
    course, features = make_data(60, "text")
    rarest = np.bincount(course.labels).min()
    fitted = cross_fit(QUICK.replace(folds=40, epochs=1), course, features)
    assert fitted.predictions["fold"].nunique() <= rarest < 40
    told = "folds are used"
    assert f"so {len(fitted.best_epochs)} {told}" in fitted.notes[0]
    assert not any(told in note for note in cross_fit(QUICK.replace(folds=2, epochs=1), course, features).notes)


def test_a_run_says_its_notes_whether_it_was_trained_or_found(tmp_path, capsys):
    course, features = make_data(60, "text")
    few = QUICK.replace(folds=40, epochs=1)
    said = []
    for _ in range(2):
        run = train_run(few, course, features, tmp_path)
        said.append(capsys.readouterr().out.splitlines())
    assert said[0] == said[1] == list(run.notes) and any("folds are used" in note for note in run.notes)
    train_run(QUICK.replace(folds=2, epochs=1, batch_size=8), course, features, tmp_path)
    assert not any("folds are used" in line for line in capsys.readouterr().out.splitlines())


def test_a_label_of_a_single_pair_is_never_kept_from_the_training_alone():
    labels = np.array([0] + [1] * 6 + [2] * 9)
    stops = _choose_stoppers(labels, np.arange(16), seed=0)
    assert 0 < stops.sum() < 8 and not stops[0]
    assert set(labels[~stops]) == {0, 1, 2}
