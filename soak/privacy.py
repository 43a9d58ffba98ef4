"""Whether the lab keeps to itself: its main job without a network, under a tracer, on tweets with words of their own.

Each command runs in a network namespace that holds loopback alone, and `strace` notes every address that the command
and its children connect to, send to or listen on. An attempt counts, whether or not a network would have answered.
Afterwards the words of the tweets are searched in what was printed and in all that was written outside the results.
Needs Linux with strace, unshare and ip.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
TABLES = {"train.txt": 60, "test_without_label.txt": 12}  # pairs of the demo that a course of words takes
TOOLS = ("strace", "unshare", "ip")
# Users who are not root get a namespace of their own, in which they may bring loopback up.
NAMESPACE = ("unshare", "--net", *([] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"]))
LOOPBACK_UP = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh")
CALLS = ("connect", "bind", "sendto", "sendmsg", "sendmmsg")
INSIDE = ("AF_UNIX", "AF_NETLINK", "AF_UNSPEC")  # families of addresses that do not leave the machine
LOOPBACK = re.compile(r"127\.|::1$|::ffff:127\.")
NAME_SERVICE = 53  # also on loopback: a resolver there asks others
_CALL = re.compile(rf"\b({'|'.join(CALLS)})\(")
_FAMILY = re.compile(r"sa_family=(\w+)")
_ADDRESS = re.compile(r"port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")


@dataclass(frozen=True)
class Traced:
    """A command that has ended: its exit status, what it printed, and each call to an address beyond this machine."""

    status: int
    printed: str
    beyond: list[str]


def find_missing() -> str:
    """Why nothing can be traced here; empty where it can."""
    if absent := [name for name in TOOLS if shutil.which(name) is None]:
        return f"missing: {', '.join(absent)}"
    tried = subprocess.run([*NAMESPACE, *LOOPBACK_UP, "strace", "-f", "-qq", "true"], capture_output=True, text=True)
    return (tried.stderr.strip().splitlines() or ["refused"])[-1] if tried.returncode else ""


def trace(command: Sequence[Any], env: dict[str, str], folder: Path) -> Traced:
    """Run a command without a network and under the tracer, in a folder that keeps the notes of the tracer."""
    notes = folder / "calls.strace"
    tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "0", "-e", f"trace={','.join(CALLS)}", "-e", "signal=none"]
    whole = [*NAMESPACE, *LOOPBACK_UP, *tracer, "-o", notes, *command]
    done = subprocess.run(list(map(str, whole)), env=env, cwd=folder, capture_output=True, text=True, errors="replace")
    with notes.open(errors="replace") as lines:
        return Traced(done.returncode, done.stdout + done.stderr, sorted(set(find_beyond(lines))))


def find_beyond(lines: Iterable[str]) -> Iterator[str]:
    """Each call in the tracer's notes whose address is not on this machine, or is a name service."""
    for line in lines:
        call, family = _CALL.search(line), _FAMILY.search(line)
        if not call or not family or family[1] in INSIDE:
            continue
        if not (found := _ADDRESS.search(line)):
            yield f"{call[1]} {family[1]}"
        elif not LOOPBACK.match(found[2]) or int(found[1]) == NAME_SERVICE:
            yield f"{call[1]} {found[2]} port {found[1]}"


def make_course(folder: Path, word: str) -> Path:
    """A piece of the demo, each text of which holds this word and a number."""
    (folder / "data").mkdir(parents=True)
    for name, count in TABLES.items():
        rows = (DEMO / name).read_text().splitlines()[: count + 1]
        (folder / name).write_text("\n".join(rows) + "\n")
        for guid in (row.partition(",")[0] for row in rows[1:]):
            text = (DEMO / "data" / f"{guid}.txt").read_bytes()
            (folder / "data" / f"{guid}.txt").write_bytes(f"{word}{guid} ".encode() + text)
            shutil.copy(DEMO / "data" / f"{guid}.jpg", folder / "data")
    return folder


def make_private(folder: Path) -> dict[str, str]:
    """An environment in which a command writes nothing outside this folder: home, cache and temporary files."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MMLAB_", "XDG_", "JUPYTER_"))}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in ("HOME", "TMPDIR"):
        (folder / name.lower()).mkdir(parents=True, exist_ok=True)
        env[name] = str(folder / name.lower())
    return env | {"PYTHONPATH": str(DEMO.parents[1]), "OMP_NUM_THREADS": "1"}


def find_word(word: str, folder: Path, allowed: Sequence[Path]) -> list[str]:
    """Files below a folder, but not below an allowed one, that hold the word in their name or as bytes."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(path.is_relative_to(one) for one in allowed)
        and (word in path.name or word.encode() in path.read_bytes())
    ]


def list_steps(course: Path, results: Path) -> dict[str, list[Any]]:
    """The main job: the arguments of `mmlab` for each of its commands, in order."""
    handed_in, grades = results.parent / "handed_in", results.parent / "grades"
    key = course / "train.txt"  # a submission is a file of guid,tag; labels of pairs that were labelled do as well
    handed_in.mkdir()
    shutil.copy(key, handed_in / "one.txt")
    return {
        "check": ["check", course],
        "run": ["run", "--data", course, "--results", results, "--folds", 2, "--seeds", 1],
        "report": ["report", "--results", results],
        "verify": ["verify", results / "test_result.txt", "--data", course],
        "ask": ["ask", results, "A question of its own", "--explain"],
        "grade": ["grade", handed_in, "--labels", key, "--out", grades],
        "doctor": ["doctor"],
    }


def run(count: int = 1, seed: int = 0, workers: int = 1) -> dict[str, Any]:
    """Do the main job `count` times, each time with another word; workers: not used, since a job uses all cores.

    Of each command: its exit statuses, its longest seconds, calls beyond the machine, and where the word was found: in
    what it printed, or in files that are neither results nor the course. outcomes: how many of each there were.
    """
    if missing := find_missing():
        return {"seed": seed, "outcomes": {}, "skipped": missing}
    commands: dict[str, Any] = {}
    for number in range(count):
        word = "q" + "".join(random.Random(f"{seed} {number}").choices("bcdfghjklmnpqrstvwxz", k=12))
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            course, results, env = make_course(folder / "course", word), folder / "results", make_private(folder)
            for name, arguments in list_steps(course, results).items():
                began = time.perf_counter()
                traced = trace([sys.executable, "-m", "mmlab.cli", *arguments], env, folder)
                leaks = find_word(word, folder, [course, results])
                row = commands.setdefault(name, {"status": [], "seconds": 0.0, "beyond": [], "word_in": []})
                row["status"].append(traced.status)
                row["seconds"] = max(row["seconds"], round(time.perf_counter() - began, 1))
                row["beyond"] += traced.beyond
                row["word_in"] += leaks + ["what it printed"] * (word in traced.printed)
    rows = commands.values()
    outcomes = {
        "commands": sum(len(row["status"]) for row in rows),
        "failed": sum(status != 0 for row in rows for status in row["status"]),
        "calls beyond the machine": sum(len(row["beyond"]) for row in rows),
        "places with a word of a tweet": sum(len(row["word_in"]) for row in rows),
    }
    return {"seed": seed, "outcomes": outcomes, "by_command": commands}
