"""Judge saved answers again: a student's exercise cells in a process with limits. It is no sandbox against malice.

What is executed, in the notebook's order: its first code cell, which imports, its exercise cells, and the cells that
the student added. The lab's own cells are left out, since they train models; an answer does not need them.
"""

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlab.config import EXERCISE_TAG
from mmlab.exercises.cells import NOTEBOOKS, Task, find_cell, make_cells, read_tasks
from mmlab.exercises.files import has_tag, load_notebook, read_source
from mmlab.exercises.progress import UNRUN, Answer, Progress
from mmlab.processes import kill_session, open_nursery, start_process
from mmlab.progress import open_bar
from mmlab.storage import CHECKOUT, printable, temporary_folder

PRELOAD = ("IPython.core.interactiveshell", "torch", "pandas", "scipy.stats", "sklearn.linear_model")
NETWORK = "the network could not be cut"
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER and CLONE_NEWNET of Linux


@dataclass(frozen=True)
class Limits:
    """Of one notebook. seconds: by the clock on the wall. memory: GiB on top of what the libraries take."""

    seconds: float = 120
    memory: float = 2


def rerun_answers(found: Sequence[Progress], limits: Limits) -> None:
    """Replace the answers of each notebook that could be read by what its objects are told now; notes say where the
    saved outputs claimed something else, and what could not be judged. Several notebooks at a time, one per core."""
    stop, readable = threading.Event(), [one for one in found if one.answers]
    with open_nursery(PRELOAD) as nursery, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            with open_bar(len(readable), "run again", "notebook") as bar:
                for future in as_completed([pool.submit(_rerun, one, limits, nursery, stop) for one in readable]):
                    future.result()
                    bar.update()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _rerun(progress: Progress, limits: Limits, nursery: str | None, stop: threading.Event) -> None:
    with temporary_folder() as folder:
        order, said = folder / "order.json", folder / "said.jsonl"
        cells = choose_cells(load_notebook(progress.file)["cells"], progress.notebook)
        order.write_text(json.dumps({"notebook": progress.notebook, "cells": cells, "memory": limits.memory}))
        said.touch()
        own = {
            "IPYTHONDIR": str(folder),
            "MPLBACKEND": "agg",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TMPDIR": str(folder),
        }
        process = start_process(nursery, [__name__, str(order), str(said)], {**os.environ, **own}, CHECKOUT)
        ends, cut_off = time.monotonic() + limits.seconds, False
        try:
            while process.poll() is None and not cut_off and not stop.wait(0.02):
                cut_off = time.monotonic() > ends
        finally:
            kill_session(process)  # also what it may have started
            process.wait()
        lines = _read_lines(said)
    _take(progress, lines)
    if cut_off:
        progress.notes.append(f"stopped after {limits.seconds:g} s")
    elif not any("done" in line for line in lines):
        progress.notes.append("its process died: it ended itself, or memory ran out")


def _read_lines(said: Path) -> list[dict[str, Any]]:
    lines = []
    for line in said.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):  # the last one may have been cut off
            lines.append(json.loads(line))
    return lines


def _take(progress: Progress, lines: list[dict[str, Any]]) -> None:
    """Put what the process said in the place of what the saved outputs claim."""
    claimed, told = progress.answers, {line["exercise"]: line for line in lines if "exercise" in line}
    now = {name: Answer(told[name]["kind"], told[name]["code"]) if name in told else Answer() for name in claimed}
    saved = [name for name in now if claimed[name].kind != UNRUN]
    differ = [name for name in saved if (now[name].kind == "passed") != (claimed[name].kind == "passed")]
    progress.answers = now
    progress.notes += [f"{name}: {line['error']}" for name, line in told.items() if "error" in line]
    progress.notes += [f"the saved output says otherwise: {', '.join(differ)}"] if differ else []
    progress.notes += [line["note"] for line in lines if "note" in line]


def choose_cells(cells: list[dict[str, Any]], notebook: str) -> list[tuple[str, str]]:
    """(exercise or "", source) of the code cells that are executed. The one that opens the exercises is replaced."""
    ours = _list_code(load_notebook(NOTEBOOKS / f"{notebook}.ipynb")["cells"])[1:]  # without the imports
    ids, sources = {cell["id"] for cell in ours}, {read_source(cell) for cell in ours}
    made = {one["id"]: find_cell(cells, one) for one in _list_code(make_cells(notebook))}
    chosen = []
    for cell in _list_code(cells):
        known = next((id for id, one in made.items() if one is cell), "")
        the_labs_own = cell.get("id") in ids or read_source(cell) in sources
        if known in ("exercises", "summary"):
            continue
        if known or has_tag(cell, EXERCISE_TAG) or not the_labs_own:
            chosen.append((known, read_source(cell)))
    return chosen


def _list_code(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


# ---- in the process


def main(order: str, said: str) -> None:
    """Cut the network, set the limits, judge, and write what is found, a line of JSON each, as soon as it is known."""
    given = json.loads(Path(order).read_text(encoding="utf-8"))
    cut, empty = cut_network(), Path(order).with_name("empty")
    empty.mkdir()
    with open(os.devnull, "w") as nothing, open(said, "a", encoding="utf-8") as lines:
        for number in (1, 2):  # what a cell prints is of no interest here
            os.dup2(nothing.fileno(), number)

        def tell(**facts: Any) -> None:
            print(json.dumps(facts), file=lines, flush=True)

        if not cut:
            tell(note=NETWORK)
        from mmlab.exercises.checking import Checker  # loads torch, before memory is limited

        limit_memory(given["memory"])
        os.chdir(empty)
        for facts in judge_cells(Checker(given["notebook"]), read_tasks(given["notebook"]), given["cells"]):
            tell(**facts)
        tell(done=True)


def judge_cells(check: Any, tasks: list[Task], cells: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Run the cells, in which `check` is this one; of each exercise its `exercise`, `kind`, `code`, perhaps `error`,
    and of every other cell that stops a `note`."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.enable_gui = lambda *_: None  # so that `%matplotlib inline` does no harm
    shell = InteractiveShell.instance()
    shell.user_ns["check"] = check
    told: dict[str, Any] = {}
    stopped: dict[str, str] = {}

    def list_new() -> Iterator[dict[str, str]]:
        for name, verdict in check.list_verdicts().items():
            if told.get(name) is not verdict:
                told[name] = verdict
                yield {"exercise": name, "kind": verdict.kind, "code": verdict.code}

    for name, source in cells:
        done = shell.run_cell(source)
        yield from list_new()
        if error := done.error_before_exec or done.error_in_exec:
            stopped[name] = _shorten(f"{type(error).__name__}: {error}", 200)
            if not name:
                yield {"note": f"the cell `{_shorten(source, 40)}` stopped: {stopped[name]}"}
    for task in tasks:
        if task.name in told:
            continue
        if error := stopped.get(task.name):
            yield {"exercise": task.name, "kind": "error", "code": "", "error": error}
        elif task.answer in shell.user_ns:  # the line that checks it is gone
            getattr(check, task.name)(shell.user_ns[task.answer])
            yield from list_new()


def _shorten(text: str, letters: int) -> str:
    return printable(" ".join(text.split()))[:letters]


def cut_network() -> bool:
    """Move this process, which has one thread, to where there is no network; whether that was possible."""
    if sys.platform != "linux":
        return False
    unshare, me = ctypes.CDLL(None).unshare, (os.getuid(), os.getgid())
    if unshare(_NEW_NETWORK) == 0:  # allowed to root
        return True
    if unshare(_NEW_USER | _NEW_NETWORK) != 0:
        return False
    with suppress(OSError):  # the same user as before, by name
        Path("/proc/self/setgroups").write_text("deny")
        for kind, number in zip(("uid", "gid"), me, strict=True):
            Path(f"/proc/self/{kind}_map").write_text(f"{number} {number} 1")
    return True


def limit_memory(gib: float) -> None:
    """Let this process take no more than so many GiB on top of what it has; Linux alone keeps to it."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(gib * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(*sys.argv[1:])
