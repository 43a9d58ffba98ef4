"""The vocabulary of the lab, and every knob of a training, each declared once. Explained in notebook 04, section 1.

The command line, the notebooks, the grid and the report's table of settings are made from these declarations.
"""

import ast
import dataclasses
import difflib
import math
import shlex
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmlab.errors import ConfigError

# Ordered from bad to good: the position is the class number everywhere (arrays, logits, confusion).
LABELS = ("negative", "neutral", "positive")
SCENARIOS = ("text_only", "image_only", "text_and_image")
CONTROLS = ("none", "shuffle_images", "shuffle_texts", "shuffle_labels")
MODELS = ("neural", "kernel", "ensemble")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ALL_LAYERS = -1
# Knobs that the members of an ensemble share: what they see, and how they are trained and scored.
SHARED = ("text_encoder", "image_encoder", "scenario", "folds", "seed", "control", "precision", "views", "prior_shift")
# The knobs that a model uses beside them; the neural heads use all but those of the other two.
OWN = {"kernel": ("regularise", "seeds"), "ensemble": ("members",)}
LISTS = ("views", "members")  # knobs that hold names, separated by commas
EXERCISE_TAG = "exercise"  # of the cells of a notebook that ask the student something

# Columns of every frame and file that the lab writes.
GUID, LABEL, TEXT, IMAGE, ENCODING, TWIN, SPLIT, FOLD = (
    "guid", "label", "text", "image", "encoding", "twin", "split", "fold",
)  # fmt: skip


def probability_columns(scenario: str) -> list[str]:
    return [f"{scenario}_{label}" for label in LABELS]


@cache
def _fusions_in_source() -> dict[str, str]:
    tree = ast.parse(Path(__file__).with_name("models.py").read_text(encoding="utf-8"))
    named = [(node, word) for node in tree.body if isinstance(node, ast.ClassDef) for word in node.keywords]
    return {word.value.value: f"mmlab.models:{node.name}" for node, word in named if word.arg == "name"}


def find_fusions() -> dict[str, Any]:
    """Every fusion's class by its name. A class declares its own: `class GatedFusion(Fusion, name="gated")`.

    Once models.py is loaded, which loads torch, the classes themselves are given, with those that a user has added.
    Until then each is given by its place, "mmlab.models:GatedFusion", read from the source.
    """
    return getattr(sys.modules.get("mmlab.models"), "FUSIONS", None) or _fusions_in_source()


def list_fusions() -> tuple[str, ...]:
    return tuple(find_fusions())


@dataclass(frozen=True)
class Knob:
    """The declaration of one knob: its name, default, help, and what it may be."""

    name: str
    kind: type  # bool, int, float or str
    default: Any
    help: str
    choices: Any = None  # its values, or a function that lists them
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def limits(self) -> str:
        """What it may be, in words; "" where anything of its type is allowed."""
        if self.choices is not None:
            return ", ".join(self.list_choices())
        bounds = {"at least": self.low, "above": self.above, "at most": self.high, "below": self.below}
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)

    def list_choices(self) -> tuple[str, ...]:
        return tuple(self.choices() if callable(self.choices) else self.choices or ())

    def check(self, value: Any) -> None:
        """Raise ConfigError for a value of another type or out of bounds; nothing is converted silently."""
        name, kind = self.name, self.kind
        fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and kind is not bool):
            hint = " Write it without quotes." if isinstance(value, str) else ""
            raise ConfigError(f"{name}={value!r} is of type {type(value).__name__}; it must be {kind.__name__}.{hint}")
        if self.choices is not None:
            check_choice(name, value, self.list_choices())
        bounds = [
            (self.low is None or value >= self.low, f"at least {self.low}"),
            (self.high is None or value <= self.high, f"at most {self.high}"),
            (self.above is None or value > self.above, f"above {self.above}"),
            (self.below is None or value < self.below, f"below {self.below}"),
        ]
        for holds, words in bounds:
            if not holds:
                must = words if value == value else "a number"
                raise ConfigError(f"{name}={_shorten(value)} is out of range: it must be {must}.")

    def read(self, text: str) -> Any:
        """The value that a text means, `"1e-3"` or `"true"`, checked. Raises ConfigError."""
        value: Any = text
        if self.kind is bool:
            if text.lower() not in ("true", "false"):
                raise ConfigError(f"{self.name}={text}: write true or false.")
            value = text.lower() == "true"
        elif self.kind is not str:
            try:
                value = self.kind(text)
            except ValueError:
                what = "a whole number" if self.kind is int else "a number"
                raise ConfigError(f"{self.name}={text!r} is not {what}.") from None
        self.check(value)
        return value


def _split(names: str) -> list[str]:
    return [one.strip() for one in names.split(",") if one.strip()]


def _shorten(value: Any) -> str:
    """A value for a message. Python refuses to write a whole number of more than 4,300 digits."""
    huge = isinstance(value, int) and abs(value) > 10**40
    return f"{'-' if value < 0 else ''}10^{math.log10(abs(value)):.0f}" if huge else str(value)


def knob(default: Any, help: str, **limits: Any) -> Any:
    """A field of RunConfig with its declaration; limits: choices, low, high, above and below of a Knob."""
    return dataclasses.field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Every knob of one training. Flat, so that papermill, a grid and a shell can set each by name.

    The defaults were chosen out of fold, on folds drawn with another seed than the default one that is reported.
    """

    text_encoder: str = knob("minilm", "text encoder: a name or a folder")
    image_encoder: str = knob("efficientnet_lite0", "image encoder: a name or a folder")
    scenario: str = knob("text_and_image", "what is trained; text_and_image trains all three heads", choices=SCENARIOS)
    model: str = knob(
        "neural", "what answers: neural heads, a kernel machine over views, or an ensemble", choices=MODELS
    )
    fusion: str = knob("gated", "how the joint head combines text and image", choices=list_fusions)
    hidden: int = knob(128, "width of the heads", low=1, high=65536)
    heads: int = knob(4, "attention heads; they divide hidden", low=1, high=1024)
    dropout: float = knob(0.6, "share of feature dimensions hidden in training", low=0, below=1)
    modality_dropout: float = knob(0.2, "share of training pairs that lose text or image", low=0, below=1)
    # A step of AdamW moves each weight by about the learning rate. Weights begin below 1: a larger step forgets them.
    lr: float = knob(1e-3, "learning rate", above=0, high=1)
    weight_decay: float = knob(0.05, "pull of the weights towards 0", low=0, high=1e6)
    epochs: int = knob(20, "at most; early stopping ends sooner", low=1, high=1_000_000)
    patience: int = knob(3, "epochs without a lower dev loss before training stops", low=1, high=1_000_000)
    batch_size: int = knob(128, "pairs per batch", low=1, high=1_000_000)
    warmup: float = knob(0.1, "share of the steps in which the learning rate rises from 0", low=0, below=1)
    label_smoothing: float = knob(0.1, "share of each target spread over all labels", low=0, below=1)
    prior_shift: float = knob(0.0, "rare labels are answered more often; 1: as if all were as frequent", low=0, high=4)
    class_weights: bool = knob(False, "weight each class by its inverse frequency in the loss")
    clip_norm: float = knob(1.0, "largest norm of the gradient", above=0, high=1e6)
    folds: int = knob(5, "cross-fitting folds; 0 trains on train and scores on dev", low=0, high=127)
    seeds: int = knob(2, "models averaged in each fold", low=1, high=1000)
    seed: int = knob(0, "of the split, the folds and the training", low=0, high=2**31 - 1)
    control: str = knob("none", "a control experiment that destroys one relation on purpose", choices=CONTROLS)
    # Fine-tuning. With no layer of either encoder trained, features are computed once and cached: the laptop's way.
    text_layers: int = knob(0, "last layers of the text encoder to train; -1: all", low=ALL_LAYERS, high=1000)
    image_layers: int = knob(0, "last blocks of the image encoder to train; -1: all", low=ALL_LAYERS, high=1000)
    encoder_lr: float = knob(5e-5, "learning rate of an encoder's last layer", above=0, high=1)
    layer_decay: float = knob(0.9, "factor on the learning rate for each layer further down", above=0, high=1)
    accumulate: int = knob(1, "batches added up before a step", low=1, high=100_000)
    checkpointing: bool = knob(False, "recompute activations in the backward pass: slower, less memory")
    precision: str = knob("auto", "arithmetic of trained encoders; auto follows the device", choices=PRECISIONS)
    image_side: int = knob(0, "pixels per side of the training images; 0: the encoder's own", low=0, high=4096)
    augment: bool = knob(True, "crop and mirror training images where the image encoder is trained")
    # The kernel machine and the ensemble.
    views: str = knob("cleaned, lexicon, mirrored, style", "views of the kernel machine, separated by commas")
    regularise: float = knob(0.5, "pull of the kernel machine's weights towards 0", above=0, high=1e6)
    members: str = knob("laptop, kernel", "members of the ensemble: presets, separated by commas")

    def __post_init__(self) -> None:
        for one in KNOBS.values():
            one.check(getattr(self, one.name))
            if one.kind is float:  # 1 and 1.0 are one setting, one run id and one file name
                object.__setattr__(self, one.name, float(getattr(self, one.name)))
        if self.folds == 1:
            raise ConfigError("folds=1 leaves nothing to train on. Use 0 (train/dev split) or 2 and more.")
        self.list_members()
        if self.hidden % self.heads:
            raise ConfigError(f"hidden={self.hidden} is not a multiple of heads={self.heads}. Change one of them.")

    @classmethod
    def from_params(cls, params: dict[str, Any], preset: str = "laptop") -> "RunConfig":
        """A config from a preset and flat parameters (papermill's, a shell's, a setting's of a grid).

        Raises ConfigError for an unknown name, a value of the wrong type (`"1e-4"` is text) and one out of range.
        """
        check_choice("preset", preset, tuple(PRESETS))
        for name in params:
            find_knob(name)
        return cls(**{**PRESETS[preset], **params})

    @property
    def used_knobs(self) -> set[str]:
        """The knobs that this config's model uses, and those that it would share with other members of an ensemble."""
        if self.model in OWN:
            return {"model", *SHARED, *OWN[self.model]}
        return {*KNOBS} - {"regularise", "members"}

    def check_used(self, names: Iterable[str]) -> "RunConfig":
        """The config itself. Raises ConfigError for one of these knobs that was changed and its model does not use."""
        if others := [name for name in names if name in self.changed() and name not in self.used_knobs]:
            raise ConfigError(f"{others[0]} means nothing to model={self.model}. Leave it out, or take another model.")
        return self

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some knobs changed, checked as strictly as a new one."""
        return RunConfig.from_params({**self.to_dict(), **changes})

    def changed(self) -> dict[str, Any]:
        return {name: value for name, value in self.to_dict().items() if value != KNOBS[name].default}

    @property
    def trained_scenarios(self) -> tuple[str, ...]:
        return SCENARIOS if self.scenario == "text_and_image" else (self.scenario,)

    @property
    def tunes(self) -> tuple[str, ...]:
        """The modalities whose encoder is trained with the head, or with that of a member."""
        layers = {
            name: any(getattr(one, f"{name}_layers") for one in self.list_members().values())
            for name in ("text", "image")
        }
        return tuple(name for name, some in layers.items() if some)

    @property
    def uses_views(self) -> bool:
        return any(one.model == "kernel" for one in self.list_members().values())

    @property
    def view_names(self) -> list[str]:
        """The views that are turned on; none for a model that uses none."""
        return _split(self.views) if self.uses_views else []

    def list_members(self) -> dict[str, "RunConfig"]:
        """The configs of an ensemble's members by preset; of another model, the config itself under "".

        A member has its preset's knobs, and those of this config that all members share.
        """
        if self.model != "ensemble":
            return {"": self}
        shared = {name: getattr(self, name) for name in SHARED}
        names = _split(self.members)
        for name in names:
            check_choice("members", name, tuple(one for one in PRESETS if PRESETS[one].get("model") != "ensemble"))
            if others := {"text_encoder", "image_encoder"} & {*PRESETS[name]}:
                fix = f"members share theirs. Set {' and '.join(sorted(others))} for the whole ensemble instead."
                raise ConfigError(f"members={self.members!r}: {name} has encoders of its own, and {fix}")
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"members={self.members!r}: name one preset or several, each once, separated by commas.")
        return {name: RunConfig(**{**PRESETS[name], **shared}) for name in names}

    def frozen(self) -> "RunConfig":
        """The same heads on frozen features, trained as the laptop does: where fine-tuning begins."""
        names = ("text_layers", "image_layers", "lr", "epochs", "patience", "batch_size", "accumulate", "warmup")
        return self.replace(**{name: KNOBS[name].default for name in names})


KNOBS = {
    field.name: Knob(field.name, field.type, field.default, **field.metadata) for field in dataclasses.fields(RunConfig)
}

_PRESETS = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
PRESETS: dict[str, dict[str, Any]] = _PRESETS["training"]
GRID_PRESETS: dict[str, dict[str, list[Any]]] = _PRESETS["grid"]


def find_knob(name: str) -> Knob:
    """The declaration of a knob. Raises ConfigError, with the nearest name, for one that does not exist."""
    if name not in KNOBS:
        raise ConfigError(f"Unknown parameter {name!r}.{suggest(name, list(KNOBS))}")
    return KNOBS[name]


def read_knobs(text: str) -> dict[str, Any]:
    """Knobs written as one text, `"hidden=64 text_encoder='./my folder'"`, as checked values. Raises ConfigError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"knobs={text!r} cannot be read ({error}). Write name=value, separated by spaces.") from None
    knobs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not (value or name in LISTS):
            raise ConfigError(f"knobs={text!r}: write name=value, such as hidden=64; {word!r} is not of this form.")
        if name in knobs:
            raise ConfigError(f"knobs={text!r}: {name} is set twice. Keep one of them.")
        knobs[name] = find_knob(name).read(value)
    return knobs


def write_knobs(knobs: dict[str, Any]) -> str:
    """The inverse of `read_knobs`."""
    return " ".join(shlex.quote(f"{name}={write_value(value)}") for name, value in knobs.items())


def write_value(value: Any) -> str:
    """A knob's value as it is typed: true and false in lower case, numbers with all their digits."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def name_knobs(knobs: dict[str, Any]) -> str:
    """The name of a grid's setting: `lr 0.001, dropout 0.2`."""
    return ", ".join(f"{name} {one:g}" if isinstance(one, float) else f"{name} {one}" for name, one in knobs.items())


def suggest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The second half of an error: the nearest known name, or all of them."""
    return nearest(name, known) or f" Known: {', '.join(known)}."


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """As `suggest`, for an error whose first half lists all of them; "" where none is near."""
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError, with the nearest choice, for a value that is none of them."""
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(choices)}.{nearest(value, choices)}")
