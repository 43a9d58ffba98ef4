"""Answers to the exercise `honest_score`; see exercise_cases.py."""

CHOSEN = "chosen = right[:, ~here].sum(axis=1).argmax()\n"
HITS = "hits += right[chosen, here].sum()\n"
RETURN = "return hits / len(folds)"


def write_body(body: str, imports: str = "import numpy as np") -> str:
    """A whole answer from the lines of its function."""
    lines = body.strip().replace("\n", "\n    ")
    return f"{imports}\n\n\ndef score_choice(right, folds):\n    {lines}\n"


MISTAKES = [
    ("not_one_number", {RETURN: "return right.mean(axis=1)"}),
    ("not_one_number", {RETURN: "return hits / len(folds), chosen"}),
    ("not_a_share", {RETURN: "return hits"}),
    ("not_a_share", {RETURN: "return 100 * hits / len(folds)"}),
    ("not_a_share", {HITS: "hits += right[chosen, ~here].sum()\n"}),
    ("flattered", {RETURN: "return right.mean(axis=1).max()"}),
    ("flattered", {CHOSEN: "chosen = right.sum(axis=1).argmax()\n"}),
    (
        "flattered",
        {
            CHOSEN: "chosen = right.sum(axis=1).argmax()\n",
            HITS: "hits += right[chosen, here].mean()\n",
            RETURN: "return hits / len(np.unique(folds))",
        },
    ),
    ("chosen_on_scored", {CHOSEN: "chosen = right[:, here].sum(axis=1).argmax()\n"}),
    ("chosen_on_scored", {HITS: "hits += right[:, here].sum(axis=1).max()\n"}),
    ("scored_on_chosen", {HITS: "hits += right[chosen, ~here].sum()\n", RETURN: "return hits / (2 * len(folds))"}),
    (
        "scored_on_chosen",
        {HITS: "hits += right[chosen, ~here].mean()\n", RETURN: "return hits / len(np.unique(folds))"},
    ),
    (
        "swapped",
        {
            CHOSEN: "chosen = right[:, here].sum(axis=1).argmax()\n",
            HITS: "hits += right[chosen, ~here].sum()\n",
            RETURN: "return hits / (2 * len(folds))",
        },
    ),
    (
        "swapped",
        {
            "here = folds == fold": "here = folds != fold",
            HITS: "hits += right[chosen, here].mean()\n",
            RETURN: "return hits / len(np.unique(folds))",
        },
    ),
    ("averaged", {HITS: "hits += right[:, here].sum() / len(right)\n"}),
    ("averaged", {RETURN: "return right.mean()"}),
    ("folds_equal", {HITS: "hits += right[chosen, here].mean()\n", RETURN: "return hits / len(np.unique(folds))"}),
    ("other_number", {"argmax()": "argmin()"}),
    ("other_number", {RETURN: "return right[chosen, here].mean()"}),
]

ALTERNATIVES = {
    "plain_loops": write_body(
        "hits = 0\n"
        "for fold in set(folds.tolist()):\n"
        "    best, most = None, -1\n"
        "    for row in right.tolist():\n"
        "        known = sum(yes for yes, other in zip(row, folds) if other != fold)\n"
        "        if known > most:\n"
        "            best, most = row, known\n"
        "    hits += sum(yes for yes, other in zip(best, folds) if other == fold)\n"
        "return hits / len(folds)"
    ),
    "totals_minus_the_fold": write_body(
        "names, place = np.unique(folds, return_inverse=True)\n"
        "counts = right.astype(int) @ np.eye(len(names), dtype=int)[place]\n"
        "chosen = (counts.sum(axis=1, keepdims=True) - counts).argmax(axis=0)\n"
        "return counts[chosen, range(len(names))].sum() / right.shape[1]"
    ),
    "leave_one_group_out": write_body(
        "hits = []\n"
        "for known, held in LeaveOneGroupOut().split(folds, groups=folds):\n"
        "    hits.extend(right[right[:, known].mean(axis=1).argmax(), held])\n"
        "return np.mean(hits)",
        "import numpy as np\nfrom sklearn.model_selection import LeaveOneGroupOut",
    ),
    "pandas": write_body(
        "counts = pd.DataFrame(right.T).groupby(folds).sum()\n"
        "chosen = (counts.sum() - counts).idxmax(axis=1)\n"
        "return sum(counts.loc[fold, row] for fold, row in chosen.items()) / len(folds)",
        "import pandas as pd",
    ),
    "torch": write_body(
        "right, folds = torch.from_numpy(right).float(), torch.from_numpy(folds)\n"
        "out = torch.zeros(len(folds))\n"
        "for fold in folds.unique():\n"
        "    here = folds == fold\n"
        "    out[here] = right[right[:, ~here].mean(dim=1).argmax()][here]\n"
        "return out.mean()",
        "import torch",
    ),
    "one_answer_for_each_pair": write_body(
        "answers = np.zeros(len(folds), dtype=bool)\n"
        "for fold in np.unique(folds):\n"
        "    best = max(range(len(right)), key=lambda row: right[row][folds != fold].sum())\n"
        "    answers[folds == fold] = right[best][folds == fold]\n"
        "return answers.mean()"
    ),
    "weighted_mean_of_folds": write_body(
        "names, sizes = np.unique(folds, return_counts=True)\n"
        "scores = []\n"
        "for name in names:\n"
        "    chosen = np.argmax(right[:, folds != name].mean(axis=1))\n"
        "    scores.append(right[chosen, folds == name].mean())\n"
        "return np.average(scores, weights=sizes)"
    ),
    "pair_by_pair": write_body(
        "hits = 0\n"
        "for pair, fold in enumerate(folds):\n"
        "    chosen = np.count_nonzero(right & (folds != fold), axis=1).argmax()\n"
        "    hits += bool(right[chosen, pair])\n"
        "return hits / len(folds)"
    ),
    "fewest_wrong": write_body(
        "wrong = ~right\n"
        "parts = [(np.flatnonzero(folds == one), np.flatnonzero(folds != one)) for one in np.unique(folds)]\n"
        "missed = sum(wrong[wrong[:, rest].sum(axis=1).argmin(), here].sum() for here, rest in parts)\n"
        "return 1 - missed / len(folds)"
    ),
    "fraction": write_body(
        "hits = {}\n"
        "for fold in np.unique(folds):\n"
        "    order = np.argsort(right[:, folds != fold].sum(axis=1))\n"
        "    hits[fold] = int(right[order[-1], folds == fold].sum())\n"
        "return float(Fraction(sum(hits.values()), len(folds)))",
        "from fractions import Fraction\n\nimport numpy as np",
    ),
    "einsum_over_all": write_body(
        "here = folds == np.unique(folds)[:, None]\n"
        'known = np.einsum("sp,fp->fs", right.astype(float), (~here).astype(float))\n'
        'scored = np.einsum("sp,fp->fs", right.astype(float), here.astype(float))\n'
        "return np.take_along_axis(scored, known.argmax(axis=1)[:, None], axis=1).sum() / here.sum()"
    ),
    "rounded": write_body(
        "hits = [right[(right * (folds != one)).sum(axis=1).argmax()] & (folds == one) for one in np.unique(folds)]\n"
        "return round(float(np.sum(hits)) / len(folds), 3)"
    ),
    "masked_arrays": write_body(
        "total = 0\n"
        "for fold in np.unique(folds):\n"
        "    hidden = np.ma.masked_array(right, np.broadcast_to(folds == fold, right.shape))\n"
        "    total += np.logical_and(right[hidden.sum(axis=1).argmax()], folds == fold).sum()\n"
        "return np.float32(total / folds.size)"
    ),
}
