"""The rules for a notebook: each a function from a notebook to its problems, each with a notebook that breaks it."""

import ast
import copy
import importlib.util
import inspect
import re
import statistics
import subprocess
import sys

import nbformat
import pytest
from figures import list_pictures
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmlab.config import EXERCISE_TAG, KNOBS
from mmlab.errors import RunError
from mmlab.training import fit
from mmlab.workbook import NAMES, NOTEBOOKS, WIDGET, read_parameters
from mmlab.workbook.parameters import FURTHER, is_tagged, list_code_cells, read_declared

CHECKED = "nbval-check-output"
FURTHER_HELP = "any other knob of RunConfig: its name, an equals sign, its value; separate several by spaces"


# ---- helpers


def parse_cell(cell) -> ast.Module:
    """The cell's Python, without IPython's own lines."""
    return ast.parse(re.sub(r"^([ \t]*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE))


def leave_out_exercises(node):
    """The lab's own cells. Those of exercises are made from the solutions: each imports what it needs, and a student
    writes the definitions."""
    return new_notebook(cells=[cell for cell in node.cells if not is_tagged(cell, EXERCISE_TAG)])


def count_lines(source: str) -> int:
    return len([line for line in source.splitlines() if line.strip()])


def find_definitions(node) -> list[ast.stmt]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    cells = list_code_cells(leave_out_exercises(node))
    return [part for cell in cells for part in ast.walk(parse_cell(cell)) if isinstance(part, kinds)]


def list_outputs(node) -> list:
    return [output for cell in list_code_cells(node) for output in cell.outputs]


def read_output(output) -> str:
    """What a reader sees of an output as text; pictures give none."""
    data = output.get("data", {})
    shown = [str(output.get("text", "")), *(str(text) for kind, text in data.items() if kind.startswith("text/"))]
    return re.sub(r"<style.*?</style>|<[^>]*>", " ", "\n".join(shown), flags=re.DOTALL)


def read_section(node, title: str) -> str:
    """The prose under a heading that begins with the title, up to the next heading of its level or above."""
    prose = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
    found = re.search(rf"^(#+) [^\n]*{title}[^\n]*\n(.*?)(?=^#{{1,2}} |\Z)", prose, re.MULTILINE | re.DOTALL)
    return found.group(2) if found else ""


# ---- the rules


def check_imports(node) -> list[str]:
    importing = [
        number
        for number, cell in enumerate(list_code_cells(leave_out_exercises(node)), start=1)
        if any(isinstance(part, (ast.Import, ast.ImportFrom)) for part in ast.walk(parse_cell(cell)))
    ]
    return [] if importing == [1] else [f"imports belong in the first code cell alone; found in {importing}"]


def check_parameters_cell(node) -> list[str]:
    try:
        declared = read_declared(node, "the notebook")
    except RunError as error:
        return [str(error)]
    problems = [f"parameter {p.name} has no trailing # help" for p in declared if not p.help]
    cells = list_code_cells(node)
    if not (len(cells) > 1 and is_tagged(cells[1])):
        problems.append("the parameters cell is not the second code cell, after the imports")
    lines = next(cell for cell in cells if is_tagged(cell)).source.splitlines()
    return problems + [f"a second = in `{line}`: papermill cannot see it" for line in lines if line.count("=") > 1]


def check_beginning(node) -> list[str]:
    """What follows the parameters judges them, under the name with which the notebook finishes."""
    cells = list_code_cells(leave_out_exercises(node))
    ended = re.search(r'finish_notebook\(\w+, ["\'](\w+)["\']', cells[-1].source)
    wanted = f'begin_notebook("{ended and ended[1]}", globals())'
    after = next((n for n, cell in enumerate(cells) if is_tagged(cell)), 0) + 1
    return [] if cells[after].source.startswith(wanted) else [f"the cell after the parameters begins with {wanted}"]


def check_cell_sizes(node) -> list[str]:
    sizes = [count_lines(cell.source) for cell in list_code_cells(leave_out_exercises(node))]
    problems = [f"code cell {n} has {size} lines (30 at most)" for n, size in enumerate(sizes, start=1) if size > 30]
    if statistics.median(sizes) > 8:
        problems.append(f"the median code cell has {statistics.median(sizes)} lines (8 at most)")
    if sum(size > 20 for size in sizes) > len(sizes) / 10:
        problems.append("more than one code cell in ten is above 20 lines")
    return problems


def check_prose_between(node) -> list[str]:
    row, problems = 0, []
    for cell in leave_out_exercises(node).cells:
        row = row + 1 if cell.cell_type == "code" else 0
        if row == 4:
            problems.append(f"four code cells in a row without prose, up to `{cell.source[:40]}`")
    return problems


def check_definitions(node) -> list[str]:
    found = [(part.name, part.end_lineno - part.lineno + 1) for part in find_definitions(node)]
    return [f"{name} has {size} lines (10 at most): it belongs in mmlab" for name, size in found if size > 10]


def check_defined_once(nodes: dict) -> list[str]:
    homes: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for part in find_definitions(node):
            homes.setdefault(part.name, []).append(name)
    return [f"{name} is defined in {where}: move it to mmlab" for name, where in homes.items() if len(where) > 1]


def check_knobs(node) -> list[str]:
    """A knob has the default and the help of its declaration. With another default 06 would not find the runs of 02 to
    04, and would train its own, unseen and slowly."""
    problems = []
    for parameter in read_declared(node, "the notebook"):
        declared = KNOBS.get(parameter.name)
        if declared and parameter.default != declared.default:
            problems.append(f"{parameter.name} is {parameter.default!r}, declared {declared.default!r}")
        if declared and parameter.help != declared.help:
            problems.append(f"the comment of {parameter.name} is {parameter.help!r}, declared {declared.help!r}")
        if parameter.name == FURTHER and (parameter.default, parameter.help) != ("", FURTHER_HELP):
            problems.append(f'write {FURTHER} = ""  # {FURTHER_HELP}')
    return problems


def check_kernel(node) -> list[str]:
    name = node.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"the kernel is {name!r}, not 'python3'"]


def check_execution_counts(node) -> list[str]:
    counts = [cell.execution_count for cell in list_code_cells(node)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}: run all, in order"]


def check_no_errors(node) -> list[str]:
    return [f"an error is saved: {o.ename}" for o in list_outputs(node) if o.output_type == "error"]


def check_no_paths(node) -> list[str]:
    texts = [cell.source for cell in node.cells] + [read_output(output) for output in list_outputs(node)]
    pattern = r"(?<![\w:/.~-])/(?:home|work|tmp|root|Users|var)/\S*|\b[A-Z]:\\\S*"
    return [f"a path of one machine: {found}" for text in texts for found in re.findall(pattern, text)]


def check_no_widget_views(node) -> list[str]:
    shows = [set(output.get("data", {})) for output in list_outputs(node)]
    problems = ["a saved widget shows nothing: clear it" for kinds in shows if WIDGET in kinds]
    return problems + (["widget state is saved in the metadata"] if "widgets" in node.metadata else [])


def check_sections(node) -> list[str]:
    prose = [cell.source if cell.cell_type == "markdown" else "" for cell in node.cells]
    first_code = next(n for n, cell in enumerate(node.cells) if cell.cell_type == "code")
    opening, everything = "\n".join(prose[:first_code]), "\n".join(prose)
    problems = [] if opening.startswith("# ") else ["the first cell is not the title"]
    bullets = re.findall(r"^[-*] ", opening.partition("You will learn")[2], re.MULTILINE)
    if not 3 <= len(bullets) <= 5:
        problems.append(f"'You will learn' comes before the imports with 3 to 5 bullets; found {len(bullets)}")
    where = [
        re.search(pattern, everything, re.MULTILINE)
        for pattern in (r"^## 1\b", r"^#+ .*What we saw", r"^#+ .*Exercise")
    ]
    if not all(where) or sorted(where, key=lambda match: match.start()) != where:
        problems.append("sections must be: ## 1 ..., What we saw, Exercises, in this order")
    if not re.search(r"^[-*] ", read_section(node, "What we saw"), re.MULTILINE):
        problems.append("'What we saw' has no bullets")
    return problems


def check_claims(node) -> list[str]:
    """Every decimal and percentage under 'What we saw' is printed by a cell, if need be with more digits."""
    text = "\n".join(read_output(output) for output in list_outputs(node))
    printed = [abs(float(number)) for number in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    problems = []
    claims = re.findall(r"(?<![\w.])(\d+(?:\.(\d+))?)(\s*(?:%|points))?", read_section(node, "What we saw"))
    for number, decimals, unit in claims:
        if not decimals and not unit:
            continue  # whole numbers count things and sections
        scales = (1, 100) if unit else (1,)  # 60 % may be printed as 0.597
        room = 0.5 * 10 ** -len(decimals) + 1e-9
        if not any(abs(value * scale - float(number)) <= room for value in printed for scale in scales):
            problems.append(f"'What we saw' claims {number}{unit}, which no cell prints")
    return problems


def check_alternatives(node) -> list[str]:
    """Every picture has an alternative text of some words, which an image output cannot have: see `mmlab.plots`."""
    problems = []
    for output in list_outputs(node):
        data = output.get("data", {})
        for picture in list_pictures(data.get("text/html", "")):
            if len(picture.get("alt", "").split()) < 4:
                problems.append(f"a picture has the alternative text {picture.get('alt', '')!r}: four words at least")
        problems += [f"{kind} is shown without an alternative text" for kind in data if kind.startswith("image/")]
    return problems


def check_tables(node) -> list[str]:
    """No cell of a table is cut, and no line break parts a value from its interval."""
    tables = [output.get("data", {}).get("text/html", "") for output in list_outputs(node)]
    cells = [cell for table in tables for cell in re.findall(r"<t[dh]>([^<]*)</t[dh]>", table)]
    cut = [f"`{cell}` is cut: set display.max_colwidth" for cell in cells if len(cell) == 50 and cell.endswith("...")]
    parted = [cell for cell in cells if re.search(r"\d \[[-+]?\d", cell)]
    return cut + [f"`{cell}` may be parted by a line break: use Scores.to_row or no-break spaces" for cell in parted]


def check_comparisons(node) -> list[str]:
    checked = [cell for cell in list_code_cells(node) if is_tagged(cell, CHECKED)]
    own = sum(not is_tagged(cell, EXERCISE_TAG) for cell in checked)
    problems = [] if own >= 2 else [f"{own} of the lab's own cells are tagged {CHECKED} (2 at least)"]
    for cell in checked:
        if not any(read_output(output).strip() for output in cell.outputs):
            problems.append(f"tagged {CHECKED} but without text to compare: `{cell.source[:40]}`")
    return problems


RULES = (
    check_imports,
    check_parameters_cell,
    check_knobs,
    check_beginning,
    check_cell_sizes,
    check_prose_between,
    check_definitions,
    check_kernel,
    check_execution_counts,
    check_no_errors,
    check_no_paths,
    check_no_widget_views,
    check_sections,
    check_claims,
    check_alternatives,
    check_tables,
    check_comparisons,
)


# ---- the seven notebooks


def test_there_are_the_seven_notebooks_and_no_other():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_keeps_the_rules(name):
    node = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(node)] == []


def test_nothing_is_defined_in_two_notebooks():
    assert check_defined_once({name: nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4) for name in NAMES}) == []


@pytest.mark.parametrize("name", NAMES[1:-1])
def test_every_notebook_that_trains_takes_every_knob(name):
    assert FURTHER in [parameter.name for parameter in read_parameters(NOTEBOOKS / f"{name}.ipynb")]


def find_lines_not_in_fit(node) -> list[str]:
    """What the table of notebook 02, section 3.3 says is in `fit` and is not; the table itself if it is missing."""
    rows = re.findall(r"^\|[^|]*\| `([^`]+)` \|", read_section(node, "A head, and how it learns"), re.MULTILINE)
    source = inspect.getsource(fit)
    parts = [part for line in rows for part in line.split("...")]
    return [part for part in parts if part.rstrip(")") not in source] if rows else ["the table"]


def test_the_loop_of_02_is_found_again_in_fit():
    node = nbformat.read(NOTEBOOKS / "02_text_only.ipynb", as_version=4)
    assert find_lines_not_in_fit(node) == []
    for cell in node.cells:
        cell.source = cell.source.replace("hooks.backward(loss)", "loss.backwards()")
    assert find_lines_not_in_fit(node) == ["loss.backwards()"]
    assert find_lines_not_in_fit(new_notebook()) == ["the table"]


# ---- the twins: a good notebook passes every rule, and one change breaks the rule it is about


PICTURE = '<img alt="One line per model: its accuracy." src="data:image/png;base64,aGVsbG8=" width="8">'

TABLE = "<td>0.7\xa0[0.6,\xa00.8]</td><td>and so on ...</td>"


def make_good():
    def code(source, *outputs, tags=()):
        cell = new_code_cell(source, outputs=list(outputs))
        if tags:
            cell.metadata["tags"] = list(tags)
        return cell

    def text(words):
        return new_output("stream", name="stdout", text=words)

    opening = "# Title\nIs it so?\n\n**You will learn**\n- one\n- two\n- three"
    saw = "## What we saw\n- The share is 0.60 of 600 pairs, 60 % (or 59.7 %), 1.5 points more.\n"
    node = new_notebook(
        cells=[
            new_markdown_cell(opening),
            code("import os"),
            code("n = 3  # how many\nresults = '../results'  # where", tags=["parameters"]),
            new_markdown_cell("## 1 First\nLook at the share."),
            code('begin_notebook("x", globals())\nprint(0.597)', text("0.597\n"), tags=[CHECKED]),
            code("print('gain 0.0152')", text("gain 0.0152 https://a.b/home/x\n"), tags=[CHECKED]),
            new_markdown_cell(saw),
            new_markdown_cell("## Exercises\n1. Do 0.123 better."),
            code("finish_notebook(results, 'x', {'n': n})", new_output("display_data", {"text/html": PICTURE + TABLE})),
        ]
    )
    for number, cell in enumerate(list_code_cells(node), start=1):
        cell["execution_count"] = number
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return node


LONG = "\n".join(f"x{number} = {number}" for number in range(31))
EXERCISE = "import torch\nclass Mine:\n" + 10 * "    pass\n" + LONG  # breaks every rule for the lab's own code


def add_exercises(*tags):
    """Put four cells of exercises before the last cell."""

    def add(node):
        for number in range(4):
            cell = new_code_cell(EXERCISE, metadata={"tags": list(tags)}, execution_count=5 + number)
            cell.outputs = [new_output("stream", name="stdout", text="Nothing here yet")]
            node.cells.insert(-1, cell)
        node.cells[-1]["execution_count"] = 9

    return add


def set_source(index, source):
    return lambda node: node.cells[index].update(source=source)


def set_output(index, output):
    return lambda node: node.cells[index].update(outputs=[output])


def set_tags(index, *tags):
    return lambda node: node.cells[index].metadata.update(tags=list(tags))


def replace_prose(index, old, new):
    return lambda node: node.cells[index].update(source=node.cells[index].source.replace(old, new))


VIEW = new_output("display_data", data={WIDGET: {"model_id": "1"}, "text/plain": "interactive()"})
BREAKS = [
    (check_imports, set_source(4, "def f():\n    import sys")),
    (check_imports, set_source(1, "x = 1")),
    (check_parameters_cell, set_tags(2)),
    (check_parameters_cell, set_source(2, "n = 3")),
    (check_parameters_cell, set_source(2, "n = 3  # n = 3 is enough")),
    (check_parameters_cell, set_source(2, "n: int = 3  # how many")),
    (check_parameters_cell, set_source(2, "n = 3  # how many\nm = n + 1  # one more")),
    (check_parameters_cell, lambda node: node.cells.insert(1, new_code_cell("1"))),
    (check_knobs, set_source(2, "seed = 1  # of the split, the folds and the training")),
    (check_knobs, set_source(2, "seed = 0  # chance")),
    (check_knobs, set_source(2, "knobs = 'lr'  # more")),
    (check_beginning, set_source(4, "print(0.597)")),
    (check_beginning, set_source(4, "begin_notebook('y', globals())")),
    (check_cell_sizes, set_source(4, LONG)),
    (check_cell_sizes, lambda node: [set_source(n, LONG[: LONG.index("x9")])(node) for n in (1, 4, 5)]),
    (check_cell_sizes, set_source(4, LONG[: LONG.index("x21")])),
    (check_prose_between, lambda node: node.cells.pop(3)),
    (check_definitions, set_source(4, "def f():\n" + "    pass\n" * 10)),
    (check_kernel, lambda node: node.metadata.kernelspec.update(name="my-venv")),
    (check_execution_counts, lambda node: node.cells[4].update(execution_count=None)),
    (check_execution_counts, lambda node: node.cells[4].update(execution_count=9)),
    (check_no_errors, set_output(4, new_output("error", ename="ValueError", evalue="", traceback=[]))),
    (check_no_paths, set_output(4, new_output("stream", name="stdout", text="wrote /home/me/x.csv"))),
    (check_no_paths, set_output(4, new_output("display_data", data={"text/html": "<td>/tmp/x</td>"}))),
    (check_no_paths, set_source(4, "open('C:\\\\Users\\\\me')")),
    (check_no_widget_views, set_output(4, VIEW)),
    (check_no_widget_views, lambda node: node.metadata.update(widgets={})),
    (check_sections, replace_prose(0, "# Title", "Title")),
    (check_sections, replace_prose(0, "- three", "")),
    (check_sections, replace_prose(3, "## 1 First", "## First")),
    (check_sections, replace_prose(6, "What we saw", "Summary")),
    (check_sections, replace_prose(7, "Exercises", "Homework")),
    (check_claims, replace_prose(6, "0.60", "0.61")),
    (check_claims, replace_prose(6, "59.7", "59.8")),
    (check_claims, replace_prose(6, "1.5", "1.6")),
    (check_alternatives, set_output(8, new_output("display_data", data={"image/png": "aGVsbG8="}))),
    (check_alternatives, set_output(8, new_output("display_data", data={"text/html": "<img src='data:,'>"}))),
    (check_alternatives, set_output(8, new_output("display_data", data={"text/html": "<p><img alt='a figure'></p>"}))),
    (check_tables, set_output(8, new_output("display_data", data={"text/html": f"<td>{47 * 'x'}...</td>"}))),
    (check_tables, set_output(8, new_output("display_data", data={"text/html": "<td>0.7 [0.6, 0.8]</td>"}))),
    (check_comparisons, set_tags(4)),
    (check_comparisons, set_output(4, new_output("display_data", data={"image/png": "aGVsbG8="}))),
    (check_comparisons, lambda node: [set_tags(5)(node), add_exercises("exercise", CHECKED)(node)]),
    *((rule, add_exercises()) for rule in (check_imports, check_cell_sizes, check_prose_between, check_definitions)),
]


def test_good_notebook_passes_every_rule():
    assert [problem for rule in RULES for problem in rule(make_good())] == []


def test_exercises_may_import_define_and_be_long():
    node = make_good()
    add_exercises("exercise")(node)
    assert [problem for rule in RULES for problem in rule(node)] == []


@pytest.mark.parametrize(("rule", "break_it"), BREAKS)
def test_rule_finds_the_notebook_that_breaks_it(rule, break_it):
    node = copy.deepcopy(make_good())
    break_it(node)
    assert rule(node)


def test_every_rule_has_a_notebook_that_breaks_it():
    assert {rule for rule, _ in BREAKS} == set(RULES)


def test_rule_finds_what_is_defined_twice():
    one, two = make_good(), make_good()
    set_source(4, "def f():\n    pass")(one)
    assert check_defined_once({"one": one, "two": two}) == []
    set_source(5, "class f:\n    pass")(two)
    assert "f is defined in ['one', 'two']" in check_defined_once({"one": one, "two": two})[0]
    one, two = make_good(), make_good()
    add_exercises("exercise")(one), add_exercises("exercise")(two)
    assert check_defined_once({"one": one, "two": two}) == []


# ---- what nbval really compares


def test_nbval_compares_only_where_there_is_an_execution_count(tmp_path):
    """A changed output fails; a cell stripped of output and count is compared with nothing and passes.

    So check_execution_counts and check_comparisons must hold, or CI would compare nothing and be green.
    """

    def save(name, shown, count):
        outputs = [new_output("stream", name="stdout", text=shown)] if shown else []
        cell = new_code_cell("print(0.597)", outputs=outputs, execution_count=count, metadata={"tags": [CHECKED]})
        assert bool(check_execution_counts(new_notebook(cells=[cell]))) == (count is None)
        node = new_notebook(cells=[cell])
        node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(node, tmp_path / f"{name}.ipynb")

    save("kept", "0.597\n", 1)
    save("changed", "0.700\n", 1)
    save("emptied", "", 1)
    save("stripped", "", None)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=60", "-p", "no:cacheprovider", "-rA"]
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *options, "."]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False).stdout
    verdicts = {name: verdict for verdict, name in re.findall(r"^(PASSED|FAILED) (\w+)\.ipynb", shown, re.MULTILINE)}
    assert verdicts == {"kept": "PASSED", "changed": "FAILED", "emptied": "FAILED", "stripped": "PASSED"}, shown


LARGEST = 700_000  # bytes: a notebook must open quickly where it is browsed


def find_large(folder) -> list[str]:
    return [path.name for path in sorted(folder.glob("*.ipynb")) if path.stat().st_size > LARGEST]


def test_no_notebook_is_too_large_to_browse(tmp_path):
    assert find_large(NOTEBOOKS) == []
    (tmp_path / "large.ipynb").write_bytes(b" " * (LARGEST + 1))  # the twin
    assert find_large(tmp_path) == ["large.ipynb"]


def test_reading_a_notebook_makes_no_grammars_of_web_addresses():
    """jsonschema makes them when it is imported, where they are installed: a second before each run."""
    read = f"from mmlab.workbook import read_parameters; read_parameters({str(NOTEBOOKS / f'{NAMES[0]}.ipynb')!r})"
    for source, wanted in ((read, False), ("import rfc3987_syntax", True)):
        if wanted and importlib.util.find_spec("rfc3987_syntax") is None:
            continue
        code = f"import sys\n{source}\nprint('lark' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        assert found == str(wanted), source
