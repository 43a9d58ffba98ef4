"""Example pairs, as they are or so that nobody in them is named or seen."""

import re

import numpy as np

from mmlab.config import GUID, IMAGE, LABEL, LABELS, TEXT, probability_columns
from mmlab.report.document import Example, Gallery
from mmlab.report.evidence import JOINT, Evidence
from mmlab.report.words import Say

SHOWN, MOST_LETTERS = 6, 300
# What leads to a person: an address of mail, a link (cut off as well), a handle. In this order: `a@b.org` is no handle.
TRACES = {
    "[mail]": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "[link]": re.compile(r"(?:\bhttps?:?/*|\bwww\.|\bpic\.twitter\.com|\bt\.co/)\S*", re.IGNORECASE),
    "[handle]": re.compile(r"[@＠﹫]\s?\w+"),
}


def show_wrong(evidence: Evidence, say: Say) -> list[Gallery]:
    """The pairs that the joint model gets wrong although it is most sure of them; none where it errs nowhere."""
    main = evidence.main
    probabilities = main.predictions[probability_columns(JOINT)].to_numpy()
    answers = main.predictions.assign(
        predicted=np.asarray(LABELS)[probabilities.argmax(axis=1)], sure=probabilities.max(axis=1)
    )
    wrong = answers[answers["predicted"] != answers[LABEL]].nlargest(SHOWN, "sure")
    pairs = wrong[[GUID, "predicted"]].merge(evidence.course.labelled, on=GUID)
    examples = [_show(number, pair, say) for number, pair in enumerate(pairs.to_dict("records"), 1)]
    if say.options.anonymise:
        caption = f"{say('errors.gallery')} {say('gallery.anonymised')}"
        return [Gallery("wrong", examples, caption)] if examples else []
    return [Gallery("wrong", examples, say("errors.gallery"), say("gallery.nothing"))] if examples else []


def _show(number: int, pair: dict, say: Say) -> Example:
    """One pair. Anonymised, it has a number for its guid, which names a published tweet, and no picture at all.

    Nothing here finds faces, and people are recognised in blurred pictures, too.
    """
    hidden = say.options.anonymise
    text = pair[TEXT] if isinstance(pair[TEXT], str) and pair[TEXT].strip() else say("gallery.wordless")
    title = say("gallery.title", pair=number if hidden else pair[GUID], label=pair[LABEL], predicted=pair["predicted"])
    if hidden:
        text = hide_people(text)
    if len(text) > MOST_LETTERS:
        text = text[: MOST_LETTERS - 1] + "…"
    return Example(title, text) if hidden else Example(title, text, pair[IMAGE], say("gallery.alt", pair=pair[GUID]))


def hide_people(text: str) -> str:
    """A text with `[handle]`, `[link]` and `[mail]` for what leads to a person."""
    for word, trace in TRACES.items():
        text = trace.sub(word, text)
    return text
