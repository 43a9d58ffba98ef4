"""The demo course: tweets and drawn scenes made from a known recipe, so that the best possible score is known.

In: a seed. Out: a course folder like `data/demo`, with its ceilings. Explained in notebook 01, section 1.1.
"""

from mmlab.demo.folder import demo_answers, make_demo
from mmlab.demo.recipe import read_ceilings
