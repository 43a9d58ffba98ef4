"""A report as blocks, and the blocks as files: one HTML file, a PDF of it, tables as CSV, Markdown and LaTeX.

Nothing here knows what the report says; that is `sections.py`.
"""

import base64
import html
import io
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mmlab.errors import MmlabError
from mmlab.images import open_image
from mmlab.storage import write_atomic

TEMPLATE = Path(__file__).with_name("report.html.jinja")
BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "brave-browser", "vivaldi",
)  # fmt: skip
BROWSER_SECONDS = 90
SHORT = 16  # letters of a table's cell that is never broken
MOST_COLOURS = 20_000  # of a chart, with the shades at the edges of its letters; photographs have more


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 1  # 1 a section, 2 a part of one


@dataclass(frozen=True)
class Paragraph:
    text: str  # plain words


@dataclass(frozen=True)
class Items:
    items: list[str]


@dataclass(frozen=True)
class Notice:
    """What is missing or to be taken with care; stands out."""

    text: str


@dataclass(frozen=True)
class Formula:
    latex: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Figure:
    path: Path  # a PNG; an SVG of the same name may lie beside it
    caption: str
    width: float = 6.7  # inches on an A4 page


@dataclass(frozen=True)
class Table:
    name: str  # of its files
    frame: pd.DataFrame
    caption: str


Block = Heading | Paragraph | Items | Notice | Formula | Code | Figure | Table


@dataclass
class Document:
    """A title, what stands under it, and the blocks in order; meta: name and value of the HTML file's meta elements."""

    title: str
    lines: list[tuple[str, str]]  # label and value: name, number, date
    blocks: list[Block]
    language: str = "en"
    contents: str = "Contents"
    words: dict[str, str] = field(default_factory=lambda: {"figure": "Figure", "table": "Table"})
    meta: dict[str, str] = field(default_factory=dict)

    def to_html(self) -> str:
        """One self-contained page: figures embedded, formulas as MathML, nothing fetched from anywhere."""
        import jinja2
        from markupsafe import Markup

        environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        body, contents, counts = [], [], {"figure": 0, "table": 0}
        for block in self.blocks:
            anchor = f"s{len(contents) + 1}"
            if isinstance(block, Heading):
                contents.append((anchor, block.text, block.level))
            body.append(self._block_to_html(block, anchor, counts))
        return template.render(document=self, body=Markup("\n".join(body)), contents=contents)

    def _block_to_html(self, block: Block, anchor: str, counts: dict[str, int]) -> str:
        if isinstance(block, Heading):
            return f'<h{block.level + 1} id="{anchor}">{_escape(block.text)}</h{block.level + 1}>'
        if isinstance(block, Paragraph):
            return f"<p>{_escape(block.text)}</p>"
        if isinstance(block, Items):
            return "<ul>" + "".join(f"<li>{_escape(item)}</li>" for item in block.items) + "</ul>"
        if isinstance(block, Notice):
            return f'<p class="notice" role="note">{_escape(block.text)}</p>'
        if isinstance(block, Code):
            return f"<pre><code>{_escape(block.text)}</code></pre>"
        if isinstance(block, Formula):
            return f'<div class="formula">{to_mathml(block.latex)}</div>'
        kind = "figure" if isinstance(block, Figure) else "table"
        counts[kind] += 1
        caption = f"<b>{self.words[kind]} {counts[kind]}.</b> {_escape(block.caption)}"
        if isinstance(block, Figure):
            look = f'alt="{_escape(block.caption)}" style="width: {block.width}in"'
            picture = f'<img src="{embed_image(block.path)}" {look}>'
            return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
        return f'<div class="table"><table><caption>{caption}</caption>{_rows_to_html(block.frame)}</table></div>'

    def to_typst(self, folder: Path) -> str:
        """The same document for typst, which makes a PDF without a browser; its figures are read from `folder`."""
        font = '#set text(size: 10pt, font: ("New Computer Modern", "Noto Sans CJK SC", "Noto Serif CJK SC"))'
        parts = [
            '#set page(paper: "a4", margin: 2cm, numbering: "1")', font, "#set table(stroke: 0.4pt + gray)",
            "#show table: set text(size: 8pt)", f"#align(center)[#text(size: 18pt)[{_typst(self.title)}]]",
            *(f"#align(center)[{_typst(label)}: {_typst(value)}]" for label, value in self.lines),
            f"#outline(title: [{_typst(self.contents)}], depth: 2)",
        ]  # fmt: skip
        for number, block in enumerate(self.blocks):
            if isinstance(block, Heading):
                parts.append("=" * block.level + " " + _typst(block.text))
            elif isinstance(block, Items):
                parts.append("\n".join(f"- {_typst(item)}" for item in block.items))
            elif isinstance(block, Notice):
                parts.append(f"#block(stroke: 1pt, inset: 6pt)[{_typst(block.text)}]")
            elif isinstance(block, Code):
                parts.append(f"#raw({_typst_string(block.text)}, block: true)")
            elif isinstance(block, Formula):
                name = f"formula{number}.svg"
                _draw_formula(block.latex, folder / name)
                parts.append(f'#align(center)[#image("{name}")]')
            elif isinstance(block, Figure):
                name = f"figure{number}.png"
                shutil.copyfile(block.path, folder / name)
                parts.append(
                    f'#figure(image("{name}", width: {min(block.width, 6.6)}in), caption: [{_typst(block.caption)}])'
                )
            elif isinstance(block, Table):
                cells = [*map(str, block.frame.columns), *(str(v) for row in block.frame.to_numpy() for v in row)]
                inside = ", ".join(f"[{_typst(cell)}]" for cell in cells)
                table = f"table(columns: {len(block.frame.columns)}, {inside})"
                parts.append(f"#figure({table}, kind: table, caption: [{_typst(block.caption)}])")
            else:
                parts.append(_typst(block.text))
        return "\n\n".join(parts) + "\n"

    def write_tables(self, folder: Path) -> list[Path]:
        """Every table as CSV, Markdown and LaTeX."""
        paths = []
        for block in self.blocks:
            if isinstance(block, Table):
                texts = {
                    "csv": block.frame.to_csv(index=False, lineterminator="\n"),
                    "md": _to_markdown(block.frame),
                    "tex": _to_latex(block),
                }
                paths += [write_atomic(folder / f"{block.name}.{end}", text) for end, text in texts.items()]
        return paths


def write_pdf(document: Document, page: Path, pdf: Path) -> str:
    """Print the HTML page to a PDF; the name of what did it. Raises MmlabError, saying how to print, when nothing can.

    An installed browser of Chromium's family prints exactly the page; without one, typst sets the same blocks anew.
    MMLAB_BROWSER names another browser, or `none`.
    """
    reasons = []
    wanted = os.environ.get("MMLAB_BROWSER", "")
    names = () if wanted == "none" else (wanted,) if wanted else BROWSERS
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser:
        reason = _print_with(browser, page, pdf)
        if not reason:
            return Path(browser).name
        reasons.append(f"{Path(browser).name}: {reason}")
    try:
        import typst
    except ImportError:
        reasons.append("typst is not installed (pip install typst)")
    else:
        with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
            source = Path(folder) / "report.typ"
            source.write_text(document.to_typst(Path(folder)), encoding="utf-8")
            try:
                write_atomic(pdf, typst.compile(str(source)))
                return "typst"
            except Exception as error:  # the binding raises its own kinds
                reasons.append(f"typst: {str(error).splitlines()[0]}")
    raise MmlabError(
        f"No PDF was made ({'; '.join(reasons)}). Open {page} in any browser and print it to a file, or install "
        "Chromium or typst."
    )


def _print_with(browser: str, page: Path, pdf: Path) -> str:
    """What went wrong, or "" when the browser has written the PDF."""
    with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
        made = Path(folder) / "report.pdf"
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses to run as root inside its sandbox
        command = [browser, *options, f"--print-to-pdf={made}", page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error).splitlines()[0]
        if not made.is_file() or not made.read_bytes().startswith(b"%PDF"):
            return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        write_atomic(pdf, made.read_bytes())
        return ""


def embed_image(path: Path) -> str:
    """A picture as a data: address, a third of its size: a chart with a palette of 256 colours, photographs as JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    with open_image(path) as image:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    kind = "jpeg" if flat.getcolors(MOST_COLOURS) is None else "png"
    if kind == "png":
        flat.quantize(256).save(buffer, "PNG", optimize=True)
    else:
        flat.save(buffer, "JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def to_mathml(latex: str) -> str:
    """A formula as MathML, which browsers set without any script."""
    from latex2mathml.converter import convert

    return convert(latex, display="block")


def _draw_formula(latex: str, path: Path) -> None:
    from matplotlib import mathtext

    plain = latex.replace(r"\operatorname", r"\mathrm").replace(r"\lVert", "|").replace(r"\rVert", "|")
    mathtext.math_to_image(f"${plain}$", str(path), dpi=200, format="svg")


def _escape(text: str) -> str:
    return html.escape(str(text))


def _rows_to_html(frame: pd.DataFrame) -> str:
    head = "".join(f'<th scope="col">{_escape(name)}</th>' for name in frame.columns)
    rows = []
    for first, *rest in frame.astype(str).to_numpy():
        cells = "".join(f"<td{' class=short' * (len(value) <= SHORT)}>{_escape(value)}</td>" for value in rest)
        rows.append(f'<tr><th scope="row">{_escape(first)}</th>{cells}</tr>')
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"


def _to_markdown(frame: pd.DataFrame) -> str:
    rows = [frame.columns, ["---"] * len(frame.columns), *frame.astype(str).to_numpy()]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _to_latex(table: Table) -> str:
    styled = table.frame.astype(str).rename(columns=_latex).map(_latex).style.hide(axis="index")
    columns = "l" + "r" * (len(table.frame.columns) - 1)
    return styled.to_latex(caption=_latex(table.caption), label=f"tab:{table.name}", hrules=True, column_format=columns)


_LATEX = {c: "\\" + c for c in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}", "−": "$-$"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in str(text))


def _typst(text: str) -> str:
    return "".join("\\" + c if c in "\\#$*_`<>@[]~=-+/" else c for c in str(text))


def _typst_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
