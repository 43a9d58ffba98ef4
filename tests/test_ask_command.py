"""`mmlab ask`, `mmlab export` and `mmlab predict` as typed: what is printed, what is written, what is refused."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from courses import write_tables

from mmlab.cli.app import main
from mmlab.config import LABELS
from mmlab.course import read_course
from mmlab.errors import CourseError
from mmlab.pairs import read_pairs, write_answers


@pytest.fixture
def mmlab(monkeypatch, capsys, small_lab):
    """Call the command line in this process: exit status, standard output, standard error. RUN stands for the run."""

    def call(*words: object) -> tuple[int, str, str]:
        words = [str(small_lab.run.folder) if word == "RUN" else str(word) for word in words]
        monkeypatch.setattr("sys.argv", ["mmlab", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def table(folder: Path, body: str | bytes) -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return path


def test_one_pair_as_a_table_and_as_json(mmlab, small_lab, picture):
    expected = small_lab.predict("so good", picture)
    code, out, _ = mmlab("ask", "RUN", "so good", "--image", picture)
    assert code == 0 and expected.headline in out and "text_and_image" in out
    code, out, _ = mmlab("ask", "RUN", "so good", "--image", picture, "--json")
    assert code == 0 and json.loads(out) == expected.to_dict()
    code, out, _ = mmlab("ask", "RUN", "--image", picture, "--json")
    assert set(json.loads(out)["probabilities"]) == {"image_only", "text_and_image"}


def test_an_explanation_names_the_words(mmlab):
    code, out, _ = mmlab("ask", "RUN", "so good", "--explain")
    assert code == 0 and "good" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "RUN"], "Give a text"),
        (["ask", "RUN", "a", "--csv", "x.csv"], "Give a text"),
        (["ask", "RUN", "a", "--out", "o.csv"], "--out goes with --csv"),
        (["ask", "RUN", "--csv", "x.csv", "--explain"], "--explain takes one pair"),
        (["ask", "RUN", "a", "--json", "--explain"], "Leave out --explain"),
        (["ask", "RUN", "--csv", "x.csv", "--json", "--out", "o.csv"], "Leave out --out"),
        (["ask", "RUN", "--csv", "x.csv", "--out", "x.csv"], "is the table of pairs"),
        (["ask", "RUN", "--csv", "x.csv"], "x.csv: cannot be read (there is no such file)"),
        (["ask", "RUN", ""], "neither a text nor an image"),
        (["ask", "RUN", "   "], "neither a text nor an image"),
        (["ask", "RUN", "a", "--image", "nowhere.jpg"], "nowhere.jpg: there is no such file"),
        (["ask", "RUN", "a", "--image", "."], "it is a folder"),
        (["ask", ".", "a"], "holds no finished run"),
        (["ask", "nowhere", "a"], "nowhere does not exist"),
        (["export", "nowhere", "m"], "nowhere does not exist"),
    ],
)
def test_a_mistake_gets_one_plain_message(mmlab, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = mmlab(*words)
    assert code == 1 and error.startswith("mmlab: ") and len(error.splitlines()) == 1 and said in error
    assert not list(tmp_path.iterdir())


def test_many_pairs_are_printed_written_and_safe_for_spreadsheets(mmlab, tmp_path, picture):
    path = table(tmp_path, 'guid,text,image\n7,"=1+1, really",one.jpg\n8,,one.jpg\n\n9,"two\nlines",\n')
    code, out, _ = mmlab("ask", "RUN", "--csv", path)
    assert code == 0 and "=1+1, really" in out and "(none)" in out
    code, out, _ = mmlab("ask", "RUN", "--csv", path, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [one["guid"] for one in lines] == ["7", "8", "9"] and lines[1]["text_only_positive"] is None
    code, out, _ = mmlab("ask", "RUN", "--csv", path, "--out", tmp_path / "answers.csv")
    assert code == 0 and "3 answers" in out
    written = pd.read_csv(tmp_path / "answers.csv", dtype={"guid": str}, encoding="utf-8-sig")
    assert list(written["guid"]) == ["7", "8", "9"] and set(written["label"]) <= set(LABELS)
    assert written["text"][0] == "'=1+1, really"  # not computed
    code, _, error = mmlab("ask", "RUN", "--csv", path, "--out", tmp_path)
    assert code == 1 and "cannot be written" in error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "line 1"),
        ("words,picture\na,b\n", "line 1: the header is 'words,picture'"),
        ("text;image\na;b\n", "Separate the columns with a comma"),
        ("text\timage\na\tb\n", "Separate the columns with a comma"),
        ("text,text\na,b\n", "the column text is there twice"),
        ("text,image\n", "no rows below the header"),
        ("text,image\n,\n\n", "no rows below the header"),
        ("text,image\n\na,b\na,b,c\n", "line 4: has 3 cells"),
        ('text,image\n"a,b\n', "is no CSV"),
        (b"text\n\xff\xfe\xff\n", "not UTF-8"),
        (
            "text\n今天好\n".encode("gb18030"),
            "not UTF-8 (byte 5)",
        ),  # what may be legal in several encodings is not guessed
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(tmp_path, body, said):
    with pytest.raises(CourseError) as caught:
        read_pairs(table(tmp_path, body))
    assert said in str(caught.value) and "pairs.csv" in str(caught.value)


def test_what_a_table_may_look_like(tmp_path):
    body = '\ufeffimage,"text",extra\r\n"a b.jpg","said ""so"",\r\ntwice",1\r\n\r\n,今天,2\r\n'
    pairs = read_pairs(table(tmp_path, body))
    assert list(pairs.index) == [2, 5] and list(pairs.columns) == ["text", "image"]
    assert pairs["image"].tolist() == [str(tmp_path / "a b.jpg"), None]
    assert pairs["text"].tolist() == ['said "so",\r\ntwice', "今天"]
    written = write_answers(pairs.assign(label="=x"), tmp_path / "out.csv")
    assert "'=x" in written.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "said"), [("gone.jpg", "there is no such file"), ("paper.jpg", "cannot identify"), (".", "it is a folder")]
)
def test_a_picture_that_cannot_be_read_is_named_with_its_line(mmlab, tmp_path, name, said):
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7\n")
    code, _, error = mmlab("ask", "RUN", "--csv", table(tmp_path, f"text,image\na,\n\nb,{name}\n"))
    assert code == 1 and "line 4: " in error and said in error and len(error.splitlines()) == 1


def test_an_exported_model_is_asked_like_its_run(mmlab, tmp_path):
    code, out, _ = mmlab("export", "RUN", tmp_path / "model")
    assert code == 0 and (tmp_path / "model" / "README.md").is_file()
    assert mmlab("ask", tmp_path / "model", "so good", "--json") == mmlab("ask", "RUN", "so good", "--json")
    code, _, error = mmlab("export", "RUN", tmp_path / "model")
    assert code == 1 and "not empty" in error


# ------------------------------------------------------------------------------------------------ mmlab predict


def test_predict_takes_a_folder_without_labels_and_never_writes_into_it(mmlab, small_lab, folder, tmp_path):
    results = small_lab.run.folder.parents[1]
    expected = small_lab.predict((folder / "data" / "003.txt").read_text(), folder / "data" / "003.jpg")
    write_tables(folder, [], [("003", "null"), ("001", "null")])
    (folder / "train.txt").unlink()
    with pytest.raises(CourseError, match="train.txt"):
        read_course(folder)
    before = sorted(folder.rglob("*"))
    out = tmp_path / "answers.txt"
    code, said, _ = mmlab("predict", "--data", folder, "--results", results, "--out", out)
    best = LABELS[expected.probabilities["text_and_image"].argmax()]
    assert code == 0 and "2 rows" in said and out.read_text().splitlines()[:2] == ["guid,tag", f"003,{best}"]
    for inside in ("test_without_label.txt", "new.txt", "data/003.txt"):
        held = (folder / inside).read_bytes() if (folder / inside).exists() else None
        code, _, error = mmlab("predict", "--data", folder, "--results", results, "--out", folder / inside)
        assert code == 1 and "inside the course folder" in error
        assert held == ((folder / inside).read_bytes() if held is not None else None)
    assert sorted(folder.rglob("*")) == before
    (tmp_path / "taken").mkdir()
    code, _, error = mmlab("predict", "--data", folder, "--results", results, "--out", tmp_path / "taken")
    assert code == 1 and "cannot be written" in error and shutil.rmtree(tmp_path / "taken") is None
