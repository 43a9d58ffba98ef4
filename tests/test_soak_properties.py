"""The long search over property tests counts what holds and names what fails."""

import pytest

from mmlab.errors import RunError
from soak.properties import try_properties

TESTS = """
from hypothesis import given, settings, strategies as st

settings.register_profile("soak", max_examples=200)
settings.load_profile("soak")

@given(st.integers())
def test_holds(number):
    assert number + 1 > number

@given(st.integers())
def test_fails(number):
    assert number < 77
"""


def test_what_holds_is_counted_and_what_fails_is_named_with_its_example(tmp_path):
    (tmp_path / "test_two.py").write_text(TESTS)
    found = try_properties([tmp_path / "test_two.py"], 200, seed=1, workers=1)
    assert found["outcomes"] == {"holds": 1, "fails": 1}
    (name,) = found["failures"]
    assert name.endswith("test_fails") and "number=77" in found["failures"][name]
    assert found["worst"]["seconds"] >= 0 and found["worst"]["MiB"] > 0


def test_files_that_cannot_be_tried_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(RunError, match="did not run"):
        try_properties([tmp_path / "test_two.py"], 1, seed=0, workers=1)
