"""Answers to the exercise `masked_mean`; see exercise_cases.py."""

WEIGHTS = "weights = mask.unsqueeze(-1).to(tokens.dtype)"
RETURN = "return (weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1)"

MISTAKES = [
    ("shape", {RETURN: "return (weights * tokens).mean(dim=2)"}),
    ("shape", {RETURN: "return (weights * tokens).sum(dim=0) / weights.sum(dim=0).clamp(min=1)"}),
    ("shape", {RETURN: RETURN.replace("dim=1", "dim=1, keepdim=True")}),
    ("shape", {RETURN: "return ((weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).squeeze()"}),
    ("shape", {RETURN: "return [vectors[real].mean(dim=0) for vectors, real in zip(tokens, mask)]"}),
    ("input_changed", {RETURN: "tokens *= weights\n    return tokens.sum(dim=1) / weights.sum(dim=1).clamp(min=1)"}),
    ("input_changed", {RETURN: "tokens[~mask] = 0\n    " + RETURN}),
    ("batch_mixed", {RETURN: "return (weights * tokens).sum(dim=1) / weights.sum().clamp(min=1)"}),
    ("batch_mixed", {RETURN: "return (weights * tokens).sum(dim=1) / weights.sum(dim=1).max()"}),
    (
        "batch_mixed",
        {RETURN: "return (weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1) - tokens.mean(dim=(0, 1))"},
    ),
    ("mask_inverted", {WEIGHTS: "weights = (~mask).unsqueeze(-1).to(tokens.dtype)"}),
    (
        "mask_inverted",
        {WEIGHTS: WEIGHTS + "\n    tokens = tokens.masked_fill(mask.unsqueeze(-1), 0)\n    weights = 1 - weights"},
    ),
    ("padding_read", {WEIGHTS: "weights = mask.unsqueeze(-1).to(tokens.dtype) * 0 + 1"}),
    ("padding_read", {RETURN: "return tokens.mean(dim=1)"}),
    ("padding_read", {RETURN: "return tokens.sum(dim=1) / weights.sum(dim=1).clamp(min=1)"}),
    ("divided_by_all", {RETURN: "return (weights * tokens).mean(dim=1)"}),
    ("divided_by_all", {RETURN: "return tokens.masked_fill(~mask.unsqueeze(-1), 0).sum(dim=1) / tokens.shape[1]"}),
    ("rounded", {RETURN: "return (weights * tokens).sum(dim=1) // weights.sum(dim=1).clamp(min=1)"}),
    ("rounded", {RETURN: "return ((weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1)).int()"}),
    ("not_mean", {RETURN: "return (weights * tokens).sum(dim=1)"}),
    ("not_mean", {RETURN: 'return tokens.masked_fill(~mask.unsqueeze(-1), -float("inf")).amax(dim=1)'}),
    ("not_mean", {RETURN: "return (weights * tokens).sum(dim=1) / (weights.sum(dim=1) + 1)"}),
    ("not_mean", {RETURN: "return (weights * tokens)[:, 0]"}),
    (
        "gap",
        {
            RETURN: "counts = mask.sum(dim=1).tolist()\n    return weights.new_tensor([vectors[:n].mean(dim=0).tolist() for vectors, n in zip(tokens, counts)])"
        },
    ),
    ("empty_not_finite", {RETURN: "return (weights * tokens).sum(dim=1) / weights.sum(dim=1)"}),
    (
        "empty_not_finite",
        {
            RETURN: "import torch\n    return torch.stack([vectors[real].mean(dim=0) for vectors, real in zip(tokens, mask)])"
        },
    ),
    (
        "empty_not_zero",
        {
            RETURN: "mean = (weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1)\n    return mean.where(mask.any(dim=1, keepdim=True), tokens.mean(dim=1))"
        },
    ),
    ("empty_not_zero", {RETURN: "return ((weights * tokens).sum(dim=1) / weights.sum(dim=1)).nan_to_num(1.0)"}),
]

ALTERNATIVES = {
    "epsilon": {RETURN: "return (weights * tokens).sum(dim=1) / (weights.sum(dim=1) + 1e-9)"},
    "sixteen-bits": {
        RETURN: "return ((weights * tokens).bfloat16().sum(dim=1) / weights.bfloat16().sum(dim=1).clamp(min=1))"
    },
    "double": {WEIGHTS: "tokens = tokens.double()\n    " + WEIGHTS},
    "nan-mean": {RETURN: 'return tokens.masked_fill(weights == 0, float("nan")).nanmean(dim=1).nan_to_num(0)'},
    "running-mean": """
def my_masked_mean(tokens, mask):
    mean, count = tokens.new_zeros(tokens.shape[0], tokens.shape[2]), tokens.new_zeros(tokens.shape[0], 1)
    for vectors, real in zip(tokens.unbind(dim=1), mask.unbind(dim=1)):
        real = real.unsqueeze(1)
        count = count + real
        mean = mean + real * (vectors - mean) / count.clamp(min=1)
    return mean
""",
    "einsum": """
import torch


def my_masked_mean(tokens, mask):
    share = mask / mask.sum(1, keepdim=True).clamp_min(1)
    return torch.einsum("ptw,pt->pw", tokens, share)
""",
    "matrix-product": """
def my_masked_mean(tokens, mask):
    weights = mask.float().div(mask.sum(dim=-1, keepdim=True).clamp(min=1)).unsqueeze(1)
    return (weights @ tokens).squeeze(1)
""",
    "normalize": """
import torch.nn.functional as F


def my_masked_mean(tokens, mask):
    return F.normalize(mask.float(), p=1, dim=1)[:, None].bmm(tokens)[:, 0]
""",
    "softmax": """
def my_masked_mean(tokens, mask):
    scores = mask.float().masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=1).nan_to_num(0.0)
    return (weights[..., None] * tokens).sum(1)
""",
    "loop": """
import torch


def my_masked_mean(tokens, mask):
    means = []
    for pair in range(len(tokens)):
        total, count = torch.zeros(tokens.shape[2]), 0
        for token in range(tokens.shape[1]):
            if mask[pair, token]:
                total += tokens[pair, token]
                count += 1
        means.append(total / count if count else total)
    return torch.stack(means)
""",
    "selection": """
import torch


def my_masked_mean(tokens, mask):
    means = torch.zeros(len(tokens), tokens.size(-1))
    for row in range(len(tokens)):
        if mask[row].any():
            means[row] = tokens[row][mask[row]].mean(dim=0)
    return means
""",
    "numpy": """
import numpy as np


def my_masked_mean(tokens, mask):
    values = np.ma.array(tokens.numpy(), mask=np.repeat(~mask.numpy()[:, :, None], tokens.shape[2], axis=2))
    return values.mean(axis=1).filled(0)
""",
    "numpy-average": """
import numpy as np
import torch


def my_masked_mean(tokens, mask):
    return torch.from_numpy(np.stack([
        np.average(vectors, axis=0, weights=real) if real.any() else np.zeros(vectors.shape[1])
        for vectors, real in zip(tokens.numpy(), mask.numpy())
    ]))
""",
    "index-add": """
import torch


def my_masked_mean(tokens, mask):
    pair, _ = mask.nonzero(as_tuple=True)
    sums = torch.zeros(len(tokens), tokens.shape[-1]).index_add_(0, pair, tokens[mask])
    return sums / torch.bincount(pair, minlength=len(tokens)).clamp(min=1)[:, None]
""",
    "scatter": """
import torch


def my_masked_mean(tokens, mask):
    at = mask.nonzero()[:, :1].expand(-1, tokens.shape[2])
    return torch.zeros(len(tokens), tokens.shape[2]).scatter_reduce(0, at, tokens[mask], "mean", include_self=False)
""",
    "pandas": """
import pandas as pd
import torch


def my_masked_mean(tokens, mask):
    frame = pd.DataFrame(tokens[mask].numpy()).groupby(mask.nonzero()[:, 0].numpy()).mean()
    return torch.tensor(frame.reindex(range(len(tokens)), fill_value=0.0).to_numpy())
""",
    "module": """
from torch import nn


class Mean(nn.Module):
    def forward(self, vectors, real):
        kept = vectors.masked_fill(real.logical_not().unsqueeze(2), 0.0)
        count = real.sum(dim=1, keepdim=True)
        return kept.sum(dim=1).where(count > 0, vectors.new_zeros(())) / count.clamp(min=1)


my_masked_mean = Mean()
""",
}
