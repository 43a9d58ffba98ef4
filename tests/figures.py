"""Data for tests of figures, and what is read from an Axes."""

import types
from html.parser import HTMLParser

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from mmlab.config import SCENARIOS
from mmlab.evaluation import Scores, score_predictions


def make_pairs(picture) -> pd.DataFrame:
    """40 pairs with a label but for the last five, which are the test pairs; all show one picture."""
    frame = pd.DataFrame({"guid": [str(i) for i in range(40)], "label": (["positive"] * 6 + ["negative"] * 4) * 4})
    frame["text"] = [f"costs $5 and ${i} today, 今天 \U0001f9cc" for i in range(40)]
    frame["encoding"] = ["utf-8"] * 30 + ["gb18030"] * 10
    frame["width"], frame["height"] = [80, 60] * 20, 40
    frame["image"], frame["twin"] = str(picture), range(40)
    frame["split"] = ["train"] * 30 + ["dev"] * 5 + ["test"] * 5
    frame.loc[frame["split"] == "test", "label"] = None
    return frame


def make_scores() -> dict[str, Scores]:
    """Scores of the three scenarios and of a baseline, on 200 pairs."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    return {
        name: score_predictions(labels, np.where(rng.random(200) < right, labels, 0), range(200), draws=200)
        for name, right in zip((*SCENARIOS, "TF-IDF"), (0.5, 0.3, 0.8, 0.4), strict=True)
    }


def make_history(epochs=8, fold=None) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    frame = pd.DataFrame({"epoch": epoch, "train_loss": 1 / epoch, "dev_loss": 0.5 + (epoch - 5) ** 2 / 100})
    frame["dev_accuracy"] = 0.7 - frame["dev_loss"] / 10
    return frame if fold is None else frame.assign(fold=fold, seed=0)


def make_table() -> pd.DataFrame:
    rows = [(lr, dropout) for lr in (1e-3, 3e-4) for dropout in (0.0, 0.3, 0.5)]
    table = pd.DataFrame(rows, columns=["lr", "dropout"])
    table["accuracy"] = [0.60, 0.62, 0.64, 0.66, 0.68, 0.70]
    return table.assign(low=table["accuracy"] - 0.02, high=table["accuracy"] + 0.02)


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def list_pictures(page: str) -> list[dict[str, str]]:
    """The attributes of each `img` element of a page."""
    parser = _Pictures()
    parser.feed(page)
    return parser.found


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def draw(ax) -> None:
    np.ravel(ax)[0].figure.canvas.draw()


class Node(types.SimpleNamespace):
    """A part of a model, as `plot_architecture` takes it."""


def make_nodes() -> list[Node]:
    def node(name, kind, width, *feeds, parameters=0):
        return Node(name=name, kind=kind, shape=(1, width), parameters=parameters, feeds=feeds)

    return [
        node("text", "input", 384, "project", "pool"),
        node("image", "input", 1280, "gate"),
        node("pool", "mean", 384, "project"),
        node("project", "Linear", 64, "gate", parameters=24640),
        node("gate", "GatedUnit", 64, "text_and_image", parameters=8256),
        node("text_and_image", "logits", 3),
    ]


def luminance(colour: str) -> float:
    return float(np.dot([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)],
                        [0.2126, 0.7152, 0.0722]))  # fmt: skip
