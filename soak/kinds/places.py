"""What else is in the folder, and files of pairs under other names."""

import os
import shutil

from soak.course import Damaged, encode_name
from soak.kinds.registry import add, kind


def stray(damaged: Damaged, name: str | bytes, raw: bytes = b"stray") -> None:
    """A file in data/ that no row names: it is listed, however it is called."""
    with open(os.path.join(os.fsencode(damaged.data), os.fsencode(name)), "wb") as file:
        file.write(raw)
    damaged.orphans.add(encode_name(name))


for name in (
    "Thumbs.db", "desktop.ini", "notes.md", "Icon\r", "two\nlines.txt", "[b] [red]x.txt", "\x1b[31mred.jpg",
    "emoji 😀.jpg", "\u202egpj.exe", "<b>bold.txt", "$x$.txt", "x" * 255, "README", "=cmd.csv",
    "a\u0301.txt", "'\".txt",
):  # fmt: skip
    add(f"stray file {ascii(name)[1:24]}", stray, name)
add("stray file in GBK", stray, "新建文本文档.txt".encode("gbk"))
add("stray file in Latin-1", stray, "caf\u00e9.jpg".encode("latin-1"))
add("stray file in CP437", stray, bytes(range(128, 160)))


@kind
def hidden_strays(damaged: Damaged) -> None:
    for name in (".DS_Store", "._12.jpg", ".gitkeep", ".~lock.12.txt#"):
        (damaged.data / name).write_bytes(b"\0\x05\x16\x07")


@kind
def stray_files_above(damaged: Damaged) -> None:
    for name in ("notes.txt", "train.txt.bak", ".DS_Store", "Thumbs.db", "train (1).txt", "data.zip"):
        (damaged.root / name).write_bytes(b"stray")
    (damaged.root / "__MACOSX").mkdir(exist_ok=True)
    (damaged.root / "__MACOSX" / "._train.txt").write_bytes(b"\0\x05\x16\x07")


@kind
def stray_folders(damaged: Damaged) -> None:
    for name in ("__MACOSX", "old"):
        (damaged.data / name).mkdir()
        (damaged.data / name / "._1364.jpg").write_bytes(b"\0\x05\x16\x07")
        damaged.orphans.add(name)


@kind
def stray_pipe(damaged: Damaged) -> None:
    os.mkfifo(damaged.data / "pipe")
    (damaged.data / "zero").symlink_to("/dev/zero")
    damaged.orphans |= {"pipe", "zero"}


@kind
def stray_pair(damaged: Damaged) -> None:
    pair = damaged.pairs[0]
    for suffix in (".txt", ".jpg"):
        shutil.copy(damaged.path(pair, ".txt"), damaged.data / f"no row{suffix}", follow_symlinks=False)
        damaged.orphans.add(f"no row{suffix}")


@kind
def five_thousand_strays(damaged: Damaged) -> None:
    for number in range(5000):
        (damaged.data / f"stray {number}.JPG").touch()
        damaged.orphans.add(f"stray {number}.JPG")


# ------------------------------------------------------------------------------------------------- names of one file


def misnamed(damaged: Damaged, suffix: str, other: str, problem: str) -> None:
    """A file of a pair under another name."""
    pair = damaged.victim()
    damaged.path(pair, suffix).rename(damaged.data / f"{pair.guid}{other}")
    damaged.orphans.add(f"{pair.guid}{other}")
    problem = problem.replace("{}", pair.guid)
    if suffix == ".txt":
        pair.text_fault = problem
    else:
        pair.image_fault = problem


for suffix, other in {".JPG": ".jpg", ".jpeg": ".jpg", ".Jpg": ".jpg", ".png": ".jpg", ".PNG": ".jpg", ".webp": ".jpg",
                      ".TXT": ".txt", ".text": ".txt"}.items():  # fmt: skip
    add(f"name in {suffix}", misnamed, other, suffix, "the file is missing, but {}" + suffix + " is there")
add("name with an ending twice", misnamed, ".jpg", ".jpg.jpg", "the file is missing$")
add("name without an ending", misnamed, ".txt", "", "the file is missing$")
add("name with a space before its ending", misnamed, ".jpg", " .jpg", "the file is missing$")
add("name with a number of a copy", misnamed, ".jpg", " (1).jpg", "the file is missing$")


@kind
def three_images_in_capitals(damaged: Damaged) -> None:
    victims = damaged.pairs[:3]
    damaged.take(*(pair.guid for pair in victims))
    for pair in victims:
        damaged.path(pair, ".jpg").rename(damaged.data / f"{pair.guid}.JPG")
        damaged.orphans.add(f"{pair.guid}.JPG")
        pair.image_fault = f"the file is missing, but {pair.guid}.JPG is there"


@kind
def three_thousand_pairs_in_capitals(damaged: Damaged) -> None:
    from soak.kinds.tables import ghost

    path = damaged.table("train.txt")
    first = len(path.read_bytes().splitlines()) + 1
    at = len(damaged.rows_of("train.txt"))
    rows = [ghost(f"c{number}", "positive", f"train.txt line {first + number}") for number in range(3000)]
    path.write_bytes(path.read_bytes() + "".join(f"{row.guid},positive\n" for row in rows).encode())
    for row in rows:
        (damaged.data / f"{row.guid}.txt").write_text("a few words")
        (damaged.data / f"{row.guid}.JPG").touch()
        row.text_fault, row.image_fault = "", f"the file is missing, but {row.guid}.JPG is there"
        damaged.orphans.add(f"{row.guid}.JPG")
    damaged.pairs[at:at] = rows


@kind
def image_missing(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.path(pair, ".jpg").unlink()
    pair.image_fault = "the file is missing$"


@kind
def image_that_links_to_another(damaged: Damaged) -> None:
    one, other = damaged.victim(), damaged.victim()
    damaged.path(one, ".jpg").unlink()
    damaged.path(one, ".jpg").symlink_to(f"{other.guid}.jpg")
    one.picture, one.size = other.picture, other.size
    damaged.twins.append({one.guid, other.guid})
