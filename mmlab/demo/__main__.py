"""`python -m mmlab.demo FOLDER [SEED]`."""

import argparse
import sys

from mmlab.demo.folder import make_demo
from mmlab.errors import MmlabError


def main(arguments: list[str] | None = None) -> int:
    """Make a demo and return the exit status; argparse ends the process for a wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m mmlab.demo", description="Make a demo course.")
    parser.add_argument("folder", help="a new folder, or an older demo to be replaced")
    parser.add_argument("seed", type=int, nargs="?", default=0, help="another seed draws other pairs (default 0)")
    given = parser.parse_args(arguments)
    try:
        print(f"The demo is in {make_demo(given.folder, seed=given.seed)}")
    except (MmlabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
