"""Asks a lab about a pair of which parts are missing, and credits the parts."""

from typing import Any

import numpy as np

from mmlab.config import IMAGE, LABELS, TEXT
from mmlab.errors import MmlabError
from mmlab.explain.explanation import Credits, Explanation, Side
from mmlab.explain.parts import Cells, Words, split_picture, split_text
from mmlab.explain.shapley import credit_players, list_coalitions, list_orders
from mmlab.images import Picture

DRAWS = 6  # of orders, each with its reverse
FEW_DRAWS = 2  # the least that has a standard error


def explain(
    lab: Any,
    text: str | None,
    image: Picture | None,
    *,
    label: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    second_baseline: bool = False,
) -> Explanation:
    """What each word and each cell of the picture did to the probability of a label: Owen values.

    label: of LABELS; the most probable one if None. draws: at least 2, of the orders in which parts appear; a side of
    six parts or fewer needs none and is exact. second_baseline: credit all parts again with another stand-in for what
    is missing. Everything is encoded in one call. Raises MmlabError for an unknown label, for fewer draws and for a
    pair of nothing; OSError for a picture that cannot be read.
    """
    if label is not None and label not in LABELS:
        raise MmlabError(f"label={label!r} is no label. Choose one of {', '.join(LABELS)}.")
    if draws < FEW_DRAWS:
        raise MmlabError(f"draws={draws} is too few: a standard error needs at least {FEW_DRAWS}.")
    scenario = lab.scenarios[-1]
    parts: dict[str, Words | Cells] = {}
    if text and text.strip() and scenario != "image_only":
        parts[TEXT] = split_text(text.strip(), lab.encoders[0])
    if image is not None and scenario != "text_only":
        parts[IMAGE] = split_picture(lab.read_picture(image), lab.encoders[1])
    if not parts:
        raise MmlabError(f"There is nothing to explain: the model reads {scenario.replace('_', ' ')}. Give that.")

    plans = {name: _Plan(side, draws, seed, 1 + second_baseline) for name, side in parts.items()}
    seen = lab.see(*(plans[name].variants if name in plans else [] for name in (TEXT, IMAGE)))
    absent = {TEXT: -1, IMAGE: -1}
    whole = absent | dict.fromkeys(plans, 0)

    # In one call: none, the text alone, the image alone, both; then each side's coalitions without and with the other.
    asked = [absent, absent | {TEXT: whole[TEXT]}, absent | {IMAGE: whole[IMAGE]}, whole]
    asked += [one | {name: row} for name, plan in plans.items() for one in (absent, whole) for row in plan.rows.flat]
    answered = lab.answer(seen, *([one[name] for one in asked] for name in (TEXT, IMAGE)))[scenario]
    number = int(answered[3].argmax()) if label is None else LABELS.index(label)
    (none, of_text, of_image, both), rest = np.split(np.asarray(answered[:, number], float), [4])
    alone, sides = {TEXT: float(of_text), IMAGE: float(of_image)}, {}
    for name, plan in plans.items():
        values, rest = np.split(rest, [2 * plan.rows.size])
        games = values.reshape(2, *plan.rows.shape).mean(axis=0)
        credits = [
            Credits(*credit_players(game, plan.orders, plan.paths, plan.exact), words)
            for game, words in zip(games, parts[name].baselines)
        ]
        sides[name] = Side(parts[name].names, alone[name], *credits)
    notes = [note for side in parts.values() for note in side.notes]
    return Explanation(text, image, LABELS[number], scenario, float(none), float(both), sides, draws, notes)


class _Plan:
    """The coalitions of a side's parts, and the variants of the side that show them.

    variants: texts or pixels, the whole side first. rows: int (baselines, m), the variant of each
    coalition, -1 for none.
    """

    def __init__(self, parts: Words | Cells, draws: int, seed: int, baselines: int) -> None:
        self.orders, self.exact = list_orders(len(parts.names), draws, seed)
        coalitions, self.paths = list_coalitions(self.orders)
        some = coalitions[1:-1]
        self.variants = [parts.show(coalitions[-1], 0)]
        self.variants += [parts.show(shown, baseline) for baseline in range(baselines) for shown in some]
        self.rows = np.full((baselines, len(coalitions)), -1)
        self.rows[:, -1] = 0
        self.rows[:, 1:-1] = 1 + np.arange(baselines * len(some)).reshape(baselines, -1)
