"""Who is in the table of grades: students, and what they are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mmlab.config import GUID, KNOBS, LABELS, PRESETS, TEXT, RunConfig, name_knobs, probability_columns
from mmlab.course.tables import LARGEST_TABLE
from mmlab.errors import CourseError, RunError
from mmlab.evaluation import MAJORITY, TFIDF
from mmlab.grading.key import Key
from mmlab.runs import JOINT, RUNS, Run, is_complete, load_run
from mmlab.storage import read_file


@dataclass(frozen=True, eq=False)
class Entrant:
    """One set of answers to the pairs of a key.

    answers: (n,) int64 class numbers. kind: a baseline is what any model has to beat, a reference what a student of the
    course can reach.
    """

    name: str
    kind: Literal["student", "baseline", "reference"]
    answers: np.ndarray = field(repr=False)


def list_references(key: Key, files: Mapping[str, Path], results: Path | None = None) -> list[Entrant]:
    """Majority, TF-IDF where there is a course, the named files, and the runs of a results folder.

    Raises CourseError for a file that `mmlab verify` would refuse, RunError for results without a run of these pairs.
    """
    found = [_majority(key)]
    if key.course is not None:
        found.append(_tfidf(key))
    found += [_read_reference(key, name, path) for name, path in files.items()]
    if results is not None:
        found += _read_results(key, results)
    return found


def _majority(key: Key) -> Entrant:
    known = key.labels if key.course is None else key.course.labels
    label = int(np.bincount(known, minlength=len(LABELS)).argmax())
    return Entrant(MAJORITY, "baseline", np.full(len(key.labels), label))


def _tfidf(key: Key) -> Entrant:
    from mmlab.evaluation.baselines import tfidf_predictions

    labelled, test = key.course.labelled, key.course.test
    texts = [*labelled[TEXT], *test[TEXT]]
    labels = np.concatenate([key.course.labels, np.zeros(len(test), dtype=np.int64)])
    folds = np.repeat([-1, 0], [len(labelled), len(test)])  # the labelled pairs are only trained on
    best = tfidf_predictions(texts, labels, folds)[len(labelled) :].argmax(axis=1)
    return Entrant(TFIDF, "baseline", key.align(zip(test[GUID], (LABELS[number] for number in best))))


def _read_reference(key: Key, name: str, path: Path) -> Entrant:
    try:
        judged = key.judge(read_file(path, LARGEST_TABLE))
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}). --reference takes NAME=FILE.") from None
    if not judged.ok:
        raise CourseError(f"{path}: cannot be a reference. {judged.problems[0]}")
    return Entrant(name, "reference", key.align(judged.answers))


def _read_results(key: Key, results: Path) -> list[Entrant]:
    """Every trained run's answers to the test pairs, but those of control experiments, which fail on purpose."""
    runs = [load_run(folder) for folder in sorted((results / RUNS).glob("*")) if is_complete(folder)]
    runs = [run for run in runs if run.config is not None and run.config.control == "none"]
    if not runs:
        raise RunError(f"{results} holds no finished run. Name the results folder of a finished `mmlab run`.")
    found: dict[str, Entrant] = {}
    for run in runs:
        guids = run.test_predictions[GUID].tolist()
        if missing := set(key.guids).difference(guids):
            problem = f"does not answer {len(missing)} pairs of the key"
            raise RunError(f"{run.folder}: {problem}. Name results of the course whose pairs are graded.")
        for scenario in run.scenarios:
            best = run.test_predictions[probability_columns(scenario)].to_numpy().argmax(axis=1)
            name = _name_run(run, scenario)
            name = f"{name}, {run.id}" if name in found else name
            found[name] = Entrant(name, "reference", key.align(zip(guids, (LABELS[number] for number in best))))
    return list(found.values())


def _name_run(run: Run, scenario: str) -> str:
    """The preset or the knobs of a run, and which of its answers these are: `laptop: text_and_image`."""
    config = run.config.replace(scenario=KNOBS["scenario"].default, seed=KNOBS["seed"].default)
    presets = [name for name in PRESETS if RunConfig.from_params({}, name) == config]
    knobs = presets[0] if presets else name_knobs(config.changed())
    head = " head" if run.config.scenario == JOINT != scenario else ""
    return f"{knobs}: {scenario}{head}"
