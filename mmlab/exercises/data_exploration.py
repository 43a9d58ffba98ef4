"""Exercises of notebook 01: a charset-safe reader, the score to beat, a split that divides no twins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import GUID, LABEL, LABELS, TWIN
from mmlab.errors import MmlabError
from mmlab.exercises.judging import Found, load_exercises, on_one_line, refuse_blank

PLAIN = "What a day"
SAMPLES = {  # a text for each way in which reading goes wrong, and the charset in which its file is saved
    "plain": (PLAIN, "utf-8"),
    "chinese": ("今天 it’s R&amp;B … and I love it", "gb18030"),
    "rare": ("in Tromsø 😀", "gb18030"),  # letters of four bytes, which GBK lacks
    "western": ("a naïve café", "utf-8"),  # GB18030 accepts these bytes, and makes other letters of them
    "marked": ("good morning", "utf-8-sig"),  # a BOM in front
    "lines": ("  two lines\r\nand the end ☕\n", "utf-8"),
}
BROKEN = (b"so happy \xff\xff", "今天".encode("gb18030")[:-1])  # in neither charset; cut in the middle of a letter


@dataclass(frozen=True)
class _Reading:
    """A text as it was written, and what the answer read from its bytes. refused: the answer raised an error."""

    written: str
    charset: str
    text: str = ""
    said: str = ""
    refused: bool = False

    @property
    def raw(self) -> bytes:
        return self.written.encode(self.charset)

    @property
    def named_right(self) -> bool:
        said, charset = ("".join(filter(str.isalnum, name.lower())) for name in (self.said, self.charset))
        return said.removesuffix("sig") == charset.removesuffix("sig")

    def __str__(self) -> str:
        result = "was refused" if self.refused else f"became {self.text!r} in {self.said!r}"
        return f"{self.raw!r}, which is {self.written!r} in {self.charset}, {result}"


def judge_reader(answer: Any, found: Found) -> None:
    refuse_blank(answer(PLAIN.encode()))
    readings = {name: _read(answer, *sample, found) for name, sample in SAMPLES.items()}
    read = [one for one in readings.values() if not one.refused]
    chinese, rare, western, marked = (readings[name] for name in ("chinese", "rare", "western", "marked"))
    found("utf8_only", chinese.refused, str(chinese))

    def find(code: str, wrong) -> None:
        faulty = [one for one in read if wrong(one)]
        found(code, bool(faulty), str(faulty[0]) if faulty else "")

    find("latin1", lambda one: one.text == one.raw.decode("latin-1") != one.written)
    find("bytes_lost", _has_lost)
    find("bytes_replaced", _has_replaced)
    found("gb18030_first", western.refused or western.text == western.raw.decode("gb18030"), str(western))
    found("four_bytes", rare.refused or "😀" not in rare.text, str(rare))
    found("bom_kept", marked.text.startswith("\ufeff"), str(marked))
    find("trimmed", lambda one: one.text != one.written and one.text.split() == one.written.split())
    find("text_changed", lambda one: one.text != one.written)
    find("charset_wrong", lambda one: not one.named_right)
    for raw in BROKEN:
        result = _call(answer, raw)
        found("not_refused", not isinstance(result, Exception), f"{raw!r} became {result!r:.60}")


def _read(answer: Any, written: str, charset: str, found: Found) -> _Reading:
    result = _call(answer, written.encode(charset))
    if isinstance(result, Exception):
        return _Reading(written, charset, refused=True)
    two = isinstance(result, tuple | list) and len(result) == 2 and all(isinstance(one, str) for one in result)
    found("pair", not two or result[1] == PLAIN, f"{written.encode(charset)!r} gave {result!r:.60}")
    return _Reading(written, charset, *result)


def _call(answer: Any, raw: bytes) -> Any:
    """What the answer returns, or the error with which it refuses the bytes."""
    try:
        return answer(raw)
    except (ValueError, MmlabError) as error:
        return error


def _has_lost(reading: _Reading) -> bool:
    """Whether the ASCII letters are the written ones, but some of the others are missing."""
    text, written = ([one for one in text if not one.isspace()] for text in (reading.text, reading.written))
    rest = iter(written)
    in_order = len(text) < len(written) and all(letter in rest for letter in text)
    others_lost = in_order and [one for one in text if one.isascii()] == [one for one in written if one.isascii()]
    ignored = reading.raw.decode("utf-8", errors="ignore").removeprefix("\ufeff")
    return others_lost or reading.text == ignored != reading.written


def _has_replaced(reading: _Reading) -> bool:
    marks = "\ufffd" in reading.text or "\\x" in reading.text or reading.text != _without_surrogates(reading.text)
    return marks or reading.text == reading.written.encode("ascii", errors="replace").decode() != reading.written


def _without_surrogates(text: str) -> str:
    """The text without the halves of letters that errors="surrogateescape" leaves."""
    return text.encode("utf-8", errors="ignore").decode("utf-8")


# How often each label occurs in train and in dev, in the order of LABELS; each time another label leads in dev.
COUNTS = (((15, 10, 25), (18, 9, 13)), ((18, 30, 12), (11, 17, 20)))


def judge_majority(answer: Any, found: Found) -> str:
    given = np.array([_score_majority(answer, *counts, found) for counts in COUNTS])
    train, dev = (np.array([counts[side] for counts in COUNTS]) for side in (0, 1))
    train, dev = (counts / counts.sum(axis=1, keepdims=True) for counts in (train, dev))
    share = dev[np.arange(len(dev)), train.argmax(axis=1)]
    f1 = 2 * share / (1 + share)  # of the label that is always answered: precision share, recall 1
    evidence = f"(accuracy, macro-F1) {_round(given)} instead of {_round(np.stack([share, f1 / 3], axis=1))}"
    found("percent", bool((given > 1).any()), evidence)
    found("not_finite", not np.isfinite(given).all(), evidence)

    def find(code: str, number: int, wrong: np.ndarray) -> None:
        found(code, np.allclose(given[:, number], wrong, atol=1e-3), evidence)

    find("dev_label", 0, dev.max(axis=1))
    find("train_scored", 0, train.max(axis=1))
    right = np.isclose(given[:, 0], share, atol=1e-3)
    of_a_label = np.isclose(given[:, :1], dev, atol=1e-3).any(axis=1)
    found("other_label", bool(of_a_label.all() and not right.all()), evidence)
    find("drawn_answers", 0, (train * dev).sum(axis=1))
    found("accuracy", not right.all(), evidence)
    find("f1_is_accuracy", 1, share)
    find("f1_weighted", 1, share * f1)
    find("f1_one_label", 1, f1)
    found("macro_f1", not np.allclose(given[:, 1], f1 / 3, atol=1e-3), evidence)
    return f"An accuracy of {share[0]:.3f} and a macro-F1 of {f1[0] / 3:.3f}, from one word and no training."


def _score_majority(answer: Any, train: tuple, dev: tuple, found: Found) -> list[float]:
    result = refuse_blank(answer(_make_labels(train, first=0), _make_labels(dev, first=sum(train))))
    try:
        accuracy, macro_f1 = map(float, result)
    except (TypeError, ValueError):
        accuracy = macro_f1 = np.nan
        found("two_numbers", True, f"the answer was {on_one_line(result)}")
    return [accuracy, macro_f1]


def _make_labels(counts: tuple, first: int) -> pd.DataFrame:
    labels = np.random.default_rng(0).permutation(np.repeat(LABELS, counts))
    return pd.DataFrame({GUID: [str(first + row) for row in range(len(labels))], LABEL: labels})


def _round(numbers: np.ndarray) -> str:
    return str(np.round(numbers, 3).tolist())


SHARE, SEEDS = 0.2, 4


def judge_twin_split(answer: Any, found: Found) -> str:
    pairs = make_pairs()
    splits = [_split(answer, pairs, SHARE, seed, found) for seed in range(SEEDS)]
    _judge_share(splits, SHARE, found)
    of_all = _label_shares(pairs)
    of_dev = np.mean([_label_shares(pairs[dev]) for dev in splits], axis=0)
    gap = np.abs(of_dev - of_all)
    evidence = f"{', '.join(LABELS)}: {_round(of_dev)} of dev and {_round(of_all)} of all pairs"
    found("labels_uneven", gap.max() > 0.12, evidence)
    _judge_share([_split(answer, pairs, 0.5, seed, found) for seed in (0, 1)], 0.5, found)
    moved = int((_split(answer, pairs, SHARE, 0, found) != splits[0]).sum())
    found("not_repeatable", moved > 0, f"asked again with seed 0, {moved} of {len(pairs)} rows change sides")
    same = all((dev == splits[0]).all() for dev in splits)
    found("seed_ignored", same, f"{SEEDS} seeds gave one and the same split")
    share = np.mean(splits)
    return f"dev got {share:.3f} of the pairs; the share of a label in dev is off by {gap.max():.3f} at most."


def make_pairs() -> pd.DataFrame:
    """800 pairs, half of them in twin groups of 2 to 6: guid, label, twin; rows and index in no order.

    A few groups disagree on the label.
    """
    draw = np.random.default_rng(0)
    sizes = [1] * 400 + [2, 3, 4, 5, 6] * 20
    twin = np.repeat(draw.permutation(len(sizes)), sizes)
    number = np.repeat(draw.choice(len(LABELS), len(sizes), p=(0.3, 0.1, 0.6)), sizes)
    number[-40::4] = draw.choice(len(LABELS), 10)  # label conflicts
    order = draw.permutation(len(twin))
    guids = [str(guid) for guid in draw.permutation(len(twin))]
    frame = pd.DataFrame({GUID: guids, LABEL: np.array(LABELS)[number[order]], TWIN: twin[order]})
    return frame.set_axis(draw.permutation(len(frame)) + 1000)


def _split(answer: Any, pairs: pd.DataFrame, share: float, seed: int, found: Found) -> np.ndarray:
    """The rows of dev, bool, of a split that divides no twins."""
    given = pairs.copy()
    result = refuse_blank(answer(given, share, seed))
    dev = _as_rows(result, pairs)
    found("mask", dev is None, f"{len(pairs)} rows gave this {type(result).__name__}: {on_one_line(result)}")
    found("input_changed", not given.equals(pairs), f"before: {_describe(pairs)}; afterwards: {_describe(given)}")
    found("one_side", dev.all() or not dev.any(), f"{dev.sum()} of {len(dev)} rows are in dev")
    sides = pd.Series(dev).groupby(pairs[TWIN].to_numpy()).nunique()
    groups = pairs[TWIN].value_counts() > 1
    evidence = f"{(sides > 1).sum()} of {groups.sum()} groups with two pairs or more are on both sides"
    found("twins_divided", (sides > 1).any(), evidence)
    return dev


def _as_rows(result: Any, pairs: pd.DataFrame) -> np.ndarray | None:
    """One bool for each row, or None where the result is something else."""
    if isinstance(result, pd.Series) and set(result.index) == set(pairs.index):
        result = result.loc[pairs.index]  # it knows its rows, whatever their order
    try:
        rows = np.asarray(result)
    except ValueError:  # tables of different size
        return None
    if rows.shape != (len(pairs),) or not np.isin(rows, (0, 1)).all():
        return None
    return rows.astype(bool)


def _describe(pairs: pd.DataFrame) -> str:
    return f"{len(pairs)} rows, columns {', '.join(map(str, pairs.columns))}, first index {pairs.index[0]}"


def _judge_share(splits: list[np.ndarray], share: float, found: Found) -> None:
    got = np.mean(splits)
    found("share", abs(got - share) > 0.1, f"share={share} put {got:.2f} of the pairs into dev")


def _label_shares(pairs: pd.DataFrame) -> np.ndarray:
    return np.array([(pairs[LABEL] == label).mean() for label in LABELS])


EXERCISES = load_exercises(__file__, "01_data_exploration", judge_reader, judge_majority, judge_twin_split)
