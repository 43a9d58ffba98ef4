"""Exercises that answer: a question in a notebook, a check of what the student's object does, a hint for each mistake.

`judging` says how a judge reports and `verdict` what the student sees; `cells` makes the notebooks' cells from the
solutions. Each further file holds the exercises of one notebook.
"""

from mmlab.exercises.checking import EXERCISES, Checker, open_exercises
from mmlab.exercises.judging import Exercise, Found, refuse_blank
from mmlab.exercises.verdict import MIME, SIGNS, Kind, Verdict
