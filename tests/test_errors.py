"""What an error and Stop look like in a notebook: one sentence, with the traceback one `%tb` away."""

import contextlib
import io
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel

from mmlab import features
from mmlab.errors import ConfigError, MmlabError, Stopped, stoppable
from mmlab.runs import keep
from mmlab.workbook import Grid

RAISE = "from mmlab.config import RunConfig\nRunConfig(lr=-1)"
TWIN = "def fail():\n    raise ValueError('lr=-1')\nfail()"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    yield InteractiveShell()
    InteractiveShell.clear_instance()


def shown(shell, cell: str) -> list[str]:
    """The lines that a cell of IPython prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        shell.run_cell(cell)
    return out.getvalue().strip().splitlines()


def test_an_error_is_one_sentence_in_a_notebook_and_the_traceback_is_kept(shell):
    (line,) = shown(shell, RAISE)
    assert line == "lr=-1 is out of range: it must be above 0."
    whole = shown(shell, "%tb")
    assert any("Traceback" in one for one in whole) and any("RunConfig(lr=-1)" in one for one in whole)
    assert isinstance(sys.last_value, ConfigError) and sys.last_value.__traceback__ is not None
    assert len(shown(shell, TWIN)) > 3  # the twin: an error of the program keeps its traceback


def test_an_error_that_was_caught_before_is_shown_as_a_sentence_when_it_is_raised_again(shell):
    shown(shell, "from mmlab.errors import MmlabError\nkept = MmlabError('Choose another folder.')")
    assert shown(shell, "raise kept") == shown(shell, "raise kept") == ["Choose another folder."]


STOP = """
import time
from mmlab.errors import stoppable
{decorator}
def train():
    print("begun", flush=True)
    time.sleep(60)
train()
"""


@pytest.mark.parametrize(("decorator", "one_line"), [('@stoppable("All runs are kept.")', True), ("", False)])
def test_stop_in_a_notebook_ends_in_one_line(decorator, one_line, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        request = client.execute(STOP.format(decorator=decorator))
        while (message := client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
            pass
        manager.interrupt_kernel()
        while (message := client.get_iopub_msg(timeout=60))["msg_type"] != "error":
            assert message["parent_header"]["msg_id"] == request
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    lines = "\n".join(message["content"]["traceback"]).splitlines()
    assert (len(lines) == 1) == one_line
    if one_line:
        assert lines == ["Stopped. All runs are kept. Run the same again and it continues from there."]


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_encoding_training_and_a_grid_say_what_is_kept_when_they_are_stopped(monkeypatch):
    monkeypatch.setattr(features, "find_text_encoder", interrupt)
    with pytest.raises(Stopped, match="encoded before are kept"):
        features.encode_course(None)
    monkeypatch.setattr(keep, "run_folder", interrupt)
    with pytest.raises(Stopped, match="complete before are kept"):
        keep.train_run(None, None, None, "results")
    monkeypatch.setattr(Grid, "check_call", interrupt)
    with pytest.raises(Stopped, match="Trainings that were complete"):
        Grid.run(object.__new__(Grid))


def test_a_stop_is_an_interruption_that_no_handler_of_errors_catches():
    with pytest.raises(KeyboardInterrupt), contextlib.suppress(Exception), stoppable("All is kept."):
        interrupt()
    assert not issubclass(Stopped, MmlabError)
    with pytest.raises(Stopped, match="the inner one"), stoppable("the outer one"), stoppable("the inner one"):
        interrupt()
    with pytest.raises(ValueError, match="a fault"), stoppable("All is kept."):  # the twin
        raise ValueError("a fault")
