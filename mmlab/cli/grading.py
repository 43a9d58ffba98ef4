"""The command of those who teach: grade what was handed in."""

from pathlib import Path
from typing import Annotated

import typer

from mmlab.cli.options import PATH
from mmlab.cli.output import count, print_line, print_table
from mmlab.errors import ConfigError

_LINES = 20  # that a terminal shows of what is wrong


def grade(
    submissions: Annotated[Path, typer.Argument(help="A folder or a zip of prediction files.", **PATH)],
    labels: Annotated[Path, typer.Option(help="The key: a file guid,tag of the pairs to predict, or of some.", **PATH)],
    out: Annotated[Path, typer.Option(help="A new folder for the grades, or older grades to be replaced.", **PATH)],
    data: Annotated[Path | None, typer.Option(help="The course folder: order, twins, TF-IDF.", **PATH)] = None,
    pattern: Annotated[
        str | None, typer.Option(help="A regular expression for names, with (?P<student>...) and (?P<time>...).")
    ] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE, a prediction file to compare with. Repeat it for another.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="A results folder; its runs are references.", **PATH)] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The file of a leaderboard that does not leak the labels.", **PATH)
    ] = None,
) -> None:
    """Grade a folder of prediction files: a table, a page, a feedback file for each student.

    Without --pattern the student is the file's name without its suffix. The newest file of each student counts.
    A faulty file is listed with the reason and stops nothing.

    Examples:

    mmlab grade submissions --labels key.txt --out grades

    mmlab grade submissions.zip --labels key.txt --out grades --data ../course --results results/course

    mmlab grade inbox --labels key.txt --out grades --pattern '(?P<student>\\d+)_(?P<time>\\d+).*\\.txt'

    mmlab grade inbox --labels key.txt --out grades --reference baseline=their_result.txt --ledger ledger.json
    """
    from mmlab.grading import check_out, grade_submissions, write_grades

    references = _read_references(reference or [])
    check_out(out, submissions, ledger)
    grades = grade_submissions(submissions, labels, data, pattern, references, results, ledger)
    write_grades(grades, out)
    rows = [[row.name, f"{row.standing.values['accuracy']:.3f}"] for row in grades.rows if row.kind != "student"]
    print_table(None, ["to compare with", "accuracy [95 % interval]"], rows)
    invalid = [row for row in grades.students if row.standing is None]
    lines = [f"FAIL  {row.name}: {row.problems[0]}" for row in invalid]
    lines += [f"NOTE  {one.name} was not read: {one.refusal}" for one in grades.stray]
    print_line("\n".join(lines[:_LINES]))
    if len(lines) > _LINES:
        print_line(f"      {len(lines) - _LINES} more are on the page")
    noted = sum(bool(row.notes) for row in grades.rows)
    counts = f"{count(grades.students, 'student')}, {len(invalid)} without a valid file, {noted} with a note to read"
    print_line(f"{counts}; {count(grades.older, 'older file')} left out")
    print_line(f"{'grades':<22} {out / 'index.html'}")


def _read_references(words: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not (name.strip() and equals and file):
            raise ConfigError(f"--reference {word}: write NAME=FILE, such as --reference tutor=tutor.txt.")
        if name in found:
            raise ConfigError(f"--reference {word}: another reference has this name. Choose another one.")
        found[name] = Path(file)
    return found
