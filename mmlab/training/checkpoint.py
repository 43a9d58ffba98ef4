"""A half-done training in one file: written after each epoch, so that a killed process goes on where it was."""

import json
from pathlib import Path

import torch
from torch import Tensor

from mmlab.errors import MmlabError
from mmlab.storage import write_atomic
from mmlab.training.loop import Progress


def save_progress(path: Path, progress: Progress, model, optimizer, schedule, scaler) -> None:
    """Write everything that the next epoch depends on: weights, optimizer, schedule, scale and random numbers."""
    tensors = {f"model/{name}": tensor for name, tensor in model.learned().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (progress.best or {}).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": moment for name, moment in moments.items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(model.device)
    state = {
        "history": progress.history,
        "best_loss": progress.best_loss,
        "best_epoch": progress.best_epoch,
        "schedule": schedule.last_epoch,
        "scaler": scaler.state_dict(),
    }
    write_checkpoint(path, tensors, state)


def load_progress(path: Path, model, optimizer, schedule, scaler) -> Progress | None:
    """Put everything back as `save_progress` found it; None without a file. Raises MmlabError when it is damaged."""
    found = read_checkpoint(path)
    if found is None:
        return None
    tensors, state = found
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "random": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    model.load_learned(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, moment in parts["optimizer"].items():
        number, _, kind = name.partition("/")
        moments.setdefault(int(number), {})[kind] = moment
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    schedule.last_epoch = state["schedule"] - 1
    schedule.step()
    scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"]:
        torch.cuda.set_rng_state(parts["random"]["cuda"], model.device)
    return Progress(state["history"], state["best_loss"], state["best_epoch"], parts["best"] or None)


def write_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict) -> None:
    """Write tensors and plain values into one safetensors file, whole or not at all."""
    from safetensors.torch import save

    write_atomic(path, save({name: t.contiguous() for name, t in tensors.items()}, {"state": json.dumps(state)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict] | None:
    """What `write_checkpoint` wrote, or None when there is nothing. Raises MmlabError when the file is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as content:
            state = json.loads(content.metadata()["state"])
            return {name: content.get_tensor(name) for name in content.keys()}, state
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise MmlabError(f"{path}: is damaged ({error}). Delete it; training then begins again.") from error
