"""A course folder: read, judged, split without leaks; prediction files written and verified.

In: a folder. Out: a `Course`. Explained in notebook 01."""

from mmlab.course.reading import (
    DEV_SHARE,
    Course,
    random_split_leak,
    read_course,
    save_split,
    split_folds,
    verify_predictions,
    write_predictions,
)
from mmlab.course.text import decode_text, normalise_for_twins
