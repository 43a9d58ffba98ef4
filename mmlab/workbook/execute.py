"""Run notebooks through papermill, strictly: a notebook that has not proved that it reached its end did not run.

papermill marks a notebook completed when its kernel died, a cell ran out of time or somebody pressed Ctrl-C, and
runs the defaults when a parameter is misspelt. Here parameters are checked before a kernel starts, and the end is
proved by a receipt that only the last cell of this very execution can have written.
Explained in notebook 05, section 1.
"""

import ast
import asyncio
import io
import json
import logging
import math
import os
import queue
import re
import signal
import symtable
import tempfile
import time
import tokenize
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mmlab.config import suggest
from mmlab.errors import MmlabError, RunError
from mmlab.storage import write_atomic

# Names a file outside the results, so that two runs leave the same results byte for byte.
RECEIPT = "MMLAB_NOTEBOOK_RECEIPT"
TAG = "parameters"
READING = "reading"  # the tag of a cell that only tells the reader something: a grid leaves it unexecuted
WIDGET = "application/vnd.jupyter.widget-view+json"

# The workbook, in order. Each notebook leaves a record under its name; `mmlab run` leaves one of its arguments.
NAMES = (
    "01_data_exploration",
    "02_text_only",
    "03_image_only",
    "04_fusion",
    "05_hyperparameter_grid",
    "06_ablation",
    "07_report",
)
WORKBOOK = "workbook"


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell: its name, its default and the words of its trailing comment."""

    name: str
    default: bool | int | float | str | None
    help: str


@dataclass(frozen=True)
class Job:
    """A notebook to execute with parameters, and the place of the executed one.

    timeout_s is the longest that one cell may take, in seconds. progress(k, n) is called when the k-th of n code
    cells begins, from another thread. env adds environment variables for the kernel, which is always this
    interpreter; cwd is the kernel's working folder (the caller's, if None). Cells tagged `skip` stay unexecuted.
    after: numbers of the jobs beside it that must have succeeded before it starts.
    """

    source: Path | str
    output: Path | str
    parameters: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 1200
    progress: Callable[[int, int], None] | None = None
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | str | None = None
    skip: str = ""
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class NotebookResult:
    """A notebook that reached its end: where it is, how long it took, and what its last cell recorded."""

    path: Path
    seconds: float
    record: dict[str, Any]


def read_parameters(notebook: Path | str) -> list[Parameter]:
    """The parameters that a notebook declares, in its order.

    Raises RunError, naming notebook, line and fix, when the file is not a notebook, has not exactly one code cell
    tagged `parameters`, or has in it anything but lines of the form `name = literal  # help`.
    """
    return _read_declared(_read_notebook(notebook), Path(notebook).name)


def check_parameters(notebook: Path | str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the notebook will get them: paths as text, numpy scalars as numbers, ints for floats as floats.

    Raises RunError for a name that the notebook does not declare (with the nearest one), a value of another type
    than the default's, and a parameter that no later cell reads. Starts no kernel.
    """
    return _check(_read_notebook(notebook), Path(notebook).name, parameters)


def finish_notebook(results: Path | str, name: str, record: dict[str, Any]) -> None:
    """Write what a notebook found to `<results>/records/<name>.json`; the last line of every notebook.

    Under `run_notebook` it is also the proof that the notebook reached its end. Raises RunError for a record that
    JSON cannot hold (NaN among them).
    """
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False, default=_to_plain) + "\n"
    except (TypeError, ValueError) as error:
        fix = "Use texts, numbers, lists and dicts, and None where there is no number."
        raise RunError(f"The record of {name} cannot be written as JSON: {error}. {fix}") from None
    write_atomic(Path(results) / "records" / f"{name}.json", text)
    if receipt := os.environ.get(RECEIPT):
        write_atomic(receipt, text)


def check_results(results: Path | str) -> None:
    """Raise RunError when there is no such folder."""
    if not Path(results).is_dir():
        what = "is a file" if Path(results).exists() else "does not exist"
        raise RunError(f"{results} {what}: name the results folder of a finished `mmlab run`.")


def read_record(results: Path | str, name: str) -> dict[str, Any]:
    """What a notebook left for the report. Raises RunError when it has not been run on this results folder."""
    path = Path(results) / "records" / f"{name}.json"
    check_results(results)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: run notebook {name} on this results folder first.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}): run notebook {name} again.") from error


def run_notebook(
    source: Path | str, output: Path | str, parameters: dict[str, Any] | None = None, **options: Any
) -> NotebookResult:
    """Execute a notebook with parameters and write it, whole, to `output`. options: the other fields of a `Job`.

    Raises RunError for unfit parameters (before a kernel starts), an error in a cell, a dead kernel, a cell that
    took too long, and a notebook that stopped before its last line. The notebook is then kept beside `output` as
    `<stem>.failed.ipynb`, and an earlier good `output` stays. Ctrl-C does the same and raises KeyboardInterrupt.
    """
    with closing(run_notebooks([Job(source, output, parameters or {}, **options)])) as outcomes:
        _, outcome = next(outcomes)
    if isinstance(outcome, RunError):
        raise outcome
    return outcome


def run_notebooks(
    jobs: Sequence[Job], workers: int = 1, places: Sequence[dict[str, str]] = ()
) -> Iterator[tuple[int, NotebookResult | RunError]]:
    """Execute notebooks, `workers` at a time; give (number in `jobs`, its result or what went wrong) as each ends.

    The parameters of all are judged before the first kernel starts: RunError is raised for an unfit one. A notebook
    that fails afterwards gives its RunError, as `run_notebook` raises it, and the others go on. Closing the
    iterator, or Ctrl-C, stops the kernels: use it in `contextlib.closing`. places: environment variables for as many
    kernels as run at once, each set lent to one kernel at a time (a share of the cores, a GPU).
    """
    executions = [_Execution(job) for job in jobs]
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for place in places or [{}] * max(1, workers):
        free.put(place)
    # Threads, for they only wait: the work is done by the kernels, each a fresh process. And so that Ctrl-C arrives
    # here and not in the middle of papermill's event loop.
    with _quiet_log(), ThreadPoolExecutor(max(1, workers)) as pool:
        unstarted, succeeded = dict(enumerate(jobs)), set()
        numbers: dict[Future, int] = {}
        waiting: set[Future] = set()

        def start_ready() -> None:
            for number in [number for number, job in unstarted.items() if succeeded.issuperset(job.after)]:
                del unstarted[number]
                future = pool.submit(executions[number].run, free)
                numbers[future] = number
                waiting.add(future)

        try:
            start_ready()
            while waiting:
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
                succeeded |= {numbers[future] for future in done if isinstance(future.result(), NotebookResult)}
                start_ready()
                for future in done:
                    yield numbers[future], future.result()
            for number, job in unstarted.items():
                first = next(Path(jobs[one].source).name for one in job.after if one not in succeeded)
                yield number, RunError(f"{Path(job.source).name} was not started: {first}, which it needs, failed.")
        finally:
            for future in waiting:
                future.cancel()
            while waiting:  # a kernel may be only just starting, so try again until all is quiet
                for execution in executions:
                    execution.kill()
                waiting = wait(waiting, timeout=0.1).not_done


def share_parameters(
    sources: list[Path], results: Path | str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """For each notebook those of the shared parameters (and `results`) that it declares, all checked.

    Raises RunError for a parameter that no notebook declares, and as `check_parameters` does.
    """
    parameters = parameters or {}
    declared = [{parameter.name for parameter in read_parameters(source)} for source in sources]
    for name in parameters:
        if not any(name in names for names in declared):
            raise RunError(f"No notebook has a parameter {name!r}.{suggest(name, sorted(set().union(*declared)))}")
    shared = {**parameters, "results": str(results)}
    own = [{name: value for name, value in shared.items() if name in names} for names in declared]
    for source, chosen in zip(sources, own, strict=True):
        check_parameters(source, chosen)
    return own


# ---- reading a notebook and judging its parameters


def _read_notebook(path: Path | str):
    import nbformat

    try:
        return nbformat.read(str(path), as_version=4)
    except FileNotFoundError:
        raise RunError(f"There is no notebook {path}.") from None
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise RunError(f"{path} cannot be read as a notebook: {str(error).splitlines()[0]}") from None


def _code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()] if notebook else []


def _is_tagged(cell) -> bool:
    return TAG in cell.metadata.get("tags", [])


def _read_declared(notebook, name: str) -> list[Parameter]:
    # papermill's own inspector reads line by line and misses annotations and lines with a second "=".
    tagged = [cell for cell in _code_cells(notebook) if _is_tagged(cell)]
    if len(tagged) != 1:
        raise RunError(f"{name} has {len(tagged)} code cells tagged `{TAG}`. Tag exactly one.")
    source = tagged[0].source
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise RunError(f"{name}, parameters cell, line {error.lineno}: {error.msg}.") from None
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    helps = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    declared: dict[str, Parameter] = {}
    for statement in statements:
        where = f"{name}, parameters cell, line {statement.lineno}"
        parameter = _read_literal(statement, helps.get(statement.end_lineno, ""))
        if parameter is None:
            line = source.splitlines()[statement.lineno - 1].strip()
            fix = "Write `name = literal  # help`: a number, a text, True, False or None, without an annotation. "
            raise RunError(f"{where}: cannot use `{line}`. {fix}Derive other values in a later cell.")
        if parameter.name in declared:
            raise RunError(f"{where}: {parameter.name} is set a second time. Keep one.")
        declared[parameter.name] = parameter
    return list(declared.values())


def _read_literal(statement: ast.stmt, comment: str) -> Parameter | None:
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return None
    target = statement.targets[0]
    try:
        default = ast.literal_eval(statement.value)
    except ValueError:
        return None
    if not isinstance(target, ast.Name) or type(default) not in (bool, int, float, str, type(None)):
        return None
    return Parameter(target.id, default, comment)


def _check(notebook, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    declared = {parameter.name: parameter for parameter in _read_declared(notebook, name)}
    for key in parameters:
        if key not in declared:
            raise RunError(f"{name} has no parameter {key!r}.{suggest(key, list(declared))}")
    fitted = {key: _fit(declared[key], value, name) for key, value in parameters.items()}
    read = _names_read(notebook, name)
    for key in parameters:
        if key not in read:
            fix = "Use it there, or remove it from the parameters cell."
            raise RunError(f"{name} declares {key!r}, but no later cell reads it: setting it changes nothing. {fix}")
    return fitted


def _fit(parameter: Parameter, value: Any, name: str) -> Any:
    if isinstance(value, PurePath):
        value = str(value)
    elif isinstance(value, np.generic):
        value = value.item()
    kind = str if parameter.default is None else type(parameter.default)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind or (value is None and parameter.default is None):
        return value
    hint = " Write it without quotes." if isinstance(value, str) else " Write it in quotes." if kind is str else ""
    given = f"{parameter.name}={value!r} is of type {type(value).__name__}"
    wanted = f"its default {parameter.default!r} takes {kind.__name__}"
    raise RunError(f"{name}: {given}; {wanted}.{hint}")


def _names_read(notebook, name: str) -> set[str]:
    """Names that the cells after the parameters cell read from the notebook's own scope."""
    cells = _code_cells(notebook)
    after = next(number for number, cell in enumerate(cells) if _is_tagged(cell)) + 1
    read: set[str] = set()
    for number, cell in enumerate(cells[after:], start=after + 1):
        without_magics = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
        try:
            try:  # first as it is: a line of a sum may begin with %
                table = symtable.symtable(cell.source, name, "exec")
            except SyntaxError:
                table = symtable.symtable(without_magics, name, "exec")
        except SyntaxError as error:
            if cell.source.lstrip().startswith("%%"):
                continue  # a cell in another language
            where = f"{name}, code cell {number}, line {error.lineno}"
            raise RunError(f"{where} is not Python: {error.msg}.") from None
        read |= _names_in(table)
    return read


def _names_in(table: symtable.SymbolTable) -> set[str]:
    outer = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (outer or s.is_global())}
    return names.union(*(_names_in(child) for child in table.get_children()))


def _check_ending(notebook, name: str) -> None:
    cells = _code_cells(notebook)
    if not cells or "finish_notebook(" not in cells[-1].source:
        fix = "End it with finish_notebook(results, name, record): nothing else proves that it reached its end."
        raise RunError(f"The last code cell of {name} does not finish it. {fix}")


# ---- executing


class _Execution:
    """One job: judged when it is made, executed by `run` in a thread, stopped by `kill` from another."""

    def __init__(self, job: Job) -> None:
        self.job, self.source, self.output = job, Path(job.source), Path(job.output)
        self.notebook = _read_notebook(self.source)
        self.parameters = _check(self.notebook, self.source.name, job.parameters)
        _check_ending(self.notebook, self.source.name)
        self.timeout = max(1, math.ceil(job.timeout_s))
        # papermill hands the notebook back only when all went well: keep hold of it from the start.
        self.executed: Any = None
        self.begun: list = []  # code cells
        self.manager: Any = None

    def run(self, places: queue.SimpleQueue[dict[str, str]]) -> NotebookResult | RunError:
        """Execute the notebook and write it to its output, or what there is of it beside its output."""
        started = time.perf_counter()
        place = places.get()
        try:
            with tempfile.TemporaryDirectory(prefix="mmlab-") as folder:
                receipt = Path(folder) / "record.json"
                error = self._execute({**os.environ, **place, **self.job.env, RECEIPT: str(receipt)})
                record = json.loads(receipt.read_text("utf-8")) if receipt.exists() else None
        finally:
            places.put(place)
        failed = self.output.with_name(f"{self.output.stem}.failed.ipynb")
        cells = self._cells()
        if error is None and record is not None and self.begun[-1] is cells[-1]:
            write_atomic(self.output, _to_text(self.executed, self.parameters))
            failed.unlink(missing_ok=True)
            return NotebookResult(self.output, time.perf_counter() - started, record)
        where, kept = self.source.name, ""
        if self.executed:
            write_atomic(failed, _to_text(self.executed, self.parameters))
            kept = f"\nThe notebook as far as it went: {failed}"
        if self.begun:
            line = self.begun[-1].source.strip().splitlines()[0]
            where += f", code cell {len(self.begun)} of {len(cells)} (`{line}`)"
        return RunError(f"{where}: {_explain(error, self.timeout)}{kept}")

    def kill(self) -> None:
        """Stop the kernel, if there is one, with its workers."""
        process = getattr(getattr(self.manager, "provisioner", None), "process", None)
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (AttributeError, ProcessLookupError):  # Windows has no groups; or it is gone already
                process.kill()

    def _execute(self, env: dict[str, str]) -> Exception | None:
        """Fill `executed` and `begun`; what stopped it, or None."""
        import papermill
        from jupyter_core.utils import ensure_event_loop
        from traitlets.config import Config

        try:
            papermill.execute_notebook(
                self.notebook,  # not a path: papermill formats paths, and braces in a folder's name would break
                None,
                parameters=self.parameters,
                kernel_name="python3",
                progress_bar=False,
                request_save_on_cell_execute=False,
                autosave_cell_every=0,
                execution_timeout=self.timeout,
                kernel_manager_class=self._make_manager_class(env),
                config=Config({"KernelManager": {"transport_encryption": "auto"}}),  # or ipykernel warns about TCP
                record_timing=False,
                store_widget_state=True,  # without it, output inside a widget kills nbclient's reader: it waits forever
                skip_cells_with_tag=self.job.skip or "skip-execution",
                on_notebook_start=self._note_notebook,
                on_cell_execute=self._note_cell,
            )
        except Exception as error:
            return error
        finally:
            loop = ensure_event_loop()  # this thread's; nbclient leaves tasks in it when a cell times out
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()
        return None

    def _note_notebook(self, notebook) -> None:
        self.executed = notebook

    def _note_cell(self, cell, cell_index) -> None:
        self.begun.append(cell)
        if self.job.progress:
            self.job.progress(len(self.begun), len(self._cells()))

    def _cells(self) -> list:
        """The code cells that are executed when all goes well."""
        return [cell for cell in _code_cells(self.executed) if self.job.skip not in cell.metadata.get("tags", [])]

    def _make_manager_class(self, env: dict[str, str]) -> type:
        from ipykernel.kernelspec import RESOURCES, get_kernel_dict
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        execution = self

        class Manager(AsyncKernelManager):
            # This interpreter, always: a `python3` of another environment may be registered before ours. Without
            # history, for which the kernels of a grid would wait for each other.
            kernel_spec = KernelSpec(
                resource_dir=RESOURCES, **get_kernel_dict(extra_arguments=["--HistoryManager.enabled=False"])
            )

            async def start_kernel(self, **options):
                execution.manager = self
                folder = {} if execution.job.cwd is None else {"cwd": str(execution.job.cwd)}
                await super().start_kernel(env=env, **folder, **options)

            async def shutdown_kernel(self, now=False, restart=False):
                # The receipt is written or it is not: waiting for a kernel to tidy up costs a second or two.
                await super().shutdown_kernel(now=True, restart=restart)

            async def _async_interrupt_kernel(self):
                """The base class interrupts before it shuts down; the kernel would print an error about that."""

        return Manager


@contextmanager
def _quiet_log():
    # What papermill logs is in the RunError, in words for the reader.
    loggers = [logging.getLogger(name) for name in ("papermill", "traitlets")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _explain(error: Exception | None, timeout: int) -> str:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError, strip_color

    if error is None:
        return "the notebook stopped here, before its last cell had run. Take out sys.exit() and exit()."
    if isinstance(error, CellTimeoutError):
        return f"the cell ran longer than {timeout} s and was stopped. Give it less to do or a longer timeout."
    if isinstance(error, DeadKernelError):
        return "the kernel died. Either memory ran out or a library crashed; less data or a smaller batch may help."
    if isinstance(error, PapermillExecutionError):
        if error.ename in _family(MmlabError):
            return error.evalue
        lines = [line for line in strip_color("\n".join(error.traceback)).splitlines() if line.strip(" -")]
        return "\n".join(["an error:", *(f"    {line}" for line in lines[-6:])])
    return f"the kernel could not be used ({type(error).__name__}: {error})."


def _family(kind: type) -> set[str]:
    return {kind.__name__}.union(*(_family(child) for child in kind.__subclasses__()))


# ---- what is written


def _to_text(notebook, parameters: dict[str, Any]) -> str:
    """The executed notebook without what differs between two equal runs, and without widgets that show nothing."""
    import nbformat

    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)  # saved widgets show nothing where the notebook is browsed
    if parameters:
        notebook.metadata["papermill"] = {"parameters": parameters}
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        tags = cell.metadata.pop("tags", [])
        if tags:
            cell.metadata["tags"] = tags
        if {"injected-parameters", "papermill-error-cell-tag"}.intersection(tags):
            cell["id"] = f"papermill-{number}"  # papermill's is random
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return nbformat.writes(notebook) + "\n"


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is not a plain value")
