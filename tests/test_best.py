"""The ensemble of `train_best` in a results folder: recorded, in the report, and whose answers are handed in."""

import json
import shutil

import pytest
from reports import SMALL, text_of

from mmlab.course import read_course, verify_predictions
from mmlab.errors import ConfigError
from mmlab.lab import load
from mmlab.report import Evidence
from mmlab.report.build import predict_test, rebuild_report
from mmlab.report.evidence import compare_views, judge_predictions
from mmlab.runs import TEST_RESULT, find_main, result_name
from mmlab.workbook.best import train_best

KNOBS = {"members": "smoke, kernel", "folds": SMALL["folds"], "views": ""}


@pytest.fixture
def best(copied, demo_folder):
    return train_best(demo_folder, copied, KNOBS)


def test_the_ensemble_answers_in_place_of_the_main_run(best, copied, demo_folder, tmp_path):
    assert find_main(copied) == best.folder
    assert load(copied).run == best
    built = rebuild_report(copied, pdf=False)
    assert built.gaps == []
    assert built.scores == best.scores
    page = text_of(copied / "report.html")
    assert "The ensemble" in page and f"an ensemble of {len(best.members)} members" in page
    assert "kernel machine" in page
    assert "handed in are those of the ensemble" in page and "model=ensemble" in page
    assert f"the answers of the ensemble to {len(best.test_predictions)} pairs" in page
    assert f"--preset best --minutes 30.0 --data {demo_folder}" in page and "--members 'smoke, kernel'" in page
    handed_in = (copied / TEST_RESULT).read_text()
    assert handed_in == best.read(result_name(best.config, "text_and_image")).decode()
    assert verify_predictions(copied / TEST_RESULT, read_course(demo_folder)).ok
    assert json.loads((copied / "metrics.json").read_text())["others"]["best"].keys() == best.scores.keys()
    path, rows, words = predict_test(demo_folder, copied, tmp_path / "out.txt", "text_and_image", accuracy=0.9)
    assert path.read_text() == handed_in and f"of {rows} answered" in words


def test_the_joint_answer_comes_last_also_where_a_first_member_has_no_share(best, copied):
    lab = load(copied)
    shares = [
        {**shares, "text_only": shares["text_only"] * bool(number)} for number, (shares, _) in enumerate(lab._models)
    ]
    vars(lab)["_models"] = [(one, model) for one, (_, model) in zip(shares, lab._models, strict=True)]
    answer = lab.predict("so sad")
    assert answer.scenario == "text_and_image" and list(answer.probabilities) == ["text_only", "text_and_image"]


def test_another_file_than_the_ensembles_is_noticed(best, copied):
    rebuild_report(copied, pdf=False)
    evidence = Evidence.gather(copied)
    assert judge_predictions(evidence).ok
    main = evidence.main
    (copied / TEST_RESULT).write_bytes(main.read(result_name(main.config, "text_and_image")))
    assert not judge_predictions(evidence).ok


def test_without_its_record_the_main_run_answers(best, copied):
    (copied / "records" / "best.json").unlink()
    assert find_main(copied) != best.folder
    assert Evidence.gather(copied).answering == Evidence.gather(copied).main
    rebuild_report(copied, pdf=False)  # the twin of what the report says of the ensemble
    page = text_of(copied / "report.html")
    assert "handed in are those of" not in page and "the answers of the neural heads of notebook 04 to" in page


def test_a_second_call_reads_the_ensemble(best, copied, demo_folder, monkeypatch):
    monkeypatch.setattr("mmlab.runs.keep.train_members", None)
    assert train_best(demo_folder, copied, KNOBS) == best


def test_a_kernel_machine_answers_and_the_report_says_what_each_view_is_worth(copied, demo_folder):
    asked = train_best(demo_folder, copied, {"folds": SMALL["folds"], "views": "lexicon"}, preset="kernel")
    assert find_main(copied) == asked.folder and asked.config.model == "kernel"
    evidence = Evidence.gather(copied)
    worth = compare_views(evidence)
    assert list(worth) == ["lexicon"] and worth["lexicon"].n == asked.n
    built = rebuild_report(copied, pdf=False)
    assert built.gaps == []
    page = text_of(copied / "report.html")
    assert "What each view is worth" in page
    line = (copied / "tables" / "views.csv").read_text("utf-8-sig").splitlines()[1]
    assert "# kernel machine; kernel machine with all views, on half of the pairs; kernel machine without" in page
    assert line.startswith("lexicon,") and f"{100 * worth['lexicon'].difference.value:+.1f}" in line.replace("−", "-")


def test_a_changed_ablation_is_named_and_left_out(copied, demo_folder):
    train_best(demo_folder, copied, {"folds": SMALL["folds"], "views": "lexicon"}, preset="kernel")
    changed = next(copied.glob("runs/kernel_without_lexicon-*/predictions.csv"))
    changed.write_text(changed.read_text().replace("0.1", "0.2", 1))
    built = rebuild_report(copied, pdf=False)
    assert "What each view is worth" not in text_of(copied / "report.html")
    assert len(built.gaps) == 1 and str(changed) in built.gaps[0]
    for run in copied.glob("runs/kernel_*"):
        shutil.rmtree(run)
    gaps = rebuild_report(copied, pdf=False).gaps
    assert len(gaps) == 2 and all("no complete run" in gap and "--preset kernel" in gap for gap in gaps)


def test_no_view_is_ablated_once_the_time_is_up(copied, demo_folder):
    train_best(demo_folder, copied, {"folds": SMALL["folds"], "views": "lexicon"}, minutes=0, preset="kernel")
    assert compare_views(Evidence.gather(copied)) == {}


def test_damaged_the_record_leaves_the_prediction_file_as_it_is(best, copied):
    rebuild_report(copied, pdf=False)
    handed_in, record = (copied / TEST_RESULT).read_bytes(), copied / "records" / "best.json"
    record.write_text(record.read_text().replace("ensemble", "ensemblf"))
    built = rebuild_report(copied, pdf=False)
    assert len(built.gaps) == 1 and "prediction files stay as they are" in built.gaps[0]
    assert (copied / TEST_RESULT).read_bytes() == handed_in
    record.unlink()  # the twin: without a record the main run answers
    rebuild_report(copied, pdf=False)
    assert (copied / TEST_RESULT).read_bytes() != handed_in


def test_members_that_were_left_out_are_named_in_the_report(copied, demo_folder):
    asked = train_best(demo_folder, copied, KNOBS, minutes=0)
    assert list(asked.members) == ["smoke"]
    built = rebuild_report(copied, pdf=False)
    assert built.gaps == [] and "left out: kernel machine" in text_of(copied / "report.html")


@pytest.mark.parametrize("minutes", [float("nan"), -5.0, "x"])
def test_minutes_that_are_no_time_are_refused(minutes, copied, demo_folder):
    with pytest.raises(ConfigError, match=f"minutes={minutes!r} is out of range"):
        train_best(demo_folder, copied, KNOBS, minutes=minutes)
