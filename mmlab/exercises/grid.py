"""Exercises of notebook 05."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "05_hyperparameter_grid")
