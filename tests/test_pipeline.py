"""The seven notebooks as one call: what it refuses before the first starts, and that knobs reach each notebook."""

import shutil
import time
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path

import pytest

from mmlab.config import RunConfig, list_fusions, read_knobs
from mmlab.course import read_course
from mmlab.errors import ConfigError, CourseError, EncoderError, RunError
from mmlab.features import encode_course
from mmlab.runs.records import read_record, write_record
from mmlab.workbook import NAMES, NOTEBOOKS, Timeline, execute, pipeline, read_timeline, run_notebook, run_workbook
from mmlab.workbook.estimate import are_trained, estimate_seconds, find_cost
from mmlab.workbook.note import read_note
from mmlab.workbook.parameters import share_parameters

SMALL = {"folds": 2, "seeds": 1}


@pytest.mark.parametrize("fusion", ["late", "attention"])
def test_the_fusion_notebook_runs_to_its_end_with_the_fusions_of_its_exercise(fusion, demo_folder, tmp_path):
    source = NOTEBOOKS / "04_fusion.ipynb"
    places = {"data": str(demo_folder), "results": str(tmp_path / "results")}
    run_notebook(source, tmp_path / "04.ipynb", {**places, **SMALL, "fusion": fusion, "epochs": 1})
    assert "the same joint logits as the model returns: True" in (tmp_path / "04.ipynb").read_text()


def test_a_bad_folder_is_refused_before_any_notebook_runs(tmp_path):
    done: list[str] = []
    with pytest.raises(CourseError):
        run_workbook(tmp_path / "nowhere", tmp_path / "results", {}, lambda name, *_: done.append(name))
    assert not done and not (tmp_path / "results").exists()


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
        run_workbook(course, results, {}, lambda name, *_: done.append(name))
    assert not done and sorted(course.rglob("*")) == before and (tmp_path / "file").read_text() == "kept"


@pytest.fixture
def executed(monkeypatch) -> dict[str, execute.Job]:
    """The jobs of a workbook by notebook; each is taken as done without a kernel."""
    jobs = {}

    def pretend(given, workers=1, **_):
        results = Path(given[0].parameters["results"])
        for number, job in enumerate(given):
            name = Path(job.source).stem
            jobs[name] = job
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            Path(job.output).write_text(name)
            (results / "runs" / "the-run").mkdir(parents=True, exist_ok=True)
            write_record(results, name, {"runs": {"main": "the-run"}})
            yield number, execute.NotebookResult(Path(job.output), time.perf_counter(), 1.0, {})

    ended: Future = Future()
    ended.set_result((time.perf_counter(), time.perf_counter()))
    encoded = pipeline.Encoding(time.perf_counter(), ended, Path("nowhere"))
    monkeypatch.setattr(pipeline, "run_notebooks", pretend)
    monkeypatch.setattr(pipeline, "open_nursery", nullcontext)
    monkeypatch.setattr(pipeline, "_encode_ahead", lambda *_: nullcontext(encoded))
    return jobs


def test_encoding_begins_in_a_process_of_its_own_that_reports_nothing(folder, tmp_path):
    """What it encodes is there for the notebooks; where it fails, the notebook that needs the features will say so."""

    def count_missing():
        return encode_course(read_course(folder), progress=None).encoded

    with pipeline._encode_ahead(None, tmp_path / "nowhere", {}) as failed:
        started, ended = failed.ended.result()
    with pipeline._encode_ahead(None, folder, {}) as stopped:
        pass
    assert started < ended and stopped.ended.done() and failed.underway == []
    with pipeline._encode_ahead(None, folder, {}) as encoded:
        encoded.ended.result()
        assert read_note(encoded.note) == (57, 57) and encoded.underway == []
    assert count_missing() == {"text": 0, "image": 0}


def test_the_timeline_knows_what_each_part_waited_for(tmp_path):
    timeline = Timeline()
    begun = timeline.begun
    timeline.add("imports", begun, begun + 2)
    timeline.add("02", begun + 2, begun + 10)
    timeline.add("03", begun + 12, begun + 15, needs=("02",))
    timeline.add("01", begun + 5, begun + 6)
    with timeline.measure("report", needs=("02", "03")):
        pass
    timeline.write(tmp_path)
    *parts, report = read_timeline(tmp_path)
    assert [tuple(part.values()) for part in parts] == [
        ("imports", 0.0, 0.0, 2.0), ("02", 2.0, 2.0, 10.0), ("03", 10.0, 12.0, 15.0), ("01", 2.0, 5.0, 6.0),
    ]  # fmt: skip
    assert report["ready"] <= report["start"] <= report["end"]
    assert read_timeline(tmp_path / "nothing") == []


def test_every_notebook_gets_the_knobs_it_declares_and_the_others_in_one_text(executed, demo_folder, tmp_path):
    steps = []
    knobs = {**SMALL, "lr": 0.01, "hidden": 64, "class_weights": True}
    seconds = run_workbook(
        demo_folder,
        tmp_path,
        knobs,
        on_done=lambda name, *_: steps.append(name),
        write_report=lambda nursery: steps.append("report"),
    )
    assert sorted(seconds) == sorted(NAMES) and steps[-2:] == ["report", "07_report"]
    assert (tmp_path / "runs" / "the-run" / "notebook.ipynb").read_text() == "04_fusion"
    given = {name: job.parameters for name, job in executed.items()}
    assert (given["04_fusion"]["lr"], given["04_fusion"]["folds"]) == (0.01, 2)
    assert read_knobs(given["04_fusion"]["knobs"]) == {"hidden": 64, "class_weights": True}
    assert read_knobs(given["02_text_only"]["knobs"]) == {"lr": 0.01, "hidden": 64, "class_weights": True}
    assert set(given["01_data_exploration"]) == {"data", "results"} and set(given["07_report"]) == {"results"}
    assert read_record(tmp_path, "workbook") == {"data": str(demo_folder), "knobs": knobs}
    for name in ("02_text_only", "03_image_only", "06_ablation"):  # 06 must look for the very runs of 02 and 03
        everything = {**given[name], **read_knobs(given[name]["knobs"])}
        assert {one: everything[one] for one in knobs} == knobs


def test_a_run_tells_how_long_it_takes_before_it_starts_and_less_once_all_is_there(executed, demo_folder, tmp_path):
    told = []
    for fusion in ("gated", "transformer", "transformer"):
        run_workbook(demo_folder, tmp_path, {**SMALL, "fusion": fusion}, on_start=told.append)
        (tmp_path / "runs" / "the-run" / "metrics.json").write_text("{}")
    gated, slower, again = told
    assert again < gated < slower
    with pytest.raises(CourseError):  # the twin: nothing is told of what does not start
        run_workbook(tmp_path / "nowhere", tmp_path, SMALL, on_start=told.append)
    run_workbook(demo_folder, tmp_path, SMALL, only="02_text_only", on_start=told.append)
    assert told[3:] == [None]


def test_an_estimate_grows_with_pairs_models_the_fusion_and_what_is_not_encoded(folder, tmp_path):
    course, config = read_course(folder), RunConfig(**SMALL)
    base = estimate_seconds(config, course, trained=False)
    assert base > estimate_seconds(config, course, trained=True)
    assert base < estimate_seconds(config.replace(seeds=3), course, trained=False)
    assert base < estimate_seconds(config.replace(fusion="attention"), course, trained=False)
    encode_course(course, progress=None)
    assert estimate_seconds(config, course, trained=False) < base  # nothing is left to encode
    assert not are_trained(tmp_path, "workbook", {})


def test_the_cost_of_a_fusion_is_read_from_its_class_without_torch():
    from mmlab.models import FUSIONS

    assert {name: find_cost(name) for name in list_fusions()} == {name: one.cost for name, one in FUSIONS.items()}
    assert find_cost("late") < find_cost("gated") == 1 < find_cost("attention") < find_cost("transformer")
    assert find_cost("somebody's own") == 1


def test_one_notebook_alone_is_neither_recorded_nor_reported(executed, demo_folder, tmp_path):
    def write_report(nursery):
        pytest.fail("a report was written")

    seconds = run_workbook(demo_folder, tmp_path, SMALL, only="02_text_only", write_report=write_report)
    assert list(seconds) == ["02_text_only"] and not (tmp_path / "records" / "workbook.json").exists()
    assert executed["02_text_only"].after == () and executed["02_text_only"].skip == ("exercise",)


@pytest.mark.parametrize(
    ("knobs", "error", "words"),
    [
        ({"hiden": 64}, ConfigError, "hidden"),
        ({"text_layers": 2}, ConfigError, "mmlab train. and --set text_layers=2"),
        ({"scenario": "text_only"}, ConfigError, "02_text_only"),
        ({"text_encoder": "./no"}, EncoderError, "./no"),
        ({"image_encoder": "./no"}, EncoderError, "./no"),
    ],
)
def test_knobs_that_no_notebook_can_use_are_refused_first(executed, demo_folder, tmp_path, knobs, error, words):
    with pytest.raises(error, match=words):
        run_workbook(demo_folder, tmp_path / "results", knobs)
    assert not executed and not (tmp_path / "results").exists()


def test_an_encoder_folder_reaches_every_notebook_as_an_absolute_path(executed, demo_folder, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    run_workbook(demo_folder, tmp_path / "results", {"text_encoder": "./mine"})
    for name in NAMES[1:-1]:
        assert read_knobs(executed[name].parameters["knobs"]) == {"text_encoder": str(tmp_path / "mine")}


def test_a_knob_that_is_declared_and_travels_as_well_is_refused(tmp_path):
    with pytest.raises(RunError, match="declares 'lr': set it there"):
        share_parameters([NOTEBOOKS / "04_fusion.ipynb"], tmp_path, {"knobs": "lr=0.1"})
