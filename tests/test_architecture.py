"""The house keeps its plan: rooms in order, no circles, nothing too large to be read in one go."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mmlab"
# In the order in which data flows. A room imports itself and the rooms before it.
ROOMS = (
    "errors", "config", "progress", "storage", "processes", "freshness", "images", "device", "course", "demo", "engine",
    "hub", "weights", "readout", "encoders", "views", "features", "models", "kernel", "training", "evaluation", "runs",
    "export", "pairs", "answer", "explain", "lab", "plots", "widgets", "workbook", "report", "exercises", "grading",
    "doctor", "bug_report", "cli",
)  # fmt: skip
FILE_LINES, CLASS_LINES, FUNCTION_LINES, PACKAGE_LINES = 500, 200, 60, 23100
STACK = (
    "jupyterlab",
    "torch",
    "transformers",
    "timm",
    "pillow",
    "pandas",
    "seaborn",
    "ipywidgets",
    "nbval",
    "papermill",
)
IMPORT_NAMES = {"pillow": "PIL"}
RUN_AS_PROGRAMS = {"jupyterlab": "jupyter lab", "nbval": "--nbval"}  # in the Makefile


def list_modules(package: Path) -> dict[str, ast.Module]:
    """Every module by its dotted name inside the package."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def list_imports(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    """The modules of the package that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mmlab":
            base = node.module.partition(".")[2]
            for one in node.names:
                inside = f"{base}.{one.name}".lstrip(".")
                yield inside if inside in modules else base
        elif isinstance(node, ast.Import):
            yield from (one.name.partition(".")[2] for one in node.names if one.name.startswith("mmlab."))


def find_wrong_imports(package: Path) -> list[str]:
    modules = list_modules(package)
    wrong = []
    for name, tree in modules.items():
        room = name.partition(".")[0]
        for target in list_imports(tree, set(modules)):
            other = target.partition(".")[0]
            if room and other and ROOMS.index(other) > ROOMS.index(room):
                wrong.append(f"{name} imports {target}")
    return wrong


def find_circle(package: Path) -> list[str]:
    modules = list_modules(package)
    graph = {name: {one for one in list_imports(tree, set(modules)) if one != name} for name, tree in modules.items()}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in graph:
            return []
        for other in sorted(graph[name]):
            if circle := visit(other, [*path, name]):
                return circle
        done.add(name)
        return []

    return next(filter(None, (visit(name, []) for name in graph)), [])


def find_too_large(package: Path) -> list[str]:
    large = []
    for file in sorted(package.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > FILE_LINES:
            large.append(f"{file.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.end_lineno - node.lineno >= limit:
                large.append(f"{file.name}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    return large


def test_every_file_belongs_to_a_room():
    assert {name.partition(".")[0] for name in list_modules(PACKAGE)} - {""} <= set(ROOMS)


def test_no_room_imports_one_that_comes_after_it():
    assert find_wrong_imports(PACKAGE) == []


def test_no_module_imports_itself_through_others():
    assert find_circle(PACKAGE) == []


def test_no_file_class_or_function_is_too_large():
    assert find_too_large(PACKAGE) == []


def test_the_package_stays_small():
    lines = sum(file.read_text(encoding="utf-8").count("\n") for file in PACKAGE.rglob("*") if file.suffix == ".py")
    assert lines < PACKAGE_LINES


@pytest.fixture
def small_package(tmp_path):
    """Two rooms, of which the earlier imports the later and the later the earlier; and a file that is too long."""
    (tmp_path / "course").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "course" / "__init__.py").write_text("from mmlab.models import Model\n")
    (tmp_path / "models.py").write_text("def late():\n    from mmlab import course\n    return course\n")
    (tmp_path / "config.py").write_text("def long():\n" + "    x = 1\n" * 60 + "y = 1\n" * 500)
    return tmp_path


def test_twin_a_wrong_order_a_circle_and_a_long_file_are_found(small_package):
    assert find_wrong_imports(small_package) == ["course imports models"]
    assert find_circle(small_package) == ["course", "models", "course"]
    assert find_too_large(small_package) == ["config.py: 561 lines", "config.py: long has 61 lines"]


@pytest.mark.parametrize("name", STACK)
def test_the_lab_stands_on_its_ten_libraries(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert any(re.match(rf"{name}\b", line) for line in declared)
    if name in RUN_AS_PROGRAMS:
        assert RUN_AS_PROGRAMS[name] in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    imported = rf"^\s*(import|from) {IMPORT_NAMES.get(name, name)}\b"
    sources = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")]
    assert any(re.search(imported, source, re.MULTILINE) for source in sources)


def read_headings(notebook: Path) -> set[str]:
    """The numbers of a notebook's sections: {"1", "1.1", ...}."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", text, re.MULTILINE))


def find_dead_references(text: str, headings: dict[str, set[str]]) -> list[str]:
    """References to sections that no notebook has: "notebook 04, section 9"."""
    dead = []
    for number, sections in re.findall(r"notebook (\d\d), sections? ([\d., and]*\d)", re.sub(r"\s+", " ", text)):
        dead += [
            f"{number}, {one}" for one in re.findall(r"\d(?:\.\d)?", sections) if one not in headings.get(number, ())
        ]
    return dead


def test_docstrings_point_to_sections_that_exist():
    headings = {file.name[:2]: read_headings(file) for file in sorted((ROOT / "notebooks").glob("0*.ipynb"))}
    dead = {file.name: find_dead_references(file.read_text("utf-8"), headings) for file in PACKAGE.rglob("*.py")}
    assert {name: found for name, found in dead.items() if found} == {}
    assert find_dead_references("Explained in notebook\n    04, section 9.", headings) == ["04, 9"]  # the twin
