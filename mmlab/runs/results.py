"""A results folder and the prediction files in it."""

import os
import tempfile
from pathlib import Path

from mmlab.errors import RunError, find_fix

TEST_RESULT = "test_result.txt"  # the joint scenario's prediction file under the name to hand in


def open_results(results: Path | str, data: Path | str) -> Path:
    """The results folder, made if missing. Raises RunError when it cannot be written or is inside the course folder."""
    check_apart(results, data)
    return check_writable(Path(results))


def check_apart(results: Path | str, data: Path | str) -> None:
    """Raise RunError for a results folder that is the course folder or inside it. Makes nothing."""
    results, data = Path(results), Path(data)
    if data.resolve() in (results.resolve(), *results.resolve().parents):
        raise RunError(f"{results} is inside the course folder {data}, which is never changed. Choose another.")


def check_writable(results: Path) -> Path:
    """The folder, made if missing. Raises RunError when nothing can be written there."""
    if results.parts[:1] and results.parts[0].startswith("~"):
        raise RunError(f"{results} begins with ~, which only a shell understands. Write the path out, from / on.")
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
