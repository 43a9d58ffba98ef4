"""A results folder and the prediction files in it."""

import os
import tempfile
from pathlib import Path

from mmlab.errors import RunError, find_fix
from mmlab.storage import is_inside, printable

TEST_RESULT = "test_result.txt"  # the joint scenario's prediction file under the name to hand in


def open_results(results: Path | str, data: Path | str) -> Path:
    """The results folder, made if missing. Raises RunError when it cannot be written or is inside the course folder."""
    check_apart(results, data)
    return check_writable(Path(results))


def check_apart(results: Path | str, data: Path | str) -> None:
    """Raise RunError for a results folder that is the course folder or inside it. Makes nothing."""
    _check_name(results)
    if is_inside(results, data):
        raise RunError(f"{results} is inside the course folder {data}, which is never changed. Choose another.")


def _check_name(results: Path | str) -> None:
    name = str(results)
    if name.startswith("~"):
        raise RunError(f"{name} begins with ~, which only a shell understands. Write the path out, from / on.")
    if any(one == "\0" or "\ud800" <= one <= "\udfff" for one in name):  # no record or page could name it
        raise RunError(f"{printable(name)!r} is no name for a folder of results. Choose one of letters and digits.")


def check_writable(results: Path) -> Path:
    """The folder, made if missing. Raises RunError when nothing can be written there."""
    _check_name(results)
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            return results
    except OSError as error:
        file = next((place for place in (results, *results.parents) if os.path.isfile(place)), None)
        why = f"{file} is a file" if file and file != results else "it is a file" if file else error.strerror
        fix = find_fix(error, "") or "Choose another results folder"
        raise RunError(f"{results} cannot be written ({why}). {fix}.") from None


def find_siblings(file: Path | str) -> list[Path]:
    """The other scenarios' prediction files next to a prediction file; the source of a test_result.txt is left out."""
    file = Path(file)
    others = sorted(file.parent.glob("test_result_*_*_*.txt"))
    if file.name == TEST_RESULT or file.name.endswith("text_and_image.txt"):
        return [other for other in others if not other.name.endswith("text_and_image.txt")]
    return [other for other in others if other.name != file.name]
