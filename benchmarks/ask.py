"""How long the answer to one new pair takes: the first one in a fresh process, the next ones, and `mmlab ask`.

    python benchmarks/ask.py                                # half a minute on two cores: it trains on the demo first
    python benchmarks/ask.py --results results/run          # a finished model
    python benchmarks/ask.py --before ../before             # against another checkout: four minutes more

The other checkout may have no `mmlab ask`. There, a new pair is answered as the one test pair of a labelled course, by
`mmlab predict`, with the model of a workbook of its own; the features of all other pairs are cached.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import mmlab
from results import write_result

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
WARM = 20  # answers
WORDS = "lovely weather again today in the north where it rains all the time and nobody minds since the sun comes out"
FIRST = "import sys, mmlab; mmlab.load(sys.argv[1]).predict(sys.argv[2], sys.argv[3])"


def time_process(command: list[str], checkout: Path = ROOT) -> tuple[float, float]:
    """Seconds of a process with the package of a checkout: on the wall clock, and on all processors."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, *command], env=environment, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_pair(folder: Path, number: int) -> tuple[str, Path]:
    """A text and a picture that were never encoded."""
    source = sorted((DEMO / "data").glob("*.jpg"))[number]
    picture = folder / f"new{number}.jpg"
    with Image.open(source) as image:
        image.rotate(180).save(picture)
    return " ".join((WORDS.split() * 3)[number : 2 * number + 3]), picture


def ask_before(checkout: Path, folder: Path, turns: int) -> list[tuple[float, float]]:
    """Seconds of `mmlab predict` for one new pair, a turn each."""
    cli, results, course = ["-m", "mmlab.cli"], folder / "workbook", folder / "course"
    time_process([*cli, "run", "--data", str(DEMO), "--results", str(results)], checkout)
    shutil.copytree(DEMO, course)
    found = []
    for number in range(turns + 1):
        text, picture = make_pair(folder, number)
        shutil.copyfile(picture, course / "data" / f"new{number}.jpg")
        (course / "data" / f"new{number}.txt").write_text(text, encoding="utf-8")
        (course / "test_without_label.txt").write_text(f"guid,tag\nnew{number},null\n", encoding="utf-8")
        asked = ["predict", "--data", str(course), "--results", str(results), "--out", str(folder / "answer.txt")]
        found.append(time_process([*cli, *asked], checkout))
    return found[1:]  # the first one reads all pictures of the copied course


def answer_warm(lab: "mmlab.Lab", folder: Path) -> list[float]:
    """Milliseconds of each of WARM answers to texts of different lengths, which this process has not seen before."""
    lab.predict("a", make_pair(folder, 0)[1])
    pairs, found = [make_pair(folder, number) for number in range(WARM)], []
    for text, picture in pairs:
        started = time.perf_counter()
        lab.predict(text, picture)
        found.append(1000 * (time.perf_counter() - started))
    return found


def describe(what: str, unit: str, values: list[float]) -> dict:
    """A row for `write_result` of what has no other side."""
    row = {"best": min(values), "median": statistics.median(values), "worst": max(values)}
    return {"what": what, "unit": unit, **{name: round(value, 2) for name, value in row.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="A finished model; the default is one that is trained first.")
    parser.add_argument("--before", type=Path, help="A checkout of the code to compare with.")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmlab-") as name:
        folder = Path(name)
        results = options.results.resolve() if options.results else folder / "fit"
        lab = mmlab.load(results) if options.results else mmlab.fit(mmlab.read_course(DEMO), results)
        lab.predict("a")  # so that the encoders are converted
        text, picture = make_pair(folder, WARM)
        first = [time_process(["-c", FIRST, str(results), text, str(picture)]) for _ in range(options.turns)]
        command = ["-m", "mmlab.cli", "ask", str(results), text, "--image", str(picture)]
        asked = [time_process(command) for _ in range(options.turns)]
        rows = [describe("answer of a loaded model to a new pair", "ms", answer_warm(lab, folder))]
        sides = {"after": asked}
        if options.before:
            sides = {"before": ask_before(options.before.resolve(), folder, options.turns), **sides}
    for place, unit in enumerate(("s", "CPU s")):
        rows.append(describe("load and first answer, a fresh process", unit, [one[place] for one in first]))
        best = {side: round(min(one[place] for one in values), 2) for side, values in sides.items()}
        for side, seconds in best.items():
            print(f"{side:>6}: a new pair on the command line: {seconds:.2f} {unit}")
        if options.before:
            rows.append({"what": "a new pair on the command line", **best, "unit": unit})
    for row in rows:
        if "best" in row:
            print(f"{row['what']}: best {row['best']}, median {row['median']}, worst {row['worst']} {row['unit']}")
    if options.before:
        print(write_result("ask", rows))


if __name__ == "__main__":
    main()
