"""A model as boxes and arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmlab.plots.style import INK, OTHER, axes_or_new, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mmlab.models import Node

_FILL = {"input": "#FFFFFF", "logits": "#EFEFEF"}
_MODULE = "#E3ECF5"


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
    ax = axes_or_new(ax, (9.4, 1.0 + 1.15 * (last + 1)))
    boxes = {}
    for node in nodes:
        words = [
            node.name,
            node.kind if node.kind not in node.name else "",
            " × ".join(["B", *map(str, node.shape[1:])]),
        ]
        words += [f"parameters: {node.parameters:,}"] if node.parameters else []
        style = {"boxstyle": "round,pad=0.35", "facecolor": _FILL.get(node.kind, _MODULE), "edgecolor": INK}
        text = ax.text(*places[node.name], "\n".join(filter(None, words)), ha="center", va="center", fontsize=7.5,
                       bbox=style, zorder=3)  # fmt: skip
        boxes[node.name] = text.get_bbox_patch()
    for node in nodes:
        for name in node.feeds:
            ends = {"patchA": boxes[node.name], "patchB": boxes[name], "shrinkA": 1, "shrinkB": 1}
            arrow = {"arrowstyle": "-|>", "color": OTHER, "linewidth": 1.1, **ends}
            ax.annotate("", xy=places[name], xytext=places[node.name], arrowprops=arrow, zorder=1)
    ax.set(xlim=(-0.75, 2.75), ylim=(-last - 0.5, 0.5))
    ax.axis("off")
    return ax


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
