"""The exercise cells of the notebooks, made from `notebooks/solutions`: `python -m mmlab.exercises.cells` writes them.

A file of solutions has the name of its notebook and one pair of cells for each exercise, in the percent format:

    # %% [markdown] fusion
    # ### A fusion of your own
    # %% fusion
    class MyFusion(nn.Module): ...
    check.fusion(MyFusion)

What stands between `# BEGIN SOLUTION` and `# END SOLUTION` becomes `...` in the notebook.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmlab import __version__
from mmlab.errors import RunError
from mmlab.freshness import digest_of
from mmlab.storage import CHECKOUT, write_atomic

NOTEBOOKS = CHECKOUT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
TAG = "exercise"  # of every cell that is made here
HEADING = re.compile(r"^## Exercises$", re.MULTILINE)  # the cells come after the one with this line
_CELL = re.compile(r"^# %% (?:(\[markdown\]) )?(\w+)\n", re.MULTILINE)
_SOLVED = re.compile(r"^([ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION\n", re.MULTILINE | re.DOTALL)
_CHECK = re.compile(r"^check\.(\w+)\((\w+)\)\s*\Z", re.MULTILINE)


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
    path = folder / f"{notebook}.py"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}). Run `git restore notebooks/solutions`.") from None
    cells = _split_cells(text)
    if len(cells) % 2:
        raise RunError(f"{path}: {cells[-1][1]}: a question or its code is missing. Each exercise has two cells.")
    return list(_pair_cells(path, cells))


def _split_cells(text: str) -> list[tuple[bool, str, str]]:
    """(is it prose, name, content) of each cell."""
    found = list(_CELL.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [(bool(one[1]), one[2], text[one.end() : end].strip("\n")) for one, end in zip(found, ends, strict=True)]


def _pair_cells(path: Path, cells: list[tuple[bool, str, str]]) -> Iterator[Task]:
    for (prose, name, question), (code, same, solution) in zip(cells[::2], cells[1::2], strict=True):
        checked = _CHECK.search(solution)
        if not prose or code or name != same or not checked or checked[1] != name:
            raise RunError(f"{path}: {name}: write a markdown cell, then a code cell that ends with check.{name}(...).")
        lines = re.sub(r"^# ?", "", question, flags=re.MULTILINE)
        yield Task(name, lines, solution[: checked.start()].rstrip() + "\n", checked[2])


def edition(notebook: str, folder: Path = SOLUTIONS) -> str:
    """The package's version and a digest of the solutions: another one, other exercises."""
    return f"{__version__}-{digest_of((folder / f'{notebook}.py').read_text(encoding='utf-8'))[:8]}"


def weave(node, notebook: str, folder: Path = SOLUTIONS) -> None:
    """Write the exercise cells of a notebook anew, after its heading `## Exercises`. node: changed in place."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    kept = [cell for cell in node.cells if TAG not in cell.metadata.get("tags", [])]
    places = [at for at, cell in enumerate(kept, 1) if cell.cell_type == "markdown" and HEADING.search(cell.source)]
    if len(places) != 1:
        raise RunError(f"{notebook}: write one markdown cell with the line `## Exercises`.")
    made = edition(notebook, folder)
    opening = f'from mmlab.exercises import open_exercises\n\ncheck = open_exercises("{notebook}", "{made}")'
    cells = [new_code_cell(opening, id="exercises", metadata={"tags": [TAG]})]
    for task in read_tasks(notebook, folder):
        facts = {"exercise": task.name, "edition": made}
        metadata = {"tags": [TAG], "mmlab": facts}
        cells.append(new_markdown_cell(task.question, id=f"{task.name}-question", metadata=metadata))
        checked = {"tags": [TAG, "nbval-check-output"], "mmlab": facts}
        cells.append(new_code_cell(task.stub, id=task.name, metadata=checked))
    cells.append(new_code_cell("check.summary()", id="summary", metadata={"tags": [TAG]}))
    node.cells = kept[: places[0]] + cells + kept[places[0] :]


def main() -> None:
    import nbformat

    for path in sorted(SOLUTIONS.glob("*.py")):
        target = NOTEBOOKS / f"{path.stem}.ipynb"
        node = nbformat.read(target, as_version=4)
        before = {cell.id: cell for cell in node.cells}
        weave(node, path.stem)
        for cell in node.cells:  # what has not changed keeps what it printed
            old = before.get(cell.id)
            if cell.cell_type == "code" and old is not None and old.source == cell.source:
                cell.outputs, cell.execution_count = old.outputs, old.execution_count
        write_atomic(target, nbformat.writes(node) + "\n")
        print(target.name)


if __name__ == "__main__":
    main()
