"""The nearest pairs of a pair, in the space of the texts or of the images. Explained in notebook 02, section 2.4."""

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.config import GUID, LABEL, TWIN, check_choice
from mmlab.errors import MmlabError, NothingToShow
from mmlab.features import Features
from mmlab.widgets.cards import draw_cards, name_pair
from mmlab.widgets.parts import frame, guard, in_a_row, stack
from mmlab.widgets.steps import Steps

SPACES = ("text", "image")
COSINE = "cosine"
_SHOWN = 3  # neighbours in the view
_HEIGHT = 420  # pixels


def find_neighbours(
    pairs: pd.DataFrame, features: Features, position: int, space: str = "text", n: int = 3, twins: bool = False
) -> pd.DataFrame:
    """A pair and the n pairs whose pooled vectors point in the most similar direction, the nearest first.

    pairs: `Course.pairs` or a part of it; features: of the course, found by guid; position: a row of `pairs`, from 0;
    space: "text" or "image". Twins of the pair are left out unless `twins`, and so is what has no such side. Returns
    n + 1 rows of `pairs`, or fewer where there are fewer, with a column cosine (float, 1 for the pair itself). Raises
    MmlabError for a position that is not there, a pair without this side, and pairs without features. Explained in
    notebook 02, section 2.4 and notebook 03, section 2.
    """
    return _find(pairs, _directions(pairs, features, space), position, space, n, twins)


@plots.styled
def show_neighbours(
    pairs: pd.DataFrame, features: Features, position: int, space: str = "text", n: int = 3, twins: bool = False
) -> np.ndarray:
    """A pair and its nearest neighbours, each with its cosine and whether it has the same label.

    Arguments and errors as in `find_neighbours`. Returns an Axes for each pair that is found, the pair itself first.
    Explained in notebook 02, section 2.4 and notebook 03, section 2.
    """
    found = find_neighbours(pairs, features, position, space, n, twins)
    axes = plots.plot_gallery(found, n=n + 1, columns=n + 1)
    for panel, row, title in zip(axes, found.to_dict("records"), _judge(found), strict=True):
        panel.set_title(f"{name_pair(row)}\n{title}", fontsize=9.5)
    return axes


def browse_neighbours(pairs: pd.DataFrame, features: Features, position: int = 0, space: str = "text"):
    """The nearest pairs of any pair, in the space of the texts or of the images, with and without its twins.

    Arguments as in `find_neighbours`. A button goes on to each neighbour, so that one can walk through the space.
    Returns an ipywidgets VBox, which a cell shows when it is its last expression. Raises MmlabError when there are no
    pairs. Explained in notebook 02, section 2.4.
    """
    if not 0 <= position < len(pairs):
        raise MmlabError(f"There is no pair {position} among {len(pairs)} pairs.")
    return _Neighbours(pairs.reset_index(drop=True), features, position, space).box


class _Neighbours:
    """The controls and what they show. directions: of each space, unit vectors (n, width), made once."""

    def __init__(self, pairs: pd.DataFrame, features: Features, position: int, space: str) -> None:
        import ipywidgets

        self.pairs, self.directions = pairs, {name: _directions(pairs, features, name) for name in SPACES}
        self.place_of = {guid: place for place, guid in enumerate(pairs[GUID])}
        self.view, self.note = frame(_HEIGHT), frame(30)
        self.steps = Steps("pair", self._show, self.note)
        self.space = ipywidgets.Dropdown(options=SPACES, value=space, description="space", layout={"width": "190px"},
                                         tooltip="Compare the vectors of the texts, or of the images")  # fmt: skip
        self.twins = ipywidgets.Checkbox(description="with twins", indent=False, layout={"width": "auto"},
                                         tooltip="Also show pairs that are twins of the pair")  # fmt: skip
        self.guid = ipywidgets.Text(description="guid", tooltip="Type a guid and press Enter to search from its pair",
                                    continuous_update=False, layout={"width": "190px"})  # fmt: skip
        for control in (self.space, self.twins):
            control.observe(self.steps.show, "value")
        self.guid.observe(lambda change: self._jump(change.new.strip()), "value")
        self.walks = [self._walk() for _ in range(_SHOWN)]
        rows = in_a_row(self.space, self.twins, self.guid), self.steps.row
        self.box = stack(*rows, self.view, in_a_row(ipywidgets.Label("search from"), *self.walks), self.note)
        self.steps.go(position, len(pairs))

    def _show(self, place: int) -> str:
        directions = self.directions[self.space.value]
        self.guid.value = self.pairs[GUID].iloc[place]
        for button in self.walks:
            button.layout.visibility = "hidden"
        try:
            found = _find(self.pairs, directions, place, self.space.value, _SHOWN, self.twins.value)
        except MmlabError:
            self.view.value = ""
            raise
        self.view.value = draw_cards(found, _judge(found), [""] * len(found))
        for button, guid in zip(self.walks, found[GUID].iloc[1:], strict=False):
            button.description, button.layout.visibility = guid, "visible"
        return _count_same(self.pairs, found)

    def _jump(self, guid: str) -> None:
        if guid not in self.place_of:
            guard(lambda: f"There is no pair {guid!r} here.", self.note)()
        elif self.place_of[guid] != self.steps.place:
            self.steps.go(self.place_of[guid])

    def _walk(self):
        import ipywidgets

        button = ipywidgets.Button(tooltip="Search from this neighbour", layout={"width": "90px"})
        button.on_click(lambda _: self.steps.go(self.place_of[button.description]))
        return button


def _directions(pairs: pd.DataFrame, features: Features, space: str) -> np.ndarray:
    """Unit vectors (n, width) of the pairs in this space, float32; zeros for a pair without this side."""
    check_choice("space", space, SPACES)
    rows = pd.Index(features.guids).get_indexer(pairs[GUID])
    if (rows < 0).any():
        raise MmlabError(f"guid {pairs[GUID].iloc[int((rows < 0).argmax())]} has no features. Encode its course.")
    vectors = features.pooled(space)[rows]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)


def _find(pairs: pd.DataFrame, directions: np.ndarray, position: int, space: str, n: int, twins: bool) -> pd.DataFrame:
    if not 0 <= position < len(pairs):
        raise MmlabError(f"There is no pair {position}: positions go from 0 to {len(pairs) - 1}.")
    there = directions.any(axis=1)
    if not there[position]:
        raise NothingToShow(f"Pair {pairs[GUID].iloc[position]} has no {space}: it has no place in this space.")
    fits = there if twins else there & (pairs[TWIN] != pairs[TWIN].iloc[position]).to_numpy()
    cosines = np.where(fits, directions @ directions[position], -np.inf)
    cosines[position] = -np.inf
    nearest = np.argsort(-cosines, kind="stable")[: min(n, np.isfinite(cosines).sum())]
    return pairs.iloc[[position, *nearest]].assign(**{COSINE: [1.0, *cosines[nearest].tolist()]})


def _judge(found: pd.DataFrame) -> list[str]:
    """What is said of each pair: its cosine, and whether it has the label of the first."""
    label = found[LABEL].iloc[0]
    marks = ["" if not isinstance(one, str) else "✓ same label" if one == label else "✗ other label"
             for one in found[LABEL]]  # fmt: skip
    words = [f"cosine {one:.2f} {mark if isinstance(label, str) else ''}".rstrip()
             for one, mark in zip(found[COSINE], marks, strict=True)]  # fmt: skip
    return ["searched from", *words[1:]]


def _count_same(pairs: pd.DataFrame, found: pd.DataFrame) -> str:
    label, others = found[LABEL].iloc[0], found[LABEL].iloc[1:]
    if not isinstance(label, str):
        return "The pair has no label to compare."
    share = (pairs[LABEL] == label).mean()
    return f"{(others == label).sum()} of {len(others)} neighbours are {label}; of all pairs {share:.0%} are."
