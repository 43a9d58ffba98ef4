"""From a folder of submissions and a key to a table of grades."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmlab.course import read_course
from mmlab.errors import ConfigError, CourseError, MmlabError
from mmlab.grading.collecting import Submission, Unreadable, collect_submissions
from mmlab.grading.entrants import Entrant, list_references
from mmlab.grading.key import Key, read_key
from mmlab.grading.ledger import Ledger, Rung
from mmlab.grading.scoring import Reach, Standing, score_entrants
from mmlab.grading.similarity import Similar, find_equal, find_similar
from mmlab.storage import is_inside

_NAMED = 3  # how many others a note names


@dataclass(frozen=True, eq=False)
class Grade:
    """One row of the table: a student or what students are compared with.

    standing: None where the file has problems. rung: where a student stands on the leaderboard, if there is one.
    """

    name: str
    kind: str  # of an Entrant
    file: str = ""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    standing: Standing | None = None
    notes: list[str] = field(default_factory=list)
    rung: Rung | None = None

    @property
    def status(self) -> str:
        return "invalid" if self.standing is None else "valid"


@dataclass(frozen=True, eq=False)
class Grades:
    """place: what was handed in. rows: the highest accuracy first, whoever has none last. older: files that a newer one
    of the same student replaces; stray: files of nobody, each with its reason."""

    place: Path
    key: Key
    rows: list[Grade]
    similar: list[Similar]
    reach: Reach | None
    older: list[Submission]
    stray: list[Submission]
    ledger: Ledger | None

    @property
    def students(self) -> list[Grade]:
        return [row for row in self.rows if row.kind == "student"]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A student's row and, where the file is sound, their answers. met: whether the file holds a guid of the key; None
    where it is no table."""

    row: Grade
    entrant: Entrant | None = None
    met: bool | None = None


def grade_submissions(
    place: Path | str,
    labels: Path | str,
    data: Path | str | None = None,
    pattern: str | None = None,
    references: Mapping[str, Path] | None = None,
    results: Path | str | None = None,
    ledger: Path | str | None = None,
) -> Grades:
    """Judge and score the newest prediction file of each student in a folder or zip. Writes nothing.

    labels: a table `guid,tag` of the pairs to predict, or of some of them. data: their course folder, which tells the
    order, the twins and the training shares. pattern: see `collect_submissions`. references: prediction files by name.
    results: a results folder whose runs are references. ledger: the file of a leaderboard, which `write_grades` writes.
    Raises MmlabError for what is wrong with these arguments; what is wrong with a submission is in its row.
    """
    place = Path(place)
    key = read_key(Path(labels), None if data is None else read_course(data))
    for inside in filter(None, (labels, ledger)):
        check_outside(place, inside)
    board = None if ledger is None else Ledger(Path(ledger), key)
    fixed = list_references(key, references or {}, None if results is None else Path(results))
    with collect_submissions(place, pattern) as collected:
        _check_names(references or {}, [one.name for one in fixed] + [one.student for one in collected.newest])
        judged = [_judge(key, one) for one in collected.newest]
    if {one.met for one in judged} in ({False}, {False, None}):
        problem = f"none of its {len(key.guids)} guids is in any file of {place}"
        raise CourseError(f"{labels}: {problem}. Give the key of the pairs that students answer.")
    sound, faulty = ([one for one in judged if bool(one.entrant) is wanted] for wanted in (True, False))
    entrants = [*fixed, *(one.entrant for one in sound)]
    standings, reach = score_entrants(key, entrants)
    similar = find_similar(key, entrants)
    notes = _write_notes(entrants, similar, reach)
    rows = [Grade(one.name, one.kind) for one in fixed] + [one.row for one in sound]
    rows = [
        replace(row, standing=standing, notes=notes.get(row.name, []) if row.kind == "student" else [])
        for row, standing in zip(rows, standings, strict=True)
    ]
    if board:
        answers = {one.entrant.name: one.entrant.answers for one in sound}
        rows = [replace(r, rung=board.submit(r.name, answers[r.name])) if r.kind == "student" else r for r in rows]
    rows.sort(key=lambda row: -row.standing.values["accuracy"].value)
    rows += [one.row for one in faulty]
    return Grades(place, key, rows, similar, reach, collected.older, collected.stray, board)


def check_outside(place: Path, other: Path | str) -> None:
    """Raise MmlabError for something of the instructor's inside a folder of submissions: it would be graded."""
    if place.is_dir() and is_inside(other, place):
        raise MmlabError(f"{other} is inside {place}, among what students handed in. Name a place elsewhere.")


def _check_names(references: Mapping[str, Path], names: list[str]) -> None:
    """Raise ConfigError for a name of a reference that somebody else of these has too."""
    counted = Counter(names)
    if twice := [name for name in references if counted[name] > 1]:
        problem = "a student, a baseline or a run has this name"
        raise ConfigError(f"--reference {twice[0]}=...: {problem}. Choose another one.")


def _judge(key: Key, one: Submission) -> _Judged:
    try:
        if one.refusal:
            raise Unreadable(one.refusal)
        judged = key.judge(one.read())
    except Unreadable as reason:
        return _Judged(Grade(one.student, "student", one.name, [f"The file was not read: {reason}."]))
    row = Grade(one.student, "student", one.name, judged.problems, judged.warnings)
    met = not set(key.guids).isdisjoint(guid for guid, _ in judged.answers) if judged.answers else None
    return _Judged(row, Entrant(one.student, "student", key.align(judged.answers)) if judged.ok else None, met)


def _write_notes(entrants: Sequence[Entrant], similar: Sequence[Similar], reach: Reach | None) -> dict[str, list[str]]:
    """What a reader should look at, by student."""
    notes = {student: [f"equals {reference}"] for student, reference in find_equal(entrants).items()}
    for student in reach.above if reach else ():
        words = f"above the reach of the references ({reach.name}: {reach.accuracy.value:.3f}): ask how"
        notes.setdefault(student, []).append(words)
    others: dict[str, list[str]] = {}
    for one in similar:
        for student, other in (one.students, one.students[::-1]):
            others.setdefault(student, []).append(other)
    for student, names in others.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        read = "both" if len(names) == 1 else "them"
        words = f"agrees more than chance with {', '.join(names[:_NAMED])}{more}: please read {read}"
        notes.setdefault(student, []).append(words)
    return notes
