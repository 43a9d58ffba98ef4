"""A real JupyterLab for tests: the server, and a page of it in an installed Chromium."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Nothing is asked of other hosts, and cells outside the window are rendered too.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
PATIENCE = 600_000  # ms in which a whole notebook must have run


@contextmanager
def serve(folder: Path, home: Path) -> Iterator[tuple[str, str]]:
    """A JupyterLab server of a folder, with settings of its own in `home`: its address and its token."""
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
    env = os.environ | {f"JUPYTER_{name}": str(home / place) for name, place in places.items()}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--expose-app-in-browser"]
    command = [sys.executable, "-m", "jupyter", "lab", *options, f"--ServerApp.root_dir={folder}"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        yield _find_address(home, server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _find_address(home: Path, server: subprocess.Popen) -> tuple[str, str]:
    for _ in range(300):
        for note in home.glob("runtime/jpserver-*.json"):
            with suppress(ValueError):  # it is being written
                found = json.loads(note.read_text())
                return f"http://127.0.0.1:{found['port']}", found["token"]
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'server.log').read_text()}")


@dataclass
class LabPage:
    """A page of JupyterLab, and all that it should not have: errors on its console, requests to other hosts."""

    page: object
    address: str
    token: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.page.on("request", self._judge_request)

    def _judge_request(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def open(self, notebook: str) -> None:
        self.page.goto(f"{self.address}/lab/tree/{notebook}?reset&token={self.token}")
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.content?.model?.cells?.length > 0")
        self.page.wait_for_function(
            "async () => { const context = window.jupyterapp.shell.currentWidget.sessionContext;"
            " await context.ready; return context.session?.kernel?.status === 'idle'; }"
        )

    def look(self, theme: str, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 1000})
        self.command("apputils:change-theme", theme=f"JupyterLab {theme.title()}")

    def find_view(self, control):
        """The output that holds a control."""
        return self.page.locator(".jp-OutputArea-output").filter(has=control).first

    def command(self, name: str, **arguments) -> None:
        """One of JupyterLab's commands; waits until it is done."""
        self.page.evaluate(
            "([name, values]) => window.jupyterapp.commands.execute(name, values).then(() => null)", [name, arguments]
        )

    def run_all(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.command("notebook:run-all-cells")
        self.page.set_default_timeout(30_000)

    def read(self) -> dict:
        """The notebook as the page holds it."""
        return self.page.evaluate("window.jupyterapp.shell.currentWidget.content.model.toJSON()")

    def list_faults(self) -> list[str]:
        """Red outputs, in the order of the cells."""
        outputs = [one for cell in self.read()["cells"] for one in cell.get("outputs", [])]
        failed = [f"{one['ename']}: {one['evalue']}" for one in outputs if one["output_type"] == "error"]
        return failed + ["".join(one["text"]) for one in outputs if one.get("name") == "stderr"]


@contextmanager
def browse(address: tuple[str, str], width: int = 1400) -> Iterator[LabPage]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": width, "height": 1000})
            page.set_default_timeout(30_000)
            yield LabPage(page, *address)
        finally:
            browser.close()
