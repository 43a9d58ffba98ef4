"""What a results folder holds: the one source of every number in notebook 07, the report and metrics.json.

A results folder goes in; runs by part, rows of scores, comparisons, and what is missing come out. See notebook 07.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmlab.config import GUID, LABELS, SCENARIOS, name_knobs, probability_columns
from mmlab.course import Course, read_course, verify_predictions
from mmlab.errors import MmlabError, RunError
from mmlab.evaluation import MAJORITY, TFIDF, Comparison, Scores, compare_frames
from mmlab.report.commands import Commands
from mmlab.report.words import ENGLISH, Say
from mmlab.runs import BEST, JOINT, MAIN, MAIN_NOTEBOOK, RUNS, TEST_RESULT, Run, find_siblings, is_complete, load_run
from mmlab.runs.records import RECORDS
from mmlab.workbook import GRID, NAMES, WORKBOOK, read_record

DATA_NOTEBOOK, GRID_NOTEBOOK = NAMES[0], "05_hyperparameter_grid"


@dataclass(frozen=True)
class Part:
    """A run that the report shows: the notebook that makes it, and its scenarios in the order of their rows."""

    notebook: str
    scenarios: tuple[str, ...] = (JOINT,)


PARTS: dict[str, Part] = {
    MAIN: Part(MAIN_NOTEBOOK, (JOINT, "text_only", "image_only")),
    "text_only": Part("02_text_only", ("text_only",)),
    "image_only": Part("03_image_only", ("image_only",)),
    "tfidf": Part("02_text_only", (TFIDF,)),
    "majority": Part("02_text_only", (MAJORITY,)),
    "without_image": Part("06_ablation", ("joint_without_image",)),
    "without_text": Part("06_ablation", ("joint_without_text",)),
    "shuffle_images": Part("06_ablation"),
    "shuffle_texts": Part("06_ablation"),
    "shuffle_labels": Part("06_ablation"),
}
# What the report reads of records besides their runs, by type.
RECORDED: dict[str, dict[str, Any]] = {
    DATA_NOTEBOOK: {
        "majority": float, "majority_label": str, "leak_random": float,
        "health": {
            "n_labelled": int, "n_test": int, "label_counts": dict.fromkeys(LABELS, int), "encodings": {},
            "twin_groups": int, "label_conflicts": int, "issues": list, "orphans": list,
        },
    },
    GRID_NOTEBOOK: {"grid": list, "best": str, "chosen": str, "indistinguishable": int},
    WORKBOOK: {"data": str, "knobs": {}},
}  # fmt: skip
ABLATIONS = tuple(name for name, part in PARTS.items() if part.notebook == "06_ablation")
RESULTS = tuple(name for name in PARTS if name not in ABLATIONS)

# What is compared, as (part, scenario) of a and of b.
_JOINT, _TEXT, _IMAGE = (MAIN, JOINT), ("text_only", "text_only"), ("image_only", "image_only")
_MAJORITY = ("majority", MAJORITY)
COMPARED = (
    (_JOINT, (MAIN, "text_only")), (_JOINT, (MAIN, "image_only")), (_JOINT, _TEXT), (_JOINT, _IMAGE),
    (_JOINT, ("tfidf", TFIDF)), (_JOINT, _MAJORITY), (_TEXT, _MAJORITY), (_IMAGE, _MAJORITY),
)  # fmt: skip
ABLATED = (
    (_JOINT, ("without_image", "joint_without_image")), (_JOINT, ("without_text", "joint_without_text")),
    ((MAIN, "text_only"), ("shuffle_images", JOINT)), ((MAIN, "image_only"), ("shuffle_texts", JOINT)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a table of scores: a scenario of a run. `run` is None where that run is missing."""

    part: str
    scenario: str
    run: Run | None = None
    note: str = ""  # what sets it apart from another row of the same part

    @property
    def name(self) -> str:
        """What it is called in English; `say.row(row)` gives the name in the report's language."""
        return ENGLISH.row(self)

    @property
    def scores(self) -> Scores:
        return self.run.scores[self.scenario]


@dataclass(frozen=True, eq=False)
class Compared:
    """Two rows on the same pairs. result: None where a row is missing, or where the two do not hold the same pairs."""

    a: Row
    b: Row
    result: Comparison | None

    @classmethod
    def of(cls, a: Row, b: Row) -> "Compared":
        result = None
        if a.run is not None and b.run is not None:
            with suppress(MmlabError):
                result = compare_frames(a.run.predictions, a.scenario, b.run.predictions, b.scenario)
        return cls(a, b, result)

    @property
    def name(self) -> str:
        """Its name in English: `joint − text head`."""
        return ENGLISH.pair(self)

    @property
    def missing(self) -> list[Row]:
        return [row for row in (self.a, self.b) if row.run is None]

    @property
    def better(self) -> Row | None:
        """The row whose advantage is outside the noise; None where there is none."""
        if self.result is None or self.result.difference.contains(0):
            return None
        return self.a if self.result.difference.value > 0 else self.b


@dataclass(frozen=True)
class Gap:
    """Something that cannot be shown: `gap.<kind>` is its sentence. detail: the error; command: what mends it."""

    kind: str
    values: dict[str, Any]
    notebook: str = ""  # that makes it
    detail: str = ""
    command: str = ""

    def text(self, say: Say) -> str:
        """In the report's language; what a program wrote or reads is in backticks."""
        words = [say(f"gap.{self.kind}", **self.values)]
        if self.detail:
            words.append(f"`{self.detail.replace('`', chr(39))}`")
        if self.command:
            words += [say("gap.fix"), f"`{self.command}`"]
        return " ".join(words)


def _read_fitting(results: Path, name: str) -> dict[str, Any]:
    """A record that holds what the report reads of it. Raises RunError where it does not."""
    record = read_record(results, name)
    misfit = _find_misfit(record, {"runs": {}, **RECORDED.get(name, {})})
    if not misfit and not all(
        isinstance(one, str) for one in [*record.get("runs", {}).values(), *record.get("grid", [])]
    ):
        misfit = "a run in it is no text"
    if misfit:
        raise RunError(f"The record of {name} is not as the notebook writes it: {misfit}.")
    return record


def _find_misfit(record: dict[str, Any], needed: dict[str, Any], inside: str = "") -> str:
    """The first value that is missing or of another type than needed, in words; "" where all fit."""
    for key, kind in needed.items():
        value, name = record.get(key, {} if key == "runs" else None), f"{inside}{key}"
        wanted = dict if isinstance(kind, dict) else (int, float) if kind is float else kind
        if not isinstance(value, wanted):
            return f"{name} is of type {type(value).__name__}" if key in record else f"{name} is missing"
        if isinstance(kind, dict) and (misfit := _find_misfit(value, kind, f"{name}.")):
            return misfit
    return ""


@dataclass
class Evidence(Commands):
    """What a results folder holds and what is missing in it. `Evidence.gather` reads one."""

    results: Path
    data: Path | None = None  # the course folder, where it is not the one that was recorded
    runs: dict[str, Run] = field(default_factory=dict)  # by part
    records: dict[str, dict] = field(default_factory=dict)  # by notebook; BEST: once `best` was asked for
    gaps: list[Gap] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # parts whose code has changed
    chosen: Run | None = None  # the best setting of notebook 05, trained as the main run is

    @classmethod
    def gather(cls, results: Path | str, data: Path | None = None) -> "Evidence":
        """Read the records and runs of a results folder. Never raises for what is missing or damaged in it."""
        found = cls(Path(results), data)
        if found.grid_alone:
            return found
        for name in NAMES[:-1]:
            try:
                found.records[name] = _read_fitting(found.results, name)
            except MmlabError as error:
                found._miss("record", name, error)
        for name, part in PARTS.items():
            found._read_part(name, part)
        found._refuse_strangers()
        found._look_for_grid()
        found.stale = [part for part, run in found.runs.items() if not run.is_fresh]
        return found

    @cached_property
    def grid_alone(self) -> bool:
        """Whether only a grid was run here: its runs are there, and no notebook has left a record."""
        return not any((self.results / RECORDS).glob("*.json")) and bool(self.grid)

    def check_runs(self) -> None:
        """Raise RunError, naming the first, when a run of the workbook is missing, damaged or of other data."""
        if self.grid_alone:
            raise RunError(f"{self.results} holds a grid alone. `{self.notebook_command()}` runs the notebooks.")
        _ = self.best  # damaged, it is a gap as well: another model's answers must not be handed in
        wanted = {PARTS[part].notebook for part in PARTS if part not in self.runs}
        for gap in [gap for gap in self.gaps if gap.notebook in wanted or gap.kind == "best"]:
            raise RunError(gap.text(ENGLISH).replace("`", ""))

    def _miss(self, kind: str, notebook: str, error: Exception | str = "", **values: Any) -> None:
        command = self.notebook_command(notebook)
        self.gaps.append(Gap(kind, {"notebook": notebook, **values}, notebook, str(error), command))

    def _read_part(self, name: str, part: Part) -> None:
        record = self.records.get(part.notebook)
        if record is None:
            return
        run_id = record.get("runs", {}).get(name)
        if run_id is None:
            return self._miss("unrecorded", part.notebook, part=name)
        if run := self._read_run(self.results / RUNS / str(run_id), part):
            self.runs[name] = run

    def _read_run(self, folder: Path, part: Part) -> Run | None:
        try:
            run = load_run(folder)
            for scenario in set(part.scenarios) - set(run.scenarios):
                raise RunError(f"{folder}: holds no predictions of {scenario}.")
            return run
        except MmlabError as error:
            if not any(gap.values.get("folder") == folder for gap in self.gaps):
                self._miss("run", part.notebook, error, folder=folder)
        return None

    def _refuse_strangers(self) -> None:
        """Leave out runs of other data or another split than the main run (or than most of them)."""
        for key, kind in (("data_fingerprint", "other_data"), ("split_hash", "other_split")):
            seen = {part: run.provenance.get(key) for part, run in self.runs.items()}
            usual = seen.get(MAIN) or next(iter(Counter(seen.values()).most_common(1)), [None])[0]
            for part, value in seen.items():
                if value != usual:
                    self._miss(kind, PARTS[part].notebook, folder=self.runs.pop(part).folder)

    def _look_for_grid(self) -> None:
        """Report which of the runs that notebook 05 refers to are gone."""
        if (record := self.records.get(GRID_NOTEBOOK)) is None:
            return
        chosen = self.results / RUNS / record["chosen"]
        places = [*(self.results / GRID / RUNS / str(one) for one in record["grid"]), chosen]
        if gone := [place for place in places if not is_complete(place)]:
            self._miss("grid", GRID_NOTEBOOK, folder=gone[0], more=len(gone) - 1)
        else:
            same = self.main is not None and self.main.folder == chosen
            self.chosen = self.main if same else self._read_run(chosen, Part(GRID_NOTEBOOK))

    @property
    def main(self) -> Run | None:
        return self.runs.get(MAIN)

    @property
    def first(self) -> Run | None:
        """The run that speaks for the others where they have something in common: the main run if it is there."""
        return next(iter([*filter(None, [self.main]), *self.runs.values(), *self.grid]), None)

    @cached_property
    def given(self) -> dict[str, Any]:
        """What `mmlab run` was called with: data and knobs."""
        with suppress(MmlabError):
            return _read_fitting(self.results, WORKBOOK)
        return {}

    @property
    def course_folder(self) -> str:
        """Where the course is, or was; "" where nothing says so."""
        return str(self.data or self.given.get("data") or self.records.get(DATA_NOTEBOOK, {}).get("data", ""))

    def command_of(self, part: str) -> str:
        """The command that makes the run of this part."""
        run = self.runs[part]
        return self.train_command(run.config) if run.config else self.notebook_command(PARTS[part].notebook)

    @cached_property
    def course(self) -> Course | None:
        """The course folder, if it is where it was and holds what the runs were trained on."""
        if not self.course_folder or self.main is None:
            return None
        kind, detail = "other_course", ""
        try:
            course = read_course(self.course_folder, seed=self.main.config.seed)
            if course.fingerprint == self.main.provenance["data_fingerprint"]:
                return course
        except MmlabError as error:
            kind, detail = "course", str(error)
        if self.data is not None:  # asked for; the folder that was recorded long ago may well be gone
            self.gaps.append(Gap(kind, {"place": self.course_folder}, detail=detail))
        return None

    def row(self, part: str, scenario: str) -> Row:
        """One row; without a run where that is missing."""
        return Row(part, scenario, self.runs.get(part))

    def rows(self, *parts: str) -> list[Row]:
        """The rows of these parts (of the main table, unless any is named) whose runs are there."""
        chosen = [part for part in parts or RESULTS if part in self.runs]
        return [self.row(part, scenario) for part in chosen for scenario in PARTS[part].scenarios]

    @cached_property
    def comparisons(self) -> list[Compared]:
        """The paired differences between models, and of each further one to the same head of the main run."""
        pairs = [(self.row(*a), self.row(*b)) for a, b in COMPARED]
        return [Compared.of(*pair) for pair in [*pairs, *((row, self.row(MAIN, row.scenario)) for row in self.further)]]

    @cached_property
    def ablations(self) -> list[Compared]:
        """The paired differences between the joint model and what is left of it after something was taken away."""
        return [Compared.of(self.row(*a), self.row(*b)) for a, b in ABLATED]

    @cached_property
    def further(self) -> list[Row]:
        """Rows of what was trained beside the notebooks, on the same data: fine-tuned encoders, kernels, ensembles."""
        runs = self._other_runs(RUNS, lambda run: _kind_of(run) and run.config.control == "none")
        rows = []
        for run in sorted(runs, key=lambda run: run != self.best):
            alike = [one for one in runs if _kind_of(one) == _kind_of(run)]
            note = name_setting(run, alike) if len(alike) > 1 else ""
            rows += [Row(_kind_of(run), scenario, run, note) for scenario in run.config.trained_scenarios]
        return rows

    @cached_property
    def best(self) -> Run | None:
        """The ensemble that answers in place of the main run; None where none was trained on these data."""
        if self.main is None or not (self.results / RECORDS / f"{BEST}.json").is_file():
            return None
        try:
            self.records[BEST] = _read_fitting(self.results, BEST)
            run = load_run(self.results / RUNS / self.records[BEST]["runs"][BEST])
        except (MmlabError, KeyError, TypeError) as error:
            return self.gaps.append(Gap("best", {}, detail=str(error)))
        same = all(run.provenance[key] == self.main.provenance[key] for key in ("data_fingerprint", "split_hash"))
        return run if same else None

    @property
    def answering(self) -> Run | None:
        """The run whose answers are handed in."""
        return self.best or self.main

    @cached_property
    def grid(self) -> list[Run]:
        """The complete runs of all grids in this results folder that train the joint model, by their knobs."""
        runs = self._other_runs(f"{GRID}/{RUNS}", lambda run: JOINT in run.scenarios)
        return sorted(runs, key=lambda r: (-r.config.lr, r.config.dropout, r.config.fusion, r.config.seed, r.id))

    def _other_runs(self, folder: str, wanted) -> list[Run]:
        found, known = [], {run.id for run in self.runs.values()}
        for path in sorted((self.results / folder).glob("[!.]*")):
            if path.name in known or not is_complete(path):
                continue
            try:
                run = load_run(path)
                origin = (self.main or run).provenance["data_fingerprint"]
                if run.config and run.provenance["data_fingerprint"] == origin and wanted(run):
                    found.append(run)
            except MmlabError as error:
                if not any(path.name in str(gap.values) for gap in self.gaps):
                    self.gaps.append(Gap("run", {"folder": path}, detail=str(error)))
        return found


def _kind_of(run: Run) -> str:
    """What a run beside the notebooks is, as its rows call it; "" for neural heads on frozen features."""
    if run.config.model != "neural":
        return run.config.model
    return "tuned" if run.config.tunes else ""


def load_ablated(evidence: Evidence) -> dict[str, Run]:
    """The kernel machines that show what a view is worth, by the view that each lacks, "" for none.

    One that cannot be read is among the gaps.
    """
    runs, ids = {}, evidence.records[BEST].get("ablated") if evidence.best else None
    for name, id in ids.items() if isinstance(ids, dict) else ():
        folder = evidence.results / RUNS / str(id)
        try:
            runs[name] = load_run(folder)
        except MmlabError as error:
            _add_gap(evidence, folder, error)
    return runs


def _add_gap(evidence: Evidence, folder: Path, error: Exception) -> None:
    if all(gap.detail != str(error) for gap in evidence.gaps):
        command = evidence.best_command(evidence.best)
        evidence.gaps.append(Gap("run", {"folder": folder}, detail=str(error), command=command))


def compare_views(evidence: Evidence) -> dict[str, Comparison]:
    """By view, the kernel machine with all views compared with the one without it; {} where none was left out."""
    runs = load_ablated(evidence)
    whole, found = runs.pop("", None), {}
    for name, one in runs.items() if whole else ():
        try:
            found[name] = compare_frames(whole.predictions, whole.name, one.predictions, one.name)
        except MmlabError as error:  # of other pairs than the machine with all views
            _add_gap(evidence, one.folder, error)
    return found


def name_setting(run: Run, among: list[Run]) -> str:
    """The knobs in which these runs differ, and always lr and dropout: `lr 0.001, dropout 0.2`."""
    all_knobs = [one.config.to_dict() for one in among]
    differ = [name for name in all_knobs[0] if len({str(knobs[name]) for knobs in all_knobs}) > 1]
    names = ["lr", "dropout", *(name for name in differ if name not in ("lr", "dropout"))]
    return name_knobs({name: getattr(run.config, name) for name in names})


def predicted_labels(run: Run, scenario: str) -> np.ndarray:
    """(n_test,) names of the labels that a run answers for the test pairs."""
    best = run.test_predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
    return np.asarray(LABELS)[best]


def judge_predictions(evidence: Evidence):
    """The Verification of test_result.txt against course and answering run; None where file or course is gone."""
    file, answering = evidence.results / TEST_RESULT, evidence.answering
    if evidence.course is None or not file.is_file():
        return None
    judged = verify_predictions(file, evidence.course, find_siblings(file))
    answers = list(zip(answering.test_predictions[GUID], predicted_labels(answering, JOINT), strict=True))
    if judged.ok and judged.answers != answers:
        judged.problems.append(f"{file}: is not what the main run answers. `mmlab report` writes it again.")
    return judged


def differing_answers(run: Run) -> dict[str, float]:
    """The share of test pairs that each modality alone answers otherwise than the joint head; {} without test pairs."""
    if not len(run.test_predictions):
        return {}
    joint = predicted_labels(run, JOINT)
    return {s: float((predicted_labels(run, s) != joint).mean()) for s in SCENARIOS if s != JOINT}
