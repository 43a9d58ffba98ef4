"""Warm processes: `python -m module` without the seconds that importing torch, pandas and matplotlib takes.

One process, the nursery, imports what notebooks import and then forks: a child begins as a fresh process does, with
its own environment, folder, session and random numbers, and with those modules loaded. None of this package's own are
among them, so that an edited file counts from the next child on. Forking is safe because the nursery owns no threads
and has computed nothing; it gives up when it finds a thread. Linux alone forks safely: elsewhere, and wherever the
nursery is gone, callers start an ordinary process.
"""

import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# What the notebooks' cells and this package load in a kernel. `test_processes` compares.
PRELOAD = (
    "ipykernel.kernelapp", "IPython.display", "ipywidgets",  # the kernel itself, tables, views to click
    "pandas", "scipy.stats", "sklearn.linear_model", "sklearn.feature_extraction.text",  # the course, the baselines
    "torch",  # the heads
    "safetensors.numpy", "filelock",  # the files of weights and features
    "matplotlib.pyplot", "seaborn", "PIL.Image",  # figures
    "jinja2", "yaml",  # the report
)  # fmt: skip
# In the environment of a child: where the nursery listens. A grid inside a notebook asks the same nursery.
ADDRESS = "MMLAB_NURSERY"
_INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # ipykernel's, before matplotlib reads it
_ALONE = {"OPENBLAS_NUM_THREADS": "1"}  # else importing numpy starts threads


class WarmProcess:
    """A child of the nursery: the part of `subprocess.Popen` that jupyter_client and this package use."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket, pid: int) -> None:
        self._line, self.pid, self.returncode = line, pid, None

    def poll(self) -> int | None:
        return self._listen(socket.MSG_DONTWAIT)

    def wait(self) -> int:
        return self._listen(0)

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _listen(self, flags: int) -> int | None:
        if self.returncode is None:
            try:
                said = self._line.recv(64, flags)
            except BlockingIOError:
                return None
            except OSError:
                said = b""
            self._line.close()
            self.returncode = int(said or -signal.SIGKILL)  # nothing: the nursery itself has gone
        return self.returncode


@contextmanager
def open_nursery(preload: Sequence[str] = PRELOAD) -> Iterator[str | None]:
    """Where a nursery listens while the block lasts: for `start_warm`. None where there is none.

    Its children end with the block, with this process, or with the process that asked for them, however that ends.
    """
    if sys.platform != "linux" or os.environ.get(ADDRESS):
        yield os.environ.get(ADDRESS)
        return
    with tempfile.TemporaryDirectory(prefix="mmlab-") as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/nursery"
        try:
            listener.bind(address)
        except OSError:  # a path too long for a socket
            yield None
            return
        listener.listen(64)
        nursery = subprocess.Popen(
            [sys.executable, "-m", __name__, address, str(listener.fileno()), *preload],
            stdin=subprocess.PIPE,  # its end of file is the end of this block, or of this process
            env={**_INLINE, **os.environ, **_ALONE},
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        listener.close()  # so that nobody waits for a nursery that has gone
        try:
            yield address
        finally:
            nursery.stdin.close()
            nursery.terminate()  # which it ignores once it serves, and has children to stop
            nursery.wait()


def start_warm(
    address: str | None, arguments: Sequence[str], env: dict[str, str], folder: Path | str
) -> WarmProcess | None:
    """`python -m *arguments` in this environment and folder, as a child of the nursery; None where there is none."""
    if address is None:
        return None
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(address)
        order = {"arguments": list(arguments), "env": {**env, ADDRESS: address}, "folder": str(folder)}
        line.sendall(json.dumps(order).encode() + b"\n")
        if said := line.recv(64):
            return WarmProcess(line, int(said))
    except OSError:
        pass
    line.close()
    return None


def start_process(
    address: str | None, arguments: Sequence[str], env: dict[str, str], folder: Path | str
) -> WarmProcess | subprocess.Popen:
    """`start_warm`, or an ordinary process where there is no nursery; it leads a session of its own."""
    warm = start_warm(address, arguments, env, folder)
    command = [sys.executable, "-m", *arguments]
    return warm or subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)


def kill_session(process: WarmProcess | subprocess.Popen) -> None:
    """Stop a process that leads a session, and its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError):  # Windows has no groups; or it is gone already
        process.kill()


def main(address: str, listener: str, *preload: str) -> None:
    """The nursery: import, then fork for each order, until standard input ends."""
    # ipykernel reads this when it is imported: a kernel ends once its parent, the nursery, is another process.
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    given, show = set(os.environ), warnings.showwarning
    warnings.showwarning = lambda *_, **__: None
    for name in preload:
        with suppress(ImportError):  # a notebook that needs it reports it
            importlib.import_module(name)
    warnings.showwarning = show
    set_by_modules = {name: value for name, value in os.environ.items() if name not in given}
    gc.freeze()  # a child's collector would touch, and so copy, every page
    order = _serve(socket.socket(fileno=int(listener))) if len(os.listdir("/proc/self/task")) == 1 else None
    if order is None:
        shutil.rmtree(Path(address).parent, ignore_errors=True)  # the owner may have been killed
        os._exit(0)  # modules would take half a second to tidy up, and complain
    module, *rest = order["arguments"]
    _become_fresh({**set_by_modules, **order["env"], "JPY_PARENT_PID": os.environ["JPY_PARENT_PID"]}, order["folder"])
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve(listener: socket.socket) -> dict | None:
    """Fork for each order; a child returns with its order, the nursery with None at the end."""
    lines: dict[int, socket.socket] = {}  # from each living child's pid to the process that asked for it
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.set_wakeup_fd(wakes.fileno())
    while True:
        heard = select.select([0, woken, listener, *lines.values()], [], [])[0]
        if woken in heard:
            woken.recv(4096)
            _report_ended(lines)
        for pid, line in lines.items():
            if 0 in heard or line in heard:  # the owner, or whoever asked for this child, has gone
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        if 0 in heard:
            return None
        if listener in heard:
            line, _ = listener.accept()
            with line.makefile("rb") as file:
                said = file.readline()
            if (pid := os.fork()) == 0:
                for one in (listener, woken, line, *lines.values()):
                    one.close()
                signal.set_wakeup_fd(-1)
                wakes.close()
                for one in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(one, signal.SIG_DFL)
                return json.loads(said)
            lines[pid] = line
            with suppress(OSError):
                line.sendall(f"{pid}\n".encode())


def _report_ended(lines: dict[int, socket.socket]) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with lines.pop(ended[0]) as line, suppress(OSError):
                line.sendall(str(os.waitstatus_to_exitcode(ended[1])).encode())


def _become_fresh(env: dict[str, str], folder: str) -> None:
    """In a child: what a process gets when it starts, and what modules decide when they are imported."""
    os.setsid()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[0] = folder
    if "numpy" in sys.modules:  # Python's own random numbers begin anew in every child
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
    if "threadpoolctl" in sys.modules:
        cores = len(os.sched_getaffinity(0))
        threads = {"openmp": env.get("OMP_NUM_THREADS") or cores}
        threads["blas"] = env.get("OPENBLAS_NUM_THREADS") or threads["openmp"]
        sys.modules["threadpoolctl"].threadpool_limits({name: int(number) for name, number in threads.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
