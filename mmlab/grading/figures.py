"""Figures of the page of grades: intervals side by side, as SVG in the page's own colours, light or dark."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 190, 14, 30  # margins; names of levels stand at the right
_LINE = 14  # between two names


@dataclass(frozen=True)
class Mark:
    """One vertical interval. value: where its dot is, None for none; words: what a pointer is told.

    An interval of no height is seen by its dot alone.
    """

    name: str
    low: float
    high: float
    words: str
    value: float | None = None


def draw_intervals(
    marks: Sequence[Mark], title: str, axis: str, levels: Mapping[str, float] | None = None, down: bool = False
) -> Markup:
    """Intervals from left to right in the order given, and dashed horizontal lines at named levels.

    title: what the figure shows, for those who cannot see it. axis: its vertical axis. down: these are ranks, with 1 at
    the top.
    """
    levels = levels or {}
    ends = [*(end for mark in marks for end in (mark.low, mark.high)), *levels.values()]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or 0.5
    low, high = low - room, high + room

    def height(value: float) -> float:
        share = (value - low) / (high - low)
        return _TOP + (share if down else 1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    edge = _WIDTH - _RIGHT
    step = (edge - _LEFT) / max(1, len(marks))
    ticks = list_ticks(low, high)
    if down:
        last = max(mark.high for mark in marks)
        gap = (last - 1) / 20  # so that no two numbers overlap
        ticks = [1, *(tick for tick in ticks if 1 + gap < tick < last - gap and tick == int(tick)), last]
    parts = [_draw_tick(tick, height(tick), edge) for tick in ticks]
    parts += [_draw_mark(mark, _LEFT + (number + 0.5) * step, height) for number, mark in enumerate(marks)]
    by_height = sorted((height(value), name, value) for name, value in levels.items())
    places = spread_out([y for y, _, _ in by_height], _LINE)
    parts += [_draw_level(*level, place, edge) for level, place in zip(by_height, places)]
    below = Markup('<text x="{}" y="{}" class="axis">{}</text>').format(_LEFT, _HEIGHT - 8, axis)
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, title)
    return head + Markup("\n").join([*parts, below]) + Markup("</svg>")


def list_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round values between two bounds, about so many."""
    rough = (high - low) / about
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 5, 10) if base * factor >= rough)
    return [round(number * step, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def spread_out(heights: Sequence[float], apart: float) -> list[float]:
    """Sorted heights moved as little as is simple so that neighbours are `apart`; the lowest stays in the picture."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + apart) if placed else height)
    excess = max(0.0, placed[-1] - (_HEIGHT - _BOTTOM)) if placed else 0.0
    return [height - excess for height in placed]


def _draw_tick(value: float, y: float, edge: float) -> Markup:
    line = Markup('<path d="M{} {:.1f}H{}" class="grid"/>').format(_LEFT, y, edge)
    return line + Markup('<text x="{}" y="{:.1f}" class="tick">{:g}</text>').format(_LEFT - 6, y + 4, value)


def _draw_mark(mark: Mark, x: float, height: Callable[[float], float]) -> Markup:
    head = Markup('<g class="mark" data-name="{}"><title>{}</title>').format(mark.name, mark.words)
    line = Markup('<path d="M{:.1f} {:.1f}V{:.1f}"/>').format(x, height(mark.low), height(mark.high))
    dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6"/>')
    return head + line + ("" if mark.value is None else dot.format(x, height(mark.value))) + Markup("</g>")


def _draw_level(y: float, name: str, value: float, place: float, edge: float) -> Markup:
    line = Markup('<path d="M{} {:.1f}H{}L{} {:.1f}" class="level"/>').format(_LEFT, y, edge, edge + 12, place)
    words = f"{value:.3f} {name if len(name) <= 24 else name[:23] + '…'}"
    return line + Markup('<text x="{}" y="{:.1f}" class="level">{}</text>').format(edge + 16, place + 4, words)
