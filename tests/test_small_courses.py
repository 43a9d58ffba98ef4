"""Odd but sound courses go through all seven notebooks, and a sentence stands where something cannot be shown."""

import json
from pathlib import Path

import pytest
from courses import WORDS, draw_image, guid_of, jpeg, make_folder, write_tables
from PIL import Image

import mmlab
from mmlab.config import RunConfig
from mmlab.course import fit_folds, read_course, split_folds
from mmlab.errors import CourseError, MmlabError, RunError
from mmlab.workbook import NAMES, NOTEBOOKS
from mmlab.workbook.estimate import estimate_seconds
from mmlab.workbook.execute import Job, NotebookResult, run_notebooks
from mmlab.workbook.parameters import share_parameters
from mmlab.workbook.pipeline import NEEDS

GRID = "05_hyperparameter_grid"
QUICK = {"folds": 2, "seeds": 1, "learning_rates": "0.001", "dropouts": "0.6", "jobs": 1, "draws": 2, "compared": ""}
CUES = {
    "negative": ("awful terrible sad hate", (200, 20, 20)),
    "neutral": ("bus stop timetable noon", (128, 128, 128)),
    "positive": ("wonderful happy love great", (20, 200, 20)),
}


def label_pairs(root: Path, labels: list[str], n_test: int = 4) -> list[str]:
    """A course of so many labelled pairs; the guids of all, the labelled ones first."""
    make_folder(root, len(labels), n_test)
    guids = [guid_of(number) for number in range(len(labels) + n_test)]
    test = [(guid, "null") for guid in guids[len(labels) :]]
    write_tables(root, list(zip(guids[: len(labels)], labels, strict=True)), test)
    return guids


def tell(root: Path, number: int, label: str) -> None:
    """Make the text and the image of a pair say plainly that it is of this label."""
    words, colour = CUES[label]
    picture = draw_image(number)
    plain = Image.blend(picture, Image.new("RGB", picture.size, colour), 0.8)
    (root / "data" / f"{guid_of(number)}.txt").write_text(f"{words} {WORDS[number % 15]} {WORDS[number // 15]}")
    (root / "data" / f"{guid_of(number)}.jpg").write_bytes(jpeg(plain))


def make_twelve(root: Path) -> None:
    label_pairs(root, ["negative", "neutral", "positive"] * 4)


def make_lonely(root: Path) -> None:
    label_pairs(root, ["positive"] * 12 + ["negative"])


def make_right(root: Path) -> None:
    labels = [*CUES] * 10
    label_pairs(root, labels)
    for number, label in enumerate(labels):
        tell(root, number, label)


def make_wrong(root: Path) -> None:
    """In each of the two folds the cues mean the opposite of what they mean in the other."""
    labels = ["negative", "positive"] * 12
    label_pairs(root, labels)
    course = read_course(root)
    twins = course.labelled["twin"].to_numpy()
    folds = split_folds(course.labels, twins, fit_folds(course.labels, twins, 2), 0, sparse=True)
    for number, fold in enumerate(folds):
        tell(root, number, labels[(number + fold) % 2])


def make_textless(root: Path) -> None:
    for guid in label_pairs(root, ["negative", "neutral", "positive"] * 5):
        (root / "data" / f"{guid}.txt").write_text(" \n")


def make_pictureless(root: Path) -> None:
    """And nothing is to be predicted."""
    for guid in label_pairs(root, ["negative", "positive"] * 8, n_test=0):
        (root / "data" / f"{guid}.jpg").unlink()


MAKERS = {
    "twelve": make_twelve,
    "lonely": make_lonely,
    "right": make_right,
    "wrong": make_wrong,
    "textless": make_textless,
    "pictureless": make_pictureless,
}
KNOBS = {"twelve": {"folds": 5}}
# What stands in the executed notebook, by course and by the first letters of the notebook's name.
SAID = {
    "twelve": {
        "02": ["4 independent pairs, so 4 folds are used", "1 in 3 training pairs, not 1 in 8, decides when to stop"],
        "03": ["picture in row 11: "],
        "05": ["There are no two models to compare."],
    },
    "lonely": {
        "01": ["No pair has the label neutral", "Few pairs have the label negative (1)"],
        "02": ["have only one label to learn from"],
    },
    "right": {
        "02": ["0 of 30 wrong", "There are no pairs to show."],
        "04": ["There are no pairs to show."],
        "06": ["There are no pairs to show.", "The image put no wrong answer of the text head right"],
    },
    "wrong": {
        "02": ["24 of 24 wrong"],
        "03": ["There is no picture to show"],
        "06": ["The image put no wrong answer of the text head right"],
    },
    "textless": {
        "01": ["No pair has a usable text", "there is no charset to count"],
        "02": ["have no word to learn from", "it has no place in this space"],
    },
    "pictureless": {
        "01": ["No pair has a usable image", "there is no size to show", "there will be no prediction file"],
        "03": ["there are no patches to show", "there are no patches to compare"],
        "07": ["test_result.txt is not judged", "no test pairs"],
    },
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> dict[str, tuple[Path, dict[str, NotebookResult | RunError]]]:
    """Of each course its results folder and what became of each notebook. All share one nursery of warm kernels."""
    home, jobs, places = tmp_path_factory.mktemp("small"), [], []
    for name, make in MAKERS.items():
        make(home / name)
        jobs += plan_jobs(home / name, home / f"{name}-results", KNOBS.get(name, {}), len(jobs))
        places += [(name, one) for one in NEEDS]
    outcomes: dict = {name: (home / f"{name}-results", {}) for name in MAKERS}
    for number, outcome in run_notebooks(jobs):
        name, notebook = places[number]
        outcomes[name][1][notebook] = outcome
    return outcomes


def plan_jobs(data: Path, results: Path, knobs: dict, first: int = 0) -> list[Job]:
    """The seven notebooks on a course, in an order in which each comes after those that it needs."""
    sources, order = [NOTEBOOKS / f"{name}.ipynb" for name in NEEDS], list(NEEDS)
    parameters = share_parameters(sources, results, {"data": str(data), **QUICK, **knobs})
    return [
        Job(source, results / source.name, own, after=tuple(first + order.index(one) for one in NEEDS[source.stem]))
        for source, own in zip(sources, parameters, strict=True)
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_every_notebook_ends_on_an_odd_course_and_says_what_it_cannot_show(name, executed):
    results, outcomes = executed[name]
    failed = {one: str(outcome) for one, outcome in outcomes.items() if isinstance(outcome, RunError)}
    assert not failed and sorted(outcomes) == sorted(NAMES)
    for notebook, outcome in outcomes.items():
        shown = read_outputs(outcome.path)
        missing = [words for words in SAID[name].get(notebook[:2], []) if words not in shown]
        assert not missing, f"{notebook}: {missing}"
    assert (results / "report.html").is_file()
    assert (results / "test_result.txt").is_file() is (name != "pictureless")


def test_without_the_sentence_in_the_figure_the_notebook_does_not_end(executed, tmp_path):
    """The twin: where NothingToShow is not caught, an all too good course ends in an error."""
    content = json.loads((NOTEBOOKS / "02_text_only.ipynb").read_text(encoding="utf-8"))
    first = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    first["source"].append("\n\nplots.style.NothingToShow = KeyError")
    source = tmp_path / "02_text_only.ipynb"
    source.write_text(json.dumps(content))
    results, outcomes = executed["right"]
    places = {"data": str(results.with_name("right")), "results": str(results), "folds": 2, "seeds": 1}
    ((_, outcome),) = run_notebooks([Job(source, tmp_path / "out.ipynb", places)])
    assert isinstance(outcome, RunError) and "There are no pairs to show." in str(outcome)
    assert isinstance(outcomes["02_text_only"], NotebookResult)


def read_outputs(notebook: Path) -> str:
    """All that an executed notebook shows as text, with the alternative texts of its figures."""
    words = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            shown = output.get("data", {}).get("text/plain", output.get("text", []))
            words.append(shown if isinstance(shown, str) else "".join(shown))
    return "\n".join(words)


def test_the_report_names_the_folds_that_were_used(executed):
    pages = {name: (executed[name][0] / "report.html").read_text(encoding="utf-8") for name in ("twelve", "lonely")}
    assert "(4 folds;" in pages["twelve"] and "(2 folds;" in pages["lonely"]  # 5 and 2 were asked for


def test_the_report_says_so_where_there_is_no_mistake_to_show(executed):
    pages = {name: (executed[name][0] / "report.html").read_text(encoding="utf-8") for name in ("right", "wrong")}
    assert "there is no wrong answer to show" in pages["right"] and "gets wrong although" not in pages["right"]
    assert "there is no wrong answer to show" not in pages["wrong"] and "gets wrong although" in pages["wrong"]


def test_the_pairs_of_the_course_that_misleads_are_all_answered_wrong(executed):
    results, _ = executed["wrong"]
    summary = json.loads((results / "metrics.json").read_text())
    assert {scenario: one["accuracy"][0] for scenario, one in summary["scores"].items()} == {
        "text_only": 0,
        "image_only": 0,
        "text_and_image": 0,
    }


def test_a_course_of_one_side_is_read_and_half_a_side_is_not(tmp_path, cache):
    make_textless(tmp_path / "course")
    course = read_course(tmp_path / "course")
    assert len(course.labelled) == 15 and not course.pairs["has_text"].any()
    assert {issue.action for issue in course.health.issues} == {"answered from the image alone"}
    (tmp_path / "course" / "data" / "003.txt").write_text("one pair has a text")
    with pytest.raises(CourseError, match="1 usable pairs|every usable pair has the label"):
        read_course(tmp_path / "course")


def test_a_model_that_never_saw_a_picture_is_not_asked_about_one(executed):
    lab = mmlab.load(executed["pictureless"][0])
    assert lab.predict("a wonderful day").label in CUES
    with pytest.raises(MmlabError, match="learned from pairs without images. Leave the image out"):
        lab.predict("a wonderful day", draw_image(0))
    whole = mmlab.load(executed["twelve"][0])  # the twin: one that saw pictures
    assert whole.run.lacks == [] and whole.predict("a wonderful day", draw_image(0)).image is not None


def test_the_time_is_estimated_for_the_folds_that_are_used(sound):
    config = RunConfig(folds=15)
    assert estimate_seconds(config, sound, False) == estimate_seconds(config.replace(folds=127), sound, False)
    assert estimate_seconds(config, sound, False) > estimate_seconds(config.replace(folds=2), sound, False)


def test_a_path_that_is_none_is_refused_in_words():
    with pytest.raises(CourseError, match="takes the path of a course folder, not None"):
        read_course(None)


def test_what_cannot_be_learned_is_said_and_a_whole_course_has_nothing_to_say(sound, tmp_path):
    assert sound.health.notices == []
    make_lonely(tmp_path / "lonely")
    said = " ".join(read_course(tmp_path / "lonely").health.notices)
    assert "neutral" in said and "negative (1)" in said and "usable" not in said


def test_a_grid_compares_what_was_trained_and_says_so_when_nothing_was(tmp_path):
    label_pairs(tmp_path / "course", ["negative", "neutral", "positive"] * 8)
    wild = "weight_decay=1000 batch_size=1"  # a learning rate of 1 then ends in no number
    given = {"data": str(tmp_path / "course"), "folds": 2, "seeds": 1, "dropouts": "0.2, 0.6", "knobs": wild}
    jobs = [
        Job(NOTEBOOKS / f"{GRID}.ipynb", tmp_path / name / "out.ipynb", {**given, "learning_rates": rates,
            "results": str(tmp_path / name)}, skip=("exercise",))
        for name, rates in (("some", "0.001, 1"), ("none", "1, 0.9"))
    ]  # fmt: skip
    outcomes = dict(run_notebooks(jobs, 2))
    some, none = outcomes[0], outcomes[1]
    assert isinstance(some, NotebookResult), some
    assert len(some.record["grid"]) == 2
    assert "no setting is trained" in str(none) and "lr=1.0 is too high" in str(none)
