"""The commands that make what a report shows, to be typed as they are."""

import shlex
from pathlib import Path
from typing import Any

from mmlab.config import RunConfig, write_value
from mmlab.runs import BEST, Run


class Commands:
    """What Evidence knows of them. It has the results folder, the course folder, what `mmlab run` was given, and
    the records."""

    results: Path
    course_folder: str
    given: dict[str, Any]
    records: dict[str, dict[str, Any]]

    @property
    def places(self) -> list[str]:
        return ["--data", self.course_folder or "DATA", "--results", str(self.results)]

    def train_command(self, config: RunConfig, folder: str = "") -> str:
        """Train one config, in a folder of the results: the defaults, and `--set` for each knob that differs."""
        knobs = [word for name, value in config.changed().items() for word in ("--set", f"{name}={write_value(value)}")]
        places = [*self.places[:-1], str(self.results / folder)]
        return shlex.join(["mmlab", "train", "--preset", "laptop", *knobs, *places])

    def best_command(self, run: Run) -> str:
        """Train the model that answers in place of the main run again."""
        preset = "best" if run.members else run.config.model
        usual = RunConfig.from_params({}, preset).to_dict()
        knobs = {name: value for name, value in run.config.to_dict().items() if value != usual[name]}
        minutes = self.records.get(BEST, {}).get("minutes")
        limit = ["--minutes", str(minutes)] if run.members and minutes else []
        return shlex.join(["mmlab", "run", "--preset", preset, *limit, *self.places, *_write_flags(knobs)])

    def grid_command(self, preset: str) -> str:
        """Run a grid that has a name."""
        return shlex.join(["mmlab", "grid", "--preset", preset, *self.places])

    def notebook_command(self, notebook: str = "") -> str:
        """Execute one notebook alone, or all of them, with the knobs of the workbook."""
        only, words = ["--only", notebook] if notebook else [], _write_flags(self.given.get("knobs", {}))
        return shlex.join(["mmlab", "run", *only, *self.places, *words])


def _write_flags(knobs: dict[str, Any]) -> list[str]:
    words = []
    for name, value in knobs.items():
        flag, switch = name.replace("_", "-"), isinstance(value, bool)
        words += [f"--{flag}" if value else f"--no-{flag}"] if switch else [f"--{flag}", write_value(value)]
    return words
