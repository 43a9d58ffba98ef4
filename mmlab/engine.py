"""The engine that runs a frozen encoder's network: OpenVINO on a CPU; torch on a GPU and for what OpenVINO cannot run.

OpenVINO runs a converted copy of the network. A copy is made once, is compared with torch on inputs of two shapes, and
stays in the user's cache, so that later processes need neither the torch module nor its weights. Explained in
docs/speed.md.
"""

import importlib.metadata
import importlib.util
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmlab.device import autocast, find_device
from mmlab.storage import cache_folder, digest_file, draft_folder, read_file, seal_json, unseal_json, write_atomic

ENGINES = ("openvino", "torch")
ROUNDING = 0.005  # in fp32 the converted network and torch differ by rounding alone; a wrong conversion is far off
MODEL, NOTES, REFUSED = "model.xml", "notes.json", "refused.txt"

Arrays = tuple[np.ndarray, ...]
Run = Callable[[Iterable[Arrays]], Iterator[np.ndarray]]


class Unconvertible(Exception):
    """OpenVINO cannot run this network, or it computes something else; the message says why, in one line."""


@dataclass(frozen=True)
class Network:
    """A network to run.

    module: a torch module that takes tensors by position and gives one tensor. examples: two sets of inputs of
    different shapes; the first is traced, and both must give what torch gives. notes: plain values to keep with it;
    files: texts to keep with it, by the names of their files.
    """

    module: Any
    examples: tuple[Arrays, Arrays]
    notes: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def find_engine(folder: Path) -> str:
    """The engine for the network that is converted in this folder: OpenVINO on a CPU, unless it has refused it."""
    converts = find_device().type == "cpu" and importlib.util.find_spec("openvino") is not None
    return "openvino" if converts and not (folder / REFUSED).exists() else "torch"


def network_folder(key: str) -> Path:
    """Where the converted network of this key is kept; another version of what converts it is another folder."""
    versions = "-".join(importlib.metadata.version(name) for name in ("torch", "openvino") if _is_installed(name))
    return cache_folder("networks") / f"{key}-{versions}".replace("+", "-")


def read_notes(folder: Path) -> dict[str, Any] | None:
    """The notes of a converted network; None where none is complete and as it was written."""
    try:
        kept = unseal_json(read_file(folder / NOTES))
        sound = all(digest_file(folder / name, remembered=True) == digest for name, digest in kept["files"].items())
        return kept["notes"] if sound else None
    except (OSError, ValueError, KeyError):
        return None


def convert(network: Network, folder: Path) -> None:
    """Convert a network into this folder. Raises Unconvertible, and notes it, so that it is not tried again."""
    try:
        converted = _convert(network)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        write_atomic(folder / REFUSED, reason + "\n")
        raise Unconvertible(reason) from error
    with draft_folder(folder, lambda one: read_notes(one) is not None) as draft:
        _openvino().save_model(converted, draft / MODEL, compress_to_fp16=False)
        for name, text in network.files.items():
            write_atomic(draft / name, text)
        files = {file.name: digest_file(file) for file in sorted(draft.iterdir())}
        write_atomic(draft / NOTES, seal_json({"notes": network.notes, "files": files}))


def run_converted(folder: Path, precision: str) -> Run:
    """The converted network as a function: batches of input arrays in, one float32 array per batch out, in order.

    It works on the next batch while the caller uses the last one. precision: `fp32`, `bf16` or `fp16`.
    """
    return _start(_core().read_model(folder / MODEL), precision)


def run_torch(network: Network, precision: str) -> Run:
    """The network as the same kind of function as `run_converted`, run by torch on `find_device()`."""
    import torch

    device = find_device()
    module = network.module.eval().to(device)

    def run(batches: Iterable[Arrays]) -> Iterator[np.ndarray]:
        for arrays in batches:
            with torch.inference_mode(), autocast(device, precision):
                yield module(*(torch.from_numpy(one).to(device) for one in arrays)).float().cpu().numpy()

    return run


def _start(model, precision: str) -> Run:
    hint = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision]
    # Several batches at once, each on its share of the cores, are quicker than one batch on all of them.
    options = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = _core().compile_model(model, "CPU", options)
    requests = [
        compiled.create_infer_request() for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    ]

    def finish(request) -> np.ndarray:
        request.wait()
        return request.get_output_tensor().data.copy()  # the request's memory is used again

    def run(batches: Iterable[Arrays]) -> Iterator[np.ndarray]:
        working: deque = deque()
        for number, arrays in enumerate(batches):
            if len(working) == len(requests):
                yield finish(working.popleft())
            request = requests[number % len(requests)]
            request.start_async(list(arrays))
            working.append(request)
        while working:
            yield finish(working.popleft())

    return run


def _convert(network: Network):
    import torch

    module = network.module.eval()
    example = tuple(map(torch.from_numpy, network.examples[0]))
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of each shape that it takes as a constant: that is tested below
        converted = _openvino().convert_model(module, example_input=example)
    exact = _start(converted, "fp32")
    for arrays, found in zip(network.examples, exact(network.examples), strict=True):
        with torch.inference_mode():
            expected = module(*map(torch.from_numpy, arrays)).numpy()
        if found.shape != expected.shape or not _distance(found, expected) <= ROUNDING:
            raise Unconvertible("the converted network gives other vectors than torch")
    return converted


def _distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest distance between two vectors of the same place, as a share of the expected one's length."""
    lengths = np.linalg.norm(expected, axis=-1)
    return float((np.linalg.norm(found - expected, axis=-1) / np.maximum(lengths, 1e-12)).max())


def _openvino():
    """The package, without its telemetry: where that module cannot be imported, OpenVINO uses a stub of its own."""
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino


@cache
def _core():
    """One for the whole process. Of several, each takes along a stack on which Python handles signals when it goes.

    The next signal, such as that of a child process that has ended, would kill this process.
    """
    return _openvino().Core()


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
