# %% [markdown] pooling
# ### Exercise 1: pool the patches by what they hold
#
# Section 3.2 averaged the nine patches, and each of them counted the same. Write `MyPooling`, a module that makes one
# vector of a picture's patches and *chooses*: each patch gets a weight that depends on what the patch holds and on
# numbers that are learned, for example one query vector. It is built as `MyPooling(width)` and called with
#
# | argument | shape | type |
# |---|---|---|
# | `patches` | (pairs, patches, width) | float |
# | `mask` | (pairs, patches) | bool, True where there is a patch |
#
# It returns (pairs, width): for each pair a weighted mean of its patches, or of one linear layer of them. The weights
# of a pair are not negative and sum to 1 over the patches that are there. The order of the patches has no meaning, and
# places where `mask` is False may hold any number. A pair may have no patch at all: then its vector can be anything,
# but its numbers and the gradient must be finite.
# %% pooling
import torch
from torch import nn


class MyPooling(nn.Module):
    def __init__(self, width):
        super().__init__()
        # BEGIN SOLUTION
        self.query = nn.Parameter(torch.randn(width) / width**0.5)
        # END SOLUTION

    def forward(self, patches, mask):
        # BEGIN SOLUTION
        scores = patches @ self.query
        weights = scores.masked_fill(~mask, -1e9).softmax(dim=1)  # not -inf: softmax of nothing but -inf is nan
        return (weights.unsqueeze(-1) * patches).sum(dim=1)
        # END SOLUTION


check.pooling(MyPooling)
# %% [markdown] surest_patch
# ### Exercise 2: the answer of the surest patch
#
# In section 3.2, `patch_views` holds what the head makes of each patch. Write `answer_by_surest(patch_views)`. It gets
# an array (pairs, patches, 3) of probabilities, the last axis in the order of `LABELS`. Each picture is answered by its
# surest patch: the one with the highest probability of all. The function returns two sequences with one entry for each
# picture, in the order of the pictures: the names of the labels, and the probabilities that the surest patches give
# them. It leaves `patch_views` as it was.
#
# Before you try it on `patch_views`: do you expect that it beats the pooled vector? `compare_predictions` answers.
# %% surest_patch
import numpy as np

from mmlab.config import LABELS


def answer_by_surest(patch_views):
    # BEGIN SOLUTION
    surest = patch_views.max(axis=2).argmax(axis=1)
    chosen = patch_views[np.arange(len(patch_views)), surest]
    return [LABELS[number] for number in chosen.argmax(axis=1)], chosen.max(axis=1)
    # END SOLUTION


check.surest_patch(answer_by_surest)
# %% [markdown] standardising
# ### Exercise 3: standardise without looking at the other rows
#
# The numbers of an encoder's vector differ in size, and a few large ones would drown the others. So the head first
# brings each dimension to mean 0 and standard deviation 1. Write `standardise(vectors, train_rows)`. It gets `vectors`,
# a float array (pairs, width), and `train_rows`, the row numbers of the training pairs, in any order.
#
# Each dimension has a mean and a standard deviation of its own, both from the training pairs only, and *all* rows are
# transformed with them. The function returns a new array of the same shape, its rows in the same order, and leaves
# `vectors` as it was. A dimension may be the same in all training pairs; all numbers must still be finite.
# %% standardising
import numpy as np


def standardise(vectors, train_rows):
    # BEGIN SOLUTION
    train = vectors[train_rows]
    deviation = np.maximum(train.std(axis=0), 1e-6)  # where nothing varies, we would divide by 0
    return (vectors - train.mean(axis=0)) / deviation
    # END SOLUTION


check.standardising(standardise)
