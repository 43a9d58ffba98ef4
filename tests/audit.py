"""What the packages of the lock bring along: known vulnerabilities, licences that bind, files that have changed.

`make audit` prints it. It asks the package index and the vulnerability database, so no test runs it; a test runs its
parts. Exit status 1: something was found, or could not be looked at.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCK, HASHES = ROOT / "requirements.lock", ROOT / "requirements.hashes.lock"
UV = Path(sys.executable).with_name("uv")
AUDITOR = "pip-audit@2.10.1"  # in an environment of its own, so that the lock does not grow by its twenty packages
# Licences that ask for no more than their notice; the words by which one is known.
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|PSFL|Python Software Foundation|0BSD|Zlib|HPND)\b", re.IGNORECASE)
BINDING = re.compile(r"GPL|MPL|EPL|CDDL|EUPL|Mozilla|Eclipse|Proprietary|Commercial|NC\b", re.IGNORECASE)
_MPL = "asks that changes to its own files stay open; it is used unchanged"
_NVIDIA = "NVIDIA allows its use; only PyPI's torch for Linux brings it"
# Each package whose licence binds, or that names none, and why it may be there.
ACCEPTED = {
    "wordninja": "its repository has the MIT licence, which its wheel does not repeat",
    "certifi": _MPL,
    "fqdn": _MPL,
    "hypothesis": f"{_MPL}, by the tests alone",
    "tqdm": f"{_MPL}, and most of it is MIT",
    "cuda-toolkit": f"it has no files of its own: {_NVIDIA}",
}


def read_pins(lock: Path = LOCK) -> dict[str, str]:
    """The version of each package of a lock, for every Python and system."""
    lines = [line.removesuffix("\\") for line in lock.read_text("utf-8").splitlines() if line[:1].isalnum()]
    return {one.name: str(one.specifier).removeprefix("==") for one in map(Requirement, lines)}


def read_hashes(lock: Path = HASHES) -> dict[str, set[str]]:
    """The hashes of the files of each package; none where it has none."""
    parts = re.split(r"^(?=[a-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE)
    return {part.partition("==")[0]: set(re.findall(r"--hash=(\S+)", part)) for part in parts if part.strip()}


# ---- vulnerabilities


def ask_database(folder: Path) -> str:
    """What pip-audit says of every pin, as JSON; what went wrong where that is nothing."""
    plain = folder / "pins.txt"  # without markers, which would leave out other systems
    plain.write_text("".join(f"{name}=={version}\n" for name, version in read_pins().items()))
    options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--requirement", plain]
    done = subprocess.run([UV, "tool", "run", AUDITOR, *options], capture_output=True, text=True)
    return done.stdout or (done.stderr.strip().splitlines() or ["it said nothing"])[-1]


def judge_vulnerabilities(said: str, count: int) -> Iterator[str]:
    """One line for each vulnerability, and one that says of how many of `count` packages the database knows nothing."""
    try:
        packages = json.loads(said)["dependencies"]
    except ValueError:
        yield f"FAIL  vulnerabilities: none of {count} packages was looked up: {said}"
        return
    for one in packages:
        for found in one.get("vulns", ()):
            fixed = f"mended in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "not mended yet"
            yield f"FAIL  {one['name']} {one['version']}: {found['id']}, {fixed}: make lock LOCK_OPTIONS=--upgrade"
    known = [one["name"] for one in packages if "skip_reason" not in one]
    if len(known) < count:
        yield f"FAIL  vulnerabilities: the database did not answer for {count - len(known)} of {count} packages"
    else:
        yield f"OK    vulnerabilities: {count} packages were looked up"


# ---- licences


def find_licence(package: metadata.PackageMetadata, files: str = "") -> str:
    """The licence that a package names: as an expression, a classifier, a word, or the first line of its file."""
    classified = [one.rpartition(" :: ")[2] for one in package.get_all("Classifier", []) if one.startswith("License")]
    word = (package.get("License") or "").strip()
    word = "" if word == "UNKNOWN" or "\n" in word else word
    first = next((line.strip() for line in files.splitlines() if line.strip()), "")
    return package.get("License-Expression") or ", ".join(classified) or word or first


def judge_licences(pins: dict[str, str]) -> Iterator[str]:
    """One line for each package whose licence binds or is not known, and one for those that are not installed here."""
    absent, permissive = [], 0
    for name in pins:
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        licence = find_licence(package.metadata, package.read_text("LICENSE") or "")
        accepted = ACCEPTED.get(name, _NVIDIA if name.startswith("nvidia-") else None)
        if PERMISSIVE.search(licence) and not BINDING.search(licence):
            permissive += 1
        elif accepted:
            yield f"NOTE  {name}: {licence or 'names no licence'}; {accepted}"
        else:
            yield f"FAIL  {name}: {licence or 'names no licence'}; go without it, or say in tests/audit.py why not"
    if absent:
        yield f"NOTE  licences: {len(absent)} packages are not installed on this system: {', '.join(absent)}"
    yield f"OK    licences: {permissive} of {len(pins)} packages ask for no more than their notice"


# ---- files


def ask_index(folder: Path) -> dict[str, set[str]]:
    """The hashes of the files that the index has today for the pins of the lock."""
    fresh = folder / "fresh.lock"  # uv would keep the hashes of one that is there
    options = ["--universal", "--python-version", "3.11", "--no-deps", "--generate-hashes", "--quiet", "--no-header"]
    subprocess.run([UV, "pip", "compile", LOCK, *options, "--no-annotate", "--output-file", fresh], check=True)
    return read_hashes(fresh)


def judge_files(locked: dict[str, set[str]], served: dict[str, set[str]]) -> Iterator[str]:
    """One line for each package of which the index lacks a file of the lock, or has one that the lock lacks."""
    for name, hashes in locked.items():
        if gone := hashes - served.get(name, set()):
            yield f"FAIL  {name}: the index no longer has {len(gone)} of {len(hashes)} files of the lock"
        if new := served.get(name, set()) - hashes:
            yield f"NOTE  {name}: the index has {len(new)} files that the lock does not know; they are never installed"
    yield f"OK    files: {sum(map(len, locked.values()))} hashes of {len(locked)} packages were compared with the index"


def main() -> int:
    with tempfile.TemporaryDirectory() as root:
        folder, pins = Path(root), read_pins()
        lines = list(judge_vulnerabilities(ask_database(folder), len(pins)))
        lines += [*judge_licences(pins), *judge_files(read_hashes(), ask_index(folder))]
    print("\n".join(lines))
    return int(any(line.startswith("FAIL") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
