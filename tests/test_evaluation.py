"""Scores against scikit-learn and against values worked out by hand; what must be refused is refused."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mmlab.config import LABELS, probability_columns
from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS, Interval, Metric, compare_frames, compare_predictions, score_frame
from mmlab.evaluation import score_predictions as score
from mmlab.evaluation import scores as evaluation
from mmlab.evaluation.baselines import majority_baseline, majority_predictions, tfidf_predictions
from mmlab.evaluation.frames import list_answers, list_mistakes, share_changed
from mmlab.evaluation.probes import calibration_error, measure_optimism


def some_predictions(n=400, right=0.7, seed=0, shares=(0.3, 0.1, 0.6)):
    """Labels and predictions (n,) of which a share `right` is copied from the labels, the rest drawn at random."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=shares)
    return labels, np.where(rng.random(n) < right, labels, rng.integers(0, 3, n))


def as_frame(labels, predicted, scenario="text_only", twins=None):
    """A predictions frame that answers `predicted` with probability 0.8."""
    frame = pd.DataFrame({"guid": [f"g{i:04d}" for i in range(len(labels))], "fold": np.arange(len(labels)) % 5})
    frame["label"] = [LABELS[label] for label in labels]
    frame["twin"] = np.arange(len(labels)) if twins is None else twins
    frame[probability_columns(scenario)] = np.where(np.eye(3, dtype=bool)[predicted], 0.8, 0.1)
    return frame


@pytest.mark.parametrize("classes", [(0, 1, 2), (0, 2), (2,)])
def test_point_scores_equal_scikit_learn(classes):
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

    labels, predicted = some_predictions()
    labels = np.asarray(classes)[labels % len(classes)]  # with classes missing from the truth, not from the answers
    scores = score(labels, predicted, np.arange(len(labels)), draws=50)
    always = {"labels": [0, 1, 2], "zero_division": 0}
    assert scores.accuracy.value == pytest.approx(accuracy_score(labels, predicted), rel=1e-12)
    assert scores.macro_f1.value == pytest.approx(f1_score(labels, predicted, average="macro", **always), rel=1e-12)
    weighted = f1_score(labels, predicted, average="weighted", **always)
    assert scores.weighted_f1.value == pytest.approx(weighted, rel=1e-12)
    expected = recall_score(labels, predicted, labels=[0, 1, 2], average=None, zero_division=np.nan)
    assert [scores.recall[label].value for label in LABELS] == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert np.array_equal(scores.confusion, confusion_matrix(labels, predicted, labels=[0, 1, 2]))


def test_scores_worked_out_by_hand():
    scores = score([0, 0, 0, 1, 2, 2, 2, 2], [0, 0, 1, 1, 2, 2, 2, 0], range(8))
    assert scores.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 3]]
    assert scores.accuracy.value == 6 / 8
    # F1 = 2 right / (true + answered): 4/6, 2/3, 6/7.
    assert scores.macro_f1.value == pytest.approx((2 / 3 + 2 / 3 + 6 / 7) / 3, rel=1e-12)
    assert scores.weighted_f1.value == pytest.approx((3 * 2 / 3 + 1 * 2 / 3 + 4 * 6 / 7) / 8, rel=1e-12)
    assert [scores.recall[label].value for label in LABELS] == [2 / 3, 1.0, 3 / 4]


def test_perfect_and_constant_predictions():
    labels, _ = some_predictions()
    perfect = score(labels, labels, range(len(labels)))
    assert perfect.accuracy == perfect.macro_f1 == perfect.weighted_f1 == Interval(1, 1, 1)
    constant = score(labels, np.full(len(labels), 2), range(len(labels)))
    share = (labels == 2).mean()
    assert constant.accuracy.value == share
    assert constant.macro_f1.value == pytest.approx(2 * share / (1 + share) / 3, rel=1e-12)  # the other two add 0
    assert [constant.recall[label].value for label in LABELS] == [0, 0, 1]


def test_an_absent_class_has_no_recall_and_still_counts_in_macro_f1():
    scores = score([0, 0, 2, 2], [0, 0, 2, 2], range(4))
    assert math.isnan(scores.recall["neutral"].value) and str(scores.recall["neutral"]) == "no pairs"
    assert scores.macro_f1.value == pytest.approx(2 / 3, rel=1e-12)


def test_one_twin_group_has_no_interval():
    assert str(score([0, 1, 2], [0, 1, 0], [7, 7, 7]).accuracy) == "0.667 [no interval]"


def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth, inside = 0.7, 0
    for seed in range(200):
        right = np.random.default_rng(seed).random(300) < truth
        interval = score(np.full(300, 2), np.where(right, 2, 0), range(300), draws=400, seed=seed).accuracy
        inside += interval.contains(truth)
    assert 180 <= inside <= 199  # 95 % of 200 is 190; five standard deviations of noise are 15


def test_interval_equals_the_plain_bootstrap():
    labels, predicted = some_predictions(n=60)
    twins = np.arange(60) // 2
    rng, plain = np.random.default_rng(1), []
    for _ in range(4000):  # the slow way: draw twin groups, take all their rows
        rows = np.concatenate([np.flatnonzero(twins == group) for group in rng.integers(0, 30, 30)])
        plain.append((labels[rows] == predicted[rows]).mean())
    interval = score(labels, predicted, twins, draws=4000).accuracy
    assert [interval.low, interval.high] == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.02)


def test_twins_widen_the_interval():
    labels, predicted = some_predictions(n=200)
    once = score(labels, predicted, range(200)).accuracy
    copies = [np.repeat(values, 4) for values in (labels, predicted, np.arange(200))]
    grouped = score(*copies).accuracy
    careless = score(*copies[:2], range(800)).accuracy  # the twin of this test: rows taken as independent
    assert (grouped.low, grouped.high) == (once.low, once.high)  # copies carry no information
    assert careless.high - careless.low < 0.65 * (grouped.high - grouped.low)


def test_shuffled_labels_fall_to_chance():
    labels, predicted = some_predictions(n=2000, right=0.8)
    chance = sum((labels == k).mean() * (predicted == k).mean() for k in range(3))
    real = score(labels, predicted, range(2000)).accuracy
    shuffled = score(np.random.default_rng(0).permutation(labels), predicted, range(2000)).accuracy
    assert real.low > chance + 0.2
    assert shuffled.contains(chance) and shuffled.high < real.low


def test_same_seed_same_scores_in_any_row_order():
    labels, predicted = some_predictions()
    twins = np.arange(400) // 3
    first = score(labels, predicted, twins, seed=3)
    order = np.random.default_rng(0).permutation(400)
    assert first == score(labels[order], predicted[order], twins[order], seed=3)
    assert first != score(labels, predicted, twins, seed=4)


def test_scores_are_plain_values_for_json():
    absent = score([0, 2, 2], [0, 1, 2], range(3))
    data = json.loads(json.dumps(absent.to_dict(), allow_nan=False))
    assert list(data) == ["n", *METRICS, "recall", "confusion"]
    assert data["accuracy"] == absent.accuracy.to_list() and data["recall"]["neutral"] == [None, None, None]
    comparison = compare_predictions([0, 1, 2, 1], [0, 1, 2, 2], [0, 1, 1, 1], range(4))
    assert json.loads(json.dumps(comparison.to_dict(), allow_nan=False))["b"] == comparison.b


def test_a_metric_is_one_entry_and_then_everywhere(monkeypatch):
    def worst_recall(confusion):
        return np.nanmin(evaluation.recall_of(confusion), axis=-1)

    new = Metric("worst_recall", "worst recall", "the recall of the label that is found least", worst_recall)
    monkeypatch.setitem(METRICS, "worst_recall", new)
    scores = score(*some_predictions(), np.arange(400))
    assert scores.worst_recall.value == min(one.value for one in scores.recall.values())
    assert scores.worst_recall.low < scores.worst_recall.value < scores.worst_recall.high
    assert scores.to_dict()["worst_recall"] == scores.worst_recall.to_list()
    assert scores.to_row()["worst recall"].replace("\xa0", " ") == str(scores.worst_recall)
    assert "worst recall" in str(scores)
    with pytest.raises(AttributeError, match="no score 'best_recall'.*worst_recall"):
        _ = scores.best_recall


def test_text_of_scores():
    scores = score(*some_predictions(), range(400))
    assert str(Interval(0.7123, 0.6961, 0.728)) == "0.712 [0.696, 0.728]"
    assert f"{Interval(0.05, -0.01, 0.11):+.2f}" == "+0.05 [-0.01, +0.11]"
    assert "n = 400 pairs" in str(scores)
    assert scores.to_row()["accuracy"].split("\xa0") == str(scores.accuracy).split(" ")  # on one line of a table
    assert [name for name in scores.to_row() if name.startswith("recall")] == [f"recall {label}" for label in LABELS]


@pytest.mark.parametrize(
    ("labels", "predicted", "groups", "message"),
    [
        ([], [], [], "empty"),
        ([0, 1], [0], [0, 1], "labels 2, predicted 1, groups 2"),
        ([0, 1], [0, 1], [0], "groups 1"),
        ([0, 3], [0, 1], [0, 1], "labels must hold the class numbers"),
        ([0, 1], [0, -1], [0, 1], "predicted must hold the class numbers"),
        ([0, 1], [0, 1], [0, math.nan], "no twin group"),
        (["positive", "neutral"], [0, 1], [0, 1], "class numbers"),
        ([0, 1], [[0.2, 0.3, 0.5], [math.nan, 0.5, 0.5]], [0, 1], "row 1"),
        ([0, 1], [[0.2, 0.3, 0.5], [4.0, -1.0, 0.5]], [0, 1], "no probabilities"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.5]], [0, 1], r"shape \(2, 2\)"),
    ],
)
def test_bad_input_is_refused(labels, predicted, groups, message):
    with pytest.raises(MmlabError, match=message):
        score(labels, predicted, groups)


def test_probabilities_and_their_classes_score_the_same():
    labels, predicted = some_predictions()
    frame = as_frame(labels, predicted)
    assert score_frame(frame, "text_only") == score(labels, predicted, range(400))


def test_score_frame_refuses_what_is_not_a_predictions_frame():
    frame = as_frame(*some_predictions(n=20))
    with pytest.raises(MmlabError, match="Did you mean 'text_only'"):
        score_frame(frame, "text_onyl")
    with pytest.raises(MmlabError, match="no column twin"):
        score_frame(frame.drop(columns="twin"), "text_only")
    with pytest.raises(MmlabError, match="guid g0003 has more than one row"):
        score_frame(pd.concat([frame, frame.iloc[[3]]]), "text_only")
    with pytest.raises(MmlabError, match="Row 2 has the label 'happy'"):
        score_frame(frame.assign(label=["neutral", "neutral", "happy", *frame["label"][3:]]), "text_only")
    with pytest.raises(MmlabError, match="guid g0004 has no probabilities"):
        score_frame(frame.assign(text_only_neutral=frame["text_only_neutral"].mask(frame.index == 4)), "text_only")
    with pytest.raises(MmlabError, match="empty"):
        score_frame(frame.iloc[:0], "text_only")


def test_frames_in_another_order_are_joined_on_guid():
    labels, a = some_predictions(right=0.8)
    b = some_predictions(right=0.6)[1]
    frame_a, frame_b = as_frame(labels, a), as_frame(labels, b, "image_only")
    straight = compare_frames(frame_a, "text_only", frame_b, "image_only")
    mixed = frame_b.sample(frac=1, random_state=0)
    assert compare_frames(frame_a, "text_only", mixed, "image_only") == straight
    assert straight.difference.value == pytest.approx((a == labels).mean() - (b == labels).mean(), rel=1e-12)
    # The twin of this test: without the join, the mixed rows give another, wrong, answer.
    careless = compare_predictions(labels, a, mixed[probability_columns("image_only")].to_numpy(), range(400))
    assert careless.difference.value > straight.difference.value + 0.05


def test_frames_of_other_data_are_refused():
    labels, a = some_predictions(n=50)
    frame = as_frame(labels, a)
    with pytest.raises(MmlabError, match="1 guids are in only one of them .first: g0049"):
        compare_frames(frame, "text_only", frame.iloc[:-1], "text_only")
    shuffled = frame.assign(guid=frame["guid"].sample(frac=1, random_state=0).to_numpy())
    with pytest.raises(MmlabError, match="disagree on the label"):
        compare_frames(frame, "text_only", shuffled, "text_only")
    with pytest.raises(MmlabError, match="more than one row"):
        compare_frames(frame, "text_only", pd.concat([frame, frame.iloc[:1]]), "text_only")
    with pytest.raises(MmlabError, match="group the twins differently"):
        compare_frames(frame, "text_only", frame.assign(twin=frame["twin"] // 2), "text_only")
    renumbered = frame.assign(twin=1000 - frame["twin"])  # the same groups under other numbers
    assert compare_frames(frame, "text_only", renumbered, "text_only").verdict == "cannot be told apart"


def test_exact_mcnemar_by_hand():
    labels = np.zeros(20, dtype=int)
    a, b = np.zeros(20, dtype=int), np.zeros(20, dtype=int)
    a[0], b[1:10] = 1, 2  # b alone is right once, a alone nine times
    comparison = compare_predictions(labels, a, b, range(20))
    assert (comparison.b, comparison.c, comparison.n) == (9, 1, 20)
    assert comparison.p_value == pytest.approx(2 * (1 + 10) / 2**10, rel=1e-9)  # 0 or 1 heads in 10, both sides
    assert comparison.difference.value == pytest.approx(8 / 20, rel=1e-12)
    assert comparison.verdict == "a is better"
    assert compare_predictions(labels, b, a, range(20)).verdict == "b is better"


def test_a_model_against_itself_cannot_be_told_apart():
    labels, a = some_predictions()
    same = compare_predictions(labels, a, a, range(400))
    assert (same.difference, same.b, same.c, same.p_value) == (Interval(0, 0, 0), 0, 0, 1.0)
    assert same.verdict == "cannot be told apart"


def test_paired_comparison_is_sharper_than_two_separate_intervals():
    labels, a = some_predictions(n=1000)
    b = a.copy()
    b[:60] = (labels[:60] + 1) % 3
    paired = compare_predictions(labels, a, b, range(1000))
    apart = [score(labels, predicted, range(1000)).accuracy for predicted in (a, b)]
    assert paired.verdict == "a is better"
    assert paired.difference.high - paired.difference.low < 0.6 * (apart[0].high - apart[0].low)


def test_majority_baseline_answers_the_most_frequent_label_of_the_other_folds():
    labels = np.array([2, 2, 2, 0, 0, 0, 0, 1])
    folds = np.array([0, 0, 0, 1, 1, 1, 1, -1])
    probabilities = majority_predictions(labels, folds)
    assert probabilities[0].tolist() == [4 / 5, 1 / 5, 0]  # fold 0 sees fold 1 and the pair that is only trained on
    assert probabilities[3].tolist() == [0, 1 / 4, 3 / 4]
    assert np.isnan(probabilities[-1]).all()
    pairs = pd.DataFrame({"guid": list("abcdefgh"), "label": [LABELS[k] for k in labels], "twin": range(8)})
    frame = majority_baseline(pairs, folds)
    assert frame.columns.tolist() == ["guid", "fold", "label", "twin", *probability_columns("majority")]
    assert frame["guid"].tolist() == list("abcdefg")
    assert score_frame(frame, "majority", draws=10).accuracy.value == 0


def tweets(n=120, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    words = [("sad", "awful"), ("bus", "table"), ("happy", "great")]
    return [f"{words[k][rng.integers(2)]} thing number {rng.integers(50)}" for k in labels], labels


def test_tfidf_learns_from_words_and_shuffled_labels_teach_it_nothing():
    texts, labels = tweets()
    folds = np.arange(120) % 3
    learnt = tfidf_predictions(texts, labels, folds)
    assert learnt.shape == (120, 3) and np.allclose(learnt.sum(axis=1), 1)
    assert (learnt.argmax(axis=1) == labels).mean() > 0.95
    assert np.array_equal(learnt, tfidf_predictions(texts, labels, folds))
    shuffled = np.random.default_rng(1).permutation(labels)
    assert (tfidf_predictions(texts, shuffled, folds).argmax(axis=1) == shuffled).mean() < 0.5


def test_tfidf_never_trains_on_the_fold_it_predicts():
    texts, labels = tweets()
    folds = np.arange(120) % 3
    before = tfidf_predictions(texts, labels, folds)
    changed = np.where(folds == 0, (labels + 1) % 3, labels)
    after = tfidf_predictions(texts, changed, folds)
    assert np.array_equal(before[folds == 0], after[folds == 0])
    assert not np.array_equal(before[folds == 1], after[folds == 1])


def test_tfidf_keeps_a_class_its_training_rows_lack_at_zero():
    probabilities = tfidf_predictions(["a b", "c d", "a b", "c d"], [0, 2, 0, 2], [0, 0, 1, 1])
    assert probabilities[:, 1].tolist() == [0, 0, 0, 0] and np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("texts", "labels", "lacking"),
    [(["", " ", "", " "], [0, 1, 0, 1], "no word"), (["a", "b", "a", "b"], [0, 1, 1, 1], "only one label")],
)
def test_tfidf_that_cannot_learn_answers_as_the_majority_and_says_so(texts, labels, lacking, capsys):
    folds = np.array([0, 0, 1, 1])
    answers, majority = tfidf_predictions(texts, labels, folds), majority_predictions(labels, folds)
    assert np.array_equal(answers[folds == 0], majority[folds == 0])
    assert f"outside fold 0 have {lacking} to learn from" in capsys.readouterr().out
    learned = tfidf_predictions(["a", "b", "a", "b"], [0, 1, 0, 1], folds)  # the twin: there is something to learn
    assert not np.array_equal(learned, majority_predictions([0, 1, 0, 1], folds)) and not capsys.readouterr().out


@pytest.mark.parametrize(
    ("texts", "labels", "folds", "message"),
    [
        (["a", "b"], [0, 1], [0, 0], "nothing is left to train on"),
        (["a"], [0, 1], [0, 1], "texts 1, labels 2"),
        (["a", "b"], ["positive", None], [0, 1], "Row 1 has the label None"),
        (["a", "b"], [0, 1], [0.0, 1.0], "whole numbers"),
    ],
)
def test_tfidf_refuses(texts, labels, folds, message):
    with pytest.raises(MmlabError, match=message):
        tfidf_predictions(texts, labels, np.asarray(folds))


def test_calibration_error_by_hand():
    probabilities = np.tile([0.75, 0.15, 0.1], (4, 1))
    assert calibration_error([0, 0, 0, 1], probabilities) == pytest.approx(0, abs=1e-12)
    assert calibration_error([0, 1, 1, 1], probabilities) == pytest.approx(0.5, rel=1e-9)
    two = np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.25, 0.5, 0.25]])
    assert calibration_error([0, 1, 1], two) == pytest.approx((2 * 0.4 + 1 * 0.5) / 3, rel=1e-9)
    assert calibration_error([0], [[1.0, 0.0, 0.0]]) == 0  # confidence 1 belongs to the last bin
    with pytest.raises(MmlabError, match="probabilities of shape"):
        calibration_error([0, 1], [0, 1])


def test_import_is_light():
    heavy = ("sklearn", "scipy", "torch", "matplotlib")
    code = f"import sys, mmlab.evaluation; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_bootstrap_is_quick_and_chunked(monkeypatch):
    labels, predicted = some_predictions(n=3000)
    whole = score(labels, predicted, np.arange(3000) // 2)
    monkeypatch.setattr(evaluation, "_CHUNK", 5000)
    assert score(labels, predicted, np.arange(3000) // 2) == whole


def test_real_course_beats_nothing_by_always_answering_positive(course_folder):
    table = pd.read_csv(course_folder / "train.txt", dtype=str, keep_default_na=False)
    pairs = pd.DataFrame({"guid": table["guid"], "label": table["tag"], "twin": range(len(table))})
    scores = score_frame(majority_baseline(pairs, np.arange(len(pairs)) % 5), "majority")
    assert scores.accuracy.value == (table["tag"] == "positive").mean()
    assert scores.macro_f1.value == pytest.approx(2 * 0.6 / 1.6 / 3, rel=0.05)


# -------------------------------------------------------------------------------------------------------------- probes


def test_answers_and_mistakes_worked_out_by_hand():
    frame = as_frame([0, 1, 2, 2], [0, 2, 2, 0])
    frame.loc[1, probability_columns("text_only")] = [0.0, 0.1, 0.9]
    answers = list_answers(frame, "text_only")
    assert list(answers["predicted"]) == ["negative", "positive", "positive", "negative"]
    assert list(answers["right"]) == [True, False, True, False]
    assert list(answers["confidence"]) == [0.8, 0.9, 0.8, 0.8]
    assert list(list_mistakes(frame, "text_only")["guid"]) == ["g0001", "g0003"]


def test_the_share_that_changed_its_mind():
    before, after = as_frame([0, 1, 2, 2], [0, 1, 2, 2]), as_frame([0, 1, 2, 2], [0, 2, 2, 1])
    assert share_changed(before, after, "text_only") == 0.5
    assert share_changed(before, before, "text_only") == 0
    with pytest.raises(MmlabError, match="same pairs"):
        share_changed(before, after.iloc[::-1], "text_only")


def test_choosing_among_equal_guessers_flatters_and_choosing_one_does_not():
    labels, _ = some_predictions()
    guessers = [as_frame(labels, np.random.default_rng(seed).integers(0, 3, 400)) for seed in range(20)]
    flattered = measure_optimism(guessers, "text_only", draws=300)
    assert flattered.points > 2
    alone = measure_optimism(guessers[:1], "text_only", draws=300)
    assert abs(alone.points) < 1
    assert measure_optimism(guessers, "text_only", draws=300) == flattered


def test_twins_are_never_divided_between_the_halves():
    """Two settings, each right on one of two twin groups: the one chosen here is always wrong there."""
    labels = np.array([0, 0, 1, 1])
    frames = [as_frame(labels, wrong, twins=[0, 0, 1, 1]) for wrong in ([0, 0, 2, 2], [2, 2, 1, 1])]
    assert measure_optimism(frames, "text_only", draws=50).elsewhere == 0
    apart = [frame.assign(twin=range(4)) for frame in frames]  # the twin: without groups some draws mix them
    assert measure_optimism(apart, "text_only", draws=50).elsewhere > 0
