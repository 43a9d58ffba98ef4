"""Predictions in; scores with intervals, paired comparisons and baselines out."""

from mmlab.evaluation.scores import (
    MAJORITY,
    TFIDF,
    Comparison,
    Interval,
    Scores,
    calibration_error,
    calibration_table,
    compare_frames,
    compare_predictions,
    majority_baseline,
    score_frame,
    score_predictions,
    tfidf_baseline,
)
