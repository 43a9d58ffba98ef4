"""Where a run's numbers come from: data, split, encoders, code, packages, machine."""

import importlib.metadata
import platform
import subprocess
from functools import cache
from typing import Any

from mmlab.course import Course
from mmlab.features import Features
from mmlab.freshness import code_digest, place_of
from mmlab.storage import CHECKOUT

_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy", "transformers", "timm", "torchvision", "pillow")


def provenance(course: Course, features: Features | None, code: tuple[Any, ...], device: str = "cpu") -> dict[str, Any]:
    """Where a run's numbers come from: data, split, encoders, code, packages, machine."""
    return {
        "data_fingerprint": course.fingerprint,
        "split_hash": course.split_hash,
        "n_labelled": int(len(course.labels)),
        "n_test": int(len(course.test)),
        "encoders": features.digest if features is not None else None,
        "code": code_digest(*code),
        "code_of": [place_of(one) for one in code],
        "commit": _git_commit(),
        "python": platform.python_version(),
        "packages": _package_versions(),
        "device": device,
    }


@cache
def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@cache
def _git_commit() -> str | None:
    """The commit of the checkout that holds the package, with + when files differ from it; None outside a checkout."""
    here = CHECKOUT
    if not (here / ".git").exists():
        return None
    try:
        call = {"cwd": here, "capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **call).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--", "mmlab"], **call).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
