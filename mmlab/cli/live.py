"""What `mmlab run` shows while it runs: one line that is redrawn on a terminal, and a line a minute in a log."""

import shutil
import sys
import time

from mmlab.cli.output import print_line, redraw_line
from mmlab.workbook import Underway

LOG_SECONDS = 60  # between two lines where there is no terminal


class LiveLine:
    """Its methods are `on_start`, `on_wait` and `on_done` of `run_workbook`."""

    def __init__(self, what: str, cost: float) -> None:
        """what: what runs on which course; cost: of the chosen fusion, as a multiple of the gated one's."""
        self.what, self.cost = what, cost
        self.drawn, self.begun, self.said = sys.stdout.isatty(), time.monotonic(), time.monotonic()

    def on_start(self, seconds: float | None) -> None:
        self._print(f"mmlab: {self.what}" + ("" if seconds is None else f", about {describe(seconds)} on two cores"))
        if self.cost >= 2:
            self._print(f"The chosen fusion trains about {self.cost:.0f} times as long as the gated one.")

    def on_wait(self, underway: list[Underway]) -> None:
        parts = [f"{one.name} {one.done}/{one.total} ({one.seconds:.0f} s)" for one in underway]
        line = f"{describe(time.monotonic() - self.begun)}: " + ", ".join(parts)
        if self.drawn and parts:
            redraw_line(line[: shutil.get_terminal_size().columns - 1])
        elif parts and time.monotonic() - self.said >= LOG_SECONDS:
            self._print(line)

    def on_done(self, name: str, seconds: float, number: int, total: int) -> None:
        self._print(f"[{number}/{total}] {name:<24} {seconds:6.1f} s")

    def close(self) -> None:
        """Leave an empty line for what is printed next."""
        if self.drawn:
            redraw_line()

    def _print(self, line: str) -> None:
        self.said = time.monotonic()
        self.close()
        print_line(line)


def describe(seconds: float) -> str:
    """A length of time in words: `40 s`, `4 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
