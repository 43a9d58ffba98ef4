"""Commands killed at points where their files move: a part of the search `python -m soak kills`, in one process.

The whole search kills hundreds of calls of all kinds; its table is in soak/results/kills.json.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")

SEARCH = """
import json, sys
from soak.kills import run
from soak import spoilt
count, names, spoil = int(sys.argv[1]), tuple(sys.argv[2].split(",")), getattr(spoilt, sys.argv[3], None)
print(json.dumps(run(count, seed=0, names=names, spoil=spoil)))
"""


def search(count: int, names: str, spoil: str = "") -> dict:
    """The table of a search in a process without threads, which can fork."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SEARCH, str(count), names, spoil]
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_whatever_is_killed_the_next_call_ends_as_if_nothing_had_happened():
    found = search(24, "encode,grade,start")
    assert found["faults"] == []
    assert found["outcomes"] == {"sound": sum(one["sound"] for one in found["calls"].values())}
    points = {where for one in found["calls"].values() for where in one["where"]}
    assert {"before replace", "after replace", "before fsync", "before rename"} <= points
    assert all(one["kills"] >= 2 for one in found["calls"].values())


def test_twin_a_file_that_is_written_in_its_place_is_caught():
    found = search(8, "start", "write_in_place")
    assert any("JSONDecodeError" in fault for one in found["faults"] for fault in one["faults"])
