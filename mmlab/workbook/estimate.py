"""About how long a run of the workbook takes, told before it starts.

From seconds that were measured on two cores; docs/speed.md shows them. What it does not know is told as zero: early
stopping, other work on the machine, a slower disk.
"""

import ast
from pathlib import Path
from typing import Any

from mmlab.config import TWIN, RunConfig
from mmlab.course import Course, fit_folds
from mmlab.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from mmlab.errors import MmlabError
from mmlab.features import count_missing
from mmlab.runs import MAIN, MAIN_NOTEBOOK, is_complete, read_record
from mmlab.runs.records import find_recorded

READING = 30.0  # seconds of a run in which nothing is encoded or trained: figures, tables, the report
ENCODING, CONVERTING = 0.009, 8.0  # seconds for each pair, and once for the encoders themselves
TRAINING = 0.036  # seconds for each labelled pair: what notebooks train whichever fusion is chosen
FUSING = 0.014 / 10  # seconds for each labelled pair and model of the main run, with the gated fusion


def estimate_seconds(config: RunConfig, course: Course, trained: bool) -> float:
    """trained: whether all runs are there already."""
    folds = fit_folds(course.labels, course.labelled[TWIN].to_numpy(), config.folds) if config.folds else 1
    models = folds * config.seeds
    per_pair = 0 if trained else TRAINING + FUSING * models * find_cost(config.fusion)
    missing = _count_unencoded(config, course)
    return READING + per_pair * len(course.labels) + (CONVERTING + ENCODING * missing if missing else 0)


def find_cost(fusion: str) -> float:
    """How many times as long as the gated one a fusion trains: the `cost` of its class, read without loading torch."""
    tree = ast.parse(Path(__file__).parents[1].joinpath("models.py").read_text(encoding="utf-8"))
    for node in tree.body:
        named = isinstance(node, ast.ClassDef) and {one.arg: one.value for one in node.keywords}.get("name")
        if named and named.value == fusion:
            costs = [one.value for one in node.body if isinstance(one, ast.Assign) and one.targets[0].id == "cost"]
            return ast.literal_eval(costs[0]) if costs else 1.0
    return 1.0  # one of the user's own


def are_trained(results: Path | str, name: str, given: dict[str, Any]) -> bool:
    """Whether a run of the workbook with these arguments came to its end on this results folder; name: its record."""
    try:
        return read_record(results, name) == given and is_complete(find_recorded(results, MAIN_NOTEBOOK, MAIN))
    except (MmlabError, KeyError, OSError):
        return False


def _count_unencoded(config: RunConfig, course: Course) -> int:
    """Pairs whose text or image is not in the cache; all, where the encoder itself may not be here yet."""
    ours = config.text_encoder in TEXT_ENCODERS and config.image_encoder in IMAGE_ENCODERS
    return count_missing(course, config) if ours else len(course.pairs)
