"""Files that lie: one file of a finished course is damaged, and then read by all that reads it.

A small course is trained, reported, exported and cached once. A trial flips bits in one of its files, cuts it, fills it
with zeros, lets it grow, exchanges it for another one, deletes it, puts a pickle that would run code in its place, or
changes the type of a value in it; then it asks, reports, predicts, exports, encodes, loads or trains, and compares what
comes back with what the sound file gives.
"""

import contextlib
import io
import json
import os
import pickle
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mmlab.errors import MmlabError
from soak.finished import AREAS, World, make_world

GOOD = ("refused by name", "named and left out", "rebuilt", "another name", "harmless")
BAD = ("silently wrong", "refused without a name", "foreign exception", "code ran")


@dataclass(frozen=True)
class Trial:
    """One damaged file. why: the message of an error, or what differs."""

    area: str
    kind: str
    file: str
    seed: int
    outcome: str
    why: str
    seconds: float


def run(count: int = 4000, seed: int = 0, workers: int = 1) -> dict[str, Any]:
    """Damage `count` files, drawn by seed from all areas and kinds alike.

    Returns counts by outcome, by area and by kind, the worst seconds, and each trial that went wrong with the seed that
    makes it again: `try_file(world, area, seed)`.
    """
    jobs = [(list(AREAS)[number % len(AREAS)], seed * 1_000_000 + number) for number in range(count)]
    shares = [jobs[start::workers] for start in range(workers)]
    if workers == 1:
        trials = _try_all(jobs)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            trials = [trial for found in pool.map(_try_all, shares) for trial in found]
    return tabulate(trials) | {"count": count, "seed": seed}


def tabulate(trials: list[Trial]) -> dict[str, Any]:
    tables: dict[str, Any] = {"outcomes": dict(Counter(trial.outcome for trial in trials))}
    for name in ("area", "kind"):
        rows: dict[str, Counter] = defaultdict(Counter)
        for trial in trials:
            rows[getattr(trial, name)][trial.outcome] += 1
        tables[f"by {name}"] = {row: dict(counts) for row, counts in sorted(rows.items())}
    tables["worst seconds"] = round(max((trial.seconds for trial in trials), default=0.0), 2)
    tables["wrong"] = [vars(trial) for trial in trials if trial.outcome in BAD]
    return tables


def _try_all(jobs: list[tuple[str, int]]) -> list[Trial]:
    with finished_world() as world:
        return [try_file(world, area, seed) for area, seed in jobs]


@contextlib.contextmanager
def finished_world() -> Iterator[World]:
    """A finished course in a folder of its own, with a cache of its own."""
    before = {name: os.environ.get(name) for name in ("MMLAB_CACHE", "HF_HUB_CACHE")}
    with tempfile.TemporaryDirectory(prefix="mmlab-flips-") as folder:
        os.environ["MMLAB_CACHE"] = str(Path(folder, "cache"))
        os.environ["HF_HUB_CACHE"] = str(Path(folder, "hub"))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                world = make_world(Path(folder))
            yield world
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


# ---- the kinds of damage: each takes the bytes, another file's bytes and random numbers, and gives other bytes


def _place(size: int, draw: random.Random) -> int:
    """Of a byte: in the first ones, in the head, anywhere, or in the last ones."""
    low, high = draw.choice([(0, 16), (0, max(1, size // 10)), (0, size), (max(0, size - 64), size)])
    return draw.randrange(low, max(low + 1, min(high, size)))


def flip_bit(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    place = _place(len(raw), draw)
    return raw[:place] + bytes([raw[place] ^ 1 << draw.randrange(8)]) + raw[place + 1 :]


def flip_many(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    for _ in range(8):
        raw = flip_bit(raw, other, draw)
    return raw


def truncate(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    return raw[: _place(len(raw), draw)]


def zero(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    place = _place(len(raw), draw)
    size = min(draw.choice([1, 16, 512, 4096]), len(raw) - place)
    return raw[:place] + bytes(size) + raw[place + size :]


def grow(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    return raw + draw.choice([b"\0", b"\n", b" {}", raw[-100:], raw, draw.randbytes(1000)])


def swap(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    return other


def overwrite(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(len(raw))


class _Code:
    def __init__(self, marker: str):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def change_type(raw: bytes, other: bytes, draw: random.Random) -> bytes:
    """JSON of which one value has another type; where it holds a digest of itself, that is made to fit."""
    from mmlab.storage import SEAL, seal_json

    record = json.loads(raw)
    sealed = record.pop(SEAL, None) is not None
    inside, key = draw.choice(_list_values(record))
    inside[key] = draw.choice(
        [one for one in ("a", 3, 0.5, None, [], {}, [1], True) if type(one) is not type(inside[key])]
    )
    return (seal_json(record) if sealed else json.dumps(record)).encode()


def _list_values(inside: Any) -> list[tuple[Any, Any]]:
    items = inside.items() if isinstance(inside, dict) else enumerate(inside) if isinstance(inside, list) else ()
    return [place for key, value in items for place in [(inside, key), *_list_values(value)]]


KINDS: dict[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "a bit": flip_bit, "a bit, times kept": flip_bit, "eight bits": flip_many, "cut": truncate, "zeros": zero,
    "grown": grow, "swapped": swap, "random bytes": overwrite,
}  # fmt: skip
DELETED, PICKLE, TYPE = "deleted", "a pickle", "another type"


# ---- one trial


def try_file(world: World, name: str, seed: int, kind: str = "") -> Trial:
    """Damage one file of an area and read it; the world is sound again afterwards. kind: drawn, unless it is given."""
    draw, area = random.Random(f"{name} {seed}"), AREAS[name]
    files = area.list_files(world)
    file = draw.choice(files)
    kinds = [one for one in (*KINDS, DELETED, PICKLE) if one not in area.unfit]
    kind = kind or draw.choice([*kinds, TYPE] if area.typed and file.suffix == ".json" else kinds)
    marker = world.folder / "marker"
    before, times = file.read_bytes(), file.stat()
    alike = [one for one in files if one.suffix == file.suffix and one.read_bytes() != before]
    if kind == DELETED:
        file.unlink()
    elif kind == PICKLE:
        file.write_bytes(pickle.dumps(_Code(str(marker)), protocol=2))
    else:
        other = draw.choice(alike).read_bytes() if alike else before[::-1]
        file.write_bytes((change_type if kind == TYPE else KINDS[kind])(before, other, draw))
        if "times kept" in kind:
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    damaged = file.read_bytes() if file.exists() else None
    started = time.perf_counter()
    outcome, why = _judge(world, name, file, before, damaged)
    seconds = time.perf_counter() - started
    if marker.exists():
        outcome, why = "code ran", kind
        marker.rmdir()
    world.restore()
    return Trial(name, kind, file.relative_to(world.folder).as_posix(), seed, outcome, why[:300], round(seconds, 2))


def _judge(world: World, name: str, file: Path, sound: bytes, damaged: bytes | None) -> tuple[str, str]:
    area, expected = AREAS[name], world.expected[name]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = area.read(world)
    except MmlabError as error:
        clear = _names(str(error), file, area.name) and "\n" not in str(error)
        return "refused by name" if clear else "refused without a name", str(error)
    except Exception as error:
        return "foreign exception", f"{type(error).__name__}: {error}"
    if found == expected:
        now = file.read_bytes() if file.exists() else None
        return ("harmless", "") if now == damaged and damaged != sound else ("rebuilt", "")
    if isinstance(found, dict) and "noticed" in found:  # what is left must be as it was
        named = any(_names(line, file, area.name) for line in found["noticed"])
        known = expected | {"noticed": found["noticed"]}
        rest = all(one is None or one == known.get(key) for key, one in found.items())
        return ("named and left out", "") if named and rest else ("silently wrong", _differ(found, expected))
    if isinstance(found, dict) and "identity" in found and found["identity"] != expected["identity"]:
        return "another name", ""
    return "silently wrong", _differ(found, expected)


def _names(message: str, file: Path, name: str) -> bool:
    """Whether a message names a file, or the folder that is read as one: a run, an encoder."""
    return any(part in message for part in filter(None, (file.name, file.stem, file.parent.name, name)))


def _differ(found: Any, expected: Any) -> str:
    if not isinstance(found, dict):
        return f"{str(found)[:100]} where {str(expected)[:100]} was expected"
    keys = [key for key in expected if found.get(key) != expected[key]]
    return f"{', '.join(keys)}: {str([found.get(key) for key in keys])[:200]}"
