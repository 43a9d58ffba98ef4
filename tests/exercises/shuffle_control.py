"""Answers to the exercise `shuffle_control`; see exercise_cases.py."""

ORDER = "np.random.default_rng(seed).permutation(len(images))"
RETURN = "return texts, images[order], labels"

MISTAKES = [
    ("shape", {RETURN: "return images[order]"}),
    ("shape", {RETURN: "return texts, images[order].mean(axis=1), labels"}),
    (
        "changed_in_place",
        {ORDER: "np.random.default_rng(seed).shuffle(images)", RETURN: "return texts, images, labels"},
    ),
    ("inside", {RETURN: "return texts, images[:, np.random.default_rng(seed).permutation(images.shape[1])], labels"}),
    ("inside", {ORDER: "np.random.default_rng(seed).permuted(images, axis=0)", RETURN: "return texts, order, labels"}),
    ("replacement", {ORDER: "np.random.default_rng(seed).integers(len(images), size=len(images))"}),
    ("replacement", {ORDER: "np.random.default_rng(seed).choice(len(images), len(images))"}),
    ("together", {RETURN: "return texts[order], images[order], labels[order]"}),
    ("together", {RETURN: "return texts[order], images[order], labels"}),
    ("moved_too", {RETURN: "return texts, images[order], labels[order]"}),
    ("moved_too", {RETURN: "return texts, images, labels[order]"}),
    ("moved_too", {RETURN: "return texts[::-1], images[order], labels"}),
    ("kept", {RETURN: "return texts, images, labels"}),
    (
        "kept",
        {
            RETURN: "images = images.copy()\n    half = order[:30]\n    images[half] = images[np.sort(half)]\n    return texts, images, labels"
        },
    ),
    ("within_label", {ORDER: "np.lexsort([np.random.default_rng(seed).random(len(images)), labels])"}),
    ("within_label", {ORDER: "np.roll(np.arange(len(images)), 1 + seed % 3)"}),
    ("unrepeatable", {ORDER: "np.random.default_rng().permutation(len(images))"}),
    ("unrepeatable", {ORDER: "np.random.permutation(len(images))"}),
    ("seed_ignored", {ORDER: "np.random.default_rng(0).permutation(len(images))"}),
    ("seed_ignored", {ORDER: "np.arange(len(images))[::-1]"}),
    (
        "global_random",
        {"    order =": "    np.random.seed(seed)\n    order =", ORDER: "np.random.permutation(len(images))"},
    ),
    (
        "global_random",
        {
            "    order =": "    import torch\n    torch.manual_seed(seed)\n    order =",
            ORDER: "torch.randperm(len(images)).numpy()",
        },
    ),
]

ALTERNATIVES = {
    "sorted random keys": {ORDER: "np.random.default_rng(seed).random(len(images)).argsort()"},
    "drawn without replacement": {ORDER: "np.random.default_rng(seed).choice(len(images), len(images), replace=False)"},
    "RandomState": {ORDER: "np.random.RandomState(seed).permutation(len(images))"},
    "torch": {
        ORDER: "__import__('torch').randperm(len(images), generator=__import__('torch').Generator().manual_seed(seed)).numpy()"
    },
    "torch tensors returned": """
import torch

def shuffle_images(texts, images, labels, seed):
    texts, images, labels = (torch.as_tensor(one) for one in (texts, images, labels))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return texts.bfloat16(), images.bfloat16()[order], labels
""",
    "a list of rows": """
import random

def shuffle_images(texts, images, labels, seed):
    rows = list(images)
    random.Random(seed).shuffle(rows)
    return texts, rows, labels
""",
    "shuffled copy": {
        ORDER: "images.copy()",
        RETURN: "np.random.default_rng(seed).shuffle(order)\n    return texts, order, labels",
    },
    "pandas": {ORDER: "__import__('pandas').Series(range(len(images))).sample(frac=1, random_state=seed).to_numpy()"},
    "scikit-learn": {
        ORDER: "None",
        RETURN: "from sklearn.utils import shuffle\n    return texts, shuffle(images, random_state=seed), labels",
    },
    "a loop by Fisher and Yates": """
import random

def shuffle_images(texts, images, labels, seed):
    draw, order = random.Random(seed), list(range(len(images)))
    for last in range(len(order) - 1, 0, -1):
        other = draw.randint(0, last)
        order[last], order[other] = order[other], order[last]
    moved = images.copy()
    for place, row in enumerate(order):
        moved[place] = images[row]
    return texts.copy(), moved, labels.copy()
""",
    "one cycle, nobody keeps their own": """
import numpy as np

def shuffle_images(texts, images, labels, seed):
    round_table = np.random.default_rng(seed).permutation(len(images))
    moved = np.empty_like(images)
    moved[round_table] = images[np.roll(round_table, 1)]
    return [texts, moved, labels]
""",
    "drawn until nobody keeps their own": {
        "    return": "    draw = np.random.default_rng(seed + 1000)\n    while (order == np.arange(len(images))).any():\n        order = draw.permutation(len(images))\n    return"
    },
    "the random state put back": """
import numpy as np

def shuffle_images(texts, images, labels, seed):
    state = np.random.get_state()
    np.random.seed(seed)
    order = np.random.permutation(len(images))
    np.random.set_state(state)
    return texts, images.take(order, axis=0), labels
""",
    "float32": {RETURN: "return texts.astype(np.float32), images.astype(np.float32)[order], labels.tolist()"},
    "permuted along the axis": {
        ORDER: "np.random.default_rng(seed).permutation(images, axis=0)",
        RETURN: "return texts, order, labels",
    },
}
