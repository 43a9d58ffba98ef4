"""Answers to the exercise `rivals`; see exercise_cases.py."""

MEMBER = "member = np.unique(twins)[:, None] == twins  # (groups, pairs)\n"
BEST = "best = right.mean(axis=1).argmax()\n"
LOW = "low = np.percentile(lead, 2.5, axis=1)\n"
RETURN = "return [row for row in range(len(right)) if row != best and low[row] <= 0]"
SHARES = "shares = sums @ drawn.T / (drawn @ sizes)\n    low, high = np.percentile(shares, [2.5, 97.5], axis=1)\n"


def write_body(body: str, imports: str = "import numpy as np") -> str:
    """A whole answer from the lines of its function."""
    lines = body.strip().replace("\n", "\n    ")
    return f"{imports}\n\n\ndef find_rivals(right, twins):\n    {lines}\n"


MISTAKES = [
    ("not_rows", {RETURN: "return low <= 0"}),
    ("not_rows", {RETURN: 'return [f"setting {row}" for row in range(len(right)) if row != best and low[row] <= 0]'}),
    ("not_rows", {RETURN: "return [row + 1 for row in range(len(right)) if row != best] + [len(right)]"}),
    ("not_rows", {RETURN: "return np.argwhere(low <= 0)"}),
    ("includes_best", {"row != best and ": ""}),
    ("inverted", {"low[row] <= 0": "low[row] > 0"}),
    ("single_intervals", {LOW: SHARES, "low[row] <= 0": "high[row] >= low[best]"}),
    (
        "single_intervals",
        {
            "lead = (sums[best] - sums) @ drawn.T / (drawn @ sizes)": "other = drawn[::-1]\n"
            "    lead = sums[best] @ drawn.T / (drawn @ sizes) - sums @ other.T / (other @ sizes)"
        },
    ),
    ("single_intervals", {LOW: SHARES, "low[row] <= 0": "high[row] >= right[best].mean()"}),
    ("pairs_drawn", {MEMBER: "member = np.eye(len(twins), dtype=bool)\n"}),
    (
        "pairs_drawn",
        {
            RETURN: "only_best, only_it = (right[best] & ~right).sum(axis=1), (~right[best] & right).sum(axis=1)\n"
            "    z = (only_best - only_it) / np.sqrt(np.maximum(only_best + only_it, 1))\n"
            "    return [row for row in range(len(right)) if row != best and z[row] < 1.96]"
        },
    ),
    ("wrong_reference", {"argmax()": "argmin()", "(sums[best] - sums)": "(sums - sums[best])"}),
    (
        "wrong_reference",
        {
            BEST: "best, last = right.mean(axis=1).argmax(), right.mean(axis=1).argmin()\n",
            "(sums[best] - sums)": "(sums - sums[last])",
        },
    ),
    ("by_mean", {"low[row] <= 0": "right[best].mean() - right[row].mean() < 0.01"}),
    ("by_mean", {"low[row] <= 0": "right[best].mean() - right[row].mean() < 0.0375"}),
    ("by_mean", {"low[row] <= 0": "right[best].sum() <= right[row].sum()"}),
    ("by_mean", {"low[row] <= 0": "right[best].sum() > right[row].sum()"}),
    ("by_mean", {LOW: "low = -lead.max(axis=1)\n"}),
    (
        "other_settings",
        {BEST: "right = right[(-right.mean(axis=1)).argsort()][::-1]\n    " + BEST},
    ),
    ("other_settings", {"low[row] <= 0": "low[row] <= 0 and right[best].sum() - right[row].sum() > 5"}),
]

SUMS = (
    "groups, place = np.unique(twins, return_inverse=True)\n"
    "best = int(right.sum(axis=1).argmax())\n"
    "def lead_of(row):\n"
    "    return np.bincount(place, weights=right[best].astype(float) - right[row])\n"
)

ALTERNATIVES = {
    "compare_predictions": write_body(
        "best = right.sum(axis=1).argmax()\n"
        "labels = np.ones(len(twins), dtype=int)\n"
        "rivals = []\n"
        "for row in range(len(right)):\n"
        "    one = compare_predictions(labels, right[best].astype(int), right[row].astype(int), twins)\n"
        '    if row != best and one.verdict == "cannot be told apart":\n'
        "        rivals.append(row)\n"
        "return rivals",
        "import numpy as np\n\nfrom mmlab.evaluation import compare_predictions",
    ),
    "rows_of_pairs_in_a_loop": write_body(
        "rng = np.random.default_rng(3)\n"
        "rows_of = [np.flatnonzero(twins == group) for group in np.unique(twins)]\n"
        "best = right.mean(axis=1).argmax()\n"
        "lead = []\n"
        "for _ in range(1000):\n"
        "    rows = np.concatenate([rows_of[one] for one in rng.integers(len(rows_of), size=len(rows_of))])\n"
        "    shares = right[:, rows].mean(axis=1)\n"
        "    lead.append(shares[best] - shares)\n"
        "low, high = np.quantile(lead, [0.025, 0.975], axis=0)\n"
        "return {row for row in range(len(right)) if low[row] <= 0 <= high[row]} - {best}"
    ),
    "pandas_groups": write_body(
        "sums = pd.DataFrame(right.T).groupby(twins).sum()\n"
        "sizes = pd.Series(twins).groupby(twins).size()\n"
        "best = sums.sum().idxmax()\n"
        "draws = []\n"
        "for seed in range(600):\n"
        "    drawn = sums.sample(frac=1, replace=True, random_state=seed)\n"
        "    draws.append(drawn.sum() / sizes[drawn.index].sum())\n"
        "draws = pd.DataFrame(draws)\n"
        "low = draws.rsub(draws[best], axis=0).quantile(0.025)\n"
        "return low.index[low <= 0].drop(best)",
        "import pandas as pd",
    ),
    "standard_error_over_groups": write_body(
        SUMS + "def is_clear(row):\n"
        "    lead = lead_of(row)\n"
        "    return lead.sum() > 1.96 * np.sqrt((lead**2).sum())\n"
        "return np.array([row for row in range(len(right)) if row != best and not is_clear(row)])"
    ),
    "sign_test_over_groups": write_body(
        SUMS + "rivals = []\n"
        "for row in range(len(right)):\n"
        "    signs = np.sign(lead_of(row))\n"
        "    wins, losses = int((signs > 0).sum()), int((signs < 0).sum())\n"
        "    if row != best and binomtest(wins, wins + losses).pvalue > 0.05:\n"
        "        rivals.append(row)\n"
        "return rivals",
        "import numpy as np\nfrom scipy.stats import binomtest",
    ),
    "wilcoxon_over_groups": write_body(
        SUMS + "others = [row for row in range(len(right)) if row != best]\n"
        "return [row for row in others if wilcoxon(lead_of(row)).pvalue > 0.05]",
        "import numpy as np\nfrom scipy.stats import wilcoxon",
    ),
    "t_test_over_groups": write_body(
        SUMS + "others = np.delete(np.arange(len(right)), best)\n"
        "p_values = np.array([ttest_1samp(lead_of(row), 0).pvalue for row in others])\n"
        "return others[p_values >= 0.05]",
        "import numpy as np\nfrom scipy.stats import ttest_1samp",
    ),
    "signs_flipped_at_random": write_body(
        SUMS + "rng = np.random.default_rng(1)\n"
        "signs = rng.choice([-1, 1], size=(2000, len(groups)))\n"
        "rivals = []\n"
        "for row in set(range(len(right))) - {best}:\n"
        "    lead = lead_of(row)\n"
        "    p_value = (abs(signs @ lead) >= abs(lead.sum())).mean()\n"
        "    if p_value > 0.05:\n"
        "        rivals.append(row)\n"
        "return rivals"
    ),
    "mcnemar_on_one_pair_of_each_group": write_body(
        "best = right.sum(axis=1).argmax()\n"
        "_, first = np.unique(twins, return_index=True)\n"
        "one = right[:, first]\n"
        "b, c = (one[best] & ~one).sum(axis=1), (~one[best] & one).sum(axis=1)\n"
        "p_values = 2 * binom.cdf(np.minimum(b, c), b + c, 0.5)\n"
        "return [row for row in range(len(right)) if p_values[row] > 0.05 and row != best]",
        "import numpy as np\nfrom scipy.stats import binom",
    ),
    "jackknife": write_body(
        SUMS + "sizes = np.bincount(place)\n"
        "rivals = []\n"
        "for row in range(len(right)):\n"
        "    lead = lead_of(row)\n"
        "    without = (lead.sum() - lead) / (sizes.sum() - sizes)\n"
        "    n = len(groups)\n"
        "    error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())\n"
        "    if row != best and lead.sum() / sizes.sum() - 1.96 * error <= 0:\n"
        "        rivals.append(row)\n"
        "return tuple(rivals)"
    ),
    "random_weights_for_the_groups": write_body(
        SUMS + "weights = np.random.default_rng(5).exponential(size=(2000, len(groups)))\n"
        "leads = np.array([lead_of(row) for row in range(len(right))])\n"
        "low = np.percentile(weights @ leads.T, 2.5, axis=0)\n"
        "return sorted(set(np.flatnonzero(low <= 0)) - {best})"
    ),
    "torch": write_body(
        "right, place = torch.tensor(right).double(), torch.tensor(np.unique(twins, return_inverse=True)[1])\n"
        "best = int(right.mean(dim=1).argmax())\n"
        "groups = int(place.max()) + 1\n"
        "lead = torch.zeros(len(right), groups, dtype=torch.double).index_add_(1, place, right[best] - right)\n"
        "drawn = torch.randint(groups, (2000, groups))\n"
        "low = torch.stack([one[drawn].sum(dim=1).quantile(0.025) for one in lead])\n"
        "return [row for row in (low <= 0).nonzero().flatten().tolist() if row != best]",
        "import numpy as np\nimport torch",
    ),
    "python_choices": write_body(
        "draw = random.Random(2)\n"
        "totals = [int(row.sum()) for row in right]\n"
        "best = totals.index(max(totals))\n"
        "rivals = []\n"
        "for row in range(len(right)):\n"
        "    lead = Counter()\n"
        "    for group, a, b in zip(twins.tolist(), right[best].tolist(), right[row].tolist()):\n"
        "        lead[group] += a - b\n"
        "    values = list(lead.values())\n"
        "    drawn = sorted(sum(draw.choices(values, k=len(values))) for _ in range(1000))\n"
        "    if drawn[25] <= 0 and row != best:\n"
        "        rivals.append(row)\n"
        "return rivals",
        "import random\nfrom collections import Counter",
    ),
}
