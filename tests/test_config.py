"""One strict set of knobs: what is refused, what is equal, what a preset changes."""

import dataclasses
import re
import subprocess
import sys

import pytest

from mmlab.config import (
    KNOBS,
    LABELS,
    PRESETS,
    SCENARIOS,
    RunConfig,
    find_fusions,
    list_fusions,
    probability_columns,
    read_knobs,
    suggest,
    write_knobs,
)
from mmlab.errors import ConfigError
from mmlab.freshness import digest_of


def refusal(**params) -> str:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_params(params)
    return str(caught.value)


def test_the_defaults_are_the_laptop_preset():
    assert RunConfig() == RunConfig.from_params({}) == RunConfig.from_params({}, "laptop")
    assert RunConfig.from_params(RunConfig().to_dict()) == RunConfig()


def test_a_preset_is_a_starting_point_that_any_knob_overrides():
    smoke = RunConfig.from_params({}, "smoke")
    assert {name: getattr(smoke, name) for name in PRESETS["smoke"]} == PRESETS["smoke"]
    assert smoke != RunConfig()
    assert RunConfig.from_params({"epochs": 3}, "smoke") == smoke.replace(epochs=3)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset):
    assert RunConfig.from_params({}, preset).hidden > 0


def test_an_unknown_preset_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="Did you mean 'smoke'"):
        RunConfig.from_params({}, "smok")


@pytest.mark.parametrize(("wrong", "right"), [("drop_out", "dropout"), ("fusoin", "fusion"), ("seedd", "seed")])
def test_an_unknown_name_is_refused_with_a_suggestion(wrong, right):
    assert f"Unknown parameter {wrong!r}. Did you mean {right!r}?" in refusal(**{wrong: 1})


def test_an_unknown_name_like_no_other_is_refused_with_all_there_are():
    assert "Known: text_encoder, image_encoder" in refusal(zzz=1)


def test_suggest_names_all_when_nothing_is_near():
    assert suggest("zzzz", ["alpha", "beta"]) == " Known: alpha, beta."
    assert suggest("alhpa", ["alpha", "beta"]) == " Did you mean 'alpha'?"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", "1e-4"),  # what YAML and a shell make of 1e-4
        ("lr", None),
        ("lr", True),
        ("epochs", True),  # bool is an int in Python
        ("epochs", 2.0),
        ("epochs", "2"),
        ("class_weights", 1),
        ("class_weights", "true"),
        ("fusion", 3),
        ("text_encoder", None),
        ("hidden", [64]),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_and_nothing_is_converted(name, value):
    message = refusal(**{name: value})
    assert f"{name}={value!r}" in message
    assert type(value).__name__ in message
    assert ("without quotes" in message) == isinstance(value, str)


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("lr", 0.0, "above 0"),
        ("lr", -1e-3, "above 0"),
        ("lr", 10, "at most 1"),
        ("lr", float("nan"), "a number"),
        ("lr", float("inf"), "at most"),
        ("clip_norm", 0, "above 0"),
        ("weight_decay", -0.1, "at least 0"),
        ("dropout", 1.0, "below 1"),
        ("dropout", -0.1, "at least 0"),
        ("dropout", float("nan"), "a number"),
        ("modality_dropout", 1, "below 1"),
        ("warmup", 1.0, "below 1"),
        ("label_smoothing", 1.0, "below 1"),
        ("hidden", 0, "at least 1"),
        ("heads", 0, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("patience", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("seeds", 0, "at least 1"),
        ("seed", -1, "at least 0"),
        ("seed", 2**31, "at most"),
        ("folds", -1, "at least 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_bound(name, value, bound):
    assert re.search(f"{name}=.*({bound})", refusal(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 1e-8), ("lr", 1), ("dropout", 0), ("dropout", 0.999), ("weight_decay", 0), ("folds", 0), ("folds", 2),
     ("warmup", 0), ("seed", 2**31 - 1), ("seed", 0), ("modality_dropout", 0.0)],
)  # fmt: skip
def test_the_edges_of_a_range_are_inside(name, value):  # twin: a check that refuses everything passes the test above
    assert getattr(RunConfig.from_params({name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [("fusion", "attenton", "attention"), ("scenario", "text-only", "text_only"),
     ("control", "shuffle_image", "shuffle_images")],
)  # fmt: skip
def test_a_value_that_is_no_choice_is_refused_with_the_nearest_one(name, value, near):
    assert f"Did you mean {near!r}" in refusal(**{name: value})


CHANGED = {"fusion": "late", "members": "kernel", "lr": 0.1, "regularise": 2.0}


@pytest.mark.parametrize(
    "preset, name",
    [("kernel", "fusion"), ("kernel", "members"), ("best", "lr"), ("best", "regularise"), ("laptop", "members")],
)
def test_a_knob_that_the_model_does_not_use_is_refused(preset, name):
    with pytest.raises(ConfigError, match=f"{name} means nothing to model="):
        RunConfig.from_params({name: CHANGED[name]}, preset).check_used([name])
    RunConfig.from_params({}, preset).check_used([name])  # twin: at its default it does no harm


@pytest.mark.parametrize("preset", PRESETS)
def test_the_knobs_of_a_preset_are_used_by_its_model(preset):  # twin: a check that refuses everything
    RunConfig.from_params({}, preset).check_used({"seed", "folds", "text_encoder", *PRESETS[preset]})


def test_a_member_with_encoders_of_its_own_is_refused():
    assert "hub has encoders of its own" in refusal(model="ensemble", members="laptop, hub")
    assert (
        RunConfig(model="ensemble", text_encoder="other", members="laptop").list_members()["laptop"].text_encoder
        == "other"
    )


def test_a_list_may_be_empty():
    assert read_knobs("views=") == {"views": ""} == read_knobs(write_knobs({"views": ""}))
    with pytest.raises(ConfigError, match="is not of this form"):  # twin: another knob may not
        read_knobs("fusion=")


def test_one_fold_is_refused():
    assert "folds=1" in refusal(folds=1)


def test_heads_must_divide_hidden():
    message = refusal(hidden=100, heads=8)
    assert "hidden=100" in message and "heads=8" in message
    assert RunConfig(hidden=96, heads=8).hidden == 96


def test_one_setting_has_one_digest_however_its_numbers_are_written():
    assert digest_of(RunConfig(weight_decay=1).to_dict()) == digest_of(RunConfig(weight_decay=1.0).to_dict())
    assert type(RunConfig(clip_norm=1).clip_norm) is float
    assert RunConfig(dropout=0) == RunConfig(dropout=0.0)
    assert re.fullmatch(r"[0-9a-f]{12}", digest_of(RunConfig().to_dict()))


def test_every_knob_changes_the_digest():
    other = {
        "text_encoder": "a", "image_encoder": "b", "scenario": "text_only", "fusion": "late", "hidden": 64, "heads": 2,
        "dropout": 0.1, "modality_dropout": 0.1, "lr": 1e-4, "weight_decay": 0.1, "epochs": 2, "patience": 2,
        "batch_size": 8, "warmup": 0.2, "label_smoothing": 0.0, "class_weights": True, "clip_norm": 2.0, "folds": 3,
        "seeds": 3, "seed": 1, "control": "shuffle_texts", "text_layers": 2, "image_layers": -1, "encoder_lr": 1e-4,
        "layer_decay": 0.5, "accumulate": 2, "checkpointing": True, "precision": "bf16", "image_side": 64,
        "augment": False, "model": "kernel", "members": "kernel", "prior_shift": 1.0, "regularise": 1.0,
        "views": "style",
    }  # fmt: skip
    assert set(other) == {field.name for field in dataclasses.fields(RunConfig)}  # a new knob belongs here too
    digests = {digest_of(RunConfig(**{name: value}).to_dict()) for name, value in other.items()}
    assert len(digests | {digest_of(RunConfig().to_dict())}) == len(other) + 1


def test_replace_is_as_strict_as_a_new_config():
    assert RunConfig().replace(lr=1).lr == 1.0
    with pytest.raises(ConfigError, match="Did you mean 'dropout'"):
        RunConfig().replace(dropuot=0.1)
    with pytest.raises(ConfigError, match="without quotes"):
        RunConfig().replace(lr="0.1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().lr = 0.1


def test_one_scenario_is_trained_alone_and_the_joint_one_with_all():
    assert RunConfig(scenario="text_only").trained_scenarios == ("text_only",)
    assert RunConfig(scenario="image_only").trained_scenarios == ("image_only",)
    assert RunConfig().trained_scenarios == SCENARIOS


def test_probability_columns_follow_the_order_of_the_labels():
    assert LABELS == ("negative", "neutral", "positive")
    assert probability_columns("text_only") == ["text_only_negative", "text_only_neutral", "text_only_positive"]


def test_a_knob_says_what_it_may_be():
    assert KNOBS["dropout"].limits == "at least 0, below 1"
    assert KNOBS["control"].limits.startswith("none, shuffle_images")
    assert KNOBS["text_encoder"].limits == ""
    assert all(one.help and len(one.help) < 80 and one.help[-1] != "." for one in KNOBS.values())


def test_knobs_as_one_text_and_back():
    knobs = {"hidden": 64, "lr": 1e-05, "augment": False, "text_encoder": "./my folder, 'new'", "fusion": "late"}
    assert read_knobs(write_knobs(knobs)) == knobs
    assert [type(one) for one in read_knobs("lr=1 hidden=8 class_weights=True").values()] == [float, int, bool]
    assert read_knobs("") == {} == read_knobs("  ")


@pytest.mark.parametrize(
    ("text", "message"),
    [("hiden=64", "Did you mean 'hidden'"), ("hidden", "'hidden' is not of this form"), ("hidden=", "not of this form"),
     ("hidden=6.5", "not a whole number"), ("augment=1", "write true or false"), ("hidden=8 hidden=9", "set twice"),
     ("dropout=1", "below 1"), ("text_encoder='a", "cannot be read")],
)  # fmt: skip
def test_knobs_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        read_knobs(text)


def test_fusions_are_known_without_torch_and_are_those_of_the_module():
    code = "import sys; from mmlab.config import list_fusions; print(*list_fusions(), 'torch' in sys.modules)"
    *names, loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    from mmlab.models import FUSIONS

    assert loaded == "False" and tuple(names) == tuple(FUSIONS) == list_fusions()
    assert find_fusions()["gated"] is FUSIONS["gated"]


def test_only_what_differs_from_the_defaults():
    assert RunConfig().changed() == {}
    assert RunConfig(lr=0.1, fusion="late").changed() == {"fusion": "late", "lr": 0.1}


def test_a_number_too_long_to_write_is_out_of_range_like_any_other():
    for name, value in {"hidden": 10**5000, "seed": -(10**5000), "lr": 10**5000}.items():
        with pytest.raises(ConfigError, match=rf"^{name}=-?10\^5000 is out of range"):
            RunConfig(**{name: value})


@pytest.mark.parametrize("preset", ["hub", "hub_tuned", "gpu"])
def test_the_image_encoder_that_a_preset_names_is_one_whose_weights_timm_knows(preset):
    import timm

    known = timm.list_pretrained()
    name = RunConfig.from_params({}, preset).image_encoder
    assert name in known and f"{name}.other" not in known
