"""Chance that is the same on every machine.

Python promises that Random.random() repeats for a seed in every version. It promises that of no other method, nor does
numpy: everything that decides a text, a label or a picture comes from random() alone.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Any

Colour = tuple[int, int, int]


class Chance(random.Random):
    """Draws that use random() only."""

    def pick(self, options: Sequence) -> Any:
        return options[int(self.random() * len(options))]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.random() * (high - low + 1))

    def shuffled(self, items: Iterable) -> list:
        return sorted(items, key=lambda _: self.random())

    def colour(self, low: int, high: int) -> Colour:
        return tuple(self.whole(low, high) for _ in range(3))

    def shade(self, colour: Colour, spread: int = 14) -> Colour:
        """A colour near this one."""
        return tuple(max(0, min(255, part + self.whole(-spread, spread))) for part in colour)


def chance_for(seed: int, *purpose: object) -> Chance:
    """The chance for one purpose, independent of every other."""
    return Chance("/".join(map(str, ("mmlab demo", seed, *purpose))))
