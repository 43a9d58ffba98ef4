"""The browser of pairs: one pair at a time, with filters and a search. Explained in notebook 01, section 6."""

import html
from contextlib import suppress

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.config import ENCODING, GUID, LABEL, LABELS, SPLIT, TEXT, TWIN
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import require_columns
from mmlab.images import make_thumbnail
from mmlab.widgets.parts import collapse, frame, guard, in_a_row, sized, stack

ANY, NO_LABEL = "all", "no label"  # choices of a filter, besides the labels and splits
NO_PAIR = "No pair fits these filters."
ANSWER = ["predicted", "confidence", "right"]  # what `list_answers` says of a pair
TWINS_SHOWN = 4
_SIZE = (8.6, 3.3)  # inches
_PICTURE, _HEIGHT = 260, 320  # pixels


def find_pairs(
    pairs: pd.DataFrame,
    label: str = ANY,
    split: str = ANY,
    charset: str = ANY,
    words: str = "",
    twins: bool = False,
    wrong: bool = False,
) -> np.ndarray:
    """Positions (n,) int64 of the pairs that fit all filters, in their order.

    pairs: columns label, split, encoding, text, twin; for `wrong` also right. label: one of them, or "no label";
    "all" keeps every pair. words: each of them is somewhere in the text, in capitals or not. twins: only pairs that
    have a twin; wrong: only pairs that were answered wrong. Explained in notebook 01, section 6.
    """
    fits = np.ones(len(pairs), bool)
    for column, wanted in ((LABEL, label), (SPLIT, split), (ENCODING, charset)):
        if wanted != ANY:
            fits &= pairs[column].fillna(NO_LABEL) == wanted
    texts = pairs[TEXT].str.casefold()
    for word in words.casefold().split():
        fits &= texts.str.contains(word, regex=False)
    if twins:
        fits &= pairs.duplicated(TWIN, keep=False)
    if wrong:
        fits &= pairs["right"].eq(False)
    return np.flatnonzero(fits)


@plots.styled
def show_pair(pairs: pd.DataFrame, position: int, answers: pd.DataFrame | None = None) -> np.ndarray:
    """One pair: its picture, its text, what is known of both files, and its twins among `pairs`.

    pairs: `Course.pairs` or a part of it; position: a row of it, from 0; answers: as for `browse_pairs`. Returns two
    Axes, of the picture and of the words. Raises MmlabError when there is no such row. Explained in notebook 01,
    section 6.
    """
    if not 0 <= position < len(pairs):
        raise MmlabError(f"There is no pair {position}: positions go from 0 to {len(pairs) - 1}.")
    pairs = _join(pairs, answers)
    row = pairs.iloc[position]
    picture, words = axes = plots.new_figure(_SIZE).subplots(1, 2, width_ratios=(1, 1.75))
    plots.plot_gallery(pairs.iloc[[position]], ax=[picture])
    facts = _describe(pairs, row)
    picture.set_xlabel(facts.pop("image"))
    words.set_axis_off()
    # Long texts must not squeeze the picture: the layout is made without them.
    look = {"in_layout": False}
    text = plots.wrap_text(row[TEXT], 54, lines=8) if row.has_text else "(no text)"
    words.text(0, 1, text, va="top", fontsize=12, linespacing=1.4, **look)
    lines = "\n".join(plots.wrap_text(f"{name}: {fact}", 78, lines=3) for name, fact in facts.items())
    words.text(0, 0, lines, va="bottom", fontsize=9, color=plots.OTHER, linespacing=1.5, **look)
    return axes


def browse_pairs(pairs: pd.DataFrame, answers: pd.DataFrame | None = None):
    """The pairs one by one: filters, a search for words, a jump to a guid, steps to the next pair and to twins.

    pairs: `Course.pairs` or a part of it. answers: of a model to some of them, as `list_answers` gives them; each is
    shown beside its pair. Returns an ipywidgets VBox, which a cell shows when it is its last expression. Raises
    MmlabError when there are no pairs. Explained in notebook 01, section 6.
    """
    if pairs.empty:
        raise MmlabError("There are no pairs to browse.")
    return _Browser(_join(pairs, answers)).box


class _Browser:
    """The controls and what they show. found: positions of the pairs that fit; shown: the guid of the pair in view."""

    def __init__(self, pairs: pd.DataFrame) -> None:
        self.pairs, self.found = pairs, np.arange(len(pairs))
        self.view, self.note, self.shown = frame(_HEIGHT), frame(30), ""
        self._make_filters()
        self._make_steps()
        rows = [self.filters.values(), self.steps, self.twins]
        filters, steps, twins = (in_a_row(*row) for row in rows)
        self.box = stack(filters, steps, self.view, twins, self.note)
        self._search()

    def _make_filters(self) -> None:
        import ipywidgets

        def choose(column: str, name: str, order: tuple[str, ...]):
            options = [ANY, *(one for one in order if (self.pairs[column] == one).any())]
            tooltip = f"Show only pairs of this {name}"
            return ipywidgets.Dropdown(options=options, description=name, tooltip=tooltip, **sized("auto"))

        def tick(words: str, tooltip: str):
            layout = {"width": "auto", "margin": "2px 12px 2px 12px"}
            return ipywidgets.Checkbox(description=words, tooltip=tooltip, indent=False, layout=layout)

        charsets = tuple(sorted(filter(None, self.pairs[ENCODING].unique())))
        self.filters = {
            "label": choose(LABEL, "label", (*LABELS, NO_LABEL)),
            "split": choose(SPLIT, "split", ("train", "dev", "test")),
            "charset": choose(ENCODING, "charset", charsets),
            "words": ipywidgets.Text(description="words", placeholder="in the text", **sized("200px"),
                                     tooltip="Show only pairs whose text has all of these words"),
            "twins": tick("has twins", "Show only pairs that have a twin"),
        }  # fmt: skip
        if "right" in self.pairs:
            self.filters["wrong"] = tick("wrong only", "Show only pairs that the model answered wrong")
        search = guard(self._search, self.note)
        for name, control in self.filters.items():
            control.observe(collapse(search) if name == "words" else search, "value")

    def _make_steps(self) -> None:
        import ipywidgets

        def press(words: str, tooltip: str, act):
            button = ipywidgets.Button(description=words, tooltip=tooltip, layout={"width": "90px"})
            button.on_click(act)
            return button

        back, on = (guard(lambda _, by=by: self._step(by), self.note) for by in (-1, 1))
        jump = guard(self._jump, self.note)
        self.place = ipywidgets.IntSlider(min=1, description="pair", tooltip="Place among the pairs that fit",
                                          continuous_update=False, **sized("300px"))  # fmt: skip
        self.draw = guard(lambda _: self._draw(self.found[self.place.value - 1]), self.note)
        self.count = ipywidgets.Label(layout={"width": "60px"})
        self.guid = ipywidgets.Text(description="guid", tooltip="Type a guid and press Enter to see its pair",
                                    continuous_update=False, **sized("150px"))  # fmt: skip
        self.guid.observe(lambda change: jump(change.new.strip()), "value")
        steps = [
            press("previous", "Show the pair before this one, of those that fit", back),
            press("next", "Show the next pair of those that fit", on),
        ]
        self.steps = [*steps, self.place, self.count, self.guid]
        self.twins = [press("", "Show this twin", lambda button: jump(button.description)) for _ in range(TWINS_SHOWN)]

    def _search(self, _=None) -> str | None:
        self.found = find_pairs(self.pairs, **{name: control.value for name, control in self.filters.items()})
        self.count.value = f"of {len(self.found)}"
        self._move(0)
        return None if len(self.found) else self._clear()

    def _move(self, place: int) -> None:
        """Show the pair at this place of those that fit, and put the slider there."""
        self.place.unobserve(self.draw, "value")  # otherwise the pair is drawn twice
        self.place.max, self.place.disabled = max(len(self.found), 1), len(self.found) < 2
        self.place.value = place + 1
        self.place.observe(self.draw, "value")
        if len(self.found):
            self._draw(self.found[place])

    def _step(self, by: int) -> None:
        # From the last one on to the first: a button that is switched off at the end would lose the keyboard's focus.
        self._move((self.place.value - 1 + by) % max(len(self.found), 1))

    def _jump(self, guid: str) -> str | None:
        if guid == self.shown:
            return None
        where = np.flatnonzero(self.pairs[GUID] == guid)
        if not len(where):
            return f"There is no pair {guid!r} here."
        places = np.flatnonzero(self.found == where[0])
        if len(places):
            return self._move(int(places[0]))
        self._draw(where[0])
        return f"Pair {guid} does not fit the filters. Previous and next stay among the pairs that do."

    def _draw(self, position: int) -> None:
        row = self.pairs.iloc[position]
        twins = _find_twins(self.pairs, row)[GUID].head(TWINS_SHOWN)
        self.view.value, self.shown = _draw_html(self.pairs, position), row[GUID]
        self.guid.value = row[GUID]
        self._offer(list(twins))

    def _clear(self) -> str:
        self.view.value, self.shown = "", ""
        self._offer([])
        return NO_PAIR

    def _offer(self, twins: list[str]) -> None:
        for number, button in enumerate(self.twins):
            button.description = twins[number] if number < len(twins) else ""
            button.layout.visibility = "visible" if number < len(twins) else "hidden"


def _join(pairs: pd.DataFrame, answers: pd.DataFrame | None) -> pd.DataFrame:
    """The pairs with the answers to them, where there are any."""
    pairs = pairs.fillna({LABEL: NO_LABEL})
    if answers is None:
        return pairs
    require_columns(answers, [GUID, *ANSWER])
    return pairs.drop(columns=ANSWER, errors="ignore").join(answers.set_index(GUID)[ANSWER], on=GUID)


def _find_twins(pairs: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    return pairs[(pairs[TWIN] == row[TWIN]) & (pairs[GUID] != row[GUID])]


def _describe(pairs: pd.DataFrame, row: pd.Series) -> dict[str, str]:
    """What is known of a pair, each fact with its name."""
    others = _find_twins(pairs, row)
    twins = [f"{twin[GUID]} ({twin[LABEL]}, {twin[SPLIT]})" for _, twin in others.head(TWINS_SHOWN).iterrows()]
    more = f" and {len(others) - TWINS_SHOWN} more" if len(others) > TWINS_SHOWN else ""
    facts = {
        "split": row[SPLIT],
        "text": f"{len(row[TEXT])} characters, {row[ENCODING]}" if row.has_text else "none",
        "image": f"{row.width} × {row.height} px" if row.has_image else "no image",
        "twins": f"{', '.join(twins) or 'none'}{more}",
    }
    if isinstance(row.get("predicted"), str):
        verdict = {True: " ✓ right,", False: " ✗ wrong,"}.get(row["right"], "")
        facts["answer"] = f"{row['predicted']},{verdict} confidence {row['confidence']:.2f}"
    return facts


def _draw_html(pairs: pd.DataFrame, position: int) -> str:
    """A pair as HTML: its colours follow the page's, and its words can be marked and read aloud."""
    row = pairs.iloc[position]
    picture = "<i>no image</i>"
    if row.has_image:
        look = f"max-width:100%;border:3px solid {plots.COLOURS.get(row[LABEL], plots.OTHER)}"
        with suppress(OSError):  # it was there when the course was read
            source = make_thumbnail(row["image"], _PICTURE)
            picture = f'<img alt="the picture of pair {html.escape(row[GUID])}" style="{look}" src="{source}">'
    facts = "".join(
        f"<tr><th scope='row' style='text-align:left;padding-right:1em'>{name}</th><td>{html.escape(fact)}</td></tr>"
        for name, fact in _describe(pairs, row).items()
    )
    words = html.escape(row[TEXT]) if row.has_text else "<i>no text</i>"
    return (
        "<div style='display:flex;gap:1.5em;line-height:1.4'>"
        f"<div style='flex:0 1 {_PICTURE + 6}px;min-width:9em'>{picture}</div>"
        f"<div style='flex:1 1 14em;min-width:12em'><b>{html.escape(row[GUID])} · {row[LABEL]}</b>"
        f"<p dir='auto' style='font-size:1.15em;overflow-wrap:anywhere'>{words}</p><table>{facts}</table></div></div>"
    )
