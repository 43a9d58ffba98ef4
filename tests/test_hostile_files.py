"""What a student may hand in or write to break the lab: zips, report.yml, records, parameters and tables of pairs."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from courses import draw_image, jpeg
from hostile import ALL, LONG
from submissions import Models, draw_labels, to_text
from test_collecting import collect
from test_grading import GUIDS, N, write_key
from typer.testing import CliRunner

from mmlab import storage
from mmlab.cli.app import app
from mmlab.course import write_predictions
from mmlab.errors import ConfigError, CourseError, DiskError, MmlabError
from mmlab.grading import grade_submissions, write_grades
from mmlab.lab import Lab
from mmlab.pairs import read_pairs
from mmlab.report import ReportOptions
from mmlab.report.evidence import Evidence
from mmlab.storage import write_atomic
from mmlab.workbook import Grid, check_parameters, read_timeline

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


# ---- zips


def rename_in(archive: Path, old: bytes, new: bytes) -> None:
    """Give a member a name in other bytes of the same length, as another program would write it."""
    assert len(old) == len(new)
    archive.write_bytes(archive.read_bytes().replace(old, new))


def make_hostile_zip(path: Path, texts: dict[str, str]) -> Path:
    """A zip of these prediction files, and of members that are to be refused."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as nested:
        for number in range(9):
            nested.writestr(f"lib{number}.zip", b"\0" * 10**6)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"{name}.txt", text)
        archive.writestr("nested.zip", inner.getvalue())
        archive.writestr("zeros.txt", b"\0" * 1000)
        archive.writestr("locked.txt", "secret")
        archive.writestr("folder.csv/", "")
        archive.writestr("full.csv/inside.txt", "guid,tag\n")
        archive.writestr("twice.txt", "first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.txt", "guid,tag\n")
        members = {member.filename: member for member in archive.filelist}
        members["zeros.txt"].file_size = 10 * 2**30
        members["locked.txt"].flag_bits |= 1
    return path


def test_a_zip_of_hostile_members_is_told_by_name_and_the_others_are_graded(tmp_path):
    labels = draw_labels(N)
    good = {f"good-{number}": to_text(GUIDS, Models(labels, number).answer()) for number in range(4)}
    inbox = make_hostile_zip(tmp_path / "all.zip", good)
    newest, stray = collect(inbox)
    assert newest["nested"] == "it is a zip or a spreadsheet; hand in the text file itself"
    assert newest["zeros"].startswith("it is larger than 5 MB")
    assert newest["locked"] == "it is encrypted; pack it without a password"
    assert newest["folder"] == "it is an empty folder; hand in the file itself"
    assert newest["twice"] == "guid,tag\n" and "full" not in newest and newest["inside"] == "guid,tag\n"
    assert not stray
    grades = grade_submissions(inbox, write_key(tmp_path / "key.txt", labels))
    write_grades(grades, tmp_path / "grades")
    assert {row.name for row in grades.students if row.standing} == set(good)
    told = (tmp_path / "grades" / "feedback" / "nested.txt").read_text()
    assert "hand in the text file itself" in told


@pytest.mark.parametrize("cut", [0.5, 0.9, 0.999])
def test_a_truncated_zip_is_one_clear_message(tmp_path, cut):
    whole = make_hostile_zip(tmp_path / "all.zip", {"ann": "x"}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(MmlabError, match=r"cut\.zip: is no folder and no zip .* Fetch it again, or unpack it"):
        collect(tmp_path / "cut.zip")
    assert "ann" in collect(tmp_path / "all.zip")[0]  # the twin


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("李雷".encode("gb18030"), "李雷"),
        ("李雷".encode(), "李雷"),
        ("Müller".encode("cp437"), "Müller"),
        (b"a\xff\xfe", None),
    ],
)
def test_a_name_that_is_not_marked_as_utf8_is_read_as_its_system_wrote_it(tmp_path, raw, name):
    place, stand_in = tmp_path / "names.zip", b"#" * len(raw)
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(f"{stand_in.decode()}.txt", "x")
        archive.writestr("ann.txt", "y")
    rename_in(place, stand_in, raw)
    newest, _ = collect(place)
    assert len(newest) == 2 and newest["ann"] == "y" and all(one.isprintable() for one in newest)
    assert name is None or newest[name] == "x"


def test_an_empty_folder_that_is_named_like_a_file_is_told(tmp_path):
    (tmp_path / "ann.csv").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "bob.csv").write_text("x")
    assert collect(tmp_path)[0] == {"ann": "it is an empty folder; hand in the file itself", "bob": "x"}


# ---- report.yml

BOMB = "a: &a [x, x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "there is no option 'a'"), (BOMB.replace("a: &a", "name: &a"), "name must be a text"),
        ("name: " + "[" * 600, "nested too deeply"), ("[" * 600 + "]" * 600, "nested too deeply"),
        ("name: &a [*a]", "name must be a text"), ("name: !!python/object/apply:os.system [x]", "must be a text"),
        ("name: x\n" * 20_000, "cannot be read .it has 160,000 bytes"), ("[a, b]: c", "one `key: value` per line"),
        (f"{'x' * 900}: y", "there is no option 'x{40}'"), ('name: "\\ud800"', r"name holds '\\ud800'"),
        ('title: "\\x1b[31m"', r"title holds '\\x1b'"), ("name: *b", "undefined alias"),
        ("<<: {name: x}", "no option '<<'"),
        ("anonymise: [true]", "anonymise must be a text"), ("name: a\n---\nname: b", "single document"),
        ("name: a\0b", "special characters"), ("\tname: x", "is not YAML"), ("? - a\n: b", "one `key: value` per line"),
    ],
    ids=map(str, range(18)),
)  # fmt: skip
def test_a_hostile_report_yml_is_one_short_message(tmp_path, text, words):
    (tmp_path / "report.yml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        ReportOptions.read(tmp_path / "report.yml")
    assert len(str(caught.value)) < 500 and "report.yml" in str(caught.value)


@pytest.mark.parametrize("text", [one for one in ALL if one.isprintable() and "\ud83d" not in one])
def test_twin_whatever_can_be_read_may_stand_in_report_yml(tmp_path, text):
    write_atomic(tmp_path / "report.yml", json.dumps({"title": text}, ensure_ascii=False))  # JSON is YAML
    assert ReportOptions.read(tmp_path / "report.yml").title == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_or_a_folder_is_no_report_yml(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, words in (("pipe", "it is a pipe"), ("zero", "it is a device"), (".", "it is a folder")):
        with pytest.raises(ConfigError, match=words):
            ReportOptions.read(tmp_path / name)


# ---- records


def spoil(value, wrong):
    """Every way to put `wrong` in the place of one value of a record, two levels deep."""
    yield wrong
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield {**value, key: wrong}
        if isinstance(inner, dict) and inner:
            first = next(iter(inner))
            yield {**value, key: {**inner, first: wrong}}
        elif isinstance(inner, list) and inner:
            yield {**value, key: [wrong, *inner[1:]]}


def sealed(record) -> str:
    """A record as if it had been written so; one that is no dict has no seal."""
    whole = {**record, storage.SEAL: storage._digest_values(record)} if isinstance(record, dict) else record
    return json.dumps(whole)


def test_a_wrong_type_in_a_record_is_a_gap_and_never_a_traceback(tmp_path):
    runs = {"main": "text_and_image-x", "text_only": "text-x"}
    records = {
        "01_data_exploration": {"data": "d", "health": {"n_labelled": 1}, "majority": 0.5},
        "04_fusion": {"runs": runs},
        "05_hyperparameter_grid": {"runs": {}, "grid": ["a", "b"], "best": "a", "chosen": "b"},
        "workbook": {"data": "d", "knobs": {"lr": 0.1}},
        "timeline": {"parts": [{"name": "imports", "ready": 0.0, "start": 0.0, "end": 1.0}]},
    }
    folder = tmp_path / "records"
    folder.mkdir()
    for name, record in records.items():
        (folder / f"{name}.json").write_text(sealed(record))
    assert not read_timeline(tmp_path) == []
    for name, record in records.items():
        for wrong in (None, 5, True, "\ud800", [], [[]], {}, {"a": 1}):
            for spoilt in spoil(record, wrong):
                (folder / f"{name}.json").write_text(sealed(spoilt))
                found = Evidence.gather(tmp_path)
                assert found.gaps and isinstance(found.course_folder, str) and found.notebook_command()
                assert isinstance(read_timeline(tmp_path), list)
        (folder / f"{name}.json").write_text(sealed(record))
    (folder / "05_hyperparameter_grid.json").write_text(sealed({"grid": 5}))
    assert any("not as the notebook writes it" in gap.detail for gap in Evidence.gather(tmp_path).gaps)


# ---- parameters


PARAMETERS = (
        ("hidden", 10**5000, "hidden is too long .a number of 16610 bits"), ("lr", 10**5000, "lr is too long"),
        ("knobs", "x" * 10**6, "knobs is too long"), ("x" * 10**6, 1, "is too long"), ("data", "a\0b", "is no path"),
        ("results", "\0", "is no path"), ("seeds", 10**30, "at most 1000"), ("hidden", 4e30, "must be int"),
        ("hidden", True, "bool"), ("lr", float("nan"), "a number"), ("lr", [1e-3], "list"), ("fusion", {}, "dict"),
        ("fusion", "gated\x1b[31m", "is not one of"), ("fusion", "照片", "is not one of"), ("epochs", b"1", "bytes"),
        ("knobs", "hidden=64 hidden=32", "twice"), ("knobs", "'", "No closing quotation"), ("knobs", "=", "name=value"),
        ("knobs", "text_encoder=", "name=value"), ("__class__", 1, "no parameter"), ("a=1;b", 1, "no par"),
        ("data", "", "data is empty"), ("seed", -1, "at least 0"), ("dropout", 1.0, "below 1"), ("folds", 1e9, "float"),
)  # fmt: skip


def test_a_hostile_parameter_is_one_message():
    for name, value, words in PARAMETERS:
        with pytest.raises(MmlabError, match=words) as caught:
            check_parameters(NOTEBOOKS / "04_fusion.ipynb", {name: value})
        assert len(str(caught.value)) < 800


def test_a_grid_without_end_is_refused_before_it_is_listed(tmp_path):
    many = [number / 1000 for number in range(1, 100)]
    hostile = {"lr": many, "dropout": many, "warmup": many, "label_smoothing": many, "modality_dropout": many}
    for values, seeds in (({"lr": [0.1]}, 10**30), (hostile, 1)):
        with pytest.raises(ConfigError, match="trainings; at most 10,000 are run"):
            Grid(tmp_path, tmp_path, values, seeds=seeds)
    with pytest.raises(ConfigError, match="seeds is too long"):
        Grid(tmp_path, tmp_path, {"lr": [0.1]}, seeds=10**5000)
    assert len(Grid(tmp_path, tmp_path, {"lr": many}, seeds=2).planned) == 198  # the twin


# ---- tables of pairs, and files that are written


def test_the_faults_of_several_rows_are_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text('text,image\na\nb,c,d\n"fine",\n')
    with pytest.raises(
        CourseError, match=r"(?s)t.csv: 2 rows cannot be read:\n  line 2: has 1 cells.*line 3: has 3 cells"
    ):
        read_pairs(tmp_path / "t.csv")
    (tmp_path / "a.jpg").write_bytes(jpeg(draw_image(1)))
    (tmp_path / "bad.jpg").write_bytes(b"x")
    rows = ["a,a.jpg", "b,bad.jpg", *[f"c{n},gone{n}.jpg" for n in range(300)]]
    (tmp_path / "t.csv").write_text("text,image\n" + "\n".join(rows))
    monkeypatch.setattr(Lab, "see", lambda *_: pytest.fail("nothing is encoded once a row is at fault"))
    lab = object.__new__(Lab)
    lab.run = SimpleNamespace(lacks=[])
    monkeypatch.setattr(Lab, "read_picture", lambda self, image: Path(image).read_bytes() or 1 / 0)
    (tmp_path / "bad.jpg").unlink()
    with pytest.raises(MmlabError, match=r"(?s)^301 pairs cannot be read:\n  line 3: .*bad.jpg.*and 296 more$"):
        lab.predict(read_pairs(tmp_path / "t.csv"))


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(DiskError, match="it is a folder, not a regular file.*Name another file"):
        write_predictions(tmp_path, ["a"], ["positive"])
    assert write_predictions(tmp_path / "a.txt", ["a"], ["positive"]).read_text() == "guid,tag\na,positive\n"


def test_half_a_letter_of_a_name_is_written_as_an_escape_that_json_reads_back(tmp_path):
    name = "caf\udce9"  # a file name that is no UTF-8, as Python holds it
    path = write_atomic(tmp_path / "a.json", json.dumps({"data": name}, ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == {"data": name}
    with pytest.raises(UnicodeEncodeError):  # the twin
        name.encode("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="its names are UTF-16")
def test_a_course_in_a_folder_whose_name_is_no_utf8_is_checked(pristine, tmp_path, cache):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    shutil.copytree(pristine, place)
    done = CliRunner().invoke(app, ["check", str(place)], catch_exceptions=False)
    assert done.exit_code == 0 and "caf\\udce9" in done.output.replace("\n", "")


def test_a_very_long_text_can_be_asked_about_in_a_table(tmp_path):
    (tmp_path / "t.csv").write_text(f"guid,text\n{'g' * 200},{LONG}\n")
    assert len(read_pairs(tmp_path / "t.csv")["text"][2]) == len(LONG)
