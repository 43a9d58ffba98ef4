"""A run: one training, one folder, complete or absent.

`<results>/runs/<run id>/` holds config.json (every knob and where it came from), predictions.csv, test_predictions.csv,
history.csv, the weights of the models, the prediction files for the test pairs, and metrics.json, which is written
last: a folder without it is unfinished.
"""

from mmlab.runs.ablation import ablate_views
from mmlab.runs.answers import (
    credit_answers,
    predict_course,
    predict_out_of_fold,
    predict_patches,
    predict_relabelled,
    predict_without,
)
from mmlab.runs.curve import learning_curve
from mmlab.runs.ensemble import check_minutes
from mmlab.runs.folder import JOINT, METRICS, RUNS, Run, is_complete, load_run, model_file, result_name, run_folder
from mmlab.runs.keep import keep_predictions, train_run, write_test_results
from mmlab.runs.records import (
    BEST,
    MAIN,
    MAIN_NOTEBOOK,
    check_results,
    find_main,
    finish_notebook,
    read_record,
    write_record,
)
from mmlab.runs.results import TEST_RESULT, check_apart, check_writable, find_siblings, open_results
