"""A course folder: read, judged, split without leaks; prediction files written and verified.

In: a folder. Out: a `Course`. Explained in notebook 01.
"""

from mmlab.course.health import Health, Issue
from mmlab.course.reading import Course, random_split_leak, read_course, save_split
from mmlab.course.split import DEV_SHARE, fit_folds, split_folds
from mmlab.course.submission import (
    Verification,
    judge_predictions,
    train_shares,
    verify_predictions,
    write_predictions,
)
from mmlab.course.tables import read_labels
from mmlab.course.text import decode_text, normalise_for_twins
