"""What a benchmark measured, as a small JSON file that tables of the documentation are made from."""

import json
import os
import platform
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def write_result(name: str, rows: list[dict], **more: dict) -> Path:
    """Write `benchmarks/results/<name>.json`, which benchmarks/page.py makes tables of.

    rows: one dict per comparison with `what`, `before`, `after`, `unit` and perhaps other columns; or, where there are
    not two sides, `what`, `unit` and columns of its own. more: what is no row of a table; text: what the rows come to.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"machine": describe_machine(), "rows": rows, **more}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def describe_machine() -> str:
    """The processor, its cores and Python's version, for people."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = lines[0] if lines else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
