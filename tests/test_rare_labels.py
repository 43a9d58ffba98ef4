"""The knob for rare labels: it trades accuracy for their recall, in neural heads and in the kernel machine."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmlab.config import LABELS, RunConfig
from mmlab.course import Course, split_folds
from mmlab.features import Features, Sequences
from mmlab.training import cross_fit
from mmlab.training.loop import log_shares

N = 300


def make_rare() -> tuple[Course, Features]:
    """Labels of which the second is rare; text and image tell something of it."""
    random = np.random.default_rng(0)
    labels = random.choice(3, N, p=[0.4, 0.1, 0.5])
    sides = []
    for width in (6, 7):
        vectors = random.standard_normal((N, width)) + 1.2 * np.eye(width)[labels]
        sides.append(Sequences(vectors.astype(np.float32), np.arange(N + 1)))
    guids = [str(number) for number in range(N)]
    folds = split_folds(labels, np.arange(N), 5, 0)
    pairs = pd.DataFrame({
        "guid": guids, "label": np.asarray(LABELS)[labels], "twin": range(N),
        "split": np.where(folds == 0, "dev", "train"),
    })  # fmt: skip
    return Course(Path("nowhere"), pairs, None, 0, "data", "split"), Features(guids, *sides, digest="")


def recall_and_accuracy(preset: str, **knobs) -> tuple[float, float]:
    course, features = make_rare()
    config = RunConfig.from_params({"folds": 3, "seeds": 1, "views": "", "epochs": 15, "lr": 0.01, **knobs}, preset)
    frame = cross_fit(config, course, features).predictions
    answers = frame[[f"text_and_image_{label}" for label in LABELS]].to_numpy().argmax(axis=1)
    right = np.asarray(LABELS)[answers] == frame["label"].to_numpy()
    return right[(frame["label"] == LABELS[1]).to_numpy()].mean(), right.mean()


@pytest.mark.parametrize("preset", ["laptop", "kernel"])
def test_more_rare_labels_are_found_and_accuracy_pays(preset):
    plain, shifted = recall_and_accuracy(preset), recall_and_accuracy(preset, prior_shift=1.5)
    assert shifted[0] > plain[0] + 0.1
    assert shifted[1] < plain[1] + 0.01


def test_the_shares_of_labels_are_those_of_the_targets():
    shares = log_shares(torch.tensor([0, 0, 2, 2, 2, 2])).exp()
    torch.testing.assert_close(shares, torch.tensor([2, 1, 4]) / 7)  # an absent label counts as one pair
