"""How long an explanation takes on a finished run: python benchmarks/explain.py RESULTS [COURSE] [--pairs 15]

The lab is warm: one explanation comes before those that are measured. Pairs are taken at even steps from the course.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import mmlab
from mmlab.config import IMAGE, TEXT
from mmlab.explain import Explanation

ROOT = Path(__file__).resolve().parents[1]


def measure(lab: mmlab.Lab, pairs: list[tuple[str, str]], **options) -> tuple[np.ndarray, list[Explanation]]:
    """Seconds and CPU seconds of each explanation, (n, 2), and the explanations."""
    clocks, explanations = [], []
    for text, image in pairs:
        started = time.perf_counter(), time.process_time()
        explanations.append(lab.explain(text, image, **options))
        clocks.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return np.array(clocks), explanations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("course", type=Path, nargs="?", default=ROOT / "data" / "demo")
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    lab, frame = mmlab.load(options.results), mmlab.read_course(options.course).pairs
    chosen = frame.iloc[np.linspace(0, len(frame) - 1, options.pairs).astype(int)]
    pairs = list(zip(chosen[TEXT], chosen[IMAGE], strict=True))
    measure(lab, pairs[:1])
    print(lab)
    for name, second in (("one baseline", False), ("two baselines", True)):
        clocks, explanations = measure(lab, pairs, second_baseline=second)
        words = np.median([len(one.sides[TEXT].parts) for one in explanations if TEXT in one.sides])
        errors = [100 * side.first.errors.mean() for one in explanations for side in one.sides.values()]
        print(
            f"{name}: median {np.median(clocks[:, 0]):.2f} s ({np.median(clocks[:, 1]):.2f} CPU s), "
            f"longest {clocks[:, 0].max():.2f} s, {len(pairs)} pairs, median {words:.0f} words, "
            f"mean standard error {np.mean(errors):.1f} points"
        )


if __name__ == "__main__":
    main()
