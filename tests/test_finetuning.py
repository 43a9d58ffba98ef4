"""Fine-tuning on tiny encoders in the real formats: the same head, the same loop, nothing lost when it is killed."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mmlab.config import PRESETS, RunConfig
from mmlab.course import Course, read_course
from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.errors import ConfigError, MmlabError, RunError
from mmlab.export import export_encoders
from mmlab.features import Pairs
from mmlab.lab import Lab
from mmlab.models import Dropout, FusionModel
from mmlab.readout import pool_patches
from mmlab.runs import run_folder, train_run
from mmlab.training import (
    AdamW,
    Inputs,
    TrainingBar,
    TunedModel,
    TuningHooks,
    bucketed_batches,
    build_model,
    explain_memory,
    fit,
    predict,
    prepare_pairs,
    read_batches,
    read_checkpoint,
)
from mmlab.training.finetuning import attend, only_present_rows

WORDS = {
    "negative": ["awful rain again", "so sad today", "worst day ever :("],
    "neutral": ["the bus leaves at nine", "council meets today", "roadworks on main street"],
    "positive": ["lovely sunny day", "so happy today", "best day ever :)"],
}
COLOURS = {"negative": (160, 40, 40), "neutral": (120, 120, 120), "positive": (60, 160, 220)}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory) -> Path:
    """A RoBERTa of three tiny layers with a byte-level BPE tokenizer of its own, as transformers saves them."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("encoders") / "roberta"
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    lines = [text for texts in WORDS.values() for text in texts]
    trained.train_from_iterator(lines, vocab_size=400, min_frequency=1, special_tokens=special)
    folder.mkdir()
    trained.save(str(folder / "tokenizer.json"))
    tokenizer = transformers.RobertaTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    settings = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=80, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    transformers.RobertaModel(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory) -> Path:
    """timm's smallest ConvNeXt, as timm saves it."""
    import timm

    folder = tmp_path_factory.mktemp("encoders") / "convnext"
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("test_convnext"), folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """60 labelled pairs and 8 to predict, of which one has no text and one no image."""
    from PIL import Image

    root = tmp_path_factory.mktemp("course")
    (root / "data").mkdir()
    random = np.random.default_rng(0)
    rows = ["guid,tag"]
    for guid in range(1, 69):
        label = list(WORDS)[guid % 3]
        text = f"{WORDS[label][guid % len(WORDS[label])]} {guid * 37}"
        (root / "data" / f"{guid}.txt").write_text("" if guid == 65 else text)
        noise = random.integers(-40, 40, (48, 40, 3)) + np.array(COLOURS[label])
        if guid != 66:
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize((96, 80)).save(root / "data" / f"{guid}.jpg")
        if guid <= 60:
            rows.append(f"{guid},{label}")
    (root / "train.txt").write_text("\n".join(rows) + "\n")
    (root / "test_without_label.txt").write_text("\n".join(["guid,tag", *(f"{g},null" for g in range(61, 69))]) + "\n")
    return root


@pytest.fixture(scope="module")
def course(folder) -> Course:
    return read_course(folder)


@pytest.fixture(scope="module")
def config(text_folder, image_folder) -> RunConfig:
    return RunConfig(
        text_encoder=str(text_folder), image_encoder=str(image_folder), text_layers=2, image_layers=1, image_side=64,
        hidden=16, heads=2, dropout=0.1, encoder_lr=1e-3, lr=1e-3, epochs=3, patience=3, batch_size=8, folds=2, seeds=1,
        precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pairs(course, config) -> Inputs:
    return prepare_pairs(course, config, progress=None)


def tune(config, pairs, course, train_rows, dev_rows, checkpoint=None, on_epoch=None):
    hooks = TuningHooks(config, checkpoint=checkpoint)
    return fit(config, pairs, course.labels, train_rows, dev_rows, on_epoch=on_epoch, hooks=hooks)


@pytest.fixture
def random_heads(monkeypatch):
    """Training begins with random heads, which takes no time."""

    def begin(self, pairs, labels, train_rows, dev_rows, seed):
        self.seed = seed
        return build_model(self.config, pairs)

    monkeypatch.setattr(TuningHooks, "begin", begin)


def logits_of(model, features: Pairs, rows) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(features.batch(np.asarray(rows)))["text_and_image"]


# ------------------------------------------------------------------------------------ the two halves in one module


def test_at_its_start_the_model_is_what_the_head_makes_of_frozen_features(course, config, pairs):
    """The head never knows which: token ids and pixels give what the cache gives."""
    own_size = config.replace(image_side=0)  # the size at which the frozen features were made
    pairs = prepare_pairs(course, own_size, progress=None)
    torch.manual_seed(1)
    tuned = build_model(own_size, pairs)
    frozen = FusionModel(own_size, pairs.frozen.text.width, pairs.frozen.image.width)
    frozen.load_state_dict(tuned.head.state_dict())
    rows = [0, 1, 30, 64, 65]  # the text of row 64 and the image of row 65 are missing
    torch.testing.assert_close(
        logits_of(tuned, pairs, rows), logits_of(frozen, pairs.frozen, rows), atol=0.02, rtol=0.02
    )
    with torch.no_grad():  # the twin: with other encoder weights it does not
        for parameter in tuned.towers.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert (logits_of(tuned, pairs, rows) - logits_of(frozen, pairs.frozen, rows)).abs().max() > 0.05


def test_a_pair_is_answered_alike_alone_and_in_a_batch(config, pairs):
    model = build_model(config, pairs)
    together = logits_of(model, pairs, range(68))
    for row in (0, 64, 65):
        torch.testing.assert_close(together[row : row + 1], logits_of(model, pairs, [row]), atol=1e-4, rtol=1e-4)


def test_hidden_rows_are_not_encoded_and_the_others_come_out_as_before(pairs):
    seen = []

    def tower(ids, mask):
        seen.append(len(ids))
        return weight * ids.unsqueeze(-1).double() * mask.unsqueeze(-1)

    weight = torch.ones((), dtype=torch.double, requires_grad=True)
    ids, mask = torch.arange(1, 13).view(4, 3), torch.ones(4, 3, dtype=bool)
    whole = only_present_rows(tower, mask.any(dim=1), ids, mask)
    mask[2] = False
    some = only_present_rows(tower, mask.any(dim=1), ids, mask)
    some.sum().backward()
    assert seen == [4, 3] and weight.grad == 78 - (7 + 8 + 9)
    assert torch.equal(some[[0, 1, 3]], whole[[0, 1, 3]]) and not some[2].any() and whole[2].all()
    mask[:] = False  # nothing is there: one row is encoded for the shape, and it is masked
    assert not only_present_rows(tower, mask.any(dim=1), ids, mask).any() and seen[-1] == 1


@pytest.mark.parametrize("masked", [True, False])
def test_attention_in_training_is_torchs_but_for_its_random_numbers(masked, monkeypatch):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8).unbind(0)
    mask = (torch.arange(7) < torch.tensor([[7], [4]]))[:, None, None, :].expand(2, 1, 7, 7) if masked else None
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2)
    module = torch.nn.Module()
    module.is_causal = False
    several = [attend(module, query, key, value, mask, dropout=0.2)[0] for _ in range(2000)]
    torch.testing.assert_close(torch.stack(several).mean(dim=0), expected, atol=0.1, rtol=0.1)
    assert not torch.allclose(several[0], expected, atol=0.1) and not torch.equal(*several[:2])
    torch.testing.assert_close(attend(module, query, key, value, mask)[0], expected)
    monkeypatch.setattr(Dropout, "factors", lambda self, *shape, device=None: torch.ones(shape))
    torch.testing.assert_close(attend(module, query, key, value, mask, dropout=0.2)[0], expected)


def test_an_encoder_in_training_draws_cheaply_and_repeats_itself(config, pairs):
    """All its dropout is the lab's own, drawn from torch's generator: the same seed gives the same vectors."""
    if torch.accelerator.is_available():
        pytest.skip("an accelerator draws quickly itself")
    model = build_model(config, pairs)
    tower = model.towers["text"]
    assert not any(type(module) is torch.nn.Dropout for module in tower.modules())
    assert tower.model.config._attn_implementation == "mmlab"
    batch, outputs = pairs.batch(np.arange(6)), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(tower.train()(batch.text, batch.text_mask))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_a_side_that_is_masked_changes_nothing(config, pairs):
    model = build_model(config, pairs).eval()
    batch = pairs.batch(np.arange(6))
    hidden = batch.without(text=torch.ones(6, dtype=bool))
    with torch.inference_mode():
        before = model(hidden)["text_and_image"]
        hidden.text.random_(5, 20)
        after = model(hidden)["text_and_image"]
        hidden.image.add_(1.0)  # the twin: the image is seen
        moved = model(hidden)["text_and_image"]
    assert torch.isfinite(before).all() and torch.equal(before, after)
    assert not torch.equal(after, moved)


def test_every_encoder_gets_a_gradient_and_frozen_layers_none(config, pairs):
    model = build_model(config, pairs)
    sum(logits.sum() for logits in model(pairs.batch(np.arange(8))).values()).backward()
    for modality, tower in model.towers.items():
        for name, parameter in tower.model.named_parameters():
            seen = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert seen == parameter.requires_grad, (modality, name)


@pytest.mark.parametrize(("layers", "lowest"), [(1, 3), (2, 2), (3, 1), (-1, 0)])
def test_freezing_goes_by_depth(config, pairs, layers, lowest):
    model = build_model(config.replace(text_layers=layers), pairs)
    tower = model.towers["text"]
    trained = {tower.depths[n] for n, p in tower.model.named_parameters() if p.requires_grad}
    assert trained == set(range(lowest, 4))  # 0 is the embeddings, 3 the last layer


def test_more_layers_than_there_are_is_refused(config, pairs):
    with pytest.raises(ConfigError, match="text_layers=4: this encoder has 3 layers"):
        build_model(config.replace(text_layers=4), pairs)


def test_a_lower_layer_learns_more_slowly(config, pairs):
    tuned = config.replace(text_layers=-1, image_layers=-1, encoder_lr=1e-3, layer_decay=0.5)
    model = build_model(tuned, pairs)
    rates = {id(p): group.get("lr") for group in model.parameter_groups() for p in group["params"]}
    for tower in model.towers.values():
        top = max(tower.depths.values())
        for name, parameter in tower.model.named_parameters():
            if name in tower.depths:
                assert rates[id(parameter)] == pytest.approx(1e-3 * 0.5 ** (top - tower.depths[name]))
    assert {rates[id(parameter)] for parameter in model.head.parameters()} == {None}  # the head has the optimizer's
    assert len(rates) == sum(parameter.requires_grad for parameter in model.parameters())
    for group in model.parameter_groups():
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] > 0}


def test_checkpointed_activations_give_the_same_gradients(config, pairs):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build_model(config.replace(checkpointing=checkpointing, dropout=0.0), pairs)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.train()
        sum(logits.square().sum() for logits in model(pairs.batch(np.arange(6))).values()).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 10
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


# ------------------------------------------------------------------------------------------------- batches


def test_batches_hold_every_row_once_and_texts_of_like_length():
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    torch.manual_seed(0)
    batches = bucketed_batches(np.arange(500), lengths, 10)
    assert sorted(np.concatenate(batches)) == list(range(500))

    def padding(some):
        return sum(lengths[batch].max() * len(batch) for batch in some) / lengths.sum()

    shuffled = np.array_split(np.random.default_rng(1).permutation(500), 50)
    assert padding(batches) < 1.15 < 1.5 < padding(shuffled)
    again = bucketed_batches(np.arange(500), lengths, 10)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(batches, again, strict=True))


def test_augmentation_follows_its_seed_and_leaves_other_reading_alone(pairs):
    rows = [np.array([0, 1]), np.array([2, 65])]
    plain = list(read_batches(pairs, rows))
    drawn, same, other = (list(read_batches(pairs, rows, draw=draw)) for draw in (1, 1, 2))
    for one, two in zip(drawn, same, strict=True):
        assert torch.equal(one.image, two.image)
    assert not torch.equal(drawn[0].image, other[0].image)
    assert not torch.equal(drawn[0].image, plain[0].image)
    assert torch.equal(plain[0].image, pairs.batch(rows[0]).image)
    assert plain[1].image_mask.tolist() == [[True], [False]] and not plain[1].image[1].any()


def test_accumulated_batches_make_one_step(config, pairs, course, monkeypatch, random_heads):
    taken = []
    step = AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda self, *a, **k: (taken.append(1), step(self, *a, **k))[1])
    for accumulate, steps in ((1, 5), (2, 3), (9, 1)):  # 38 rows in batches of 8
        taken.clear()
        tune(config.replace(epochs=1, accumulate=accumulate), pairs, course, np.arange(38), np.arange(38, 50))
        assert len(taken) == steps


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_an_accumulated_gradient_is_that_of_one_batch_of_all_its_pairs(config, pairs, accumulate):
    """20 rows in batches of 8, 8 and 4, where the loss of a row is its number times w: the gradient is their mean."""
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    hooks = TuningHooks(config.replace(accumulate=accumulate))
    hooks.seed, hooks.scaler = 0, torch.amp.GradScaler("cpu", enabled=False)
    torch.manual_seed(0)
    numbers, groups = [], 0
    for rows, _ in hooks.batches(pairs, np.arange(20), epoch=1):
        numbers.extend(rows)
        hooks.backward((weight * torch.as_tensor(rows, dtype=torch.float32)).mean())
        if hooks.completes_group:
            assert weight.grad.item() == pytest.approx(np.mean(numbers))
            weight.grad, numbers, groups = None, [], groups + 1
    assert groups == hooks.steps(3) == {1: 3, 2: 2, 3: 1}[accumulate]


# -------------------------------------------------------------------------------------- training, and its end


@pytest.fixture(scope="module")
def run(config, course, pairs, tmp_path_factory):
    return train_run(config, course, pairs, tmp_path_factory.mktemp("results"))


def test_fine_tuning_learns_and_is_kept_like_any_run(run, course, pairs):
    assert run.scores["text_and_image"].accuracy.value > 0.6  # a third by chance
    assert not (run.folder.parents[1] / "checkpoints" / run.id).exists()
    weights = load_file(next(run.folder.glob("model_fold0*.safetensors")))
    assert any("layer.2." in name for name in weights) and not any("layer.0." in name for name in weights)
    model = run.load_models(pairs)[0][0]
    held_out = run.predictions[run.predictions.fold == 0]
    row_of = {guid: row for row, guid in enumerate(pairs.guids)}
    again = predict(model, pairs, held_out.guid.map(row_of).to_numpy())["text_only"]
    np.testing.assert_allclose(again, held_out.filter(like="text_only").to_numpy(), atol=1e-5)


def test_what_moved_the_answer_of_fine_tuned_models(run, folder):
    lab = Lab(run, None, {})
    explanation = lab.explain("so happy today", folder / "data" / "2.jpg", second_baseline=True)
    assert sum(explanation.credit.values()) == pytest.approx(explanation.both - explanation.none, abs=1e-5)
    assert explanation.sides["image"].first.values.sum() == pytest.approx(explanation.credit["image"], abs=1e-5)
    assert explanation.sides["text"].second.baseline.endswith("<mask>")
    answer = lab.predict("so happy today", folder / "data" / "2.jpg")
    assert explanation.both == pytest.approx(answer.probabilities["text_and_image"].max(), abs=1e-5)
    # A picture that is shrunk to what the encoder sees gives the answer of the picture.
    again = lab.predict("so happy today", lab.read_picture(folder / "data" / "2.jpg"))
    np.testing.assert_allclose(again.probabilities["image_only"], answer.probabilities["image_only"], atol=1e-6)


def test_the_encoder_did_move(run, config, pairs):
    before, after = build_model(config, pairs), run.load_models(pairs)[0][0]
    moved = [
        not torch.equal(old, new)
        for (name, old), new in zip(before.towers.named_parameters(), after.towers.parameters(), strict=True)
        if old.requires_grad
    ]
    assert sum(moved) > 0.9 * len(moved)


KILLED = """
import os, signal, sys
from mmlab.config import RunConfig
from mmlab.course import read_course
from mmlab.training import prepare_pairs
from mmlab.runs import run_folder, train_run
import json
knobs, folder, results, kill_at = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
config = RunConfig.from_params(knobs)
course = read_course(folder)
seen = []
def on_batch(pairs, loss):
    seen.append(pairs)
    if len(seen) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
run = train_run(config, course, prepare_pairs(course, config, progress=None), results, on_batch=on_batch)
print(len(seen), run.folder)
"""


def test_a_training_killed_in_mid_epoch_goes_on_to_the_same_end(config, folder, tmp_path):
    """One is killed in its second epoch and again in the second model; the other is left alone."""

    def call(results, kill_at=0):
        command = [sys.executable, "-c", KILLED, json.dumps(config.to_dict()), str(folder), str(results), str(kill_at)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ})

    whole = call(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    steps, place = whole.stdout.split()
    for kill_at in (6, 9):
        assert call(tmp_path / "killed", kill_at).returncode == -signal.SIGKILL
        assert list((tmp_path / "killed" / "checkpoints").rglob("*.pt"))
    ended = call(tmp_path / "killed")
    assert ended.returncode == 0, ended.stderr
    steps_left, place_too = ended.stdout.split()
    assert int(steps_left) < int(steps) - 6  # what was done was not done again
    for name in ("predictions.csv", "test_predictions.csv", "best_epochs.csv"):
        assert (Path(place) / name).read_bytes() == (Path(place_too) / name).read_bytes()
    one, two = (pd.read_csv(Path(p) / "history.csv").drop(columns="seconds") for p in (place, place_too))
    pd.testing.assert_frame_equal(one, two)


def test_what_a_checkpoint_holds_is_not_trained_again_and_damage_is_named(config, pairs, course, tmp_path):
    def stop(history):
        raise KeyboardInterrupt

    rows = np.arange(38), np.arange(38, 50)
    path = tmp_path / "model.pt"
    tune(config, pairs, course, *rows, checkpoint=path)
    whole = tune(config, pairs, course, *rows)
    resumed = tune(config, pairs, course, *rows, checkpoint=path, on_epoch=stop)  # nothing is left to do
    assert resumed.best_epoch == whole.best_epoch
    for name, tensor in whole.model.learned().items():
        assert torch.equal(tensor, resumed.model.learned()[name]), name
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MmlabError, match=r"model.pt: is damaged"):
        tune(config, pairs, course, *rows, checkpoint=path)


def test_no_memory_names_knobs_and_numbers(config, pairs, course, monkeypatch, random_heads):
    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(TunedModel, "forward", full)
    with pytest.raises(ConfigError) as caught:
        tune(config, pairs, course, np.arange(38), np.arange(38, 50))
    message = str(caught.value)
    assert "batch_size=8 does not fit" in message and "batch_size=4 with accumulate=2" in message
    assert "checkpointing=true" in message


def test_other_errors_are_not_taken_for_a_lack_of_memory(config):
    with pytest.raises(RuntimeError, match="shapes"), explain_memory(config):
        raise RuntimeError("shapes do not match")


def test_cached_features_are_no_input_of_a_model_that_trains_encoders(config, course, pairs):
    with pytest.raises(MmlabError, match="prepare_pairs"):
        build_model(config, pairs.frozen)


def test_inputs_change_like_features(config, course, pairs):
    """What controls and probes do to features they do to token ids and pixels, and to the frozen features with them."""
    rows, moved = np.arange(len(pairs)), np.roll(np.arange(len(pairs)), 1)
    swapped, blind = pairs.pair_up(rows, moved), pairs.without("image")
    assert torch.equal(swapped.batch([3]).image, pairs.batch([2]).image)
    assert torch.equal(swapped.batch([3]).text, pairs.batch([3]).text)
    assert not torch.equal(swapped.batch([3]).image, pairs.batch([3]).image)  # the twin
    np.testing.assert_array_equal(swapped.frozen.pooled("image")[3], pairs.frozen.pooled("image")[2])
    assert not blind.batch(rows[:4]).image_mask.any() and not blind.frozen.batch(rows[:4]).image_mask.any()
    assert len(swapped) == len(blind) == len(pairs) and blind.digest == pairs.digest


def test_a_run_id_follows_the_resolved_precision(config, course, pairs, monkeypatch, tmp_path):
    auto = config.replace(precision="auto")
    names = []
    for has_bf16 in (True, False, True):
        monkeypatch.setattr("mmlab.device.cpu_computes_bf16", lambda has_bf16=has_bf16: has_bf16)
        names.append(run_folder(auto, course, pairs, tmp_path).name)
    if torch.accelerator.is_available():
        pytest.skip("the precision is the accelerator's here")
    assert names[0] == names[2] != names[1]


def test_bf16_changes_the_arithmetic_and_little_else(config, pairs):
    torch.manual_seed(0)
    model = build_model(config, pairs)
    exact = logits_of(model, pairs, range(8))
    model.config = config.replace(precision="bf16")
    rounded = logits_of(model, pairs, range(8))
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, atol=0.1, rtol=0.1)


# ----------------------------------------------------------------------------------------------- what is given on


def test_trained_encoders_load_again_by_their_paths(run, course, pairs, config, tmp_path):
    places = export_encoders(run, pairs, tmp_path / "mine")
    model = run.load_models(pairs)[0][0]
    text = find_text_encoder(str(tmp_path / "mine" / "text"))
    image = find_image_encoder(str(tmp_path / "mine" / "image"))
    batch = pairs.batch(np.arange(3))
    with torch.inference_mode():
        encoded = model.encode(batch)
    for row, vectors in enumerate(text.encode(list(course.pairs["text"][:3]))):
        own = encoded.text[row][batch.text_mask[row]].numpy()
        np.testing.assert_allclose(vectors, own, atol=0.02)
    with torch.inference_mode():
        loaded = image.load(64)[1].eval()
        torch.testing.assert_close(pool_patches(loaded, batch.image), encoded.image, atol=1e-4, rtol=1e-4)
    original = find_text_encoder(config.text_encoder).encode(list(course.pairs["text"][:1]))[0]
    assert np.abs(original - text.encode(list(course.pairs["text"][:1]))[0]).max() > 0.02  # the twin: it has moved
    card = (tmp_path / "mine" / "README.md").read_text()
    for words in (str(run.scores["text_and_image"].accuracy), run.provenance["split_hash"], "Intended use", "limits"):
        assert words in card
    assert all(place.exists() for place in places)
    with pytest.raises(RunError, match="exists and is not empty"):
        export_encoders(run, pairs, tmp_path / "mine")


def test_a_run_on_frozen_features_has_no_encoder_to_give_on(config, course, pairs, tmp_path):
    frozen = train_run(config.frozen().replace(epochs=1), course, pairs.frozen, tmp_path)
    with pytest.raises(RunError, match="trained no encoder"):
        export_encoders(frozen, pairs, tmp_path / "mine")


# ------------------------------------------------------------------------------------------------ knobs and bar


def test_each_preset_is_a_sound_config():
    for name in PRESETS:
        config = RunConfig.from_params({}, name)
        assert all(one.frozen().tunes == () for one in config.list_members().values())
    assert RunConfig.from_params({}, "laptop").tunes == RunConfig.from_params({}, "kernel").tunes == ()
    assert RunConfig.from_params({}, "tuned").tunes == ("text",)
    assert RunConfig.from_params({}, "gpu").tunes == ("text", "image")


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"precision": "fp8"}, "fp32, bf16, fp16"),
        ({"text_layers": -2}, "at least -1"),
        ({"accumulate": 0}, "at least 1"),
        ({"layer_decay": 1.5}, "at most 1"),
        ({"encoder_lr": 0}, "above 0"),
    ],
)
def test_a_wrong_knob_is_refused(knobs, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig(**knobs)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_ends_full_and_shows_loss_and_score(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    config = RunConfig(folds=2, seeds=1, epochs=2, text_layers=1)
    with TrainingBar(config, 64) as bar:
        for done in (1, 2):
            for _ in range(3):
                bar.on_batch(10, 1.25)
            bar.on_epoch(pd.DataFrame({"epoch": [1], "dev_accuracy": [0.5]}))
            bar.on_batch(10, 1.25)
            bar.on_model(done, 2)
        assert bar.bar.n == bar.bar.total
    said = terminal.getvalue()
    assert "loss 1.250" in said and "dev accuracy 0.500" in said and "model 2/2" in said


def test_fp16_trains_with_a_scaled_loss_and_its_scale_is_kept(config, pairs, course, tmp_path):
    """What an older GPU does; here on the CPU, which can."""
    path = tmp_path / "model.pt"
    rows = np.arange(38), np.arange(38, 50)
    fitted = tune(config.replace(precision="fp16", epochs=2), pairs, course, *rows, checkpoint=path)
    assert np.isfinite(fitted.history["train_loss"]).all()
    state = read_checkpoint(path)
    assert state["scaler"]["scale"] >= 1 and state["scaler"]["_growth_tracker"] >= 0
    tune(config.replace(epochs=1), pairs, course, *rows, checkpoint=tmp_path / "other.pt")
    assert read_checkpoint(tmp_path / "other.pt")["scaler"] == {}  # the twin: fp32 has none
