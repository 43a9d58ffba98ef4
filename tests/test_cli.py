"""The command line: what a user sees for good and for bad input, through the real entry point."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from mmlab import __version__
from mmlab.cli.app import app, main
from mmlab.cli.options import with_knobs
from mmlab.config import KNOBS, write_value
from mmlab.course import read_course, write_predictions
from mmlab.exercises.cells import NOTEBOOKS
from mmlab.workbook import slurm


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
        (("run", "--data", "data/demo", "--results", "r", "--lr", "fast"), ["lr", "not a number"]),
        (("run", "--data", "data/demo", "--results", "r", "--hidden", "30"), ["hidden=30", "heads=4"]),
        (("run", "--data", "data/demo", "--results", "r", "--text-encoder", "./no"), ["./no", "config.json"]),
        (("run", "--data", "data/demo", "--results", "r", "--image-encoder", "./no"), ["./no", "config.json"]),
        (("run", "--data", "data/demo", "--results", "r", "--text-layers", "2"), ["--set text_layers=2"]),
        (("run", "--data", "data/demo", "--results", "r", "--only", "02_text"), ["02_text_only"]),
        (("report", "--results", "nowhere"), ["nowhere", "does not exist"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "lr=0.1,0.2"), ["lr", "mmlab grid"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "lr=nan"), ["lr=nan", "a number"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "lr=10"), ["lr=10", "at most 1"]),
        (("run", "--data", "data/demo", "--results", "r", "--text-encoder", "README.md"), ["README.md is a file"]),
        (("train", "--data", "data/demo", "--results", "r", "--preset", "tunned"), ["tuned"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "text_layers=-2"), ["text_layers", "at least -1"]),
        (("train", "--data", "data/demo", "--results", "r", "--set", "text_encoder=./no"), ["./no", "config.json"]),
        (("train", "--data", "data/demo", "--results", "r", "--save", "data/demo"), ["exists and is not empty"]),
        (("train", "--data", "data/demo", "--results", "r", "--preset", "smoke", "--save", "s"), ["changes no"]),
        (("grid", "--set", "lr=1", "--on", "slrum"), ["slurm"]),
        (("grid", "--set", "hiden=64", "--results", "r"), ["hidden"]),
        (("grid", "--set", "image_encoder=./no", "--results", "r"), ["./no", "config.json"]),
        (("predict", "--data", "data/demo", "--results", "nowhere"), ["nowhere", "does not exist"]),
        (("predict", "--data", "d", "--results", "r", "--scenario", "both"), ["both", "text_and_image"]),
        (("start", NOTEBOOKS), ["notebooks", "Choose another folder"]),
        (("progress", "nowhere"), ["nowhere"]),
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


@pytest.mark.parametrize(
    "arguments", [("grid", "--set", "lr=1", "--on", "slrum"), ("run", "--data", "d", "--results", "r", "--fusion", "z")]
)
def test_a_choice_that_is_none_lists_the_choices_once(arguments):
    done = mmlab(*arguments)
    assert done.stderr.count("slurm") + done.stderr.count("transformer") == 1 + ("Did you mean" in done.stderr)


def test_a_mistake_is_said_before_anything_that_is_said_when_all_is_well(tmp_path):
    done = mmlab("run", "--data", "nowhere", "--results", tmp_path)
    assert not done.stdout and "nowhere" in done.stderr


@pytest.mark.parametrize("arguments", [("demo", "d", "--seed", "x"), ("grid", "--jobs", "x"), ("grid", "--seeds", "x")])
def test_a_number_that_is_none_is_said_in_plain_words(arguments):
    said = mmlab(*arguments).stderr
    assert f"'{arguments[-2]}': 'x' is not a whole number." in said


@pytest.mark.parametrize("answer", ["", "echo no controller >&2; exit 1"])
def test_slurm_without_a_cluster_is_one_plain_message(answer, demo_folder, tmp_path, monkeypatch):
    if answer:
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / "sinfo").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = mmlab("grid", "--set", "lr=1", "--on", "slurm", "--data", demo_folder, "--results", tmp_path / "r")
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith("mmlab: No Slurm cluster") and ("no controller" if answer else "sinfo is missing") in line
    assert done.returncode == 1 and not (tmp_path / "r").exists()
    (tmp_path / "sinfo").write_text("#!/bin/sh\n")
    (tmp_path / "sinfo").chmod(0o755)
    assert slurm.check_cluster() is None  # the twin: a cluster that answers


def test_the_version_and_the_knobs_of_set_are_told():
    assert mmlab("--version").stdout == f"mmlab {__version__}\n"
    for command in ("grid", "train"):
        words = re.findall(r"\w+", options_of(command)["settings"].help)
        assert set(KNOBS) <= set(words)


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
    for command in app.registered_commands:
        assert "Example" in command.callback.__doc__, command.callback.__name__


def options_of(command: str) -> dict:
    group = typer.main.get_command(app)
    return {option.name: option for option in group.commands[command].params}


def test_run_has_an_option_for_every_knob_with_its_help_limits_and_default():
    options = options_of("run")
    for name, knob in KNOBS.items():
        option = options[name]
        assert f"--{name.replace('_', '-')}" in option.opts and option.default is None
        words = option.help.replace("\\[", "[")
        assert knob.help in words and knob.limits in words and f"default: {write_value(knob.default)}" in words
    assert options["class_weights"].secondary_opts == ["--no-class-weights"]
    assert "hidden" not in options_of("grid")  # the twin: elsewhere they are not options


@pytest.mark.parametrize(
    ("words", "knobs"),
    [
        ([], {}),
        (["--hidden", "64", "--no-augment"], {"hidden": 64, "augment": False}),
        (["--lr", "1", "--class-weights"], {"lr": 1.0, "class_weights": True}),
        (["--text-encoder", "./a folder"], {"text_encoder": "./a folder"}),
    ],
)
def test_run_passes_on_the_knobs_that_were_given_and_no_other(words, knobs):
    given = {}

    @with_knobs
    def toy(*, knobs: dict):
        given.update(knobs)

    program = typer.Typer()
    program.command()(toy)
    program(words, standalone_mode=False)
    assert given == knobs and [type(one) for one in given.values()] == [type(one) for one in knobs.values()]


def test_help_comes_quickly_and_loads_nothing_heavy():
    code = "import sys, mmlab.cli; print(sorted({'torch', 'numpy', 'pandas', 'nbformat'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EACCES, "Choose another"),
        (errno.ENAMETOOLONG, "Choose a shorter name"),
        (errno.EIO, None),
    ],
)
def test_a_disk_that_refuses_is_one_plain_message_and_a_fault_of_the_program_is_not(monkeypatch, capsys, number, words):
    def refuse():
        raise OSError(number, os.strerror(number), "results/run")

    monkeypatch.setattr(sys.modules["mmlab.cli.app"], "app", refuse)
    with pytest.raises(OSError if words is None else SystemExit):
        main()
    assert (words or "") in capsys.readouterr().err


def test_ctrl_c_says_that_nothing_is_lost(demo_folder, tmp_path):
    """The command handles SIGINT explicitly: a process started in the background ignores it."""
    code = "import signal, mmlab.cli; signal.signal(signal.SIGINT, signal.default_int_handler); mmlab.cli.main()"
    call = [sys.executable, "-c", code, "run", "--data", str(demo_folder), "--results", str(tmp_path / "r")]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted. Completed runs are kept" in said and "Traceback" not in said
