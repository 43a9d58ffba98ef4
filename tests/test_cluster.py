"""A grid on a real Slurm of one node, from the system's packages, started for this test and stopped after it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from mmlab.errors import ConfigError
from mmlab.workbook.grid import Grid

pytestmark = pytest.mark.slurm
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
SBIN = os.pathsep.join(["/usr/sbin", "/sbin"])


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The daemons of a cluster of one node, this one; SLURM_CONF names their configuration."""
    path = os.pathsep.join([os.environ["PATH"], SBIN])
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        pytest.skip(f"no Slurm here ({', '.join(missing)} missing): apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("slurmd starts jobs only as root")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    socket_file = folder / "munge" / "socket"
    host, (controller, daemon), user = socket.gethostname(), free_ports(2), getpass.getuser()
    (folder / "slurm.conf").write_text(
        f"ClusterName=lab\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={daemon}\n"
        f"AuthType=auth/munge\nAuthInfo=socket={socket_file},cred_expire=5\nCredType=cred/munge\nSlurmUser={user}\nSlurmdUser=root\n"
        f"StateSaveLocation={folder / 'state'}\nSlurmdSpoolDir={folder / 'spool'}\nMailProg=/bin/true\n"
        f"SlurmctldPidFile={folder / 'controller.pid'}\nSlurmdPidFile={folder / 'daemon.pid'}\nReturnToService=2\n"
        f"SlurmctldLogFile={folder / 'controller.log'}\nSlurmdLogFile={folder / 'daemon.log'}\n"
        "ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
        "SelectTypeParameters=CR_Core\nSchedulerType=sched/backfill\nInactiveLimit=0\nKillWait=2\n"
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory=3000 State=UNKNOWN\n"
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", path)
    patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    patch.setenv("MUNGE_SOCKET", str(socket_file))
    log = (folder / "daemons.log").open("wb")
    quiet = {"stdout": log, "stderr": subprocess.STDOUT}
    munge = [
        "--foreground",
        "--force",
        f"--socket={socket_file}",
        f"--key-file={key}",
        f"--pid-file={folder / 'm.pid'}",
    ]
    munge += [f"--log-file={folder / 'munge.log'}", f"--seed-file={folder / 'munge' / 'seed'}"]
    daemons = [subprocess.Popen(["munged", *munge], **quiet)]
    time.sleep(1)
    daemons.append(subprocess.Popen(["slurmctld", "-D"], **quiet))
    daemons.append(subprocess.Popen(["slurmd", "-D", "-N", host], **quiet))
    try:
        waited = time.monotonic() + 30
        while True:
            said = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            if said.stdout.strip() == "idle":
                break
            if time.monotonic() > waited:
                logs = "\n".join(one.read_text(errors="replace")[-1500:] for one in sorted(folder.glob("*.log")))
                pytest.skip(f"Slurm is installed but does not start here: {said.stdout} {said.stderr}\n{logs}")
            time.sleep(0.5)
        yield folder
    finally:
        for one in reversed(daemons):
            one.terminate()
        for one in daemons:
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
        log.close()
        patch.undo()


OPTIONS = {"timeout_min": 10, "cpus_per_task": 1, "mem_gb": 1}


def list_jobs(*options: str) -> str:
    return subprocess.run(["squeue", "-h", "-o", "%i", *options], capture_output=True, text=True).stdout.strip()


@pytest.fixture(autouse=True)
def idle(slurm):
    """Each test begins on an idle cluster, and what it cancels is its own."""
    waited = time.monotonic() + 30
    while list_jobs():
        assert time.monotonic() < waited, "an earlier job does not end"
        time.sleep(0.5)


def make(results: Path, demo: Path, **values) -> Grid:
    return Grid(demo, results, {"lr": [0.01, 0.001], **values}, {"folds": 0, "seeds": 1, "epochs": 1})


def test_a_grid_on_slurm_gives_what_the_local_one_gives(slurm, tmp_path, demo_folder):
    there = make(tmp_path / "there", demo_folder)
    outcomes = there.run(2, "slurm", **OPTIONS)
    assert [one.status for one in outcomes] == ["complete"] * 2, [one.error for one in outcomes]
    assert all((one.run.folder / "notebook.ipynb").is_file() and one.new for one in outcomes)
    here = make(tmp_path / "here", demo_folder)
    here.run(2)
    pd.testing.assert_frame_equal(there.table().drop(columns="seconds"), here.table().drop(columns="seconds"))
    assert [one.new for one in there.run(2, "slurm", **OPTIONS)] == [False] * 2


def test_a_setting_that_fails_there_is_reported_here(slurm, tmp_path, demo_folder):
    grid = make(tmp_path, demo_folder, lr=[0.001])
    (grid.folder / "runs").mkdir(parents=True)
    (grid.folder / "runs").rmdir()
    (grid.folder / "runs").write_text("a file where the runs belong")
    (outcome,) = grid.run(1, "slurm", **OPTIONS)
    assert outcome.status == "failed" and "04_fusion.ipynb" in outcome.error


@pytest.fixture
def running(tmp_path, demo_folder):
    """A grid of one setting, long enough to be interrupted; the command that trains it; its job on the cluster."""
    grid = Grid(demo_folder, tmp_path, {"lr": [0.001]}, {"folds": 5, "seeds": 3})
    command = [sys.executable, "-c", (
        "from mmlab.workbook.grid import Grid\n"
        f"grid = Grid({str(demo_folder)!r}, {str(tmp_path)!r}, {grid.values!r}, {grid.base!r})\n"
        f"print(grid.run(1, 'slurm', **{OPTIONS!r})[0].status)"
    )]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    waited = time.monotonic() + 60
    while not (jobs := list_jobs("-t", "R")):
        assert time.monotonic() < waited, "the job never ran"
        time.sleep(0.5)
    time.sleep(4)  # submitit has begun to listen to signals
    yield grid, process, jobs.split()[0]
    process.kill()


def test_a_job_that_is_killed_is_reported_and_done_by_the_next_call(slurm, running):
    grid, process, job = running
    subprocess.run(["scancel", job], check=True)
    assert process.communicate(timeout=120)[0].strip().endswith("failed")
    (outcome,) = grid.run(1, "slurm", **OPTIONS)
    assert outcome.status == "complete" and outcome.new


@pytest.mark.parametrize("how", [["scancel", "--signal=USR2"], ["scontrol", "requeue"]], ids=["preempted", "requeued"])
def test_a_job_that_is_queued_again_is_waited_for(slurm, running, how):
    """What a cluster does to a job that is out of time or has to make room, and what its operators do."""
    grid, process, job = running
    subprocess.run([*how, job], check=True)
    assert process.communicate(timeout=180)[0].strip().endswith("complete")
    (outcome,) = grid.find_runs()
    assert outcome.status == "complete" and len(list((grid.folder / "runs").glob("[!.]*"))) == 1
    log = "".join(path.read_text() for path in (grid.folder / "slurm").glob(f"{job}_*log.*"))
    assert log.count("Starting with") == 2 or log.count("JobEnvironment") >= 2, log


def test_stopping_the_command_takes_the_jobs_along(slurm, tmp_path, demo_folder):
    grid = make(tmp_path, demo_folder)
    grid.folder.mkdir(parents=True)
    errors = grid._train([0, 1], 1, "slurm", OPTIONS)
    previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.alarm(6)
    with pytest.raises(KeyboardInterrupt):
        list(errors)
    signal.signal(signal.SIGALRM, previous)
    waited = time.monotonic() + 30
    while list_jobs():
        assert time.monotonic() < waited, "the jobs are still there"
        time.sleep(0.5)


def test_an_option_slurm_does_not_know_is_refused(slurm, tmp_path, demo_folder):
    with pytest.raises(ConfigError, match="slurm_partitoin"):
        make(tmp_path, demo_folder).run(1, "slurm", slurm_partitoin="main")
