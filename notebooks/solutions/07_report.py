# %% [markdown] accuracy_from_file
# ### Exercise 1: the accuracy of a run, from its file
#
# Write `score_file(predictions, key, scenario)`. Both tables are as `pd.read_csv` gives them, with rows in any order:
#
# - `predictions` is a run's `predictions.csv` without its labels: `guid`, `fold`, `twin`, and three probabilities for
#   each scenario, such as `text_only_negative`. The columns may come in any order.
# - `key` has the columns `guid` and `label`.
#
# Return the accuracy of `scenario` (`"text_only"`, `"image_only"` or `"text_and_image"`), a share between 0 and 1. The
# answer to a pair is its most probable label. Some pairs are in only one of the tables: they do not count.
# %% accuracy_from_file
import numpy as np

from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    # BEGIN SOLUTION
    columns = [f"{scenario}_{label}" for label in LABELS]
    answers = np.array(LABELS)[predictions[columns].to_numpy().argmax(axis=1)]
    both = predictions.assign(answer=answers).merge(key, on="guid")
    return (both["answer"] == both["label"]).mean()
    # END SOLUTION


check.accuracy_from_file(score_file)


# %% [markdown] conclusion
# ### Exercise 2: a conclusion that the numbers carry
#
# Write `conclude(a, b, difference, majority)`. `a` and `b` are the accuracies of two models, and `difference` is the
# paired difference a − b. Each of the three has `.value` and a 95 % interval from `.low` to `.high`. `majority` is the
# accuracy of the majority, a number. Return one of these sentences:
#
# - `"neither beats the majority"`: for both models, the interval is not wholly above the majority. This comes first,
#   whatever the difference is;
# - `"a is better"` or `"b is better"`: the interval of the difference excludes 0;
# - `"cannot be told apart"`: it includes 0, which may be one of its ends.
# %% conclusion
def conclude(a, b, difference, majority):
    # BEGIN SOLUTION
    if max(a.low, b.low) <= majority:
        return "neither beats the majority"
    if difference.low > 0:
        return "a is better"
    if difference.high < 0:
        return "b is better"
    return "cannot be told apart"
    # END SOLUTION


check.conclusion(conclude)
