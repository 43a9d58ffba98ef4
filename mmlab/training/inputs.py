"""What trained encoders read: token ids and pixels, behind the same small protocol as features.

Explained in docs/fine-tuning.md.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mmlab.config import IMAGE, TEXT, RunConfig
from mmlab.course import Course
from mmlab.encoders import Encoder, find_image_encoder, find_text_encoder
from mmlab.features import Batch, Features, Pairs, Sequences, encode_course
from mmlab.images import Picture, read_rgb
from mmlab.progress import open_bar
from mmlab.views import find_views

PAIRS_PER_POOL = 512  # texts of similar length are looked for among so many: little padding, still well shuffled
ANSWERED_AT_ONCE = 64  # pairs in a batch when a model only answers
SMALLEST_CROP = 0.6  # share of an image's area that a training crop keeps at least


@dataclass(frozen=True)
class Tokens(Sequences):
    """Token ids as a side of Inputs: values int32 (total length, 1)."""

    padding: int = 0

    @classmethod
    def of(cls, ids: list[list[int]], padding: int) -> "Tokens":
        starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
        values = np.fromiter((one for row in ids for one in row), np.int32).reshape(-1, 1)
        return cls(values, starts, padding)

    @property
    def padded(self) -> tuple[Tensor, Tensor]:
        longest = max(1, int(self.lengths.max(initial=0)))
        mask = np.arange(longest) < self.lengths[:, None]
        ids = np.full(mask.shape, self.padding, np.int64)
        ids[mask] = self.values[:, 0]
        return torch.from_numpy(ids), torch.from_numpy(mask)


@dataclass(frozen=True)
class Pixels:
    """Pictures as a side of Inputs: pixels are read when a batch is made. An absent one is None."""

    sources: np.ndarray  # of objects: what `read_rgb` takes
    settings: dict  # timm's: input_size, mean, std, interpolation, ...

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def of(cls, images: Sequence[Picture | None], settings: dict) -> "Pixels":
        sources = np.empty(len(images), object)
        sources[:] = images
        return cls(sources, settings)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([one is not None for one in self.sources], np.int64)

    def take(self, rows: np.ndarray) -> "Pixels":
        return replace(self, sources=self.sources[np.asarray(rows)])

    def emptied(self) -> "Pixels":
        return replace(self, sources=np.full_like(self.sources, None))

    def batch(self, rows: np.ndarray, draw: int | None = None) -> tuple[Tensor, Tensor]:
        """Pixels float32 (n, 3, side, side), zeros where there is no image, and mask bool (n, 1).

        draw: a seed for random crops and mirror images, or None for the whole image as it is. The same seed and row
        give the same crop, whichever process reads it.
        """
        chosen = self.take(rows)
        pixels = torch.zeros(len(chosen), *self.settings["input_size"])
        for place, (row, source) in enumerate(zip(rows, chosen.sources, strict=True)):
            if source is None:
                continue
            image = read_rgb(source)
            if draw is None:
                pixels[place] = self._transforms[0](image)
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(hash((draw, int(row))) % 2**63)
                pixels[place] = self._transforms[1](image)
        return pixels, torch.from_numpy(chosen.lengths > 0).unsqueeze(1)

    @cached_property
    def _transforms(self):
        import timm
        from torchvision.transforms import v2

        size = self.settings["input_size"][1:]
        crop = v2.RandomResizedCrop(size, scale=(SMALLEST_CROP, 1.0), antialias=True)
        normalise = v2.Normalize(self.settings["mean"], self.settings["std"])
        drawn = [crop, v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalise]
        return timm.data.create_transform(**self.settings, is_training=False), v2.Compose(drawn)


@dataclass(frozen=True)
class Inputs(Pairs):
    """The pairs of a course for a model that trains encoders: Tokens and Pixels where they are trained.

    frozen: what the encoders made of the pairs before their training; encoders: those to be trained, by modality.
    """

    text: Tokens | Sequences
    image: Pixels | Sequences
    frozen: Features = field(compare=False, repr=False)
    encoders: dict[str, Encoder] = field(compare=False, repr=False)

    @classmethod
    def of(
        cls, texts: Sequence[str | None], images: Sequence[Picture | None], config: RunConfig, frozen: Features
    ) -> "Inputs":
        """Pairs of texts and pictures, None where one is absent; frozen: the same pairs."""
        sides, encoders = {"text": frozen.text, "image": frozen.image}, {}
        if "text" in config.tunes:
            encoder = encoders["text"] = find_text_encoder(config.text_encoder)
            ids = encoder.tokenise([text or "" for text in texts])
            sides["text"] = Tokens.of([one if text else [] for one, text in zip(ids, texts)], encoder.padding)
        if "image" in config.tunes:
            encoder = encoders["image"] = find_image_encoder(config.image_encoder)
            settings, _ = encoder.load(config.image_side)
            sides["image"] = Pixels.of(images, settings)
        return cls(frozen.guids, sides["text"], sides["image"], frozen.digest, frozen, encoders)

    @property
    def weights(self) -> dict[str, str]:
        return self.frozen.weights

    def batches(self, rows) -> Iterator[tuple[np.ndarray, Batch]]:
        rows = np.asarray(rows, dtype=int)
        order = np.argsort(self.text.lengths[rows], kind="stable")
        places = [order[start : start + ANSWERED_AT_ONCE] for start in range(0, len(rows), ANSWERED_AT_ONCE)]
        return zip(places, read_batches(self, [rows[place] for place in places]), strict=True)

    def without(self, modality: str) -> "Inputs":
        return replace(super().without(modality), frozen=self.frozen.without(modality))

    def pair_up(self, text_rows: np.ndarray, image_rows: np.ndarray) -> "Inputs":
        return replace(super().pair_up(text_rows, image_rows), frozen=self.frozen.pair_up(text_rows, image_rows))


def prepare_pairs(course: Course, config: RunConfig, progress: Callable | None = open_bar) -> Features | Inputs:
    """Row i of `course.pairs` as this config's model reads it: Features where no encoder is trained, else Inputs.

    progress: as in `encode_course`. Raises EncoderError when an encoder cannot be had.
    """
    views = find_views(config)
    frozen = encode_course(course, config.text_encoder, config.image_encoder, progress, config.precision, views)
    if not config.tunes:
        return frozen
    return Inputs.of(list_side(course, TEXT), list_side(course, IMAGE), config, frozen)


def list_side(course: Course, side: str) -> list[str | None]:
    """The texts or the paths of the images of all pairs, None where a pair has none."""
    every = zip(course.pairs[side], course.pairs[f"has_{side}"], strict=True)
    return [one if there else None for one, there in every]


def bucketed_batches(rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """The rows in random batches of `size`, of similar length within a batch: texts are padded to the longest."""
    shuffled = np.asarray(rows)[torch.randperm(len(rows)).numpy()]
    batches = []
    whole = size * max(1, PAIRS_PER_POOL // size)  # a pool of whole batches
    for start in range(0, len(shuffled), whole):
        pool = shuffled[start : start + whole]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[number] for number in torch.randperm(len(batches)).tolist()]


class _BatchReader(torch.utils.data.Dataset):
    def __init__(self, pairs: Pairs, batches: list[np.ndarray], draw: int | None):
        self.text, self.image, self.batches, self.draw = pairs.text, pairs.image, batches, draw

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        rows = self.batches[number]
        pixels = isinstance(self.image, Pixels)
        image = self.image.batch(rows, self.draw) if pixels else self.image.batch(rows)
        return Batch(*self.text.batch(rows), *image)


def read_batches(pairs: Pairs, batches: list[np.ndarray], draw: int | None = None) -> Iterator[Batch]:
    """The batches in order; worker processes decode images ahead. draw: a seed for the augmentation of images."""
    reader = _BatchReader(pairs, batches, draw)
    if not isinstance(pairs.image, Pixels):
        return (reader[number] for number in range(len(reader)))
    workers = max(1, min(8, (os.cpu_count() or 1) - 1))
    return iter(torch.utils.data.DataLoader(reader, batch_size=None, num_workers=workers, prefetch_factor=4))
