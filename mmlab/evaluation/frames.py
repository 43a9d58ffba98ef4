"""The frame of predictions.csv: made, read, checked and listed. Row i of everything is the same pair."""

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, LABELS, TWIN, probability_columns, suggest
from mmlab.errors import MmlabError

_CLASSES = len(LABELS)


def predictions_frame(pairs: pd.DataFrame, folds, probabilities: dict[str, np.ndarray]) -> pd.DataFrame:
    """The frame of predictions.csv: guid, fold, label, twin, then three probability columns for each scenario.

    pairs: n rows with guid, label, twin; folds: (n,) int; probabilities: (n, 3) for each scenario. Rows with a negative
    fold were only trained on and are left out. Raises MmlabError for other shapes.
    """
    require_columns(pairs, [GUID, LABEL, TWIN])
    folds = np.asarray(folds)
    frame = pairs[[GUID, LABEL, TWIN]].reset_index(drop=True)
    check_lengths(pairs=frame, folds=folds)
    frame.insert(1, FOLD, folds)
    for scenario, values in probabilities.items():
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(frame), _CLASSES):
            raise MmlabError(
                f"{scenario}: probabilities of shape {values.shape} do not fit {len(frame)} pairs. Give three for each."
            )
        frame[probability_columns(scenario)] = values
    return frame[folds >= 0].reset_index(drop=True)


def read_frame(frame: pd.DataFrame, scenario: str) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers (n,) and probabilities (n, 3) of a predictions frame."""
    columns = probability_columns(scenario)
    if not set(columns) <= set(frame.columns):
        known = [name.removesuffix(f"_{LABELS[0]}") for name in frame.columns if name.endswith(f"_{LABELS[0]}")]
        raise MmlabError(f"There are no predictions for {scenario!r}.{suggest(scenario, known) if known else ''}")
    require_columns(frame, [GUID, LABEL, TWIN])
    if len(frame) == 0:
        raise MmlabError("There are no predictions to score: the frame is empty. Give one row per pair.")
    twice = frame[GUID].astype(str).duplicated()
    if twice.any():
        guid = frame.loc[twice.to_numpy(), GUID].iloc[0]
        raise MmlabError(f"guid {guid} has more than one row. Keep one row per pair.")
    probabilities = frame[columns].to_numpy(dtype=np.float64)
    empty = ~np.isfinite(probabilities).all(axis=1)
    if empty.any():
        raise MmlabError(f"guid {frame[GUID].to_numpy()[empty][0]} has no probabilities for {scenario}. Leave it out.")
    return class_numbers(frame[LABEL]), probabilities


def rename_scenario(frame: pd.DataFrame, scenario: str, name: str) -> pd.DataFrame:
    """A predictions frame with this one scenario, under another name."""
    names = dict(zip(probability_columns(scenario), probability_columns(name), strict=True))
    return frame[[GUID, FOLD, LABEL, TWIN, *names]].rename(columns=names)


def list_answers(frame: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """One row per pair of a predictions frame, in its order: guid, label, twin, predicted (a label), confidence, right.

    confidence: the probability of the predicted label, 0 to 1; right: bool. Raises MmlabError as `score_frame` does.
    Explained in notebook 02, section 5.1.
    """
    _, probabilities = read_frame(frame, scenario)
    predicted = np.asarray(LABELS)[probabilities.argmax(axis=1)]
    answers = frame[[GUID, LABEL, TWIN]].reset_index(drop=True)
    return answers.assign(predicted=predicted, confidence=probabilities.max(axis=1), right=predicted == answers[LABEL])


def list_mistakes(frame: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """The wrong ones among `list_answers`, the most confident first. Explained in notebook 02, section 5.1."""
    answers = list_answers(frame, scenario)
    return answers[~answers["right"]].sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def share_changed(before: pd.DataFrame, after: pd.DataFrame, scenario: str) -> float:
    """The share of pairs, 0 to 1, whose predicted label differs between two frames of the same pairs in the same order.

    Raises MmlabError when the guids differ. Explained in notebook 04, section 5.
    """
    one, other = list_answers(before, scenario), list_answers(after, scenario)
    if list(one[GUID]) != list(other[GUID]):
        raise MmlabError("The frames do not hold the same pairs in the same order. Sort both by guid.")
    return float((one["predicted"] != other["predicted"]).mean())


def require_columns(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise MmlabError(f"The frame has no column {', '.join(missing)}. It has: {', '.join(map(str, frame.columns))}.")


def class_numbers(labels) -> np.ndarray:
    """(n,) int64 class numbers from class numbers or label names."""
    values = np.asarray(labels)
    if values.dtype.kind not in "OUST":
        return check_classes(values, "labels")
    numbers = pd.Index(LABELS).get_indexer(pd.Index(values))
    if (numbers < 0).any():
        row = int(np.flatnonzero(numbers < 0)[0])
        raise MmlabError(f"Row {row} has the label {values[row]!r}. Labels are {', '.join(LABELS)}.")
    return numbers.astype(np.int64)


def check_classes(values, name: str) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1:
        raise MmlabError(f"{name} has the shape {numbers.shape}. It must be (n,).")
    if len(numbers) == 0:
        raise MmlabError(f"{name} is empty: there is nothing to score. Give one value per pair.")
    if numbers.dtype.kind not in "iuf" or not np.isin(numbers, range(_CLASSES)).all():
        raise MmlabError(f"{name} must hold the class numbers 0, 1 and 2 (the places of {', '.join(LABELS)}).")
    return numbers.astype(np.int64)


def check_predicted(values, name: str) -> np.ndarray:
    """(n,) int64 class numbers from class numbers or (n, 3) probabilities."""
    values = np.asarray(values)
    if values.ndim != 2:
        return check_classes(values, name)
    if values.shape[1] != _CLASSES or values.dtype.kind not in "iuf":
        raise MmlabError(f"{name} has the shape {values.shape}. Give (n,) class numbers or (n, 3) probabilities.")
    if len(values) == 0:
        raise MmlabError(f"{name} is empty: there is nothing to score. Give one value per pair.")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise MmlabError(f"{name} holds nan or infinity in row {row}. Every pair needs three probabilities.")
    if (values < 0).any() or (abs(values.sum(axis=1) - 1) > 1e-3).any():  # logits passed by mistake
        raise MmlabError(f"{name} holds rows that are no probabilities: none below 0, each row summing to 1.")
    return values.argmax(axis=1)


def check_lengths(**columns) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise MmlabError(f"The numbers of rows differ ({words}): these are not the same pairs. Give a row each.")
