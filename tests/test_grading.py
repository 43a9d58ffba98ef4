"""Grading a class: how files are judged, scores and ranks with their noise, who agrees, the leaderboard, the page."""

import base64
import csv
import hashlib
import html
import io
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from courses import N_TEST
from submissions import PATTERN, Class, Models, break_in_every_way, change_some, draw_labels, make_class, to_text
from test_runs import CONFIG, make_data

from mmlab.config import RunConfig, name_knobs
from mmlab.course import verify_predictions
from mmlab.errors import MmlabError
from mmlab.evaluation import score_predictions
from mmlab.grading import Grades, grade_submissions, write_grades
from mmlab.grading.entrants import Entrant, _name_run, list_references
from mmlab.grading.figures import Mark, draw_intervals, list_ticks, spread_out
from mmlab.grading.grades import Grade
from mmlab.grading.key import Key, read_key
from mmlab.grading.ledger import LEAST, Ledger, climbs
from mmlab.grading.scoring import best_shares, holm, rank_intervals, score_entrants
from mmlab.grading.similarity import find_similar
from mmlab.grading.writing import name_files
from mmlab.runs import Run, result_name, train_run
from mmlab.storage import printable

N = 400
GUIDS = [str(number) for number in range(N)]


def write_key(path: Path, labels: np.ndarray, guids=GUIDS) -> Path:
    path.write_text(to_text(guids, labels))
    return path


def make_key(labels: np.ndarray, groups=None) -> Key:
    return Key(GUIDS[: len(labels)], labels, np.arange(len(labels)) if groups is None else groups, None)


def enter(*answers: np.ndarray, kind: str = "student") -> list[Entrant]:
    return [Entrant(f"s{number}", kind, one) for number, one in enumerate(answers)]


def majority(labels: np.ndarray) -> Entrant:
    return Entrant("majority", "baseline", np.full(len(labels), 2))


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory) -> tuple[Class, Grades, Path]:
    """A class, its grades, and the folder of what was written."""
    root, labels = tmp_path_factory.mktemp("class"), draw_labels(N)
    made = make_class(root / "inbox", GUIDS, labels, size=90)
    key = write_key(root / "key.txt", labels)
    grades = grade_submissions(made.folder, key, pattern=PATTERN, references={"preset": root / "preset.txt"})
    return made, grades, write_grades(grades, root / "grades")


def row_of(grades: Grades, name: str) -> Grade:
    (row,) = [row for row in grades.rows if row.name == name]
    return row


# ---- how a file is judged


def test_with_a_course_a_file_is_judged_as_verify_judges_it(sound, tmp_path):
    guids, answers = sound.test.guid.tolist(), np.arange(N_TEST) % 3
    key = read_key(write_key(tmp_path / "key.txt", answers, guids), sound)
    text = to_text(guids, answers)
    for raw, word in [*break_in_every_way(text, strict=True).values(), (text.encode(), "")]:
        (tmp_path / "one.txt").write_bytes(raw)
        found, verified = key.judge(raw), verify_predictions(tmp_path / "one.txt", sound)
        assert (found.problems, found.warnings) == (verified.problems, verified.warnings)
        assert bool(found.problems) == bool(word)


def test_a_key_of_some_pairs_scores_only_these(sound, tmp_path):
    guids = sound.test.guid.tolist()
    truth = np.arange(N_TEST) % 3
    key = write_key(tmp_path / "key.txt", truth[3:8], guids[3:8])
    answers = truth.copy()
    answers[:3] = (answers[:3] + 1) % 3  # wrong, but outside the key
    answers[4] = (answers[4] + 1) % 3
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "ann.txt").write_text(to_text(guids, answers))
    for data in (sound.root, None):
        grades = grade_submissions(tmp_path / "inbox", key, data)
        assert row_of(grades, "ann").standing.values["accuracy"].value == 0.8
    page = write_grades(grade_submissions(tmp_path / "inbox", key, sound.root), tmp_path / "out") / "index.html"
    assert re.search(r"Scores are on 5 pairs: the key covers only these, of\s+12 to predict", page.read_text())


def test_without_a_course_order_and_further_guids_are_not_judged_and_the_page_says_so(handed_in, tmp_path):
    _, grades, out = handed_in
    guids = [*GUIDS[::-1], "more"]
    raw = to_text(guids, np.arange(N + 1) % 3).encode()
    assert grades.key.judge(raw).ok
    assert not grades.key.judge(raw.replace(b"\n5,", b"\n5x,")).ok  # the twin: a guid of the key is missing
    assert "No course was given" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("guid,tag\n057,positive\n999,positive\n", "999"),
        ("guid,tag\n057,null\n", "no label: .* Give it a label or leave it out"),
        ("guid,tag\n", "no rows"),
        ("id,tag\n1,positive\n", "header"),
        (None, "no such file"),
    ],
)
def test_a_faulty_key_is_an_error(sound, tmp_path, content, word):
    if content is not None:
        (tmp_path / "key.txt").write_text(content.replace("057", sound.test.guid[0]))
    with pytest.raises(MmlabError, match=word):
        read_key(tmp_path / "key.txt", sound)


def test_a_key_or_ledger_among_the_submissions_is_refused(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    key = write_key(inbox / "key.txt", draw_labels(N))
    with pytest.raises(MmlabError, match="inside"):
        grade_submissions(inbox, key)
    key = key.rename(tmp_path / "key.txt")
    (inbox / "a.txt").write_text("x")
    with pytest.raises(MmlabError, match="inside"):
        grade_submissions(inbox, key, ledger=inbox / "ledger.json")


def test_no_content_stops_the_judgement():
    """Files spoilt at random: each is judged, and a sound one can be aligned with the key."""
    labels, rng, sound = draw_labels(30), np.random.default_rng(0), 0
    key, text = make_key(labels), to_text(GUIDS[:30], labels).encode()
    for _ in range(400):
        raw = bytearray(text)
        for place in rng.integers(0, len(raw), rng.integers(0, 4)):
            raw[place : place + rng.integers(0, 3)] = rng.bytes(rng.integers(0, 3))
        if (judged := key.judge(bytes(raw))).ok:
            assert key.align(judged.answers).shape == (30,)
            sound += 1
    assert 50 < sound < 350


# ---- a whole class


def test_a_zip_and_its_folder_give_the_same_grades(tmp_path):
    labels, key = draw_labels(50), tmp_path / "key.txt"
    write_key(key, labels, GUIDS[:50])
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(4):
        (inbox / f"s{number}.txt").write_text(to_text(GUIDS[:50], Models(labels, number).answer()))
    with zipfile.ZipFile(tmp_path / "inbox.zip", "w") as archive:
        for path in inbox.iterdir():
            archive.write(path, path.name)
    one, other = (grade_submissions(place, key) for place in (inbox, tmp_path / "inbox.zip"))
    assert [(row.name, row.standing) for row in one.rows] == [(row.name, row.standing) for row in other.rows]


def test_every_broken_file_is_listed_last_with_its_reason(handed_in):
    made, grades, _ = handed_in
    for student, word in made.broken.items():
        row = row_of(grades, student)
        assert row.status == "invalid" and word in " ".join(row.problems), row
    status = [row.status for row in grades.rows]
    assert status == sorted(status, reverse=True) and status.count("invalid") == len(made.broken)
    assert len(grades.older) == len(made.broken) - 2  # the newer, broken file counts; link and pipe have no older one
    assert {one.name for one in grades.stray} == {".DS_Store", "read me.pdf"}


def test_every_sound_file_is_scored(handed_in):
    made, grades, _ = handed_in
    sound = [*made.honest, *made.lucky, *made.leaked, *made.equal, *made.copies, *made.copies.values()]
    assert {row.name for row in grades.students if row.standing} == {printable(name) for name in sound}
    assert len(grades.students) == 90


def test_notes_name_copies_leaks_and_presets_and_leave_the_honest_alone(handed_in):
    made, grades, _ = handed_in
    noted = {row.name: " ".join(row.notes) for row in grades.students if row.notes}
    for student in made.equal:
        assert noted.pop(student) == "equals preset"
    for student in made.leaked:
        assert "above the reach of the references (preset: " in noted.pop(student)
    for student, source in made.copies.items():
        assert noted.pop(student) == f"agrees more than chance with {source}: please read both"
        assert noted.pop(source) == f"agrees more than chance with {student}: please read both"
    assert noted == {}
    assert "copied" not in " ".join(noted.values())


def test_the_lucky_are_not_ranked_above_anyone_for_sure(handed_in):
    made, grades, _ = handed_in
    valid = [row for row in grades.students if row.standing]
    for row in (row_of(grades, name) for name in made.lucky):
        assert row.standing.rank[1] == len(valid)  # nobody is surely worse
    assert row_of(grades, made.leaked[0]).standing.rank == (1, 2)


# ---- scores and ranks


def test_intervals_are_those_of_one_file_alone_up_to_the_draws():
    labels = draw_labels(N)
    groups = np.arange(N) // 2
    answers = [Models(labels, seed).answer() for seed in range(3)]
    standings, reach = score_entrants(make_key(labels, groups), [majority(labels), *enter(*answers)])
    assert reach is None
    for one, predicted in zip(standings[1:], answers):
        alone = score_predictions(labels, predicted, groups)
        for name, value in alone.values.items():
            together = one.values[name]
            assert together.value == value.value
            assert (together.low, together.high) == pytest.approx((value.low, value.high), abs=0.008)
        assert {k: v.value for k, v in one.recall.items()} == {k: v.value for k, v in alone.recall.items()}
    # The twin: single pairs instead of twin groups would give a visibly other interval where twins answer alike.
    twice = np.repeat(np.arange(N // 2), 2)
    key = make_key(labels[twice], twice)
    wide, _ = score_entrants(key, [majority(key.labels), *enter(answers[0][twice])])
    narrow, _ = score_entrants(make_key(labels[twice]), [majority(key.labels), *enter(answers[0][twice])])
    widths = [one[1].values["accuracy"].high - one[1].values["accuracy"].low for one in (wide, narrow)]
    assert widths[0] > 1.25 * widths[1]


def test_ranks_of_clearly_different_students_are_exact_and_of_equal_ones_open():
    labels = draw_labels(N)
    rng = np.random.default_rng(0)
    answers = [change_some(labels, share, rng) for share in (0.1, 0.3, 0.5, 0.7)]
    standings, _ = score_entrants(make_key(labels), [majority(labels), *enter(*answers)])
    assert standings[0].rank is None and standings[0].best is None
    assert [one.rank for one in standings[1:]] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [one.best for one in standings[1:]] == [1, 0, 0, 0]
    standings, _ = score_entrants(make_key(labels), [majority(labels), *enter(*[answers[0]] * 3)])
    assert [one.rank for one in standings[1:]] == [(1, 3)] * 3
    assert [one.best for one in standings[1:]] == pytest.approx([1 / 3] * 3)


def naive_ranks(drawn: np.ndarray) -> list[tuple[int, int]]:
    """Percentiles of the ranks in the draws: what is often done, and too sure among equals."""
    ranks = 1 + (drawn[:, None, :] > drawn[:, :, None]).sum(axis=2)
    return [tuple(bounds) for bounds in np.percentile(ranks, [2.5, 97.5], axis=0).T]


def test_rank_intervals_keep_their_level_where_all_are_equally_good():
    """Twelve models that are each right with 0.7: every rank from 1 to 12 is true of each of them."""
    rng, held = np.random.default_rng(0), {"ours": 0, "naive": 0}
    for _ in range(60):
        right = rng.random((200, 12)) < 0.7
        drawn = rng.multinomial(200, [1 / 200] * 200, size=400) @ right / 200
        held["ours"] += sum(rank == (1, 12) for rank in rank_intervals(right.mean(axis=0), drawn))
        held["naive"] += sum(low == 1 and high >= 11 for low, high in naive_ranks(drawn))
    assert held["ours"] >= 0.88 * 60 * 12
    assert held["naive"] <= 0.5 * 60 * 12  # the twin


def test_best_shares_and_holm_by_hand():
    drawn = np.array([[0.5, 0.5, 0.1], [0.2, 0.4, 0.3], [0.9, 0.4, 0.9], [0.1, 0.1, 0.1]])
    assert best_shares(drawn) == pytest.approx([(0.5 + 0 + 0.5 + 1 / 3) / 4, (0.5 + 1 + 1 / 3) / 4, (0.5 + 1 / 3) / 4])
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])
    assert holm(np.array([])).shape == (0,)


def test_the_gain_over_the_majority_is_paired():
    labels = draw_labels(N)
    answers = np.full(N, 2)
    answers[np.flatnonzero(labels != 2)[:8]] = labels[np.flatnonzero(labels != 2)[:8]]
    gain = score_entrants(make_key(labels), [majority(labels), *enter(answers)])[0][1].gain
    assert gain.value == pytest.approx(8 / N) and gain.low > 0  # unpaired intervals of width 0.1 would overlap


def test_no_reach_is_exceeded_by_models_as_good_as_the_reference():
    labels, found = draw_labels(N), []
    for seed in range(5):
        models = Models(labels, seed)
        reference = Entrant("preset", "reference", models.answer())
        entrants = [majority(labels), reference, *enter(*[models.answer() for _ in range(30)])]
        found.append(score_entrants(make_key(labels), entrants)[1].above)
    assert found.count({}) >= 4


# ---- who agrees with whom


def similar_names(labels: np.ndarray, entrants: list[Entrant]) -> set[tuple[str, str]]:
    return {one.students for one in find_similar(make_key(labels), entrants)}


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_with_changes_is_found_and_models_with_the_same_hard_pairs_are_not(seed):
    labels = draw_labels(N, seed)
    models, rng = Models(labels, seed), np.random.default_rng(seed)
    answers = [models.answer() for _ in range(30)]
    assert similar_names(labels, [majority(labels), *enter(*answers)]) == set()
    copy = change_some(answers[3], 0.06, rng)
    assert similar_names(labels, [majority(labels), *enter(*answers, copy)]) == {("s3", "s30")}


def test_twin_chance_alone_would_suspect_the_whole_class():
    """Without the strata, agreement on easy pairs alone is far above what the answer shares explain."""
    labels = draw_labels(N)
    models = Models(labels)
    a, b = models.answer(), models.answer()
    shares = [np.bincount(one, minlength=3) / N for one in (a, b)]
    expected = N * (shares[0] * shares[1]).sum()
    assert ((a == b).sum() - expected) / np.sqrt(N / 4) > 8


def test_few_students_are_compared_without_each_other():
    labels = draw_labels(N)
    models = Models(labels)
    reference = Entrant("preset", "reference", models.answer(0.1))
    a, c = models.answer(), models.answer()
    copy = change_some(a, 0.05, np.random.default_rng(0))
    assert similar_names(labels, [majority(labels), reference, *enter(a, copy, c)]) == {("s0", "s1")}


def test_equal_to_a_reference_is_by_design_and_equal_to_each_other_is_not():
    labels = draw_labels(N)
    models = Models(labels)
    preset, other = models.answer(), models.answer()
    rest = [models.answer() for _ in range(10)]
    entrants = [majority(labels), Entrant("preset", "reference", preset), *enter(preset, preset, other, other, *rest)]
    assert similar_names(labels, entrants) == {("s2", "s3")}


# ---- the leaderboard


def attack(n: int, rounds: int, submit) -> np.ndarray:
    """Learn labels from a leaderboard: random answers, and the vote of those that moved or exceeded what was shown."""
    rng = np.random.default_rng(5)
    answers = rng.integers(0, 3, (rounds, n))
    shown = np.array([submit(one) for one in answers])
    liked = (
        answers[np.append(True, np.diff(shown) > 0)] if (np.diff(shown) >= 0).all() else answers[shown > shown.mean()]
    )
    vote = np.eye(3)[liked].sum(axis=0).argmax(axis=1)
    submit(vote)
    return vote


def test_random_submissions_learn_nothing_from_the_ladder_and_much_from_a_plain_board(tmp_path):
    labels = np.random.default_rng(6).integers(0, 3, 600)
    ledger = Ledger(tmp_path / "ledger.json", Key([str(i) for i in range(600)], labels, np.arange(600), None))
    learned = attack(600, 400, lambda one: ledger.submit("eve", one).shown)
    assert (learned == labels).mean() < 0.40
    assert ledger.rungs["eve"].shown < 0.42 and ledger.rungs["eve"].submissions == 401
    learned = attack(600, 400, lambda one: float((one == labels).mean()))  # the twin: every score is shown
    assert (learned == labels).mean() > 0.43


def flip_two(labels: np.ndarray, rounds: int, least: float) -> float:
    """The accuracy of someone who changes two answers at a time and keeps what moves the ladder."""
    rng = np.random.default_rng(7)
    best = rng.integers(0, 3, len(labels))
    shown = (best == labels).mean()
    for _ in range(rounds):
        new = change_some(best, 2 / len(labels), rng)
        if climbs(labels, best, new, shown, least):
            best, shown = new, (new == labels).mean()
    return float(shown)


def test_nobody_climbs_by_changing_two_answers_at_a_time():
    labels = np.random.default_rng(6).integers(0, 3, 600)
    start = flip_two(labels, 0, LEAST)
    assert flip_two(labels, 600, LEAST) == start
    assert flip_two(labels, 600, 0) > start + 0.1  # the twin: without a smallest step


def test_the_shown_score_moves_by_a_step_and_never_down(tmp_path):
    labels = draw_labels(N)
    ledger, rng = Ledger(tmp_path / "ledger.json", make_key(labels)), np.random.default_rng(0)
    first = change_some(labels, 0.4, rng)
    assert ledger.submit("ann", first).shown == pytest.approx(0.6)
    hardly = first.copy()
    wrong = np.flatnonzero(first != labels)
    hardly[wrong[0]] = labels[wrong[0]]
    assert ledger.submit("ann", hardly).shown == pytest.approx(0.6)  # better by one pair: within a step
    assert ledger.submit("ann", change_some(labels, 0.5, rng)).shown == pytest.approx(0.6)
    assert ledger.submit("ann", change_some(labels, 0.2, rng)).shown == pytest.approx(0.8)
    assert ledger.rungs["ann"].submissions == 4


SPOILT = [
    *(("shown", value) for value in (float("nan"), 1.5, -0.1, "0.7", None, True)),
    *(("answers", value) for value in ("9" * N, 3, ["0"] * N, None)),
    *(("submissions", value) for value in ("1", 0, 1.5, True)),
    ("last", None),
]


def test_a_ledger_is_kept_counts_a_file_once_and_belongs_to_one_key(tmp_path):
    labels, path = draw_labels(N), tmp_path / "ledger.json"
    ledger, answers = Ledger(path, make_key(labels)), Models(labels).answer()
    rung = ledger.submit("ann", answers)
    ledger.write()
    again = Ledger(path, make_key(labels))
    assert again.rungs == {"ann": rung} and again.submit("ann", answers) == rung
    for other in (1 - labels % 2, labels[:-1]):
        with pytest.raises(MmlabError, match="another key"):
            Ledger(path, make_key(other))
    sound, spoilt = path.read_text(), []
    for field, value in SPOILT:
        content = json.loads(sound)
        content["students"]["ann"][field] = value
        spoilt.append(json.dumps(content))
    for content in ("", "[]", '{"key": 1}', '{"key": "x", "students": {"a": {}}}', "[" * 200_000, *spoilt):
        path.write_text(content)
        with pytest.raises(MmlabError, match=r"is no ledger that mmlab wrote\. Name another file for --ledger\.$"):
            Ledger(path, make_key(labels))


def test_with_a_ledger_students_are_told_what_it_shows_and_no_exact_score(tmp_path):
    labels, inbox = draw_labels(N), tmp_path / "inbox"
    key, ledger = write_key(tmp_path / "key.txt", labels), tmp_path / "board" / "ledger.json"
    inbox.mkdir()
    told = []
    for share in (0.4, 0.38):
        (inbox / "ann.txt").write_text(to_text(GUIDS, change_some(labels, share, np.random.default_rng(0))))
        out = write_grades(grade_submissions(inbox, key, ledger=ledger), tmp_path / "out")
        told.append((out / "feedback" / "ann.txt").read_text())
    assert "0.600" in told[0] and "0.600" in told[1]
    assert ",0.62," in (out / "grades.csv").read_text() and "0.62" not in told[1]
    assert "Submissions counted so far: 2" in told[1]
    plain = write_grades(grade_submissions(inbox, key), tmp_path / "plain")
    assert "0.620" in (plain / "feedback" / "ann.txt").read_text()  # the twin


# ---- what is written


def test_the_table_is_complete_and_no_cell_is_a_formula(handed_in):
    made, grades, out = handed_in
    lines = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text(encoding="utf-8-sig"))))
    assert len(lines) == len(grades.rows)
    assert {"'=1+1", "'@SUM(A1)", "'-2", "'+3"} <= {line["name"] for line in lines}
    for line in lines:
        assert not [cell for cell in line.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    best = next(line for line in lines if line["kind"] == "student")
    assert float(best["accuracy"]) == round(row_of(grades, best["name"]).standing.values["accuracy"].value, 6)
    assert [line["status"] for line in lines] == [row.status for row in grades.rows]


def test_the_json_holds_the_same(handed_in):
    _, grades, out = handed_in
    content = json.loads((out / "grades.json").read_text(encoding="utf-8"))
    assert content["pairs"] == {"scored": N, "to_predict": None, "twin_groups": N}
    assert [row["name"] for row in content["rows"]] == [row.name for row in grades.rows]
    assert content["reach"]["name"] == "preset" and len(content["similar"]) == len(grades.similar)
    assert {one["file"] for one in content["not_read"]} == {".DS_Store", "read me.pdf"}


def test_the_page_is_escaped_offline_and_runs_only_its_own_script(handed_in):
    _, grades, out = handed_in
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "90 students handed in a file" in page
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert not re.search(r"https?://|(src|href)=\"(//|data:)", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    for row in grades.rows:
        assert f'data-status="{row.status}"' in page
    assert page.count("<svg") == 2 and page.count('class="mark"') == 2 * sum(bool(r.standing) for r in grades.students)
    assert "agrees more than chance" in page and "equals preset" in page and "copied from" not in page


DRIVER = """<script>
const said = {}, heads = [...document.querySelectorAll("#grades thead button")];
const names = () => [...body.rows].map((row) => row.cells[0].textContent.trim().split("\\n")[0]);
const look = (words) => { search.value = words; search.dispatchEvent(new Event("input")); return count.textContent; };
said.searched = [look("BROKEN-"), document.querySelectorAll(".mark.dim").length, look("")];
look("BROKEN-");
said.visible = rows.filter((row) => row.offsetHeight).length;
look("");
const [number, notes] = [rows[0].cells[1], rows[0].lastElementChild].map((cell) => cell.getBoundingClientRect());
said.below = notes.top >= number.bottom;
said.sorted = heads.map((head) => [1, 2].map(() => {
  head.click(); return [head.textContent, head.parentElement.getAttribute("aria-sort"), names()]; }));
document.body.textContent = JSON.stringify(said);
</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("width", [900, 1400])
def test_the_table_is_searched_and_sorted_in_a_browser(handed_in, tmp_path, width):
    made, grades, out = handed_in
    page = re.sub(r"<meta http-equiv.*?>", "", (out / "index.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "page.html").write_text(page.replace("</body>", DRIVER), encoding="utf-8")
    call = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"--window-size={width},900"]
    done = subprocess.run([*call, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120)
    said = json.loads(html.unescape(re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)[1]))
    total, marks = len(grades.rows), 2 * sum(bool(row.standing) for row in grades.students)
    assert said["searched"] == [f"{len(made.broken)} of {total} rows", marks, f"{total} of {total} rows"]
    assert said["visible"] == len(made.broken)
    assert said["below"] == (width < 1100)  # in a narrow window the notes have a line of their own
    first = [name for _, _, name in said["sorted"][0]]
    assert first[0][: total - len(made.broken)] == first[1][: total - len(made.broken)][::-1]
    (_, down, best), (_, up, worst) = said["sorted"][1]
    assert (down, up) == ("descending", "ascending")
    scored = [row for row in grades.rows if row.standing]
    assert best[0].startswith("leaked") and worst[0] == scored[-1].name
    for column in said["sorted"]:
        for _, _, order in column:
            assert set(order[-len(made.broken) :]) == set(made.broken)  # always last


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_text_has_contrast_in_both_themes(handed_in):
    page = (handed_in[2] / "index.html").read_text(encoding="utf-8")
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", rule)) for rule in re.findall(r":root \{(.*?)\}", page, re.DOTALL)]
    assert len(themes) == 2 and luminance(themes[0]["page"]) > 0.9 and luminance(themes[1]["page"]) < 0.05
    for theme in themes:
        assert all(
            contrast(theme[name], theme["page"]) >= 4.5 for name in ("ink", "faint", "level", "note", "wrong", "mark")
        )
    assert contrast("#999999", "#ffffff") < 4.5  # the twin


def test_each_student_has_a_feedback_file_of_a_safe_name(handed_in):
    _, grades, out = handed_in
    files = sorted(path.name for path in (out / "feedback").iterdir())
    assert len(files) == len(grades.students)
    assert all(re.fullmatch(r"[\w-][\w.-]*\.txt", name) and len(name) < 80 for name in files)
    valid = (out / "feedback" / "student-000.txt").read_text(encoding="utf-8")
    assert "Scores on 400 pairs" in valid and "Rank: " in valid and "agrees" not in valid
    broken = (out / "feedback" / "broken-spaces.txt").read_text(encoding="utf-8")
    assert "Spaces around a value" in broken and "mmlab verify" in broken


def test_names_that_a_file_system_confuses_get_files_of_their_own():
    names = ["Ann", "ann", "a/b", "a\\b", "..", "con", "é", "e\u0301", "x" * 300]
    files = name_files(names)
    assert len({name.casefold() for name in files.values()}) == len(names)
    assert files["con"] == "feedback/_con.txt" and files["a/b"] == "feedback/a_b.txt"
    assert all(name.count("/") == 1 and ".." not in name for name in files.values())


def test_grades_are_replaced_whole_and_a_folder_of_something_else_is_refused(handed_in, tmp_path, monkeypatch):
    _, grades, _ = handed_in
    out = write_grades(grades, tmp_path / "out")
    before = (out / "grades.csv").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("mmlab.grading.writing.write_feedback", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_grades(grades, out)
        patched.setattr("mmlab.grading.writing.write_feedback", lambda *_: "\ud800")  # cannot be encoded
        with pytest.raises(UnicodeEncodeError):
            write_grades(grades, out)
    assert (out / "grades.csv").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    write_grades(grades, out)
    (out / "my notes.txt").write_text("dear")
    with pytest.raises(MmlabError, match="my notes.txt"):
        write_grades(grades, out)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "years.txt").write_text("of work")
    with pytest.raises(MmlabError, match="holds no grades"):
        write_grades(grades, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "years.txt").read_text() == "of work"


def test_ticks_are_round_and_names_do_not_overlap():
    assert list_ticks(0.52, 0.91) == [0.6, 0.7, 0.8, 0.9]
    assert list_ticks(-3, 187) == [0, 50, 100, 150]
    assert spread_out([10, 11, 50], 14) == [10, 24, 50]
    assert spread_out([268, 269], 14) == [256, 270]


def test_an_exact_rank_is_a_dot_and_the_axis_reaches_the_last():
    marks = [Mark(str(rank), rank, rank, "", rank) for rank in range(1, 14)]
    picture = draw_intervals(marks, "ranks", "rank", down=True)
    ticks = [int(words) for words in re.findall(r'class="tick">(\d+)<', picture)]
    assert ticks[0] == 1 and ticks[-1] == 13 and ticks == sorted(set(ticks))
    assert picture.count("<circle") == 13
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="tick"', picture)]
    assert all(below - above > 11 for above, below in zip(heights, heights[1:]))  # numbers are 11 high
    assert "<circle" not in draw_intervals([Mark("a", 1, 2, "")], "ranks", "rank", down=True)  # the twin


# ---- with a results folder


def test_runs_of_a_results_folder_are_references_but_no_control(tmp_path):
    course, features = make_data()
    run = train_run(CONFIG, course, features, tmp_path / "results")
    train_run(CONFIG.replace(control="shuffle_labels"), course, features, tmp_path / "results")
    guids = run.test_predictions.guid.tolist()
    labels = draw_labels(len(guids))
    key = read_key(write_key(tmp_path / "key.txt", labels, guids))
    found = {one.name: one for one in list_references(key, {}, tmp_path / "results")}
    knobs = name_knobs(CONFIG.changed())
    heads = ["text_and_image", "text_only head", "image_only head"]
    assert set(found) == {"majority", *(f"{knobs}: {head}" for head in heads)}
    (tmp_path / "inbox").mkdir()
    shutil.copy(run.folder / result_name(CONFIG, "text_and_image"), tmp_path / "inbox" / "ann.txt")
    grades = grade_submissions(tmp_path / "inbox", tmp_path / "key.txt", results=tmp_path / "results")
    assert row_of(grades, "ann").notes == [f"equals {knobs}: text_and_image"]
    strange = read_key(write_key(tmp_path / "other.txt", labels, GUIDS[: len(guids)]))
    with pytest.raises(MmlabError, match="does not answer 60 pairs"):
        list_references(strange, {}, tmp_path / "results")


def test_the_default_run_is_named_after_its_preset():
    run = Run(Path("r"), RunConfig(seed=3), "text_and_image", {}, (), 0, 0.0, {})
    assert _name_run(run, "text_and_image") == "laptop: text_and_image"
    alone = Run(Path("r"), RunConfig(scenario="text_only"), "text_only", {}, (), 0, 0.0, {})
    assert _name_run(alone, "text_only") == "laptop: text_only"
