"""The hub of models on the network: whether it can be reached, asked before its own client tries for a minute."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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


def find_revision(source: str) -> str | None:
    """The revision of a model that is in the local cache; None where it is not."""
    root = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub")
    for repository in (source, f"timm/{source}"):
        note = root.expanduser() / f"models--{repository.replace('/', '--')}" / "refs" / "main"
        if note.is_file():
            return note.read_text().strip()
    return None
