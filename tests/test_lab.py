"""A finished model that answers new pairs: right, alike in every way of asking, and plain about what it cannot read."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from courses import draw_image, jpeg
from PIL import Image

import mmlab
from mmlab.config import LABELS, SCENARIOS, probability_columns
from mmlab.course import read_course
from mmlab.errors import MmlabError, RunError
from mmlab.evaluation.confidence import fit_temperature, heat
from mmlab.lab import Lab, judge, load
from mmlab.runs import keep_predictions, train_run
from mmlab.runs.records import write_record

QUICK = {"epochs": 2, "folds": 2, "seeds": 1, "hidden": 8, "heads": 2}


@pytest.fixture(scope="module")
def course(pristine):
    return read_course(pristine)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("lab") / "results"


@pytest.fixture(scope="module")
def lab(course, results) -> Lab:
    return mmlab.fit(course, results, **QUICK)


def ask(lab, text, image) -> np.ndarray:
    """All nine probabilities of one pair."""
    return np.concatenate(list(lab.predict(text, image).probabilities.values()))


# ---- the answers


def test_the_answers_are_those_of_the_run_to_its_test_pairs(lab, course):
    answers = lab.predict(course.test)
    columns = [column for scenario in SCENARIOS for column in probability_columns(scenario)]
    expected = lab.run.test_predictions[columns].to_numpy()
    assert np.abs(answers[columns].to_numpy() - expected).max() < 1e-3
    wrong = course.test.assign(image=course.test["image"].iloc[::-1].to_numpy())  # the twin: another's picture
    assert np.abs(lab.predict(wrong)[columns].to_numpy() - expected).max() > 1e-2


def test_one_pair_alone_and_among_others_is_answered_alike(lab, course):
    rows = course.test.head(3)
    together = lab.predict(list(zip(rows.text, rows.image)))
    for place, row in enumerate(rows.itertuples()):
        alone = lab.predict(row.text, row.image)
        assert np.abs(together.iloc[place, 2:].to_numpy(float) - ask(lab, row.text, row.image)).max() < 2e-3
        assert together.label.iloc[place] == alone.label


def test_a_picture_may_come_in_any_form(lab, course):
    path = course.test.image.iloc[0]
    with Image.open(path) as image:
        forms = [path, open(path, "rb").read(), image.copy(), np.asarray(image.convert("RGB"))]
    answers = [ask(lab, "a text", form) for form in forms]
    assert max(np.abs(one - answers[0]).max() for one in answers) < 1e-6
    assert np.abs(ask(lab, "a text", draw_image(77)) - answers[0]).max() > 1e-4


def test_a_side_that_is_missing_is_not_answered_for(lab, course):
    row = course.test.iloc[0]
    words, picture = lab.predict(row.text), lab.predict(None, row.image)
    assert set(words.probabilities) == {"text_only", "text_and_image"} and words.image is None
    assert set(picture.probabilities) == {"image_only", "text_and_image"} and picture.text is None
    assert lab.predict("  \n ", row.image).text is None, "spaces are no text"
    both = lab.predict(row.text, row.image).probabilities
    assert np.allclose(words.probabilities["text_only"], both["text_only"], atol=1e-6)
    frame = lab.predict([(row.text, None), (None, row.image)])
    assert frame["image_only_neutral"].isna().tolist() == [True, False]


def test_a_frame_keeps_its_index(lab, course):
    frame = course.test[["text", "image"]].head(2).set_axis(["x", "y"])
    answers = lab.predict(frame)
    assert list(answers.index) == ["x", "y"] and set(answers.label) <= set(LABELS)
    assert lab.predict(frame[["text"]])["image_only_neutral"].isna().all()


def test_texts_and_pictures_are_encoded_once_and_paired_freely(lab, course):
    rows = course.test.head(2)
    seen = lab.see(list(rows.text), [rows.image.iloc[0]])
    found = lab.answer(seen, [0, 1, 1, -1], [0, 0, -1, 0])
    expected = [(0, 0), (1, 0), (1, None), (None, 0)]
    for place, (text, image) in enumerate(expected):
        side = None if text is None else rows.text.iloc[text]
        alone = lab.predict(side, None if image is None else rows.image.iloc[0])
        assert np.abs(found["text_and_image"][place] - alone.probabilities["text_and_image"]).max() < 2e-3


def test_the_answer_says_itself_in_words_html_and_json(lab, course):
    answer = lab.predict("<script>alert(1)</script> & more", course.test.image.iloc[0])
    page = answer._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "<img alt=" in page
    assert answer.label in repr(answer) and "calibrated" in repr(answer)
    plain = json.loads(json.dumps(answer.to_dict()))
    assert set(plain["probabilities"]) == set(SCENARIOS)
    assert sum(plain["probabilities"]["text_only"].values()) == pytest.approx(1, abs=1e-3)


# ---- confidence


def draw_answers(n: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and these probabilities sharpened by a power."""
    random = np.random.default_rng(0)
    true = random.dirichlet([1, 1, 1], n)
    labels = np.array([random.choice(3, p=p) for p in true])
    sharp = true**power
    return sharp / sharp.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize(("power", "expected"), [(1, 1), (2, 2), (0.5, 0.5)])
def test_the_temperature_undoes_what_made_answers_too_sure(power, expected):
    probabilities, labels = draw_answers(4000, power)
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(expected, rel=0.12)
    cooled = heat(probabilities, temperature)
    assert (cooled.argmax(axis=1) == probabilities.argmax(axis=1)).all() and np.allclose(cooled.sum(axis=1), 1)


def test_confidence_is_the_heated_probability_and_says_so(lab, course):
    answer = lab.predict(course.test.text.iloc[0], course.test.image.iloc[0])
    heated = heat(answer.probabilities[answer.scenario][None], lab.temperature)[0]
    assert answer.confidence == pytest.approx(heated.max()) and answer.calibrated
    plain = Lab(lab.run, None, {}).predict(course.test.text.iloc[0], course.test.image.iloc[0])
    assert plain.confidence == plain.probabilities[plain.scenario].max() and not plain.calibrated


# ---- where it comes from


def test_fit_trains_once_and_load_finds_it(lab, course, results):
    again = mmlab.fit(course, results, **QUICK)
    assert again.run.id == lab.run.id and len(list((results / "runs").glob("text_and_image*"))) == 1
    for place in (results, lab.run.folder):
        assert load(place).run.id == lab.run.id
    assert str(lab.scores["text_and_image"]) in repr(lab)


def test_several_runs_are_named_and_a_baseline_has_nothing_to_ask(lab, course, tmp_path):
    mmlab.fit(course, tmp_path, **QUICK)
    other = mmlab.fit(course, tmp_path, **QUICK | {"epochs": 1})
    with pytest.raises(RunError, match=f"several runs.*{other.run.id}"):
        load(tmp_path)
    frame = lab.run.predictions
    columns = dict(zip(probability_columns("text_only"), probability_columns("majority")))
    baseline = keep_predictions("majority", lambda: frame.rename(columns=columns), course, tmp_path, [])
    with pytest.raises(MmlabError, match="is a baseline"):
        load(baseline.folder)


@pytest.mark.parametrize(("place", "words"), [("", "holds no finished run"), ("nowhere", "does not exist")])
def test_a_folder_without_a_model_is_refused(tmp_path, place, words):
    with pytest.raises(RunError, match=words):
        load(tmp_path / place)


@pytest.mark.parametrize("record", [{}, {"runs": []}, {"runs": {"main": 7}}])
def test_a_record_that_names_no_run_is_said(tmp_path, record):
    write_record(tmp_path, "04_fusion", record)
    with pytest.raises(RunError, match="04_fusion.json names no run: run notebook 04_fusion again"):
        load(tmp_path)


def test_damaged_weights_are_one_sentence(lab, course, tmp_path):
    run = mmlab.fit(course, tmp_path, **QUICK).run
    (run.folder / "model_fold0_seed0.safetensors").write_bytes(b"no weights")
    with pytest.raises(RunError, match="model_fold0_seed0.safetensors: is damaged"):
        load(tmp_path).predict("a text")


def test_a_model_of_texts_alone_reads_texts_alone(course, tmp_path):
    lab = mmlab.fit(course, tmp_path, scenario="text_only", **QUICK)
    lab = load(lab.run.folder)
    assert list(lab.predict("a text", course.test.image.iloc[0]).probabilities) == ["text_only"]
    with pytest.raises(MmlabError, match="reads texts alone"):
        lab.predict(None, course.test.image.iloc[0])
    assert judge(lab.run)[0] > 0


def test_a_fine_tuned_model_answers_as_its_run_did(course, tmp_path):
    lab = mmlab.fit(course, tmp_path, preset="tuned", text_layers=1, **QUICK | {"epochs": 1, "folds": 0})
    columns = probability_columns("text_and_image")
    found = lab.predict(course.test.head(4))[columns].to_numpy()
    assert np.abs(found - lab.run.test_predictions.head(4)[columns].to_numpy()).max() < 0.02  # bf16 in other batches


# ---- what cannot be read


@pytest.fixture
def files(tmp_path):
    """A path by what is wrong with it."""
    (tmp_path / "fake.jpg").write_bytes(b"%PDF-1.7 no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "half.jpg").write_bytes(jpeg(draw_image(0))[:300])
    os.mkfifo(tmp_path / "pipe.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fake.jpg", "cannot identify image file"), ("empty.jpg", "cannot identify image file"),
        ("half.jpg", "[Tt]runcated"), ("pipe.jpg", "it is a pipe"), ("", "it is a folder"),
        ("none.jpg", "no such file"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_named(lab, files, name, words):
    with pytest.raises(MmlabError, match=words) as caught:
        lab.predict("a text", files / name)
    assert str(files / name) in str(caught.value) and "JPEG" in str(caught.value)
    with pytest.raises(MmlabError, match="row 1: .*" + words):
        lab.predict([("a text", None), ("a text", files / name)])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, None), "neither a text nor an image"), (("", None), "neither"), ((" ", None), "neither"),
        (([("a", "b", "c")],), "row 0: is no pair"), ((["a", "b"],), "row 0: is no pair"), ((3,), "is no pair"),
        (([("a", None)], "x.jpg"), "Give one text and one image"), (([(3, None)],), "type int"),
        ((pd.DataFrame({"words": ["a"]}),), "no column text or image"),
        ((pd.DataFrame([["a", "b"]], columns=["text", "text"]),), "two columns text"),
        ((pd.DataFrame({"text": ["a", None]}),), "row 1: there is neither"),
    ],
)  # fmt: skip
def test_a_question_that_is_none_is_refused(lab, given, words):
    with pytest.raises(MmlabError, match=words):
        lab.predict(*given)


@pytest.mark.parametrize(
    ("image", "words"),
    [(5, "a int is no picture"), (np.zeros(10, np.uint8), "must be uint8"), (np.zeros((9, 9, 3)), "are float64")],
)
def test_pixels_of_another_kind_are_named(lab, image, words):
    with pytest.raises(MmlabError, match=words):
        lab.predict("a text", image)
    with pytest.raises(MmlabError, match="takes the path of a folder"):
        load(None)


def test_odd_texts_and_pictures_are_answered(lab, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (6000, 5000), (9, 99, 199)).save(large)  # 30 megapixels
    for text in ("word " * 2000, "x" * 10_000, "🙂" * 50, "half an emoji \ud83d", "a\0b", "مرحبا", "$x^2$ [b]"):
        assert ask(lab, text, None).sum() == pytest.approx(2)
    for image in (large, Image.new("RGB", (1, 1)), Image.new("RGBA", (9, 9), (0, 0, 0, 0))):
        assert ask(lab, None, image).sum() == pytest.approx(2)
    assert len(lab.predict([])) == 0


def test_import_offers_the_names_and_loads_nothing():
    code = "import sys, mmlab; print(sorted(m for m in ('numpy', 'pandas', 'torch') if m in sys.modules), dir(mmlab))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("[] ") and all(f"'{name}'" in said for name in ("fit", "load", "read_course"))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = mmlab.lode


def test_a_run_of_other_encoders_is_said(lab, course, results):
    assert train_run(lab.config, course, mmlab.features.encode_course(course), results).id == lab.run.id
