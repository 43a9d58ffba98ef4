"""Exercises of notebook 03."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "03_image_only")
