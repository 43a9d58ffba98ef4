"""Every figure of the lab: data in, Axes out.

`style` holds the palette and the theme, `picture` what becomes of a figure: files, an alternative text, what a notebook
shows. Then there is one file per theme. A function draws into `ax` when it gets
one and makes a figure of its own otherwise. Numbers are passed in; a figure computes nothing that a reader could not
see in the data.
"""

from mmlab.plots.confidence import plot_learning_curve, plot_price, plot_risk_coverage
from mmlab.plots.course import (
    plot_balance,
    plot_encodings,
    plot_gallery,
    plot_image_sizes,
    plot_lengths,
    plot_patch_answers,
    plot_patches,
)
from mmlab.plots.explanation import plot_explanation
from mmlab.plots.model import live_curve, plot_answer, plot_architecture, plot_history, plot_history_grid
from mmlab.plots.picture import describe_figure, save_figure, show_with_words
from mmlab.plots.scores import (
    plot_comparisons,
    plot_confusion,
    plot_cost,
    plot_effects,
    plot_heatmap,
    plot_parallel,
    plot_probe,
    plot_reliability,
    plot_scores,
)
from mmlab.plots.style import (
    COLOURS,
    OTHER,
    can_draw,
    find_cjk_font,
    lab_style,
    new_figure,
    styled,
    translate_figure,
    wrap_text,
)
from mmlab.plots.timeline import plot_timeline

show_with_words()
