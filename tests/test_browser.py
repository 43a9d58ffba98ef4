"""The notebooks in a real JupyterLab: run, clicked through and typed into. Pictures are kept in .screenshots/."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from jupyter_page import CHROMIUM, browse, serve
from PIL import Image
from playwright.sync_api import expect

from mmlab.exercises.copies import start_copies

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / ".screenshots"
LOOKS = [("light", 1400), ("dark", 900)]


expect.set_options(timeout=30_000)

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
    PICTURES.mkdir(exist_ok=True)
    with serve(folder, tmp_path_factory.mktemp("jupyter")) as found:
        yield found


@pytest.fixture
def lab(address):
    with browse(address) as page:
        yield page
        assert page.errors == [] and page.strangers == []


def upload(lab, view, file: Path) -> None:
    with lab.page.expect_file_chooser() as chooser:
        view.get_by_role("button", name="upload a picture").click()
    chooser.value.set_files(file)


def show(lab, view, name: str) -> None:
    """Keep pictures of a view in both themes and at both widths; nothing of it may be cut off at the side."""
    for theme, width in LOOKS:
        lab.look(theme, width)
        view.scroll_into_view_if_needed()
        lab.page.wait_for_timeout(300)
        assert view.evaluate("node => node.scrollWidth - node.clientWidth") <= 1, f"{name} is cut off at {width} px"
        lab.page.screenshot(path=PICTURES / f"{name}_{theme}_{width}.png")
    lab.look(*LOOKS[0])


def test_01_the_browser_of_pairs_is_clicked_through(lab):
    lab.open("01_data_exploration.ipynb")
    lab.run_all()
    assert lab.list_faults() == []
    view = lab.find_view(lab.page.get_by_role("button", name="previous"))
    first = view.locator("img").first.get_attribute("src")
    view.get_by_role("button", name="next").press("Enter")  # with the keyboard alone
    expect(view.locator("img").first).not_to_have_attribute("src", first)
    slider = view.get_by_role("slider")
    second = view.locator("img").first.get_attribute("src")
    slider.press("ArrowRight")
    expect(view.locator("img").first).not_to_have_attribute("src", second)
    view.get_by_label("label").select_option("negative")
    expect(view).to_contain_text("negative")
    show(lab, view, "01_browser")


def test_04_the_playground_answers_what_is_typed_and_uploaded_and_explains(lab, tmp_path):
    lab.open("04_fusion.ipynb")
    lab.run_all()
    assert lab.list_faults() == []
    text = lab.page.get_by_placeholder("Type a tweet")
    view = lab.find_view(text)
    headline = view.locator("b").first
    answers = {}
    for tweet in ("What a wonderful happy day", "This is so sad and terrible"):
        before = headline.inner_text()
        text.fill(tweet)
        expect(headline).not_to_have_text(before)
        answers[tweet] = headline.inner_text()
    picture = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)).save(picture)
    before = view.locator("img").first.get_attribute("src")
    upload(lab, view, picture)
    expect(view.locator("img").first).not_to_have_attribute("src", before)
    expect(headline).not_to_have_text(answers["This is so sad and terrible"])
    view.get_by_role("button", name="explain").press("Enter")
    view.get_by_text("All numbers").wait_for()
    show(lab, view, "04_playground")
    (tmp_path / "fake.jpg").write_bytes(b"%PDF-1.4 no picture")
    upload(lab, view, tmp_path / "fake.jpg")
    view.get_by_text("no picture that can be read").wait_for()
    assert lab.list_faults() == []


def test_06_a_field_of_the_confusion_shows_its_pairs(lab):
    lab.open("06_ablation.ipynb")
    lab.run_all()
    assert lab.list_faults() == []
    fields = lab.page.get_by_role("button", name="as positive")
    view = lab.find_view(fields.first)
    shown = view.locator("img").first.get_attribute("src")
    chosen = [field for field in fields.all() if field.is_enabled()][-1]
    chosen.press("Enter")
    expect(view.locator("img").first).not_to_have_attribute("src", shown)
    show(lab, view, "06_errors")


def test_twin_a_red_output_and_a_stranger_are_noticed(address):
    with browse(address) as lab:
        lab.open("07_report.ipynb")
        lab.page.evaluate(
            "() => { const cell = window.jupyterapp.shell.currentWidget.content.model.sharedModel;"
            " cell.insertCell(0, {cell_type: 'code', source: '1 / 0', metadata: {}}); }"
        )
        lab.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
        lab.command("notebook:run-cell")
        assert lab.list_faults()[0] == "ZeroDivisionError: division by zero"
        lab.page.evaluate("() => fetch('http://example.invalid/').catch(() => null)")
        assert lab.strangers == ["http://example.invalid/"] and lab.errors
