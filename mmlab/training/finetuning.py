"""Encoders that learn with the head; a side whose encoder stays frozen comes as cached features.

Explained in docs/fine-tuning.md.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import ALL_LAYERS, RunConfig
from mmlab.device import autocast, find_device, find_precision
from mmlab.encoders import ImageEncoder, TextEncoder
from mmlab.errors import ConfigError, MmlabError
from mmlab.features import Batch, Features, Sequences
from mmlab.models import Dropout, FusionModel
from mmlab.readout import pool_patches, read_tokens
from mmlab.storage import LARGEST_WEIGHTS, read_file, seal_bytes, unseal_bytes, write_atomic
from mmlab.training.inputs import ANSWERED_AT_ONCE, Inputs, bucketed_batches, read_batches
from mmlab.training.loop import Hooks, Progress, fit, split_decay


class TextTower(nn.Module):
    """A text encoder in training: ids (B, T) and mask to vectors (B, T, 2 · width), as `read_tokens` gives them."""

    def __init__(self, encoder: TextEncoder, config: RunConfig):
        super().__init__()
        self.tokenizer, self.model = encoder.load()
        count = self.model.config.num_hidden_layers
        stack = next(m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
        depth = {id(p): 1 + number for number, layer in enumerate(stack) for p in layer.parameters()}
        self.depths = {name: depth.get(id(p), 0) for name, p in self.model.named_parameters() if "pooler" not in name}
        _freeze(self, "text", config.text_layers, count)
        _draw_cheaply(self.model)
        if config.checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        seen = mask.clone()
        seen[:, 0] |= ~mask.any(dim=1)  # attention over nothing is not a number; what comes of it is masked out later
        return read_tokens(self.model, input_ids=ids, attention_mask=seen.long())


class ImageTower(nn.Module):
    """An image encoder in training: pixels (B, 3, H, W) to vectors (B, 1 + PATCH_GRID², width), as `pool_patches` does.

    Its batch norms keep the statistics they were pretrained with: those of a small batch are noise.
    """

    def __init__(self, encoder: ImageEncoder, config: RunConfig):
        super().__init__()
        from timm.models import group_parameters

        self.settings, self.model = encoder.load(config.image_side)
        self.model.reset_classifier(0)
        self.depths = group_parameters(self.model, self.model.group_matcher(coarse=False), reverse=True)
        _freeze(self, "image", config.image_layers, max(self.depths.values()))
        _draw_cheaply(self.model)
        if config.checkpointing:
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
    """Encoders and head in one module: `forward` takes a batch of Inputs and gives what FusionModel gives."""

    def __init__(self, config: RunConfig, inputs: Inputs):
        super().__init__()
        if not isinstance(inputs, Inputs):
            raise MmlabError("A model that trains encoders reads pairs, not cached features: give `prepare_pairs`.")
        self.config = config
        towers = {"text": TextTower, "image": ImageTower}
        self.towers = nn.ModuleDict({side: towers[side](one, config) for side, one in inputs.encoders.items()})
        self.head = FusionModel(config, inputs.frozen.text.width, inputs.frozen.image.width)

    @property
    def scenarios(self) -> tuple[str, ...]:
        return self.head.scenarios

    @property
    def device(self) -> torch.device:
        return next(self.head.parameters()).device

    def encode(self, batch: Batch) -> Batch:
        text, image, image_mask = batch.text, batch.image, batch.image_mask
        if "text" in self.towers:
            with autocast(self.device, self.precision):
                text = only_present_rows(self.towers["text"], batch.text_mask.any(dim=1), text, batch.text_mask)
        if "image" in self.towers:
            with autocast(self.device, self.precision):
                image = only_present_rows(self.towers["image"], image_mask[:, 0], image)
            image_mask = image_mask.expand(-1, image.shape[1])
        return Batch(text, batch.text_mask, image, image_mask)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.head(self.encode(batch))

    @property
    def precision(self) -> str:
        return find_precision(self.config.precision, self.device)

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

    def parameter_groups(self) -> list[dict]:
        """The optimizer's groups: the head, and each depth of each encoder with its own lr."""
        decay = self.config.weight_decay
        groups = split_decay(self.head.parameters(), decay)
        for tower in self.towers.values():
            top, own = max(tower.depths.values()), dict(tower.model.named_parameters())
            for depth in sorted(set(tower.depths.values())):
                here = [own[name] for name, at in tower.depths.items() if at == depth and own[name].requires_grad]
                groups += split_decay(here, decay, lr=self.config.encoder_lr * self.config.layer_decay ** (top - depth))
        return groups


def _freeze(tower: nn.Module, modality: str, layers: int, count: int) -> None:
    """Let only the last `layers` of `count` layers be trained; ALL_LAYERS trains the embeddings or the stem as well."""
    if layers > count:
        raise ConfigError(f"{modality}_layers={layers}: this encoder has {count} layers. Use -1 for all of it.")
    lowest = 0 if layers == ALL_LAYERS else count - layers + 1
    for name, parameter in tower.model.named_parameters():
        parameter.requires_grad_(tower.depths.get(name, -1) >= lowest)


def run_towers(model: TunedModel, inputs: Inputs) -> Features:
    """What a model's own encoders make of each text and each image: features for `model.head`."""
    count, sides = len(inputs), {}
    rows = np.argsort(inputs.text.lengths, kind="stable")
    vectors: dict[str, list] = {side: [None] * count for side in model.towers}
    with torch.inference_mode():
        for start in range(0, count, ANSWERED_AT_ONCE):
            places = rows[start : start + ANSWERED_AT_ONCE]
            batch = model.encode(inputs.batch(places).to(model.device)).to("cpu")
            for side in model.towers:
                values, masks = getattr(batch, side), getattr(batch, f"{side}_mask")
                for place, value, mask in zip(places, values, masks, strict=True):
                    vectors[side][place] = value[mask].numpy()
    for side, each in vectors.items():
        starts = np.concatenate([[0], np.cumsum([len(one) for one in each])]).astype(np.int64)
        sides[side] = Sequences(np.concatenate(each), starts)
    return replace(inputs.frozen, **sides)


def only_present_rows(tower: nn.Module, present: Tensor, *inputs: Tensor) -> Tensor:
    """What a tower makes of the rows at True of `present`, bool (B,), in float32; zeros for the others, at no cost.

    `modality_dropout` hides each side of a tenth of the training pairs.
    """
    rows = present.clone()
    rows[0] = True  # at least one: the shape of what comes out is the tower's own
    if rows.all():
        return tower(*inputs).float()
    vectors = tower(*(one[rows] for one in inputs)).float()
    return vectors.new_zeros(len(rows), *vectors.shape[1:]).index_put((rows,), vectors)


def _draw_cheaply(model: nn.Module) -> None:
    """Let an encoder's dropout draw cheap random numbers on the CPU; a GPU's own are quick."""
    if find_device().type != "cpu":
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
    if getattr(getattr(model, "config", None), "_attn_implementation", "") == "sdpa":
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask

        AttentionInterface.register("mmlab", attend)
        AttentionMaskInterface.register("mmlab", sdpa_mask)
        model.set_attn_implementation("mmlab")


def attend(module, query, key, value, attention_mask, dropout: float = 0.0, scaling=None, **settings):
    """transformers' attention for training on a CPU: (B, heads, T, d) three times to (B, T, heads, d).

    torch's own has no quick path for short texts with dropout: it draws slowly, and its softmax in bf16 takes six
    times as long as in float32. What is not plain self-attention, and all attention without dropout, is left to torch.
    """
    plain = query.shape == key.shape == value.shape and settings.get("position_bias") is None
    if not dropout or not plain or (attention_mask is None and getattr(module, "is_causal", True)):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward as torch_attention

        return torch_attention(module, query, key, value, attention_mask, dropout, scaling, **settings)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = (query * scaling).contiguous(), key.contiguous(), value.contiguous()
    scores = (query @ key.transpose(2, 3)).float()
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        attention_mask = torch.zeros(attention_mask.shape).masked_fill_(~attention_mask, torch.finfo(torch.float32).min)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1)
    weights = weights * Dropout(dropout).factors(*weights.shape)
    return (weights.to(value.dtype) @ value).transpose(1, 2).contiguous(), None


class TuningHooks(Hooks):
    """What `fit` needs to train encoders together with the heads.

    It begins with heads that were trained on the frozen features first (Kumar et al. 2022). checkpoint: a file that is
    written after each epoch; where it exists, training goes on from it and ends as if it had never stopped.
    """

    def __init__(
        self,
        config: RunConfig,
        on_batch: Callable[[int, float], None] | None = None,
        checkpoint: Path | None = None,
    ):
        super().__init__(config, on_batch)
        self.device, self.checkpoint = find_device(), checkpoint

    @contextmanager
    def running(self, seed: int) -> Iterator[None]:
        with super().running(seed), explain_memory(self.config):
            yield

    def begin(self, pairs: Inputs, labels, train_rows, dev_rows, seed: int) -> TunedModel:
        """Pretrained encoders, and heads that were trained on what these make of the pairs."""
        self.seed, model = seed, TunedModel(self.config, pairs)
        start = fit(self.config.frozen(), pairs.frozen, labels, train_rows, dev_rows, seed)
        model.head.load_state_dict(start.model.state_dict())
        return model

    def prepare(self, model: TunedModel, steps: int) -> Progress:
        """As in Hooks, with a scaled loss for fp16; goes on from the checkpoint where there is one."""
        progress = super().prepare(model, steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=model.precision == "fp16")
        self.parts = {"optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        return (self.checkpoint and load_progress(self.checkpoint, model, **self.parts)) or progress

    def parameter_groups(self, model: TunedModel) -> list[dict]:
        return model.parameter_groups()

    def steps(self, n_batches: int) -> int:
        return -(-n_batches // self.config.accumulate)

    def batches(self, pairs: Inputs, rows: np.ndarray, epoch: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """Batches of texts of similar length; notes for each its share of the pairs that make one step together."""
        order = bucketed_batches(rows, pairs.text.lengths, self.config.batch_size)
        draw = self.seed * 1000 + epoch if self.config.augment else None
        for number, batch in enumerate(read_batches(pairs, order, draw)):
            first = number - number % self.config.accumulate
            group = order[first : first + self.config.accumulate]
            self.share = len(order[number]) / sum(map(len, group))
            self.completes_group = number == first + len(group) - 1
            yield order[number], batch

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients of the group: their sum is that of one batch of all its pairs."""
        self.scaler.scale(loss * self.share).backward()

    def step(self) -> None:
        """Step when the group is complete; a step with an overflow in fp16 is left out."""
        if not self.completes_group:
            return
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.schedule.step()

    def after_epoch(self, model: TunedModel, progress: Progress) -> None:
        if self.checkpoint is not None:
            save_progress(self.checkpoint, progress, model, **self.parts)


@contextmanager
def explain_memory(config: RunConfig) -> Iterator[None]:
    """Turn a lack of memory into one ConfigError that says which knob to turn, with numbers."""
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


def save_progress(path: Path, progress: Progress, model, **parts) -> None:
    """Write all that the next epoch depends on. parts: what has a `state_dict`: optimizer, schedule, loss scale."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"model": model.learned(), "progress": vars(progress), "random": torch.get_rng_state()}
    if model.device.type == "cuda":
        state["random of the GPU"] = torch.cuda.get_rng_state(model.device)
    file = io.BytesIO()
    torch.save(state, file)
    write_atomic(path, seal_bytes(file.getvalue()))


def load_progress(path: Path, model, **parts) -> Progress | None:
    """Put everything back as `save_progress` found it; None without a file. Raises MmlabError when it is damaged."""
    if not path.is_file():
        return None
    state = read_checkpoint(path)
    model.load_learned(state["model"])
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"])
    if "random of the GPU" in state:
        torch.cuda.set_rng_state(state["random of the GPU"], model.device)
    return Progress(**state["progress"])


def read_checkpoint(path: Path) -> dict:
    """What `save_progress` wrote, by part. Raises MmlabError when the file is damaged."""
    try:
        raw = io.BytesIO(unseal_bytes(read_file(path, LARGEST_WEIGHTS)))
        return torch.load(raw, map_location="cpu", weights_only=True)  # weights_only: a pickle could run code
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise MmlabError(f"{path}: is damaged ({first}). Delete it; this model then begins again.") from error
