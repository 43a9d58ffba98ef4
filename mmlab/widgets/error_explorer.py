"""The pairs of a field of the confusion matrix, with the credit of text and image. Explained in notebook 06,
section 5.3."""

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.config import GUID, IMAGE, LABEL, LABELS, TEXT, check_choice
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import require_columns
from mmlab.explain import AGAINST, FOR, INK
from mmlab.widgets.cards import draw_cards, name_pair
from mmlab.widgets.parts import frame, guard, in_a_row, stack
from mmlab.widgets.steps import Steps

CREDIT = {"text": "credit_text", "image": "credit_image"}
ORDERS = ("highest first", "lowest first")  # of the confidence
_SHOWN = 3  # pairs in the view
_HEIGHT = 460  # pixels
_NEEDED = [GUID, LABEL, "predicted", "confidence", "p_none", "p_both", *CREDIT.values()]


def find_errors(
    pairs: pd.DataFrame, credits: pd.DataFrame, label: str, predicted: str, order: str = ORDERS[0]
) -> pd.DataFrame:
    """The pairs of one field of the confusion matrix, by the confidence of the answer.

    pairs: with guid, text, image; credits: as `credit_answers` gives them; label, predicted: of LABELS, the same one
    for right answers; order: "highest first" or "lowest first". Returns the rows of `credits` with text and image, none
    where the field is empty. Raises MmlabError for an unknown label or order. Explained in notebook 06, section 5.3.
    """
    check_choice("label", label, LABELS)
    check_choice("predicted", predicted, LABELS)
    check_choice("order", order, ORDERS)
    require_columns(credits, _NEEDED)
    field = credits[(credits[LABEL] == label) & (credits["predicted"] == predicted)]
    field = field.sort_values("confidence", ascending=order == ORDERS[1], kind="stable")
    return field.merge(pairs[[GUID, TEXT, IMAGE]], on=GUID, how="left")


def find_worst(credits: pd.DataFrame) -> tuple[str, str]:
    """The label and the answer of the most frequent mistake; without mistakes, of the most frequent answer."""
    require_columns(credits, _NEEDED)
    if credits.empty:
        raise MmlabError("There are no answers to look into.")
    wrong = credits[credits[LABEL] != credits["predicted"]]
    counts = (credits if wrong.empty else wrong)[[LABEL, "predicted"]].value_counts(sort=False)
    return counts.idxmax()


@plots.styled
def show_errors(
    pairs: pd.DataFrame, credits: pd.DataFrame, label: str | None = None, predicted: str | None = None, n: int = 3
) -> np.ndarray:
    """Pairs of one field of the confusion matrix, and below each what text and image did to its answer.

    Arguments and errors as in `find_errors`; without label and predicted, the most frequent mistake. The most confident
    answers come first. Returns Axes (2, n): the pairs, and their bars in percentage points of the probability of the
    predicted label. Raises MmlabError when the field is empty. Explained in notebook 06, section 5.3.
    """
    if label is None or predicted is None:
        label, predicted = find_worst(credits)
    found = find_errors(pairs, credits, label, predicted).head(n)
    if found.empty:
        raise MmlabError(f"No pair with the label {label} was answered {predicted}. Choose another field.")
    figure = plots.new_figure((2.9 * len(found), 5.4))
    figure.set_dpi(90)
    axes = figure.subplots(2, len(found), squeeze=False, height_ratios=(2.6, 1))
    plots.plot_gallery(found, n=len(found), predicted="predicted", ax=axes[0])
    for panel, row in zip(axes[0], found.to_dict("records"), strict=True):
        panel.set_title(f"{name_pair(row)}\n{_judge(row)}", fontsize=9.5)
    reach = 1.6 * max(1.0, 100 * np.abs(found[[*CREDIT.values()]].to_numpy()).max())
    for panel, row in zip(axes[1], found.to_dict("records"), strict=True):
        _draw_bars(panel, row, reach)
    return axes


def explore_errors(pairs: pd.DataFrame, credits: pd.DataFrame):
    """The confusion matrix as buttons: each shows its pairs by confidence, with the credit of text and image.

    Arguments as in `find_errors`. Nothing is asked or trained: `credits` holds every answer. Returns an ipywidgets
    VBox, which a cell shows when it is its last expression. Raises MmlabError when there are no answers. Explained in
    notebook 06, section 5.3.
    """
    return _Explorer(pairs, credits).box


class _Explorer:
    """The controls and what they show. field: the label and the answer of the chosen button; found: its pairs."""

    def __init__(self, pairs: pd.DataFrame, credits: pd.DataFrame) -> None:
        import ipywidgets

        self.pairs, self.credits = pairs, credits
        self.view, self.note = frame(_HEIGHT), frame(30)
        self.field = find_worst(credits)
        self.counts = credits[[LABEL, "predicted"]].value_counts().to_dict()
        self.fields = {(label, answer): self._make_field(label, answer) for label in LABELS for answer in LABELS}
        self.order = ipywidgets.Dropdown(options=ORDERS, description="confidence", layout={"width": "230px"},
                                         tooltip="Order of the pairs by the confidence of their answers")  # fmt: skip
        self.order.observe(guard(lambda _: self._choose(self.field), self.note), "value")
        self.steps = Steps("pair", self._show, self.note)
        self.box = stack(*map(self._make_line, LABELS), in_a_row(self.order, self.steps.row), self.view, self.note)
        self._choose(self.field)

    def _make_field(self, label: str, answer: str):
        import ipywidgets

        count = self.counts.get((label, answer), 0)
        tooltip = f"Show the {count} pairs with the label {label} that were answered {answer}"
        button = ipywidgets.Button(description=f"as {answer} {count}", tooltip=tooltip, disabled=not count,
                                   layout={"flex": "1 1 0", "width": "auto", "max_width": "190px"})  # fmt: skip
        button.style.font_size = "12px"  # the numbers of a large course fit into a narrow notebook
        button.on_click(lambda _: self._choose((label, answer)))
        return button

    def _make_line(self, label: str):
        """A line of the matrix, which does not wrap: the fields of an answer stay below each other."""
        import ipywidgets

        name = ipywidgets.Label(label, layout={"flex": "0 0 64px"})
        return ipywidgets.HBox([name, *(self.fields[label, answer] for answer in LABELS)])

    def _choose(self, field: tuple[str, str]) -> None:
        self.field = field
        for one, button in self.fields.items():
            button.icon = "check" if one == field else ""
        self.found = find_errors(self.pairs, self.credits, *field, self.order.value)
        self.steps.go(0, len(self.found))

    def _show(self, place: int) -> str:
        shown = self.found.iloc[place : place + _SHOWN]
        rows = shown.to_dict("records")
        self.view.value = draw_cards(shown, [_judge(row) for row in rows], [_draw_html(row) for row in rows])
        return f"Percentage points of p({self.field[1]}): + speaks for it, − against it."


def _judge(row: dict) -> str:
    mark = "✓" if row[LABEL] == row["predicted"] else "✗"
    return f"{mark} {row['predicted']}, confidence {row['confidence']:.2f}"


def _points(credit: float) -> str:
    return f"{100 * credit:+.1f}".replace("-", "−")


def _draw_bars(panel, row: dict, reach: float) -> None:
    """Two bars, for the text and for the image, to the right where it speaks for the answer."""
    values = [100 * row[name] for name in CREDIT.values()]
    colours = [[part / 255 for part in (FOR if value > 0 else AGAINST)] for value in values]
    bars = panel.barh(list(CREDIT), values, height=0.6, color=colours, edgecolor=plots.OTHER, linewidth=0.8)
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("" if value > 0 else "///")
    panel.bar_label(bars, [_points(value / 100) for value in values], padding=3, fontsize=9)
    panel.axvline(0, color=plots.OTHER, linewidth=1)
    panel.set(xlim=(-reach, reach), ylim=(1.6, -0.6))
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("percentage points of " + _sum_up(row).replace(": ", ",\n"), fontsize=8.5)


def _sum_up(row: dict) -> str:
    return f"p({row['predicted']}): from {row['p_none']:.0%} with nothing to {row['p_both']:.0%} with both"


def _draw_html(row: dict) -> str:
    """The two credits as a table with bars, and what they lead from and to."""
    lines = []
    for side, name in CREDIT.items():
        colour = "rgb({},{},{})".format(*(FOR if row[name] > 0 else AGAINST))
        width = 3.5 * abs(row[name])  # 3.5 em are 100 points
        bar = f"display:inline-block;height:.8em;width:{width:.1f}em;background:{colour};border:1px solid {INK}"
        lines.append(
            f"<tr><th scope='row' style='text-align:left;padding:0 .4em 0 0'>{side}</th>"
            f"<td style='text-align:right;padding:0 .4em 0 0'>{_points(row[name])}</td>"
            f"<td style='text-align:left;padding:0'><span style='{bar}'></span></td></tr>"
        )
    return f"<table>{''.join(lines)}</table><small>{_sum_up(row)}</small>"
