"""Encode once: the features of a course's pairs, cached by the digest of their bytes and the encoder's fingerprint.

Explained in notebook 02, section 2 and notebook 03, section 2.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from mmlab.config import GUID, IMAGE, TEXT
from mmlab.course import Course
from mmlab.encoders import Encoder, find_image_encoder, find_text_encoder
from mmlab.progress import open_bar
from mmlab.storage import cache_folder, one_at_a_time, write_atomic

# A block is encoded at once and becomes one file of the cache: an interrupted encoding loses no more than one block.
PAIRS_PER_BLOCK = 512
ANSWERED_AT_ONCE = 512  # pairs in a batch when a model only answers


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

    def means(self) -> "Sequences":
        """Each sequence's mean as a sequence of one float32 vector; an absent side stays absent."""
        filled = np.flatnonzero(self.lengths > 0)
        means = np.zeros((len(filled), self.width), np.float32)
        for start in range(0, len(filled), PAIRS_PER_BLOCK):  # in blocks: all at once would take twice the memory
            rows = filled[start : start + PAIRS_PER_BLOCK]
            block = self.take(rows)
            sums = np.add.reduceat(block.values.astype(np.float32), block.starts[:-1], axis=0)
            means[start : start + len(rows)] = sums / block.lengths[:, None]
        return self._one_each(means)

    def firsts(self) -> "Sequences":
        """Each sequence's first vector, float32; an absent side stays absent."""
        return self._one_each(self.values[self.starts[:-1][self.lengths > 0]].astype(np.float32))

    def _one_each(self, vectors: np.ndarray) -> "Sequences":
        return Sequences(vectors, np.concatenate([[0], np.cumsum(np.minimum(self.lengths, 1))]))

    @property
    def padded(self):
        """Torch tensors: values float32 (n, longest, width) with zeros as padding, and mask bool (n, longest)."""
        import torch

        longest = max(1, int(self.lengths.max(initial=0)))
        mask = np.arange(longest) < self.lengths[:, None]
        values = np.zeros((len(self), longest, self.width), np.float32)
        values[mask] = self.values
        return torch.from_numpy(values), torch.from_numpy(mask)

    def batch(self, rows: np.ndarray):
        """Values and mask of these rows, padded only to the longest among them (at least 1)."""
        return self.take(rows).padded


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
        return Batch(*(tensor[rows] for tensor in (self.text, self.text_mask, self.image, self.image_mask)))

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
        for start in range(0, len(rows), ANSWERED_AT_ONCE):
            places = np.arange(start, min(start + ANSWERED_AT_ONCE, len(rows)))
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

    text: Sequences
    image: Sequences
    encoded: dict[str, int] = field(default_factory=dict, compare=False)  # how many were not in the cache
    # How to get the summaries without going through all sequences again, where these come from others.
    summarise: Callable[[], "Features"] | None = field(default=None, compare=False, repr=False)

    def pooled(self, modality: str) -> np.ndarray:
        """One vector per pair, float32 (n, width): the mean of the tokens, or the image's pooled vector; or zeros."""
        summaries = getattr(self.summarised, modality)
        vectors = np.zeros((len(self), summaries.width), np.float32)
        vectors[summaries.lengths > 0] = summaries.values
        return vectors

    @cached_property
    def summarised(self) -> "Features":
        """Features with one vector per side, the text's mean and the image's pooled vector: a fiftieth of the size."""
        if self.summarise is not None:
            return self.summarise()
        return replace(self, text=self.text.means(), image=self.image.firsts())

    def without(self, modality: str) -> "Features":
        return replace(super().without(modality), summarise=lambda: self.summarised.without(modality))

    def pair_up(self, text_rows: np.ndarray, image_rows: np.ndarray) -> "Features":
        paired = super().pair_up(text_rows, image_rows)
        return replace(paired, summarise=lambda: self.summarised.pair_up(text_rows, image_rows))


def encode_course(
    course: Course,
    text_encoder: str = "minilm",
    image_encoder: str = "efficientnet_lite0",
    progress: Callable | None = open_bar,
    precision: str = "auto",
) -> Features:
    """Features of all pairs of a course; only what the cache does not have is encoded.

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
    return Features(list(pairs[GUID]), text_sequences, image_sequences, digest, {"text": text_new, "image": image_new})


def _encode_missing(encoder: Encoder, wanted: list[str], source: dict[str, str], progress: Callable | None):
    """The sequences for the wanted digests in order ("" stays empty), and how many had to be encoded."""
    folder = cache_folder("features", f"{encoder.name.replace('/', '--').strip('-.')[-40:]}-{encoder.fingerprint}")
    known = _read_cache(folder, set(wanted))
    missing = [digest for digest in dict.fromkeys(wanted) if digest and digest not in known]
    if missing:
        words = f"Another process is encoding with {encoder.name}; waiting for it ..."
        with one_at_a_time(folder / ".lock", words):
            known |= _read_cache(folder, set(missing))  # what that process has encoded in the meantime
            missing = [digest for digest in missing if digest not in known]
            known |= _encode(encoder, missing, source, folder, progress)
    width = next(iter(known.values())).shape[1] if known else 1
    rows = [known[digest] if digest else np.zeros((0, width), np.float16) for digest in wanted]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Sequences(np.concatenate(rows) if rows else np.zeros((0, width), np.float16), starts), len(missing)


def _encode(encoder: Encoder, digests: list[str], source: dict[str, str], folder: Path, progress: Callable | None):
    new: dict[str, np.ndarray] = {}
    label = f"encode {encoder.modality} ({encoder.name})"
    shown = progress(len(digests), label, "pair") if progress and digests else nullcontext()
    with shown as bar:
        tick = bar.update if bar is not None else lambda n: None
        for start in range(0, len(digests), PAIRS_PER_BLOCK):
            block = digests[start : start + PAIRS_PER_BLOCK]
            sequences = encoder.encode([source[digest] for digest in block], tick)
            _write_cache(folder, block, sequences)
            new.update(zip(block, sequences, strict=True))
    return new


def _write_cache(folder: Path, digests: Sequence[str], sequences: Sequence[np.ndarray]) -> None:
    from safetensors.numpy import save

    values = np.concatenate(sequences)
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sequences])]).astype(np.int64)
    metadata = {"digests": " ".join(digests)}
    metadata["crc32"] = _checksum(metadata["digests"], values, starts)
    name = hashlib.sha256(metadata["digests"].encode()).hexdigest()[:32]
    write_atomic(folder / f"{name}.safetensors", save({"values": values, "starts": starts}, metadata))


def _read_cache(folder: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """What the cache holds of the wanted: digest -> float16 (length, width). Damaged files are removed."""
    from safetensors import SafetensorError, safe_open

    known: dict[str, np.ndarray] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as content:
                metadata = content.metadata()
                digests = metadata["digests"].split(" ")
                if wanted.isdisjoint(digests):  # of another course
                    continue
                values, starts = content.get_tensor("values"), content.get_tensor("starts")
            if _checksum(metadata["digests"], values, starts) != metadata["crc32"]:
                raise ValueError("checksum")
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            file.unlink(missing_ok=True)  # truncated or altered: what it held is encoded again
            continue
        known.update((digest, values[starts[i] : starts[i + 1]]) for i, digest in enumerate(digests))
    return known


def _checksum(digests: str, values: np.ndarray, starts: np.ndarray) -> str:
    """Over all of a cache file: a wrong start or digest would give a pair another pair's vectors, silently."""
    return str(zlib.crc32(starts.data, zlib.crc32(values.data, zlib.crc32(digests.encode()))))
