"""Predictions in; scores with intervals, paired comparisons and baselines out.

`scores` holds the registry of metrics; `frames` the table that everything here reads.
"""

from mmlab.evaluation.baselines import MAJORITY, TFIDF, majority_baseline, tfidf_baseline
from mmlab.evaluation.comparison import Comparison, compare_frames, compare_predictions
from mmlab.evaluation.credit import share_credit
from mmlab.evaluation.frames import list_answers, list_mistakes, predictions_frame, share_changed
from mmlab.evaluation.probes import Optimism, calibration_error, calibration_table, measure_optimism
from mmlab.evaluation.scores import METRICS, Interval, Metric, Scores, score_frame, score_predictions
