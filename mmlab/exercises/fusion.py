"""Exercises of notebook 04: a fusion of one's own, modality dropout, a probe for fake fusions, a better fusion."""

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmlab.config import LABEL, SCENARIOS, TWIN, RunConfig, probability_columns
from mmlab.course import Course, read_course
from mmlab.evaluation import Interval, list_answers
from mmlab.evaluation.scores import group_sums, interval_of
from mmlab.exercises.judging import Found, load_exercises, refuse_blank
from mmlab.exercises.samples import (
    CLASSES,
    PAIRS,
    WIDTH,
    Sample,
    largest_change,
    make_both_needed,
    make_sample,
    shake,
    spy_on_softmax,
    train,
)
from mmlab.features import Pairs
from mmlab.models import FUSIONS, FusionModel, GatedFusion
from mmlab.storage import CHECKOUT
from mmlab.training import CrossFit, cross_fit, needed, predict, prepare_pairs

TINY = 1e-5  # a change below this is rounding
JOINT = "text_and_image"
SEEDS = (0, 1, 2)  # of the folds and the start of each training


def judge_fusion(answer: Any, found: Found) -> str:
    model, sample = refuse_blank(answer(WIDTH, CLASSES)).eval(), _make_padded()
    _judge_output(refuse_blank(model(*sample.inputs)), found)
    again = largest_change(_ask(model, sample), _ask(model, sample))
    found("random_output", again > TINY, f"two calls with the same pairs differ by up to {again:.2g}")
    _judge_layers(model, sample, found)
    shake(model, by=0.1)
    logits = _ask(model, sample)
    _judge_sides(model, sample, logits, found)
    alone = torch.cat([_ask(model, sample.rows([row])) for row in range(PAIRS)])
    mixed = largest_change(logits, alone)
    found("batch_mixed", mixed > _rough(logits), f"a pair alone and the same pair among others differ by {mixed:.2g}")
    _judge_masks(model, sample, logits, found)
    _judge_missing(model, sample, found)
    with spy_on_softmax() as choices:
        model(*sample.inputs)
    narrow = choices.count(1)
    found("one_key", narrow > 0, f"{narrow} of {len(choices)} softmax divide their weight over one value")
    _judge_last_layer(model, found)
    _judge_gradient(model, sample, found)
    return _judge_learning(refuse_blank(answer(WIDTH, CLASSES)), found)


def _make_padded() -> Sample:
    """A sample in which each side of each pair ends in padding, so that an inverted mask is never empty."""
    sample = make_sample()
    sample.token_mask[:, -1] = sample.patch_mask[:, -1] = False
    return sample


def _ask(model: nn.Module, sample: Sample) -> Tensor:
    with torch.no_grad():
        return model(*sample.inputs).float()


def _rough(logits: Tensor) -> float:
    """What bf16 may round away where the same numbers are summed in another order."""
    return 0.01 * max(1.0, float(logits.abs().max()))


def _judge_output(logits: Any, found: Found) -> None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    found("shape", shape != (PAIRS, CLASSES), f"{PAIRS} pairs gave {shape}, not {(PAIRS, CLASSES)}")
    bad = int((~logits.isfinite()).sum())
    found("not_finite", bad > 0, f"{bad} of {logits.numel()} logits are nan or infinite")


def _judge_layers(model: nn.Module, sample: Sample, found: Found) -> None:
    """Look for weights that parameters() does not list: gradients reach them, or pairs differ without the listed ones.

    With all its weights at zero, a network says the same of every pair.
    """
    listed = {id(one): one.detach().clone() for one in model.parameters()}
    nodes, visited, unlisted = [model(*sample.inputs).grad_fn], {None}, 0
    while nodes:
        node = nodes.pop()
        if node in visited:
            continue
        visited.add(node)
        nodes += [one for one, _ in node.next_functions]
        if hasattr(node, "variable") and id(node.variable) not in listed:
            unlisted += node.variable.numel()
    with torch.no_grad():
        for one in model.parameters():
            one.zero_()
        silent = _ask(model, sample)
        for one in model.parameters():
            one.copy_(listed[id(one)])
    differ = float((silent - silent[:1]).nan_to_num().abs().max())  # nan: a layer that divides by its weights' norm
    count = sum(map(Tensor.numel, listed.values()))
    told = f"parameters() lists {count} numbers, {unlisted} more get a gradient; without the listed, pairs differ by"
    found("unregistered", unlisted > 0 or differ > TINY, f"{told} {differ:.2g}")


def _judge_sides(model: nn.Module, sample: Sample, logits: Tensor, found: Found) -> None:
    moved = sample.but(patches=sample.patches.roll(1, 0), patch_mask=sample.patch_mask.roll(1, 0))
    change = largest_change(logits, _ask(model, moved))
    found("image_ignored", change < TINY, f"largest change of a logit: {change:.2g}")
    moved = sample.but(tokens=sample.tokens.roll(1, 0), token_mask=sample.token_mask.roll(1, 0))
    change = largest_change(logits, _ask(model, moved))
    found("text_ignored", change < TINY, f"largest change of a logit: {change:.2g}")


def _judge_masks(model: nn.Module, sample: Sample, logits: Tensor, found: Found) -> None:
    for side, mask in (("tokens", "token_mask"), ("patches", "patch_mask")):
        kept, seen = getattr(sample, side), getattr(sample, mask)
        noise, where = 10 * torch.randn_like(kept), seen.unsqueeze(-1)
        hidden = largest_change(logits, _ask(model, sample.but(**{side: torch.where(where, kept, noise)})))
        shown = largest_change(logits, _ask(model, sample.but(**{side: torch.where(where, noise, kept)})))
        evidence = f"new numbers in the padding of the {side} move a logit by {hidden:.2g}, elsewhere by {shown:.2g}"
        found("mask_inverted", hidden > TINY > shown, evidence)
        found("padding_read", hidden > TINY, evidence)
        longer = {side: torch.cat([kept, noise[:, :2]], dim=1), mask: nn.functional.pad(seen, (0, 2))}
        change = largest_change(logits, _ask(model, sample.but(**longer)))
        found("padding_counted", change > _rough(logits), f"two more places of padding move a logit by {change:.2g}")


def _judge_missing(model: nn.Module, sample: Sample, found: Found) -> None:
    """Every second pair loses a side, and the others keep theirs."""
    for side, mask in (("tokens", "token_mask"), ("patches", "patch_mask")):
        vectors, hidden = getattr(sample, side).clone(), getattr(sample, mask).clone()
        whole = hidden.clone()
        vectors[::2], hidden[::2], whole[::2] = 0, False, True
        gone = _ask(model, sample.but(**{mask: hidden}))
        zeros = _ask(model, sample.but(**{side: vectors, mask: whole}))
        bad = int((~gone.isfinite()).sum())
        found("missing_not_finite", bad > 0, f"where half of the pairs have no {side}, {bad} logits are no numbers")
        change = largest_change(gone[::2], zeros[::2])
        found("missing_as_zeros", change < TINY, f"no {side}, or {side} of zeros: the logits differ by {change:.2g}")


def _judge_last_layer(model: nn.Module, found: Found) -> None:
    many = make_sample(96, seed=1)
    logits = _ask(model, many.but(tokens=30 * many.tokens, patches=30 * many.patches))
    inside = bool(((logits >= 0) & (logits <= 1 + TINY)).all())
    found("softmax_output", inside, f"all {logits.numel()} outputs are between 0 and 1, however large the inputs are")
    found("relu_output", bool((logits >= 0).all()), f"none of {logits.numel()} outputs is below 0")


def _judge_gradient(model: nn.Module, sample: Sample, found: Found) -> None:
    model.train()
    for side in ("tokens", "patches"):
        vectors = getattr(sample, side).clone().requires_grad_()
        logits = model(*sample.but(**{side: vectors}).inputs).float()
        if logits.requires_grad:
            logits.square().sum().backward()
        cut = vectors.grad is None or not vectors.grad.abs().max() > 0
        found("gradient_cut", cut, f"the gradient of the {side} is {'missing' if vectors.grad is None else 'zero'}")
    for side in ("token_mask", "patch_mask"):
        hidden = getattr(sample, side).clone()
        hidden[::2] = False
        model.zero_grad()
        model(*sample.but(**{side: hidden}).inputs).float().square().sum().backward()
        bad = sum(int((~one.grad.isfinite()).sum()) for one in model.parameters() if one.grad is not None)
        found("gradient_not_finite", bad > 0, f"a {side} without True: the gradients of {bad} weights are no numbers")


def _judge_learning(model: nn.Module, found: Found) -> str:
    pairs, others = make_both_needed(96), make_both_needed(96, seed=1)
    _ask(model, pairs)  # some layers are built at the first call
    for _ in range(10):
        if train(model, pairs, steps=30) == 1:
            break
    accuracy = float((_ask(model, others).argmax(dim=1) == others.labels).float().mean())
    told = (
        f"trained on 96 pairs whose label needs both sides, it has {accuracy:.2f} of 96 others right; a guess has 0.33"
    )
    found("not_joint", accuracy < 0.8, told)
    return f"{told[0].upper()}{told[1:]}."


def judge_modality_dropout(answer: Any, found: Found) -> str:
    sample = make_sample(1000)
    before = sample.token_mask, sample.patch_mask
    before[0][3::5], before[1][4::5] = False, False  # pairs that have only one side
    given = [one.clone() for one in before]
    after = refuse_blank(answer(*given, 0.5))
    shapes = [getattr(one, "shape", None) for one in after] if isinstance(after, tuple | list) else []
    found("shape", shapes != [one.shape for one in before], f"it returned {_describe(after)}")
    found("not_bool", any(one.dtype != torch.bool for one in after), f"it returned {_describe(after)}")
    changed = sum(int((one != was).sum()) for one, was in zip(given, before, strict=True))
    found("inputs_changed", changed > 0, f"{changed} places of the masks that were given have changed")
    shown = sum(int((one & ~was).sum()) for one, was in zip(after, before, strict=True))
    found("padding_shown", shown > 0, f"{shown} places were False and have become True")
    part = sum(int(((was & ~one).any(dim=1) & one.any(dim=1)).sum()) for one, was in zip(after, before, strict=True))
    found("single_places", part > 0, f"{part} sides have lost some of their places and kept others")
    whole = before[0].any(dim=1) & before[1].any(dim=1)
    empty = ~after[0].any(dim=1) & ~after[1].any(dim=1)
    found("both_dropped", bool(empty[whole].any()), f"{int(empty[whole].sum())} pairs have lost text and image")
    found("nothing_left", bool(empty.any()), f"{int(empty.sum())} pairs had one side only and have lost it")
    _judge_choices(answer, found)
    return _judge_rates(answer, found)


def _describe(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_describe, value))})"
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _drop(answer: Any, pairs: int, p: float) -> Tensor:
    """Which of these whole pairs have lost their text, which their image: bool (pairs, 2)."""
    sample = make_sample(pairs)
    return torch.stack([~one.any(dim=1) for one in answer(sample.token_mask, sample.patch_mask, p)], dim=1)


def _judge_choices(answer: Any, found: Found) -> None:
    calls = torch.stack([_drop(answer, 200, 0.5) for _ in range(20)])  # (calls, pairs, 2)
    lost = calls.any(dim=2).sum(dim=1)  # (calls,)
    texts = calls[..., 0].sum(dim=1)
    for what, some, of in (("lost a side", lost, 200), ("lost the text", texts, lost)):
        alike = bool(((some == 0) | (some == of)).all() and (some == 0).any() and (some > 0).any())
        found("whole_batch", alike, f"in each of 20 calls, all pairs or none {what}")
    some = bool(lost.any())
    found("same_choice", some and bool((calls == calls[0]).all()), "20 calls hid the same sides of the same pairs")
    sides = calls.sum(dim=(0, 1)).tolist()
    found("one_side", some and min(sides) == 0, f"text hidden {sides[0]} times, image hidden {sides[1]} times")
    fixed = 0 < int(lost[0]) < 200 and bool((lost == lost[0]).all())
    found("fixed_count", fixed, f"in each of 20 calls, exactly {int(lost[0])} of 200 pairs lost a side")


def _judge_rates(answer: Any, found: Found) -> str:
    for p in (0.0, 0.2, 0.6, 1.0):
        lost = torch.cat([_drop(answer, 1000, p) for _ in range(3)]).float()
        rate = float(lost.sum(dim=1).mean())
        found("wrong_rate", abs(rate - p) > 0.06, f"with p = {p}, {rate:.2f} of the pairs lost a side")
        share = float(lost[:, 0].sum() / lost.sum().clamp(min=1))
        found("uneven", p > 0.5 and abs(share - 0.5) > 0.08, f"{share:.2f} of the hidden sides are texts")
    return "With p = 0, 0.2, 0.6 and 1, the share of pairs that lost a side was p each time, give or take 0.06."


class _Known(nn.Module):
    """A model of which we know what it uses.

    text, image: how much the two sides count. there: what it adds where there is any picture. seldom: look at the
    picture only where the words ask for it. dropout: of the vectors.
    """

    def __init__(self, text: float = 0.0, image: float = 0.0, there: float = 0.0, seldom=False, dropout: float = 0.0):
        super().__init__()
        self.text, self.image, self.there, self.seldom = text, image, there, seldom
        self.words, self.picture = nn.Linear(WIDTH, CLASSES, bias=False), nn.Linear(WIDTH, CLASSES, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, token_mask: Tensor, patches: Tensor, patch_mask: Tensor) -> Tensor:
        sides = (tokens, token_mask.unsqueeze(-1)), (patches, patch_mask.unsqueeze(-1))
        words, picture = ((vectors * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1) for vectors, mask in sides)
        asked = (words[:, :1] > 0.7).float() if self.seldom else 1.0
        seen = (patches * patch_mask.unsqueeze(-1) != 0).flatten(1).any(dim=1, keepdim=True).float()
        said = self.text * self.words(self.dropout(words)) + self.there * seen * torch.eye(CLASSES)[0]
        return said + asked * self.image * self.picture(self.dropout(picture))


def judge_fake_probe(answer: Any, found: Found) -> str:
    def says(**known: Any) -> bool:
        model, given = _Known(**known), sample.inputs
        said = refuse_blank(answer(model, *given))
        one = said.item() if math.prod(getattr(said, "shape", (2,))) == 1 else said
        found("not_bool", not isinstance(one, bool | int), f"it returned {_describe(said)}")
        same = all(map(torch.equal, given, sample.inputs))
        found("inputs_changed", not same, "the tensors that were given are not the same afterwards")
        return bool(one)

    sample = make_sample(24)
    honest, text_head, image_head = says(text=3, image=3), says(text=3), says(image=3)
    told = f"uses both sides: {honest}; returns its text head: {text_head}; returns its image head: {image_head}"
    found("together", text_head and image_head, told)
    found("image_untested", text_head, told)
    found("text_untested", image_head, told)
    found("honest_refused", not honest, told)
    said = says(text=3, dropout=0.5)
    found("training_mode", said, f"a text head with dropout, handed over in training mode: {said}")
    said = says(text=3, there=1)
    found("presence", said, f"a text head that adds 1 where there is any picture: {said}")
    said = says(text=3, image=0.003)
    found("faint_missed", not said, f"a model that lets the picture count a thousandth of the text: {said}")
    said = says(text=3, image=3, seldom=True)
    found("few_pairs", not said, f"a model that looks at the picture of a few pairs only: {said}")
    return "Three honest models and four fakes were told apart."


@cache
def _read_demo() -> tuple[RunConfig, Course, Pairs]:
    config = RunConfig(folds=2, seeds=1)  # as quick as in section 6 of the notebook
    course = read_course(CHECKOUT / "data" / "demo")
    return config, course, prepare_pairs(course, config)


def _fit(fusion: str, seed: int) -> CrossFit:
    config, course, pairs = _read_demo()
    return cross_fit(config.replace(fusion=fusion, seed=seed), course, pairs)


@cache
def _fit_gated() -> list[pd.DataFrame]:
    return [_fit("gated", seed).predictions for seed in SEEDS]


def judge_better_fusion(answer: Any, found: Found) -> str:
    taken, FUSIONS["gated"] = FUSIONS["gated"] is not GatedFusion, GatedFusion  # what every answer is compared with
    found("name_taken", taken, 'name="gated" named another class than that of mmlab.models')
    names = [name for name, one in FUSIONS.items() if one is answer]
    found("not_registered", not names, f"not among the fusions {', '.join(FUSIONS)}")
    config, _, pairs = _read_demo()
    _judge_untrained(config.replace(fusion=names[-1]), pairs, found)
    first, gated = _fit(names[-1], SEEDS[0]), _fit_gated()
    columns = probability_columns(JOINT)
    change = float((first.predictions[columns] - gated[0][columns]).abs().max(axis=None))
    found("gated_unchanged", change < TINY, f"largest difference of a probability from those of gated: {change:.2g}")
    _judge_exchanged(first.models[0], needed(first.models[0].config, pairs), found)
    return _judge_scores([first.predictions, *(_fit(names[-1], seed).predictions for seed in SEEDS[1:])], gated, found)


def _judge_scores(frames: list[pd.DataFrame], gated: list[pd.DataFrame], found: Found) -> str:
    right = {one: np.stack([list_answers(frame, one)["right"] for frame in frames]) for one in SCENARIOS}  # (seeds, n)
    theirs = np.stack([list_answers(frame, JOINT)["right"] for frame in gated])
    accuracy, majority = right[JOINT].mean(), frames[0][LABEL].value_counts(normalize=True).max()
    found("below_majority", accuracy <= majority, f"accuracy {accuracy:.3f}, always the most frequent {majority:.3f}")
    for head in ("text_only", "image_only"):
        gain = _compare(right[JOINT], right[head], frames[0][TWIN])
        found("no_gain", gain.low <= 0, f"accuracy {accuracy:.3f}; minus that of its {head} head {gain:+.3f}")
    difference = _compare(right[JOINT], theirs, frames[0][TWIN])
    told = f"accuracy {accuracy:.3f} against gated's {theirs.mean():.3f}, difference {difference:+.3f}"
    found("worse", difference.high < 0, told)
    answer = "yours is better" if difference.low > 0 else "they cannot be told apart"
    return f"Over {len(SEEDS)} trainings: {told}; {answer}."


def _compare(a: np.ndarray, b: np.ndarray, twins: pd.Series, draws: int = 2000) -> Interval:
    """Accuracy of a minus that of b, right answers bool (seeds, pairs), and its interval.

    Each draw takes twin groups and seeds with replacement: one training alone is better or worse by luck, by up to two
    points here, and an interval over pairs does not know that.
    """
    gains = group_sums((a.astype(int) - b).T, twins)  # (groups, seeds)
    sizes = group_sums(np.ones((len(twins), 1), int), twins)
    random, (groups, seeds) = np.random.default_rng(0), gains.shape
    chosen = random.multinomial(groups, np.full(groups, 1 / groups), draws)  # (draws, groups)
    shares = random.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
    drawn = (chosen @ gains * shares).sum(axis=1) / (chosen @ sizes)[:, 0]
    return interval_of(a.mean() - b.mean(), drawn, groups)


def _judge_untrained(config: RunConfig, pairs: Pairs, found: Found) -> None:
    model, batch = FusionModel(config, pairs.text.width, pairs.image.width), needed(config, pairs).batch(range(PAIRS))
    joint = refuse_blank(model.fusion(model.sides(batch)))
    shape = tuple(joint.shape) if isinstance(joint, Tensor) else type(joint).__name__
    wanted = PAIRS, config.hidden if model.fusion.over_vectors else CLASSES
    found("shape", shape != wanted, f"{PAIRS} pairs gave {shape}, not {wanted}")
    for side in ("text", "image"):
        model.zero_grad()
        logits = model(batch.without(**{side: torch.arange(PAIRS) % 2 == 0}))[JOINT]
        logits.logsumexp(dim=1).sum().backward()
        numbers = [logits, *(one.grad for one in model.parameters() if one.grad is not None)]
        bad = sum(int((~one.isfinite()).sum()) for one in numbers)
        found("missing_not_finite", bad > 0, f"no {side} in half of the pairs: {bad} numbers are nan or infinite")


def _judge_exchanged(model: nn.Module, pairs: Pairs, found: Found) -> None:
    rows = np.arange(len(pairs))
    moved, before = np.roll(rows, 1), predict(model, pairs)[JOINT]
    for side, shown in (("image", pairs.pair_up(rows, moved)), ("text", pairs.pair_up(moved, rows))):
        change = float(abs(predict(model, shown)[JOINT] - before).max())
        found(f"{side}_ignored", change < TINY, f"largest change of a probability: {change:.2g}")


EXERCISES = load_exercises(
    __file__, "04_fusion", judge_fusion, judge_modality_dropout, judge_fake_probe, judge_better_fusion
)
