"""Encode once: the features of a course's pairs, cached by content.

The cache knows a text or an image by the digest of its bytes and an encoder by the digest of its weights and
settings. Adding ten pairs encodes ten; touching a file's time encodes none; another image size encodes all.

Explained in notebook 02, section 2 and notebook 03, section 2.
"""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mmlab.config import GUID, IMAGE, TEXT
from mmlab.course.reading import Course
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.storage import cache_folder, one_at_a_time, write_atomic

# Worked on at once, and one file of the cache: an interrupted encoding loses no more than one block.
PAIRS_PER_BLOCK = 512


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences of vectors, end to end: sequence i is `values[starts[i]:starts[i + 1]]`.

    values: float16 (summaries float32), shape (total length, width); starts: int64, shape (n + 1,). An absent side has
    length 0.
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
        """The sequences of these rows, in this order, with repeats if asked for."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        where = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.starts[rows], lengths)
        return replace(self, values=self.values[where], starts=starts)

    def emptied(self) -> "Sequences":
        """As many sequences, none of which holds anything."""
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
        """The pairs at these rows of the batch."""
        return Batch(*(tensor[rows] for tensor in (self.text, self.text_mask, self.image, self.image_mask)))

    def without(self, *, text=None, image=None) -> "Batch":
        """A copy in which the pairs marked True in a bool tensor (B,) have lost that side: its mask is all False."""
        text_mask = self.text_mask if text is None else self.text_mask & ~text[:, None]
        image_mask = self.image_mask if image is None else self.image_mask & ~image[:, None]
        return Batch(self.text, text_mask, self.image, image_mask)


@dataclass(frozen=True)
class Features:
    """The encoded pairs of a course: row i belongs to row i of `course.pairs`.

    text, image: Sequences; guids: list of n; digest: hex, names the encoders.
    """

    guids: list[str]
    text: Sequences
    image: Sequences
    digest: str
    encoded: dict[str, int] = field(default_factory=dict, compare=False)  # how many were not in the cache
    # How to get the summaries without going through all sequences again, where these come from others.
    summarise: Callable[[], "Features"] | None = field(default=None, compare=False, repr=False)
    # Where encoders are trained, a side holds token ids or pixels, and here is what the frozen encoders make of it.
    frozen: "Features | None" = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.guids)

    def pooled(self, modality: str) -> np.ndarray:
        """One vector a pair, float32 (n, width): the mean of the tokens, or the image's pooled vector; or zeros."""
        summaries = getattr(self.summarised, modality)
        vectors = np.zeros((len(self), summaries.width), np.float32)
        vectors[summaries.lengths > 0] = summaries.values
        return vectors

    def batch(self, rows) -> Batch:
        """The pairs at these rows as a model sees them."""
        rows = np.asarray(rows)
        return Batch(*self.text.batch(rows), *self.image.batch(rows))

    @cached_property
    def summarised(self) -> "Features":
        """Features with one vector a side: the text's mean and the image's pooled vector.

        All that heads and fusions over summaries use, a fiftieth of the size: they train on it in a tenth of the time.
        """
        if self.summarise is not None:
            return self.summarise()
        return replace(self, text=self.text.means(), image=self.image.firsts())

    def without(self, modality: str) -> "Features":
        """Features in which no pair has this modality ("text" or "image") any more: its masks are all False."""
        empty, frozen = getattr(self, modality).emptied(), self.frozen and self.frozen.without(modality)
        return replace(self, **{modality: empty}, summarise=lambda: self.summarised.without(modality), frozen=frozen)

    def pair_up(self, text_rows: np.ndarray, image_rows: np.ndarray) -> "Features":
        """Features in which pair i has the text of row text_rows[i] and the image of row image_rows[i].

        The controls and probes use it to break the tie between text and image.
        """
        text, image = self.text.take(text_rows), self.image.take(image_rows)
        frozen = self.frozen and self.frozen.pair_up(text_rows, image_rows)
        return replace(
            self,
            text=text,
            image=image,
            summarise=lambda: self.summarised.pair_up(text_rows, image_rows),
            frozen=frozen,
        )


def encode_course(
    course: Course,
    text_encoder: str = "minilm",
    image_encoder: str = "efficientnet_lite0",
    progress: bool = True,
) -> Features:
    """Features of all pairs of a course, from the cache where it has them.

    Only what is missing is encoded, with a progress bar; a run in which nothing is missing imports neither
    transformers nor timm. Raises EncoderError when an encoder cannot be found or loaded.
    """
    text, image = find_text_encoder(text_encoder), find_image_encoder(image_encoder)
    pairs = course.pairs
    texts = dict(zip(pairs.text_digest, pairs[TEXT], strict=True))
    images = dict(zip(pairs.image_digest, pairs[IMAGE], strict=True))
    wanted_texts = list(pairs.text_digest.where(pairs.has_text, ""))
    wanted_images = list(pairs.image_digest.where(pairs.has_image, ""))
    text_sequences, text_new = _encode_missing(text, "text", wanted_texts, texts, progress)
    image_sequences, image_new = _encode_missing(image, "image", wanted_images, images, progress)
    digest = hashlib.sha256(f"{text.fingerprint} {image.fingerprint}".encode()).hexdigest()[:16]
    return Features(list(pairs[GUID]), text_sequences, image_sequences, digest, {"text": text_new, "image": image_new})


def _encode_missing(encoder, modality: str, wanted: list[str], source: dict[str, str], progress: bool):
    """The sequences for the wanted digests in order ("" stays empty), and how many had to be encoded."""
    folder = cache_folder("features", f"{encoder.name.replace('/', '--').strip('-.')[-40:]}-{encoder.fingerprint}")
    known = _read_cache(folder, set(wanted))
    missing = [digest for digest in dict.fromkeys(wanted) if digest and digest not in known]
    if missing:
        words = f"Another process encodes with {encoder.name}; waiting for it ..."
        with one_at_a_time(folder / ".lock", words):
            known |= _read_cache(folder, set(missing))  # what that process has encoded meanwhile
            missing = [digest for digest in missing if digest not in known]
            known |= _encode(encoder, modality, missing, source, folder, progress)
    width = next(iter(known.values())).shape[1] if known else 1
    rows = [known[digest] if digest else np.zeros((0, width), np.float16) for digest in wanted]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Sequences(np.concatenate(rows) if rows else np.zeros((0, width), np.float16), starts), len(missing)


def _encode(encoder, modality: str, digests: list[str], source: dict[str, str], folder: Path, progress: bool):
    """Encode block by block into the cache's folder: digest -> sequence."""
    new: dict[str, np.ndarray] = {}
    with _progress_bar(len(digests), f"encode {modality} ({encoder.name})", progress and bool(digests)) as tick:
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
                if wanted.isdisjoint(digests):  # another course's
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


class _progress_bar:
    """A tqdm bar as a function that ticks; plain tqdm, because the widget bar is blank in saved notebooks."""

    def __init__(self, total: int, label: str, shown: bool):
        self.total, self.label, self.shown = total, label, shown

    def __enter__(self) -> Callable[[int], None]:
        from tqdm import tqdm

        self.bar = tqdm(total=self.total, desc=self.label, unit="pair", disable=not self.shown, mininterval=0.5)
        return self.bar.update

    def __exit__(self, *_) -> None:
        self.bar.close()
