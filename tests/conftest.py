"""Where tests find the data: the committed demo, and the real course where its folder is present."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return ROOT / "data" / "demo"


@pytest.fixture(scope="session")
def course_folder() -> Path:
    folder = Path(os.environ.get("MMLAB_COURSE", ROOT.parent / "shared" / "course"))
    if not (folder / "train.txt").is_file():
        pytest.skip("the course data is not here: set MMLAB_COURSE to its folder")
    return folder
