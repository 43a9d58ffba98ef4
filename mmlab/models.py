"""Heads and fusions: features of a batch in, logits for every scenario out.

The text head sees only the text and the image head only the image; the joint head sees what a fusion makes of both.
A missing side is masked out: no vector of it reaches a fusion. A fusion is one class; defining it registers the name by
which a config chooses it: `class Mine(Fusion, name="mine")`.

Explained in notebooks 02 and 03 (heads, section 3) and notebook 04, section 2 (fusions).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import LABELS, RunConfig
from mmlab.features import Batch, Features

CLASSES = len(LABELS)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the vectors at True: (B, L, D) and bool (B, L) to (B, D); zeros where a row has no True."""
    kept = mask.unsqueeze(-1).to(values.dtype)
    return (values * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


class Projection(nn.Module):
    """An encoder's vectors (B, L, width) to the head's width: (B, L, hidden).

    Layer norm without parameters; each dimension to mean 0 and deviation 1 over the training pairs, since an encoder's
    few large dimensions would drown the others; then dropout of whole dimensions, the same for all vectors of a pair,
    since neighbouring tokens could fill in for each other.
    """

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dropout = dropout
        self.linear = nn.Linear(width, hidden)

    def standardise(self, vectors: Tensor) -> None:
        """Take mean and deviation of each dimension from the training pairs' vectors (N, width)."""
        if len(vectors):
            deviation, self.mean = torch.std_mean(self.norm(vectors), dim=0, correction=0)
            self.scale = 1 / deviation.clamp(min=1e-3)  # a dimension that never changes stays near 0

    def forward(self, vectors: Tensor) -> Tensor:
        vectors = (self.norm(vectors) - self.mean) * self.scale
        if self.training and self.dropout:
            # What nn.Dropout does, but drawn by rand: on the CPU four times faster than its Bernoulli draws.
            kept = torch.rand(len(vectors), 1, vectors.shape[2], device=vectors.device) >= self.dropout
            vectors = vectors * (kept / (1 - self.dropout))
        return self.linear(vectors)


class Head(nn.Module):
    """One vector a pair (B, width) to logits (B, 3): projection, GELU, dropout, a linear layer."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.projection = Projection(width, hidden, dropout)
        self.classify = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, CLASSES))

    def forward(self, pooled: Tensor) -> Tensor:
        return self.classify(self.projection(pooled.unsqueeze(1)).squeeze(1))


@dataclass(frozen=True)
class Sides:
    """What a fusion may work on. Vectors are already of the head's width.

    present: bool (B, 2, 1), is there a text, is there an image. answers: the logits (B, 3) of the heads, by scenario.
    summaries: (B, 2, hidden), the text's mean and the image's pooled vector, zeros where missing. Only for fusions over
    sequences: text (B, T, hidden), text_mask (B, T), image (B, P, hidden), image_mask (B, P).
    """

    present: Tensor
    answers: dict[str, Tensor] = field(default_factory=dict)
    summaries: Tensor | None = None
    text: Tensor | None = None
    text_mask: Tensor | None = None
    image: Tensor | None = None
    image_mask: Tensor | None = None


# The fusions by the name that a config gives them; their classes enter themselves.
FUSIONS: dict[str, type["Fusion"]] = {}


class Fusion(nn.Module):
    """Makes one of two: `forward(sides)` gives a joint vector (B, hidden), or logits (B, 3) if it is not over vectors.

    Each class is built with the width of the vectors, the number of attention heads, and the share to drop.
    """

    formula = ""  # LaTeX, for the report
    summary = ""  # one line
    over_vectors = True
    over_sequences = False  # single tokens and patches, or only one summary per side

    def __init_subclass__(cls, name: str) -> None:
        FUSIONS[name] = cls


class ConcatFusion(Fusion, name="concat"):
    """[text; image], one after the other, through one layer. A missing side is replaced by a learned vector."""

    formula = r"z = \operatorname{GELU}(W [t; v])"
    summary = "both summaries, one after the other, through one layer"

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(2, hidden))
        self.mix = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.GELU())

    def forward(self, sides: Sides) -> Tensor:
        return self.mix(torch.where(sides.present, sides.summaries, self.missing).flatten(1))


class GatedFusion(Fusion, name="gated"):
    """A gate decides, dimension by dimension, how much of each side to take (Arevalo et al. 2017, gated unit).

    z = g · tanh(Wt t) + (1 − g) · tanh(Wv v), g = σ(Wg [t; v]). Where a side is missing, the other is taken whole.
    """

    formula = r"z = g \odot \tanh(W_t t) + (1-g) \odot \tanh(W_v v), \quad g = \sigma(W_g [t; v])"
    summary = "a gate weighs text against image in each dimension"

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.text, self.image = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.gate = nn.Linear(2 * hidden, hidden)

    def gates(self, sides: Sides) -> Tensor:
        """The text's share g (B, hidden), between 0 and 1; 1 without an image, 0 with nothing but an image."""
        return only_present(torch.sigmoid(self.gate(sides.summaries.flatten(1))), sides.present)

    def forward(self, sides: Sides) -> Tensor:
        gate = self.gates(sides)
        text, image = sides.summaries.unbind(dim=1)
        return gate * torch.tanh(self.text(text)) + (1 - gate) * torch.tanh(self.image(image))


class AttentionFusion(Fusion, name="attention"):
    """Multi-head attention over the tokens of the text and the patches of the image at once.

    Each modality has its own key and its own value projection, so that words and patches are compared on equal terms.
    The query is made from the summaries of the sides that are there. Scores are scaled by √(hidden / heads)
    (Vaswani et al. 2017); padding and a missing side get weight 0. The result joins the summaries in one layer.
    """

    formula = r"a = \operatorname{softmax}\left(\frac{q K^{\top}}{\sqrt{d}}\right) V"
    summary = "one question, asked of all tokens and patches at once"
    over_sequences = True

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(2 * hidden, hidden)
        self.text_key, self.text_value = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.image_key, self.image_value = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.mix = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU())

    def weights(self, sides: Sides) -> Tensor:
        """Attention weights (B, heads, T + P): tokens first, then patches; each row sums to 1 over what is there."""
        query = self._split(self.query(sides.summaries.flatten(1)).unsqueeze(1))  # (B, heads, 1, d)
        keys = self._split(torch.cat([self.text_key(sides.text), self.image_key(sides.image)], dim=1))
        scores = (query @ keys.transpose(-1, -2)).squeeze(2) / keys.shape[-1] ** 0.5
        mask = torch.cat([sides.text_mask, sides.image_mask], dim=1).unsqueeze(1)
        return torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=-1) * mask

    def forward(self, sides: Sides) -> Tensor:
        values = self._split(torch.cat([self.text_value(sides.text), self.image_value(sides.image)], dim=1))
        attended = (self.weights(sides).unsqueeze(2) @ values).transpose(1, 2).flatten(1)  # (B, hidden)
        return self.mix(torch.cat([sides.summaries.flatten(1), attended], dim=1))

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, hidden / heads)


class TransformerFusion(Fusion, name="transformer"):
    """A Transformer encoder over [summary token; text tokens; image patches], each plus its modality's embedding."""

    formula = r"z = \operatorname{Encoder}([s; t_1 \ldots t_n; v_1 \ldots v_m])_0"
    summary = "two Transformer layers over a summary token, all tokens and all patches"
    over_sequences = True

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.summary_token = nn.Parameter(torch.randn(1, 1, hidden) * 0.02)
        self.modality = nn.Parameter(torch.randn(2, hidden) * 0.02)
        layer = nn.TransformerEncoderLayer(
            hidden, heads, 2 * hidden, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)

    def forward(self, sides: Sides) -> Tensor:
        summary = self.summary_token.expand(len(sides.text), -1, -1)
        sequence = torch.cat([summary, sides.text + self.modality[0], sides.image + self.modality[1]], dim=1)
        always = torch.ones_like(sides.text_mask[:, :1])
        mask = torch.cat([always, sides.text_mask, sides.image_mask], dim=1)
        return self.encoder(sequence, src_key_padding_mask=~mask)[:, 0]


class LateFusion(Fusion, name="late"):
    """One learned weight for all pairs mixes what the heads answer; where a side is missing, only the other counts."""

    formula = r"p = w\, p_t + (1-w)\, p_v"
    summary = "one learned weight mixes the answers of the two heads"
    over_vectors = False

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, sides: Sides) -> Tensor:
        text, image = sides.answers["text_only"], sides.answers["image_only"]
        weight = only_present(torch.sigmoid(self.weight).expand(len(text), 1), sides.present)
        mixed = weight * text.softmax(dim=-1) + (1 - weight) * image.softmax(dim=-1)
        return mixed.clamp(min=1e-9).log()


class FusionModel(nn.Module):
    """The heads on top of encoded pairs: `forward(batch)` gives logits (B, 3) of each of `config.trained_scenarios`."""

    def __init__(self, config: RunConfig, text_width: int, image_width: int):
        super().__init__()
        self.config, self.scenarios = config, config.trained_scenarios
        hidden, dropout = config.hidden, config.dropout
        if "text_only" in self.scenarios:
            self.text_head = Head(text_width, hidden, dropout)
        if "image_only" in self.scenarios:
            self.image_head = Head(image_width, hidden, dropout)
        if "text_and_image" in self.scenarios:
            kind = FUSIONS[config.fusion]
            if kind.over_vectors:
                self.text_projection = Projection(text_width, hidden, dropout)
                self.image_projection = Projection(image_width, hidden, dropout)
            self.fusion = kind(hidden, config.heads, dropout)
            self.joint_head = nn.Identity()
            if kind.over_vectors:
                self.joint_head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, CLASSES))

    def standardise(self, features: Features, rows: np.ndarray) -> None:
        """Let each projection take mean and deviation of what it will see, from the training rows, before training."""
        for modality in ("text", "image"):
            summaries = getattr(features.summarised, modality).take(rows).values
            every = getattr(features, modality).take(rows).values if uses_sequences(self.config) else summaries
            if hasattr(self, f"{modality}_head"):
                getattr(self, f"{modality}_head").projection.standardise(torch.from_numpy(summaries).float())
            if hasattr(self, f"{modality}_projection"):
                getattr(self, f"{modality}_projection").standardise(torch.from_numpy(every).float())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        answers = self.answer_alone(batch)
        if "text_and_image" in self.scenarios:
            answers["text_and_image"] = self.joint_head(self.fusion(self.sides(batch, answers)))
        return answers

    def answer_alone(self, batch: Batch) -> dict[str, Tensor]:
        """The logits (B, 3) of the heads that see one side, by scenario."""
        answers = {}
        if "text_only" in self.scenarios:
            answers["text_only"] = self.text_head(masked_mean(batch.text, batch.text_mask))
        if "image_only" in self.scenarios:
            answers["image_only"] = self.image_head(batch.image[:, 0] * batch.image_mask[:, :1])
        return answers

    def sides(self, batch: Batch, answers: dict[str, Tensor] | None = None) -> Sides:
        """The batch as the fusion sees it. answers: those of `answer_alone`, where they are known already."""
        answers = self.answer_alone(batch) if answers is None else answers
        present = present_sides(batch)
        if not self.fusion.over_vectors:
            return Sides(present, answers)
        if not self.fusion.over_sequences:
            text = self.text_projection(masked_mean(batch.text, batch.text_mask).unsqueeze(1))
            image = self.image_projection(batch.image[:, :1])
            return Sides(present, answers, torch.cat([text, image], dim=1) * present)
        text, image = self.text_projection(batch.text), self.image_projection(batch.image)
        summaries = torch.stack([masked_mean(text, batch.text_mask), image[:, 0]], dim=1) * present
        return Sides(present, answers, summaries, text, batch.text_mask, image, batch.image_mask)

    def learned(self) -> dict[str, Tensor]:
        return self.state_dict()

    def load_learned(self, tensors: dict[str, Tensor]) -> None:
        self.load_state_dict(tensors)


def uses_sequences(config: RunConfig) -> bool:
    """Whether this model looks at single tokens and patches, or only at one summary per side."""
    return config.scenario == "text_and_image" and FUSIONS[config.fusion].over_sequences


def present_sides(batch: Batch) -> Tensor:
    """bool (B, 2, 1): is there a text, is there an image."""
    return torch.stack([batch.text_mask.any(dim=1), batch.image_mask[:, 0]], dim=1).unsqueeze(-1)


def only_present(text_share: Tensor, present: Tensor) -> Tensor:
    """The text's share of a mixture (B, ...), set to 1 where there is no image and to 0 where there is only one."""
    has_text, has_image = present.unbind(dim=1)
    return torch.where(has_image, torch.where(has_text, text_share, 0.0), 1.0)


@dataclass(frozen=True)
class Node:
    """One part of a model: an input, a module, or a scenario's logits."""

    name: str
    kind: str  # "input", the module's class, or "logits"
    shape: tuple[int, ...]  # of what comes out of it
    parameters: int
    feeds: tuple[str, ...]  # the parts that use its output directly


def list_parts(model: FusionModel, tokens: int, patches: int) -> list[Node]:
    """The parts of a model and what feeds what, for one pair of so many tokens and patches.

    This is no method of the model because a change to it must not make a run out of date.
    """
    modules = {name: one for name, one in model.named_children() if not isinstance(one, nn.Identity)}
    over_vectors = "fusion" in modules and model.fusion.over_vectors
    shapes: dict[str, tuple[int, ...]] = {}
    feeds: dict[str, list[str]] = {}
    for side, length in (("text", tokens), ("image", patches)):
        head, projection, logits = f"{side}_head", f"{side}_projection", f"logits {side}_only"
        width = modules[head].projection.linear.in_features if head in modules else 0
        shapes |= {side: (1, length, width), head: (1, CLASSES)}
        shapes[projection] = (1, length if uses_sequences(model.config) else 1, model.config.hidden)
        feeds |= {side: [head, projection], head: [logits] if over_vectors else [logits, "fusion"]}
        feeds |= {projection: ["fusion"], logits: []}
    both = "logits text_and_image"
    shapes |= {"fusion": (1, model.config.hidden if over_vectors else CLASSES), "joint_head": (1, CLASSES)}
    feeds |= {"fusion": ["joint_head"] if over_vectors else [both], "joint_head": [both], both: []}
    there = {"text", "image", *modules, *(f"logits {scenario}" for scenario in model.scenarios)}
    nodes = []
    for name in filter(there.__contains__, feeds):
        module = modules.get(name)
        kind = type(module).__name__ if module is not None else "input" if name in ("text", "image") else "logits"
        parameters = sum(p.numel() for p in module.parameters()) if module is not None else 0
        targets = tuple(sorted(there.intersection(feeds[name])))
        nodes.append(Node(name, kind, shapes.get(name, (1, CLASSES)), parameters, targets))
    return nodes
