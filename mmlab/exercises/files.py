"""Notebook files as plain JSON: read without trust, written whole. nbformat's checks take longer than all else."""

import json
from pathlib import Path
from typing import Any

from mmlab.errors import RunError
from mmlab.storage import read_file, write_atomic

LARGEST = 50_000_000  # bytes; the lab's own notebooks have half a million


def load_notebook(path: Path) -> dict[str, Any]:
    """A notebook's JSON, of which every cell has a `cell_type`, a `source` and a dict `metadata`.

    Raises RunError, which names the file, for a symbolic link, a pipe, a file that is too large, and what is damaged
    or no notebook.
    """
    try:
        notebook = json.loads(read_file(path, LARGEST, follow=False))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: is damaged or no notebook ({str(error).splitlines()[0]}).") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise RunError(f"{path}: is no notebook of format 4: it has no list of cells.")
    for number, cell in enumerate(cells, 1):
        if not _is_cell(cell):
            raise RunError(f"{path}: is damaged: cell {number} is no cell.")
    return notebook


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata"), dict):
        return False
    source, metadata = cell.get("source"), cell["metadata"]
    lines = [source] if isinstance(source, str) else source
    return (
        isinstance(cell.get("cell_type"), str)
        and isinstance(lines, list)
        and all(isinstance(line, str) for line in lines)
        and isinstance(metadata.get("tags", []), list)
        and isinstance(metadata.get("mmlab", {}), dict)
        and isinstance(cell.get("outputs", []), list)
    )


def save_notebook(path: Path, notebook: dict[str, Any]) -> None:
    """Write a notebook in Jupyter's layout: the file of a notebook that has not changed stays the same."""
    write_atomic(path, json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def make_cell(kind: str, id: str, source: str, facts: dict[str, str], tags: list[str]) -> dict[str, Any]:
    """A cell as it is in a file. facts: what its metadata hold under `mmlab`."""
    cell = {"cell_type": kind, "id": id, "metadata": {"mmlab": facts, "tags": tags}}
    cell["source"] = source.splitlines(keepends=True)
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def read_source(cell: dict[str, Any]) -> str:
    """A cell's text: a file holds it as a list of lines, or whole."""
    return "".join(cell["source"])


def has_tag(cell: dict[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


def clear_outputs(cell: dict[str, Any]) -> None:
    """Take away what a code cell printed when it was last run."""
    if cell["cell_type"] == "code":
        cell["outputs"], cell["execution_count"] = [], None
