"""What a folder holds after a call: whether all that looks final reads, what was left over, and its bytes."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmlab.storage import SEAL

KEPT = ("results", "out", "work", "cache")  # what a call leaves for others, in the folder of its trial
# Keys and columns that two equal calls do not share. model.xml: the digest of a converted network, see `snapshot`.
VARIES = {"seconds", "timeline", "seal", "packages", "commit", "model.xml"}
RACED = "results/grid/records/"  # names the setting that ended last, of those that were trained at once
_LEFT = re.compile(r"\.[0-9a-f]{8}-\d+\.|^mmlab[.-]|^kernel-")  # of a name of a file that is being written


def list_files(place: Path) -> Iterator[Path]:
    """The files that look final."""
    for part in KEPT:
        for path in sorted((place / part).rglob("*")):
            if path.is_file() and not any(name.startswith(".") for name in path.relative_to(place).parts):
                yield path


def find_leftovers(place: Path) -> list[str]:
    """Files and folders that only a call in progress has."""
    every = [path for part in (*KEPT, "tmp") for path in sorted((place / part).rglob("*"))]
    return [str(path.relative_to(place)) for path in every if _LEFT.search(path.name) or path.suffix == ".part"]


def find_damage(place: Path) -> list[str]:
    """What looks final and cannot be read."""
    from mmlab.errors import MmlabError
    from mmlab.runs import is_complete, load_run

    found = []
    for path in list_files(place):
        try:
            read = _READERS.get(path.suffix)
            if read is not None:
                read(path)
        except Exception as error:
            found.append(f"{path.relative_to(place)}: {type(error).__name__}: {error}")
    for runs in sorted(place.glob("results/**/runs")):
        for folder in sorted(runs.glob("[!.]*")):
            try:
                if not is_complete(folder):
                    raise MmlabError("is not complete")
                load_run(folder)
            except MmlabError as error:
                found.append(f"{folder.relative_to(place)}: {error}")
    return found


def snapshot(place: Path) -> dict[str, str]:
    """Each final file by its path, as a digest of what two equal calls share."""
    found = {}
    for path in list_files(place):
        name = str(path.relative_to(place))
        if path.parent.name == "digests" or name.startswith(RACED):  # digests: named after the time of a file's change
            continue
        if path.suffix in (".md", ".tex") and path.with_suffix(".csv").exists():  # the same table, with its seconds
            continue
        raw = path.read_bytes().replace(str(place).encode(), b"@")
        if path.suffix == ".json":
            read = json.loads(raw)
            if isinstance(read, dict):
                read.pop(SEAL, None)  # of a sealed file: also of its seconds
            raw = json.dumps(_constant(read)).encode()
        elif path.suffix == ".ipynb":
            raw = _sort_printed(json.loads(raw))
        elif path.suffix == ".csv":
            raw = _constant_table(raw)
        elif path.suffix == ".safetensors":  # the order of what is in its head differs from call to call
            raw = _digest_tensors(path)
        elif path.suffix == ".xml":  # a converted network: OpenVINO's names of inner nodes differ from call to call
            raw = b""
        found[name] = hashlib.sha256(raw).hexdigest()[:16]
    return found


def compare(found: dict[str, str], expected: dict[str, str], varies: set[str]) -> list[str]:
    """The files that are missing, too many or different. varies: those that two undisturbed calls write differently."""
    missing = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    more = [f"{name} is new" for name in sorted(found.keys() - expected.keys())]
    common = (found.keys() & expected.keys()) - varies
    return [*missing, *more, *(f"{name} differs" for name in sorted(common) if found[name] != expected[name])]


def _constant(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _constant(one) for name, one in sorted(value.items()) if name not in VARIES}
    return [_constant(one) for one in value] if isinstance(value, list) else value


def _sort_printed(notebook: dict[str, Any]) -> bytes:
    """A notebook whose printed lines are sorted: settings that are trained at once end in any order."""
    for output in [one for cell in notebook["cells"] for one in cell.get("outputs", [])]:
        if "text" in output:
            output["text"] = sorted("".join(output["text"]).splitlines())
    return json.dumps(notebook).encode()


def _constant_table(raw: bytes) -> bytes:
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    kept = [number for number, name in enumerate(rows[0]) if name not in VARIES] if rows else []
    return json.dumps([[row[number] for number in kept] for row in rows]).encode()


def _digest_tensors(path: Path) -> bytes:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as content:
        every = [(name, content.get_tensor(name)) for name in sorted(content.keys())]
        head = sorted((content.metadata() or {}).items())
    return repr([head, [(name, one.shape, str(one.dtype)) for name, one in every]]).encode() + b"".join(
        one.tobytes() for _, one in every
    )


def _read_tensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as content:
        for name in content.keys():
            content.get_tensor(name)


def _read_table(path: Path) -> None:
    widths = {len(row) for row in csv.reader(io.StringIO(path.read_text("utf-8-sig")), strict=True)}
    if len(widths) != 1 or not path.read_bytes().endswith(b"\n"):
        raise ValueError("rows of different lengths, or half a row")


def _read_checkpoint(path: Path) -> None:
    from mmlab.training import read_checkpoint

    read_checkpoint(path)


def _read_picture(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        picture.load()


def _ends(end: bytes) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        if not path.read_bytes().rstrip().endswith(end):
            raise ValueError("its end is missing")

    return read


_READERS = {
    ".json": lambda path: json.loads(path.read_text("utf-8")),
    ".ipynb": lambda path: json.loads(path.read_text("utf-8"))["cells"],
    ".csv": _read_table,
    ".safetensors": _read_tensors,
    ".pt": _read_checkpoint,
    ".png": _read_picture,
    ".jpg": _read_picture,
    ".html": _ends(b"</html>"),
    ".pdf": _ends(b"%%EOF"),
    ".xml": _ends(b"</net>"),
    ".txt": _ends(b""),
}
