"""The notebooks in Chinese: every cell of prose is translated, the translation is current, and the code is the same.

nbval does not run them: their code cells are those of the English notebooks, as is tested here, and those it runs.
"""

import copy

import nbformat
import pytest

from mmlab.cli.app import app
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.exercises import translations
from mmlab.exercises.cells import NOTEBOOKS, list_notebooks
from mmlab.exercises.copies import start_copies
from mmlab.exercises.files import has_tag, load_notebook, read_source, save_notebook
from mmlab.exercises.translations import (
    NOTES,
    Block,
    compare_texts,
    find_translation,
    list_faults,
    make_translation,
    read_blocks,
    translate,
)

EVERY = [(name, language) for language in NOTES for name in list_notebooks()]
ENGLISH_TEXT = "## 2 Twins\n\nSee `course` and [page](a.md): 76 of 1,000, $x^2$.\n\n- one\n- two"
CHINESE_TEXT = "## 2 孪生样本\n\n见 [网页](a.md) 和 `course`：1,000 个中有 76 个，$x^2$。\n\n- 一\n- 二"


@pytest.fixture
def small():
    """Two cells of prose and their translation."""
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# One\n", "\n", "Two words."]},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": ["x = 1"], "outputs": [], "execution_count": 1},
        {"cell_type": "markdown", "id": "c", "metadata": {}, "source": ["Three words."]},
    ]
    blocks = {
        "a": Block(translations._digest("# One\n\nTwo words."), "# 一\n\n两个词。"),
        "c": Block(translations._digest("Three words."), "三个词。"),
    }
    return cells, blocks


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_every_cell_of_prose_has_a_current_translation(name, language):
    english = load_notebook(NOTEBOOKS / f"{name}.ipynb")
    assert list(list_faults(english["cells"], read_blocks(find_translation(name, language)))) == []


def test_twin_a_changed_a_missing_and_a_superfluous_block_are_found(small):
    cells, blocks = small
    assert list(list_faults(cells, blocks)) == []
    cells[2]["source"] = ["Four words."]
    (fault,) = list_faults(cells, blocks)
    assert fault.startswith("c: the English text has changed") and translations._digest("Four words.") in fault
    (fault,) = list_faults(cells[:2], blocks)
    assert fault.startswith("c: there is no such cell")
    del blocks["a"], blocks["c"]
    assert [fault.partition(".")[0] for fault in list_faults(cells, blocks)] == [
        "a: is not translated",
        "c: is not translated",
    ]


def test_a_translation_keeps_numbers_code_links_formulas_and_shape():
    assert compare_texts(ENGLISH_TEXT, CHINESE_TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("76", "67", ["missing numbers: 76", "new numbers: 67"]),
        ("1,000 个中", "个中", ["missing numbers: 1,000"]),
        ("`course`", "`dev`", ["missing inline code: `course`", "new inline code: `dev`"]),
        ("(a.md)", "(b.md)", ["missing links: ](a.md)", "new links: ](b.md)"]),
        ("x^2", "x^3", ["missing formulas: $x^2$", "new formulas: $x^3$"]),
        ("## 2", "### 2", ["headings, lists or tables differ"]),
        ("\n- 二", "", ["headings, lists or tables differ"]),
    ],
)
def test_twin_what_a_translation_changes_is_found(old, new, found):
    assert old in CHINESE_TEXT
    assert compare_texts(ENGLISH_TEXT, CHINESE_TEXT.replace(old, new)) == found


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_a_translated_notebook_is_what_the_command_writes_and_differs_in_prose_only(name, language, tmp_path):
    path = find_translation(name, language).with_suffix(".ipynb")
    save_notebook(tmp_path / path.name, make_translation(name, language))
    assert path.read_bytes() == (tmp_path / path.name).read_bytes(), "call `make translations`"
    nbformat.validate(nbformat.read(path, as_version=4))
    english, there = load_notebook(NOTEBOOKS / path.name), load_notebook(path)
    for one, other in zip(english["cells"], there["cells"], strict=True):
        if one["cell_type"] == "markdown":
            assert read_source(one) != read_source(other)
            one["source"] = other["source"]
    assert english == there  # code, outputs, tags, ids and metadata


def test_a_fault_in_a_file_is_named(tmp_path, small):
    path, mark = tmp_path / "a.md", "<!-- a 01234567 -->\n"
    for text, fault in [("# 一\n", "begin the file"), (mark + "一\n\n" + mark + "二\n", "a occurs twice")]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(MmlabError, match=fault):
            read_blocks(path)
    with pytest.raises(MmlabError, match="cannot be read"):
        read_blocks(tmp_path / "none.md")


def test_nothing_is_translated_from_an_older_text():
    name, cells = list_notebooks()[0], load_notebook(NOTEBOOKS / f"{list_notebooks()[0]}.ipynb")["cells"]
    before = copy.deepcopy(cells)
    cells[0]["source"] = before[0]["source"] = ["# Another title"]
    with pytest.raises(MmlabError, match=r"01_data_exploration\.md: 01-01: the English text has changed"):
        translate(cells, name, "zh")
    assert cells == before


def test_the_command_says_every_fault_and_writes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(translations, "find_translation", lambda name, language: tmp_path / f"{name}.md")
    for name in list_notebooks():
        (tmp_path / f"{name}.md").write_text("<!-- no-cell 01234567 -->\n一\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        translations.main()
    assert "01-01: is not translated" in str(ended.value) and "07-01: is not translated" in str(ended.value)
    assert list(tmp_path.glob("*.ipynb")) == []


@pytest.fixture
def chinese(tmp_path):
    assert set(dict(start_copies(tmp_path / "work", "zh")).values()) == {"new copy"}
    return tmp_path / "work"


def test_chinese_copies_have_the_code_of_english_ones(chinese, tmp_path):
    dict(start_copies(tmp_path / "other"))
    for name in list_notebooks():
        cells = [load_notebook(folder / f"{name}.ipynb")["cells"] for folder in (tmp_path / "other", chinese)]
        for one, other in zip(*cells, strict=True):
            assert (one == other) == (one["cell_type"] == "code")


def test_a_copy_keeps_its_language_when_its_exercises_are_updated(chinese):
    path = chinese / "04_fusion.ipynb"
    fresh = path.read_bytes()
    assert set(dict(start_copies(chinese)).values()) == {"up to date, left as it is"}
    notebook = load_notebook(path)
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != "fusion-question"]
    for cell in notebook["cells"]:
        if cell["id"] == "exercises":
            cell["source"] = read_source(cell).replace(
                'open_exercises("04_fusion", "', 'open_exercises("04_fusion", "0-'
            )
        if cell["id"] == "fake_probe-question":
            cell["source"] = "### 练习 3：旧题目"
    save_notebook(path, notebook)
    assert "exercises of edition" in dict(start_copies(chinese))["04_fusion"]
    assert path.read_bytes() == fresh


def test_a_copy_in_another_language_is_left_alone(tmp_path):
    dict(start_copies(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert all("choose another folder for zh" in done for done in dict(start_copies(tmp_path, "zh")).values())
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_an_unknown_language_and_the_folder_of_translations_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="language='cn' is not one of en, zh"):
        dict(start_copies(tmp_path / "work", "cn"))
    with pytest.raises(RunError, match="Choose another folder"):
        dict(start_copies(NOTEBOOKS / "zh", "zh"))
    assert list(tmp_path.iterdir()) == []


def test_a_chinese_copy_runs_where_the_page_to_read_does_not(chinese):
    """Its first cells, in a kernel that starts in its folder: the course is found and read."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    for folder, runs in [(chinese, True), (NOTEBOOKS / "zh", False)]:
        node = nbformat.read(folder / "01_data_exploration.ipynb", as_version=4)
        last = next(
            at for at, cell in enumerate(node.cells) if "read_course(" in cell.source and cell.cell_type == "code"
        )
        node.cells = node.cells[: last + 1]
        client = NotebookClient(node, timeout=300, resources={"metadata": {"path": str(folder)}})
        if runs:
            client.execute()
            assert any(has_tag(cell, "parameters") for cell in node.cells) and node.cells[last].execution_count
        else:  # the twin
            with pytest.raises(CellExecutionError, match="data/demo"):
                client.execute()


def test_the_command_line_starts_chinese_copies(tmp_path):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["start", str(tmp_path / "work"), "--language", "zh"])
    assert result.exit_code == 0, result.output
    assert "融合" in read_source(load_notebook(tmp_path / "work" / "04_fusion.ipynb")["cells"][0])
