"""Small made-up data on which answers are tried, and a spy on what they compute.

All sizes differ, so that a mixed-up axis shows: 6 pairs, 5 tokens, 7 patches, 16 numbers a vector, 3 classes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.training import AdamW

PAIRS, TOKENS, PATCHES, WIDTH, CLASSES = 6, 5, 7, 16, 3


@dataclass(frozen=True)
class Sample:
    """tokens (B, 5, 16) and patches (B, 7, 16) float32, masks bool, True where there is a vector; labels (B,) int64."""

    tokens: Tensor
    token_mask: Tensor
    patches: Tensor
    patch_mask: Tensor
    labels: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a fusion gets, copied, so that an answer which changes its input does no harm."""
        return tuple(one.clone() for one in (self.tokens, self.token_mask, self.patches, self.patch_mask))

    def but(self, **changed: Tensor) -> "Sample":
        """The same sample with other tensors in some places."""
        return replace(self, **changed)

    def rows(self, chosen) -> "Sample":
        return Sample(*(one[chosen] for one in (*self.inputs, self.labels)))


def make_sample(pairs: int = PAIRS, seed: int = 0) -> Sample:
    """Random vectors, texts of different length, every picture whole."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.arange(pairs) % (TOKENS - 1) + 2  # from 2 to 5 tokens
    return Sample(
        torch.randn(pairs, TOKENS, WIDTH, generator=draw),
        torch.arange(TOKENS) < lengths.unsqueeze(1),
        torch.randn(pairs, PATCHES, WIDTH, generator=draw),
        (torch.arange(PATCHES) < PATCHES - torch.arange(pairs).unsqueeze(1) % 3),  # from 5 to 7 patches
        torch.arange(pairs) % CLASSES,
    )


def make_both_needed(pairs: int = 96, seed: int = 0) -> Sample:
    """A sample whose label needs both sides: the text holds a, the image b, the label is (a + b) mod 3.

    Whoever sees one side alone guesses: each label is equally likely for every a and for every b.
    """
    sample, draw = make_sample(pairs, seed), torch.Generator().manual_seed(seed + 1)
    signs = 3 * nn.functional.one_hot(torch.arange(CLASSES), WIDTH).float()
    text = torch.arange(pairs) % CLASSES
    image = torch.arange(pairs) // CLASSES % CLASSES
    order = torch.randperm(pairs, generator=draw)
    tokens = 0.3 * sample.tokens + signs[text].unsqueeze(1)
    patches = 0.3 * sample.patches + signs[image].unsqueeze(1)
    whole = sample.but(tokens=tokens, patches=patches, labels=(text + image) % CLASSES)
    return whole.rows(order)


def train(model: nn.Module, sample: Sample, steps: int, lr: float = 0.01) -> float:
    """Train on a sample, all at once; the accuracy on these same pairs afterwards."""
    optimizer = AdamW(list(model.parameters()), lr=lr)
    model.train()
    for _ in range(steps):
        F.cross_entropy(model(*sample.inputs).float(), sample.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        return float((model(*sample.inputs).argmax(dim=1) == sample.labels).float().mean())


def largest_change(before: Tensor, after: Tensor) -> float:
    """The largest difference between two tensors; infinite where one is not finite."""
    change = (before.double() - after.double()).abs().nan_to_num(torch.inf, torch.inf, torch.inf)
    return float(change.max()) if change.numel() else 0.0


def shake(model: nn.Module, by: float) -> None:
    """Move every weight a little: a weight that starts at zero, as a good one may, would hide what depends on it."""
    with torch.no_grad():
        for one in model.parameters():
            one.add_(by * torch.randn_like(one))


@contextmanager
def spy_on_softmax() -> Iterator[list[int]]:
    """Over how many things each softmax and attention inside the block divides its weight, however it is called."""
    choices: list[int] = []

    def watch(place, name: str, count: Callable[..., int]) -> Callable[[], None]:
        real = getattr(place, name)

        def spying(*args, **kwargs):
            choices.append(count(*args, **kwargs))
            return real(*args, **kwargs)

        setattr(place, name, spying)
        return lambda: setattr(place, name, real)

    def softmax(values, dim=None, *_, **named):
        dim = named.get("dim", dim)
        return values.shape[-1 if dim is None else dim]

    def attention(query, key, value, *_, **__):
        return key.shape[-2]

    undo = [
        *(watch(place, "softmax", softmax) for place in (torch, F, Tensor)),
        watch(F, "scaled_dot_product_attention", attention),
    ]
    try:
        yield choices
    finally:
        for restore in reversed(undo):
            restore()
