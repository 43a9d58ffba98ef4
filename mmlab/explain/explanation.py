"""What came out of an explanation: the credits, as a table, as text and as HTML."""

import html
import unicodedata
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mmlab.answer import draw_thumbnail
from mmlab.config import IMAGE, TEXT
from mmlab.explain.parts import ACROSS
from mmlab.images import Picture

FOR, NOTHING, AGAINST = (107, 174, 214), (247, 247, 247), (244, 165, 88)  # blue, white, orange: all carry dark ink
INK = "#222222"
_NOISE = 2  # standard errors
_VISIBLE = 0.01  # baselines that are closer agree
_SHOWN = 40  # letters of a word


@dataclass(frozen=True)
class Credits:
    """What each part of a side is credited with under one baseline.

    values, errors: float64 (n,), probability and its standard error from the draws, 0 where exact. baseline: what
    stands for a missing part, in words.
    """

    values: np.ndarray
    errors: np.ndarray
    baseline: str

    @property
    def clear(self) -> np.ndarray:
        """bool (n,): which values are further from 0 than their noise."""
        return np.abs(self.values) > _NOISE * self.errors


@dataclass(frozen=True)
class Side:
    """The text or the image of a pair. parts: names of the words or cells; alone: p with this side only."""

    parts: list[str]
    alone: float
    first: Credits
    second: Credits | None = None

    @property
    def disagree(self) -> np.ndarray:
        """bool (n,): where the baselines differ by more than their noise, a point, and half of the larger credit."""
        if self.second is None:
            return np.zeros(len(self.parts), bool)
        one, other = self.first, self.second
        noise = _NOISE * np.hypot(one.errors, other.errors)
        half = np.maximum(np.abs(one.values), np.abs(other.values)) / 2
        return np.abs(one.values - other.values) > np.maximum.reduce([noise, half, np.full_like(half, _VISIBLE)])


@dataclass(frozen=True, eq=False)
class Explanation:
    """What moved the probability of a label from `none`, where the model sees nothing, to `both`.

    text, image: what was asked, None where a side is missing. scenario: whose probabilities. sides: those that are
    there, by name; a cell of the image is a part of it, row by row. notes: what else a reader must know. Explained in
    docs/explanations.md.
    """

    text: str | None
    image: Picture | None
    label: str
    scenario: str
    none: float
    both: float
    sides: dict[str, Side]
    draws: int
    notes: list[str] = field(default_factory=list)

    @property
    def credit(self) -> dict[str, float]:
        """The credit of text and image: how much the label gains with it, with and without the other side."""
        sums = {name: float(side.first.values.sum()) for name, side in self.sides.items()}
        return {name: sums.get(name, 0.0) for name in (TEXT, IMAGE)}

    @property
    def top(self) -> float:
        """The end of the scale that all parts share."""
        return max(_VISIBLE, *(float(np.abs(side.first.values).max()) for side in self.sides.values()))

    def to_frame(self) -> pd.DataFrame:
        """A row for each part: side, part, credit and error in probability; with a second baseline both, and agree."""
        frames = []
        for name, side in self.sides.items():
            frame = pd.DataFrame({"side": name, "part": side.parts})
            frame["credit"], frame["error"] = side.first.values, side.first.errors
            if side.second is not None:
                frame["second_credit"], frame["second_error"] = side.second.values, side.second.errors
                frame["agree"] = ~side.disagree
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    @property
    def headline(self) -> str:
        return f"{self.label}: {self.both:.1%} with all that is there, {self.none:.1%} with nothing"

    @property
    def caption(self) -> list[str]:
        """How to read the numbers, a sentence each."""
        errors = max(float(side.first.errors.max()) for side in self.sides.values())
        lines = [f"Numbers are percentage points of the probability of {self.label}: + speaks for it, − against it."]
        if errors:
            lines.append(f"In brackets: within its noise. The largest standard error is {100 * errors:.1f} points.")
        lines += [f"A {side.first.baseline}." for side in self.sides.values()]
        for name, side in self.sides.items():
            if side.second is not None:
                where = [_tidy(part) for part, apart in zip(side.parts, side.disagree, strict=True) if apart]
                words = f"disagrees on what is marked ≠: {', '.join(where)}" if where else "agrees"
                lines.append(f"The second baseline of the {name} (a {side.second.baseline}) {words}.")
        return [*lines, *self.notes]

    def __repr__(self) -> str:
        lines = [self.headline]
        for name, credit in self.credit.items():
            lines.append(f"  {name:<5} {_points(credit):>7}")
            if name in self.sides:
                side = self.sides[name]
                lines += [
                    f"    {in_points(side, i):>9}  {_tidy(side.parts[i])}"
                    for i in np.argsort(-np.abs(side.first.values), kind="stable")
                ]
        return "\n".join([*lines, *self.caption])

    def _repr_html_(self) -> str:
        """Text and picture with their credits, and a table; coloured parts bring their own ground and ink."""
        bars = "".join(self._bar(name, credit) for name, credit in self.credit.items())
        words = "".join(map(self._word, range(len(self.sides[TEXT].parts)))) if TEXT in self.sides else "<i>no text</i>"
        notes = "".join(f"<li>{html.escape(line)}</li>" for line in self.caption)
        return (
            "<div style='display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start'>"
            f"{self._picture()}<div style='flex:1 1 22em;max-width:44em'>"
            f"<p><b>{html.escape(self.headline)}</b></p><table>{bars}</table><p>{words}</p>"
            f"<ul style='font-size:.9em'>{notes}</ul></div></div>"
            f"<details><summary>All numbers</summary>{self._table()}</details>"
        )

    def _bar(self, name: str, credit: float) -> str:
        width = 12 * abs(credit) / max(map(abs, self.credit.values())) if credit else 0
        look = f"display:inline-block;height:.9em;width:{width:.1f}em;{_ground(credit, abs(credit))}"
        return (
            f"<tr><th scope='row' style='text-align:left'>{name}</th><td>{_points(credit)}</td>"
            f"<td style='text-align:left'><span style='{look}'></span></td></tr>"
        )

    def _word(self, i: int) -> str:
        side = self.sides[TEXT]
        edge = "2px dashed #222" if side.disagree[i] else "1px solid #999"
        word, ground = html.escape(_tidy(side.parts[i])), _ground(side.first.values[i], self.top)
        return (
            f"<span style='display:inline-block;text-align:center;margin:.15em;padding:.1em .35em;border:{edge};"
            f"border-radius:.3em;{ground}'><bdi>{word}</bdi><br><small>{in_points(side, i)}</small></span>"
        )

    def _picture(self) -> str:
        if IMAGE not in self.sides:
            return "<i>no image</i>"
        side, cells = self.sides[IMAGE], []
        for i, (part, value) in enumerate(zip(side.parts, side.first.values, strict=True)):
            edge = "2px dashed #222" if side.disagree[i] else "1px solid #fff"
            cells.append(
                f"<div role='img' title='{part}' aria-label='{part}: {in_points(side, i)}' style='"
                f"display:flex;align-items:center;justify-content:center;border:{edge};"
                f"background:{_colour(value, self.top, 0.55)}'><span style='background:#fff;color:{INK};"
                f"padding:0 .25em;border-radius:.2em'>{in_points(side, i)}</span></div>"
            )
        thumbnail = draw_thumbnail(self.image, 300).replace("<img ", "<img style='width:100%;display:block' ")
        tracks = f"grid-template-columns:repeat({len(ACROSS)},1fr);grid-auto-rows:1fr"
        grid = f"position:absolute;inset:0;display:grid;{tracks}"
        return (
            "<div style='position:relative;flex:none;min-width:11em'>"  # a small picture still has room for its numbers
            f"{thumbnail}<div style='{grid}'>{''.join(cells)}</div></div>"
        )

    def _table(self) -> str:
        frame = self.to_frame()
        frame["part"] = [_tidy(part) for part in frame["part"]]
        for column in frame.columns.intersection(["credit", "second_credit"]):
            frame[column] = [_points(value) for value in frame[column]]
        for column in frame.columns.intersection(["error", "second_error"]):
            frame[column] = [f"{100 * value:.1f}" for value in frame[column]]
        if "agree" in frame:
            frame["agree"] = np.where(frame["agree"], "yes", "no")
        return frame.rename(columns=lambda name: name.replace("_", " ")).to_html(index=False, border=0)


def in_points(side: Side, i: int) -> str:
    """The credit of a part in percentage points: in brackets within its noise, with ≠ where the baselines disagree."""
    words = _points(side.first.values[i])
    words = words if side.first.clear[i] else f"({words})"
    return f"{words} ≠" if side.disagree[i] else words


def tint(value: float, top: float) -> tuple[int, int, int]:
    """The colour of a credit, 0 to 255 each, on the scale from -top to top."""
    share = min(1.0, abs(value) / top) if top else 0.0
    end = FOR if value > 0 else AGAINST
    return tuple(round(start + share * (stop - start)) for start, stop in zip(NOTHING, end, strict=True))


def _points(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no negative zero


def _colour(value: float, top: float, opacity: float = 1) -> str:
    return f"rgba({','.join(map(str, tint(value, top)))},{opacity})"


def _ground(value: float, top: float) -> str:
    return f"background:{_colour(value, top)};color:{INK}"


def _tidy(part: str) -> str:
    """A part as one can show it: without characters that control a terminal or turn the writing; not too long."""
    turns = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    plain = "".join(
        one
        for one in part
        if unicodedata.category(one) not in ("Cc", "Cs") and unicodedata.bidirectional(one) not in turns
    )
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 1] + "…"
