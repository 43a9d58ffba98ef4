"""A disk that is full, read-only or taken away: one sentence that names the file, nothing final damaged, healed next.

The k-th write of a call is refused; a small or a read-only disk is mounted where that is allowed.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_runs import CONFIG, make_data

from mmlab import storage
from mmlab.cli.app import main
from mmlab.errors import ConfigError, DiskError, MmlabError, RunError
from mmlab.exercises.copies import start_copies
from mmlab.runs import is_complete, load_run, open_results, train_run
from mmlab.storage import cache_folder, draft_folder, expand, temporary_folder, write_atomic

FULL = [(errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "quota exceeded"), (errno.EFBIG, "File too large")]


@pytest.fixture
def refuse(monkeypatch):
    """Let the k-th file that reaches the disk meet this error; what was counted is a list."""

    def at(number: int, code: int = errno.ENOSPC) -> list[int]:
        real, seen = os.fsync, []

        def fsync(file: int) -> None:
            seen.append(file)
            if len(seen) == number:
                raise OSError(code, os.strerror(code))
            real(file)

        monkeypatch.setattr(storage.os, "fsync", fsync)
        return seen

    return at


@pytest.mark.parametrize(("code", "words"), FULL)
def test_a_refused_write_names_the_file_and_the_fix_and_keeps_the_old_file(tmp_path, refuse, code, words):
    path = write_atomic(tmp_path / "scores.json", "old")
    refuse(1, code)
    said = rf"scores\.json: cannot be written \(.*{words}\)\. (Free some|Raise the)"
    with pytest.raises(DiskError, match=said) as one:
        write_atomic(path, "new")
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["scores.json"]
    assert isinstance(one.value, OSError) and "Errno" not in str(one.value)  # who catches an OSError catches it, too


def test_a_refused_write_of_a_training_leaves_no_run_and_the_next_call_heals(tmp_path, refuse, monkeypatch):
    data, config = make_data(), CONFIG.replace(epochs=1)
    writes = refuse(0)
    whole = train_run(config, *data, tmp_path / "whole")
    count = len(writes)
    assert count >= 8
    for number in {1, count // 2, count - 1, count}:
        monkeypatch.undo()
        refuse(number)
        results = tmp_path / str(number)
        with pytest.raises(DiskError, match=rf"{whole.id}: cannot be written \(No space left.*Free some space"):
            train_run(config, *data, results)
        assert list((results / "runs").iterdir()) == []
    run = train_run(config, *data, results)
    load_run(run.folder)
    assert (run.folder / "predictions.csv").read_bytes() == (whole.folder / "predictions.csv").read_bytes()


def test_copies_of_the_notebooks_are_whole_when_the_disk_fills_up(tmp_path, refuse, monkeypatch):
    refuse(3)
    with pytest.raises(DiskError, match=r"work: cannot be written \(No space left on device\)\. Free some space"):
        list(start_copies(tmp_path / "work"))
    assert len(list((tmp_path / "work").iterdir())) == 2
    monkeypatch.undo()
    assert [done for _, done in start_copies(tmp_path / "work")].count("new copy") == 5


def test_the_cache_names_the_variable_that_moves_it(tmp_path, cache, monkeypatch):
    real = Path.mkdir

    def mkdir(path, *arguments, **options):
        if cache in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(DiskError, match=r"features: cannot be written \(Permission denied\)\. Set MMLAB_CACHE to"):
        cache_folder("features")


def test_a_full_folder_for_temporary_files_is_named(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(DiskError, match=r"cannot be written \(No space left on device\)"), temporary_folder():
        pass


def test_a_draft_that_is_removed_meanwhile_becomes_no_run(tmp_path):
    with pytest.raises(DiskError, match="Run the same again"), draft_folder(tmp_path / "run", is_complete) as draft:
        write_atomic(draft / "config.json", "{}")
        shutil.rmtree(draft)
        write_atomic(draft / "metrics.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_an_older_folder_is_whole_until_the_new_one_is_in_its_place(tmp_path, monkeypatch):
    (tmp_path / "grades").mkdir()
    (tmp_path / "grades" / "old").touch()
    real = os.rename

    def rename(source, target):
        if Path(target) == tmp_path / "grades" and not str(source).endswith(".older"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(storage.os, "rename", rename)
    with (
        pytest.raises(DiskError, match="Input/output error"),
        draft_folder(tmp_path / "grades", lambda _: False) as new,
    ):
        (new / "new").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["grades", "grades/old"]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, kind):
    place = tmp_path / "place"
    os.mkfifo(place) if kind == "pipe" else place.mkdir()
    with pytest.raises(DiskError, match=f"it is a {kind}, not a regular file"):
        write_atomic(place, "text")
    assert not place.is_file() and list(tmp_path.iterdir()) == [place]


def test_a_clock_that_was_set_back_neither_trains_again_nor_removes_what_is_in_use(tmp_path, monkeypatch):
    data, config = make_data(), CONFIG.replace(epochs=1)
    run = train_run(config, *data, tmp_path)
    (other := tmp_path / "runs" / ".x.0123abcd-1.new").mkdir()  # of another machine
    before = run.folder.stat().st_mtime_ns
    monkeypatch.setattr(storage.time, "time", lambda: 10**9)
    storage._TIDIED.clear()
    assert train_run(config, *data, tmp_path).folder.stat().st_mtime_ns == before
    train_run(config.replace(seed=1), *data, tmp_path)
    assert other.is_dir() and len(list((tmp_path / "runs").glob("[!.]*"))) == 2


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "File name too long.*Choose a shorter name"),
        ("/".join(["y" * 200] * 25), "File name too long.*Choose a shorter name"),
        ("~nobody/x", "begins with ~, which only a shell understands"),
        ("a\0b", "no name for a folder of results"),
        ("a\udc80b", "no name for a folder of results"),
        ("file", "it is a file"),
        ("file/below", "file is a file"),
        ("circle", "cannot be written"),
    ],
)
def test_a_results_folder_that_cannot_be_is_one_sentence(tmp_path, monkeypatch, demo_folder, name, words):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("circle").symlink_to("circle")
    with pytest.raises(RunError, match=words) as caught:
        open_results(name, demo_folder)
    assert str(caught.value).count("\n") == 0 and not any(path.is_dir() for path in tmp_path.iterdir())


def test_the_home_of_nobody_is_one_sentence():
    with pytest.raises(ConfigError, match="~no_such_user/x: nobody here has this home folder"):
        expand("~no_such_user/x")
    with pytest.raises(MmlabError, match="nobody here"):
        list(start_copies("~no_such_user/x"))


# ------------------------------------------------------------------------------------------------ real mounts

MOUNTED = """
import os, sys
from mmlab.cli.app import main
sys.argv = ["mmlab", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def mounts() -> None:
    """Skip where a namespace of mounts cannot be made."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    if tried.returncode:
        pytest.skip(f"no mounts here: {tried.stderr.decode().strip()}")


def in_mount(folder: Path, options: str, *words: object) -> subprocess.CompletedProcess:
    """A command while a small disk is mounted over a folder. What is written there is gone afterwards."""
    folder.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, str(folder), sys.executable, "-c", MOUNTED, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("options", "reason"), [("size=64k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_small_and_a_read_only_disk_are_one_message(mounts, tmp_path, options, reason):
    ended = in_mount(tmp_path / "disk", options, "start", tmp_path / "disk" / "work")
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    assert reason in ended.stderr and "disk/work" in ended.stderr and "Traceback" not in ended.stderr


def test_twin_a_disk_with_room_takes_all(mounts, tmp_path):
    ended = in_mount(tmp_path / "disk", "size=64m", "start", tmp_path / "disk" / "work")
    assert ended.returncode == 0 and ended.stdout.count("new copy") == 7


def test_the_command_line_shows_one_line_for_a_limit_on_the_size_of_files(tmp_path, monkeypatch, capsys, refuse):
    refuse(1, errno.EFBIG)
    monkeypatch.setattr(sys, "argv", ["mmlab", "start", str(tmp_path / "work")])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "File too large" in said and "ulimit -f" in said and len(said.splitlines()) == 1


def test_a_full_disk_in_a_notebook_is_the_sentence_without_lines_of_source():
    from nbclient.exceptions import CellExecutionError

    from mmlab.workbook.execute import _explain

    said = "results/records/04_fusion.json: cannot be written (No space left on device). Free some space there."
    assert _explain(CellExecutionError("---\nline of source", "DiskError", said), 60) == said
    assert "line of source" in _explain(CellExecutionError("---\nline of source", "OSError", said), 60)  # the twin
