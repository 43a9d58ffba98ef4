"""The ensemble: weights that no scored pair had a say in, no weight for useless members, a time budget, a run."""

import time

import numpy as np
import pandas as pd
import pytest

from mmlab.config import LABELS, RunConfig, probability_columns
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.evaluation import predictions_frame
from mmlab.evaluation.selection import choose_weights, cross_choose, weigh
from mmlab.runs import load_run, train_run
from mmlab.runs.ensemble import train_members

TRUTH = np.random.default_rng(0).choice(3, 900, p=[0.3, 0.1, 0.6])


def answers_of(skill: float, seed: int) -> np.ndarray:
    """Probabilities of a model that has seen the label through noise; skill 0: it knows nothing."""
    logits = np.random.default_rng(seed).standard_normal((len(TRUTH), 3)) + skill * np.eye(3)[TRUTH]
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def frame_of(probabilities: np.ndarray, folds: np.ndarray | None = None) -> pd.DataFrame:
    pairs = pd.DataFrame({
        "guid": [str(i) for i in range(len(TRUTH))], "label": np.asarray(LABELS)[TRUTH], "twin": range(len(TRUTH)),
    })  # fmt: skip
    folds = np.arange(len(TRUTH)) % 5 if folds is None else folds
    return predictions_frame(pairs, folds, {"text_only": probabilities})


def test_two_models_that_err_apart_share_the_weight_and_a_useless_one_gets_none():
    weights = choose_weights([answers_of(2, 1), answers_of(2, 2), answers_of(0, 3)], TRUTH)
    assert weights.sum() == pytest.approx(1)
    assert weights[2] == 0
    assert 0.3 < weights[0] < 0.7


def test_the_mean_is_better_than_each_and_that_was_not_chosen_on_the_scored_pairs():
    frames = {"one": frame_of(answers_of(2, 1)), "other": frame_of(answers_of(2, 2))}
    mixed = weigh(frames, "text_only", cross_choose(frames, "text_only"))
    right = [
        (frame[probability_columns("text_only")].to_numpy().argmax(1) == TRUTH).mean() for frame in frames.values()
    ]
    assert (mixed.argmax(axis=1) == TRUTH).mean() > max(right) + 0.02
    np.testing.assert_allclose(mixed.sum(axis=1), 1)


def test_a_fold_has_no_say_in_its_own_weights():
    frames = {"one": frame_of(answers_of(2, 1)), "other": frame_of(answers_of(2, 2))}
    here = frames["one"]["fold"] == 3
    before = cross_choose(frames, "text_only")
    for frame in frames.values():  # other labels in fold 3 alone
        frame.loc[here, "label"] = np.roll(frame.loc[here, "label"], 1)
    after = cross_choose(frames, "text_only")
    pd.testing.assert_series_equal(before.loc[3], after.loc[3])
    assert not before.drop([3, -1]).equals(after.drop([3, -1]))


def test_with_shuffled_labels_the_ensemble_is_left_with_the_majority():
    shuffled = np.random.default_rng(5).permutation(TRUTH)
    shares = np.bincount(TRUTH) / len(TRUTH)
    guess = np.tile(shares, (len(TRUTH), 1))
    weights = choose_weights([answers_of(2, 1), guess], shuffled)
    assert weights[1] > 0.9


def test_models_of_other_pairs_or_folds_are_refused():
    with pytest.raises(MmlabError, match="other folds"):
        cross_choose(
            {"a": frame_of(answers_of(1, 1)), "b": frame_of(answers_of(1, 2), np.zeros(900, int))}, "text_only"
        )
    with pytest.raises(MmlabError, match="shape"):
        choose_weights(answers_of(1, 1), TRUTH)


def test_with_one_fold_all_members_weigh_the_same():
    frames = {name: frame_of(answers_of(skill, 1), np.zeros(900, int)) for name, skill in (("a", 3), ("b", 0))}
    assert cross_choose(frames, "text_only").loc[0].tolist() == [0.5, 0.5]


def test_members_are_presets_that_share_what_they_see():
    config = RunConfig.from_params({"folds": 3, "seed": 7, "views": "lexicon"}, "best")
    members = config.list_members()
    assert {(one.folds, one.seed, one.views) for one in members.values()} == {(3, 7, "lexicon")}
    assert members["kernel"].model == "kernel"
    assert config.tunes == ("text",)
    assert config.uses_views
    assert not RunConfig().uses_views
    for wrong, words in {
        "kernal": "Did you mean 'kernel'",
        "best": "not one of",
        "": "one preset",
        "kernel, kernel": "once",
    }.items():
        with pytest.raises(ConfigError, match=words):
            RunConfig.from_params({"members": wrong}, "best")


class Clock:
    """Minutes that pass only when a model is trained."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def train(self, minutes_per_model: dict[str, float]):
        def train(config, tick):
            name = "kernel" if config.model == "kernel" else "upper" if config.tunes else "laptop"
            for number in range(config.folds * config.seeds):
                self.now += 60 * minutes_per_model[name]
                tick(number + 1, config.folds * config.seeds)
            return name

        return train


@pytest.mark.parametrize(
    ("minutes", "ready"),
    [
        (None, ["laptop", "kernel", "upper"]),
        (100, ["laptop", "kernel", "upper"]),
        (30, ["laptop", "kernel"]),
        (1, ["laptop"]),
    ],
)
def test_members_that_do_not_fit_into_the_time_are_left_out(monkeypatch, capsys, minutes, ready):
    config, clock = RunConfig.from_params({}, "best"), Clock(monkeypatch)
    runs = train_members(config, clock.train({"laptop": 0.1, "kernel": 0.1, "upper": 10}), None, minutes)
    assert list(runs) == ready
    told = capsys.readouterr().out
    assert told.count("answers without it") == 3 - len(ready)
    if minutes == 30:
        assert clock.now < 30 * 60  # it was given up after its first model


@pytest.fixture
def ensemble(tmp_path):
    from test_runs import make_data

    course, features = make_data()
    config = RunConfig.from_params({"members": "smoke, kernel", "folds": 2, "views": ""}, "best")
    return config, course, features, tmp_path, train_run(config, course, features, tmp_path)


def test_an_ensemble_is_a_run_like_any_other(ensemble):
    from mmlab.runs import predict_course, predict_out_of_fold

    config, course, features, results, run = ensemble
    assert run.config == config
    members = run.member_runs
    assert list(members) == ["smoke", "kernel"]
    mixed = sum(
        run.weights.set_index(["scenario", "fold"])
        .loc["text_only"]
        .loc[run.predictions["fold"], name]
        .to_numpy()[:, None]
        * one.predictions[probability_columns("text_only")].to_numpy()
        for name, one in members.items()
    )
    np.testing.assert_allclose(run.predictions[probability_columns("text_only")], mixed, atol=1e-8)
    again = predict_out_of_fold(run, features)
    for scenario in run.scenarios:
        columns = probability_columns(scenario)
        np.testing.assert_allclose(again[columns], run.predictions[columns], atol=1e-6)
    everyone = predict_course(run, features).iloc[len(course.labels) :]
    np.testing.assert_allclose(
        everyone[probability_columns("text_only")], run.test_predictions[probability_columns("text_only")], atol=1e-6
    )
    assert train_run(config, course, features, results) == run  # read, not trained


def test_a_damaged_member_is_noticed(ensemble):
    *_, results, run = ensemble
    member = run.member_runs["smoke"]
    (member.folder / "predictions.csv").write_text("guid\n")
    with pytest.raises(RunError, match="predictions.csv: is damaged .it was changed"):
        load_run(run.folder)
