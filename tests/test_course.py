"""A course folder read, judged and split; prediction files written and verified."""

import io
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from mmlab.config import LABELS
from mmlab.course import reading as course_module
from mmlab.course.reading import (
    random_split_leak,
    read_course,
    save_split,
    split_folds,
    verify_predictions,
    write_predictions,
)
from mmlab.errors import CourseError
from mmlab.storage import cache_folder

N_TRAIN, N_TEST = 45, 12
WORDS = (
    "river garden window orange silver thunder market bridge candle forest mirror pocket rocket summer tiger".split()
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Each test has a cache of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMLAB_CACHE", str(folder))
    return folder


def draw_image(seed: int, size=(96, 72)) -> Image.Image:
    """A smooth picture full of detail, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sentence(seed: int) -> str:
    return " ".join(np.random.default_rng([7, seed]).permutation(WORDS)[:8])


def guid_of(number: int) -> str:
    return f"{number:03d}"


def make_folder(root: Path, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Path:
    """Pairs without twins: guids 000, 001, ...; labels in turn; train first, then test."""
    data = root / "data"
    data.mkdir(parents=True)
    for number in range(n_train + n_test):
        (data / f"{guid_of(number)}.txt").write_bytes(f"{sentence(number)}\n".encode())
        (data / f"{guid_of(number)}.jpg").write_bytes(jpeg(draw_image(number)))
    write_tables(
        root,
        [(guid_of(number), LABELS[number % 3]) for number in range(n_train)],
        [(guid_of(number), "null") for number in range(n_train, n_train + n_test)],
    )
    return root


def write_tables(root: Path, train, test) -> None:
    for name, rows in (("train.txt", train), ("test_without_label.txt", test)):
        (root / name).write_text("guid,tag\n" + "".join(f"{guid},{tag}\n" for guid, tag in rows), newline="")


def change_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().split("\n")
    lines[number - 1] = text
    path.write_text("\n".join(lines))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("pristine") / "course")


@pytest.fixture
def folder(pristine, tmp_path) -> Path:
    """A sound course folder that a test may spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "course"))


@pytest.fixture
def sound(pristine):
    return read_course(pristine)


def refusal(root, **options) -> str:
    with pytest.raises(CourseError) as caught:
        read_course(root, **options)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- a sound folder


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


# ------------------------------------------------------------------------------------- faults of the tables


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


def test_too_few_pairs_of_a_label_are_refused(folder):
    rows = [(guid_of(number), "neutral" if number == 0 else "positive") for number in range(N_TRAIN)]
    write_tables(folder, rows, [])
    message = refusal(folder)
    assert all(word in message for word in ["train.txt", "'negative'", "0 usable", "at least 5"])
    rows[1:10] = [(guid, "negative") for guid, _ in rows[1:10]]
    write_tables(folder, rows, [])
    message = refusal(folder)
    assert all(word in message for word in ["'neutral'", "1 usable", "too few"])


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_dev_share_out_of_range_is_refused(folder, share):
    assert "dev_share" in refusal(folder, dev_share=share)


# ------------------------------------------------------------------------------------ faults of single pairs


def truncated(raw: bytes) -> bytes:
    return raw[: len(raw) * 2 // 3]


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


def test_a_truncated_image_is_noticed_where_pillow_was_told_to_be_lenient(folder, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = folder / "data" / "004.jpg"
    picture = io.BytesIO()
    draw_image(4).save(picture, "PNG")  # a PNG named .jpg is read as what it is
    path.write_bytes(picture.getvalue())
    assert not read_course(folder).health.issues
    path.write_bytes(truncated(picture.getvalue()))
    assert "004" in {issue.guid for issue in read_course(folder).health.issues}
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


# ------------------------------------------------------------------------------------------- cache and digests


def count_decodes(monkeypatch) -> list:
    looked, look = [], course_module._look_at_image
    monkeypatch.setattr(course_module, "_look_at_image", lambda *given: looked.append(1) or look(*given))
    return looked


def test_a_second_reading_decodes_nothing_and_finds_the_same(folder, monkeypatch):
    first = read_course(folder)
    looked = count_decodes(monkeypatch)
    second = read_course(folder)
    assert looked == []
    assert second.pairs.equals(first.pairs)
    (folder / "data" / "004.jpg").write_bytes(jpeg(draw_image(404)))
    read_course(folder)
    assert len(looked) == 1


@pytest.mark.parametrize("spoiled", [b"", b"x", "half", "bit"])
def test_a_spoiled_cache_is_computed_again(folder, monkeypatch, spoiled):
    first = read_course(folder)
    (path,) = cache_folder("images").iterdir()
    raw = path.read_bytes()
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    path.write_bytes({"half": raw[: len(raw) // 2], "bit": flipped}.get(spoiled, spoiled))
    looked = count_decodes(monkeypatch)
    assert read_course(folder).pairs.equals(first.pairs)
    assert len(looked) == N_TRAIN + N_TEST
    assert path.read_bytes() == raw


def test_an_unusable_cache_folder_is_no_obstacle(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "file"))
    assert len(read_course(folder).pairs) == N_TRAIN + N_TEST


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


# -------------------------------------------------------------------------------------------------- twins


def twins_of(course, guid: str) -> list[str]:
    twin = course.pairs.set_index("guid").twin
    return sorted(twin.index[twin == twin[guid]])


def test_twins_in_text_are_grouped_across_splits(folder):
    data = folder / "data"
    (data / "010.txt").write_text(f"RT @friend: {sentence(3).upper()}! http://t.co/xyz")
    (data / "050.txt").write_text(sentence(3))
    course = read_course(folder)
    assert twins_of(course, "003") == ["003", "010", "050"]
    health = course.health
    assert (health.twin_groups, health.twin_pairs, health.twins_in_text, health.twins_in_image) == (1, 3, 3, 0)
    assert health.test_twins == 1
    assert health.label_conflicts == 1  # 003 is negative, 010 neutral


def test_twins_with_one_label_are_no_conflict(folder):
    (folder / "data" / "006.txt").write_text(sentence(3))  # both negative
    health = read_course(folder).health
    assert (health.twin_groups, health.label_conflicts) == (1, 0)


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: jpeg(image, quality=50),
        lambda image: jpeg(image.resize((192, 144))),
        lambda image: jpeg(image.resize((72, 54))),
    ],
)
def test_a_copied_image_is_a_twin(folder, copy):
    (folder / "data" / "010.jpg").write_bytes(copy(draw_image(3)))
    course = read_course(folder)
    assert twins_of(course, "003") == ["003", "010"]
    assert (course.health.twins_in_text, course.health.twins_in_image) == (0, 2)


@pytest.mark.parametrize(
    "other",
    [
        lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        lambda image: jpeg(Image.merge("RGB", image.split()[::-1])),  # the same shapes in other colours
        lambda image: jpeg(Image.eval(image, lambda level: 255 - level)),  # every bit of the hash turned over
    ],
)
def test_a_changed_image_is_no_twin(folder, other):
    (folder / "data" / "010.jpg").write_bytes(other(draw_image(3)))
    assert read_course(folder).health.twin_groups == 0


def test_a_negative_of_one_mean_colour_is_no_twin():
    """All 256 bits differ: a count that wraps at 256 would call these two the same."""
    images = []
    for number, bits in enumerate((0, 2**64 - 1)):
        facts = np.zeros((), dtype=course_module._FACTS)
        facts["hash"], facts["steps"] = bits, 256
        images.append(course_module._Image("data/x.jpg", "x.jpg", str(number), facts[()]))
    assert course_module._image_links(images) == []
    images[1].facts["hash"] = 2**32 - 1, 0, 0, 0  # 32 bits: the last distance that counts as nearly the same
    assert course_module._image_links(images) == [(0, 1)]
    images[1].facts["hash"] = 2**33 - 1, 0, 0, 0
    assert course_module._image_links(images) == []


def test_flat_images_are_twins_only_when_they_are_the_same_file(folder):
    data = folder / "data"
    for number, colour in enumerate(["white", "white", "#fdfdfd", "black"]):
        (data / f"{guid_of(number)}.jpg").write_bytes(jpeg(Image.new("RGB", (96, 72), colour)))
    course = read_course(folder)
    assert twins_of(course, "000") == ["000", "001"]
    assert course.health.twin_pairs == 2


def test_twins_are_transitive_through_text_and_image(folder):
    data = folder / "data"
    (data / "010.txt").write_text(sentence(3))
    (data / "020.jpg").write_bytes((data / "010.jpg").read_bytes())
    (data / "001.jpg").write_bytes((data / "010.jpg").read_bytes())
    (data / "030.jpg").write_bytes(jpeg(draw_image(20)))  # of what 020 was, and no longer is
    course = read_course(folder)
    assert twins_of(course, "003") == ["001", "003", "010", "020"]
    assert course.health.twin_groups == 1


def test_short_and_absent_texts_make_no_twins(folder):
    for name in ("003", "010"):
        (folder / "data" / f"{name}.txt").write_text("so #happy")
    for name in ("046", "047"):
        (folder / "data" / f"{name}.txt").unlink()
    for name in ("048", "049"):
        (folder / "data" / f"{name}.jpg").unlink()
    assert read_course(folder).health.twin_groups == 0


# -------------------------------------------------------------------------------------------------- split


def many_twins(n: int = 900, seed: int = 0):
    """Labels in the shares of the course and twin groups of 1 to 8 pairs that often disagree."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, n, p=[0.3, 0.1, 0.6]).astype(np.int8)
    groups = np.repeat(np.arange(n), random.choice([1, 2, 8], n, p=[0.8, 0.15, 0.05]))[:n]
    return labels, random.permutation(groups)


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_keep_twins_together_and_class_shares_equal(folds):
    labels, groups = many_twins()
    fold = split_folds(labels, groups, folds, seed=0)
    assert fold.dtype == np.int8
    assert set(fold) == set(range(folds))
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    counts = np.array([np.bincount(labels[fold == number], minlength=3) for number in range(folds)])
    assert (np.abs(counts - np.bincount(labels) / folds) <= 2).all()


def test_folds_that_ignore_twins_break_them():
    labels, groups = many_twins()
    fold = split_folds(labels, np.arange(len(labels)), 5, seed=0)
    assert any(len(set(fold[groups == group])) > 1 for group in set(groups))


def test_folds_depend_on_the_seed_alone():
    labels, groups = many_twins()
    first = split_folds(labels, groups, 5, seed=3)
    assert (first == split_folds(labels, groups, 5, seed=3)).all()
    assert (first == split_folds(labels, groups * 7 + 100, 5, seed=3)).all()  # names of groups carry nothing
    agreement = (first == split_folds(labels, groups, 5, seed=4)).mean()
    assert 0.1 < agreement < 0.3  # by chance a fifth


def test_folds_serve_any_subset():
    labels, groups = many_twins()
    rows = np.flatnonzero(split_folds(labels, groups, 5, seed=0) != 2)
    inner = split_folds(labels[rows], groups[rows], 8, seed=1)
    assert inner.shape == rows.shape
    assert all(len(set(inner[groups[rows] == group])) == 1 for group in set(groups[rows]))


def test_folds_that_cannot_be_filled_are_refused():
    labels = np.array([0] * 20 + [1] * 4 + [2] * 20)
    with pytest.raises(CourseError, match="neutral: 4 independent pairs.*at most 4 folds"):
        split_folds(labels, np.arange(44), 5, seed=0)
    groups = np.arange(44)
    groups[20:23] = 20
    with pytest.raises(CourseError, match="neutral: 2 independent"):
        split_folds(labels, groups, 3, seed=0)
    with pytest.raises(CourseError, match="folds=1"):
        split_folds(labels, groups, 1, seed=0)


@pytest.fixture
def retweeted(tmp_path):
    """A folder in which every third labelled pair repeats the text of its neighbour but one."""
    root = make_folder(tmp_path / "retweeted", 60, 6)
    for number in range(0, 60, 3):
        (root / "data" / f"{guid_of(number)}.txt").write_text(sentence((number + 2) % 60))
    return root


@pytest.mark.parametrize("seed", range(5))
def test_the_split_has_no_leak_where_a_random_one_has(retweeted, seed):
    course = read_course(retweeted, seed=seed)
    assert course.health.twin_groups == 20
    assert not set(course.dev.twin) & set(course.train.twin)
    assert random_split_leak(course, seed=seed) > 0.2
    assert course.dev.label.value_counts().tolist() == [4, 4, 4]


def test_a_random_split_of_distinct_pairs_leaks_nothing(sound):
    assert random_split_leak(sound) == 0.0


def test_the_split_is_fixed_by_the_seed(folder, sound):
    assert read_course(folder).split_hash == sound.split_hash
    assert read_course(folder, seed=1).split_hash != sound.split_hash
    assert read_course(folder, seed=1).fingerprint == sound.fingerprint
    assert len(read_course(folder, dev_share=0.4).dev) == 18


def test_the_split_is_saved(sound, tmp_path):
    path = save_split(sound, tmp_path / "run" / "split.csv")
    lines = path.read_text().splitlines()
    assert lines[0] == "guid,split,twin"
    assert len(lines) == 1 + N_TRAIN + N_TEST
    assert lines[-1].startswith("056,test,")
    assert [entry.name for entry in path.parent.iterdir()] == ["split.csv"]


# -------------------------------------------------------------------------------------------- predictions

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
    with pytest.raises(CourseError, match="cannot be written"):
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
        ("046,neutral", "46,neutral", ["line 3", "'46'"]),  # guids are text: 46 is not 046
    ],
)
def test_a_bad_file_is_refused_with_its_row(answered, sound, old, new, words):
    found = verify_predictions(replaced(answered, old, new), sound)
    assert not found.ok
    told = "\n".join(found.problems)
    assert all(word in told for word in words), told


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


# --------------------------------------------------------------------------------------- the real course


def test_the_real_course_is_as_it_was_described(course_folder):
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
