"""The report's pages: how full they are printed, pairs that name nobody, and the whole of it in Chinese."""

import html
import itertools
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from reports import build, text_in, text_of

from mmlab.config import KNOBS, MODELS
from mmlab.errors import ConfigError, MmlabError
from mmlab.images import read_rgb
from mmlab.report import Evidence, Figure, Say, pdf
from mmlab.report import build as report
from mmlab.report.sections import conclusions as literature
from mmlab.report.sections import gallery, method
from mmlab.report.words import read_words

WORDS = read_words("en")


# --------------------------------------------------------------------------------------------- the printed pages


def filled(pdf: Path) -> list[float]:
    """How far down each page of a PDF is written on, as a share of the height between its margins."""
    typst = pytest.importorskip("typst", reason="typst is not installed")
    shares, source = [], pdf.with_suffix(".typ")
    while True:
        page = f"#set page(width: 210mm, height: 297mm, margin: 0pt)\n#image({pdf.name!r}, page: {len(shares) + 1})"
        source.write_text(page.replace("'", '"'))
        try:
            picture = read_rgb(typst.compile(str(source), format="png", ppi=30)).convert("L")
        except typst.TypstError:  # there is no such page
            return shares
        rows = np.flatnonzero((np.asarray(picture) < 200).any(axis=1))
        shares.append((rows[-1] / picture.height * 297 - 18) / (297 - 2 * 18))


def test_no_printed_page_but_the_last_is_half_empty(finished, tmp_path):
    if not (finished / "report.pdf").exists() or not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("no browser of Chromium's family is installed")
    shutil.copy(finished / "report.pdf", tmp_path / "report.pdf")
    shares = filled(tmp_path / "report.pdf")
    assert len(shares) >= 8 and min(shares[:-1]) > 0.6, shares
    source = (finished / "report.html").read_text()  # the twin: pages as they were, nothing breaks
    (tmp_path / "whole.html").write_text(source.replace("</style>", "h2, .table { break-before: page; }</style>"))
    pdf.write_pdf(None, tmp_path / "whole.html", tmp_path / "whole.pdf")
    assert min(filled(tmp_path / "whole.pdf")[:-1]) < 0.5


def test_the_words_in_the_figure_of_the_model_can_be_read(finished):
    """As they are shown, they have at least 8 points, and no box lies on another."""
    blocks = method.method(Evidence.gather(finished), Say())
    (figure,) = (block for block in blocks if isinstance(block, Figure))
    smallest = min(text.get_fontsize() for text in figure.axes.texts if text.get_text())
    assert smallest * figure.width / figure.drawn >= 8
    drawn = figure.axes.figure
    drawn.set_size_inches(figure.drawn, figure.height)
    drawn.canvas.draw()
    assert overlaps(figure) == []
    drawn.set_size_inches(figure.drawn / 2, figure.height)  # the twin
    drawn.canvas.draw()
    assert overlaps(figure)
    plt.close(drawn)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    boxes = {
        text.get_text(): text.get_bbox_patch().get_window_extent() for text in figure.axes.texts if text.get_text()
    }
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]


@pytest.mark.parametrize("printed", ["not asked for", "failed"])
def test_an_old_pdf_is_removed_where_no_new_one_is_made(copied, monkeypatch, printed):
    def fail(*_):
        raise MmlabError("No PDF was made.")

    (copied / "report.pdf").write_bytes(b"%PDF of an older report")
    monkeypatch.setattr(report, "write_pdf", fail)
    built = report.rebuild_report(copied, pdf=printed == "failed")
    assert not (copied / "report.pdf").exists()
    assert "report.pdf was removed" in built.notes[-1] and len(built.notes) == 1 + (printed == "failed")
    assert report.rebuild_report(copied, pdf=False).notes == []  # there was none to remove
    monkeypatch.setattr(report, "write_pdf", lambda document, page, place: place.write_bytes(b"%PDF"))  # the twin
    (copied / "report.pdf").write_bytes(b"%PDF of an older report")
    assert report.rebuild_report(copied).notes == [] and (copied / "report.pdf").read_bytes() == b"%PDF"


# ------------------------------------------------------------------------------------------------ anonymous pairs

TRACE = re.compile(r"@\w|https?:|t\.co/")


def jpegs_in(pdf: Path) -> int:
    return pdf.read_bytes().count(b"/DCTDecode")


def guids_in(results: Path, page: str) -> set[str]:
    guids = set(pd.read_csv(report.read_runs(results)["main"].folder / "predictions.csv", dtype=str)["guid"])
    return {found for found in re.findall(r"<b>(\w+): \w+, predicted \w+</b>", page) if found in guids}


def test_pairs_can_be_shown_so_that_nobody_is_named_or_seen(finished, tmp_path):
    results = Path(shutil.copytree(finished, tmp_path / "results"))
    printed = (results / "report.pdf").exists()
    page = (results / "report.html").read_text()  # the twin: as they are, they have all of it
    assert (
        TRACE.search(text_of(results / "report.html"))
        and "data:image/jpeg" in page
        and len(guids_in(results, page)) > 3
    )
    assert list((results / "figures").glob("report_wrong_*.jpg"))
    if printed:
        assert jpegs_in(results / "report.pdf") and TRACE.search(text_in(results / "report.pdf"))
    built = report.rebuild_report(results, anonymise=True)
    page = (results / "report.html").read_text()
    seen = re.sub(r"<style.*?</style>|base64,[^\"]+|xmlns=\"[^\"]+", "", page, flags=re.S)  # with alt texts
    assert not TRACE.search(html.unescape(seen))
    assert "data:image/jpeg" not in page and "[handle]" in page and "[link]" in page
    assert WORDS["gallery.anonymised"].split(",")[0] in page
    assert re.findall(r"<b>(\w+): \w+, predicted", page) == [str(number) for number in range(1, 7)]
    assert not list((results / "figures").glob("report_*.jpg"))
    charts = list((results / "figures").glob("report_*.png"))
    assert charts and all(path.with_suffix(".svg").is_file() for path in charts), "photographs have no SVG"
    if printed:
        assert jpegs_in(results / "report.pdf") == 0 and b"/Alt" in (results / "report.pdf").read_bytes()
        assert not re.search(rb"/Alt \([^)]*(@|http)", (results / "report.pdf").read_bytes())
        assert "[handle]" in text_in(results / "report.pdf") and not TRACE.search(text_in(results / "report.pdf"))
    stays, next_time = built.notes[-2:]
    assert "Only the report is anonymous" in stays and "notebooks" in stays and str(results / "runs") in stays
    assert "write `anonymise: true` into" in next_time, "the next report would show everybody again"


def test_report_yml_can_ask_for_anonymous_pairs_and_the_command_has_the_last_word(copied):
    (copied / "report.yml").write_text("anonymise: true\n")
    built = build(copied)
    assert "[handle]" in (copied / "report.html").read_text()
    assert not any("next report" in note for note in built.notes)
    build(copied, anonymise=False)
    assert "[handle]" not in (copied / "report.html").read_text()
    (copied / "report.yml").write_text("anonymise: perhaps\n")
    with pytest.raises(ConfigError, match="anonymise is 'perhaps'. Write true or false"):
        build(copied)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("RT @Ann_B: see https://t.co/aB1 @bob!", "RT [handle]: see [link] [handle]!"),
        ("＠李雷 www.a.org/x?y=@z", "[handle] [link]"),
        ("write to a.b@c.org, HTTP://X.Y", "write to [mail], [link]"),
        ("pic.twitter.com/q1 t.co/b", "[link] [link]"),
        ("9 at 10, a/b, #tag 50%", "9 at 10, a/b, #tag 50%"),
    ],
)
def test_what_leads_to_a_person_is_replaced(text, hidden):
    assert gallery.hide_people(text) == hidden


# ------------------------------------------------------------------------------------------------------- Chinese

ENGLISH = re.compile(r"[A-Za-z][A-Za-z'-]+(?:[ ,]+[A-Za-z][A-Za-z'-]+){2}")


def without_code(page: str) -> str:
    """A page without code, formulas and quoted tweets, whose language is theirs."""
    return re.sub(r"<(style|pre|code|math)\b.*?</\1>|<p lang=\"\">.*?</p>", "\n", page, flags=re.S)


def english_in(page: str) -> list[str]:
    """Runs of three Latin words outside of code, formulas, and the names of published work."""
    page = without_code(page)
    page = html.unescape(re.sub(r"</?(?:b|a|li|ol|ul)\b[^>]*>|<[^>]+>", "\n", page))
    for name in (*literature.PUBLISHED, KNOBS["views"].default, KNOBS["members"].default):
        page = page.replace(name, "")
    return ENGLISH.findall(page)


@pytest.mark.parametrize("damage", ["nothing", "gaps"])
def test_the_chinese_report_holds_no_english_sentence(copied, damage):
    if damage == "gaps":
        shutil.rmtree(report.read_runs(copied)["tfidf"].folder)
        (copied / "records" / "01_data_exploration.json").unlink()
        (copied / "records" / "05_hyperparameter_grid.json").write_text("{}")
    built = build(copied, language="zh")
    page = (copied / "report.html").read_text()
    assert english_in(page) == []
    assert all(re.search("[一-鿿]", gap) for gap in built.gaps) and bool(built.gaps) == (damage == "gaps")
    build(copied)
    assert len(english_in((copied / "report.html").read_text())) > 20  # the twin


def test_the_chinese_report_has_the_five_headings_of_the_course(copied, finished, monkeypatch):
    monkeypatch.setattr("mmlab.plots.can_draw", lambda text: True)  # a Chinese font is installed
    build(copied, language="zh")
    page = (copied / "report.html").read_text()
    found = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert found == ["一、目的", "二、内容与设计思想", "三、使用环境", "四、实验过程", "五、总结"]
    assert 'lang="zh-CN"' in page
    english = (finished / "report.html").read_text()
    assert 'lang="en"' in english and "一、目的" not in english


# Code that looks like a word: class names in the figure of the model, and what a run's settings are called.
CODE = {"head", "projection", "fusion", "gatedfusion", "sequential", "none", "true", "false"} | {
    word for name in KNOBS for word in [name, *name.split("_")]
}


def words_in(text: str) -> set[str]:
    text = re.sub(r"\S+-[0-9a-f]{10}\b", "", text)  # the names of runs
    return {word.lower() for word in re.findall(r"(?<![\w.])[A-Za-z]{2,}(?![\w.])", text)}


def words_of(language: str) -> set[str]:
    return words_in(re.sub(r"{.*?}", " ", " ".join(read_words(language).values())))


def english_words_in(text: str) -> set[str]:
    """The words of the English report, except those that the Chinese one uses on purpose (such as `TF-IDF`)."""
    return (words_in(text) & words_of("en")) - words_of("zh") - CODE - set(MODELS)


def test_no_word_of_the_english_report_is_left_in_the_chinese_one(copied, monkeypatch):
    monkeypatch.setattr("mmlab.plots.can_draw", lambda text: True)
    built = build(copied, language="zh")
    assert built.gaps == []
    page = without_code((copied / "report.html").read_text())
    shown = html.unescape(" ".join([re.sub(r"<[^>]+>", " ", page), *re.findall(r'alt="([^"]*)"', page)]))
    for name in literature.PUBLISHED:
        shown = shown.replace(name, "")
    assert english_words_in(shown) == set()
    for table in (copied / "tables").glob("*.csv"):
        assert english_words_in(re.sub(r"\w+[-_]\w+", "", table.read_text())) == set(), table.name
    words = read_words("zh") | {"column.knob": WORDS["column.knob"], "fact.twins": WORDS["fact.twins"]}
    monkeypatch.setattr("mmlab.report.words.read_words", lambda language: words)
    build(copied, language="zh")
    page = without_code((copied / "report.html").read_text())
    assert english_words_in(re.sub(r"<[^>]+>", " ", page)) == {"knob", "twin", "groups"}  # the twin


def words_drawn(figure) -> str:
    from matplotlib.text import Text

    ticks = [axis.get_ticklabels() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    texts = [*itertools.chain.from_iterable(ticks), *figure.findobj(Text)]
    return "\n".join(text.get_text() for text in texts if text.get_visible())


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_english_word_is_left_in_chinese_figures(copied, monkeypatch, language):
    drawn, save = {}, Figure.save

    def look(figure, folder):
        drawn[figure.name] = words_drawn(np.ravel(figure.axes)[0].figure)
        return save(figure, folder)

    monkeypatch.setattr(Figure, "save", look)
    for place in ("mmlab.plots.can_draw", "mmlab.plots.style.can_draw"):
        monkeypatch.setattr(place, lambda text: True)
    build(copied, language=language)
    left = {name: words_in(words) - words_of("zh") - CODE for name, words in drawn.items()}
    assert len(left) >= 9
    if language == "zh":
        assert left == dict.fromkeys(left, set())
    else:
        assert all(len(words) >= 2 for words in left.values()), left  # the twin


def test_without_a_font_for_it_the_figures_stay_english_and_the_report_says_so(copied, monkeypatch):
    monkeypatch.setattr("mmlab.plots.can_draw", lambda text: False)
    assert build(copied, language="zh").gaps == []
    notice = read_words("zh")["fontless"]
    assert notice in text_of(copied / "report.html")
    build(copied)
    assert 'class="notice"' not in (copied / "report.html").read_text().partition("<h2")[0]
    monkeypatch.setattr("mmlab.plots.can_draw", lambda text: True)
    build(copied, language="zh")
    assert notice not in text_of(copied / "report.html")
