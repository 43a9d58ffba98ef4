"""Where tests find the data (the committed demo, the real course where it is present), and how figures are tested."""

import os
import shutil
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parents[1]

# Property tests draw the same examples everywhere; `python -m soak properties` sets the variables and draws others.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".pytest_cache" / "hypothesis"))
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
_ANY_SPEED = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": _PHASES}
settings.register_profile("tests", max_examples=60, derandomize=True, database=None, **_ANY_SPEED)
settings.register_profile("soak", max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "2000")), **_ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return ROOT / "data" / "demo"


@pytest.fixture(scope="session")
def course_folder() -> Path:
    folder = Path(os.environ.get("MMLAB_COURSE", ROOT.parent / "shared" / "course"))
    if not (folder / "train.txt").is_file():
        pytest.skip("the course data is not here: set MMLAB_COURSE to its folder")
    return folder


@pytest.fixture
def clean_figures():
    import matplotlib.pyplot as plt

    with plt.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing letter or a squeezed layout is a fault
        yield
        plt.close("all")


@pytest.fixture
def picture(tmp_path) -> Path:
    from PIL import Image

    path = tmp_path / "one.jpg"
    Image.new("RGB", (80, 40), (200, 30, 30)).save(path)
    return path


@pytest.fixture
def cache(tmp_path_factory, monkeypatch) -> Path:
    """A cache of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMLAB_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    from courses import make_folder

    return make_folder(tmp_path_factory.mktemp("pristine") / "course")


@pytest.fixture
def folder(pristine, tmp_path, cache) -> Path:
    """A sound course folder that a test may spoil."""
    return Path(shutil.copytree(pristine, tmp_path / "course"))


@pytest.fixture
def sound(pristine, cache):
    from mmlab.course import read_course

    return read_course(pristine)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, demo_folder) -> Path:
    """The results folder of a whole small workbook, with its report. Not to be changed: `copied` is."""
    from reports import SMALL

    from mmlab.report.build import rebuild_report
    from mmlab.workbook import run_workbook

    results = tmp_path_factory.mktemp("report") / "results"
    run_workbook(demo_folder, results, SMALL)
    rebuild_report(results)
    return results


@pytest.fixture
def copied(finished, tmp_path, monkeypatch, picture) -> Path:
    """Like the finished folder, to be damaged: runs and records. Figures are not drawn out, which takes longest."""
    from reports import draw_nothing

    draw_nothing(monkeypatch, picture)
    for name in ("runs", "records", "grid"):
        shutil.copytree(finished / name, tmp_path / "results" / name)
    return tmp_path / "results"
