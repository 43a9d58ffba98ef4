"""How long the workbook takes, before and after a change: `mmlab run` from two checkouts, in turns.

    git worktree add ../before COMMIT
    python benchmarks/workbook.py --before ../before                    # the demo: about 20 minutes on two cores
    python benchmarks/workbook.py --before ../before --data ../course   # a real course: about an hour and a half

Three situations follow each other in each turn: nothing is cached, the features are cached, every run is there. Cache
and results are temporary folders of the turn. The medians are printed and written as `results/workbook_<course>.json`,
with the parts of each side's median turn from nothing, of which benchmarks/page.py draws docs/speed.png.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmlab.workbook import read_timeline
from results import write_result

HERE = Path(__file__).resolve().parents[1]
SITUATIONS = ("nothing cached", "features cached", "every run there")


# What `mmlab run` prints when a notebook has ended: [1/7] 02_text_only   12.3 s
ENDED = re.compile(r"\[\d+/\d+\] (\w+) +([\d.]+) s")


def run_workbook(checkout: Path, data: Path, cache: Path, results: Path) -> dict:
    """One `mmlab run` with the package and the notebooks of a checkout: its seconds, and when each part ran."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "MMLAB_CACHE": str(cache)}
    command = [sys.executable, "-m", "mmlab.cli", "run", "--data", str(data), "--results", str(results)]
    started, parts = time.perf_counter(), []
    with subprocess.Popen(command, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if said := ENDED.search(line):
                end = time.perf_counter() - started
                start = round(end - float(said[2]), 1)
                parts.append({"name": said[1], "ready": start, "start": start, "end": round(end, 1)})
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = round(time.perf_counter() - started, 1)
    return {"seconds": seconds, "parts": shift_timeline(read_timeline(results), parts) or parts}


def shift_timeline(timeline: list[dict], printed: list[dict]) -> list[dict]:
    """A checkout's own timeline, which has more parts than it prints, on the clock of this process."""
    ends = {part["name"]: part["end"] for part in printed}
    later = min((ends[part["name"]] - part["end"] for part in timeline if part["name"] in ends), default=0.0)
    times = ("ready", "start", "end")
    return [part | {name: round(part[name] + later, 1) for name in times} for part in timeline]


def measure(checkout: Path, data: Path) -> dict[str, dict]:
    """What `run_workbook` gives in each situation, in one turn of one checkout."""
    with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
        cache, first, second = (Path(folder) / name for name in ("cache", "first", "second"))
        runs = [run_workbook(checkout, data, cache, results) for results in (first, second, second)]
    return dict(zip(SITUATIONS, runs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the commit to compare with")
    parser.add_argument("--data", type=Path, default=HERE / "data" / "demo")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    sides = {"before": options.before.resolve(), "after": HERE}
    turns: dict[str, list[dict[str, dict]]] = {side: [] for side in sides}
    for turn in range(1, options.turns + 1):
        for side, checkout in sides.items():
            turns[side].append(measure(checkout, options.data.resolve()))
            found = ", ".join(f"{name} {one['seconds']:.1f} s" for name, one in turns[side][-1].items())
            print(f"turn {turn}, {side:<6}: {found}", flush=True)
    rows = []
    for name in SITUATIONS:
        medians = {side: round(statistics.median(turn[name]["seconds"] for turn in turns[side]), 1) for side in sides}
        rows.append({"what": f"mmlab run on {options.data.name}, {name}", **medians, "unit": "s"})
        ratio = medians["before"] / medians["after"]
        print(f"{name:<16} {medians['before']:7.1f} s {medians['after']:7.1f} s {ratio:5.2f}x")
    timelines = {side: find_middle([turn[SITUATIONS[0]] for turn in turns[side]]) for side in sides}
    print(write_result(f"workbook_{options.data.name}", rows, timelines=timelines))


def find_middle(runs: list[dict]) -> dict:
    """The run that took the median of the seconds; the quicker one of the two in the middle."""
    return sorted(runs, key=lambda run: run["seconds"])[(len(runs) - 1) // 2]


if __name__ == "__main__":
    main()
