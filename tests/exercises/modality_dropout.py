"""Answers to the exercise `modality_dropout`; see exercise_cases.py."""

BOTH = "both = token_mask.any(dim=1) & patch_mask.any(dim=1)"
LOSES = "loses = both & (torch.rand(len(both)) < p)"
TEXT = "text = torch.rand(len(both)) < 0.5"
RETURN = "return token_mask & ~(loses & text).unsqueeze(1), patch_mask & ~(loses & ~text).unsqueeze(1)"

MISTAKES = [
    ("shape", {RETURN: "return token_mask & ~(loses & text).unsqueeze(1)"}),
    ("shape", {RETURN: "return ~(loses & text), ~(loses & ~text)"}),
    (
        "not_bool",
        {RETURN: "return token_mask * (1.0 - (loses & text).float())[:, None], patch_mask & ~(loses & ~text)[:, None]"},
    ),
    (
        "inputs_changed",
        {
            RETURN: "token_mask[loses & text] = False\n    patch_mask[loses & ~text] = False\n    return token_mask, patch_mask"
        },
    ),
    (
        "padding_shown",
        {
            RETURN: "return (~(loses & text))[:, None].expand_as(token_mask), (~(loses & ~text))[:, None].expand_as(patch_mask)"
        },
    ),
    # a decision for each vector
    (
        "single_places",
        {
            RETURN: "return token_mask & (torch.rand(token_mask.shape) >= p / 2), patch_mask & (torch.rand(patch_mask.shape) >= p / 2)"
        },
    ),
    # two choices that do not know of each other
    (
        "both_dropped",
        {
            RETURN: "image = both & (torch.rand(len(both)) < p / 2)\n"
            "    return token_mask & ~(loses & text).unsqueeze(1), patch_mask & ~image.unsqueeze(1)"
        },
    ),
    ("nothing_left", {BOTH: "both = torch.ones(len(token_mask), dtype=torch.bool)"}),
    ("whole_batch", {LOSES: "loses = both & (torch.rand(1) < p)"}),
    ("whole_batch", {TEXT: "text = torch.rand(1) < 0.5"}),
    ("same_choice", {BOTH: f"torch.manual_seed(0)\n    {BOTH}"}),
    (
        "same_choice",
        {
            LOSES: "loses = both & (torch.arange(len(both)) < p * len(both))",
            TEXT: "text = torch.arange(len(both)) % 2 == 0",
        },
    ),
    ("one_side", {TEXT: "text = torch.zeros(len(both), dtype=torch.bool)"}),
    (
        "fixed_count",
        {
            LOSES: "loses = both & torch.zeros_like(both).scatter(0, torch.randperm(len(both))[: round(p * len(both))], True)"
        },
    ),
    # p for each side
    ("wrong_rate", {LOSES: "loses = both & (torch.rand(len(both)) < 1 - (1 - p) ** 2)"}),
    ("wrong_rate", {LOSES: "loses = both & (torch.rand(len(both)) < p / 2)"}),
    ("wrong_rate", {LOSES: "loses = both & (torch.rand(len(both)) >= p)"}),
    ("wrong_rate", {LOSES: "loses = both"}),
    ("wrong_rate", {LOSES: "loses = both & False"}),
    ("uneven", {TEXT: "text = torch.rand(len(both)) < p"}),
]

ALTERNATIVES = {
    "one number decides both": """
import torch


def drop_sides(token_mask, patch_mask, p):
    chance = torch.rand(len(token_mask), 1)
    both = token_mask.any(1, keepdim=True) & patch_mask.any(1, keepdim=True)
    no_text, no_image = chance < p / 2, chance >= 1 - p / 2
    return token_mask & ~(no_text & both), patch_mask & ~(no_image & both)
""",
    "loop with the standard library": """
import random


def drop_sides(token_mask, patch_mask, p):
    words, parts = token_mask.clone(), patch_mask.clone()
    for one, other in zip(words, parts):
        if one.any() and other.any() and random.random() < p:
            random.choice([one, other]).fill_(False)
    return words, parts
""",
    "numpy": """
import numpy as np
import torch


def drop_sides(token_mask, patch_mask, p):
    draw = np.random.default_rng()
    masks = [token_mask.numpy().copy(), patch_mask.numpy().copy()]
    complete = np.logical_and(*(mask.any(axis=1) for mask in masks))
    what = draw.choice(3, size=len(complete), p=[p / 2, p / 2, 1 - p])
    for side in (0, 1):
        masks[side][complete & (what == side)] = False
    return tuple(map(torch.from_numpy, masks))
""",
    "multinomial": """
import torch


def drop_sides(token_mask, patch_mask, p):
    lost = torch.multinomial(torch.tensor([1 - p, p / 2, p / 2]), len(token_mask), replacement=True)
    lost[~token_mask.any(dim=1) | ~patch_mask.any(dim=1)] = 0
    return token_mask.masked_fill((lost == 1)[:, None], False), patch_mask.masked_fill((lost == 2)[:, None], False)
""",
    "bernoulli and where": """
import torch
from torch.distributions import Bernoulli


def drop_sides(token_mask, patch_mask, p):
    n = token_mask.shape[0]
    drop, coin = Bernoulli(probs=p).sample((n, 1)).bool(), Bernoulli(0.5).sample((n, 1)).bool()
    drop = drop & (token_mask.sum(1, keepdim=True) > 0) & (patch_mask.sum(1, keepdim=True) > 0)
    nothing = torch.tensor(False)
    return torch.where(drop & coin, nothing, token_mask), torch.where(drop & ~coin, nothing, patch_mask)
""",
    "products of masks": """
import torch


def drop_sides(token_mask, patch_mask, p):
    p_text = p / 2
    p_image = (p / 2) / (1 - p_text)
    keep_text = torch.rand(len(token_mask), 1) >= p_text
    keep_image = (torch.rand(len(token_mask), 1) >= p_image) | ~keep_text
    single = ~(token_mask.any(1) & patch_mask.any(1))[:, None]
    return token_mask * (keep_text | single), patch_mask * (keep_image | single)
""",
    "rows by number": """
import torch


def drop_sides(token_mask, patch_mask, p):
    out = [token_mask.clone(), patch_mask.clone()]
    rows = torch.nonzero(token_mask.any(1) & patch_mask.any(1)).flatten()
    rows = rows[torch.empty(len(rows)).uniform_() < p]
    for row, side in zip(rows.tolist(), torch.randint(0, 2, (len(rows),)).tolist()):
        out[side][row] = False
    return out
""",
    "one table of what is kept": """
import torch


def drop_sides(token_mask, patch_mask, p):
    present = torch.stack([token_mask.any(1), patch_mask.any(1)], 1)
    keep = torch.ones_like(present)
    chosen = torch.rand(len(present)) < p
    keep[chosen, torch.randint(2, (int(chosen.sum()),))] = False
    keep |= ~present.all(1, keepdim=True)
    return token_mask.logical_and(keep[:, :1]), patch_mask.logical_and(keep[:, 1:])
""",
    "the sign of a number, own generator": """
import torch

DRAW = torch.Generator().manual_seed(7)


def drop_sides(token_mask, patch_mask, p):
    number = 2 * torch.rand(token_mask.size(0), generator=DRAW) - 1
    side = torch.sign(number) * (number.abs() < p) * token_mask.any(1) * patch_mask.any(1)
    return token_mask & (side < 1)[:, None], patch_mask & (side > -1)[:, None]
""",
    "joined masks": """
import torch


def drop_sides(token_mask, patch_mask, p):
    both = torch.cat([token_mask, patch_mask], dim=1)
    is_text = torch.arange(both.shape[1]) < token_mask.shape[1]
    fair = torch.randint(0, 2, (len(both), 1)).bool()
    lost = torch.bernoulli(torch.full((len(both), 1), float(p))).bool() & (fair == is_text)
    left = both & ~lost
    left = torch.where(
        (token_mask.any(1) & patch_mask.any(1))[:, None], left, both
    )
    return left.split([token_mask.shape[1], patch_mask.shape[1]], dim=1)
""",
    "list comprehension": """
import numpy as np
import torch


def drop_sides(token_mask, patch_mask, p):
    lose = [(np.random.rand() < p) * (1 + np.random.randint(2)) if t.any() and i.any() else 0 for t, i in zip(token_mask, patch_mask)]
    text = torch.stack([t & (side != 1) for t, side in zip(token_mask, lose)])
    image = torch.stack([i & (side != 2) for i, side in zip(patch_mask, lose)])
    return text, image
""",
}
