"""A fine-tuned model as others can load it: each encoder in its library's own format, with a model card.

Explained in docs/fine-tuning.md.
"""

from pathlib import Path

from mmlab.course import Course
from mmlab.errors import RunError
from mmlab.features import Pairs
from mmlab.runs import Run, model_file
from mmlab.storage import write_atomic


def export_encoders(run: Run, pairs: Pairs, course: Course, folder: Path | str) -> list[Path]:
    """Write the encoders that the first model of a run has trained, and its head, into a folder.

    pairs: those of `prepare_pairs`. Writes `text` as transformers does and `image` as timm does (both load again by
    their path), `head.safetensors`, and the model card `README.md`. Returns the folders and files. Raises RunError when
    the run trained no encoder, or when the folder holds something already.
    """
    from safetensors.torch import load_file, save
    from timm.models import save_for_hf

    from mmlab.training import build_model

    if run.config is None or not run.config.tunes:
        raise RunError(f"{run.id} trained no encoder, so there is none to save. Use --preset tuned.")
    folder = check_new(folder)
    first = run.best_epochs.iloc[0]
    model = build_model(run.config, pairs)
    model.load_learned(load_file(run.folder / model_file(first["fold"], first["seed"])))
    written = []
    for modality, tower in model.towers.items():
        place = folder / modality
        if modality == "text":
            tower.model.save_pretrained(place)
            tower.tokenizer.save_pretrained(place)
        else:
            overlay = {name: tower.settings[name] for name in ("input_size", "mean", "std")}
            save_for_hf(tower.model, place, model_config={"pretrained_cfg": {**tower.model.pretrained_cfg, **overlay}})
        written.append(place)
    written.append(write_atomic(folder / "head.safetensors", save(model.head.state_dict())))
    written.append(write_atomic(folder / "README.md", write_card(run, course, list(model.towers), int(first["fold"]))))
    return written


def check_new(folder: Path | str) -> Path:
    """The folder, if it is empty or does not exist yet. Raises RunError otherwise: nothing is overwritten."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists and is not empty. Name a new folder.")
    return folder


def write_card(run: Run, course: Course, modalities: list[str], fold: int) -> str:
    config, origin = run.config, run.provenance
    encoders = {"text": config.text_encoder, "image": config.image_encoder}
    shares = course.labelled["label"].value_counts(normalize=True)
    rows = [f"| {name} | {scores.accuracy} | {scores.macro_f1} |" for name, scores in run.scores.items()]
    load = [f"    mmlab train --set {name}_encoder=PATH/{name} --data ... --results ..." for name in modalities]
    knobs = [f"- {name}: {value}" for name, value in config.to_dict().items()]
    blocks = [
        ["# Sentiment of paired tweet text and image"],
        [
            f"Encoders fine-tuned with a {config.fusion} head: "
            + ", ".join(f"{name} from `{encoders[name]}`" for name in modalities)
            + f". This is the model of fold {fold}; the scores below are of the models of all folds, each on pairs "
            "that it was not trained on, nor on twins of them."
        ],
        ["## Data"],
        [
            f"- {origin['n_labelled']} labelled pairs, fingerprint `{origin['data_fingerprint']}`",
            f"- split and folds `{origin['split_hash']}`, seed {config.seed}; twins always in one fold",
            "- labels: " + ", ".join(f"{label} {share:.1%}" for label, share in shares.items()),
        ],
        [f"## Scores, out of fold (n = {next(iter(run.scores.values())).n}; 95 % intervals)"],
        ["| scenario | accuracy | macro-F1 |", "| --- | --- | --- |", *rows],
        [f"Always answering the most frequent label scores {shares.max():.3f}."],
        ["## Intended use and limits"],
        [
            "- For teaching and research on short posts with one image each, in the language of its training data.",
            "- Not for decisions about people: the labels are noisy, and a post's sentiment is not its author's.",
            "- The scores hold for pairs like the training pairs; other years, places and topics were not tried.",
            "- The rarest class has the lowest recall: check the confusion matrix of your own data.",
        ],
        ["## Load"],
        load,
        [
            "Load them for other pairs than those of this course: they have learned the labels of their fold's "
            "training pairs, so cross-fitted scores on the same course would be too high."
        ],
        ["## Training"],
        [f"Run `{run.id}`, commit {origin['commit'] or 'unknown'}, on {origin['device']}."],
        knobs,
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
