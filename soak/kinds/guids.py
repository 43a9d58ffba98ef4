"""Odd guids: those that name files, and those that cannot."""

import re

from soak.course import Damaged
from soak.kinds.registry import add, kind

# ------------------------------------------------------------------------------------------------ guids that are read


def renamed(damaged: Damaged, guid: str) -> None:
    damaged.rename(damaged.victim(), guid)


for guid in (
    "007", "-5", "+5", "1e5", "1.0", "0x1F", "NaN", "null", "None", "True", "guid", "中文", "😀", "é", "e\u0301", "א",
    "two words", "[b]", "photo[copy]", "c[red]", "$x^2$", "{0}", "%s", "=cmd()", "@sum", "'", "&amp;", "#1", "~",
    "CON", "a.", "a.txt", "a.jpg", "input{x}", "_", "(1)", "12;13", "--help", "^", "!", "`ls`",
):  # fmt: skip
    add(f"guid {guid.encode('unicode_escape').decode()}", renamed, guid)
add("guid of 200 letters", renamed, "x" * 200)
add("guid of 251 letters", renamed, "y" * 251)
add("guid of 83 Chinese letters", renamed, "长" * 83)


@kind
def guids_that_differ_in_case(damaged: Damaged) -> None:
    label = bool(damaged.random.integers(2))
    one, other = damaged.victim(label), damaged.victim(label)
    damaged.rename(one, "Abc")
    damaged.taken -= {"train.txt", "test_without_label.txt"}
    damaged.rename(other, "aBC")


# ------------------------------------------------------------------------------------------ guids that name no files


def refused(damaged: Damaged, guid: str, *patterns: str) -> None:
    """A guid that cannot name files; `{}` in it is the good one."""
    pair = damaged.victim()
    path = damaged.write_row(pair, f"{guid.replace('{}', pair.guid)},{pair.label or 'null'}")
    damaged.refuse(path.name, f"line {pair.place.split()[-1]}:", *patterns)


NAME = ("guid is no file name", "A guid names files in data/")
for name, guid in {
    "guid with a path": "../{}", "guid with a slash": "a/{}", "guid with a backslash": "a\\{}",
    "absolute guid": "/etc/passwd", "guid with a drive": "C:{}", "guid of two dots": "..", "guid of a dot": ".",
    "hidden guid": ".{}", "guid with a star": "*", "guid with a question mark": "{}?", "guid in quotes": '"{}"',
    "guid in angle brackets": "<b>{}</b>", "guid with a pipe": "{}|rm", "guid with a bell": "{}\a9",
    "guid with an escape": "\x1b[31m{}", "guid that turns the direction": "\u202e{}", "guid with a joiner": "a\u200d{}",
    "guid with a hard space": "a\u00a0{}", "guid with DEL": "{}\x7f9", "guid with a line separator": "a\u2028{}",
    "guid with a tab inside": "a\t{}", "guid for private use": "\ue000{}",
}.items():  # fmt: skip
    add(name, refused, guid, *NAME)
LONG = ("guid is too long", "at most 251 bytes")
add("guid of 252 letters", refused, "x" * 252, *LONG)
add("guid of 84 Chinese letters", refused, "长" * 84, *LONG)
add("guid of 5000 letters", refused, "x" * 5000, *LONG)
add("guid that is empty", refused, "", "no guid", re.escape("Give each row the name of its files in data/"))
add("guid with a comma", refused, "1,{}", "not two columns")


@kind
def guid_with_half_a_character(damaged: Damaged) -> None:
    pair = damaged.victim()
    path = damaged.write_row(pair, f"\ud83d{pair.guid},{pair.label or 'null'}")
    damaged.refuse(path.name, "not UTF-8", "Save the file as UTF-8")


@kind
def guid_in_latin_1(damaged: Damaged) -> None:
    pair = damaged.victim()
    path = damaged.write_row(pair, f"cafe,{pair.label or 'null'}")
    path.write_bytes(path.read_bytes().replace(b"\ncafe,", b"\ncaf\xe9,"))
    damaged.refuse(path.name, "not UTF-8", "Save the file as UTF-8")


@kind
def guid_in_gb18030(damaged: Damaged) -> None:
    pair = damaged.victim()
    damaged.rename(pair, "北京")
    path = damaged.root / ("train.txt" if pair.label else "test_without_label.txt")
    path.write_bytes(path.read_bytes().decode().encode("gb18030"))
