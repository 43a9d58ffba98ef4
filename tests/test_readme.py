"""Each shell line in the pages and notebooks is parsed by the real parser (not run); each link leads somewhere."""

import importlib.util
import itertools
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import typer.main

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
PAGES = [*DOCS, ROOT / "data/README.md", ROOT / "results/README.md", *sorted(ROOT.glob("notebooks/*.ipynb"))]
PROGRAMS = ("mmlab", "make", "python")
# A command at the start of a line or after another one, perhaps with variables set for it and the program's folder.
COMMAND = re.compile(rf"(^|&&|[|;])\s*([A-Z_]+=\S*\s+)*(\S*/)?({'|'.join(PROGRAMS)})\s+\S")


def find_shell_lines(text: str) -> list[str]:
    """The lines of a Markdown text that hold a command of PROGRAMS, in fenced blocks and in code spans."""
    fenced = re.findall(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^[ \t]*```.*?^[ \t]*```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`\n]+)`", outside)
    lines += [re.sub(r"^mmlab [a-z]+$", r"\g<0> --help", span) for span in spans]  # prose that names a command
    lines = [re.sub(r"^\s*(\$ |!)?\s*", "", line) for line in lines]
    return [line for line in lines if COMMAND.search(line)]


def read_page(path: Path) -> str:
    """A page's Markdown; of a notebook the prose, and the shell lines of its code as fenced blocks."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source.startswith("%%bash"):
            parts.append(f"```\n{source}\n```")
        else:
            parts.append("```\n" + "\n".join(re.findall(r"^\s*!.*$", source, flags=re.MULTILINE)) + "\n```")
    return "\n\n".join(parts)


def find_commands(text: str) -> list[list[str]]:
    """The words of each command of PROGRAMS; comments, variables, pipes, redirections and && are the shell's."""
    commands: list[list[str]] = []
    for line in find_shell_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        commands.append([])
        for word in lexer:
            if set(word) <= set("();<>|&"):
                commands.append([])
            elif commands[-1] or not re.match(r"[A-Z_]+=", word):
                commands[-1].append(word)
    return [[Path(words[0]).name, *words[1:]] for words in commands if words and Path(words[0]).name in PROGRAMS]


def find_fault(words: list[str]) -> str | None:
    """Why a command would be refused, or None."""
    program, *rest = words
    if program == "mmlab":
        return find_mmlab_fault(rest)
    if program == "make":
        return find_make_fault(rest, (ROOT / "Makefile").read_text(encoding="utf-8"))
    if program == "python" and rest[:1] == ["-m"] and rest[1].startswith("mmlab"):
        return None if importlib.util.find_spec(rest[1]) else f"no module {rest[1]}"
    if program == "python" and rest[0].endswith(".py"):
        return None if (ROOT / rest[0]).is_file() else f"no file {rest[0]}"
    return None


def find_mmlab_fault(words: list[str]) -> str | None:
    from mmlab.cli.app import app

    command, name, context = typer.main.get_command(app), "mmlab", None
    while True:
        try:
            context = command.make_context(name, list(words), parent=context)
            if not hasattr(command, "resolve_command"):
                return find_knob_fault(context.params)
            name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        except typer.Exit:  # --help and --version end here
            return None
        except Exception as error:
            if hasattr(error, "format_message"):  # the parser's own: no such option, missing argument, ...
                return error.format_message() or type(error).__name__
            raise


def find_knob_fault(params: dict) -> str | None:
    """What is wrong with the knobs that a command sets with --set: an unknown name, a value out of range."""
    from mmlab.config import RunConfig
    from mmlab.errors import MmlabError
    from mmlab.workbook import read_values

    try:
        values = read_values(params.get("settings") or [])
        for setting in itertools.product(*values.values()):
            RunConfig.from_params(dict(zip(values, setting, strict=True)))
    except MmlabError as error:
        return str(error)
    return None


def find_make_fault(words: list[str], makefile: str) -> str | None:
    targets = re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE)
    variables = re.findall(r"^([A-Z_]+) \?=", makefile, flags=re.MULTILINE)
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and name not in variables:
            return f"the Makefile has no variable {name}"
        if not equals and name not in targets:
            return f"the Makefile has no target {name}"
    return None


def find_faults(text: str) -> list[str]:
    return [f"{' '.join(words)}: {fault}" for words in find_commands(text) if (fault := find_fault(words))]


def name_anchors(text: str) -> set[str]:
    """The anchors that a browser of repositories makes of a page's headings."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_broken_links(text: str, folder: Path) -> list[str]:
    """Links and images of a page whose file or heading does not exist; links to other sites are not followed."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        place = folder / name
        if re.match(r"https?://", link):
            continue
        if not place.exists() or (anchor and name and anchor not in name_anchors(place.read_text(encoding="utf-8"))):
            broken.append(link)
        if anchor and not name and anchor not in name_anchors(text):
            broken.append(link)
    return broken


def find_missing_paths(text: str) -> list[str]:
    """Files and folders of the package that a page names in code spans and that do not exist."""
    paths = re.findall(r"`(mmlab/[\w./]*)`", text)
    return [path for path in paths if not (ROOT / path).exists()]


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_shell_line_is_taken_by_the_parser(page):
    assert find_faults(read_page(page)) == []


def test_the_readme_starts_with_the_two_commands():
    assert find_commands(read_page(ROOT / "README.md"))[:2] == [["make", "report"], ["make", "test"]]


@pytest.mark.parametrize("page", DOCS, ids=by_name)
def test_every_link_and_path_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    assert find_broken_links(text, page.parent) == []
    assert find_missing_paths(text) == []


def test_a_broken_link_or_path_is_noticed():
    links = ["docs/no-such-page.md", "docs/encoders.md#no-such-heading", "#no-such-heading", "no-such-picture.png"]
    right = ["docs/encoders.md#the-cache", "docs/result.png", "#here", "https://example.org/x"]
    text = "# Here\n" + " ".join(f"[b]({link})" for link in links + right)
    assert find_broken_links(text, ROOT) == links
    assert find_missing_paths("`mmlab/config.py`, `mmlab/course/`, `mmlab/nowhere.py`") == ["mmlab/nowhere.py"]


def test_the_readme_is_short_and_links_every_page():
    text = read_page(ROOT / "README.md")
    assert len(text.splitlines()) <= 120  # three screens
    assert {page.name for page in DOCS[1:]} <= set(re.findall(r"\]\(docs/([\w-]+\.md)\)", text))


@pytest.mark.parametrize(
    "line",
    [
        "mmlab rnu --data data/demo",
        "mmlab run --dta data/demo",
        "mmlab run --data",
        "mmlab verify",
        "mmlab doctor too many words",
        "mmlab grid --set lr=1e-2,1e-3 --set dropuot=0.2",
        "mmlab train --set dropout=2 --data data/demo --results R",
        "python benchmarks/no_such_file.py",
        "make reprot",
        "make report DATE=path",
        "python -m mmlab.no_such_module",
        "$ CUDA_VISIBLE_DEVICES=0 .venv/bin/mmlab run --dta data/demo",
        "cd lab && mmlab rnu  # a comment",
        "mmlab run \\\n    --dta data/demo",
    ],
)
def test_a_line_the_parser_refuses_is_noticed(line):
    assert len(find_faults(f"Text.\n\n```bash\n{line}\n```\n")) == 1


def test_a_wrong_line_in_a_code_span_is_noticed():
    assert len(find_faults("Then `make reprot`, or `mmlab`, or `some code`.")) == 1
    assert len(find_faults("Then `mmlab rnu`, or `mmlab run`, or `mmlab verify --data`.")) == 2


def test_right_lines_pass():
    lines = (
        "mmlab doctor",
        "mmlab run --data 'a folder' --results R | tee log  # with its output kept",
        "make report DATA=path RESULTS=path",
        "mmlab run --help",
        "mmlab verify \\",
        "    test_result.txt --data data/demo",
    )
    assert find_faults("```bash\n" + "\n".join(lines) + "\n```") == []


def test_shell_lines_of_a_notebook_are_read(tmp_path):
    cells = [
        {"cell_type": "code", "source": ["x = 1\n", "!mmlab rnu"]},
        {"cell_type": "code", "source": ["%%bash\n", "mmlab rnu"]},
        {"cell_type": "markdown", "source": ["```bash\n", "mmlab rnu\n", "```"]},
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    assert find_shell_lines(read_page(tmp_path / "n.ipynb")) == ["mmlab rnu"] * 3
