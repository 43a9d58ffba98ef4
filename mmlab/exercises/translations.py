"""The notebooks in other languages, made from the English ones: `make translations` writes them.

A translation is one text file for each notebook, `notebooks/zh/04_fusion.md`. It has one block for each cell of prose.
A block begins with the cell's id and a digest of the English text that it translates:

    <!-- 04-01 3f2a9c1b -->
    # 04 · 融合

All else, code cells and outputs included, is taken from the English notebook.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlab.errors import MmlabError
from mmlab.exercises.cells import NOTEBOOKS, list_notebooks
from mmlab.exercises.files import load_notebook, read_source, save_notebook
from mmlab.freshness import digest_of

ENGLISH = "en"
# What is said below the title of a notebook in each other language: a copy finds the data, this notebook does not.
NOTES = {
    "zh": "> 本页供阅读：代码与输出和英文版完全相同。要运行和做练习，请执行 `mmlab start work/zh --language zh`，"
    "然后打开 `work/zh` 中的副本。"
}
LANGUAGES = (ENGLISH, *NOTES)
_MARK = re.compile(r"^<!-- ([\w-]+) ([0-9a-f]{8}) -->\n", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# What a translation leaves as it is. Each is taken out before the next is looked for.
_KEPT = {
    "formulas": re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL),
    "inline code": re.compile(r"`[^`]+`"),
    "links": re.compile(r"\]\([^)]*\)"),
    "numbers": re.compile(r"\d+(?:[.,]\d+)*"),
}
_SHAPE = re.compile(r"^ *(#+ |[-*] |\d+\. |\||```)", re.MULTILINE)  # how lines of headings, lists and tables begin


@dataclass(frozen=True)
class Block:
    """The translation of one cell. english: the digest of the text that it translates."""

    english: str
    text: str


def find_translation(notebook: str, language: str) -> Path:
    """The file of a notebook's translation."""
    return NOTEBOOKS / language / f"{notebook}.md"


def read_blocks(path: Path) -> dict[str, Block]:
    """The blocks of a translation by the ids of their cells, in the order of the file.

    Raises MmlabError for a file that cannot be read, an id that occurs twice, and text before the first block.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MmlabError(f"{path}: cannot be read ({error}).") from None
    found = list(_MARK.finditer(text))
    if not found or found[0].start():
        raise MmlabError(f"{path}: begin the file with a block: <!-- id digest -->")
    ends = [one.start() for one in found[1:]] + [len(text)]
    blocks: dict[str, Block] = {}
    for one, end in zip(found, ends, strict=True):
        if one[1] in blocks:
            raise MmlabError(f"{path}: the block {one[1]} occurs twice. Remove one of them.")
        blocks[one[1]] = Block(one[2], text[one.end() : end].strip("\n"))
    return blocks


def list_faults(cells: list[dict[str, Any]], blocks: dict[str, Block]) -> Iterator[str]:
    """What keeps the blocks from being the translation of these cells, one sentence for each cell."""
    prose = {cell["id"]: read_source(cell) for cell in cells if cell["cell_type"] == "markdown"}
    for id, english in prose.items():
        mark = f"<!-- {id} {_digest(english)} -->"
        if id not in blocks:
            yield f"{id}: is not translated. Add a block that begins with {mark}"
        elif blocks[id].english != _digest(english):
            yield f"{id}: the English text has changed. Translate it again and begin the block with {mark}"
        elif unlike := compare_texts(english, blocks[id].text):
            yield f"{id}: {'; '.join(unlike)}."
    yield from (f"{id}: there is no such cell. Remove the block." for id in blocks if id not in prose)


def compare_texts(english: str, translated: str) -> list[str]:
    """Where a translation differs in what must stay: headings, lists and tables; formulas, code, links and numbers."""
    shapes = [_SHAPE.findall(text) for text in (english, translated)]
    unlike = [] if shapes[0] == shapes[1] else ["headings, lists or tables differ"]
    texts = [_FENCE.sub("", text) for text in (english, translated)]
    for what, pattern in _KEPT.items():
        there, here = (Counter(pattern.findall(text)) for text in texts)
        texts = [pattern.sub("", text) for text in texts]
        for how, pieces in (("missing", there - here), ("new", here - there)):
            if pieces:
                unlike.append(f"{how} {what}: {', '.join(pieces.elements())}")
    return unlike


def translate(cells: list[dict[str, Any]], notebook: str, language: str) -> None:
    """Replace the prose of these cells, in place. Raises MmlabError where the translation is not current."""
    path = find_translation(notebook, language)
    blocks, ids = read_blocks(path), {cell["id"] for cell in cells}
    if faults := list(list_faults(cells, {id: block for id, block in blocks.items() if id in ids})):
        raise MmlabError(f"{path}: {faults[0]} `make translations` names every fault.")
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = blocks[cell["id"]].text.splitlines(keepends=True)


def make_translation(notebook: str, language: str) -> dict[str, Any]:
    """A notebook in another language, as JSON. Below its title it says where it can be run."""
    made = load_notebook(NOTEBOOKS / f"{notebook}.ipynb")
    translate(made["cells"], notebook, language)
    title = next(cell for cell in made["cells"] if cell["cell_type"] == "markdown")
    heading, rest = read_source(title).split("\n", 1)
    title["source"] = f"{heading}\n\n{NOTES[language]}\n{rest}".splitlines(keepends=True)
    return made


def main() -> None:
    """Write every notebook in every language; where a translation has faults, say all of them and write nothing."""
    faults, made = [], {}
    for language in NOTES:
        for name in list_notebooks():
            path = find_translation(name, language)
            found = list(list_faults(load_notebook(NOTEBOOKS / f"{name}.ipynb")["cells"], read_blocks(path)))
            faults += [f"{path}: {fault}" for fault in found]
            if not found:
                made[path.with_suffix(".ipynb")] = make_translation(name, language)
    if faults:
        sys.exit("\n".join(faults))
    for path, notebook in made.items():
        save_notebook(path, notebook)
        print(path)


def _digest(english: str) -> str:
    return digest_of(english)[:8]


if __name__ == "__main__":
    main()
