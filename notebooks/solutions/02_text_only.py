# %% [markdown] cleaner
# ### Exercise 1: a text cleaner
#
# Write `clean(text)`. It gets a tweet as a `str` and returns a cleaned `str`. What says nothing about the mood goes
# before the encoder reads the tweet:
#
# | in the tweet | what becomes of it |
# |---|---|
# | a link: `http://` or `https://` and all up to the next white space | it goes, or one word takes its place |
# | a name: `@` and the letters, digits and underscores after it | likewise |
# | the mark of a retweet at the beginning, such as `RT @anna:` | it goes as a whole |
# | a hashtag such as `#sunset` | the word stays; `#` may stay or go |
# | white space, also line breaks and tabs | one space between two words, none at the ends |
#
# Everything else stays as it is: emoji, letters of all languages, digits, every `not`, `can't` and `!`. You may keep
# upper case or make everything lower case. An empty text gives an empty text, and a clean text does not change if it is
# cleaned once more.
# %% cleaner
import re


def clean(text):
    # BEGIN SOLUTION
    text = re.sub(r"^(\s*RT @\w+:)+", " ", text)
    text = re.sub(r"https?://\S+|@\w+", " ", text)
    return " ".join(text.replace("#", "").split())
    # END SOLUTION


check.cleaner(clean)


# %% [markdown] masked_mean
# ### Exercise 2: the masked mean
#
# Write `my_masked_mean(tokens, mask)`, which makes one vector of each tweet: the mean of its token vectors.
#
# | argument | shape | type |
# |---|---|---|
# | `tokens` | (pairs, tokens, width) | float |
# | `mask` | (pairs, tokens) | bool, True where there is a token |
#
# It returns the means, (pairs, width), as a tensor of floats. What stands where the mask is False must not matter.
# False may stand anywhere, not only at the end. A pair without a token gets a vector of zeros. The two arguments stay
# unchanged.
# %% masked_mean
def my_masked_mean(tokens, mask):
    # BEGIN SOLUTION
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (weights * tokens).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    # END SOLUTION


check.masked_mean(my_masked_mean)
# %% [markdown] training_step
# ### Exercise 3: one step of training
#
# Write `train_step(model, optimizer, inputs, labels)`, which trains a model on one batch:
#
# | argument | what it is |
# |---|---|
# | `model` | a module: `model(inputs)` gives logits (pairs, classes) |
# | `optimizer` | an optimizer of torch that has the weights of the model |
# | `inputs` | float (pairs, width) |
# | `labels` | int64 (pairs,), the number of each pair's class |
#
# The loss is the cross-entropy, averaged over the batch, and the optimizer makes one step. The function returns this
# loss, measured before the step, as a `float`. The model may come in evaluation mode. There is no gradient yet at the
# first call, and later calls must not count the gradient of an earlier one again.
# %% training_step
from torch.nn import functional as F


def train_step(model, optimizer, inputs, labels):
    # BEGIN SOLUTION
    model.train()
    loss = F.cross_entropy(model(inputs), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
    # END SOLUTION


check.training_step(train_step)
# %% [markdown] early_stopping
# ### Exercise 4: stop early, and keep the best weights
#
# Write `fit_best(model, train_epoch, dev_loss, epochs, patience)`:
#
# | argument | what it is |
# |---|---|
# | `model` | a module |
# | `train_epoch` | a function: `train_epoch(model)` trains for one epoch and changes the weights of the model |
# | `dev_loss` | a function: `dev_loss(model)` returns the loss on the dev set, a `float` |
# | `epochs` | how many epochs it trains at most, an `int` |
# | `patience` | how many epochs in a row may bring no lower dev loss; after so many the training stops |
#
# Measure the dev loss after each epoch. The two functions do not set the mode: put the model into training mode before
# `train_epoch` and into evaluation mode before `dev_loss`. The best epoch is the one with the lowest dev loss, of
# several equal ones the first. Return `(model, best_epoch)`: the model with the weights of the best epoch, and the
# number of this epoch, counted from 1.
# %% early_stopping
import copy


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    # BEGIN SOLUTION
    best_loss, best_epoch, best = float("inf"), 0, None
    for epoch in range(1, epochs + 1):
        model.train()
        train_epoch(model)
        model.eval()
        loss = dev_loss(model)
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, copy.deepcopy(model.state_dict())
        if epoch - best_epoch >= patience:
            break
    model.load_state_dict(best)
    return model, best_epoch
    # END SOLUTION


check.early_stopping(fit_best)
