"""What every model has to beat: the most frequent label, and counted words. Explained in notebook 02, section 4.1."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlab.config import LABEL, LABELS, TEXT
from mmlab.errors import MmlabError
from mmlab.evaluation.frames import check_lengths, class_numbers, predictions_frame

MAJORITY, TFIDF = "majority", "tfidf"  # the baselines' names where a predictions frame names a scenario
_CLASSES = len(LABELS)


def majority_predictions(labels, folds) -> np.ndarray:
    """The class shares of the other folds as every pair's probabilities: always the most frequent label.

    labels: (n,) class numbers or label names; folds: (n,) int, where pairs with a negative fold are only trained on.
    Returns (n, 3) float64, nan in rows with a negative fold.
    """
    labels, folds = _check_training(labels, folds)
    probabilities = np.full((len(labels), _CLASSES), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        train = labels[folds != fold]
        probabilities[folds == fold] = np.bincount(train, minlength=_CLASSES) / len(train)
    return probabilities


def tfidf_predictions(texts: Sequence[str], labels, folds, seed: int = 0) -> np.ndarray:
    """Logistic regression on TF-IDF of words, word pairs and letter groups, fitted for each fold.

    texts: n strings; the rest as in `majority_predictions`. Vocabulary, weights and classifier see only the other
    folds. Where those hold no word or only one label, there is nothing to learn: the answers are then those of
    `majority_predictions`, and a line says so.
    """
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    labels, folds = _check_training(labels, folds)
    check_lengths(texts=texts, labels=labels)
    counts = _count_terms([str(text) for text in texts])
    probabilities = majority_predictions(labels, folds)
    for fold in np.unique(folds[folds >= 0]):
        train, held_out = folds != fold, folds == fold
        classes = np.unique(labels[train])
        features = hstack([_weigh_terms(block, train) for block in counts], format="csr")
        if len(classes) < 2 or features.shape[1] == 0:
            lacking = "only one label" if len(classes) < 2 else "no word"
            print(f"TF-IDF: the pairs outside fold {fold} have {lacking} to learn from; it answers as the majority.")
            continue
        model = LogisticRegression(C=3, tol=1e-3, max_iter=500, random_state=seed)
        with threadpool_limits(1):  # such short vectors gain nothing from threads
            model.fit(features[train], labels[train])
        # A class that the training rows lack keeps probability 0.
        probabilities[held_out] = 0
        probabilities[np.ix_(held_out, classes)] = model.predict_proba(features[held_out])
    return probabilities


def majority_baseline(pairs: pd.DataFrame, folds) -> pd.DataFrame:
    """`majority_predictions` as a predictions frame with the scenario "majority"; pairs: with guid, label and twin."""
    return predictions_frame(pairs, folds, {MAJORITY: majority_predictions(pairs[LABEL], folds)})


def tfidf_baseline(pairs: pd.DataFrame, folds, seed: int = 0) -> pd.DataFrame:
    """`tfidf_predictions` as a predictions frame with the scenario "tfidf"; pairs: with text as well."""
    return predictions_frame(pairs, folds, {TFIDF: tfidf_predictions(pairs[TEXT], pairs[LABEL], folds, seed)})


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


def _check_training(labels, folds) -> tuple[np.ndarray, np.ndarray]:
    labels, folds = class_numbers(labels), np.asarray(folds)
    check_lengths(labels=labels, folds=folds)
    if folds.dtype.kind not in "iu":
        raise MmlabError(f"folds is of type {folds.dtype}. It must hold whole numbers, one for each pair.")
    for fold in np.unique(folds[folds >= 0]):
        if (folds == fold).all():
            raise MmlabError(f"All pairs are in fold {fold}: nothing is left to train on. Use two folds or more.")
    return labels, folds
