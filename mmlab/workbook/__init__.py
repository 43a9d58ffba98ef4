"""The notebooks as a pipeline: parameters in, executed notebooks and run folders out."""

from mmlab.workbook.execute import (
    NAMES,
    READING,
    WIDGET,
    WORKBOOK,
    Job,
    NotebookResult,
    check_parameters,
    check_results,
    finish_notebook,
    read_parameters,
    read_record,
    run_notebook,
    run_notebooks,
    share_parameters,
)
from mmlab.workbook.grid import FUSION_NOTEBOOK, GRID, SCORED, TABLE, Grid, list_cells, read_values, run_cell, tabulate
from mmlab.workbook.slurm import run_array
