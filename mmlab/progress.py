"""A quiet progress bar: on a terminal a line, in a notebook a display that is gone at the end, elsewhere nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def open_bar(total: int, label: str, unit: str):
    """A tqdm bar, used as a context manager; it shows nothing where standard error is a log's, not a person's."""
    from tqdm import tqdm  # not tqdm.auto: the widget bar is blank in a saved notebook

    stream = sys.stderr if sys.stderr.isatty() else _NotebookLine() if in_kernel() else None
    return tqdm(
        total=total, desc=label, unit=unit, file=stream, disable=stream is None, leave=stream is sys.stderr,
        ncols=90 if isinstance(stream, _NotebookLine) else None, mininterval=0.5,
    )  # fmt: skip


@contextmanager
def model_bar(label: str) -> Iterator:
    """A bar for the `on_model` of `cross_fit` and `train_run`; a run that is only read back shows none."""
    bars = []

    def tick(done: int, total: int) -> None:
        if not bars:
            bars.append(open_bar(total, label, "model"))
        bars[0].update(done - bars[0].n)

    try:
        yield tick
    finally:
        for bar in bars:
            bar.close()


@contextmanager
def show_while(words: str) -> Iterator[None]:
    """A line while the block lasts: in a notebook a display that is gone at the end, elsewhere on standard error."""
    line = _NotebookLine() if in_kernel() else None
    print(words, file=line or sys.stderr, flush=True)
    try:
        yield
    finally:
        if line is not None:
            line.write("")


def in_kernel() -> bool:
    """Whether this process is a Jupyter kernel; asks only what is imported already."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class _NotebookLine:
    """A stream that shows the last line written to it in one display of the cell, and empties it when that is blank."""

    def __init__(self) -> None:
        self.display = None

    def write(self, text: str) -> None:
        from IPython.display import display

        line = text.strip("\r\n ")
        if self.display is None and line:
            self.display = display({"text/plain": line}, raw=True, display_id=True)
        elif self.display is not None:
            self.display.update({"text/plain": line} if line else {}, raw=True)

    def flush(self) -> None:
        """Nothing waits to be written."""
