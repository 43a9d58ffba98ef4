"""Exercises of notebook 02: a text cleaner, the masked mean, one training step, early stopping."""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.exercises.judging import Found, load_exercises, refuse_blank
from mmlab.exercises.samples import CLASSES, PAIRS, TOKENS, WIDTH, Sample, largest_change, make_sample

# ---- cleaner


def judge_cleaner(clean: Any, found: Found) -> str:
    said = refuse_blank(clean("Good morning"))
    found("not_text", not isinstance(said, str), f"'Good morning' became a {type(said).__name__}, not a str")
    _judge_removed(clean, found)
    _judge_kept(clean, found)
    _judge_spaces(clean, found)
    for text in ("", " \n"):
        said = clean(text)
        found("empty_text", said != "", f"{text!r} became {said!r}, not ''")
    once = clean("RT @anna: one thing, Porto: never give up! #travel http://t.co/aB3")
    twice = clean(once)
    found("not_repeatable", once != twice, f"cleaned once: {once!r}; cleaned twice: {twice!r}")
    return f"A retweet with a link and a hashtag became {once!r}."


def _folded(text: str) -> str:
    """One form for texts that differ in case only, or in how an accent is stored."""
    return normalize("NFC", text).lower()


def _judge_removed(clean: Any, found: Found) -> None:
    """Links, names and the mark of a retweet go, and what follows them stays."""
    link = "Look http://t.co/l1drWgCYr8 wonderful view https://example.org/a_b?c=1 tonight"
    name = "Thank @rosa_88 and @kofi forever"
    retweet = "RT @anna: fine weather today"
    for code, text, trace in (
        ("links_left", link, r"t\.co|l1drw|example|a_b"),
        ("names_left", name, r"rosa|_88|kofi"),
        ("retweet_left", retweet, r"anna|:|\brt\b"),
    ):
        said = clean(text)
        found(code, bool(re.search(trace, _folded(said))), f"{text!r} became {said!r}")
    for text, rest in ((link, "wonderful view tonight"), (name, "thank forever"), (retweet, "fine weather today")):
        said = clean(text)
        found("rest_lost", any(word not in _folded(said) for word in rest.split()), f"{text!r} became {said!r}")


def _judge_kept(clean: Any, found: Found) -> None:
    """What tells the mood, and everything else, stays."""
    for code, text, kept in (
        ("hashtag_lost", "What a #sunset in #porto", ("sunset", "porto")),
        ("letters_lost", "Café in 東京, Привет", ("café", "東京", "привет")),
        ("emoji_lost", "Party 😀🎉 with love ❤", ("😀", "🎉", "❤")),
        ("negation_lost", "This is not good, never again", ("not", "never")),
        ("punctuation_lost", "I can't wait! Really?", ("can't", "!", "?")),
    ):
        said = clean(text)
        found(code, any(piece not in _folded(said) for piece in kept), f"{text!r} became {said!r}")
    text = "A big ART show at 8, page 352... it is sooo good - start early!!"
    said = clean(text)
    found("text_changed", _folded(said).split() != _folded(text).split(), f"{text!r} became {said!r}")


def _judge_spaces(clean: Any, found: Found) -> None:
    texts = (
        "one\ntwo\tthree",
        "  one  two \n\n three \t",
        "one http://t.co/aB3 two @kofi three",
        "one two http://t.co/a",
    )
    for text in texts:
        said = clean(text)
        joined = [pair for pair in ("onetwo", "twothree") if pair in said]
        found("words_joined", bool(joined), f"{text!r} became {said!r}")
        found("spaces_left", said != " ".join(said.split()), f"{text!r} became {said!r}")


# ---- masked_mean

NEAR = 0.05  # means in 16 bits differ by less, and a mistake differs by more


def judge_masked_mean(answer: Any, found: Found) -> None:
    sample = make_sample(PAIRS + 2)
    sample = sample.rows(~sample.token_mask.all(dim=1))  # 6 pairs, and each has tokens and padding
    tokens, mask = sample.tokens, sample.token_mask
    means = _means(answer, tokens, mask, found)
    alone = torch.cat([_means(answer, tokens[row : row + 1], mask[row : row + 1], found) for row in range(PAIRS)])
    mixed = largest_change(means, alone)
    found("batch_mixed", mixed > NEAR, f"a pair alone and the same pair among others differ by up to {mixed:.2g}")
    _judge_padding(answer, sample, means, found)
    expected = _reference(tokens, mask)
    shrunk = largest_change(means * TOKENS / mask.sum(dim=1, keepdim=True), expected)
    found("divided_by_all", shrunk < NEAR, f"each sum was divided by {TOKENS}, with {mask.sum(dim=1).tolist()} tokens")
    found("rounded", bool((means == means.round()).all()), f"first numbers of a mean: {means[0, :3].tolist()}")
    by_hand = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]]), torch.tensor([[True, True, False]])
    said = [round(float(one), 3) for one in _means(answer, *by_hand, found)[0]]
    wrong = largest_change(means, expected)
    found("not_mean", wrong > NEAR, f"(1, 2) and (3, 4) gave {tuple(said)}, not (2, 3)")
    apart = mask.flip(1) & (torch.arange(TOKENS) != TOKENS - 2)  # padding in front and in the middle
    wrong = largest_change(_means(answer, tokens, apart, found), _reference(tokens, apart))
    found("gap", wrong > NEAR, f"with the mask {apart[2].int().tolist()} a mean is wrong by {wrong:.2g}")
    _judge_empty(answer, sample, found)


def _means(answer: Any, tokens: Tensor, mask: Tensor, found: Found) -> Tensor:
    """What an answer gives, as float64; also where it reckons with numpy or in other precision."""
    given = tokens.clone()
    result = refuse_blank(answer(given, mask.clone()))
    is_array = isinstance(result, Tensor | np.ndarray)
    shape, wanted = tuple(result.shape) if is_array else type(result).__name__, (len(tokens), tokens.shape[2])
    found("shape", shape != wanted, f"tokens of shape {tuple(tokens.shape)} gave {shape}, not {wanted}")
    found("input_changed", not torch.equal(given, tokens), "the tensor of the tokens holds other numbers afterwards")
    return torch.as_tensor(result).detach().double()


def _reference(tokens: Tensor, mask: Tensor) -> Tensor:
    return torch.stack([vectors[real].sum(dim=0) / max(1, int(real.sum())) for vectors, real in zip(tokens, mask)])


def _judge_padding(answer: Any, sample: Sample, means: Tensor, found: Found) -> None:
    tokens, mask, seen = sample.tokens, sample.token_mask, sample.token_mask.unsqueeze(-1)
    noise = 10 * torch.randn_like(tokens)
    hidden = largest_change(means, _means(answer, torch.where(seen, tokens, noise), mask, found))
    shown = largest_change(means, _means(answer, torch.where(seen, noise, tokens), mask, found))
    evidence = f"new numbers in the padding move a mean by {hidden:.2g}, new numbers in the tokens by {shown:.2g}"
    found("mask_inverted", hidden > NEAR > shown, evidence)
    found("padding_read", hidden > NEAR, evidence)


def _judge_empty(answer: Any, sample: Sample, found: Found) -> None:
    mask = sample.token_mask.clone()
    mask[0] = False
    empty = _means(answer, sample.tokens, mask, found)[0]
    said = [round(float(one), 3) for one in empty[:3]]
    found("empty_not_finite", not bool(empty.isfinite().all()), f"a pair without a token gave {said} and so on")
    found("empty_not_zero", largest_change(empty, torch.zeros(WIDTH)) > 1e-3, f"a pair without a token gave {said}")


# ---- training_step

LR = 1.0
CLOSE = 0.04  # of the largest number: what 16 bits or another formula may change


class Watched(nn.Module):
    """One linear layer. modes: the mode of each forward pass; gradients: what the loss sent back to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, CLASSES)
        nn.init.normal_(self.layer.weight)
        self.modes: list[bool] = []
        self.gradients: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.layer(inputs)
        self.modes.append(self.training)
        if logits.requires_grad:
            logits.register_hook(self.gradients.append)
        return logits


class CountingSGD(torch.optim.SGD):
    """SGD without torch's guards for its compiler, whose import takes seconds. steps: how many it made."""

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    move = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return self.move(closure)


def judge_training_step(answer: Any, found: Found) -> str:
    model = Watched().eval()
    optimizer = CountingSGD(model.parameters(), lr=LR)
    inputs, labels = 0.3 * torch.randn(PAIRS, WIDTH), torch.arange(PAIRS) % CLASSES
    logits, before = model.layer(inputs).detach(), model.layer.weight.detach().clone()
    with mock.patch("torch.autograd.backward", wraps=torch.autograd.backward) as backward:
        loss = answer(model, optimizer, inputs.clone(), labels.clone())
    if not model.modes:
        refuse_blank(loss)
    found("no_backward", not (backward.called or model.gradients), "no gradient was asked for")
    found("gradient_cut", not model.gradients, "backward was called, and the logits got no gradient")
    found("no_step", not optimizer.steps, "optimizer.step was called 0 times")
    moved = model.layer.weight.detach() - before
    still = f"{optimizer.steps} call of optimizer.step, largest change of a weight: {moved.abs().max():.2g}"
    found("step_without_gradient", not moved.any(), still)
    found("evaluation_mode", not all(model.modes), "model.training was False when the batch went through")
    gradient = sum(model.gradients).float()
    _judge_loss(gradient, logits, labels, found)
    _judge_returned(loss, F.cross_entropy(logits, labels).item(), found)
    wrong = not _is_close(moved, -LR * gradient.mT @ inputs)
    found("wrong_update", wrong, f"optimizer.step was called {optimizer.steps} times for one batch")
    _judge_second(answer, model, optimizer, inputs, labels, found)
    start, end = (F.cross_entropy(one, labels).item() for one in (logits, model.layer(inputs)))
    return f"Two steps lowered the loss of these {PAIRS} pairs from {start:.2f} to {end:.2f}."


def _is_close(values: Tensor, expected: Tensor) -> bool:
    return largest_change(values, expected) < CLOSE * float(expected.abs().max())


def _judge_loss(gradient: Tensor, logits: Tensor, labels: Tensor, found: Found) -> None:
    """Each loss sends its own gradient to the logits; that of the mean cross-entropy is (softmax - label) / pairs."""
    chances, right = logits.softmax(dim=1), F.one_hot(labels, CLASSES)
    expected = (chances - right) / PAIRS
    leaf = logits.clone().requires_grad_()
    (twice,) = torch.autograd.grad(F.cross_entropy(leaf.softmax(dim=1), labels), leaf)
    size, wanted = (f"{float(one.abs().max()):.3f}" for one in (gradient, expected))
    evidence = f"the largest gradient of a logit is {size}; the mean cross-entropy gives {wanted}"
    found("softmax_first", _is_close(gradient, twice), evidence)
    found("loss_summed", _is_close(gradient, PAIRS * expected), evidence)
    taught = chances - PAIRS * gradient  # the labels it was trained towards
    classes = taught.argmax(dim=1)
    other = _is_close(taught, F.one_hot(classes, CLASSES)) and not torch.equal(classes, labels)
    found("labels_wrong", other, f"trained towards {classes.tolist()}; the labels are {labels.tolist()}")
    found("other_loss", not _is_close(gradient, expected), evidence)


def _judge_returned(loss: Any, expected: float, found: Found) -> None:
    found("loss_missing", loss is None, "None came back")
    found("graph_kept", isinstance(loss, Tensor) and loss.requires_grad, "a tensor with a grad_fn came back")
    said = torch.as_tensor(loss).item()
    found("loss_value", abs(said - expected) > 0.02, f"{said:.3f} came back; the mean before is {expected:.3f}")


def _judge_second(answer, model: Watched, optimizer, inputs: Tensor, labels: Tensor, found: Found) -> None:
    """Another batch: what is left of the first gradient must not count again."""
    first = sum(model.gradients).float().mT @ inputs
    model.gradients.clear()
    inputs, labels, before = inputs.roll(1, 1), labels.roll(1), model.layer.weight.detach().clone()
    answer(model, optimizer, inputs.clone(), labels.clone())
    moved, second = model.layer.weight.detach() - before, sum(model.gradients).float().mT @ inputs
    due = LR * second.abs().max()
    sizes = f"largest change of a weight in the second step: {moved.abs().max():.3f}, expected: {due:.3f}"
    found("accumulates", _is_close(moved, -LR * (first + second)), sizes)
    found("wrong_update", not _is_close(moved, -LR * second), sizes)


# ---- early_stopping


class Counter(nn.Module):
    """Its weight is the number of epochs that it was trained for, so the weights tell of which epoch they are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.loaded = False

    @property
    def epoch(self) -> int:
        return round(self.weight.item())

    def load_state_dict(self, *args, **named):
        self.loaded = True
        return super().load_state_dict(*args, **named)


class _Endless(Exception):
    """A training that goes on and on is ended by this."""


@dataclass
class Trial:
    """One training by an answer, on planned dev losses. modes: `model.training` in each call of the two functions."""

    losses: tuple[float, ...]  # after the last one it stays
    epochs: int
    patience: int
    trained: int = 0
    result: Any = None
    train_modes: list[bool] = field(default_factory=list)
    dev_modes: list[bool] = field(default_factory=list)

    def run(self, answer: Any) -> "Trial":
        try:
            self.result = answer(Counter(), self.train_epoch, self.dev_loss, self.epochs, self.patience)
        except _Endless:
            pass
        if not self.trained:
            refuse_blank(self.result)
        return self

    def train_epoch(self, model: Counter) -> None:
        self.trained += 1
        self.train_modes.append(model.training)
        if self.trained > self.epochs + 10:
            raise _Endless
        with torch.no_grad():
            model.weight += 1

    def dev_loss(self, model: Counter) -> float:
        self.dev_modes.append(model.training)
        planned = (10.0, *self.losses)  # the first one is that of a model without training
        return planned[min(model.epoch, len(self.losses))]

    def __str__(self) -> str:
        planned = f"dev losses {self.losses}, epochs={self.epochs}, patience={self.patience}"
        return f"{planned}: {self.trained} epochs trained"


def judge_early_stopping(answer: Any, found: Found) -> str:
    full = Trial((9.0, 3.0, 2.0, 4.0, 6.0), epochs=5, patience=10).run(answer)
    found("epochs_ignored", full.trained != full.epochs, str(full))
    found("no_dev_loss", not full.dev_modes, "dev_loss was called 0 times")
    found("dev_in_training", any(full.dev_modes), "model.training was True when dev_loss was called")
    found("training_in_evaluation", not all(full.train_modes), "model.training was False when train_epoch was called")
    _judge_best(full, 3, found)
    cut = Trial((9.0, 3.0, 2.0, 4.0, 6.0, 7.0, 8.0), epochs=12, patience=3).run(answer)
    found("patience_ignored", cut.trained == cut.epochs, str(cut))
    found("patience_from_start", cut.trained <= 4, f"{cut}; the lowest loss is that of epoch 3")
    found("stops_too_early", cut.trained < 6, f"{cut}, 6 expected")
    found("stops_too_late", cut.trained > 6, f"{cut}, 6 expected")
    _judge_best(cut, 3, found)
    again = Trial((5.0, 4.0, 6.0, 3.0, 6.0, 2.5, 6.0, 6.0), epochs=12, patience=2).run(answer)
    found("patience_not_reset", again.trained != 8, f"{again}, 8 expected")
    falling = Trial((5.0, 2.0, 6.0, 5.0, 4.0, 3.0), epochs=12, patience=3).run(answer)
    found("compared_with_last", falling.trained != 5, f"{falling}, 5 expected")
    level = Trial((3.0, 2.0, 2.0, 2.0), epochs=12, patience=2).run(answer)
    found("ties", level.trained != 4 or int(level.result[1]) != 2, f"{level}, 4 expected, best epoch 2")
    return f"With patience 3 it trained {cut.trained} of {cut.epochs} epochs, and the model is that of epoch 3."


def _judge_best(trial: Trial, best: int, found: Found) -> None:
    """The epoch that is reported, and the weights that the model carries."""
    result = trial.result
    paired = isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[0], Counter)
    found("returned", not paired, f"a {type(result).__name__} came back, not (model, best_epoch)")
    model, told = result
    highest, evidence = 1 + trial.losses.index(max(trial.losses)), f"{trial}, best epoch told: {told}"
    found("higher_taken", told == highest, evidence)
    found("counted_from_zero", told == best - 1, evidence)
    found("wrong_epoch", told != best, evidence)
    evidence = f"the weights are those of epoch {model.epoch}; the lowest loss is that of epoch {best}"
    last = model.epoch == trial.trained
    found("reference", last and model.loaded, evidence)
    found("last_weights", last, evidence)
    found("wrong_weights", model.epoch != best, evidence)


EXERCISES = load_exercises(
    __file__, "02_text_only", judge_cleaner, judge_masked_mean, judge_training_step, judge_early_stopping
)
