"""Damage to the two tables as a whole, and to their rows. Guids are in `guids.py`."""

import re
import shutil

from soak.course import TEST, TRAIN, Damaged, Pair, to_jpeg
from soak.kinds.registry import add, kind

SAVE = "Save the file as UTF-8"
HEADER = "it must be 'guid,tag'"

# ------------------------------------------------------------------------------------------- another way to write it


def rewritten(damaged: Damaged, change) -> None:
    """Bytes that mean the same."""
    path = damaged.table()
    path.write_bytes(change(path.read_bytes()))


add("table with a mark", rewritten, lambda raw: b"\xef\xbb\xbf" + raw)
add("table with CRLF", rewritten, lambda raw: raw.replace(b"\n", b"\r\n"))
add("table with CR", rewritten, lambda raw: raw.replace(b"\n", b"\r"))
add("table with mixed line ends", rewritten, lambda raw: raw.replace(b"\n", b"\r\n", 3))
add("table without a last line end", rewritten, lambda raw: raw.rstrip(b"\n"))
add("table with spaces", rewritten, lambda raw: raw.replace(b",", b" , ").replace(b"\n", b"  \n"))
add("table with tabs", rewritten, lambda raw: raw.replace(b",", b"\t,").replace(b"\n", b"\t\n"))
add("table with a tail of blank lines", rewritten, lambda raw: raw + b"\n \n\t\n\n")
add("table with 9 MB of blank lines", rewritten, lambda raw: raw + b"\n" * 9_000_000)
add("table with 9 MB of spaces", rewritten, lambda raw: raw + b" " * 9_000_000)


@kind
def table_with_blank_lines_between(damaged: Damaged) -> None:
    path = damaged.table()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n"))
    for number, pair in enumerate(damaged.rows_of(path.name)):
        pair.place = f"{path.name} line {2 * number + 3}"


@kind
def rows_in_another_order(damaged: Damaged) -> None:
    path = damaged.table()
    mine = damaged.rows_of(path.name)
    order = [mine[number] for number in damaged.random.permutation(len(mine))]
    path.write_text("guid,tag\n" + "".join(f"{one.guid},{one.label or 'null'}\n" for one in order), newline="")
    for number, pair in enumerate(order):
        pair.place = f"{path.name} line {number + 2}"
    others = [pair for pair in damaged.pairs if pair not in mine]
    damaged.pairs[:] = order + others if path.name == TRAIN else others + order


@kind
def table_behind_a_link(damaged: Damaged) -> None:
    path = damaged.table()
    path.symlink_to(path.rename(damaged.root / f"real {path.name}").name)


@kind
def test_table_without_rows(damaged: Damaged) -> None:
    gone = damaged.rows_of(TEST)
    damaged.take(TEST, *(pair.guid for pair in gone))
    (damaged.root / TEST).write_text("guid,tag\n")
    damaged.pairs[:] = [pair for pair in damaged.pairs if pair not in gone]
    damaged.orphans |= {f"{pair.guid}{suffix}" for pair in gone for suffix in (".txt", ".jpg")}


# --------------------------------------------------------------------------------------------- no table that is read


def refused(damaged: Damaged, change, *patterns: str) -> None:
    """Bytes that cannot be read as a table."""
    path = damaged.table()
    path.write_bytes(change(path.read_bytes()))
    damaged.refuse(path.name, *patterns)


def as_text(change):
    return lambda raw: change(raw.decode("utf-8"))


COMMA = "Separate the columns with a comma"
add("table with semicolons", refused, lambda raw: raw.replace(b",", b";"), HEADER, COMMA)
add("table with tabs for commas", refused, lambda raw: raw.replace(b",", b"\t"), HEADER, COMMA)
add("table with bars", refused, lambda raw: raw.replace(b",", b"|"), HEADER)
add("table with full-width commas", refused, as_text(lambda text: text.replace(",", "，").encode()), HEADER)
add("table with quotes", refused, as_text(lambda text: re.sub(r"[\w]+", r'"\g<0>"', text).encode()), HEADER)
add("table with one column", refused, lambda raw: re.sub(b",.*", b"", raw), HEADER)
add("table without a header", refused, lambda raw: raw.partition(b"\n")[2], "add it as line 1")
add("header in capitals", refused, lambda raw: raw.replace(b"guid,tag", b"GUID,TAG"), HEADER)
add("header the other way round", refused, lambda raw: raw.replace(b"guid,tag", b"tag,guid"), HEADER)
add("header with a third column", refused, lambda raw: raw.replace(b"guid,tag", b"guid,tag,note"), HEADER)
add("table with two marks", refused, lambda raw: b"\xef\xbb\xbf" * 2 + raw, HEADER)
add("table in UTF-16", refused, as_text(lambda text: text.encode("utf-16")), "starts like UTF-16", SAVE)
add("table in UTF-16 without a mark", refused, as_text(lambda text: text.encode("utf-16-le")), "zero byte", SAVE)
add("table in UTF-16 big end first", refused, as_text(lambda text: text.encode("utf-16-be")), "zero byte", SAVE)
add("table in UTF-32", refused, as_text(lambda text: text.encode("utf-32")), SAVE)
add("table with a zero byte", refused, lambda raw: raw[:40] + b"\0" + raw[40:], "zero byte at offset 40", SAVE)
add("empty table", refused, lambda raw: b"", "the file is empty", "first line must be")
add("table of white space", refused, lambda raw: b" \n\t\n", "the file is empty", "first line must be")
add("table that is a workbook", refused, lambda raw: b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0\xb5U0#\xf4\xff\xff", SAVE)
add("header of 9 MB", refused, lambda raw: b"x" * 9_000_000 + b"\n" + raw, HEADER)
add("line of 9 MB", refused, lambda raw: raw + b"x" * 9_000_000 + b"\n", "not two columns", "one comma between")
add("guid of 9 MB", refused, lambda raw: raw + b"x" * 9_000_000 + b",null\n", "guid")
add("line of 9 MB of commas", refused, lambda raw: raw + b"," * 9_000_000 + b"\n", "not two columns")
add("label of 9 MB", refused, lambda raw: raw + b"zz," + b"x" * 9_000_000 + b"\n", "label", "'zz' has")
add("line of 10 MB", refused, lambda raw: raw + b"x" * 10_000_000 + b"\n", "more than the 10 MB that are read")


@kind
def table_that_is_a_picture(damaged: Damaged) -> None:
    from PIL import Image

    path = damaged.table()
    path.write_bytes(to_jpeg(Image.new("RGB", (9, 9))))
    damaged.refuse(path.name, SAVE)


@kind
def table_of_random_bytes(damaged: Damaged) -> None:
    path = damaged.table()
    path.write_bytes(b"\xff\0" + damaged.random.bytes(5000))
    damaged.refuse(path.name, SAVE)


@kind
def train_table_without_rows(damaged: Damaged) -> None:
    damaged.table(TRAIN).write_text("guid,tag\n")
    damaged.refuse(TRAIN, "no rows below the header", "Add one line")


@kind
def tables_exchanged(damaged: Damaged) -> None:
    damaged.take(TRAIN, TEST)
    train, test = damaged.root / TRAIN, damaged.root / TEST
    shutil.move(train, damaged.root / "draft")
    shutil.move(test, train)
    shutil.move(damaged.root / "draft", test)
    damaged.refuse(TRAIN, "no label", re.escape(f"move the row to {TEST}"))
    damaged.refuse(TEST, "a label in the test file", re.escape(f"move the row to {TRAIN}"))


@kind
def table_missing(damaged: Damaged) -> None:
    path = damaged.table()
    path.unlink()
    damaged.refuse(path.name, "the file is missing", "It must hold")


# --------------------------------------------------------------------------------------------------------- odd rows


def odd_row(damaged: Damaged, labelled: bool | None, row: str, *patterns: str) -> None:
    """A row that cannot be used in the place of a good one; `{}` in it is the guid."""
    pair = damaged.victim(labelled)
    path = damaged.write_row(pair, row.format(pair.guid))
    damaged.refuse(path.name, f"line {pair.place.split()[-1]}:", *patterns)


LABELS, TWO = "Labels are negative, neutral, positive", "two values with one comma between"
add("row without a label", odd_row, None, "{}", "not two columns", TWO)
add("row of three columns", odd_row, None, "{},positive,positive", "not two columns", TWO)
add("row with a full-width comma", odd_row, None, "{}，positive", "not two columns", TWO)
add("row that is a comment", odd_row, None, "# {} is still to do", "not two columns", TWO)
add("row with an empty label", odd_row, True, "{},", "unknown label", LABELS)
add("unknown label", odd_row, True, "{},happy", "unknown label", LABELS)
add("label in capitals", odd_row, True, "{},POSITIVE", "unknown label", LABELS)
add("label with a capital", odd_row, True, "{},Negative", "unknown label", "Did you mean 'negative'", LABELS)
add("label with a slip", odd_row, True, "{},postive", "unknown label", "Did you mean 'positive'", LABELS)
add("label with a full stop", odd_row, True, "{},neutral.", "unknown label", LABELS)
add("label in full-width letters", odd_row, True, "{},ｐｏｓｉｔｉｖｅ", "unknown label", LABELS)
add("label with an invisible letter", odd_row, True, "{},\u200bpositive", "unknown label", LABELS)
add("label that is a number", odd_row, True, "{},1", "unknown label", LABELS)
add("label of 100 KB", odd_row, True, "{}," + "x" * 100_000, "unknown label", LABELS)
add("no label in train", odd_row, True, "{},null", "no label", "move the row to")
add("label in the test table", odd_row, False, "{},neutral", "a label in the test file", "Write 'null'")
add("no label in the test table", odd_row, False, "{},", "a label in the test file", "Write 'null'")
add("test label in capitals", odd_row, False, "{},NULL", "a label in the test file", "Write 'null'")


def add_row(damaged: Damaged, name: str, row: str) -> str:
    """A row at the end of a table; where it stands."""
    path = damaged.table(name)
    path.write_bytes(path.read_bytes() + f"{row}\n".encode())
    return f"line {len(path.read_bytes().splitlines())}:"


@kind
def the_same_row_twice(damaged: Damaged) -> None:
    pair = damaged.victim()
    name = TRAIN if pair.label else TEST
    line = add_row(damaged, name, f"{pair.guid},{pair.label or 'null'}")
    damaged.refuse(name, "guid twice", f"{line} '{pair.guid}' is already in {re.escape(pair.place)}", "Keep one row")


@kind
def a_guid_with_two_labels(damaged: Damaged) -> None:
    pair = damaged.victim(True)
    other = next(label for label in ("positive", "negative") if label != pair.label)
    line = add_row(damaged, TRAIN, f"{pair.guid},{other}")
    damaged.refuse(TRAIN, "guid twice", f"{line} '{pair.guid}' is already in {re.escape(pair.place)}", "Keep one row")


@kind
def a_guid_in_both_tables(damaged: Damaged) -> None:
    pair = damaged.victim(True)
    damaged.take(TRAIN)
    line = add_row(damaged, TEST, f"{pair.guid},null")
    damaged.refuse(TEST, "guid twice", f"{line} '{pair.guid}' is already in {re.escape(pair.place)}", "Keep one row")


def ghost(guid: str, label: str | None, place: str) -> Pair:
    """A row whose files are not there."""
    gone = {"text_fault": "the file is missing", "image_fault": "the file is missing"}
    return Pair(guid, label, "", "", None, None, place, files=False, **gone)


@kind
def a_labelled_row_without_files(damaged: Damaged) -> None:
    line = add_row(damaged, TRAIN, "987654,positive")
    place = f"{TRAIN} {line.rstrip(':')}"
    damaged.pairs.insert(len(damaged.rows_of(TRAIN)), ghost("987654", "positive", place))


@kind
def a_test_row_without_files(damaged: Damaged) -> None:
    line = add_row(damaged, TEST, "987655,null")
    damaged.pairs.append(ghost("987655", None, f"{TEST} {line.rstrip(':')}"))


@kind
def five_thousand_rows_without_files(damaged: Damaged) -> None:
    path = damaged.table(TRAIN)
    first = len(path.read_bytes().splitlines()) + 1
    path.write_bytes(path.read_bytes() + "".join(f"g{number},neutral\n" for number in range(5000)).encode())
    at = len(damaged.rows_of(TRAIN))
    rows = [ghost(f"g{number}", "neutral", f"{TRAIN} line {first + number}") for number in range(5000)]
    damaged.pairs[at:at] = rows


@kind
def five_thousand_rows_with_one_fault(damaged: Damaged) -> None:
    path = damaged.table()
    path.write_bytes(path.read_bytes() + b"".join(b"h%d\n" % number for number in range(5000)))
    damaged.refuse(path.name, "not two columns", "and 4995 more", TWO)
