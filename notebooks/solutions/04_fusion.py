# %% [markdown] fusion
# ### Exercise 1: a fusion of your own
#
# Write `MyFusion`, a module that gives the logits of each pair from *both* sides. It is built as
# `MyFusion(width, classes)` and called with
#
# | argument | shape | type |
# |---|---|---|
# | `tokens` | (pairs, tokens, width) | float |
# | `token_mask` | (pairs, tokens) | bool, True where there is a token |
# | `patches` | (pairs, patches, width) | float |
# | `patch_mask` | (pairs, patches) | bool, True where there is a patch |
#
# It returns logits (pairs, classes). Batches differ in their numbers of pairs, tokens and patches. A pair may have no
# text, or no image: then that mask is False in the whole row. The answer must still be a number, and the model must be
# able to tell a missing side from one whose numbers are all zero. And the image must be able to change what a text
# means: there are pairs whose label follows only from both sides together.
# %% fusion
import torch
from torch import nn


class MyFusion(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        # BEGIN SOLUTION
        self.missing = nn.Parameter(torch.randn(2, width))
        self.mix = nn.Sequential(nn.Linear(2 * width, 32), nn.GELU(), nn.Linear(32, classes))
        # END SOLUTION

    def forward(self, tokens, token_mask, patches, patch_mask):
        # BEGIN SOLUTION
        means = []
        for vectors, mask, missing in zip((tokens, patches), (token_mask, patch_mask), self.missing):
            weights = mask.unsqueeze(-1).float()
            mean = (weights * vectors).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
            means.append(torch.where(mask.any(dim=1, keepdim=True), mean, missing))
        return self.mix(torch.cat(means, dim=1))
        # END SOLUTION


check.fusion(MyFusion)
# %% [markdown] modality_dropout
# ### Exercise 2: modality dropout
#
# In training, some pairs lose a side, so that the model learns to answer from what is there (section 3). Write
# `drop_sides(token_mask, patch_mask, p)`. The masks are those of exercise 1, bool (pairs, tokens) and bool (pairs,
# patches); `p` is a probability, 0 and 1 included. It returns two new masks of the same shapes, in which
#
# - a pair that has both sides loses one of them with probability `p`: text and image equally often, never both;
# - a pair that has only one side keeps it;
# - a lost side is False in its whole row, and everything else is as it was.
#
# Each pair decides on its own, and each call decides anew. The two masks that were given stay as they are.
# %% modality_dropout
import torch


def drop_sides(token_mask, patch_mask, p):
    # BEGIN SOLUTION
    both = token_mask.any(dim=1) & patch_mask.any(dim=1)
    loses = both & (torch.rand(len(both)) < p)
    text = torch.rand(len(both)) < 0.5  # which side: a coin for each pair
    return token_mask & ~(loses & text).unsqueeze(1), patch_mask & ~(loses & ~text).unsqueeze(1)
    # END SOLUTION


check.modality_dropout(drop_sides)
# %% [markdown] fake_probe
# ### Exercise 3: unmask a fake
#
# A model *uses* a side if some answer changes when pairs get that side of another pair (section 5). Write
# `uses_both(model, tokens, token_mask, patches, patch_mask)`. It returns True if the model uses both sides, else False.
# `model(tokens, token_mask, patches, patch_mask)` returns logits, and an answer has changed if its logits have. The
# arguments are those of exercise 1; every pair has both sides.
#
# Your probe gets honest models and fakes. Some come in training mode. The four tensors must be unchanged afterwards.
# %% fake_probe
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    # BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        before = model(tokens, token_mask, patches, patch_mask)
        other_text = model(tokens.roll(1, 0), token_mask.roll(1, 0), patches, patch_mask)
        other_image = model(tokens, token_mask, patches.roll(1, 0), patch_mask.roll(1, 0))
    return bool((other_text != before).any()) and bool((other_image != before).any())
    # END SOLUTION


check.fake_probe(uses_both)
# %% [markdown] better_fusion
# ### Exercise 4: a better fusion (open)
#
# Can you beat `gated`? Write `BetterFusion`. Defining the class is enough to register it: then `fusion="better"` works
# in every `RunConfig`. It is built with the width of the vectors, the number of attention heads and the dropout, and
# `forward(sides)` returns one joint vector for each pair, (pairs, hidden). `sides` holds
#
# | attribute | shape | content |
# |---|---|---|
# | `summaries` | (pairs, 2, hidden) | the text's vector, then the image's; zeros where a side is missing |
# | `present` | (pairs, 2, 1) | bool: is there a text, is there an image |
#
# and more, which `Sides` in `mmlab/models.py` lists. In training, some pairs lose a side. The check trains your fusion
# and `gated` three times, each time on other folds of the demo, and compares them pair by pair. The interval of the
# difference holds the luck of the pairs and of the start. You have passed if it is not below 0, and you are told
# whether it is above. Notebook 06, section 4 tells how much there is left to gain.
# %% better_fusion
import torch
from torch import nn

from mmlab.models import Fusion


class BetterFusion(Fusion, name="better"):
    def __init__(self, hidden, heads, dropout):
        super().__init__()
        # BEGIN SOLUTION
        self.text, self.image = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.both = nn.Linear(2 * hidden, hidden)  # New: gated has no part that is made of both sides
        self.gate = nn.Linear(2 * hidden, 3 * hidden)
        # END SOLUTION

    def forward(self, sides):
        # BEGIN SOLUTION
        text, image = sides.summaries.unbind(dim=1)
        both = sides.summaries.flatten(1)
        parts = torch.stack([self.text(text), self.image(image), self.both(both)], dim=1)  # (pairs, 3, hidden)
        shares = self.gate(both).unflatten(1, (3, -1)).softmax(dim=1)
        return (shares * torch.tanh(parts)).sum(dim=1)
        # END SOLUTION


check.better_fusion(BetterFusion)
