"""A document as one HTML page: figures embedded, formulas as MathML, nothing fetched from anywhere."""

import base64
import io
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from mmlab.images import open_image
from mmlab.report.document import Document, Heading

TEMPLATE = Path(__file__).with_name("report.html.jinja")
SHORT = 16  # letters of a table's cell that is never broken
WHOLE = 8  # rows of a table that is never divided between two pages
CODE = re.compile(r"`([^`\n]+)`")


def to_html(document: Document) -> str:
    """The page, self-contained."""
    from latex2mathml.converter import convert

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": inline, "picture": embed_image, "plain": plain}
    environment.filters["mathml"] = lambda latex: Markup(convert(latex, display="block"))  # set without any script
    headings = [block for block in document.blocks if isinstance(block, Heading)]
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    blocks = [(type(block).__name__, block) for block in document.blocks]
    return template.render(document=document, blocks=blocks, headings=headings, short=SHORT, whole=WHOLE)


def inline(text: str) -> Markup:
    """A text with what is between backticks as code."""
    parts = CODE.split(str(text))
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def plain(text: str) -> str:
    """A text without its backticks, for where there is no code."""
    return CODE.sub(r"\1", text)


def embed_image(path: Path) -> str:
    """A picture as a data: address: a chart, which has a palette, as it is; photographs as JPEG, a third as large."""
    with open_image(path) as image:
        kind, content = "png", path.read_bytes()
        if image.mode != "P":
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=85)
            kind, content = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
