"""The committed demo is what its recipe says, and the ceilings follow from the recipe."""

import io
import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlab.config import LABELS, SCENARIOS
from mmlab.course import decode_text, normalise_for_twins, read_course
from mmlab.demo import __main__ as command
from mmlab.demo import folder as demo_folder
from mmlab.demo.folder import demo_answers, describe_demo, make_demo, plan_demo
from mmlab.demo.recipe import (
    IMAGE_CUES,
    LABEL_NOISE,
    RECIPE,
    SHARES,
    TEXT_CUES,
    DemoPair,
    Recipe,
    compute_ceilings,
    joint_table,
    label_shares,
    read_ceilings,
    score_best_rule,
)
from mmlab.demo.scenes import difference_hash, draw_images
from mmlab.errors import ConfigError, CourseError

DEMO = Path(__file__).parent.parent / "data" / "demo"


@pytest.fixture(scope="module")
def pairs() -> list[DemoPair]:
    return plan_demo()


@pytest.fixture(scope="module")
def labelled(pairs) -> list[DemoPair]:
    return [pair for pair in pairs if pair.split == "labelled"]


@pytest.fixture
def quick(monkeypatch):
    """make_demo without the half minute of drawing."""
    monkeypatch.setattr(demo_folder, "draw_images", lambda pairs, seed: {pair.guid: b"jpeg" for pair in pairs})
    return {"n_labelled": 100, "n_test": 20}


# --- the committed folder -------------------------------------------------------------------------------------------


def test_texts_and_labels_regenerate_byte_for_byte(pairs):
    for name, content in describe_demo(pairs, seed=0).items():
        assert (DEMO / name).read_bytes() == content.encode(), name
    for pair in pairs:
        assert (DEMO / "data" / f"{pair.guid}.txt").read_bytes() == pair.text.encode(pair.encoding), pair.guid
    names = {f"{pair.guid}.{end}" for pair in pairs for end in ("txt", "jpg")}
    assert {path.name for path in (DEMO / "data").iterdir()} == names


def test_another_seed_gives_another_demo(pairs):
    other = plan_demo(seed=1)
    assert [pair.guid for pair in other] != [pair.guid for pair in pairs]
    shared = {pair.text for pair in other} & {pair.text for pair in pairs}
    assert len(shared) < 10


def test_first_images_regenerate(pairs):
    first = [pair for pair in pairs[:12] if not pair.same_image]
    for guid, raw in draw_images(first, seed=0).items():
        committed = DEMO / "data" / f"{guid}.jpg"
        new, old = (np.asarray(Image.open(source), dtype=float) for source in (io.BytesIO(raw), committed))
        assert new.shape == old.shape
        assert (
            np.abs(new - old).mean() < 4
        )  # another Pillow may round otherwise; another picture differs by ten times that


def test_images_open_and_are_small(pairs):
    total = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert total < 6_000_000
    shapes = set()
    for pair in pairs:
        with Image.open(DEMO / "data" / f"{pair.guid}.jpg") as image:
            image.load()
            assert image.mode == "RGB" and max(image.size) <= 224 and min(image.size) >= 120
            shapes.add(image.size)
    assert len(shapes) >= 7


def test_only_twins_look_alike(pairs):
    hashes, source = [], []
    for pair in pairs:
        with Image.open(DEMO / "data" / f"{pair.guid}.jpg") as image:
            hashes.append(difference_hash(image))
        source.append(pair.twin_of if pair.same_image else pair.guid)
    apart = np.bitwise_count(np.array(hashes, dtype=np.uint64)[:, None] ^ np.array(hashes, dtype=np.uint64)[None])
    same = np.array(source)[:, None] == np.array(source)[None]
    assert apart[~same].min() >= 9
    assert apart[same].max() <= 8 and same.sum() > len(pairs)


def test_test_file_has_null_and_answers_are_elsewhere(pairs):
    rows = (DEMO / "test_without_label.txt").read_text().splitlines()
    assert rows[0] == "guid,tag"
    answers = demo_answers()
    assert [row.split(",") for row in rows[1:]] == [[guid, "null"] for guid in answers]
    assert set(answers.values()) == set(LABELS)
    assert not set(answers) & {row.split(",")[0] for row in (DEMO / "train.txt").read_text().splitlines()}


def test_charsets(pairs):
    foreign = [pair for pair in pairs if pair.encoding == "gb18030"]
    assert 0.07 <= len(foreign) / len(pairs) <= 0.15
    for pair in pairs:
        assert decode_text(pair.text.encode(pair.encoding), pair.guid) == (pair.text, pair.encoding)
    assert any(not pair.text.isascii() for pair in pairs if pair.encoding == "utf-8")
    assert any("’" in pair.text for pair in foreign) and any("#上海" in pair.text for pair in foreign)


def test_texts_have_tweet_length_and_no_accidental_twins(pairs):
    assert max(len(pair.text) for pair in pairs) <= 140
    keys = [normalise_for_twins(pair.text) for pair in pairs if not pair.same_text]
    assert "" not in keys and len(set(keys)) == len(keys)


def test_course_finds_exactly_the_planned_twins(pairs, labelled):
    course = read_course(DEMO)
    source = {pair.guid: pair.twin_of or pair.guid for pair in pairs}
    for column in ("twin", "source"):
        frame = course.pairs.assign(source=course.pairs["guid"].map(source))
        groups = {frozenset(part) for _, part in frame.groupby(column)["guid"] if len(part) > 1}
        assert groups == {
            frozenset((pair.guid, pair.twin_of)) for pair in pairs if pair.twin_of
        }, f"by {column}"  # fmt: skip
    given = {pair.guid: pair.given for pair in labelled}
    disagree = sum(given[pair.twin_of] != pair.given for pair in labelled if pair.twin_of)
    assert disagree >= 1 and course.health.label_conflicts and not course.health.issues
    assert sum(bool(pair.twin_of) for pair in labelled) == 30


# --- the recipe -----------------------------------------------------------------------------------------------------


def simulate(n: int, recipe: Recipe, noise: float = LABEL_NOISE) -> list[tuple[str, str, str]]:
    """(text cue, image cue, given label), drawn step by step as the README says; shares no code with the table."""
    chance, drawn = random.Random(5), []
    for truth in chance.choices(list(SHARES), weights=list(SHARES.values()), k=n):
        cues = chance.choices(list(recipe[truth]), weights=list(recipe[truth].values()))[0]
        flipped = chance.random() * 100 < noise
        given = chance.choice([label for label in LABELS if label != truth]) if flipped else truth
        drawn.append((*cues, given))
    return drawn


def learn_and_score(drawn: list, columns: slice) -> float:
    """Learn the commonest label for each cue on one half, score it on the other."""
    half = len(drawn) // 2
    counts: dict[tuple, Counter] = {}
    for row in drawn[:half]:
        counts.setdefault(row[columns], Counter())[row[2]] += 1
    return sum(counts[row[columns]].most_common(1)[0][0] == row[2] for row in drawn[half:]) / (len(drawn) - half)


SEEN = {"text_only": slice(0, 1), "image_only": slice(1, 2), "text_and_image": slice(0, 2)}


def test_ceilings_equal_a_simulation():
    drawn = simulate(200_000, RECIPE)
    for scenario, ceiling in compute_ceilings().items():
        assert learn_and_score(drawn, SEEN[scenario]) == pytest.approx(ceiling, abs=0.004), scenario
    majority = max(Counter(row[2] for row in drawn).values()) / len(drawn)
    assert majority == pytest.approx(max(label_shares().values()), abs=0.004)


def test_a_wrong_table_is_caught():
    wrong = {label: dict(cells) for label, cells in RECIPE.items()}
    wrong["negative"]["wry", "negative"], wrong["negative"]["wry", "positive"] = 4, 8
    drawn = simulate(200_000, wrong)
    assert abs(learn_and_score(drawn, SEEN["text_and_image"]) - compute_ceilings()["text_and_image"]) > 0.008
    quiet = simulate(200_000, RECIPE, noise=LABEL_NOISE - 2)
    assert abs(learn_and_score(quiet, SEEN["text_only"]) - compute_ceilings()["text_only"]) > 0.008


def test_ceilings_by_hand():
    # One cue decides, half of the images say nothing: 0.5 + 0.5 · (the largest share), then 10 % noise.
    recipe = {label: {(label, label): 50, (label, "missing"): 50} for label in LABELS}
    table = joint_table({"negative": 30, "neutral": 20, "positive": 50}, recipe, noise=10)
    ceilings = compute_ceilings(table)
    assert ceilings["text_only"] == ceilings["text_and_image"] == pytest.approx(0.9)
    silent = 0.5 * 0.9 + 0.5 * 0.05  # always positive: the positive ones kept, half of the other ones' noise
    assert ceilings["image_only"] == pytest.approx(0.5 * 0.9 + 0.5 * silent)


def test_recipe_is_complete_and_far_enough_apart():
    assert sum(SHARES.values()) == 100
    assert all(sum(cells.values()) == 100 for cells in RECIPE.values())
    assert joint_table().sum() == pytest.approx(1)
    text, image, both = (compute_ceilings()[scenario] for scenario in SCENARIOS)
    majority = max(label_shares().values())
    assert majority + 0.2 < min(text, image) and max(text, image) + 0.15 < both < 0.97


def surprises(pairs: list[DemoPair], recipe: Recipe) -> list:
    """Cells whose count is more than four standard deviations from the recipe's."""
    counts = Counter((pair.truth, pair.text_cue, pair.image_cue) for pair in pairs)
    found = []
    for truth, cells in recipe.items():
        for cues, per_cent in cells.items():
            share = SHARES[truth] * per_cent / 10_000
            if abs(counts[truth, *cues] - share * len(pairs)) > 4 * math.sqrt(len(pairs) * share * (1 - share)):
                found.append((truth, *cues))
    return found


def test_drawn_shares_are_the_recipe(pairs, labelled):
    assert surprises(pairs, RECIPE) == []
    assert 0.02 < sum(pair.truth != pair.given for pair in pairs) / len(pairs) < 0.08
    for scenario, ceiling in compute_ceilings().items():
        assert score_best_rule(labelled)[scenario] == pytest.approx(ceiling, abs=0.02)


def test_a_recipe_with_other_shares_is_noticed(pairs):
    cells = RECIPE["negative"]
    turned = dict(zip(cells, reversed(cells.values()), strict=True))
    assert surprises(pairs, {**RECIPE, "negative": turned})


def read_cues(pairs: list[DemoPair], cues: list[str]) -> float:
    """How often a bag of words finds the cue of a text it has not seen."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    matrix = TfidfVectorizer(ngram_range=(1, 2)).fit_transform([pair.text for pair in pairs])
    half = len(pairs) // 2
    return LogisticRegression(C=30).fit(matrix[:half], cues[:half]).score(matrix[half:], cues[half:])


def test_text_cues_can_be_read(pairs):
    originals = [pair for pair in pairs if not pair.twin_of]
    cues = [pair.text_cue for pair in originals]
    assert read_cues(originals, cues) > 0.95
    shuffled = random.Random(0).sample(cues, len(cues))
    assert read_cues(originals, shuffled) < 0.45


def test_every_text_cue_and_image_cue_occurs(pairs):
    assert {pair.text_cue for pair in pairs} == set(TEXT_CUES)
    assert {pair.image_cue for pair in pairs} == set(IMAGE_CUES)


# --- read_ceilings --------------------------------------------------------------------------------------------------


def test_read_ceilings(tmp_path):
    assert read_ceilings(DEMO) == compute_ceilings()
    assert list(read_ceilings(DEMO)) == list(SCENARIOS)
    assert read_ceilings(tmp_path) is None
    (tmp_path / "ceilings.json").write_text('{"text_only": 0.7}')
    with pytest.raises(CourseError, match="ceilings.json"):
        read_ceilings(tmp_path)


# --- make_demo ------------------------------------------------------------------------------------------------------


def test_make_demo_writes_a_folder_and_replaces_its_own(tmp_path, quick):
    folder = make_demo(tmp_path / "new" / "demo", **quick)
    assert len((folder / "train.txt").read_text().splitlines()) == 101
    before = (folder / "train.txt").read_bytes()
    assert make_demo(folder, seed=3, **quick) == folder
    assert (folder / "train.txt").read_bytes() != before
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]
    facts = json.loads((folder / "ceilings.json").read_text())
    assert facts["seed"] == 3 and facts["n_labelled"] == 100


def test_make_demo_never_touches_foreign_files(tmp_path, quick):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.txt").write_text("precious")
    with pytest.raises(CourseError, match="not empty"):
        make_demo(tmp_path / "mine", **quick)
    assert (tmp_path / "mine" / "train.txt").read_text() == "precious"

    folder = make_demo(tmp_path / "demo", **quick)
    (folder / "data" / "notes.txt").write_text("precious")
    with pytest.raises(CourseError, match="notes.txt"):
        make_demo(folder, **quick)
    assert (folder / "data" / "notes.txt").read_text() == "precious"

    with pytest.raises(CourseError, match="is a file"):
        make_demo(folder / "train.txt", **quick)
    assert make_demo(tmp_path / "empty", **quick).is_dir()


@pytest.mark.parametrize("existing", [False, True])
def test_make_demo_leaves_nothing_half_written(tmp_path, quick, monkeypatch, existing):
    if existing:
        make_demo(tmp_path / "demo", **quick)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(
        demo_folder, "draw_images", lambda pairs, seed: {pairs[0].guid: b"jpeg"}
    )  # the second is missing
    with pytest.raises(KeyError):
        make_demo(tmp_path / "demo", seed=1, **quick)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(list(tmp_path.iterdir())) == existing


def test_make_demo_refuses_sizes_it_cannot_fill(tmp_path):
    with pytest.raises(ConfigError, match="labelled"):
        make_demo(tmp_path / "demo", n_labelled=5)
    assert list(tmp_path.iterdir()) == []


def test_main(tmp_path, quick, capsys, monkeypatch):
    for wrong in ([], [str(tmp_path), "x"], [str(tmp_path), "1", "2"]):
        with pytest.raises(SystemExit, match="2"):
            command.main(wrong)
    assert command.main([str(tmp_path / "demo"), "-1"]) == 1  # a seed below zero
    assert "at least 0" in capsys.readouterr().err and not (tmp_path / "demo").exists()
    (tmp_path / "note").write_text("mine")
    assert command.main([str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert command.main([str(tmp_path / "demo"), "2"]) == 0
    assert json.loads((tmp_path / "demo" / "ceilings.json").read_text())["seed"] == 2
