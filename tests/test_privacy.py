"""The lab keeps to itself: nothing reaches for a network, kernels listen on loopback, tweets stay in the results.

`soak/privacy.py` traces the whole main job; here are its cheap parts, and twins that show that the tracer notices.
"""

import asyncio
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from mmlab import hub
from mmlab.report import find_browser
from mmlab.workbook.kernels import make_manager
from soak.privacy import TABLES, find_beyond, find_missing, find_word, make_course, make_private, trace

ROOT = Path(__file__).resolve().parents[1]
WORD = "qzvkxwjbdhgl"
NOISY = """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
        socket.socket(socket.AF_INET, kind).connect(("192.0.2.1", 80))
    except OSError:
        pass
socket.socket().bind(("0.0.0.0", 0))
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
socket.create_connection(listener.getsockname())
"""
LINES = {
    'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16 <unfinished ...>': (
        "connect 192.0.2.1 port 443"
    ),
    'connect(3, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", '
    "&sin6_addr), sin6_scope_id=0}, 28) = -1": "connect 2001:db8::1 port 80",
    '7 sendto(4, ""..., 31, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 31': (
        "sendto 127.0.0.53 port 53"
    ),
    "bind(3, {sa_family=AF_VSOCK, svm_cid=0, svm_port=0}, 16) = 0": "bind AF_VSOCK",
    'bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0': None,
    'connect(3, {sa_family=AF_UNIX, sun_path="/tmp/192.0.2.1"}, 110) = 0': None,
    "sendto(5, [{nlmsg_len=20}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 20": None,
    'inet_pton(AF_INET6, "2001:db8::1")': None,
}


@pytest.fixture(scope="module")
def traceable():
    if missing := find_missing():
        pytest.skip(f"no command can be traced here: {missing}")


def assert_quiet(traced) -> None:
    assert traced.status == 0, traced.printed
    assert traced.beyond == []


def test_what_leaves_the_machine_is_told_from_what_does_not():
    assert {line: next(find_beyond([line]), None) for line in LINES} == LINES


def test_twin_the_tracer_notices_a_connection_a_datagram_and_a_listener(traceable, tmp_path):
    traced = trace([sys.executable, "-I", "-c", NOISY], make_private(tmp_path), tmp_path)
    assert traced.status == 0, traced.printed
    assert traced.beyond == ["bind 0.0.0.0 port 0", "connect 192.0.2.1 port 80"]


def test_a_notebook_reaches_for_no_network_and_leaves_tweets_in_the_results_alone(traceable, tmp_path):
    course, results = make_course(tmp_path / "course", WORD), tmp_path / "results"
    arguments = ["run", "--data", course, "--results", results, "--only", "01_data_exploration"]
    traced = trace([sys.executable, "-m", "mmlab.cli", *arguments], make_private(tmp_path), tmp_path)
    assert_quiet(traced)
    assert WORD not in traced.printed
    assert find_word(WORD, tmp_path, [course, results]) == []
    assert find_word(WORD, tmp_path, [course]) == ["results/notebooks/01_data_exploration.ipynb"]  # the twin
    assert len(find_word(WORD, course, [])) == sum(TABLES.values())


def test_the_engine_does_not_report_home(traceable, tmp_path):
    code = "from mmlab.engine import _core; print(_core().available_devices)"
    assert_quiet(trace([sys.executable, "-c", code], make_private(tmp_path), tmp_path))
    assert not list(tmp_path.rglob("openvino_telemetry*"))  # where it would note its consent and its number


def test_printing_a_pdf_reaches_for_no_network(traceable):
    if find_browser() is None:
        pytest.skip("no browser of Chromium's family is installed")
    page = ROOT / "results" / "demo" / "report.html"
    code = (
        "from mmlab.report.pdf import Path, _print_with, find_browser;"
        f"Path('r.pdf').write_bytes(_print_with(find_browser(), Path({str(page)!r}), Path.cwd()))"
    )
    with tempfile.TemporaryDirectory() as short:  # Chromium's sockets are there, and a socket's path is short
        assert_quiet(trace([sys.executable, "-c", code], make_private(Path(short)), Path(short)))
        assert Path(short, "r.pdf").read_bytes().startswith(b"%PDF")


def test_a_kernel_listens_on_loopback_with_a_key_that_only_its_user_can_read():
    async def start() -> tuple[dict, int]:
        manager = make_manager(None)
        await manager.start_kernel()
        try:
            return manager.get_connection_info(), stat.S_IMODE(os.stat(manager.connection_file).st_mode)
        finally:
            await manager.shutdown_kernel(now=True)

    info, mode = asyncio.run(start())
    assert info["transport"] == "ipc" or info["ip"] == "127.0.0.1"
    assert len(info["key"]) >= 32 and info["signature_scheme"].startswith("hmac-")
    assert mode == 0o600


def test_the_client_of_the_hub_sends_no_telemetry(monkeypatch):
    monkeypatch.setattr(hub, "_connects", lambda endpoint: True)
    monkeypatch.setattr(os, "environ", {})
    hub.reach_hub(cached=False)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_jupyterlab_asks_for_no_news():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlab: ")[2].partition("\n\n")[0]
    assert "labextension disable @jupyterlab/apputils-extension:announcements" in recipe
