"""The browser of pairs: the plain function is tested on its axes, the controls without a kernel and with a real one."""

import asyncio
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
from mmlab.widgets.parts import NO_KERNEL, collapse, guard, say
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


def test_find_pairs_joins_its_filters(pairs):
    pairs = pairs.assign(right=[True, False, False, None, None, None, None, None])
    assert find_pairs(pairs, charset="gb18030").tolist() == [1, 3, 5, 7]
    assert find_pairs(pairs, words="TODAY 今天 $3").tolist() == [3]
    assert find_pairs(pairs, twins=True).tolist() == [0, 3, 6]
    assert find_pairs(pairs, wrong=True).tolist() == [1, 2]
    assert find_pairs(pairs, split="dev", charset="utf-8", wrong=True).tolist() == [2]


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


class Clicks:
    """A view without a page: its controls by their description, and what it shows."""

    def __init__(self, box) -> None:
        self.box, self.view, self.note = box, box.children[2], box.children[4]
        rows = [*box.children[0].children, *box.children[1].children, *box.children[3].children]
        self.controls = {one.description: one for one in rows if getattr(one, "description", "")}

    def __getitem__(self, name):
        return self.controls[name]

    @property
    def shown(self) -> str:
        return re.search(r"<b>(\w+) ·", self.view.value).group(1) if self.view.value else ""

    @property
    def count(self) -> str:
        return self.box.children[1].children[3].value

    @property
    def twins(self) -> list[str]:
        return [one.description for one in self.box.children[3].children if one.layout.visibility == "visible"]


@pytest.fixture
def answers(pairs) -> pd.DataFrame:
    """Of a model that answers positive to all labelled pairs but the last."""
    known = pairs[pairs.label.notna()].iloc[:-1]
    return pd.DataFrame(
        {"guid": known.guid, "predicted": "positive", "confidence": 0.875, "right": known.label == "positive"}
    )


def test_browser_steps_through_all_pairs_and_around(pairs):
    view = Clicks(browse_pairs(pairs))
    assert (view.shown, view.count) == ("g0", "of 8")
    view["next"].click()
    assert (view.shown, view["pair"].value, view["guid"].value) == ("g1", 2, "g1")
    view["pair"].value = 8
    assert view.shown == "g7"
    view["next"].click()
    assert view.shown == "g0"
    view["previous"].click()
    assert view.shown == "g7"


def test_browser_starts_again_when_a_filter_changes(pairs):
    view = Clicks(browse_pairs(pairs))
    view["pair"].value = 8
    view["label"].value = "positive"
    assert (view.shown, view["pair"].value, view["pair"].max, view.count) == ("g1", 1, 3, "of 3")
    view["pair"].value = 3
    assert view.shown == "g4"
    view["split"].value = "dev"
    assert (view.shown, view["pair"].max, view["pair"].disabled) == ("g2", 1, True)
    view["label"].value = view["split"].value = ANY
    assert (view.shown, view["pair"].max, view["pair"].disabled) == ("g0", 8, False)
    view["charset"].value = "gb18030"
    assert (view.shown, view.count) == ("g1", "of 4")
    view["charset"].value, view["has twins"].value = ANY, True
    assert view.count == "of 3"


def test_browser_searches_words(pairs):
    view = Clicks(browse_pairs(pairs))
    view["words"].value = "$6 Costs"
    assert (view.shown, view.count) == ("g6", "of 1")
    view["words"].value = "costs.*"  # a letter stands for itself
    assert (view.shown, view.count) == ("", "of 0")


def test_browser_jumps_to_a_guid(pairs):
    view = Clicks(browse_pairs(pairs))
    view["guid"].value = " g4 "
    assert (view.shown, view["pair"].value) == ("g4", 5)
    view["guid"].value = "g44"
    assert view.shown == "g4"
    assert "There is no pair &#x27;g44&#x27; here." in view.note.value
    view["next"].click()
    assert view.shown == "g5" and "no pair" not in view.note.value


def test_browser_shows_a_twin_that_the_filters_leave_out(pairs):
    view = Clicks(browse_pairs(pairs))
    assert view.twins == ["g3", "g6"]
    view["label"].value = "negative"
    view["g6"].click()
    assert (view.shown, view.twins, view.count) == ("g6", ["g0", "g3"], "of 2")
    assert "Pair g6 does not fit the filters." in view.note.value
    view["next"].click()
    assert (view.shown, view["pair"].value) == ("g3", 2)
    assert "does not fit" not in view.note.value
    view["label"].value = "neutral"
    assert (view.shown, view.twins) == ("g5", [])


def test_browser_says_when_no_pair_fits(pairs):
    view = Clicks(browse_pairs(pairs))
    view["label"].value, view["split"].value = "neutral", "dev"
    assert (view.view.value, view.count, view.twins) == ("", "of 0", [])
    assert "No pair fits these filters." in view.note.value
    view["next"].click()
    assert view.view.value == ""
    view["split"].value = ANY
    assert view.shown == "g5" and "No pair" not in view.note.value


def test_browser_shows_answers_and_the_wrong_ones_alone(pairs, answers):
    view = Clicks(browse_pairs(pairs, answers))
    assert "positive, ✗ wrong, confidence 0.88" in view.view.value
    view["guid"].value = "g1"
    assert "positive, ✓ right, confidence 0.88" in view.view.value
    view["guid"].value = "g5"  # this one was not answered
    assert "confidence" not in view.view.value
    view["wrong only"].value = True
    assert (view.shown, view.count) == ("g0", "of 2")
    assert "wrong only" not in Clicks(browse_pairs(pairs)).controls


def test_show_pair_shows_an_answer(pairs, answers):
    assert "answer: positive, ✗ wrong, confidence 0.88" in read_words(show_pair(pairs, 0, answers))
    assert "answer" not in read_words(show_pair(pairs, 5, answers))


def test_browser_refuses_answers_without_a_verdict(pairs, answers):
    with pytest.raises(MmlabError, match="no column right"):
        browse_pairs(pairs, answers.drop(columns="right"))


def test_controls_come_in_the_order_of_their_use_and_say_what_they_do(pairs, answers):
    view = Clicks(browse_pairs(pairs, answers))
    order = ["label", "split", "charset", "words", "has twins", "wrong only", "previous", "next", "pair", "guid"]
    assert list(view.controls)[:10] == order
    assert all(one.tooltip for one in view.controls.values())
    assert view["label"].options == (ANY, "negative", "neutral", "positive", NO_LABEL)
    assert view["split"].options == (ANY, "train", "dev", "test")
    assert view["pair"].continuous_update is False
    assert isinstance(view.view, ipywidgets.HTML)  # an Output may stall a headless run
    assert view.view.layout.height == "320px"


def test_choices_that_no_pair_has_are_not_offered(pairs):
    view = Clicks(browse_pairs(pairs[pairs.split == "dev"]))
    assert view["label"].options == (ANY, "negative", "positive")
    assert view["split"].options == (ANY, "dev")


def test_browser_draws_once_for_each_change(pairs, monkeypatch):
    positions = []
    monkeypatch.setattr(widgets, "_draw_html", lambda pairs, position: positions.append(int(position)) or "<img>")
    view = Clicks(browse_pairs(pairs))
    view["pair"].value = 8
    view["label"].value = "positive"
    view["next"].click()
    assert positions == [0, 7, 1, 2]


def test_browser_shows_a_picture_and_its_words(pairs):
    view = Clicks(browse_pairs(pairs.assign(text='"<b>5 > 3</b>"')))
    view["pair"].value = 2
    alt, picture = re.search(r'<img alt="([^"]*)".* src="data:image/jpeg;base64,([^"]*)">', view.view.value).groups()
    assert alt == "the picture of pair g1"
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (80, 40)
    assert html.escape('"<b>5 > 3</b>"') in view.view.value
    assert plt.get_fignums() == []


def test_browser_shows_a_pair_whose_picture_is_gone(pairs, tmp_path):
    view = Clicks(browse_pairs(pairs.assign(image=str(tmp_path / "gone.jpg"))))
    assert "no image" in view.view.value and view.shown == "g0"


def test_browser_refuses_an_empty_frame(pairs):
    with pytest.raises(MmlabError, match="no pairs to browse"):
        browse_pairs(pairs.iloc[:0])


def test_browser_in_a_real_kernel(pairs, tmp_path):
    """Headless, the picture goes into the widget and not into the cell; of the widget a sentence alone is saved."""
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    cells = [
        "import pandas as pd\nfrom mmlab.workbook import finish_notebook\nfrom mmlab.widgets import browse_pairs",
        f"file = {str(tmp_path / 'pairs.csv')!r}  # the pairs",
        "box = browse_pairs(pd.read_csv(file))",
        "box",
        "box.children[0].children[0].value = 'neutral'",
        "print('g5 · neutral' in box.children[2].value)",
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
    assert [len(cell["outputs"]) for cell in done["cells"]] == [0, 0, 0, 1, 0, 1, 0]
    assert done["cells"][3]["outputs"][0]["data"].keys() == {"text/html", "text/plain"}
    assert NO_KERNEL in "".join(done["cells"][3]["outputs"][0]["data"]["text/html"])
    assert done["cells"][5]["outputs"][0]["text"] == ["True\n"]


# ---- what views share


def test_a_burst_is_collapsed_and_two_changes_apart_are_not():
    calls = []

    async def type_quickly() -> None:
        later = collapse(lambda: calls.append(len(calls)), pause=0.01)
        for _ in range(20):
            later()
        assert calls == []
        await asyncio.sleep(0.1)
        assert calls == [0]
        later()
        await asyncio.sleep(0.1)
        assert calls == [0, 1]

    asyncio.run(type_quickly())


def test_without_an_event_loop_a_change_is_answered_at_once():
    calls = []
    later = collapse(lambda: calls.append(1))
    later()
    later()
    assert calls == [1, 1]


def test_an_error_of_a_callback_is_one_sentence():
    note = ipywidgets.HTML()

    def fail(error):
        raise error

    guard(lambda: fail(MmlabError("<b> is no guid.")), note)()
    assert note.value == say("<b> is no guid.")
    assert "&lt;b&gt; is no guid." in note.value
    guard(lambda: fail(KeyError("x")), note)()
    assert "This did not work (KeyError" in note.value
    guard(lambda: "done", note)()
    assert note.value == say("done")
    with pytest.raises(KeyboardInterrupt):
        guard(lambda: fail(KeyboardInterrupt()), note)()
