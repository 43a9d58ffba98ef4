"""Figures are tested on their axes: labels with unit and n, marks where they belong, text one can read."""

import io
import subprocess
import sys
import time
import types
import warnings
import xml.etree.ElementTree as ET

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from mmlab import plots
from mmlab.config import LABELS, SCENARIOS
from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS, Metric, compare_predictions, score_predictions
from mmlab.images import read_rgb
from mmlab.plots import model

pytestmark = pytest.mark.usefixtures("clean_figures")


@pytest.fixture
def pairs(picture) -> pd.DataFrame:
    frame = pd.DataFrame({"guid": [str(i) for i in range(40)], "label": (["positive"] * 6 + ["negative"] * 4) * 4})
    frame["text"] = [f"costs $5 and ${i} today, 今天 \U0001f9cc" for i in range(40)]
    frame["encoding"] = ["utf-8"] * 30 + ["gb18030"] * 10
    frame["width"], frame["height"] = [80, 60] * 20, 40
    frame["image"], frame["twin"] = str(picture), range(40)
    frame["split"] = ["train"] * 30 + ["dev"] * 5 + ["test"] * 5
    frame.loc[frame["split"] == "test", "label"] = None
    return frame


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    return {
        name: score_predictions(labels, np.where(rng.random(200) < right, labels, 0), range(200), draws=200)
        for name, right in zip((*SCENARIOS, "TF-IDF"), (0.5, 0.3, 0.8, 0.4), strict=True)
    }


def make_history(epochs=8, fold=None) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    frame = pd.DataFrame({"epoch": epoch, "train_loss": 1 / epoch, "dev_loss": 0.5 + (epoch - 5) ** 2 / 100})
    frame["dev_accuracy"] = 0.7 - frame["dev_loss"] / 10
    return frame if fold is None else frame.assign(fold=fold, seed=0)


def make_table() -> pd.DataFrame:
    rows = [(lr, dropout) for lr in (1e-3, 3e-4) for dropout in (0.0, 0.3, 0.5)]
    table = pd.DataFrame(rows, columns=["lr", "dropout"])
    table["accuracy"] = [0.60, 0.62, 0.64, 0.66, 0.68, 0.70]
    return table.assign(low=table["accuracy"] - 0.02, high=table["accuracy"] + 0.02)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def draw(ax) -> None:
    np.ravel(ax)[0].figure.canvas.draw()


class Node(types.SimpleNamespace):
    """A part of a model, as `plot_architecture` takes it."""


def make_nodes() -> list[Node]:
    def node(name, kind, width, *feeds, parameters=0):
        return Node(name=name, kind=kind, shape=(1, width), parameters=parameters, feeds=feeds)

    return [
        node("text", "input", 384, "project", "pool"),
        node("image", "input", 1280, "gate"),
        node("pool", "mean", 384, "project"),
        node("project", "Linear", 64, "gate", parameters=24640),
        node("gate", "GatedUnit", 64, "text_and_image", parameters=8256),
        node("text_and_image", "logits", 3),
    ]


@pytest.fixture
def draw_all(pairs, scores, picture):
    """A call without arguments for each plot function of the package, by name."""
    labels = np.arange(60) % 3
    comparison = compare_predictions(labels, labels, np.roll(labels, 1), range(60), draws=100)
    runs, views = [("a", make_history(), 5), ("b", make_history(6), 5)], np.full((2, 9, 3), 1 / 3)
    table = make_table().assign(seconds=range(6))
    return {
        "plot_architecture": lambda: plots.plot_architecture(make_nodes()),
        "plot_balance": lambda: plots.plot_balance(pairs),
        "plot_lengths": lambda: plots.plot_lengths(pairs),
        "plot_encodings": lambda: plots.plot_encodings(pairs),
        "plot_image_sizes": lambda: plots.plot_image_sizes(pairs),
        "plot_gallery": lambda: plots.plot_gallery(pairs, n=2),
        "plot_patches": lambda: plots.plot_patches(read_rgb(picture), 3),
        "plot_patch_answers": lambda: plots.plot_patch_answers(pairs.head(2), views[:, 0], views),
        "plot_confusion": lambda: plots.plot_confusion(scores["text_only"], "Text alone"),
        "plot_scores": lambda: plots.plot_scores(scores, references={"majority": 0.4, "ceiling": 0.9}),
        "plot_comparisons": lambda: plots.plot_comparisons({"joint − text": comparison}),
        "plot_history": lambda: plots.plot_history(make_history(), 5),
        "plot_history_grid": lambda: plots.plot_history_grid(runs),
        "plot_heatmap": lambda: plots.plot_heatmap(table, n=200),
        "plot_effects": lambda: plots.plot_effects(table, ["lr", "dropout"], n=200),
        "plot_parallel": lambda: plots.plot_parallel(table, ["lr", "dropout"]),
        "plot_cost": lambda: plots.plot_cost(table, n=200),
        "plot_probe": lambda: plots.plot_probe({"images swapped": 0.3, "nothing": 0.0}, n=200),
        "plot_reliability": lambda: plots.plot_reliability(labels, {"text_only": np.full((60, 3), 1 / 3)}),
    }


PICTURES = {"plot_gallery", "plot_patches", "plot_patch_answers", "plot_architecture", "plot_parallel"}  # without axes


def test_every_figure_has_labels_with_n_and_draws_without_a_warning(draw_all):
    assert set(draw_all) == {name for name in dir(plots) if name.startswith("plot_")}
    figures = {name: draw_one() for name, draw_one in draw_all.items()}
    for name, drawn in figures.items():
        draw(drawn)
        for ax in np.ravel(drawn):
            assert isinstance(ax, Axes), name
        if name not in PICTURES:
            axes = np.ravel(drawn)[0].figure.axes
            assert axes[0].get_xlabel() and axes[0].get_ylabel() or name in ("plot_scores", "plot_comparisons"), name
            assert "n = " in " ".join(f"{ax.get_xlabel()} {ax.get_ylabel()}" for ax in axes), name
    assert "in px" in figures["plot_image_sizes"].get_xlabel() and "in px" in figures["plot_image_sizes"].get_ylabel()
    assert "in characters" in figures["plot_lengths"].get_xlabel()
    assert "percentage points" in figures["plot_comparisons"].get_xlabel()
    assert "nats" in figures["plot_history"][0].get_ylabel()


def changes_of(call) -> dict:
    """The settings of matplotlib that a call leaves changed."""
    before = dict(matplotlib.rcParams)
    call()
    return {name: value for name, value in matplotlib.rcParams.items() if value != before[name]}


def test_no_figure_changes_the_settings_of_its_caller(draw_all, pairs, tmp_path):
    for name, draw_one in draw_all.items():
        assert changes_of(draw_one) == {}, name
    assert changes_of(lambda: plots.save_figure(draw_all["plot_probe"](), tmp_path, "s")) == {}
    assert "font.size" in changes_of(lambda: matplotlib.rcParams.update({"font.size": 3}))  # a leak is caught


def pixels(drawn) -> np.ndarray:
    canvas = np.ravel(drawn)[0].figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


LOUD = {
    "font.size": 20, "font.family": ["monospace"], "text.color": "red", "xtick.color": "red", "ytick.labelcolor": "red",
    "grid.color": "red", "axes.grid": False, "axes.facecolor": "yellow", "lines.linewidth": 9, "hatch.linewidth": 5,
    "figure.constrained_layout.use": False, "figure.dpi": 50, "xtick.labelsize": 20,
}  # fmt: skip


def test_every_figure_looks_alike_whatever_its_caller_has_set(draw_all):
    for name, draw_one in draw_all.items():
        expected = pixels(draw_one())
        with matplotlib.rc_context(LOUD):
            drawn = draw_one()
            found = pixels(drawn)  # a notebook draws when the cell ends, outside of the function
        assert np.array_equal(expected, found), name
        plt.close("all")
    plain, loud = plt.figure(), None
    plain.subplots().plot([0, 1])
    with matplotlib.rc_context(LOUD):
        loud = plt.figure(dpi=plain.dpi)
        loud.subplots().plot([0, 1])
        assert not np.array_equal(pixels(plain.axes), pixels(loud.axes))  # a figure without the style differs


def test_nothing_is_clipped(pairs, scores):
    long = {"a rather long name of a model that a student might choose": scores["text_only"], **scores}
    for drawn in (plots.plot_scores(long), plots.plot_heatmap(make_table(), n=9), plots.plot_balance(pairs)):
        figure = drawn.figure
        figure.canvas.draw()
        for ax in figure.axes:
            box = ax.get_tightbbox()
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_a_given_ax_is_used_and_returned(pairs, scores):
    _, ax = plt.subplots()
    before = len(plt.get_fignums())
    assert plots.plot_scores(scores, ax=ax) is ax
    assert plots.plot_confusion(scores["TF-IDF"], ax=plt.subplots()[1]).get_title(loc="left") == ""
    assert len(plt.get_fignums()) == before + 1


def luminance(colour: str) -> float:
    return float(np.dot([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)],
                        [0.2126, 0.7152, 0.0722]))  # fmt: skip


@pytest.mark.parametrize("family", [LABELS, SCENARIOS, ("train", "dev")])
def test_colour_is_never_the_only_code(family):
    assert len({plots.COLOURS[name] for name in family}) == len(family)
    assert len({plots.MARKERS[name] for name in family}) == len(family)
    assert len({plots.LINES[name] for name in family}) == len(family)


@pytest.mark.parametrize("family", [LABELS, SCENARIOS])
def test_palette_is_distinct_in_grey(family):
    greys = sorted(luminance(plots.COLOURS[name]) for name in family)
    ratios = [(lighter + 0.05) / (darker + 0.05) for darker, lighter in zip(greys, greys[1:], strict=False)]
    assert min(ratios) > 1.2


def test_labels_and_scenarios_share_no_colour():
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)


def test_balance_shows_shares_and_counts(pairs):
    ax = plots.plot_balance(pairs)
    assert texts(ax) == ["train\n12", "train\n0", "train\n18", "dev\n0", "dev\n0", "dev\n5"]  # no label, no test bar
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.4, 0, 0.6, 0, 0, 1])
    assert "train n = 30, dev n = 5" in ax.get_ylabel()
    with pytest.raises(MmlabError, match="No pair has a label"):
        plots.plot_balance(pairs[pairs["split"] == "test"])


def test_lengths_mark_the_medians(pairs):
    pairs["text"] = ["x" * (10 if label == "positive" else 50) for label in pairs["label"]]
    ax = plots.plot_lengths(pairs)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["negative (n = 12, median 50)", "positive (n = 23, median 10)"]
    medians = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert medians == [50, 10]


def test_encodings_are_counted(pairs):
    ax = plots.plot_encodings(pairs)
    assert texts(ax) == ["10 (25.0%)", "30 (75.0%)"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["gb18030", "utf-8"]


def test_image_sizes_leave_out_missing_images(pairs):
    pairs.loc[:4, ["width", "height"]] = 0
    assert "n = 35 images" in plots.plot_image_sizes(pairs).get_xlabel()


def test_gallery_shows_guid_label_and_text(pairs):
    pairs.loc[1, "image"] = ""
    axes = plots.plot_gallery(pairs, n=4, columns=3)
    draw(axes)  # dollars, Chinese and an emoji no font has: a warning would fail here
    assert len(axes) == 4
    assert axes[0].get_title(loc="left") == "0 · positive"
    assert "costs $5 and $0 today" in axes[0].get_xlabel()
    assert texts(axes[1]) == ["no image"]
    assert axes[0].images[0].get_array().shape[:2] == (256, 256)


def test_gallery_marks_wrong_predictions(pairs):
    axes = plots.plot_gallery(pairs.assign(said="positive").iloc[[0, 6]], predicted="said")
    assert axes[0].get_title(loc="left") == "0 · positive\n✓ predicted positive"
    assert axes[1].get_title(loc="left") == "6 · negative\n✗ predicted positive"
    assert axes[1].spines["left"].get_linewidth() > axes[0].spines["left"].get_linewidth()


def test_wrap_text():
    assert plots.wrap_text("one two three", 7, lines=3) == "one two\nthree"
    assert plots.wrap_text("abcdefghij k", 4, lines=5) == "abcd\nefgh\nij k"
    assert plots.wrap_text("one two three four", 5, lines=2) == "one\ntwo…"
    assert plots.wrap_text("a\n\t b", 10, lines=1) == "a b"
    assert plots.wrap_text("\U0010fffd\U0010fffd\U0010fffd", 4, lines=2) == "□□\n□"  # two columns each
    assert plots.wrap_text("", 10, lines=2) == ""
    assert plots.wrap_text("今天天气", 4, lines=2) in ("今天\n天气", "□□\n□□")
    started = time.perf_counter()
    assert plots.wrap_text("x" * 100_000, 10, lines=2) == "xxxxxxxxxx\nxxxxxxxxx…"
    assert time.perf_counter() - started < 1  # only what is shown is wrapped


def test_confusion_cells_show_share_and_count():
    scores = score_predictions([0, 0, 0, 0, 2], [0, 0, 0, 2, 2], range(5), draws=10)
    ax = plots.plot_confusion(scores, "A title")
    assert texts(ax) == [
        "75%\n3", "0%\n0", "25%\n1",
        "no pairs\n0", "no pairs\n0", "no pairs\n0",
        "0%\n0", "0%\n0", "100%\n1",
    ]  # fmt: skip
    assert ax.get_title(loc="left") == "A title"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "negative\nn = 4",
        "neutral\nn = 0",
        "positive\nn = 1",
    ]


def contrast(one, other) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_text_is_readable_on_every_cell(scores):
    tables = [make_table(), make_table().head(1), make_table().assign(accuracy=0.7)]
    for ax in (plots.plot_confusion(scores["text_and_image"]), *map(plots.plot_heatmap, tables)):
        draw(ax)
        picture = ax.collections[0]
        for text in ax.texts:
            column, row = (int(place) for place in text.get_position())
            cell = picture.cmap(picture.norm(picture.get_array()[row, column]))
            assert contrast(cell, text.get_color()) > 4.5


def test_scores_are_drawn_at_their_values(scores):
    ax = plots.plot_scores(scores, metric="macro_f1", references={"majority": 0.4, "ceiling": 0.99})
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == [one.macro_f1.value for one in scores.values()]
    bars = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2][: 2 * len(scores)]
    assert [scores["TF-IDF"].macro_f1.low, scores["TF-IDF"].macro_f1.high] in bars
    assert texts(ax) == [str(one.macro_f1) for one in scores.values()]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(scores)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["majority 0.400", "ceiling 0.990"]
    assert ax.get_xlim()[1] > 0.99  # a reference line is never outside the figure
    low, high = ax.get_ylim()
    assert low > high  # the first name is on top
    assert "recall of neutral" in plots.plot_scores(scores, metric="neutral").get_xlabel()
    with pytest.raises(MmlabError, match="metric='f1'"):
        plots.plot_scores(scores, metric="f1")


def test_a_score_without_pairs_or_interval_is_written_out():
    scores = score_predictions([0, 0], [0, 1], [5, 5])
    assert texts(plots.plot_scores({"a": scores}, "neutral")) == ["no pairs"]
    assert texts(plots.plot_scores({"a": scores})) == ["0.500 [no interval]"]


def test_comparisons_show_points_and_hollow_dots():
    labels = np.zeros(100, dtype=int)
    better, same = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    worse = np.where(np.arange(100) < 30, 1, 0)
    ax = plots.plot_comparisons(
        {
            "real": compare_predictions(labels, better, worse, range(100)),
            "none": compare_predictions(labels, better, same, range(100)),
        }
    )
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [dot.get_xdata()[0] for dot in dots] == [30, 0]
    assert [dot.get_markerfacecolor() for dot in dots] == [plots.OTHER, "white"]
    assert texts(ax)[0].startswith("+30.0 [+")


@pytest.mark.parametrize("best", [1, 5, 8])
def test_the_best_epoch_is_marked_where_it_is(best):
    history = make_history()
    for ax, column in zip(plots.plot_history(history, best), ("dev_loss", "dev_accuracy"), strict=True):
        star = next(line for line in ax.lines if line.get_marker() == "*")
        assert list(star.get_xdata()) == [best]
        assert list(star.get_ydata()) == [history.set_index("epoch").loc[best, column]]
        assert f"best epoch: {best}" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_each_model_of_a_cross_fit_has_its_own_best_epoch():
    history = pd.concat([make_history(6, fold=0), make_history(9, fold=1)])
    best = pd.DataFrame({"fold": [1, 0], "seed": [0, 0], "best_epoch": [7, 4]})  # in another order than the history
    ax = plots.plot_history(history, best)[0]
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert list(star.get_xdata()) == [4, 7]
    mean = next(line for line in ax.lines if line.get_label() == "dev, mean")
    assert list(mean.get_xdata()) == [1, 2, 3, 4, 5, 6]  # only while both train
    assert list(plots.plot_history(history, [4, 7])[0].lines[-1].get_xdata()) == [4, 7]


def test_history_refuses_epochs_that_do_not_exist():
    with pytest.raises(MmlabError, match="Epoch 99 is not in the history"):
        plots.plot_history(make_history(), 99)
    with pytest.raises(MmlabError, match="1 best epochs do not fit the history of 2 models"):
        plots.plot_history(pd.concat([make_history(fold=0), make_history(fold=1)]), [3])


def test_history_on_one_ax_draws_the_loss_alone():
    _, ax = plt.subplots()
    assert plots.plot_history(make_history(), 5, ax=ax) is ax
    assert "loss" in ax.get_ylabel()


def test_history_grid_shares_its_axes():
    runs = [(f"lr {k}", make_history(6 + k).assign(dev_loss=k), 5) for k in range(1, 5)]
    axes = plots.plot_history_grid(runs, columns=3)
    draw(axes)
    assert len(axes) == 4 and len({ax.get_ylim() for ax in axes}) == len({ax.get_xlim() for ax in axes}) == 1
    assert [ax.get_title(loc="left") for ax in axes] == ["lr 1", "lr 2", "lr 3", "lr 4"]
    assert [ax.xaxis.label.get_visible() for ax in axes] == [False, True, True, True]
    with pytest.raises(MmlabError, match="no runs"):
        plots.plot_history_grid([])


def test_heatmap_cells_hold_their_values():
    table = make_table()
    ax = plots.plot_heatmap(table.sample(frac=1, random_state=0))
    picture = ax.collections[0].get_array()
    across = [float(tick.get_text()) for tick in ax.get_xticklabels()]
    down = [float(tick.get_text()) for tick in ax.get_yticklabels()]
    shown = {tuple(int(place) for place in text.get_position()): text.get_text() for text in ax.texts}
    for row in table.itertuples():
        place = (across.index(row.dropout), down.index(row.lr))
        assert picture[place[1], place[0]] == row.accuracy
        assert shown[place] == f"{row.accuracy:.3f}\n[{row.low:.3f}, {row.high:.3f}]"
    best = ax.patches[0]
    assert (round(best.get_x()), round(best.get_y())) == (across.index(0.5), down.index(3e-4))


def test_heatmap_leaves_missing_cells_empty_and_refuses_double_ones():
    table = make_table()
    assert len(plots.plot_heatmap(table.drop(index=2)).texts) == 5
    with pytest.raises(MmlabError, match="Two runs have the same lr and dropout"):
        plots.plot_heatmap(pd.concat([table, table.head(1)]))


def test_effects_show_every_setting_and_the_means():
    table = make_table()
    for panel, name in zip(plots.plot_effects(table, ["lr", "dropout"], n=9), ("lr", "dropout"), strict=True):
        draw(panel)
        dots = sorted(y for dots in panel.collections for _, y in dots.get_offsets())
        assert dots == sorted(table["accuracy"])
        assert list(panel.lines[0].get_ydata()) == pytest.approx(list(table.groupby(name)["accuracy"].mean()))
        ticks = [float(tick.get_text()) for tick in panel.get_xticklabels()]
        assert ticks == sorted(table[name].unique()) and panel.get_xlabel() == name


def test_parallel_draws_the_best_setting_darkest_and_through_its_values():
    ax = plots.plot_parallel(make_table(), ["lr", "dropout"])
    assert len(ax.lines) == 6
    assert list(ax.lines[-1].get_ydata()) == [0, 1, 1]  # lr 3e-4, dropout 0.5, accuracy 0.70
    assert luminance(ax.lines[-1].get_color()) < luminance(ax.lines[0].get_color())


def test_cost_shows_the_intervals_that_were_given():
    table = make_table().assign(seconds=[3, 1, 4, 1, 5, 9])
    ax = plots.plot_cost(table)
    arms = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    assert np.allclose(arms, table[["low", "high"]])
    assert list(ax.lines[0].get_xdata()) == list(table["seconds"])


def test_a_metric_of_the_registry_can_be_drawn(monkeypatch):
    toy = Metric("toy", "toy score", "half of the accuracy", lambda c: METRICS["accuracy"].compute(c) / 2)
    monkeypatch.setitem(METRICS, "toy", toy)
    scores = score_predictions([0, 1], [0, 1], [0, 1], draws=10)
    ax = plots.plot_scores({"a": scores}, metric="toy")
    assert ax.get_xlabel().startswith("toy score") and texts(ax) == ["0.500 [0.500, 0.500]"]


def test_architecture_places_what_sees_both_inputs_in_the_middle_and_leads_down():
    ax = plots.plot_architecture(make_nodes())
    places = {text.get_text().split("\n")[0]: text.get_position() for text in ax.texts if text.get_text()}
    assert places["text"][0] == 0 and places["image"][0] == 2 and places["gate"][0] == 1
    for node in make_nodes():
        assert all(places[name][1] < places[node.name][1] for name in node.feeds)
    assert "B × 64\nparameters: 24,640" in "\n".join(texts(ax))
    arrows = [text for text in ax.texts if text.get_text() == ""]
    assert len(arrows) == sum(len(node.feeds) for node in make_nodes())


def test_patches_show_the_whole_picture_with_its_grid(picture):
    sent, encoded = plots.plot_patches(read_rgb(picture), 3)
    assert sent.get_title(loc="left") == "as sent, 80 × 40 px"
    assert encoded.get_title(loc="left") == "as encoded, 3 × 3 patches"
    assert encoded.images[0].get_array().shape == (288, 288, 3) and len(encoded.lines) == 4


def test_patch_answers_are_where_the_patches_are(pairs):
    views = np.full((1, 4, 3), 0.1)
    views[0, [0, 1, 2, 3], [0, 1, 2, 2]] = 0.8  # row by row: negative, neutral, positive, positive
    (ax,) = plots.plot_patch_answers(pairs.head(1), np.array([[0.2, 0.7, 0.1]]), views)
    shown = {text.get_position(): text.get_text() for text in ax.texts}
    assert shown == {(0.5, 0.5): "− 80%", (1.5, 0.5): "0 80%", (0.5, 1.5): "+ 80%", (1.5, 1.5): "+ 80%"}
    assert ax.get_title(loc="left") == "0 · positive"
    assert ax.get_xlabel() == "whole: neutral 70%\n(−: negative, 0: neutral, +: positive)"


def test_probe_shows_shares():
    ax = plots.plot_probe({"images swapped": 0.25, "nothing": 0.0}, n=80)
    assert texts(ax) == ["0.0%", "25.0%"]
    assert "n = 80 pairs" in ax.get_xlabel()


def save(drawn, results) -> dict[str, bytes]:
    """The files of a saved figure by name."""
    assert plots.save_figure(drawn, results, "s") is None  # nothing appears below a notebook's cell
    return {path.name: path.read_bytes() for path in sorted((results / "figures").iterdir())}


def test_save_figure_writes_the_same_bytes_for_the_same_data(tmp_path, scores, pairs):
    for name, draw_again in {
        "scores": lambda: plots.plot_scores(scores, references={"a": 0.4}),
        "effects": lambda: plots.plot_effects(make_table(), ["lr", "dropout"]),  # no dot is placed at random
        "lengths": lambda: plots.plot_lengths(pairs),
    }.items():
        first, second = (save(draw_again(), tmp_path / name / one) for one in "ab")
        assert list(first) == ["s.png", "s.svg"] and first == second, name
    first, changed = (save(plots.plot_scores(scores, references={"a": at}), tmp_path / str(at)) for at in (0.4, 0.5))
    assert all(first[name] != changed[name] for name in first)
    ET.fromstring(first["s.svg"])
    assert Image.open(io.BytesIO(first["s.png"])).width > 600


def test_photographs_are_saved_as_png_alone(tmp_path, pairs):
    assert list(save(plots.plot_gallery(pairs, n=2), tmp_path)) == ["s.png"]


def test_save_figure_takes_a_figure_or_an_array_and_refuses_a_path(tmp_path):
    axes = plots.plot_history(make_history(), 5)
    assert save(axes, tmp_path / "a") == save(plots.plot_history(make_history(), 5)[0].figure, tmp_path / "b")
    plots.save_figure(axes, tmp_path / "c", "s", subfolder="")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["s.png", "s.svg"]
    with pytest.raises(MmlabError, match="not a file name"):
        plots.save_figure(axes, tmp_path, "../h")


def show_in_notebook(figure, monkeypatch) -> dict[str, bytes]:
    """What IPython's display makes of a figure, by kind. The inline backend registers PNG for every figure."""
    import IPython.display
    from IPython.core.formatters import DisplayFormatter

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(type(figure), lambda _: b"PNG")
    return formatter.format(figure)[0] | {f"image/{one.format}": one.data for one in shown}


def test_notebooks_show_photographs_as_jpeg_and_other_figures_as_before(pairs, demo_folder, monkeypatch):
    pictures = sorted((demo_folder / "data").glob("*.jpg"))[: len(pairs)]
    pairs["image"] = [str(one) for one in pictures]
    views = np.full((2, 9, 3), 1 / 3)
    figures = {
        "gallery": plots.plot_gallery(pairs, n=9)[0].figure,
        "patches": plots.plot_patches(read_rgb(pictures[0]), 3)[0].figure,
        "answers": plots.plot_patch_answers(pairs.head(2), views[:, 0], views)[0].figure,
    }
    for name, figure in figures.items():
        shown = show_in_notebook(figure, monkeypatch)
        assert list(shown) == ["image/jpeg"], name
        with Image.open(io.BytesIO(shown["image/jpeg"])) as jpeg, io.BytesIO() as png:
            assert jpeg.format == "JPEG" and jpeg.width > 400
            figure.savefig(png, dpi=figure.dpi, bbox_inches="tight")
            assert len(shown["image/jpeg"]) < len(png.getvalue()) / 2, name
    shown = show_in_notebook(plots.plot_encodings(pairs).figure, monkeypatch)
    assert "image/jpeg" not in shown and shown["image/png"] == b"PNG"


def test_a_notebook_shows_every_figure_once_and_nothing_else(demo_folder, tmp_path):
    sources = [
        "from mmlab import plots",
        "from mmlab.course import read_course",
        f"course = read_course({str(demo_folder)!r})",
        "axes = plots.plot_gallery(course.labelled, n=2)",
        f"ax = plots.plot_balance(course.pairs)\nplots.save_figure(ax, {str(tmp_path)!r}, 's')",
        "ax = plots.plot_lengths(course.labelled)",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # of the kernel's connection
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    shown = [[set(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells[3:]]
    assert shown == [[{"image/jpeg", "text/plain"}], *[[{"image/png", "text/plain"}]] * 2]


def test_live_curve_is_silent_outside_a_notebook(capsys):
    with plots.live_curve() as curve:
        curve.update(make_history())
    assert capsys.readouterr().out == "" and plt.get_fignums() == []


class Display:
    """Takes the place of IPython's display: remembers what was shown, and what replaced it."""

    def __init__(self):
        self.shown, self.replaced = [], []

    def __call__(self, picture, display_id):
        self.shown.append(picture)
        return types.SimpleNamespace(update=self.replaced.append)


def test_live_curve_redraws_in_one_place(monkeypatch):
    import IPython.display

    display = Display()
    monkeypatch.setattr(model, "_in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    with plots.live_curve(every=3600) as curve:
        for epochs in range(1, 6):
            curve.update(make_history(epochs), 1)
        assert (len(display.shown), len(display.replaced)) == (1, 0)  # the others were too soon
    assert (len(display.shown), len(display.replaced)) == (1, 1)  # the last state is never lost
    assert Image.open(io.BytesIO(display.replaced[0].data)).width > 600
    assert plt.get_fignums() == []


def test_importing_the_package_leaves_matplotlib_and_seaborn_alone():
    code = "import sys, mmlab, mmlab.evaluation; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    code = (
        "import sys, mmlab.plots; print([m for m in ('torch', 'sklearn', 'matplotlib', 'seaborn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
