"""Properties of scores, comparisons, confidence and credit: what must hold for any labels, answers and games."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import CLASS, Predicted, assert_caught, predicted, prediction_frames, probabilities, share_of_examples
from test_explain import PICTURE, FakeLab, entangled

from mmlab.config import LABELS
from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS, compare_frames, compare_predictions, score_frame, score_predictions, share_credit
from mmlab.evaluation.confidence import BOUNDS, fit_temperature, heat
from mmlab.evaluation.frames import list_answers, list_mistakes, share_changed
from mmlab.evaluation.probes import calibration_error, calibration_table
from mmlab.evaluation.scores import draw_groups, group_sums
from mmlab.explain import explain
from mmlab.explain.shapley import ALL_ORDERS, credit_players, list_coalitions, list_orders
from mmlab.grading.scoring import best_shares, holm, rank_intervals

# A rare label may be in none of a few draws; then there is no interval of its recall.
pytestmark = pytest.mark.filterwarnings("ignore:All-NaN slice")
DRAWS = 200
CLOSE = partial(pytest.approx, rel=1e-9, abs=1e-12, nan_ok=True)


# ---- scores


def equals_scikit_learn(drawn: Predicted, score: Callable = score_predictions) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

    scores = score(drawn.labels, drawn.a, drawn.groups, draws=1)
    every = {"labels": [0, 1, 2], "zero_division": 0}
    assert scores.accuracy.value == CLOSE(accuracy_score(drawn.labels, drawn.a))
    assert scores.macro_f1.value == CLOSE(f1_score(drawn.labels, drawn.a, average="macro", **every))
    assert scores.weighted_f1.value == CLOSE(f1_score(drawn.labels, drawn.a, average="weighted", **every))
    recall = recall_score(drawn.labels, drawn.a, labels=[0, 1, 2], average=None, zero_division=np.nan)
    assert [scores.recall[label].value for label in LABELS] == CLOSE(recall)
    assert (scores.confusion == confusion_matrix(drawn.labels, drawn.a, labels=[0, 1, 2])).all()


@given(predicted())
def test_scores_equal_those_of_scikit_learn(drawn):
    equals_scikit_learn(drawn)


def test_twin_a_macro_average_over_the_labels_that_are_there_is_caught(monkeypatch):
    from dataclasses import replace

    def broken(confusion):
        there = confusion.sum(-1) + confusion.sum(-2) > 0
        right = np.diagonal(confusion, axis1=-2, axis2=-1)
        f1 = 2 * right / np.maximum(confusion.sum(-1) + confusion.sum(-2), 1)
        return f1.sum(-1) / there.sum(-1)

    monkeypatch.setitem(METRICS, "macro_f1", replace(METRICS["macro_f1"], compute=broken))
    assert_caught(equals_scikit_learn, predicted())


@given(predicted(), st.randoms(use_true_random=False))
def test_intervals_do_not_depend_on_the_order_of_rows_or_the_names_of_groups(drawn, random):
    order = np.array(random.sample(range(len(drawn.labels)), len(drawn.labels)))
    first = score_predictions(drawn.labels, drawn.a, drawn.groups, DRAWS)
    names = np.array([f"group {number}" for number in drawn.groups])
    assert score_predictions(drawn.labels[order], drawn.a[order], names[order], DRAWS) == first


def holds_the_value(drawn: Predicted, score: Callable = score_predictions) -> None:
    scores = score(drawn.labels, drawn.a, drawn.groups, DRAWS)
    for name, one in {**scores.values, **scores.recall}.items():
        if not math.isnan(one.low):
            assert 0 <= one.low <= one.high <= 1, name
            assert 0 <= one.value <= 1, name
    accuracy = scores.accuracy
    assert math.isnan(accuracy.low) == (len(set(drawn.groups.tolist())) < 2)
    assert math.isnan(accuracy.low) or accuracy.contains(accuracy.value)


@given(predicted())
def test_an_interval_of_the_accuracy_holds_it_and_all_are_shares(drawn):
    holds_the_value(drawn)


def test_twin_an_interval_of_other_answers_is_caught():
    from dataclasses import replace

    def broken(labels, answers, groups, draws):
        other = score_predictions(labels, (answers + 1) % 3, groups, draws).accuracy
        scores = score_predictions(labels, answers, groups, draws)
        return replace(scores, values=scores.values | {"accuracy": replace(other, value=scores.accuracy.value)})

    assert_caught(partial(holds_the_value, score=broken), predicted())


@given(predicted(), st.integers(1, 50), st.integers(0, 9))
def test_draws_are_sums_of_as_many_groups_as_there_are(drawn, draws, seed):
    rows = np.stack([np.ones_like(drawn.labels), drawn.labels == drawn.a], axis=1)
    cells = np.concatenate([group_sums(rows, drawn.groups), np.ones((len(set(drawn.groups.tolist())), 1), int)], axis=1)
    sums = draw_groups(cells, draws, seed)
    assert sums.shape == (draws, 3) and (sums[:, 2] == len(cells)).all()
    assert (sums[:, 1] <= sums[:, 0]).all() and (sums >= 0).all()
    assert (sums == draw_groups(cells[::-1], draws, seed)).all()
    assert (cells[:, :2].sum(axis=0) == rows.sum(axis=0)).all()


# ---- comparisons


def mirrors(drawn: Predicted, compare: Callable = compare_predictions) -> None:
    ab = compare(drawn.labels, drawn.a, drawn.b, drawn.groups, DRAWS)
    ba = compare(drawn.labels, drawn.b, drawn.a, drawn.groups, DRAWS)
    assert ab.difference.value == -ba.difference.value
    assert (ab.b, ab.c, ab.p_value) == (ba.c, ba.b, ba.p_value)
    assert 0 <= ab.p_value <= 1
    accuracies = [score_predictions(drawn.labels, one, drawn.groups, 1).accuracy.value for one in (drawn.a, drawn.b)]
    assert ab.difference.value == pytest.approx(accuracies[0] - accuracies[1], abs=1e-12)
    itself = compare(drawn.labels, drawn.a, drawn.a, drawn.groups, DRAWS)
    assert (itself.difference.value, itself.b, itself.c, itself.p_value) == (0, 0, 0, 1)
    assert math.isnan(itself.difference.low) or (itself.difference.low, itself.difference.high) == (0, 0)
    assert itself.verdict == "cannot be told apart"


@given(predicted())
def test_a_comparison_mirrors_and_a_model_equals_itself(drawn):
    mirrors(drawn)


def test_twin_a_one_sided_comparison_is_caught():
    from dataclasses import replace

    def broken(labels, a, b, groups, draws):
        found = compare_predictions(labels, a, b, groups, draws)
        return replace(found, p_value=found.p_value / 2 if found.b > found.c else found.p_value)

    assert_caught(partial(mirrors, compare=broken), predicted())


@given(predicted())
def test_the_p_value_is_the_exact_one_of_mcnemar(drawn):
    from scipy.stats import binomtest

    found = compare_predictions(drawn.labels, drawn.a, drawn.b, drawn.groups, 1)
    wins, losses = found.b, found.c
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1
    assert found.p_value == pytest.approx(min(1, expected), rel=1e-9)


@share_of_examples(0.3)
@given(predicted(least=120, most=160))
def test_the_interval_mirrors_but_for_the_draws(drawn):
    ab = compare_predictions(drawn.labels, drawn.a, drawn.b, np.arange(len(drawn.labels)), 2000).difference
    ba = compare_predictions(drawn.labels, drawn.b, drawn.a, np.arange(len(drawn.labels)), 2000).difference
    assert (ab.low, ab.high) == pytest.approx((-ba.high, -ba.low), abs=4 / len(drawn.labels))


@given(prediction_frames("text_only"), st.randoms(use_true_random=False))
def test_frames_are_compared_by_guid_in_any_order(frame, random):
    order = random.sample(range(len(frame)), len(frame))
    moved = frame.iloc[order].reset_index(drop=True).assign(twin=lambda one: one["twin"] + 7)
    found = compare_frames(frame, "text_only", moved, "text_only", DRAWS)
    assert (found.difference.value, found.b, found.c) == (0, 0, 0)
    assert score_frame(moved, "text_only", DRAWS) == score_frame(frame, "text_only", DRAWS)


@given(prediction_frames("text_only"), st.data())
def test_frames_of_other_pairs_are_refused(frame, data):
    change = data.draw(st.sampled_from(["guid", "label", "row"]))
    row = data.draw(st.integers(0, len(frame) - 1))
    other = frame.copy()
    if change == "guid":
        other.loc[row, "guid"] += "x"
        assume(other["guid"].is_unique and set(other["guid"]) != set(frame["guid"]))
    elif change == "label":
        other.loc[row, "label"] = LABELS[LABELS.index(frame.loc[row, "label"]) - 1]
    else:
        assume(len(frame) > 1)
        other = other.drop(index=row)
    with pytest.raises(MmlabError):
        compare_frames(frame, "text_only", other, "text_only", 1)


@given(prediction_frames("text_only"))
def test_answers_and_mistakes_are_those_of_the_frame(frame):
    answers, mistakes = list_answers(frame, "text_only"), list_mistakes(frame, "text_only")
    assert answers["right"].mean() == pytest.approx(score_frame(frame, "text_only", 1).accuracy.value)
    assert len(mistakes) == (~answers["right"]).sum()
    assert mistakes["confidence"].is_monotonic_decreasing
    assert set(mistakes["guid"]) == set(answers.loc[~answers["right"], "guid"])
    assert share_changed(frame, frame, "text_only") == 0


# ---- confidence


def stays_a_distribution(drawn: tuple[np.ndarray, float], warm: Callable = heat) -> None:
    given_, temperature = drawn
    warmed = warm(given_, temperature)
    assert warmed.sum(axis=1) == pytest.approx(1, abs=1e-9) and (warmed >= 0).all() and np.isfinite(warmed).all()
    for before, after in zip(given_, warmed, strict=True):
        order = np.argsort(before, kind="stable")
        assert (np.diff(after[order]) >= -1e-12).all(), "the order of the labels"
        assert after[before.argmax()] == after.max()


HEATED = st.tuples(st.integers(1, 6).flatmap(probabilities), st.floats(*BOUNDS))


@given(HEATED)
def test_heated_probabilities_are_probabilities_in_the_same_order(drawn):
    stays_a_distribution(drawn)


def test_twin_heat_that_adds_is_caught():
    def broken(probabilities, temperature):
        return probabilities / temperature

    assert_caught(partial(stays_a_distribution, warm=broken), HEATED)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(probabilities(n), st.lists(CLASS, min_size=n, max_size=n))))
def test_the_fitted_temperature_fits_no_worse_than_none(drawn):
    given_, labels = drawn
    temperature = fit_temperature(given_, np.array(labels))

    def loss(one: float) -> float:
        return -np.log(heat(given_, one)[np.arange(len(labels)), labels]).mean()

    assert BOUNDS[0] <= temperature <= BOUNDS[1]
    assert loss(temperature) <= loss(1.0) + 1e-3


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(probabilities(n), st.lists(CLASS, min_size=n, max_size=n))))
def test_a_table_of_calibration_holds_each_pair_once(drawn):
    given_, labels = drawn
    table = calibration_table(labels, given_)
    assert table["n"].sum() == len(labels)
    assert (table["n"] * table["accuracy"]).sum() == pytest.approx((given_.argmax(axis=1) == labels).sum())
    assert (table["n"] * table["confidence"]).sum() == pytest.approx(given_.max(axis=1).sum())
    assert 0 <= calibration_error(labels, given_) <= 1
    certain = np.eye(3)[labels]
    assert calibration_error(labels, certain) == 0


# ---- credit

GAMES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(-1000, 1000), min_size=2**n, max_size=2**n))
)


def credit(n: int, value_of: Callable[[tuple[int, ...]], float], draws: int = 4) -> np.ndarray:
    """The credits (n,) of a game, from the value of each coalition, which is given as a sorted tuple of players."""
    orders, exact = list_orders(n, draws, seed=0)
    coalitions, paths = list_coalitions(orders)
    values = np.array([value_of(tuple(np.flatnonzero(one).tolist())) for one in coalitions], float)
    return credit_players(values, orders, paths, exact)[0]


def value_by_mask(values: list[int]) -> Callable[[tuple[int, ...]], float]:
    return lambda players: values[sum(1 << player for player in players)]


def is_fair(drawn: tuple[int, list[int]], credit: Callable = credit) -> None:
    """The axioms that single the Shapley value out, and its formula."""
    n, values = drawn
    found = credit(n, value_by_mask(values))
    assert found.sum() == pytest.approx(values[-1] - values[0], abs=1e-6)
    expected = np.zeros(n)
    for player in range(n):
        others = [one for one in range(n) if one != player]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for there in itertools.combinations(others, size):
                mask = sum(1 << one for one in there)
                expected[player] += weight * (values[mask | 1 << player] - values[mask])
    assert found == pytest.approx(expected, abs=1e-6)


@given(GAMES)
def test_credits_are_the_shapley_values(drawn):
    is_fair(drawn)


def test_twin_credits_of_one_order_are_caught():
    def broken(n, value_of):
        return np.diff([value_of(tuple(range(size))) for size in range(n + 1)])

    assert_caught(partial(is_fair, credit=broken), GAMES)


@given(GAMES, st.randoms(use_true_random=False))
def test_credits_follow_the_players_and_not_their_numbers(drawn, random):
    n, values = drawn
    names = random.sample(range(n), n)  # the player `one` is called names[one]
    renamed = credit(n, lambda players: value_by_mask(values)(tuple(sorted(names.index(one) for one in players))))
    assert renamed[names] == pytest.approx(credit(n, value_by_mask(values)), abs=1e-6)


@given(st.integers(3, ALL_ORDERS), st.data())
def test_a_dead_player_gets_nothing_and_equal_players_get_the_same(n, data):
    """The last player changes nothing, and the first two may take each other's place."""
    weights = data.draw(st.lists(st.integers(-50, 50), min_size=n, max_size=n))
    weights[1], weights[-1] = weights[0], 0
    found = credit(n, lambda players: sum(weights[one] for one in players) ** 2)
    assert found.sum() == pytest.approx(sum(weights) ** 2, abs=1e-6)
    assert found[-1] == 0
    assert found[0] == pytest.approx(found[1], abs=1e-6)


@given(st.integers(7, 12), st.integers(2, 6), st.data())
def test_drawn_orders_share_all_that_there_is(n, draws, data):
    values = data.draw(st.lists(st.integers(-9, 9), min_size=n + 1, max_size=n + 1))
    found = credit(n, lambda players: values[len(players)] + 3 * (0 in players), draws)
    assert found.sum() == pytest.approx(values[-1] - values[0] + 3, abs=1e-6)


@share_of_examples(0.3)
@given(st.lists(st.sampled_from(["good", "not", "so", "dull", "day"]), min_size=1, max_size=8), st.booleans())
def test_words_and_cells_share_what_text_and_image_bring(words, pictured):
    image = PICTURE if pictured else None
    explanation = explain(FakeLab(entangled), " ".join(words), image, label="positive")
    assert sum(explanation.credit.values()) == pytest.approx(explanation.both - explanation.none, abs=1e-6)
    assert [side.parts for side in explanation.sides.values()][0] == words


ANSWERS = st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=6).map(lambda rows: np.array(rows).T)


@given(ANSWERS)
def test_text_and_image_share_the_whole_difference(answers):
    none, text, image, both = answers
    shared = share_credit(none, text, image, both)
    assert shared.sum(axis=1) == pytest.approx(both - none, abs=1e-12)
    assert (share_credit(none, none, image, image)[:, 0] == 0).all(), "a text that moves nothing"
    assert (share_credit(none, text, text, both)[:, 0] == share_credit(none, text, text, both)[:, 1]).all()
    assert (share_credit(none, image, text, both) == shared[:, ::-1]).all()
    for place, one in enumerate(zip(*answers)):
        assert share_credit(*one)[0].tolist() == shared[place].tolist()


# ---- grades


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrected_p_values_are_larger_and_in_the_same_order(values):
    p_values = np.array(values)
    corrected = holm(p_values)
    assert (corrected >= p_values).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert (corrected <= len(values) * p_values + 1e-12).all()


@given(predicted(least=5), st.integers(1, 5))
def test_ranks_hold_the_order_and_the_best_share_is_shared(drawn, students):
    right = np.stack([drawn.labels == (drawn.a + drawn.b * one) % 3 for one in range(students)], axis=1).astype(int)
    cells = group_sums(np.concatenate([right, np.ones((len(right), 1), int)], axis=1), drawn.groups)
    sums = draw_groups(cells, DRAWS, 0)
    point, shares = right.mean(axis=0), sums[:, :-1] / sums[:, -1:]
    for number, (first, last) in enumerate(rank_intervals(point, shares)):
        assert 1 <= first <= 1 + (point > point[number]).sum()
        assert students - (point < point[number]).sum() <= last <= students
    assert sum(best_shares(shares)) == pytest.approx(1)
