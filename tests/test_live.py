"""What `mmlab run` shows while it runs."""

import sys

import pytest
from streams import Stream

from mmlab.cli import live
from mmlab.cli.live import LiveLine, describe
from mmlab.workbook import Underway

PARTS = [Underway("encoding", 120, 800, 4.2), Underway("02_text_only", 3, 14, 2.0)]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_is_drawn_again_on_a_terminal_and_a_log_has_few(terminal, monkeypatch):
    stream = Stream(terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    line = LiveLine("seven notebooks on data/demo", 12.0)
    line.on_start(250)
    for _ in range(5):
        line.on_wait(PARTS)
    line.on_done("02_text_only", 9.87, 1, 7)
    line.close()
    said = stream.getvalue()
    assert "seven notebooks on data/demo, about 4 min on two cores\n" in said and "12 times as long" in said
    assert "[1/7] 02_text_only" in said and "9.9 s\n" in said
    assert said.count("encoding 120/800 (4 s)") == (5 if terminal else 0)
    assert said.count("\n") == 3 and ("\033" in said) == terminal
    assert all(len(part.removeprefix("\033[K")) < 60 for part in said.split("\r") if "encoding" in part)


def test_a_log_has_a_line_when_nothing_was_said_for_a_while(monkeypatch):
    stream = Stream(False)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(live, "LOG_SECONDS", 0)
    line = LiveLine("02_text_only on data/demo", 1.0)
    line.on_start(None)
    line.on_wait(PARTS)
    line.on_wait([])
    said = stream.getvalue()
    assert "about" not in said and "times as long" not in said
    assert said.count("02_text_only 3/14 (2 s)") == 1


def test_a_length_of_time_is_told_in_words():
    assert [describe(one) for one in (4.4, 89, 91, 250)] == ["4 s", "89 s", "2 min", "4 min"]
