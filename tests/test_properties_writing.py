"""Properties of writing: what is written reads back, a failing writer leaves what was there, a change is noticed."""

import math
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import LABEL, LETTERS, assert_caught, guid_lists, prediction_frames, share_of_examples

from mmlab.config import LABELS
from mmlab.course import judge_predictions, write_predictions
from mmlab.errors import CourseError, MmlabError, RunError
from mmlab.evaluation import score_frame
from mmlab.grading import grade_submissions
from mmlab.grading.key import Key
from mmlab.runs import keep, load_run, read_record
from mmlab.runs.folder import METRICS
from mmlab.runs.records import write_record
from mmlab.storage import read_file, write_atomic

# ---- files

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=80).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)
CONTENT = st.one_of(st.binary(max_size=300), st.text(LETTERS, max_size=100))


def to_bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


@given(NAMES, CONTENT, CONTENT)
def test_a_file_holds_what_was_written_last(name, first, second):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "new" / name
        for content in (first, second):
            assert write_atomic(path, content) == path
            assert read_file(path, 2000) == to_bytes(content)
            assert [one.name for one in path.parent.iterdir()] == [name]


CALLS = ("fsync", "chmod", "replace")  # the steps of a writer that may fail, in their order


def leaves_the_old_file(drawn: tuple[str, int, bytes], write: Callable = write_atomic) -> None:
    step, number, content = drawn
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        path = Path(place) / "old.txt"
        path.write_bytes(b"what was there")

        def fail(*_args, **_options):
            raise OSError(number, os.strerror(number))

        patch.setattr(os, step, fail)
        with suppress(OSError, MmlabError):
            write(path, content)
            raise AssertionError("The writer did not fail.")
        assert path.read_bytes() == b"what was there"
        assert os.listdir(place) == ["old.txt"]


FAILURES = st.tuples(st.sampled_from(CALLS), st.sampled_from([5, 13, 28, 122]), st.binary(max_size=50))


@given(FAILURES)
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(drawn):
    leaves_the_old_file(drawn)


def test_twin_a_writer_that_writes_in_place_is_caught():
    def broken(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        os.fsync(0)

    assert_caught(partial(leaves_the_old_file, write=broken), FAILURES)


@given(CONTENT)
def test_a_pipe_is_not_replaced_by_a_file(content):
    with tempfile.TemporaryDirectory() as place:
        os.mkfifo(path := Path(place) / "pipe")  # as /dev/null would be, where root writes to it
        with pytest.raises((OSError, MmlabError), match="not a regular file"):
            write_atomic(path, content)
        assert path.is_fifo() and os.listdir(place) == ["pipe"]


@given(st.binary(max_size=30), st.integers(0, 40))
def test_more_bytes_than_are_read_are_refused(content, largest):
    with tempfile.TemporaryDirectory() as place:
        (path := Path(place) / "file").write_bytes(content)
        if len(content) <= largest:
            assert read_file(path, largest) == content
        else:
            with pytest.raises(OSError, match="more than"):
                read_file(path, largest)


# ---- records

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
NAMED = st.one_of(
    LETTERS, st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)  # names of files as Python reads them
VALUES = st.recursive(
    st.one_of(PLAIN, st.text(NAMED, max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
@example({"folder": "from elsewhere \udcd6 \\\udcd6"})  # a name of a file that is not UTF-8: it could not be written
def test_a_record_reads_back_as_it_was(record):
    with tempfile.TemporaryDirectory() as results:
        write_record(results, "04_fusion", record)
        assert read_record(results, "04_fusion") == record


ODD = st.sampled_from([math.nan, math.inf, {1, 2}, object(), b"bytes", np.zeros(2)])


@given(st.lists(VALUES, max_size=2), ODD)
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(others, odd):
    with tempfile.TemporaryDirectory() as results:
        with pytest.raises(RunError, match="record of 04_fusion"):
            write_record(results, "04_fusion", {"values": [*others, odd]})
        assert not list(Path(results).rglob("*.json"))


@given(st.integers(-(2**31), 2**31), st.floats(-1e6, 1e6), st.booleans())
def test_numbers_of_numpy_and_paths_become_plain(whole, real, true):
    record = {"whole": np.int64(whole), "real": np.float64(real), "true": np.bool_(true), "path": PurePath("a", "b")}
    with tempfile.TemporaryDirectory() as results:
        write_record(results, "one", record)
        assert read_record(results, "one") == {"whole": whole, "real": real, "true": true, "path": "a/b"}


# ---- run folders


class NoCourse:
    """What the provenance of a run asks of a course."""

    fingerprint = split_hash = "0" * 64
    labels, test = (), ()


def keep_run(frame: pd.DataFrame, results: Path):
    return keep.keep_predictions("majority", frame.copy, NoCourse, results, "a test")


@pytest.fixture(scope="module", autouse=True)
def same_code():
    """What code made a run is not looked up again for each example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keep, "find_commit", lambda: None)
        patch.setattr(keep, "code_digest", lambda *_: "code")
        yield


@share_of_examples(0.4)
@given(prediction_frames("majority"))
def test_a_run_reads_back_as_it_was_predicted(frame):
    with tempfile.TemporaryDirectory() as results:
        run = keep_run(frame, Path(results))
        pd.testing.assert_frame_equal(load_run(run.folder).predictions, frame, check_dtype=False, rtol=1e-8)
        assert run.scores["majority"] == score_frame(frame, "majority")
        assert keep_run(frame.iloc[:0], Path(results)).folder == run.folder, "a complete run is not made again"


@share_of_examples(0.4)
@given(prediction_frames("majority"), st.data())
def test_a_run_with_a_changed_byte_is_noticed_or_scores_the_same(frame, data):
    with tempfile.TemporaryDirectory() as results:
        run = keep_run(frame, Path(results))
        path = data.draw(st.sampled_from(sorted(run.folder.iterdir())))
        raw = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        try:
            scores = load_run(run.folder).scores
        except MmlabError as error:
            assert str(run.folder) in str(error)
        else:
            assert path.name == METRICS
            assert all(one == score_frame(frame, "majority") for one in scores.values())


# ---- prediction files


@st.composite
def answered(draw, least: int = 2) -> tuple[list[str], list[str]]:
    """Guids in their order, and an answer to each."""
    guids = draw(guid_lists(least, 14))
    labels = draw(st.lists(LABEL, min_size=len(guids), max_size=len(guids)))
    assume(len(set(labels)) > 1)  # one label for ten pairs and more is a problem of its own
    return guids, labels


def write(guids: list[str], labels: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        return write_predictions(Path(place) / "test_result.txt", guids, labels).read_bytes()


@given(answered())
def test_a_written_prediction_file_is_right(drawn):
    guids, labels = drawn
    judged = judge_predictions(write(guids, labels), guids)
    assert judged.ok and judged.answers == list(zip(guids, labels, strict=True))


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4), st.data())
@example([" a"], None)  # it was written, and then found wrong
def test_guids_that_can_be_written_can_be_verified(guids, data):
    labels = [LABELS[number % 3] for number in range(len(guids))]
    try:
        raw = write(guids, labels)
    except CourseError as error:
        assert "test_result.txt" in str(error)
    else:
        assert judge_predictions(raw, guids).ok


Change = Callable[[list[list[str]], int, int], None]


def exchange(rows: list[list[str]], one: int, other: int) -> None:
    rows[one], rows[other] = rows[other], rows[one]


def rename(rows: list[list[str]], one: int, other: int) -> None:
    rows[one][0] += "x"


def repeat(rows: list[list[str]], one: int, other: int) -> None:
    rows.insert(other, list(rows[one]))


def drop(rows: list[list[str]], one: int, other: int) -> None:
    del rows[one]


def spoil(rows: list[list[str]], one: int, other: int) -> None:
    rows[one][1] = rows[one][1].title()


def pad(rows: list[list[str]], one: int, other: int) -> None:
    rows[one][0] += " "


CHANGES = st.tuples(
    answered(3), st.sampled_from([exchange, rename, repeat, drop, spoil, pad]), st.integers(0, 99), st.integers(1, 99)
)


def notices_the_change(drawn: tuple, judge: Callable = judge_predictions) -> None:
    (guids, labels), change, one, step = drawn
    one %= len(guids)
    other = (one + 1 + step % (len(guids) - 1)) % len(guids)
    rows = [[guid, label] for guid, label in zip(guids, labels, strict=True)]
    change(rows, one, other)
    assume(all(row[0] not in guids for row in rows) if change is rename and rows[one][0] in guids else True)
    raw = "guid,tag\n" + "".join(f"{guid},{label}\n" for guid, label in rows)
    judged = judge(raw.encode(), guids)
    assert not judged.ok
    assert all(len(problem) < 1500 for problem in judged.problems)


@given(CHANGES)
def test_each_single_change_of_a_prediction_file_is_noticed(drawn):
    notices_the_change(drawn)


def test_twin_a_judge_that_looks_at_the_set_of_guids_alone_is_caught():
    def broken(raw: bytes, guids: list[str]):
        return judge_predictions(raw, guids, partly=True)

    assert_caught(partial(notices_the_change, judge=broken), CHANGES)


@given(st.binary(max_size=80), guid_lists(1, 4))
def test_any_bytes_are_judged_and_none_raise(raw, guids):
    judge_predictions(raw, guids)
    judge_predictions(b"guid,tag\n" + raw, guids)


def counts_right_answers(drawn: tuple, align: Callable = Key.align) -> None:
    """In any order of the rows, an answer counts for its own guid."""
    (guids, labels), order = drawn
    key = Key(guids, np.array([LABELS.index(label) for label in labels]), np.arange(len(guids)), None)
    answers = list(zip(guids, labels, strict=True))
    assert (align(key, [answers[place % len(answers)] for place in order]) == key.labels).all()


ORDERED = answered().flatmap(lambda drawn: st.tuples(st.just(drawn), st.permutations(range(len(drawn[0])))))


@given(ORDERED)
def test_answers_are_graded_by_guid(drawn):
    counts_right_answers(drawn)


def test_twin_answers_graded_by_row_are_caught():
    def broken(key, answers):
        return np.array([LABELS.index(label) for _, label in answers])

    assert_caught(partial(counts_right_answers, align=broken), ORDERED)


@share_of_examples(0.2)
@given(ORDERED, st.integers(0, 99))
def test_a_perfect_file_is_graded_1_in_any_order_and_one_mistake_counts_once(drawn, place):
    (guids, labels), order = drawn
    place %= len(guids)
    wrong = [*labels[:place], LABELS[LABELS.index(labels[place]) - 1], *labels[place + 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        handed, key = Path(folder) / "handed", Path(folder) / "key.txt"
        handed.mkdir()
        key.write_bytes(write(guids, labels))
        (handed / "anna.txt").write_bytes(write(guids, labels))
        (handed / "ben.txt").write_bytes(write([guids[one] for one in order], [labels[one] for one in order]))
        if len(set(wrong)) > 1:
            (handed / "carl.txt").write_bytes(write(guids, wrong))
        rows = {row.name: row.standing.values["accuracy"].value for row in grade_submissions(handed, key).students}
    assert rows["anna"] == rows["ben"] == 1
    assert rows.get("carl", 1 - 1 / len(guids)) == pytest.approx(1 - 1 / len(guids))
