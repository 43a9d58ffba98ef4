"""CPU seconds and memory from 5,000 to 100,000 pairs: python benchmarks/scale.py [--pairs 5000 20000 100000]

A course of made-up pairs is encoded by stand-ins for the encoders (random vectors, as many and as wide as real ones)
into a cache in a temporary folder, 57 kB per pair. A fresh process for each size then does what a run does: twins among
images, split, opening the features, cross-fitting, and scores with intervals. Another reads all vectors into memory
and sums them up, as was done before features were mapped. Writes docs/scale.png, too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmlab.config import LABELS, RunConfig
from mmlab.course import Course
from mmlab.course.split import split_dev, split_folds
from mmlab.course.twins import FACTS, group_links, link_images
from mmlab.encoders import ImageEncoder, TextEncoder
from results import write_result

PLOT = Path(__file__).resolve().parents[1] / "docs" / "scale.png"
WHOLE_UP_TO = 20_000  # pairs: 100,000 would need 15 GiB
STEPS = ("twins", "split", "open features", "cross-fit", "score")
TEST_SHARE = 0.3
GIB = 2**30


@cache
def random_pool(width: int) -> np.ndarray:
    return np.random.default_rng(width).standard_normal((40_000, width), np.float32).astype(np.float16)


def draw_vectors(lengths: np.ndarray, width: int, seed: int) -> list[np.ndarray]:
    """Sequences of random vectors; drawing billions of new ones would take longer than all that is measured."""
    rows = np.random.default_rng(seed).integers(0, 40_000, lengths.sum())
    return np.split(random_pool(width)[rows], np.cumsum(lengths)[:-1])


class RandomText(TextEncoder, name="random_text"):
    """Tweets have 6 to 40 tokens; MiniLM gives two vectors of width 384 for each."""

    def encode(self, texts, progress=lambda n: None):
        lengths = np.array([6 + int(text) * 7 % 35 for text in texts])
        return draw_vectors(lengths, 768, int(texts[0]))


class RandomImage(ImageEncoder, name="random_image"):
    """A pooled vector and nine patches of width 1,280."""

    def encode(self, paths, progress=lambda n: None):
        return draw_vectors(np.full(len(paths), 10), 1280, int(paths[0]) + 1)


def make_facts(n: int) -> list[np.void]:
    """Images as varied as photographs: colours that are smooth, hashes that are not; one in ten is a near copy."""
    random = np.random.default_rng(0)
    facts = np.zeros(n, dtype=FACTS)
    facts["digest"] = np.frombuffer(random.bytes(32 * n), "V32")
    facts["hash"] = random.integers(0, 2**63, (n, 4), dtype=np.uint64)
    corners = random.normal(random.normal(115, 45, (n, 1)), 30, (n, 12)).clip(0, 255).astype(np.uint8)
    facts["colours"] = np.repeat(corners, 16, axis=1)
    facts["steps"] = 256
    copies = np.flatnonzero(random.random(n) < 0.1)
    for name in ("hash", "colours"):
        facts[name][copies] = facts[name][random.integers(0, n, len(copies))]
    return list(facts)


def make_course(n: int, twin: np.ndarray) -> Course:
    random, numbers = np.random.default_rng(1), np.arange(n).astype(str)
    n_test = int(TEST_SHARE * n)
    labels = np.array(LABELS, object)[random.choice(3, n, p=[0.3, 0.1, 0.6])]
    labels[n - n_test :] = None
    pairs = pd.DataFrame({
        "guid": numbers, "text": numbers, "image": numbers, "text_digest": numbers, "image_digest": numbers,
        "has_text": True, "has_image": True, "twin": twin,
    })  # fmt: skip
    pairs["label"] = pd.Series(labels, dtype=object)
    pairs["split"] = split_dev(Path("made-up"), pairs, 0, 0.2)
    return Course(Path("made-up"), pairs, None, 0, str(n), str(n))


def open_features(course: Course):
    from mmlab.features import encode_course

    return encode_course(course, "random_text", "random_image", progress=None)


def measure(n: int) -> dict[str, float]:
    """CPU seconds of each step, and the largest memory (GiB) of this process."""
    import scipy.sparse.csgraph  # noqa: F401 (imports are not what is measured)

    from mmlab.evaluation import compare_frames, score_frame
    from mmlab.training import cross_fit

    found, clock = {}, time.process_time()

    def lap(step: str) -> None:
        nonlocal clock
        found[step], clock = time.process_time() - clock, time.process_time()

    facts = make_facts(n)
    clock = time.process_time()
    twin = group_links(n, link_images(facts))
    lap("twins")
    del facts
    course = make_course(n, twin)
    split_folds(course.labels, course.labelled["twin"].to_numpy(), 5, 0)
    lap("split")
    features = open_features(course)
    lap("open features")
    fit = cross_fit(RunConfig(fusion="gated", seeds=1, epochs=1), course, features)
    lap("cross-fit")
    for scenario in ("text_only", "image_only", "text_and_image"):
        score_frame(fit.predictions, scenario)
    compare_frames(fit.predictions, "text_and_image", fit.predictions, "text_only")
    lap("score")
    return found | {"GiB": peak()}


def measure_open(n: int, whole: bool) -> dict[str, float]:
    """CPU seconds and GiB until a model has its summaries; `whole`: by way of all vectors in memory."""
    import safetensors.torch  # noqa: F401 (imports are not what is measured)

    from mmlab.features import Sequences

    course = make_course(n, np.arange(n))
    started = time.process_time()
    features = open_features(course)
    if whole:
        for side, kind in ((features.text, "text"), (features.image, "image")):
            Sequences(side.values, side.starts).summaries(kind)
    else:
        _ = features.summarised
    return {"seconds": time.process_time() - started, "GiB": peak()}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GIB


def run_alone(task: str, n: int) -> dict[str, float]:
    """What a task measures in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, "--pairs", str(n)], stdout=subprocess.PIPE, text=True
    )
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def main(sizes: list[int]) -> None:
    everything, opened, whole = {}, {}, {}
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MMLAB_CACHE"] = folder
            run_alone("encode", n)
            everything[n], opened[n] = run_alone("all", n), run_alone("open", n)
            if n <= WHOLE_UP_TO:
                whole[n] = run_alone("whole", n)
        seconds = "  ".join(f"{step} {everything[n][step]:.2f} s" for step in STEPS)
        print(f"{n:>7} pairs: {seconds}, {everything[n]['GiB']:.2f} GiB")
        ways = {"mapped": opened, "all vectors in memory": whole}
        known = [
            f"{way} {found[n]['seconds']:.2f} s, {found[n]['GiB']:.2f} GiB" for way, found in ways.items() if n in found
        ]
        print(f"{'':>14} summaries: {'; '.join(known)}")
    rows = []
    for key, unit in (("seconds", "s of CPU"), ("GiB", "GiB")):
        what = "features until training begins, {:,} pairs"
        rows += [
            {"what": what.format(n), "before": whole[n][key], "after": opened[n][key], "unit": unit} for n in whole
        ]
    for step in STEPS:
        each = {f"{n:,} pairs": 1e6 * everything[n][step] / n for n in sizes}
        rows.append({"what": f"{step}, per pair", **each, "unit": "µs of CPU"})
    memory = {f"{n:,} pairs": everything[n]["GiB"] for n in sizes}
    rows.append({"what": "largest memory of all steps", **memory, "unit": "GiB"})
    write_result("scale", rows)
    draw(everything)


def draw(measured: dict[int, dict[str, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = list(measured)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for step, marker in zip(STEPS, "osDv^", strict=True):
        seconds = [max(0.01, measured[n][step]) for n in sizes]
        left.plot(sizes, seconds, marker=marker, label=step)
    left.plot(sizes, [0.02 * n / sizes[0] for n in sizes], linestyle=":", color="grey", label="in proportion to pairs")
    right.plot(sizes, [measured[n]["GiB"] for n in sizes], marker="o", color="black")
    right.axhline(4, linestyle="--", color="grey")
    right.annotate("4 GiB", (sizes[0], 4), (0, 4), textcoords="offset points")
    for ax, name in ((left, "CPU time (s)"), (right, "largest memory of the process (GiB)")):
        ax.set(xscale="log", yscale="log", xlabel="pairs", ylabel=name)
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
        ax.minorticks_off()
    right.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    right.set_ylim(0.4, 5)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small")
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, nargs="+", default=[5_000, 20_000, 100_000])
    parser.add_argument("--task", choices=("encode", "all", "open", "whole"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task is None:
        main(given.pairs)
    else:
        (n,) = given.pairs
        if given.task == "encode":
            found = open_features(make_course(n, np.arange(n))).encoded
        elif given.task == "all":
            found = measure(n)
        else:
            found = measure_open(n, given.task == "whole")
        print(json.dumps(found))
