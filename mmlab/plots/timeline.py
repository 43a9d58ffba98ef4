"""Where the seconds of a workbook went."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmlab.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@style.styled
def plot_timeline(
    parts: Sequence[Mapping[str, Any]], encoding: str = "encoding", unencoded: Collection[str] = (),
    names: Mapping[str, str] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One bar per part, from its start to its end, in the order of their starts; a thin line while it waited to start.

    parts: dicts with name, ready, start and end in seconds. encoding: the part that encodes. unencoded: the parts that
    need no features; the bars of the others are hatched while features were still being encoded. names: what parts are
    called, where that is not their name.
    """
    parts = sorted(parts, key=lambda part: (part["start"], part["end"]))
    encoded = next((part["end"] for part in parts if part["name"] == encoding), 0.0)
    ax = style.axes_or_new(ax, (7.2, 1.2 + 0.32 * len(parts)))
    colour, labels = style.COLOURS["positive"], {"waiting to start", "beside the encoding"}

    def once(label: str) -> str | None:
        unused = label in labels
        labels.discard(label)
        return label if unused else None

    for row, part in enumerate(parts):
        ready, start, end = part["ready"], part["start"], part["end"]
        shared = 0.0 if part["name"] in (encoding, *unencoded) else min(end, encoded) - start
        if start > ready:
            ax.plot([ready, start], [row, row], color=style.OTHER, linewidth=1, label=once("waiting to start"))
        if shared > 0:
            look = {"facecolor": "white", "edgecolor": colour, "hatch": style.HATCH, "height": 0.6}
            ax.barh(row, shared, left=start, label=once("beside the encoding"), **look)
        ax.barh(row, end - max(start, start + shared), left=start + max(0.0, shared), height=0.6, color=colour)
        ax.text(end, row, f"  {end - start:.1f} s", va="center", fontsize=9)
    ax.set_yticks(range(len(parts)), [(names or {}).get(part["name"], part["name"]) for part in parts])
    ax.invert_yaxis()
    ax.set(xlabel="seconds since the start", xlim=(0, 1.12 * max((part["end"] for part in parts), default=1)))
    ax.grid(axis="y", visible=False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", fontsize=9)
    return ax
