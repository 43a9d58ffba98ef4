"""The notebooks as a pipeline: parameters in, executed notebooks, their records and run folders out.

`pipeline` executes the seven notebooks, `grid` notebook 04 once for each setting, on this machine or through `slurm`.
"""

from mmlab.runs import check_results, finish_notebook, read_record
from mmlab.workbook.execute import WIDGET, Job, NotebookResult, Underway, run_notebook, run_notebooks
from mmlab.workbook.grid import FUSION_NOTEBOOK, GRID, TABLE, Grid, Setting, SettingRun, read_values, tabulate
from mmlab.workbook.parameters import NOTEBOOKS, Parameter, begin_notebook, check_parameters, read_parameters
from mmlab.workbook.pipeline import NAMES, WORKBOOK, run_workbook
from mmlab.workbook.timeline import ENCODING, IMPORTS, REPORT, Timeline, read_timeline
