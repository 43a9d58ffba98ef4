"""The learning curve: it rises where there is something to learn, not where there is nothing; twins stay together."""

import numpy as np
import pytest
from test_rare_labels import N, make_rare

from mmlab.config import RunConfig
from mmlab.evaluation.scores import score_counts
from mmlab.runs import learning_curve
from mmlab.training import parts as parts_module

QUICK = RunConfig.from_params({"folds": 3, "views": ""}, "kernel")


def test_more_pairs_help_where_there_is_something_to_learn():
    curve = learning_curve(QUICK, *make_rare(), shares=(1 / 16, 1.0))
    assert curve["n"].tolist() == pytest.approx([N * 2 / 3 / 16, N * 2 / 3], abs=1)
    assert curve["accuracy"].iloc[1] > curve["accuracy"].iloc[0] + 0.03
    assert (curve["low"] < curve["accuracy"]).all() and (curve["accuracy"] < curve["high"]).all()


def test_with_shuffled_labels_they_do_not():
    course, features = make_rare()
    course.pairs["label"] = np.random.default_rng(1).permutation(course.pairs["label"])
    curve = learning_curve(QUICK, course, features, shares=(1 / 4, 1.0))
    assert curve["accuracy"].iloc[1] - curve["accuracy"].iloc[0] < 0.06
    assert curve["accuracy"].max() < 0.6


def test_smaller_draws_lie_in_larger_ones_and_twins_stay_together(monkeypatch):
    course, features = make_rare()
    course.pairs["twin"] = np.arange(N) // 2
    seen, fit = [], parts_module.fit_part

    def watch(config, pairs, labels, part):
        seen.append((part.fold, set(part.train_rows.tolist()) | set(part.dev_rows.tolist()), part.held_out))
        return fit(config, pairs, labels, part)

    monkeypatch.setattr(parts_module, "fit_part", watch)
    learning_curve(QUICK, course, features, shares=(1 / 4, 1 / 2), draws=1)
    small, large = seen[:3], seen[3:]
    for (fold, few, held_out), (same, many, _) in zip(small, large, strict=True):
        assert fold == same
        assert few < many
        assert not many & set(held_out.tolist())
        assert {row ^ 1 for row in few} == few  # rows 2k and 2k + 1 are twins


def test_counts_by_hand():
    score = score_counts(np.array([3, 0, 1, 2]), np.array([0, 0, 1, 2]), most=3)
    assert score.value == 0.5
    assert 0 <= score.low < 0.5 < score.high <= 1
