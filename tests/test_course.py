"""A course folder read and judged: its tables, its files, its digests."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from courses import (
    N_TEST,
    N_TRAIN,
    change_line,
    guid_of,
    refusal,
    sentence,
    truncated,
    write_tables,
)

from mmlab.course import random_split_leak, read_course

# ------------------------------------------------------------------------------------------------------- a sound folder


def test_a_sound_folder_is_read_in_order(sound):
    assert sound.pairs.guid.tolist() == [guid_of(number) for number in range(N_TRAIN + N_TEST)]
    assert sound.labelled.guid.tolist() == [guid_of(number) for number in range(N_TRAIN)]
    assert sound.test.guid.tolist() == [guid_of(number) for number in range(N_TRAIN, N_TRAIN + N_TEST)]
    assert sound.labels.dtype == np.int8
    assert sound.labels.tolist() == [number % 3 for number in range(N_TRAIN)]
    assert sound.pairs.text[4] == sentence(4)
    assert all(label is None for label in sound.test.label)  # no label is None, never NaN or "null"
    assert (sound.pairs.width == 96).all()
    assert (sound.pairs.height == 72).all()
    assert sound.pairs.has_text.all()
    assert sound.pairs.has_image.all()
    assert len(sound.train) + len(sound.dev) == N_TRAIN
    assert sound.train.index.tolist() == list(range(len(sound.train)))


def test_a_sound_folder_is_healthy(sound):
    health = sound.health
    assert (health.n_labelled, health.n_test) == (N_TRAIN, N_TEST)
    assert health.label_counts == {"negative": 15, "neutral": 15, "positive": 15}
    assert health.encodings == {"utf-8": N_TRAIN + N_TEST}
    assert (health.twin_groups, health.twin_pairs, health.label_conflicts, health.test_twins) == (0, 0, 0, 0)
    assert (health.orphans, health.issues) == ([], [])
    assert sound.pairs.twin.is_unique


def test_health_as_table_and_as_json(sound):
    table = sound.health.to_frame()
    assert list(table.columns) == ["check", "count", "detail"]
    assert table.check.is_unique
    assert dict(zip(table.check, table["count"], strict=True))["labelled pairs"] == N_TRAIN
    again = json.loads(json.dumps(sound.health.to_dict()))
    assert again["image_sizes"] == [{"width": 96, "height": 72, "count": N_TRAIN + N_TEST}]


@pytest.mark.parametrize("how", ["bom", "crlf", "blank lines", "spaces", "no last newline"])
def test_white_space_and_marks_around_values_are_no_fault(folder, how, sound):
    path = folder / "train.txt"
    raw = path.read_bytes()
    path.write_bytes(
        {
            "bom": b"\xef\xbb\xbf" + raw,
            "crlf": raw.replace(b"\n", b"\r\n"),
            "blank lines": raw + b"\n  \n",
            "spaces": raw.replace(b",", b" , "),
            "no last newline": raw.rstrip(b"\n"),
        }[how]
    )
    assert read_course(folder).fingerprint == sound.fingerprint


def test_a_course_without_test_rows_can_be_read(folder):
    (folder / "test_without_label.txt").write_text("guid,tag\n")
    course = read_course(folder)
    assert len(course.test) == 0
    assert len(course.health.orphans) == 2 * N_TEST
    assert course.health.to_frame() is not None


def test_guids_are_text(sound):
    assert "007" in set(sound.pairs.guid)
    assert "7" not in set(sound.pairs.guid)


def test_gb18030_is_decoded_and_recorded(folder):
    (folder / "data" / "003.txt").write_bytes("今天很开心 lovely day".encode("gb18030"))
    course = read_course(folder)
    assert course.pairs.loc[3, ["text", "encoding"]].tolist() == ["今天很开心 lovely day", "gb18030"]
    assert course.health.encodings == {"utf-8": N_TRAIN + N_TEST - 1, "gb18030": 1}


def test_orphans_are_listed_and_hidden_files_are_not(folder):
    (folder / "data" / "stray.png").write_bytes(b"x")
    (folder / "data" / ".DS_Store").write_bytes(b"x")
    assert read_course(folder).health.orphans == ["stray.png"]


# ------------------------------------------------------------------------------------------------- faults of the tables


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train.txt", ["train.txt", "missing", "test_without_label.txt", "data/"]),
        ("test_without_label.txt", ["test_without_label.txt", "missing"]),
    ],
)
def test_a_missing_table_is_named(folder, name, words):
    (folder / name).unlink()
    message = refusal(folder)
    assert all(word in message for word in words)


def test_a_missing_folder_is_named(tmp_path, folder):
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert f"Did you mean {folder}" in refusal(folder.parent)
    assert f"Did you mean {folder}" in refusal(folder / "data")
    assert "is a file" in refusal(folder / "train.txt")
    shutil.rmtree(folder / "data")
    assert "<guid>.jpg" in refusal(folder)


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (1, "guid,label", ["line 1", "'guid,label'", "'guid,tag'"]),
        (1, "guid;tag", ["line 1", "comma"]),
        (1, "000,negative", ["line 1", "header is missing", "add it"]),
        (5, "000,neutral", ["line 5", "'000'", "train.txt line 2", "Keep one row"]),
        (5, "045,neutral", ["test_without_label.txt", "line 2", "'045'", "train.txt line 5"]),
        (5, "003,Positive", ["line 5", "'Positive'", "Did you mean 'positive'", "lower case"]),
        (5, "003,happy", ["line 5", "'happy'", "negative, neutral, positive"]),
        (5, "003,", ["line 5", "unknown label", "''"]),
        (5, "003,null", ["line 5", "'003'", "move the row to test_without_label.txt"]),
        (5, "003", ["line 5", "not two columns", "one comma"]),
        (5, "003,positive,0.9", ["line 5", "not two columns"]),
        (5, ",positive", ["line 5", "no guid"]),
        (5, "../003,positive", ["line 5", "'../003'", "no path"]),
        (5, "..,positive", ["line 5", "no path"]),
        (5, "a\\b,positive", ["line 5", "no path"]),
        (5, '"003",positive', ["line 5", "no quotes"]),
    ],
)
def test_a_fault_in_train_names_file_line_and_fix(folder, line, text, words):
    change_line(folder / "train.txt", line, text)
    message = refusal(folder)
    assert all(word in message for word in ["train.txt", *words]), message


def test_a_label_in_the_test_file_is_refused(folder):
    change_line(folder / "test_without_label.txt", 3, "046,positive")
    message = refusal(folder)
    assert all(word in message for word in ["test_without_label.txt", "line 3", "'046'", "'positive'", "'null'"])


def test_line_numbers_count_blank_lines_as_an_editor_does(folder):
    path = folder / "train.txt"
    path.write_text(path.read_text().replace("guid,tag\n", "guid,tag\n\n\n").replace("002,positive", "002,good"))
    assert "line 6" in refusal(folder)


def test_many_rows_with_one_fault_are_counted_not_listed(folder):
    path = folder / "train.txt"
    path.write_text(path.read_text().replace("positive", "POSITIVE"))
    message = refusal(folder)
    assert "line 4:" in message
    assert "line 16:" in message
    assert "line 19:" not in message
    assert "and 10 more" in message


def test_two_kinds_of_fault_are_both_named(folder):
    change_line(folder / "train.txt", 3, "001,bad")
    change_line(folder / "test_without_label.txt", 2, "045")
    message = refusal(folder)
    assert "unknown label" in message
    assert "not two columns" in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", ["train.txt", "empty", "guid,tag"]),
        (b"guid,tag\n", ["train.txt", "no rows", "Add"]),
        (b"guid,tag\n\xff\xff,positive\n", ["train.txt", "byte 9", "UTF-8"]),
        ("guid,tag\n000,positive\n".encode("utf-16"), ["train.txt", "UTF-16", "UTF-8"]),
    ],
)
def test_an_unusable_table_is_refused(folder, raw, words):
    (folder / "train.txt").write_bytes(raw)
    message = refusal(folder)
    assert all(word in message for word in words), message


def test_a_course_of_one_label_is_refused_and_one_of_two_is_read(folder):
    rows = [(guid_of(number), "positive") for number in range(N_TRAIN)]
    write_tables(folder, rows, [])
    assert "every usable pair has the label 'positive'" in refusal(folder)
    rows[0] = (guid_of(0), "neutral")
    write_tables(folder, rows, [])
    course = read_course(folder)
    assert "neutral" in set(course.train.label), "the only pair of a label is there to be learned from"
    write_tables(folder, rows[:2], [])
    assert "too few to split" in refusal(folder)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_dev_share_out_of_range_is_refused(folder, share):
    assert "dev_share" in refusal(folder, dev_share=share)


# ----------------------------------------------------------------------------------------------- faults of single pairs


def spoil(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "blank": b" \n\t",
                "undecodable": b"fine \xff\xff",
                "truncated": truncated(raw),
                "padded": truncated(raw) + bytes(200_000),  # which Pillow alone takes for a whole image
                "no image": b"this is no image",
            }[how]
        )


FAULTS = [
    ("txt", "missing", "missing"),
    ("txt", "empty", "empty"),
    ("txt", "blank", "empty"),
    ("txt", "undecodable", "byte 5"),
    ("txt", "folder", "cannot be read"),
    ("jpg", "missing", "missing"),
    ("jpg", "empty", "empty"),
    ("jpg", "truncated", "truncated"),
    ("jpg", "padded", "truncated"),
    ("jpg", "no image", "cannot identify"),
    ("jpg", "folder", "cannot be read"),
]


@pytest.mark.parametrize(("suffix", "how", "word"), FAULTS)
def test_a_labelled_pair_with_a_fault_is_left_out_and_listed(folder, suffix, how, word):
    spoil(folder / "data" / f"004.{suffix}", how)
    for _ in range(2):  # the second reading has the images cached: a bad one stays bad
        course = read_course(folder)
        assert "004" not in set(course.pairs.guid)
        (issue,) = course.health.issues
        assert (issue.guid, issue.file, issue.action) == ("004", f"data/004.{suffix}", "excluded")
        assert word in issue.problem
        assert issue.row == "train.txt line 6"
        assert issue.fix
    message = refusal(folder, strict=True)
    assert all(part in message for part in [f"data/004.{suffix}", "line 6", word, issue.fix])


@pytest.mark.parametrize(("suffix", "how", "word"), FAULTS)
def test_a_test_pair_is_answered_from_what_it_has(folder, suffix, how, word):
    spoil(folder / "data" / f"047.{suffix}", how)
    course = read_course(folder)
    pair = course.pairs[course.pairs.guid == "047"].iloc[0]
    assert (pair.has_text, pair.has_image) == ((False, True) if suffix == "txt" else (True, False))
    assert (pair.text == "") == (suffix == "txt")
    assert (pair.image == "") == (suffix == "jpg")
    assert (pair.image_digest == "") == (suffix == "jpg")
    (issue,) = course.health.issues
    assert word in issue.problem
    assert issue.action == f"answered from the {'image' if suffix == 'txt' else 'text'} alone"
    assert course.test.guid.tolist() == [guid_of(number) for number in range(N_TRAIN, N_TRAIN + N_TEST)]


def test_a_test_pair_with_nothing_is_refused(folder):
    for number in range(45, 52):
        spoil(folder / "data" / f"{guid_of(number)}.txt", "missing")
        spoil(folder / "data" / f"{guid_of(number)}.jpg", "truncated")
    message = refusal(folder)
    assert all(word in message for word in ["7 pairs", "line 2", "'045'", "data/045.jpg", "truncated", "and 2 more"])
    assert "remove the rows" in message


def test_a_folder_without_any_usable_pair_says_so(folder):
    for path in (folder / "data").glob("0*.jpg"):
        if int(path.stem) < N_TRAIN:
            path.unlink()
    message = refusal(folder)
    assert all(word in message for word in ["no labelled pair", "data/000.jpg", "missing", "and 40 more"])


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".png"])
def test_a_picture_with_another_ending_is_pointed_out(folder, ending):
    picture = folder / "data" / "004.jpg"
    picture.rename(picture.with_suffix(ending))
    (issue,) = read_course(folder).health.issues
    assert f"004{ending} is there" in issue.problem
    assert "004.jpg" in issue.fix
    assert ("convert" if ending == ".png" else "rename") in issue.fix


# -------------------------------------------------------------------------------------------------------------- digests


def test_the_fingerprint_follows_content_not_time(folder, sound):
    for path in (folder / "data").iterdir():
        os.utime(path, (1, 1))
    assert read_course(folder).fingerprint == sound.fingerprint


@pytest.mark.parametrize("what", ["text", "image", "label", "guid"])
def test_the_fingerprint_changes_with_the_data(folder, sound, what):
    data = folder / "data"
    if what == "text":
        (data / "003.txt").write_text((data / "003.txt").read_text() + "!")
    elif what == "image":
        raw = (data / "003.jpg").read_bytes()
        (data / "003.jpg").write_bytes(raw + b"\0")
    elif what == "label":
        change_line(folder / "train.txt", 5, "003,neutral")
    else:
        change_line(folder / "train.txt", 5, "0003,negative")
        for suffix in ("txt", "jpg"):
            (data / f"003.{suffix}").rename(data / f"0003.{suffix}")
    assert read_course(folder).fingerprint != sound.fingerprint


# ------------------------------------------------------------------------------------------------------ the real course


def test_the_real_course_is_as_it_was_described(course_folder, cache):
    first = read_course(course_folder)
    start = time.perf_counter()
    course = read_course(course_folder)
    seconds = time.perf_counter() - start
    assert course.pairs.equals(first.pairs)
    health = course.health
    assert (health.n_labelled, health.n_test) == (3200, 1311)
    assert health.encodings == {"utf-8": 3450, "gb18030": 1061}
    assert health.issues == []
    assert health.orphans == []
    assert max(health.label_counts, key=health.label_counts.get) == "positive"
    assert health.label_counts["positive"] / 3200 == pytest.approx(0.6, rel=0.02)
    assert health.label_conflicts == pytest.approx(30, rel=0.2)
    assert health.twin_groups == pytest.approx(192, rel=0.1)
    leak = np.mean([random_split_leak(course, seed) for seed in range(20)])
    assert leak == pytest.approx(0.068, rel=0.2)
    assert not set(course.dev.twin) & set(course.train.twin)
    shares = [np.bincount(course.labels[course.labelled.split == part]) for part in ("train", "dev")]
    assert shares[0] / shares[0].sum() == pytest.approx(shares[1] / shares[1].sum(), rel=0.02)
    assert seconds < 5  # 0.7 s where nothing else runs
