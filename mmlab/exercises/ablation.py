"""Exercises of notebook 06."""

from mmlab.exercises.judging import load_exercises

EXERCISES = load_exercises(__file__, "06_ablation")
