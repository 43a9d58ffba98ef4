"""A bar that is seen while it runs, and leaves nothing behind where output is kept."""

import sys
import threading
import time

import nbformat
import pytest
from filelock import FileLock
from nbclient import NotebookClient
from streams import Stream

from mmlab.progress import model_bar, open_bar
from mmlab.storage import one_at_a_time

CELL = """
import time
from mmlab.progress import open_bar
print("before")
with open_bar(3, "encode text", "pair") as bar:
    for _ in range(3):
        time.sleep(0.6)
        bar.update(1)
print("after")
"""


WAITING = """
import threading, time
from pathlib import Path
from filelock import FileLock
from mmlab.storage import one_at_a_time
taken = threading.Event()
def hold():
    with FileLock("{lock}"):
        taken.set()
        time.sleep(1)
threading.Thread(target=hold).start()
taken.wait()
with one_at_a_time(Path("{lock}"), "Another process is encoding"):
    print("held")
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_appears_on_a_terminal_and_not_in_a_log(terminal, monkeypatch):
    stream = Stream(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with open_bar(2, "encode text", "pair") as bar:
        bar.update(2)
    assert ("encode text: 100%" in stream.getvalue()) == terminal
    assert terminal or not stream.getvalue()


def test_the_bar_of_models_appears_with_the_first_one(monkeypatch):
    stream = Stream(True)
    monkeypatch.setattr(sys, "stderr", stream)
    with model_bar("fusion"):
        pass
    assert not stream.getvalue()
    with model_bar("fusion") as tick:
        tick(1, 2)
        tick(2, 2)
    assert "fusion" in stream.getvalue() and "2/2" in stream.getvalue()


def run_watched(cell: str):
    """A notebook of this cell, executed, and all that it showed meanwhile: kind and content of each message."""
    shown = []

    class Watched(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data", "stream"):
                shown.append((msg["msg_type"], str(msg["content"])))
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    Watched(notebook, kernel_name="python3", timeout=120).execute()
    return notebook, shown


def test_waiting_for_another_process_is_shown_in_a_notebook_and_not_saved(tmp_path):
    notebook, shown = run_watched(WAITING.format(lock=tmp_path / "lock"))
    assert any("Another process is encoding" in content for _, content in shown)  # the twin
    saved = str(notebook.cells[0].outputs)
    assert "held" in saved and "Another process" not in saved


def test_waiting_for_another_process_is_one_line_on_a_terminal_and_in_a_log(tmp_path, capsys):
    taken = threading.Event()

    def hold():
        with FileLock(tmp_path / "lock"):
            taken.set()
            time.sleep(0.5)

    threading.Thread(target=hold).start()
    taken.wait()
    with one_at_a_time(tmp_path / "lock", "Another process is encoding"):
        pass
    assert capsys.readouterr().err == "Another process is encoding\n"
    with one_at_a_time(tmp_path / "lock", "Another process is encoding"):
        pass
    assert not capsys.readouterr().err  # the twin: nothing to wait for


def test_a_notebook_shows_the_bar_while_it_runs_and_saves_nothing_of_it():
    notebook, shown = run_watched(CELL)
    nbformat.validate(notebook)
    assert any(kind == "update_display_data" and "encode text" in content for kind, content in shown)  # the twin
    saved = notebook.cells[0].outputs
    assert "".join(one.get("text", "") for one in saved) == "before\nafter\n"
    assert all(one.name == "stdout" for one in saved if one.output_type == "stream")
    assert all(not one.data for one in saved if one.output_type == "display_data")
