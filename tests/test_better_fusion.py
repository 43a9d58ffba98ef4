"""What the exercise `better_fusion` says of trainings: better, worse, or not to be told apart."""

import numpy as np
import pandas as pd
import pytest

from mmlab.config import GUID, LABEL, LABELS, SCENARIOS, TWIN, probability_columns
from mmlab.exercises import EXERCISES, Found
from mmlab.exercises.fusion import _compare, _judge_scores

PAIRS = 200


def make_frame(joint: float, alone: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Predictions with these shares of right answers, at random rows."""
    random, labels = np.random.default_rng(seed), np.arange(PAIRS) % len(LABELS)
    frame = pd.DataFrame({GUID: map(str, range(PAIRS)), LABEL: np.take(LABELS, labels), TWIN: range(PAIRS)})
    for scenario, share in zip(SCENARIOS, (alone, alone, joint), strict=True):
        said = np.where(random.permutation(PAIRS) < share * PAIRS, labels, (labels + 1) % len(LABELS))
        frame[probability_columns(scenario)] = np.eye(len(LABELS))[said]
    return frame


def judge(mine: tuple[float, ...], theirs: tuple[float, ...]) -> str:
    frames = [[make_frame(share, seed=seed) for seed, share in enumerate(shares)] for shares in (mine, theirs)]
    return _judge_scores(*frames, Found(EXERCISES["better_fusion"].hints))


def test_the_interval_tells_better_from_worse():
    assert judge((0.95, 0.95, 0.95), (0.8, 0.8, 0.8)).endswith("yours is better.")
    assert judge((0.9, 0.9, 0.9), (0.9, 0.9, 0.9)).endswith("they cannot be told apart.")
    with pytest.raises(Exception) as caught:
        judge((0.8, 0.8, 0.8), (0.95, 0.95, 0.95))
    assert caught.value.code == "worse"


def test_one_lucky_training_is_no_gain():
    assert judge((0.95, 0.8, 0.8), (0.7, 0.8, 0.8)).endswith("they cannot be told apart.")


def test_twin_the_same_gain_in_every_training_is_one():
    lucky, steady = np.zeros((3, PAIRS), bool), np.zeros((3, PAIRS), bool)
    lucky[0, :60], steady[:, :20] = True, True
    never = np.zeros_like(lucky)
    twins = pd.Series(range(PAIRS))
    one, every = _compare(lucky, never, twins), _compare(steady, never, twins)
    assert one.value == every.value == 0.1
    assert one.low == 0 < every.low
