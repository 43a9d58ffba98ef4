"""What the models of a finished run answer to other features, or to another course."""

import numpy as np
import pandas as pd

from mmlab.config import FOLD, GUID, LABELS, RunConfig, probability_columns
from mmlab.course import Course
from mmlab.errors import MmlabError
from mmlab.evaluation import list_answers, share_credit
from mmlab.evaluation.frames import rename_scenario
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
    return rename_scenario(frame, JOINT, f"joint_without_{modality}")


def credit_answers(run: Run, features: Features) -> pd.DataFrame:
    """What text and image each did to the joint head's answer to each pair, out of fold.

    The columns of `list_answers` (predicted is the label in question), then its probability when the head sees
    neither side, the text alone, the image alone and both: p_none, p_text, p_image, p_both; and what `share_credit`
    makes of them: credit_text, credit_image. Raises MmlabError for a run without a joint head. Explained in notebook
    06, section 5.3.
    """
    if run.config is None or JOINT not in run.config.trained_scenarios:
        raise MmlabError(f"{run.folder}: has no joint head whose answers text and image could share.")
    seen = {
        "none": features.without("text").without("image"),
        "text": features.without("image"),
        "image": features.without("text"),
        "both": features,
    }
    frames = {name: predict_out_of_fold(run, one) for name, one in seen.items()}
    answers = list_answers(frames["both"], JOINT)
    rows, columns = np.arange(len(answers)), answers["predicted"].map(LABELS.index).to_numpy()
    said = {name: one[probability_columns(JOINT)].to_numpy()[rows, columns] for name, one in frames.items()}
    credit = dict(zip(("credit_text", "credit_image"), share_credit(**said).T, strict=True))
    return answers.assign(**{f"p_{name}": one for name, one in said.items()}, **credit)


def predict_relabelled(
    config: RunConfig, course: Course, features: Features, labels: np.ndarray, scenario: str = JOINT
) -> np.ndarray:
    """Probabilities (n, 3) of the labelled pairs, out of fold, by models that were trained on other labels.

    labels: class numbers (n,) in place of the course's. For tests of what a training makes of wrong labels.
    """
    from mmlab.training import cross_fit

    fitted = cross_fit(config, course, features, relabelled=labels)
    return fitted.predictions[probability_columns(scenario)].to_numpy()


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
    models = [model for fold in run.load_models(features, new=True).values() for model in fold]
    answers = [predict(model, features) for model in models]
    frame = pd.DataFrame({GUID: features.guids})
    for scenario in run.config.trained_scenarios:
        frame[probability_columns(scenario)] = np.mean([answer[scenario] for answer in answers], axis=0)
    return frame
