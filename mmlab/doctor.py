"""Whether this machine can run the lab: each check says what it found and, where it fails, how to fix it.

`mmlab doctor` prints the checks. Nothing here raises: a check that breaks is a check that fails.
"""

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mmlab.errors import EncoderError
from mmlab.storage import CHECKOUT, cache_folder

OLDEST_PYTHON = (3, 11)
LEAST_FREE = 1.0  # GB; the features of a course take 0.2, a run takes a few MB
SHOWN = 4  # packages of another version that are named
LOCK = CHECKOUT / "requirements.lock"
WEIGHTS = {"minilm": 91, "efficientnet_lite0": 18}  # MB at least: a full disk leaves shorter files

_PIP_INSTALL = f'"{sys.executable}" -m pip install'
_INSTALL_FONT = "sudo apt install fonts-noto-cjk (Fedora: sudo dnf install google-noto-sans-cjk-fonts)"
_Found = tuple[str, str]  # what is there; what to do, empty when it is as it should be


@dataclass(frozen=True)
class Check:
    """One check. `found` describes what is there; `fix` says what to do, and is empty when `ok`."""

    name: str
    found: str
    fix: str

    @property
    def ok(self) -> bool:
        return not self.fix


def run_checks() -> list[Check]:
    """One Check each of Python, packages, torch and torchvision, device, engine, weights, kernel, cache, disk, machine.

    Two more say which font and which program figures and reports use; the lab works without them.
    Never raises. Importing torch and torchvision takes most of the time, some seconds.
    """
    return [_run_check(name, look) for name, look in _CHECKS.items()]


def _run_check(name: str, look) -> Check:
    try:
        return Check(name, *look())
    except Exception as error:  # a package may be broken in any way; the other checks still help
        return Check(name, f"{type(error).__name__}: {_first_line(error)}", f"Run {_reinstall()}")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def _reinstall() -> str:
    return f'{_PIP_INSTALL} -r "{LOCK}"' if LOCK.is_file() else f"{_PIP_INSTALL} --upgrade mmlab"


def _install_again(*packages: str) -> str:
    """The command that installs these packages again, at the versions of the lock if there is one."""
    lock = _read_lock()
    locked = " ".join(f"{name}{lock.get(name, '')}" for name in packages)
    return f"{_PIP_INSTALL} --force-reinstall --no-deps {locked}"


def _read_lock() -> dict[str, str]:
    """The version of each package that this machine needs, as "==1.0"; empty without a lock."""
    from packaging.requirements import Requirement

    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.is_file() else []
    wanted = map(Requirement, filter(str.strip, lines))
    return {one.name: str(one.specifier) for one in wanted if one.marker is None or one.marker.evaluate()}


def _version(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)


def _look_at_python() -> _Found:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    fix = f"Install Python {oldest} or newer, then run: make clean report PYTHON=/path/to/python"
    return f"{platform.python_version()} at {sys.executable}", fix if sys.version_info[:2] < OLDEST_PYTHON else ""


def _look_at_packages() -> _Found:
    from packaging.specifiers import SpecifierSet

    if not LOCK.is_file():
        return "not compared, because requirements.lock is missing: mmlab was installed without a checkout", ""
    wanted, differing = _read_lock(), []
    for package, specifier in wanted.items():
        version = _version(package)
        if version is None:
            differing.append(f"{package} is missing")
        elif not SpecifierSet(specifier).contains(version, prereleases=True):
            differing.append(f"{package} is {version}, not {specifier.removeprefix('==')}")
    if not differing:
        return f"all {len(wanted)} packages have the versions of requirements.lock", ""
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join(differing[:SHOWN]) + more, _reinstall()


def _look_at_torch_pair() -> _Found:
    versions = " and ".join(f"{name} {_version(name) or '(missing)'}" for name in ("torch", "torchvision"))
    try:
        import torch
        import torchvision

        corners = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
        kept = torchvision.ops.nms(corners, torch.tensor([0.9, 0.8, 0.7]), 0.5)
        if kept.tolist() != [0, 2]:
            raise RuntimeError(f"torchvision.ops.nms returned {kept.tolist()}, not [0, 2]")
    except Exception as error:
        fix = "Install both with one command from one index (`pip config list` shows settings that separate them): "
        found = f"{versions} do not work together: {_first_line(error)}"
        return found, fix + _install_again("torch", "torchvision")
    return f"{versions} work together", ""


def _look_at_device() -> _Found:
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch only warns about an old driver, and uses the CPU
        warnings.simplefilter("always")
        device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        if hidden or not Path("/proc/driver/nvidia/version").exists():
            return f"CPU, {torch.get_num_threads()} threads (no GPU is needed)", ""
        reason = _first_line(caught[0].message) if caught else f"torch {torch.__version__} finds no device"
        fix = f"Install a driver for CUDA {torch.version.cuda}" if torch.version.cuda else "Install torch with CUDA"
        fix += ", or set CUDA_VISIBLE_DEVICES= (empty) to use the CPU on purpose"
        return f"CPU, although an NVIDIA driver is installed: {reason}", fix
    try:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        ones = torch.ones(64, 64, device=device)
        if not torch.equal((ones @ ones).cpu(), torch.full((64, 64), 64.0)):
            raise RuntimeError("a matrix product has a wrong result")
    except Exception as error:
        found = f"{device} is available but does not work: {_first_line(error)}"
        return found, "Update the driver, or set CUDA_VISIBLE_DEVICES= (empty) to use the CPU"
    return f"{name}, tested with a matrix product", ""


def _look_at_engine() -> _Found:
    from mmlab.device import find_device, find_precision
    from mmlab.engine import find_engine, network_folder

    device, precision = find_device().type, find_precision()
    if find_engine(network_folder("any")) == "openvino":
        return f"OpenVINO {_version('openvino')} runs frozen encoders on this CPU, in {precision}", ""
    slow = device == "cpu"  # OpenVINO is missing
    fix = f"For faster encoding, run {_install_again('openvino')}" if slow else ""
    return f"torch runs frozen encoders, on {device} in {precision}", fix


def _look_at_weights() -> _Found:
    from mmlab.encoders import IMAGE_ENCODERS, TEXT_ENCODERS, find_image_encoder, find_text_encoder

    for name, least in WEIGHTS.items():
        package = (TEXT_ENCODERS | IMAGE_ENCODERS)[name].package
        try:
            path = Path((find_text_encoder if name in TEXT_ENCODERS else find_image_encoder)(name).source)
        except EncoderError:
            return f"the package {package} is missing or incomplete", _install_again(package)
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        if size < least * 1e6:
            return f"{path} has {size:,} bytes; it should have at least {least} MB", _install_again(package)
    return f"{' and '.join(WEIGHTS)} are installed; they need no network", ""


def _look_at_kernel() -> _Found:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return "Jupyter finds no kernel python3", f"{_PIP_INSTALL} ipykernel"
    own = ("python", "python3", "python{}.{}".format(*sys.version_info))  # Jupyter runs its own interpreter for these
    if program not in own and os.path.abspath(program) != os.path.abspath(sys.executable):
        fix = f'"{sys.executable}" -m ipykernel install --sys-prefix --name python3 (compare: jupyter kernelspec list)'
        return f"the kernel python3 runs {program}, not {sys.executable}", fix
    if importlib.util.find_spec("ipykernel") is None:
        return "ipykernel is missing", f"{_PIP_INSTALL} ipykernel"
    return "python3 runs this Python", ""


def _look_at_cache() -> _Found:
    try:
        folder = cache_folder()
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"mmlab")
    except OSError as error:
        found = f"{error.filename or 'the cache folder'}: {error.strerror or error}"
        return found, "Set MMLAB_CACHE to a folder that you can write to"
    return f"{folder} is writable", ""


def _look_at_disk() -> _Found:
    found = []
    for what, folder, fix in (
        ("the cache", cache_folder(), "Free some space, or set MMLAB_CACHE to a folder on another disk"),
        ("this folder", Path.cwd(), "Free some space, or write the results to another disk: mmlab run --results PATH"),
    ):
        free = shutil.disk_usage(folder).free / 1e9
        if free < LEAST_FREE:
            return f"{free:.1f} GB free for {what} ({folder}); {LEAST_FREE:g} GB are needed", fix
        found.append(f"{free:.0f} GB free for {what}")
    return ", ".join(found), ""


def _look_at_font() -> _Found:
    from mmlab.plots import find_cjk_font

    if font := find_cjk_font():
        return f"{font} draws Chinese and Japanese letters in figures", ""
    return f"figures show □ for Chinese and Japanese letters; a font for them: {_INSTALL_FONT}", ""


def _look_at_pdf() -> _Found:
    from mmlab.report import find_browser

    if browser := find_browser():
        return f"{browser} prints reports", ""
    if version := _version("typst"):
        return f"typst {version} sets reports; Chromium, which is not installed, would print the page as it is", ""
    return f"reports are pages of HTML alone; for a PDF, install Chromium or run {_PIP_INSTALL} typst", ""


def _look_at_machine() -> _Found:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    return f"{platform.system()} {platform.machine()}, {cores} cores{memory}", ""


_CHECKS = {
    "Python": _look_at_python,
    "packages": _look_at_packages,
    "torch and torchvision": _look_at_torch_pair,
    "device": _look_at_device,
    "engine": _look_at_engine,
    "encoder weights": _look_at_weights,
    "kernel": _look_at_kernel,
    "cache folder": _look_at_cache,
    "disk": _look_at_disk,
    "font": _look_at_font,
    "PDF": _look_at_pdf,
    "machine": _look_at_machine,
}
