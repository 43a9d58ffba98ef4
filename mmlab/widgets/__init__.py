"""Views to click through in JupyterLab: a course's pairs in, an ipywidgets box out."""

from mmlab.widgets.browser import ANY, NO_LABEL, browse_pairs, find_pairs, show_pair
