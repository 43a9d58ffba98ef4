"""The playground: a text, a picture, and what a model answers. Explained in notebook 04, section 7."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlab import plots
from mmlab.answer import Answer
from mmlab.config import GUID, IMAGE, LABEL, LABELS, SPLIT, TEXT
from mmlab.errors import MmlabError
from mmlab.images import FORMATS, Picture, make_thumbnail
from mmlab.widgets.parts import collapse, frame, guard, in_a_row, say, sized, stack

BOTH = "text and image"  # what is taken from a pair; or one of the two
TRIED, TRIED_TUNED = 300, 30  # texts in a search; fewer where each model has a text encoder of its own
EXPLAIN_AGAIN = "<p><i>Press explain to see what moved this answer.</i></p>"
_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_PICTURE, _ANSWER_HEIGHT, _EXPLANATION_HEIGHT = 190, 215, 460  # pixels


@dataclass(frozen=True)
class Flip:
    """A text with which the answer to a pair changes, and the guid of the pair that it is from.

    before, label: without and with it; tried: a number of texts. If none changes the answer, the rest is empty.
    """

    before: str
    tried: int
    label: str = ""
    guid: str = ""
    text: str = ""


def show_answer(lab, text: str | None = None, image: Picture | None = None) -> np.ndarray:
    """What a lab answers to one pair, as a figure: the pair, and the probabilities of each scenario.

    text, image: as for `Lab.predict`. Returns an array of Axes, the picture's first. Raises MmlabError as `Lab.predict`
    does. Explained in notebook 04, section 7.
    """
    return plots.plot_answer(lab.predict(text, image))


def find_flip(lab, pairs: pd.DataFrame, text: str | None = None, image: Picture | None = None) -> Flip:
    """The text among `pairs` that is most like `text` and with which the answer gets another label.

    Likeness is the cosine of the mean vectors of both texts. Without a text it is the one with the surest answer.
    pairs: columns guid, text, has_text; at most 300 of them, drawn with a fixed seed, are tried. Raises MmlabError for
    a model that reads no texts, and for a pair of nothing. Explained in notebook 04, section 7.
    """
    scenario, text = lab.scenarios[-1], (text or "").strip() or None
    if scenario == "image_only":
        raise MmlabError("This model reads images alone: no text changes its answer. Give an image.")
    if text is None and (image is None or scenario == "text_only"):
        raise MmlabError("There is nothing to answer yet. Give a text or an image.")
    others = pairs[pairs["has_text"] & (pairs[TEXT] != text)].drop_duplicates(TEXT)
    tried = min(len(others), TRIED_TUNED if "text" in lab.config.tunes else TRIED)
    others = others.sample(tried, random_state=0)
    seen = lab.see([text, *others[TEXT]], [image])
    text_rows = np.arange(tried + 1)  # the first is the pair as it is
    text_rows[0] = -1 if text is None else 0
    answered = lab.answer(seen, text_rows, np.full(tried + 1, -1 if image is None else 0))[scenario]
    labels = answered.argmax(axis=1)
    flips, before = np.flatnonzero(labels != labels[0]), LABELS[labels[0]]
    if not len(flips):
        return Flip(before, tried)
    if text is None:
        worth = answered[flips].max(axis=1)
    else:
        vectors = seen.by_model[0][2].pooled("text")
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        worth = vectors[flips] @ vectors[0]
    best = flips[worth.argmax()]
    found = others.iloc[best - 1]
    return Flip(before, tried, LABELS[labels[best]], found[GUID], found[TEXT])


def open_playground(lab, pairs: pd.DataFrame):
    """Ask a model about pairs of one's own: each change of the text or the picture is answered at once.

    pairs: `Course.pairs` of the course that the lab was trained on, to take texts and pictures from. Nothing is
    trained. Returns an ipywidgets VBox, which a cell shows when it is its last expression. Raises MmlabError when there
    are no pairs. Explained in notebook 04, section 7.
    """
    if pairs.empty:
        raise MmlabError("There are no pairs to take a text or a picture from.")
    return _Playground(lab, pairs.reset_index(drop=True)).box


class _Playground:
    """The controls and the pair they make: its text is in the Textarea, its picture in `image`.

    pixels: the picture as the lab reads it. rows: the pair that a side was taken from, None for an upload.
    """

    def __init__(self, lab, pairs: pd.DataFrame) -> None:
        self.lab, self.pairs, self.chance = lab, pairs, np.random.default_rng(0)
        self.rows: dict[str, int | None] = {TEXT: None, IMAGE: None}
        self.image = self.pixels = self.flip = None
        self.picture = frame(_ANSWER_HEIGHT, width=f"{_PICTURE + 20}px", flex="0 0 auto")
        self.bars = frame(_ANSWER_HEIGHT, flex="1 1 320px", width="auto")
        self.note, self.explanation = frame(48), frame(0)
        self.answer = guard(self._answer, self.note)
        self._make_inputs()
        self._make_actions()
        self.box = stack(
            in_a_row(self.guid, *self.steps, self.take),
            self.text,
            in_a_row(*self.sides.values(), self.upload),
            in_a_row(self.picture, self.bars),
            self.note,
            in_a_row(*self.actions),
            self.explanation,
        )
        guard(self._take, self.note)(0)

    def _make_inputs(self) -> None:
        import ipywidgets

        self.guid = ipywidgets.Text(description="pair", tooltip="Type a guid and press Enter to take its pair",
                                    continuous_update=False, **sized("150px"))  # fmt: skip
        self.guid.observe(guard(self._jump, self.note), "value")
        self.steps = [
            _make_button("previous", "Take the pair before this one", lambda _: self._step(-1), self.note),
            _make_button("next", "Take the pair after this one", lambda _: self._step(1), self.note),
            _make_button("at random", "Take any other pair", self._draw_lot, self.note),
        ]
        self.take = ipywidgets.Dropdown(options=[BOTH, TEXT, IMAGE], description="take", **sized("200px"),
                                        tooltip="What to take from a pair; the other side stays as it is")  # fmt: skip
        self.text = ipywidgets.Textarea(description="text", placeholder="Type a tweet", rows=3,
                                        tooltip="The text of the pair", **sized("98%"))  # fmt: skip
        self.answer_soon = collapse(self.answer)
        self.text.observe(self.answer_soon, "value")
        self.sides = {}
        for side in (TEXT, IMAGE):
            self.sides[side] = ipywidgets.Checkbox(
                value=True, description=f"use the {side}", tooltip=f"Show the {side} to the model", indent=False,
                layout={"width": "auto", "margin": "2px 12px 2px 12px"},
            )  # fmt: skip
            self.sides[side].observe(self.answer_soon, "value")
        self.upload = ipywidgets.FileUpload(accept="image/*", description="upload a picture",
                                            layout={"width": "auto"},
                                            tooltip="A picture file of your own, up to 10 MB")  # fmt: skip
        self.upload.observe(guard(self._upload, self.note), "value")

    def _make_actions(self) -> None:
        self.use = _make_button("take this text", "Put the text that was found in place", self._use_flip, self.note)
        self.use.disabled = True
        self.actions = [
            _make_button("explain", "Show which words and patches moved the answer", self._explain, self.note),
            _make_button("find a text that flips it", "Search the course for a text that changes the answer",
                         self._search, self.note),
            self.use,
        ]  # fmt: skip

    # ---- what is asked

    def _take(self, row: int) -> str | None:
        """Take one side or both from a pair of the course."""
        pair, taken = self.pairs.iloc[row], self.take.value
        if taken != TEXT:  # first, for it may fail: then all stays as it was
            self._set_image(pair[IMAGE] if pair["has_image"] else None, f"pair {pair[GUID]}", row)
        if taken != IMAGE:
            self._write(pair[TEXT], row)
        self.row = row
        self.guid.value = pair[GUID]
        return self._answer()

    def _write(self, text: str, row: int | None) -> None:
        self.text.unobserve(self.answer_soon, "value")  # the caller answers
        self.text.value, self.rows[TEXT] = text, row
        self.text.observe(self.answer_soon, "value")

    def _set_image(self, image: Picture | None, name: str, row: int | None = None) -> None:
        try:
            pixels = None if image is None else self.lab.read_picture(image)
            source = "" if image is None else make_thumbnail(image, _PICTURE)
        except Exception as error:  # Pillow's decoders raise many kinds; whichever it is, there is no picture
            why = f"this is no picture that can be read. Give a file of {_FORMATS}."
            raise MmlabError(f"{name}: {why}") from error
        self.image, self.pixels, self.rows[IMAGE] = image, pixels, row
        words = html.escape(name)
        shown = f"<img alt='the picture: {words}' src='{source}'>" if source else "<i>no image</i>"
        self.picture.value = (
            f"<figure style='margin:0;line-height:1.3'>{shown}<figcaption>{words}</figcaption></figure>"
        )

    def _jump(self, change) -> str | None:
        guid = change.new.strip()
        if guid == self.pairs[GUID][self.row]:
            return None
        where = np.flatnonzero(self.pairs[GUID] == guid)
        if not len(where):
            raise MmlabError(f"There is no pair {guid!r} in this course.")
        return self._take(int(where[0]))

    def _step(self, by: int) -> str | None:
        return self._take((self.row + by) % len(self.pairs))

    def _draw_lot(self, _) -> str | None:
        return self._step(int(self.chance.integers(1, max(len(self.pairs), 2))))

    def _upload(self, change) -> str | None:
        if not change.new:
            return None
        file = change.new[0]
        self.upload.value = ()  # otherwise its bytes are saved with the notebook
        self._set_image(bytes(file["content"]), file["name"])
        return self._answer()

    @property
    def asked(self) -> tuple[str | None, bool]:
        """The text, and whether there is a picture, without what is switched off."""
        text = self.text.value.strip() if self.sides[TEXT].value else ""
        return text or None, self.image is not None and self.sides[IMAGE].value

    # ---- what is answered

    def _answer(self, _=None) -> str:
        text, has_image = self.asked
        self.flip, self.use.disabled = None, True
        if self.explanation.value:
            self.explanation.value = EXPLAIN_AGAIN
        if text is None and not has_image:
            self.bars.value = ""
            raise MmlabError("There is nothing to answer. Give a text, or an image, or both.")
        self.bars.value = draw_answer(self.lab.predict(text, self.pixels if has_image else None), self.lab.scenarios)
        return self._confess()

    def _confess(self) -> str:
        """Which sides the models know from their training: an answer to such a pair is no test of them."""
        text, has_image = self.asked
        known = {}
        if text is not None and self.rows[TEXT] is not None and self.text.value == self.pairs[TEXT][self.rows[TEXT]]:
            known[TEXT] = self.rows[TEXT]
        if has_image and self.rows[IMAGE] is not None:
            known[IMAGE] = self.rows[IMAGE]
        folds = self.lab.config.folds
        trained = self.pairs[LABEL].notna() & (bool(folds) | (self.pairs[SPLIT] == "train"))
        known = {side: row for side, row in known.items() if trained[row]}
        if not known:
            return ""
        models = "all models but those of its fold were" if folds else "the model was"
        names = [
            f"the {side} of pair {self.pairs[GUID][row]} ({self.pairs[LABEL][row]})" for side, row in known.items()
        ]
        if len(set(known.values())) == 1 and len(known) == 2:
            names = [names[0].replace("the text of ", "")]
        what = " and ".join(names)
        return f"{what[0].upper()}{what[1:]}: {models} trained on it, so this answer is no test."

    def _explain(self, _) -> str | None:
        text, has_image = self.asked
        self.note.value = say("Explaining …")
        explained = self.lab.explain(text, self.image if has_image else None)._repr_html_()
        self.explanation.value = f"<div style='line-height:1.4'>{explained}</div>"
        self.explanation.layout.height = f"{_EXPLANATION_HEIGHT}px"
        return self._confess()

    def _search(self, _) -> str:
        text, has_image = self.asked
        self.note.value = say("Asking the model about other texts of the course …")
        flip = find_flip(self.lab, self.pairs, text, self.pixels if has_image else None)
        if not flip.label:
            return f"None of the {flip.tried} texts that were tried changes the answer from {flip.before}."
        self.flip, self.use.disabled = flip, False
        return f"From {flip.before} to {flip.label} with the text of pair {flip.guid}: “{flip.text}”"

    def _use_flip(self, _) -> str | None:
        if self.flip is None:
            return None
        self._write(self.flip.text, int(np.flatnonzero(self.pairs[GUID] == self.flip.guid)[0]))
        self.sides[TEXT].value = True
        return self._answer()


def draw_answer(answer: Answer, scenarios: Sequence[str]) -> str:
    """The probabilities of each scenario side by side, as HTML whose colours follow the page's."""
    panels = "".join(_draw_panel(name, answer.probabilities.get(name)) for name in scenarios)
    return (
        f"<p style='margin:0 0 .6em'><b>{html.escape(answer.headline)}</b></p>"
        f"<div style='display:flex;flex-wrap:wrap;gap:1em 1.6em'>{panels}</div>"
    )


def _draw_panel(scenario: str, probabilities: np.ndarray | None) -> str:
    if probabilities is None:
        return f"<div style='flex:1;min-width:10em'>{scenario}<br><i>nothing to read</i></div>"
    rows = ""
    for number, (label, p) in enumerate(zip(LABELS, probabilities, strict=True)):
        name = f"<b>▸ {label}</b>" if number == probabilities.argmax() else label
        bar = f"width:{100 * p:.1f}%;height:.7em;background:{plots.COLOURS[label]}"
        rows += f"<div>{name}<span style='float:right'>{p:.2f}</span></div>"
        rows += f"<div style='border:1px solid currentColor;margin-bottom:.35em'><div style='{bar}'></div></div>"
    return f"<div style='flex:1;min-width:10em;line-height:1.35'><u>{scenario}</u>{rows}</div>"


def _make_button(words: str, tooltip: str, act, note):
    import ipywidgets

    button = ipywidgets.Button(description=words, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(guard(act, note))
    return button
