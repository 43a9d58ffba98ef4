"""The property tests with many examples: what holds for a few texts, courses and tables, does it hold for thousands?

`tests/test_properties_*.py` state properties of reading, splitting, writing, scoring and judging. `make test` tries
each with the same few dozen examples; this search draws `count` others, by seed, and reports the tests that fail with
the smallest example that Hypothesis finds. Put it into the test as an `@example` when the cause is mended.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmlab.errors import RunError
from mmlab.storage import CHECKOUT

LONGEST = 2000  # letters of what is kept of a failure: its end, with the example


def run(count: int = 2000, seed: int = 0, workers: int = 1) -> dict[str, Any]:
    """Try every property with `count` examples; a property that is slow to try gets a share of them, as in `make test`.

    Returns counts by outcome, the worst seconds of a test and the most MiB of a process, and what fails.
    """
    return try_properties(sorted(CHECKOUT.glob("tests/test_properties_*.py")), count, seed, workers)


def try_properties(files: Sequence[Path], count: int, seed: int, workers: int) -> dict[str, Any]:
    """`run` for the property tests in these files. Raises RunError where pytest could not try them."""
    env = os.environ | {"HYPOTHESIS_PROFILE": "soak", "HYPOTHESIS_EXAMPLES": str(count)}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = [f"--junitxml={report}", f"--hypothesis-seed={seed}", "--tb=short", "-q"]
        options += ["-n", str(workers), "--dist", "load"] if workers > 1 else []
        call = [sys.executable, "-m", "pytest", *options, *map(str, files)]
        ended = subprocess.run(call, cwd=CHECKOUT, env=env, capture_output=True, text=True)
        if not report.is_file():
            raise RunError(f"The property tests did not run: {(ended.stdout + ended.stderr).strip()[-LONGEST:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    found = [(f"{one.get('classname')}.{one.get('name')}", float(one.get("time", 0)), _fault(one)) for one in cases]
    slowest = max(found, key=lambda one: one[1], default=("", 0.0, ""))
    return {
        "count": count,
        "seed": seed,
        "outcomes": dict(Counter("fails" if fault else "holds" for _, _, fault in found)),
        "worst": {
            "test": slowest[0],
            "seconds": round(slowest[1], 1),
            "MiB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        },
        "failures": {name: fault for name, _, fault in found if fault},
    }


def _fault(case: ElementTree.Element) -> str:
    """What a test case says of its failure, "" where there is none."""
    faults = [one for one in case if one.tag in ("failure", "error")]
    return "".join((one.text or one.get("message") or "failed")[-LONGEST:] for one in faults)
