"""A pair taken to pieces: the words of a text, the cells of a picture, and what stands for a missing piece."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_WORDS = 30  # parts of a text; neighbours of a longer one are taken together
DOWN, ACROSS = ("top", "middle", "bottom"), ("left", "centre", "right")  # the cells of a picture
_BLUR = 1 / 8  # of a picture's longer side

# One character of a script that is written without spaces (kana, Han, Thai, Lao, Khmer, Burmese) with the marks that
# belong to it; else all up to the next space or such character.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\ufe00-\ufe0f\U000e0100-\U000e01ef"
_WORD = re.compile(rf"[{_ALONE}][{_MARKS}]*|[^\s{_ALONE}]+")


@dataclass(frozen=True)
class Words:
    """The words of a text in order. A word keeps the spaces behind it, so that all together are the text again."""

    words: list[list[str]]  # of each part
    baselines: tuple[str, str]
    notes: list[str]
    stand_in: str = field(repr=False)

    @property
    def names(self) -> list[str]:
        return ["".join(part).strip() for part in self.words]

    def show(self, shown: np.ndarray, baseline: int) -> str | None:
        """The text with these parts, bool (n,)."""
        kept = []
        for part, there in zip(self.words, shown, strict=True):
            if there:
                kept += part
            elif baseline:
                kept += [self.stand_in + (" " if word[-1].isspace() else "") for word in part]
        return "".join(kept).strip() or None


@dataclass(frozen=True)
class Cells:
    """The cells of a picture, row by row. pixels, stand_ins: uint8 (height, width, 3)."""

    pixels: np.ndarray = field(repr=False)
    stand_ins: tuple[np.ndarray, np.ndarray] = field(repr=False)
    baselines: tuple[str, str] = (
        "missing cell has the mean colour of the encoder's training images",
        "missing cell is strongly blurred",
    )
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [f"{down} {across}" for down in DOWN for across in ACROSS]

    def show(self, shown: np.ndarray, baseline: int) -> np.ndarray:
        """The picture with these cells, bool (n,)."""
        height, width, _ = self.pixels.shape
        rows, columns = np.arange(height) * len(DOWN) // height, np.arange(width) * len(ACROSS) // width
        there = shown.reshape(len(DOWN), len(ACROSS))[rows][:, columns]
        return np.where(there[..., None], self.pixels, self.stand_ins[baseline])


def split_text(text: str, encoder: Any) -> Words:
    """The words that the encoder reads of a text."""
    ends = [match.end() for match in _WORD.finditer(text)]
    starts = [0, *(re.compile(r"\s*").match(text, end).end() for end in ends[:-1])]
    words = [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]
    notes = []
    (whole,) = encoder.tokenise([text])
    read = 1 + bisect_left(range(1, len(words)), True, key=lambda n: encoder.tokenise(["".join(words[:n])])[0] == whole)
    if read < len(words):
        notes.append(f"The encoder reads the first {read} words of {len(words)}. The others move nothing.")
    parts = [[word] for word in words[:read]]
    if read > MOST_WORDS:
        notes.append(f"The text is long: its {read} words are taken together in {MOST_WORDS} groups of neighbours.")
        parts = [list(group) for group in np.array_split(np.array(words[:read], object), MOST_WORDS)]
    tokenizer = getattr(encoder, "tokenizer", None)
    stand_in = getattr(tokenizer, "mask_token", None) or getattr(tokenizer, "unk_token", None) or "…"
    return Words(parts, ("missing word is left out", f"missing word is replaced by {stand_in}"), notes, stand_in)


def split_picture(pixels: np.ndarray, encoder: Any) -> Cells:
    """The cells of a picture, uint8 (height, width, 3)."""
    from PIL import Image, ImageFilter

    mean = np.broadcast_to(np.round(255 * np.array(encoder.settings["mean"])).astype(np.uint8), pixels.shape)
    blur = ImageFilter.GaussianBlur(_BLUR * max(pixels.shape))
    return Cells(pixels, (mean, np.asarray(Image.fromarray(pixels).filter(blur))))
