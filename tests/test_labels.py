"""Labels: a ranking that finds the wrong ones, and what twins tell about noise without any model."""

import numpy as np
import pandas as pd
import pytest

from mmlab.config import LABELS
from mmlab.errors import MmlabError
from mmlab.evaluation import adjust_holm, predictions_frame
from mmlab.evaluation.labels import (
    doubt_labels,
    find_alone,
    find_disputed,
    measure_noise,
    measure_suspects,
    rank_suspects,
)


def sure_of(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities of a good model: about 0.8 for the true label."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet([1, 1, 1], len(labels)) * 0.3
    values[np.arange(len(labels)), labels] += 0.7
    return values


TRUTH = np.random.default_rng(3).integers(0, 3, 1000)


def test_a_good_model_finds_the_wrong_labels():
    found = measure_suspects(TRUTH, lambda given: sure_of(TRUTH))
    assert found.flipped == 50
    assert found.precision > 0.95
    assert found.precision_suspects > 0.95
    assert found.recall_suspects > 0.3  # a rival counts as sure from its own mean on, which half of them reach
    assert found.chance == pytest.approx(0.05)


def test_a_model_that_believes_the_given_labels_finds_none_and_one_that_guesses_finds_as_many_as_chance():
    believer = measure_suspects(TRUTH, lambda given: sure_of(given))
    assert believer.precision_suspects == believer.recall_suspects == 0  # none is marked
    guesser = measure_suspects(TRUTH, lambda given: np.random.default_rng(0).dirichlet([1, 1, 1], len(given)))
    assert guesser.precision < 0.2


def test_few_labels_are_suspect_where_all_are_right():
    _, suspect = doubt_labels(TRUTH, sure_of(TRUTH))
    assert suspect.mean() < 0.01


def test_the_ranking_begins_with_the_most_doubtful_label():
    labels = np.array([0, 1, 2, 2])
    probabilities = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.85, 0.1, 0.05]])
    pairs = pd.DataFrame({"guid": list("abcd"), "label": np.asarray(LABELS)[labels], "twin": range(4)})
    ranked = rank_suspects(predictions_frame(pairs, np.zeros(4, int), {"text_only": probabilities}), "text_only")
    assert ranked["guid"].iloc[0] == "d"
    assert ranked["doubt"].iloc[0] == pytest.approx(0.8)
    assert ranked["predicted"].iloc[0] == "negative"


def test_a_share_that_is_none_is_refused():
    with pytest.raises(MmlabError, match="above 0 and below 1"):
        measure_suspects(TRUTH, sure_of, share=5)


def twins_of(*groups: str) -> pd.DataFrame:
    """Pairs in groups of the same text and image; a letter for each label."""
    rows = [(letter, f"t{n}", f"i{n}", n) for n, group in enumerate(groups) for letter in group]
    frame = pd.DataFrame(rows, columns=["label", "text_digest", "image_digest", "twin"])
    return frame.assign(label=frame["label"].map(dict(zip("NUP", LABELS, strict=True))))


def test_noise_follows_from_the_share_of_twins_that_agree():
    noise = measure_noise(twins_of("PP", "PN", "NN", "UU", "P"))
    assert (noise.twins, noise.agree) == (4, 0.75)
    assert (1 - noise.noise) ** 2 + noise.noise**2 / 2 == pytest.approx(0.75)  # what the formula was solved from
    assert noise.ceiling == pytest.approx(1 - noise.noise)


def test_labels_drawn_with_known_noise_give_that_noise_back():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 4000)
    seen = [np.where(rng.random(4000) < 0.12, (truth + rng.integers(1, 3, 4000)) % 3, truth) for _ in range(2)]
    noise = measure_noise(twins_of(*("NUP"[a] + "NUP"[b] for a, b in zip(*seen, strict=True))))
    assert noise.noise == pytest.approx(0.12, abs=0.01)


def test_twins_that_always_agree_imply_no_noise_and_no_twins_imply_nothing():
    assert measure_noise(twins_of("PP", "NNN")).noise == 0
    assert "cannot be compared" in str(measure_noise(twins_of("P", "N")))


def test_disputed_pairs_and_pairs_alone():
    pairs = twins_of("PP", "PN", "U")
    assert find_disputed(pairs).tolist() == [False, False, True, True, False]
    assert find_alone(pairs).tolist() == [False, False, False, False, True]


def test_holm_by_hand():
    np.testing.assert_allclose(adjust_holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(adjust_holm([0.9, 0.8]), [1.0, 1.0])
    with pytest.raises(MmlabError, match="between 0 and 1"):
        adjust_holm([2.0])


def test_holm_keeps_false_alarms_rare_where_plain_p_values_do_not():
    p_values = np.random.default_rng(0).random((1000, 20))  # nothing is there to be found
    plain = (p_values < 0.05).any(axis=1).mean()
    held = np.mean([(adjust_holm(row) < 0.05).any() for row in p_values])
    assert plain > 0.5
    assert held < 0.08
