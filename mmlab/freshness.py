"""What is fresh: the code that decides a number, as a digest that only a change of meaning changes.

A cached feature or a finished run is used again exactly when everything that decides its numbers is the same. Inputs,
weights, knobs and the resolved precision are values, and their owners put them into a key. This module adds the code:
everything that a function reaches inside the package, found by following names through the source without importing
it. Comments, docstrings, layout, annotations, the words of errors and help, and the file in which something is defined
do not count; a changed constant, operator or call does. Explained in notebook 04, section 4.
"""

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

PACKAGE = "mmlab"
# What decides no number: it moves bytes and words. A knob's value is in the key; the preset it came from is not.
UNCOUNTED = (
    "mmlab.errors", "mmlab.storage", "mmlab.hub", "mmlab.processes", "mmlab.freshness", "mmlab.config:PRESETS",
    "mmlab.config:suggest", "mmlab.training.parts:count_workers", "mmlab.training.parts:fit_in_processes",
)  # fmt: skip
DESCRIPTIONS = ("formula", "summary", "cost")  # attributes of a class that are there to be read
ROOT = Path(__file__).resolve().parent


def digest_of(*parts: Any, length: int = 12) -> str:
    """Hex digits that name plain values (texts, numbers, lists, dicts of them): equal values, equal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:length]


def code_digest(*roots: Any) -> str:
    """Twelve hex digits that name the code which the roots run, with all they reach inside the package.

    roots: functions or classes, or their places as "mmlab.module:name". A function from elsewhere (a notebook, a test)
    counts with its own source. Raises LookupError for a place that does not exist.
    """
    return digest_of(sorted(_digests(tuple(place_of(root) for root in roots), ROOT)))


def reached_code(*roots: str, root: Path = ROOT) -> dict[str, str]:
    """Everything the roots reach, as place -> digest of its normalised syntax: to see why something is not fresh."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        place = waiting.pop()
        if place in found or place in UNCOUNTED or place.partition(":")[0] in UNCOUNTED:
            continue
        if "\n" in place:  # source from elsewhere
            try:
                found[place] = digest_of(_normalised(ast.parse(place)))
            except SyntaxError:  # a lambda in the middle of a call
                found[place] = digest_of(place)
            continue
        digest, places, foreign = _look_at(place, root)
        found |= {place: digest} | foreign
        waiting += places
    return found


@cache
def _look_at(place: str, root: Path) -> tuple[str, list[str], dict[str, str]]:
    """The digest of a definition, the places of the package that it names, and the names from other packages."""
    module, _, name = place.partition(":")
    node, foreign = _read_module(module, root).definitions[name], {}
    return digest_of(name, _normalised(node)), [*_references(module, node, root, foreign)], foreign


@cache
def _digests(places: tuple[str, ...], root: Path) -> frozenset[str]:
    return frozenset(reached_code(*places, root=root).values())


def place_of(root: Any) -> str:
    """Where a function or class is defined, as "mmlab.module:name"; the source itself of one from elsewhere."""
    while isinstance(root, partial):
        root = root.func
    if isinstance(root, str) and "\n" in root:
        return root
    if not isinstance(root, str):
        module, name = root.__module__, root.__qualname__.partition(".")[0]
        if module.partition(".")[0] != PACKAGE:
            return textwrap.dedent(inspect.getsource(root)) + "\n"
        root = f"{module}:{name}"
    module, _, name = root.partition(":")
    place = _resolve(module, name, ROOT)
    if place is None:
        raise LookupError(f"{root}: {module} defines no {name}.")
    return place


@dataclass(frozen=True)
class _Module:
    definitions: dict[str, ast.AST]  # what is defined at the top, by name
    imports: dict[str, tuple[str, str]]  # local name -> module and name in it ("" for the module itself)


@cache
def _read_module(name: str, root: Path) -> _Module:
    definitions: dict[str, ast.AST] = {}
    imports: dict[str, tuple[str, str]] = {}
    tree = ast.parse(_file_of(name, root).read_text(encoding="utf-8"))
    for node in _top_statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
            definitions.update(dict.fromkeys(names, node))
    for node in _walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            imports |= {one.asname or one.name: (node.module, one.name) for one in node.names}
        elif isinstance(node, ast.Import):
            imports |= {one.asname or one.name.partition(".")[0]: (one.name, "") for one in node.names}
    return _Module(definitions, imports)


def _file_of(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _top_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        for part in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _top_statements(getattr(node, part, []))


@cache
def _resolve(module: str, name: str, root: Path) -> str | None:
    """Where a name of a module is defined, through the imports of packages that pass it on; None if it is not ours."""
    if module.partition(".")[0] != PACKAGE or not _file_of(module, root).is_file():
        return None
    read = _read_module(module, root)
    if name in read.definitions:
        return f"{module}:{name}"
    return _resolve(*read.imports[name], root) if name in read.imports else None


def _references(module: str, node: ast.AST, root: Path, foreign: dict[str, str]) -> Iterator[str]:
    """The places of the package that a definition names; names from other packages go into `foreign`."""
    read = _read_module(module, root)
    for one in _walk(node, ast.Raise):  # an error's words do not count, annotations do: they name what is called
        base, attribute = one, ""
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            base, attribute = one.value, one.attr
        if not isinstance(base, ast.Name):
            continue
        if base.id in read.definitions:
            yield f"{module}:{base.id}"
        elif base.id in read.imports:
            source, name = read.imports[base.id]
            if source.partition(".")[0] != PACKAGE:
                foreign[f"import {source} {name}"] = digest_of(source, name)
                continue
            inside = f"{source}.{name}" if name else source  # a module of ours, by `from mmlab import plots`
            place = _resolve(source, name, root) or (attribute and _resolve(inside, attribute, root))
            if place:
                yield place


def _walk(node: ast.AST, *left_out: type[ast.AST]) -> Iterator[ast.AST]:
    """Every node but those of some kinds. Faster than `ast.walk`.

    By fields alone: a traceback in a notebook leaves a `parent` in nodes that all trees share, and so a circle.
    """
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, left_out):
            continue
        yield one
        for name in one._fields:
            value = getattr(one, name, None)
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [inner for inner in value if isinstance(inner, ast.AST)]


class _Normaliser(ast.NodeTransformer):
    """Leaves out what decides no number."""

    def visit_ClassDef(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.visit_ClassDef(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assign(self, node):
        described = all(getattr(target, "id", "") in DESCRIPTIONS for target in node.targets)
        return None if described and isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "knob":
            return None  # its value is in the key of whatever it decides
        return ast.Assign([node.target], self.visit(node.value)) if node.value else None

    def visit_Raise(self, node):
        return ast.Raise()  # a number that is not made

    def visit_Import(self, node):
        return None

    visit_ImportFrom = visit_Import


def _normalised(node: ast.AST) -> str:
    return ast.dump(_Normaliser().visit(ast.parse(ast.unparse(node))))  # a copy, and one form for equal syntax
