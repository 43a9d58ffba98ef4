"""The one door for bytes: regular files of a stated size, and nothing else, without waiting."""

import os
import socket
import threading

import pytest

from mmlab.storage import read_file


def why_not(path, **options) -> str:
    with pytest.raises(OSError) as caught:
        read_file(path, **options)
    return caught.value.strerror


def test_a_file_and_a_link_to_one_are_read(tmp_path):
    file, link = tmp_path / "a.txt", tmp_path / "link"
    file.write_bytes(b"abc")
    link.symlink_to(file)
    assert read_file(file) == read_file(link) == b"abc"
    assert why_not(link, follow=False) == "it is a symbolic link, not a regular file"


def test_what_may_never_end_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        found = {path.name: why_not(path) for path in (tmp_path, tmp_path / "pipe", tmp_path / "socket")}
    assert found == {
        tmp_path.name: "it is a folder, not a regular file",
        "pipe": "it is a pipe, not a regular file",
        "socket": "it is a device or a socket, not a regular file",
    }
    for device in ("/dev/zero", "/dev/urandom", "/dev/full"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(device)
        assert why_not(tmp_path / "link") == "it is a device or a socket, not a regular file"


def test_twin_a_plain_open_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: (tmp_path / "pipe").read_bytes(), daemon=True)
    reader.start()
    reader.join(0.3)
    assert reader.is_alive()
    (tmp_path / "pipe").write_bytes(b"")
    reader.join(5)
    assert not reader.is_alive()


def test_the_size_is_known_before_anything_is_read(tmp_path):
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(3 * 10**9)
    assert why_not(sparse) == "it has 3,000 MB, more than the 1,074 MB that are read"
    small = tmp_path / "small"
    small.write_bytes(b"x" * 11)
    assert why_not(small, largest=10) == "it has 11 bytes, more than the 10 bytes that are read"
    assert len(read_file(small, largest=11)) == 11


def test_a_file_that_says_nothing_of_its_size_is_read_to_the_limit():
    assert read_file("/proc/self/status").startswith(b"Name")
    assert "more than the 10 bytes" in why_not("/proc/self/status", largest=10)
