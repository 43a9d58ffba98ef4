"""Answers to the exercise `interval`; see exercise_cases.py."""

DRAW = "np.random.default_rng(seed).integers(len(size), size=(draws, len(size)))"
GROUPS = "_, group = np.unique(twin, return_inverse=True)"
ACCURACY = "hits[drawn].sum(axis=1) / size[drawn].sum(axis=1)"
RETURN = "return tuple(np.percentile(accuracy, [2.5, 97.5]))"

MISTAKES = [
    ("shape", {RETURN: "return np.percentile(accuracy, 2.5)"}),
    ("shape", {RETURN: "return right.mean(), *np.percentile(accuracy, [2.5, 97.5])"}),
    ("shape", {ACCURACY: "hits[drawn].sum(axis=1) / 0"}),
    ("percent", {ACCURACY: "100 * " + ACCURACY}),
    ("reversed", {"[2.5, 97.5]": "[97.5, 2.5]"}),
    ("spread_of_rows", {RETURN: "return right.mean() - 1.96 * right.std(), right.mean() + 1.96 * right.std()"}),
    ("spread_of_rows", {RETURN: "return tuple(np.percentile(right.astype(float), [2.5, 97.5]))"}),
    ("pairs_drawn", {GROUPS: "group = np.arange(len(twin))"}),
    (
        "pairs_drawn",
        {RETURN: "half = 1.96 * right.std() / len(right) ** 0.5\n    return right.mean() - half, right.mean() + half"},
    ),
    ("pairs_drawn", {GROUPS: "group = np.append(0, np.cumsum(twin[1:] != twin[:-1]))"}),  # runs of equal numbers
    ("equal_weights", {ACCURACY: "(hits / size)[drawn].mean(axis=1)"}),
    ("one_sided", {"[2.5, 97.5]": "[5, 100]"}),
    ("one_sided", {RETURN: "return 0.0, np.percentile(accuracy, 95)"}),
    ("level", {"[2.5, 97.5]": "[5, 95]"}),
    ("level", {"[2.5, 97.5]": "[0.5, 99.5]"}),
    ("level", {"[2.5, 97.5]": "[0.025, 0.975]"}),
    ("level", {RETURN: "return accuracy.mean() - accuracy.std(), accuracy.mean() + accuracy.std()"}),
    ("level", {ACCURACY: "hits[drawn].sum(axis=1) / len(right)"}),
    ("unrepeatable", {"default_rng(seed)": "default_rng()"}),
    ("seed_ignored", {"default_rng(seed)": "default_rng(0)"}),
]

ALTERNATIVES = {
    "multinomial": {
        DRAW: "np.random.default_rng(seed).multinomial(len(size), np.full(len(size), 1 / len(size)), size=draws)",
        ACCURACY: "(drawn @ hits) / (drawn @ size)",
    },
    "a loop over draws": """
import numpy as np

def accuracy_interval(right, twin, draws, seed):
    rng, names = np.random.default_rng(seed), np.unique(twin)
    members = [right[twin == name] for name in names]
    values = []
    for _ in range(draws):
        sample = [members[place] for place in rng.integers(0, len(names), len(names))]
        values.append(np.concatenate(sample).mean())
    return np.quantile(values, 0.025), np.quantile(values, 0.975)
""",
    "pure Python": """
import random
from collections import defaultdict

def accuracy_interval(right, twin, draws, seed):
    groups = defaultdict(list)
    for one, name in zip(right.tolist(), twin.tolist()):
        groups[name].append(one)
    groups, draw = list(groups.values()), random.Random(seed)
    means = []
    for _ in range(draws):
        sample = draw.choices(groups, k=len(groups))
        means.append(sum(map(sum, sample)) / sum(map(len, sample)))
    means.sort()
    return means[round(0.025 * (draws - 1))], means[round(0.975 * (draws - 1))]
""",
    "pandas": """
import numpy as np
import pandas as pd

def accuracy_interval(right, twin, draws, seed):
    table = pd.DataFrame({"right": right, "twin": twin}).groupby("twin")["right"].agg(["sum", "count"])
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(draws):
        sums = table.sample(len(table), replace=True, random_state=rng).sum()
        means.append(sums["sum"] / sums["count"])
    return pd.Series(means).quantile([0.025, 0.975])
""",
    "torch": """
import torch

def accuracy_interval(right, twin, draws, seed):
    _, group = torch.unique(torch.as_tensor(twin), return_inverse=True)
    size = torch.bincount(group).float()
    hits = torch.bincount(group, weights=torch.as_tensor(right).float())
    drawn = torch.randint(len(size), (draws, len(size)), generator=torch.Generator().manual_seed(seed))
    values = hits[drawn].sum(1) / size[drawn].sum(1)
    return torch.quantile(values, torch.tensor([0.025, 0.975]))
""",
    "weights by Poisson": {
        DRAW: "np.random.default_rng(seed).poisson(1, size=(draws, len(size)))",
        ACCURACY: "(drawn @ hits) / (drawn @ size)",
    },
    "BCa": """
import numpy as np
from scipy.special import ndtr, ndtri

def accuracy_interval(right, twin, draws, seed):
    _, group = np.unique(twin, return_inverse=True)
    size, hits = np.bincount(group), np.bincount(group, weights=right)
    drawn = np.random.default_rng(seed).integers(len(size), size=(draws, len(size)))
    values = hits[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    left_out = (hits.sum() - hits) / (size.sum() - size)
    shift = left_out.mean() - left_out
    bias = ndtri((values < right.mean()).mean())
    pull = (shift**3).sum() / (6 * (shift**2).sum() ** 1.5)
    levels = [ndtr(bias + (bias + z) / (1 - pull * (bias + z))) for z in (-1.96, 1.96)]
    return tuple(np.quantile(values, levels))
""",
    "scipy": """
import numpy as np
from scipy.stats import bootstrap

def accuracy_interval(right, twin, draws, seed):
    _, group = np.unique(twin, return_inverse=True)
    size, hits = np.bincount(group), np.bincount(group, weights=right)
    found = bootstrap((hits, size), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, n_resamples=draws, rng=seed, method="percentile")
    return found.confidence_interval
""",
    "a normal interval, robust to clusters": {
        "drawn = " + DRAW: "residual = hits - size * right.mean()",
        "accuracy = "
        + ACCURACY: "half = 1.96 * np.sqrt(len(size) / (len(size) - 1) * (residual**2).sum()) / size.sum()",
        RETURN: "return right.mean() - half, right.mean() + half",
    },
    "mean and deviation of the draws": {
        RETURN: "return accuracy.mean() - 1.96 * accuracy.std(), accuracy.mean() + 1.96 * accuracy.std()"
    },
    "turned around the accuracy": {
        RETURN: "low, high = np.percentile(accuracy, [2.5, 97.5])\n    return 2 * right.mean() - high, 2 * right.mean() - low"
    },
    "the lab's own": """
import numpy as np
from mmlab.evaluation import score_predictions

def accuracy_interval(right, twin, draws, seed):
    one = score_predictions(np.ones(len(right), int), np.where(right, 1, 0), twin, draws, seed).accuracy
    return one.low, one.high
""",
    "numbers of twins as places": {GROUPS: "group = twin"},  # empty groups are drawn as well, and weigh nothing
    "jackknife over groups": """
import numpy as np

def accuracy_interval(right, twin, draws, seed):
    names = np.unique(twin)
    left = np.array([right[twin != name].mean() for name in names])
    error = np.sqrt((len(names) - 1) / len(names) * ((left - left.mean()) ** 2).sum())
    return [right.mean() - 1.96 * error, right.mean() + 1.96 * error]
""",
    "the random state of numpy, seeded": {
        "drawn = np.random.default_rng(seed).integers(": "np.random.seed(seed)\n    drawn = np.random.randint("
    },
}
