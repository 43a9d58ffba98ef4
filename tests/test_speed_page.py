"""The tables of the documentation are those of the files that the benchmarks wrote; it names every benchmark."""

import copy
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
TEXT = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("speed.md", "encoders.md"))


@pytest.fixture
def page(monkeypatch):
    """benchmarks/page.py as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)  # it imports its neighbour
    spec = importlib.util.spec_from_file_location("speed_page", BENCHMARKS / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_made_of_the_results(page):
    assert page.fill_page(TEXT, page.read_results()) == TEXT


def test_every_result_has_a_table(page):
    blocks = [name for _, name, _ in page.BLOCK.findall(TEXT)]
    assert all(any(file == name or file.startswith(f"{name}_") for name in blocks) for file in page.read_results())


def test_twin_a_changed_number_is_noticed(page):
    for name, result in page.read_results().items():
        for row, values in enumerate(result["rows"]):
            for column in (column for column, value in values.items() if isinstance(value, float)):
                changed = copy.deepcopy(page.read_results())
                changed[name]["rows"][row][column] *= 1.5
                assert page.fill_page(TEXT, changed) != TEXT


def test_the_page_names_every_benchmark():
    assert [file.name for file in sorted(BENCHMARKS.glob("*.py")) if f"benchmarks/{file.name}" not in TEXT] == []


def test_ratios_say_how_many_times_better_the_second_side_is(page):
    assert page.find_ratio({"unit": "s", "before": 6.0, "after": 2.0}) == {"ratio": 3}
    assert page.find_ratio({"unit": "per second", "before": 2.0, "after": 6.0}) == {"ratio": 3}
    assert page.find_ratio({"unit": "out-of-fold accuracy", "before": 0.7, "after": 0.7}) == {}


@pytest.mark.usefixtures("clean_figures")
def test_the_picture_is_of_the_longest_run_with_both_sides_on_one_axis(page):
    def parts(*rows):
        return [dict(zip(("name", "ready", "start", "end"), row, strict=True)) for row in rows]

    before = {"seconds": 30.0, "parts": parts(("01", 2, 2, 9), ("02", 2, 2, 28))}
    after = {"seconds": 12.0, "parts": parts(("encoding", 1, 1, 5), ("02", 1, 2, 11))}
    runs = {"workbook_a": {"timelines": {"before": {"seconds": 3.0, "parts": []}}}, "heads": {}}
    runs["workbook_b"] = {"timelines": {"before": before, "after": after}}
    panels = page.draw_timelines(page.find_timelines(runs)).axes
    assert [len(panel.get_yticks()) for panel in panels] == [2, 2]
    assert len({panel.get_xlim() for panel in panels}) == 1 and panels[0].get_xlim()[1] > 30
    assert ["30 s" in panels[0].get_title("left"), "12 s" in panels[1].get_title("left")] == [True, True]
    assert "(speed.png)" in page.fill_page("<!-- picture -->\n<!-- end -->", runs)
    assert "(speed.png)" not in page.fill_page("<!-- picture -->\n<!-- end -->", {})
