"""Run notebooks strictly: a notebook that has not proved that it reached its end did not run.

papermill writes the parameters into the notebook, nbclient executes it. papermill's own execution is not used: it calls
a notebook completed when its kernel died, a cell ran out of time or somebody pressed Ctrl-C, and runs the defaults when
a parameter is misspelt. Here parameters are checked before a kernel starts, and the end is proved by a receipt that
only the last cell of this very execution can have written. Explained in notebook 05, section 1.
"""

import asyncio
import atexit
import math
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab import errors
from mmlab.config import EXERCISE_TAG
from mmlab.errors import RunError
from mmlab.processes import ADDRESS, kill_session, open_nursery
from mmlab.runs.records import RECEIPT
from mmlab.storage import temporary_folder, unseal_json, write_atomic
from mmlab.workbook.parameters import check_parameters, is_tagged, list_code_cells, read_notebook

EXECUTED = "notebook.ipynb"  # the executed notebook in the folder of the run that it made
READING_TAG = "reading"  # of a cell that only shows the reader something: a grid leaves it unexecuted
SKIPPED = "mmlab-skipped"  # marks what is left out: nbclient looks for one tag only
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Job:
    """A notebook to execute with parameters, and the place of the executed one.

    parameters: what the notebook declares, and any knobs if it declares `knobs`. timeout_s: the longest that one cell
    may take, in seconds. skip: cells with one of these tags are not executed. after: numbers of the jobs of the same
    call that must succeed before it starts. The kernel is a fresh process of this interpreter, in the caller's folder.
    """

    source: Path | str
    output: Path | str
    parameters: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 1200
    skip: tuple[str, ...] = (EXERCISE_TAG,)
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class NotebookResult:
    """A notebook that reached its end: where it is, when it started and how long it took, what its last cell recorded.

    started: on the clock of `time.perf_counter`, once there was a place for it. seconds: from then on.
    """

    path: Path
    started: float
    seconds: float
    record: dict[str, Any]


@dataclass(frozen=True)
class Underway:
    """A part of a run that has started and not ended: its name, what is done of how much, and for how many seconds."""

    name: str
    done: int
    total: int
    seconds: float


def run_notebook(
    source: Path | str, output: Path | str, parameters: dict[str, Any] | None = None, **options: Any
) -> NotebookResult:
    """Execute a notebook with parameters and write it, whole, to `output`. options: the other fields of a `Job`.

    Raises RunError for unfit parameters (before a kernel starts), an error in a cell, a dead kernel, a cell that
    took too long, and a notebook that stopped before its last line. The notebook is then kept next to `output` as
    `<stem>.failed.ipynb`, and an earlier good `output` stays. Ctrl-C does the same and raises KeyboardInterrupt.
    """
    outcome = dict(run_notebooks([Job(source, output, parameters or {}, **options)]))[0]
    if isinstance(outcome, RunError):
        raise outcome
    return outcome


def run_notebooks(
    jobs: Sequence[Job],
    workers: int = 1,
    places: Sequence[dict[str, str]] = (),
    nursery: str | None = None,
    on_wait: Callable[[list[Underway]], None] = lambda underway: None,
) -> Iterator[tuple[int, NotebookResult | RunError]]:
    """Execute notebooks, `workers` at a time; give (number in `jobs`, its result or what went wrong) as each ends.

    Unfit parameters of any raise RunError before the first kernel starts; a notebook that fails afterwards gives
    its RunError, and the others go on. Closing the iterator, or Ctrl-C, stops the kernels: use `contextlib.closing`.
    places: environment variables for each kernel that runs at once (a share of the cores, a GPU). nursery: where an
    open one listens. Several notebooks open one for themselves; one alone starts as quickly without. on_wait: called
    each second with what runs.
    """
    executions = [_Execution(job) for job in jobs]
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for place in places or [{}] * max(1, workers):
        free.put(place)
    unstarted, succeeded, outcomes = dict(enumerate(jobs)), set(), []
    running: set[Future] = set()

    def run(number: int) -> tuple[int, NotebookResult | RunError]:
        return number, executions[number].run(free, nursery)

    # Threads, for they only wait: the work is done by the kernels, each a fresh process. And so that Ctrl-C arrives
    # here and not in the middle of nbclient's event loop.
    with ExitStack() as stack, ThreadPoolExecutor(max(1, workers)) as pool:
        if nursery is None and (len(jobs) > 1 or ADDRESS in os.environ):
            nursery = stack.enter_context(open_nursery())
        try:
            while True:
                ready = [number for number, job in unstarted.items() if succeeded.issuperset(job.after)]
                # While others wait for what they need, no more than there are places: theirs may come before the rest.
                room = len(ready) if len(ready) == len(unstarted) else max(1, workers) - len(running)
                for number in ready[:room]:
                    del unstarted[number]
                    running.add(pool.submit(run, number))
                yield from outcomes  # once what waited for them has begun
                if not running:
                    break
                done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                on_wait([one.underway for one in executions if one.started is not None and not one.ended])
                outcomes = [future.result() for future in done]
                succeeded |= {number for number, outcome in outcomes if isinstance(outcome, NotebookResult)}
            for number, job in unstarted.items():
                failed = next(Path(jobs[one].source).name for one in job.after if one not in succeeded)
                yield number, RunError(f"{Path(job.source).name} was not started: {failed}, which it needs, failed.")
        finally:
            for future in running:
                future.cancel()
            while running:  # a kernel may be only just starting, so try again until all is quiet
                for execution in executions:
                    execution.kill()
                running = wait(running, timeout=0.1).not_done


class _Execution:
    """One job: judged when it is made, executed by `run` in a thread, stopped by `kill` from another."""

    def __init__(self, job: Job) -> None:
        self.job, self.source, self.output = job, Path(job.source), Path(job.output)
        self.notebook = read_notebook(self.source)
        self.parameters = check_parameters(self.source, job.parameters)
        if not self.cells or "finish_notebook(" not in self.cells[-1].source:
            fix = "End it with finish_notebook(results, name, record): nothing else proves that it reached its end."
            raise RunError(f"The last code cell of {self.source.name} does not finish it. {fix}")
        self.timeout = max(1, math.ceil(job.timeout_s))
        self.begun: list = []  # code cells
        self.started: float | None = None  # on the clock of `time.perf_counter`
        self.ended = False
        self.manager: Any = None

    @property
    def underway(self) -> Underway:
        done, seconds = max(0, len(self.begun) - 1), time.perf_counter() - self.started
        return Underway(self.source.stem, done, len(self.cells), seconds)

    @property
    def cells(self) -> list:
        """The code cells to execute."""
        return [cell for cell in list_code_cells(self.notebook) if not self._skips(cell)]

    def run(self, places: queue.SimpleQueue[dict[str, str]], nursery: str | None) -> NotebookResult | RunError:
        """Execute the notebook and write it to its output, or what there is of it next to its output."""
        place = places.get()
        self.started = started = time.perf_counter()
        record, error = None, None
        try:
            with temporary_folder() as folder:
                receipt = folder / "record.json"
                asyncio.run(self._execute({**os.environ, **place, RECEIPT: str(receipt)}, nursery))
                record = unseal_json(receipt.read_bytes()) if receipt.exists() else None
        except Exception as caught:
            error = caught
        finally:
            self.ended = True
            places.put(place)
        failed = self.output.with_name(f"{self.output.stem}.failed.ipynb")
        if record is not None:
            write_atomic(self.output, _to_text(self.notebook))
            failed.unlink(missing_ok=True)
            return NotebookResult(self.output, started, time.perf_counter() - started, record)
        where, kept = self.source.name, ""
        if self.begun:
            write_atomic(failed, _to_text(self.notebook))
            kept = f"\nThe notebook as far as it went: {failed}"
            line = self.begun[-1].source.strip().splitlines()[0]
            where += f", code cell {len(self.begun)} of {len(self.cells)} (`{line}`)"
        return RunError(f"{where}: {_explain(error, self.timeout)}{kept}")

    def kill(self) -> None:
        """Stop the kernel, if there is one, with its workers."""
        process = getattr(getattr(self.manager, "provisioner", None), "process", None)
        if process is not None:
            kill_session(process)

    def _skips(self, cell) -> bool:
        return any(is_tagged(cell, tag) for tag in self.job.skip)

    async def _execute(self, env: dict[str, str], nursery: str | None) -> None:
        """Fill `notebook` with its outputs, and `begun`."""
        from nbclient import NotebookClient
        from papermill.parameterize import parameterize_notebook

        from mmlab.workbook.kernels import SILENT, make_manager

        for cell in self.notebook.cells:
            cell.metadata.setdefault("tags", [])  # papermill asks each for it
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
            if self._skips(cell):
                cell.metadata["tags"].append(SKIPPED)
        if self.parameters:
            self.notebook.metadata["papermill"] = {}
            self.notebook = parameterize_notebook(self.notebook, self.parameters, kernel_name="python3")
        self.manager = make_manager(nursery)
        client = NotebookClient(
            self.notebook,
            km=self.manager,
            timeout=self.timeout,
            raise_on_iopub_timeout=True,
            record_timing=False,
            store_widget_state=True,  # without it, output inside a widget kills nbclient's reader: it waits forever
            skip_cells_with_tag=SKIPPED,
            on_cell_execute=lambda cell, cell_index: self.begun.append(cell),
            log=SILENT,
        )
        try:
            await client.async_execute(env=env)
        finally:
            # The receipt is written or it is not: waiting for a kernel to tidy up costs a second or two.
            self.kill()
            if self.manager.has_kernel:
                self.manager.provisioner.process.wait()  # Jupyter would look again after a tenth of a second
            atexit.unregister(client._cleanup_kernel)  # nbclient would look for the kernel at the end, and complain
            if client.kc is not None:
                client.kc.stop_channels()
            await self.manager.shutdown_kernel(now=True)


def _explain(error: Exception | None, timeout: int) -> str:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.exceptions import strip_color

    if error is None or getattr(error, "ename", "") == "SystemExit":
        return "the notebook stopped here, before its last cell had run. Take out sys.exit() and exit()."
    if isinstance(error, CellTimeoutError):
        return f"the cell ran longer than {timeout} s and was stopped. Give it less to do or a longer timeout."
    if isinstance(error, DeadKernelError):
        return "the kernel died. Either memory ran out or a library crashed; less data or a smaller batch may help."
    if isinstance(error, CellExecutionError):
        if hasattr(errors, error.ename):  # one of this package
            return error.evalue
        lines = [line for line in strip_color(error.traceback).splitlines() if line.strip(" -")]
        return "\n".join(["an error:", *(f"    {line}" for line in lines[-6:])])
    return f"the kernel could not be used ({type(error).__name__}: {error})."


def _to_text(notebook) -> str:
    """The executed notebook without what differs between two equal runs, and without widgets, which show nothing.

    Of a widget that has HTML for readers without a kernel, this HTML is kept.
    """
    import nbformat

    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):
        if is_tagged(cell, SKIPPED):
            cell.metadata["tags"].remove(SKIPPED)
        if not cell.metadata["tags"]:
            del cell.metadata["tags"]
        if is_tagged(cell, "injected-parameters"):
            cell["id"] = f"papermill-{number}"  # papermill's is random
        if cell.cell_type == "code":
            cell.outputs = _join([output for output in cell.outputs if _shows(output)])
    return nbformat.writes(notebook) + "\n"


def _shows(output) -> bool:
    """Whether there is something to see in an output of a cell; takes the widget out of it, if it has one."""
    if "data" not in output:  # what was printed, or an error
        return True
    widget = output.data.pop(WIDGET, None)
    return "text/html" in output.data or bool(output.data and not widget)  # a bar that is done leaves no data


def _join(outputs: list) -> list:
    """What was printed in pieces, to the same stream and with nothing between them, as one output each."""
    joined: list = []
    for one in outputs:
        if joined and one.get("name") == joined[-1].get("name") and one.output_type == "stream":
            joined[-1].text += one.text
        else:
            joined.append(one)
    return joined
