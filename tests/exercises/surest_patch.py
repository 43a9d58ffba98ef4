"""Answers to the exercise `surest_patch`; see exercise_cases.py."""

SUREST = "surest = patch_views.max(axis=2).argmax(axis=1)\n"
CHOSEN = "chosen = patch_views[np.arange(len(patch_views)), surest]\n"
NAMES = "[LABELS[number] for number in chosen.argmax(axis=1)]"
RETURN = f"return {NAMES}, chosen.max(axis=1)"


def write_body(body: str, imports: str = "import numpy as np") -> str:
    """A whole answer from the lines of its function."""
    lines = body.strip().replace("\n", "\n    ")
    return f"{imports}\n\nfrom mmlab.config import LABELS\n\n\ndef answer_by_surest(patch_views):\n    {lines}\n"


MISTAKES = [
    ("shape", {RETURN: f"return {NAMES}"}),
    ("shape", {RETURN: f"return {NAMES}, chosen"}),
    ("shape", {CHOSEN: "chosen = patch_views.reshape(-1, 3)\n"}),
    ("shape", {RETURN: "return np.asarray(LABELS)[chosen.squeeze().argmax(axis=-1)], chosen.squeeze().max(axis=-1)"}),
    (
        "changes_input",
        {
            SUREST: SUREST + "    patch_views /= patch_views.sum(axis=2, keepdims=True) * 2\n",
            RETURN: f"return {NAMES}, 2 * chosen.max(axis=1)",
        },
    ),
    ("not_names", {NAMES: "chosen.argmax(axis=1)"}),
    ("not_names", {NAMES: "[LABELS[number].upper() for number in chosen.argmax(axis=1)]"}),
    (
        "out_of_order",
        {RETURN: "order = (-chosen.max(axis=1)).argsort()\n    chosen = chosen[order]\n    " + RETURN},
    ),
    ("labels_swapped", {"LABELS[number]": "LABELS[::-1][number]"}),
    ("labels_swapped", {"LABELS[number]": '("positive", "negative", "neutral")[number]'}),
    ("same_patch", {CHOSEN: "chosen = patch_views[:, 0]\n"}),
    ("same_patch", {CHOSEN: "chosen = patch_views[:, -1]\n"}),
    ("same_patch", {SUREST: "surest = patch_views.max(axis=(0, 2)).argmax()\n"}),
    ("averaged", {CHOSEN: "chosen = patch_views.mean(axis=1)\n"}),
    ("averaged", {NAMES: "[LABELS[number] for number in patch_views.mean(axis=1).argmax(axis=1)]"}),
    ("least_sure", {"max(axis=2).argmax(axis=1)": "max(axis=2).argmin(axis=1)"}),
    (
        "other_labels",
        {
            NAMES: "[LABELS[np.bincount(row, minlength=3).argmax()] for row in patch_views.argmax(axis=2)]",
        },
    ),
    ("other_labels", {"max(axis=2).argmax(axis=1)": "min(axis=2).argmax(axis=1)"}),
    ("wrong_confidence", {"chosen.max(axis=1)": "chosen[:, 0]"}),
    ("wrong_confidence", {"chosen.max(axis=1)": "patch_views.mean(axis=1).max(axis=1)"}),
    ("wrong_confidence", {"chosen.max(axis=1)": "100 * chosen.max(axis=1)"}),
    ("wrong_confidence", {"chosen.max(axis=1)": "chosen.min(axis=1)"}),
]

ALTERNATIVES = {
    "highest_of_each_label": write_body(
        "highest = patch_views.max(axis=1)\nreturn np.array(LABELS)[highest.argmax(axis=1)], highest.max(axis=1)"
    ),
    "flat": write_body(
        "flat = patch_views.reshape(len(patch_views), -1)\n"
        "return [LABELS[place % 3] for place in flat.argmax(axis=1)], flat.max(axis=1)"
    ),
    "loops": write_body(
        "names, sure = [], []\n"
        "for picture in patch_views:\n"
        "    best, name = -1.0, None\n"
        "    for patch in picture:\n"
        "        for number, probability in enumerate(patch):\n"
        "            if probability > best:\n"
        "                best, name = probability, LABELS[number]\n"
        "    names.append(name)\n"
        "    sure.append(best)\n"
        "return names, sure",
        "",
    ),
    "python_max": write_body(
        "answers = [max((p, name) for patch in picture for p, name in zip(patch, LABELS)) for picture in patch_views.tolist()]\n"
        "return tuple(name for _, name in answers), tuple(p for p, _ in answers)",
        "",
    ),
    "torch": write_body(
        "sure, number = torch.from_numpy(patch_views).flatten(1).max(dim=1)\n"
        "return [LABELS[int(one) % 3] for one in number], sure",
        "import torch",
    ),
    "torch_bf16": write_body(
        "views = torch.tensor(patch_views)\n"
        "sure, number = views.amax(dim=1).max(dim=1)\n"
        "return [LABELS[one] for one in number.tolist()], sure.bfloat16()",
        "import torch",
    ),
    "take_along_axis": write_body(
        "surest = np.argmax(np.max(patch_views, axis=-1), axis=-1)\n"
        "chosen = np.take_along_axis(patch_views, surest[:, None, None], axis=1)[:, 0]\n"
        "return np.take(LABELS, chosen.argmax(axis=-1)), np.amax(chosen, axis=-1)"
    ),
    "unravel": write_body(
        "places = [np.unravel_index(one.argmax(), one.shape) for one in patch_views]\n"
        "return [LABELS[label] for _, label in places], [one[place] for one, place in zip(patch_views, places)]"
    ),
    "pandas": write_body(
        "flat = pd.DataFrame(patch_views.reshape(len(patch_views), -1))\n"
        "return flat.idxmax(axis=1).mod(3).map(dict(enumerate(LABELS))), flat.max(axis=1)",
        "import pandas as pd",
    ),
    "one_way_round_the_other": write_body(
        "order = patch_views.max(axis=2).argsort(axis=1)\n"
        "chosen = np.stack([views[row[-1]] for views, row in zip(patch_views, order)])\n"
        "number = chosen.argsort(axis=1)[:, -1]\n"
        "return [LABELS[one] for one in number], chosen[np.arange(len(chosen)), number]"
    ),
    "in_place_on_a_copy": write_body(
        "sure = patch_views.copy()\n"
        "sure.sort(axis=2)\n"
        "surest = sure[:, :, -1].argmax(axis=1)\n"
        "chosen = [views[patch] for views, patch in zip(patch_views, surest)]\n"
        "return [LABELS[one.argmax()] for one in chosen], np.array([one.max() for one in chosen], dtype=np.float32)"
    ),
    "mask_of_the_highest": write_body(
        "sure = patch_views.max(axis=(1, 2))\n"
        "where = (patch_views == sure[:, None, None]).any(axis=1)\n"
        "return [next(name for name, yes in zip(LABELS, row) if yes) for row in where], sure"
    ),
}
