"""Encoders that learn with the head: the two halves of the frozen way, in one module.

A side whose encoder is trained comes as token ids or as pixels and passes its encoder in every step; a side whose
encoder stays frozen comes as cached features. The head never knows which. Explained in README, "Fine-tuning".
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import ALL_LAYERS, IMAGE, TEXT, RunConfig
from mmlab.course.reading import Course
from mmlab.encoders import find_image_encoder, find_text_encoder, pool_patches, read_tokens
from mmlab.errors import ConfigError, MmlabError
from mmlab.features import Batch, Features, Sequences, encode_course
from mmlab.images import read_rgb
from mmlab.models import FusionModel
from mmlab.storage import cache_folder, write_atomic

BATCHES_A_POOL = 16  # texts of like length are looked for among so many batches: little padding, still a fair shuffle
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALLEST_CROP = 0.6  # share of an image's area that a training crop keeps at least


@dataclass(frozen=True)
class Tokens(Sequences):
    """Token ids as a side of Features: values int32 (total length, 1)."""

    padding: int = 0

    @property
    def padded(self) -> tuple[Tensor, Tensor]:
        """ids int64 (n, longest) and mask bool (n, longest)."""
        longest = max(1, int(self.lengths.max(initial=0)))
        mask = np.arange(longest) < self.lengths[:, None]
        ids = np.full(mask.shape, self.padding, np.int64)
        ids[mask] = self.values[:, 0]
        return torch.from_numpy(ids), torch.from_numpy(mask)


@dataclass(frozen=True)
class Pictures:
    """Image files as a side of Features: pixels are read when a batch is made. An absent image is an empty path."""

    paths: np.ndarray  # of str
    settings: dict  # timm's: input_size, mean, std, interpolation, ...

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def lengths(self) -> np.ndarray:
        return (self.paths != "").astype(np.int64)

    def take(self, rows: np.ndarray) -> "Pictures":
        return replace(self, paths=self.paths[np.asarray(rows)])

    def emptied(self) -> "Pictures":
        return replace(self, paths=np.full_like(self.paths, ""))

    def batch(self, rows: np.ndarray, draw: int | None = None) -> tuple[Tensor, Tensor]:
        """Pixels float32 (n, 3, side, side), zeros where there is no image, and mask bool (n, 1).

        draw: a seed for random crops and mirror images, or None for the whole image as it is. The same seed and row
        give the same crop, whichever process reads it.
        """
        paths = self.paths[np.asarray(rows)]
        pixels = torch.zeros(len(paths), *self.settings["input_size"])
        for place, (row, path) in enumerate(zip(rows, paths, strict=True)):
            if not path:
                continue
            image = read_rgb(path)
            if draw is None:
                pixels[place] = self._transforms[0](image)
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(hash((draw, int(row))) % 2**63)
                pixels[place] = self._transforms[1](image)
        return pixels, torch.from_numpy(paths != "").unsqueeze(1)

    @cached_property
    def _transforms(self):
        import timm
        from torchvision.transforms import v2

        size = self.settings["input_size"][1:]
        crop = v2.RandomResizedCrop(size, scale=(SMALLEST_CROP, 1.0), antialias=True)
        normalise = v2.Normalize(self.settings["mean"], self.settings["std"])
        drawn = [crop, v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalise]
        return timm.data.create_transform(**self.settings, is_training=False), v2.Compose(drawn)


def prepare_pairs(course: Course, config: RunConfig, progress: bool = True) -> Features:
    """The pairs of a course as this config's model reads them, row i being row i of `course.pairs`.

    Token ids or image files where the encoder is trained, cached features where it is not; `frozen` has the features of
    both, in which training begins. Raises EncoderError when an encoder cannot be had.
    """
    frozen = encode_course(course, config.text_encoder, config.image_encoder, progress)
    pairs, sides = course.pairs, {}
    if "text" in config.tunes:
        encoder = find_text_encoder(config.text_encoder)
        ids = [row if has else [] for row, has in zip(encoder.tokenise(list(pairs[TEXT])), pairs.has_text, strict=True)]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
        values = np.fromiter((one for row in ids for one in row), np.int32).reshape(-1, 1)
        sides["text"] = Tokens(values, starts, encoder._loaded[0].pad_token_id or 0)
    if "image" in config.tunes:
        settings, _ = find_image_encoder(config.image_encoder).load(config.image_side)
        sides["image"] = Pictures(np.where(pairs.has_image, pairs[IMAGE].astype(str), "").astype(str), settings)
    return replace(frozen, **sides, frozen=frozen) if sides else frozen


class TextTower(nn.Module):
    """A text encoder in training: ids (B, T) and mask to vectors (B, T, 2 · width), as `read_tokens` gives them."""

    def __init__(self, name: str, layers: int, checkpointing: bool):
        super().__init__()
        self.tokenizer, self.model = find_text_encoder(name).load()
        count = self.model.config.num_hidden_layers
        stack = next(m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
        depth = {id(p): 1 + number for number, layer in enumerate(stack) for p in layer.parameters()}
        self.depths = {name: depth.get(id(p), 0) for name, p in self.model.named_parameters() if "pooler" not in name}
        _freeze(self, "text", layers, count)
        if checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        seen = mask.clone()
        seen[:, 0] |= ~mask.any(dim=1)  # attention over nothing is not a number; what comes of it is masked out later
        return read_tokens(self.model, input_ids=ids, attention_mask=seen.long())


class ImageTower(nn.Module):
    """An image encoder in training: pixels (B, 3, H, W) to vectors (B, 1 + PATCH_GRID², width), as `pool_patches` does.

    Its batch norms keep the statistics they were pretrained with: those of a small batch are noise.
    """

    def __init__(self, name: str, layers: int, checkpointing: bool, side: int = 0):
        super().__init__()
        from timm.models import group_parameters

        self.settings, self.model = find_image_encoder(name).load(side)
        self.model.reset_classifier(0)
        self.depths = group_parameters(self.model, self.model.group_matcher(coarse=False), reverse=True)
        _freeze(self, "image", layers, max(self.depths.values()))
        if checkpointing:
            self.model.set_grad_checkpointing()

    def train(self, mode: bool = True) -> "ImageTower":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        return pool_patches(self.model, pixels.to(memory_format=torch.channels_last))


class TunedModel(nn.Module):
    """Encoders and head in one module: `forward` takes a batch of `prepare_pairs` and gives what FusionModel gives."""

    def __init__(self, config: RunConfig, text_width: int, image_width: int):
        super().__init__()
        self.config = config
        self.towers = nn.ModuleDict()
        if "text" in config.tunes:
            self.towers["text"] = TextTower(config.text_encoder, config.text_layers, config.checkpointing)
        if "image" in config.tunes:
            self.towers["image"] = ImageTower(
                config.image_encoder, config.image_layers, config.checkpointing, config.image_side
            )
        self.head = FusionModel(config, text_width, image_width)

    @property
    def scenarios(self) -> tuple[str, ...]:
        return self.head.scenarios

    def encode(self, batch: Batch) -> Batch:
        """The batch with vectors in place of token ids and pixels."""
        text, image, image_mask = batch.text, batch.image, batch.image_mask
        if "text" in self.towers:
            with self._arithmetic("text"):
                text = self.towers["text"](text, batch.text_mask).float()
        if "image" in self.towers:
            with self._arithmetic("image"):
                image = self.towers["image"](image).float()
            image_mask = image_mask.expand(-1, image.shape[1])
        return Batch(text, batch.text_mask, image, image_mask)

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device

    def precision(self, modality: str) -> str:
        """fp32, bf16 or fp16, on the device where the model is now."""
        return find_precision(modality, self.device, self.config)

    def _arithmetic(self, modality: str) -> torch.autocast:
        kind = DTYPES[self.precision(modality)]
        return torch.autocast(self.device.type, dtype=kind, enabled=kind != torch.float32)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.head(self.encode(batch))

    def learned(self) -> dict[str, Tensor]:
        """What training has made: the head and the trained layers. The frozen rest is where the encoder came from."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        return {name: t for name, t in self.state_dict().items() if name in trained or name.startswith("head.")}

    def load_learned(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `learned`. Raises MmlabError when the tensors are of another model."""
        if set(tensors) != set(self.learned()):
            odd = sorted(set(tensors) ^ set(self.learned()))[0]
            raise MmlabError(f"The weights are of another model: {odd} is on one side only.")
        self.load_state_dict(tensors, strict=False)

    def encoder_groups(self) -> list[dict]:
        """The optimizer's groups for the encoders, each depth with its own lr; matrices decay."""
        groups = []
        for tower in self.towers.values():
            top = max(tower.depths.values())
            own = dict(tower.model.named_parameters())
            for depth in sorted(set(tower.depths.values())):
                lr = self.config.encoder_lr * self.config.layer_decay ** (top - depth)
                here = [own[n] for n, d in tower.depths.items() if d == depth and own[n].requires_grad]
                for decay, chosen in (
                    (self.config.weight_decay, [p for p in here if p.ndim > 1]),
                    (0.0, [p for p in here if p.ndim <= 1]),
                ):
                    if chosen:
                        groups.append({"params": chosen, "lr": lr, "weight_decay": decay})
        return groups


def _freeze(tower: nn.Module, modality: str, layers: int, count: int) -> None:
    """Leave only the last `layers` of `count` layers to be trained; ALL trains the embeddings or the stem as well."""
    if layers > count:
        raise ConfigError(f"{modality}_layers={layers}: this encoder has {count} layers. Use -1 for all of it.")
    lowest = 0 if layers == ALL_LAYERS else count - layers + 1
    for name, parameter in tower.model.named_parameters():
        parameter.requires_grad_(tower.depths.get(name, -1) >= lowest)


def find_precision(modality: str, device: torch.device, config: RunConfig) -> str:
    """The arithmetic for an encoder of this modality on this device: what the config asks for, or what suits it.

    A GPU: bf16 where it computes with it, else fp16. A CPU: the quicker of fp32 and bf16 in a training step of a small
    encoder, measured once and remembered, so that all runs on a machine agree.
    """
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type != "cpu":
        return "fp32"
    note = cache_folder("precision") / f"{modality}-{platform.node()}-{torch.__version__}.json"
    try:
        return json.loads(note.read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        seconds = {name: _time_step(modality, DTYPES[name]) for name in ("fp32", "bf16")}
        chosen = min(seconds, key=seconds.get)
        write_atomic(note, json.dumps({"precision": chosen, "seconds": seconds}))
        return chosen


def _time_step(modality: str, dtype: torch.dtype, repeats: int = 3) -> float:
    if modality == "text":
        model = nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True)
        batch = torch.randn(32, 24, 384)
    else:
        layers = [nn.Conv2d(64, 256, 1), nn.Conv2d(256, 256, 3, groups=256, padding=1), nn.Conv2d(256, 64, 1)]
        model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        batch = torch.randn(16, 64, 36, 36).to(memory_format=torch.channels_last)
    taken = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            model(batch).float().square().mean().backward()
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


@contextmanager
def explain_memory(config: RunConfig) -> Iterator[None]:
    """Where memory runs out in it, one ConfigError that says which knob to turn, with numbers."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        full = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not full:
            raise
        where = "memory"
        if torch.cuda.is_available():
            free, total = (one / 2**30 for one in torch.cuda.mem_get_info())
            where = f"the GPU's memory ({total:.0f} GiB, {free:.1f} GiB free)"
        ways = []
        if config.batch_size > 1:
            half = config.batch_size // 2
            ways.append(f"batch_size={half} with accumulate={2 * config.accumulate} (the same step in halves)")
        if not config.checkpointing:
            ways.append("checkpointing=true (a third slower)")
        if "image" in config.tunes and config.image_side > 224:
            ways.append(f"image_side={config.image_side * 2 // 3} ({4 / 9:.0%} of the pixels)")
        ways.append("fewer text_layers or image_layers")
        raise ConfigError(
            f"A step of batch_size={config.batch_size} does not fit in {where}. Try {', or '.join(ways)}."
        ) from error


def write_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict) -> None:
    """A half-trained model in one safetensors file, whole or not at all; state: plain values."""
    from safetensors.torch import save

    write_atomic(path, save({name: t.contiguous() for name, t in tensors.items()}, {"state": json.dumps(state)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict] | None:
    """What `write_checkpoint` wrote, or None when there is nothing. Raises MmlabError when the file is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as content:
            state = json.loads(content.metadata()["state"])
            return {name: content.get_tensor(name) for name in content.keys()}, state
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise MmlabError(f"{path}: is damaged ({error}). Delete it; this model then begins anew.") from error


def bucketed_batches(rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """The rows in random batches of `size`, of like length within a batch: texts are padded to the longest."""
    shuffled = np.asarray(rows)[torch.randperm(len(rows)).numpy()]
    batches = []
    for start in range(0, len(shuffled), size * BATCHES_A_POOL):
        pool = shuffled[start : start + size * BATCHES_A_POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[number] for number in torch.randperm(len(batches)).tolist()]


class _BatchReader(torch.utils.data.Dataset):
    """Batches by number, for the DataLoader's workers."""

    def __init__(self, features: Features, batches: list[np.ndarray], draw: int | None):
        self.text, self.image, self.batches, self.draw = features.text, features.image, batches, draw

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        rows = self.batches[number]
        pixels = isinstance(self.image, Pictures)
        image = self.image.batch(rows, self.draw) if pixels else self.image.batch(rows)
        return Batch(*self.text.batch(rows), *image)


def read_batches(features: Features, batches: list[np.ndarray], draw: int | None = None) -> Iterator[Batch]:
    """The batches in order; images are decoded ahead by worker processes, one for each core but one, at most 8.

    draw: a seed for the augmentation of training images.
    """
    reader = _BatchReader(features, batches, draw)
    if not isinstance(features.image, Pictures):
        return (reader[number] for number in range(len(reader)))
    workers = max(1, min(8, (os.cpu_count() or 1) - 1))
    return iter(torch.utils.data.DataLoader(reader, batch_size=None, num_workers=workers, prefetch_factor=4))
