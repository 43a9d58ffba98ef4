"""Encode once: the features of a course's pairs, cached by the digest of their bytes and the encoder's fingerprint.

The cache is mapped into memory: opening it takes milliseconds, and only the vectors that are used are read. Explained
in notebook 02, section 2 and notebook 03, section 2.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from mmlab.config import GUID, IMAGE, TEXT, RunConfig
from mmlab.course import Course
from mmlab.encoders import Encoder, find_image_encoder, find_text_encoder
from mmlab.errors import EncoderError, stoppable
from mmlab.freshness import code_digest, digest_of
from mmlab.images import Picture
from mmlab.progress import open_bar
from mmlab.storage import cache_folder, one_at_a_time, write_atomic
from mmlab.views import View

# A block is encoded at once and becomes one file of the cache: an interrupted encoding loses no more than one block.
PAIRS_PER_BLOCK = 512
ANSWERED_AT_ONCE = 128  # pairs in a batch when a model only answers
CHECKED = "checked.json"  # of which files the checksum was found right: file name -> size and times of last change


def average_each(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The mean of each sequence that is not empty, float32 (n, width)."""
    lengths = np.diff(starts)
    filled = lengths > 0
    if not filled.any():
        return np.zeros((0, values.shape[1]), np.float32)
    sums = np.add.reduceat(values.astype(np.float32), starts[:-1][filled], axis=0)
    return (sums / lengths[filled, None]).astype(np.float32)


def first_of_each(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The first vector of each sequence that is not empty, float32 (n, width)."""
    return values[starts[:-1][np.diff(starts) > 0]].astype(np.float32)


# How the sequence of a side becomes one vector, the pooled one of an image: once, when it is written to the cache.
SUMMARIES = {"text": average_each, "image": first_of_each}


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences of vectors, end to end: sequence i is `values[starts[i]:starts[i + 1]]`, empty if absent.

    values: float16 (summaries float32), shape (total length, width); starts: int64, shape (n + 1,).
    """

    values: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    @property
    def width(self) -> int:
        return self.values.shape[1]

    def take(self, rows: np.ndarray) -> "Sequences":
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        where = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.starts[rows], lengths)
        return replace(self, values=self.values[where], starts=starts)

    def emptied(self) -> "Sequences":
        return replace(self, values=self.values[:0], starts=np.zeros_like(self.starts))

    def summaries(self, modality: str) -> "Sequences":
        """One float32 vector for each: a text's mean, an image's first vector; an absent side stays absent."""
        if self.values.dtype == np.float32 and self.lengths.max(initial=0) <= 1:
            return self  # they are summaries already
        vectors = SUMMARIES[modality](self.values, self.starts)
        return Sequences(vectors, np.concatenate([[0], np.cumsum(np.minimum(self.lengths, 1))]))

    @property
    def padded(self):
        """Torch tensors: values float32 (n, longest, width) with zeros as padding, and mask bool (n, longest).

        The values of summaries, which are float32 already, may share memory with these sequences; a batch does not.
        """
        import torch

        longest = max(1, int(self.lengths.max(initial=0)))
        mask = np.arange(longest) < self.lengths[:, None]
        vectors = torch.from_numpy(self.values).float().numpy()  # numpy itself converts float16 one by one
        if mask.all():  # as images and summaries are, as a rule: nothing has to be put into its place
            values = vectors.reshape(len(self), longest, self.width)
        else:
            values = np.zeros((len(self), longest, self.width), np.float32)
            values[mask] = vectors
        return torch.from_numpy(values), torch.from_numpy(mask)

    def batch(self, rows: np.ndarray):
        """Values and mask of these rows, padded only to the longest among them (at least 1)."""
        return self.take(rows).padded


@dataclass(frozen=True)
class Block:
    """One file of the cache, of which nothing is read before it is used."""

    file: Path
    width: int

    @cached_property
    def values(self) -> np.ndarray:
        """float16 (total length, width), mapped into memory and read-only."""
        values = self._open("values", "pt").numpy()  # torch's map, other than numpy's, keeps no file open
        values.flags.writeable = False
        return values

    def read_summaries(self) -> np.ndarray:
        """float32 (n, width), one vector for each sequence."""
        return self._open("summaries", "numpy")

    def _open(self, name: str, framework: str):
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.file, framework=framework) as content:
                return content.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise EncoderError(f"{self.file}: was removed while in use. Encode the course again.") from error

    def __reduce__(self):
        return Block, (self.file, self.width)  # a process that is given features maps the file itself


@dataclass(frozen=True)
class StoredSequences:
    """Sequences that stay in the cache, with what Sequences have: to choose rows reads no vector, `values` reads all.

    rows: int64 (n, 4), of each sequence its block, its place in there, its first vector among the block's `values` and
    its length, which is 0 where a side is absent.
    """

    blocks: tuple[Block, ...]
    rows: np.ndarray
    width: int

    padded, batch = Sequences.padded, Sequences.batch

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        return self.rows[:, 3]

    @property
    def starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def values(self) -> np.ndarray:
        values, end = np.empty((self.lengths.sum(), self.width), np.float16), 0
        for block, _, first, length in self.rows.tolist():
            if length:
                values[end : end + length] = self.blocks[block].values[first : first + length]
                end += length
        return values

    def take(self, rows: np.ndarray) -> "StoredSequences":
        return replace(self, rows=self.rows[np.asarray(rows)])

    def emptied(self) -> "StoredSequences":
        return replace(self, rows=np.zeros_like(self.rows))

    def summaries(self, modality: str) -> Sequences:
        """As those of Sequences, but computed when the block was written."""
        there = self.lengths > 0
        block_of, places = self.rows[there, :2].T
        vectors = np.empty((len(places), self.width), np.float32)
        for block in np.unique(block_of).tolist():
            here = block_of == block
            vectors[here] = self.blocks[block].read_summaries()[places[here]]
        return Sequences(vectors, np.concatenate([[0], np.cumsum(there)]))


@dataclass(frozen=True)
class Batch:
    """What a model sees of B pairs. A mask is True at a real vector; a pair without a side has no True there.

    text: float32 (B, T, text width); text_mask: bool (B, T); image: float32 (B, P, image width) with the pooled
    vector first; image_mask: bool (B, P).
    """

    text: "torch.Tensor"  # noqa: F821 (torch loads when it is used)
    text_mask: "torch.Tensor"  # noqa: F821
    image: "torch.Tensor"  # noqa: F821
    image_mask: "torch.Tensor"  # noqa: F821

    def __len__(self) -> int:
        return len(self.text)

    def to(self, device) -> "Batch":
        return Batch(*(tensor.to(device) for tensor in (self.text, self.text_mask, self.image, self.image_mask)))

    def take(self, rows) -> "Batch":
        import torch

        rows = torch.as_tensor(rows)
        every = self.text, self.text_mask, self.image, self.image_mask
        return Batch(*(tensor.index_select(0, rows) for tensor in every))

    def without(self, *, text=None, image=None) -> "Batch":
        """A copy, sharing no memory, in which the pairs marked True in a bool tensor (B,) have lost that side."""
        copy = Batch(self.text.clone(), self.text_mask.clone(), self.image.clone(), self.image_mask.clone())
        if text is not None:
            copy.text_mask[text] = False
        if image is not None:
            copy.image_mask[image] = False
        return copy


@dataclass(frozen=True)
class Pairs:
    """The pairs of a course in a form that a model reads: row i belongs to row i of `course.pairs`.

    guids: list of n; text, image: the two sides, each with `len`, `lengths`, `take`, `emptied` and `batch`; digest:
    hex, names the encoders.
    """

    guids: list[str]
    text: Any
    image: Any
    digest: str

    def __len__(self) -> int:
        return len(self.guids)

    def batch(self, rows) -> Batch:
        rows = np.asarray(rows)
        return Batch(*self.text.batch(rows), *self.image.batch(rows))

    def batches(self, rows) -> Iterator[tuple[np.ndarray, Batch]]:
        """All of these rows in batches for a model that only answers, each with its places among the rows."""
        rows = np.asarray(rows, dtype=int)
        order = np.argsort(self.text.lengths[rows], kind="stable")  # a batch is padded to its longest text
        for start in range(0, len(rows), ANSWERED_AT_ONCE):
            places = order[start : start + ANSWERED_AT_ONCE]
            yield places, self.batch(rows[places])

    def without(self, modality: str) -> Self:
        """Pairs of which none has this modality ("text" or "image") any more."""
        return replace(self, **{modality: getattr(self, modality).emptied()})

    def pair_up(self, text_rows: np.ndarray, image_rows: np.ndarray) -> Self:
        """Pairs of which pair i has the text of row text_rows[i] and the image of row image_rows[i]."""
        return replace(self, text=self.text.take(text_rows), image=self.image.take(image_rows))


@dataclass(frozen=True)
class Features(Pairs):
    """The pairs of a course as frozen encoders see them: each side holds vectors."""

    text: Sequences | StoredSequences
    image: Sequences | StoredSequences
    encoded: dict[str, int] = field(default_factory=dict, compare=False)  # how many were not in the cache
    weights: dict[str, str] = field(default_factory=dict, compare=False)  # `Encoder.weights` of each modality
    # The views of the texts and of the images, by modality and name: one vector for each, or none.
    views: dict[str, dict[str, Sequences]] = field(default_factory=lambda: {"text": {}, "image": {}}, repr=False)

    def without(self, modality: str) -> "Features":
        emptied = {name: one.emptied() for name, one in self.views[modality].items()}
        return replace(super().without(modality), views=self.views | {modality: emptied})

    def pair_up(self, text_rows: np.ndarray, image_rows: np.ndarray) -> "Features":
        rows = {"text": text_rows, "image": image_rows}
        views = {side: {name: one.take(rows[side]) for name, one in of.items()} for side, of in self.views.items()}
        return replace(super().pair_up(text_rows, image_rows), views=views)

    def pooled(self, modality: str) -> np.ndarray:
        """One vector per pair, float32 (n, width): the mean of the tokens, or the image's pooled vector; or zeros."""
        summaries = getattr(self.summarised, modality)
        vectors = np.zeros((len(self), summaries.width), np.float32)
        vectors[summaries.lengths > 0] = summaries.values
        return vectors

    @cached_property
    def summarised(self) -> "Features":
        """Features with one vector per side, the text's mean and the image's pooled vector: a fiftieth of the size."""
        return replace(self, text=self.text.summaries("text"), image=self.image.summaries("image"))


@stoppable("Features that were encoded before are kept.")
def encode_course(
    course: Course,
    text_encoder: str = "minilm",
    image_encoder: str = "efficientnet_lite0",
    progress: Callable | None = open_bar,
    precision: str = "auto",
    views: Mapping[str, View] | None = None,
) -> Features:
    """Features of all pairs of a course, and its views; only what the cache does not have is encoded.

    progress: called as progress(total, label, unit) for each side that has to be encoded; gives a context manager with
    tqdm's `update(n)`, or None or False for no progress. Raises EncoderError when an encoder cannot be found or loaded.
    """
    text = find_text_encoder(text_encoder, precision)
    image = find_image_encoder(image_encoder, precision)
    pairs = course.pairs
    texts = dict(zip(pairs.text_digest, pairs[TEXT], strict=True))
    images = dict(zip(pairs.image_digest, pairs[IMAGE], strict=True))
    wanted_texts = list(pairs.text_digest.where(pairs.has_text, ""))
    wanted_images = list(pairs.image_digest.where(pairs.has_image, ""))
    text_sequences, text_new = _encode_missing(text, wanted_texts, texts, progress)
    image_sequences, image_new = _encode_missing(image, wanted_images, images, progress)
    digest = hashlib.sha256(f"{text.fingerprint} {image.fingerprint}".encode()).hexdigest()[:16]
    seen: dict[str, dict[str, Sequences]] = {"text": {}, "image": {}}
    sides = {"text": (wanted_texts, texts), "image": (wanted_images, images)}
    for name, view in (views or {}).items():
        measured, _ = _encode_missing(view, *sides[view.modality], progress)
        seen[view.modality][name] = measured.summaries(view.modality)
    new, weights = {"text": text_new, "image": image_new}, {"text": text.weights, "image": image.weights}
    return Features(list(pairs[GUID]), text_sequences, image_sequences, digest, new, weights, seen)


def count_missing(course: Course, config: RunConfig) -> int:
    """How many texts or images of a course, whichever are more, are not in the cache."""
    pairs, counts = course.pairs, []
    sides = (
        (find_text_encoder(config.text_encoder, config.precision), pairs.text_digest.where(pairs.has_text, "")),
        (find_image_encoder(config.image_encoder, config.precision), pairs.image_digest.where(pairs.has_image, "")),
    )
    for encoder, digests in sides:
        wanted = set(digests) - {""}
        counts.append(len(wanted) - len(wanted & _open_blocks(_features_folder(encoder), sorted(wanted))[1].keys()))
    return max(counts)


def encode_pairs(
    texts: Sequence[str | None],
    images: Sequence[Picture | None],
    text: Encoder,
    image: Encoder,
    widths: tuple[int, int] = (1, 1),
    views: Mapping[str, View] | None = None,
) -> Features:
    """Features of n texts and n pictures, None where a side is absent, without the cache: for pairs that are new.

    widths: of the vectors of both encoders, for a side that no pair has; views: as in `encode_course`. Raises OSError
    for what is no picture.
    """
    sides = [_encode_present(*one) for one in ((text, texts, widths[0]), (image, images, widths[1]))]
    seen: dict[str, dict[str, Sequences]] = {"text": {}, "image": {}}
    for name, view in (views or {}).items():
        seen[view.modality][name] = _encode_present(view, texts if view.modality == "text" else images, 1)
    weights = {"text": text.weights, "image": image.weights}
    return Features([""] * len(texts), *sides, digest="", weights=weights, views=seen)


def _encode_present(encoder: Encoder | View, sources: Sequence[Any], width: int) -> Sequences:
    there = [source for source in sources if source is not None]
    vectors = encoder.encode(there) if there else []
    lengths, known = [], iter(map(len, vectors))
    for source in sources:
        lengths.append(0 if source is None else next(known))
    values = np.concatenate(vectors) if vectors else np.zeros((0, width), np.float16)
    return Sequences(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _encode_missing(encoder: Encoder | View, wanted: list[str], source: dict[str, str], progress: Callable | None):
    """The sequences for the wanted digests in order ("" stays empty), and how many had to be encoded."""
    folder = _features_folder(encoder)
    needed = list(dict.fromkeys(filter(None, wanted)))
    blocks, places = _open_blocks(folder, needed)
    missing = [digest for digest in needed if digest not in places]
    if missing:
        encoder.prepare()
        if _features_folder(encoder) != folder:  # another engine has to run it
            return _encode_missing(encoder, wanted, source, progress)
        words = f"Another process is encoding with {encoder.name}; waiting for it ..."
        with one_at_a_time(folder / ".lock", words):
            _, places = _open_blocks(folder, missing)  # what that process has encoded in the meantime
            missing = [digest for digest in missing if digest not in places]
            _encode(encoder, missing, source, folder, progress)
        blocks, places = _open_blocks(folder, needed)
        if not places.keys() >= set(needed):
            fix = "See that the disk is sound and that nothing else empties this folder, then run again"
            raise EncoderError(f"{folder}: features written a moment ago cannot be read back. {fix}.")
    rows = np.array([places.get(digest, (0, 0, 0, 0)) for digest in wanted], np.int64).reshape(-1, 4)
    return StoredSequences(blocks, rows, blocks[0].width if blocks else 1), len(missing)


def _features_folder(encoder: Encoder | View) -> Path:
    code = code_digest(_write_block)  # what makes the summaries, and the layout: files of another are left alone
    name = encoder.name.replace("/", "--").strip("-.")[-40:]
    return cache_folder("features", f"{name}-{digest_of(encoder.fingerprint, code, length=32)}")


def _encode(
    encoder: Encoder | View, digests: list[str], source: dict[str, str], folder: Path, progress: Callable | None
):
    label = f"encode {encoder.modality} ({encoder.name})"
    shown = progress(len(digests), label, "pair") if progress and digests else nullcontext()
    with shown as bar:
        tick = bar.update if bar is not None else lambda n: None
        for start in range(0, len(digests), PAIRS_PER_BLOCK):
            block = digests[start : start + PAIRS_PER_BLOCK]
            _write_block(folder, block, encoder.encode([source[digest] for digest in block], tick), encoder.modality)


def _write_block(folder: Path, digests: Sequence[str], sequences: Sequence[np.ndarray], modality: str) -> None:
    from safetensors.numpy import save

    values, joined = np.concatenate(sequences), " ".join(digests)
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sequences])]).astype(np.int64)
    summaries = SUMMARIES[modality](values, starts)
    index = _checksum(folder.name, joined, starts)  # a wrong start or digest would give a pair another's vectors
    metadata = {"digests": joined, "index": index, "vectors": _checksum(index, values, summaries)}
    name = hashlib.sha256(joined.encode()).hexdigest()[:32]
    tensors = {"values": values, "starts": starts, "summaries": summaries}
    write_atomic(folder / f"{name}.safetensors", save(tensors, metadata))


def _open_blocks(folder: Path, wanted: list[str]) -> tuple[tuple[Block, ...], dict[str, tuple[int, int, int, int]]]:
    """The blocks of the cache that hold something wanted, and of each digest in them its row of StoredSequences.

    A file that is not as it was written is removed, and what it held is encoded again. At every opening this is found
    of a truncated or half-written file, of one of another encoder or layout, and of one whose list of contents does not
    fit: no pair is given another pair's vectors. The vectors' own checksum is computed when a file is first opened,
    and again when its size or times of change differ: a bit that turns over on the disk later is not found.
    """
    from safetensors import SafetensorError

    blocks, places, wants, note = [], {}, set(wanted), folder / CHECKED
    checked = _read_note(note)
    right = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            status = file.stat()
            state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            digests, starts, width = _read_index(file)
            if not wants.isdisjoint(digests):  # or else it is of another course
                if checked.get(file.name) != state:
                    _check_vectors(file)
                ends = zip(digests, starts.tolist(), np.diff(starts).tolist(), strict=False)
                places |= {digest: (len(blocks), place, *one) for place, (digest, *one) in enumerate(ends)}
                blocks.append(Block(file, width))
                right[file.name] = state
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            with suppress(OSError):  # as below
                file.unlink(missing_ok=True)
    if not right.items() <= checked.items():
        with suppress(OSError):  # in a cache that others may only read, each computes the checksums
            write_atomic(note, json.dumps(checked | right))
    return tuple(blocks), places


def _read_index(file: Path) -> tuple[list[str], np.ndarray, int]:
    """A block's digests (n), the starts (n + 1) of their sequences, and its width. Raises ValueError for damage."""
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as content:
        metadata, starts = content.metadata(), content.get_tensor("starts")
        width = content.get_slice("values").get_shape()[1]
    if metadata["index"] != _checksum(file.parent.name, metadata["digests"], starts):
        raise ValueError("index")
    return metadata["digests"].split(" "), starts, width


def _check_vectors(file: Path) -> None:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as content:
        metadata, vectors = content.metadata(), [content.get_tensor(name) for name in ("values", "summaries")]
    if metadata["vectors"] != _checksum(metadata["index"], *vectors):
        raise ValueError("vectors")


def _read_note(file: Path) -> dict[str, list[int]]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _checksum(*parts: str | np.ndarray) -> str:
    total = 0
    for part in parts:
        total = zlib.crc32(part.encode() if isinstance(part, str) else part.data, total)
    return str(total)
