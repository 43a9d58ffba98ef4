"""The hub of models on the network: whether it can be reached, asked before its own client tries for a minute."""

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mmlab.errors import EncoderError

SECONDS, ADDRESS_SECONDS = 2, 1  # for an answer: in all, and from each address of the hub


def reach_hub(cached: bool) -> None:
    """Return where the hub, or the proxy on the way to it, takes connections.

    Elsewhere its client is told to work offline, if the model is cached. Raises ConnectionError if it is not. It
    reads what it is told when it is imported, here and in the processes to come.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it would number each process and name its packages
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if os.environ.get("HF_HUB_OFFLINE") or _connects(endpoint):
        return
    if not cached:
        raise ConnectionError(f"{endpoint} cannot be reached")
    os.environ["HF_HUB_OFFLINE"] = "1"


def _connects(endpoint: str) -> bool:
    url, proxies = urlsplit(endpoint), getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(url.hostname):
        url = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address, answers = (url.hostname, url.port or (443 if url.scheme == "https" else 80)), []

    def connect() -> None:
        with suppress(OSError), socket.create_connection(address, ADDRESS_SECONDS):
            answers.append(True)

    thread = Thread(target=connect, daemon=True)  # looking up a name has no timeout of its own
    thread.start()
    thread.join(SECONDS)
    return bool(answers)


def check_cached(source: str) -> bool:
    """Hold each file of a model in the local cache against its known digest; False where there is none.

    The hub names a file in its cache by the digest of what it sent. Raises EncoderError for a file that differs.
    """
    repository = _find_repository(source)
    if repository is None:
        return False
    for file in sorted((repository / "snapshots" / find_revision(source)).rglob("*")):
        name = file.resolve().name
        if not file.is_symlink() or set(name) - set("0123456789abcdef") or not file.is_file():
            continue  # without links, on Windows, the name is lost
        with file.open("rb") as content:
            if len(name) == 64:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            else:  # git's own name of a small file
                raw = content.read()
                found = hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
        if found != name:
            raise EncoderError(f"{file}: is damaged. Delete {repository}, and download the model again.")
    return True


def find_revision(source: str) -> str | None:
    """The revision of a model that is in the local cache; None where it is not."""
    repository = _find_repository(source)
    return (repository / "refs" / "main").read_text().strip() if repository else None


def _find_repository(source: str) -> Path | None:
    root = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub")
    for name in (source, f"timm/{source}"):
        folder = root.expanduser() / f"models--{name.replace('/', '--')}"
        with suppress(OSError):  # a name that is too long for a file
            if (folder / "refs" / "main").is_file():
                return folder
    return None
