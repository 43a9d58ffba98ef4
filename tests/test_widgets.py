"""The browser of pairs: the plain function is tested on its axes, the controls without a kernel and with a real one."""

import base64
import html
import io
import json
import re
import warnings

import ipywidgets
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes
from PIL import Image

from mmlab.errors import MmlabError
from mmlab.widgets import ANY, NO_LABEL, browse_pairs, find_pairs, show_pair
from mmlab.widgets import browser as widgets
from mmlab.workbook.execute import run_notebook

pytestmark = pytest.mark.usefixtures("clean_figures")


@pytest.fixture
def pairs(picture) -> pd.DataFrame:
    frame = pd.DataFrame({"guid": [f"g{i}" for i in range(8)]})
    labels = ["negative", "positive", "positive", "negative", "positive", "neutral", None, None]
    frame["label"] = pd.Series(labels, dtype=object)
    frame["split"] = ["train", "train", "dev", "dev", "train", "train", "test", "test"]
    frame["text"] = [f"costs $5 and ${i} today, 今天 \U0001f9cc" for i in range(8)]
    frame["encoding"] = ["utf-8", "gb18030"] * 4
    frame["width"], frame["height"], frame["image"] = 80, 40, str(picture)
    frame["has_text"] = frame["has_image"] = True
    frame["twin"] = [0, 1, 2, 0, 4, 5, 0, 7]
    return frame


def read_words(axes) -> str:
    return "\n".join(text.get_text() for text in axes[1].texts)


# ---- which pairs


@pytest.mark.parametrize(
    ("label", "split", "expected"),
    [
        (ANY, ANY, range(8)),
        ("positive", ANY, [1, 2, 4]),
        (ANY, "dev", [2, 3]),
        ("positive", "train", [1, 4]),
        (NO_LABEL, ANY, [6, 7]),
        ("neutral", "dev", []),
    ],
)
def test_find_pairs_filters_by_label_and_split(pairs, label, split, expected):
    assert find_pairs(pairs, label, split).tolist() == list(expected)


def test_find_pairs_gives_positions_and_not_the_index(pairs):
    assert find_pairs(pairs.set_index(np.arange(8) + 100), "positive").tolist() == [1, 2, 4]


# ---- one pair


def test_show_pair_shows_what_is_known(pairs):
    axes = show_pair(pairs, 0)
    assert axes[0].get_title(loc="left") == "g0 · negative"
    assert axes[0].get_xlabel() == "80 × 40 px"
    assert len(axes[0].images) == 1
    words = read_words(axes)
    assert "costs $5 and $0 today" in words
    assert "split: train" in words
    assert f"text: {len(pairs.text[0])} characters, utf-8" in words
    assert "twins: g3 (negative, dev), g6 (no label, test)" in words
    axes[0].figure.canvas.draw()  # a "$" must not be taken for a formula


def test_show_pair_shows_the_pair_at_the_position_and_no_other(pairs):
    words = read_words(show_pair(pairs.set_index(np.arange(8)[::-1]), 1))
    assert "and $1 today" in words and "gb18030" in words and "twins: none" in words


def test_show_pair_shortens_a_long_list_of_twins(pairs):
    words = read_words(show_pair(pairs.assign(twin=0), 5)).replace("\n", " ")
    assert words.endswith("g3 (negative, dev) and 3 more")


def test_show_pair_shows_half_a_pair(pairs):
    half = pairs.assign(has_text=False, text="", encoding="")
    assert "(no text)" in read_words(show_pair(half, 7))
    assert "text: none" in read_words(show_pair(half, 7))
    axes = show_pair(pairs.assign(has_image=False, image="", width=0, height=0), 7)
    assert axes[0].get_xlabel() == "no image"
    assert axes[0].texts[0].get_text() == "no image"


@pytest.mark.parametrize("position", [-1, 8])
def test_show_pair_refuses_a_position_that_is_not_there(pairs, position):
    with pytest.raises(MmlabError, match="positions go from 0 to 7"):
        show_pair(pairs, position)


def test_words_stay_inside_the_figure_and_apart(pairs):
    text = "wide 今天 letters " * 9
    figure = show_pair(pairs.assign(text=text, twin=0), 0)[0].figure
    figure.canvas.draw()
    above, below = (text.get_window_extent() for text in figure.axes[1].texts)
    assert above.y0 > below.y1
    assert max(above.x1, below.x1) <= figure.bbox.x1 and min(above.x0, below.x0) > figure.axes[0].bbox.x1


# ---- the controls


def find_controls(box) -> dict:
    rows = box.children[0].children + box.children[1].children
    return {control.description: control for control in rows if control.description}


@pytest.fixture
def drawn(monkeypatch) -> list[int]:
    """The positions that the browser draws."""
    positions = []
    monkeypatch.setattr(widgets, "_draw_html", lambda pairs, position: positions.append(int(position)) or "<img>")
    return positions


def test_browser_steps_through_all_pairs(pairs, drawn):
    controls = find_controls(browse_pairs(pairs))
    assert drawn == [0]
    controls["pair"].value = 8
    assert drawn[-1] == 7


def test_browser_starts_again_when_the_filter_changes(pairs, drawn):
    box = browse_pairs(pairs)
    controls, count = find_controls(box), box.children[1].children[1]
    controls["pair"].value = 8
    controls["label"].value = "positive"
    assert (drawn[-1], controls["pair"].value, controls["pair"].max, count.value) == (1, 1, 3, "of 3")
    controls["pair"].value = 3
    assert drawn[-1] == 4
    controls["split"].value = "dev"
    assert (drawn[-1], controls["pair"].max, controls["pair"].disabled) == (2, 1, True)
    controls["label"].value = controls["split"].value = ANY
    assert (drawn[-1], controls["pair"].max, controls["pair"].disabled) == (0, 8, False)


def test_browser_says_when_no_pair_fits(pairs, drawn):
    box = browse_pairs(pairs)
    controls = find_controls(box)
    controls["label"].value = "neutral"
    drawn.clear()
    controls["split"].value = "dev"
    assert drawn == []
    assert "No pair has this label in this split." in box.children[-1].value
    assert box.children[1].children[1].value == "of 0"


def test_controls_are_named_and_draw_only_when_let_go(pairs, drawn):
    box = browse_pairs(pairs)
    controls = find_controls(box)
    assert list(controls) == ["label", "split", "pair"]
    assert controls["label"].options == (ANY, "negative", "neutral", "positive", NO_LABEL)
    assert controls["split"].options == (ANY, "train", "dev", "test")
    assert controls["pair"].continuous_update is False
    assert isinstance(box.children[-1], ipywidgets.HTML)  # an Output may stall a headless run
    assert box.children[-1].layout.height == "383px"


def test_choices_that_no_pair_has_are_not_offered(pairs, drawn):
    controls = find_controls(browse_pairs(pairs[pairs.split == "dev"]))
    assert controls["label"].options == (ANY, "negative", "positive")
    assert controls["split"].options == (ANY, "dev")


def test_browser_draws_once_for_each_change(pairs, drawn):
    controls = find_controls(browse_pairs(pairs))
    controls["pair"].value = 8
    controls["label"].value = "positive"
    assert drawn == [0, 7, 1]


def test_browser_shows_a_picture_with_its_words(pairs):
    box = browse_pairs(pairs.assign(text='"<b>5 > 3</b>"'))
    find_controls(box)["pair"].value = 2
    shown = re.fullmatch(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', box.children[-1].value)
    alt, picture = shown.groups()
    assert html.unescape(alt) == 'Pair g1, positive: "<b>5 > 3</b>"'
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (946, 363)
    assert plt.get_fignums() == []  # pyplot would show an open figure once more, below the cell


def test_browser_refuses_an_empty_frame(pairs):
    with pytest.raises(MmlabError, match="no pairs to browse"):
        browse_pairs(pairs.iloc[:0])


def test_browser_in_a_real_kernel(pairs, tmp_path):
    """Headless, the picture goes into the widget and not into the cell, and nothing of the widget is saved."""
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    cells = [
        "import pandas as pd\nfrom mmlab.workbook import finish_notebook\nfrom mmlab.widgets import browse_pairs",
        f"file = {str(tmp_path / 'pairs.csv')!r}  # the pairs",
        "box = browse_pairs(pd.read_csv(file))",
        "box",
        "box.children[0].children[0].value = 'neutral'",
        "print(box.children[-1].value[:60])",
        f"finish_notebook({str(tmp_path / 'results')!r}, 'x', {{}})",
    ]
    node = new_notebook(cells=[new_code_cell(source) for source in cells])
    node.cells[1].metadata["tags"] = ["parameters"]
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source, output = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    source.write_text(writes(node), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        run_notebook(source, output, {}, timeout_s=120)
    done = json.loads(output.read_text(encoding="utf-8"))
    assert "widgets" not in done["metadata"]
    assert [len(cell["outputs"]) for cell in done["cells"]] == [0, 0, 0, 0, 0, 1, 0]
    assert "Pair g5, neutral: costs $5 and $5 today" in "".join(done["cells"][5]["outputs"][0]["text"])
