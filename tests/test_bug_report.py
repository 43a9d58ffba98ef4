"""`mmlab doctor --bug-report` says what a developer needs, and nothing that is the user's own."""

import json
import platform
import re
from pathlib import Path

import pytest

from mmlab import bug_report
from mmlab.bug_report import Shield, write_bug_report
from mmlab.cli.app import app
from mmlab.doctor import Check
from mmlab.storage import write_atomic

SECRETS = ("quillmorton", "veldrickson", "thornhavel")  # of the home and the results, of the user, of the machine


@pytest.fixture
def private(tmp_path, monkeypatch) -> Path:
    """A results folder whose path, user and machine have names that no bug report may hold."""
    place, user, machine = SECRETS
    home = tmp_path / f"{place} home" / user
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", user)
    monkeypatch.setenv("MMLAB_CACHE", str(home / "cache"))
    monkeypatch.setattr(platform, "node", lambda: f"{machine}.example.org")
    monkeypatch.chdir(home)
    broken = Check("weights", f"{home}/w.bin on {machine} of {user.upper()} has 3 bytes", f"rm {home}")
    monkeypatch.setattr(bug_report, "run_checks", lambda: [broken, Check("Python", f"3.11 at {home}/python", "")])
    monkeypatch.setattr(bug_report, "_digest_encoders", lambda: iter([("minilm", "abc")]))
    return home / f"results of {place}"


def write_run(results: Path, **config) -> None:
    facts = {"n_labelled": 600, "code": "c0de", "commit": "1234567", "device": "cpu", "data_folder": str(results)}
    write_atomic(results / "runs" / "one" / "config.json", json.dumps({"config": config, "provenance": facts}))


def write_failure(results: Path, name: str, ename: str, evalue: str, frames: str) -> None:
    failed = {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": [frames]}
    cells = [{"cell_type": "code", "source": "1/0", "outputs": [{"output_type": "stream"}, failed]}]
    write_atomic(results / "notebooks" / f"{name}.failed.ipynb", json.dumps({"cells": cells}))


def assert_private(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text.lower()]
    assert not re.search(r"(?<![\w<>])[~.]?/\w", text), "a path"


def test_the_report_names_versions_machine_run_and_error(private):
    write_run(private, lr=0.5, seeds=2, text_encoder=f"{private}/mine")
    frames = f"\x1b[36mFile \x1b[39m\x1b[32m{private}/mmlab/lab.py:12\x1b[39m, in \x1b[36mpredict(text)\n"
    frames += '  File "/x/y.py", line 7, in go'
    write_failure(private, "04_fusion", "RunError", f"{private}/runs/a: is damaged. Delete it.", frames)
    text = write_bug_report(private)
    assert_private(text)
    for wanted in (
        "| torch | 2.",
        "| Python | 3.",
        "| encoders | minilm abc |",
        "| threads | torch ",
        "commit 1234567",
    ):
        assert wanted.replace("commit ", "commit: ") in text or wanted in text
    assert "knobs: lr=0.5 text_encoder=<path>" in text and "complete: no" in text and "n_labelled: 600" in text
    assert "04_fusion.failed.ipynb: RunError\n  lab.py:12 in predict\n  y.py:7 in go\n<path>: is damaged." in text
    assert "FAIL: <path> on <machine> of <user> has 3 bytes" in text


def test_of_another_packages_error_the_text_in_quotes_is_left_out(private):
    write_failure(private, "02_text_only", "ValueError", "no number in 'What a lovely day' at 3", "")
    text = write_bug_report(private)
    assert "no number in '...' at 3" in text and "lovely" not in text


def test_without_a_run_it_says_so(private):
    text = write_bug_report(private)
    assert_private(text)
    assert "#### Last run\n\n```text\nthere is none\n```" in text
    assert "#### Last error\n\n```text\nnone is recorded\n```" in text


@pytest.mark.parametrize("damage", ["[]", "{", '{"config": 3}'])
def test_a_damaged_run_or_notebook_stops_nothing(private, damage):
    write_atomic(private / "runs" / "one" / "config.json", damage)
    write_atomic(private / "notebooks" / "01.failed.ipynb", damage)
    text = write_bug_report(private)
    assert text.count("cannot be read (") >= 1 and "config.json" in text
    assert_private(text)


def test_twin_without_the_shield_it_would_tell(private, monkeypatch):
    monkeypatch.setattr(Shield, "hide", lambda self, text: text)
    text = write_bug_report(private).lower()
    assert all(secret in text for secret in SECRETS)
    with pytest.raises(AssertionError):
        assert_private(text)


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ("at /srv/data/x.py:3", "at <path>:3"),
        ("~/course and C:\\Users\\me\\a.txt.", "<path> and <path>"),
        ("https://example.org/x?key=1", "<path>"),
        ("lr=1e-3, 3/4 of 12, and/or bf16", "lr=1e-3, 3/4 of 12, and/or bf16"),
        ("a host thornhavel-2, xthornhavel", "a host <machine>-2, xthornhavel"),
    ],
)
def test_paths_and_names_are_hidden_and_words_are_not(private, given, hidden):
    assert Shield().hide(given) == hidden


def test_the_command_prints_it(private, capsys):
    with pytest.raises(SystemExit) as ended:
        app(["doctor", "--bug-report", "--results", str(private)])
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and printed.startswith("### mmlab bug report\n")
    assert_private(printed)
