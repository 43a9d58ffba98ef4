"""A folder of grades: grades.csv, grades.json, index.html and a feedback file for each student, all or nothing."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from mmlab.errors import MmlabError
from mmlab.evaluation import METRICS
from mmlab.grading.collecting import CSV, FEEDBACK, JSON, PAGE
from mmlab.grading.grades import Grade, Grades, check_outside
from mmlab.grading.page import write_page
from mmlab.grading.scoring import DRAWS
from mmlab.storage import draft_folder, format_csv, is_inside

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # no file names on Windows


def check_out(out: Path, submissions: Path, ledger: Path | None) -> None:
    """Raise MmlabError unless the folder is new, empty, or older grades with nothing but what `write_grades` wrote, and
    neither inside the submissions nor around the ledger."""
    if ledger is not None and is_inside(ledger, out):
        raise MmlabError(f"{ledger} is inside {out}, which is replaced as a whole. Name a place elsewhere.")
    check_outside(submissions, out)
    if out.exists() and not out.is_dir():
        raise MmlabError(f"{out} is a file. Name a folder for the grades.")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        rows = json.loads((out / JSON).read_text(encoding="utf-8"))["rows"]
        known = {CSV, JSON, PAGE, *(row["feedback"] for row in rows if row["feedback"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise MmlabError(f"{out} is not empty and holds no grades. Nothing was changed: name another folder.") from None
    files = [path for path in out.rglob("*") if path.is_symlink() or not path.is_dir()]
    if added := sorted({path.relative_to(out).as_posix() for path in files} - known):
        raise MmlabError(f"{out} holds files of your own ({added[0]}). Nothing was changed: move them elsewhere.")


def write_grades(grades: Grades, out: Path | str) -> Path:
    """Write everything into a folder, whole or not at all; older grades in it are replaced. Then write the ledger.

    Raises MmlabError as `check_out` does and where the place cannot be written.
    """
    out = Path(out)
    check_out(out, grades.place, grades.ledger and grades.ledger.path)
    feedback = name_files([row.name for row in grades.students])
    files = {CSV: to_csv(grades), JSON: to_json(grades, feedback), PAGE: write_page(grades, feedback)}
    files |= {feedback[row.name]: write_feedback(grades, row) for row in grades.students}
    with draft_folder(out, lambda folder: False) as draft:
        (draft / FEEDBACK).mkdir()
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8", newline="\n")
    if grades.ledger:
        grades.ledger.write()
    return out


def name_files(students: list[str]) -> dict[str, str]:
    """A feedback file for each student: letters, digits and . _ - of the name, a number where two would be the same."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for student in students:
        base = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", student))[:60].strip(".") or "_"
        base = name = f"_{base}" if _RESERVED.match(base) else base
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        found[student] = f"{FEEDBACK}/{name}.txt"
    return found


def to_csv(grades: Grades) -> str:
    """A table for spreadsheets, a line for each row of the page."""
    lines = [_flatten(row, bool(grades.ledger)) for row in grades.rows]
    return format_csv([lines[0], *(line.values() for line in lines)])


def _flatten(row: Grade, ranked: bool) -> dict[str, Any]:
    one = row.standing
    cells: dict[str, Any] = {"name": row.name, "kind": row.kind, "status": row.status, "file": row.file}
    for metric in METRICS:
        numbers = one.values[metric].to_list() if one else [None] * 3
        names = (metric, f"{metric}_low", f"{metric}_high")
        cells |= {name: _round(number) for name, number in zip(names, numbers)}
    cells["rank_best"], cells["rank_worst"] = one.rank if one and one.rank else ("", "")
    cells["probability_best"] = _round(one.best if one else None)
    if ranked:
        cells["shown_accuracy"] = _round(row.rung.shown if row.rung else None)
    return cells | {"notes": "; ".join(row.notes), "problems": " ".join(row.problems)}


def _round(number: float | None) -> str | float:
    return "" if number is None else round(number, 6)


def to_json(grades: Grades, feedback: dict[str, str]) -> str:
    """Everything that the page shows, for programs."""
    key, reach = grades.key, grades.reach
    pairs = {"scored": len(key.labels), "to_predict": key.n_test, "twin_groups": len(set(key.groups.tolist()))}
    content = {
        "pairs": pairs,
        "draws": DRAWS,
        "rows": [_describe(row, feedback) for row in grades.rows],
        "similar": [vars(one) for one in grades.similar],
        "reach": reach and {"name": reach.name, "accuracy": reach.accuracy.to_list(), "above": reach.above},
        "older": [{"student": one.student, "file": one.name} for one in grades.older],
        "not_read": [{"file": one.name, "reason": one.refusal} for one in grades.stray],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _describe(row: Grade, feedback: dict[str, str]) -> dict[str, Any]:
    student = row.kind == "student"
    found: dict[str, Any] = {"name": row.name, "kind": row.kind, "status": row.status, "file": row.file}
    found |= {"problems": row.problems, "warnings": row.warnings, "notes": row.notes}
    found["feedback"] = feedback[row.name] if student else None
    if one := row.standing:
        found["scores"] = {name: value.to_list() for name, value in one.values.items()}
        found["recall"] = {label: value.to_list() for label, value in one.recall.items()}
        found |= {"over_majority": one.gain.to_list(), "rank": one.rank, "probability_best": one.best}
    if row.rung:
        found |= {"shown_accuracy": row.rung.shown, "submissions": row.rung.submissions}
    return found


def write_feedback(grades: Grades, row: Grade) -> str:
    """What a student is told. With a ledger only what its leaderboard shows: each exact score tells of the labels."""
    lines = [f"Feedback for {row.name}", f"File: {row.file}", ""]
    if row.problems:
        lines += ["The file cannot be scored:", *(f"- {problem}" for problem in row.problems), ""]
        lines += ["Mend it, check it with `mmlab verify FILE --data COURSE`, and hand it in again."]
    elif row.rung:
        lines += ["The file is valid.", "", f"Your accuracy on the leaderboard: {row.rung.shown:.3f}"]
        lines += [f"Submissions counted so far: {row.rung.submissions}", ""]
        lines += ["The leaderboard moves only when a submission is better by more than the noise of the comparison."]
    else:
        lines += ["The file is valid.", "", *_list_scores(grades, row)]
    if row.warnings:
        lines += ["", "Worth a look:", *(f"- {warning}" for warning in row.warnings)]
    return "\n".join(lines) + "\n"


def _list_scores(grades: Grades, row: Grade) -> list[str]:
    one, n = row.standing, len(grades.key.labels)
    valid = sum(other.standing is not None for other in grades.students)
    verdict = "better" if one.gain.low > 0 else "worse" if one.gain.high < 0 else "not to be told apart"
    return [
        f"Scores on {n} pairs, with 95 % intervals:",
        *(f"- {METRICS[name].title} {value:.3f}" for name, value in one.values.items()),
        *(f"- recall of {label} {value:.3f}" for label, value in one.recall.items()),
        "",
        f"Against always answering the most frequent label: {one.gain:+.3f}, {verdict}.",
        f"Rank: {one.rank[0]} to {one.rank[1]} of {valid}, as far as the noise of {n} pairs tells.",
    ]
