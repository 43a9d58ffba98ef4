"""docs/troubleshooting.md lists every message that the package raises; its list is as its generator writes it today."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCE = """
NAME = "train.txt"

def read(path, rows):
    fix = "Save it again"
    if not rows:
        raise CourseError(f"{path}: is empty. {fix}.")
    for row, (one, error) in enumerate(rows):
        raise CourseError(f"{path}, row {row}: {len(one)} columns in {NAME!r} ({error.strerror}).{suggest(one, rows)}")
    raise RunError("knob=" + repr(path) + f" is not one of {', '.join(map(str, rows))}. Use `a | b` or *c*.")
    raise ValueError("not for the user")
"""


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("troubleshooting", PAGE.with_suffix(".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path) -> Path:
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "reading.py").write_text(SOURCE)
    return tmp_path


def test_the_page_is_as_make_troubleshooting_writes_it(writer):
    page = PAGE.read_text(encoding="utf-8")
    assert page == writer.write_page(page), "Run `make troubleshooting`: a message of the package has changed."


def test_twin_a_changed_message_makes_the_page_old(writer, package):
    page = writer.write_page("By hand.\n", package)
    assert page == writer.write_page(page, package)
    source = package / "course" / "reading.py"
    source.write_text(SOURCE.replace("is empty", "holds nothing"))
    assert page != writer.write_page(page, package)
    assert page.startswith("By hand.\n\n## Every message\n")


def test_messages_are_told_with_names_for_what_they_fill_in(writer, package):
    assert [text for _, text in writer.list_messages(package)] == [
        "<file>: is empty. Save it again.",
        "<file>, row <row>: <number> columns in train.txt (<reason>).",
        "knob=<file> is not one of <rows>. Use `a | b` or *c*.",
    ]
    part = writer.write_part(package)
    assert "### Reading a course" in part and "### Training" not in part
    assert "| `<file>: is empty.` | Save it again. |" in part
    assert r"| `knob=<file> is not one of <rows>.` | Use `a \| b` or \*c\*. |" in part


def test_nearly_every_raise_of_the_package_is_listed(writer):
    calls = [
        node
        for file in (ROOT / "mmlab").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in writer.ERRORS
    ]
    assert len(list(writer.list_messages())) > 0.95 * len(calls) > 200


def test_every_row_of_the_page_is_one_row_of_a_table(writer):
    rows = re.findall(r"^\|.*$", writer.write_part(), re.MULTILINE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
