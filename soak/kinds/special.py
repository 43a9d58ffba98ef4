"""What is no regular file, in the place of a text, a picture or a table: pipes, devices, links, folders."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from soak.course import Damaged, Skip
from soak.kinds.registry import add

Maker = Callable[[Path], None]


def a_link_to(target: str) -> Maker:
    def make(path: Path) -> None:
        if target.startswith("/dev/") and not (os.path.exists(target) and stat.S_ISCHR(os.stat(target).st_mode)):
            raise Skip
        path.symlink_to(target)

    return make


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_socket(path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise Skip
    os.mknod(path, stat.S_IFSOCK | 0o600)


def a_large_file(path: Path) -> None:
    """3 GB that take no room, behind a link."""
    large = path.parent / f".large {path.name}"
    with open(large, "wb") as file:
        file.truncate(3 * 10**9)
    path.symlink_to(large.name)


def a_forbidden_file(path: Path) -> None:
    if os.geteuid() == 0:
        raise Skip  # root reads everything
    path.write_bytes(b"x")
    path.chmod(0)


NOT_REGULAR = "not a regular file"
# What stands there, and what is to be said of it: (when a table is looked for, of any file).
MAKERS: dict[str, tuple[Maker, str]] = {
    "a folder": (Path.mkdir, "it is a folder, not a regular file"),
    "a pipe": (os.mkfifo, "it is a pipe, not a regular file"),
    "a socket": (a_socket, "it is a device or a socket, not a regular file"),
    "a link to dev zero": (a_link_to("/dev/zero"), NOT_REGULAR),
    "a link to dev full": (a_link_to("/dev/full"), NOT_REGULAR),
    "a link to dev urandom": (a_link_to("/dev/urandom"), NOT_REGULAR),
    "a link to dev tty": (a_link_to("/dev/tty"), NOT_REGULAR),
    "a link to a folder": (a_link_to("/"), "it is a folder"),
    "a link to memory": (a_link_to("/proc/self/mem"), "cannot be read"),
    "a dangling link": (a_link_to("nowhere"), "there is no such file"),
    "a link to itself": (a_link_to_itself, "symbolic links"),
    "a file of 3 GB behind a link": (a_large_file, "it has 3,000 MB, more than"),
    "a file without permission": (a_forbidden_file, "Permission denied"),
}


def half_of_a_pair(damaged: Damaged, name: str, suffix: str) -> None:
    make, problem = MAKERS[name]
    pair = damaged.victim()
    path = damaged.path(pair, suffix)
    path.unlink()
    make(path)
    if suffix == ".txt":
        pair.text_fault = problem
    else:
        pair.image_fault = problem


def table(damaged: Damaged, name: str) -> None:
    make, problem = MAKERS[name]
    path = damaged.table()
    path.unlink()
    make(path)
    damaged.refuse(path.name, problem, "Make it readable")


for name in MAKERS:
    add(f"{name} as a text", half_of_a_pair, name, ".txt")
    add(f"{name} as an image", half_of_a_pair, name, ".jpg")
    add(f"{name} as a table", table, name)
