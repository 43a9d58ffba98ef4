"""The commands of the exercises: a student's own copies of the notebooks, and what is passed in them."""

from pathlib import Path
from typing import Annotated

import typer

from mmlab.cli.options import PATH
from mmlab.cli.output import count, print_json, print_line, print_table
from mmlab.storage import printable


def start(
    folder: Annotated[Path, typer.Argument(help="Where you want to work.", **PATH)],
    language: Annotated[str, typer.Option(help="Of the prose in new copies: en or zh. Code stays as it is.")] = "en",
) -> None:
    """Write your own copies of the seven notebooks, with the exercises, into a folder to work in.

    Call it again after an update of the lab: notebooks and answers that are there stay as they are, and exercises of an
    older edition are updated. Close the notebooks in JupyterLab before. `make lab` does this in the folder work.

    Examples:

    mmlab start work

    mmlab start ~/sentiment

    mmlab start work/zh --language zh
    """
    from mmlab.exercises.copies import start_copies

    for name, done in start_copies(folder, language):
        print_line(f"{name:<24} {done}")
    print_line(f"Your notebooks are in {folder}")


def progress(
    folder: Annotated[Path, typer.Argument(help="One student's folder, or a folder of students' folders.", **PATH)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Also write a table for a spreadsheet.", **PATH)] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the answers again instead of trusting the files.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="With --run: the longest that one notebook may take.")] = 120,
    memory: Annotated[float, typer.Option(min=0.1, help="With --run: GiB on top of what the libraries take.")] = 2,
) -> None:
    """Show which exercises pass, for one student or for a whole course.

    The folder holds notebooks under their own names, or a folder per student, or files such as Ann_04_fusion.ipynb. The
    outputs saved in the notebooks are read, and no code runs. An output can be forged by editing the file, and it
    belongs to the last run of its cell, not to what the cell says now.

    With --run, the exercise cells and the cells that the student added are run, each notebook in a process with limits
    and without network, and their objects are judged. This is not a sandbox against malice: use an account or a
    container that has nothing to lose.

    Examples:

    mmlab progress work

    mmlab progress submissions --csv progress.csv

    mmlab progress submissions --run --seconds 60
    """
    from mmlab.exercises.progress import read_folder, to_csv
    from mmlab.storage import write_atomic

    found = read_folder(folder)
    if run:
        from mmlab.exercises.rerun import Limits, rerun_answers

        rerun_answers(found, Limits(seconds, memory))
    if csv is not None:
        write_atomic(csv, to_csv(found))
    if as_json:
        print_json([one.to_dict() for one in found], indent=2)
        return
    print_table(None, ["student", "notebook", "passed", "exercises", "notes"], [_list_row(one) for one in found])
    print_line(_sum_up(found))
    print_line(_RERUN if run else _READ)


_READ = "Read from saved outputs, which an edit of the file can forge. With --run the answers are judged again."
_RERUN = "Judged again in processes with limits. This is not a sandbox against malice."


def _list_row(one) -> list[str]:
    passed = f"{one.passed}/{len(one.answers)}" if one.answers else "!"
    notebook = one.notebook or printable(one.file.name)
    return [one.student, notebook, passed, "\n".join(one.list_marks()), "\n".join(one.notes)]


def _sum_up(found: list) -> str:
    readable = [one for one in found if one.answers]
    passed, total = sum(one.passed for one in readable), sum(len(one.answers) for one in readable)
    words = f"{count({one.student for one in found}, 'student')}: {passed} of {total} exercises passed"
    unread = len(found) - len(readable)
    return f"{words}; {unread} of {len(found)} files could not be read." if unread else f"{words}."
