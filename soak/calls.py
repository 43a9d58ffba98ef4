"""Calls of the lab that take a second or a few, each in a process of its own that may be killed.

The course is a part of the demo, the encoders are tiny ones in the real formats. A process is forked from this one,
which has the imports done and no threads; the kernels of `run` and `grid` come from one nursery.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from soak import points

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
N_LABELLED, N_TEST = 60, 12
PAIRS_PER_BLOCK = 16  # of the cache: an encoding of several files
ORPHANS_SECONDS = 10  # kernels end within a second of their parent's death; the machine may be busy
SUBMISSIONS = 4


@dataclass(frozen=True)
class Stage:
    """What all calls share: the course, the encoders, a finished results folder and a warm cache, all in `root`."""

    root: Path
    nursery: str | None = None

    @property
    def course(self) -> Path:
        return self.root / "course"

    def knobs(self, **more: object) -> list[str]:
        small = {"hidden": 16, "heads": 2, "batch_size": 16, "precision": "fp32", **more}
        folders = {f"{side}_encoder": self.root / "encoders" / side for side in ("text", "image")}
        return [f"{name}={value}" for name, value in {**folders, **small}.items()]


@dataclass(frozen=True)
class Call:
    """A command in a folder of its own: it writes to `results`, `out`, `work` and `cache` there.

    begins: the parts of the stage's folder that are copied there first. act: called with the stage and the folder.
    """

    name: str
    begins: tuple[str, ...]
    act: Callable[[Stage, Path], None]


@dataclass(frozen=True)
class Ended:
    """How a call ended: its exit status (minus a signal), seconds by the clock, those of the processor (of kernels,
    none), MiB at the most, its last words."""

    status: int
    seconds: float
    busy: float
    mib: float
    said: str


def command(*words: object) -> None:
    from mmlab.cli.app import app

    status = app([str(word) for word in words], standalone_mode=False)
    if status:
        sys.exit(status)


def _sets(knobs: list[str]) -> list[str]:
    return [word for knob in knobs for word in ("--set", knob)]


def _encode(stage: Stage, place: Path) -> None:
    from mmlab import features
    from mmlab.course import read_course

    features.PAIRS_PER_BLOCK = PAIRS_PER_BLOCK
    encoders = [str(stage.root / "encoders" / side) for side in ("text", "image")]
    features.encode_course(read_course(stage.course), *encoders, precision="fp32")


def _train(stage: Stage, place: Path) -> None:
    knobs = stage.knobs(text_layers=1, image_layers=0, epochs=2, folds=2, seeds=1)
    command("train", *_sets(knobs), "--data", stage.course, "--results", place / "results")


def _grid(stage: Stage, place: Path) -> None:
    knobs = [*stage.knobs(), "epochs=1,2"]
    command("grid", *_sets(knobs), "--jobs", 2, "--data", stage.course, "--results", place / "results")


def _run(stage: Stage, place: Path) -> None:
    options = []
    for knob in stage.knobs(epochs=3, folds=2, seeds=1):
        name, _, value = knob.partition("=")
        options += [f"--{name.replace('_', '-')}", value]
    command("run", "--data", stage.course, "--results", place / "results", *options)


def _report(stage: Stage, place: Path) -> None:
    from mmlab.plots import picture

    picture._draw_png = picture._draw_svg = lambda *_, **__: _PIXEL  # drawing takes longest, and moves no file
    with suppress(SystemExit):  # a small course leaves gaps
        command("report", "--results", place / "results", "--no-pdf")


def _grade(stage: Stage, place: Path) -> None:
    words = ("--out", place / "out" / "grades", "--ledger", place / "out" / "ledger.json")
    command("grade", stage.root / "submissions", "--labels", stage.root / "key.txt", *words)


def _start(stage: Stage, place: Path) -> None:
    command("start", place / "work")


def _demo(stage: Stage, place: Path) -> None:
    from mmlab.demo import make_demo

    make_demo(place / "out" / "demo", n_labelled=100, n_test=0)


CALLS = {
    one.name: one
    for one in (
        Call("convert", (), _encode),
        Call("encode", ("cache/networks", "cache/digests"), _encode),
        Call("train", ("cache",), _train),
        Call("grid", ("cache",), _grid),
        Call("run", ("cache",), _run),
        Call("report", ("cache", "results"), _report),
        Call("grade", ("out",), _grade),
        Call("start", (), _start),
        Call("demo", ("out",), _demo),
    )
}


# ------------------------------------------------------------------------------------------------ one process


def begin(call: Call, stage: Stage, place: Path) -> Path:
    """The folder of a trial with what the call begins with."""
    place.mkdir()
    for part in call.begins:
        shutil.copytree(stage.root / part, place / part, ignore=shutil.ignore_patterns(".*", "*.lock"))
    return place


def start(call: Call, stage: Stage, place: Path, env: dict[str, str] | None = None, change=lambda: None) -> int:
    """Fork a process that makes the call; its number. env: more of its environment. change: called in it first."""
    (place / "tmp").mkdir(exist_ok=True)
    if process := os.fork():
        return process
    status = 70
    try:
        os.setsid()
        said = os.open(place / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        own = {"MMLAB_CACHE": place / "cache", "TMPDIR": place / "tmp", "JUPYTER_RUNTIME_DIR": place / "tmp"}
        if stage.nursery:
            own["MMLAB_NURSERY"] = stage.nursery
        os.environ.update({name: str(value) for name, value in own.items()} | (env or {}))
        os.environ.setdefault(points.VICTIM, str(os.getpid()))
        tempfile.tempdir = None
        random.seed()
        change()
        call.act(stage, place)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        print("".join(traceback.format_exception(error)) if not _is_ours(error) else f"mmlab: {error}", flush=True)
        status = 1
    finally:
        with suppress(Exception):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def _is_ours(error: BaseException) -> bool:
    from mmlab.errors import MmlabError

    return isinstance(error, MmlabError)


def finish(process: int, place: Path, kill_after: float | None = None, limit: float = 300) -> Ended:
    """Wait for a call, and kill it after so many seconds; `limit`: when it hangs for sure."""
    begun, done = time.monotonic(), (0, 0, None)
    deadline = begun + (limit if kill_after is None else kill_after)
    while not done[0]:
        done = os.wait4(process, os.WNOHANG)
        if not done[0] and time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            deadline += limit
        time.sleep(0.005)
    seconds = time.monotonic() - begun
    said = (place / "said.txt").read_text(errors="replace") if (place / "said.txt").exists() else ""
    busy, mib = done[2].ru_utime + done[2].ru_stime, done[2].ru_maxrss / 1024
    return Ended(os.waitstatus_to_exitcode(done[1]), round(seconds, 2), round(busy, 2), round(mib), said[-2000:])


def list_orphans(place: Path) -> list[int]:
    """The processes whose environment names a trial's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(place).encode() in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def wait_for_orphans(place: Path) -> list[int]:
    """Those that are still there when they should have ended."""
    deadline = time.monotonic() + ORPHANS_SECONDS
    while (found := list_orphans(place)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


# ------------------------------------------------------------------------------------------------ the stage


@contextmanager
def open_stage(names: tuple[str, ...]) -> Iterator[Stage]:
    """What the calls of these names need, in a temporary folder."""
    for name, value in (("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false")):
        os.environ.setdefault(name, value)
    os.environ.setdefault("MPLBACKEND", "agg")
    import torch

    import mmlab.cli.app
    import mmlab.grading
    import mmlab.report.build
    import mmlab.runs
    import mmlab.training  # noqa: F401 (imported once, for all that are forked)

    torch.set_num_threads(1)
    points.arm()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root = Path(folder)
        stage = Stage(root)
        for make in (_make_course, _make_encoders, _make_class):
            _in_child(make, root)
        if {"grid", "run", "report"} & set(names):
            with _open_nursery(root) as nursery:
                stage = Stage(root, nursery)
                _prepare(stage, names)
                yield stage
        else:
            _prepare(stage, names)
            yield stage


def _prepare(stage: Stage, names: tuple[str, ...]) -> None:
    """What calls of these names begin with: a warm cache, a finished results folder, older grades and an older demo."""
    begins = {part.partition("/")[0] for name in names for part in CALLS[name].begins}
    if {"cache", "results"} & begins:
        first = "run" if "results" in begins else "train" if {"train", "grid", "run"} & set(names) else "encode"
        place = begin(Call("first", (), CALLS[first].act), stage, stage.root / "made")
        ended = finish(start(CALLS[first], stage, place), place)
        if ended.status:
            raise RuntimeError(f"the first {first} has failed: {ended.said}")
        for part in ("cache", "results"):
            if (place / part).exists():
                (place / part).rename(stage.root / part)
    (stage.root / "out").mkdir()
    for name in {"grade", "demo"} & set(names):
        finish(start(CALLS[name], stage, stage.root), stage.root)
    shutil.rmtree(stage.root / "tmp", ignore_errors=True)


def _in_child(make: Callable[[Path], None], root: Path) -> None:
    """Do what may start threads in a process of its own: this one forks."""
    if (process := os.fork()) == 0:
        try:
            make(root)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError(f"{make.__name__} has failed")


def _make_course(root: Path) -> None:
    (root / "course" / "data").mkdir(parents=True)
    for name, many in (("train.txt", N_LABELLED), ("test_without_label.txt", N_TEST)):
        rows = (DEMO / name).read_text().splitlines()[: many + 1]
        (root / "course" / name).write_text("\n".join(rows) + "\n")
        for row in rows[1:]:
            for suffix in ("txt", "jpg"):
                file = f"data/{row.split(',')[0]}.{suffix}"
                shutil.copy(DEMO / file, root / "course" / file)


def _make_encoders(root: Path) -> None:
    """A RoBERTa of two tiny layers and timm's smallest ConvNeXt, as their libraries save them."""
    import timm
    import torch
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    text, image = root / "encoders" / "text", root / "encoders" / "image"
    text.mkdir(parents=True)
    lines = [path.read_bytes().decode("utf-8", "replace") for path in sorted((root / "course" / "data").glob("*.txt"))]
    trained, special = ByteLevelBPETokenizer(), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(lines, vocab_size=600, min_frequency=1, special_tokens=special)
    trained.save(str(text / "tokenizer.json"))
    tokenizer = transformers.RobertaTokenizerFast(tokenizer_file=str(text / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    settings = transformers.RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=140, pad_token_id=tokenizer.pad_token_id, **sizes
    )
    transformers.RobertaModel(settings).save_pretrained(text)
    tokenizer.save_pretrained(text)
    timm.models.save_for_hf(timm.create_model("test_convnext"), image)


def _make_class(root: Path) -> None:
    """A key and the prediction files of a few students."""
    draw = random.Random(0)
    labels = ("negative", "neutral", "positive")
    guids = [row.split(",")[0] for row in (root / "course" / "train.txt").read_text().splitlines()[1:]]
    (root / "submissions").mkdir()
    places = [root / "key.txt", *(root / "submissions" / f"student{number}.txt" for number in range(SUBMISSIONS))]
    for place in places:
        place.write_text("guid,tag\n" + "".join(f"{guid},{draw.choice(labels)}\n" for guid in guids))


@contextmanager
def _open_nursery(root: Path) -> Iterator[str | None]:
    """A nursery whose children count their points, too."""
    from mmlab.processes import open_nursery

    (root / "armed").mkdir()
    (root / "armed" / "sitecustomize.py").write_text("from soak.points import arm\n\narm()\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root / "armed"), str(ROOT), before)))
    with open_nursery() as address:
        yield address


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63f80f00010101001bb6ee56"
    "0000000049454e44ae426082"
)
