"""Predictions in; scores with intervals, paired comparisons and baselines out.

`scores` holds the registry of metrics; `frames` the table that everything here reads.
"""

from mmlab.evaluation.baselines import MAJORITY, TFIDF, majority_baseline, tfidf_baseline
from mmlab.evaluation.comparison import Comparison, adjust_holm, compare_frames, compare_predictions
from mmlab.evaluation.confidence import (
    abstain,
    augrc,
    cross_heat,
    price_of_recall,
    risk_coverage,
    score_confidence,
    shift_priors,
)
from mmlab.evaluation.credit import share_credit
from mmlab.evaluation.frames import list_answers, list_mistakes, predictions_frame, share_changed
from mmlab.evaluation.labels import find_alone, find_disputed, measure_noise, measure_suspects, rank_suspects
from mmlab.evaluation.probes import Optimism, calibration_error, calibration_table, measure_optimism
from mmlab.evaluation.scores import METRICS, Interval, Metric, Scores, score_frame, score_predictions
