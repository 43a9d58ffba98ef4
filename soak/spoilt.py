"""Faults that a search must find: each function makes one in the process that calls it."""

import os
import sys
from pathlib import Path


def write_in_place() -> None:
    """Let every file be written where it belongs, half after half, as a plain `open(path, "w")` may do."""

    def write(path, data):
        path, raw = Path(path), data.encode() if isinstance(data, str) else data
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for half in (raw[: len(raw) // 2], raw[len(raw) // 2 :]):
                file.write(half)
                file.flush()
                os.fsync(file.fileno())
        return path

    for name, module in list(sys.modules.items()):
        if name.startswith("mmlab") and hasattr(module, "write_atomic"):
            module.write_atomic = write
