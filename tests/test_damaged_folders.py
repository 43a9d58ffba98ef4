"""Damaged course folders are read right, or refused with one clear error: a part of what `make soak` tries.

The twins show that the harness notices what goes wrong: each puts another reader in the place of the lab's.
"""

import base64
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlab.course.text import is_doubtful
from mmlab.errors import CourseError
from mmlab.images import make_thumbnail, read_rgb
from soak import folders
from soak.children import resident_mib
from soak.course import save
from soak.kinds import KINDS

ROOT = Path(__file__).resolve().parents[1]
DRAWN = 150  # folders with one to three kinds, besides each kind alone
GOOD = "table with CRLF"  # a kind after which all is read as before


def test_every_kind_alone_and_some_drawn_together_end_well(tmp_path):
    """In a process of its own: it forks, which no process with threads should."""
    options = ["--count", str(len(KINDS) + DRAWN), "--seed", "14", "--workers", "2", "--out", str(tmp_path)]
    command = [sys.executable, "-W", "ignore", "-m", "soak", "folders", *options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = json.loads((tmp_path / "folders.json").read_text(encoding="utf-8"))
    assert found["wrong"] == []
    assert found["folders"] == sum(found["outcomes"].values()) == len(KINDS) + DRAWN
    assert found["outcomes"]["right"] > 250
    assert found["outcomes"]["one clear error"] > 150
    assert found["outcomes"]["skipped"] < 12
    assert set(found["by kind"]) == set(KINDS)


def test_at_least_a_hundred_kinds_are_tried():
    assert len(KINDS) >= 100
    assert folders.SECONDS == 20
    assert folders.MIB == 2048


def test_the_same_seed_damages_in_the_same_way():
    jobs = list(folders.draw_jobs(len(KINDS) + 50, 3))
    assert jobs == list(folders.draw_jobs(len(KINDS) + 50, 3))
    assert jobs[-50:] != list(folders.draw_jobs(len(KINDS) + 50, 4))[-50:]
    assert {len(kinds) for kinds, _ in jobs[-50:]} == {1, 2, 3}


# ------------------------------------------------------------------------- twins: a reader that is not as it should be


def outcome(read, kind=GOOD) -> tuple[str, str]:
    trial = folders.try_folder([kind], 0, read)
    return trial.outcome, trial.why


def test_twin_the_reader_of_the_lab_is_right():
    assert outcome(folders.read_folder) == ("right", "")


def test_twin_a_hang_is_noticed(monkeypatch):
    monkeypatch.setattr(folders, "SECONDS", 0.2)
    assert outcome(lambda root, drawn: time.sleep(600))[0] == "hang"


def test_twin_work_without_end_is_noticed(monkeypatch):
    monkeypatch.setattr(folders, "SECONDS", 0.2)

    def work(root, drawn):
        while True:
            pass

    assert outcome(work)[0] == "hang"


def test_twin_too_much_memory_is_noticed(monkeypatch):
    limit = resident_mib(os.getpid()) + 50
    monkeypatch.setattr(folders, "MIB", limit)

    def hold(root, drawn):  # all of it anew: a child holds but a part of what its parent does
        held = np.ones(int(limit + 50) * 2**20, np.uint8)
        return folders.read_folder(root, drawn) if held.all() else None

    assert outcome(hold)[0] == "over memory"


def test_twin_an_exception_that_is_not_the_labs_is_noticed():
    def fail(root, drawn):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    found, why = outcome(fail)
    assert found == "foreign exception"
    assert "UnicodeDecodeError" in why


def test_twin_a_process_that_dies_is_noticed():
    assert outcome(lambda root, drawn: os._exit(139)) == ("foreign exception", "the process ended without an answer")


def change(course, **columns):
    return dataclasses.replace(course, pairs=course.pairs.assign(**columns))


WRONG = {
    "one label": lambda course: change(course, label=["neutral", *course.pairs.label[1:]]),
    "one letter": lambda course: change(course, text=[f"{course.pairs.text[0]}.", *course.pairs.text[1:]]),
    "a charset": lambda course: change(course, encoding="latin-1"),
    "the order": lambda course: dataclasses.replace(course, pairs=course.pairs[::-1].reset_index(drop=True)),
    "a pair": lambda course: dataclasses.replace(course, pairs=course.pairs[1:]),
    "a size": lambda course: change(course, width=course.pairs.height, height=course.pairs.width),
    "a twin": lambda course: change(course, twin=[0, 0, *course.pairs.twin[2:]]),
    "the split": lambda course: change(course, split="train"),
    "an orphan": lambda course: dataclasses.replace(
        course, health=dataclasses.replace(course.health, orphans=["ghost.txt"])
    ),
    "a count": lambda course: dataclasses.replace(
        course, health=dataclasses.replace(course.health, conversions={"turned": 3})
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_twin_a_wrong_result_is_noticed(what):
    def read(root, drawn):
        course, printed = folders.read_folder(root, drawn)
        return WRONG[what](course), printed

    found, why = outcome(read)
    assert found == "silently wrong"
    assert "Traceback" not in why


def test_twin_pixels_that_nobody_turned_are_noticed(monkeypatch):
    def read(path):
        with Image.open(path) as image:
            return image.convert("RGB")

    monkeypatch.setattr("soak.expected.read_rgb", read)
    assert outcome(folders.read_folder, "orientation 3")[0] == "silently wrong"


@pytest.mark.parametrize("kind", [GOOD, "table with semicolons", "grey JPEG"])
def test_twin_a_wrong_refusal_is_noticed(kind):
    def refuse(root, drawn):
        raise CourseError("Something is wrong.")

    found, why = outcome(refuse, kind)
    assert found == "silently wrong"
    assert "Something is wrong." in why


def test_twin_a_fault_that_is_read_over_is_noticed():
    def read(root, drawn):
        (root / "train.txt").write_bytes((root / "train.txt").read_bytes().replace(b",postive", b",positive"))
        return folders.read_folder(root, drawn)

    found, why = outcome(read, "label with a slip")
    assert found == "silently wrong"
    assert "is to be refused" in why


# ---------------------------------------------------------------------------------------- what the search has found


@pytest.mark.parametrize(
    ("text", "encoding", "doubtful"),
    [
        ("caf\u00e9teria r\u00e9ally", "latin-1", True),
        ("don\u2019t you", "cp1252", True),
        ("今天天气很好", "gb18030", False),
        ("廃墟の写真", "gb18030", False),  # Japanese: rare characters, but between kana
        ("so “happy”…", "gb18030", False),
    ],
)
def test_a_text_that_is_hardly_gb18030_is_doubtful(text, encoding, doubtful):
    assert is_doubtful(text.encode(encoding).decode("gb18030"), "gb18030") is doubtful


def test_utf_8_is_never_doubtful():
    assert not is_doubtful("閠", "utf-8")


def test_a_thumbnail_is_turned_and_lies_on_white():
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    shown = make_thumbnail(save(drawing, "PNG", exif=exif), 100)
    pixels = np.asarray(read_rgb(base64.b64decode(shown.partition(",")[2])))
    assert pixels.shape == (40, 20, 3)
    assert pixels.min() > 250
