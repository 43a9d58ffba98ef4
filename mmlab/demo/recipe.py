"""The demo course: tweets and drawn scenes made from a known recipe, so that the best possible score is known too.

A pair has a true label, a text cue and an image cue; recipe.toml says how often each combination occurs. The text and
the picture are then written and drawn to show their cue and nothing else. Whoever could read the cues without error and
knew the table would reach the accuracies of `compute_ceilings`; no model can be expected to pass them.

Explained in notebook 01, section 1.1, and compared with trained models in notebook 06, section 4.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmlab.config import LABELS, SCENARIOS
from mmlab.errors import CourseError

NEGATIVE, NEUTRAL, POSITIVE = LABELS
WRY, MISSING = "wry", "missing"
TEXT_CUES = (NEGATIVE, NEUTRAL, POSITIVE, WRY, MISSING)
IMAGE_CUES = (NEGATIVE, NEUTRAL, POSITIVE, MISSING)

_READ = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text(encoding="utf-8"))
LABEL_NOISE, TWIN_SHARE, SHARES = _READ["label_noise"], _READ["twin_share"], _READ["shares"]
# {true label: {(text cue, image cue): per cent}}
RECIPE = {label: {tuple(cues.split(" over ")): n for cues, n in _READ["cues"][label].items()} for label in LABELS}
_SEEN = {"text_only": ["text"], "image_only": ["image"], "text_and_image": ["text", "image"]}  # cues, by scenario
Recipe = dict[str, dict[tuple[str, str], int]]


@dataclass(frozen=True)
class DemoPair:
    """One pair of the demo with everything that the course folder does not say about it."""

    guid: str
    split: str  # "labelled" or "test"
    truth: str  # the label before noise
    given: str  # the label after noise: the one in train.txt, or the answer to a test pair
    text_cue: str
    image_cue: str
    text: str
    encoding: str  # "utf-8" or "gb18030"
    twin_of: str = ""  # guid of the pair that this one repeats
    same_text: bool = False  # the text repeats the other pair's
    same_image: bool = False  # the image repeats the other pair's


def joint_table(shares: dict[str, int] = SHARES, recipe: Recipe = RECIPE, noise: float = LABEL_NOISE) -> pd.Series:
    """The probability of every (truth, text, image, given): true label, cues, label after noise; sums to 1."""
    table = {}
    for truth in LABELS:
        for cues, per_cent in recipe[truth].items():
            for given in LABELS:
                kept = (100 - noise) / 100 if given == truth else noise / 200
                table[truth, *cues, given] = shares[truth] / 100 * per_cent / 100 * kept
    return pd.Series(table, name="share").rename_axis(["truth", "text", "image", "given"])


def best_rule(scenario: str, table: pd.Series) -> pd.Series:
    """The label that is most often given with each cue, or pair of cues, that a scenario sees."""
    return table.groupby([*_SEEN[scenario], "given"]).sum().unstack().idxmax(axis=1).rename("best")


def _is_right(frame: pd.DataFrame, scenario: str, table: pd.Series) -> pd.Series:
    """Where the best rule answers the given label; frame has the columns text, image and given."""
    return frame.join(best_rule(scenario, table), on=_SEEN[scenario]).best == frame.given


def compute_ceilings(table: pd.Series | None = None) -> dict[str, float]:
    """The best accuracy possible on the given labels in each scenario, exactly: a sum over the whole table.

    Label noise is included. Keys: config.SCENARIOS. A model that has seen a pair's twin with its label knows more than
    the cues say and may pass these; twin-aware folds prevent that. Explained in notebook 06, section 4.
    """
    table = joint_table() if table is None else table
    cases = table.reset_index()
    return {name: round(sum(cases.share[_is_right(cases, name, table)]), 6) for name in SCENARIOS}


def label_shares() -> dict[str, float]:
    """The share of each given label, noise included; the largest is the accuracy of always answering it."""
    return joint_table().groupby("given").sum().round(6).to_dict()


def score_best_rule(pairs: list[DemoPair]) -> dict[str, float]:
    """The accuracy that the best rule of each scenario reaches on these very pairs. Keys: config.SCENARIOS."""
    frame = pd.DataFrame({"text": pair.text_cue, "image": pair.image_cue, "given": pair.given} for pair in pairs)
    return {name: round(float(_is_right(frame, name, joint_table()).mean()), 6) for name in SCENARIOS}


def read_ceilings(root: Path | str) -> dict[str, float] | None:
    """The ceilings of a course folder, keys config.SCENARIOS; None where they are not known (any real course).

    Raises CourseError when ceilings.json is there but cannot be read.
    """
    path = Path(root) / "ceilings.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {scenario: float(content[scenario]) for scenario in SCENARIOS}
    except (ValueError, KeyError, TypeError) as error:
        fix = "Make the demo again with `python -m mmlab.demo`, or delete the file if the folder holds your own data."
        raise CourseError(f"{path}: the ceilings cannot be read ({error!r}). {fix}") from error
