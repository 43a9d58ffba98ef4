"""Answers to the exercise `accuracy_from_file`; see exercise_cases.py."""

COLUMNS = 'columns = [f"{scenario}_{label}" for label in LABELS]'
BOTH = 'both = predictions.assign(answer=answers).merge(key, on="guid")'
RETURN = 'return (both["answer"] == both["label"]).mean()'

MISTAKES = [
    ("number", {RETURN: 'return both["answer"] == both["label"]'}),
    ("number", {RETURN: 'return f"accuracy {(both.answer == both.label).mean():.3f}"'}),
    ("number", {RETURN: 'return (both["answer"] == both["label"]).sum() / np.float64("nan")'}),
    ("above_one", {RETURN: 'return 100 * (both["answer"] == both["label"]).mean()'}),
    ("above_one", {RETURN: 'return (both["answer"] == both["label"]).sum()'}),
    ("rows_by_position", {BOTH: 'both = predictions.assign(answer=answers, label=key["label"])'}),
    (
        "rows_by_position",
        {
            BOTH: 'both = predictions.assign(answer=answers)[predictions["guid"].isin(key["guid"])]\n'
            '    both = both.assign(label=key["label"][key["guid"].isin(predictions["guid"])].to_numpy())'
        },
    ),
    (
        "guid_as_row",
        {BOTH: 'both = predictions.assign(answer=answers, label=key["label"].to_numpy()[predictions["guid"]])'},
    ),
    ("guid_as_row", {BOTH: 'both = predictions.assign(answer=answers, label=predictions["guid"].map(key["label"]))'}),
    ("scenario", {COLUMNS: 'columns = [f"text_and_image_{label}" for label in LABELS]'}),
    (
        "scenario",
        {COLUMNS: "columns = [next(name for name in predictions if name.endswith(label)) for label in LABELS]"},
    ),
    ("labels_swapped", {"np.array(LABELS)": "np.array(LABELS[::-1])"}),
    ("labels_swapped", {COLUMNS: "columns = [name for name in predictions if name.startswith(scenario)]"}),
    ("rows_counted", {'on="guid"': 'on="guid", how="left"'}),
    ("rows_counted", {'on="guid"': 'on="guid", how="outer"'}),
    ("rows_counted", {RETURN: 'return (both["answer"] == both["label"]).sum() / len(key)'}),
    ("other_metric", {RETURN: 'return (both["answer"] == both["label"]).groupby(both["label"]).mean().mean()'}),
    (
        "other_metric",
        {
            "import numpy as np\n": "import numpy as np\nfrom sklearn.metrics import f1_score\n",
            RETURN: 'return f1_score(both["label"], both["answer"], average="macro")',
        },
    ),
    ("accuracy", {"argmax": "argmin"}),
    ("accuracy", {RETURN: 'return (both["answer"] == both["label"]).groupby(both["fold"]).mean().mean()'}),
]

ALTERNATIVES = {
    "idxmax": {
        "np.array(LABELS)[predictions[columns].to_numpy().argmax(axis=1)]": 'predictions[columns].idxmax(axis="columns").str.removeprefix(f"{scenario}_")'
    },
    "guid_as_index_of_both": """
import pandas as pd

from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    answers = predictions.set_index("guid").filter(regex=f"^{scenario}_").idxmax(axis=1).str.split("_").str[-1]
    table = pd.concat([answers.rename("answer"), key.set_index("guid")["label"]], axis=1, join="inner")
    return float(table["answer"].eq(table["label"]).mean())
""",
    "dict_and_loop": """
def score_file(predictions, key, scenario):
    truth = dict(zip(key["guid"], key["label"]))
    right = count = 0
    for row in predictions.to_dict("records"):
        if row["guid"] not in truth:
            continue
        chances = {label: row[f"{scenario}_{label}"] for label in ("positive", "neutral", "negative")}
        count += 1
        right += max(chances, key=chances.get) == truth[row["guid"]]
    return right / count
""",
    "map_and_drop": """
import numpy as np


def score_file(predictions, key, scenario):
    names = np.array(["negative", "neutral", "positive"])
    table = predictions.assign(label=predictions["guid"].map(key.set_index("guid")["label"])).dropna(subset=["label"])
    answers = names[np.argmax(np.column_stack([table[f"{scenario}_{name}"] for name in names]), axis=1)]
    return np.mean(answers == table["label"].to_numpy())
""",
    "sorted_and_cut": """
import numpy as np

from mmlab.config import LABELS, probability_columns


def score_file(predictions, key, scenario):
    shared = np.intersect1d(predictions["guid"], key["guid"])
    rows = predictions[predictions["guid"].isin(shared)].sort_values("guid")
    labels = key[key["guid"].isin(shared)].sort_values("guid")["label"]
    answers = rows[probability_columns(scenario)].to_numpy().argmax(1)
    return (np.array(LABELS)[answers] == labels.to_numpy()).mean()
""",
    "score_frame": """
from mmlab.evaluation import score_frame


def score_file(predictions, key, scenario):
    return score_frame(predictions.merge(key, how="inner"), scenario).accuracy.value
""",
    "sklearn": """
from sklearn.metrics import accuracy_score


def score_file(predictions, key, scenario):
    table = key.merge(predictions, on="guid", validate="one_to_one").rename(columns=lambda name: name.replace(f"{scenario}_", "="))
    answers = table[["=positive", "=negative", "=neutral"]].idxmax(axis=1).str[1:]
    return accuracy_score(table["label"], answers)
""",
    "torch": """
import torch

from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    both = key.merge(predictions, on="guid")
    shares = torch.tensor(both[[f"{scenario}_{label}" for label in LABELS]].to_numpy(), dtype=torch.bfloat16)
    labels = torch.tensor([LABELS.index(label) for label in both["label"]])
    return (shares.argmax(dim=1) == labels).float().mean()
""",
    "get_indexer": """
import numpy as np
import pandas as pd

from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    place = pd.Index(key["guid"]).get_indexer(predictions["guid"])
    known = place >= 0
    numbers = key["label"].map(LABELS.index).to_numpy()[place[known]]
    shares = predictions.loc[known, [f"{scenario}_{label}" for label in LABELS]].to_numpy()
    return np.count_nonzero(shares.argmax(axis=1) == numbers) / known.sum()
""",
    "the_true_label_wins": """
from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    both = predictions.merge(key, on="guid")
    columns = [f"{scenario}_{label}" for label in LABELS]
    best = both[columns].max(axis=1)
    of_the_truth = sum(both[column] * (both["label"] == label) for column, label in zip(columns, LABELS))
    return (of_the_truth == best).mean()
""",
    "long_table": """
def score_file(predictions, key, scenario):
    long = predictions.melt(id_vars="guid", value_vars=[name for name in predictions if name.startswith(scenario + "_")])
    best = long.sort_values("value").drop_duplicates("guid", keep="last")
    best["answer"] = best["variable"].str.rsplit("_", n=1).str[1]
    joined = best.merge(key)
    return len(joined.query("answer == label")) / len(joined)
""",
    "confusion": """
import numpy as np
import pandas as pd

from mmlab.config import LABELS


def score_file(predictions, key, scenario):
    both = predictions.merge(key, on="guid")
    names = {f"{scenario}_{label}": label for label in LABELS}
    answers = both[list(names)].idxmax(axis=1).map(names)
    table = pd.crosstab(both["label"], answers).reindex(index=LABELS, columns=LABELS, fill_value=0)
    return np.trace(table.to_numpy()) / table.to_numpy().sum()
""",
}
