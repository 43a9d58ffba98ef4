"""`mmlab ask` and `mmlab export`, as they are typed: right and wrong."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from courses import draw_image, jpeg
from reports import seal_again
from safetensors.numpy import load_file
from typer.testing import CliRunner

import mmlab
from mmlab.cli.app import app
from mmlab.config import LABELS, RunConfig, probability_columns
from mmlab.course import read_course
from mmlab.errors import ConfigError, CourseError, DiskError, MmlabError, RunError
from mmlab.export import EXPORT
from mmlab.pairs import read_pairs, write_answers
from mmlab.report import predict_test
from mmlab.storage import seal_json, unseal_json

QUICK = {"epochs": 1, "folds": 2, "seeds": 1, "hidden": 8, "heads": 2}


@pytest.fixture(scope="module")
def results(pristine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ask") / "results"
    mmlab.fit(read_course(pristine), folder, **QUICK)
    return folder


@pytest.fixture
def table(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(draw_image(1)))
    path = tmp_path / "pairs.csv"
    path.write_text('guid,text,image\nx,"=one, two",a.jpg\n\ny,,a.jpg\nz,"two\nlines",\n', encoding="utf-8-sig")
    return path


def run(*words) -> str:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False).output


def test_one_pair(results, table):
    said = run("ask", results, "so happy today", "--image", table.parent / "a.jpg")
    assert "text_and_image" in said and "confidence" in said
    plain = json.loads(run("ask", results, "so happy today", "--json"))
    assert set(plain["probabilities"]) == {"text_only", "text_and_image"}
    assert "percentage points" in run("ask", results, "so happy today", "--explain")


def test_a_table_of_pairs(results, table, tmp_path):
    assert "=one, two" in run("ask", results, "--csv", table)
    run("ask", results, "--csv", table, "--out", tmp_path / "out.csv")
    answers = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(answers.guid) == ["x", "y", "z"] and answers.text[0] == "'=one, two", "a formula is disarmed"
    lines = [json.loads(line) for line in run("ask", results, "--csv", table, "--json").splitlines()]
    lab = mmlab.load(results)
    assert lines[2]["label"] == lab.predict("two\nlines").label and lines[1]["text_only_neutral"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Give either a text"), (("a text", "--csv", "pairs.csv"), "Give either a text"),
        (("a text", "--out", "o.csv"), "--out goes with --csv"), (("--csv", "p.csv", "--explain"), "takes one pair"),
        (("a text", "--json", "--explain"), "Leave out --explain"),
        (("--csv", "p.csv", "--json", "--out", "o.csv"), "Leave out --out"),
        (("--csv", "p.csv", "--out", "./p.csv"), "is the table of pairs"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(results, words, said):
    with pytest.raises(ConfigError, match=said):
        run("ask", results, *words)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "line 1: the header is ''"), (b"texte,bild\na,b\n", "line 1: the header is 'texte,bild'"),
        (b"text;image\na;b\n", "Separate the columns with a comma"), (b"text,text\na,b\n", "text is there twice"),
        (b"text,image\n", "no rows below"), (b"text,image\na\n", "line 2: has 1 cells"),
        (b"text,image\na,b.jpg,c\n", "line 2: has 3 cells"), (b'text\n"open', "line 2: is no CSV"),
        ("text\ncafé\n".encode("cp1252"), r"is not UTF-8 \(byte 8\)"),
        ("text\nétée là\n".encode("cp1252"), "not UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_named_with_its_line(tmp_path, raw, words):
    (tmp_path / "t.csv").write_bytes(raw)
    with pytest.raises(CourseError, match=words) as caught:
        read_pairs(tmp_path / "t.csv")
    assert "t.csv" in str(caught.value)


def test_a_row_is_named_by_its_line_in_the_file(results, table):
    pairs = read_pairs(table)
    assert list(pairs.index) == [2, 4, 5]
    table.write_text("text,image\na,a.jpg\nb,none.jpg\n")
    with pytest.raises(MmlabError, match="line 3: .*none.jpg: there is no such file"):
        run("ask", results, "--csv", table)
    with pytest.raises(DiskError, match="it is a folder"):
        write_answers(pairs, table.parent)


# ---- export


def test_an_exported_model_answers_alike_and_holds_nothing_of_the_course(results, pristine, tmp_path):
    folder = tmp_path / "model"
    assert str(folder) in run("export", results, folder)
    moved = shutil.move(folder, tmp_path / "elsewhere")
    course, lab, other = read_course(pristine), mmlab.load(results), mmlab.load(moved)
    first, second = lab.predict(course.test), other.predict(course.test)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert other.scores == lab.scores and other.temperature == lab.temperature
    texts = set(course.pairs.text)
    for file in tmp_path.joinpath("elsewhere").iterdir():
        if file.suffix in (".json", ".csv", ".md"):
            content = file.read_text()
            assert not any(text in content for text in texts) and str(tmp_path) not in content
    with pytest.raises(RunError, match="is not empty"):
        run("export", results, moved)


def test_a_changed_file_of_an_export_is_refused_by_name(results, tmp_path):
    run("export", results, tmp_path / "model")
    files = sorted((tmp_path / "model").iterdir())
    assert len(files) >= 7
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(RunError, match=f"{file.name}: is damaged.*Export the model again"):
            mmlab.load(tmp_path / "model")
        file.unlink()
        with pytest.raises(RunError, match=f"{file.name}: is damaged.*Export the model again"):
            mmlab.load(tmp_path / "model")
        file.write_bytes(whole)
    mmlab.load(tmp_path / "model")  # the twin
    export = tmp_path / "model" / EXPORT
    facts = unseal_json(export.read_bytes())
    facts["encoders"]["text"]["identity"] = "0" * 32
    export.write_text(seal_json(facts))
    seal_again(tmp_path / "model")
    with pytest.raises(RunError, match="other weights of minilm"):
        mmlab.load(tmp_path / "model")


def test_an_encoder_that_is_a_folder_goes_along(pristine, tmp_path):
    from mmlab.encoders import find_text_encoder

    own = tmp_path / "own"
    shutil.copytree(find_text_encoder("minilm").source, own)
    lab = mmlab.fit(read_course(pristine), tmp_path / "results", text_encoder=str(own), **QUICK)
    run("export", lab.run.folder, tmp_path / "model")
    expected = lab.predict("a text").probabilities["text_only"]
    shutil.rmtree(own)
    shutil.move(tmp_path / "model", tmp_path / "moved")
    found = mmlab.load(tmp_path / "moved").predict("a text").probabilities["text_only"]
    assert np.array_equal(found, expected)
    config, card = ((tmp_path / "moved" / name).read_text() for name in ("config.json", "README.md"))
    assert str(tmp_path) not in config + card, "no path of the machine that exported it"
    assert RunConfig.from_params(json.loads(config)["config"]).text_encoder == "encoders/text"


def test_an_exported_model_is_not_exported_again(results, tmp_path):
    run("export", results, tmp_path / "model")
    with pytest.raises(RunError, match="an exported model already"):
        run("export", tmp_path / "model", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_an_export_that_is_interrupted_leaves_nothing(results, tmp_path, monkeypatch):
    from mmlab import export

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "write_card", stop)
    with pytest.raises(KeyboardInterrupt):
        export.export_model(mmlab.load(results).run, 1.0, {}, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_weights_of_an_export_are_those_of_the_run(results, tmp_path):
    run("export", results, tmp_path / "model")
    name = "model_fold1_seed0.safetensors"
    ours, theirs = load_file(tmp_path / "model" / name), load_file(mmlab.load(results).run.folder / name)
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in ours)


# ---- predict


def test_predict_takes_a_folder_of_test_pairs_alone(results, pristine, tmp_path):
    folder = shutil.copytree(pristine, tmp_path / "course")
    (folder / "train.txt").unlink()
    path, rows, _ = predict_test(folder, results, tmp_path / "out.txt", "text_and_image")
    whole, *_ = predict_test(pristine, results, tmp_path / "whole.txt", "text_and_image")
    assert rows == 12 and path.read_text() == whole.read_text()
    (folder / "test_without_label.txt").unlink()
    with pytest.raises(CourseError, match="test_without_label.txt: the file is missing"):
        predict_test(folder, results, tmp_path / "out.txt", "text_and_image")


def test_predict_asks_a_model_with_trained_encoders(pristine, tmp_path):
    lab = mmlab.fit(read_course(pristine), tmp_path, preset="tuned", text_layers=1, **QUICK | {"folds": 0})
    folder = shutil.copytree(pristine, tmp_path / "course")
    (folder / "train.txt").unlink()  # other data than the run's, so that nothing is read from it
    path, rows, _ = predict_test(folder, tmp_path, tmp_path / "out.txt", "text_and_image")
    answers = lab.run.test_predictions.set_index("guid")[probability_columns("text_and_image")]
    sure = answers.to_numpy().max(axis=1) - np.median(answers, axis=1) > 0.02  # bf16 in other batches
    labels = np.array([line.split(",")[1] for line in path.read_text().splitlines()[1:]])
    expected = np.array(LABELS)[answers.to_numpy().argmax(axis=1)]
    assert rows == 12 and sure.any() and (labels[sure] == expected[sure]).all()


def test_predict_never_writes_into_the_course(results, pristine, tmp_path):
    folder = shutil.copytree(pristine, tmp_path / "course")
    labels = (folder / "train.txt").read_bytes()
    for place in ("train.txt", "new.txt", "data/000.txt"):
        with pytest.raises(RunError, match="is inside the course folder"):
            predict_test(folder, results, folder / place, "text_and_image")
    assert (folder / "train.txt").read_bytes() == labels and not (folder / "new.txt").exists()
