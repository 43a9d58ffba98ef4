"""Properties of reading: what is written comes back to the letter, and every row is a pair or is listed."""

import csv
import io
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import (
    DrawnCourse,
    assert_caught,
    courses,
    encode,
    filled_texts,
    guid_lists,
    share_of_examples,
    texts,
)

from mmlab.course import decode_text, normalise_for_twins, read_course
from mmlab.course import reading as reading_module
from mmlab.errors import CourseError
from mmlab.explain.parts import split_text
from mmlab.pairs import read_pairs, write_answers
from mmlab.storage import FORMULA, format_csv, printable


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """What images show is remembered in a cache of this file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


# ---- courses


def reads_what_was_written(drawn: DrawnCourse) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = drawn.write(Path(place) / "course")
        try:
            course = read_course(root)
        except CourseError as error:
            empty = [one.guid for one in drawn.test if len(one.bad_files) == 2]
            assert empty and all(repr(guid) in str(error) for guid in empty), str(error)
            return
    kept = [one for one in drawn.labelled if not one.bad_files] + drawn.test
    assert course.pairs["guid"].tolist() == [one.guid for one in kept]
    assert course.pairs["label"].tolist() == [one.label for one in kept]
    sound = [one for one in kept if f"data/{one.guid}.txt" not in one.bad_files]
    rows = course.pairs[course.pairs["has_text"]]
    assert rows["text"].tolist() == [one.text for one in sound]
    named = ["gb18030" if one.encoding == "gb18030" and not one.text.isascii() else "utf-8" for one in sound]
    assert rows["encoding"].tolist() == named
    assert course.pairs["has_image"].tolist() == [f"data/{one.guid}.jpg" not in one.bad_files for one in kept]
    listed = sorted((issue.guid, issue.file) for issue in course.health.issues)
    assert listed == sorted((one.guid, file) for one in drawn.pairs for file in one.bad_files)
    assert not set(course.dev["twin"]) & set(course.train["twin"])


@share_of_examples(0.5)
@given(courses())
def test_a_course_comes_back_to_the_letter_and_each_row_is_a_pair_or_is_listed(drawn):
    reads_what_was_written(drawn)


def test_twin_a_reader_that_replaces_what_it_cannot_read_is_caught(monkeypatch):
    monkeypatch.setattr(reading_module, "decode_text", lambda raw, path: (raw.decode("utf-8", "replace"), "utf-8"))
    assert_caught(reads_what_was_written, courses(), tries=30)


def test_twin_a_reader_that_sorts_the_rows_is_caught(monkeypatch):
    read = reading_module.read_rows
    monkeypatch.setattr(reading_module, "read_rows", lambda *args: sorted(read(*args), key=lambda row: row.guid))
    assert_caught(reads_what_was_written, courses(), tries=30)


# ---- bytes and texts


@given(filled_texts(), st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]))
def test_a_text_in_each_charset_comes_back(text, encoding):
    assume((raw := encode(text, encoding)) is not None)
    assert decode_text(raw, "x.txt")[0] == text


def loses_no_byte(raw: bytes, decode=decode_text) -> None:
    try:
        text, encoding = decode(raw, "x.txt")
    except CourseError as error:
        assert "x.txt" in str(error)
        return
    assert text.encode(encoding) == raw.removeprefix(b"\xef\xbb\xbf" if encoding == "utf-8" else b"")


@given(st.one_of(st.binary(max_size=60), texts().map(str.encode), texts().map(lambda text: text.encode("utf-16"))))
def test_any_bytes_are_read_without_a_loss_or_refused(raw):
    loses_no_byte(raw)


def test_twin_decoding_that_leaves_bytes_out_is_caught():
    broken = partial(loses_no_byte, decode=lambda raw, path: (raw.decode("utf-8", "ignore"), "utf-8"))
    assert_caught(broken, st.binary(max_size=60))


RETWEETS = ("RT @anna: {}", "{} http://t.co/aB3", "{} ??", "!{}", "  {}\n", "{} https…")


def keeps_its_form(text: str, normalise=normalise_for_twins) -> None:
    words = normalise(text)
    assert normalise(words) == words
    assert words == words.strip().lower()


@given(texts())
@example("0_HTTP:0")
@example("今天很开心http://t.co/aB3")  # no space in front of the link, and none behind it
@example("https://t.co/aB3今天很开心")
def test_the_form_for_twins_is_its_own_form(text):
    keeps_its_form(text)


def test_twin_a_form_that_changes_again_is_caught():
    assert_caught(partial(keeps_its_form, normalise=lambda text: text[1:].strip().lower()), texts())


def test_a_link_does_not_take_the_words_behind_it_along():
    """In East Asian texts no space divides them."""
    assert normalise_for_twins("看 http://t.co/a今天很开心") != normalise_for_twins("看 http://t.co/b我讨厌这个")


@given(texts(), st.sampled_from(RETWEETS))
@example("今天很开心", "{}http://t.co/aB3")
def test_what_a_retweet_changes_makes_no_difference(text, retweet):
    assume(not text[:1].isspace() and "&" not in text[-12:])  # a link may complete an entity such as &amp
    assert normalise_for_twins(retweet.format(text)) == normalise_for_twins(text)


@given(st.text(st.characters(), max_size=40))  # also halves of letters, as in names of files that are not UTF-8
def test_a_name_can_be_printed_and_encoded_whatever_it_holds(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@dataclass
class Reader:
    """An encoder that reads the first letters of a text."""

    letters: int

    def tokenise(self, texts: list[str]) -> list[list[int]]:
        return [[*map(ord, "".join(text.split())[: self.letters])] for text in texts]


@given(texts().map(str.strip).filter(bool), st.integers(1, 200))
def test_the_words_of_a_text_are_the_text_again(text, letters):
    words = split_text(text, Reader(letters))
    joined = "".join(word for part in words.words for word in part)
    assert text.startswith(joined)
    assert Reader(letters).tokenise([joined]) == Reader(letters).tokenise([text])
    assert words.show(np.ones(len(words.words), bool), 0) == joined.strip()
    assert len(words.names) == len(words.words) <= 30


# ---- tables of pairs


@dataclass(frozen=True)
class PairTable:
    """A table as a spreadsheet may save it; an empty cell is an absent side."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    quoting: int
    line_end: str
    marked: bool

    def write(self, path: Path) -> Path:
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=self.quoting, lineterminator=self.line_end)
        writer.writerows([self.columns, *self.rows])
        path.write_bytes(text.getvalue().encode("utf-8-sig" if self.marked else "utf-8"))
        return path


@st.composite
def pair_tables(draw) -> PairTable:
    columns = draw(st.sampled_from([("text",), ("image",), ("text", "image"), ("guid", "image", "text", "note")]))
    cell = st.one_of(texts(), st.sampled_from(["a, b", 'said "no"', "two\nlines", "", "'", "=1+1"]))
    rows = draw(st.lists(st.tuples(*[cell] * len(columns)).filter(any), min_size=1, max_size=5))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    line_end = draw(st.sampled_from(["\r\n", "\n"]))
    if quoting == csv.QUOTE_MINIMAL and "\r" in "".join(map("".join, rows)):
        line_end = "\r\n"  # before 3.13 csv quotes a carriage return only where a line ends with one
    return PairTable(columns, rows, quoting, line_end, draw(st.booleans()))


@given(pair_tables())
def test_a_table_of_pairs_comes_back_to_the_letter(table):
    with tempfile.TemporaryDirectory() as place:
        frame = read_pairs(table.write(Path(place) / "pairs.csv"))
        for name in {*table.columns} - {"note"}:
            cells = [row[table.columns.index(name)].strip() for row in table.rows]
            folder = f"{place}/" if name == "image" else ""
            expected = [str(Path(folder) / cell) if name == "image" and cell else cell or None for cell in cells]
            assert frame[name].tolist() == expected
    assert frame.index.is_monotonic_increasing and frame.index[0] == 2


def comes_back(rows: list[list[str]], write=format_csv) -> None:
    text = write(rows)
    cells = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert cells == [[f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row] for row in rows]


CELLS = st.lists(st.lists(texts(12), min_size=1, max_size=3).filter(any), max_size=4)


@given(CELLS)
@example([["a\rb", "c"]])
def test_a_table_for_spreadsheets_comes_back_with_its_formulas_marked(rows):
    comes_back(rows)


def test_twin_a_table_without_quotes_is_caught():
    assert_caught(partial(comes_back, write=lambda rows: "".join(",".join(row) + "\n" for row in rows)), CELLS)


@given(guid_lists(1, 6), st.data())
def test_answers_are_written_as_they_are(guids, data):
    import pandas as pd

    said = data.draw(st.lists(st.one_of(texts(12), st.none()), min_size=len(guids), max_size=len(guids)))
    sure = data.draw(st.lists(st.one_of(st.floats(0, 1), st.none()), min_size=len(guids), max_size=len(guids)))
    table = pd.DataFrame({"guid": guids, "text": pd.Series(said, dtype=object), "p": pd.Series(sure, dtype=float)})
    with tempfile.TemporaryDirectory() as place:
        written = write_answers(table, Path(place) / "answers.csv").read_bytes().decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(written, newline="")))[1:]
    assert [row[0].removeprefix("'") for row in cells] == [guid.removeprefix("'") for guid in guids]
    assert [row[1].removeprefix("'") for row in cells] == [(text or "").removeprefix("'") for text in said]
    assert all((row[2] == "") if one is None else abs(float(row[2]) - one) < 1e-4 for row, one in zip(cells, sure))
