# %% [markdown] ablations
# ### Exercise 1: both ablations
#
# Write `ablate_image(train, predict, labels)`. It measures what the image is worth in both meanings of section 2. You
# get two functions, and the true labels:
#
# - `train(sides)` trains a model and returns it. `sides` is a tuple: `("text", "image")`, `("text",)` or `("image",)`.
# - `predict(model, sides)` returns a label for each pair, out-of-fold. The model sees only these sides; what it was
#   trained with and does not see now is masked. The labels come as a Series whose index holds the guids.
# - `labels` is a Series of the true labels, and its index holds the guids, too. Every Series has the same guids, but
#   **each in an order of its own**.
#
# Return a dict with two costs, each the accuracy of the joint model minus the accuracy without the image, as a share
# of 1: `trained_without` for a model that never had the image, and `taken_away` for the joint model that has lost it.
# A training takes long, so train each model once.
# %% ablations
def ablate_image(train, predict, labels):
    # BEGIN SOLUTION
    def accuracy(model, *sides):
        return (predict(model, sides).reindex(labels.index) == labels).mean()

    joint = train(("text", "image"))
    whole = accuracy(joint, "text", "image")
    return {
        "trained_without": whole - accuracy(train(("text",)), "text"),
        "taken_away": whole - accuracy(joint, "text"),
    }
    # END SOLUTION


check.ablations(ablate_image)
# %% [markdown] shuffle_control
# ### Exercise 2: a control that must fail
#
# Write `shuffle_images(texts, images, labels, seed)`, the control of section 3: each pair gets the image of another
# pair, drawn at random, and everything else stays where it is.
#
# | argument | shape | type |
# |---|---|---|
# | `texts` | (pairs, width) | NumPy array, float |
# | `images` | (pairs, patches, width) | NumPy array, float |
# | `labels` | (pairs,) | NumPy array, int |
# | `seed` | | int |
#
# Return texts, images and labels with the same shapes. Every image must still be there once. A pair may keep its own
# image by chance, but a random order leaves only about one in place. The same seed gives the same order, another seed
# gives another order. Neither the arrays that you get nor the random state of the rest of the notebook may change.
# %% shuffle_control
import numpy as np


def shuffle_images(texts, images, labels, seed):
    # BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(images))
    return texts, images[order], labels
    # END SOLUTION


check.shuffle_control(shuffle_images)
# %% [markdown] interval
# ### Exercise 3: an interval by twin groups
#
# Write `accuracy_interval(right, twin, draws, seed)`. It returns the two ends `(low, high)` of a 95 % interval of the
# accuracy, as shares of 1.
#
# - `right` is a bool array (pairs,): is the answer to this pair right?
# - `twin` is an int array (pairs,): pairs with the same number are twins. The groups differ in size, and their pairs
#   are in mixed order. Each pair counts alike, so a large group counts more than a small one.
# - `draws` is the number of times to draw, `seed` an int that makes the draws repeatable.
#
# Twins are answered alike, so they are not independent. Use the bootstrap of section 1.1, or any other 95 % interval
# that knows about the groups.
# %% interval
import numpy as np


def accuracy_interval(right, twin, draws, seed):
    # BEGIN SOLUTION
    _, group = np.unique(twin, return_inverse=True)
    size, hits = np.bincount(group), np.bincount(group, weights=right)
    drawn = np.random.default_rng(seed).integers(len(size), size=(draws, len(size)))
    accuracy = hits[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    return tuple(np.percentile(accuracy, [2.5, 97.5]))
    # END SOLUTION


check.interval(accuracy_interval)
# %% [markdown] view
# ### Exercise 4: a view that helps (open)
#
# A *view* is a new way to look at a pair: a few numbers that you compute yourself. Write `my_view(pairs)`. `pairs` is a
# DataFrame with the index 0, 1, 2, … and two columns: `text`, and `image`, the path of the picture's file. Return an
# array (pairs, k) of finite numbers, k at least 1, in the order of the rows. A pair's numbers must depend on this pair
# alone.
#
# The check puts your columns beside the frozen text vectors of the demo (the mean of MiniLM's tokens). It trains a
# logistic regression with them and one without them, out of fold over twin groups, and compares both on the same 600
# pairs. You pass if the interval of the gain is above 0. Everything is allowed: counts of signs, lists of words, or
# the picture: `read_pixels(path, (32, 32))` gives its colours, an array (32, 32, 3) of 0 to 255.
# %% view
import numpy as np

from mmlab.images import read_pixels


def my_view(pairs):
    # BEGIN SOLUTION
    rows = []
    for path in pairs["image"]:
        pixels = read_pixels(path, (32, 32)) / 255
        colourful = np.ptp(pixels, axis=2)  # 0 where a pixel is grey
        rows.append([pixels.mean(), pixels.std(), colourful.mean(), *pixels.mean(axis=(0, 1))])
    return np.array(rows)
    # END SOLUTION


check.view(my_view)
