"""From run folders to what is handed in: metrics.json, prediction files, report.html. Nothing here trains.

Each notebook leaves a record `<results>/records/<notebook>.json` that names its runs; everything shown comes from
those run folders. Explained in notebook 07.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import LABELS, SCENARIOS, check_choice, probability_columns
from mmlab.course import read_course, write_predictions
from mmlab.errors import DiskError, MmlabError, RunError
from mmlab.evaluation import Scores, abstain
from mmlab.evaluation.confidence import find_threshold, fit_temperature, heat
from mmlab.evaluation.frames import class_numbers
from mmlab.report.document import Document, Figure, Gallery
from mmlab.report.evidence import JOINT, MAIN, Evidence
from mmlab.report.html import to_html
from mmlab.report.pdf import write_pdf
from mmlab.report.tables import write_tables
from mmlab.report.words import OPTIONS, ReportOptions, Say
from mmlab.report.writer import write_document
from mmlab.runs import (
    BEST,
    METRICS,
    RUNS,
    TEST_RESULT,
    Run,
    check_apart,
    check_results,
    check_writable,
    find_main,
    load_run,
    predict_course,
    result_name,
)
from mmlab.storage import one_at_a_time, write_atomic
from mmlab.workbook.grid import GRID
from mmlab.workbook.timeline import read_timeline

SUMMARY, HTML, PDF, FIGURES = "metrics.json", "report.html", "report.pdf", "figures"


@dataclass(frozen=True)
class BuiltReport:
    """What was written: the scores of the main run, and where to find what."""

    scores: dict[str, Scores]
    places: dict[str, Path]
    gaps: list[str] = field(default_factory=list)  # what the report could not show, and the command that makes it
    notes: list[str] = field(default_factory=list)  # why there is no PDF; what is not anonymous
    evidence: Evidence | None = field(default=None, repr=False)


def rebuild_report(
    results: Path | str, data: Path | None = None, language: str | None = None, pdf: bool = True,
    anonymise: bool | None = None,
) -> BuiltReport:  # fmt: skip
    """`build_report`, and `publish` where all runs are there: everything again, in seconds, without any training."""
    check_results(results)
    if not any((Path(results) / name).is_dir() for name in ("records", RUNS, GRID)):
        raise RunError(f"{results} holds no run: name the results folder of a finished `mmlab run`.")
    check_writable(Path(results))
    options = ReportOptions.read(Path(results) / OPTIONS, language, anonymise)
    with _alone_in(results):
        evidence = Evidence.gather(results, data)
        places: dict[str, Path] = {}
        try:
            places = publish(evidence).places
        except DiskError:
            raise
        except MmlabError:  # the report shows what is wrong
            pass
        built = _build(evidence, options, pdf)
    return replace(built, places=places | built.places)


def build_report(
    results: Path | str, data: Path | None = None, language: str | None = None, pdf: bool = True,
    anonymise: bool | None = None,
) -> BuiltReport:  # fmt: skip
    """Write report.html, report.pdf, figures and tables of a results folder from its run folders alone.

    `<results>/report.yml` may hold name, number, title, language, aim, conclusions and anonymise. data: the course
    folder for the example pairs, where it was moved. anonymise: show them without pictures, guids, handles and links.
    What is missing or damaged becomes a notice in the report and a line of `gaps`. A PDF or a figure of an earlier
    report, which would not agree with this one, is removed. Raises ConfigError for a fault in report.yml or an unknown
    language.
    """
    options = ReportOptions.read(Path(results) / OPTIONS, language, anonymise)
    with _alone_in(results):
        return _build(Evidence.gather(results, data), options, pdf)


def _alone_in(results: Path | str):
    """Hold the pages of a results folder, which `mmlab run` and `mmlab report --watch` may both want to write."""
    words = f"Another process is writing the report in {results}; waiting for it ..."
    return one_at_a_time(Path(results) / ".report.lock", words)


def _build(evidence: Evidence, options: ReportOptions, pdf: bool) -> BuiltReport:
    results = evidence.results
    figures, older = results / FIGURES, (results / PDF).is_file()
    document = write_document(evidence, options, figures)
    (results / PDF).unlink(missing_ok=True)  # before the page changes: the two never disagree
    places = {"report": write_atomic(results / HTML, to_html(document))}
    write_tables(document, results / "tables")
    _remove_older(document, figures)
    places |= {name: results / name for name in (FIGURES, "tables") if (results / name).is_dir()}
    notes = []
    if pdf:
        try:
            write_pdf(document, places["report"], results / PDF)
            places["report as PDF"] = results / PDF
        except MmlabError as error:
            notes.append(str(error))
    if older and "report as PDF" not in places:
        notes.append(f"The old {results / PDF} was removed: it did not agree with the new {HTML}.")
    if options.anonymise:
        notes += _tell_what_stays(results)
    gaps = [gap.text(Say(options)).replace("`", "") for gap in evidence.gaps]
    return BuiltReport(evidence.answering.scores if evidence.main else {}, places, gaps, notes, evidence)


def _tell_what_stays(results: Path) -> Iterator[str]:
    """What a reader must know of an anonymous report: what else names pairs, and how long it stays anonymous."""
    named = f"The tables in {results / RUNS} and the prediction files name every pair"
    if any((results / FIGURES).glob("[0-9]*.png")):
        shown = (
            f"the notebooks in {results / 'notebooks'} and their figures, {results / FIGURES}/01_... to 07_..., show"
        )
        named = f"{named}, and {shown} pairs as they are"
    yield f"Only the report is anonymous. {named}: do not pass these on."
    if not ReportOptions.read(results / OPTIONS).anonymise:
        yield f"The next report is not, unless it is asked for: write `anonymise: true` into {results / OPTIONS}."


def _remove_older(document: Document, figures: Path) -> None:
    """Remove the figures of an earlier report that this one does not have, such as pictures that it leaves out."""
    pictures = [one.path for block in document.blocks if isinstance(block, Gallery) for one in block.examples]
    paths = [block.path for block in document.blocks if isinstance(block, Figure)] + pictures
    kept = {path.stem for path in paths if path is not None}
    for path in figures.glob("report_*"):
        if path.stem not in kept:
            path.unlink()


def watch_report(
    results: Path | str, every: float = 5.0, on_built: Callable = lambda built: None, **options: Any
) -> None:
    """Rebuild the report whenever a run, a record or report.yml has changed, until Ctrl-C; on_built gets each one.

    options: as for `rebuild_report`. There is no PDF, which would not agree with the page.
    """
    patterns = (OPTIONS, "records/*.json", f"{RUNS}/*/{METRICS}", f"{GRID}/{RUNS}/*/{METRICS}")
    seen = None
    while True:
        files = [path for pattern in patterns for path in Path(results).glob(pattern)]
        now = {path: path.stat().st_mtime_ns for path in files if path.is_file()}
        if now != seen:
            on_built(rebuild_report(results, **options, pdf=False))
            seen = now
        time.sleep(every)


def read_runs(results: Path | str) -> dict[str, Run]:
    """The runs of all notebooks by their part in the report (`main`, `text_only`, `tfidf`, ...).

    Raises RunError when one is missing or damaged, or comes from other data or another split than the main run.
    """
    evidence = Evidence.gather(results)
    evidence.check_runs()
    return evidence.runs


def publish(results: Path | str | Evidence, notebook_seconds: dict[str, float] | None = None) -> BuiltReport:
    """Write metrics.json and the prediction files of a results folder from its records and runs.

    results: the folder, or the evidence that was gathered from it. notebook_seconds: what each notebook took, when they
    were run just now. Raises RunError when something is missing.
    """
    evidence = results if isinstance(results, Evidence) else Evidence.gather(results)
    evidence.check_runs()
    results, main = evidence.results, evidence.main
    places = {"executed notebooks": results / "notebooks"}
    if len(main.test_predictions):
        answering = evidence.answering
        for scenario in main.config.trained_scenarios:
            answers = answering.read(result_name(answering.config, scenario))
            write_atomic(results / result_name(main.config, scenario), answers)
        places["prediction file"] = results / TEST_RESULT
        write_atomic(results / TEST_RESULT, answering.read(result_name(answering.config, JOINT)))
    scores = {part: {s: one.to_dict() for s, one in run.scores.items()} for part, run in evidence.runs.items()}
    trained = {part: run.seconds for part, run in evidence.runs.items()}
    if evidence.best is not None:
        scores[BEST] = {name: one.to_dict() for name, one in evidence.best.scores.items()}
        trained[BEST] = evidence.best.seconds
    compared = [one for one in [*evidence.comparisons, *evidence.ablations] if one.result is not None]
    summary = {
        "data": {key: main.provenance[key] for key in ("data_fingerprint", "split_hash", "n_labelled", "n_test")},
        "config": main.config.to_dict(),
        "main_run": main.id,
        "scores": scores.pop(MAIN),
        "others": scores,
        "comparisons": {one.name: one.result.to_dict() for one in compared},
        "seconds": {"training": trained, "notebooks": notebook_seconds or {}, "timeline": read_timeline(results)},
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    places["scores"] = write_atomic(results / SUMMARY, text)
    return BuiltReport(evidence.answering.scores, places)


def predict_test(
    data: Path | str, results: Path | str, out: Path | str, scenario: str, accuracy: float | None = None
) -> tuple[Path, int, str]:
    """Answer a course's test pairs with the run that answers in a results folder; the file, its rows, and a sentence.

    accuracy: also write `<out>.confidence.csv`, with guid, label, confidence and answered: yes from the confidence on
    that reaches this accuracy out of fold. The sentence then says what that is worth, else it is "".

    The course may be another than the one trained on, and may have no train.txt. Raises ConfigError for an unknown
    scenario and RunError when there is no main run and for an `out` inside the course folder.
    """
    from mmlab.training import prepare_pairs

    check_choice("scenario", scenario, SCENARIOS)
    check_apart(out, data)
    run, course = load_run(find_main(results)), read_course(data, unlabelled=True)
    if not len(course.test):
        raise MmlabError(f"{data}: test_without_label.txt names no pairs to predict. Add a line `guid,null` for each.")
    frame = run.test_predictions
    if course.fingerprint != run.provenance["data_fingerprint"]:
        frame = predict_course(run, prepare_pairs(course, run.config)).iloc[len(course.labelled) :]
    probabilities = frame[probability_columns(scenario)].to_numpy()
    guids, labels = list(course.test["guid"]), [LABELS[number] for number in probabilities.argmax(axis=1)]
    words = "" if accuracy is None else _write_confidence(run, scenario, accuracy, guids, labels, probabilities, out)
    return write_predictions(out, guids, labels), len(guids), words


def _write_confidence(run, scenario, accuracy, guids, labels, probabilities, out) -> str:
    known = run.predictions
    worth = abstain(known, scenario, accuracy)
    truth, before = class_numbers(known["label"]), known[probability_columns(scenario)].to_numpy()
    temperature = fit_temperature(before, truth)
    heated, right = heat(before, temperature).max(axis=1), before.argmax(axis=1) == truth
    confidence = heat(probabilities, temperature).max(axis=1)
    answered = np.where(confidence >= find_threshold(heated, right, accuracy), "yes", "no")
    frame = pd.DataFrame({"guid": guids, "label": labels, "confidence": confidence.round(4), "answered": answered})
    path = write_atomic(f"{out}.confidence.csv", frame.to_csv(index=False, lineterminator="\n"))
    words = str(worth)
    return f"{path}: {(answered == 'yes').sum()} of {len(guids)} answered. Out of fold: {words[0].lower()}{words[1:]}"
