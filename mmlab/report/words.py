"""The words of the report in one language, read from `<language>.yml`."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mmlab.evaluation import METRICS
from mmlab.report.options import ReportOptions


@cache
def read_words(language: str) -> dict[str, str]:
    """Every word and sentence of a language by its key, with blanks in braces as `str.format` fills them."""
    text = Path(__file__).with_name(f"{language}.yml").read_text(encoding="utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class Say:
    """The words for one report: `say("method.folds", n=5)` is "5 folds". Also what its author wrote, as `say.options`.

    A name that has no word (a new metric, section or knob) is shown as its own declaration has it.
    """

    def __init__(self, options: ReportOptions | None = None):
        self.options = options or ReportOptions()
        self._words = read_words(self.options.language)

    def __call__(self, key: str, **values: Any) -> str:
        return self._words[key].format(**values)

    def name(self, kind: str, name: str, default: str = "") -> str:
        """What one of a kind (section, row, metric, knob, column, fact) is called."""
        return self._words.get(f"{kind}.{name}", default or name)

    def interval(self, interval, spec: str = ".3f", factor: float = 1.0) -> str:
        """An Interval as "0.712 [0.696, 0.728]", multiplied by a factor."""
        if math.isnan(interval.value):
            return self("interval.none")
        if math.isnan(interval.low):
            return f"{factor * interval.value:{spec}} [{self('interval.unknown')}]"
        value, low, high = (format(factor * one, spec) for one in (interval.value, interval.low, interval.high))
        return f"{value} [{low}, {high}]"

    def frame(self, lines: list[dict[str, Any]]) -> pd.DataFrame:
        """A table of these lines, its columns headed by the words for their keys, or a metric's title."""
        heads = {key: self.name("column", key, METRICS[key].title if key in METRICS else key) for key in lines[0]}
        return pd.DataFrame(lines).rename(columns=heads)

    def row(self, row) -> str:
        """What a row of a table of scores is called."""
        name = self.name("row", f"{row.part}.{row.scenario}", f"{row.part}: {row.scenario}")
        return f"{name} ({row.note})" if row.note else name

    def pair(self, compared) -> str:
        """What a comparison is called: `joint − text head`."""
        return f"{self.row(compared.a)} − {self.row(compared.b)}"
