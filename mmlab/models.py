"""Heads and fusions: features of a batch in, logits for every scenario out.

The text head sees only the text and the image head only the image; the joint head sees what a fusion makes of both.
A missing side is masked out: no vector of it reaches a fusion. A fusion is one class; defining it registers the name by
which a config chooses it: `class Mine(Fusion, name="mine")`.

Explained in notebooks 02 and 03 (heads, section 3) and notebook 04, section 2 (fusions).
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import LABELS, RunConfig
from mmlab.features import Batch, Features

CLASSES = len(LABELS)
STANDARDISED_BY = 4096  # pairs whose tokens and patches tell mean and deviation of each dimension


def mean_weights(mask: Tensor) -> Tensor:
    """The weight of each vector in the mean of those at True: bool (B, L) to (B, 1, L)."""
    return (mask / mask.sum(dim=1, keepdim=True).clamp(min=1)).unsqueeze(1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the vectors at True: (B, L, D) and bool (B, L) to (B, D); zeros where a row has no True."""
    return (mean_weights(mask) @ values).squeeze(1)


class Dropout(nn.Dropout):
    """nn.Dropout with cheap random numbers: one draw of 64 bits decides over four numbers, by 16 bits each."""

    def factors(self, *shape: int, device: torch.device | None = None) -> Tensor:
        """What numbers of this shape are multiplied with: 0 for the share p of them, 1 / (1 - p) for the others."""
        dropped = min(round(self.p * 2**16), 2**16 - 1)  # of the 2^16 values that 16 bits can have
        count = math.prod(shape)
        bits = torch.empty(-(-count // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
        kept = bits.view(torch.int16)[:count].view(shape).float().ge_(dropped - 2**15)  # 0 or 1
        return kept.mul_(2**16 / (2**16 - dropped))

    def forward(self, values: Tensor) -> Tensor:
        if not (self.training and self.p):
            return values
        return values * self.factors(*values.shape, device=values.device).to(values.dtype)


class Projection(nn.Module):
    """An encoder's vectors (B, L, width) to the head's width: (B, L, hidden).

    Layer norm without parameters; each dimension to mean 0 and deviation 1 over the training pairs, since an encoder's
    few large dimensions would drown the others; then dropout of whole dimensions, the same for all vectors of a pair,
    since neighbouring tokens could fill in for each other; then one linear layer.
    """

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, hidden)

    def standardise(self, vectors: Tensor) -> None:
        """Take mean and deviation of each dimension from the training pairs' vectors (N, width), of any precision."""
        if not len(vectors):
            return
        total, squares = torch.zeros(2, vectors.shape[1], dtype=torch.float64)
        for block in vectors.split(1024):  # all at once would take several times the memory, and longer
            normed = self.norm(block.float()).double()
            total += normed.sum(dim=0)
            squares += normed.square().sum(dim=0)
        mean = total / len(vectors)
        deviation = (squares / len(vectors) - mean.square()).clamp(min=1e-6).sqrt()  # where nothing changes: near 0
        self.mean, self.scale = mean.float(), (1 / deviation).float()

    def sequence(self, vectors: Tensor, mask: Tensor) -> "Projected":
        """The vectors and their mask, bool (B, L), before the linear layer has met them."""
        factor = self.scale
        if self.training and self.dropout.p:
            factor = factor * self.dropout.factors(len(vectors), 1, vectors.shape[2], device=vectors.device)
        return Projected(self.norm(vectors), mask, self.mean, factor, self.linear)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.sequence(vectors, None).vectors


class Head(nn.Module):
    """One vector a pair (B, width) to logits (B, 3): projection, GELU, dropout, a linear layer."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.projection = Projection(width, hidden, dropout)
        self.classify = nn.Sequential(nn.GELU(), Dropout(dropout), nn.Linear(hidden, CLASSES))

    def forward(self, pooled: Tensor) -> Tensor:
        return self.classify(self.projection(pooled.unsqueeze(1)).squeeze(1))


@dataclass(frozen=True)
class Projected:
    """A side's sequence behind its projection W (x - mean) * factor + b, where few of the products need be computed.

    Because that is linear, a question q is scored by q · (W x + b) = (Wᵀ q) · x + q · b, and a weighted sum is
    Σ a (W x + b) = W Σ a x + b Σ a: W meets one question and one sum for each attention head, and not every token.
    """

    normed: Tensor  # x (B, L, width)
    mask: Tensor  # bool (B, L)
    mean: Tensor  # (width,)
    factor: Tensor  # of scale and dropout, (width,) or (B, 1, width)
    linear: nn.Linear

    @property
    def vectors(self) -> Tensor:
        """Every vector at the head's width, (B, L, hidden)."""
        return self.linear(torch.addcmul(-self.mean * self.factor, self.normed, self.factor))

    def score(self, questions: Tensor) -> Tensor:
        """Products of questions (B, Q, hidden) with all vectors: (B, Q, L)."""
        asked = (questions @ self.linear.weight) * self.factor
        return asked @ self.normed.mT + (questions @ self.linear.bias - asked @ self.mean).unsqueeze(-1)

    def mix(self, weights: Tensor) -> Tensor:
        """Sums of the vectors by weights (B, Q, L), zero at padding: (B, Q, hidden)."""
        whole = weights.sum(dim=-1, keepdim=True)
        sums = (weights @ self.normed - whole * self.mean) * self.factor
        return sums @ self.linear.weight.T + whole * self.linear.bias


@dataclass(frozen=True)
class Sides:
    """What a fusion may work on. Vectors are already of the head's width.

    present: bool (B, 2, 1), is there a text, is there an image. answers: the logits (B, 3) of the heads, by scenario.
    summaries: (B, 2, hidden), the text's mean and the image's pooled vector, zeros where missing. Only for fusions over
    sequences: `text.vectors` (B, T, hidden), `text.mask` (B, T), `image.vectors` (B, P, hidden), `image.mask` (B, P).
    """

    present: Tensor
    answers: dict[str, Tensor] = field(default_factory=dict)
    summaries: Tensor | None = None
    text: Projected | None = None
    image: Projected | None = None


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
    cost = 1.0  # how many times as long as the gated one it trains, measured on one core

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
    cost = 5.0
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
        query = self.query(sides.summaries.flatten(1)).unflatten(1, (self.heads, -1))  # (B, heads, d)
        scores = torch.cat(
            [self._score(query, self.text_key, sides.text), self._score(query, self.image_key, sides.image)], dim=2
        )
        mask = torch.cat([sides.text.mask, sides.image.mask], dim=1).unsqueeze(1)
        scores = (scores / query.shape[-1] ** 0.5).masked_fill(~mask, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-1) * mask

    def forward(self, sides: Sides) -> Tensor:
        text, image = self.weights(sides).tensor_split([sides.text.mask.shape[1]], dim=2)
        attended = self._mix(text, self.text_value, sides.text) + self._mix(image, self.image_value, sides.image)
        return self.mix(torch.cat([sides.summaries.flatten(1), attended.flatten(1)], dim=1))

    def _score(self, query: Tensor, key: nn.Linear, side: Projected) -> Tensor:
        """Products of the query's heads with the keys K v + k of all vectors: q · (K v + k) = (Kᵀ q) · v + q · k."""
        weight, bias = key.weight.unflatten(0, (self.heads, -1)), key.bias.view(self.heads, -1)
        questions = torch.einsum("bhd,hdn->bhn", query, weight)
        return side.score(questions) + (query * bias).sum(dim=-1, keepdim=True)

    def _mix(self, weights: Tensor, value: nn.Linear, side: Projected) -> Tensor:
        """Sums of the values V v + u of all vectors by the heads' weights, (B, heads, d): V Σ a v + u Σ a."""
        weight, bias = value.weight.unflatten(0, (self.heads, -1)), value.bias.view(self.heads, -1)
        sums = torch.einsum("bhn,hdn->bhd", side.mix(weights), weight)
        return sums + weights.sum(dim=-1, keepdim=True) * bias


class TransformerLayer(nn.Module):
    """Self-attention, then two linear layers; each reads what a layer norm made of its input, and is added to it."""

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm, self.second_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.query, self.key_value = nn.Linear(hidden, hidden), nn.Linear(hidden, 2 * hidden)
        self.attended = nn.Linear(hidden, hidden)
        self.feed = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), nn.GELU(), Dropout(dropout), nn.Linear(2 * hidden, hidden)
        )
        self.dropout = Dropout(dropout)

    def forward(self, vectors: Tensor, mask: Tensor, first: int | None = None) -> Tensor:
        """The new vectors at the first positions (default: all) of (B, L, hidden), from all that mask (B, L) shows."""
        normed = self.norm(vectors)
        query = self._split(self.query(normed[:, :first]))
        key, value = (self._split(one) for one in self.key_value(normed).chunk(2, dim=-1))
        scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~mask[:, None, None], -math.inf)
        attended = (self.dropout(scores.softmax(dim=-1)) @ value).transpose(1, 2).flatten(2)
        vectors = vectors[:, :first] + self.dropout(self.attended(attended))
        return vectors + self.dropout(self.feed(self.second_norm(vectors)))

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, hidden / heads)


class TransformerFusion(Fusion, name="transformer"):
    """A Transformer encoder over [summary token; text tokens; image patches], each plus its modality's embedding."""

    formula = r"z = \operatorname{Encoder}([s; t_1 \ldots t_n; v_1 \ldots v_m])_0"
    summary = "two Transformer layers over a summary token, all tokens and all patches"
    cost = 12.0
    over_sequences = True

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.summary_token = nn.Parameter(torch.randn(1, 1, hidden) * 0.02)
        self.modality = nn.Parameter(torch.randn(2, hidden) * 0.02)
        self.layers = nn.ModuleList(TransformerLayer(hidden, heads, dropout) for _ in range(2))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, sides: Sides) -> Tensor:
        text, image = sides.text.vectors + self.modality[0], sides.image.vectors + self.modality[1]
        vectors = torch.cat([self.summary_token.expand(len(text), -1, -1), text, image], dim=1)
        always = torch.ones_like(sides.text.mask[:, :1])
        mask = torch.cat([always, sides.text.mask, sides.image.mask], dim=1)
        vectors = self.layers[0](vectors, mask)
        return self.norm(self.layers[1](vectors, mask, first=1)[:, 0])  # the last layer: for the summary token alone


class LateFusion(Fusion, name="late"):
    """One learned weight for all pairs mixes what the heads answer; where a side is missing, only the other counts."""

    formula = r"p = w\, p_t + (1-w)\, p_v"
    summary = "one learned weight mixes the answers of the two heads"
    cost = 0.5
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
                self.joint_head = nn.Sequential(Dropout(dropout), nn.Linear(hidden, CLASSES))

    def standardise(self, features: Features, rows: np.ndarray) -> None:
        """Let each projection take mean and deviation of what it will see, from the training rows, before training."""
        for modality in ("text", "image"):
            summaries = every = torch.from_numpy(getattr(features.summarised, modality).take(rows).values)
            if uses_sequences(self.config):
                sample = rows[:: 1 + len(rows) // STANDARDISED_BY]
                every = torch.from_numpy(getattr(features, modality).take(sample).values)
            if hasattr(self, f"{modality}_head"):
                getattr(self, f"{modality}_head").projection.standardise(summaries)
            if hasattr(self, f"{modality}_projection"):
                getattr(self, f"{modality}_projection").standardise(every)

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
        text = self.text_projection.sequence(batch.text, batch.text_mask)
        image = self.image_projection.sequence(batch.image, batch.image_mask)
        pooled = replace(image, normed=image.normed[:, :1])
        summaries = torch.cat([text.mix(mean_weights(batch.text_mask)), pooled.vectors], dim=1) * present
        return Sides(present, answers, summaries, text, image)

    def learned(self) -> dict[str, Tensor]:
        return self.state_dict()

    def load_learned(self, tensors: dict[str, Tensor]) -> None:
        self.load_state_dict(tensors)


def uses_sequences(config: RunConfig) -> bool:
    """Whether this model looks at single tokens and patches, or only at one summary per side."""
    return config.model == "neural" and config.scenario == "text_and_image" and FUSIONS[config.fusion].over_sequences


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
