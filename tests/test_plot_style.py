"""What holds for every figure: its look, the settings it leaves alone, its files, and how a notebook shows it."""

import base64
import inspect
import io
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from figures import draw, list_pictures, luminance, make_history, make_nodes, make_pairs, make_scores, make_table
from matplotlib.axes import Axes
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from test_explain import PICTURE, FakeLab, entangled

from mmlab import plots
from mmlab.answer import Answer
from mmlab.config import LABELS, SCENARIOS
from mmlab.errors import MmlabError
from mmlab.evaluation import compare_predictions, predictions_frame, price_of_recall, risk_coverage
from mmlab.explain import explain
from mmlab.images import read_rgb
from mmlab.plots import picture, style

pytestmark = pytest.mark.usefixtures("clean_figures")


@pytest.fixture
def pairs(picture) -> pd.DataFrame:
    return make_pairs(picture)


@pytest.fixture
def scores():
    return make_scores()


@pytest.fixture
def draw_all(pairs, scores, picture):
    """A call without arguments for each plot function of the package, by name."""
    labels = np.arange(60) % 3
    comparison = compare_predictions(labels, labels, np.roll(labels, 1), range(60), draws=100)
    runs, views = [("a", make_history(), 5), ("b", make_history(6), 5)], np.full((2, 9, 3), 1 / 3)
    table = make_table().assign(seconds=range(6))
    named = pd.DataFrame({"guid": range(60), "label": np.asarray(LABELS)[labels], "twin": range(60)})
    priced = predictions_frame(named, labels, {"text_only": np.tile([0.2, 0.3, 0.5], (60, 1))})
    thirds = {scenario: np.full(3, 1 / 3) for scenario in SCENARIOS}
    explanation = explain(FakeLab(entangled), "not so good", PICTURE, label="positive")
    answer = Answer("costs $5", picture, thirds, "text_and_image", "neutral", 0.5, True)
    return {
        "plot_answer": lambda: plots.plot_answer(answer),
        "plot_explanation": lambda: plots.plot_explanation(explanation),
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
        "plot_cost": lambda: plots.plot_cost(table, ["lr", "dropout"], n=200),
        "plot_probe": lambda: plots.plot_probe({"images swapped": 0.3, "nothing": 0.0}, n=200),
        "plot_timeline": lambda: plots.plot_timeline([{"name": "encoding", "ready": 0.0, "start": 1.0, "end": 5.0}]),
        "plot_risk_coverage": lambda: plots.plot_risk_coverage(
            {"joint": risk_coverage([0.9, 0.5], [True, False])}, n=2
        ),
        "plot_price": lambda: plots.plot_price(price_of_recall(priced, "text_only"), n=60),
        "plot_learning_curve": lambda: plots.plot_learning_curve(
            pd.DataFrame({"n": [50, 100], "accuracy": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7]}), n=60
        ),
        "plot_reliability": lambda: plots.plot_reliability(labels, {"text_only": np.full((60, 3), 1 / 3)}),
    }


WITH_NAMES = {"plot_scores", "plot_comparisons", "plot_timeline"}  # on the y axis: they need no label
PICTURES = {
    "plot_answer",
    "plot_explanation",
    "plot_gallery",
    "plot_patches",
    "plot_patch_answers",
    "plot_architecture",
    "plot_parallel",
}  # without axes


def test_every_figure_has_labels_with_n_and_draws_without_a_warning(draw_all):
    assert set(draw_all) == {name for name in dir(plots) if name.startswith("plot_")}
    figures = {}
    for name, draw_one in draw_all.items():
        drawn = figures[name] = draw_one()
        draw(drawn)
        plt.close("all")
        for ax in np.ravel(drawn):
            assert isinstance(ax, Axes), name
        if name not in PICTURES:
            axes = np.ravel(drawn)[0].figure.axes
            assert axes[0].get_xlabel() and axes[0].get_ylabel() or name in WITH_NAMES, name
            assert name == "plot_timeline" or "n = " in " ".join(
                f"{ax.get_xlabel()} {ax.get_ylabel()}" for ax in axes
            ), name
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
        plt.close("all")
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


@pytest.mark.parametrize("family", [LABELS, SCENARIOS, ("train", "dev")])
def test_colour_is_never_the_only_code(family):
    assert len({plots.COLOURS[name] for name in family}) == len(family)
    assert len({style.MARKERS[name] for name in family}) == len(family)
    assert len({style.LINES[name] for name in family}) == len(family)


@pytest.mark.parametrize("family", [LABELS, SCENARIOS])
def test_palette_is_distinct_in_grey(family):
    greys = sorted(luminance(plots.COLOURS[name]) for name in family)
    ratios = [(lighter + 0.05) / (darker + 0.05) for darker, lighter in zip(greys, greys[1:], strict=False)]
    assert min(ratios) > 1.2


def test_labels_and_scenarios_share_no_colour():
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)


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


def show_in_notebook(figure) -> tuple[str, bytes, dict[str, str]]:
    """What a notebook shows of a figure: kind, bytes, and the other attributes of the picture."""
    shown = picture.make_output(figure)
    (attributes,) = list_pictures(shown["text/html"])
    kind, data = re.fullmatch("data:image/(.*);base64,(.*)", attributes.pop("src")).groups()
    assert shown["text/plain"] == f"<Figure: {attributes['alt']}>"
    return kind, base64.b64decode(data), attributes


def test_notebooks_show_photographs_as_jpeg_and_charts_as_png(pairs, demo_folder):
    pictures = sorted((demo_folder / "data").glob("*.jpg"))[: len(pairs)]
    pairs["image"] = [str(one) for one in pictures]
    views = np.full((2, 9, 3), 1 / 3)
    figures = {
        "gallery": plots.plot_gallery(pairs, n=9)[0].figure,
        "patches": plots.plot_patches(read_rgb(pictures[0]), 3)[0].figure,
        "answers": plots.plot_patch_answers(pairs.head(2), views[:, 0], views)[0].figure,
    }
    for name, figure in figures.items():
        kind, content, attributes = show_in_notebook(figure)
        with Image.open(io.BytesIO(content)) as jpeg, io.BytesIO() as png:
            assert kind == "jpeg" and jpeg.format == "JPEG" and jpeg.width > 400, name
            assert str(jpeg.width) == attributes["width"]
            figure.savefig(png, dpi=figure.dpi, bbox_inches="tight")
            assert len(content) < len(png.getvalue()) / 2, name
    kind, content, attributes = show_in_notebook(plots.plot_encodings(pairs).figure)
    with Image.open(io.BytesIO(content)) as png:
        assert kind == "png" and png.format == "PNG"
        assert png.width > 1.3 * int(attributes["width"])  # sharp on a screen of small pixels


def test_a_notebook_shows_the_saved_file_and_draws_no_figure_twice(pairs, scores, tmp_path, monkeypatch):
    ax = plots.plot_scores(scores)
    written = save(ax, tmp_path / "chart")["s.png"]
    monkeypatch.setattr(type(ax.figure), "draw", lambda *_: pytest.fail("drawn again"))
    assert not ax.figure.stale  # pyplot draws stale figures when a cell ends
    kind, shown, attributes = show_in_notebook(ax.figure)
    assert (kind, shown, attributes["width"]) == ("png", written, str(round(7.2 * 110)))
    monkeypatch.undo()
    ax.set_title("changed after it was saved")
    assert ax.figure.stale
    ax.figure.canvas.draw()  # as pyplot does before the notebook shows it
    assert show_in_notebook(ax.figure)[1] != written
    again = save(ax, tmp_path / "again")["s.png"]
    assert show_in_notebook(ax.figure)[1] == again != written

    gallery = plots.plot_gallery(pairs, n=2)
    save(gallery, tmp_path / "photographs")
    saved = show_in_notebook(gallery[0].figure)
    gallery[0].set_title("changed")
    gallery[0].figure.canvas.draw()
    changed = show_in_notebook(gallery[0].figure)
    assert saved[0] == changed[0] == "jpeg" and saved[1] != changed[1]


def test_every_figure_has_an_alternative_text(draw_all):
    for name, draw_one in draw_all.items():
        figure = np.ravel(draw_one())[0].figure
        first = inspect.getdoc(getattr(plots, name)).splitlines()[0]
        words = plots.describe_figure(figure)
        assert words.startswith(first) and len(words) > len(first) + 20, name
        assert first.endswith(".") and "`" not in first, name  # a sentence for those who do not see the figure
        assert len(words) <= 900 and "\n" not in words, name
        plt.close("all")


def test_an_alternative_text_names_what_is_written_in_the_figure(scores, pairs):
    words = plots.describe_figure(plots.plot_scores(scores, references={"majority": 0.4}).figure)
    assert "x axis: accuracy, share of 1, with 95 % interval (n = 200 pairs)" in words
    assert "y axis: (text_only, image_only, text_and_image, TF-IDF); legend: majority 0.400" in words
    assert str(scores["TF-IDF"].accuracy) in words
    words = plots.describe_figure(plots.plot_gallery(pairs, n=2)[0].figure)
    assert "0 · positive; costs $5 and $0 today" in words and "axis" not in words
    words = plots.describe_figure(plots.plot_heatmap(make_table()).figure)
    assert "x axis: dropout (share of units) (0, 0.3, 0.5)" in words
    _, ax = plt.subplots()
    ax.plot([1, 2])
    ax.set(title="a \"<b>\" & 'c'", xlabel="seconds")
    assert plots.describe_figure(ax.figure) == "A figure. a \"<b>\" & 'c'; x axis: seconds."
    assert show_in_notebook(ax.figure)[2]["alt"] == plots.describe_figure(ax.figure)
    ax.figure.set_label("Seconds of each run")
    assert plots.describe_figure(ax.figure).startswith("Seconds of each run. a ")
    ax.set_title("x" * 2000)
    assert len(plots.describe_figure(ax.figure)) == 900


def test_a_notebook_shows_every_figure_once_with_its_alternative_text(demo_folder, tmp_path):
    sources = [
        "import seaborn as sns\nfrom mmlab import plots",
        "from mmlab.course import read_course",
        f"course = read_course({str(demo_folder)!r})",
        "axes = plots.plot_gallery(course.labelled, n=2)",
        f"ax = plots.plot_balance(course.pairs)\nplots.save_figure(ax, {str(tmp_path)!r}, 's')",
        "ax = plots.plot_lengths(course.labelled)",
        "ax = sns.countplot(course.labelled, x='label')\nax.set_title('a figure of the cell');",
        "ax.figure",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # of the kernel's connection
        NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    shown = [[set(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells[3:]]
    assert shown == [[{"text/html", "text/plain"}]] * 5
    metadata = {"image/png": {"alt": "ignored: why a figure is HTML"}}  # once it counts, this can be simpler
    notebook.cells[0].outputs = [new_output("display_data", {"image/png": "aGVsbG8="}, metadata=metadata)]
    (tmp_path / "a.ipynb").write_text(nbformat.writes(notebook))
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", "--log-level=ERROR"]
    subprocess.run([*command, tmp_path / "a.ipynb"], check=True, timeout=120)
    plain, *words = (found["alt"] for found in list_pictures((tmp_path / "a.html").read_text(encoding="utf-8")))
    assert "ignored" not in plain
    assert [one.split(" ")[0] for one in words] == ["Pairs", "The", "How", "A", "A"]
    assert "a figure of the cell; x axis: label (negative" in words[3]


@pytest.fixture
def stale_fonts(tmp_path, monkeypatch):
    """DejaVu Sans counts as the font with Chinese letters; matplotlib made its list before it was installed."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    new = tmp_path / "DejaVuSans-Oblique.ttf"
    new.write_bytes(Path(font_manager.findfont("DejaVu Sans:style=oblique")).read_bytes())
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(style, "_CJK_FONTS", ("No Such Font", "DejaVu Sans"))
    listed = [font for font in manager.ttflist if font.name != "DejaVu Sans"]
    monkeypatch.setattr(manager, "ttflist", listed)
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: [*{font.fname for font in listed}, str(broken), str(new)]
    )
    monkeypatch.setattr(matplotlib, "get_cachedir", lambda: str(tmp_path))
    return new


def test_a_font_that_was_installed_later_is_found_and_kept(stale_fonts, tmp_path):
    assert style.find_cjk_font() == "DejaVu Sans"
    (kept,) = tmp_path.glob("fontlist-v*.json")
    assert stale_fonts.name in kept.read_text()
    kept.unlink()
    assert style.find_cjk_font() == "DejaVu Sans"
    assert not list(tmp_path.glob("fontlist-v*.json"))  # once is enough


def test_a_font_that_is_gone_is_not_named(stale_fonts, tmp_path):
    assert style.find_cjk_font() == "DejaVu Sans"
    stale_fonts.unlink()
    assert style.find_cjk_font() is None


def shown_words(drawn) -> str:
    """All text of a figure, as it is when it has been drawn."""
    figure = np.ravel(drawn)[0].figure
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_visible())


GERMAN = {
    "text": "Text", "text_and_image": "beide", "text_only": "nur Text", "accuracy": "Trefferquote (accuracy)",
    "pairs": "Paare", "label": "Klasse", "length of the text in characters": "Länge in Zeichen", "positive": "positiv",
    "predicted": "geschätzt:", "majority": "Mehrheit", "n": "Anzahl",
}  # fmt: skip


def test_the_words_of_a_figure_are_translated_wherever_they_are(scores, pairs):
    ax = plots.plot_scores(scores, references={"majority": 0.4})
    plots.translate_figure(ax, GERMAN)
    ax.figure.canvas.draw()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["nur Text", "image_only", "beide", "TF-IDF"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Mehrheit 0.400"]
    assert ax.get_xlabel() == "Trefferquote (accuracy), share of 1, with 95 % interval (Anzahl = 200 Paare)"
    table = make_table().assign(lr=["text", "label"] * 3)
    for panels in (plots.plot_effects(table, ["lr", "dropout"]), plots.plot_lengths(pairs)):
        assert not any(word in shown_words(panels) for word in ("Trefferquote", "Länge", "Klasse"))
        plots.translate_figure(panels, GERMAN)
        words = shown_words(panels)
        assert "Klasse" in words and ("Trefferquote (accuracy), share" in words or "Länge in Zeichen (Anz" in words)


def test_axes_that_share_their_ticks_are_translated_once():
    _, panels = plt.subplots(1, 2)
    panels[1].sharey(panels[0])  # and both show them
    panels[0].set_yticks([0, 1], ["accuracy", "text"])
    plots.translate_figure(panels, GERMAN)
    shown_words(panels)
    assert [[tick.get_text() for tick in ax.get_yticklabels()] for ax in panels] == [[GERMAN["accuracy"], "Text"]] * 2


def test_a_translation_that_no_font_can_draw_is_left_out(monkeypatch):
    monkeypatch.setattr(style, "_drawable", lambda: frozenset(range(128)))
    ax = plots.plot_probe({"text": 0.3, "label": 0.1}, n=200)
    plots.translate_figure(ax, GERMAN | {"text": "\u6587"})
    assert {"text", "Klasse"} <= set(shown_words(ax).splitlines())


def test_what_a_figure_quotes_is_not_translated(pairs):
    pairs["text"] = "a positive label"
    pairs.loc[0, "guid"] = "$a$"
    axes = plots.plot_gallery(pairs.assign(said="positive"), n=2, predicted="said")
    plots.translate_figure(axes, GERMAN)
    assert axes[0].get_xlabel() == "a positive label"
    assert axes[1].get_title(loc="left") == "1 · positiv\n✓ geschätzt: positiv"
    words = shown_words(axes)
    plots.translate_figure(axes, {})
    assert shown_words(axes) == words
    assert plots.plot_gallery(pairs, n=1)[0].get_title(loc="left") == "$a$ · positive"  # two letters, no formula


def test_importing_the_package_leaves_matplotlib_and_seaborn_alone():
    code = "import sys, mmlab, mmlab.evaluation; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    code = (
        "import sys, mmlab.plots; print([m for m in ('torch', 'sklearn', 'matplotlib', 'seaborn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
