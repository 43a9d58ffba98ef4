"""The report of a finished results folder: what it says, what it says when something is missing, and its files."""

import functools
import html
import json
import re
import shlex
import shutil
import threading
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from mmlab.cli.app import app
from mmlab.config import RunConfig
from mmlab.course.reading import read_course
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.features import encode_course
from mmlab.report import build as report
from mmlab.report import document
from mmlab.report import writer as sections
from mmlab.report.document import Document, Heading, Table, write_pdf
from mmlab.report.words import WORDS
from mmlab.report.writer import Evidence, Settings, Writer, compare_rows, share_interval
from mmlab.runs import run_folder
from mmlab.workbook import NAMES, run_workbook
from mmlab.workbook.grid import Grid

SMALL = {"folds": 2, "seeds": 1}
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, demo_folder):
    results = tmp_path_factory.mktemp("report") / "results"
    run_workbook(demo_folder, results, SMALL)
    report.rebuild_report(results)
    return results


def copy_picture(picture, figure, folder, name, subfolder):
    (folder / subfolder).mkdir(parents=True, exist_ok=True)
    shutil.copy(picture, folder / subfolder / f"{name}.png")


@pytest.fixture
def copied(finished, tmp_path, monkeypatch, picture):
    """Like the finished folder, to be damaged: runs and records. Figures are not drawn out, which takes longest."""
    monkeypatch.setattr(sections.plots, "save_figure", functools.partial(copy_picture, picture))
    for name in ("runs", "records", "grid"):
        shutil.copytree(finished / name, tmp_path / "results" / name)
    return tmp_path / "results"


def build(results, **options) -> report.Outcome:
    return report.build_report(results, pdf=False, **options)


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", page.read_text(), flags=re.S)))


class Page(HTMLParser):
    """What of a page matters to a reader who cannot see it, and what it would fetch."""

    def __init__(self, source: str):
        super().__init__()
        self.headings, self.anchors, self.links, self.alts, self.fetched, self.tags = [], set(), [], [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.anchors |= {attributes["id"]} if "id" in attributes else set()
        self.links += [attributes["href"]] if tag == "a" else []
        self.alts += [attributes.get("alt")] if tag == "img" else []
        self.fetched += [
            v for n, v in attributes.items() if n in ("src", "href", "srcset") and not v.startswith(("#", "data:"))
        ]


# ------------------------------------------------------------------------------------------------ the whole report


def test_the_page_fetches_nothing_and_can_be_read_without_eyes(finished):
    source = (finished / "report.html").read_text()
    page = Page(source)
    assert page.fetched == [] and "url(" not in source and "<script" not in source
    assert page.alts and all(page.alts)
    assert {link.removeprefix("#") for link in page.links} <= page.anchors and len(page.links) >= 10
    assert page.tags.count("math") == 3
    assert len(source) < 1_500_000


def test_the_report_has_every_section_and_no_gap(finished):
    page = text_of(finished / "report.html")
    for key in ("aim", "data", "method", "environment", "training", "results", "ablation", "errors", "prediction",
                "others", "conclusions", "limits", "provenance"):  # fmt: skip
        assert WORDS[key][0] in page
    assert WORDS["missing"][0] not in page and "nan" not in page.split()


def test_the_chinese_report_has_the_five_headings_of_the_course(copied, finished):
    build(copied, language="zh")
    page = (copied / "report.html").read_text()
    found = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert found == ["一、目的", "二、内容与设计思想", "三、使用环境", "四、实验过程", "五、总结"]
    assert 'lang="zh-CN"' in page
    english = (finished / "report.html").read_text()
    assert 'lang="en"' in english and "一、目的" not in english


def test_every_number_of_the_scores_comes_from_a_run(copied):
    """Change a run's scores on disk, and the report changes with them."""
    run = report.read_runs(copied)["main"]
    path = run.folder / "metrics.json"
    before = path.read_text()
    build(copied)
    said = str(run.scores["text_and_image"].accuracy)
    assert said in text_of(copied / "report.html")
    metrics = json.loads(before)
    metrics["scores"]["text_and_image"]["accuracy"] = [0.123, 0.111, 0.137]
    path.write_text(json.dumps(metrics))
    build(copied)
    page = text_of(copied / "report.html")
    assert "0.123 [0.111, 0.137]" in page
    table = pd.read_csv(copied / "tables" / "results.csv")
    assert table.set_index("model").loc["joint", "accuracy"] == "0.123 [0.111, 0.137]"


def test_tables_and_figures_lie_beside_it_in_three_and_two_formats(finished):
    names = {path.stem for path in (finished / "tables").iterdir()}
    assert {"results", "differences", "ablation", "grid", "provenance"} <= names
    for name in names:
        rows = len(pd.read_csv(finished / "tables" / f"{name}.csv"))
        markdown = (finished / "tables" / f"{name}.md").read_text().splitlines()
        assert len(markdown) == rows + 2 and len({line.count(" | ") for line in markdown}) == 1
        latex = (finished / "tables" / f"{name}.tex").read_text()
        assert latex.count(r"\\") == rows + 1 and r"\toprule" in latex
    assert (finished / "figures" / "report_scores.svg").is_file()


def test_the_commands_of_the_report_make_the_very_runs(finished, demo_folder, tmp_path):
    """Each is parsed by the real command line and run on an empty folder; the run has the same name."""
    from typer.testing import CliRunner

    evidence = Evidence.gather(finished)
    commands = {evidence.command_of(part): run.id for part, run in evidence.runs.items()}
    tried = set()
    for command, run_id in commands.items():
        program, *words = shlex.split(command)
        assert program == "mmlab" and words[words.index("--results") + 1] == str(finished)
        kind = (words[0], "--only" in words and words[words.index("--only") + 1])
        if kind in tried and words[0] == "run":  # one notebook makes several of them
            continue
        tried.add(kind)
        if "06_ablation" in words:  # it asks the models of the main run, which must be there
            shutil.copytree(finished / "runs", tmp_path / "runs", dirs_exist_ok=True)
            shutil.copytree(finished / "records", tmp_path / "records", dirs_exist_ok=True)
            shutil.rmtree(tmp_path / "runs" / run_id)
        words[words.index("--results") + 1] = str(tmp_path)
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        again = pd.read_csv(tmp_path / "runs" / run_id / "predictions.csv")
        pd.testing.assert_frame_equal(again, pd.read_csv(finished / "runs" / run_id / "predictions.csv"))
    assert len(tried) >= 3


# --------------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("part", ["main", "tfidf", "majority", "without_image", "shuffle_labels", "text_only"])
def test_a_run_that_was_deleted_is_told_with_its_command(copied, part):
    folder = report.read_runs(copied)[part].folder
    shutil.rmtree(folder)
    built = build(copied)
    page = text_of(copied / "report.html")
    assert len(built.gaps) == 1 and folder.name in built.gaps[0] and "mmlab run --only" in built.gaps[0]
    assert WORDS["missing"][0] in page and folder.name in page


@pytest.mark.parametrize(
    "file",
    ["config.json", "metrics.json", "predictions.csv", "test_predictions.csv", "history.csv", "best_epochs.csv",
     "model_fold0_seed0.safetensors", "model_fold1_seed0.safetensors"],
)  # fmt: skip
def test_a_damaged_file_is_told_and_the_rest_is_shown(copied, file):
    run = report.read_runs(copied)["text_only"]
    (run.folder / file).write_bytes((run.folder / file).read_bytes()[:20])
    built = build(copied)
    assert len(built.gaps) == 1 and run.id in built.gaps[0]
    table = pd.read_csv(copied / "tables" / "results.csv")
    assert "joint" in set(table["model"]) and "text alone" not in set(table["model"])
    differences = pd.read_csv(copied / "tables" / "differences.csv").set_index("a − b")
    assert differences.loc["joint − text alone", "difference"] == "missing: text alone"


@pytest.mark.parametrize("key", ["data_fingerprint", "split_hash"])
def test_a_run_of_other_data_is_refused(copied, key):
    run = report.read_runs(copied)["tfidf"]
    record = json.loads((run.folder / "config.json").read_text())
    record["provenance"][key] = "0" * 64
    (run.folder / "config.json").write_text(json.dumps(record))
    built = build(copied)
    assert len(built.gaps) == 1 and run.id in built.gaps[0] and "is left out" in built.gaps[0]
    assert "TF-IDF" not in set(pd.read_csv(copied / "tables" / "results.csv")["model"])


def test_a_run_of_older_code_is_marked(copied):
    run = report.read_runs(copied)["image_only"]
    record = json.loads((run.folder / "config.json").read_text())
    record["provenance"]["code"] = "older"
    (run.folder / "config.json").write_text(json.dumps(record))
    built = build(copied)
    assert built.gaps == []
    assert "older version of the code than this report: image_only." in " ".join(
        text_of(copied / "report.html").split()
    )


def test_a_record_that_is_missing_or_no_json_is_told(copied):
    (copied / "records" / "01_data_exploration.json").unlink()
    (copied / "records" / "06_ablation.json").write_text("{")
    built = build(copied)
    assert len(built.gaps) == 2
    assert "01_data_exploration" in built.gaps[0] and "06_ablation" in built.gaps[1]


def test_an_empty_folder_is_refused_and_stays_empty(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        report.rebuild_report(tmp_path, pdf=False)
    assert not any(tmp_path.iterdir())


def test_a_folder_of_records_alone_gives_a_report_of_gaps(tmp_path):
    (tmp_path / "records").mkdir()
    built = report.rebuild_report(tmp_path, pdf=False)
    assert len(built.gaps) == len(NAMES) - 1 and built.scores == {}
    assert WORDS["missing"][0] in text_of(tmp_path / "report.html")


def test_a_results_folder_that_cannot_be_written_is_refused(copied, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mmlab.runs.tempfile.TemporaryFile", refuse)
    with pytest.raises(RunError, match=r"cannot be written \(Permission denied\)"):
        report.rebuild_report(copied, pdf=False)


def test_a_cell_that_is_gone_is_told(copied):
    assert build(copied).gaps == []
    shutil.rmtree(next((copied / "grid" / "runs").iterdir()))
    (gap,) = build(copied).gaps
    assert "grid/runs/text_and_image" in gap and "--only 05_hyperparameter_grid" in gap


def test_a_course_folder_that_does_not_fit_is_told_when_it_was_asked_for(copied, demo_folder, tmp_path):
    (gap,) = build(copied, data=tmp_path / "nowhere").gaps
    assert "nowhere" in gap and "--data" in gap
    other = Path(shutil.copytree(demo_folder, tmp_path / "other"))
    train = (other / "train.txt").read_text()
    (other / "train.txt").write_text(train.replace("positive", "neutral", 1))
    (gap,) = build(copied, data=other).gaps
    assert "holds other data" in gap


def test_example_pairs_need_the_course_and_say_so(copied, demo_folder, tmp_path):
    (copied / "records" / "workbook.json").write_text(json.dumps({"data": "nowhere", "knobs": SMALL}))
    build(copied)
    assert "Example pairs need the course folder" in text_of(copied / "report.html")
    build(copied, data=demo_folder)
    assert "Example pairs need the course folder" not in text_of(copied / "report.html")


# ------------------------------------------------------------------------------------------------- report.yml


def test_name_number_and_own_words_come_from_report_yml(copied):
    (copied / "report.yml").write_text(
        "name: 李雷\nnumber: 0012\ntitle: Mine\nconclusions: |\n  First <b>.\n\n  Second.\n"
    )
    build(copied)
    page = (copied / "report.html").read_text()
    for words in ("李雷", "<h1>Mine</h1>", "First &lt;b&gt;.", "<p>Second.</p>"):
        assert words in page
    (copied / "report.yml").unlink()
    build(copied)
    assert "________" in (copied / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nmae: x", "Did you mean 'name'"),
        ("- a\n- b", "one `key: value` a line"),
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
        Settings.read(tmp_path / "report.yml")
    assert "report.yml" in str(caught.value)


def test_a_number_is_kept_as_it_was_written(tmp_path):
    (tmp_path / "report.yml").write_text("number: 0012\n")
    assert Settings.read(tmp_path / "report.yml").number == "0012"


def test_an_unknown_language_is_refused(copied):
    with pytest.raises(ConfigError, match="--language: language 'de'"):
        build(copied, language="de")


def test_every_word_has_two_languages_with_the_same_blanks():
    for key, (english, chinese) in WORDS.items():
        assert set(re.findall(r"{(\w+)", english)) == set(re.findall(r"{(\w+)", chinese)) or not english, key


# ------------------------------------------------------------------------------------------------------ grids


def test_the_courseworks_grid_stands_beside_its_numbers_once_it_was_run(finished, demo_folder, tmp_path, monkeypatch):
    assert "The coursework's own grid was not run" in text_of(finished / "report.html")
    evidence, values = Evidence.gather(finished), sections.COURSEWORK_GRID
    main = evidence.runs["main"]
    evidence.__dict__["grid"] = [
        replace(main, config=main.config.replace(lr=lr, dropout=dropout))
        for lr in values["lr"]
        for dropout in values["dropout"]
    ]
    blocks = Writer(evidence, Settings(), tmp_path).others()
    captions = [block.caption for block in blocks if isinstance(block, document.Figure)]
    assert captions == [WORDS["others.grid"][0]]
    evidence.__dict__["grid"] = evidence.grid[:-1]  # one cell is missing: no picture that looks complete
    blocks = Writer(evidence, Settings(), tmp_path).others()
    assert not any(isinstance(block, document.Figure) for block in blocks)


def test_a_grid_alone_already_gives_a_report(demo_folder, tmp_path, monkeypatch, picture):
    monkeypatch.setattr(sections.plots, "save_figure", functools.partial(copy_picture, picture))
    Grid(demo_folder, tmp_path, {"lr": [1e-2, 1e-3]}, {"folds": 0, "seeds": 1, "epochs": 1}).run(2)
    built = report.rebuild_report(tmp_path, pdf=False)
    page = text_of(tmp_path / "report.html")
    assert "lr 0.01, dropout 0.6" in page and WORDS["training.cells"][0] in page and built.gaps


def test_watching_writes_the_report_again_when_a_run_changes(copied, monkeypatch):
    built, stop = [], threading.Event()
    monkeypatch.setattr(report, "rebuild_report", lambda *_, **__: built.append(time.monotonic()))

    class Stop(Exception):
        pass

    def sleep(seconds):
        if len(built) == 1 and not stop.is_set():
            stop.set()
            (report.read_runs(copied)["main"].folder / "metrics.json").touch()
        elif stop.is_set() and len(built) == 2:
            raise Stop

    monkeypatch.setattr(report.time, "sleep", sleep)
    with pytest.raises(Stop):
        report.watch_report(copied)
    assert len(built) == 2


# -------------------------------------------------------------------------------------------------------- files


def simple(tmp_path) -> tuple[Document, Path]:
    frame = pd.DataFrame({"a_b": ["x & y", "50 %"], "n": [1, 2]})
    blocks = [
        Heading("One"),
        document.Paragraph("*#$"),
        document.Formula(r"\frac{a}{b}"),
        Table("t", frame, "50 % of _it_"),
    ]
    made = Document("A #title", [("Name", "a_b")], [*blocks, document.Code('say "x\\y"'), document.Items(["- [1]"])])
    page = tmp_path / "page.html"
    page.write_text(made.to_html(), encoding="utf-8")
    return made, page


def test_a_pdf_is_printed_by_a_browser(tmp_path):
    if not any(map(shutil.which, document.BROWSERS)):
        pytest.skip("no browser of Chromium's family is installed")
    made, page = simple(tmp_path)
    assert write_pdf(made, page, tmp_path / "r.pdf") in document.BROWSERS
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


def test_a_browser_that_fails_is_told(tmp_path, monkeypatch):
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
    made.write_tables(tmp_path)
    assert r"x \& y" in (tmp_path / "t.tex").read_text() and r"a\_b" in (tmp_path / "t.tex").read_text()
    assert "| x & y | 1 |" in (tmp_path / "t.md").read_text()


def test_an_interval_of_a_share_is_wilsons():
    low, high = share_interval(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)  # worked out by hand
    assert share_interval(0.0, 10)[0] == pytest.approx(0, abs=1e-12) and share_interval(0.0, 10)[1] > 0.2


def test_a_comparison_of_what_is_not_there_is_a_word_not_a_number(finished):
    rows = Evidence.gather(finished).rows(("main",))
    found = compare_rows(rows, (("joint", "text head"), ("joint", "nobody")))
    assert isinstance(found["joint − nobody"], str) and found["joint − text head"].n == 600


# ------------------------------------------------------------------------------------ the demo report in the project


def test_the_committed_report_of_the_demo_is_current(demo_folder):
    """Its code, data and knobs are those of now: `make example` writes it anew."""
    folder = ROOT / "results" / "demo"
    source = (folder / "report.html").read_text()
    meta = dict(re.findall(r'<meta name="(mmlab-[a-z-]+)" content="([^"]*)">', source))
    assert meta["mmlab-report-code"] == sections.report_digest(), "make example"
    course = read_course(demo_folder)
    features = encode_course(course, progress=False)
    assert meta["mmlab-main-run"] == run_folder(RunConfig(), course, features, ".").name, "make example"
    assert WORDS["missing"][0] not in source
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2_000_000


def test_an_address_in_a_page_would_be_seen():
    assert Page('<img src="http://a/b.png">').fetched == ["http://a/b.png"]  # the twin of the first test
