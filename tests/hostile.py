"""Texts and names that a terminal, a page, a spreadsheet or a typesetter may obey instead of showing them."""

from html.parser import HTMLParser

MARKUP = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"'><b>x</b>", "&lt;b&gt; &amp;", "[red]x[/b]")
FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－2", "＠a")
COMMANDS = (
    r"\input{/etc/passwd}",
    "$\\frac$ $_$",
    '#read("/etc/passwd")',
    "`x`.y(1)",
    "a | b \\| c",
    "{{ 7*7 }}",
    "%s {0}",
)
CONTROLS = (
    "\x1b[31mred\x1b]0;title\x07",
    "a\x00b\x08\x7f",
    "\x9b31m",
    "a\u202eb\u2066c\u200f",
    "zero\u200bwidth\ufeff",
    "a\u2028b",
)
LONG = "w" * 100_000
LETTERS = ("照片", "−5 … “x”", "é", "\U0001f600", "half \ud83d")
ALL = (*MARKUP, *FORMULAS, *COMMANDS, *CONTROLS, *LETTERS)
# What may also name a file on every system, and so be a guid.
GUIDS = ("$_$", "$a$b$", "=1+1", "-2", "@a", "[b]", "&amp;", "{{ 7-7 }}", "`x`", "%s", "照片", "a'b", "x" * 200)
DANGEROUS = frozenset(map(chr, [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), 0x200B, 0x2066]))


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.events: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read_elements(page: str) -> tuple[list[str], list[str], str]:
    """The names of a page's elements in order, the attributes that would run a script, and its words."""
    elements = _Elements()
    elements.feed(page)
    elements.close()
    return elements.tags, elements.events, "".join(elements.words)
