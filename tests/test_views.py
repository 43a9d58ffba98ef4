"""Neighbours, grid explorer, error explorer: the plain functions on their numbers, the controls without a browser."""

import html
import re
import types

import ipywidgets
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import draw, texts
from test_runs import CONFIG, make_data

from mmlab.config import LABELS, SCENARIOS, probability_columns
from mmlab.errors import MmlabError
from mmlab.evaluation import predictions_frame, score_frame, share_credit
from mmlab.features import Features, Sequences
from mmlab.runs import answers as runs_answers
from mmlab.runs import credit_answers, train_run
from mmlab.widgets import (
    browse_neighbours,
    compare_settings,
    explore_errors,
    explore_grid,
    find_errors,
    find_neighbours,
    find_worst,
    grid_explorer,
    show_errors,
    show_neighbours,
    show_setting,
)

pytestmark = pytest.mark.usefixtures("clean_figures")


def walk(box):
    yield box
    for child in getattr(box, "children", ()):
        yield from walk(child)


def find_control(box, description: str):
    """The control that is called so, or begins so."""
    (found,) = [one for one in walk(box) if getattr(one, "description", "").startswith(description)]
    return found


def find_field(box, label: str, answer: str):
    """The button of a field of the confusion matrix, by its tooltip."""
    words = f"with the label {label} that were answered {answer}"
    (found,) = [one for one in walk(box) if words in (getattr(one, "tooltip", None) or "")]
    return found


def read_view(box) -> tuple[str, str]:
    """The view's HTML, and the words of its note."""
    view, note = (one.value for one in walk(box) if isinstance(one, ipywidgets.HTML))
    return view, html.unescape(re.sub("<[^>]*>", "", note))


# ---- credit


def test_credit_by_hand():
    """Text: half of (0.5 - 0.3) + (0.9 - 0.4); image: half of (0.4 - 0.3) + (0.9 - 0.5)."""
    assert share_credit(0.3, 0.5, 0.4, 0.9) == pytest.approx(np.array([[0.35, 0.25]]), abs=1e-15)
    # Each alone says nothing, only both together do: they share what they gain.
    assert share_credit(0.0, 0.0, 0.0, 1.0).tolist() == [[0.5, 0.5]]


def test_credit_sums_to_what_there_is_to_share_and_is_zero_for_a_side_that_changes_nothing():
    none, text, image, both = np.random.default_rng(0).random((4, 1000))
    credit = share_credit(none, text, image, both)
    assert credit.shape == (1000, 2) and credit.dtype == np.float64
    assert np.abs(credit.sum(axis=1) - (both - none)).max() < 1e-15
    assert (share_credit(none, text, none, text)[:, 1] == 0).all()
    assert np.array_equal(share_credit(none, image, text, both), credit[:, ::-1])
    # The twin: what removal alone would credit does not sum.
    removal = np.stack([both - image, both - text], axis=1)
    assert np.abs(removal.sum(axis=1) - (both - none)).max() > 0.5


@pytest.mark.parametrize("wrong", [[0.1, 0.2], [np.nan], [np.inf], [[0.1]]])
def test_credit_refuses_what_is_not_one_number_a_pair(wrong):
    with pytest.raises(MmlabError):
        share_credit([0.1], [0.1], [0.1], wrong)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data = make_data()
    return train_run(CONFIG, *data, tmp_path_factory.mktemp("trained")), data[1]


def test_credits_of_a_run_are_those_of_its_own_answers(trained):
    run, features = trained
    found = credit_answers(run, features)
    joint = run.predictions[probability_columns("text_and_image")].to_numpy()
    assert found["guid"].tolist() == run.predictions["guid"].tolist()
    assert found["predicted"].tolist() == [LABELS[best] for best in joint.argmax(axis=1)]
    assert np.abs(found["p_both"] - joint.max(axis=1)).max() < 1e-6
    credit = found[["credit_text", "credit_image"]].sum(axis=1)
    assert np.abs(credit - (found["p_both"] - found["p_none"])).max() < 1e-12
    assert found["credit_text"].std() > 0.01 and found["credit_image"].std() > 0.01
    # In a fold every model says the same of nothing: the answer depends on the label in question alone.
    assert found.assign(fold=run.predictions["fold"]).groupby(["fold", "predicted"])["p_none"].nunique().max() == 1


def test_a_head_that_ignores_the_image_gives_it_exactly_nothing(trained, monkeypatch):
    run, features = trained
    ask = runs_answers.predict_out_of_fold
    monkeypatch.setattr(runs_answers, "predict_out_of_fold", lambda run, seen: ask(run, seen.without("image")))
    found = credit_answers(run, features)
    assert (found["credit_image"] == 0).all() and (found["credit_text"] != 0).any()


def test_credits_need_a_joint_head(trained):
    run = types.SimpleNamespace(config=None, folder="results/runs/majority")
    with pytest.raises(MmlabError, match="results/runs/majority: has no joint head"):
        credit_answers(run, trained[1])


# ---- neighbours


@pytest.fixture
def space(picture):
    """Six pairs. Text: 1 and 2 are twins of one direction, then 0, 3, 4 further and further; image: the other way."""
    angles = np.radians([[10, 0, 0, 25, 60, 0], [70, 0, 80, 50, 20, 5]])
    sides = []
    for one in angles:
        vectors = np.stack([np.cos(one), np.sin(one)], axis=1).astype(np.float16) * 3
        sides.append(Sequences(vectors, np.arange(7)))
    text = Sequences(sides[0].values[:5], np.array([0, 1, 2, 3, 4, 5, 5]))  # the last pair has no text
    pairs = pd.DataFrame({"guid": [f"g{n}" for n in range(6)], "text": [f"text <{n}> & $1 $2" for n in range(6)]})
    pairs["label"] = ["positive", "positive", "positive", "negative", "neutral", None]
    pairs["image"], pairs["twin"] = str(picture), [0, 1, 1, 3, 4, 5]
    return pairs, Features([f"g{n}" for n in range(6)], text, sides[1], "digest")


def test_neighbours_are_the_nearest_of_all_without_twins(space):
    found = find_neighbours(*space, 1)
    assert found["guid"].tolist() == ["g1", "g0", "g3", "g4"]
    assert found["cosine"].tolist() == pytest.approx([1, *np.cos(np.radians([10, 25, 60]))], abs=1e-3)
    assert find_neighbours(*space, 1, twins=True)["guid"].tolist() == ["g1", "g2", "g0", "g3"]
    assert find_neighbours(*space, 1, "image", n=2)["guid"].tolist() == ["g1", "g5", "g4"]
    assert find_neighbours(*space, 1, n=99)["guid"].tolist() == ["g1", "g0", "g3", "g4"]


def test_twin_other_vectors_have_other_neighbours(space):
    pairs, features = space
    shuffled = features.pair_up(np.array([4, 3, 2, 1, 0, 5]), np.arange(6))
    assert find_neighbours(pairs, shuffled, 1)["guid"].tolist() != find_neighbours(pairs, features, 1)["guid"].tolist()


def test_neighbours_go_by_guid_and_not_by_row(space):
    pairs, features = space
    turned = pairs.iloc[::-1].set_index(np.arange(6) + 100)
    assert find_neighbours(turned, features, 4)["guid"].tolist() == ["g1", "g0", "g3", "g4"]
    with pytest.raises(MmlabError, match="guid x has no features"):
        find_neighbours(pairs.assign(guid="x"), features, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((5,), "g5 has no text"), ((6,), "no pair 6"), ((-1,), "no pair -1"), ((0, "sound"), "space")],
)
def test_neighbours_refuse_what_is_not_there(space, arguments, words):
    with pytest.raises(MmlabError, match=words):
        find_neighbours(*space, *arguments)


def test_neighbours_are_drawn_with_cosine_and_label(space):
    axes = show_neighbours(*space, 1)
    titles = [panel.get_title(loc="left") for panel in axes]
    assert titles[:2] == ["g1 · positive\nsearched from", "g0 · positive\ncosine 0.98 ✓ same label"]
    assert titles[2] == "g3 · negative\ncosine 0.91 ✗ other label"
    draw(axes)


def test_the_view_of_neighbours_walks_through_the_space(space):
    box = browse_neighbours(*space, position=1)
    view, note = read_view(box)
    assert re.findall(r"<b>(g\d)", view) == ["g1", "g0", "g3", "g4"]
    assert "&lt;1&gt; &amp; $1" in view and 'alt="the picture of pair g1"' in view
    assert note == "1 of 3 neighbours are positive; of all pairs 50% are."
    find_control(box, "space").value = "image"
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g1", "g5", "g4", "g3"]
    find_control(box, "g4").click()
    assert find_control(box, "pair").value == 5 and find_control(box, "guid").value == "g4"
    assert re.findall(r"<b>(g\d)", read_view(box)[0])[0] == "g4"
    find_control(box, "guid").value = "g2"
    find_control(box, "space").value = "text"
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g2", "g0", "g3", "g4"]
    find_control(box, "with twins").value = True
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g2", "g1", "g0", "g3"]
    find_control(box, "guid").value = "nobody"
    assert read_view(box)[1] == "There is no pair 'nobody' here."


def test_the_view_of_neighbours_says_what_a_pair_lacks(space):
    box = browse_neighbours(*space)
    find_control(box, "pair").value = 6
    view, note = read_view(box)
    assert view == "" and note == "Pair g5 has no text: it has no place in this space."
    assert [one.layout.visibility for one in walk(box) if one.__class__.__name__ == "Button"][2:] == ["hidden"] * 3
    find_control(box, "space").value = "image"
    assert "The pair has no label to compare." == read_view(box)[1]
    find_control(box, "next").click()  # from the last one on to the first
    assert find_control(box, "pair").value == 1


# ---- the grid explorer


def make_setting(name: str, right: float, seed: int = 0, n: int = 200):
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(9).integers(0, 3, n)
    answered = np.where(np.arange(n) < right * n, truth, (truth + 1) % 3)
    pairs = pd.DataFrame({"guid": [f"g{i}" for i in range(n)], "label": np.asarray(LABELS)[truth], "twin": range(n)})
    frame = predictions_frame(pairs, np.zeros(n, int), dict.fromkeys(SCENARIOS, np.eye(3)[answered] * 0.7 + 0.1))
    epochs = np.arange(1, 7)
    history = pd.DataFrame({"fold": 0, "seed": 0, "epoch": epochs, "train_loss": 1 / epochs, "dev_loss": 2 / epochs})
    history["dev_accuracy"] = 0.5 + rng.random(6) / 10
    best = pd.DataFrame({"fold": [0], "seed": [0], "best_epoch": [4]})
    run = types.SimpleNamespace(history=history, best_epochs=best)
    return types.SimpleNamespace(name=name, runs=[run], predictions=frame, score=score_frame(frame, "text_and_image"))


@pytest.fixture(scope="module")
def settings():
    return [
        make_setting("lr 1", 0.3),
        make_setting("lr 2", 0.7),
        make_setting("lr 3", 0.705),
        make_setting("lr 4", 0.9),
    ]


def test_a_setting_is_compared_with_all_others_the_closest_first(settings):
    compared = compare_settings(settings, 1)
    assert list(compared) == ["lr 3", "lr 4", "lr 1"]
    assert [one.verdict for one in compared.values()] == ["cannot be told apart", "b is better", "a is better"]
    assert compared["lr 1"].difference.value == pytest.approx(0.4)
    with pytest.raises(MmlabError, match="no setting 4"):
        compare_settings(settings, 4)


def test_a_setting_is_drawn_with_its_curves_and_the_others(settings):
    loss, accuracy, others = axes = show_setting(settings, 1)
    assert loss.get_title(loc="left") == "lr 2"
    assert "accuracy 0.700" in others.get_title(loc="left")
    assert [tick.get_text() for tick in others.get_yticklabels()] == ["− (lr 3)", "− (lr 4)", "− (lr 1)"]
    assert [line.get_xdata()[0] for line in loss.lines if line.get_marker() == "*"] == [4]
    faces = [line.get_markerfacecolor() for line in others.lines if line.get_marker() == "o"]
    assert [face == "white" for face in faces] == [True, False, False]  # hollow: cannot be told apart
    assert accuracy.get_ylabel() and loss.get_xlabel()
    draw(axes)


def test_a_grid_of_one_setting_and_a_large_one_are_drawn(settings):
    assert texts(show_setting(settings[:1], 0)[2]) == ["There is no other setting to compare with."]
    many = [make_setting(f"lr {n}", 0.5 + n / 100) for n in range(14)]
    axes = show_setting(many, 0)
    assert len(axes[2].get_yticklabels()) == 10 and "10 closest" in axes[2].get_title(loc="left")
    draw(axes)


def test_the_grid_explorer_shows_each_setting_and_draws_it_once(settings, monkeypatch):
    drawn = []
    original = grid_explorer._draw
    monkeypatch.setattr(grid_explorer, "_draw", lambda one, found: drawn.append(one.name) or original(one, found))
    box = explore_grid(settings[::-1])
    names = [one for one in walk(box) if isinstance(one, ipywidgets.Dropdown)][0]
    assert [name for name, _ in names.options] == [
        "lr 1: accuracy 0.300", "lr 2: accuracy 0.700", "lr 3: accuracy 0.705", "lr 4: accuracy 0.900"
    ]  # fmt: skip
    assert "Really worse: lr 3; lr 2; lr 1." in read_view(box)[0]
    find_control(box, "previous").click()
    assert names.value == 2 and "Cannot be told apart from it: lr 2. Really better: lr 4." in read_view(box)[0]
    names.value = 0
    assert "lr 1: accuracy 0.300" in read_view(box)[0]
    find_control(box, "next").click()
    names.value = 3
    assert drawn == ["lr 4", "lr 3", "lr 1", "lr 2"]
    assert plt.get_fignums() == []


def test_the_grid_explorer_puts_an_error_into_words(settings):
    other = make_setting("lr 5", 0.5, n=120)  # other pairs
    view, note = read_view(explore_grid([*settings, other]))
    assert view == "" and "do not hold the same pairs" in note
    with pytest.raises(MmlabError, match="no settings"):
        explore_grid([])


# ---- the error explorer


@pytest.fixture
def credits(picture):
    rows = [
        ("g0", "negative", "positive", 0.6, 0.3, -0.1),
        ("g1", "negative", "positive", 0.9, 0.25, 0.25),
        ("g2", "negative", "positive", 0.7, -0.2, 0.5),
        ("g3", "neutral", "negative", 0.8, 0.2, 0.2),
        ("g4", "positive", "positive", 0.95, 0.3, 0.25),
    ]
    frame = pd.DataFrame(rows, columns=["guid", "label", "predicted", "confidence", "credit_text", "credit_image"])
    frame["p_both"] = frame["confidence"]
    frame["p_none"] = frame["p_both"] - frame["credit_text"] - frame["credit_image"]
    pairs = pd.DataFrame({"guid": [f"g{n}" for n in (4, 3, 2, 1, 0)], "image": str(picture)})
    return pairs.assign(text=[f"<b>$1 {guid} $2" for guid in pairs["guid"]]), frame


def test_a_field_of_the_confusion_matrix_by_confidence(credits):
    found = find_errors(*credits, "negative", "positive")
    assert found["guid"].tolist() == ["g1", "g2", "g0"]
    assert found["text"].tolist() == ["<b>$1 g1 $2", "<b>$1 g2 $2", "<b>$1 g0 $2"]
    assert find_errors(*credits, "negative", "positive", "lowest first")["guid"].tolist() == ["g0", "g2", "g1"]
    assert len(find_errors(*credits, "neutral", "positive")) == 0
    assert find_worst(credits[1]) == ("negative", "positive")
    assert find_worst(credits[1].iloc[4:]) == ("positive", "positive")  # no mistakes
    with pytest.raises(MmlabError, match="no answers"):
        find_worst(credits[1].iloc[:0])
    with pytest.raises(MmlabError, match="label"):
        find_errors(*credits, "happy", "positive")


def test_errors_are_drawn_with_the_credit_of_both_sides(credits):
    axes = show_errors(*credits)
    assert axes.shape == (2, 3)
    assert axes[0, 1].get_title(loc="left") == "g2 · negative\n✗ positive, confidence 0.70"
    bars = axes[1, 1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([-20, 50])
    assert texts(axes[1, 1]) == ["−20.0", "+50.0"]  # the sign, and not the colour alone
    assert [bool(bar.get_hatch()) for bar in bars] == [True, False]
    assert axes[1, 1].get_xlabel() == "percentage points of p(positive),\nfrom 40% with nothing to 70% with both"
    assert axes[1, 0].get_xlim() == axes[1, 2].get_xlim()
    draw(axes)
    assert show_errors(*credits, "positive", "positive")[0, 0].get_title(loc="left").startswith("g4 · positive\n✓")
    with pytest.raises(MmlabError, match="No pair with the label neutral was answered positive"):
        show_errors(*credits, "neutral", "positive")


def test_the_error_explorer_shows_the_pairs_of_a_button(credits):
    box = explore_errors(*credits)
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g1", "g2", "g0"]
    chosen, right = find_field(box, "negative", "positive"), find_field(box, "positive", "positive")
    assert (chosen.description, chosen.icon, right.icon) == ("as positive 3", "check", "")
    assert find_field(box, "neutral", "positive").disabled
    assert "−20.0" in read_view(box)[0] and "<b>$1" not in read_view(box)[0]
    find_control(box, "next").click()
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g2", "g0"]
    find_control(box, "confidence").value = "lowest first"
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g0", "g2", "g1"]
    right.click()
    assert re.findall(r"<b>(g\d)", read_view(box)[0]) == ["g4"]
    assert (chosen.icon, right.icon) == ("", "check")
    assert find_control(box, "pair").disabled


# ---- all views


def test_every_control_is_named_and_says_what_it_does(space, settings, credits):
    for box in (browse_neighbours(*space), explore_grid(settings), explore_errors(*credits)):
        controls = [one for one in walk(box) if hasattr(one, "tooltip") and hasattr(one, "description")]
        controls = [one for one in controls if not isinstance(one, ipywidgets.Label | ipywidgets.HTML)]
        assert len(controls) >= 4
        assert [one for one in controls if not one.tooltip or not one.description] == []
        assert not any(isinstance(one, ipywidgets.Output) for one in walk(box))
        views = [one for one in walk(box) if isinstance(one, ipywidgets.HTML)]
        assert all(re.fullmatch(r"\d+px", one.layout.height) for one in views)  # the page does not jump
        assert re.findall("<img(?![^>]* alt=)", views[0].value) == []


def test_a_burst_of_steps_is_drawn_once(space):
    """Inside a running loop, as in a kernel: arrow keys that are held down show only where they stop."""
    import asyncio

    async def hold_down():
        box = browse_neighbours(*space)
        seen = []
        view = next(one for one in walk(box) if isinstance(one, ipywidgets.HTML))
        view.observe(lambda change: seen.append(re.findall(r"<b>(g\d)", change.new)[0]), "value")
        for place in (2, 3, 4):
            find_control(box, "pair").value = place
        await asyncio.sleep(0.4)
        return seen

    assert asyncio.run(hold_down()) == ["g3"]
