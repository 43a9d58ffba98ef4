"""Exercises of notebook 07."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "07_report")
