"""Answers to the exercise `majority`; see exercise_cases.py."""

ANSWER = 'train["label"].mode()[0]'
ACCURACY = '(dev["label"] == answer).mean()'
RETURN = "return accuracy, f1 / 3"

MISTAKES = [
    ("two_numbers", {RETURN: "return accuracy"}),
    ("two_numbers", {RETURN: "return answer, accuracy"}),
    ("two_numbers", {RETURN: "return [answer] * len(dev)"}),
    ("percent", {RETURN: "return 100 * accuracy, 100 * f1 / 3"}),
    ("percent", {RETURN: 'return (dev["label"] == answer).sum(), f1 / 3'}),
    ("not_finite", {RETURN: 'return accuracy, (f1 + float("nan") + float("nan")) / 3'}),
    ("dev_label", {ANSWER: 'dev["label"].mode()[0]'}),
    ("train_scored", {ACCURACY: '(train["label"] == answer).mean()'}),
    ("other_label", {ANSWER: '"positive"'}),
    ("other_label", {ANSWER: 'train["label"].max()'}),
    ("other_label", {ANSWER: 'train["label"].value_counts().index[-1]'}),
    (
        "drawn_answers",
        {ACCURACY: '(train["label"].value_counts(normalize=True) * dev["label"].value_counts(normalize=True)).sum()'},
    ),
    ("accuracy", {ACCURACY: '(dev["label"] == answer).sum() / len(train)'}),
    ("accuracy", {ACCURACY: "1 / 3"}),
    ("f1_is_accuracy", {RETURN: "return accuracy, accuracy"}),
    ("f1_weighted", {RETURN: "return accuracy, accuracy * f1"}),
    ("f1_one_label", {RETURN: "return accuracy, f1"}),
    ("macro_f1", {RETURN: "return accuracy, f1 / 2"}),
    ("macro_f1", {RETURN: "return accuracy, accuracy / 3"}),
]

ALTERNATIVES = {
    "value_counts": {ANSWER: 'train["label"].value_counts().idxmax()'},
    "counter": """
from collections import Counter


def score_majority(train, dev):
    (label, _), *_ = Counter(train["label"]).most_common(1)
    right = sum(one == label for one in dev["label"])
    precision = right / len(dev)
    return precision, 2 * precision * 1 / (precision + 1) / 3
""",
    "sklearn_metrics": """
from sklearn.metrics import accuracy_score, f1_score


def score_majority(train, dev):
    answers = [train.label.mode().iloc[0]] * len(dev)
    return accuracy_score(dev.label, answers), f1_score(dev.label, answers, average="macro", zero_division=0)
""",
    "sklearn_dummy": """
from sklearn.dummy import DummyClassifier
from sklearn.metrics import f1_score


def score_majority(train, dev):
    model = DummyClassifier(strategy="most_frequent").fit(train[["guid"]], train["label"])
    macro = f1_score(dev["label"], model.predict(dev[["guid"]]), average="macro")
    return model.score(dev[["guid"]], dev["label"]), macro
""",
    "score_predictions": """
import numpy as np

from mmlab.config import LABELS
from mmlab.evaluation import score_predictions


def score_majority(train, dev):
    numbers = dev["label"].map(LABELS.index).to_numpy()
    answer = LABELS.index(train["label"].mode()[0])
    scores = score_predictions(numbers, np.full(len(dev), answer), np.arange(len(dev)))
    return scores.accuracy.value, scores.macro_f1.value
""",
    "confusion": """
import numpy as np

from mmlab.config import LABELS


def score_majority(train, dev):
    numbers = np.array([LABELS.index(label) for label in dev["label"]])
    best = np.bincount([LABELS.index(label) for label in train["label"]], minlength=3).argmax()
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (numbers, best), 1)
    hits = np.diag(confusion)
    f1 = 2 * hits / (confusion.sum(axis=0) + confusion.sum(axis=1))
    return np.array([hits.sum() / confusion.sum(), f1.mean()])
""",
    "precision_and_recall": """
def score_majority(train, dev):
    best = train.groupby("label").size().idxmax()
    f1 = []
    for label in ("negative", "neutral", "positive"):
        hits = int((dev.label == label).sum()) if label == best else 0
        answered = len(dev) if label == best else 0
        present = int((dev.label == label).sum())
        precision = hits / answered if answered else 0
        recall = hits / present if present else 0
        f1.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    return (dev.label == best).sum() / len(dev), sum(f1) / len(f1)
""",
    "counts_alone": """
def score_majority(train, dev):
    hits = dev.label.value_counts()[train.label.value_counts().index[0]]
    return [hits / len(dev), 2 * hits / (3 * (hits + len(dev)))]
""",
    "torch": """
import torch


def score_majority(train, dev):
    names = sorted(set(train["label"]))
    counts = torch.tensor([names.index(label) for label in train["label"]]).bincount()
    right = torch.tensor([names.index(label) for label in dev["label"]]) == counts.argmax()
    accuracy = right.double().mean()
    return accuracy, 2 * accuracy / (1 + accuracy) / len(names)
""",
    "rows_of_a_frame": """
import pandas as pd


def score_majority(train, dev):
    answer = max(set(train["label"]), key=list(train["label"]).count)
    share = dev["label"].eq(answer).mean()
    return pd.Series({"accuracy": share, "macro_f1": 2 / 3 * share / (1 + share)})
""",
    "query": """
def score_majority(train, dev):
    best = train["label"].describe()["top"]
    share = len(dev.query("label == @best")) / len(dev)
    return share, (2 / (1 / share + 1) + 0 + 0) / 3
""",
}
