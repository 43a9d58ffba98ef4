"""What a grid's run costs on top of its training, and whether that stays so as the grid grows.

    python benchmarks/grid.py                  # 8, 32 and 128 settings: about a quarter of an hour on two cores
    python benchmarks/grid.py --settings 8 16  # a shorter look

For each size it trains a fresh grid twice, `--jobs` at a time: through papermill with a kernel for each setting, and
the same trainings by plain processes that import once. The difference is the price of running notebooks.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.features import encode_course
from mmlab.runs import train_run
from mmlab.workbook.grid import Grid

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DEMO)
    options = parser.parse_args()
    encode_course(read_course(options.data))
    print(f"seconds per setting on the wall clock, {options.jobs} at a time, features cached")
    print(f"{'settings':>8} {'notebooks':>10} {'plain':>7} {'price of the notebook':>22}")
    for settings in options.settings:
        seconds = measure(options.data, settings, options.jobs)
        price = seconds["notebooks"] - seconds["plain"]
        print(f"{settings:>8} {seconds['notebooks']:>10.2f} {seconds['plain']:>7.2f} {price:>22.2f}", flush=True)


if __name__ == "__main__":
    main()
