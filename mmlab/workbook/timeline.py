"""When each part of a workbook ran, and since when it could have: what the report draws, and `metrics.json` holds."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmlab.errors import RunError
from mmlab.runs.records import read_record, write_record

TIMELINE = "timeline"  # the record's name
IMPORTS, ENCODING, REPORT = "imports", "encoding", "report"  # the parts that are no notebooks


class Timeline:
    """Parts in the order in which they end, in seconds from the beginning.

    A part is a dict: name; ready: when all that it needs had ended; start; end. From ready to start it waits for one of
    the two places in which notebooks run.
    """

    def __init__(self) -> None:
        self.begun, self.parts = time.perf_counter(), []

    def add(self, name: str, started: float, ended: float | None = None, needs: Iterable[str] = ()) -> None:
        """started, ended: on the clock of `time.perf_counter`; ended: now, unless it is given."""
        start, end = (round(one - self.begun, 1) for one in (started, ended or time.perf_counter()))
        ready = [part["end"] for part in self.parts if part["name"] in (IMPORTS, *needs)]
        self.parts.append({"name": name, "ready": min(start, max(ready, default=start)), "start": start, "end": end})

    @contextmanager
    def measure(self, name: str, needs: Iterable[str] = ()) -> Iterator[None]:
        """A part that lasts as long as the block."""
        started = time.perf_counter()
        yield
        self.add(name, started, None, needs)

    def write(self, results: Path | str) -> None:
        write_record(results, TIMELINE, {"parts": self.parts})


def read_timeline(results: Path | str) -> list[dict]:
    """The parts of the last `mmlab run` on a results folder, as `Timeline` has them; none where none was recorded."""
    try:
        parts = read_record(results, TIMELINE)["parts"]
    except (RunError, KeyError):
        return []
    return parts if isinstance(parts, list) and all(map(_is_part, parts)) else []


def _is_part(one: Any) -> bool:
    numbers = [one.get(key) for key in ("ready", "start", "end")] if isinstance(one, dict) else [None]
    return all(isinstance(number, int | float) for number in numbers) and isinstance(one.get("name"), str)
