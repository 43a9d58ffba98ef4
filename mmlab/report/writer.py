"""What the report says: run folders in, blocks out. Every number in it is read from a run, none is typed.

What cannot be shown (a run that is missing, damaged or of other data) stands in the report as a notice with the command
that makes it. Explained in notebook 07.
"""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mmlab import plots
from mmlab.config import GRID_PRESETS, LABELS, SCENARIOS, RunConfig, name_knobs, probability_columns, suggest
from mmlab.course import Course, read_course, verify_predictions
from mmlab.errors import ConfigError, MmlabError
from mmlab.evaluation import MAJORITY, TFIDF, Comparison, Scores, compare_frames
from mmlab.freshness import code_digest, digest_of
from mmlab.report.document import (
    TEMPLATE,
    Block,
    Code,
    Document,
    Figure,
    Formula,
    Heading,
    Items,
    Notice,
    Paragraph,
    Table,
)
from mmlab.report.words import LANGUAGES, WORDS
from mmlab.runs import RUNS, TEST_RESULT, Run, find_siblings, is_complete, load_run
from mmlab.workbook.grid import GRID
from mmlab.workbook.pipeline import NAMES, WORKBOOK
from mmlab.workbook.records import read_record

JOINT = "text_and_image"
FULL, HALF, WIDE = 6.7, 4.4, 9.6  # inches: an A4 page's text, a figure that needs less, one laid out with more room
MOST_ROWS = 24  # of a table of grid cells

# What the report shows: the part's name, the scenarios of it, and the notebook that makes it.
PARTS: dict[str, tuple[dict[str, str], str]] = {
    "main": ({JOINT: "joint", "text_only": "text head", "image_only": "image head"}, "04_fusion"),
    "text_only": ({"text_only": "text alone"}, "02_text_only"),
    "image_only": ({"image_only": "image alone"}, "03_image_only"),
    "tfidf": ({TFIDF: "TF-IDF"}, "02_text_only"),
    "majority": ({MAJORITY: "majority"}, "02_text_only"),
    "without_image": ({"joint_without_image": "joint, image taken away"}, "06_ablation"),
    "without_text": ({"joint_without_text": "joint, text taken away"}, "06_ablation"),
    "shuffle_images": ({JOINT: "joint, images shuffled"}, "06_ablation"),
    "shuffle_texts": ({JOINT: "joint, texts shuffled"}, "06_ablation"),
    "shuffle_labels": ({JOINT: "joint, labels shuffled"}, "06_ablation"),
}
RESULTS = ("main", "text_only", "image_only", "tfidf", "majority")
ABLATION = ("without_image", "without_text", "shuffle_images", "shuffle_texts", "shuffle_labels")
COMPARED = (
    ("joint", "text head"), ("joint", "image head"), ("joint", "text alone"), ("joint", "image alone"),
    ("joint", "TF-IDF"), ("joint", "majority"), ("text alone", "majority"), ("image alone", "majority"),
)  # fmt: skip
ABLATED = (
    ("joint", "joint, image taken away"), ("joint", "joint, text taken away"), ("text head", "joint, images shuffled"),
    ("image head", "joint, texts shuffled"),
)  # fmt: skip

# Accuracies that others have reported on MVSA-Single, in per cent, each on one random tenth of its 4,511 pairs. Their
# splits were not published, and twins were not kept together.
PUBLISHED_PAIRS = 451
PUBLISHED = {
    "MultiSentiNet (Xu & Mao 2017)": 69.84,
    "Co-MN-Hop6 (Xu et al. 2018)": 70.51,
    "MGNNS (Yang et al. 2021)": 73.77,
    "CLMLF (Li et al. 2022)": 75.33,
    "MDSE (2024)": 76.22,
}
# What the coursework that this lab replaces reported: its best dev accuracy, on 800 dev pairs.
COURSEWORK, COURSEWORK_PAIRS, COURSEWORK_MAJORITY = 58.63, 800, 59.7
COURSEWORK_GRID = GRID_PRESETS["coursework"]


@dataclass(frozen=True)
class Settings:
    """What `report.yml` may hold: who hands the report in, the language, and words of their own."""

    name: str = ""
    number: str = ""
    title: str = ""
    language: str = "en"
    aim: str = ""
    conclusions: str = ""

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """The settings in a YAML file; blanks where there is none. Raises ConfigError naming the file and the fix."""
        if not path.exists():
            return cls()
        try:
            # BaseLoader leaves every value the text it was written as: a student number keeps its zeros, and no is no.
            text = path.read_text(encoding="utf-8-sig")
            node, data = yaml.compose(text, yaml.BaseLoader), yaml.load(text, yaml.BaseLoader) or {}
        except UnicodeError:
            raise ConfigError(f"{path}: is not UTF-8. Save it as UTF-8.") from None
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read ({error.strerror}). Make it a text file, or remove it."
            ) from None
        except yaml.YAMLError as error:
            where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
            raise ConfigError(
                f"{path}{where}: is not YAML ({str(error).splitlines()[0]}). Write `name: ...`."
            ) from None
        known = list(cls.__dataclass_fields__)
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: write one `key: value` a line. Known: {', '.join(known)}.")
        for key, value in data.items():
            if key not in known:
                raise ConfigError(f"{path}: there is no setting {key!r}.{suggest(str(key), known)}")
            if isinstance(value, dict | list):
                raise ConfigError(f"{path}: {key} must be a text.")
        if node is not None and len(node.value) > len(data):
            raise ConfigError(f"{path}: a setting stands there twice. Keep one of them.")
        settings = cls(**data)
        check_language(settings.language, str(path))
        return settings


def check_language(language: str, where: str) -> None:
    """Raise ConfigError for a language the report is not written in."""
    if language not in LANGUAGES:
        raise ConfigError(f"{where}: language {language!r} is unknown. Use one of {', '.join(LANGUAGES)}.")


@dataclass(frozen=True)
class Row:
    """One row of a table of scores: what it is called, and the run and scenario it is read from."""

    name: str
    run: Run
    scenario: str

    @property
    def scores(self) -> Scores:
        return self.run.scores[self.scenario]


@dataclass
class Evidence:
    """What a results folder holds, and what is missing in it, each gap with the command that fills it."""

    results: Path
    data: Path | None = None  # a course folder, where the one that was used is not where it was
    runs: dict[str, Run] = field(default_factory=dict)
    records: dict[str, dict] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @classmethod
    def gather(cls, results: Path | str, data: Path | None = None) -> "Evidence":
        """Read all records and runs of a results folder. Never raises for what is missing or damaged in it."""
        found = cls(Path(results), data)
        for name in NAMES[:-1]:
            try:
                found.records[name] = read_record(results, name)
            except MmlabError as error:
                found.gaps.append(f"{error} {found.fix(name)}")
        for part, (scenarios, notebook) in PARTS.items():
            run_id = found.records.get(notebook, {}).get("runs", {}).get(part)
            if run_id is None:
                if notebook in found.records:
                    found.gaps.append(f"Notebook {notebook} left no run {part}. {found.fix(notebook)}")
                continue
            try:
                run = load_run(found.results / RUNS / run_id)
                lacking = [scenario for scenario in scenarios if scenario not in run.scores]
                if lacking:
                    raise MmlabError(f"{run.folder}: holds no predictions of {lacking[0]}.")
                run.check_files()
                found.runs[part] = run
            except MmlabError as error:
                found.gaps.append(f"{error} {found.fix(notebook)}")
        found._refuse_strangers()
        found._look_for_cells()
        found.stale = [part for part, run in found.runs.items() if not run.is_fresh]
        return found

    def _refuse_strangers(self) -> None:
        """Leave out runs of other data or another split than the main run (or than most of them)."""
        for key, what in (("data_fingerprint", "other data"), ("split_hash", "another split")):
            seen = {part: run.provenance.get(key) for part, run in self.runs.items()}
            if len(set(seen.values())) > 1:
                usual = seen.get("main") or Counter(seen.values()).most_common(1)[0][0]
                for part, value in seen.items():
                    if value != usual:
                        folder = self.runs.pop(part).folder
                        self.gaps.append(f"{folder} comes from {what} and is left out. {self.fix(PARTS[part][1])}")

    def _look_for_cells(self) -> None:
        """Tell which of the runs that notebook 05 speaks of are gone."""
        record = self.records.get("05_hyperparameter_grid", {})
        places = [self.results / GRID / RUNS / one for one in record.get("grid", [])]
        gone = [place for place in [*places, self.results / RUNS / str(record.get("chosen"))] if not is_complete(place)]
        if record and gone:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            self.gaps.append(f"{gone[0]}{more}: no complete run here. {self.fix('05_hyperparameter_grid')}")

    def fix(self, notebook: str) -> str:
        return f"To make it: {self.command_of_notebook(notebook)}"

    @cached_property
    def given(self) -> dict[str, Any]:
        """What `mmlab run` was called with: data and knobs."""
        try:
            return read_record(self.results, WORKBOOK)
        except MmlabError:
            return {}

    @property
    def places(self) -> list[str]:
        return ["--data", str(self.data or self.given.get("data", "DATA")), "--results", str(self.results)]

    def command_of_notebook(self, notebook: str) -> str:
        """The command that executes this notebook alone with the knobs of the workbook."""
        knobs = [word for name, value in self.given.get("knobs", {}).items() for word in (f"--{name}", str(value))]
        return shlex.join(["mmlab", "run", "--only", notebook, *self.places, *knobs])

    def command_of(self, part: str) -> str:
        """The command that makes the run of this part, and no other."""
        run = self.runs[part]
        if run.config is None:
            return self.command_of_notebook(PARTS[part][1])
        return command_of_run(run, self.places)

    @cached_property
    def course(self) -> Course | None:
        """The course folder, if it is where it was and holds what the runs were trained on."""
        place = self.data or self.given.get("data")
        if not place or "main" not in self.runs:
            return None
        try:
            course = read_course(place, seed=self.runs["main"].config.seed)
            if course.fingerprint == self.runs["main"].provenance["data_fingerprint"]:
                return course
            why = f"{place} holds other data than the runs in {self.results} were made from."
        except MmlabError as error:
            why = str(error)
        if self.data is not None:  # asked for; the folder of long ago may well be gone
            self.gaps.append(f"{why} Give --data the course folder of these runs.")
        return None

    def rows(self, parts: tuple[str, ...]) -> list[Row]:
        return [
            Row(name, self.runs[part], scenario)
            for part in parts
            if part in self.runs
            for scenario, name in PARTS[part][0].items()
            if scenario in self.runs[part].scores
        ]

    @cached_property
    def tuned(self) -> list[Row]:
        """Runs whose encoders were trained, on the same data and split as the main run."""
        rows = []
        for run in self._other_runs(self.results / RUNS):
            if run.config and run.config.tunes and run.config.control == "none":
                rows += [Row(f"fine-tuned: {PARTS['main'][0][s]}", run, s) for s in run.config.trained_scenarios]
        return rows

    @cached_property
    def grid(self) -> list[Run]:
        """The complete runs of all grids in this results folder, by their knobs."""
        runs = [run for run in self._other_runs(self.results / GRID / RUNS) if run.config]
        return sorted(runs, key=lambda r: (-r.config.lr, r.config.dropout, r.config.fusion, r.config.seed, r.id))

    def _other_runs(self, folder: Path) -> Iterator[Run]:
        main = self.runs.get("main")
        for path in sorted(folder.glob("[!.]*")):
            if not is_complete(path):
                continue
            try:
                run = load_run(path)
                if main is None or run.provenance["data_fingerprint"] == main.provenance["data_fingerprint"]:
                    run.check_files()
                    yield run
            except MmlabError as error:
                if not any(path.name in gap for gap in self.gaps):
                    self.gaps.append(str(error))


def command_of_run(run: Run, places: list[str]) -> str:
    """The command that trains this run's config: the defaults, and `--set` for each knob that differs."""
    usual = RunConfig().to_dict()
    changed = {name: value for name, value in run.config.to_dict().items() if value != usual[name]}
    words = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in changed.items()}
    knobs = [word for name, value in words.items() for word in ("--set", f"{name}={value}")]
    return shlex.join(["mmlab", "train", "--preset", "laptop", *knobs, *places])


def compare_rows(rows: list[Row], pairs: tuple[tuple[str, str], ...]) -> dict[str, Comparison | str]:
    """The paired differences by name "a − b"; where one of the two is missing, a word that says so."""
    by_name = {row.name: row for row in rows}
    found: dict[str, Comparison | str] = {}
    for a, b in pairs:
        lacking = [name for name in (a, b) if name not in by_name]
        if lacking:
            found[f"{a} − {b}"] = f"missing: {', '.join(lacking)}"
            continue
        one, other = by_name[a], by_name[b]
        try:
            found[f"{a} − {b}"] = compare_frames(
                one.run.predictions, one.scenario, other.run.predictions, other.scenario
            )
        except MmlabError:
            found[f"{a} − {b}"] = "not on the same pairs"
    return found


def share_interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in n pairs, for numbers of others of which only the share is known."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


LOSS_FORMULA = r"L = -\sum_{h} \frac{1}{n} \sum_{i=1}^{n} \sum_{c} \tilde{y}_{ic} \log p_{h}(c \mid x_i)"
DIFFERENCE_FORMULA = r"\hat{d} = \frac{1}{n} \sum_{i=1}^{n} \left( [a_i = y_i] - [b_i = y_i] \right)"

# The report's sections in order, each below the course's heading of the Chinese report.
ORDER = (
    ("one", ("aim",)),
    ("two", ("data", "method")),
    ("three", ("environment",)),
    ("four", ("training", "results", "ablation", "errors", "prediction", "others")),
    ("five", ("conclusions", "limits", "provenance")),
)


class Writer:
    """Writes the blocks of the report from the evidence, in one language, and draws its figures."""

    def __init__(self, evidence: Evidence, settings: Settings, figures: Path):
        self.evidence, self.settings, self.figures = evidence, settings, figures
        self.rows = evidence.rows(RESULTS)
        self.comparisons = compare_rows(self.rows, COMPARED)

    def say(self, key: str, **values: Any) -> str:
        return WORDS[key][LANGUAGES.index(self.settings.language)].format(**values)

    def write(self) -> Document:
        """The whole report."""
        blocks: list[Block] = []
        for group, names in ORDER:
            top = self.say(group)
            if top:
                blocks.append(Heading(top))
            for name in names:
                blocks.append(Heading(self.say(name), 2 if top else 1))
                blocks += getattr(self, name)()
        main = self.evidence.runs.get("main")
        if self.evidence.gaps or self.evidence.stale:
            notices = [Notice(gap) for gap in self.evidence.gaps]
            if self.evidence.stale:
                notices.append(Notice(self.say("stale", parts=", ".join(self.evidence.stale))))
            blocks = [Heading(self.say("missing")), *notices, *blocks]
        blank = "________"
        lines = [
            (self.say("name"), self.settings.name or blank),
            (self.say("number"), self.settings.number or blank),
            (self.say("date"), date.today().isoformat()),
        ]
        return Document(
            self.settings.title or self.say("title"),
            lines,
            blocks,
            self.settings.language,
            self.say("contents"),
            {"figure": self.say("figure"), "table": self.say("table")},
            {"mmlab-main-run": main.id if main else "", "mmlab-report-code": report_digest()},
        )

    def figure(
        self,
        name: str,
        axes,
        caption: str,
        width: float = FULL,
        height: float | None = None,
        drawn: float | None = None,
    ) -> Figure:
        """Save a figure as PNG and SVG for its width on an A4 page, in inches. drawn: the width it is laid out at,
        where that is larger: what is crowded is then drawn with more room and shown smaller."""
        import matplotlib.pyplot as plt

        figure = np.ravel(axes)[0].figure
        across, down = figure.get_size_inches()
        wide = drawn or width
        figure.set_size_inches(wide, height or down * wide / across * 1.05)
        plots.save_figure(figure, self.figures, f"report_{name}", subfolder="")
        plt.close(figure)
        return Figure(self.figures / f"report_{name}.png", caption, width)

    def aim(self) -> list[Block]:
        return [Paragraph(text) for text in (self.settings.aim.strip() or self.say("aim.text")).split("\n\n")]

    def data(self) -> list[Block]:
        record = self.evidence.records.get("01_data_exploration")
        if record is None:
            return []
        health, blocks = record["health"], []
        facts = {
            "labelled pairs": health["n_labelled"],
            "pairs to predict": health["n_test"],
            "labels": ", ".join(f"{label} {count}" for label, count in health["label_counts"].items()),
            "charsets": ", ".join(f"{name} {count}" for name, count in health["encodings"].items()),
            "twin groups": health["twin_groups"],
            "twin groups that disagree on the label": health["label_conflicts"],
            "pairs left out or answered from one side": len(health["issues"]),
            "files of no pair": len(health["orphans"]),
            "most frequent label": f"{record['majority_label']} ({record['majority']:.3f})",
        }
        frame = pd.DataFrame({"what": list(facts), "found": [str(value) for value in facts.values()]})
        blocks.append(Table("data", frame, self.say("data.caption")))
        blocks.append(Paragraph(self.say("data.twins", leak=f"{record['leak_random']:.1%}")))
        main = self.evidence.runs.get("main")
        if main is not None and len(main.test_predictions):
            answers = main.test_predictions[probability_columns(JOINT)].to_numpy().argmax(axis=1)
            frames = {
                "labelled": main.predictions,
                "predicted": pd.DataFrame({"label": np.asarray(LABELS)[answers]}),
            }
            caption = self.say("data.balance", n=len(main.predictions), n_test=len(answers))
            blocks.append(self.figure("balance", plots.plot_balance(frames), caption, height=3.6, drawn=8.4))
        return blocks

    def method(self) -> list[Block]:
        main = self.evidence.runs.get("main")
        if main is None:
            return []
        from mmlab.models import FUSIONS

        config = main.config
        folds = self.say("method.folds", n=config.folds) if config.folds else self.say("method.split")
        text = self.say(
            "method.text", text=config.text_encoder, image=config.image_encoder, fusion=config.fusion, folds=folds,
            seeds=self.say("method.models", n=config.seeds),
        )  # fmt: skip
        return [
            Paragraph(text),
            self.figure(
                "architecture", plots.plot_architecture(trace_run(main)), self.say("method.figure"), drawn=WIDE
            ),
            Formula(FUSIONS[config.fusion].formula),
            Paragraph(self.say("method.loss", smoothing=config.label_smoothing)),
            Formula(LOSS_FORMULA),
            Paragraph(self.say("method.interval")),
            Formula(DIFFERENCE_FORMULA),
        ]

    def environment(self) -> list[Block]:
        run = next(iter(self.evidence.runs.values()), None)
        if run is None:
            return []
        facts = {"python": run.provenance["python"], "device": run.provenance["device"], **run.provenance["packages"]}
        facts["commit"] = run.provenance["commit"] or "not a checkout"
        frame = pd.DataFrame({"what": list(facts), "version": [str(value) for value in facts.values()]})
        return [Table("environment", frame, self.say("environment.caption"))]

    def training(self) -> list[Block]:
        main, grid, blocks = self.evidence.runs.get("main"), self.evidence.grid, []
        if main is not None:
            best = main.best_epochs["best_epoch"]
            blocks.append(
                Paragraph(
                    self.say(
                        "training.text",
                        seconds=main.seconds,
                        models=len(best),
                        first=best.min(),
                        last=best.max(),
                        epochs=main.config.epochs,
                    )  # fmt: skip
                )
            )
            axes = plots.plot_history(main.history, best_epoch=main.best_epochs)
            blocks.append(self.figure("history", axes, self.say("training.main")))
        if not grid:
            command = shlex.join(["mmlab", "grid", "--preset", "working", *self.evidence.places])
            return [*blocks, Notice(self.say("training.nogrid", command=command))]
        best_first = sorted(grid, key=lambda run: -run.scores[JOINT].accuracy.value)
        shown = [run for run in grid if run in best_first[:MOST_ROWS]]
        panels = [(_name_cell(run, grid).replace(", ", "\n"), run.history, run.best_epochs) for run in shown]
        axes = plots.plot_history_grid(panels, columns=4 if len(panels) > 6 else 2 if len(panels) < 5 else 3)
        blocks.append(self.figure("grid", axes, self.say("training.grid"), drawn=WIDE))
        frame = pd.DataFrame(
            {
                "cell": [_name_cell(run, grid) for run in shown],
                "n": [run.scores[JOINT].n for run in shown],
                "accuracy": [str(run.scores[JOINT].accuracy) for run in shown],
                "macro-F1": [str(run.scores[JOINT].macro_f1) for run in shown],
                "kept epoch": [f"{run.best_epochs['best_epoch'].mean():g}" for run in shown],
                "seconds": [f"{run.seconds:.1f}" for run in shown],
            }
        )
        blocks.append(Table("grid", frame, self.say("training.cells")))
        if len(shown) < len(grid):
            blocks.append(Paragraph(self.say("training.more", all=len(grid), shown=len(shown))))
        return [*blocks, *self._chosen(grid)]

    def _chosen(self, grid: list[Run]) -> list[Block]:
        record = self.evidence.records.get("05_hyperparameter_grid", {})
        best = next((run for run in grid if run.id == record.get("best")), None)
        chosen = self.evidence.results / RUNS / str(record.get("chosen"))
        if best is None or not is_complete(chosen):
            return []
        honest = load_run(chosen).scores[JOINT]
        dev = best.scores[JOINT]
        return [
            Paragraph(
                self.say(
                    "training.chosen",
                    dev=dev.accuracy,
                    n_dev=dev.n,
                    honest=honest.accuracy,
                    n=honest.n,
                    same=record["indistinguishable"],
                    others=len(record["grid"]) - 1,
                )  # fmt: skip
            )
        ]

    def results(self) -> list[Block]:
        rows = [*self.rows, *self.evidence.tuned]
        if not rows:
            return []
        scores = {row.name: row.scores for row in rows if row.scenario != MAJORITY}
        majority = {row.name: row.scores.accuracy.value for row in rows if row.scenario == MAJORITY}
        blocks: list[Block] = []
        if scores:
            blocks.append(
                self.figure("scores", plots.plot_scores(scores, references=majority), self.say("results.figure"))
            )
        blocks.append(Table("results", _score_frame(rows), self.say("results.table")))
        comparisons = dict(self.comparisons)
        if self.evidence.tuned:
            pairs = tuple((row.name, row.name.removeprefix("fine-tuned: ")) for row in self.evidence.tuned)
            comparisons |= compare_rows(rows, pairs)
        blocks += self._compare("differences", comparisons, self.say("results.differences"), self.say("results.paired"))
        joint = next((row for row in self.rows if row.name == "joint"), None)
        if joint is not None:
            ax = plots.plot_confusion(joint.scores, title="")
            blocks.append(self.figure("confusion", ax, self.say("results.confusion"), HALF))
        return blocks

    def _compare(self, name: str, comparisons: dict, caption: str, paired: str) -> list[Block]:
        real = {key: one for key, one in comparisons.items() if isinstance(one, Comparison)}
        blocks: list[Block] = []
        if real:
            blocks.append(self.figure(name, plots.plot_comparisons(real), paired))
        return [*blocks, Table(name, _difference_frame(comparisons), caption)]

    def ablation(self) -> list[Block]:
        rows = self.evidence.rows(ABLATION)
        if not rows:
            return []
        joint = [row for row in self.rows if row.name == "joint"]
        comparisons = compare_rows([*self.rows, *rows], ABLATED)
        return [
            Table("ablation", _score_frame([*joint, *rows]), self.say("ablation.table")),
            *self._compare(
                "ablation_differences", comparisons, self.say("ablation.differences"), self.say("results.paired")
            ),
        ]

    def errors(self) -> list[Block]:
        main = self.evidence.runs.get("main")
        if main is None:
            return []
        rows = [row for row in self.rows if row.run is main]
        frame = pd.DataFrame(
            [{"model": row.name, **{label: str(row.scores.recall[label]) for label in LABELS}} for row in rows]
        )
        blocks: list[Block] = [Table("recall", frame, self.say("errors.recall"))]
        if self.evidence.course is None:
            return [*blocks, Notice(self.say("errors.nodata", results=self.evidence.results))]
        probabilities = main.predictions[probability_columns(JOINT)].to_numpy()
        answers = main.predictions.assign(
            predicted=np.asarray(LABELS)[probabilities.argmax(axis=1)], sure=probabilities.max(axis=1)
        )
        wrong = answers[answers["predicted"] != answers["label"]].nlargest(6, "sure")
        shown = wrong[["guid", "predicted"]].merge(self.evidence.course.labelled, on="guid")
        if len(shown):
            axes = plots.plot_gallery(shown, n=len(shown), predicted="predicted")
            blocks.append(self.figure("wrong", axes, self.say("errors.gallery"), drawn=WIDE))
        return blocks

    def _differing(self) -> dict[str, float]:
        main = self.evidence.runs["main"]
        best = {s: main.test_predictions[probability_columns(s)].to_numpy().argmax(axis=1) for s in SCENARIOS}
        return {s: float((best[s] != best[JOINT]).mean()) for s in SCENARIOS}

    def prediction(self) -> list[Block]:
        main = self.evidence.runs.get("main")
        if main is None or not len(main.test_predictions):
            return [] if main is None else [Paragraph(self.say("prediction.none"))]
        differ, file, course = self._differing(), self.evidence.results / TEST_RESULT, self.evidence.course
        shares = {"text": f"{differ['text_only']:.1%}", "image": f"{differ['image_only']:.1%}"}
        if course is None or not file.is_file():
            return [Paragraph(self.say("prediction.unjudged", n=len(main.test_predictions), **shares))]
        verdict = verify_predictions(file, course, find_siblings(file))
        if not verdict.ok:
            return [Notice(self.say("prediction.bad", problem=problem)) for problem in verdict.problems]
        frame = pd.DataFrame(
            [
                {"label": row.label, "in train": f"{row.train_share:.1%}", "in the file": f"{row.file_share:.1%}"}
                for row in verdict.shares.itertuples(index=False)
            ]
        )
        return [
            Paragraph(self.say("prediction.ok", n=len(main.test_predictions), **shares)),
            Table("prediction", frame, self.say("prediction.shares")),
            *(Notice(warning) for warning in verdict.warnings),
        ]

    def others(self) -> list[Block]:
        main, majority = self.evidence.runs.get("main"), self.evidence.runs.get("majority")
        if main is None or majority is None:
            return []
        low, high = share_interval(COURSEWORK / 100, COURSEWORK_PAIRS)
        differ = f"{self._differing()['text_only']:.1%}" if len(main.test_predictions) else "—"
        ours, floor = main.scores[JOINT].accuracy, majority.scores[MAJORITY].accuracy
        blocks: list[Block] = [
            Paragraph(
                self.say(
                    "others.coursework",
                    theirs=COURSEWORK,
                    n=COURSEWORK_PAIRS,
                    low=100 * low,
                    high=100 * high,
                    majority=COURSEWORK_MAJORITY,
                    ours=ours,
                    floor=floor,
                    differ=differ,
                )  # fmt: skip
            ),
            *self._coursework_grid(),
        ]
        rows = [
            {"model": name, "n": PUBLISHED_PAIRS, "accuracy": _share(value / 100, PUBLISHED_PAIRS)}
            for name, value in PUBLISHED.items()
        ]
        best = max([row for row in [*self.rows, *self.evidence.tuned] if row.scenario == JOINT], key=_accuracy)
        rows += [
            {"model": f"this report: {row.name}", "n": row.scores.n, "accuracy": str(row.scores.accuracy)}
            for row in {row.name: row for row in (self.rows[0], best)}.values()
        ]
        blocks.append(Table("published", pd.DataFrame(rows), self.say("others.table", n=PUBLISHED_PAIRS)))
        blocks.append(Paragraph(self.say("others.why", n=main.scores[JOINT].n)))
        if main.provenance["n_labelled"] < 2000:
            blocks.append(Paragraph(self.say("others.demo")))
        return blocks

    def _coursework_grid(self) -> list[Block]:
        lr, dropout = COURSEWORK_GRID.values()
        cells = [run for run in self.evidence.grid if run.config.lr in lr and run.config.dropout in dropout]
        if len({(run.config.lr, run.config.dropout) for run in cells}) < len(lr) * len(dropout):
            command = shlex.join(["mmlab", "grid", "--preset", "coursework", *self.evidence.places])
            return [Notice(self.say("others.nogrid", command=command))]
        cells.sort(key=lambda run: (run.config.dropout, -run.config.lr))
        panels = [(f"lr {r.config.lr:g}\ndropout {r.config.dropout:g}", r.history, r.best_epochs) for r in cells]
        axes = plots.plot_history_grid(panels, columns=len(lr))
        best = max(cells, key=lambda run: run.scores[JOINT].accuracy.value)
        floor = best.predictions["label"].value_counts(normalize=True).max()
        return [
            self.figure("coursework", axes, self.say("others.grid"), drawn=WIDE),
            Paragraph(self.say("others.best", accuracy=best.scores[JOINT].accuracy, floor=floor)),
        ]

    def conclusions(self) -> list[Block]:
        items = []
        for name, one in self.comparisons.items():
            if isinstance(one, Comparison):
                a, b = name.split(" − ")
                if one.difference.high < 0:
                    a, b = b, a
                open_ = one.difference.low <= 0 <= one.difference.high
                key = "conclude.open" if open_ else "conclude.real"
                items.append(self.say(key, a=a, b=b, difference=_points(one)))
        control, majority = self.evidence.runs.get("shuffle_labels"), self.evidence.runs.get("majority")
        if control is not None and majority is not None:
            floor = majority.scores[MAJORITY].accuracy
            leak = control.scores[JOINT].accuracy.low > floor.value
            items.append(
                self.say(
                    "conclude.leak",
                    score=control.scores[JOINT].accuracy,
                    floor=floor,
                    verdict=self.say("leak.yes" if leak else "leak.no"),
                )  # fmt: skip
            )
        blocks: list[Block] = [Items(items)] if items else []
        return [*blocks, *(Paragraph(text) for text in self.settings.conclusions.strip().split("\n\n") if text)]

    def limits(self) -> list[Block]:
        main = self.evidence.runs.get("main")
        record = self.evidence.records.get("01_data_exploration")
        if main is None or record is None:
            return []
        counts = record["health"]["label_counts"]
        rare = min(counts, key=counts.get)
        text = self.say(
            "limits.text", conflicts=record["health"]["label_conflicts"], rare=counts[rare], label=rare,
            seed=main.config.seed,
        )  # fmt: skip
        return [Items(text.split("|"))]

    def provenance(self) -> list[Block]:
        runs = self.evidence.runs
        if not runs:
            return []
        first = runs.get("main") or next(iter(runs.values()))
        origin = {key: first.provenance[key] or "—" for key in ("data_fingerprint", "split_hash", "commit")}
        data, split, commit = (value[:16] for value in origin.values())
        seed = first.config.seed if first.config else "—"
        text = self.say("provenance.text", data=data, split=split, seed=seed, commit=commit)
        entries = []
        for part, run in runs.items():
            entries.append((", ".join(PARTS[part][0].values()), run, self.evidence.command_of(part)))
        for run in {row.run.id: row.run for row in self.evidence.tuned}.values():
            entries.append(("fine-tuned", run, command_of_run(run, self.evidence.places)))
        cells = [*self.evidence.places[:-1], str(self.evidence.results / GRID)]
        for run in self.evidence.grid:
            entries.append((f"cell: {_name_cell(run, self.evidence.grid)}", run, command_of_run(run, cells)))
        rows = [
            {
                "rows": name,
                "run": run.id,
                "seed": str(run.config.seed) if run.config else "—",
                "models a fold": str(run.config.seeds) if run.config else "—",
                "commit": run.provenance["commit"] or "—",
            }
            for name, run, _ in entries
        ]
        commands = "\n".join(dict.fromkeys(f"# {name}\n{command}" for name, _, command in entries))
        return [
            Paragraph(text),
            Table("provenance", pd.DataFrame(rows), self.say("provenance.caption")),
            Code(commands),
        ]


def trace_run(run: Run):
    """The parts of a run's first model, at the widths its weights have."""
    from safetensors.torch import load_file

    from mmlab.encoders import MAX_TOKENS, PATCH_GRID
    from mmlab.models import FusionModel, list_parts

    weights = load_file(next(iter(sorted(run.folder.glob("model_*.safetensors")))))
    weights = {name.removeprefix("head."): tensor for name, tensor in weights.items() if "towers." not in name}
    text, image = (weights[f"{side}_head.projection.linear.weight"].shape[1] for side in ("text", "image"))
    model = FusionModel(run.config, text, image)
    model.load_state_dict(weights)
    return list_parts(model, MAX_TOKENS, 1 + PATCH_GRID**2)


def report_digest() -> str:
    """Names the code that writes the report and the code that trains: another digest, another report."""
    template = digest_of(TEMPLATE.read_text(encoding="utf-8"))
    return f"{code_digest(Writer)}-{template}-{code_digest('mmlab.training:cross_fit')}"


def _name_cell(run: Run, among: list[Run]) -> str:
    """The knobs in which the cells differ, and always lr and dropout."""
    usual = [one.config.to_dict() for one in among]
    others = [name for name in usual[0] if name not in ("lr", "dropout") and len({str(u[name]) for u in usual}) > 1]
    names = ["lr", "dropout", *others]
    return name_knobs({name: getattr(run.config, name) for name in names})


def _accuracy(row: Row) -> float:
    return row.scores.accuracy.value


def _share(share: float, n: int) -> str:
    low, high = share_interval(share, n)
    return f"{share:.3f} [{low:.3f}, {high:.3f}]"


def _points(one: Comparison) -> str:
    return f"{100 * one.difference.value:+.1f} [{100 * one.difference.low:+.1f}, {100 * one.difference.high:+.1f}]"


def _score_frame(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": row.name,
                "n": row.scores.n,
                "accuracy": str(row.scores.accuracy),
                "macro-F1": str(row.scores.macro_f1),
                "weighted F1": str(row.scores.weighted_f1),
            }
            for row in rows
        ]
    )


def _difference_frame(comparisons: dict[str, Comparison | str]) -> pd.DataFrame:
    rows = []
    for name, one in comparisons.items():
        if isinstance(one, str):
            rows.append({"a − b": name, "difference": one, "only a right": "—", "only b right": "—", "p": "—"})
            continue
        rows.append(
            {
                "a − b": name,
                "difference": _points(one),
                "only a right": one.b,
                "only b right": one.c,
                "p": f"{one.p_value:.2g}",
            }
        )
    return pd.DataFrame(rows)
