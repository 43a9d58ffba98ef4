"""A model: what it is made of, and how its loss and accuracy went over the epochs of its training."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import FOLD
from mmlab.errors import MmlabError
from mmlab.plots import style
from mmlab.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mmlab.models import Node

_FILLS = {"input": "#FFFFFF", "logits": "#EFEFEF"}  # a module is light blue
_SIZE = (9.2, 3.5)  # inches
_LOSS = {"train_loss": "train", "dev_loss": "dev"}


@styled
def plot_architecture(nodes: Sequence[Node], ax: Axes | None = None) -> Axes:
    """A model as boxes and arrows: what its forward pass goes through, from the inputs on top to the logits below.

    nodes: the model's parts, each with name, kind, shape, parameters and the names it feeds. Left: what depends on
    the text alone; right: on the image alone; in the middle: on both. B is the number of pairs. Explained in notebook
    04, section 2.
    """
    depth = _find_depths(nodes)
    places = _place(nodes, depth)
    last = max(depth.values())
    ax = style.axes_or_new(ax, (9.4, 1.0 + 1.15 * (last + 1)))
    boxes = {}
    for node in nodes:
        words = (
            [node.name] + [node.kind] * (node.kind not in node.name) + [" × ".join(["B", *map(str, node.shape[1:])])]
        )
        words += [f"parameters: {node.parameters:,}"] * (node.parameters > 0)
        box = {"boxstyle": "round,pad=0.35", "facecolor": _FILLS.get(node.kind, "#E3ECF5"), "edgecolor": style.INK}
        text = ax.text(*places[node.name], "\n".join(words), ha="center", va="center", fontsize=7.5,
                       bbox=box, zorder=3)  # fmt: skip
        boxes[node.name] = text.get_bbox_patch()
    for node in nodes:
        for name in node.feeds:
            ends = {"patchA": boxes[node.name], "patchB": boxes[name], "shrinkA": 1, "shrinkB": 1}
            arrow = {"arrowstyle": "-|>", "color": style.OTHER, "linewidth": 1.1, **ends}
            ax.annotate("", xy=places[name], xytext=places[node.name], arrowprops=arrow, zorder=1)
    ax.set(xlim=(-0.75, 2.75), ylim=(-last - 0.5, 0.5))
    ax.axis("off")
    return ax


@styled
def plot_history(history: pd.DataFrame, best_epoch=None, ax: Axes | Sequence[Axes] | None = None) -> Axes | np.ndarray:
    """Train and dev loss over the epochs and, in a second panel, dev accuracy; the best epoch is marked.

    history: columns epoch, train_loss, dev_loss, dev_accuracy, and fold and seed where several models were trained:
    then each has thin lines, and thick ones are the mean as long as all of them train. best_epoch: the epoch whose
    weights were kept: one number, or for several models a sequence in the order of their first rows, or a frame
    with columns fold, seed and best_epoch. ax: two Axes, or one for the loss alone. Returns what it drew on. Raises
    MmlabError for an epoch the history does not hold. Explained in notebook 02, section 3.3.
    """
    axes = np.ravel(style.new_figure(_SIZE).subplots(1, 2) if ax is None else ax)
    history = _mark_best(history, best_epoch)
    _draw_curves(axes[0], history, _LOSS, marked="dev_loss")
    axes[0].set_ylabel("loss (cross-entropy, nats)")
    if len(axes) > 1:
        _draw_curves(axes[1], history, {"dev_accuracy": "dev"}, marked="dev_accuracy")
        axes[1].set_ylabel("accuracy, share of 1")
    count = history["model"].nunique()
    for panel in axes:
        panel.set_xlabel(f"epoch (n = {count} models, thick: mean)" if count > 1 else "epoch (n = 1 model)")
    return axes if ax is None or np.ndim(ax) else axes[0]


@styled
def plot_history_grid(runs: Sequence[tuple[str, pd.DataFrame, object]], columns: int = 3) -> np.ndarray:
    """Small multiples of the loss curves with shared axes: one panel per (title, history, best epoch).

    history and best epoch as in `plot_history`. Returns an array with one Axes per run. Raises MmlabError for no
    runs. Explained in notebook 05, section 3.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    runs = list(runs)
    if not runs:
        raise MmlabError("There are no runs to show.")
    numbers = pd.DataFrame({"run": range(len(runs))})
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn lays out in its own way, and warns of this
        facets = sns.FacetGrid(numbers, col="run", col_wrap=min(columns, len(runs)), height=2.4, aspect=1.3)
    facets.figure.set_layout_engine("constrained")
    for number, (panel, (title, history, best_epoch)) in enumerate(zip(facets.axes, runs, strict=True)):
        history = _mark_best(history, best_epoch)
        _draw_curves(panel, history, _LOSS, "dev_loss", legend=number == 0)
        panel.set_title(title, fontsize=9.5)
        count = history["model"].nunique()
        panel.set(xlabel=f"epoch (n = {count} model{'s' * (count > 1)})", ylabel="loss (nats)")
    return facets.axes


class LiveCurve:
    """A loss curve that is redrawn in one place of a notebook while a model trains: see `live_curve`."""

    def __init__(self, every: float) -> None:
        self.every = every  # seconds at least between two drawings: drawing must not slow the training
        self._handle, self._waiting, self._drawn_at = None, None, -math.inf

    def update(self, history: pd.DataFrame, best_epoch=None) -> None:
        """Show the history so far; columns and best_epoch as in `plot_history`. May skip a drawing to save time."""
        if not _in_notebook() or history.empty:
            return
        self._waiting = history, best_epoch
        if time.monotonic() - self._drawn_at >= self.every:
            self.draw()
            self._drawn_at = time.monotonic()

    def draw(self) -> None:
        """Draw the last state unless it was drawn. No figure stays open: none is registered with pyplot."""
        if self._waiting is None:
            return
        from IPython.display import Image, display
        from matplotlib.figure import Figure

        buffer = io.BytesIO()
        with style.lab_style():
            figure = Figure(figsize=_SIZE)
            plot_history(*self._waiting, figure.subplots(1, 2))
            figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
            picture = Image(buffer.getvalue(), format="png", width=round(_SIZE[0] * figure.dpi))
        if self._handle:
            self._handle.update(picture)
        else:
            self._handle = display(picture, display_id=True)
        self._waiting = None


@contextmanager
def live_curve(every: float = 0.5) -> Iterator[LiveCurve]:
    """A loss curve that is redrawn at most every `every` seconds while a model trains.

    Use it as `with live_curve() as curve: … curve.update(history)`. Outside a notebook it draws and prints nothing.
    Explained in notebook 02, section 3.2.
    """
    curve = LiveCurve(every)
    try:
        yield curve
    finally:
        curve.draw()


def _find_depths(nodes: Sequence[Node]) -> dict[str, int]:
    """The longest way from an input down to each node; all logits are on the last level."""
    depth = dict.fromkeys((node.name for node in nodes), 0)
    for _ in nodes:
        for node in nodes:
            for name in node.feeds:
                depth[name] = max(depth[name], depth[node.name] + 1)
    return depth | {node.name: max(depth.values()) for node in nodes if node.kind == "logits"}


def _place(nodes: Sequence[Node], depth: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Where each node is drawn: from the left what text, both and the image reach; downwards by depth."""
    feeds = {node.name: node.feeds for node in nodes}

    def reach(start: str) -> set[str]:
        return {start}.union(*map(reach, feeds[start]))

    text, image = reach("text"), reach("image")
    places = {}
    for level in set(depth.values()):
        for middle, seen in ((0.0, text - image), (1.0, text & image), (2.0, image - text)):
            here = [node.name for node in nodes if depth[node.name] == level and node.name in seen]
            for number, name in enumerate(here):
                step = (number - (len(here) - 1) / 2) * (-1 if middle == 2.0 else 1)  # those that go on, inside
                places[name] = (middle + 0.62 * step, -level)
    return places


def _mark_best(history: pd.DataFrame, best_epoch) -> pd.DataFrame:
    """The history with a column model, from 0, and a column best: whether the weights of this epoch were kept."""
    keys = [name for name in (FOLD, "seed") if name in history.columns]
    history = history.assign(model=history.groupby(keys, sort=False).ngroup() if keys else 0)
    models = history.drop_duplicates("model")
    if isinstance(best_epoch, pd.DataFrame):
        best_epoch = models.merge(best_epoch, on=keys)["best_epoch"]
    best = [best_epoch] * len(models) if np.ndim(best_epoch) == 0 else list(best_epoch)
    if len(best) != len(models):
        raise MmlabError(f"{len(best)} best epochs do not fit the history of {len(models)} models.")
    history["best"] = history["epoch"] == history["model"].map(dict(enumerate(best)))
    for epoch, (_, part) in zip(best, history.groupby("model"), strict=True):
        if epoch is not None and not part["best"].any():
            raise MmlabError(f"Epoch {epoch} is not in the history: it holds {list(part['epoch'])}.")
    return history


def _draw_curves(ax: Axes, history: pd.DataFrame, columns: Mapping[str, str], marked: str, legend: bool = True) -> None:
    import seaborn as sns
    from matplotlib.ticker import MaxNLocator

    count = history["model"].nunique()
    for column, split in columns.items():
        look = {"color": style.COLOURS[split], "linestyle": style.LINES[split]}
        dots = style.MARKERS[split] if len(history) <= 12 else None
        own = {"alpha": 0.35, "linewidth": 0.9} if count > 1 else {"label": split, "marker": dots, "markersize": 4}
        sns.lineplot(history, x="epoch", y=column, units="model", estimator=None, ax=ax, legend=False, **look, **own)
        if count > 1:
            # Only while all train: the mean of the few that go on longer would jump as the others stop.
            epochs = history.groupby("epoch")[column]
            mean = epochs.mean()[epochs.size() == count]
            ax.plot(mean.index, mean, **look, linewidth=2.4, label=f"{split}, mean")
    best = history[history["best"]]
    if len(best):
        name, size = ("best epochs", 11) if count > 1 else (f"best epoch: {best['epoch'].iloc[0]}", 13)
        ax.plot(best["epoch"], best[marked], "*", color=style.INK, markersize=size, markeredgecolor="white", zorder=5,
                label=name)  # fmt: skip
        if count == 1:
            ax.axvline(best["epoch"].iloc[0], color=style.INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend:
        ax.legend()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code, asked without importing IPython where nobody has."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
