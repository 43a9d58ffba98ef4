"""A small finished course with all files that the lab keeps, and the ways in which each kind of file is read."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from mmlab.config import RunConfig, probability_columns
from mmlab.course import read_course, split_folds, verify_predictions
from mmlab.encoders import EfficientNetLite0, Encoder, find_image_encoder, find_text_encoder
from mmlab.errors import MmlabError
from mmlab.evaluation import TFIDF, majority_baseline
from mmlab.features import encode_course
from mmlab.hub import check_cached
from mmlab.lab import Lab, judge, load
from mmlab.runs import Run, find_siblings, keep_predictions, predict_without, train_run
from mmlab.runs.records import write_record

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
N_TRAIN, N_TEST = 36, 12
QUICK = {"epochs": 1, "folds": 2, "seeds": 1, "hidden": 8, "heads": 2, "precision": "fp32"}


@dataclass
class World:
    """The folder, the main run, encoders that are loaded already; all files, and what each area says of them."""

    folder: Path
    main: Run
    text: Encoder
    image: Encoder
    files: dict[Path, bytes] = field(default_factory=dict, repr=False)
    expected: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @cached_property
    def features(self):
        return encode_course(read_course(self.folder / "data"), self.text.name, self.image.name, None, "fp32")

    def keep(self) -> None:
        """Note all files, and what each area says of them."""
        self.restore()
        for name, area in AREAS.items():
            self.expected[name] = area.read(self)
            self.restore()

    def restore(self) -> None:
        """Put every file back as it was noted, and remove what has come since."""
        now = {path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()}
        if not self.files:
            self.files = {path: path.read_bytes() for path in now}
        for path in now - self.files.keys():
            path.unlink()
        for path, content in self.files.items():
            if path not in now or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for name in ("out", "results/set_aside"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@dataclass(frozen=True)
class Area:
    """Files that are read alike. read: gives plain values; typed: whether types of values in JSON are changed too."""

    pattern: str
    read: Callable[[World], Any]
    typed: bool = False
    name: str = ""  # what names any of its files in a message, besides their own names
    unfit: tuple[str, ...] = ()  # kinds of damage that leave a file which is right in its place

    def list_files(self, world: World) -> list[Path]:
        return sorted(path for path in world.folder.glob(self.pattern) if world.files.get(path))  # no empty ones


def make_world(folder: Path) -> World:
    """Train, export, cache and report a small course in an empty folder; takes about 20 s of one core."""
    _cut_demo(folder / "data")
    _save_encoders(folder / "encoders")
    config = RunConfig(
        text_encoder=str(folder / "encoders" / "text"), image_encoder=str(folder / "encoders" / "image"), **QUICK
    )
    course = read_course(folder / "data")
    features = encode_course(course, config.text_encoder, config.image_encoder, None, config.precision)
    text, image = find_text_encoder(config.text_encoder, "fp32"), find_image_encoder(config.image_encoder, "fp32")
    world = World(folder, _fill_results(folder / "results", config, course, features), text, image)
    lab = Lab(world.main, *judge(world.main))
    from mmlab.export import export_model

    export_model(world.main, lab.temperature, lab.scores, folder / "export")
    _save_checkpoint(folder / "checkpoints" / "model.pt", world)
    _save_hub(folder / "hub" / "models--soak--tiny", folder / "encoders" / "text")
    weights = Path(find_image_encoder("efficientnet_lite0").source)
    (folder / "package").mkdir()
    shutil.copyfile(weights, folder / "package" / weights.name)
    read_report(world)
    rebuild(world)
    world.keep()
    return world


def _cut_demo(folder: Path) -> None:
    """The first labelled pairs of the demo, and the first to predict."""
    (folder / "data").mkdir(parents=True)
    for name, count in (("train.txt", N_TRAIN), ("test_without_label.txt", N_TEST)):
        lines = (DEMO / name).read_text().splitlines()[: count + 1]
        (folder / name).write_text("\n".join(lines) + "\n")
        for guid in (line.partition(",")[0] for line in lines[1:]):
            for file in (DEMO / "data").glob(f"{guid}.*"):
                shutil.copyfile(file, folder / "data" / file.name)


def _save_encoders(folder: Path) -> None:
    """A random text encoder and a random image encoder that are quick."""
    import timm
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = find_text_encoder("minilm").tokenizer
    settings = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    transformers.AutoModel.from_config(settings).save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    timm.models.save_for_hf(timm.create_model("test_vit"), folder / "image", safe_serialization=True)


def _fill_results(results: Path, config: RunConfig, course, features) -> Run:
    """Every run and record that a report shows; the main run."""

    def train(**knobs) -> Run:
        return train_run(config.replace(**knobs), course, features, results)

    def keep(name: str, frame: pd.DataFrame) -> Run:
        return keep_predictions(name, lambda: frame, course, results, key=0)

    folds = split_folds(course.labels, course.labelled["twin"].to_numpy(), 2, 0)
    majority = majority_baseline(course.labelled, folds)
    columns = dict(zip(probability_columns("majority"), probability_columns(TFIDF), strict=True))
    main = train()
    runs = {
        "04_fusion": {"main": main},
        "02_text_only": {
            "text_only": train(scenario="text_only"), "majority": keep("majority", majority),
            "tfidf": keep(TFIDF, majority.rename(columns=columns)),
        },
        "03_image_only": {"image_only": train(scenario="image_only")},
        "06_ablation": {
            **{f"without_{one}": keep(f"joint_without_{one}", predict_without(main, features, one))
               for one in ("text", "image")},
            **{name: train(control=name) for name in ("shuffle_images", "shuffle_texts", "shuffle_labels")},
        },
    }  # fmt: skip
    for name, parts in runs.items():
        write_record(results, name, {"runs": {part: run.id for part, run in parts.items()}})
    grid = train_run(config.replace(scenario="text_and_image", folds=0), course, features, results / "grid")
    counts = {"label_counts": course.labelled["label"].value_counts().to_dict(), "encodings": {"utf-8": 1}}
    health = {
        "n_labelled": N_TRAIN,
        "n_test": N_TEST,
        "twin_groups": 0,
        "label_conflicts": 0,
        "issues": [],
        "orphans": [],
    }
    facts = {"majority": 0.5, "majority_label": "positive", "leak_random": 0.1, "health": health | counts}
    write_record(results, "01_data_exploration", {"runs": {}, "data": str(course.root), **facts})
    chosen = {"grid": [grid.id], "best": grid.id, "chosen": main.id, "indistinguishable": 1}
    write_record(results, "05_hyperparameter_grid", {"runs": {}, **chosen})
    write_record(results, "workbook", {"data": str(course.root), "knobs": {}})
    write_record(results, "timeline", {"parts": []})
    return main


def _save_checkpoint(path: Path, world: World) -> None:
    from mmlab.training.finetuning import save_progress
    from mmlab.training.loop import Progress

    model = next(iter(world.main.load_models(world.features).values()))[0]
    device = SimpleNamespace(type="cpu")
    save_progress(path, Progress(), SimpleNamespace(learned=model.learned, device=device))


def _save_hub(repository: Path, source: Path) -> None:
    """The files of a folder as the hub's client keeps them: named by the digest of what was sent."""
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("1234")
    for folder in ("blobs", "snapshots/1234"):
        (repository / folder).mkdir(parents=True)
    for file in sorted(source.iterdir()):
        raw = file.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
        name = hashlib.sha256(raw).hexdigest() if file.suffix == ".safetensors" else git
        (repository / "blobs" / name).write_bytes(raw)
        (repository / "snapshots" / "1234" / file.name).symlink_to(Path("..", "..", "blobs", name))


# ---- what reads the files


def _digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays)).hexdigest()


def _digest_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_report(world: World) -> dict[str, Any]:
    """What a report shows: the scores of each part, and what it says is missing."""
    from mmlab.report import Evidence, build, judge_predictions

    evidence = Evidence.gather(world.results)
    runs = evidence.runs | {run.id: run for run in evidence.grid} | {"chosen": evidence.chosen}
    scores = {name: [str(one) for one in run.scores.values()] for name, run in runs.items() if run is not None}
    noticed = [f"{gap.detail} {gap.values}" for gap in evidence.gaps]
    published = None
    try:
        build.publish(evidence)
        published = (world.results / "metrics.json").read_text()
    except MmlabError as error:
        noticed.append(str(error))
    if evidence.main is not None and evidence.course is not None and published:
        noticed += judge_predictions(evidence).problems
    facts = evidence.records.get("01_data_exploration")
    return {"noticed": noticed, "published": published, "facts": facts, **scores}


def rebuild(world: World) -> dict[str, str]:
    """Every file of a report that is written again."""
    import matplotlib.pyplot as plt

    from mmlab.report import Figure, build

    picture = next((world.folder / "data" / "data").glob("*.jpg"))
    whole = Figure.save
    try:
        Figure.save = lambda figure, folder: replace(figure, axes=None, path=picture)  # drawing takes longest
        build.rebuild_report(world.results, pdf=False)
    finally:
        Figure.save = whole
        plt.close("all")
    found = _digest_files(world.results)
    return {name: digest for name, digest in found.items() if not name.startswith(("runs/", "grid/", "records/"))}


def ask(world: World, folder: Path | None = None) -> str:
    lab = load(folder or world.results)
    lab.__dict__["encoders"] = (world.text, world.image)  # they are loaded already
    return _ask(lab, world)


def ask_with_new_encoders(world: World) -> str:
    return _ask(load(world.results), world)


def _ask(lab: Lab, world: World) -> str:
    picture = sorted((world.folder / "data" / "data").glob("*.jpg"))[0]
    answers = lab.predict("a happy day", picture).probabilities, lab.predict("a sad day").probabilities
    return _digest(*(np.round(one, 6) for found in answers for one in found.values()))


def export(world: World) -> dict[str, str]:
    from mmlab.export import export_model

    lab = load(world.results)
    shutil.rmtree(world.folder / "out", ignore_errors=True)
    return _digest_files(export_model(lab.run, lab.temperature, lab.scores, world.folder / "out" / "model"))


def predict(world: World) -> list[str]:
    """Prediction files for the course of the run, and for another one that its models have to answer."""
    from mmlab.report import predict_test

    other, out = world.folder / "out" / "course", world.folder / "out" / "answers.txt"
    shutil.copytree(world.folder / "data", other, dirs_exist_ok=True)
    lines = (other / "test_without_label.txt").read_text().splitlines()
    (other / "test_without_label.txt").write_text("\n".join(lines[:-1]) + "\n")
    return [
        predict_test(one, world.results, out, "text_and_image")[0].read_text() for one in (world.folder / "data", other)
    ]


def train(world: World) -> str:
    run = train_run(world.main.config, read_course(world.folder / "data"), world.features, world.results)
    return _digest(run.predictions.iloc[:, 4:].to_numpy(), run.test_predictions.iloc[:, 1:].to_numpy())


def verify(world: World) -> dict[str, Any]:
    file = world.results / "test_result.txt"
    judged = verify_predictions(file, read_course(world.folder / "data"), find_siblings(file))
    return {"noticed": [f"{file}: {one}" for one in judged.problems], "answers": judged.answers if judged.ok else None}


def encode(world: World) -> str:
    features = encode_course(read_course(world.folder / "data"), world.text.name, world.image.name, None, "fp32")
    sides = [features.text, features.image, features.summarised.text, features.summarised.image]
    return _digest(*(one.values for one in sides), *(np.asarray(one.starts) for one in sides))


def encode_anew(world: World) -> str:
    pictures = [str(path) for path in sorted((world.folder / "data" / "data").glob("*.jpg"))[:3]]
    text, image = find_text_encoder(world.text.name, "fp32"), find_image_encoder(world.image.name, "fp32")
    return _digest(*text.encode(["a happy day", "no"]), *image.encode(pictures))


def name_encoders(world: World) -> list[str]:
    return [find_text_encoder(world.text.name).weights, find_image_encoder(world.image.name).weights]


def read_pairs(world: World) -> str:
    course = read_course(world.folder / "data")
    return f"{course.fingerprint} {course.split_hash} {course.pairs['twin'].tolist()} {course.health.to_dict()}"


def read_checkpoint(world: World) -> str:
    from mmlab.training import read_checkpoint as read

    state = read(world.folder / "checkpoints" / "model.pt")
    return _digest(*(one.numpy() for one in state["model"].values()), state["random"].numpy()) + str(sorted(state))


def load_packaged(world: World) -> str:
    (name,) = EfficientNetLite0.sha256
    _, model = EfficientNetLite0("efficientnet_lite0", str(world.folder / "package" / name)).load()
    return _digest(*(one.numpy() for one in model.state_dict().values()))


MAIN_RUN = "results/runs/text_and_image-gated-lr*/*"
AREAS: dict[str, Area] = {
    "runs: report": Area("results/runs/*/*", read_report, typed=True),
    "runs: ask": Area(MAIN_RUN, ask, typed=True),
    "runs: predict": Area(MAIN_RUN, predict, typed=True),
    "runs: export": Area(MAIN_RUN, export, typed=True),
    "runs: train": Area(MAIN_RUN, train, typed=True),
    "grid: report": Area("results/grid/runs/*/*", read_report, typed=True),
    "records: report": Area("results/records/*", read_report, typed=True),
    "prediction files: report": Area("results/*.txt", read_report),
    "prediction file: verify": Area("results/test_result.txt", verify, unfit=("swapped",)),
    "tables and page: report": Area("results/tables/*", rebuild),
    "export: ask": Area("export/**/*", lambda world: ask(world, world.folder / "export"), typed=True),
    "features: encode": Area("cache/features/*/*", encode),
    "networks: encode": Area("cache/networks/*/*", encode_anew),
    "digests: name": Area("cache/digests/*", name_encoders, typed=True),
    "facts of images: read": Area("cache/images/*", read_pairs),
    "encoders: ask": Area("encoders/*/*", ask_with_new_encoders),
    "hub: load": Area("hub/*/blobs/*", lambda world: check_cached("soak/tiny"), name="models--soak--tiny"),
    "package: load": Area("package/*", load_packaged),
    "checkpoint: read": Area("checkpoints/*", read_checkpoint),
}
