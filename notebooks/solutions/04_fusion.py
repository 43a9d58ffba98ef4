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
# It returns logits (pairs, classes). A side may be missing: then its mask is False everywhere. The answer must still be
# a number, and the model must be able to tell a missing side from one whose numbers are all zero.
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
