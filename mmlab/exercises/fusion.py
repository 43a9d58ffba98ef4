"""Exercises of notebook 04: a fusion of one's own, modality dropout, a probe for fake fusions, a better fusion."""

from typing import Any

import torch
from torch import Tensor, nn

from mmlab.exercises.judging import Found, load_exercises, refuse_blank
from mmlab.exercises.samples import (
    CLASSES,
    PAIRS,
    WIDTH,
    Sample,
    largest_change,
    make_both_needed,
    make_sample,
    spy_on_softmax,
    train,
)

TINY = 1e-5  # a change below this is rounding


def judge_fusion(answer: Any, found: Found) -> str:
    model = refuse_blank(answer(WIDTH, CLASSES)).eval()
    sample = make_sample()
    with spy_on_softmax() as softmaxes:
        logits = _logits(model, sample)
    shape = tuple(logits.shape)
    found("shape", shape != (PAIRS, CLASSES), f"{PAIRS} pairs gave logits of shape {shape}, not {(PAIRS, CLASSES)}")
    _judge_layers(model, sample, found)
    _judge_sides(model, sample, logits, found)
    alone = torch.cat([_logits(model, sample.rows([row])) for row in range(PAIRS)])
    mixed = largest_change(logits, alone)
    found("batch_mixed", not mixed < 1e-3, f"a pair alone and the same pair among others differ by up to {mixed:.2g}")
    _judge_masks(model, sample, logits, found)
    narrow = [call.choices for call in softmaxes if call.choices == 1]
    found("one_key", bool(narrow), f"{len(narrow)} softmax over one value, which is always 1")
    sums = largest_change(logits.sum(dim=1), torch.ones(PAIRS))
    found("softmax_output", bool((logits >= 0).all()) and sums < 1e-3, "each row of the logits sums to 1")
    many = _logits(model, make_sample(96, seed=1))
    found("relu_output", bool((many >= 0).all()) and bool((many == 0).any()), "no logit of 96 pairs is below 0")
    _judge_gradient(model, sample, found)
    both = make_both_needed()
    accuracy = train(refuse_blank(answer(WIDTH, CLASSES)), both, steps=150)
    found("not_joint", accuracy < 0.8, f"after 150 steps {accuracy:.2f} of these 96 pairs are right; one side: 0.33")
    return f"It learned {accuracy:.2f} of 96 pairs whose label needs both sides. One side alone gives 0.33."


def _logits(model: nn.Module, sample: Sample) -> Tensor:
    with torch.no_grad():
        return refuse_blank(model(*sample.inputs)).float()


def _judge_layers(model: nn.Module, sample: Sample, found: Found) -> None:
    """With every weight at zero a network says the same of all pairs, unless some weights are out of sight."""
    kept = {name: one.detach().clone() for name, one in model.named_parameters()}
    with torch.no_grad():
        for one in model.parameters():
            one.zero_()
        silent = _logits(model, sample)
        for name, one in model.named_parameters():
            one.copy_(kept[name])
    differ = largest_change(silent, silent[:1].expand_as(silent))
    count = sum(map(torch.Tensor.numel, kept.values()))
    found("unregistered", not differ < TINY, f"parameters() lists {count} numbers; without them the pairs still differ")


def _judge_sides(model: nn.Module, sample: Sample, logits: Tensor, found: Found) -> None:
    moved = sample.but(patches=sample.patches.roll(1, 0), patch_mask=sample.patch_mask.roll(1, 0))
    change = largest_change(logits, _logits(model, moved))
    found("image_ignored", change < TINY, f"largest change of a logit: {change:.2g}")
    moved = sample.but(tokens=sample.tokens.roll(1, 0), token_mask=sample.token_mask.roll(1, 0))
    change = largest_change(logits, _logits(model, moved))
    found("text_ignored", change < TINY, f"largest change of a logit: {change:.2g}")


def _judge_masks(model: nn.Module, sample: Sample, logits: Tensor, found: Found) -> None:
    noise = {"tokens": 10 * torch.randn_like(sample.tokens), "patches": 10 * torch.randn_like(sample.patches)}
    for side, mask in (("tokens", sample.token_mask), ("patches", sample.patch_mask)):
        kept, seen = getattr(sample, side), mask.unsqueeze(-1)
        hidden = largest_change(logits, _logits(model, sample.but(**{side: torch.where(seen, kept, noise[side])})))
        shown = largest_change(logits, _logits(model, sample.but(**{side: torch.where(seen, noise[side], kept)})))
        evidence = f"new numbers in the padding of the {side} move a logit by {hidden:.2g}, elsewhere by {shown:.2g}"
        found("mask_inverted", hidden > TINY > shown, evidence)
        found("padding_read", hidden > TINY, evidence)
    for side, mask in (("tokens", "token_mask"), ("patches", "patch_mask")):
        gone = _logits(model, sample.but(**{mask: torch.zeros_like(getattr(sample, mask))}))
        bad = int((~gone.isfinite()).sum())
        found("missing_not_finite", bad > 0, f"without {side}, {bad} logits are no numbers")
        everything = torch.ones_like(getattr(sample, mask))
        zeros = _logits(model, sample.but(**{side: torch.zeros_like(getattr(sample, side)), mask: everything}))
        change = largest_change(gone, zeros)
        found("missing_as_zeros", change < TINY, f"no {side}, or {side} of zeros: the logits differ by {change:.2g}")


def _judge_gradient(model: nn.Module, sample: Sample, found: Found) -> None:
    model.train()
    for side in ("tokens", "patches"):
        inputs = sample.but(**{side: getattr(sample, side).clone().requires_grad_()})
        logits = model(inputs.tokens, inputs.token_mask, inputs.patches, inputs.patch_mask).float()
        if logits.requires_grad:
            logits.square().sum().backward()
        grad = getattr(inputs, side).grad
        cut = grad is None or not grad.abs().max() > 0
        found("gradient_cut", cut, f"the gradient of the {side} is {'missing' if grad is None else 'zero'}")
    model.zero_grad()
    model.eval()


EXERCISES = load_exercises(__file__, "04_fusion", judge_fusion)
