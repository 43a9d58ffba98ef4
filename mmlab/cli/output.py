"""What several commands print."""

from collections.abc import Sized

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_table(title: str | None, columns: list[str], rows: list[list[str]]) -> None:
    """A table on the terminal, as wide as it allows. Brackets in it are shown, not obeyed."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


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
        print(f"{what:<22} {where}")
    for note in outcome.notes:
        print(f"NOTE  {note}")


def print_error(text: str) -> None:
    """One plain message on standard error, in one line however long it is."""
    Console(stderr=True, highlight=False).print(f"mmlab: {text}", markup=False, soft_wrap=True)
