"""Confidence: temperature that no scored pair had a say in, silence where a model is unsure, the price of a label."""

import numpy as np
import pandas as pd
import pytest

from mmlab.config import LABELS
from mmlab.errors import MmlabError
from mmlab.evaluation import Interval, predictions_frame
from mmlab.evaluation.confidence import (
    Abstention,
    abstain,
    augrc,
    brier_score,
    cross_heat,
    find_threshold,
    heat,
    log_loss,
    price_of_recall,
    risk_coverage,
    score_confidence,
    shift_priors,
)


def draw_frame(n: int, sharpness: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """n pairs whose labels are drawn from the very probabilities that are given, which are then sharpened."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet([1, 0.4, 1.6], n)
    labels = (rng.random(n)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    pairs = pd.DataFrame({"guid": [str(i) for i in range(n)], "label": np.asarray(LABELS)[labels], "twin": range(n)})
    return predictions_frame(pairs, np.arange(n) % 5, {"text_only": heat(honest, 1 / sharpness)})


def test_the_temperature_of_calibrated_answers_is_about_one():
    _, temperatures = cross_heat(draw_frame(6000), "text_only")
    assert temperatures.between(0.9, 1.1).all()


def test_sharpened_answers_are_heated_back():
    frame = draw_frame(6000, sharpness=2.0)
    _, temperatures = cross_heat(frame, "text_only")
    assert temperatures.between(1.8, 2.2).all()
    table = score_confidence(frame, "text_only")
    assert (table.loc["heated", ["log loss", "Brier score", "calibration error"]]
            < table.loc["as it is", ["log loss", "Brier score", "calibration error"]]).all()  # fmt: skip


def test_a_fold_has_no_say_in_its_own_temperature():
    frame = draw_frame(600)
    changed = frame.copy()
    here = changed["fold"] == 2
    changed.loc[here, "label"] = np.roll(changed.loc[here, "label"].to_numpy(), 1)  # other labels in fold 2 alone
    (_, before), (_, after) = cross_heat(frame, "text_only"), cross_heat(changed, "text_only")
    assert before[2] == after[2]
    assert (before.drop(2) != after.drop(2)).all()


def test_losses_by_hand():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    assert log_loss([0, 2], probabilities) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, rel=1e-12)
    assert brier_score([0, 2], probabilities) == pytest.approx((0.25 + 2 * 0.0625 + 0.04 + 2 * 0.01) / 2, rel=1e-12)


def test_risk_and_coverage_by_hand():
    curve = risk_coverage([0.9, 0.5, 0.9, 0.4], [True, False, False, True])
    assert curve["threshold"].tolist() == [0.9, 0.5, 0.4]  # one point for each distinct confidence
    assert curve["coverage"].tolist() == [0.5, 0.75, 1.0]
    assert curve["risk"].tolist() == pytest.approx([1 / 2, 2 / 3, 1 / 2])


def test_the_order_of_equal_confidences_does_not_matter():
    one, other = (
        risk_coverage([0.9, 0.9, 0.1], [True, False, True]),
        risk_coverage([0.9, 0.9, 0.1], [False, True, True]),
    )
    pd.testing.assert_frame_equal(one, other)


def test_augrc_of_the_best_and_the_worst_order_by_hand():
    confidence = [4, 3, 2, 1]
    # Trapezoids of width 1/4 over the share of wrong answers among all: 0, 0, 0, 1/4, 2/4 and 0, 1/4, 2/4, 2/4, 2/4.
    assert augrc(confidence, [True, True, False, False]) == pytest.approx((1 / 8 + 3 / 8) / 4)
    assert augrc(confidence, [False, False, True, True]) == pytest.approx((1 / 8 + 3 / 8 + 1 / 2 + 1 / 2) / 4)
    assert augrc(confidence, [True] * 4) == 0
    assert augrc(confidence, [False] * 4) == pytest.approx(0.5)


def test_the_threshold_is_the_lowest_that_reaches_the_accuracy():
    confidence, right = [0.9, 0.8, 0.7, 0.6, 0.5], [True, True, False, True, False]
    assert find_threshold(confidence, right, 0.75) == 0.6
    assert find_threshold(confidence, right, 1.0) == 0.8
    assert find_threshold([0.9, 0.8], [False, True], 1.0) == np.inf
    with pytest.raises(MmlabError, match="above 0 and at most 1"):
        find_threshold(confidence, right, 85)


def test_silence_buys_accuracy_out_of_fold():
    frame = draw_frame(4000)
    everything, choosy = abstain(frame, "text_only", 0.01), abstain(frame, "text_only", 0.85)
    assert everything.coverage.value > 0.99
    assert everything.accuracy.value < 0.75
    assert choosy.accuracy.contains(0.85)
    assert 0.1 < choosy.coverage.value < 0.9
    assert choosy.accuracy.value > everything.accuracy.value
    assert "falls out first" in str(choosy)
    assert min(choosy.kept, key=choosy.kept.get) in str(choosy)


def test_a_model_that_knows_nothing_cannot_buy_accuracy():
    frame = draw_frame(1000)
    frame["label"] = np.random.default_rng(1).permutation(frame["label"])
    assert abstain(frame, "text_only", 0.85).coverage.value < 0.1


def test_where_nothing_is_sure_enough_it_says_so():
    frame = draw_frame(200).assign(fold=0, label="neutral", text_only_neutral=0.1, text_only_positive=0.9)
    frame["text_only_negative"] = 0.0
    assert str(abstain(frame, "text_only", 0.5)) == "No threshold reaches 50%: the model would answer nothing."


@pytest.mark.parametrize("high, said", [(0.84, True), (0.86, False)])
def test_an_accuracy_that_is_out_of_reach_is_told(high, said):
    reached = Abstention(0.85, Interval(0.8, 0.7, high), Interval(0.1, 0.1, 0.1), {"positive": 0.1}, np.eye(2) > 0)
    assert ("which no confidence reaches" in str(reached)) == said


def test_priors_are_taken_out_of_the_logits():
    probabilities, priors = np.array([[0.2, 0.2, 0.6]]), np.array([0.3, 0.1, 0.6])
    np.testing.assert_allclose(shift_priors(probabilities, priors, 0), probabilities)
    np.testing.assert_allclose(shift_priors(probabilities, priors, 1)[0], np.array([2 / 3, 2, 1]) / (2 / 3 + 2 + 1))


def test_the_price_of_recall_is_paid_by_the_frequent_labels():
    table = price_of_recall(draw_frame(4000), "text_only").set_index("strength")
    assert table.loc[1.0, "recall neutral"] > table.loc[0.0, "recall neutral"] + 0.1
    assert table.loc[1.0, "accuracy"] < table.loc[0.0, "accuracy"]
    assert table.loc[1.0, "recall positive"] < table.loc[0.0, "recall positive"]
