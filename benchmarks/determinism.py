"""The same seed on 1, 2 and 4 threads and with both engines: python benchmarks/determinism.py [COURSE] [--seeds 3]

Each row encodes and trains in a process of its own with a cache of its own, and is compared with OpenVINO on 2 threads:
the distance between two vectors of the same token or patch as a share of its length, the median and the worst; the
largest difference of an out-of-fold probability; pairs that are answered otherwise by the joint head; the largest
difference of an accuracy, over the three scenarios. One row repeats the first.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from results import write_result

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
SETUPS = [("openvino", 2), ("openvino", 2), ("openvino", 1), ("openvino", 4), ("torch", 2), ("torch", 1), ("torch", 4)]
NAMES = {"openvino": "OpenVINO", "torch": "torch"}


def measure(course: Path, engine: str, threads: int, seeds: int, folder: Path) -> None:
    """Encode and train here and now; writes what came out to `found.npz` and `found.json`."""
    if hasattr(os, "sched_setaffinity"):  # OpenVINO counts cores; torch reads OMP_NUM_THREADS
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[:threads])
    import mmlab.encoders

    mmlab.encoders.find_engine = lambda folder: engine
    from mmlab.config import LABELS, SCENARIOS, RunConfig, probability_columns
    from mmlab.course import read_course
    from mmlab.features import encode_course
    from mmlab.runs import train_run

    read = read_course(course)
    config = RunConfig(seeds=seeds)
    features = encode_course(read, config.text_encoder, config.image_encoder, None)
    features = encode_course(read, config.text_encoder, config.image_encoder, None)  # a name may change once
    run = train_run(config, read, features, folder / "results")
    frames = {scenario: run.predictions[probability_columns(scenario)].to_numpy() for scenario in SCENARIOS}
    assert frames[SCENARIOS[0]].shape[1] == len(LABELS)
    np.savez(folder / "found.npz", texts=features.text.values, images=features.image.values, **frames)
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(run.folder.iterdir())}
    kept = {name: one for name, one in digests.items() if name.endswith((".safetensors", ".txt")) or "predict" in name}
    scores = {scenario: one.accuracy.value for scenario, one in run.scores.items()}
    (folder / "found.json").write_text(json.dumps({"files": kept, "accuracy": scores}))


def compare(first: Path, other: Path) -> dict[str, float | int | str]:
    """The columns of a row; a whole 0 where nothing differs."""
    (a, b), (said_a, said_b) = (
        [np.load(one / "found.npz") for one in (first, other)],
        [json.loads((one / "found.json").read_text()) for one in (first, other)],
    )
    row: dict[str, float | int | str] = {}
    for side in ("texts", "images"):
        one, two = (found[side].astype(np.float64) for found in (a, b))
        apart = np.linalg.norm(one - two, axis=1) / np.linalg.norm(one, axis=1)
        row |= {side: float(np.median(apart)), f"{side}, worst": float(apart.max())}
    scenarios = list(said_a["accuracy"])
    row["probabilities"] = max(float(np.abs(a[name] - b[name]).max()) for name in scenarios)
    row["answers"] = int((a[scenarios[-1]].argmax(axis=1) != b[scenarios[-1]].argmax(axis=1)).sum())
    row["accuracy"] = max(abs(said_a["accuracy"][name] - said_b["accuracy"][name]) for name in scenarios)
    row["files"] = "the same bytes" if said_a["files"] == said_b["files"] else "other bytes"
    return {name: one or 0 for name, one in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "THREADS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, threads, folder = options.one
        return measure(options.course, engine, int(threads), options.seeds, Path(folder))
    rows = []
    with tempfile.TemporaryDirectory(prefix="mmlab-") as root:
        for number, (engine, threads) in enumerate(SETUPS):
            folder = Path(root, str(number))
            folder.mkdir()
            env = os.environ | {"OMP_NUM_THREADS": str(threads), "MMLAB_CACHE": str(folder / "cache")}
            call = [sys.executable, __file__, str(options.course), "--seeds", str(options.seeds)]
            subprocess.run([*call, "--one", engine, str(threads), str(folder)], env=env, check=True)
            if number:
                again = ", again" if number == 1 else ""
                what = f"{NAMES[engine]}, {threads} thread{'s' * (threads > 1)}{again}"
                rows.append({"what": what, "unit": "difference", **compare(Path(root, "0"), folder)})
                print(rows[-1], flush=True)
                write_result("determinism", rows, text=summarise(rows, options.course, options.seeds))


def summarise(rows: list[dict], course: Path, seeds: int) -> str:
    worst = {name: max(row[name] for row in rows) for name in ("probabilities", "answers", "accuracy")}
    pairs = len((course / "train.txt").read_text().splitlines()) - 1
    models = f"{seeds} model{'s' * (seeds > 1)} a fold"
    return (
        f"On {pairs} pairs, with {models}, threads and engines together moved a probability by at most "
        f"{worst['probabilities']:.3f}, {worst['answers']} answers of the joint head, and an accuracy by at most "
        f"{worst['accuracy']:.4f}."
    )


if __name__ == "__main__":
    main()
