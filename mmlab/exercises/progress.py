"""Which exercises are passed, read from the outputs of saved notebooks: of one student, or of a course of two hundred.

No code of a student's is run here. Whoever edits the file can write any output into it: `rerun` judges again.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.errors import RunError
from mmlab.exercises.cells import OPENED, edition, list_notebooks, read_tasks
from mmlab.exercises.files import load_notebook, read_source
from mmlab.exercises.verdict import MIME, SIGNS
from mmlab.storage import expand, format_csv, printable

UNRUN = "unrun"  # a check that has left no output
MARKS = {**SIGNS, UNRUN: ("-", "Not run")}
DEPTH = 3  # of FOLDER/student/work
RECORDS = "records"  # a folder in every folder of results
File = tuple[str, str, Path]  # student, notebook or "", path
COLUMNS = ("student", "notebook", "passed", "total", "exercises", "notes", "file")


@dataclass(frozen=True)
class Answer:
    """What an exercise was told. kind: one of MARKS. code: the mistake's name, empty where there is none."""

    kind: str = UNRUN
    code: str = ""

    def name_with_code(self, exercise: str) -> str:
        return f"{exercise} ({self.code})" if self.code else exercise


@dataclass
class Progress:
    """One notebook of one student. notebook: its name, empty where nobody knows. notes: what a reader should know.

    answers: by exercise, in the notebook's order; empty where the file could not be read.
    """

    student: str
    notebook: str
    file: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return sum(answer.kind == "passed" for answer in self.answers.values())

    def list_marks(self) -> list[str]:
        """One line for each kind, such as "✓ Passed: fusion, probe"."""
        lines = []
        for kind, (sign, word) in MARKS.items():
            names = [one.name_with_code(name) for name, one in self.answers.items() if one.kind == kind]
            lines += [f"{sign} {word}: {', '.join(names)}"] if names else []
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "student": self.student,
            "notebook": self.notebook,
            "passed": self.passed,
            "total": len(self.answers),
            "exercises": {name: {"kind": one.kind, "code": one.code} for name, one in self.answers.items()},
            "notes": self.notes,
            "file": printable(str(self.file)),
        }


def read_folder(folder: Path | str) -> list[Progress]:
    """The progress of every student in a folder, by student and notebook.

    The folder holds one student's notebooks under their own names (`04_fusion.ipynb`), or a folder for each student,
    or notebooks with the student's name before theirs (`Ann_04_fusion.ipynb`). A file that cannot be read is listed
    with the reason. Raises RunError for a folder that does not exist or holds no notebook.
    """
    folder = expand(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder. Name a student's folder, or one with a folder for each student.")
    names = list_notebooks()
    asked = {name: [task.name for task in read_tasks(name)] for name in names}
    editions = {name: edition(name) for name in names}
    files = _find_notebooks(folder.resolve(), names)
    found = [read_progress(printable(student), *one, asked, editions) for student, *one in files]
    if not found:
        raise RunError(f"{folder} holds no notebook. `mmlab start {folder}` writes some to work in.")
    found = [one for one in found if one.answers or one.notes]  # a notebook may ask nothing
    return sorted(found, key=lambda one: (one.student, one.notebook, one.file))


def _find_notebooks(folder: Path, names: list[str], student: str = "", depth: int = 1) -> Iterator[File]:
    """Each notebook, and each folder that cannot be looked into."""
    try:
        entries = sorted((one for one in os.scandir(folder) if one.name[0] != "."), key=lambda one: one.name)
    except OSError:
        yield student or folder.name, "", folder
        return
    if depth > 1 and RECORDS in [one.name for one in entries]:  # what runs wrote, executed notebooks among them
        return
    named = re.compile(rf"(.*?)[ _.-]*({'|'.join(map(re.escape, names))})")
    for one in entries:
        path, is_link = Path(one.path), one.is_symlink()
        if one.name.endswith(".ipynb") and (is_link or not one.is_dir()):
            before, notebook = found.groups() if (found := named.match(one.name)) else ("", "")
            yield student or before or folder.name, notebook, path
        elif is_link and path.is_dir():
            yield student or one.name, "", path
        elif one.is_dir(follow_symlinks=False) and depth < DEPTH:
            yield from _find_notebooks(path, names, student or one.name, depth + 1)


def read_progress(
    student: str, notebook: str, file: Path, asked: dict[str, list[str]], editions: dict[str, str]
) -> Progress:
    """What a saved notebook shows. notebook: as its name says, or ""; its exercise cells know better.

    asked, editions: of each notebook the names of its exercises, and the edition of today.
    """
    try:
        cells = load_notebook(file)["cells"]
    except RunError as error:
        return Progress(student, notebook, file, notes=[str(error).removeprefix(f"{file}: ")])
    opened = [found for cell in cells if cell["cell_type"] == "code" for found in OPENED.findall(read_source(cell))]
    inside, made = next(((name, made) for name, made in opened if name in asked), (notebook, ""))
    if not inside:
        return Progress(student, "", file, notes=["is none of the lab's notebooks"])
    told = _read_outputs(cells)
    answers = {name: told.get(name, Answer()) for name in asked[inside]}
    notes = []
    if answers and not made:
        notes.append("has no exercise cells")
    elif answers and made != editions[inside]:
        notes.append(f"edition {printable(made)}, today's is {editions[inside]}")
    return Progress(student, inside, file, answers, notes)


def _read_outputs(cells: list[dict[str, Any]]) -> dict[str, Answer]:
    """By exercise what the checks left: that it is passed, where one says so; else the last."""
    told: dict[str, Answer] = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            data = output.get("data") if isinstance(output, dict) else None
            facts = data.get(MIME) if isinstance(data, dict) else None
            if not isinstance(facts, dict):
                continue
            name, kind, code = (facts.get(one) for one in ("exercise", "kind", "code"))
            if isinstance(name, str) and kind in SIGNS and told.get(name, Answer()).kind != "passed":
                told[name] = Answer(kind, printable(code) if isinstance(code, str) else "")
    return told


def to_csv(found: list[Progress]) -> str:
    """A table for spreadsheets, one row for each notebook."""
    rows: list[tuple] = [COLUMNS]
    for one in found:
        exercises = "; ".join(f"{answer.kind}: {answer.name_with_code(name)}" for name, answer in one.answers.items())
        notes, file = "; ".join(one.notes), printable(str(one.file))
        rows.append((one.student, one.notebook, one.passed, len(one.answers), exercises, notes, file))
    return format_csv(rows)
