"""The notebooks as a pipeline: parameters in, executed notebooks, their records and run folders out."""

from mmlab.workbook.execute import READING_TAG, WIDGET, Job, NotebookResult, run_notebook, run_notebooks
from mmlab.workbook.parameters import (
    PARAMETERS_TAG,
    Parameter,
    check_parameters,
    read_parameters,
    share_parameters,
)
from mmlab.workbook.records import check_results, finish_notebook, read_record
