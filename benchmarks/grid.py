"""What a grid's run costs on top of its training, and whether that stays so as the grid grows.

    python benchmarks/grid.py                               # 8, 32 and 128 settings: ten minutes on two cores
    python benchmarks/grid.py --settings 8 16               # a shorter look
    python benchmarks/grid.py --settings 32 --before PATH   # against another checkout, in turns, medians of three

For each size it trains a fresh grid twice, `--jobs` at a time: as notebooks with a kernel for each setting, and the
same trainings by plain processes that import once. The difference is the price of running notebooks.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.features import encode_course
from mmlab.runs import train_run
from mmlab.workbook.grid import Grid
from results import write_result

ROOT = Path(__file__).resolve().parents[1]


def make_grid(data: Path, results: Path, settings: int) -> Grid:
    """So many learning rates close to the default: all train about equally long."""
    return Grid(data, results, {"lr": [round(1e-3 * (1 + number / 1000), 9) for number in range(settings)]})


def prepare(data: Path) -> None:
    """In a plain worker: import and read what every training needs, once."""
    global course, features
    course = read_course(data)
    features = encode_course(course, progress=False)


def train(knobs: dict, results: Path) -> float:
    return train_run(RunConfig.from_params(knobs), course, features, results).seconds


def wait_for_all(number: int) -> int:
    time.sleep(0.5)  # so that no worker takes two of these and leaves another unprepared
    return number


def measure(data: Path, settings: int, jobs: int) -> dict[str, float]:
    """Seconds per setting on the wall clock: as notebooks, and as plain trainings."""
    with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
        grid = make_grid(data, Path(folder) / "notebooks", settings)
        started = time.perf_counter()
        runs = grid.run(jobs)
        notebooks = time.perf_counter() - started
        assert all(one.run for one in runs)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, spawn, initializer=prepare, initargs=(data,)) as pool:
            list(pool.map(wait_for_all, range(jobs)))
            started = time.perf_counter()
            list(pool.map(train, grid.planned, [Path(folder) / "plain"] * settings))
            plain = time.perf_counter() - started
    return {"notebooks": notebooks / settings, "plain": plain / settings}


def measure_elsewhere(checkout: Path, options: argparse.Namespace, settings: int) -> dict[str, float]:
    """`measure` with the package of this checkout, in a process of its own."""
    command = [sys.executable, __file__, "--settings", str(settings), "--jobs", str(options.jobs)]
    command += ["--data", str(options.data.resolve()), "--json"]
    env = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    said = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


def compare(options: argparse.Namespace, settings: int) -> dict:
    """A row for `write_result`: seconds per setting over its training alone, before and after, in turns."""
    sides: dict[str, list[float]] = {"before": [], "after": []}
    for _ in range(3):
        for name, checkout in zip(sides, (options.before, ROOT), strict=True):
            seconds = measure_elsewhere(checkout, options, settings)
            sides[name].append(seconds["notebooks"] - seconds["plain"])
            print(f"{name:>8} {format_row(settings, seconds)}", flush=True)
    medians = {name: round(statistics.median(prices), 2) for name, prices in sides.items()}
    return {"what": f"a setting over its training alone, of {settings}", **medians, "unit": "s"}


def format_row(settings: int, seconds: dict[str, float]) -> str:
    price = seconds["notebooks"] - seconds["plain"]
    return f"{settings:>8} {seconds['notebooks']:>10.2f} {seconds['plain']:>7.2f} {price:>22.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "demo")
    parser.add_argument("--before", type=Path, help="A checkout of the code to compare with.")
    parser.add_argument("--json", action="store_true", help="Print the numbers alone.")
    options = parser.parse_args()
    encode_course(read_course(options.data))
    if options.json:
        print(json.dumps(measure(options.data, options.settings[0], options.jobs)))
        return
    print(f"seconds per setting on the wall clock, {options.jobs} at a time, features cached")
    print(f"{'':>8} {'settings':>8} {'notebooks':>10} {'plain':>7} {'price of the notebook':>22}")
    if options.before:
        write_result("grid", [compare(options, settings) for settings in options.settings])
        return
    for settings in options.settings:
        print(f"{'':>8} {format_row(settings, measure(options.data, settings, options.jobs))}", flush=True)


if __name__ == "__main__":
    main()
