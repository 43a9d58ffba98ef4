"""The words of the report: those of its language in `<language>.yml`, and its author's in `<results>/report.yml`."""

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import category

import pandas as pd
import yaml

from mmlab.config import suggest
from mmlab.errors import ConfigError
from mmlab.evaluation import METRICS
from mmlab.storage import read_file

OPTIONS = "report.yml"
_SWITCH = {"true": True, "yes": True, "false": False, "no": False}
DRAWN = "drawn."  # the prefix of what figures say: `drawn.true label` is the translation of `true label`
LARGEST_OPTIONS = 10**5  # bytes; more could keep the reader of YAML busy for half a minute
LANGUAGES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yml")))


@dataclass(frozen=True)
class ReportOptions:
    """Who hands the report in, its title and language, and an aim and conclusions in their own words.

    anonymise: show example pairs without pictures, guids, handles and links.
    """

    name: str = ""
    number: str = ""
    title: str = ""
    language: str = "en"
    aim: str = ""
    conclusions: str = ""
    anonymise: bool = False

    @classmethod
    def read(cls, path: Path, language: str | None = None, anonymise: bool | None = None) -> "ReportOptions":
        """The options in a YAML file, if there is one. The other arguments replace the file's. Raises ConfigError."""
        given = _read_yaml(path) if os.path.lexists(path) else {}
        written = given.get("anonymise", "false").lower()
        if written not in _SWITCH:
            raise ConfigError(f"{path}: anonymise is {written!r}. Write true or false.")
        wanted = given.get("language", "en") if language is None else language.lower()
        if wanted not in LANGUAGES:
            where = path if language is None else "--language"
            raise ConfigError(f"{where}: language {wanted!r} is unknown. Use one of {', '.join(LANGUAGES)}.")
        return cls(**{**given, "language": wanted, "anonymise": _SWITCH[written] if anonymise is None else anonymise})


def _read_yaml(path: Path) -> dict[str, str]:
    try:
        # BaseLoader leaves every value the text it was written as: a student number keeps its zeros, and no is no.
        node = yaml.compose(read_file(path, LARGEST_OPTIONS).decode("utf-8-sig"), yaml.BaseLoader)
    except UnicodeError:
        raise ConfigError(f"{path}: is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Make it a text file, or remove it.") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply. Write one `key: value` per line.") from None
    except yaml.YAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise ConfigError(f"{path}{where}: is not YAML ({str(error).splitlines()[0]}). Write `name: ...`.") from None
    known, given = list(ReportOptions.__dataclass_fields__), {}
    pairs = [] if node is None else node.value if isinstance(node, yaml.MappingNode) else None
    if pairs is None or not all(isinstance(key, yaml.ScalarNode) for key, _ in pairs):
        raise ConfigError(f"{path}: write one `key: value` per line. Known: {', '.join(known)}.")
    for key, value in pairs:
        if key.value not in known:
            name = key.value[:40]
            raise ConfigError(f"{path}: there is no option {name!r}.{suggest(name, known)}")
        if not isinstance(value, yaml.ScalarNode):
            raise ConfigError(f"{path}: {key.value} must be a text.")
        if odd := next((one for one in value.value if one not in "\n\t" and category(one) in ("Cc", "Cs")), ""):
            raise ConfigError(f"{path}: {key.value} holds {odd!r}, which nobody can read. Take it out.")
        if key.value in given:
            raise ConfigError(f"{path}: {key.value} is given twice. Keep one of them.")
        given[key.value] = value.value
    return given


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

    def __call__(self, key: str, **values: Any) -> str:
        return read_words(self.options.language)[key].format(**values)

    def name(self, kind: str, name: str, default: str = "") -> str:
        """What one of a kind (section, row, metric, knob, column, fact) is called."""
        return read_words(self.options.language).get(f"{kind}.{name}", default or name)

    @property
    def drawn(self) -> dict[str, str]:
        """What is written in figures, which are drawn in English, with its translation; empty in English."""
        if self.options.language == "en":
            return {}
        own, english = read_words(self.options.language), read_words("en")
        named = {key: text for key, text in own.items() if key.partition(".")[0] in ("row", "part")}
        titles = {metric.title: self.name("column", name, metric.title) for name, metric in METRICS.items()}
        phrases = {key.removeprefix(DRAWN): text for key, text in own.items() if key.startswith(DRAWN)}
        return titles | {english[key]: text for key, text in named.items()} | phrases

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


ENGLISH = Say()
