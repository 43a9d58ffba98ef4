"""A report's document as files: the HTML page, the PDF, and the tables; and what report.yml may say."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mmlab.config import KNOBS
from mmlab.errors import ConfigError, MmlabError
from mmlab.evaluation import METRICS, Interval
from mmlab.report import (
    SECTIONS,
    Code,
    Document,
    Example,
    Formula,
    Gallery,
    Heading,
    Items,
    Notice,
    Paragraph,
    ReportOptions,
    Say,
    Table,
    pdf,
    to_html,
    write_pdf,
    write_tables,
)
from mmlab.report.evidence import PARTS
from mmlab.report.words import LANGUAGES, read_words


def make_gallery(tmp_path, picture) -> Gallery:
    examples = [
        Example("1: a_b", "#50 % <b> @me", picture, "The picture"),
        Example("2: c", "no", tmp_path / "gone.jpg"),
    ]
    return Gallery("pairs", examples, "Two `pairs`", "no picture").save(tmp_path)


def test_a_gallery_is_text_and_small_pictures(tmp_path, picture):
    """Also where a picture cannot be read, and where it is left out on purpose."""
    gallery = make_gallery(tmp_path, picture)
    assert [one.path and one.path.name for one in gallery.examples] == ["report_pairs_1.jpg", None]
    page = to_html(Document("T", [], [gallery]))
    assert page.count("<img") == 1 and 'alt="The picture"' in page and '<p class="nothing">no picture</p>' in page
    assert "#50 % &lt;b&gt; @me" in page and "<b>Figure 1.</b> Two <code>pairs</code>" in page
    hidden = Gallery("pairs", [Example("1", "a")], "One").save(tmp_path)
    assert "<img" not in (page := to_html(Document("T", [], [hidden]))) and 'class="nothing"' not in page


def test_typst_sets_a_gallery(tmp_path, picture):
    typst = pytest.importorskip("typst", reason="typst is not installed")
    source = tmp_path / "r.typ"
    source.write_text(pdf.to_typst(Document("T", [], [make_gallery(tmp_path, picture)]), tmp_path), encoding="utf-8")
    assert typst.compile(str(source)).startswith(b"%PDF")
    assert "Two " in source.read_text() and "block0_0.jpg" in source.read_text()


def simple(tmp_path) -> tuple[Document, Path]:
    frame = pd.DataFrame({"a_b": ["x & y", "50 %"], "n": [1, 2]})
    blocks = [
        Heading("One"),
        Paragraph("*#$"),
        Notice("Run `mmlab <run> -x`."),
        Formula(r"\frac{a}{b}"),
        Table("t", frame, "50 % of _it_"),
    ]
    made = Document("A #title", [("Name", "a_b")], [*blocks, Code('say "x\\y"'), Items(["- [1]"])])
    page = tmp_path / "page.html"
    page.write_text(to_html(made), encoding="utf-8")
    return made, page


def test_every_block_is_on_the_page_and_escaped(tmp_path):
    page = simple(tmp_path)[1].read_text()
    wanted = [
        '<h2 id="s1">One</h2>',
        "<p>*#$</p>",
        "Run <code>mmlab &lt;run&gt; -x</code>.",
        "<math",
        "<li>- [1]</li>",
        '<th scope="row">x &amp; y</th>',
        "<b>Table 1.</b> 50 % of _it_",
        "say &#34;x\\y&#34;",
    ]
    for words in wanted:
        assert words in page, words
    assert '<a href="#s1">One</a>' in page


def test_a_pdf_is_printed_by_a_browser(tmp_path):
    if not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("no browser of Chromium's family is installed")
    made, page = simple(tmp_path)
    assert write_pdf(made, page, tmp_path / "r.pdf") in pdf.BROWSERS
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_typst_sets_it(tmp_path, monkeypatch):
    pytest.importorskip("typst", reason="typst is not installed")
    monkeypatch.setenv("MMLAB_BROWSER", "none")
    made, page = simple(tmp_path)
    assert write_pdf(made, page, tmp_path / "r.pdf") == "typst"
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_without_either_it_says_how_to_print(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_BROWSER", "none")
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    made, page = simple(tmp_path)
    with pytest.raises(MmlabError, match=r"Open .*page.html in any browser and print it"):
        write_pdf(made, page, tmp_path / "r.pdf")
    assert not (tmp_path / "r.pdf").exists()


def test_a_browser_that_fails_is_reported(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("MMLAB_BROWSER", str(broken))
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    made, page = simple(tmp_path)
    with pytest.raises(MmlabError, match="broken: no display"):
        write_pdf(made, page, tmp_path / "r.pdf")


def test_what_latex_and_markdown_take_for_commands_is_escaped(tmp_path):
    made, _ = simple(tmp_path)
    write_tables(made, tmp_path)
    assert r"x \& y" in (tmp_path / "t.tex").read_text() and r"a\_b" in (tmp_path / "t.tex").read_text()
    assert "| x & y | 1 |" in (tmp_path / "t.md").read_text()


def test_the_browser_prints_without_a_network(tmp_path, monkeypatch):
    said = tmp_path / "said"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {said}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("MMLAB_BROWSER", str(browser))
    monkeypatch.setitem(__import__("sys").modules, "typst", None)
    with pytest.raises(MmlabError):
        write_pdf(*simple(tmp_path), tmp_path / "r.pdf")
    assert "--disable-background-networking" in said.read_text()
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in said.read_text()


# ------------------------------------------------------------------------------------------------- report.yml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nmae: x", "Did you mean 'name'"),
        ("- a\n- b", "one `key: value` per line"),
        ("name: [a, b]", "name must be a text"),
        ("name: 'x", "is not YAML"),
        ("language: fr", "Use one of en, zh"),
        ("language: no", "language 'no'"),
        ("name: Ada\nname: Bob", "twice"),
        ("name: \udcff", "Save it as UTF-8"),
    ],
)
def test_a_fault_in_report_yml_is_named(tmp_path, text, words):
    (tmp_path / "report.yml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=words) as caught:
        ReportOptions.read(tmp_path / "report.yml")
    assert "report.yml" in str(caught.value)


def test_a_number_is_kept_as_it_was_written(tmp_path):
    (tmp_path / "report.yml").write_text("number: 0012\n")
    assert ReportOptions.read(tmp_path / "report.yml").number == "0012"


# ------------------------------------------------------------------------------------------------- words


def blanks(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)", text))


def faults_of(words: dict[str, str], other: dict[str, str]) -> set[str]:
    """The keys on which two languages disagree. English needs no word for a knob, nor for what figures say."""
    known = {key for key in {*words, *other} if not key.startswith(("knob.", "drawn."))}
    return {key for key in known if key not in words or key not in other or blanks(words[key]) != blanks(other[key])}


def test_every_language_has_the_same_words_with_the_same_blanks():
    english = read_words("en")
    assert set(LANGUAGES) >= {"en", "zh"}
    for language in LANGUAGES:
        words = read_words(language)
        assert faults_of(english, words) == set(), language
        empty = {key for key, text in words.items() if not text}
        assert not empty or (language == "en" and {key.partition(".")[0] for key in empty} == {"group"})
    broken = english | {"data.balance": "{m} pairs"}
    broken.pop("title")
    assert faults_of(english, broken) == {"data.balance", "title"}  # the twin


def test_chinese_names_everything_that_is_declared():
    words = read_words("zh")
    wanted = {f"knob.{name}" for name in KNOBS} | {f"column.{name}" for name in METRICS}
    wanted |= {f"section.{one.name}" for one in SECTIONS}
    wanted |= {f"row.{name}.{scenario}" for name, part in PARTS.items() for scenario in part.scenarios}
    assert wanted <= set(words)
    assert not {key for key in words if key.startswith("knob.")} - wanted


def test_english_is_plain():
    mannered = re.compile(r"\b(told|stands?|lies|anew|beside)\b")
    assert not {key for key, text in read_words("en").items() if mannered.search(text)}
    assert mannered.search("it stands beside it")  # the twin


def test_an_interval_is_written_in_the_language_of_the_report():
    say, chinese = Say(), Say(ReportOptions(language="zh"))
    assert say.interval(Interval(0.5, 0.25, 0.75), "+.1f", 100) == "+50.0 [+25.0, +75.0]"
    nothing, unknown = Interval(*[float("nan")] * 3), Interval(0.5, float("nan"), float("nan"))
    assert (say.interval(nothing), say.interval(unknown)) == ("no pairs", "0.500 [no interval]")
    assert (chinese.interval(nothing), chinese.interval(unknown)) == ("无样本", "0.500 [无区间]")


def test_what_has_no_word_is_shown_as_it_is_declared():
    say = Say()
    assert say.name("section", "toy") == "toy" and say.name("knob", "toy", "a toy") == "a toy"
