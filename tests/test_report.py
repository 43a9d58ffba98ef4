"""The whole workbook at a small size: what it writes, that it repeats itself to the byte, and that it refuses gaps."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mmlab.course.reading import read_course, verify_predictions
from mmlab.errors import CourseError, RunError
from mmlab.report import build as report
from mmlab.report import predict_test
from mmlab.runs import find_siblings
from mmlab.workbook.execute import run_notebook

# Two folds and one seed: the same path as the real thing in a fraction of the time.
SMALL = {"folds": 2, "seeds": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, demo_folder):
    results = tmp_path_factory.mktemp("workbook") / "results"
    done = []
    outcome = report.run_workbook(demo_folder, results, SMALL, lambda name, *_: done.append(name))
    return results, outcome, done


@pytest.mark.parametrize("fusion", ["late", "attention"])
def test_the_fusion_notebook_runs_to_its_end_with_the_fusions_of_its_exercise(fusion, demo_folder, tmp_path):
    source = report.NOTEBOOKS / "04_fusion.ipynb"
    places = {"data": str(demo_folder), "results": str(tmp_path / "results")}
    run_notebook(source, tmp_path / "04.ipynb", {**places, **SMALL, "fusion": fusion, "epochs": 1})
    assert "this is what the joint logits are: True" in (tmp_path / "04.ipynb").read_text()


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "results")


def test_every_notebook_runs_and_leaves_its_execution(finished):
    results, _, done = finished
    assert sorted(done) == sorted(report.NAMES)
    for name in report.NAMES:
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
    assert set(summary["seconds"]["notebooks"]) == set(report.NAMES)
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
    with pytest.raises(RunError, match="comes from other data"):
        report.read_runs(copied)


def test_a_bad_folder_is_refused_before_any_notebook_runs(tmp_path):
    done: list[str] = []
    with pytest.raises(CourseError):
        report.run_workbook(tmp_path / "nowhere", tmp_path / "results", {}, lambda name, *_: done.append(name))
    assert not done and not (tmp_path / "results").exists()


def test_another_course_is_predicted_with_the_finished_run(finished, demo_folder, tmp_path):
    other = Path(shutil.copytree(demo_folder, tmp_path / "other"))
    lines = (other / "test_without_label.txt").read_text().splitlines()
    (other / "test_without_label.txt").write_text("\n".join(lines[:41]) + "\n")
    path, rows = predict_test(other, finished[0], tmp_path / "out.txt", "text_and_image")
    assert rows == 40
    expected = (finished[0] / "test_result.txt").read_text().splitlines()[:41]
    assert path.read_text().splitlines() == expected, "the same models give the same answers to the same pairs"


@pytest.mark.parametrize("where", ["a file", "in the course", "the course", "nowhere to write"])
def test_a_results_folder_that_cannot_be_used_is_refused_first(demo_folder, tmp_path, where):
    (tmp_path / "file").write_text("kept")
    course = Path(shutil.copytree(demo_folder, tmp_path / "course"))
    results = {
        "a file": tmp_path / "file",
        "in the course": course / "results",
        "the course": course,
        "nowhere to write": Path("/proc/nowhere") if Path("/proc").is_dir() else tmp_path / "file" / "below",
    }[where]
    before = sorted(course.rglob("*"))
    done: list[str] = []
    with pytest.raises(RunError, match="Choose another"):
        report.run_workbook(course, results, {}, lambda name, *_: done.append(name))
    assert not done and sorted(course.rglob("*")) == before and (tmp_path / "file").read_text() == "kept"


def test_more_folds_than_pairs_are_refused_before_any_notebook_runs(demo_folder, tmp_path):
    with pytest.raises(CourseError, match="folds"):
        report.run_workbook(demo_folder, tmp_path / "results", {"folds": 127})
    assert not (tmp_path / "results").exists()


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
