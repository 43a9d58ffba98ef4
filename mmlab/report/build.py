"""From run folders to what is handed in: metrics.json, prediction files, report.html. Nothing here trains.

Each notebook leaves a record `<results>/records/<notebook>.json` that names its runs; everything shown comes from
those run folders. Explained in notebook 07.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mmlab.config import LABELS, SCENARIOS, probability_columns, suggest
from mmlab.course import read_course, write_predictions
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.evaluation import Comparison, Scores, compare_frames
from mmlab.report.document import write_pdf
from mmlab.report.writer import Evidence, Settings, Writer, check_language
from mmlab.runs import (
    METRICS,
    RUNS,
    TEST_RESULT,
    Run,
    check_writable,
    load_run,
    predict_course,
    result_name,
)  # fmt: skip
from mmlab.storage import write_atomic
from mmlab.workbook.grid import GRID
from mmlab.workbook.pipeline import NAMES
from mmlab.workbook.records import check_results, read_record

SUMMARY, HTML, PDF = "metrics.json", "report.html", "report.pdf"
SETTINGS = "report.yml"


@dataclass(frozen=True)
class Outcome:
    """What a finished workbook gives: the scores of the main run, and where to find what."""

    scores: dict[str, Scores]
    places: dict[str, Path]
    gaps: list[str] = field(default_factory=list)  # what the report could not show, and how to make it
    note: str = ""  # why there is no PDF, and how to print one


def rebuild_report(
    results: Path | str, data: Path | None = None, language: str | None = None, pdf: bool = True
) -> Outcome:
    """Write the report again from the runs that are there, in seconds; see `build_report`. Nothing is trained.

    metrics.json and the prediction files are written again as well, where all runs are there.
    """
    check_results(results)
    if not any((Path(results) / name).is_dir() for name in ("records", RUNS, GRID)):
        raise RunError(f"{results} holds no run: name the results folder of a finished `mmlab run`.")
    check_writable(Path(results))
    try:
        published = publish(results)
    except MmlabError:
        published = Outcome({}, {})  # the report tells what is missing
    built = build_report(results, data, language, pdf)
    return replace(built, places=published.places | built.places)


def build_report(
    results: Path | str, data: Path | None = None, language: str | None = None, pdf: bool = True
) -> Outcome:
    """Write report.html, report.pdf, figures and tables of a results folder from its run folders alone.

    `<results>/report.yml` may hold name, number, title, language, aim and conclusions. data: the course folder for the
    example pairs, where it is no longer where it was. What is missing or damaged becomes a notice in the report and a
    line of `gaps`. Raises ConfigError for a fault in report.yml or an unknown language.
    """
    results = Path(results)
    settings = Settings.read(results / SETTINGS)
    if language is not None:
        check_language(language.lower(), "--language")
        settings = replace(settings, language=language.lower())
    evidence = Evidence.gather(results, data)
    document = Writer(evidence, settings, results / "figures").write()
    places = {"report": write_atomic(results / HTML, document.to_html())}
    document.write_tables(results / "tables")
    places |= {name: results / name for name in ("figures", "tables") if (results / name).is_dir()}
    note = ""
    if pdf:
        try:
            write_pdf(document, places["report"], results / PDF)
            places["report as PDF"] = results / PDF
        except MmlabError as error:
            note = str(error)
    main = evidence.runs.get("main")
    return Outcome(main.scores if main else {}, places, evidence.gaps, note)


def watch_report(results: Path | str, every: float = 5.0, on_built: Callable[[Outcome], None] = lambda o: None) -> None:
    """Write the report again whenever a run, a record or report.yml has changed, until Ctrl-C."""
    seen = None
    while True:
        now = _state(Path(results))
        if now != seen:
            on_built(rebuild_report(results, pdf=False))
            seen = now
        time.sleep(every)


def _state(results: Path) -> frozenset:
    """Which records and complete runs there are, and when they were written."""
    patterns = (SETTINGS, "records/*.json", f"{RUNS}/*/{METRICS}", f"{GRID}/{RUNS}/*/{METRICS}")
    files = [path for pattern in patterns for path in results.glob(pattern)]
    return frozenset((str(path), path.stat().st_mtime_ns) for path in files if path.is_file())


def read_runs(results: Path | str) -> dict[str, Run]:
    """The runs of all notebooks by their part in the report (`main`, `text_only`, `tfidf`, ...).

    Raises RunError when one is missing, or when two come from other data or another split.
    """
    runs: dict[str, Run] = {}
    for name in NAMES[1:-1]:
        for part, run_id in read_record(results, name).get("runs", {}).items():
            runs[part] = load_run(Path(results) / RUNS / run_id)
    for key in ("data_fingerprint", "split_hash"):
        seen = {run.provenance[key]: part for part, run in runs.items()}
        if len(seen) > 1:
            raise RunError(
                f"{results}: the runs {' and '.join(seen.values())} differ in {key}: they come from other data or "
                "another seed. Run the workbook again, or use one results folder for each course."
            )
    return runs


def compare_runs(runs: dict[str, Run]) -> dict[str, Comparison]:
    """The paired differences the report speaks of, by a name `a − b`: accuracy of a minus accuracy of b."""
    joint = "text_and_image"
    pairs = {
        "joint − text head": ("main", joint, "main", "text_only"),
        "joint − image head": ("main", joint, "main", "image_only"),
        "joint − text alone": ("main", joint, "text_only", "text_only"),
        "joint − image alone": ("main", joint, "image_only", "image_only"),
        "joint − TF-IDF": ("main", joint, "tfidf", "tfidf"),
        "joint − majority": ("main", joint, "majority", "majority"),
        "text alone − majority": ("text_only", "text_only", "majority", "majority"),
        "image alone − majority": ("image_only", "image_only", "majority", "majority"),
    }
    return {
        name: compare_frames(runs[a].predictions, scenario_a, runs[b].predictions, scenario_b)
        for name, (a, scenario_a, b, scenario_b) in pairs.items()
    }


def list_scores(runs: dict[str, Run]) -> pd.DataFrame:
    """One row for each run and scenario: part, scenario, n, accuracy and macro-F1 with intervals, run id."""
    rows = []
    for part, run in runs.items():
        rows += [{"part": part, "scenario": s, **scores.to_row(), "run": run.id} for s, scores in run.scores.items()]
    return pd.DataFrame(rows)


def publish(results: Path | str, notebook_seconds: dict[str, float] | None = None) -> Outcome:
    """Write metrics.json and the prediction files of a results folder from its records and runs.

    notebook_seconds: what each notebook took, when they were run just now. Raises RunError when something is missing.
    """
    results = Path(results)
    runs = read_runs(results)
    main = runs["main"]
    places = {"executed notebooks": results / "notebooks"}
    if _publish_predictions(results, main):
        places["prediction file"] = results / TEST_RESULT
    seconds = {part: run.seconds for part, run in runs.items()}
    summary = {
        "data": {key: main.provenance[key] for key in ("data_fingerprint", "split_hash", "n_labelled", "n_test")},
        "config": main.config.to_dict(),
        "main_run": main.id,
        "scores": {scenario: scores.to_dict() for scenario, scores in main.scores.items()},
        "others": {
            part: {scenario: scores.to_dict() for scenario, scores in run.scores.items()}
            for part, run in runs.items()
            if part != "main"
        },
        "comparisons": {name: comparison.to_dict() for name, comparison in compare_runs(runs).items()},
        "seconds": {"training": seconds, "notebooks": notebook_seconds or {}},
    }
    _write_json(results, SUMMARY, summary)
    places["scores"] = results / SUMMARY
    return Outcome(main.scores, places)


def predict_test(data: Path | str, results: Path | str, out: Path | str, scenario: str) -> tuple[Path, int]:
    """Answer a course's test pairs with the main run of a results folder; the file and its number of rows.

    The course may be another than the one trained on. Raises ConfigError for an unknown scenario and RunError when
    there is no main run.
    """
    from mmlab.features import encode_course

    if scenario not in SCENARIOS:
        raise ConfigError(f"scenario={scenario!r} is unknown.{suggest(scenario, SCENARIOS)}")
    record = read_record(results, "04_fusion")
    run = load_run(Path(results) / RUNS / record["runs"]["main"])
    course = read_course(data)
    if not len(course.test):
        raise MmlabError(f"{data}: test_without_label.txt names no pairs, there is nothing to predict.")
    if course.fingerprint == run.provenance["data_fingerprint"]:
        frame = run.test_predictions
    else:
        features = encode_course(course, run.config.text_encoder, run.config.image_encoder)
        frame = predict_course(run, features).iloc[len(course.labelled) :]
    best = frame[probability_columns(scenario)].to_numpy().argmax(axis=1)
    guids = list(course.test["guid"])
    return write_predictions(out, guids, [LABELS[number] for number in best]), len(guids)


def _publish_predictions(results: Path | str, main: Run) -> bool:
    """Copy the main run's prediction files to the results folder; whether it has any."""
    if not len(main.test_predictions):
        return False
    for scenario in main.config.trained_scenarios:
        name = result_name(main.config, scenario)
        answers = (main.folder / name).read_bytes()
        write_atomic(Path(results) / name, answers)
        if scenario == "text_and_image":
            write_atomic(Path(results) / TEST_RESULT, answers)
    return True


def _write_json(results: Path | str, name: str, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(Path(results) / name, text)
