"""Damage to the folder as a whole: its parts, its name. It comes after all other damage."""

import os
import shutil

from soak.course import Damaged
from soak.kinds.registry import add, kind

LAYOUT = "It must hold"


@kind
def data_missing(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "elsewhere")
    damaged.refuse("data", "the folder is missing", LAYOUT)


@kind
def data_in_capitals(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "DATA")
    damaged.refuse("data", "the folder is missing", LAYOUT)


@kind
def data_that_is_a_file(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "elsewhere")
    damaged.data.write_bytes(b"no folder")
    damaged.refuse("data", "the folder is missing", LAYOUT)


@kind
def data_that_is_a_pipe(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "elsewhere")
    os.mkfifo(damaged.data)
    damaged.refuse("data", "the folder is missing", LAYOUT)


@kind
def data_that_links_to_itself(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "elsewhere")
    damaged.data.symlink_to("data")
    damaged.refuse("data", "the folder is missing", LAYOUT)


@kind
def empty_data(damaged: Damaged) -> None:
    damaged.take("data")
    shutil.rmtree(damaged.data)
    damaged.data.mkdir()
    damaged.orphans.clear()
    for pair in damaged.pairs:
        pair.text_fault = pair.image_fault = "the file is missing"


@kind
def data_behind_a_link(damaged: Damaged) -> None:
    damaged.take("data")
    damaged.data.rename(damaged.root / "elsewhere")
    damaged.data.symlink_to("elsewhere")


@kind
def folder_inside_a_folder(damaged: Damaged) -> None:
    damaged.take("data", "root", "train.txt", "test_without_label.txt")
    inner = damaged.root / "course"
    inner.mkdir()
    for path in list(damaged.root.iterdir()):
        if path != inner:
            path.rename(inner / path.name)
    damaged.refuse("train.txt", "the file is missing", "Did you mean .*course", LAYOUT)


@kind
def folder_that_is_a_file(damaged: Damaged) -> None:
    damaged.take("data", "root")
    shutil.rmtree(damaged.root)
    damaged.root.write_bytes(b"PK\x03\x04")
    damaged.refuse(damaged.root.name, "a file, not a course folder", "Unpack it")


@kind
def folder_missing(damaged: Damaged) -> None:
    damaged.take("data", "root")
    shutil.rmtree(damaged.root)
    damaged.refuse(damaged.root.name, "there is no such folder", "Give the path")


@kind
def empty_folder(damaged: Damaged) -> None:
    damaged.take("data", "root")
    shutil.rmtree(damaged.root)
    damaged.root.mkdir()
    damaged.refuse("train.txt", "the file is missing", LAYOUT)


def moved(damaged: Damaged, name: str | bytes) -> None:
    """The whole folder under another name."""
    damaged.take("root")
    other = damaged.root.with_name(os.fsdecode(name))
    damaged.root.rename(other)
    damaged.root = other


for name in (
    "two words",
    "c[b]",
    "中文课程",
    "emoji 😀",
    "$HOME",
    "a'b\"c",
    "-rf",
    "{x}",
    "\x1b[31m",
    "x" * 200,
    "train.txt",
):
    add(f"folder called {ascii(name)[1:20]}", moved, name)
add("folder called in GBK", moved, "课程".encode("gbk"))


@kind
def folder_behind_a_link(damaged: Damaged) -> None:
    damaged.take("root")
    other = damaged.root.with_name("linked")
    other.symlink_to(damaged.root.name)
    damaged.root = other
