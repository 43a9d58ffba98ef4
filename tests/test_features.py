"""Ragged sequences by hand, and a cache that encodes each content once and believes no damaged file."""

import dataclasses
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmlab import features as features_module
from mmlab import freshness
from mmlab.config import LABELS
from mmlab.course import read_course
from mmlab.errors import EncoderError
from mmlab.features import Features, Sequences, encode_course
from mmlab.storage import cache_folder, write_atomic

N_TRAIN, N_TEST = 15, 3


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    """Each test has a cache of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMLAB_CACHE", str(folder))
    return folder


# ------------------------------------------------------------------------------------------------- by hand


def ragged() -> Sequences:
    """Three sequences: [[1, 2], [3, 4]], nothing, [[5, 6]]."""
    return Sequences(np.array([[1, 2], [3, 4], [5, 6]], np.float16), np.array([0, 2, 2, 3]))


def test_ragged_sequences_know_their_lengths():
    assert len(ragged()) == 3 and ragged().width == 2
    assert ragged().lengths.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("rows", "values", "starts"),
    [
        ([2, 0], [[5, 6], [1, 2], [3, 4]], [0, 1, 3]),
        ([1], [], [0, 0]),
        ([0, 1, 0], [[1, 2], [3, 4], [1, 2], [3, 4]], [0, 2, 2, 4]),
        ([], [], [0]),
    ],
)
def test_take_by_hand(rows, values, starts):
    taken = ragged().take(np.array(rows, int))
    assert taken.values.tolist() == values and taken.width == 2
    assert taken.starts.tolist() == starts


def test_means_and_first_vectors_by_hand():
    means, firsts = ragged().summaries("text"), ragged().summaries("image")
    assert means.values.tolist() == [[2, 3], [5, 6]] and firsts.values.tolist() == [[1, 2], [5, 6]]
    assert means.values.dtype == firsts.values.dtype == np.float32
    assert means.starts.tolist() == firsts.starts.tolist() == [0, 1, 1, 2]
    last_empty = ragged().take(np.array([2, 1, 1])).summaries("text")
    assert last_empty.values.tolist() == [[5, 6]] and last_empty.starts.tolist() == [0, 1, 1, 1]
    assert ragged().take(np.array([1])).summaries("text").values.shape == (0, 2)


def test_a_batch_of_summaries_shares_no_memory_with_them():
    whole = Sequences(np.ones((2, 2), np.float32), np.arange(3))
    whole.batch([0, 1])[0].fill_(7)
    assert (whole.values == 1).all()
    whole.padded[0].fill_(7)  # the twin, which its docstring tells
    assert (whole.values == 7).all()


def test_padded_by_hand():
    values, mask = ragged().padded
    assert values.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]
    assert values.dtype == torch.float32 and mask.dtype == torch.bool


def test_a_batch_is_padded_to_its_own_longest():
    values, mask = ragged().batch(np.array([2, 1]))
    assert values.tolist() == [[[5, 6]], [[0, 0]]]
    assert mask.tolist() == [[True], [False]]
    values, mask = ragged().batch(np.array([1]))  # even a batch of nothing has one place, masked
    assert values.shape == (1, 1, 2) and mask.tolist() == [[False]]


def some_features() -> Features:
    image = Sequences(np.array([[10, 0], [20, 0], [30, 0], [40, 0]], np.float16), np.array([0, 2, 4, 4]))
    return Features(["a", "b", "c"], ragged(), image, "digest")


def test_an_absent_side_is_masked_in_a_batch():
    batch = some_features().batch([0, 1, 2])
    assert batch.text_mask.any(dim=1).tolist() == [True, False, True]
    assert batch.image_mask.any(dim=1).tolist() == [True, True, False]
    assert len(batch) == 3


def test_pooled_is_the_mean_of_the_tokens_and_the_first_image_vector():
    assert some_features().pooled("text").tolist() == [[2, 3], [0, 0], [5, 6]]
    assert some_features().pooled("image").tolist() == [[10, 0], [30, 0], [0, 0]]


def test_without_hides_only_the_marked_pairs():
    batch = some_features().batch([0, 1, 2])
    hidden = batch.without(text=torch.tensor([True, False, False]), image=torch.tensor([False, True, True]))
    assert hidden.text_mask.any(dim=1).tolist() == [False, False, True]
    assert hidden.image_mask.any(dim=1).tolist() == [True, False, False]
    assert batch.text_mask.any(dim=1).tolist() == [True, False, True]  # the batch itself is as it was


def test_a_batch_without_a_side_is_a_copy():
    """Notebook 04 overwrites what is behind the mask; the batch it came from keeps its vectors."""
    batch = some_features().batch([0, 1, 2])
    before = [tensor.clone() for tensor in vars(batch).values()]
    for hidden in (batch.without(), batch.without(image=torch.tensor([True, False, False]))):
        for tensor in vars(hidden).values():
            tensor.fill_(7)
        assert all(torch.equal(a, b) for a, b in zip(before, vars(batch).values(), strict=True))
    batch.image.fill_(7)  # the twin: what is written into the batch itself is seen
    assert not torch.equal(before[2], batch.image)


def test_features_without_a_modality_have_it_nowhere():
    batch = some_features().without("text").batch([0, 1, 2])
    assert not batch.text_mask.any() and batch.text.shape[2] == 2
    assert batch.image_mask.any(dim=1).tolist() == [True, True, False]
    assert not some_features().without("image").batch([0, 1]).image_mask.any()


def test_summarised_features_are_the_pooled_ones():
    short, whole = some_features().summarised, some_features()
    assert short.text.lengths.tolist() == [1, 0, 1] and short.image.lengths.tolist() == [1, 1, 0]
    assert short.summarised.text is short.text and short.summarised.image is short.image  # no third copy of them
    for modality in ("text", "image"):
        np.testing.assert_array_equal(short.pooled(modality), whole.pooled(modality))


def test_pair_up_breaks_the_tie_between_text_and_image():
    paired = some_features().pair_up(np.array([0, 1, 2]), np.array([1, 2, 0]))
    assert paired.pooled("text").tolist() == some_features().pooled("text").tolist()
    assert paired.pooled("image").tolist() == [[30, 0], [0, 0], [10, 0]]
    assert paired.guids == ["a", "b", "c"]


# -------------------------------------------------------------------------------------------- writing whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "new" / "file.txt", "first")
    assert path.read_text() == "first"

    def no_space(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, "second")
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]  # no temporary file stays


# ------------------------------------------------------------------------------------- what is encoded when


def make_course(root: Path) -> Path:
    """Small pairs without twins; labels in turn."""
    (root / "data").mkdir(parents=True)
    for number in range(N_TRAIN + N_TEST):
        add_pair(root, number)
    write_tables(root, N_TRAIN)
    return root


def add_pair(root: Path, number: int) -> None:
    words = np.random.default_rng([1, number]).integers(0, 26, (6, 5)) + ord("a")
    (root / "data" / f"{number}.txt").write_text(" ".join(bytes(word.tolist()).decode() for word in words))
    noise = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((40, 40), Image.Resampling.BICUBIC).save(root / "data" / f"{number}.jpg")


def write_tables(root: Path, n_train: int, extra=()) -> None:
    rows = [*range(n_train), *extra]
    (root / "train.txt").write_text("guid,tag\n" + "".join(f"{n},{LABELS[n % 3]}\n" for n in rows))
    test = range(N_TRAIN, N_TRAIN + N_TEST)
    (root / "test_without_label.txt").write_text("guid,tag\n" + "".join(f"{n},null\n" for n in test))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return make_course(tmp_path_factory.mktemp("features") / "course")


@pytest.fixture
def folder(pristine, tmp_path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "course"))


@dataclass
class CountingEncoder:
    """An encoder that needs no weights, whose vectors tell what they were made of, and that remembers its calls."""

    modality: str
    width: int
    read: callable
    version: str = "1"
    seen: list = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.modality

    @property
    def weights(self) -> str:
        return self.version

    @property
    def fingerprint(self) -> str:
        return f"{self.name}{self.version}"

    def prepare(self) -> None:
        """Nothing is needed."""

    def encode(self, inputs, progress=lambda n: None):
        self.seen.extend(inputs)
        progress(len(inputs))
        return [self.vectors(one) for one in inputs]

    def vectors(self, one) -> np.ndarray:
        raw = self.read(one)
        return np.full((1 + len(raw) % 3, self.width), sum(raw) % 997, np.float16)


@pytest.fixture
def encoders(monkeypatch):
    """Takes the place of the two real encoders."""
    text = CountingEncoder("text", 2, lambda text: text.encode())
    image = CountingEncoder("image", 3, lambda path: Path(path).read_bytes())
    monkeypatch.setattr(features_module, "find_text_encoder", lambda name, precision: text)
    monkeypatch.setattr(features_module, "find_image_encoder", lambda name, precision: image)
    return text, image


def encode(folder: Path, encoders) -> tuple[Features, list[int]]:
    """The features, and how many texts and images the encoders were given for them."""
    before = [len(encoder.seen) for encoder in encoders]
    found = encode_course(read_course(folder), progress=False)
    new = [len(encoder.seen) - n for encoder, n in zip(encoders, before)]
    assert found.encoded == {"text": new[0], "image": new[1]}
    return found, new


def assert_right(found: Features, folder: Path, encoders) -> None:
    """Each row has the vectors of its own text and image."""
    pairs = read_course(folder).pairs
    assert found.guids == pairs.guid.tolist()
    for side, encoder, inputs in ((found.text, encoders[0], pairs.text), (found.image, encoders[1], pairs.image)):
        for row, one in enumerate(inputs):
            np.testing.assert_array_equal(side.values[side.starts[row] : side.starts[row + 1]], encoder.vectors(one))


def cache_files(cache: Path) -> list[Path]:
    return sorted(cache.glob("features/*/*.safetensors"))


def test_a_course_is_encoded_once(folder, encoders, cache):
    first, new = encode(folder, encoders)
    assert new == [18, 18]
    assert_right(first, folder, encoders)
    second, new = encode(folder, encoders)
    assert new == [0, 0]
    assert_right(second, folder, encoders)
    assert first.digest == second.digest
    assert len(cache_files(cache)) == 2
    assert not list(cache.glob("features/*/*.part"))  # no half-written file stays


def test_added_pairs_alone_are_encoded(folder, encoders):
    encode(folder, encoders)
    for number in (30, 31):
        add_pair(folder, number)
    write_tables(folder, N_TRAIN, extra=[30, 31])
    found, new = encode(folder, encoders)
    assert new == [2, 2]
    assert_right(found, folder, encoders)


def test_a_touched_file_is_not_encoded_and_a_changed_one_is(folder, encoders):
    encode(folder, encoders)
    for path in (folder / "data").iterdir():
        os.utime(path, (10**9, 10**9))
    assert encode(folder, encoders)[1] == [0, 0]
    (folder / "data" / "3.txt").write_text("other words altogether")
    found, new = encode(folder, encoders)
    assert new == [1, 0]
    assert_right(found, folder, encoders)


def test_a_renamed_or_moved_course_is_found_by_content(folder, encoders, tmp_path):
    encode(folder, encoders)
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    for suffix in (".txt", ".jpg"):
        a, b, spare = (moved / "data" / f"{name}{suffix}" for name in ("0", "1", "spare"))
        a.rename(spare), b.rename(a), spare.rename(b)
    found, new = encode(moved, encoders)
    assert new == [0, 0]
    assert_right(found, moved, encoders)


@pytest.mark.parametrize("side", [0, 1])
def test_another_version_of_an_encoder_encodes_all_of_its_side(folder, encoders, side):
    first, _ = encode(folder, encoders)
    encoders[side].version = "2"
    second, new = encode(folder, encoders)
    assert new == [18 * (side == 0), 18 * (side == 1)]
    assert first.digest != second.digest


def test_pairs_with_the_same_bytes_are_encoded_once(folder, encoders):
    shutil.copy(folder / "data" / "0.txt", folder / "data" / "3.txt")
    shutil.copy(folder / "data" / "1.jpg", folder / "data" / "16.jpg")
    found, new = encode(folder, encoders)
    assert new == [17, 17]
    assert_right(found, folder, encoders)


def test_a_test_pair_without_a_side_has_length_0_there(folder, encoders):
    (folder / "data" / "15.txt").unlink()
    (folder / "data" / "16.jpg").write_bytes(b"no image")
    found, new = encode(folder, encoders)
    assert new == [17, 17]
    assert found.text.lengths[15] == 0 and found.image.lengths[16] == 0
    assert (np.delete(found.text.lengths, 15) > 0).all() and (np.delete(found.image.lengths, 16) > 0).all()
    batch = found.batch([15, 16])
    assert batch.text_mask.any(dim=1).tolist() == [False, True]
    assert batch.image_mask.any(dim=1).tolist() == [True, False]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def truncate_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def alter(key: str):
    """Change one tensor, or the names of what is inside, in a file that stays well formed."""

    def change(path: Path) -> None:
        from safetensors import safe_open
        from safetensors.numpy import save_file

        with safe_open(path, framework="numpy") as content:
            tensors, metadata = {name: content.get_tensor(name) for name in content.keys()}, content.metadata()
        if key == "digests":
            digests = metadata["digests"].split(" ")
            metadata["digests"] = " ".join(digests[1:] + digests[:1])
        else:
            tensors[key] = tensors[key].copy()
            tensors[key].flat[1] += 1
        save_file(tensors, path, metadata)

    return change


DAMAGES = {
    "truncated": truncate, "header": truncate_header, "empty": empty,
    "values": alter("values"), "summaries": alter("summaries"), "starts": alter("starts"), "digests": alter("digests"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_file_is_noticed_and_redone(folder, encoders, cache, damage):
    encode(folder, encoders)
    file = next(path for path in cache_files(cache) if "image" in path.parent.name)
    DAMAGES[damage](file)
    found, new = encode(folder, encoders)
    assert new == [0, 18]
    assert_right(found, folder, encoders)
    assert encode(folder, encoders)[1] == [0, 0]  # and it is sound again


def test_a_sound_cache_file_written_again_is_believed(folder, encoders, cache):
    """The twin: the same detour through load and save without a change is no damage."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    encode(folder, encoders)
    for path in cache_files(cache):
        with safe_open(path, framework="numpy") as content:
            tensors, metadata = {name: content.get_tensor(name) for name in content.keys()}, content.metadata()
        save_file(tensors, path, metadata)
    assert encode(folder, encoders)[1] == [0, 0]


def at_its_old_time(damage):
    """Damage that neither the size nor the time shows which a program can set."""

    def change(path: Path) -> None:
        status = path.stat()
        damage(path)
        assert path.stat().st_size == status.st_size
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return change


@pytest.mark.parametrize("damage", ["starts", "digests"])
def test_whose_vectors_they_are_is_checked_at_every_opening(folder, encoders, cache, damage):
    encode(folder, encoders)
    file = next(path for path in cache_files(cache) if "image" in path.parent.name)
    at_its_old_time(DAMAGES[damage])(file)
    found, new = encode(folder, encoders)
    assert new == [0, 18]
    assert_right(found, folder, encoders)


def test_vectors_are_checked_once_for_each_state_of_a_file(folder, encoders, cache, monkeypatch):
    """A program that sets the time of a file back changes another one of its times by that."""
    checked, check = [], features_module._check_vectors
    monkeypatch.setattr(features_module, "_check_vectors", lambda file: checked.append(file) or check(file))
    encode(folder, encoders)
    assert len(checked) == 2
    encode(folder, encoders)
    assert len(checked) == 2
    file = next(path for path in cache_files(cache) if "image" in path.parent.name)
    os.utime(file, (10**9, 10**9))
    assert encode(folder, encoders)[1] == [0, 0] and checked[2:] == [file]
    (file.parent / features_module.CHECKED).write_text("[1]")  # a spoiled note is no note
    assert encode(folder, encoders)[1] == [0, 0] and checked[3:] == [file]
    at_its_old_time(DAMAGES["values"])(file)
    assert encode(folder, encoders)[1] == [0, 18]


def test_a_cache_that_may_only_be_read_is_used(folder, encoders, cache, monkeypatch):
    """A shared one, say: what was checked cannot be noted there, and is checked by each who opens it."""
    encode(folder, encoders)
    for note in cache.glob(f"features/*/{features_module.CHECKED}"):
        note.unlink()

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(features_module, "write_atomic", refuse)
    assert encode(folder, encoders)[1] == [0, 0]
    assert not list(cache.glob(f"features/*/{features_module.CHECKED}"))


def test_exchanged_files_harm_no_pair(folder, encoders, cache, monkeypatch):
    monkeypatch.setattr(features_module, "PAIRS_PER_BLOCK", 9)
    encode(folder, encoders)
    one, other = (path for path in cache_files(cache) if "image" in path.parent.name)
    spare = one.with_suffix(".spare")
    one.rename(spare), other.rename(one), spare.rename(other)
    found, new = encode(folder, encoders)
    assert new == [0, 0]
    assert_right(found, folder, encoders)


def test_a_file_of_another_encoder_is_not_believed(folder, encoders, cache):
    """The same digests and widths, other vectors: whole, but foreign."""
    encode(folder, encoders)
    (old,) = (path for path in cache_files(cache) if "image" in path.parent.name)
    images, vectors = encoders[1], encoders[1].vectors
    images.version, images.vectors = "2", lambda one: vectors(one) + 1
    encode(folder, encoders)
    (new,) = (path for path in cache_files(cache) if "image" in path.parent.name and path.parent != old.parent)
    shutil.copy2(old, new)
    found, again = encode(folder, encoders)
    assert again == [0, 18]
    assert_right(found, folder, encoders)
    assert old.is_file()


# ----------------------------------------------------------------------------------------------- mapped, not read


def test_the_kept_summaries_are_those_of_the_vectors(folder, encoders):
    (folder / "data" / "15.txt").unlink()
    found, _ = encode(folder, encoders)
    loaded = dataclasses.replace(
        found,
        **{side: Sequences(getattr(found, side).values, getattr(found, side).starts) for side in ("text", "image")},
    )
    rows, moved = np.arange(18), np.random.default_rng(0).permutation(18)
    for change in (lambda f: f, lambda f: f.pair_up(rows, moved), lambda f: f.pair_up(moved, rows).without("image")):
        for modality in ("text", "image"):
            kept, anew = (getattr(change(one).summarised, modality) for one in (found, loaded))
            assert kept.values.dtype == np.float32 and kept.values.tobytes() == anew.values.tobytes()
            np.testing.assert_array_equal(kept.starts, anew.starts)
    assert not np.array_equal(found.pooled("text"), found.pair_up(moved, rows).pooled("text"))  # the twin


def test_stored_sequences_are_used_like_those_in_memory(folder, encoders, monkeypatch):
    monkeypatch.setattr(features_module, "PAIRS_PER_BLOCK", 7)  # rows of several blocks
    (folder / "data" / "16.jpg").write_bytes(b"no image")
    found, _ = encode(folder, encoders)
    loaded = Sequences(found.image.values, found.image.starts)
    for rows in ([3, 16, 3, 0], [16], np.arange(0), np.arange(18)):
        for one, other in zip(found.image.batch(rows), loaded.batch(rows), strict=True):
            assert torch.equal(one, other)
        np.testing.assert_array_equal(found.image.take(rows).starts, loaded.take(rows).starts)
    assert not found.image.emptied().lengths.any() and found.image.emptied().values.shape == (0, 3)
    assert len(found.image) == 18 and found.image.width == 3


def test_vectors_are_mapped_when_they_are_used_and_cannot_be_changed(folder, encoders, cache):
    found, _ = encode(folder, encoders)
    (file,) = (path for path in cache_files(cache) if "image" in path.parent.name)
    (block,) = found.image.blocks
    maps = Path("/proc/self/maps")
    assert block.file == file
    _ = found.image.take(np.arange(3)), found.without("text"), found.summarised
    assert not maps.exists() or str(file) not in maps.read_text()  # the twin: nothing of this needs a sequence
    with pytest.raises(ValueError, match="read-only"):
        block.values[0] = 0
    if maps.exists():
        assert str(file) in maps.read_text()
        assert str(file) not in {os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()}  # and not held open
    assert len(pickle.dumps(block)) < 500  # a path, and no vectors
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).image.values, found.image.values)


def test_a_cache_that_is_emptied_meanwhile_is_an_error_that_says_so(folder, encoders, cache):
    found, _ = encode(folder, encoders)
    for file in cache_files(cache):
        file.unlink()
    for use in (lambda: found.batch([0]), lambda: found.pooled("text")):
        with pytest.raises(EncoderError, match="removed while in use"):
            use()
    assert encode(folder, encoders)[1] == [18, 18]


def test_other_code_for_summaries_or_another_layout_uses_another_folder(folder, encoders, cache, monkeypatch):
    encode(folder, encoders)
    before = cache_files(cache)
    monkeypatch.setattr(features_module, "code_digest", lambda *roots: "of other code")
    found, new = encode(folder, encoders)
    assert new == [18, 18]
    assert_right(found, folder, encoders)
    assert set(before) < set(cache_files(cache))  # the old files are left alone
    assert freshness.reached_code(f"{features_module.__name__}:_write_block").keys() >= {
        "mmlab.features:average_each", "mmlab.features:first_of_each"
    }  # fmt: skip


def test_an_interrupted_encoding_keeps_the_files_it_finished(folder, encoders, monkeypatch):
    monkeypatch.setattr(features_module, "PAIRS_PER_BLOCK", 5)
    text = encoders[0]
    whole = text.encode

    def stop_at_the_third(inputs, progress):
        if len(text.seen) >= 10:
            raise KeyboardInterrupt
        return whole(inputs, progress)

    monkeypatch.setattr(text, "encode", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        encode_course(read_course(folder), progress=False)
    monkeypatch.setattr(text, "encode", whole)
    found, new = encode(folder, encoders)
    assert new == [8, 18]
    assert_right(found, folder, encoders)


def test_progress_counts_what_is_new(folder, encoders):
    course, opened = read_course(folder), []

    class Bar:
        def __init__(self, total, label, unit):
            self.total, self.label, self.done = total, label, 0
            opened.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.closed = True

        def update(self, n):
            self.done += n

    encode_course(course, progress=Bar)
    assert [(bar.label, bar.total, bar.done, bar.closed) for bar in opened] == [
        ("encode text (text)", 18, 18, True), ("encode image (image)", 18, 18, True),
    ]  # fmt: skip
    encode_course(course, progress=Bar)
    assert len(opened) == 2  # the twin: with nothing to do there is no bar


# ------------------------------------------------------------------------------------- with the real encoders

LOADS = """
import sys
from mmlab.course import read_course
from mmlab.features import encode_course

features = encode_course(read_course(sys.argv[1]), progress=False)
features.batch([0, 1])
print(features.encoded, features.text.width, features.image.width)
print(sorted({"transformers", "timm", "torchvision"} & set(sys.modules)))
"""


def run_python(code: str, *arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_cached_features_need_neither_transformers_nor_timm(folder):
    """The first run, in this process, loads them; a fresh interpreter then finds everything in the cache."""
    found = encode_course(read_course(folder), progress=False)
    assert found.encoded == {"text": 18, "image": 18}
    assert {"transformers", "timm"} <= set(sys.modules)  # the twin: encoding does need them
    assert (found.image.lengths == 10).all() and found.text.values.dtype == np.float16
    assert run_python(LOADS, str(folder)) == [f"{{'text': 0, 'image': 0}} {found.text.width} 1280", "[]"]


def test_an_encoder_that_is_not_there_is_an_error_before_anything_is_encoded(folder):
    with pytest.raises(EncoderError, match=r"config.json is missing"):
        encode_course(read_course(folder), image_encoder="./nothing", progress=False)
    assert not list(cache_folder("features").iterdir())


def test_two_that_need_the_same_features_encode_them_once(folder, encoders):
    """The second waits for the first and reads what it wrote."""
    course = read_course(folder)
    once = [len(set(course.pairs.text_digest)), len(set(course.pairs.image_digest))]
    slow, quick = threading.Event(), encoders[0].encode

    def encode_slowly(inputs, progress):
        slow.wait(1)
        return quick(inputs, progress)

    encoders[0].encode = encode_slowly
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: encode_course(course, progress=False), range(2)))
    assert [len(set(encoder.seen)) for encoder in encoders] == [len(encoder.seen) for encoder in encoders] == once
    assert sorted(one.encoded["text"] for one in both) == [0, once[0]]
    for found in both:
        assert_right(found, folder, encoders)
