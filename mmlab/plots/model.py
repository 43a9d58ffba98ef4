"""A model: what it is made of, how its loss and accuracy went over the epochs of its training, what it answers."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmlab.config import FOLD, LABELS
from mmlab.errors import MmlabError
from mmlab.images import read_rgb
from mmlab.plots import style
from mmlab.plots.picture import make_output
from mmlab.progress import in_kernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mmlab.answer import Answer
    from mmlab.models import Node

_FILLS = {"input": "#FFFFFF", "logits": "#EFEFEF"}  # a module is light blue
_SIZE = (9.2, 3.5)  # inches


@style.styled
def plot_architecture(nodes: Sequence[Node], ax: Axes | None = None) -> Axes:
    """A model as boxes and arrows: what its forward pass goes through, from the inputs on top to the logits below.

    nodes: the model's parts, in the order in which a forward pass computes them. Left: what depends on the text alone;
    right: on the image alone; in the middle: on both. B is the number of pairs. Explained in notebook 04, section 2.
    """
    from matplotlib.artist import Artist

    places = _place(nodes)
    last, across = min(down for _, down in places.values()), [across for across, _ in places.values()]
    left, right = min(-1.0, min(across) - 0.5), max(3.0, max(across) + 0.5)  # a box is at most one unit wide
    ax = style.axes_or_new(ax, (9.2, 1.32 * (0.9 - last)))
    size = 46 / (right - left)  # points; 11.5 where no level has more than four boxes
    # The arrows end at boxes that are drawn over them, and must know their sizes before.
    measure, boxes = ax.add_artist(Artist()), {}
    measure.set(zorder=0, in_layout=False)
    measure.draw = lambda renderer: [words.update_bbox_position_size(renderer) for words in ax.texts]
    for node in nodes:
        kind = "" if node.kind in node.name else node.kind
        parameters = f"parameters: {node.parameters:,}" if node.parameters else ""
        words = "\n".join(filter(None, [node.name, kind, " × ".join(["B", *map(str, node.shape[1:])]), parameters]))
        box = {"boxstyle": "round,pad=0.35", "facecolor": _FILLS.get(node.kind, "#E3ECF5"), "edgecolor": style.INK}
        text = ax.text(*places[node.name], words, ha="center", va="center", fontsize=size, bbox=box, zorder=3)
        boxes[node.name] = text.get_bbox_patch()
    for node in nodes:
        for name in node.feeds:
            ends = {"patchA": boxes[node.name], "patchB": boxes[name], "shrinkA": 1, "shrinkB": 1}
            arrow = {"arrowstyle": "-|>", "color": style.OTHER, "linewidth": 1.1, **ends}
            ax.annotate("", xy=places[name], xytext=places[node.name], arrowprops=arrow, zorder=1)
    ax.set(xlim=(left, right), ylim=(last - 0.45, 0.45))
    ax.axis("off")
    return ax


@style.styled
def plot_answer(answer: Answer) -> np.ndarray:
    """One answer: the picture and the text, and beside them the probabilities of each scenario.

    Returns an array of Axes, the picture's first. Explained in notebook 04, section 7.
    """
    n = len(answer.probabilities)
    figure = style.new_figure((2.5 + 2.1 * n, 3.2))
    picture, *panels = axes = figure.subplots(1, 1 + n, width_ratios=[1.3] + [1] * n)
    figure.suptitle(answer.headline, fontsize=11, fontweight="bold", x=0.01, ha="left")
    picture.set(xticks=[], yticks=[])
    picture.grid(False)
    if answer.image is None:
        picture.text(0.5, 0.5, "no image", ha="center", va="center", color=style.OTHER)
    else:
        shown = read_rgb(answer.image)
        shown.thumbnail((400, 400))
        picture.imshow(np.asarray(shown))
    text = style.fit_text(answer.text or "(no text)", 2.3, 4, 10)
    picture.set_xlabel(text, fontsize=10, loc="left")
    style.quote(picture.xaxis.label)
    for panel, (scenario, probabilities) in zip(panels, answer.probabilities.items(), strict=True):
        bars = panel.barh(LABELS, probabilities, height=0.62, color=[style.COLOURS[label] for label in LABELS])
        panel.bar_label(bars, [f"{p:.2f}" for p in probabilities], padding=3, fontsize=9)
        panel.set(xlim=(0, 1.25), xticks=(0, 0.5, 1), xlabel="probability", title=scenario)
        panel.grid(axis="y", visible=False)
        panel.invert_yaxis()
    for panel in panels[1:]:
        panel.set_yticklabels([])
    return axes


@style.styled
def plot_history(history: pd.DataFrame, best_epoch=None, ax: Axes | Sequence[Axes] | None = None) -> Axes | np.ndarray:
    """Train and dev loss over the epochs and, in a second panel, dev accuracy; the best epoch is marked.

    history: columns epoch, train_loss, dev_loss, dev_accuracy, and fold and seed where several models were trained:
    then each has thin lines, and thick ones are the mean as long as all of them train. best_epoch: the epoch whose
    weights were kept: one number, or for several models a sequence in the order of their first rows, or a frame
    with columns fold, seed and best_epoch. ax: two Axes, or one for the loss alone. Returns what it drew on. Raises
    MmlabError for an epoch the history does not hold. Explained in notebook 02, section 3.3.
    """
    axes = np.ravel(style.new_figure(_SIZE).subplots(1, 2) if ax is None else ax)
    count = _draw_curves(axes[0], history, best_epoch, "train_loss", "dev_loss")
    axes[0].set_ylabel("loss (cross-entropy, nats)")
    if len(axes) > 1:
        _draw_curves(axes[1], history, best_epoch, "dev_accuracy")
        axes[1].set_ylabel("accuracy, share of 1")
    for panel in axes:
        panel.set_xlabel(f"epoch (n = {count} models, thick: mean)" if count > 1 else "epoch (n = 1 model)")
        panel.legend()
    return axes if ax is None or np.ndim(ax) else axes[0]


@style.styled
def plot_history_grid(runs: Sequence[tuple[str, pd.DataFrame, object]], columns: int = 3) -> np.ndarray:
    """Small multiples of the loss curves with shared axes: one panel per run, with its best epoch.

    runs: (title, history, best epoch) each; the last two as in `plot_history`. Returns an Axes per run. Raises
    MmlabError for no runs. Explained in notebook 05, section 3.
    """
    if not runs:
        raise MmlabError("There are no runs to show.")
    columns = min(columns, len(runs))
    lines = math.ceil(len(runs) / columns)
    figure = style.new_figure((3.12 * columns, 2.4 * lines))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for empty in panels[len(runs) :]:
        empty.remove()
    panels = panels[: len(runs)]
    for number, (panel, (title, history, best_epoch)) in enumerate(zip(panels, runs, strict=True)):
        count = _draw_curves(panel, history, best_epoch, "train_loss", "dev_loss")
        panel.set_title(title, fontsize=9.5)
        panel.set(xlabel=f"epoch (n = {count} model{'s' * (count > 1)})", ylabel="loss (nats)")
        lowest = number + columns >= len(runs)  # of its column
        panel.xaxis.set_tick_params(labelbottom=lowest)
        panel.xaxis.label.set_visible(lowest)
        panel.yaxis.label.set_visible(number % columns == 0)
    handles, names = panels[0].get_legend_handles_labels()
    panels[0].legend(handles, [name.partition(":")[0] for name in names])  # each panel has its own best epoch
    return panels


class live_curve(AbstractContextManager):
    """A loss curve that is redrawn in one place of a notebook, at most every `every` seconds, while a model trains.

    Use it as `with live_curve() as curve: … curve.update(history)`. Drawing takes at most a tenth of the training's
    time. Outside a notebook it draws and prints nothing. Explained in notebook 02, section 3.2.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.every = every
        self._handle, self._waiting, self._next = None, None, -math.inf

    def update(self, history: pd.DataFrame, best_epoch=None) -> None:
        """Show the history so far; columns and best_epoch as in `plot_history`. May skip a drawing to save time."""
        if in_kernel() and not history.empty:
            self._waiting = history, best_epoch
            if time.monotonic() >= self._next:
                self._draw()

    def __exit__(self, *_) -> None:
        if self._waiting:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display
        from matplotlib.figure import Figure

        started = time.monotonic()
        with style.lab_style():
            figure = Figure(figsize=_SIZE)  # not registered with pyplot, so that none stays open
            plot_history(*self._waiting, figure.subplots(1, 2))
            output = make_output(figure)
        if self._handle:
            self._handle.update(output, raw=True)
        else:
            self._handle = display(output, raw=True, display_id=True)
        ended = time.monotonic()
        self._waiting, self._next = None, ended + max(self.every, 10 * (ended - started))


def _place(nodes: Sequence[Node]) -> dict[str, tuple[float, float]]:
    """Where each node is drawn: from the left what text, both and the image reach; downwards by the longest way there.

    All logits are on the last level.
    """
    reached = {node.name: {node.name} for node in nodes}
    depth = dict.fromkeys(reached, 0)
    for node in nodes:
        for name in node.feeds:
            depth[name] = max(depth[name], depth[node.name] + 1)
            reached[name] |= reached[node.name]
    depth |= {node.name: max(depth.values()) for node in nodes if node.kind == "logits"}
    places = {}
    for level in set(depth.values()):
        row = {}
        for middle, inputs in ((0.0, {"text"}), (1.0, {"text", "image"}), (2.0, {"image"})):
            here = [name for name in depth if depth[name] == level and reached[name] & {"text", "image"} == inputs]
            for number, name in enumerate(here):
                step = (number - (len(here) - 1) / 2) * (-1 if middle == 2.0 else 1)  # those that go on, inside
                row[name] = middle + step
        ordered = sorted(row, key=row.get)
        if any(row[other] - row[one] < 1 for one, other in itertools.pairwise(ordered)):  # side by side around it
            row = {name: 1 + number - (len(row) - 1) / 2 for number, name in enumerate(ordered)}
        places |= {name: (across, -level) for name, across in row.items()}
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


def _draw_curves(ax: Axes, history: pd.DataFrame, best_epoch, *columns: str) -> int:
    """Draw each column, and stars at the best epochs of the last one. Returns the number of models in the history."""
    from matplotlib.ticker import MaxNLocator

    history = _mark_best(history, best_epoch)
    count = history["model"].nunique()
    for column in columns:
        split = column.partition("_")[0]
        look = {"color": style.COLOURS[split], "linestyle": style.LINES[split]}
        dots = style.MARKERS[split] if len(history) <= 12 else None
        own = {"alpha": 0.35, "linewidth": 0.9} if count > 1 else {"label": split, "marker": dots, "markersize": 4}
        for _, part in history.groupby("model"):
            ax.plot(part["epoch"], part[column], **look, **own, markeredgecolor="white", markeredgewidth=0.75)
        if count > 1:
            # Only while all train: the mean of the few that go on longer would jump as the others stop.
            epochs = history.groupby("epoch")[column]
            mean = epochs.mean()[epochs.size() == count]
            ax.plot(mean.index, mean, **look, linewidth=2.4, label=f"{split}, mean")
    best = history[history["best"]]
    if len(best):
        name, size = ("best epochs", 11) if count > 1 else (f"best epoch: {best['epoch'].iloc[0]}", 13)
        ax.plot("epoch", columns[-1], "*", data=best, label=name, color=style.INK, markersize=size,
                markeredgecolor="white", zorder=5)  # fmt: skip
        if count == 1:
            ax.axvline(best["epoch"].iloc[0], color=style.INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return count
