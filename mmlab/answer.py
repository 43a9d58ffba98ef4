"""The answer to one pair: probabilities of each scenario, the label, and how sure it is. Explained in docs/ask.md."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import LABELS, probability_columns
from mmlab.images import Picture, make_thumbnail
from mmlab.storage import printable

_THUMBNAIL = 160  # pixels
_SHOWN = 280  # letters of a text
_BAR = "display:inline-block;height:.8em;background:#0072B2;margin-right:.4em;vertical-align:middle;width:{:.1f}em"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a lab says of one pair.

    text, image: what was asked, None where a side is missing. probabilities: float64 (3,) in the order of LABELS for
    each scenario that has something to read. label: the most probable one in `scenario`; confidence: its probability,
    0 to 1, after the temperature where `calibrated`.
    """

    text: str | None
    image: Picture | None
    probabilities: dict[str, np.ndarray]
    scenario: str
    label: str
    confidence: float
    calibrated: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "calibrated": self.calibrated,
            "scenario": self.scenario,
            "probabilities": {
                name: dict(zip(LABELS, np.round(one, 4).tolist(), strict=True))
                for name, one in self.probabilities.items()
            },
        }

    def to_table(self) -> tuple[list[str], list[list[str]]]:
        """The head and the rows of a table, in words: a row for each scenario."""
        rows = [[name, *(f"{p:.2f}" for p in one)] for name, one in self.probabilities.items()]
        return ["scenario", *LABELS], rows

    def __repr__(self) -> str:
        width = max(map(len, self.probabilities))
        rows = [
            f"  {name:<{width}}  " + "  ".join(f"{label} {p:.2f}" for label, p in zip(LABELS, one, strict=True))
            for name, one in self.probabilities.items()
        ]
        return "\n".join([self.headline, *rows])

    def _repr_html_(self) -> str:
        """A table of the scenarios with bars, beside the text and a small picture; its colours follow the page's."""
        head = "".join(f"<th scope='col'>{label}</th>" for label in LABELS)
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th>{''.join(map(_cell, one))}</tr>"
            for name, one in self.probabilities.items()
        )
        words = html.escape(self.text[:_SHOWN] + "…" * (len(self.text) > _SHOWN)) if self.text else "<i>no text</i>"
        picture = draw_thumbnail(self.image, _THUMBNAIL) if self.image is not None else "<i>no image</i>"
        table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return (
            "<div style='display:flex;gap:1em;align-items:flex-start'>"
            f"{picture}<div><p>{words}</p><p><b>{html.escape(self.headline)}</b></p>{table}</div></div>"
        )

    @property
    def headline(self) -> str:
        """The label with its confidence, in words."""
        kind = "calibrated" if self.calibrated else "not calibrated"
        return f"{self.label}, confidence {self.confidence:.2f} ({kind})"


def draw_thumbnail(image: Picture, side: int) -> str:
    """A picture as HTML, at most `side` pixels wide and high; a sentence where its file was removed or changed."""
    try:
        return f"<img alt='the picture of the pair' src='{make_thumbnail(image, side)}'>"
    except Exception:  # Pillow's decoders raise many kinds
        name = image if isinstance(image, str | Path) else "the picture"
        return f"<i>{html.escape(printable(str(name)))} can no longer be read</i>"


def tabulate(answers: Sequence[Answer], scenarios: Sequence[str], index: pd.Index) -> pd.DataFrame:
    """A row for each answer: label, confidence, and three probabilities for each scenario, nan where it has none."""
    frame = pd.DataFrame({"label": [one.label for one in answers]}, index)
    frame["confidence"] = [one.confidence for one in answers]
    nothing = np.full(len(LABELS), np.nan)
    for scenario in scenarios:
        values = [one.probabilities.get(scenario, nothing) for one in answers]
        frame[probability_columns(scenario)] = np.reshape(values, (len(answers), len(LABELS)))
    return frame


def _cell(probability: float) -> str:
    return f"<td style='text-align:left'><span style='{_BAR.format(4 * probability)}'></span>{probability:.2f}</td>"
