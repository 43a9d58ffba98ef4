"""All that the commands print goes through here: no name steers a terminal, and no letter stops a command.

A name, a tweet or a path is shown as it is, or with an escape: never obeyed as markup or as a code of the terminal.
"""

import codecs
import json
import sys
from collections.abc import Sized
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmlab.storage import printable

# For letters of the lab's own sentences that an older charset lacks.
_PLAIN = {"−": "-", "…": "...", "“": '"', "”": '"', "’": "'", "→": "->", "✓": "+", "✗": "x", "≠": "!=", "·": "-"}
_STAND_IN = "mmlab.stand_in"


def show_every_letter() -> None:
    """From now on a letter that the output's charset lacks is shown as a plain one, or as an escape such as `\\u4e2d`.

    Windows gives a redirected output an old charset, and there a single letter would stop the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a test or another program put there may be no file
            stream.reconfigure(errors=_STAND_IN)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lacking), error.end


codecs.register_error(_STAND_IN, _stand_in)


def print_line(text: str) -> None:
    """A line, or several, seen at once by whoever waits for it."""
    print(_show(text), flush=True)


def redraw_line(text: str = "") -> None:
    """Put this in the place of the line that a terminal shows last."""
    print(f"\r\033[K{printable(text)}", end="", flush=True)


def print_json(value: Any, indent: int | None = None) -> None:
    """Plain values for a program to read, the same in every charset."""
    print(json.dumps(value, indent=indent))


def print_table(title: str | None, columns: list[str], rows: list[list[str]]) -> None:
    """A table on the terminal, as wide as it allows."""
    table = Table(title=None if title is None else _plain(title), title_justify="left")
    for name in columns:
        table.add_column(_plain(name))
    for row in rows:
        table.add_row(*map(_plain, row))
    Console().print(table)


def _plain(text: str) -> Text:
    """A text in which rich finds no markup: it would take `[b]` of a name away. Its width is that of what is shown."""
    charset = getattr(sys.stdout, "encoding", None) or "utf-8"
    return Text(_show(text).encode(charset, _STAND_IN).decode(charset))


def _show(text: str) -> str:
    return printable(text, keep="\n\t")


def count(items: Sized, word: str) -> str:
    """How many there are: `1 student`, `2 students`."""
    return f"{len(items)} {word}{'s'[: len(items) != 1]}"


def print_scores(every: dict) -> None:
    """A row for each scenario: accuracy with its interval, macro-F1, and the number of pairs."""
    rows = [[name, str(one.accuracy), str(one.macro_f1), str(one.n)] for name, one in every.items()]
    print_table(None, ["scenario", "accuracy [95 % interval]", "macro-F1", "n"], rows)


def print_outcome(outcome) -> None:
    """The scores of the main run, where everything is, and what the user should know of it."""
    if outcome.scores:
        print_scores(outcome.scores)
    for what, where in outcome.places.items():
        print_line(f"{what:<22} {where}")
    for note in outcome.notes:
        print_line(f"NOTE  {note}")


def print_error(text: str) -> None:
    """One plain message on standard error, in one line however long it is."""
    print(f"mmlab: {_show(text)}", file=sys.stderr, flush=True)
