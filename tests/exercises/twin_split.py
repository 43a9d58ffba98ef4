"""Answers to the exercise `twin_split`; see exercise_cases.py."""

GROUPS = 'groups = pairs.drop_duplicates("twin")  # one row stands for each twin group'
SAMPLE = 'dev = groups.groupby("label").sample(frac=share, random_state=seed)'
RETURN = 'return pairs["twin"].isin(dev["twin"])'

MISTAKES = [
    ("mask", {RETURN: 'return pairs[pairs["twin"].isin(dev["twin"])]'}),
    ("mask", {RETURN: 'return pairs["twin"].isin(dev["twin"]).map({True: "dev", False: "train"})'}),
    ("mask", {RETURN: 'return dev["guid"].tolist()'}),
    ("mask", {RETURN: 'return pairs[~pairs["twin"].isin(dev["twin"])], pairs[pairs["twin"].isin(dev["twin"])]'}),
    ("input_changed", {GROUPS: f"pairs.index = range(len(pairs))\n    {GROUPS}"}),
    ("input_changed", {RETURN: 'pairs["dev"] = pairs["twin"].isin(dev["twin"])\n    return pairs["dev"]'}),
    ("one_side", {"frac=share": "frac=int(share)"}),
    ("one_side", {"frac=share": "n=None, frac=1"}),
    ("twins_divided", {GROUPS: "groups = pairs", RETURN: 'return pairs["guid"].isin(dev["guid"])'}),
    ("twins_divided", {RETURN: "return pairs.index.isin(dev.index)"}),
    (
        "twins_divided",
        {
            "def split_pairs": "from sklearn.model_selection import train_test_split\n\n\ndef split_pairs",
            SAMPLE: '_, dev = train_test_split(pairs, test_size=share, stratify=pairs["label"], random_state=seed)',
            RETURN: 'return pairs["guid"].isin(dev["guid"])',
        },
    ),
    ("share", {RETURN: 'return ~pairs["twin"].isin(dev["twin"])'}),
    ("share", {"frac=share": "frac=0.2"}),
    ("share", {GROUPS: "groups = pairs"}),
    ("share", {SAMPLE: "dev = groups.sample(1, random_state=seed)"}),
    (
        "labels_uneven",
        {SAMPLE: 'dev = groups.groupby("label").sample(n=round(share * len(groups) / 3), random_state=seed)'},
    ),
    (
        "labels_uneven",
        {SAMPLE: 'dev = groups[groups["label"] == "positive"].sample(round(share * len(groups)), random_state=seed)'},
    ),
    ("not_repeatable", {", random_state=seed": ""}),
    (
        "not_repeatable",
        {
            "def split_pairs": "import numpy as np\n\nrandom = np.random.default_rng(0)\n\n\ndef split_pairs",
            "random_state=seed": "random_state=random",
        },
    ),
    ("seed_ignored", {"random_state=seed": "random_state=0"}),
]

ALTERNATIVES = {
    "group_shuffle_split": """
import numpy as np
from sklearn.model_selection import GroupShuffleSplit


def split_pairs(pairs, share, seed):
    splitter = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    _, rows = next(splitter.split(pairs, groups=pairs["twin"]))
    dev = np.zeros(len(pairs), dtype=bool)
    dev[rows] = True
    return dev
""",
    "stratified_group_folds": """
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold


def split_pairs(pairs, share, seed):
    folds = StratifiedGroupKFold(n_splits=round(1 / share), shuffle=True, random_state=seed)
    _, rows = next(folds.split(pairs, pairs["label"], pairs["twin"]))
    return np.isin(np.arange(len(pairs)), rows)
""",
    "permutation": """
import numpy as np


def split_pairs(pairs, share, seed):
    groups = np.random.default_rng(seed).permutation(pairs.twin.unique())
    return np.isin(pairs.twin, groups[: int(share * len(groups))])
""",
    "filled_until_full": """
import random


def split_pairs(pairs, share, seed):
    members = {}
    for row, twin in enumerate(pairs["twin"]):
        members.setdefault(twin, []).append(row)
    order = list(members)
    random.Random(seed).shuffle(order)
    dev = [False] * len(pairs)
    for twin in order:
        if sum(dev) >= share * len(pairs):
            break
        for row in members[twin]:
            dev[row] = True
    return dev
""",
    "train_test_split_of_groups": """
from sklearn.model_selection import train_test_split


def split_pairs(pairs, share, seed):
    label_of = pairs.groupby("twin")["label"].first()
    _, dev = train_test_split(label_of.index, test_size=share, stratify=label_of, random_state=seed)
    return pairs["twin"].isin(dev).tolist()
""",
    "hash_of_the_group": """
import hashlib


def split_pairs(pairs, share, seed):
    def draw(twin):
        digest = hashlib.sha256(f"{seed} {twin}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    return pairs["twin"].map(draw) < share
""",
    "package_folds": """
from mmlab.course import split_folds


def split_pairs(pairs, share, seed):
    numbers = pairs["label"].astype("category").cat.codes.to_numpy()
    return split_folds(numbers, pairs["twin"].to_numpy(), 10, seed) < round(10 * share)
""",
    "global_state_seeded": """
import numpy as np


def split_pairs(pairs, share, seed):
    np.random.seed(seed)
    twins = np.sort(pairs["twin"].unique())
    np.random.shuffle(twins)
    chosen = set(twins[: round(share * len(twins))])
    return np.array([twin in chosen for twin in pairs["twin"]])
""",
    "torch": """
import torch


def split_pairs(pairs, share, seed):
    twins = torch.tensor(pairs["twin"].to_numpy())
    groups, place = twins.unique(return_inverse=True)
    draw = torch.rand(len(groups), generator=torch.Generator().manual_seed(seed))
    return draw[place] < share
""",
    "sorted_copy": """
import numpy as np


def split_pairs(pairs, share, seed):
    table = pairs.sort_values("twin")
    draw = np.random.default_rng(seed).random(table.twin.nunique())
    number = table.twin.ne(table.twin.shift()).cumsum() - 1
    table["dev"] = draw[number.to_numpy()] < share
    return table["dev"]
""",
    "largest_groups_first": """
import numpy as np


def split_pairs(pairs, share, seed):
    draw = np.random.default_rng(seed)
    counts = pairs.groupby(["twin", "label"]).size().unstack(fill_value=0)
    counts = counts.loc[draw.permutation(counts.index)]
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    wanted, held, dev = share * counts.sum(), 0 * counts.sum(), []
    for twin, group in counts.iterrows():
        if ((held + group) <= wanted).all():
            held, dev = held + group, [*dev, twin]
    return pairs["twin"].isin(dev).to_numpy().astype(int)
""",
    "merged_table": """
def split_pairs(pairs, share, seed):
    groups = pairs[["twin"]].drop_duplicates().sample(frac=1, random_state=seed)
    groups["dev"] = [row < share * len(groups) for row in range(len(groups))]
    return pairs.merge(groups, on="twin", how="left")["dev"].to_numpy()
""",
}
