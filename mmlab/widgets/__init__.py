"""Views to click through in JupyterLab."""

from mmlab.widgets.browser import ALL, NO_LABEL, browse_pairs, find_pairs, show_pair
