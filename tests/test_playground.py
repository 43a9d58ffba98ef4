"""The playground, driven without a page: with a lab that is made up, and with models that were trained."""

import asyncio
import base64
import io
import json
from types import SimpleNamespace

import ipywidgets
import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from courses import draw_image, jpeg, make_folder
from PIL import Image

from mmlab.answer import Answer
from mmlab.config import LABELS, SCENARIOS
from mmlab.course import read_course
from mmlab.errors import MmlabError
from mmlab.images import read_rgb
from mmlab.lab import fit
from mmlab.widgets import Flip, find_flip, open_playground, show_answer

WORDS = ("sad", "plain", "happy")  # of the three labels, in their order


class FakeLab:
    """Its text head knows three words, its image head is never sure, and its joint head believes the text head.

    Where there is no text, the joint head believes the image head: the redder the picture, the more positive.
    """

    scenarios = SCENARIOS

    def __init__(self, folds: int = 5) -> None:
        self.config = SimpleNamespace(folds=folds, tunes=())
        self.asked: list[tuple] = []

    def weigh(self, text, pixels) -> dict[str, np.ndarray]:
        image = (
            None if pixels is None else np.array([0.5, 0.2, 0.3] if pixels[..., 0].mean() < 128 else [0.2, 0.2, 0.6])
        )
        words = None if text is None else np.array([0.1 + text.count(word) for word in WORDS])
        found = {"text_only": words, "image_only": image, "text_and_image": image if words is None else words}
        return {name: one / one.sum() for name, one in found.items() if one is not None}

    def predict(self, text=None, image=None) -> Answer:
        self.asked.append((text, image))
        found = self.weigh(text, None if image is None else self.read_picture(image))
        joint = found["text_and_image"]
        return Answer(text, image, found, "text_and_image", LABELS[joint.argmax()], float(joint.max()), False)

    def see(self, texts, images):
        vectors = np.array([[0.0 if text is None else float(text.count(one)) for one in "abcdef"] for text in texts])
        features = SimpleNamespace(pooled=lambda side: vectors)
        return SimpleNamespace(texts=texts, images=images, by_model=[({}, None, features)])

    def answer(self, seen, text_rows, image_rows) -> dict[str, np.ndarray]:
        rows = zip(text_rows, image_rows, strict=True)
        found = [
            self.weigh(None if i < 0 else seen.texts[i], None if j < 0 else self.read_picture(seen.images[j]))
            for i, j in rows
        ]
        return {"text_and_image": np.array([one["text_and_image"] for one in found])}

    def read_picture(self, image) -> np.ndarray:
        return np.asarray(read_rgb(image).resize((8, 8)))

    def explain(self, text, image):
        return SimpleNamespace(_repr_html_=lambda: f"<p>explained: {text}, {type(image).__name__}</p>")


@pytest.fixture
def pairs(tmp_path) -> pd.DataFrame:
    frame = pd.DataFrame({"guid": [f"g{i}" for i in range(5)]})
    frame["text"] = ["a sad day", "a plain bed", "a happy day of fame", "a happy day", ""]
    frame["label"] = pd.Series(["negative", "neutral", "positive", None, "negative"], dtype=object)
    frame["split"] = ["train", "dev", "train", "test", "train"]
    frame["has_text"], frame["has_image"] = frame.text != "", [True, True, True, True, False]
    files = [tmp_path / f"{guid}.png" for guid in frame.guid]
    for number, file in enumerate(files):
        Image.new("RGB", (30, 20), (200 if number else 20, 10, number)).save(file)
    frame["image"] = [str(file) if there else "" for file, there in zip(files, frame.has_image, strict=True)]
    return frame.set_index(np.arange(5) + 10)  # as a part of a course has it


class Clicks:
    """A playground without a page: its controls by their description, and what it shows."""

    def __init__(self, lab, pairs) -> None:
        self.box = open_playground(lab, pairs)
        steps, self.text, sides, shown, self.note, actions, self.explanation = self.box.children
        self.picture, self.bars = shown.children
        controls = [*steps.children, self.text, *sides.children, *actions.children]
        self.controls = {one.description: one for one in controls}

    def __getitem__(self, name):
        return self.controls[name]

    @property
    def answer(self) -> str:
        return self.bars.value.partition("<b>")[2].partition(",")[0]

    @property
    def said(self) -> str:
        return self.note.value.partition(">")[2].removesuffix("</div>")

    def upload(self, content: bytes, name: str) -> None:
        """As the page sends a file."""
        file = {"name": name, "type": "image/jpeg", "size": len(content), "lastModified": 0, "last_modified": 0}
        self["upload a picture"].set_state({"value": [file | {"content": memoryview(content)}]})


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def view(lab, pairs) -> Clicks:
    return Clicks(lab, pairs)


# ---- a pair, typed and taken


def test_it_opens_with_the_first_pair_answered(view):
    assert (view.text.value, view["pair"].value, view.answer) == ("a sad day", "g0", "negative")
    assert view.bars.value.count("▸") == 3
    assert all(name in view.bars.value for name in (*SCENARIOS, *LABELS))
    assert "alt='the picture: pair g0'" in view.picture.value


def test_what_is_typed_is_answered(view, lab):
    view.text.value = "happy happy"
    assert view.answer == "positive" and "0.91" in view.bars.value
    assert len(lab.asked) == 2


def test_taking_another_pair(view):
    view["next"].click()
    assert (view.text.value, view["pair"].value, view.answer) == ("a plain bed", "g1", "neutral")
    view["previous"].click()
    view["previous"].click()  # from the first to the last, which has no image
    assert (view.text.value, view["pair"].value, view.answer) == ("", "g4", "")
    assert "no image" in view.picture.value and "There is nothing to answer." in view.said
    view["pair"].value = "g2"
    assert view.answer == "positive"
    view["pair"].value = "g22"
    assert view.answer == "positive" and "There is no pair &#x27;g22&#x27; in this course." in view.said
    view["at random"].click()
    assert view["pair"].value != "g2"


def test_one_side_is_swapped_and_the_other_stays(view):
    view["take"].value = "image"
    view["next"].click()
    assert view.text.value == "a sad day" and "pair g1" in view.picture.value
    view["take"].value = "text"
    view["pair"].value = "g3"
    assert view.text.value == "a happy day" and "pair g1" in view.picture.value


def test_a_side_is_dropped(view, lab):
    view["use the text"].value = False
    assert lab.asked[-1][0] is None and lab.asked[-1][1] is not None
    assert "text_only<br><i>nothing to read" in view.bars.value
    view["use the image"].value = False
    assert view.bars.value == "" and "There is nothing to answer." in view.said
    asked = len(lab.asked)
    view["use the text"].value = True
    assert len(lab.asked) == asked + 1 and lab.asked[-1] == ("a sad day", None)
    assert "nothing to answer" not in view.said


def test_a_text_of_spaces_is_no_text(view, lab):
    view.text.value = " \n "
    assert lab.asked[-1][0] is None


@pytest.mark.parametrize("text", ["😀🧌", "<script>alert(1)</script> & co", "x" * 10_000, "happy\x00"])
def test_any_text_can_be_typed(view, lab, text):
    view.text.value = text
    assert lab.asked[-1][0] == text.strip() and "did not work" not in view.said
    assert "<script" not in view.bars.value + view.note.value


def test_a_burst_of_letters_is_answered_once(lab, pairs):
    async def type_quickly() -> None:
        view = Clicks(lab, pairs)
        before = len(lab.asked)
        for end in range(19):
            view.text.value = "happy days are here"[: end + 1]
        assert len(lab.asked) == before
        await asyncio.sleep(0.5)
        assert len(lab.asked) == before + 1 and lab.asked[-1][0] == "happy days are here"
        assert view.answer == "positive"

    asyncio.run(type_quickly())


# ---- what the models know already


def test_it_says_what_the_models_were_trained_on(view):
    assert view.said.startswith("Pair g0 (negative): all models but those of its fold were trained on it")
    view.text.value = "a sad day!"
    assert view.said.startswith("The image of pair g0 (negative): all")
    view["use the image"].value = False
    assert view.said == ""
    view["use the image"].value = True
    view["take"].value = "text"
    view["pair"].value = "g2"
    assert view.said.startswith("The text of pair g2 (positive) and the image of pair g0 (negative): all")


def test_it_says_nothing_of_a_pair_that_no_model_saw(view):
    view["pair"].value = "g3"  # of test
    assert view.answer == "positive" and view.said == ""


def test_without_folds_the_pairs_of_dev_are_new(pairs):
    view = Clicks(FakeLab(folds=0), pairs)
    assert view.said.startswith("Pair g0 (negative): the model was trained on it")
    view["pair"].value = "g1"
    assert view.answer == "neutral" and view.said == ""


# ---- pictures of one's own


def test_a_picture_is_uploaded_and_its_bytes_are_not_kept_in_the_widget(view, lab):
    view["use the text"].value = False
    content = jpeg(Image.new("RGB", (300, 200), (250, 0, 0)))
    assert view.answer == "negative"
    view.upload(content, "my <b>cat</b>.jpg")
    assert view.answer == "positive" and view.said == ""
    assert "my &lt;b&gt;cat&lt;/b&gt;.jpg" in view.picture.value
    assert view["upload a picture"].value == ()
    view.upload(jpeg(Image.new("RGB", (300, 200))), "black.jpg")
    assert view.answer == "negative"


def make_png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"%PDF-1.4\n%%EOF", b"GIF89a", jpeg(draw_image(0))[:900], b"<svg xmlns='http://www.w3.org/2000/svg'/>",
     make_png((20_000, 20_000))],
    ids=["empty", "a PDF", "a GIF's first letters", "half a JPEG", "an SVG", "too many pixels"],
)  # fmt: skip
def test_a_file_that_is_no_picture_is_one_sentence_and_changes_nothing(view, lab, content):
    before, asked = (view.bars.value, view.picture.value), len(lab.asked)
    view.upload(content, "photo.jpg")
    assert view.said == (
        "photo.jpg: this is no picture that can be read. Give a file of JPEG, PNG, GIF, WEBP, BMP or TIFF."
    )
    assert (view.bars.value, view.picture.value, len(lab.asked)) == (*before, asked)
    assert view["upload a picture"].value == ()


def test_a_picture_of_thirty_megapixels_is_read_once(view, lab):
    view.upload(make_png((6000, 5000)), "large.png")
    assert "large.png" in view.picture.value and len(view.picture.value) < 20_000
    assert lab.asked[-1][1].shape == (8, 8, 3)
    view.text.value = "plain"
    assert lab.asked[-1][1].shape == (8, 8, 3)


# ---- explanations


def test_an_explanation_is_shown_and_does_not_outlive_its_pair(view):
    assert view.explanation.layout.height == "0px"
    view["explain"].click()
    assert "explained: a sad day, str" in view.explanation.value
    assert view.explanation.layout.height == "460px" and "Explaining" not in view.said
    view.text.value = "a sad night"
    assert "explained" not in view.explanation.value and "Press explain" in view.explanation.value
    view["use the image"].value = False
    view["explain"].click()
    assert "explained: a sad night, NoneType" in view.explanation.value


def test_an_explanation_that_fails_is_one_sentence(view, lab, monkeypatch):
    def fail(text, image):
        raise MmlabError("This text is too long.")

    monkeypatch.setattr(lab, "explain", fail)
    view["explain"].click()
    assert view.said == "This text is too long." and view.explanation.value == ""


@pytest.mark.parametrize("error", [MmlabError("No memory is left."), RuntimeError("broken")])
def test_a_model_that_fails_is_one_sentence(lab, pairs, monkeypatch, error):
    def fail(text, image):
        raise error

    monkeypatch.setattr(lab, "predict", fail)
    view = Clicks(lab, pairs)
    assert str(error) in view.said


# ---- a text that flips the answer


def test_the_nearest_text_that_flips_the_answer_is_found(lab, pairs):
    # The made-up vectors count letters: "a happy day" has more of "a sad day" than the two others.
    assert find_flip(lab, pairs, "a sad day", pairs.image.iloc[0]) == Flip(
        "negative", 3, "positive", "g3", "a happy day"
    )
    assert find_flip(lab, pairs, "a happy day") == Flip("positive", 3, "negative", "g0", "a sad day")


def test_without_a_text_the_surest_one_is_found(lab, pairs):
    pairs = pairs.replace("a plain bed", "plain plain plain")
    found = find_flip(lab, pairs, None, pairs.image.iloc[0])
    assert (found.before, found.label, found.guid, found.tried) == ("negative", "neutral", "g1", 4)


def test_no_text_flips_the_answer_of_a_model_that_ignores_it(lab, pairs):
    lab.weigh = lambda text, pixels: {"text_and_image": np.array([0.1, 0.8, 0.1])}
    assert find_flip(lab, pairs, "a sad day") == Flip("neutral", 3)


def test_a_search_says_what_it_needs(lab, pairs):
    with pytest.raises(MmlabError, match="nothing to answer yet"):
        find_flip(lab, pairs, " ", None)
    lab.scenarios = ("image_only",)
    with pytest.raises(MmlabError, match="reads images alone"):
        find_flip(lab, pairs, "a sad day", pairs.image.iloc[0])


def test_the_text_that_was_found_is_taken_when_asked_for(view, lab):
    assert view["take this text"].disabled
    view["find a text that flips it"].click()
    assert view.said == "From negative to positive with the text of pair g3: “a happy day”"
    assert (view.text.value, view.answer, view["take this text"].disabled) == ("a sad day", "negative", False)
    view["take this text"].click()
    assert (view.text.value, view.answer, view["take this text"].disabled) == ("a happy day", "positive", True)
    view["take this text"].click()
    assert view.text.value == "a happy day"


def test_a_search_without_a_find_says_so(view, lab):
    lab.weigh = lambda text, pixels: {"text_and_image": np.array([0.1, 0.8, 0.1])}
    view["find a text that flips it"].click()
    assert view.said == "None of the 3 texts that were tried changes the answer from neutral."
    assert view["take this text"].disabled


# ---- for everybody, everywhere


def test_controls_come_in_the_order_of_their_use_and_say_what_they_do(view):
    assert list(view.controls) == [
        "pair", "previous", "next", "at random", "take", "text", "use the text", "use the image", "upload a picture",
        "explain", "find a text that flips it", "take this text",
    ]  # fmt: skip
    assert all(one.tooltip for one in view.controls.values())
    frames = (view.picture, view.bars, view.note, view.explanation)
    assert all(isinstance(one, ipywidgets.HTML) and one.layout.height.endswith("px") for one in frames)


def test_it_refuses_a_course_without_pairs(lab, pairs):
    with pytest.raises(MmlabError, match="no pairs"):
        open_playground(lab, pairs.iloc[:0])


@pytest.mark.usefixtures("clean_figures")
def test_show_answer_draws_the_pair_and_its_scenarios(lab, picture):
    axes = show_answer(lab, "costs $5, happy", picture)
    assert [one.get_title(loc="left") for one in axes[1:]] == list(SCENARIOS)
    assert axes[0].figure.get_suptitle() == "positive, confidence 0.85 (not calibrated)"
    assert axes[0].get_xlabel() == "costs $5, happy"
    widths = [bar.get_width() for bar in axes[1].patches]
    assert widths == pytest.approx([0.1 / 1.3, 0.1 / 1.3, 1.1 / 1.3])
    assert [text.get_text() for text in axes[1].texts] == ["0.08", "0.08", "0.85"]
    axes[0].figure.canvas.draw()


@pytest.mark.usefixtures("clean_figures")
def test_show_answer_draws_half_a_pair(lab, picture):
    axes = show_answer(lab, None, picture)
    assert [one.get_title(loc="left") for one in axes[1:]] == ["image_only", "text_and_image"]
    assert axes[0].get_xlabel() == "(no text)"
    assert show_answer(lab, "sad", None)[0].texts[0].get_text() == "no image"


def saved_with_the_notebook(view) -> str:
    """What JupyterLab keeps of all controls when it is told to save their state."""
    return json.dumps(ipywidgets.Widget.get_manager_state(widgets=view.controls.values()))


def test_nothing_of_an_upload_is_saved_with_the_notebook(view):
    content = jpeg(draw_image(5))
    view.upload(content, "mine.jpg")
    assert "mine.jpg" in view.picture.value
    assert "mine.jpg" not in saved_with_the_notebook(view)
    view["upload a picture"].unobserve_all("value")  # without the callback the file stays
    view.upload(content, "mine.jpg")
    assert "mine.jpg" in saved_with_the_notebook(view)
    assert base64.b64encode(content).decode("ascii") in saved_with_the_notebook(view)


# ---- models that were trained


@pytest.mark.usefixtures("clean_figures")
def test_with_trained_models_it_says_what_the_lab_says(tmp_path):
    course = read_course(make_folder(tmp_path / "course", n_train=60))
    lab = fit(course, tmp_path / "results", epochs=2, folds=2, seeds=1)
    view = Clicks(lab, course.pairs)
    pair = course.pairs.iloc[1]
    view["next"].click()
    assert lab.predict(pair.text, pair.image).headline in view.bars.value
    view.upload(jpeg(draw_image(99)), "mine.jpg")
    assert lab.predict(pair.text, jpeg(draw_image(99))).headline in view.bars.value
    found = find_flip(lab, course.pairs, pair.text, pair.image)
    before = lab.predict(pair.text, pair.image).label
    assert (found.before, found.tried) == (before, len(course.pairs) - 1)
    if found.label:
        assert lab.predict(found.text, pair.image).label == found.label != before
    view["explain"].click()
    assert "percentage points" in view.explanation.value
