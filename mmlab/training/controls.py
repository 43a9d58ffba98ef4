"""Control experiments: each breaks one relation on purpose, so that what rests on it must disappear."""

import numpy as np

from mmlab.course import Course
from mmlab.features import Pairs


def apply_control(control: str, course: Course, features: Pairs, seed: int):
    """The labelled frame, its labels and the features after a control experiment has broken one relation.

    shuffle_images: each labelled pair gets another's image; shuffle_texts: another's text; shuffle_labels: another's
    label. Test pairs stay as they are. `none` changes nothing. Explained in notebook 06, section 3.
    """
    frame, labels = course.labelled, np.asarray(course.labels)
    order = np.random.default_rng([seed, 77]).permutation(len(labels))
    rows = np.arange(len(features))
    swapped = np.concatenate([order, rows[len(labels) :]])
    if control == "shuffle_labels":
        labels = labels[order]
    elif control == "shuffle_images":
        features = features.pair_up(rows, swapped)
    elif control == "shuffle_texts":
        features = features.pair_up(swapped, rows)
    return frame, labels, features
