"""The demo course: tweets and drawn scenes made from a known recipe, so that the best possible score is known."""

from mmlab.demo.recipe import make_demo, read_ceilings
