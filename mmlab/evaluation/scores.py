"""Scores with their noise, paired comparisons, and the baselines every model has to beat.

Explained in notebook 02, section 4 (scores and baselines) and notebook 06, section 2 (comparisons).

Two conventions hold everywhere. All three classes always count: a class that is neither present nor predicted adds
an F1 of 0 to the macro average, and a class that is not present has recall nan, printed as "no pairs". And twins are
not independent: every interval is a 95 % percentile bootstrap that draws whole twin groups, not pairs. An interval
holds the noise of the sample of pairs, not that of training with another seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, LABELS, TEXT, TWIN, probability_columns, suggest
from mmlab.errors import MmlabError

MAJORITY, TFIDF = "majority", "tfidf"  # the baselines' names where a predictions frame names a scenario
_CLASSES = len(LABELS)
_CHUNK = 2_000_000  # numbers of one bootstrap chunk: 16 MB


@dataclass(frozen=True, eq=False)
class Interval:
    """A value and its 95 % interval, in the unit of the value.

    `value` is nan when there is nothing to measure (the recall of a class without pairs); `low` and `high` are nan
    when there are fewer than two twin groups to draw from.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, spec: str) -> str:
        """The value and its bounds, each in the number format `spec` (".3f" by default): "0.712 [0.696, 0.728]"."""
        spec = spec or ".3f"
        if math.isnan(self.value):
            return "no pairs"
        if math.isnan(self.low):
            return f"{self.value:{spec}} [no interval]"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interval) and self.to_list() == other.to_list()

    def __hash__(self) -> int:
        return hash(tuple(self.to_list()))

    def contains(self, value: float) -> bool:
        """Whether a value lies within the interval, bounds included."""
        return self.low <= value <= self.high

    def to_list(self) -> list[float | None]:
        """[value, low, high] for JSON, which knows no nan: None stands for it."""
        return [None if math.isnan(number) else number for number in (self.value, self.low, self.high)]

    @classmethod
    def from_list(cls, numbers: Sequence[float | None]) -> "Interval":
        """The interval that `to_list` wrote."""
        return cls(*(math.nan if number is None else float(number) for number in numbers))


@dataclass(frozen=True, eq=False)
class Scores:
    """How well one set of predictions matches the labels of `n` pairs. Explained in notebook 02, section 4.

    accuracy, macro_f1, weighted_f1: Interval, shares of 1. recall: one Interval for each label name.
    confusion: (3, 3) int64, rows the true class, columns the predicted one, in the order of LABELS.
    """

    n: int
    accuracy: Interval
    macro_f1: Interval
    weighted_f1: Interval
    recall: dict[str, Interval]
    confusion: np.ndarray

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy}, macro-F1 {self.macro_f1}, weighted F1 {self.weighted_f1} "
            f"(n = {self.n} pairs, 95 % intervals over twin groups)"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and self.to_dict() == other.to_dict()

    __hash__ = None

    def to_row(self) -> dict[str, int | str]:
        """One row of a table: the number of pairs, then every score as "value [low, high]"."""
        row: dict[str, int | str] = {"n": self.n, "accuracy": str(self.accuracy)}
        row |= {"macro-F1": str(self.macro_f1), "weighted F1": str(self.weighted_f1)}
        return row | {f"recall {label}": str(interval) for label, interval in self.recall.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and None for JSON; `from_dict` gives back exactly the same scores."""
        return {
            "n": self.n,
            "accuracy": self.accuracy.to_list(),
            "macro_f1": self.macro_f1.to_list(),
            "weighted_f1": self.weighted_f1.to_list(),
            "recall": {label: interval.to_list() for label, interval in self.recall.items()},
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Scores":
        """The scores that `to_dict` wrote. Raises MmlabError when a key is missing."""
        try:
            return cls(
                n=int(data["n"]),
                accuracy=Interval.from_list(data["accuracy"]),
                macro_f1=Interval.from_list(data["macro_f1"]),
                weighted_f1=Interval.from_list(data["weighted_f1"]),
                recall={label: Interval.from_list(data["recall"][label]) for label in LABELS},
                confusion=np.array(data["confusion"], dtype=np.int64).reshape(_CLASSES, _CLASSES),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MmlabError(
                f"These are not scores written by mmlab ({error!r}). Score the predictions again."
            ) from None


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pairs. Explained in notebook 06, section 2.

    difference: accuracy of a − accuracy of b, as a share of 1. b: pairs only a has right; c: pairs only b has right
    (the usual names of the two cells McNemar's test looks at). p_value: exact McNemar, which takes the pairs as
    independent. n: pairs compared.
    """

    difference: Interval
    b: int
    c: int
    p_value: float
    n: int

    @property
    def verdict(self) -> str:
        """One of "a is better", "b is better" and "cannot be told apart".

        The interval decides, because it honours twins and the McNemar p-value does not.
        """
        if self.difference.low > 0:
            return "a is better"
        return "b is better" if self.difference.high < 0 else "cannot be told apart"

    def __str__(self) -> str:
        return (
            f"a − b {self.difference:+.3f}: {self.verdict} "
            f"(only a right {self.b}, only b right {self.c} of {self.n} pairs, McNemar p = {self.p_value:.2g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; `from_dict` gives back exactly the same comparison."""
        return {"difference": self.difference.to_list(), "b": self.b, "c": self.c, "p_value": self.p_value, "n": self.n}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Comparison":
        """The comparison that `to_dict` wrote."""
        difference = Interval.from_list(data["difference"])
        return cls(difference, int(data["b"]), int(data["c"]), float(data["p_value"]), int(data["n"]))


def score_predictions(labels, predicted, groups, draws: int = 2000, seed: int = 0) -> Scores:
    """Score predictions row by row: row i of each argument must be the same pair (`score_frame` makes sure of it).

    labels: (n,) int class numbers. predicted: (n,) int class numbers or (n, 3) probabilities. groups: (n,) twin
    group of each pair. Raises MmlabError for no rows, unequal lengths, a class outside 0..2, nan or a row that is
    no probability distribution. Explained in notebook 02, section 4.
    """
    labels = _check_classes(labels, "labels")
    predicted = _check_predicted(predicted, "predicted")
    _check_lengths(labels=labels, predicted=predicted, groups=groups)
    cells = _group_sums(np.eye(_CLASSES**2, dtype=np.int64)[labels * _CLASSES + predicted], groups)
    point = _metrics(cells.sum(axis=0))
    drawn = _metrics(_bootstrap(cells, draws, seed))
    intervals = {name: _interval(point[name], drawn[name], len(cells)) for name in point}
    return Scores(
        n=len(labels),
        accuracy=intervals["accuracy"],
        macro_f1=intervals["macro_f1"],
        weighted_f1=intervals["weighted_f1"],
        recall={label: intervals[f"recall {label}"] for label in LABELS},
        confusion=cells.sum(axis=0).reshape(_CLASSES, _CLASSES),
    )


def score_frame(frame: pd.DataFrame, scenario: str, draws: int = 2000, seed: int = 0) -> Scores:
    """Score one scenario of a predictions frame, in which label and probabilities stand in the same row.

    frame: columns guid, label (text), twin and the scenario's three probability columns, one row a pair.
    Raises MmlabError for a missing column, a duplicate guid, an unknown label or a row without probabilities.
    """
    labels, probabilities = _read_frame(frame, scenario)
    return score_predictions(labels, probabilities, frame[TWIN].to_numpy(), draws, seed)


def compare_predictions(labels, a, b, groups, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare two models on the same rows: each draw takes the same twin groups for both.

    labels, groups as in `score_predictions`; a and b: (n,) int class numbers or (n, 3) probabilities. Raises
    MmlabError as it does. `compare_frames` aligns by guid first. Explained in notebook 06, section 2.
    """
    labels = _check_classes(labels, "labels")
    right_a = _check_predicted(a, "a")
    right_b = _check_predicted(b, "b")
    _check_lengths(labels=labels, a=right_a, b=right_b, groups=groups)
    right_a, right_b = right_a == labels, right_b == labels
    only_a, only_b = right_a & ~right_b, ~right_a & right_b
    cells = _group_sums(np.stack([only_a, only_b, np.ones_like(only_a)], axis=1).astype(np.int64), groups)
    difference = [
        (sums[..., 0] - sums[..., 1]) / sums[..., 2] for sums in (cells.sum(axis=0), _bootstrap(cells, draws, seed))
    ]
    wins, losses = int(only_a.sum()), int(only_b.sum())
    return Comparison(_interval(*difference, len(cells)), wins, losses, _mcnemar(wins, losses), len(labels))


def compare_frames(
    frame_a: pd.DataFrame,
    scenario_a: str,
    frame_b: pd.DataFrame,
    scenario_b: str,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare a scenario of one predictions frame with a scenario of another (or the same), joined on guid.

    The rows may stand in any order. Raises MmlabError when the frames do not hold the same guids, labels and twin
    groups: then they come from different data, and their accuracies must not be subtracted.
    """
    labels, a = _read_frame(frame_a, scenario_a)
    labels_b, b = _read_frame(frame_b, scenario_b)
    guids_a, guids_b = frame_a[GUID].astype(str), frame_b[GUID].astype(str)
    unmatched = sorted(set(guids_a) ^ set(guids_b))
    if unmatched:
        raise MmlabError(
            f"The two frames do not hold the same pairs: {len(unmatched)} guids are in only one of them "
            f"(first: {unmatched[0]}). Compare predictions for the same pairs."
        )
    order = pd.Index(guids_b).get_indexer(guids_a)
    labels_b, b, twins_b = labels_b[order], b[order], frame_b[TWIN].to_numpy()[order]
    if (differ := np.flatnonzero(labels != labels_b)).size:
        raise MmlabError(
            f"The two frames disagree on the label of {differ.size} pairs (first: guid {guids_a.iloc[differ[0]]}). "
            "Train both models on the same course folder, neither of them with shuffled labels as its truth."
        )
    # Numbered by first appearance, so that the same groups under other numbers are still the same groups.
    if not np.array_equal(pd.factorize(frame_a[TWIN].to_numpy())[0], pd.factorize(twins_b)[0]):
        raise MmlabError("The two frames group the twins differently. Train both models on the same course folder.")
    return compare_predictions(labels, a, b, frame_a[TWIN].to_numpy(), draws, seed)


def majority_predictions(labels, folds) -> np.ndarray:
    """The class shares of the other folds as every pair's probabilities: always the most frequent label.

    labels: (n,) class numbers or label names; folds: (n,) int, where a negative fold is only ever trained on.
    Returns (n, 3) float64, nan in rows with a negative fold. Explained in notebook 02, section 4.
    """
    labels, folds = _check_training(labels, folds)
    probabilities = np.full((len(labels), _CLASSES), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        train = labels[folds != fold]
        probabilities[folds == fold] = np.bincount(train, minlength=_CLASSES) / len(train)
    return probabilities


def tfidf_predictions(texts: Sequence[str], labels, folds, seed: int = 0) -> np.ndarray:
    """Logistic regression on TF-IDF of words, word pairs and letter groups, fitted anew for each fold.

    texts: n strings; labels and folds as in `majority_predictions`. Vocabulary, weights and classifier see only the
    other folds. Returns (n, 3) float64 probabilities, nan in rows with a negative fold. Raises MmlabError when the
    training texts of a fold hold no word or only one class. Explained in notebook 02, section 4.
    """
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    labels, folds = _check_training(labels, folds)
    _check_lengths(texts=texts, labels=labels)
    counts = _count_terms([str(text) for text in texts])
    probabilities = np.full((len(labels), _CLASSES), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        train, held_out = folds != fold, folds == fold
        classes = np.unique(labels[train])
        if len(classes) < 2:
            raise MmlabError(f"All labels outside fold {fold} are the same. Use fewer folds or more labelled pairs.")
        features = hstack([_weigh_terms(block, train) for block in counts], format="csr")
        if features.shape[1] == 0:
            raise MmlabError(f"The texts outside fold {fold} hold no word to learn from. Check the texts.")
        model = LogisticRegression(C=3, tol=1e-3, max_iter=500, random_state=seed)
        with threadpool_limits(1):  # vectors this short gain nothing from threads, and wait long for a busy core
            model.fit(features[train], labels[train])
        # A class that the training rows lack keeps probability 0.
        probabilities[held_out] = 0
        probabilities[np.ix_(held_out, classes)] = model.predict_proba(features[held_out])
    return probabilities


def majority_baseline(pairs: pd.DataFrame, folds) -> pd.DataFrame:
    """`majority_predictions` as a predictions frame whose scenario is called "majority".

    pairs: labelled rows of a course (guid, label, twin); folds: (n,) int. For `score_frame` and `compare_frames`.
    """
    return predictions_frame(pairs, folds, {MAJORITY: majority_predictions(pairs[LABEL], folds)})


def tfidf_baseline(pairs: pd.DataFrame, folds, seed: int = 0) -> pd.DataFrame:
    """`tfidf_predictions` as a predictions frame whose scenario is called "tfidf".

    pairs: labelled rows of a course (guid, label, text, twin); folds: (n,) int.
    """
    return predictions_frame(pairs, folds, {TFIDF: tfidf_predictions(pairs[TEXT], pairs[LABEL], folds, seed)})


def predictions_frame(pairs: pd.DataFrame, folds, probabilities: dict[str, np.ndarray]) -> pd.DataFrame:
    """The frame of predictions.csv: guid, fold, label, twin, then three probability columns for each scenario.

    pairs: (n,) rows with guid, label, twin; folds: (n,) int; probabilities: (n, 3) for each scenario, row i for row
    i of pairs. Rows with a negative fold were only trained on and are left out. Raises MmlabError for other shapes.
    """
    _require_columns(pairs, [GUID, LABEL, TWIN])
    folds = np.asarray(folds)
    frame = pairs[[GUID, LABEL, TWIN]].reset_index(drop=True)
    _check_lengths(pairs=frame, folds=folds)
    frame.insert(1, FOLD, folds)
    for scenario, values in probabilities.items():
        values = np.asarray(values, dtype=np.float64)
        if values.shape != (len(frame), _CLASSES):
            raise MmlabError(f"{scenario}: probabilities of shape {values.shape} do not fit {len(frame)} pairs.")
        frame[probability_columns(scenario)] = values
    return frame[folds >= 0].reset_index(drop=True)


def calibration_error(labels, probabilities, bins: int = 10) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over equally wide confidence bins.

    labels: (n,) int class numbers; probabilities: (n, 3). Returns a share of 1; 0 is a model whose confidence can
    be taken at its word. Raises MmlabError as `score_predictions` does. Guo et al. 2017, section 2.
    """
    table = calibration_table(labels, probabilities, bins)
    return float((table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / table["n"].sum())


def calibration_table(labels, probabilities, bins: int = 10) -> pd.DataFrame:
    """Confidence against accuracy: one row for each non-empty bin, with columns n, confidence and accuracy (means).

    labels: (n,) int class numbers; probabilities: (n, 3); confidence is the largest of a row.
    """
    labels = _check_classes(labels, "labels")
    predicted = _check_predicted(probabilities, "probabilities")
    if np.ndim(probabilities) != 2:
        raise MmlabError("Calibration needs probabilities of shape (n, 3), not class numbers.")
    if bins < 1:
        raise MmlabError(f"bins={bins!r} is out of range: it must be at least 1.")
    _check_lengths(labels=labels, probabilities=predicted)
    confidence = np.max(np.asarray(probabilities, dtype=np.float64), axis=1)
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": labels == predicted})
    grouped = rows.groupby("bin")
    return pd.DataFrame({"n": grouped.size(), **grouped[["confidence", "accuracy"]].mean()}).reset_index(drop=True)


def _metrics(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of confusions (..., 9), each of shape (...): undefined F1 is 0, undefined recall nan."""
    confusion = cells.reshape(*cells.shape[:-1], _CLASSES, _CLASSES).astype(np.float64)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    truth, answers, total = confusion.sum(axis=-1), confusion.sum(axis=-2), confusion.sum(axis=(-2, -1))
    f1 = np.divide(2 * right, truth + answers, out=np.zeros_like(right), where=truth + answers > 0)
    recall = np.divide(right, truth, out=np.full_like(right, np.nan), where=truth > 0)
    return {
        "accuracy": right.sum(axis=-1) / total,
        "macro_f1": f1.mean(axis=-1),
        "weighted_f1": (f1 * truth).sum(axis=-1) / total,
        **{f"recall {label}": recall[..., number] for number, label in enumerate(LABELS)},
    }


def _group_sums(rows: np.ndarray, groups) -> np.ndarray:
    """Sums (G, k) of the rows (n, k) of each group."""
    codes, names = pd.factorize(np.asarray(groups))
    if (codes < 0).any():
        raise MmlabError("A pair has no twin group (nan). Every pair needs one, if only its own.")
    sums = np.zeros((len(names), rows.shape[1]), dtype=np.int64)
    np.add.at(sums, codes, rows)
    return sums


def _bootstrap(cells: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Sums (draws, k) over G groups drawn with replacement from cells (G, k).

    Groups with equal cells are interchangeable, so the draw is a multinomial over the distinct ones: the same
    distribution as drawing row numbers, hundreds of times faster, and independent of the order of the rows.
    """
    if draws < 1:
        raise MmlabError(f"draws={draws!r} is out of range: it must be at least 1.")
    rng = np.random.default_rng(seed)
    kinds, counts = np.unique(cells, axis=0, return_counts=True)
    chunk = max(1, _CHUNK // len(kinds))
    parts = []
    for start in range(0, draws, chunk):
        drawn = rng.multinomial(len(cells), counts / len(cells), size=min(chunk, draws - start))
        parts.append(drawn.astype(np.float64) @ kinds.astype(np.float64))  # exact: whole numbers far below 2**53
    return np.concatenate(parts)


def _interval(point, drawn: np.ndarray, groups: int) -> Interval:
    if math.isnan(point) or groups < 2:
        return Interval(float(point), math.nan, math.nan)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])  # a draw without a rare class has no recall for it
    return Interval(float(point), float(low), float(high))


def _mcnemar(b: int, c: int) -> float:
    """Two-sided exact McNemar: are the pairs that only one model has right a fair coin's?"""
    from scipy.special import bdtr  # binomtest says the same, but scipy.stats takes a second to import

    return min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))


def _count_terms(texts: list[str]) -> list:
    """Sparse counts (n, terms) of words and word pairs, and of letter groups. Counting is done once for all folds."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    # Any run of letters, with its # or @, or any other visible sign: emoji and punctuation carry sentiment.
    words = CountVectorizer(token_pattern=r"[#@]?\w+|[^\w\s]", ngram_range=(1, 2))
    letters = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    try:
        return [vectoriser.fit_transform(texts) for vectoriser in (words, letters)]
    except ValueError:  # scikit-learn's "empty vocabulary": the caller says so for the fold it is in
        return [csr_matrix((len(texts), 0))]


def _weigh_terms(counts, train: np.ndarray):
    """TF-IDF (n, terms) of the terms that the training rows know, weighted by the training rows alone."""
    from sklearn.feature_extraction.text import TfidfTransformer

    rare = 2 if train.sum() >= 100 else 1  # a term seen once teaches nothing, but in a handful of texts all are
    known = np.asarray((counts[train] > 0).sum(axis=0)).ravel() >= rare
    counts = counts[:, known]
    return TfidfTransformer(sublinear_tf=True).fit(counts[train]).transform(counts) if known.any() else counts


def _read_frame(frame: pd.DataFrame, scenario: str) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers (n,) and probabilities (n, 3) of a predictions frame."""
    columns = probability_columns(scenario)
    if not set(columns) <= set(frame.columns):
        known = [name.removesuffix(f"_{LABELS[0]}") for name in frame.columns if name.endswith(f"_{LABELS[0]}")]
        raise MmlabError(f"The frame has no predictions for {scenario!r}.{suggest(scenario, known)}")
    _require_columns(frame, [GUID, LABEL, TWIN])
    if len(frame) == 0:
        raise MmlabError("There are no predictions to score: the frame is empty.")
    twice = frame[GUID].astype(str).duplicated()
    if twice.any():
        raise MmlabError(
            f"guid {frame.loc[twice.to_numpy(), GUID].iloc[0]} has more than one row. Keep one row a pair."
        )
    probabilities = frame[columns].to_numpy(dtype=np.float64)
    empty = ~np.isfinite(probabilities).all(axis=1)
    if empty.any():
        raise MmlabError(f"guid {frame[GUID].to_numpy()[empty][0]} has no probabilities for {scenario}.")
    return _class_numbers(frame[LABEL]), probabilities


def _require_columns(frame: pd.DataFrame, columns: list[str]) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise MmlabError(f"The frame has no column {', '.join(missing)}. It has: {', '.join(map(str, frame.columns))}.")


def _class_numbers(labels) -> np.ndarray:
    """(n,) int64 class numbers from class numbers or label names."""
    values = np.asarray(labels)
    if values.dtype.kind not in "OUST":
        return _check_classes(values, "labels")
    numbers = pd.Index(LABELS).get_indexer(pd.Index(values))
    if (numbers < 0).any():
        row = int(np.flatnonzero(numbers < 0)[0])
        raise MmlabError(f"Row {row} has the label {values[row]!r}. Labels are {', '.join(LABELS)}.")
    return numbers.astype(np.int64)


def _check_classes(values, name: str) -> np.ndarray:
    numbers = np.asarray(values)
    if numbers.ndim != 1:
        raise MmlabError(f"{name} has the shape {numbers.shape}. It must be (n,).")
    if len(numbers) == 0:
        raise MmlabError(f"{name} is empty: there is nothing to score.")
    if numbers.dtype.kind not in "iuf" or not np.isin(numbers, range(_CLASSES)).all():
        raise MmlabError(f"{name} must hold the class numbers 0, 1 and 2 (the places of {', '.join(LABELS)}).")
    return numbers.astype(np.int64)


def _check_predicted(values, name: str) -> np.ndarray:
    """(n,) int64 class numbers from class numbers or (n, 3) probabilities."""
    values = np.asarray(values)
    if values.ndim != 2:
        return _check_classes(values, name)
    if values.shape[1] != _CLASSES or values.dtype.kind not in "iuf":
        raise MmlabError(f"{name} has the shape {values.shape}. Give (n,) class numbers or (n, 3) probabilities.")
    if len(values) == 0:
        raise MmlabError(f"{name} is empty: there is nothing to score.")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise MmlabError(f"{name} holds nan or infinity in row {row}. Every pair needs three probabilities.")
    if (values < 0).any() or (abs(values.sum(axis=1) - 1) > 1e-3).any():  # logits passed by mistake
        raise MmlabError(f"{name} holds rows that are no probabilities: none below 0, each row summing to 1.")
    return values.argmax(axis=1)


def _check_training(labels, folds) -> tuple[np.ndarray, np.ndarray]:
    labels, folds = _class_numbers(labels), np.asarray(folds)
    _check_lengths(labels=labels, folds=folds)
    if folds.dtype.kind not in "iu":
        raise MmlabError(f"folds is of type {folds.dtype}. It must hold whole numbers, one for each pair.")
    for fold in np.unique(folds[folds >= 0]):
        if (folds == fold).all():
            raise MmlabError(f"All pairs are in fold {fold}: nothing is left to train on. Use two folds or more.")
    return labels, folds


def _check_lengths(**columns) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        words = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise MmlabError(f"The numbers of rows differ ({words}): these are not the same pairs.")
