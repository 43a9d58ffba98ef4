"""The page of grades: one HTML file that works offline, with a table to search and sort."""

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from mmlab.evaluation import METRICS
from mmlab.grading.figures import Mark, draw_intervals
from mmlab.grading.grades import Grade, Grades
from mmlab.grading.scoring import DRAWS
from mmlab.grading.similarity import LEVEL

_FOLDER = Path(__file__).parent
_LEVELS = 10  # references that a figure names
_SHOWN = 100  # similar pairs that the page lists; the others are in grades.json


def write_page(grades: Grades, feedback: dict[str, str]) -> str:
    """The page, self-contained; whatever comes from outside is escaped, and only its own script may run.

    feedback: the file of each student, relative to the page.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((_FOLDER / "page.html.jinja").read_text(encoding="utf-8"))
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    students = grades.students
    valid = [row for row in students if row.standing]
    return template.render(
        grades=grades,
        feedback=feedback,
        students=students,
        valid=valid,
        n=len(grades.key.labels),
        n_groups=len(set(grades.key.groups.tolist())),
        metrics=METRICS,
        draws=DRAWS,
        level=LEVEL,
        similar=grades.similar[:_SHOWN],
        intervals=_draw_accuracy(grades, valid) if valid else "",
        ranks=_draw_ranks(valid) if len(valid) > 1 else "",
        script=Markup(script),
        digest=digest,
    )


def _draw_accuracy(grades: Grades, valid: list[Grade]) -> Markup:
    marks = []
    for row in valid:
        one = row.standing.values["accuracy"]
        low, high = (one.value if bound is None else bound for bound in one.to_list()[1:])
        marks.append(Mark(row.name, low, high, f"{row.name}: {one:.3f}", one.value))
    fixed = [row for row in grades.rows if row.kind != "student"]
    fixed.sort(key=lambda row: (row.kind != "baseline", -row.standing.values["accuracy"].value))
    levels = {row.name: row.standing.values["accuracy"].value for row in fixed[:_LEVELS]}
    students = f"{len(valid)} student{'s'[: len(valid) != 1]}"
    title = f"The accuracy of {students} with 95 % intervals; the table below holds the numbers"
    return draw_intervals(marks, title, f"accuracy of {students}, highest first", levels)


def _draw_ranks(valid: list[Grade]) -> Markup:
    marks = []
    for row in valid:
        best, worst = row.standing.rank
        exact = best if best == worst else None  # a dot, since the line has no height
        marks.append(Mark(row.name, best, worst, f"{row.name}: rank {best}{'' if exact else f' to {worst}'}", exact))
    title = f"The ranks that the noise allows to each of {len(valid)} students; the table below holds the numbers"
    return draw_intervals(marks, title, "rank, 1 is the best, in the same order", down=True)
