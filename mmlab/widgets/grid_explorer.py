"""A setting of a grid: its loss curves, and which settings cannot be told apart from it. Explained in notebook 05,
section 5.1."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.errors import MmlabError
from mmlab.evaluation import Comparison, compare_frames
from mmlab.runs import JOINT
from mmlab.widgets.parts import DPI, draw_html, frame, stack
from mmlab.widgets.steps import Steps

COMPARED = 10  # settings beside the chosen one in the figure
_WIDTH, _CURVES, _LINE = 8.6, 2.9, 0.36  # inches: of the figure; heights of the curves and of a line below them
_WORDS = {
    "cannot be told apart": "Cannot be told apart from it",
    "b is better": "Really better",
    "a is better": "Really worse",
}


def compare_settings(settings: Sequence[Any], chosen: int) -> dict[str, Comparison]:
    """The chosen setting minus each other one, on the same pairs, by the other's name; the closest first.

    settings: as `Grid.settings()` gives them; chosen: a place among them, from 0. Raises MmlabError for a place that is
    not there, and where the settings did not answer the same pairs. Explained in notebook 05, section 5.
    """
    if not 0 <= chosen < len(settings):
        raise MmlabError(f"There is no setting {chosen}: there are {len(settings)}, counted from 0.")
    mine = settings[chosen].predictions
    found = {
        one.name: compare_frames(mine, JOINT, one.predictions, JOINT)
        for place, one in enumerate(settings)
        if place != chosen
    }
    return dict(sorted(found.items(), key=lambda item: abs(item[1].difference.value)))


def show_setting(settings: Sequence[Any], chosen: int) -> np.ndarray:
    """One setting of a grid: its loss and accuracy over the epochs, and the settings closest to it.

    Arguments and errors as in `compare_settings`. Returns three Axes: loss, dev accuracy, and the difference to each
    of the ten closest settings. Explained in notebook 05, section 5.1.
    """
    return _draw(settings[chosen] if 0 <= chosen < len(settings) else None, compare_settings(settings, chosen))


def explore_grid(settings: Sequence[Any]):
    """The settings of a grid from the lowest accuracy to the highest, each as `show_setting` shows it.

    settings: as `Grid.settings()` gives them. Nothing is trained: their runs are read once. Returns an ipywidgets VBox,
    which a cell shows when it is its last expression. Raises MmlabError when there are no settings. Explained in
    notebook 05, section 5.1.
    """
    if not settings:
        raise MmlabError("There are no settings to explore: none of the grid is complete. Run the grid first.")
    return _Explorer(sorted(settings, key=lambda one: one.score.accuracy.value)).box


class _Explorer:
    """The controls and what they show. drawn: the HTML of each setting that was shown before."""

    def __init__(self, settings: Sequence[Any]) -> None:
        import ipywidgets

        self.settings, self.drawn = settings, {}
        lines = min(len(settings) - 1, COMPARED)
        self.view, self.note = frame(round(DPI * _height(lines)) + 90), frame(30)
        names = [(f"{one.name}: accuracy {one.score.accuracy.value:.3f}", place) for place, one in enumerate(settings)]
        tooltip = "Choose a setting of the grid; they are in order of accuracy"
        self.name = ipywidgets.Dropdown(
            options=names, description="setting", tooltip=tooltip, layout={"width": "420px"}
        )
        self.steps = Steps("setting", self._show, self.note)
        self.name.observe(lambda change: self._choose(change.new), "value")
        self.box = stack(self.name, self.steps.row, self.view, self.note)
        self.steps.go(len(settings) - 1, len(settings))

    def _choose(self, place: int) -> None:
        if place != self.steps.place:
            self.steps.slider.value = place + 1  # drawn once a burst of arrow keys is over

    def _show(self, place: int) -> None:
        self.name.value = place
        if place not in self.drawn:
            self.view.value = ""  # nothing of another setting, should this one fail
            compared = compare_settings(self.settings, place)
            words = _describe(self.settings[place], compared)
            picture = draw_html(_draw(self.settings[place], compared)[0].figure, words)
            self.drawn[place] = f"{picture}<p>{html.escape(words)}</p>"
        self.view.value = self.drawn[place]


def _height(lines: int) -> float:
    return _CURVES + 1.2 + _LINE * max(lines, 1)


@plots.styled
def _draw(setting: Any, compared: dict[str, Comparison]) -> np.ndarray:
    """One setting of a grid: its loss and accuracy over the epochs, and the settings closest to it."""
    shown = dict(list(compared.items())[:COMPARED])
    figure = plots.new_figure((_WIDTH, _height(len(shown))))
    grid = figure.add_gridspec(2, 2, height_ratios=(_CURVES, 1.2 + _LINE * max(len(shown), 1)))
    loss, accuracy, others = axes = [figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :])]
    history = pd.concat([run.history for run in setting.runs], ignore_index=True)
    best = pd.concat([run.best_epochs for run in setting.runs], ignore_index=True)
    plots.plot_history(history, best, [loss, accuracy])
    loss.set_title(setting.name)
    accuracy.set_title("accuracy during training")
    if shown:
        plots.plot_comparisons({f"− ({name})": one for name, one in shown.items()}, others)
        which = f"the {COMPARED} closest others" if len(compared) > COMPARED else "the others"
        others.set_title(f"accuracy {setting.score.accuracy}, minus that of {which}")
    else:
        others.set_axis_off()
        others.text(0, 1, "There is no other setting to compare with.", va="top")
    return np.array(axes)


def _describe(setting: Any, compared: dict[str, Comparison]) -> str:
    """The figure in words: what a reader who does not see it must know."""
    parts = [f"{setting.name}: accuracy {setting.score.accuracy}, n = {setting.score.n}."]
    for verdict, words in _WORDS.items():
        if names := [name for name, one in compared.items() if one.verdict == verdict]:
            parts.append(f"{words}: {'; '.join(names)}.")
    return " ".join(parts)
