"""Grades for a folder of prediction files: judged, scored with their noise, compared; written as table, page, feedback.

`collecting` finds the files and refuses what must not be read; `key` holds the labels; `entrants` makes the references;
`scoring`, `similarity` and `ledger` compute; `writing`, `page` and `figures` show.
"""

from mmlab.grading.collecting import collect_submissions
from mmlab.grading.grades import Grade, Grades, grade_submissions
from mmlab.grading.writing import check_out, write_grades
