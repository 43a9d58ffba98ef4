"""The strict runner: what may start, what counts as done, and what is left behind when it is not."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mmlab import errors
from mmlab.errors import MmlabError, RunError
from mmlab.processes import ADDRESS, open_nursery
from mmlab.runs.records import RECEIPT, finish_notebook, read_record
from mmlab.workbook import NAMES, NOTEBOOKS, begin_notebook, execute
from mmlab.workbook.execute import Job, run_notebook, run_notebooks
from mmlab.workbook.parameters import check_parameters, read_parameters, share_parameters

PARAMETERS = """\
n = 3  # how many
share = 0.5  # of all pairs
shuffle = False  # the order
results = "results"  # where to write
note = None  # anything to add
"""
READS = "n, share, shuffle, note"


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS, ending: str | None = None) -> Path:
    """A notebook with an import cell, a parameters cell, the cells given, and the last cell that finishes it."""
    ending = ending or f"finish_notebook(results, {path.stem!r}, {{'n': n}})"
    imports = "import os, sys, time\nfrom mmlab.workbook import finish_notebook"
    sources = [imports, parameters, READS, *cells, ending]
    node = new_notebook(cells=[new_markdown_cell("# Tiny"), *(new_code_cell(source) for source in sources)])
    node.cells[2].metadata["tags"] = ["parameters"]
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell-{number}"
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(node, path)
    return path


@pytest.fixture
def no_kernel(monkeypatch):
    """Fails the test when anything is executed."""
    monkeypatch.setattr(execute._Execution, "run", lambda *_: pytest.fail("a kernel was started"))


def refused(notebook: Path, parameters: dict) -> str:
    with pytest.raises(RunError) as caught:
        run_notebook(notebook, notebook.with_name("out.ipynb"), parameters)
    assert list(notebook.parent.glob("out*")) == []
    assert notebook.name in str(caught.value)
    return str(caught.value)


# ---- parameters, before any kernel


def test_reads_names_defaults_and_help(tmp_path):
    text = "lr = 1e-3  # step size = learning rate\nlow = -1  # least\nurl = 'a=b#c'  # a second = and a #\n"
    found = read_parameters(write_notebook(tmp_path / "a.ipynb", parameters=text))
    assert [(p.name, p.default, p.help) for p in found] == [
        ("lr", 1e-3, "step size = learning rate"),
        ("low", -1, "least"),
        ("url", "a=b#c", "a second = and a #"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "seed: int | None = 0",
        "n: int = 3",
        "epochs = n * 2",
        "a = b = 1",
        "a, b = 1, 2",
        "sizes = (1, 2)",
        "import os",
        "name = f'{n}'",
        "n = 1 + 2j",
    ],
)
def test_lines_that_papermill_cannot_see_are_refused(tmp_path, no_kernel, line):
    message = refused(write_notebook(tmp_path / "a.ipynb", parameters=f"n = 3\n{line}  # help\n"), {"n": 4})
    assert "line 2" in message and "name = literal" in message


def test_one_tagged_cell_and_no_name_twice(tmp_path, no_kernel):
    path = write_notebook(tmp_path / "a.ipynb", parameters="n = 1  # one\nn = 2  # two\n")
    assert "a second time" in refused(path, {})
    node = nbformat.read(path, 4)
    for tags in (["parameters"], []):
        node.cells[2].metadata["tags"] = node.cells[3].metadata["tags"] = tags
        nbformat.write(node, path)
        assert "Tag exactly one" in refused(path, {})


def test_unknown_parameter_is_refused_with_a_suggestion(tmp_path, no_kernel):
    path = write_notebook(tmp_path / "a.ipynb")
    assert "Did you mean 'shuffle'?" in refused(path, {"shufle": True})
    assert "Known: n, share" in refused(path, {"zzz": 1})


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("n", "4", "without quotes"),
        ("share", "1e-4", "without quotes"),
        ("n", 4.0, "float"),
        ("n", True, "bool"),
        ("shuffle", 1, "int"),
        ("shuffle", "true", "without quotes"),
        ("results", 3, "in quotes"),
        ("results", None, "NoneType"),
        ("note", 3, "in quotes"),
        ("n", [1], "list"),
        ("n", np.array([1]), "ndarray"),
    ],
)
def test_mistyped_parameter_is_refused(tmp_path, no_kernel, name, value, hint):
    assert hint in refused(write_notebook(tmp_path / "a.ipynb"), {name: value})


def test_fitting_values_become_plain(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb")
    given = {"n": np.int64(4), "share": 1, "shuffle": np.bool_(True), "results": Path("r"), "note": "x"}
    fitted = check_parameters(path, given)
    assert fitted == {"n": 4, "share": 1.0, "shuffle": True, "results": "r", "note": "x"}
    assert [type(value) for value in fitted.values()] == [int, float, bool, str, str]
    assert check_parameters(path, {"note": None}) == {"note": None}


def test_unread_parameter_is_refused(tmp_path, no_kernel):
    text = PARAMETERS + "extra = 1  # used by nobody\n"
    writes_only = "extra = 2\ndef f(extra):\n    return extra\n# extra\nprint('extra')"
    path = write_notebook(tmp_path / "a.ipynb", writes_only, parameters=text)
    assert "no later cell reads it" in refused(path, {"extra": 5})


@pytest.mark.parametrize(
    "reader",
    [
        "print(extra)",
        "%matplotlib inline\nif True:\n    %time 1\n    print(f'{extra}')",
        "!ls\n[extra for _ in range(2)]",
        "def f():\n    return extra",
        "print('%s'\n      % extra)",
        "%%time\nprint(extra)",
    ],
)
def test_read_parameter_passes(tmp_path, reader):
    text = PARAMETERS + "extra = 1  # used by one\n"
    assert check_parameters(write_notebook(tmp_path / "a.ipynb", reader, parameters=text), {"extra": 5}) == {"extra": 5}


def test_faults_of_the_file_are_refused(tmp_path, no_kernel):
    with pytest.raises(RunError, match="no notebook"):
        run_notebook(tmp_path / "none.ipynb", tmp_path / "out.ipynb")
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(RunError, match="cannot be read as a notebook"):
        run_notebook(tmp_path / "text.ipynb", tmp_path / "out.ipynb")
    assert "code cell 4, line 1" in refused(write_notebook(tmp_path / "b.ipynb", "x = = 1"), {"n": 4})
    assert "finish_notebook" in refused(write_notebook(tmp_path / "c.ipynb", ending="results"), {"n": 4})


# ---- the record


def test_record_is_written_whole_and_alike_twice(tmp_path, monkeypatch):
    monkeypatch.delenv(RECEIPT, raising=False)
    record = {"accuracy": np.float64(0.5), "n": np.int64(3), "label": "中", "where": Path("a/b")}
    finish_notebook(tmp_path, "04", record)
    first = (tmp_path / "records" / "04.json").read_bytes()
    finish_notebook(tmp_path, "04", record)
    assert (tmp_path / "records" / "04.json").read_bytes() == first
    assert read_record(tmp_path, "04") == {"accuracy": 0.5, "n": 3, "label": "中", "where": "a/b"}
    assert os.listdir(tmp_path / "records") == ["04.json"]


GOOD = {"01_data_exploration": {"seed": 1, "draws": 3}, "02_text_only": {"row": 0}, "04_fusion": {"compared": ""}}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_begins_with_its_own_parameters(name, tmp_path):
    values = {one.name: one.default for one in read_parameters(NOTEBOOKS / f"{name}.ipynb")}
    begin_notebook(name, values | {"results": str(tmp_path / "r"), "other": object()} | GOOD.get(name, {}))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("01_data_exploration", {"seed": "1"}, ["seed='1'", "without quotes"]),
        ("01_data_exploration", {"draws": 0}, ["draws=0", "at least 1"]),
        ("01_data_exploration", {"results": ""}, ["results is empty"]),
        ("01_data_exploration", {"data": " "}, ["data is empty"]),
        ("01_data_exploration", {"data": "course", "results": "course/results"}, ["inside the course folder"]),
        ("02_text_only", {"row": -1}, ["row=-1", "at least 0"]),
        ("02_text_only", {"knobs": "hiden=3"}, ["hidden"]),
        ("04_fusion", {"lr": 10}, ["lr=10", "at most 1"]),
        ("04_fusion", {"lr": float("nan")}, ["lr=nan", "a number"]),
        ("04_fusion", {"fusion": "atention"}, ["attention"]),
        ("04_fusion", {"compared": "concat, lat"}, ["compared", "'late'"]),
        ("05_hyperparameter_grid", {"learning_rates": 1e-5}, ["learning_rates=1e-05", "in quotes"]),
        ("05_hyperparameter_grid", {"learning_rates": "0,00001"}, ["lr=0.0", "above 0", "decimals with a point"]),
        ("05_hyperparameter_grid", {"learning_rates": ""}, ["not a number"]),
        ("05_hyperparameter_grid", {"dropouts": "0.2; 0.6"}, ["dropouts", "Separate values by commas"]),
        ("05_hyperparameter_grid", {"jobs": -1}, ["jobs=-1", "at least 0"]),
        ("07_report", {"results": None}, ["results=None", "str"]),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_inside_and_from_outside(name, wrong, words, no_kernel, tmp_path):
    values = {one.name: one.default for one in read_parameters(NOTEBOOKS / f"{name}.ipynb")}
    with pytest.raises(MmlabError) as inside:
        begin_notebook(name, values | wrong)
    assert all(word in str(inside.value) for word in words) and len(str(inside.value).splitlines()) == 1
    if len(wrong) == 1:  # one place judges both
        with pytest.raises(MmlabError) as outside:
            run_notebook(NOTEBOOKS / f"{name}.ipynb", tmp_path / "out.ipynb", wrong)
        assert str(outside.value) == str(inside.value)


def test_a_parameter_that_was_removed_is_missed():
    with pytest.raises(RunError, match="does not set results"):
        begin_notebook("07_report", {})


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_record_that_json_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(RunError, match="The record of 04"):
        finish_notebook(tmp_path, "04", {"value": value})
    assert not (tmp_path / "records" / "04.json").exists()


# ---- executing


@pytest.fixture(scope="module")
def nursery():
    with open_nursery() as address:
        yield address


@pytest.fixture(params=["ordinary", "warm"])
def kernels(request, monkeypatch):
    """The same promises for a kernel that is an interpreter of its own and for one that is forked."""
    if request.param == "warm":
        if (address := request.getfixturevalue("nursery")) is None:
            pytest.skip("this system does not fork safely")
        monkeypatch.setenv(ADDRESS, address)


@pytest.mark.usefixtures("kernels")
def test_good_run_in_an_awkward_folder(tmp_path):
    folder = tmp_path / "a {b} ü 中 %s"
    path = write_notebook(folder / "tiny.ipynb", "print('n is', n)\nprint(os.environ['EXTRA'], os.getcwd())")
    output, results = folder / "out {}" / "tiny.ipynb", folder / "re sults"
    jobs, places = [Job(path, output, {"n": 5, "results": results})], [{"EXTRA": "$x {y}"}]
    ((_, first),) = run_notebooks(jobs, places=places)
    assert first.record == {"n": 5} and first.path == output and 0 < first.seconds < 60
    node = nbformat.read(output, 4)
    text = node.cells[5].outputs[0].text
    assert text == f"n is 5\n$x {{y}} {os.getcwd()}\n"
    assert node.metadata["papermill"] == {"parameters": {"n": 5, "results": str(results)}}
    assert sorted(file.name for file in output.parent.iterdir()) == ["tiny.ipynb"]
    assert sorted(file.name for file in (results / "records").iterdir()) == ["tiny.json"]
    whole, record = output.read_bytes(), (results / "records" / "tiny.json").read_bytes()
    list(run_notebooks(jobs, places=places))
    assert output.read_bytes() == whole and (results / "records" / "tiny.json").read_bytes() == record


def fail(tmp_path: Path, *cells: str, **options) -> str:
    """Run a notebook that fails next to a good output and a stale record: both must survive, neither must count."""
    path = write_notebook(tmp_path / "tiny.ipynb", *cells)
    output = tmp_path / "out" / "tiny.ipynb"
    output.parent.mkdir()
    output.write_text("an earlier good output")
    finish_notebook(tmp_path, "tiny", {"n": "stale"})
    with pytest.raises(RunError) as caught:
        run_notebook(path, output, {"results": str(tmp_path)}, **options)
    assert output.read_text() == "an earlier good output"
    assert sorted(file.name for file in output.parent.iterdir()) == ["tiny.failed.ipynb", "tiny.ipynb"]
    kept = nbformat.read(output.with_name("tiny.failed.ipynb"), 4)
    assert any("before" in str(cell.get("outputs")) for cell in kept.cells)
    message = str(caught.value)
    assert "tiny.ipynb, code cell 6 of 7" in message and str(output.with_name("tiny.failed.ipynb")) in message
    return message


@pytest.mark.usefixtures("kernels")
def test_error_in_a_cell(tmp_path):
    message = fail(tmp_path, "print('before')", "# The faulty line\nresult = 1 / 0")
    assert "`# The faulty line`" in message and "ZeroDivisionError: division by zero" in message
    assert "\x1b" not in message
    # Once mended, the kept failure goes away.
    path = write_notebook(tmp_path / "tiny.ipynb")
    run_notebook(path, tmp_path / "out" / "tiny.ipynb", {"results": str(tmp_path), "n": 7})
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["tiny.ipynb"]


def test_own_error_has_no_traceback(tmp_path):
    cell = "from mmlab.errors import CourseError\nraise CourseError('train.txt, row 3: no such label. Use neutral.')"
    message = fail(tmp_path, "print('before')", cell)
    assert "train.txt, row 3: no such label. Use neutral.\n" in message and "Traceback" not in message


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("death", ["os._exit(1)", "import signal; os.kill(os.getpid(), signal.SIGKILL)"])
def test_dead_kernel_is_not_done(tmp_path, death):
    assert "the kernel died" in fail(tmp_path, "print('before')", death)


@pytest.mark.usefixtures("kernels")
def test_exit_in_the_middle_is_not_done(tmp_path):
    assert "stopped here, before its last cell had run" in fail(tmp_path, "print('before')", "sys.exit(0)")


@pytest.mark.usefixtures("kernels")
def test_timed_out_cell_is_not_done(tmp_path):
    assert "longer than 2 s" in fail(tmp_path, "print('before')", "time.sleep(60)", timeout_s=2)


def test_finishing_early_is_not_done(tmp_path):
    early = "finish_notebook(results, 'tiny', {'n': 'early'})\nsys.exit(0)"
    assert "stopped here" in fail(tmp_path, "print('before')", early)


@pytest.fixture
def interruptible():
    """Ctrl-C works here even when the tests were started in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("kernels", "interruptible")
@pytest.mark.parametrize("seconds", [0.05, 3.0])  # while the kernel starts, while a cell runs
def test_interrupt_leaves_nothing_that_looks_done(tmp_path, seconds):
    cell = f"with open({str(tmp_path / 'pid')!r}, 'w') as file:\n    file.write(str(os.getpid()))\ntime.sleep(60)"
    path = write_notebook(tmp_path / "tiny.ipynb", cell)
    timer = threading.Timer(seconds, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run_notebook(path, tmp_path / "out.ipynb", {"results": str(tmp_path)})
    assert time.perf_counter() - started < 20
    assert not (tmp_path / "out.ipynb").exists() and not (tmp_path / "records").exists()
    if (tmp_path / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


FACTS = """\
import matplotlib, random, signal, sklearn, threading, torch._dynamo, warnings  # these set environment variables
from threadpoolctl import threadpool_info
pools = {(one["user_api"], one["num_threads"]) for one in threadpool_info()}
own = ("MMLAB_NURSERY", "MMLAB_NOTEBOOK_RECEIPT", "JPY_PARENT_PID")
settings = {name: value for name, value in os.environ.items() if name not in own}
facts = {
    "path": sys.path, "arguments": [os.path.basename(sys.argv[0]), *sys.argv[1:2]], "main": __name__,
    "options": sys._xoptions, "flags": repr(sys.flags), "folder": os.getcwd(), "environment": settings,
    "leads": os.getsid(0) == os.getpid(), "parent": os.environ["JPY_PARENT_PID"] == str(os.getppid()),
    "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "threads": sorted(one.name.partition("-")[0] for one in threading.enumerate()),
    "cores": [torch.get_num_threads(), *sorted(pools)], "input": sys.stdin.read(0) if sys.stdin else "",
    "backend": matplotlib.get_backend(), "shows": matplotlib.is_interactive(),
    "warnings": sorted(str(one[:1] + one[2:3]) for one in warnings.filters if "torch" in str(one)),
}"""
DRAWS = "import random, numpy, torch\ndrawn = [random.random(), numpy.random.rand(), torch.rand(1).item()]"
FIGURE = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)).subplots().plot([1, 2]);"


@pytest.mark.parametrize("place", [{}, {"OMP_NUM_THREADS": "1"}])
def test_a_warm_kernel_is_like_an_ordinary_one(tmp_path, nursery, place):
    """What it starts with, and the executed notebook, byte for byte."""
    ending = "finish_notebook(results, 'tiny', {'facts': facts, 'parent': os.getppid()})"
    source, found = write_notebook(tmp_path / "tiny.ipynb", FACTS, FIGURE, ending=ending), []
    for name, given in {"ordinary": None, "warm": nursery}.items():
        job = Job(source, tmp_path / f"{name}.ipynb", {"results": str(tmp_path)})
        ((_, result),) = run_notebooks([job], places=[place], nursery=given)
        found.append(result.record)
    assert found[0]["facts"] == found[1]["facts"]
    assert (found[0]["parent"] == os.getpid()) and (found[1]["parent"] == os.getpid()) == (nursery is None)
    assert (tmp_path / "ordinary.ipynb").read_bytes() == (tmp_path / "warm.ipynb").read_bytes()
    assert b"image/png" in (tmp_path / "warm.ipynb").read_bytes()


def test_two_warm_kernels_draw_other_random_numbers(tmp_path, nursery):
    source = write_notebook(tmp_path / "tiny.ipynb", DRAWS, ending="finish_notebook(results, 'tiny', {'drawn': drawn})")
    jobs = [Job(source, tmp_path / f"{n}.ipynb", {"results": str(tmp_path)}) for n in range(2)]
    first, second = (result.record["drawn"] for _, result in run_notebooks(jobs, nursery=nursery))
    assert not set(first) & set(second)


def test_a_foreign_python3_kernel_is_not_used(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/no/such/python"], "display_name": "x", "language": "x"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write_notebook(tmp_path / "tiny.ipynb", ending="finish_notebook(results, 'tiny', {'exe': sys.executable})")
    result = run_notebook(path, tmp_path / "out.ipynb", {"results": str(tmp_path)})
    assert os.path.samefile(result.record["exe"], os.sys.executable)


@pytest.mark.usefixtures("kernels")
def test_notebook_that_runs_notebooks(tmp_path):
    """Inside a kernel an event loop is running already; the inner receipt is not taken for the outer one."""
    inner = write_notebook(tmp_path / "inner.ipynb")
    good = tmp_path / "good.ipynb"
    call = f"run_notebook({str(inner)!r}, {str(good)!r}, {{'results': results, 'n': 9}})"
    cell = f"from mmlab.workbook.execute import run_notebook\nfound = {call}.record"
    outer = write_notebook(tmp_path / "outer.ipynb", cell, ending="finish_notebook(results, 'outer', {'found': found})")
    result = run_notebook(outer, tmp_path / "out.ipynb", {"results": str(tmp_path)})
    assert result.record == {"found": {"n": 9}} and good.exists()
    assert [out for c in nbformat.read(result.path, 4).cells[5:] for out in c.get("outputs", [])] == []
    stopped = write_notebook(tmp_path / "stopped.ipynb", cell, "sys.exit(0)")
    with pytest.raises(RunError, match="stopped here"):
        run_notebook(stopped, tmp_path / "out2.ipynb", {"results": str(tmp_path)})


def test_several_notebooks_share_parameters(tmp_path, no_kernel):
    one = write_notebook(tmp_path / "01_one.ipynb")
    two = write_notebook(tmp_path / "02_two.ipynb", "size", parameters=PARAMETERS + "size = 1  # of the batch\n")
    with pytest.raises(RunError, match="No notebook has a parameter 'sise'. Did you mean 'size'"):
        share_parameters([one, two], tmp_path / "r", {"sise": 2})
    with pytest.raises(RunError, match="02_two.ipynb: size"):
        share_parameters([one, two], tmp_path / "r", {"size": "2"})
    results = str(tmp_path / "r")
    assert share_parameters([one, two], results, {"size": 2, "n": 4}) == [
        {"n": 4, "results": results},
        {"size": 2, "n": 4, "results": results},
    ]


def test_several_notebooks_run_at_once_and_one_failure_stops_no_other(tmp_path):
    """The first waits until the third has begun, so the second worker must have gone on after the failing second."""
    begun = tmp_path / "begun"
    waits = f"while not os.path.exists({str(begun)!r}):\n    time.sleep(0.05)"
    sources = [
        write_notebook(tmp_path / "waits.ipynb", waits),
        write_notebook(tmp_path / "fails.ipynb", "1 / 0"),
        write_notebook(tmp_path / "last.ipynb", f"open({str(begun)!r}, 'w').close()"),
    ]
    jobs = [Job(one, tmp_path / "done" / one.name, {"results": str(tmp_path), "n": n}) for n, one in enumerate(sources)]
    outcomes = dict(run_notebooks(jobs, workers=2))
    assert isinstance(outcomes[1], RunError) and "ZeroDivisionError" in str(outcomes[1])
    assert (outcomes[0].record, outcomes[2].record) == ({"n": 0}, {"n": 2})
    left = sorted(path.name for path in (tmp_path / "done").iterdir())
    assert left == ["fails.failed.ipynb", "last.ipynb", "waits.ipynb"]


def test_a_wrong_parameter_of_one_starts_none(tmp_path, no_kernel):
    path = write_notebook(tmp_path / "tiny.ipynb")
    with pytest.raises(RunError, match="no parameter 'nn'"):
        list(run_notebooks([Job(path, tmp_path / "a.ipynb", {"n": 1}), Job(path, tmp_path / "b.ipynb", {"nn": 1})]))


def test_what_runs_is_told_each_second(tmp_path):
    path, seen = write_notebook(tmp_path / "tiny.ipynb", "time.sleep(2.5)"), []
    job = Job(path, tmp_path / "out.ipynb", {"results": str(tmp_path)})
    list(run_notebooks([job], on_wait=seen.append))
    told = [one for underway in seen for one in underway]
    assert {one.name for one in told} == {"tiny"} and told[-1].seconds > 1
    assert max(one.done for one in told) >= 3 and all(one.done <= one.total <= 6 for one in told)
    assert seen[-1] == []  # it has ended


def test_a_notebook_waits_for_those_it_needs(tmp_path):
    """The first given is begun last; what needs a failed one is not begun."""
    says = f"with open({str(tmp_path / 'order')!r}, 'a') as file:\n    file.write(str(n))"
    source = write_notebook(tmp_path / "says.ipynb", says)
    fails = write_notebook(tmp_path / "fails.ipynb", "1 / 0")
    needs = {0: (2,), 1: (3,), 2: (), 3: (), 4: ()}
    jobs = [
        Job(fails if n == 3 else source, tmp_path / f"out{n}.ipynb", {"results": str(tmp_path), "n": n}, after=needs[n])
        for n in needs
    ]
    outcomes = dict(run_notebooks(jobs))
    assert (tmp_path / "order").read_text() == "204"  # 4 could have started before 0, which was given before it
    assert "ZeroDivisionError" in str(outcomes[3])
    assert str(outcomes[1]) == "says.ipynb was not started: fails.ipynb, which it needs, failed."


@pytest.mark.usefixtures("kernels")
def test_closing_stops_the_kernels(tmp_path):
    cell = f"with open({str(tmp_path)!r} + f'/pid{{n}}', 'w') as file:\n    file.write(str(os.getpid()))"
    sleeps = write_notebook(tmp_path / "sleeps.ipynb", cell, "time.sleep(60 * n)")
    jobs = [Job(sleeps, tmp_path / f"out{n}.ipynb", {"results": str(tmp_path), "n": n}) for n in (0, 1, 2)]
    started = time.perf_counter()
    outcomes = run_notebooks(jobs, workers=3)
    assert next(outcomes)[0] == 0
    while not all((tmp_path / f"pid{n}").exists() for n in (1, 2)):
        time.sleep(0.05)
    outcomes.close()
    assert time.perf_counter() - started < 30
    assert not (tmp_path / "out1.ipynb").exists() and not (tmp_path / "out2.ipynb").exists()
    for n in (1, 2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid{n}").read_text()), 0)


def test_cells_for_a_reader_or_a_student_can_be_left_out(tmp_path):
    source = tmp_path / "tiny.ipynb"
    ending = "finish_notebook(results, 't', {'n': n})"
    path = write_notebook(source, "raise ValueError('drawn')", ending, ending="raise ValueError('asked')")
    node = nbformat.read(path, 4)
    node.cells[4].metadata["tags"], node.cells[6].metadata["tags"] = ["reading"], ["exercise"]
    nbformat.write(node, path)
    given = {"results": str(tmp_path), "n": 5}
    result = run_notebook(path, tmp_path / "out.ipynb", given, skip=("exercise", "reading"))
    assert result.record == {"n": 5}
    kept = [cell for cell in nbformat.read(result.path, 4).cells if cell.metadata.get("tags")]
    assert [cell.metadata["tags"] for cell in kept[-2:]] == [["reading"], ["exercise"]]
    assert all(cell.execution_count is None and cell.source.startswith("raise") for cell in kept[-2:])
    with pytest.raises(RunError, match="drawn"):  # the twins: executed when it is not left out
        run_notebook(path, tmp_path / "out.ipynb", given)
    with pytest.raises(RunError, match="does not finish it"):
        run_notebook(path, tmp_path / "out.ipynb", given, skip=("reading",))


def test_every_error_of_the_package_is_known_by_name():
    """The runner looks an error up in `mmlab.errors` by its name."""
    assert all(getattr(errors, kind.__name__) is kind for kind in [MmlabError, *MmlabError.__subclasses__()])


def test_an_executed_notebook_reads_the_same_whether_it_has_trained_or_only_found():
    from nbformat import v4

    def text(*outputs) -> str:
        notebook = v4.new_notebook(cells=[v4.new_code_cell("1", id="a", outputs=list(outputs))])
        notebook.cells[0].metadata["tags"] = []
        return execute._to_text(notebook)

    said, more = v4.new_output("stream", text="found\n"), v4.new_output("stream", text="done\n")
    bar = v4.new_output("display_data", data={execute.WIDGET: {"model_id": "1"}, "text/plain": "0%"})
    gone = v4.new_output("display_data", data={})
    whole = v4.new_output("stream", text="found\ndone\n")
    trained = text(said, bar, gone, more)
    assert trained == text(whole)
    warning = v4.new_output("stream", name="stderr", text="slow\n")
    assert text(whole, warning) != text(warning, whole) != trained  # the twin: what was said is kept, in its order
