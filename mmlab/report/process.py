"""The report in a warm process of its own, where matplotlib and torch are imported already: it saves four seconds."""

import os
import pickle
import sys
from pathlib import Path

from mmlab.errors import RunError
from mmlab.processes import kill_session, start_warm
from mmlab.report.build import BuiltReport, rebuild_report
from mmlab.storage import temporary_folder, write_atomic


def rebuild_warm(nursery: str | None, results: Path | str) -> BuiltReport:
    """`rebuild_report(results)` in a child of the nursery, or here where there is none; raises what that raises."""
    with temporary_folder() as folder:
        said = folder / "built"
        process = start_warm(nursery, [__name__, str(results), str(said)], dict(os.environ), Path.cwd())
        if process is None:
            return rebuild_report(results)
        try:
            process.wait()
        finally:
            kill_session(process)
        if not said.exists():
            fix = f"Write it with `mmlab report --results {results}`."
            raise RunError(f"{results}: the process that writes the report has ended before its time. {fix}")
        built = pickle.loads(said.read_bytes())
    if isinstance(built, Exception):
        raise built
    return built


if __name__ == "__main__":
    try:
        outcome = rebuild_report(sys.argv[1])
    except Exception as error:
        outcome = error
    write_atomic(sys.argv[2], pickle.dumps(outcome))
    os._exit(0)  # there is nothing left to tidy up, and it would take half a second
