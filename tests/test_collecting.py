"""Which files of a folder or zip are read, who handed them in, and what is refused by name."""

import os
import re
import shlex
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from mmlab.errors import MmlabError
from mmlab.grading import collecting
from mmlab.grading.collecting import MAX_BYTES, Unreadable, collect_submissions

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")


def collect(place: Path, pattern: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """(refusal or content of each student's newest file, refusal of each file of nobody)."""
    with collect_submissions(place, pattern) as found:
        newest = {}
        for one in found.newest:
            try:
                newest[one.student] = one.refusal or one.read().decode()
            except Unreadable as reason:
                newest[one.student] = str(reason)
        return newest, {one.name: one.refusal for one in found.stray}


def test_the_newest_of_several_counts_by_the_time_in_its_name(tmp_path):
    for name in ("7_9", "7_10", "8_1"):
        (tmp_path / f"{name}.txt").write_text(name)
    os.utime(tmp_path / "7_9.txt", (2e9, 2e9))  # changed later, but its name says otherwise
    assert collect(tmp_path, r"(?P<student>\d+)_(?P<time>\d+)\.txt")[0] == {"7": "7_10", "8": "8_1"}
    assert collect(tmp_path, r"(?P<student>\d+)_.*")[0] == {"7": "7_9", "8": "8_1"}  # the twin: no time in the pattern


def test_a_pattern_with_a_slash_sees_the_folders(tmp_path):
    for student in ("ann", "bob"):
        (tmp_path / student).mkdir()
        (tmp_path / student / "result.txt").write_text(student)
    assert collect(tmp_path, r"(?P<student>[^/]+)/.*")[0] == {"ann": "ann", "bob": "bob"}


@pytest.mark.parametrize("above", ["", "work (1)/"])
def test_one_name_in_two_folders_needs_a_pattern_and_the_message_has_it(tmp_path, above):
    """Without one, two hundred students who hand in the same name would become one."""
    for student in ("ann", "bob"):
        (tmp_path / above / student / "deep").mkdir(parents=True)
        (tmp_path / above / student / "deep" / "result.txt").write_text(student)
    with pytest.raises(MmlabError, match="a file named result is in 2 folders") as caught:
        collect(tmp_path)
    by_folder, by_name = [shlex.split(words)[0] for words in str(caught.value).split("--pattern ")[1:]]
    assert collect(tmp_path, by_folder)[0] == {"ann": "ann", "bob": "bob"}
    assert list(collect(tmp_path, by_name)[0]) == ["result"]
    (tmp_path / above / "bob" / "deep" / "result.txt").rename(tmp_path / above / "bob" / "deep" / "other.txt")
    assert collect(tmp_path)[0] == {"result": "ann", "other": "bob"}  # the twin: the names differ


@posix
def test_names_that_cannot_be_shown_stay_two_students(tmp_path):
    names = [b"a\xe9", b"a\xff", "a\u200b".encode(), b"a\x1b", b"a\n", b"a\\n", b"a\\udce9", b" ", b"  "]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name + b".txt"), "wb") as file:
            file.write(name.hex().encode())
    for pattern, found in ((None, names), (r"(?P<student>.*)\.txt", names[:-2])):
        newest = collect(tmp_path, pattern)[0]
        assert sorted(newest.values()) == sorted(name.hex() for name in found)
        assert all(name.isprintable() and name.strip() for name in newest)
    assert {r"a\udce9", r"a\u200b", r"a\x1b", "' '"} <= set(collect(tmp_path)[0])


@posix
def test_links_pipes_and_large_files_are_refused_by_name_and_never_read(tmp_path):
    inbox, secret = tmp_path / "inbox", tmp_path / "secret"
    inbox.mkdir(), secret.mkdir()
    (secret / "key.txt").write_text("secret")
    (inbox / "link.txt").symlink_to(secret / "key.txt")
    (inbox / "folder").symlink_to(secret)
    os.mkfifo(inbox / "pipe.txt")  # reading it would wait for ever
    (inbox / "large.txt").write_bytes(b"x" * (MAX_BYTES + 1))
    (inbox / "edge.txt").write_bytes(b"x" * MAX_BYTES)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (inbox / name).write_text("x")
    (inbox / "__MACOSX").mkdir()
    (inbox / "__MACOSX" / "good.txt").write_text("x")
    (inbox / "good.txt").write_text("read")
    newest, stray = collect(inbox)
    assert newest["good"] == "read" and len(newest["edge"]) == MAX_BYTES
    assert newest["link"] == newest["folder"] == "it is a symbolic link"
    assert newest["pipe"] == "it is no regular file"
    assert newest["large"] == "it is larger than 5 MB; hand in the table alone"
    assert set(stray) == {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/good.txt"}
    assert "key" not in newest and "secret" not in newest.values()


@posix
@pytest.mark.parametrize("put", [lambda path, key: path.symlink_to(key), lambda path, key: os.mkfifo(path)])
def test_a_file_exchanged_after_it_was_listed_is_not_read(tmp_path, put):
    (tmp_path / "key").write_text("secret")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.txt").write_text("mine")
    with collect_submissions(inbox) as found:
        (inbox / "a.txt").unlink()
        put(inbox / "a.txt", tmp_path / "key")
        with pytest.raises(Unreadable):
            found.newest[0].read()


def make_zip(path: Path) -> Path:
    """A good member among bad ones."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("good.txt", "../up.txt", "/root.txt", "C:\\disk.txt", "a/../../b.txt", "__MACOSX/._good.txt"):
            archive.writestr(name, "read")
        archive.writestr("bomb.txt", b"\0" * 20 * MAX_BYTES)
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("unusual.txt", b"x", compress_type=zipfile.ZIP_BZIP2)
        archive.writestr("liar.txt", b"\0" * 10 * MAX_BYTES)
        archive.writestr("damaged.txt", "word " * 1000)
        archive.writestr("folder/", "")
    raw = bytearray(path.read_bytes())
    size = (10 * MAX_BYTES).to_bytes(4, "little")
    for place in [match.start() for match in re.finditer(re.escape(size), raw)]:
        raw[place : place + 4] = (10).to_bytes(4, "little")  # it says it unpacks to 10 bytes
    damaged = raw.index(b"damaged.txt") + len("damaged.txt")
    raw[damaged : damaged + 8] = b"\xff" * 8
    path.write_bytes(raw)
    return path


def test_what_a_zip_should_not_hold_is_refused_and_the_rest_is_read(tmp_path):
    newest, stray = collect(make_zip(tmp_path / "all.zip"))
    assert newest.pop("good") == "read"
    assert newest.pop("bomb").startswith("it is larger than 5 MB; ")
    assert newest.pop("link") == "it is a symbolic link"
    assert newest.pop("unusual") == "it is compressed in an unusual way; pack it with the method Deflate"
    assert newest.pop("liar").startswith("it cannot be unpacked (Bad CRC")
    assert newest.pop("damaged").startswith("it cannot be unpacked")
    assert newest == {}
    assert set(stray) == {"../up.txt", "/root.txt", "C:/disk.txt", "a/../../b.txt", "__MACOSX/._good.txt"}


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("(", "no regular expression"),
        ("a{99999999999}", "no regular expression"),
        ("", "(?P<student>"),
        (r"\d+", "(?P<student>"),
        (r"(?P<who>\d+)", "(?P<student>"),
        (r"(?P<student>x*)\d+", "for example b.txt: its name does not fit the pattern. Mend --pattern"),
        (r"(?P<student>x*)[ab]\.txt", "its name does not fit the pattern. Mend --pattern"),  # the student is empty
    ],
)
def test_a_pattern_that_cannot_be_used_is_an_error(tmp_path, pattern, word):
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(MmlabError, match=re.escape(word)):
        collect(tmp_path, pattern)
    assert collect(tmp_path, r"(?P<student>.)\.txt")[0] == {"b": "x"}  # the twin


def test_a_pattern_that_would_take_years_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "_SECONDS", 2)
    (tmp_path / f"{'a' * 60}.txt").write_text("x")
    with pytest.raises(MmlabError, match=r"--pattern .*\(a\+\)\+.* cannot be matched in 2 s"):
        collect(tmp_path, "(?P<student>(a+)+)b")


def test_a_place_without_files_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        archive.writestr("__MACOSX/._a.txt", "x")
    words = {"empty": "no file in it", "text.zip": "no zip", "nowhere": "no such folder"}
    for name, word in {**words, "mac.zip": "no file of a student, for example __MACOSX/._a.txt"}.items():
        with pytest.raises(MmlabError, match=word):
            collect(tmp_path / name)
