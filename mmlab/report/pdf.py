"""A document as a PDF: its HTML page printed by an installed browser, or the same blocks set by typst."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from mmlab.errors import MmlabError
from mmlab.report.document import (
    Block,
    Code,
    Document,
    Example,
    Figure,
    Formula,
    Gallery,
    Heading,
    Items,
    Notice,
    Paragraph,
    Table,
)
from mmlab.report.html import CODE
from mmlab.storage import temporary_folder, write_atomic

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "brave-browser", "vivaldi",
)  # fmt: skip
BROWSER_SECONDS = 90
OPTIONS = (
    "--headless", "--disable-gpu", "--no-pdf-header-footer",
    # Printing a page needs no network. Chromium asks for updates, accounts and the time all the same: it may look up no
    # name, and what still asks would first try for a route to a public address.
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-features=NetworkTimeServiceQuerying,OptimizationHints",
    "--component-updater=url-source=file:///dev/null",
)  # fmt: skip


def find_browser() -> str | None:
    """The path of the browser that prints reports, if one is installed; MMLAB_BROWSER names another one, or `none`."""
    wanted = os.environ.get("MMLAB_BROWSER", "")
    names = () if wanted == "none" else (wanted,) if wanted else BROWSERS
    return next(filter(None, map(shutil.which, names)), None)


def write_pdf(document: Document, page: Path, pdf: Path) -> str:
    """Write the PDF; the name of what did it. Raises MmlabError, saying how to print the page, when nothing can.

    An installed browser of Chromium's family prints exactly the page; without one, typst sets the same blocks.
    MMLAB_BROWSER names another browser, or `none`.
    """
    browser = find_browser()
    makers = {Path(browser).name: lambda folder: _print_with(browser, page, folder)} if browser else {}
    makers["typst"] = lambda folder: _set_with_typst(document, folder)
    reasons = []
    for name, make in makers.items():
        try:
            with temporary_folder() as folder:
                made = make(folder)
        except Exception as error:  # typst raises its own kinds
            reasons.append(f"{name}: {str(error).partition(chr(10))[0]}")
        else:
            write_atomic(pdf, made)
            return name
    raise MmlabError(
        f"No PDF was made ({'; '.join(reasons)}). Open {page} in any browser and print it to a file, or "
        "install Chromium or typst."
    )


def _print_with(browser: str, page: Path, folder: Path) -> bytes:
    options = [*OPTIONS, f"--user-data-dir={folder}/profile"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to run as root inside its sandbox
    made = folder / "report.pdf"
    command = [browser, *options, f"--print-to-pdf={made}", page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=BROWSER_SECONDS)
    if not made.is_file() or not made.read_bytes().startswith(b"%PDF"):
        raise MmlabError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return made.read_bytes()


def _set_with_typst(document: Document, folder: Path) -> bytes:
    try:
        import typst
    except ImportError:
        raise MmlabError("it is not installed (pip install typst)") from None
    source = folder / "report.typ"
    source.write_text(to_typst(document, folder), encoding="utf-8", errors="backslashreplace")
    return typst.compile(str(source))


def to_typst(document: Document, folder: Path) -> str:
    """The document in typst's language; the figures that it reads are put into `folder`."""
    parts = [
        '#set page(paper: "a4", margin: 2cm, numbering: "1")',
        '#set text(size: 10pt, font: ("New Computer Modern", "Noto Sans CJK SC", "WenQuanYi Micro Hei"))',
        "#set table(stroke: 0.4pt + gray)",
        "#show table: set text(size: 8pt)",
        f"#align(center)[#text(size: 18pt)[{_text(document.title)}]]",
        *(f"#align(center)[{_text(label)}: {_text(value)}]" for label, value in document.lines),
        f"#outline(title: [{_text(document.words['contents'])}], depth: 2)",
        *(_block(block, folder / f"block{number}") for number, block in enumerate(document.blocks)),
    ]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, place: Path) -> str:
    from matplotlib import mathtext

    match block:
        case Heading(text, level):
            return "=" * level + " " + _text(text)
        case Paragraph(text):
            return _text(text)
        case Items(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Notice(text):
            return f"#block(stroke: 1pt, inset: 6pt)[{_text(text)}]"
        case Code(text):
            return f"#raw({_string(text)}, block: true)"
        case Formula(latex):
            drawn = re.sub(r"\\[lr]Vert", "|", latex.replace(r"\operatorname", r"\mathrm"))
            mathtext.math_to_image(f"${drawn}$", str(place.with_suffix(".svg")), dpi=200, format="svg")
            return f'#align(center)[#image("{place.name}.svg")]'
        case Figure():
            shutil.copyfile(block.path, place.with_suffix(".png"))
            image = f'image("{place.name}.png", width: {min(block.width, 6.6)}in)'
            return f"#figure({image}, caption: [{_text(block.caption)}])"
        case Gallery(_, examples, caption):
            cells = [_typeset(one, place.with_name(f"{place.name}_{n}.jpg")) for n, one in enumerate(examples)]
            grid = f"grid(columns: 3, gutter: 8pt, align: left, {', '.join(cells)})"
            return f"#figure({grid}, kind: image, caption: [{_text(caption)}])"
        case Table(_, frame, caption):
            cells = [*map(str, frame.columns), *(str(value) for row in frame.to_numpy() for value in row)]
            inside = ", ".join(f"[{_escaped(cell)}]" for cell in cells)
            table = f"table(columns: {len(frame.columns)}, {inside})"
            return f"#figure({table}, kind: table, caption: [{_text(caption)}])"


def _typeset(example: Example, copy: Path) -> str:
    """A pair of a gallery; its picture is copied to where typst finds it."""
    picture = ""
    if example.path is not None:
        shutil.copyfile(example.path, copy)
        picture = f'#image("{copy.name}", height: 3.5cm)\n'
    return f"[#text(size: 8pt)[#strong[{_escaped(example.title)}]\n\n{picture}\n{_escaped(example.text)}]]"


def _text(text: str) -> str:
    """Words, with what is between backticks as code. It ends with a semicolon: a dot or a bracket could go on."""
    parts = CODE.split(str(text))
    return "".join(f"#raw({_string(part)});" if number % 2 else _escaped(part) for number, part in enumerate(parts))


def _escaped(text: str) -> str:
    return "".join("\\" + c if c in "\\#$*_`<>@[]~=-+/" else c for c in str(text))


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
