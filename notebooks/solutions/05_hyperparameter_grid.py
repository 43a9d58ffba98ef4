# %% [markdown] log_grid
# ### Exercise 1: learning rates to try
#
# A learning rate ten times larger moves a weight ten times further (section 3.1). So the values to try should have
# equal *ratios*, not equal distances. Write `space_rates(low, high, count)`. It gets two positive numbers with
# `low < high`, and `count`, an int of at least 2. It returns `count` learning rates in ascending order: the first is
# `low`, the last is `high`, and each is the same multiple of the one before it. For example, three values from 0.0001
# to 0.01 are 0.0001, 0.001, 0.01.
# %% log_grid
import numpy as np


def space_rates(low, high, count):
    # BEGIN SOLUTION
    return np.exp(np.linspace(np.log(low), np.log(high), count))
    # END SOLUTION


check.log_grid(space_rates)
# %% [markdown] rivals
# ### Exercise 2: which settings cannot be told apart from the best?
#
# Section 5 used `compare_frames`. Write the comparison yourself: `find_rivals(right, twins)`. It gets
#
# | argument | shape | type |
# |---|---|---|
# | `right` | (settings, pairs) | bool, True where the setting answers the pair correctly |
# | `twins` | (pairs,) | int, the twin group of each pair |
#
# The *best* setting is the one with the most right answers (there is no tie). Compare every other setting with it, at
# the level of 95 %. The function returns the row numbers of all settings that cannot be told apart from the best,
# without the best itself, in any order. Remember two things: both settings answered the same pairs, and twins are not
# independent. If you draw at random, 2,000 draws are enough; the cases in the check are clear.
# %% rivals
import numpy as np


def find_rivals(right, twins):
    # BEGIN SOLUTION
    best = right.mean(axis=1).argmax()
    member = np.unique(twins)[:, None] == twins  # (groups, pairs)
    sizes, sums = member.sum(axis=1), right.astype(int) @ member.T  # right answers in each group: (settings, groups)
    groups = len(member)
    drawn = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), size=2000)  # how often each
    lead = (sums[best] - sums) @ drawn.T / (drawn @ sizes)  # of the best, in each draw: (settings, draws)
    low = np.percentile(lead, 2.5, axis=1)
    return [row for row in range(len(right)) if row != best and low[row] <= 0]
    # END SOLUTION


check.rivals(find_rivals)
# %% [markdown] honest_score
# ### Exercise 3: a score without flattery
#
# Section 6 showed that choosing flatters. Write `score_choice(right, folds)`, the score of *choosing the best setting*,
# in which no pair is scored by a setting that this pair helped to choose. It gets
#
# | argument | shape | type |
# |---|---|---|
# | `right` | (settings, pairs) | bool, True where the setting answers the pair correctly |
# | `folds` | (pairs,) | int, the fold of each pair; the numbers need not start at 0 |
#
# For each fold, choose the setting with the most right answers on the *other* folds (there is no tie), and score it on
# this fold. The function returns one number from 0 to 1: the share of right answers among all pairs. Each pair counts
# the same, and the folds have different sizes.
# %% honest_score
import numpy as np


def score_choice(right, folds):
    # BEGIN SOLUTION
    hits = 0
    for fold in np.unique(folds):
        here = folds == fold
        chosen = right[:, ~here].sum(axis=1).argmax()
        hits += right[chosen, here].sum()
    return hits / len(folds)
    # END SOLUTION


check.honest_score(score_choice)
