"""Models for others: a finished model as one folder, and fine-tuned encoders in their libraries' own formats.

Explained in docs/ask.md and docs/fine-tuning.md.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmlab.config import RunConfig
from mmlab.encoders import Encoder, find_image_encoder, find_text_encoder
from mmlab.errors import MmlabError, RunError
from mmlab.features import Pairs
from mmlab.runs import Run, is_complete, load_run, model_file
from mmlab.runs.folder import BEST_EPOCHS, CONFIG, EXPORT, MEMBERS, WEIGHTS
from mmlab.runs.keep import write_metrics
from mmlab.storage import draft_folder, seal_json, unseal_json, write_atomic

CARD = "README.md"
ENCODERS = "encoders"  # the folder with those that are copied


def export_model(run: Run, temperature: float | None, scores: dict[str, str], folder: Path | str) -> Path:
    """Write a finished model into a new folder that `mmlab.load` reads on any machine; returns the folder.

    It holds the heads and all trained layers, encoders that are folders (others go by name), the settings, the
    digest of each file and a model card; of the course it holds nothing but counts and scores. temperature, scores:
    those of the run's lab. Raises RunError where the folder holds something already, and for an exported model.
    """
    if (run.folder / EXPORT).is_file():
        raise RunError(f"{run.folder} is an exported model already. Copy the folder.")
    folder = check_new(folder)
    sources = _find_encoders(run.config)
    run.check_weights({encoder.modality: encoder.weights for encoder in sources})
    with draft_folder(folder, is_complete) as draft:
        encoders = {encoder.modality: _export_encoder(encoder, draft) for encoder in sources}
        copied = {f"{modality}_encoder": one["folder"] for modality, one in encoders.items() if "folder" in one}
        members = run.member_runs
        for one in members.values():
            _copy_run(one, draft / MEMBERS / one.id, copied)
            write_metrics(draft / MEMBERS / one.id, one.name, _plain_scores(one), one.seconds)
        shown = _copy_run(run, draft, copied)
        what = f"An ensemble of {', '.join(members)}" if members else f"A {run.config.fusion} head"
        opening = f"{what} on {' and '.join(one['name'] for one in encoders.values())}: "
        opening += f"{len(run.best_epochs)} models, whose answers are averaged."
        load = [
            '    mmlab ask FOLDER "a tweet" --image picture.jpg',
            '    mmlab.load("FOLDER").predict("a tweet", "p.jpg")',
        ]
        write_atomic(draft / CARD, write_card(shown, opening, load))
        facts = {"temperature": temperature, "scores": scores, "encoders": encoders}
        write_atomic(draft / EXPORT, seal_json(facts))
        write_metrics(draft, run.name, _plain_scores(run), run.seconds)
    return folder


def _copy_run(run: Run, draft: Path, copied: dict[str, str]) -> Run:
    """Write what a run needs to answer. copied: the encoders that were, by knob; a path says nothing elsewhere."""
    files = [WEIGHTS] if run.members else [model_file(*row) for row in _list_models(run)]
    for name in [BEST_EPOCHS, *files]:
        write_atomic(draft / name, run.read(name))
    shown = replace(run, config=run.config.replace(**copied))
    record = {"config": shown.config.to_dict(), "members": run.members, "provenance": run.provenance}
    write_atomic(draft / CONFIG, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return shown


def _plain_scores(run: Run) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in run.scores.items()}


def read_export(folder: Path | str) -> tuple[Run, float | None, dict[str, str]]:
    """The run, the temperature and the scores in words of an exported model.

    Raises RunError, naming the file, where one is missing or not as it was written, and where an encoder here is of
    other weights or of code that gives other vectors.
    """
    folder = Path(folder)
    run = load_run(folder)
    facts = unseal_json(run.read(EXPORT))
    encoders = facts["encoders"]
    for modality, one in encoders.items():
        if copied := one.get("folder"):
            run = replace(run, config=run.config.replace(**{f"{modality}_encoder": str(folder / copied)}))
    for encoder in _find_encoders(run.config):
        if encoder.identity != encoders[encoder.modality]["identity"]:
            raise RunError(
                f"{folder}: was made with other weights of {encoder.name}, or with a version of mmlab that encodes in "
                "another way. Install the version that made it, or export the model again with this one."
            )
    return run, facts["temperature"], facts["scores"]


def export_encoders(run: Run, pairs: Pairs, folder: Path | str) -> list[Path]:
    """Write the encoders that the first model of a run has trained, and its head, into a folder.

    pairs: those of `prepare_pairs`. Writes `text` as transformers does and `image` as timm does (both load again by
    their path), `head.safetensors`, and the model card `README.md`. Returns the folders and files. Raises RunError when
    the run trained no encoder, or when the folder holds something already.
    """
    import torch
    from safetensors.torch import load, save
    from timm.models import save_for_hf

    from mmlab.training import build_model

    if run.config is None or not run.config.tunes:
        raise RunError(f"{run.id} trained no encoder, so there is none to save. Use --preset tuned.")
    folder = check_new(folder)
    run.check_weights(pairs.weights)
    fold, seed = _list_models(run)[0]
    model = build_model(run.config, pairs)
    model.load_learned(load(run.read(model_file(fold, seed))))
    written = []
    for modality, tower in model.towers.items():
        place = folder / modality
        if modality == "text":
            tower.model.save_pretrained(place)
            tower.tokenizer.save_pretrained(place)
        else:
            tower.model.to(memory_format=torch.contiguous_format)  # as the format of the file asks
            overlay = {name: tower.settings[name] for name in ("input_size", "mean", "std")}
            settings = {"pretrained_cfg": {**tower.model.pretrained_cfg, **overlay}}
            save_for_hf(tower.model, place, settings, safe_serialization=True)  # or else it is a pickle
        written.append(place)
    written.append(write_atomic(folder / "head.safetensors", save(model.head.state_dict())))
    sources = {"text": run.config.text_encoder, "image": run.config.image_encoder}
    trained = ", ".join(f"{name} from `{sources[name]}`" for name in model.towers)
    opening = (
        f"Encoders fine-tuned with a {run.config.fusion} head: {trained}. This is the model of fold {fold}; the scores "
        "below are of the models of all folds, each on pairs that it was not trained on, nor on twins of them."
    )
    commands = [f"    mmlab train --set {name}_encoder=PATH/{name} --data ... --results ..." for name in model.towers]
    note = (
        "Load them for other pairs than those of this course: they have learned the labels of their fold's training "
        "pairs, so cross-fitted scores on the same course would be too high."
    )
    written.append(write_atomic(folder / CARD, write_card(run, opening, commands, note)))
    return written


def check_new(folder: Path | str) -> Path:
    """The folder, if it is empty or does not exist yet. Raises RunError otherwise: nothing is overwritten."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists and is not empty. Name a new folder.")
    return folder


def write_card(run: Run, opening: str, load: Sequence[str], note: str = "") -> str:
    """A model card in Markdown: what it is, its data, scores, limits, how to load it, and every knob."""
    config, origin = run.config, run.provenance
    shares = run.predictions["label"].value_counts(normalize=True)
    rows = [f"| {name} | {scores.accuracy:.3f} | {scores.macro_f1:.3f} |" for name, scores in run.scores.items()]
    blocks = [
        ["# Sentiment of paired tweet text and image"],
        [opening],
        ["## Data"],
        [
            f"- {origin['n_labelled']} labelled pairs, fingerprint `{origin['data_fingerprint']}`",
            f"- split and folds `{origin['split_hash']}`, seed {config.seed}; twins always in one fold",
            "- labels: " + ", ".join(f"{label} {share:.1%}" for label, share in shares.items()),
        ],
        [f"## Scores, out of fold (n = {run.n}; 95 % intervals)"],
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
        list(load),
        *([[note]] if note else []),
        ["## Training"],
        [f"Run `{run.id}`, commit {origin['commit'] or 'unknown'}, on {origin['device']}."],
        [f"- {name}: {value}" for name, value in config.to_dict().items()],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _list_models(run: Run) -> list[tuple[int, int]]:
    """Fold and seed of each model."""
    return [(int(fold), int(seed)) for fold, seed in run.best_epochs[["fold", "seed"]].itertuples(index=False)]


def _find_encoders(config: RunConfig) -> tuple[Encoder, Encoder]:
    return find_text_encoder(config.text_encoder), find_image_encoder(config.image_encoder)


def _export_encoder(encoder: Encoder, draft: Path) -> dict[str, Any]:
    """What `read_export` needs to find an encoder again; one that is a folder is copied."""
    facts = {"name": encoder.name, "identity": encoder.identity}
    source = Path(encoder.source.removeprefix(encoder.prefix))
    if encoder.package or not source.is_dir():
        return facts
    place = f"{ENCODERS}/{encoder.modality}"
    try:
        shutil.copytree(source, draft / place)
    except OSError as error:
        raise MmlabError(f"{source}: cannot be copied ({error.strerror or 'not all of its files'}).") from None
    return {**facts, "name": source.name, "folder": place}
