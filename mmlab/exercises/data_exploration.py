"""Exercises of notebook 01."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "01_data_exploration")
