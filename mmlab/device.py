"""Device, arithmetic, threads and random numbers, by fixed rules: the same machine and knobs compute in the same way.

Explained in docs/gpu.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mmlab.config import RunConfig


def find_device():
    """The torch device that encoders run on: an accelerator that works, or the CPU."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def find_precision(asked: str = "auto", device=None) -> str:
    """The arithmetic of the encoders: `fp32`, `bf16` or `fp16`.

    asked: the knob `precision`; everything but `auto` is taken as it is. device: default `find_device()`.
    `auto` is bf16 where the GPU or CPU computes with it; else fp16 on a GPU, and fp32.
    """
    import torch

    if asked != "auto":
        return asked
    device = device or find_device()
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_computes_bf16() else "fp32"


def cpu_computes_bf16() -> bool:
    """Whether torch says that this CPU has instructions for bf16; False where torch no longer answers the question."""
    import torch

    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, bool)() for question in questions)


def resolved(config: RunConfig) -> str:
    """Where this config trains and in which arithmetic, for people: `cpu`, or `cuda, text in bf16`."""
    if not config.tunes:
        return "cpu"
    return f"{find_device()}, {' and '.join(config.tunes)} in {find_precision(config.precision)}"


def autocast(device, precision: str):
    """torch's context in which matrix products run in this precision; it changes nothing for `fp32`."""
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, dtype=dtypes[precision], enabled=precision != "fp32")


@contextmanager
def threads_for(config: RunConfig) -> Iterator[None]:
    """One thread for heads on frozen features, all of them where encoders are trained.

    Matrices as small as a head's gain nothing from more, and would round differently on a machine with more cores.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads if config.tunes else 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def own_random(seed: int, device) -> Iterator[None]:
    """Draw torch's random numbers from this seed, and leave the caller's as they were."""
    import torch

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
