"""The exercise cells of the notebooks, made from `notebooks/solutions`: `make exercises` writes them.

A file of solutions has the name of its notebook and one pair of cells for each exercise, in the percent format:

    # %% [markdown] fusion
    # ### A fusion of your own
    # %% fusion
    class MyFusion(nn.Module): ...
    check.fusion(MyFusion)

What stands between `# BEGIN SOLUTION` and `# END SOLUTION` becomes `...` in the notebook.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlab import __version__
from mmlab.config import EXERCISE_TAG
from mmlab.errors import RunError
from mmlab.exercises.files import has_tag, load_notebook, make_cell, read_source, save_notebook
from mmlab.freshness import digest_of
from mmlab.storage import CHECKOUT

NOTEBOOKS = CHECKOUT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
COMPARED = "nbval-check-output"  # tag of a cell whose saved output `make test` compares
HEADING = re.compile(r"^## (Exercises|练习)$", re.MULTILINE)  # the cells come after the one with this line
OPENED = re.compile(r"""open_exercises\(\s*["'](\w+)["']\s*,\s*["']([^"']*)["']""")  # notebook, edition
_CELL = re.compile(r"^# %% (?:(\[markdown\]) )?(\w+)\n", re.MULTILINE)
_SOLVED = re.compile(r"^([ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION\n", re.MULTILINE | re.DOTALL)
_CHECK = re.compile(r"^check\.(\w+)\((\w+)\)\s*\Z", re.MULTILINE)
_ASKED = re.compile(r"^check\.(\w+)\(", re.MULTILINE)  # also after a student has changed the cell


@dataclass(frozen=True)
class Task:
    """An exercise as its notebook shows it. answer: the name of the object that is checked."""

    name: str
    question: str
    solution: str  # without the line that checks it
    answer: str

    @property
    def stub(self) -> str:
        """What a student starts from, with the line that checks it."""
        return _SOLVED.sub(r"\1...\n", self.solution) + f"\ncheck.{self.name}({self.answer})"

    @property
    def shown(self) -> str:
        """The solution without its marks."""
        return re.sub(r"^[ \t]*# (BEGIN|END) SOLUTION\n", "", self.solution, flags=re.MULTILINE)


def read_tasks(notebook: str, folder: Path = SOLUTIONS) -> list[Task]:
    """The exercises of a notebook in their order. Raises RunError for a file that is missing or not as described."""
    path, cells = folder / f"{notebook}.py", _split_cells(_read_solutions(notebook, folder))
    if len(cells) % 2:
        raise RunError(f"{path}: {cells[-1][1]}: a question or its code is missing. Each exercise has two cells.")
    return list(_pair_cells(path, cells))


def _read_solutions(notebook: str, folder: Path) -> str:
    path = folder / f"{notebook}.py"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). Run `git restore notebooks/solutions`.") from None


def _split_cells(text: str) -> list[tuple[bool, str, str]]:
    """(is it prose, name, content) of each cell."""
    found = list(_CELL.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [(bool(one[1]), one[2], text[one.end() : end].strip("\n")) for one, end in zip(found, ends)]


def _pair_cells(path: Path, cells: list[tuple[bool, str, str]]) -> Iterator[Task]:
    for (prose, name, question), (code, same, solution) in zip(cells[::2], cells[1::2], strict=True):
        checked = _CHECK.search(solution)
        if not prose or code or name != same or not checked or checked[1] != name:
            raise RunError(f"{path}: {name}: write a markdown cell, then a code cell that ends with check.{name}(...).")
        lines = re.sub(r"^# ?", "", question, flags=re.MULTILINE)
        yield Task(name, lines, solution[: checked.start()].rstrip() + "\n", checked[2])


def list_notebooks() -> list[str]:
    """The names of the notebooks in their order. Raises RunError outside of a checkout."""
    names = sorted(path.stem for path in SOLUTIONS.glob("*.py"))
    if not names:
        raise RunError(f"{SOLUTIONS}: there are no notebooks. Use mmlab from a checkout of the lab (pip install -e .).")
    return names


def edition(notebook: str, folder: Path = SOLUTIONS) -> str:
    """The package's version and a digest of the solutions: another one, other exercises."""
    return f"{__version__}-{digest_of(_read_solutions(notebook, folder))[:8]}"


def make_cells(notebook: str, folder: Path = SOLUTIONS) -> list[dict[str, Any]]:
    """The exercise cells of a notebook: one that opens them, two for each exercise, a summary. None without exercises.

    Their metadata hold the edition and, where there is one, the exercise; a cell to answer in also the digest of its
    stub, which tells later whether it was changed.
    """
    tasks, today = read_tasks(notebook, folder), edition(notebook, folder)
    if not tasks:
        return []
    opening = f'from mmlab.exercises import open_exercises\n\ncheck = open_exercises("{notebook}", "{today}")'
    cells = [make_cell("code", "exercises", opening, {"edition": today}, [EXERCISE_TAG])]
    for task in tasks:
        facts = {"edition": today, "exercise": task.name}
        cells.append(make_cell("markdown", f"{task.name}-question", task.question, facts, [EXERCISE_TAG]))
        answer = {**facts, "stub": digest_of(task.stub)}
        cells.append(make_cell("code", task.name, task.stub, answer, [EXERCISE_TAG, COMPARED]))
    cells.append(make_cell("code", "summary", "check.summary()", {"edition": today}, [EXERCISE_TAG, COMPARED]))
    return cells


def weave(notebook: dict[str, Any], name: str, folder: Path = SOLUTIONS) -> list[dict[str, Any]]:
    """Write the exercise cells of a notebook anew, after its heading `## Exercises`, and give them.

    notebook: its JSON, changed in place. Raises RunError where the heading is missing or there twice.
    """
    kept = [cell for cell in notebook["cells"] if not has_tag(cell, EXERCISE_TAG)]
    places = [at for at, cell in enumerate(kept, 1) if holds_heading(cell)]
    made = make_cells(name, folder)
    if made and len(places) != 1:
        raise RunError(f"{name}: write one markdown cell with the line `## Exercises`.")
    notebook["cells"] = kept[: places[0]] + made + kept[places[0] :] if made else kept
    return made


def holds_heading(cell: dict[str, Any]) -> bool:
    """Whether the exercises come after this cell."""
    return cell["cell_type"] == "markdown" and bool(HEADING.search(read_source(cell)))


def find_cell(cells: list[dict[str, Any]], made: dict[str, Any]) -> dict[str, Any] | None:
    """The cell of a student's notebook that was made as this exercise cell; None where it is gone.

    It is known by its metadata; by its id where metadata were lost; by what it calls, or its heading, without both.
    """
    exercise, calls = made["metadata"]["mmlab"].get("exercise"), _find_call(made)
    signs = (
        lambda cell: exercise and cell["metadata"].get("mmlab", {}).get("exercise") == exercise,
        lambda cell: cell.get("id") == made["id"],
        lambda cell: calls and _find_call(cell) == calls,
    )
    same_kind = [cell for cell in cells if cell["cell_type"] == made["cell_type"]]
    return next((cell for is_it in signs for cell in same_kind if is_it(cell)), None)


def _find_call(cell: dict[str, Any]) -> str:
    """Which check a code cell calls; of prose, its first line."""
    source = read_source(cell)
    if cell["cell_type"] != "code":
        return source.partition("\n")[0].strip()
    found = _ASKED.search(source)
    return found[1] if found else "open_exercises" if OPENED.search(source) else ""


def main() -> None:
    """Write the exercise cells of every notebook, and run them: a cell without an answer is met politely."""
    for name in list_notebooks():
        path = NOTEBOOKS / f"{name}.ipynb"
        notebook = load_notebook(path)
        made = weave(notebook, name)
        for cell, ran in zip(made, _run(made), strict=True):
            cell.update(ran)
        _number(notebook)
        save_notebook(path, notebook)
        print(f"{path.name}: {len(read_tasks(name))} exercises")


def _run(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells as a kernel leaves them that runs nothing else: they need no other cell of their notebook."""
    import nbformat
    from nbclient import NotebookClient

    from mmlab.workbook.kernels import make_manager

    if not cells:
        return []
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    node = nbformat.reads(json.dumps(notebook), as_version=4)
    client = NotebookClient(node, km=make_manager(None), timeout=600, record_timing=False)
    client.owns_km = True  # so that it stops the kernel
    client.execute()
    return json.loads(nbformat.writes(node))["cells"]


def _number(notebook: dict[str, Any]) -> None:
    """Count the code cells anew, as if all had been run in one go."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and read_source(cell).strip()]
    for number, cell in enumerate(code, 1):
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number


if __name__ == "__main__":
    main()
