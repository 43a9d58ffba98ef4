"""From run folders to what is handed in: metrics.json, prediction files, report.html. Nothing here trains.

Each notebook leaves a record `<results>/records/<notebook>.json` that names its runs; everything shown comes from
those run folders. Explained in notebook 07.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmlab.cache import write_atomic
from mmlab.config import LABELS, SCENARIOS, TWIN, RunConfig, probability_columns, suggest
from mmlab.course import read_course, split_folds, write_predictions
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.evaluation import Comparison, Scores, compare_frames
from mmlab.notebooks import Job, run_notebook, run_notebooks, share_parameters
from mmlab.runs import RUNS, Run, load_run, open_results, predict_course, result_name

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = (
    "01_data_exploration",
    "02_text_only",
    "03_image_only",
    "04_fusion",
    "05_hyperparameter_grid",
    "06_ablation",
    "07_report",
)
# What each notebook needs to be there, besides features, which the first to ask for them encodes. In the order in which
# they are begun, two at a time, since the heads train on one thread each: the longest first.
NEEDS = {
    "01_data_exploration": (),
    "02_text_only": (),
    "04_fusion": (),
    "03_image_only": ("02_text_only",),
    "06_ablation": ("02_text_only", "03_image_only", "04_fusion"),
    "05_hyperparameter_grid": ("04_fusion",),
    "07_report": NAMES[:-1],
}
TEST_RESULT, SUMMARY, HTML = "test_result.txt", "metrics.json", "report.html"


@dataclass(frozen=True)
class Outcome:
    """What a finished workbook gives: the scores of the main run, and where to find what."""

    scores: dict[str, Scores]
    places: dict[str, Path]


def run_workbook(
    data: Path | str,
    results: Path | str,
    knobs: dict[str, Any] | None = None,
    on_done: Callable[[str, float, int, int], None] = lambda name, seconds, number, total: None,
) -> Outcome:
    """Execute the seven notebooks on a course folder and publish what came of it.

    knobs: parameters of the notebooks besides data and results (lr, dropout, fusion, folds, seeds, seed).
    on_done: called after each notebook with (name, seconds, number, total). The folder and the knobs are judged
    before the first notebook starts. Raises CourseError, ConfigError or RunError.
    """
    knobs = knobs or {}
    config = RunConfig.from_params(knobs)
    _find_notebooks()
    course = read_course(data, seed=config.seed)
    if config.folds:
        split_folds(course.labels, course.labelled[TWIN].to_numpy(), config.folds, config.seed)
    open_results(results, data)
    sources = [NOTEBOOKS / f"{name}.ipynb" for name in NAMES]
    own = dict(zip(NAMES, share_parameters(sources, results, {"data": str(data), **knobs}), strict=True))
    seconds: dict[str, float] = {}
    order = list(NEEDS)
    jobs = [
        Job(
            NOTEBOOKS / f"{name}.ipynb", _executed(results, name), own[name], after=tuple(map(order.index, NEEDS[name]))
        )
        for name in order
    ]
    with closing(run_notebooks(jobs, workers=2)) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, RunError):
                raise outcome
            seconds[order[number]] = round(outcome.seconds, 1)
            on_done(order[number], outcome.seconds, len(seconds), len(NAMES))
    run = read_runs(results)["main"]
    shutil.copyfile(_executed(results, "04_fusion"), run.folder / "notebook.ipynb")
    return publish(results, seconds)


def rebuild_report(results: Path | str) -> Outcome:
    """Execute notebook 07 again on the runs that are there, and publish. Raises RunError when one is missing."""
    _find_notebooks()
    read_runs(results)
    name = NAMES[-1]
    run_notebook(NOTEBOOKS / f"{name}.ipynb", _executed(results, name), {"results": str(results)})
    return publish(results)


def read_record(results: Path | str, name: str) -> dict[str, Any]:
    """What a notebook left for the report. Raises RunError when it has not been run on this results folder."""
    path = Path(results) / "records" / f"{name}.json"
    if not Path(results).is_dir():
        what = "is a file" if Path(results).exists() else "does not exist"
        raise RunError(f"{results} {what}: name the results folder of a finished `mmlab run`.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: run notebook {name} on this results folder first.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}): run notebook {name} again.") from error


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
    """Write metrics.json, the prediction files and report.html of a results folder from its records and runs.

    notebook_seconds: what each notebook took, when they were run just now. Raises RunError when something is missing.
    """
    results = Path(results)
    runs = read_runs(results)
    main = runs["main"]
    places = {"executed notebooks": results / "notebooks", "figures": results / "figures"}
    if len(main.test_predictions):
        for scenario in main.config.trained_scenarios:
            name = result_name(main.config, scenario)
            write_atomic(results / name, (main.folder / name).read_bytes())
            if scenario == "text_and_image":
                write_atomic(results / TEST_RESULT, (main.folder / name).read_bytes())
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
    write_atomic(results / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    places["scores"] = results / SUMMARY
    executed = _executed(results, NAMES[-1])
    if executed.is_file():
        export_html(executed, results / HTML)
        places["report"] = results / HTML
    return Outcome(main.scores, places)


def export_html(notebook: Path, html: Path) -> Path:
    """The executed notebook as one HTML file without its code: figures embedded, nothing fetched from elsewhere."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        config=Config({"HTMLExporter": {"exclude_input": True, "exclude_input_prompt": True, "embed_images": True}}),
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        widget_renderer_url="",
    )
    content = nbformat.read(notebook, as_version=4)
    content.metadata["title"] = "mmlab report"
    body, _ = exporter.from_notebook_node(content)
    return write_atomic(html, body)


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


def find_siblings(file: Path | str) -> list[Path]:
    """The other scenarios' prediction files beside a prediction file, for `verify_predictions`.

    test_result.txt is the joint scenario's file under the name to hand in, so its own source is left out.
    """
    file = Path(file)
    others = sorted(file.parent.glob("test_result_*_*_*.txt"))
    if file.name == TEST_RESULT or file.name.endswith("text_and_image.txt"):
        return [other for other in others if not other.name.endswith("text_and_image.txt")]
    return [other for other in others if other.name != file.name]


def _executed(results: Path | str, name: str) -> Path:
    return Path(results) / "notebooks" / f"{name}.ipynb"


def _find_notebooks() -> None:
    missing = [name for name in NAMES if not (NOTEBOOKS / f"{name}.ipynb").is_file()]
    if missing:
        raise RunError(
            f"{NOTEBOOKS}: {', '.join(missing)} missing. Run mmlab from a checkout of the lab (pip install -e .)."
        )
