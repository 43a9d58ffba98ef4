"""The whole workbook at a small size: what it writes, that it repeats itself to the byte, and that it refuses gaps."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from reports import seal_again

from mmlab.course import read_course, verify_predictions
from mmlab.errors import ConfigError, RunError
from mmlab.processes import open_nursery
from mmlab.report import build as report
from mmlab.report import predict_test, process
from mmlab.report.process import rebuild_warm
from mmlab.runs import find_siblings
from mmlab.workbook import NAMES, run_workbook

# Two folds and one seed: the same path as the real thing in a fraction of the time.
SMALL = {"folds": 2, "seeds": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, demo_folder):
    results = tmp_path_factory.mktemp("workbook") / "results"
    done = []

    def write_report(nursery) -> None:
        report.rebuild_report(results)

    seconds = run_workbook(demo_folder, results, SMALL, lambda name, *_: done.append(name), write_report=write_report)
    report.publish(results, seconds)
    return results, done


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "results")


def test_every_notebook_runs_and_leaves_its_execution(finished):
    results, done = finished
    assert sorted(done) == sorted(NAMES)
    for name in NAMES:
        assert (results / "notebooks" / f"{name}.ipynb").is_file()


def test_the_prediction_files_are_sound_and_differ(finished, demo_folder):
    results = finished[0]
    course = read_course(demo_folder)
    files = sorted(results.glob("test_result_*.txt"))
    assert len(files) == 3
    assert len({file.read_text() for file in files}) == 3
    verdict = verify_predictions(results / "test_result.txt", course, find_siblings(results / "test_result.txt"))
    assert verdict.ok, verdict.problems
    header, *rows = (results / "test_result.txt").read_text().splitlines()
    assert header == "guid,tag"
    assert [row.split(",")[0] for row in rows] == list(course.test["guid"])


def test_metrics_hold_scores_intervals_and_seconds(finished):
    summary = json.loads((finished[0] / "metrics.json").read_text())
    assert set(summary["scores"]) == {"text_only", "image_only", "text_and_image"}
    value, low, high = summary["scores"]["text_and_image"]["accuracy"]
    assert low < value < high
    assert set(summary["seconds"]["notebooks"]) == set(NAMES)
    assert summary["comparisons"]["joint − text head"]["difference"][1] > 0, "two modalities beat one on the demo"


def test_the_score_is_that_of_the_predictions_on_disk(finished):
    results = finished[0]
    run = report.read_runs(results)["main"]
    frame = pd.read_csv(run.folder / "predictions.csv", dtype={"guid": str})
    columns = [f"text_and_image_{label}" for label in ("negative", "neutral", "positive")]
    answers = frame[columns].idxmax(axis=1).str.removeprefix("text_and_image_")
    summary = json.loads((results / "metrics.json").read_text())
    assert summary["scores"]["text_and_image"]["accuracy"][0] == pytest.approx((answers == frame["label"]).mean())


def test_the_report_is_one_file_that_fetches_nothing(finished):
    html = (finished[0] / "report.html").read_text()
    assert "data:image/png;base64" in html
    for tag in ('src="http', "src='http", 'rel="stylesheet" href="http', "@import url(http"):
        assert tag not in html


def test_the_same_command_twice_trains_once_and_writes_the_same(copied, demo_folder, monkeypatch):
    import mmlab.training

    before = {file.name: file.read_bytes() for file in copied.glob("test_result*.txt")}
    scores = json.loads((copied / "metrics.json").read_text())["scores"]
    runs = {path: path.stat().st_mtime_ns for path in sorted(copied.glob("runs/*/metrics.json"))}
    monkeypatch.setattr(mmlab.training, "fit", None)  # the kernels are other processes; the times below tell
    report.rebuild_report(copied)
    assert {file.name: file.read_bytes() for file in copied.glob("test_result*.txt")} == before
    assert json.loads((copied / "metrics.json").read_text())["scores"] == scores
    assert {path: path.stat().st_mtime_ns for path in sorted(copied.glob("runs/*/metrics.json"))} == runs


def test_training_again_from_nothing_gives_the_same_bytes(finished, demo_folder, tmp_path):
    from mmlab.features import encode_course
    from mmlab.runs import train_run

    run = report.read_runs(finished[0])["main"]
    course = read_course(demo_folder)
    again = train_run(run.config, course, encode_course(course, progress=False), tmp_path)
    assert again.id == run.id
    for name in ("predictions.csv", "test_predictions.csv", *[p.name for p in run.folder.glob("test_result*.txt")]):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes(), name


def test_a_missing_run_is_named(copied):
    victim = report.read_runs(copied)["tfidf"].folder
    shutil.rmtree(victim)
    with pytest.raises(RunError, match=victim.name):
        report.publish(copied)


def test_runs_of_two_courses_are_not_mixed(copied):
    run = report.read_runs(copied)["tfidf"]
    path = run.folder / "config.json"
    record = json.loads(path.read_text())
    record["provenance"]["data_fingerprint"] = "0" * 64
    path.write_text(json.dumps(record))
    seal_again(run.folder)
    with pytest.raises(RunError, match="comes from other data"):
        report.read_runs(copied)


def test_another_course_is_predicted_with_the_finished_run(finished, demo_folder, tmp_path):
    other = Path(shutil.copytree(demo_folder, tmp_path / "other"))
    lines = (other / "test_without_label.txt").read_text().splitlines()
    (other / "test_without_label.txt").write_text("\n".join(lines[:41]) + "\n")
    path, rows, _ = predict_test(other, finished[0], tmp_path / "out.txt", "text_and_image")
    assert rows == 40
    expected = (finished[0] / "test_result.txt").read_text().splitlines()[:41]
    assert path.read_text().splitlines() == expected, "the same models give the same answers to the same pairs"


@pytest.mark.parametrize("table", ["predictions.csv", "test_predictions.csv"])
def test_a_table_cut_short_is_named_with_its_fix(copied, demo_folder, tmp_path, table):
    path = report.read_runs(copied)["main"].folder / table
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:100]))
    with pytest.raises(RunError, match=f"{table}: is damaged .*Delete the run's folder"):
        if table == "predictions.csv":
            report.read_runs(copied)
        else:
            predict_test(demo_folder, copied, tmp_path / "out.txt", "text_and_image")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(("name", "words"), [("file", "is a file"), ("none", "does not exist")])
def test_a_results_folder_that_is_none_is_named(tmp_path, name, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=f"{name} {words}"):
        report.rebuild_report(tmp_path / name)


def test_a_warm_process_writes_the_same_report(copied):
    here = report.rebuild_report(copied, pdf=False)
    page = (copied / report.HTML).read_text(encoding="utf-8")
    (copied / report.HTML).unlink()
    with open_nursery(["json"]) as nursery:
        there = rebuild_warm(nursery, copied)
    assert (copied / report.HTML).read_text(encoding="utf-8") == page
    assert there.scores == here.scores and there.gaps == here.gaps == []


def test_twin_what_goes_wrong_in_the_warm_process_is_raised_here(copied, monkeypatch):
    (copied / "report.yml").write_text("nonsense: 1\n", encoding="utf-8")
    with open_nursery(["json"]) as nursery:
        with pytest.raises(ConfigError, match="report.yml"):
            rebuild_warm(nursery, copied)
        with monkeypatch.context() as patch:  # it ends without a word
            patch.setattr(process, "__name__", "site")
            with pytest.raises(RunError, match="mmlab report --results"):
                rebuild_warm(nursery, copied)
