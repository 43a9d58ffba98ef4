"""An ensemble as a run: its members are runs of their own, and it holds their weights. Explained in docs/scores.md."""

import math
import time
from collections.abc import Callable

import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, TWIN, RunConfig, probability_columns
from mmlab.errors import ConfigError
from mmlab.evaluation.selection import NEW, cross_choose, weigh
from mmlab.runs.folder import Run


def check_minutes(minutes: float | None) -> None:
    """Raise ConfigError for what is no time to train in; None: no limit."""
    if minutes is not None and not (isinstance(minutes, int | float) and 0 <= minutes < float("inf")):
        raise ConfigError(f"minutes={minutes!r} is out of range: it must be a number of at least 0.")


class OutOfTime(Exception):
    """A member would not be ready in time."""


def train_members(
    config: RunConfig,
    train: Callable[[RunConfig, Callable[[int, int], None]], Run],
    on_model: Callable[[int, int], None] | None,
    minutes: float | None,
) -> dict[str, Run]:
    """The runs of an ensemble's members by preset, as far as time allows; train: trains one, or reads it.

    A member is given up when, by the time that its first models took, it would end after `minutes`; what it has
    finished is not used. The first member is always trained to its end. on_model: as in `train_run`, over all members.
    """
    started, members = time.monotonic(), config.list_members()
    totals = {name: max(1, one.folds) * one.seeds for name, one in members.items()}
    runs: dict[str, Run] = {}
    for number, (name, one) in enumerate(members.items()):
        before, begun = sum(list(totals.values())[:number]), time.monotonic()

        def tick(done: int, total: int, before: int = before, begun: float = begun, first: bool = not number) -> None:
            if on_model is not None:
                on_model(before + done, sum(totals.values()))
            now = time.monotonic()
            ready = now - started + (now - begun) / done * (total - done)
            if minutes is not None and not first and done < total and ready > 60 * minutes:
                raise OutOfTime(f"about {math.ceil(ready / 60)} minutes in all would do; what it has trained is kept")

        if minutes is not None and number and time.monotonic() - started > 60 * minutes:
            print(f"{name}: no time is left of {minutes:g} minutes. The ensemble answers without it.")
            continue
        try:
            runs[name] = train(one, tick)
            print(f"{name}: ready after {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        except OutOfTime as reason:
            late = f"would not be ready within {minutes:g} minutes ({reason})"
            print(f"{name}: {late}. The ensemble answers without it.", flush=True)
    return runs


def combine(config: RunConfig, runs: dict[str, Run]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions, test predictions and weights (fold, scenario, and a column for each member) of the ensemble."""
    frames = {name: run.predictions for name, run in runs.items()}
    tests = {name: run.test_predictions for name, run in runs.items()}
    first = next(iter(frames.values()))
    predictions, test = first[[GUID, FOLD, LABEL, TWIN]].copy(), next(iter(tests.values()))[[GUID]].copy()
    chosen = []
    for scenario in config.trained_scenarios:
        weights = cross_choose(frames, scenario)
        columns = probability_columns(scenario)
        predictions[columns] = weigh(frames, scenario, weights)
        test[columns] = sum(frame[columns].to_numpy() * weights.loc[NEW, name] for name, frame in tests.items())
        chosen.append(weights.reset_index().assign(scenario=scenario))
    return predictions, test, pd.concat(chosen, ignore_index=True)[[FOLD, "scenario", *runs]]
