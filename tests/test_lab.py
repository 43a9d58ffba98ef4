"""A finished model, asked about new pairs: the same answers as the run's own, for whatever a user may hand it."""

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mmlab
from mmlab.answer import Answer
from mmlab.config import LABELS, SCENARIOS, probability_columns
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.evaluation.confidence import fit_temperature, heat
from mmlab.runs import find_main


@pytest.fixture(scope="module")
def asked(small_lab, pristine) -> pd.DataFrame:
    """The test pairs, as a user would hand them in, by guid."""
    guids = small_lab.run.test_predictions["guid"]
    texts = [(pristine / "data" / f"{guid}.txt").read_text() for guid in guids]
    return pd.DataFrame({"text": texts, "image": [pristine / "data" / f"{guid}.jpg" for guid in guids]}, list(guids))


def test_answers_are_those_of_the_run(small_lab, asked):
    columns = [column for scenario in SCENARIOS for column in probability_columns(scenario)]
    expected = small_lab.run.test_predictions.set_index("guid")[columns]
    found = small_lab.predict(asked)
    assert list(found.index) == list(asked.index)
    assert np.abs(found[columns] - expected).to_numpy().max() < 1e-3
    other = small_lab.predict(asked.assign(image=np.roll(asked["image"], 1)))
    wrong = np.abs(other[columns] - expected)
    assert wrong[probability_columns("image_only")].to_numpy().max() > 1e-3, "the twin: another picture, another answer"
    assert wrong[probability_columns("text_only")].to_numpy().max() < 1e-3


def test_one_pair_is_answered_as_it_is_among_many(small_lab, asked):
    many = small_lab.predict(list(zip(asked["text"], asked["image"], strict=True)))
    assert list(many.index) == list(range(len(asked)))
    for row in (0, 7):
        one = small_lab.predict(*asked.iloc[row])
        assert one.label == many["label"][row] and one.confidence == pytest.approx(many["confidence"][row], abs=1e-3)


@pytest.mark.parametrize(("missing", "lost"), [("text", "text_only"), ("image", "image_only")])
def test_a_missing_side_has_no_answer_of_its_own(small_lab, asked, missing, lost):
    one = small_lab.predict(**asked.iloc[0].drop(missing))
    assert set(one.probabilities) == set(SCENARIOS) - {lost} and getattr(one, missing) is None
    frame = small_lab.predict(asked.assign(**{missing: np.nan}))
    assert frame[probability_columns(lost)].isna().all(axis=None)
    assert not small_lab.predict(asked).isna().any(axis=None)


def test_a_frame_keeps_its_index_even_one_with_repeats(small_lab, asked):
    frame = asked.iloc[:3].set_axis(["a", "a", "b"])
    frame.iloc[1, 0] = np.nan
    found = small_lab.predict(frame)
    assert list(found.index) == ["a", "a", "b"] and found["text_only_positive"].isna().tolist() == [False, True, False]
    empty = small_lab.predict(asked.iloc[:0])
    assert len(empty) == 0 and list(empty.columns) == list(found.columns)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, None), "neither a text nor an image"),
        ((" \n\t ", None), "neither a text nor an image"),
        (([("a", None), (None, None)],), "row 1: there is neither"),
        (([("a", None), "b"],), "row 1: is no pair"),
        ((["a", "b.jpg"],), "row 0: is no pair"),
        ((7,), "row 0: is no pair"),
        (([(7, None)],), "row 0: the text is of type int"),
        (([("a", None)], "b.jpg"), "Give one text and one image"),
        ((pd.DataFrame({"words": ["a"]}),), "no column text or image. It has: words"),
        ((pd.DataFrame([["a", "b"]], columns=["text", "text"]),), "two columns text"),
        ((pd.DataFrame({"text": [None]}, ["x"]),), "row x: there is neither"),
        (("a", "nowhere.jpg"), "nowhere.jpg: there is no such file"),
        (("a", "."), "it is a folder"),
        (("a", b""), "the image: cannot identify"),
        (("a", 7), "the image: "),
    ],
)
def test_what_cannot_be_answered_is_said_with_its_row(small_lab, given, words):
    with pytest.raises(MmlabError) as caught:
        small_lab.predict(*given)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "\U0001f600" * 50, "half \ud83d an emoji", "a\0b", "今天好", "[PAD] <s>"]
)
def test_odd_texts_have_an_answer(small_lab, text):
    answer = small_lab.predict(text)
    assert answer.probabilities["text_only"].sum() == pytest.approx(1)
    (answer._repr_html_() + repr(answer)).encode()


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_of_30_megapixels_has_an_answer(small_lab, kind):
    answer = small_lab.predict(None, save(Image.new("RGB", (6000, 5000), "red"), kind))
    assert set(answer.probabilities) == {"image_only", "text_and_image"}
    assert len(answer._repr_html_()) < 20_000


def test_odd_pictures(small_lab, tmp_path):
    frames = [Image.new("P", (40, 30), colour) for colour in (5, 200)]
    moving = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    first = small_lab.predict(None, save(frames[0], "GIF")).probabilities["image_only"]
    assert small_lab.predict(None, moving).probabilities["image_only"] == pytest.approx(first)
    assert small_lab.predict(None, Image.new("RGB", (1, 1))).label in LABELS
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, words in (("paper", "cannot identify"), ("empty", "cannot identify"), ("pipe", "it is a pipe")):
        with pytest.raises(MmlabError, match=f"{name}.jpg: {words}"):
            small_lab.predict("a", tmp_path / f"{name}.jpg")


def test_sides_of_unequal_length_are_paired_by_their_rows(small_lab, asked):
    seen = small_lab.see(list(asked["text"][:3]), [small_lab.read_picture(asked["image"].iloc[4])])
    found = small_lab.answer(seen, [2, -1, 2, -1], [0, 0, -1, -1])
    pair = small_lab.predict(asked["text"].iloc[2], asked["image"].iloc[4]).probabilities
    assert found["text_and_image"][0] == pytest.approx(pair["text_and_image"], abs=1e-3)
    assert found["image_only"][1] == pytest.approx(pair["image_only"], abs=1e-3)
    assert found["text_only"][2] == pytest.approx(pair["text_only"], abs=1e-3)
    assert np.abs(found["text_and_image"][0] - found["text_and_image"][3]).max() > 1e-3


def test_the_temperature_takes_probabilities_at_their_word_or_not():
    random = np.random.default_rng(0)
    honest = random.dirichlet([1, 1, 1], 20_000)
    labels = np.array([random.choice(3, p=one) for one in honest])
    assert fit_temperature(honest, labels) == pytest.approx(1, rel=0.05)
    assert fit_temperature(heat(honest, 2), labels) == pytest.approx(0.5, rel=0.05)  # too shy
    assert fit_temperature(heat(honest, 0.5), labels) == pytest.approx(2, rel=0.05)  # too sure
    heated = heat(honest, 3)
    assert (heated.argsort(axis=1) == honest.argsort(axis=1)).all() and heated.sum(axis=1) == pytest.approx(1)
    assert np.isfinite(heat(np.array([[0.0, 0.0, 1.0]]), 0.05)).all()
    with pytest.raises(MmlabError):
        fit_temperature(np.full((1, 3), np.nan), np.array([0]))


def test_an_answer_is_plain_values_and_safe_html():
    one = {"text_only": np.array([0.125, 0.25, 0.625])}
    answer = Answer("<script>alert(1)</script> & co", None, one, "text_only", "positive", 0.625, False)
    assert json.loads(json.dumps(answer.to_dict()))["probabilities"]["text_only"]["positive"] == 0.625
    page = answer._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "no image" in page
    assert repr(answer).startswith("positive, confidence 0.62 (not calibrated)\n")


def test_fit_reads_a_run_that_is_there_and_refuses_what_is_no_course(small_lab, pristine, monkeypatch):
    results = small_lab.run.folder.parents[1]
    monkeypatch.setattr("mmlab.training.cross_fit", None)  # to train now would fail
    again = mmlab.fit(mmlab.read_course(pristine), results, "smoke", hidden=16)
    assert again.run.folder == small_lab.run.folder
    with pytest.raises(ConfigError, match="read_course"):
        mmlab.fit(str(pristine), results)
    with pytest.raises(ConfigError, match="hidden"):
        mmlab.fit(mmlab.read_course(pristine), results, hiden=16)
    with pytest.raises(RunError, match="inside the course folder"):
        mmlab.fit(mmlab.read_course(pristine), pristine / "results")


def test_the_main_run_is_the_recorded_one_or_the_only_one(small_lab, tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        find_main(tmp_path / "nowhere")
    with pytest.raises(RunError, match="holds no finished run"):
        find_main(tmp_path)
    name = small_lab.run.id
    shutil.copytree(small_lab.run.folder, tmp_path / "runs" / name)
    assert find_main(tmp_path).name == name
    shutil.copytree(small_lab.run.folder, tmp_path / "runs" / f"{name}-2")
    with pytest.raises(RunError, match="several runs") as caught:
        mmlab.load(tmp_path)
    assert f"{name}, {name}-2" in str(caught.value)
    record = tmp_path / "records" / "04_fusion.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"runs": {"main": f"{name}-2"}}))
    assert mmlab.load(tmp_path).run.id == f"{name}-2"
    record.write_text("{}")
    with pytest.raises(RunError, match="names no run"):
        find_main(tmp_path)


def test_a_baseline_and_damaged_weights_are_refused(small_lab, tmp_path):
    copy = shutil.copytree(small_lab.run.folder, tmp_path / "run")
    weights = sorted(copy.glob("*.safetensors"))[0]
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MmlabError, match=f"{weights.name}: is damaged") as caught:
        mmlab.load(copy).predict("a")
    assert "\n" not in str(caught.value)
    record = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({"baseline": "majority", "provenance": record["provenance"]}))
    with pytest.raises(MmlabError, match="is a baseline"):
        mmlab.load(copy)


def test_a_model_of_texts_alone_asks_for_one(sound, tmp_path):
    lab = mmlab.fit(sound, tmp_path / "results", "smoke", hidden=16, scenario="text_only")
    assert set(lab.predict("so good").probabilities) == {"text_only"}
    with pytest.raises(MmlabError, match="reads texts alone"):
        lab.predict(None, sound.pairs["image"][0])


def test_the_package_loads_nothing_before_it_is_used():
    code = "import sys, mmlab; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)), 'fit' in dir(mmlab))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[] True"
    with pytest.raises(AttributeError):
        _ = mmlab.nothing
