"""What comes from tweets, names and guids is shown by terminal, page, table, figure and view, and never obeyed."""

import ast
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from courses import make_folder, write_tables
from figures import make_pairs, make_scores
from hostile import ALL, COMMANDS, CONTROLS, DANGEROUS, FORMULAS, GUIDS, LONG, MARKUP, read_elements
from hypothesis import given
from hypothesis import strategies as st

import mmlab
from mmlab import plots
from mmlab.answer import Answer
from mmlab.cli import output
from mmlab.config import LABELS
from mmlab.report import Code, Document, Example, Gallery, Heading, Items, Notice, Paragraph, Table, pdf, to_html
from mmlab.report.tables import write_tables as write_report_tables
from mmlab.storage import FORMULA, format_csv, printable
from mmlab.widgets.cards import draw_cards
from mmlab.widgets.parts import say

CHARSETS = ("utf-8", "cp1252", "ascii", "gb18030")
ROOT = Path(mmlab.__file__).parent


# ---- the terminal


@pytest.fixture
def shown(monkeypatch):
    """A function from a charset and a call to what the call printed, as bytes."""

    def show(charset: str, call) -> bytes:
        raw = io.BytesIO()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=charset, write_through=True))
        monkeypatch.setenv("COLUMNS", "200000")
        output.show_every_letter()
        call()
        return raw.getvalue()

    return show


def print_all(texts) -> None:
    output.print_table(texts[0], [*texts], [list(texts)])
    for text in texts:
        output.print_line(text)
        output.print_error(text)
    output.print_json({text: text for text in texts})


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_text_steers_a_terminal_or_stops_a_command(shown, charset):
    said = shown(charset, lambda: print_all(ALL)).decode(charset)
    assert not DANGEROUS & set(said)
    for kept in ("[red]x[/b]", "\\x1b[31mred", "\\u202e", "\\ud83d", "=cmd|"):
        assert said.count(kept) >= 4, kept
    if charset in ("cp1252", "ascii"):
        assert "\\u7167\\u7247" in said and "-5" in said
    with pytest.raises(UnicodeEncodeError):  # the twin: what print alone would do
        io.TextIOWrapper(io.BytesIO(), encoding=charset).write("".join(ALL))


def test_a_stand_in_keeps_the_columns_of_a_table_in_line(shown):
    said = shown("ascii", lambda: output.print_table(None, ["a", "b"], [["照片 …", "x"], ["y", "z"]]))
    lines = said.decode().splitlines()
    assert len({len(line) for line in lines}) == 1 and "\\u7167\\u7247 ..." in said.decode()


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=40))
def test_any_text_becomes_printable(text):
    assert printable(text).isprintable() and printable(text).isascii() >= text.isascii()
    assert printable(printable(text)) == printable(text)


def find_bare_prints(source: str) -> list[int]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        call.lineno for call in calls if getattr(call.func, "id", getattr(call.func, "attr", "")) in ("print", "echo")
    ]


def test_every_command_prints_through_one_door():
    for path in sorted((ROOT / "cli").glob("*.py")):
        if path.name != "output.py":
            assert not find_bare_prints(path.read_text(encoding="utf-8")), path
    assert find_bare_prints("print(name)\ntyper.echo(name)") == [1, 2]  # the twin


# ---- every command as a child process, where the output lacks letters

RUN_EACH = """
import json, sys
from mmlab.cli.app import app, main
for arguments in json.loads(sys.stdin.buffer.read()):
    print("####", arguments[0], flush=True)
    sys.argv = ["mmlab", *arguments]
    try:
        main()
    except SystemExit as end:
        print("####", "status", end.code, flush=True)
"""


@pytest.fixture(scope="module")
def hostile_course(tmp_path_factory) -> Path:
    """A course in a folder `c[/b]`, with guids and stray files that something could obey."""
    root = make_folder(tmp_path_factory.mktemp("hostile") / "c[" / "b]照片")
    data, rows = root / "data", [line.split(",") for line in (root / "train.txt").read_text().splitlines()[1:]]
    for number, guid in enumerate(GUIDS):
        for suffix in (".txt", ".jpg"):
            (data / f"{rows[number][0]}{suffix}").rename(data / f"{guid}{suffix}")
        rows[number][0] = guid
    for number, text in enumerate((*MARKUP, *COMMANDS, *CONTROLS), len(GUIDS)):
        (data / f"{rows[number][0]}.txt").write_text(f"{text} and so on", encoding="utf-8")
    (data / f"{GUIDS[0]}.txt").write_text(LONG)
    (data / f"{GUIDS[1]}.jpg").write_bytes(b"no picture")
    test = [line.split(",") for line in (root / "test_without_label.txt").read_text().splitlines()[1:]]
    write_tables(root, rows, test)
    for name in ("photo[copy].jpg", "stray照片.jpg", "=2+2.txt", *(["\x1b[31mred.jpg"] if os.name != "nt" else [])):
        (data / name).write_bytes(b"x")
    return root


@pytest.fixture(scope="module")
def hostile_model(hostile_course, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "r[b]"
    mmlab.fit(mmlab.read_course(hostile_course), folder, epochs=1, folds=2, seeds=1, hidden=8, heads=2)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="its file system has letters of its own")
@pytest.mark.parametrize("charset", ["cp1252", "C"])
def test_every_command_runs_where_the_output_lacks_letters(hostile_course, hostile_model, tmp_path, charset):
    inbox, table = tmp_path / "inbox", tmp_path / "pairs.csv"
    inbox.mkdir()
    guids = [line.split(",")[0] for line in (hostile_course / "test_without_label.txt").read_text().splitlines()[1:]]
    answers = "guid,tag\n" + "".join(f"{guid},{LABELS[n % 3]}\n" for n, guid in enumerate(guids))
    for name in ("[b]x", "照片", "=1+1", "\x1b[31m", "good"):
        (inbox / f"{name}.txt").write_text(answers)
    (inbox / "bad.txt").write_text(answers.replace("positive", "\x1b[31m照片"))
    table.write_text('guid,text\n=1,"=1+1 照片"\n[b],"\x1b[31m[red]"\n', encoding="utf-8")
    (tmp_path / "key.txt").write_text(answers)
    course, model = str(hostile_course), str(hostile_model)
    calls = [
        ["check", course], ["check", str(tmp_path / "照片\x1b[31m")],
        ["verify", str(inbox / "bad.txt"), "--data", course],
        ["grade", str(inbox), "--labels", str(tmp_path / "key.txt"), "--out", str(tmp_path / "grades照")],
        ["ask", model, "照片 − \x1b[31m[b]", "--explain"], ["ask", model, "--csv", str(table)],
        ["ask", model, "--csv", str(table), "--json"],
        ["predict", "--data", course, "--results", model, "--out", str(tmp_path / "照.txt")],
        ["export", model, str(tmp_path / "照")], ["start", str(tmp_path / "照work"), "--language", "zh"],
        ["progress", str(tmp_path / "照work")], ["progress", str(tmp_path / "照work"), "--json"], ["doctor"],
        ["report", "--results", str(tmp_path / "照片")],
        ["train", "--data", course, "--results", "r", "--set", "lr=照"],
        ["run", "--data", course, "--results", "r", "--text-encoder", "./照"], ["demo", str(inbox)],
        *([one, "--help"] for one in ("check", "run", "grid", "train", "report", "predict", "verify", "grade", "ask")),
    ]  # fmt: skip
    if charset == "C":
        calls = [one for one in calls if one[0] not in ("ask", "predict", "export", "doctor")]  # they load encoders
    plain = {"PYTHONIOENCODING": "cp1252"} if charset == "cp1252" else {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_EACH], input=json.dumps(calls).encode(),
        capture_output=True, env=os.environ | plain | {"COLUMNS": "400"}, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    said, errors = (one.decode("cp1252" if charset == "cp1252" else "ascii") for one in (done.stdout, done.stderr))
    assert done.returncode in (0, 1) and "Traceback" not in errors, errors[-3000:]
    assert said.count("#### status") == len(calls), said[-2000:]
    assert not DANGEROUS & set(said + errors), "a name steers the terminal"
    assert "photo[copy].jpg" in said and "stray\\u7167\\u7247.jpg" in said and "c[/b]" in said
    assert "\\x1b[31mred.jpg" in said and "FAIL  bad: 4 labels are not legal" in said
    page = (tmp_path / "grades照" / "index.html").read_text(encoding="utf-8") if charset == "cp1252" else ""
    assert "<img" not in page and not DANGEROUS & set(page)


def test_a_text_that_begins_with_a_dash_is_told_how_to_be_asked(tmp_path):
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "mmlab.cli", "ask", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True).stderr

    assert "No such option: -5. Write -- before a text or a name that begins with -." in said("-5 degrees")
    assert "Write --" not in said("--jsn")  # the twin: an option with a slip
    assert "No such option" not in said("--", "-5 degrees")


# ---- pages


def write_everywhere(text: str) -> Document:
    """A document that says a text in every place that can hold one."""
    blocks = [
        Heading(text),
        Paragraph(text),
        Items([text]),
        Notice(text),
        Code(text),
        Gallery("g", [Example(text, text)], text),
    ]
    return Document(text, [(text, text)], [*blocks, Table("t", pd.DataFrame({text: [text]}), text)])


def test_a_page_of_the_report_shows_every_text_and_obeys_none():
    tags, events, _ = read_elements(to_html(write_everywhere("plain")))
    for text in (*ALL, LONG):
        found, scripts, words = read_elements(to_html(write_everywhere(text)))
        assert [tag for tag in found if tag != "code"] == [tag for tag in tags if tag != "code"] and scripts == events
        assert "{{" in text or re.sub(r"[`\r\0]", "", text).strip() in words.replace("\r", "").replace("\0", "")
    assert "script" in read_elements("<p><script>x</script>")[0]  # the twin


def test_typst_sets_every_text_and_obeys_none(tmp_path):
    typst = pytest.importorskip("typst", reason="typst is not installed")
    for number, text in enumerate((*COMMANDS, *MARKUP, CONTROLS[0], "half \ud83d", "#let a = 1\n= b\n- c")):
        source = tmp_path / f"{number}.typ"
        source.write_text(pdf.to_typst(write_everywhere(text), tmp_path), encoding="utf-8", errors="backslashreplace")
        assert typst.compile(str(source)).startswith(b"%PDF")
    (tmp_path / "twin.typ").write_text('#raw("x").nothing')
    with pytest.raises(typst.TypstError):
        typst.compile(str(tmp_path / "twin.typ"))


def test_views_show_every_text_and_obey_none(picture):
    def views(text: str, guid: str) -> str:
        pair = {"guid": [guid], "label": ["positive"], "text": [text], "image": [str(picture)]}
        answer = Answer(text, None, {"text_only": np.full(3, 1 / 3)}, "text_only", "positive", 0.5, True)
        return draw_cards(pd.DataFrame(pair), [text], [""]) + answer._repr_html_() + say(text)

    tags, events, _ = read_elements(views("plain", "1"))
    for text, guid in zip(ALL, (GUIDS * 3)[: len(ALL)]):
        found, scripts, words = read_elements(views(text, guid))
        assert found == tags and scripts == events and guid in words
    assert len(views(LONG, "1")) < 2 * len(LONG) + 5000, "the cards shorten it; a sentence is whole"


# ---- tables


@given(st.lists(st.sampled_from(ALL) | st.text(max_size=12), min_size=1, max_size=4))
def test_no_cell_of_a_table_is_a_formula_and_pandas_reads_what_was_written(cells):
    cells = [cell.encode("utf-8", "replace").decode() for cell in cells]
    written = format_csv([[f"c{n}" for n in range(len(cells))], cells]).encode("utf-8")
    (row,) = pd.read_csv(io.BytesIO(written), dtype=str, keep_default_na=False).to_numpy()
    for cell, read in zip(cells, row, strict=True):
        assert not read.startswith(FORMULA)
        assert read == ("'" + cell if cell.startswith(FORMULA) else cell)


def test_the_reports_tables_hold_no_formula_no_command_and_one_line_a_row(tmp_path):
    texts = [*FORMULAS, *MARKUP, *COMMANDS, "照片", "−5"]
    frame = pd.DataFrame({"name": texts, "n": range(len(texts)), "gain": [-1.5] * len(texts)})
    write_report_tables(Document("T", [], [Table("t", frame, r"\input{x} $_$")]), tmp_path)
    back = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert back["gain"].tolist() == frame["gain"].tolist(), "a number is no formula"
    assert not back["name"].str.startswith(FORMULA).any() and "'+1+1" in set(back["name"])
    assert pd.DataFrame({"name": texts})["name"].str.startswith(FORMULA).sum() == len(FORMULAS)  # the twin
    markdown = (tmp_path / "t.md").read_text(encoding="utf-8").splitlines()
    assert len(markdown) == 2 + len(texts) and all(line.startswith("| ") and line.endswith(" |") for line in markdown)
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4 for line in markdown)
    assert not re.search(r"(?<!\\)<", "".join(markdown))
    latex = (tmp_path / "t.tex").read_text(encoding="utf-8")
    assert "\\input" not in latex and "\\frac" not in latex and r"\textbackslash{}input" in latex


# ---- figures


def test_no_name_in_a_figure_is_a_formula(picture, tmp_path):
    names = ("$_$", r"$\frac$", "$a$ and $b$", "50 % $", "a_b^c", r"\$")
    scores = dict(zip(names, [*make_scores().values()] * 2))
    pairs = make_pairs(picture).head(len(names)).assign(guid=names, text=r"$\frac$ \input{x}")
    plt.rcParams["text.parse_math"] = True
    own = plt.subplots()[1]  # somebody's own axes, made before
    for drawn in (plots.plot_scores(scores), plots.plot_scores(scores, ax=own), plots.plot_gallery(pairs, n=6)):
        figure = np.ravel(drawn)[0].figure
        figure.canvas.draw()
        plots.save_figure(figure, tmp_path, "hostile")
        words = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
        assert any("$_$" in word for word in words) and "$_$" in plots.describe_figure(figure)
        plt.close(figure)
    svg = read_elements((tmp_path / "figures" / "hostile.png").read_bytes().decode("latin-1"))[0]
    assert "script" not in svg
    twin = plt.figure()
    twin.text(0, 0, "$_$")
    with pytest.raises(ValueError):
        twin.canvas.draw()
    plt.close(twin)
