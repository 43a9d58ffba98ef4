"""Views to click through in JupyterLab. Each is a plain function of the data with controls around it.

The plain function draws the same picture without a kernel, for readers of a saved notebook and for tests.
"""

from mmlab.widgets.browser import ANY, NO_LABEL, browse_pairs, find_pairs, show_pair
from mmlab.widgets.error_explorer import explore_errors, find_errors, find_worst, show_errors
from mmlab.widgets.grid_explorer import compare_settings, explore_grid, show_setting
from mmlab.widgets.neighbours import browse_neighbours, find_neighbours, show_neighbours
from mmlab.widgets.playground import Flip, find_flip, open_playground, show_answer
