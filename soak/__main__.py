"""`python -m soak [NAME ...]`: run some searches, or all; what they find is written to soak/results/NAME.json."""

import argparse
import importlib
import json
from pathlib import Path

from mmlab.storage import write_atomic

FOLDER = Path(__file__).parent


def list_searches() -> list[str]:
    """The files beside this one that hold a function `run`."""
    files = sorted(FOLDER.glob("[a-z]*.py"))
    return [file.stem for file in files if "\ndef run(" in file.read_text(encoding="utf-8")]


def main() -> None:
    known = list_searches()
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; without any: all of them")
    parser.add_argument("--count", type=int, help="how many cases are tried; each search has its own default")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same cases")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="the folder of the results")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"there is no search {unknown[0]!r}: known are {', '.join(known)}")
    size = {} if given.count is None else {"count": given.count}
    for name in given.names or known:
        found = importlib.import_module(f"soak.{name}").run(**size, seed=given.seed, workers=given.workers)
        path = write_atomic(given.out / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        print(f"{name}: {json.dumps(found.get('outcomes', {}))}, written to {path}", flush=True)


if __name__ == "__main__":
    main()
