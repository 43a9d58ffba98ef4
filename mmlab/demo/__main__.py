"""`python -m mmlab.demo FOLDER [SEED]`."""

import sys

from mmlab.demo.folder import make_demo
from mmlab.errors import ConfigError, CourseError


def main(arguments: list[str] | None = None) -> int:
    """Make a demo and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    seed = arguments[1] if len(arguments) == 2 else "0"
    if len(arguments) not in (1, 2) or arguments[0][:1] in ("", "-") or not (seed.isascii() and seed.isdigit()):
        print("usage: python -m mmlab.demo FOLDER [SEED]", file=sys.stderr)
        return 2
    try:
        folder = make_demo(arguments[0], seed=int(seed))
    except (CourseError, ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The demo is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
