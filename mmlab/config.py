"""The vocabulary of the lab, its presets, and the one strict set of knobs a run has.

Explained in notebook 04, section 1.
"""

import dataclasses
import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mmlab.errors import ConfigError

# Ordered from bad to good: the position is the class number everywhere (arrays, logits, confusion).
LABELS = ("negative", "neutral", "positive")
SCENARIOS = ("text_only", "image_only", "text_and_image")
FUSIONS = ("concat", "gated", "attention", "transformer", "late")
CONTROLS = ("none", "shuffle_images", "shuffle_texts", "shuffle_labels")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ALL = -1  # of an encoder's layers

# Columns of every frame and file the lab writes. Course files alone call the label `tag`.
GUID, LABEL, TEXT, IMAGE, ENCODING, TWIN, SPLIT, FOLD = (
    "guid", "label", "text", "image", "encoding", "twin", "split", "fold",
)  # fmt: skip


def probability_columns(scenario: str) -> list[str]:
    """The three column names of a scenario's probabilities, in the order of LABELS."""
    return [f"{scenario}_{label}" for label in LABELS]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Every knob of one training. Flat, so that papermill, a grid and a shell can set each by name.

    The defaults were chosen out of fold, on folds drawn with another seed than the default one that is reported.
    """

    text_encoder: str = "minilm"
    image_encoder: str = "efficientnet_lite0"
    scenario: str = "text_and_image"  # text_and_image trains all three at once; text_only or image_only one alone
    fusion: str = "gated"
    hidden: int = 128  # width of the head
    heads: int = 4  # attention heads; divides hidden
    dropout: float = 0.6
    modality_dropout: float = 0.2  # share of training pairs that lose one modality at random
    lr: float = 1e-3
    weight_decay: float = 0.05
    epochs: int = 20  # at most; early stopping ends sooner
    patience: int = 3  # epochs without a better dev loss before stopping
    batch_size: int = 128
    warmup: float = 0.1  # share of the steps in which lr rises from 0
    label_smoothing: float = 0.1
    class_weights: bool = False  # weigh classes by inverse frequency in the loss
    clip_norm: float = 1.0  # largest gradient norm
    folds: int = 5  # cross-fitting folds; 0 trains on `train` and scores on `dev`
    seeds: int = 2  # models averaged in each fold
    seed: int = 0
    control: str = "none"  # a control experiment that destroys one relation on purpose
    # Fine-tuning. With no layer of either encoder trained, features are computed once and cached: the laptop's way.
    text_layers: int = 0  # last layers of the text encoder to train; -1: all, with the embeddings
    image_layers: int = 0  # last blocks of the image encoder to train; -1: all
    encoder_lr: float = 5e-5  # learning rate of an encoder's last layer
    layer_decay: float = 0.9  # each layer below learns so many times slower than the one above
    accumulate: int = 1  # batches added up before a step: batch_size * accumulate pairs a step
    checkpointing: bool = False  # recompute activations in the backward pass: a third slower, far less memory
    precision: str = "auto"  # of the encoders' arithmetic; auto: bf16 or fp16 on a GPU, the quicker on a CPU
    image_side: int = 0  # pixels a side of the training images; 0: the encoder's own
    augment: bool = True  # crop and mirror the training images, where the image encoder is trained

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
            if field.type is float:  # 1 and 1.0 are one setting, one run id and one file name
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        _check_choice("scenario", self.scenario, SCENARIOS)
        _check_choice("fusion", self.fusion, FUSIONS)
        _check_choice("control", self.control, CONTROLS)
        _check_choice("precision", self.precision, PRECISIONS)
        for name in ("hidden", "heads", "epochs", "patience", "batch_size", "seeds", "accumulate"):
            _check_range(name, getattr(self, name), low=1)
        for name in ("text_layers", "image_layers"):
            _check_range(name, getattr(self, name), low=ALL)
        _check_range("image_side", self.image_side, low=0, high=4096)
        _check_range("layer_decay", self.layer_decay, above=0, high=1)
        _check_range("seed", self.seed, low=0, high=2**31 - 1)
        for name in ("dropout", "modality_dropout", "warmup", "label_smoothing"):
            _check_range(name, getattr(self, name), low=0, below=1)
        for name in ("lr", "encoder_lr", "clip_norm"):
            _check_range(name, getattr(self, name), above=0, high=1e6)
        _check_range("weight_decay", self.weight_decay, low=0, high=1e6)
        _check_range("folds", self.folds, low=0)
        if self.folds == 1:
            raise ConfigError("folds=1 leaves nothing to train on. Use 0 (train/dev split) or 2 and more.")
        if self.hidden % self.heads:
            raise ConfigError(f"hidden={self.hidden} is not a multiple of heads={self.heads}. Change one of them.")

    @classmethod
    def from_params(cls, params: dict[str, Any], preset: str = "laptop") -> "RunConfig":
        """A config from a preset and flat parameters (papermill's, a shell's, a grid cell's).

        Raises ConfigError for an unknown name (with the nearest known one), a value of the wrong type
        (`"1e-4"` is text, not a number) and a value out of range. Nothing is converted silently.
        """
        _check_choice("preset", preset, tuple(PRESETS))
        known = [field.name for field in dataclasses.fields(cls)]
        for name in params:
            if name not in known:
                raise ConfigError(f"Unknown parameter {name!r}.{suggest(name, known)}")
        return cls(**{**PRESETS[preset], **params})

    def to_dict(self) -> dict[str, Any]:
        """The knobs as plain literals, in the order in which they are declared."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some knobs changed, checked as strictly as a new one."""
        return RunConfig.from_params({**self.to_dict(), **changes})

    def digest(self) -> str:
        """Twelve hex digits that name this setting."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def trained_scenarios(self) -> tuple[str, ...]:
        """The scenarios for which this training gives predictions."""
        return SCENARIOS if self.scenario == "text_and_image" else (self.scenario,)

    @property
    def tunes(self) -> tuple[str, ...]:
        """The modalities whose encoder is trained with the head."""
        return tuple(name for name in ("text", "image") if getattr(self, f"{name}_layers"))

    def frozen(self) -> "RunConfig":
        """The same heads on frozen features, trained as the laptop does: where fine-tuning begins."""
        usual = RunConfig()
        names = ("text_layers", "image_layers", "lr", "epochs", "patience", "batch_size", "accumulate", "warmup")
        return self.replace(**{name: getattr(usual, name) for name in names})


# A preset is a starting point: any knob can be set on top of it.
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    # On two cores about two minutes a model. Three models a fold, since what one learns of so few pairs is partly luck.
    "tuned": {
        "text_layers": 6,
        "encoder_lr": 2e-4,
        "lr": 3e-4,
        "epochs": 3,
        "patience": 3,
        "batch_size": 32,
        "seeds": 3,
    },
    "gpu": {
        "text_encoder": "roberta-base",
        "image_encoder": "convnext_base.fb_in22k_ft_in1k",
        "fusion": "transformer",
        "hidden": 256,
        "text_layers": ALL,
        "image_layers": ALL,
        "image_side": 384,
        "encoder_lr": 3e-5,
        "lr": 3e-4,
        "epochs": 6,
        "patience": 2,
        "batch_size": 32,
        "seeds": 1,
    },
    "smoke": {"folds": 2, "seeds": 1, "epochs": 2, "hidden": 32},
}


# Values to try, by name. `coursework`: what the lab this one replaces tried; too small a step for so few updates.
GRID_PRESETS: dict[str, dict[str, list[Any]]] = {
    "coursework": {"lr": [1e-5, 1e-6, 1e-7, 1e-8], "dropout": [0.1, 0.3]},
    "working": {"lr": [1e-2, 1e-3, 1e-4], "dropout": [0.2, 0.6]},
}


def name_knobs(knobs: dict[str, Any]) -> str:
    """What a grid's cell is called: `lr 0.001, dropout 0.2`."""
    return ", ".join(f"{name} {one:g}" if isinstance(one, float) else f"{name} {one}" for name, one in knobs.items())


def suggest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The second half of an error: the nearest known name, or all of them."""
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."


def _check_type(name: str, value: Any, kind: type) -> None:
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and kind is not bool):
        hint = " Write it without quotes." if isinstance(value, str) else ""
        raise ConfigError(f"{name}={value!r} is of type {type(value).__name__}; it must be {kind.__name__}.{hint}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is not one of {', '.join(choices)}.{suggest(value, choices)}")


def _check_range(name, value, low=None, high=None, above=None, below=None) -> None:
    bounds = [
        (low is None or value >= low, f"at least {low}"),
        (high is None or value <= high, f"at most {high}"),
        (above is None or value > above, f"above {above}"),
        (below is None or value < below, f"below {below}"),
    ]
    for holds, words in bounds:
        if not holds:
            raise ConfigError(f"{name}={value!r} is out of range: it must be {words}.")
