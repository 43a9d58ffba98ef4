"""What each view is worth to the kernel machine: it is trained with all views and without each. See docs/scores.md."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from mmlab.config import RunConfig
from mmlab.course import Course
from mmlab.evaluation.frames import rename_scenario
from mmlab.features import Pairs
from mmlab.runs.folder import JOINT, Run
from mmlab.runs.keep import keep_predictions
from mmlab.views import find_views

FOLDS = 2  # half of the pairs train a model: a comparison takes seconds, and all models have equally few


def ablate_views(
    config: RunConfig,
    course: Course,
    features: Pairs,
    results: Path | str,
    on_model: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Run]:
    """Out-of-fold predictions of the joint kernel machine, kept as runs: with all views (""), and without each by name.

    config: one that uses views; the machine is the preset `kernel` with its encoders, views and seed. {} where it uses
    none, and where it is not about pairs. on_model: called with (machines done, machines in all).
    """
    views = find_views(config)
    if not views or config.scenario != JOINT:
        return {}
    shared = {name: getattr(config, name) for name in ("text_encoder", "image_encoder", "precision", "seed")}
    machine = RunConfig.from_params({**shared, "folds": FOLDS}, "kernel")
    runs = {}
    for number, left_out in enumerate(["", *views]):
        kept = {name: view.fingerprint for name, view in views.items() if name != left_out}
        rest = machine.replace(views=", ".join(kept))
        scenario = f"kernel_without_{left_out}" if left_out else "kernel_all_views"
        predict = partial(_predict, rest, course, features, scenario)
        key = [rest.to_dict(), kept, features.digest]
        runs[left_out] = keep_predictions(scenario, predict, course, results, key=key)
        on_model(number + 1, 1 + len(views))
    return runs


def _predict(config: RunConfig, course: Course, features: Pairs, scenario: str) -> pd.DataFrame:
    from mmlab.training import cross_fit

    return rename_scenario(cross_fit(config, course, features).predictions, JOINT, scenario)
