"""The command line: the package's functions under names to type, and nothing of its own.

`mmlab --help` lists the commands, `mmlab COMMAND --help` explains one with examples.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from mmlab import __version__
from mmlab.cli import asking, exercises, grading, training
from mmlab.cli.options import PATH, WHOLE, Data, Results, RichCommand
from mmlab.cli.output import print_error, print_line, print_outcome, print_table, show_every_letter
from mmlab.config import SCENARIOS
from mmlab.errors import MmlabError, find_fix

app = typer.Typer(
    name="mmlab",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_line(f"mmlab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A course lab for the sentiment of paired tweet text and image."""


def main() -> None:
    """Run the command line; a mistake of the user's ends with one plain message and exit status 1."""
    show_every_letter()
    try:
        app()
    except MmlabError as error:
        print_error(str(error))
    except OSError as error:
        if (fix := find_fix(error)) is None:
            raise
        print_error(f"{error.filename or 'a file'}: {error.strerror}. {fix}.")
    except SystemExit as end:
        if end.code == 130:  # typer makes this of Ctrl-C
            print_error("interrupted. Completed runs are kept; the same command continues from there.")
        raise
    sys.exit(1)


@app.command(cls=RichCommand)
def doctor(
    bug_report: Annotated[
        bool, typer.Option(help="Print what the report of a bug needs, and nothing private.")
    ] = False,
    results: Annotated[Path, typer.Option(help="For --bug-report: where the last run is.", **PATH)] = Path(
        "results/run"
    ),
) -> None:
    """Check Python, packages, torch, encoder weights, kernel and disk: OK, or FAIL and the fix.

    With --bug-report it prints Markdown to paste: versions, machine, checks, the last run, the last error. Paths and
    the names of the user and of the machine are taken out; read it before you send it.

    Examples:

    mmlab doctor

    mmlab doctor --bug-report --results results/run
    """
    if bug_report:
        from mmlab.bug_report import write_bug_report

        print_line(write_bug_report(results))
        return
    from mmlab.doctor import run_checks

    checks = run_checks()
    for check in checks:
        print_line(f"{'OK  ' if check.ok else 'FAIL'}  {check.name}: {check.found}")
        if not check.ok:
            print_line(f"      fix: {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command(cls=RichCommand)
def check(
    data: Annotated[Path, typer.Argument(help="A course folder.", **PATH)],
    strict: Annotated[bool, typer.Option(help="Treat each fault in a pair as an error.")] = False,
) -> None:
    """Judge a course folder: labels, charsets, twins, unreadable images, empty texts, orphans.

    Example: mmlab check data/demo
    """
    from mmlab.course import random_split_leak, read_course

    course = read_course(data, strict=strict)
    rows = course.health.to_frame().itertuples(index=False)
    print_table(str(data), ["check", "count", "detail"], [[str(r.check), str(r.count), str(r.detail)] for r in rows])
    for line in [*course.health.notices, *course.health.issues]:
        print_line(f"- {line}")
    leak = random_split_leak(course)
    print_line(
        f"A random split would give {leak:.1%} of its dev rows a twin in train; the split of this lab gives none."
    )


app.command(cls=RichCommand)(training.run)
app.command(cls=RichCommand)(training.grid)
app.command(cls=RichCommand)(training.train)
app.command(cls=RichCommand)(exercises.start)
app.command(cls=RichCommand)(exercises.progress)


@app.command(cls=RichCommand)
def report(
    results: Results,
    data: Annotated[Path | None, typer.Option(help="The course folder of the example pairs, if it was moved.")] = None,
    language: Annotated[str | None, typer.Option(help="en or zh; report.yml in RESULTS may set it, too.")] = None,
    pdf: Annotated[bool, typer.Option(help="Also print the report to a PDF; --no-pdf removes an old one.")] = True,
    anonymise: Annotated[
        bool | None, typer.Option(help="Show example pairs without pictures, guids, handles and links.")
    ] = None,
    watch: Annotated[bool, typer.Option(help="Write it whenever a run ends, until Ctrl-C; without PDF.")] = False,
) -> None:
    """Write the report again from the runs in a results folder, without any training: HTML, PDF, figures, tables.

    RESULTS/report.yml may hold name, number, title, language, aim, conclusions and anonymise, one `key: text` per line.

    Examples:

    mmlab report --results results/run

    mmlab report --results results/course --language zh

    mmlab report --results results/course --anonymise

    mmlab report --results results/run --watch
    """
    from mmlab.report.build import rebuild_report, watch_report

    options = {"data": data, "language": language, "anonymise": anonymise}
    if watch:
        watch_report(results, on_built=_print_page, **options)
    built = rebuild_report(results, **options, pdf=pdf)
    print_outcome(built)
    for gap in built.gaps:
        print_line(f"MISSING  {gap}")
    raise typer.Exit(1 if built.gaps else 0)


def _print_page(built) -> None:
    print_line(f"{time.strftime('%X')}  {built.places['report']}")


@app.command(cls=RichCommand)
def predict(
    data: Data,
    results: Annotated[Path, typer.Option(help="A results folder that holds a complete main run.", **PATH)],
    out: Annotated[Path, typer.Option(help="The prediction file to write.")] = Path("test_result.txt"),
    scenario: Annotated[str, typer.Option(help=f"One of {', '.join(SCENARIOS)}.")] = "text_and_image",
    abstain: Annotated[
        float | None,
        typer.Option(help="Also tell which answers together are right as often as this, such as 0.85.", min=0, max=1),
    ] = None,
) -> None:
    """Answer the test pairs of a course folder with the models of a finished run.

    Examples:

    mmlab predict --data data/demo --results results/run --out my_result.txt

    mmlab predict --data data/demo --results results/run --out my_result.txt --abstain 0.85
    """
    from mmlab.report.build import predict_test

    path, rows, words = predict_test(data, results, out, scenario, abstain)
    print_line(f"{rows} rows written to {path}")
    if words:
        print_line(words)


app.command(cls=RichCommand)(asking.ask)
app.command(cls=RichCommand)(asking.export)


@app.command(cls=RichCommand)
def verify(file: Annotated[Path, typer.Argument(help="A prediction file.", **PATH)], data: Data) -> None:
    """Judge a prediction file: guids and their order, labels, class shares, another scenario's file handed in twice.

    Example: mmlab verify results/run/test_result.txt --data data/demo
    """
    from mmlab.course import read_course, verify_predictions
    from mmlab.runs import find_siblings

    verdict = verify_predictions(file, read_course(data), find_siblings(file))
    for problem in verdict.problems:
        print_line(f"FAIL  {problem}")
    for warning in verdict.warnings:
        print_line(f"NOTE  {warning}")
    if verdict.ok:
        shares = verdict.shares.itertuples(index=False)
        rows = [[row.label, f"{row.train_share:.1%}", f"{row.file_share:.1%}"] for row in shares]
        print_table(None, ["label", "share in train", "share in file"], rows)
        print_line(f"OK    {file} can be handed in")
    raise typer.Exit(0 if verdict.ok else 1)


app.command(cls=RichCommand)(grading.grade)


@app.command(cls=RichCommand)
def demo(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an older demo to be replaced.", **PATH)],
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs from the same recipe.", **WHOLE)] = 0,
) -> None:
    """Make a demo course with known ceilings.

    Example: mmlab demo my_demo --seed 7
    """
    from mmlab.demo import make_demo

    print_line(f"A demo course is in {make_demo(folder, seed=seed)}")
