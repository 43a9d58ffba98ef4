"""Warm processes: what the nursery holds, and that nothing of it is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmlab.processes import ADDRESS, PRELOAD, kill_session, open_nursery, start_process, start_warm

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("0*.ipynb"))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")
# A module for children, run by its name: it writes its pid, its parent's and its worker's, and sleeps.
SLEEPER = """\
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {os.getppid()} {worker.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(60)
"""


def wait_until(true, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not (done := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(done)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def sleeper(tmp_path) -> Path:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    return tmp_path


def start_sleeper(address: str | None, folder: Path):
    """The process, and the pids of it, of its parent and of its worker."""
    process = start_process(address, ["sleeper", str(folder / "pids")], dict(os.environ), folder)
    assert wait_until((folder / "pids").exists)
    return process, [int(pid) for pid in (folder / "pids").read_text().split()]


def test_a_child_is_forked_from_a_process_without_threads_and_ends_with_its_workers(sleeper):
    with open_nursery(["json"]) as address:
        process, (pid, parent, worker) = start_sleeper(address, sleeper)
        assert process.pid == pid and parent != os.getpid() and process.poll() is None
        assert len(os.listdir(f"/proc/{parent}/task")) == 1
        kill_session(process)
        assert process.wait() == process.poll() == -signal.SIGKILL
        assert wait_until(lambda: not is_alive(worker)) and is_alive(parent)
    assert not is_alive(parent) and not Path(address).parent.exists()


def test_twin_a_nursery_with_a_thread_forks_nothing(sleeper, monkeypatch):
    """An ordinary process is started instead."""
    (sleeper / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[9]).start()"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(sleeper), os.environ.get("PYTHONPATH", "")]))
    with open_nursery(["threaded"]) as address:
        assert start_warm(address, ["sleeper"], dict(os.environ), sleeper) is None
        process, (pid, parent, _) = start_sleeper(address, sleeper)
        assert process.pid == pid and parent == os.getpid()
        kill_session(process)
        process.wait()


def test_the_exit_status_arrives(tmp_path):
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(7)")
    with open_nursery(["json"]) as address:
        assert start_warm(address, ["ends"], dict(os.environ), tmp_path).wait() == 7
    assert start_warm(address, ["ends"], dict(os.environ), tmp_path) is None  # the nursery has gone
    assert start_warm(None, ["ends"], {}, tmp_path) is None


ASKS = """\
import os, sys, time
from mmlab.processes import open_nursery, start_warm
with open_nursery(["json"]) as address:
    child = start_warm(address, ["sleeper", sys.argv[1]], dict(os.environ), os.path.dirname(sys.argv[1]))
    print(address, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("owner", [True, False])
def test_children_end_with_who_asked_for_them_even_when_that_is_killed(sleeper, owner):
    """The owner of a nursery, or a kernel that asks the nursery it came from: then the nursery stays."""
    with open_nursery(["json"]) as address:
        env = dict(os.environ) if owner else {**os.environ, ADDRESS: address}
        asker = subprocess.Popen(
            [sys.executable, "-c", ASKS, str(sleeper / "pids")], env=env, stdout=subprocess.PIPE, text=True
        )
        used = asker.stdout.readline().strip()
        assert (used == address) != owner and wait_until((sleeper / "pids").exists)
        pids = [int(pid) for pid in (sleeper / "pids").read_text().split()]
        assert all(is_alive(pid) for pid in pids)
        asker.kill()
        asker.wait()
        asker.stdout.close()
        child, nursery, worker = pids
        assert wait_until(lambda: not is_alive(child) and not is_alive(worker))
        if owner:
            assert wait_until(lambda: not is_alive(nursery) and not Path(used).parent.exists())
        else:
            assert is_alive(nursery)


LOADED = """\
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
before = {name.partition(".")[0] for name in sys.modules}
for source in json.loads(sys.argv[2]):
    exec(source, {"__name__": "cell"})
from mmlab.models import FusionModel
known = {*before, *sys.stdlib_module_names, "mmlab"}
new = {name.partition(".")[0] for name in sys.modules} - known
print(json.dumps(sorted(name for name in new if name[0] != "_")))
"""


def list_unloaded(preload) -> list[str]:
    """The packages that the first code cells of the notebooks import and the nursery has not."""
    notebooks = [json.loads(file.read_text("utf-8"))["cells"] for file in NOTEBOOKS]
    cells = [next("".join(one["source"]) for one in cells if one["cell_type"] == "code") for cells in notebooks]
    command = [sys.executable, "-c", LOADED, json.dumps(list(preload)), json.dumps(cells)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_nursery_has_what_the_notebooks_import():
    assert list_unloaded(PRELOAD) == []
    fewer = [name for name in PRELOAD if name not in ("matplotlib.pyplot", "seaborn")]
    assert {"matplotlib", "seaborn"} <= set(list_unloaded(fewer))  # the twin
