# %% [markdown] reader
# ### Exercise 1: a reader that loses no byte
#
# Write `read_text(raw)`. It gets the bytes of one text file and returns two strings: the text and the charset,
# `"utf-8"` or `"gb18030"`. The text holds every character of the file, with its blanks and line ends as they are; only
# a BOM in front of UTF-8 is dropped. If the bytes fit both charsets, they are UTF-8. If they fit neither, raise a
# `ValueError` (a `UnicodeDecodeError` is one).
# %% reader
def read_text(raw):
    # BEGIN SOLUTION
    try:
        return raw.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return raw.decode("gb18030"), "gb18030"
    # END SOLUTION


check.reader(read_text)


# %% [markdown] majority
# ### Exercise 2: the score to beat
#
# Write `score_majority(train, dev)`. Both are frames with the columns `guid` and `label`, one row per pair. The model
# always answers the most frequent label of `train`. Return two numbers between 0 and 1: its accuracy on `dev`, and its
# macro-F1 on `dev`, the mean F1 of the three labels. A label that is never answered has an F1 of 0. The most frequent
# label is not the same in every course.
# %% majority
def score_majority(train, dev):
    # BEGIN SOLUTION
    answer = train["label"].mode()[0]
    accuracy = (dev["label"] == answer).mean()
    f1 = 2 * accuracy / (accuracy + 1)  # of this label: its precision is the accuracy, its recall is 1
    return accuracy, f1 / 3
    # END SOLUTION


check.majority(score_majority)


# %% [markdown] twin_split
# ### Exercise 3: a split that divides no twins
#
# Write `split_pairs(pairs, share, seed)`. `pairs` is a frame with the columns `guid`, `label` and `twin`: pairs with
# the same number in `twin` are twins. Its rows and its index are in no order. Return one bool for each row, in the
# order of the rows: True where the pair goes to dev.
#
# - No twin group is divided.
# - dev gets about `share` of the pairs (0.2 means one in five), and each label is about as frequent in dev as in all
#   pairs.
# - The same `seed` gives the same split, another seed another one.
# - The frame is not changed.
# %% twin_split
def split_pairs(pairs, share, seed):
    # BEGIN SOLUTION
    groups = pairs.drop_duplicates("twin")  # one row stands for each twin group
    dev = groups.groupby("label").sample(frac=share, random_state=seed)
    return pairs["twin"].isin(dev["twin"])
    # END SOLUTION


check.twin_split(split_pairs)
