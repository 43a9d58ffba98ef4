"""What an instructor may call `mmlab grade` with: from the command line, and places or names that cannot be used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from submissions import Models, draw_labels, to_text
from test_grading import GUIDS, N, write_key

from mmlab.config import LABELS
from mmlab.course import read_course
from mmlab.errors import MmlabError
from mmlab.grading import check_out, grade_submissions, write_grades
from mmlab.grading.ledger import Ledger

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")


@pytest.fixture
def class_of_two(tmp_path) -> tuple[Path, Path]:
    """(inbox, key): ann and bob have handed in."""
    labels, inbox = draw_labels(N), tmp_path / "inbox"
    inbox.mkdir()
    for number, student in enumerate(("ann", "bob")):
        (inbox / f"{student}.txt").write_text(to_text(GUIDS, Models(labels, number).answer()))
    return inbox, write_key(tmp_path / "key.txt", labels)


# ---- places


def test_grades_go_beside_the_submissions_and_never_among_them(class_of_two, tmp_path):
    inbox, key = class_of_two
    grades = grade_submissions(inbox, key)
    (tmp_path / "link").symlink_to(inbox, target_is_directory=True)
    for out in (inbox, inbox / "grades", inbox / "a" / "b", tmp_path / "link" / "grades"):
        with pytest.raises(MmlabError, match="among what students handed in"):
            write_grades(grades, out)
    assert sorted(path.name for path in inbox.iterdir()) == ["ann.txt", "bob.txt"]
    assert write_grades(grades, tmp_path / "inbox-grades").is_dir()  # the twin: beside them


def test_older_grades_among_the_submissions_are_skipped(class_of_two, tmp_path):
    inbox, key = class_of_two
    write_grades(grade_submissions(inbox, key), tmp_path / "out").rename(inbox / "out")
    again = grade_submissions(inbox, key)
    assert {row.name for row in again.students} == {"ann", "bob"}
    assert [(one.name, one.refusal) for one in again.stray] == [("out/", "these are grades that mmlab wrote")]
    shutil.rmtree(inbox / "out" / "feedback")  # the twin: they are no grades now
    assert {row.name for row in grade_submissions(inbox, key).students} == {"ann", "bob", "grades", "index"}
    out = write_grades(grade_submissions(inbox, key), tmp_path / "out")
    with pytest.raises(MmlabError, match="grades that mmlab wrote"):
        grade_submissions(out, key)


def test_a_ledger_inside_the_grades_is_refused_before_anything_is_written(class_of_two, tmp_path):
    inbox, key = class_of_two
    out = tmp_path / "out"
    for ledger in (out, out / "ledger.json", out / "deep" / "ledger.json"):
        with pytest.raises(MmlabError, match="replaced as a whole"):
            check_out(out, inbox, ledger)
        with pytest.raises(MmlabError, match="replaced as a whole"):
            write_grades(grade_submissions(inbox, key, ledger=ledger), out)
    assert not out.exists()
    check_out(out, inbox, tmp_path / "ledger.json")  # the twin


@posix
def test_a_ledger_that_is_a_link_is_written_where_it_leads(class_of_two, tmp_path):
    inbox, key = class_of_two
    (tmp_path / "safe").mkdir()
    link, target = tmp_path / "ledger.json", tmp_path / "safe" / "real.json"
    link.symlink_to(target)
    for _ in range(2):  # new, then read again
        write_grades(grade_submissions(inbox, key, ledger=link), tmp_path / "out")
        assert link.is_symlink() and set(json.loads(target.read_text())["students"]) == {"ann", "bob"}
    assert isinstance(grade_submissions(inbox, key, ledger=link).ledger, Ledger)


@posix
def test_pipes_and_devices_are_no_files_to_read(class_of_two, tmp_path):
    """Each of these would wait for ever, or read without an end."""
    inbox, key = class_of_two
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero")):
        for given in ({"labels": place}, {"ledger": place}, {"references": {"tutor": place}}):
            with pytest.raises(MmlabError, match="not a regular file"):
                grade_submissions(inbox, **{"labels": key, **given})


# ---- the key, and names


def test_a_key_of_other_pairs_is_blamed_and_not_the_class(class_of_two, tmp_path):
    inbox, key = class_of_two
    (inbox / "empty.txt").write_text("")
    (inbox / "other.txt").write_text("guid,tag\nx1,positive\n")
    strange = write_key(tmp_path / "strange.txt", draw_labels(3), ["a", "b", "c"])
    with pytest.raises(MmlabError, match=r"strange.txt: none of its 3 guids is in any file of .*inbox\. Give the key"):
        grade_submissions(inbox, strange)
    few = write_key(tmp_path / "few.txt", np.array([0, 1]), ["a", GUIDS[0]])  # the twin: one guid is enough
    assert len(grade_submissions(inbox, few).students) == 4


def test_a_reference_has_a_name_of_its_own(class_of_two, tmp_path):
    inbox, key = class_of_two
    file = tmp_path / "tutor.txt"
    file.write_text((inbox / "ann.txt").read_text())
    for name in ("majority", "ann"):
        with pytest.raises(MmlabError, match=f"--reference {name}=.*has this name. Choose another one"):
            grade_submissions(inbox, key, references={name: file})
    (inbox / "majority.txt").write_text(file.read_text())  # a student may be called so
    grades = grade_submissions(inbox, key, references={"tutor": file})
    assert {"tutor", "majority", "ann"} <= {row.name for row in grades.rows}


def test_one_student_is_not_called_students(class_of_two, tmp_path):
    inbox, key = class_of_two
    (inbox / "bob.txt").unlink()
    done = mmlab("grade", inbox, "--labels", key, "--out", tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 student, 0 without" in done.stdout and "0 older files left out" in done.stdout
    assert "1 student handed in a file; 1\nfile is valid" in page and "accuracy of 1 student," in page
    assert "1 students" not in done.stdout + page


# ---- from the command line


def mmlab(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mmlab.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_grades_the_demo_with_its_course(demo_folder, tmp_path, cache):
    course = read_course(demo_folder)
    guids = course.test.guid.tolist()
    labels = draw_labels(len(guids))
    key, inbox = write_key(tmp_path / "key.txt", labels, guids), tmp_path / "inbox"
    inbox.mkdir()
    models = Models(labels)
    for number in range(3):
        (inbox / f"{number}.txt").write_text(to_text(guids, models.answer()))
    (inbox / "turned.txt").write_text(to_text(guids[::-1], models.answer()))
    (tmp_path / "tutor.txt").write_text(to_text(guids, models.answer()))
    out = tmp_path / "out"
    done = mmlab("grade", inbox, "--labels", key, "--out", out, "--data", demo_folder,
                 "--reference", f"tutor={tmp_path / 'tutor.txt'}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "FAIL  turned: " in done.stdout and "out of order" in done.stdout
    assert "4 students, 1 without a valid file" in done.stdout
    rows = {row["name"]: row for row in json.loads((out / "grades.json").read_text())["rows"]}
    assert {"majority", "tfidf", "tutor"} < set(rows) and rows["turned"]["status"] == "invalid"
    assert rows["majority"]["scores"]["accuracy"][0] == pytest.approx((labels == LABELS.index("positive")).mean())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "--labels", "key", "--out", "out"), ["nowhere", "no such folder"]),
        (("inbox", "--labels", "nowhere.txt", "--out", "out"), ["nowhere.txt", "no such file"]),
        (("inbox", "--labels", "key", "--out", "out", "--pattern", "("), ["--pattern", "regular expression"]),
        (("inbox", "--labels", "key", "--out", "out", "--reference", "tutor"), ["--reference", "NAME=FILE"]),
        (("inbox", "--labels", "key", "--out", "out", "--reference", "a=nowhere"), ["nowhere", "NAME=FILE"]),
        (("inbox", "--labels", "key", "--out", "out", "--results", "inbox"), ["no finished run"]),
        (("inbox", "--labels", "key", "--out", "inbox"), ["inbox", "among what students handed in"]),
        (("inbox", "--labels", "key", "--out", "full"), ["holds no grades"]),
        (("inbox", "--labels", "key", "--out", "x" * 300), ["File name too long", "Choose a shorter name"]),
        (
            ("inbox", "--labels", "key", "--out", "out", "--reference", "a=x", "--reference", "a=y"),
            ["another reference"],
        ),
        (("inbox", "--labels", "key", "--out", "out", "--ledger", "key"), ["no ledger"]),
        (("inbox", "--labels", "key", "--out", "out", "--data", "nowhere"), ["nowhere"]),
    ],
)
def test_a_mistake_of_the_instructor_gets_one_plain_message(tmp_path, arguments, words):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.txt").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("x")
    write_key(tmp_path / "key", draw_labels(N))
    done = mmlab("grade", *(tmp_path / word if word in ("inbox", "key", "out", "full") else word for word in arguments))
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "out").exists()
