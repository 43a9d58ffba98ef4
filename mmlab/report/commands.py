"""The commands that make the runs of a results folder, to be typed as they are."""

import shlex
from typing import Any

from mmlab.config import RunConfig, write_value


def notebook_command(notebook: str, places: list[str], knobs: dict[str, Any]) -> str:
    """Execute one notebook alone, with the knobs of the workbook. places: --data and --results with their folders."""
    words = [word for name, value in knobs.items() for word in _option(name, value)]
    return shlex.join(["mmlab", "run", "--only", notebook, *places, *words])


def train_command(config: RunConfig, places: list[str]) -> str:
    """Train one config: the defaults, and `--set` for each knob that differs."""
    knobs = [word for name, value in config.changed().items() for word in ("--set", f"{name}={write_value(value)}")]
    return shlex.join(["mmlab", "train", "--preset", "laptop", *knobs, *places])


def grid_command(preset: str, places: list[str]) -> str:
    """Run a grid that has a name."""
    return shlex.join(["mmlab", "grid", "--preset", preset, *places])


def _option(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", write_value(value)]
