"""Two calls at once on one folder: the second waits and says for whom, and what has nothing to do with it goes on."""

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from test_features import CountingEncoder
from test_runs import CONFIG, make_data

from mmlab import features as features_module
from mmlab import training as training_module
from mmlab.course import read_course
from mmlab.features import encode_course
from mmlab.report import build as report_module
from mmlab.runs import load_run, train_run
from mmlab.storage import cache_folder, one_at_a_time, write_atomic
from mmlab.workbook import pipeline

HOLD = """
import sys, time
from pathlib import Path
from mmlab.storage import one_at_a_time
with one_at_a_time(Path(sys.argv[1]), ""):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock until it is killed."""
    started = []

    def hold(lock: Path) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def wait_for_words(capsys, words: str) -> str:
    """What is said on standard error until these words are among it."""
    said, deadline = "", time.monotonic() + 60
    while words not in said and time.monotonic() < deadline:
        time.sleep(0.02)
        said += capsys.readouterr().err
    return said


def test_who_waits_is_told_for_whom_and_goes_on_when_that_one_is_killed(tmp_path, holder, capsys):
    lock, entered = tmp_path / ".lock", []

    def enter() -> None:
        with one_at_a_time(lock, "Another grid is running in results; waiting for it ..."):
            entered.append(lock.read_text())

    first = holder(lock)
    second = threading.Thread(target=enter)
    second.start()
    said = wait_for_words(capsys, "waiting")
    assert f"Another grid is running in results; waiting for it ... (process {first.pid} of " in said and not entered
    first.kill()
    second.join(60)
    assert entered[0].startswith(f"(process {os.getpid()} of ")


def test_equal_trainings_train_once_and_others_do_not_wait(tmp_path, monkeypatch):
    """As tasks of a cluster that share a results folder: each setting is trained once, all of them at the same time."""
    data, real, inside, leave, calls = make_data(), training_module.cross_fit, threading.Event(), threading.Event(), []

    def cross_fit(config, *arguments, **options):
        calls.append(config.seed)
        if config.seed == 0:
            inside.set()
            leave.wait(60)
        return real(config, *arguments, **options)

    monkeypatch.setattr(training_module, "cross_fit", cross_fit)
    config, made = CONFIG.replace(epochs=1), []
    equal = [threading.Thread(target=lambda: made.append(train_run(config, *data, tmp_path).folder)) for _ in range(2)]
    equal[0].start()
    inside.wait(60)
    equal[1].start()
    other = train_run(config.replace(seed=1), *data, tmp_path)  # while the first is held up
    assert not made and calls == [0, 1]
    leave.set()
    for thread in equal:
        thread.join(60)
    assert calls == [0, 1] and made[0] == made[1]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {made[0].name, other.folder.name}  # no lock stays
    load_run(made[0])


def test_a_second_workbook_waits_for_the_first(tmp_path, holder, demo_folder, monkeypatch, capsys):
    """Of different seeds, say: the records of both would be those of one report."""
    begun = []
    monkeypatch.setattr(pipeline, "run_notebooks", lambda jobs, **_: begun.append(len(jobs)) or iter([]))
    first = holder(tmp_path / ".lock")
    second = threading.Thread(
        target=pipeline.run_workbook, args=(demo_folder, tmp_path, {"seed": 1}), kwargs={"only": "02_text_only"}
    )
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the pretended notebook gives no result
    second.start()
    assert f"Another `mmlab run` is at work in {tmp_path}" in wait_for_words(capsys, "waiting") and not begun
    first.kill()
    second.join(60)
    assert begun == [1]


def test_two_reports_of_one_folder_are_written_one_after_the_other(tmp_path, monkeypatch):
    inside, most = [], []

    def build(*_):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        return report_module.BuiltReport({}, {})

    monkeypatch.setattr(report_module, "_build", build)
    monkeypatch.setattr(report_module.Evidence, "gather", lambda *_: None)
    both = [threading.Thread(target=report_module.build_report, args=(tmp_path,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert most == [1, 1]


# ------------------------------------------------------------------------------------------------ a shared cache


def test_two_encodings_at_once_encode_each_pair_once(folder, cache, monkeypatch):
    toys = CountingEncoder("text", 2, str.encode), CountingEncoder("image", 3, lambda path: Path(path).read_bytes())
    monkeypatch.setattr(features_module, "find_text_encoder", lambda *_: toys[0])
    monkeypatch.setattr(features_module, "find_image_encoder", lambda *_: toys[1])
    course = read_course(folder)
    both = [threading.Thread(target=encode_course, args=(course,), kwargs={"progress": None}) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert [len(toy.seen) for toy in toys] == [len(course.pairs), len(course.pairs)]


@pytest.mark.skipif(not hasattr(os, "umask"), reason="needs the permissions of POSIX")
@pytest.mark.parametrize(("mask", "shared"), [(0o002, 0o020), (0o022, 0)])
def test_a_group_shares_what_its_umask_allows(cache, mask, shared):
    before = os.umask(mask)
    try:
        folder = cache_folder("features", "toy")
        with one_at_a_time(folder / ".lock", ""):
            file = write_atomic(folder / "block", b"")
    finally:
        os.umask(before)
    for path in (folder, folder / ".lock", file):
        assert stat.S_IMODE(path.stat().st_mode) & 0o020 == shared, path


def as_nobody(folder: Path, say) -> None:
    """What another user meets in a cache: what is there is read, and what is refused is said."""
    say(repr((folder / "block").read_bytes()))
    for call in (lambda: write_atomic(folder / "new", b""), lambda: one_at_a_time(folder / ".lock", "").__enter__()):
        try:
            call()
        except OSError as error:
            say(str(error))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_the_cache_of_another_user_is_read_and_who_cannot_write_there_is_told_what_to_do(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own folder is closed to other users
        os.chmod(place, 0o755)
        monkeypatch.setenv("MMLAB_CACHE", place)
        folder = cache_folder("features")
        write_atomic(folder / "block", b"vectors")
        with one_at_a_time(folder / ".lock", ""):
            """Now there is a lock, which is mine."""
        heard, told = os.pipe()
        if (child := os.fork()) == 0:
            os.setgid(65534), os.setuid(65534)
            as_nobody(folder, lambda words: os.write(told, f"{words}\n".encode()))
            os._exit(0)
        os.waitpid(child, 0)
        os.close(told)
        with os.fdopen(heard) as said:
            first, *refused = said.read().splitlines()
    assert first == "b'vectors'" and len(refused) == 2
    for line in refused:
        assert "cannot be written (Permission denied). Set MMLAB_CACHE to a folder that you may write to." in line


def test_twin_without_the_lock_both_are_inside_at_once(tmp_path, monkeypatch):
    from contextlib import nullcontext

    inside, most = [], []

    def enter(hold) -> None:
        with hold(tmp_path / ".lock", ""):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.3)
            inside.pop()

    for hold, worst in ((one_at_a_time, 1), (lambda *_: nullcontext(), 2)):
        most.clear()
        both = [threading.Thread(target=enter, args=(hold,)) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(60)
        assert max(most) == worst
