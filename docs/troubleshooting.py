"""Write the second part of troubleshooting.md: every message that the package can raise, by what its reader was doing.

`make troubleshooting` runs it. The first part of the page is written by hand and stays as it is. Messages are read from
the source, without importing it: an expression between braces becomes a name, such as <file>.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path(__file__).with_suffix(".md")
PACKAGE = Path(__file__).resolve().parents[1] / "mmlab"
ERRORS = ("MmlabError", "ConfigError", "CourseError", "EncoderError", "RunError")
# What the reader was doing, and the modules that speak then: the first that fits counts.
TOPICS = {
    "Reading a course": ("course.", "images.", "demo."),
    "Knobs and parameters": ("config.", "workbook.parameters."),
    "Encoders and encoding": ("encoders.", "features.", "hub.", "engine."),
    "Training": ("training.", "models.", "device.", "explain.", "processes."),
    "The notebooks": ("workbook.execute.", "workbook.pipeline.", "workbook.note.", "widgets."),
    "Grid and Slurm": ("workbook.",),
    "Runs and results": ("runs.", "storage.", "evaluation."),
    "Figures and the report": ("plots.", "report."),
    "Asking a model": ("lab.", "pairs.", "answer.", "export."),
    "Exercises": ("exercises.",),
    "Grading": ("grading.",),
    "The command line": ("cli.", "doctor.", "bug_report."),
    "Elsewhere": ("",),
}
START = "## Every message"
PREFACE = f"""{START}

This part is generated from the package by `make troubleshooting`. Names between angle brackets stand for what a message
fills in. Search the page for a few of the words that you see.
"""
UNTOLD = "The message says it."  # where problem and fix are one sentence
SAID = {"path": "file", "error": "reason", "strerror": "reason", "__name__": "type", "source": "file", "where": "place"}
PASSED_ON = (
    "str",
    "repr",
    "printable",
    "escape",
    "sorted",
    "set",
    "list",
    "map",
    "shlex.quote",
)  # their argument shows
UNSAID = ("suggest", "nearest")  # these add a guess, or nothing
_END = re.compile(r"(?<=[.!?`)]) (?=[A-Z`<])")  # between two sentences
_INVITES = re.compile(
    r"\b(must|write|give|use|choose|name|needs?|keep|takes?|run|delete|install|leave|put|begin|one of|it holds)\b", re.I
)


def list_messages(package: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    """(module, message) of everything that the package raises for its user, in the order of the source."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(package.rglob("*.py"))}
    constants = {name: text for tree in trees.values() for name, text in _read_texts(tree.body).items()}
    for file, tree in trees.items():
        module, own = ".".join(file.relative_to(package).with_suffix("").parts), constants | _read_texts(tree.body)
        found: dict[tuple[int, int], str] = {}
        for function in ast.walk(tree):  # an inner function comes after the one around it, and knows more names
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                known = own | _read_texts(ast.walk(function))
                calls = filter(_raises, ast.walk(function))
                found |= {(call.lineno, call.col_offset): _render(call.args[0], known) for call in calls}
        yield from ((module, found[place]) for place in sorted(found) if found[place].strip("<>"))


def _raises(node: ast.AST) -> bool:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
    return bool(named and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp))


def _read_texts(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """The names that are given a text, and only once, such as `fix` or `HEADER`; and the text."""
    given: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            given.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in given.items() if len(values) == 1 and _is_text(values[0])}


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp | ast.IfExp):
        return any(map(_is_text, getattr(node, "values", None) or [node.body, node.orelse]))
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _render(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """The text of an expression, with a name in angle brackets for each of its values."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_render(one, known) for one in node.values)
        case ast.FormattedValue() | ast.Starred():
            return _render(node.value, known)
        case ast.BinOp(op=ast.Add()):
            return _render(node.left, known) + _render(node.right, known)
        case ast.IfExp():
            return " or ".join(dict.fromkeys(filter(None, (_render(node.body, known), _render(node.orelse, known)))))
        case ast.BoolOp():
            return _render(node.values[-1], known)
        case ast.Name() if node.id in known:
            return _render(known[node.id], {name: text for name, text in known.items() if name != node.id})
        case ast.Name():
            return f"<{SAID.get(node.id, node.id).strip('_').lower()}>"
        case ast.Attribute(attr="iloc" | "loc" | "size") | ast.UnaryOp() | ast.BinOp():
            return _render(getattr(node, "value", None) or getattr(node, "left", None) or node.operand, known)
        case ast.Attribute():
            return f"<{SAID.get(node.attr, node.attr).strip('_').lower()}>"
        case ast.Subscript(slice=ast.Name()):
            return _render(node.slice, {})
        case ast.Subscript():
            return _render(node.value, known)
        case ast.List() | ast.Tuple():
            return ", ".join(_render(one, known) for one in node.elts)
        case ast.Call():
            return _render_call(node, known)
    return "<...>"


def _render_call(node: ast.Call, known: dict[str, ast.expr]) -> str:
    name = ast.unparse(node.func)
    if name in UNSAID:
        return ""
    if name == "len":
        return "<number>"
    if node.args and (name in PASSED_ON or name.endswith(".join")):
        return _render(node.args[-1], known)
    if isinstance(node.func, ast.Attribute) and name != f"self.{node.func.attr}":
        return _render(node.func.value, known)
    return f"<{name.removeprefix('self.').strip('_')}>"


def split_message(text: str) -> tuple[str, str]:
    """What is wrong, and how to mend it: the sentences after the first one; empty where a message has no fix."""
    problem, *fix = _END.split(" ".join(text.split()), maxsplit=1)
    if fix:
        return problem, fix[0]
    return problem, UNTOLD if _INVITES.search(problem) else ""


def find_topic(module: str) -> str:
    return next(topic for topic, modules in TOPICS.items() if any(f"{module}.".startswith(one) for one in modules))


def write_part(package: Path = PACKAGE) -> str:
    """The generated part of the page."""
    rows: dict[str, dict[str, str]] = {topic: {} for topic in TOPICS}
    for module, text in list_messages(package):
        problem, fix = split_message(text)
        rows[find_topic(module)].setdefault(problem, fix)
    parts = [PREFACE]
    for topic, messages in rows.items():
        lines = [f"| {_as_code(problem)} | {_as_prose(fix)} |" for problem, fix in sorted(messages.items())]
        if lines:
            parts.append("\n".join([f"### {topic}\n", "| message | how to mend it |", "|---|---|", *lines, ""]))
    return "\n".join(parts)


def _as_code(text: str) -> str:
    marks = "``" if "`" in text else "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{pad}{text}{pad}{marks}".replace("|", r"\|")


def _as_prose(text: str) -> str:
    """Outside code, a bracket begins no tag of HTML and a star no emphasis; in commands, names are capitals."""
    parts = text.split("`")
    parts[1::2] = [re.sub(r"<([a-z_]+)>", lambda found: found[1].upper(), part) for part in parts[1::2]]
    parts[::2] = [re.sub(r"[<*]", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")


def write_page(page: str, package: Path = PACKAGE) -> str:
    """The page with its generated part written anew."""
    return f"{page.partition(START)[0].rstrip()}\n\n{write_part(package)}"


if __name__ == "__main__":
    PAGE.write_text(write_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
