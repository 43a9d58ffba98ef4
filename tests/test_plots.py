"""What each figure shows is tested on its axes: labels, marks where they belong, text one can read."""

import time
import types

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import Node, draw, luminance, make_history, make_nodes, make_pairs, make_scores, make_table, texts

from mmlab import plots
from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS, Metric, compare_predictions, score_predictions
from mmlab.images import read_rgb
from mmlab.plots import model, style
from mmlab.plots import scores as scores_plots

pytestmark = pytest.mark.usefixtures("clean_figures")


@pytest.fixture
def pairs(picture) -> pd.DataFrame:
    return make_pairs(picture)


@pytest.fixture
def scores():
    return make_scores()


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


LONG_WORDS = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "M" * 300, "i" * 300,
    "\u4eca\u5929" * 90, "so happy \U0001f600\U0001f600 " * 20, "EVERYTHING IN CAPITALS " * 9,
)  # fmt: skip


def find_overflow(axes) -> list[str]:
    """The titles and captions that reach into the next panel, or out of the figure."""
    draw(axes)
    figure = axes[0].figure
    written = [text for ax in axes for text in (ax._left_title, ax.xaxis.label)]
    boxes = {text: text.get_window_extent() for text in written}
    over = [one for one, box in boxes.items() if box.x1 > figure.bbox.x1 or box.y0 < 0 or box.y1 > figure.bbox.y1]
    over += [one for one in written for other in written if one is not other and boxes[one].overlaps(boxes[other])]
    return [text.get_text() for text in over]


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_a_gallery_is_readable_and_nothing_in_it_overflows(pairs, columns):
    pairs.loc[: len(LONG_WORDS) - 1, "text"] = LONG_WORDS
    pairs["guid"] = ["W" * 60, "x" * 60, "1234567890" * 6, *pairs["guid"][3:]]
    axes = plots.plot_gallery(pairs.assign(said="neutral"), n=6, columns=columns, predicted="said")
    assert find_overflow(axes) == []
    assert all("negative" in ax.get_title("left") or "positive" in ax.get_title("left") for ax in axes)
    figure = axes[0].figure
    assert figure.get_size_inches()[0] <= 9.2  # the width of a notebook's page
    sizes = [text.get_fontsize() for ax in axes for text in (ax._left_title, ax.xaxis.label)]
    assert min(sizes) * figure.dpi / 96 >= 9.5  # points on a screen, where a pixel is 1/96 inch
    for ax in axes:
        ax.xaxis.label.set_fontsize(2 * ax.xaxis.label.get_fontsize())
    assert find_overflow(axes)  # the twin


def test_fit_text_takes_the_room_that_the_letters_need():
    narrow, wide = (style.fit_text(letter * 200, 2.5, 3, 10).split("\n") for letter in "iM")
    assert len(narrow[0]) > 3 * len(wide[0]) and len(narrow) == len(wide) == 3
    assert style.fit_text("one two", 2.5, 3, 10) == "one two"
    assert style.fit_text("MM", 0.01, 1, 10) == "MM"  # too narrow for anything
    assert style.fit_text("", 2.5, 3, 10) == ""


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
    ax = plots.plot_cost(table, ["lr", "dropout"])
    arms = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    assert np.allclose(arms, table[["low", "high"]])
    assert list(ax.lines[0].get_xdata()) == list(table["seconds"])


@pytest.mark.parametrize("settings", [1, 6, 16, 30])
def test_cost_names_every_setting_once_and_no_number_covers_another(settings):
    table = pd.concat([make_table()] * 7, ignore_index=True).head(settings)
    table = table.assign(seconds=2.0, epochs=range(settings))  # the worst case: all dots in one place
    ax = plots.plot_cost(table, ["lr", "epochs"])
    draw(ax)
    assert texts(ax) == [str(number + 1) for number in range(settings)]
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == [f"{row + 1}  lr {table['lr'][row]:g}, epochs {row}" for row in range(settings)]
    written = [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]  # without their lines
    assert not any(one.overlaps(other) for one, other in zip(written, written[1:], strict=False))


def test_of_many_settings_the_best_are_named():
    table = pd.DataFrame({"lr": range(60), "seconds": range(60), "accuracy": np.linspace(0.9, 0.1, 60)})
    ax = plots.plot_cost(table.assign(low=0, high=1), ["lr"])
    assert len(ax.lines[0].get_xdata()) == 60
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"{n + 1}  lr {n}" for n in range(30)]


def test_numbers_are_spread_as_little_as_it_takes():
    assert scores_plots._spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
    assert scores_plots._spread([0.0, 0.0, 0.5], 0.1) == pytest.approx([0.0, 0.1, 0.5])
    assert scores_plots._spread([0.95, 0.95, 0.96], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert scores_plots._spread([], 0.1) == []


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


def find_covered_boxes(ax) -> list[str]:
    draw(ax)
    boxes = {text.get_text(): text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_text()}
    return [one for one in boxes for other in boxes if one != other and boxes[one].overlaps(boxes[other])]


def make_crowded_nodes(middle: int) -> list:
    """On one level two parts of the text, two of the image, and `middle` of both."""
    parts = {side: [f"{side}_projection_{n}" for n in (1, 2)] for side in ("text", "image")}
    both = [f"mixed {n}" for n in range(middle)]
    inputs = [
        Node(name=side, kind="input", shape=(1, 50, 1280), parameters=0, feeds=(*parts[side], *both)) for side in parts
    ]
    names = [*parts["text"], *parts["image"], *both]
    return inputs + [Node(name=one, kind="Linear", shape=(1, 3), parameters=163_968, feeds=()) for one in names]


@pytest.mark.parametrize("nodes", [make_nodes(), *map(make_crowded_nodes, range(4))])
def test_no_box_of_an_architecture_covers_another(nodes):
    ax = plots.plot_architecture(nodes)
    assert find_covered_boxes(ax) == []
    for text in ax.texts:
        text.set_fontsize(3 * text.get_fontsize())
    assert find_covered_boxes(ax)  # the twin


def test_an_architecture_is_legible_where_the_report_shows_it():
    ax = plots.plot_architecture(make_crowded_nodes(0))  # four on a level, as in the models of the lab
    page = 6.7 / ax.figure.get_figwidth()  # inches: a figure of the report is as wide as the text of an A4 page
    assert page * min(text.get_fontsize() for text in ax.texts if text.get_text()) >= 8


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


def test_live_curve_is_silent_outside_a_notebook(capsys):
    with plots.live_curve() as curve:
        curve.update(make_history())
    assert capsys.readouterr().out == "" and plt.get_fignums() == []


class Display:
    """Takes the place of IPython's display: remembers what was shown, and what replaced it."""

    def __init__(self):
        self.shown, self.replaced = [], []

    def __call__(self, output, raw, display_id):
        self.shown.append(output)
        return types.SimpleNamespace(update=lambda output, raw: self.replaced.append(output))


def test_live_curve_redraws_in_one_place(monkeypatch):
    import IPython.display

    display = Display()
    monkeypatch.setattr(model, "in_kernel", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    with plots.live_curve(every=3600) as curve:
        for epochs in range(1, 6):
            curve.update(make_history(epochs), 1)
        assert (len(display.shown), len(display.replaced)) == (1, 0)  # the others were too soon
    assert (len(display.shown), len(display.replaced)) == (1, 1)  # the last state is never lost
    assert display.replaced[0]["text/html"].startswith('<img alt="Train and dev loss over the epochs')
    assert display.shown != display.replaced
    assert plt.get_fignums() == []


def test_a_timeline_shows_when_each_part_ran_and_what_held_it_up():
    rows = [("encoding", 1, 1, 9), ("02", 1, 2, 12), ("01", 1, 1, 4), ("03", 12, 12, 14)]
    parts = [dict(zip(("name", "ready", "start", "end"), row, strict=True)) for row in rows]
    ax = plots.plot_timeline(parts, "encoding", ("01",), {"encoding": "features"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["01", "features", "02", "03"]
    assert [text.get_text().strip() for text in ax.texts] == ["3.0 s", "8.0 s", "10.0 s", "2.0 s"]
    hatched = [(bar.get_x(), bar.get_width()) for bar in ax.patches if bar.get_hatch()]
    assert hatched == [(2, 7)]  # of 02, until the features were there
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(1, 2)]  # 02 waited for its place
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) == 14
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["waiting to start", "beside the encoding"]


def test_a_figure_that_has_nothing_to_draw_says_so(pairs, tmp_path):
    nothing = pairs.head(0)
    drawn = {
        "There are no pairs to show.": plots.plot_gallery(nothing),
        "No pair has a text": plots.plot_encodings(pairs.assign(encoding="")),
        "No pair has an image": plots.plot_image_sizes(pairs.assign(width=0)),
        "This pair has no image": plots.plot_patches("", 3),
        "There is no picture to show": plots.plot_patch_answers(nothing, np.zeros((0, 3)), np.zeros((0, 9, 3))),
        "There are no two models to compare.": plots.plot_comparisons({}),
    }
    for sentence, axes in drawn.items():
        assert sentence in plots.describe_figure(axes.figure)
        plots.save_figure(axes, tmp_path, sentence[:8])
        assert (tmp_path / "figures" / f"{sentence[:8]}.png").is_file()
    ax = plots.new_figure((3, 3)).subplots()
    assert plots.plot_gallery(nothing, ax=[ax]) is ax  # where it was to be drawn
    assert "There are no pairs" not in plots.describe_figure(plots.plot_gallery(pairs.head(1))[0].figure)
