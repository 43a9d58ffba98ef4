"""What a report of a bug needs to hold, as Markdown to paste: no path, no name of a user or a machine.

`mmlab doctor --bug-report` prints it.
"""

import contextlib
import getpass
import json
import locale
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mmlab import __version__, errors
from mmlab.config import KNOBS
from mmlab.doctor import Check, run_checks
from mmlab.runs.folder import CONFIG, is_complete
from mmlab.runs.keep import find_commit
from mmlab.storage import CHECKOUT, read_file

PACKAGES = (
    "torch", "torchvision", "openvino", "transformers", "tokenizers", "timm", "numpy", "pandas", "scikit-learn",
    "scipy", "pillow", "matplotlib", "jupyterlab", "ipykernel", "ipywidgets", "jupyter-client", "nbclient", "papermill",
    "typst", "submitit",
)  # fmt: skip
# Environment variables that change what is computed. A value that is no plain number or word is only said to be set.
VARIABLES = (
    "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_HOME", "MMLAB_CACHE",
    "MMLAB_BROWSER", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "LANG", "LC_ALL",
)  # fmt: skip
LARGEST = 50_000_000  # bytes of a file of a run that is looked into
LETTERS, FRAMES = 300, 8  # of an error: of its message, and of the calls that led to it
_PATH = re.compile(r"(?<![\w.>])(?:~|[A-Za-z]:)?(?:[\\/][^\s\"'`|:;,()<>]+)+|\S+://\S+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")  # in an error of another package, this may be the text of a pair
_PLAIN = re.compile(r"[\w.,-]*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"File [^\n]*?([^\\/\s]+?)(?::(\d+)|\", line (\d+)), in ([\w<>.]+)")


def write_bug_report(results: Path | str) -> str:
    """A page of Markdown: versions, machine, checks, and the last run and error in this results folder.

    Nothing is raised for what cannot be found out. It takes as long as the checks, some seconds.
    """
    results = Path(results)
    checks = run_checks()
    rows = [*_look_at_software(), *_look_at_machine(), *((f"check: {one.name}", _judge(one)) for one in checks)]
    parts = [_table("What", rows), "", _table("Package", _look_at_packages())]
    for title, lines in (("Last run", _look_at_run(results)), ("Last error", _look_at_error(results))):
        parts += ["", f"#### {title}", "", "```text", *lines, "```"]
    return Shield(results).hide("\n".join(["### mmlab bug report", "", *parts]))


class Shield:
    """Takes what is private out of a text: paths, and the names of the user and of the machine, wherever they stand."""

    def __init__(self, *places: Path) -> None:
        own = (Path.home(), Path.cwd(), CHECKOUT, Path(tempfile.gettempdir()), Path(sys.prefix), *places)
        self.places = {form for one in own for form in (str(one), str(one.absolute()), os.path.realpath(one))}
        users = {Path.home().name, *(os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME"))}
        with contextlib.suppress(Exception):  # a user without an entry on this machine
            users.add(getpass.getuser())
        self.words = {"<user>": users, "<machine>": {platform.node(), platform.node().partition(".")[0]}}

    def hide(self, text: str) -> str:
        for place in sorted(filter(lambda one: len(one) > 1, self.places), key=len, reverse=True):
            text = re.sub(rf"(?<![\w.]){re.escape(place)}(?:[\\/][^\s\"'`|:;,()<>]*)?", "<path>", text)
        text = _PATH.sub("<path>", text)
        for shown, words in self.words.items():
            for word in sorted(filter(None, words), key=len, reverse=True):
                text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", shown, text, flags=re.IGNORECASE)
        return text


def _table(first: str, rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    lines = [f"| {name} | {' '.join(str(value).split()).replace('|', '/')} |" for name, value in rows]
    return "\n".join([f"| {first} | found |", "|---|---|", *lines])


def _judge(check: Check) -> str:
    return check.found if check.ok else f"FAIL: {check.found}"


def _look_at_software() -> Iterator[tuple[str, str]]:
    yield "mmlab", f"{__version__}, commit {find_commit() or 'unknown'}"
    yield "Python", f"{platform.python_version()} {platform.python_implementation()}, {platform.python_compiler()}"
    yield "system", platform.platform()
    encodings = f"files {locale.getpreferredencoding(False)}, names {sys.getfilesystemencoding()}"
    yield "language", f"{'.'.join(filter(None, locale.getlocale())) or 'C'}; {encodings}, output {sys.stdout.encoding}"
    known = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    plain = [f"{name}={value if _PLAIN.fullmatch(value) else '(set)'}" for name, value in known.items()]
    yield "environment", ", ".join(plain) or "nothing that mmlab reads"


def _look_at_machine() -> Iterator[tuple[str, str]]:
    import torch

    name = platform.processor()
    with contextlib.suppress(OSError):  # Linux alone has this file
        name = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1]
    yield "processor", f"{name or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    yield "threads", f"torch {torch.get_num_threads()}, between operators {torch.get_num_interop_threads()}"
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        page = os.sysconf("SC_PAGE_SIZE") / 2**30
        yield (
            "memory unused",
            f"{os.sysconf('SC_AVPHYS_PAGES') * page:.1f} of {os.sysconf('SC_PHYS_PAGES') * page:.1f} GiB",
        )
    yield "encoders", ", ".join(f"{name} {digest}" for name, digest in _digest_encoders())


def _digest_encoders() -> Iterator[tuple[str, str]]:
    from mmlab.encoders import IMAGE_ENCODERS, TEXT_ENCODERS, find_image_encoder, find_text_encoder

    for find, names in ((find_text_encoder, TEXT_ENCODERS), (find_image_encoder, IMAGE_ENCODERS)):
        for name in names:
            try:
                yield name, find(name).identity[:12]
            except Exception as error:  # weights may be broken in any way
                yield name, type(error).__name__


def _look_at_packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            yield name, metadata.version(name)


def _newest(folder: Path, *patterns: str) -> Path | None:
    with contextlib.suppress(OSError):
        found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
        return max(found, key=lambda path: path.stat().st_mtime, default=None)
    return None


def _look_at_run(results: Path) -> Iterator[str]:
    """Knobs that are not the default, and what is known of the data, the code and the device."""
    path = _newest(results, f"runs/*/{CONFIG}", f"grid/runs/*/{CONFIG}")
    try:
        written = json.loads(read_file(path, LARGEST)) if path else {}
        knobs, facts = written.get("config", {}), written.get("provenance", {})
        defaults = {name: knob.default for name, knob in KNOBS.items()}
        changed = [f"{name}={_shorten(value)}" for name, value in knobs.items() if value != defaults.get(name)]
        yield f"knobs: {' '.join(changed) or 'the defaults'}" if path else "there is none"
        if path:
            yield f"complete: {'yes' if is_complete(path.parent) else 'no'}"
        for name in ("n_labelled", "n_test", "encoders", "code", "commit", "python", "device"):
            if name in facts:
                yield f"{name}: {facts[name]}"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        yield f"{CONFIG} cannot be read ({type(error).__name__})"


def _shorten(value: object) -> object:
    """A knob's value; a text with a separator of folders may be a path."""
    return "<path>" if isinstance(value, str) and re.search(r"[\\/]", value) else value


def _look_at_error(results: Path) -> Iterator[str]:
    """Of the newest notebook that failed: the error, without what is in quotes if it is not mmlab's, and its calls."""
    path = _newest(results, "notebooks/*.failed.ipynb", "grid/notebooks/*.failed.ipynb")
    try:
        cells = json.loads(read_file(path, LARGEST))["cells"] if path else []
        outputs = [one for cell in cells for one in cell.get("outputs", ()) if one["output_type"] == "error"]
        if not outputs:
            yield "none is recorded" if path is None else f"{path.name} holds none"
            return
        last, text = outputs[-1], _COLOUR.sub("", "\n".join(outputs[-1]["traceback"]))
        yield f"{path.name}: {last['ename']}"
        for file, line, other, function in _FRAME.findall(text)[-FRAMES:]:
            yield f"  {file}:{line or other} in {function}"
        said = last["evalue"] if hasattr(errors, last["ename"]) else _QUOTED.sub("'...'", last["evalue"])
        yield said.replace("`", "'")[:LETTERS]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        yield f"{path.name} cannot be read ({type(error).__name__})"
