"""The prediction files of a results folder: copied, judged, and made for another course."""

from pathlib import Path

from mmlab.config import LABELS, SCENARIOS, check_choice, probability_columns
from mmlab.course import read_course, verify_predictions, write_predictions
from mmlab.errors import MmlabError
from mmlab.report.evidence import JOINT, MAIN, Evidence
from mmlab.runs import RUNS, TEST_RESULT, Run, find_siblings, load_run, predict_course, result_name
from mmlab.storage import write_atomic
from mmlab.workbook import read_record


def publish_predictions(results: Path | str, main: Run) -> bool:
    """Copy the main run's prediction files to the results folder; whether it has any."""
    if not len(main.test_predictions):
        return False
    for scenario in main.config.trained_scenarios:
        name = result_name(main.config, scenario)
        answers = (main.folder / name).read_bytes()
        write_atomic(Path(results) / name, answers)
        if scenario == JOINT:
            write_atomic(Path(results) / TEST_RESULT, answers)
    return True


def judge_predictions(evidence: Evidence):
    """The Verification of test_result.txt against the course folder of the runs; None where one of the two is gone."""
    file = evidence.results / TEST_RESULT
    if evidence.course is None or not file.is_file():
        return None
    return verify_predictions(file, evidence.course, find_siblings(file))


def predict_test(data: Path | str, results: Path | str, out: Path | str, scenario: str) -> tuple[Path, int]:
    """Answer a course's test pairs with the main run of a results folder; the file and its number of rows.

    The course may be another than the one trained on. Raises ConfigError for an unknown scenario and RunError when
    there is no main run.
    """
    from mmlab.features import encode_course

    check_choice("scenario", scenario, SCENARIOS)
    record = read_record(results, "04_fusion")
    run = load_run(Path(results) / RUNS / record["runs"][MAIN])
    course = read_course(data)
    if not len(course.test):
        raise MmlabError(f"{data}: test_without_label.txt names no pairs, so there is nothing to predict.")
    if course.fingerprint == run.provenance["data_fingerprint"]:
        frame = run.test_predictions
    else:
        features = encode_course(course, run.config.text_encoder, run.config.image_encoder)
        frame = predict_course(run, features).iloc[len(course.labelled) :]
    best = frame[probability_columns(scenario)].to_numpy().argmax(axis=1)
    guids = list(course.test["guid"])
    return write_predictions(out, guids, [LABELS[number] for number in best]), len(guids)
