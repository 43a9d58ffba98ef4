"""Twins are found by their words and by what their images show; what an image shows is kept."""

import io

import numpy as np
import pytest
from courses import (
    N_TEST,
    N_TRAIN,
    draw_image,
    guid_of,
    jpeg,
    sentence,
    truncated,
)
from PIL import Image, ImageFile

from mmlab.course import (
    read_course,
    reading,
    twins,
)
from mmlab.images import open_image
from mmlab.storage import cache_folder


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
    one, other = (np.zeros((), dtype=twins.FACTS)[()] for _ in range(2))
    for number, (facts, bits) in enumerate([(one, 0), (other, 2**64 - 1)]):
        facts["digest"], facts["hash"], facts["steps"] = np.void(bytes([number] * 32)), bits, 256
    assert twins.link_images([one, None, other]) == []
    other["hash"] = 2**32 - 1, 0, 0, 0  # 32 bits: the last distance that counts as nearly the same
    assert twins.link_images([one, None, other]) == [(0, 2)]
    other["hash"] = 2**33 - 1, 0, 0, 0
    assert twins.link_images([one, None, other]) == []


def similar_facts(n: int) -> list[np.void]:
    """Images of six kinds whose brightness, colours and hashes lie on both sides of what counts as nearly the same."""
    random = np.random.default_rng(0)
    facts = np.zeros(n, dtype=twins.FACTS)
    kind = random.integers(0, 6, n)
    facts["digest"] = [np.void(bytes([number, 1] * 16)) for number in range(n)]
    facts["hash"] = (kind[:, None] == 5) * random.integers(0, 2**63, (n, 4), dtype=np.uint64)
    facts["colours"] = 20 * kind[:, None] + random.integers(0, 12, (n, 1)) + random.integers(0, 3, (n, 192))
    facts["steps"] = 256
    return list(facts)


def test_neighbours_in_brightness_hold_all_twins():
    """Each image meets only those of nearly the same brightness: the links are those of comparing all with all."""
    facts = similar_facts(80)
    expected = [
        (one, other)
        for one in range(80)
        for other in range(one + 1, 80)
        if np.bitwise_count(facts[one]["hash"] ^ facts[other]["hash"]).sum() <= twins.HASH_BITS_APART
        and np.abs(facts[one]["colours"] - facts[other]["colours"].astype(int)).mean() <= twins.COLOUR_LEVELS_APART
    ]
    assert sorted(twins.link_images(facts)) == expected
    assert 50 < len(expected) < 1000  # the twin: neither none nor all


def test_images_just_as_far_apart_as_twins_may_be_are_found():
    one, other = (facts.copy() for facts in similar_facts(2))
    one["hash"] = other["hash"] = 0
    one["colours"], other["colours"] = 100, 94
    assert twins.link_images([one, other]) == [(0, 1)]
    other["colours"][0] -= 1
    assert twins.link_images([one, other]) == []


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


def test_groups_are_numbered_by_first_appearance():
    assert twins.group_links(7, [(1, 5), (4, 2), (5, 2)]).tolist() == [0, 1, 1, 2, 1, 1, 3]
    assert twins.group_links(3, []).tolist() == [0, 1, 2]
    assert twins.group_links(3, [(0, 2), (0, 2)]).tolist() == [0, 1, 0]


# ----------------------------------------------------------------------------------------------- truncated images

WAYS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("BMP", {}),
    ("TIFF", {}),
]


def save_as(name: str, options: dict) -> bytes:
    buffer = io.BytesIO()
    draw_image(4).save(buffer, name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(("name", "options"), WAYS)
def test_a_truncated_image_is_refused_however_lenient_pillow_is(monkeypatch, name, options, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    raw = save_as(name, options)
    assert twins.look_at_image(raw, bytes(32))["width"] == 96
    for share in (0.5, 0.9, 0.99):
        with pytest.raises(OSError):
            twins.look_at_image(raw[: int(len(raw) * share)], bytes(32))


@pytest.mark.parametrize("name", ["PNG", "GIF", "BMP", "TIFF"])
def test_twin_pillow_alone_takes_a_truncated_image_when_it_is_lenient(monkeypatch, name):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    open_image(io.BytesIO(truncated(save_as(name, {})))).load()


def test_reading_neither_changes_nor_trusts_a_lenient_pillow(folder, cache, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = folder / "data" / "004.jpg"
    path.write_bytes(save_as("PNG", {}))  # a PNG named .jpg is read as what it is
    seen, look = [], twins.look_at_image
    during = lambda *given: seen.append(ImageFile.LOAD_TRUNCATED_IMAGES) or look(*given)  # noqa: E731
    monkeypatch.setattr(reading, "look_at_image", during)
    assert not read_course(folder).health.issues
    path.write_bytes(truncated(path.read_bytes()))
    assert "004" in {issue.guid for issue in read_course(folder).health.issues}
    assert set(seen) == {True} and ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert not list(cache.rglob("facts-*"))  # damaged data may have passed: the next process looks for itself
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    read_course(folder)
    assert list(cache.rglob("facts-*"))


# ----------------------------------------------------------------------------------------------- the cache of facts


def count_decodes(monkeypatch) -> list:
    looked, look = [], reading.look_at_image
    monkeypatch.setattr(reading, "look_at_image", lambda *given: looked.append(1) or look(*given))
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
