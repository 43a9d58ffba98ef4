"""A half-done training in one file: written after each epoch, so that a killed process goes on where it was."""

import io
import pickle
from pathlib import Path

import torch

from mmlab.errors import MmlabError
from mmlab.storage import write_atomic
from mmlab.training.loop import Progress


def save_progress(path: Path, progress: Progress, model, **parts) -> None:
    """Write everything that the next epoch depends on, whole or not at all.

    parts: what has a `state_dict` besides the model: the optimizer, its schedule, the scale of the loss.
    """
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"model": model.learned(), "progress": vars(progress), "random": torch.get_rng_state()}
    if model.device.type == "cuda":
        state["random of the GPU"] = torch.cuda.get_rng_state(model.device)
    file = io.BytesIO()
    torch.save(state, file)
    write_atomic(path, file.getvalue())


def load_progress(path: Path, model, **parts) -> Progress | None:
    """Put everything back as `save_progress` found it; None without a file. Raises MmlabError when it is damaged."""
    if not path.is_file():
        return None
    state = read_checkpoint(path)
    model.load_learned(state["model"])
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"])
    if "random of the GPU" in state:
        torch.cuda.set_rng_state(state["random of the GPU"], model.device)
    return Progress(**state["progress"])


def read_checkpoint(path: Path) -> dict:
    """What `save_progress` wrote, by part. Raises MmlabError when the file is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # weights_only: a pickle could run code
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise MmlabError(f"{path}: is damaged ({first}). Delete it; this model then begins again.") from error
