"""What an exercise answers: one kind, one mistake at most, one hint; as plain text, as HTML, and for programs."""

import html
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["passed", "mistake", "blank", "error"]
# A word and a sign besides the colour of the bar: the colour alone tells nothing to some readers.
SIGNS: dict[str, tuple[str, str]] = {
    "passed": ("✓", "Passed"),
    "mistake": ("✗", "Not yet"),
    "blank": ("…", "Nothing here yet"),
    "error": ("!", "Your code stopped"),
}
# At least 3:1 on white and on JupyterLab's dark ground. Words take the colour of the page's own text.
BARS = {"passed": "#0a7d5a", "mistake": "#c45100", "blank": "#6f6f6f", "error": "#c02a6b"}
MIME = "application/vnd.mmlab.verdict+json"  # for `mmlab progress`; JupyterLab shows the HTML beside it


@dataclass(frozen=True)
class Verdict:
    """kind: see SIGNS. code: the mistake's name, empty where there is none. hint: one sentence or two. more: lines
    that come when one asks again on the same code, such as the section to reread and the failing numbers.
    """

    exercise: str
    kind: Kind
    code: str = ""
    hint: str = ""
    more: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return self.kind == "passed"

    def __str__(self) -> str:
        sign, word = SIGNS[self.kind]
        return "\n".join([f"{sign} {word} · {self.exercise}", self.hint, *self.more])

    __repr__ = __str__

    def to_html(self) -> str:
        """The same words as `str`, escaped, for both themes of JupyterLab."""
        (first, *others), bar = (html.escape(line) for line in str(self).splitlines()), BARS[self.kind]
        lines = "".join(f'<div style="margin-top:4px">{line}</div>' for line in others)
        style = f"border-left:6px solid {bar};padding:4px 10px;color:inherit;white-space:pre-wrap"
        return f'<div role="status" style="{style}"><strong>{first}</strong>{lines}</div>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        facts = {"exercise": self.exercise, "kind": self.kind, "code": self.code}
        return {"text/plain": str(self), "text/html": self.to_html(), MIME: facts}
