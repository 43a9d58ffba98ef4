"""The command line: what a user sees for good and for bad input, through the real entry point."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmlab.course import read_course, write_predictions


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))


def mmlab(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mmlab.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def answers_for(folder: Path) -> tuple[list[str], list[str]]:
    """Guids in order and labels in the proportions of the training set."""
    course = read_course(folder)
    guids = list(course.test["guid"])
    labels = list(course.labelled["label"])
    return guids, [labels[i % len(labels)] for i in range(len(guids))]


def test_check_counts_what_the_demo_holds(demo_folder):
    done = mmlab("check", demo_folder)
    assert done.returncode == 0
    assert "600" in done.stdout and "gb18030" in done.stdout.lower()
    assert "A random split would give" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "nowhere"), ["nowhere"]),
        (("run", "--data", "nowhere", "--results", "r"), ["nowhere"]),
        (("run", "--data", "data/demo", "--results", "r", "--fusion", "atention"), ["attention"]),
        (("run", "--data", "data/demo", "--results", "r", "--lr", "-1"), ["lr", "above 0"]),
        (("run", "--data", "data/demo", "--results", "r", "--only", "02_text"), ["02_text_only"]),
        (("report", "--results", "nowhere"), ["nowhere", "does not exist"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "lr=1,2"), ["lr", "mmlab grid"]),
        (("train", "--data", "data/demo", "--results", "r", "--preset", "tunned"), ["tuned"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "text_layers=-2"), ["text_layers", "at least -1"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "text_encoder=./no"), ["./no", "config.json"]),
        (("train", "--data", "data/demo", "--results", "r", "--save", "data/demo"), ["exists and is not empty"]),
        (("train", "--data", "data/demo", "--results", "r", "--preset", "smoke", "--save", "s"), ["changes no"]),
        (("grid", "--set", "lr=1", "--on", "slrum"), ["slurm"]),
        (("predict", "--data", "data/demo", "--results", "nowhere"), ["nowhere", "does not exist"]),
        (("predict", "--data", "d", "--results", "r", "--scenario", "both"), ["both", "text_and_image"]),
        (("verify", "nowhere.txt", "--data", "data/demo"), ["nowhere.txt"]),
    ],
)
def test_a_mistake_gets_one_plain_message(arguments, words, tmp_path, demo_folder):
    arguments = [str(demo_folder) if a == "data/demo" else str(tmp_path / "r") if a == "r" else a for a in arguments]
    done = mmlab(*arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mmlab: ") and len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "r").exists(), "a refused command writes nothing"


def test_verify_accepts_a_sound_file_and_refuses_a_broken_one(demo_folder, tmp_path):
    guids, labels = answers_for(demo_folder)
    good = write_predictions(tmp_path / "test_result.txt", guids, labels)
    done = mmlab("verify", good, "--data", demo_folder)
    assert done.returncode == 0, done.stdout
    assert "can be handed in" in done.stdout
    turned = write_predictions(tmp_path / "turned.txt", guids[::-1], labels)
    done = mmlab("verify", turned, "--data", demo_folder)
    assert done.returncode == 1
    assert "FAIL" in done.stdout and "can be handed in" not in done.stdout


def test_verify_notices_one_file_handed_in_for_two_scenarios(demo_folder, tmp_path):
    guids, labels = answers_for(demo_folder)
    both = write_predictions(tmp_path / "test_result_0.001_0.5_text_and_image.txt", guids, labels)
    text = tmp_path / "test_result_0.001_0.5_text_only.txt"
    shutil.copy(both, text)
    done = mmlab("verify", both, "--data", demo_folder)
    assert done.returncode == 1
    assert text.name in done.stdout


def test_demo_refuses_a_folder_with_other_files(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = mmlab("demo", tmp_path / "mine")
    assert done.returncode == 1
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_help_has_an_example_for_every_command():
    from mmlab.cli.app import app

    for command in app.registered_commands:
        assert "Example" in command.callback.__doc__, command.callback.__name__


def test_ctrl_c_says_that_nothing_is_lost(demo_folder, tmp_path):
    """The command is told to mind SIGINT: started in the background, it would inherit being deaf to it."""
    code = "import signal, mmlab.cli; signal.signal(signal.SIGINT, signal.default_int_handler); mmlab.cli.main()"
    call = [sys.executable, "-c", code, "run", "--data", str(demo_folder), "--results", str(tmp_path / "r")]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted. What is complete is kept" in said and "Traceback" not in said
