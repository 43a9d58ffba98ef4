"""Exercises of notebook 02."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "02_text_only")
