"""The report of a finished results folder: what it says, what it says when something is missing, and its files."""

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
from reports import SMALL, build, draw_nothing, seal_again, text_of

from mmlab.cli.app import app
from mmlab.config import LABELS, RunConfig
from mmlab.course.reading import read_course
from mmlab.errors import ConfigError, RunError
from mmlab.evaluation import METRICS, Metric
from mmlab.features import encode_course
from mmlab.report import SECTIONS, Compared, Evidence, Figure, Paragraph, Say, Section
from mmlab.report import build as report
from mmlab.report.evidence import PARTS
from mmlab.report.sections import conclusions as literature
from mmlab.report.words import read_words
from mmlab.report.writer import report_digest
from mmlab.runs import read_record, run_folder, train_run
from mmlab.runs.records import write_record
from mmlab.workbook import NAMES
from mmlab.workbook.grid import Grid

WORDS = read_words("en")
ROOT = Path(__file__).resolve().parents[1]


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
                "conclusions", "limits", "provenance"):  # fmt: skip
        assert WORDS[f"section.{key}"] in page
    assert WORDS["section.missing"] not in page and "nan" not in page.split()


def test_the_coursework_and_the_papers_are_compared_only_on_their_data(copied, monkeypatch):
    assert literature.COURSEWORK_DATA == 4511
    build(copied)
    assert WORDS["section.others"] not in text_of(copied / "report.html")
    main = report.read_runs(copied)["main"].provenance
    monkeypatch.setattr(literature, "COURSEWORK_DATA", main["n_labelled"] + main["n_test"])  # were these its data
    assert build(copied).gaps == []
    page = text_of(copied / "report.html")
    assert WORDS["section.others"] in page and "58.63 %" in page and "MultiSentiNet" in page


def recall_in(run) -> dict[str, float]:
    """Recall of each label, computed from the file of predictions alone."""
    frame = pd.read_csv(run.folder / "predictions.csv")
    columns = [f"text_and_image_{label}" for label in LABELS]
    right = frame[columns].idxmax(axis=1).str.removeprefix("text_and_image_") == frame["label"]
    return right.groupby(frame["label"]).mean().to_dict()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_weakest_recall_is_a_conclusion(copied, language):
    run = report.read_runs(copied)["main"]

    def stated() -> tuple[str, str]:
        build(copied, language=language)
        words = read_words(language)
        sentence = words["conclude.weakest"].format(label="@", model=words["answers.neural"], recall="@", n="@")
        pattern = (
            re.escape(sentence).replace("@", "(.+?)", 1).replace("@", r"(\d\.\d+) \[.+?\]", 1).replace("@", r"\d+")
        )
        return re.search(pattern, text_of(copied / "report.html")).groups()

    recall = recall_in(run)
    weakest = min(recall, key=recall.get)
    assert stated() == (weakest, f"{recall[weakest]:.3f}")
    frame = pd.read_csv(run.folder / "predictions.csv", dtype=str)  # the twin: another label is now found least often
    other = next(label for label in LABELS if label != weakest)
    columns = [f"text_and_image_{label}" for label in LABELS]
    frame.loc[frame["label"] == other, columns] = [str(float(label == weakest)) for label in LABELS]
    frame.to_csv(run.folder / "predictions.csv", index=False)
    seal_again(run.folder)
    assert stated() == (other, "0.000")


def test_every_number_of_the_scores_comes_from_a_run(copied):
    """Change a run's predictions on disk, and the report and metrics.json change with them."""
    run = report.read_runs(copied)["main"]
    build(copied)
    assert str(run.scores["text_and_image"].accuracy) in text_of(copied / "report.html")
    frame = pd.read_csv(run.folder / "predictions.csv", dtype=str)
    columns = [f"text_and_image_{label}" for label in ("negative", "neutral", "positive")]
    frame[columns] = ["0", "1", "0"]  # always neutral
    frame.to_csv(run.folder / "predictions.csv", index=False)
    seal_again(run.folder)
    report.rebuild_report(copied, pdf=False)
    share = (frame["label"] == "neutral").mean()
    table = pd.read_csv(copied / "tables" / "results.csv").set_index("model")
    assert table.loc["joint", "accuracy"].startswith(f"{share:.3f} [")
    assert table.loc["joint", "accuracy"] in text_of(copied / "report.html")
    scores = json.loads((copied / "metrics.json").read_text())["scores"]
    assert scores["text_and_image"]["accuracy"][0] == pytest.approx(share)


def test_tables_have_three_formats_and_figures_two(finished):
    names = {path.stem for path in (finished / "tables").iterdir()}
    assert {"results", "differences", "ablation", "grid", "knobs", "provenance"} <= names
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
def test_a_run_that_was_deleted_is_reported_with_its_command(copied, part):
    folder = report.read_runs(copied)[part].folder
    shutil.rmtree(folder)
    built = build(copied)
    page = text_of(copied / "report.html")
    assert len(built.gaps) == 1 and folder.name in built.gaps[0] and "mmlab run --only" in built.gaps[0]
    assert WORDS["section.missing"] in page and folder.name in page


@pytest.mark.parametrize(
    "file",
    ["config.json", "metrics.json", "predictions.csv", "test_predictions.csv", "history.csv", "best_epochs.csv",
     "model_fold0_seed0.safetensors", "model_fold1_seed0.safetensors"],
)  # fmt: skip
def test_a_damaged_file_is_reported_and_the_rest_is_shown(copied, file):
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
    seal_again(run.folder)
    built = build(copied)
    assert len(built.gaps) == 1 and run.id in built.gaps[0] and "is left out" in built.gaps[0]
    assert "TF-IDF" not in set(pd.read_csv(copied / "tables" / "results.csv")["model"])


def test_a_run_of_older_code_is_marked(copied):
    run = report.read_runs(copied)["image_only"]
    record = json.loads((run.folder / "config.json").read_text())
    record["provenance"]["code"] = "older"
    (run.folder / "config.json").write_text(json.dumps(record))
    seal_again(run.folder)
    built = build(copied)
    assert built.gaps == []
    assert "older version of the code than this report: image alone." in " ".join(
        text_of(copied / "report.html").split()
    )


def test_a_record_that_is_missing_or_no_json_is_reported(copied):
    (copied / "records" / "01_data_exploration.json").unlink()
    (copied / "records" / "06_ablation.json").write_text("{")
    built = build(copied)
    assert len(built.gaps) == 2
    assert "01_data_exploration" in built.gaps[0] and "06_ablation" in built.gaps[1]
    write_record(copied, "06_ablation", {"runs": [1]})
    assert "runs is of type list" in build(copied).gaps[1]


def test_an_empty_folder_is_refused_and_stays_empty(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        report.rebuild_report(tmp_path, pdf=False)
    assert not any(tmp_path.iterdir())


def test_a_folder_of_records_alone_gives_a_report_of_gaps(tmp_path):
    (tmp_path / "records").mkdir()
    built = report.rebuild_report(tmp_path, pdf=False)
    assert len(built.gaps) == len(NAMES) - 1 and built.scores == {}
    assert WORDS["section.missing"] in text_of(tmp_path / "report.html")


def test_a_results_folder_that_cannot_be_written_is_refused(copied, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mmlab.runs.results.tempfile.TemporaryFile", refuse)
    with pytest.raises(RunError, match=r"cannot be written \(Permission denied\)"):
        report.rebuild_report(copied, pdf=False)


def test_a_setting_that_is_gone_is_reported(copied):
    assert build(copied).gaps == []
    shutil.rmtree(next((copied / "grid" / "runs").iterdir()))
    (gap,) = build(copied).gaps
    assert "grid/runs/text_and_image" in gap and "--only 05_hyperparameter_grid" in gap


def test_a_course_folder_that_does_not_fit_is_reported_when_it_was_asked_for(copied, demo_folder, tmp_path):
    (gap,) = build(copied, data=tmp_path / "nowhere").gaps
    assert "nowhere" in gap and "--data" in gap
    other = Path(shutil.copytree(demo_folder, tmp_path / "other"))
    train = (other / "train.txt").read_text()
    (other / "train.txt").write_text(train.replace("positive", "neutral", 1))
    (gap,) = build(copied, data=other).gaps
    assert "holds other data" in gap


def test_example_pairs_need_the_course_and_say_so(copied, demo_folder, tmp_path):
    write_record(copied, "workbook", {"data": "nowhere", "knobs": SMALL})
    built = build(copied)
    assert built.gaps == []
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


def test_an_unknown_language_is_refused(copied):
    with pytest.raises(ConfigError, match="--language: language 'de'"):
        build(copied, language="de")


# ------------------------------------------------------------------------------------------------------ grids


def test_the_courseworks_grid_is_shown_next_to_its_numbers_once_it_was_run(finished):
    evidence, values = Evidence.gather(finished), literature.COURSEWORK_GRID
    main = evidence.runs["main"]
    origin = main.provenance | {"n_labelled": literature.COURSEWORK_DATA - main.provenance["n_test"]}
    main = evidence.runs["main"] = replace(main, provenance=origin)
    assert WORDS["others.nogrid"].partition("{")[0] in literature.others(evidence, Say())[1].text
    evidence.__dict__.pop("grid")
    evidence.__dict__["grid"] = [
        replace(main, config=main.config.replace(lr=lr, dropout=dropout))
        for lr in values["lr"]
        for dropout in values["dropout"]
    ]
    captions = [block.caption for block in literature.others(evidence, Say()) if isinstance(block, Figure)]
    assert captions == [WORDS["others.grid"]]
    evidence.__dict__["grid"] = evidence.grid[:-1]  # one setting is missing: no picture that looks complete
    assert not any(isinstance(block, Figure) for block in literature.others(evidence, Say()))


def test_a_grid_alone_already_gives_a_report(demo_folder, tmp_path, monkeypatch, picture):
    draw_nothing(monkeypatch, picture)
    Grid(demo_folder, tmp_path, {"lr": [1e-2, 1e-3]}, {"folds": 0, "seeds": 1, "epochs": 1}).run(2)
    built = report.rebuild_report(tmp_path, pdf=False)
    page, source = text_of(tmp_path / "report.html"), (tmp_path / "report.html").read_text()
    assert "lr 0.01, dropout 0.6" in page and WORDS["training.settings"] in page
    assert built.gaps == [] and source.count('class="notice"') == 1 and "mmlab run --data" in page
    assert f"<h1>{WORDS['title.grid']}</h1>" in source and WORDS["section.results"] not in page
    for key in ("environment", "provenance"):
        assert WORDS[f"section.{key}"] in page
    with pytest.raises(RunError, match="holds a grid alone"):
        report.publish(tmp_path)
    # The twin: the notebooks were begun, and what they lack is named.
    write_record(tmp_path, "workbook", {"data": str(demo_folder), "knobs": {}})
    assert len(report.rebuild_report(tmp_path, pdf=False).gaps) == len(NAMES) - 1
    assert f"<h1>{WORDS['title']}</h1>" in (tmp_path / "report.html").read_text()


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


# --------------------------------------------------------------------------------- evidence: one source of numbers


def test_an_interval_of_a_share_is_wilsons():
    low, high = literature.share_interval(0.5, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)  # worked out by hand
    assert literature.share_interval(0.0, 10)[0] == pytest.approx(0, abs=1e-12)
    assert literature.share_interval(0.0, 10)[1] > 0.2


def test_a_comparison_of_what_is_missing_names_it_and_gives_no_number(finished):
    evidence = Evidence.gather(finished)
    joint, head = evidence.rows("main")[:2]
    nobody = evidence.row("nobody", "text_only")
    assert Compared.of(joint, nobody).result is None and Compared.of(joint, nobody).missing == [nobody]
    found = Compared.of(joint, head)
    assert found.result.n == 600 and found.missing == [] and found.better is joint
    assert Compared.of(head, joint).better is joint and Compared.of(joint, joint).better is None


def test_metrics_json_and_the_tables_say_the_same(finished):
    summary = json.loads((finished / "metrics.json").read_text())
    evidence = Evidence.gather(finished)
    assert set(summary["others"]) | {"main"} == set(PARTS) == set(evidence.runs)
    for name, part in PARTS.items():
        scores = summary["scores"] if name == "main" else summary["others"][name]
        for scenario in part.scenarios:
            assert scores[scenario] == evidence.row(name, scenario).scores.to_dict(), (name, scenario)
    compared = [*evidence.comparisons, *evidence.ablations]
    assert summary["comparisons"] == {one.name: one.result.to_dict() for one in compared}
    tables = [pd.read_csv(finished / "tables" / f"{name}.csv") for name in ("differences", "ablation_differences")]
    assert list(pd.concat(tables)["a − b"]) == list(summary["comparisons"])


# ---------------------------------------------------------------------------------------------- adding is local


def test_a_new_section_is_one_entry(copied, monkeypatch):
    toy = Section("toy", lambda evidence, say: [Paragraph(f"Seen: {evidence.main.id}")], "five")
    monkeypatch.setattr("mmlab.report.writer.SECTIONS", [*SECTIONS, toy])
    build(copied)
    page = (copied / "report.html").read_text()
    assert ">toy</h2>" in page and f"Seen: {report.read_runs(copied)['main'].id}" in page


def test_a_section_that_fails_is_a_notice_and_the_others_are_written(copied, monkeypatch):
    def fail(evidence, say):
        raise KeyError("n_labelled")

    monkeypatch.setattr("mmlab.report.writer.SECTIONS", [Section("toy", fail, "one"), *SECTIONS])
    (gap,) = build(copied).gaps
    assert "“toy” could not be written" in gap and "KeyError: 'n_labelled'" in gap
    assert WORDS["section.results"] in text_of(copied / "report.html")


def test_a_new_metric_is_shown_for_runs_that_were_saved_without_it(copied, monkeypatch):
    def share_of_neutral(confusion):
        return confusion[..., 1].sum(-1) / confusion.sum(axis=(-2, -1))

    monkeypatch.setitem(METRICS, "toy", Metric("toy", "toy metric", "the share of neutral answers", share_of_neutral))
    report.rebuild_report(copied, pdf=False)
    row = pd.read_csv(copied / "tables" / "results.csv").set_index("model").loc["majority"]
    assert row["toy metric"].startswith("0.000 [")
    assert "toy metric" in pd.read_csv(copied / "tables" / "grid.csv")
    assert "toy metric" in text_of(copied / "report.html")
    summary = json.loads((copied / "metrics.json").read_text())
    assert summary["others"]["majority"]["majority"]["toy"] == [0.0, 0.0, 0.0]
    assert summary["scores"]["text_and_image"]["toy"][0] > 0.1  # the twin: it is computed, not filled in


def test_a_new_fusion_goes_from_training_to_report(copied, demo_folder, monkeypatch):
    from mmlab import models

    monkeypatch.setitem(models.FUSIONS, "toy", None)  # taken out again after the test

    class ToyFusion(models.ConcatFusion, name="toy"):
        """Like concat; it declares no formula."""

    models.FUSIONS["toy"] = ToyFusion
    config = RunConfig(fusion="toy", epochs=1, **SMALL)
    course = read_course(demo_folder)
    run = train_run(config, course, encode_course(course, progress=False), copied)
    write_record(copied, "04_fusion", read_record(copied, "04_fusion") | {"runs": {"main": run.id}})
    assert build(copied).gaps == []
    page = (copied / "report.html").read_text()
    assert "the fusion (<code>toy</code>)" in page and page.count("<math") == 2
    ToyFusion.formula = "z = t"
    build(copied)
    assert (copied / "report.html").read_text().count("<math") == 3


# ------------------------------------------------------------------------------------ the demo report in the project


def test_the_committed_report_of_the_demo_is_current(demo_folder):
    """Its code, data and knobs are those of now: `make example` writes it again."""
    folder = ROOT / "results" / "demo"
    source = (folder / "report.html").read_text()
    meta = dict(re.findall(r'<meta name="(mmlab-[a-z-]+)" content="([^"]*)">', source))
    assert meta["mmlab-report-code"] == report_digest(), "make example"
    course = read_course(demo_folder)
    features = encode_course(course, progress=False)
    assert meta["mmlab-main-run"] == run_folder(RunConfig(), course, features, ".").name, "make example"
    assert WORDS["section.missing"] not in source
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2_000_000


def test_an_address_in_a_page_would_be_seen():
    assert Page('<img src="http://a/b.png">').fetched == ["http://a/b.png"]  # the twin of the first test
