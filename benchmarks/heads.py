"""Cross-fitting heads on frozen features, this package next to the one before: python benchmarks/heads.py COURSE

    git worktree add ../before COMMIT
    python benchmarks/heads.py ../shared/course --before ../before

Both packages train the same configs on cached features, in turns, each in a process of its own. The table
gives medians of CPU and wall seconds, and the accuracy of the joint head out of fold. Each training runs on one core.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from results import write_result

HERE = Path(__file__).resolve().parents[1]
# In a process of its own, where PYTHONPATH decides which package is imported.
ONE_TRAINING = """
import json, os, sys, time
import numpy as np
from mmlab.config import LABELS, RunConfig, probability_columns
from mmlab.course import read_course
from mmlab.features import encode_course
from mmlab.training import cross_fit

folder, knobs = sys.argv[1], json.loads(sys.argv[2])
course = read_course(folder)
features = encode_course(course, progress=None)
features.summarised
started, worked = time.perf_counter(), sum(os.times()[:4])  # with the processes that train beside this one
frame = cross_fit(RunConfig.from_params(knobs), course, features).predictions
spent = {"cpu": sum(os.times()[:4]) - worked, "wall": time.perf_counter() - started}
best = frame[probability_columns("text_and_image")].to_numpy().argmax(axis=1)
print(json.dumps({**spent, "accuracy": float((np.asarray(LABELS)[best] == frame["label"]).mean())}))
"""


def train(package: Path, course: Path, knobs: dict) -> dict[str, float]:
    """CPU seconds, wall seconds and joint accuracy of one cross-fitting with the package in that folder."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", ONE_TRAINING, str(course.resolve()), json.dumps(knobs)]
    done = subprocess.run(command, env=environment, cwd=package, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(packages: dict[str, Path], course: Path, knobs: dict, rounds: int) -> dict[str, dict[str, float]]:
    """Side -> the median of each number over the rounds; the sides take turns."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in packages}
    for _ in range(rounds):
        for side, package in packages.items():
            found[side].append(train(package, course, knobs))
    return {side: {key: statistics.median(one[key] for one in all_) for key in all_[0]} for side, all_ in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", type=Path, nargs="?", default=HERE / "data" / "demo")
    parser.add_argument("--before", type=Path, required=True, help="a working tree of the commit to compare with")
    parser.add_argument("--fusions", nargs="+", default=["gated", "attention", "transformer"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    packages, rows = {"before": options.before.resolve(), "after": HERE}, []
    print(f"{'fusion':<12} {'':<6} {'CPU s':>8} {'wall s':>8} {'accuracy':>9}")
    for fusion in options.fusions:
        knobs = {"fusion": fusion, "folds": options.folds, "seeds": options.seeds}
        sides = measure(packages, options.course, knobs, options.rounds)
        for side, one in sides.items():
            print(f"{fusion:<12} {side:<6} {one['cpu']:8.1f} {one['wall']:8.1f} {one['accuracy']:9.3f}", flush=True)
        for key, unit in {"cpu": "CPU s", "wall": "s", "accuracy": "out-of-fold accuracy"}.items():
            what = f"`{fusion}` on {options.course.resolve().name}, {options.folds} folds × {options.seeds} seeds"
            rows.append({"what": what, "unit": unit, **{side: one[key] for side, one in sides.items()}})
    print(write_result("heads", rows))


if __name__ == "__main__":
    main()
