"""What the models of a finished run answer to other features, or to another course."""

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABEL, LABELS, TWIN, probability_columns
from mmlab.features import Features
from mmlab.runs.folder import JOINT, Run


def predict_out_of_fold(run: Run, features: Features, seeds: int | None = None) -> pd.DataFrame:
    """A frame like `run.predictions` from the run's own models and other features of the same pairs.

    `features.without("image")` takes the images away, `features.pair_up(...)` exchanges them. A pair is answered by the
    models that did not see it: all of its fold, or only the first `seeds`, to compare with a run that has no more.
    Explained in notebook 04, section 5 and notebook 06, section 2.
    """
    from mmlab.training import needed, predict

    frame = run.predictions.copy()
    row_of = {guid: row for row, guid in enumerate(features.guids)}
    rows = frame[GUID].map(row_of).to_numpy()
    features = needed(run.config, features)
    for fold, models in run.load_models(features).items():
        held_out = np.flatnonzero(frame[FOLD].to_numpy() == fold)
        answers = [predict(model, features, rows[held_out]) for model in models[:seeds]]
        for scenario in run.config.trained_scenarios:
            mean = np.mean([answer[scenario] for answer in answers], axis=0)
            frame.loc[frame.index[held_out], probability_columns(scenario)] = mean
    return frame


def predict_without(run: Run, features: Features, modality: str) -> pd.DataFrame:
    """The joint head's answers without "text" or "image": a predictions frame of `joint_without_<modality>`.

    Explained in notebook 06, section 2.1.
    """
    frame = predict_out_of_fold(run, features.without(modality))
    names = dict(zip(probability_columns(JOINT), probability_columns(f"joint_without_{modality}"), strict=True))
    return frame[[GUID, FOLD, LABEL, TWIN, *names]].rename(columns=names)


def predict_patches(run: Run, features: Features) -> np.ndarray:
    """What the image head says of each image and of each of its patches, asked as if a patch were an image.

    Out-of-fold probabilities float64 (n, 1 + patches, 3), row i for row i of `run.predictions`, the whole image first.
    Explained in notebook 03, section 3.2.
    """
    import torch

    frame = run.predictions
    place = pd.Index(features.guids).get_indexer(frame[GUID])
    seen, _ = features.image.take(place).padded
    answers = np.zeros((*seen.shape[:2], len(LABELS)))
    with torch.inference_mode():
        for fold, models in run.load_models(features).items():
            held_out = np.flatnonzero(frame[FOLD] == fold)
            for model in models:
                logits = model.image_head(seen[held_out].flatten(0, 1)).double()
                answers[held_out] += logits.softmax(dim=-1).unflatten(0, (len(held_out), -1)).numpy() / len(models)
    return answers


def predict_course(run: Run, features: Features) -> pd.DataFrame:
    """Predictions of all a run's models, averaged, for every pair of any encoded course: guid and probabilities."""
    from mmlab.training import needed, predict

    features = needed(run.config, features)
    models = [model for fold in run.load_models(features).values() for model in fold]
    answers = [predict(model, features) for model in models]
    frame = pd.DataFrame({GUID: features.guids})
    for scenario in run.config.trained_scenarios:
        frame[probability_columns(scenario)] = np.mean([answer[scenario] for answer in answers], axis=0)
    return frame
