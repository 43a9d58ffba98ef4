"""The notebooks in a real JupyterLab: run, clicked through and typed into. Pictures are kept in .screenshots/."""

import shutil
from pathlib import Path

import pytest
from jupyter_page import CHROMIUM, browse, serve

from mmlab.exercises.copies import start_copies

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / ".screenshots"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A JupyterLab on a student's own copies; with the runs of the notebooks where those were executed before."""
    folder = tmp_path_factory.mktemp("work")
    assert len(list(start_copies(folder))) == 7
    done = ROOT / "results" / "notebooks"
    if (done / "records" / "06_ablation.json").is_file():
        shutil.copytree(done, folder / "results")
    with serve(folder, tmp_path_factory.mktemp("jupyter")) as found:
        yield found


@pytest.fixture
def lab(address):
    PICTURES.mkdir(exist_ok=True)
    with browse(address) as page:
        yield page
        assert not page.errors and not page.strangers


def test_the_browser_of_pairs_steps_and_filters(lab):
    lab.open("01_data_exploration.ipynb")
    lab.run_all()
    assert lab.list_faults() == []
    lab.page.screenshot(path=PICTURES / "01.png")
