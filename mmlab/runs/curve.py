"""Would more pairs help? The same training with an eighth, a quarter, a half of them. See notebook 06, section 6.5."""

import numpy as np
import pandas as pd

from mmlab.config import TWIN, RunConfig
from mmlab.course import Course
from mmlab.evaluation.scores import score_counts
from mmlab.features import Pairs

FEWEST = 8  # training pairs: with a handful there is nothing to draw
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_BOUNDS = {"accuracy": "value", "low": "low", "high": "high"}  # the columns of an Interval


def learning_curve(
    config: RunConfig, course: Course, features: Pairs, shares: tuple[float, ...] = SHARES, draws: int = 3
) -> pd.DataFrame:
    """Accuracy out of fold after training on a share of the pairs: share, n, accuracy, low and high, a row for each.

    Twin groups are drawn whole; a smaller draw is a part of each larger one, so that two shares differ by the pairs
    that were added and by nothing else. Every pair is answered by models that saw neither it nor a twin of it. n: the
    mean number of training pairs; low, high: the 95 % interval over twin groups of the mean over the draws.
    """
    from mmlab.training import needed
    from mmlab.training.crossfit import deal_folds, plan_parts
    from mmlab.training.parts import Part, fit_part

    labels, twins = np.asarray(course.labels), course.labelled[TWIN].to_numpy()
    fold_of, pairs = deal_folds(config, course.labelled, labels), needed(config, features)
    groups = np.unique(twins, return_inverse=True)[1]
    parts = list(plan_parts(config, labels, twins, fold_of))
    fewest = min(len(part.train_rows) for part in parts)
    shares = tuple(share for share in shares if share * fewest >= FEWEST) or (1.0,)
    right, sizes = np.zeros((len(shares), len(labels)), np.int64), np.zeros(len(shares))
    for draw in range(draws):
        rank = np.random.default_rng([config.seed, draw]).permutation(groups.max() + 1)[groups] / (groups.max() + 1)
        for number, share in enumerate(shares):
            if share >= 1 and draw:  # all pairs are the same pairs in each draw
                right[number] += right[number] // draw
                sizes[number] += sizes[number] / draw
                continue
            for part in parts:
                chosen = [rows[rank[rows] < share] for rows in (part.train_rows, part.dev_rows)]
                small = Part(part.fold, part.seed, *chosen, part.held_out)
                answered = fit_part(config, pairs, labels, small).held_out[config.trained_scenarios[-1]].argmax(axis=1)
                right[number, part.held_out] += answered == labels[part.held_out]
                sizes[number] += len(chosen[0]) + len(chosen[1])
    scores = [score_counts(one, twins, most=draws) for one in right]
    bounds = {name: [getattr(one, part) for one in scores] for name, part in _BOUNDS.items()}
    return pd.DataFrame({"share": shares, "n": np.round(sizes / draws / len(parts)).astype(int), **bounds})
