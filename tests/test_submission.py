"""Prediction files written and judged."""

from pathlib import Path

import pytest
from courses import N_TEST

from mmlab.config import LABELS
from mmlab.course import verify_predictions, write_predictions
from mmlab.errors import CourseError, DiskError

ANSWERS = [LABELS[number % 3] for number in range(N_TEST)]


@pytest.fixture
def answered(sound, tmp_path) -> Path:
    return write_predictions(tmp_path / "answers.txt", sound.test.guid, ANSWERS)


def test_predictions_are_written_as_the_course_wants_them(answered):
    assert answered.read_bytes().startswith(b"guid,tag\n045,negative\n046,neutral\n047,positive\n")
    assert answered.read_bytes().count(b"\n") == N_TEST + 1


@pytest.mark.parametrize(
    ("guids", "labels", "words"),
    [
        (["1", "2"], ["positive", "good"], ["line 3", "'2'", "'good'", "negative, neutral, positive"]),
        (["1", "2"], [0, 2], ["line 2", "0"]),
        (["1", "2"], ["positive"], ["2 guids", "1 labels"]),
        (["1", "1"], ["positive", "neutral"], ["more than once", "1"]),
        (["1,2"], ["positive"], ["line 2", "'1,2'", "comma"]),
    ],
)
def test_bad_predictions_are_not_written(tmp_path, guids, labels, words):
    path = tmp_path / "answers.txt"
    with pytest.raises(CourseError) as caught:
        write_predictions(path, guids, labels)
    assert all(word in str(caught.value) for word in ["answers.txt", *words])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot be written"):
        write_predictions(tmp_path / "file" / "answers.txt", ["1"], ["positive"])


def test_a_good_file_passes(answered, sound):
    found = verify_predictions(answered, sound)
    assert found.ok
    assert (found.problems, found.warnings) == ([], [])
    assert list(found.shares.columns) == ["label", "train_share", "file_share"]
    assert found.shares.file_share.tolist() == pytest.approx([1 / 3] * 3)


def replaced(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("guid,tag", "guid,label", ["Line 1", "guid,label", "guid,tag"]),
        ("guid,tag\n", "", ["Line 1", "045,negative"]),
        ("046,neutral", "999,neutral", ["line 3", "'999'", "not in test_without_label.txt"]),
        ("046,neutral", "999,neutral", ["1 of 12", "not answered", "046"]),
        ("046,neutral\n", "", ["1 of 12", "046"]),
        ("046,neutral", "045,neutral", ["line 3", "'045'", "line 2", "twice"]),
        ("045,negative\n046,neutral", "046,neutral\n045,negative", ["2 rows", "line 2", "'046'", "'045' is due"]),
        ("046,neutral", "046,Neutral", ["line 3", "'Neutral'", "Did you mean 'neutral'"]),
        ("046,neutral", "046,null", ["line 3", "'null'", "not legal"]),
        ("046,neutral", "046,", ["line 3", "''"]),
        ("046,neutral", "046", ["line 3", "Not two columns"]),
        ("046,neutral", "046, neutral", ["Spaces", "1 rows", "line 3: '046, neutral'"]),
        ("046,neutral", "046,neutral ", ["Spaces", "line 3: '046,neutral '"]),
        ("guid,tag", "guid, tag", ["Line 1", "'guid, tag'"]),
        ("046,neutral", "46,neutral", ["line 3", "'46'"]),  # guids are text: 46 is not 046
    ],
)
def test_a_bad_file_is_refused_with_its_row(answered, sound, old, new, words):
    found = verify_predictions(replaced(answered, old, new), sound)
    assert not found.ok
    listed = "\n".join(found.problems)
    assert all(word in listed for word in words), listed


@pytest.mark.parametrize(
    ("raw", "word"),
    [(b"", "empty"), (b" \n", "empty"), (b"guid,tag\n", "12 of 12"), (b"guid,tag\n\xff,positive\n", "Line 2")],
)
def test_a_file_without_answers_is_refused(tmp_path, sound, raw, word):
    path = tmp_path / "answers.txt"
    path.write_bytes(raw)
    (problem,) = verify_predictions(path, sound).problems
    assert word in problem


def test_a_missing_file_is_an_error(tmp_path, sound):
    with pytest.raises(CourseError, match="no such file"):
        verify_predictions(tmp_path / "none.txt", sound)


def test_a_folder_is_called_one(tmp_path, sound):
    with pytest.raises(CourseError, match="it is a folder"):
        verify_predictions(tmp_path, sound)


def test_a_message_stays_short_however_long_a_value_is(answered, sound):
    long = "x" * 100_000
    for raw in (
        f"guid,tag\n{long},positive\n",
        f"guid,tag\n045,{long}\n",
        f"guid,tag\n{long}\n",
        f"guid,tag\n 1,{long}\n",
    ):
        answered.write_text(raw)
        assert all(len(problem) < 500 for problem in verify_predictions(answered, sound).problems)


def test_one_class_only_is_a_problem(tmp_path, sound):
    path = write_predictions(tmp_path / "a.txt", sound.test.guid, ["positive"] * N_TEST)
    (problem,) = verify_predictions(path, sound).problems
    assert "All 12 answers are 'positive'" in problem


def test_shares_far_from_the_training_shares_are_a_warning(tmp_path, sound):
    path = write_predictions(tmp_path / "a.txt", sound.test.guid, ["positive"] * 11 + ["neutral"])
    found = verify_predictions(path, sound)
    assert found.ok
    assert "Never answered: negative" in found.warnings[0]
    assert "positive 92% (train 33%)" in found.warnings[1]


def test_the_same_answers_as_a_sibling_are_a_problem(answered, sound, tmp_path):
    same = tmp_path / "text_only.txt"
    same.write_bytes(answered.read_bytes().replace(b"\n", b"\r\n"))
    other = write_predictions(tmp_path / "image_only.txt", sound.test.guid, ANSWERS[::-1])
    (problem,) = verify_predictions(answered, sound, [same, other, answered]).problems
    assert "text_only.txt" in problem
    assert verify_predictions(answered, sound, [other, answered]).ok
