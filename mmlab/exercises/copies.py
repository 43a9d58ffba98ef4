"""A student's own copies of the notebooks: written once, and brought up to date without loss of work.

The notebooks in `notebooks/` are what `mmlab run` and the grid execute. An edit or an autosave there would change a
pipeline and stop a `git pull`; in a copy it does neither.
"""

import copy
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmlab.config import check_choice
from mmlab.errors import DiskError, RunError, writing
from mmlab.exercises.cells import (
    NOTEBOOKS,
    OPENED,
    edition,
    find_cell,
    holds_heading,
    list_notebooks,
    make_cells,
    weave,
)
from mmlab.exercises.files import clear_outputs, has_tag, load_notebook, read_source, save_notebook
from mmlab.exercises.translations import ENGLISH, LANGUAGES, translate
from mmlab.freshness import digest_of
from mmlab.storage import CHECKOUT, expand

RESULTS = "results"  # the folder beside the copies that their runs go to
_SET = re.compile(r"""^(data|results) = ["']([^"'\n]*)["']""", re.MULTILINE)


def start_copies(folder: Path | str, language: str = ENGLISH) -> Iterator[tuple[str, str]]:
    """Write the copies that are missing in a folder and update the exercises of the others: (notebook, what was done).

    What a student wrote is never changed, and a copy keeps its language. Raises RunError for a folder that holds the
    originals, and at the end, once for all, for notebooks that cannot be read; they are left as they are. Raises
    ConfigError for a language that the notebooks do not have, and MmlabError for a translation that is not current.
    """
    check_choice("language", language, LANGUAGES)
    folder = expand(folder).resolve()
    if folder in (NOTEBOOKS, *(NOTEBOOKS / one for one in LANGUAGES)):
        raise RunError(f"{folder}: the lab's own notebooks are there. Choose another folder, such as work.")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file. Choose a folder.")
    damaged = []
    for name in list_notebooks():
        path = folder / f"{name}.ipynb"
        try:
            with writing(folder):
                done = update_copy(path, name, language) if os.path.lexists(path) else write_copy(path, name, language)
            yield name, done
        except DiskError:
            raise
        except RunError as error:
            damaged.append(str(error))
    if damaged:
        fix = "Left as found. Move it away and repeat the command to get a new copy."
        raise RunError(" ".join([*damaged, fix]))


def write_copy(path: Path, name: str, language: str = ENGLISH) -> str:
    """Write a new copy. What the lab's cells printed stays, to be read first; the exercises begin blank."""
    notebook = load_notebook(NOTEBOOKS / f"{name}.ipynb")
    weave(notebook, name)
    if language != ENGLISH:
        translate(notebook["cells"], name, language)
        notebook["metadata"]["mmlab"] = {"language": language}  # read when the copy is updated
    for cell in notebook["cells"]:
        if has_tag(cell, "parameters"):
            cell["source"] = _point(read_source(cell), path.parent).splitlines(keepends=True)
    save_notebook(path, notebook)
    return "new copy"


def _point(source: str, folder: Path) -> str:
    """The parameters with the course folder as it is found from `folder`, and results beside the copies."""

    def replace(found: re.Match) -> str:
        place = _route(NOTEBOOKS / found[2], folder) if found[1] == "data" else RESULTS
        return f"{found[1]} = {json.dumps(place, ensure_ascii=False)}"

    return _SET.sub(replace, source)


def _route(place: Path, folder: Path) -> str:
    """From a folder in the checkout a relative path, so that both can be moved together; else an absolute one."""
    inside = folder.is_relative_to(CHECKOUT)
    return Path(os.path.relpath(place, folder) if inside else place.resolve()).as_posix()


def update_copy(path: Path, name: str, language: str = ENGLISH) -> str:
    """Bring the exercise cells of a student's copy to today's edition, and put back those that were lost."""
    notebook = load_notebook(path)
    before, written = copy.deepcopy(notebook), _read_language(notebook)
    if language not in (ENGLISH, written):
        return f"in another language, left as it is: choose another folder for {language}"
    made, cells = make_cells(name), notebook["cells"]
    if written != ENGLISH:
        translate(made, name, written)
    opening = find_cell(cells, made[0]) if made else None
    stale = not opening or not (found := OPENED.search(read_source(opening))) or found[2] != edition(name)
    kept = _refresh(cells, made, stale)
    if notebook.get("nbformat_minor", 5) < 5:  # a cell had no id then
        for cell in cells:
            cell.pop("id", None)
    if notebook == before:
        return "up to date, left as it is"
    save_notebook(path, notebook)
    answers = f"{kept} answer{'s'[: kept != 1]} kept"
    if stale:
        return f"exercises of edition {edition(name)} written, {answers}: run the exercise cells again"
    return f"lost exercise cells restored, {answers}"


def _read_language(notebook: dict[str, Any]) -> str:
    """The language that a copy was written in; English where its metadata name none that there is."""
    facts = notebook.get("metadata")
    facts = facts.get("mmlab") if isinstance(facts, dict) else None
    language = facts.get("language") if isinstance(facts, dict) else None
    return language if language in LANGUAGES else ENGLISH


def _refresh(cells: list[dict[str, Any]], made: list[dict[str, Any]], stale: bool) -> int:
    """Match a copy's cells to those made today, in place; the number of answers that were kept.

    stale: whether its cells are of another edition. Their outputs are then those of other checks, and are cleared.
    """
    kept, at = 0, next((number for number, cell in enumerate(cells, 1) if holds_heading(cell)), len(cells))
    for new in made:
        old = find_cell(cells, new)
        if old is None:
            cells.insert(at, new)
            at += 1
            continue
        at = next(number for number, cell in enumerate(cells, 1) if cell is old)
        answered = _is_answered(old, new)
        kept += answered
        if stale:
            clear_outputs(old)
            if not answered:
                old["source"] = new["source"]
        old["metadata"] = {**old["metadata"], **new["metadata"]}
    return kept


def _is_answered(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a student has changed the cell of an answer: it is neither today's stub nor the one it began as."""
    stub = new["metadata"]["mmlab"].get("stub")
    stubs = (stub, old["metadata"].get("mmlab", {}).get("stub"))
    return stub is not None and digest_of(read_source(old)) not in stubs
