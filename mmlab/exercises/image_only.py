"""Exercises of notebook 03: a pooling over patches, the answer of the surest patch, standardising by training pairs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmlab.config import LABELS
from mmlab.exercises.judging import Found, load_exercises, refuse_blank
from mmlab.exercises.samples import (
    CLASSES,
    PAIRS,
    PATCHES,
    TOKENS,
    WIDTH,
    Sample,
    largest_change,
    make_sample,
    shake,
    spy_on_softmax,
    train,
)

TINY = 1e-5  # a change below this is rounding of the same sum
ROUGH = 0.03  # a change below this may be rounding of another sum in bf16
CLOSE = 0.05  # between two ways to write a standard deviation, which divide by n or n - 1


def judge_pooling(answer: Any, found: Found) -> str:
    model, sample = refuse_blank(answer(WIDTH)).eval(), make_sample()
    shapes = [tuple(_pool_rows(model, sample, rows).shape) for rows in (slice(None), [0])]
    right = [(PAIRS, WIDTH), (1, WIDTH)]
    found("shape", shapes != right, f"{PAIRS} pairs and one pair gave vectors of shapes {shapes}, not {right}")
    first_weights = _weigh_first(model, sample)
    shake(model, by=0.3)
    with spy_on_softmax() as choices:
        vectors = _pool(model, sample.patches, sample.patch_mask)
    found("one_key", 1 in choices, f"{choices.count(1)} softmax over one value, which is always 1")
    wrong = WIDTH in choices and PATCHES not in choices
    found("wrong_axis", wrong, f"a softmax over {WIDTH} numbers; there are {PATCHES} patches, and {WIDTH} is the width")
    alone = torch.cat([_pool_rows(model, sample, [row]) for row in range(PAIRS)])
    mixed = largest_change(vectors, alone)
    found("batch_mixed", mixed > ROUGH, f"a pair alone and the same pair among others differ by up to {mixed:.2g}")
    _judge_mask(model, sample, vectors, found)
    _judge_weights(model, sample, vectors, found)
    _judge_parameters(model, sample, first_weights, found)
    return _tell_gain(answer)


def _pool(model: nn.Module, patches: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        return refuse_blank(model(patches.clone(), mask.clone())).float()


def _pool_rows(model: nn.Module, sample: Sample, rows: Any) -> Tensor:
    chosen = sample.rows(rows)
    return _pool(model, chosen.patches, chosen.patch_mask)


def _pool_whole(model: nn.Module, *patches: Tensor) -> Tensor:
    """The vectors of pictures that have exactly these patches, each (B, 1, width)."""
    whole = torch.cat(patches, dim=1)
    return _pool(model, whole, torch.ones(whole.shape[:2], dtype=torch.bool))


def _two_patches(sample: Sample) -> tuple[Tensor, Tensor]:
    """Two patches of each pair, (B, 1, width) each, so small that no softmax gives one of them everything."""
    return 0.3 * sample.patches[:, :1], 0.3 * sample.patches[:, 1:2]


def _weigh_first(model: nn.Module, sample: Sample) -> Tensor:
    """The weight of the first of two patches, (B,): how far the vector of both lies from the second to the first."""
    first, second = _two_patches(sample)
    one, other, both = (_pool_whole(model, *given) for given in ([first], [second], [first, second]))
    way = one - other
    return ((both - other) * way).sum(dim=-1) / way.square().sum(dim=-1).clamp(min=1e-12)


def _judge_mask(model: nn.Module, sample: Sample, vectors: Tensor, found: Found) -> None:
    patches, mask = sample.patches, sample.patch_mask
    seen, noise = mask.unsqueeze(-1), 10 * torch.randn_like(patches)
    padded = ~mask.all(dim=1)  # where nothing is padding, an inverted mask has nothing to read
    new_hidden, new_shown = (
        _pool(model, one, mask) for one in (patches.where(seen, noise), noise.where(seen, patches))
    )
    hidden, shown = (largest_change(vectors[padded], one[padded]) for one in (new_hidden, new_shown))
    evidence = f"new numbers in the padding move the vectors by {hidden:.2g}, elsewhere by {shown:.2g}"
    found("patches_ignored", max(hidden, shown) < TINY, evidence)
    found("mask_inverted", hidden > TINY > shown, evidence)
    found("padding_read", hidden > TINY, evidence)
    longer = torch.cat([patches, noise[:, :2]], dim=1), torch.cat([mask, torch.zeros_like(mask[:, :2])], dim=1)
    grown = largest_change(vectors, _pool(model, *longer))
    found("padding_read", grown > ROUGH, f"two more places of padding move the vectors by {grown:.2g}")
    empty = mask.clone()
    empty[0] = False
    bad = int((~_pool(model, patches, empty).isfinite()).sum())
    found("not_finite", bad > 0, f"one of {PAIRS} pairs has no patch, and {bad} of {vectors.numel()} numbers are nan")


def _judge_weights(model: nn.Module, sample: Sample, vectors: Tensor, found: Found) -> None:
    first, second = _two_patches(sample)
    one, other, both = (_pool_whole(model, *given) for given in ([first], [second], [first, second]))
    nearest = torch.minimum((both - one).abs(), (both - other).abs())
    found("one_patch", float(nearest.max()) < 1e-4, "with two patches, each number comes from one of them alone")
    order = torch.randperm(PATCHES)
    moved = largest_change(vectors, _pool(model, sample.patches[:, order], sample.patch_mask[:, order]))
    found("order_read", moved > ROUGH, f"another order of the same patches moves the vectors by {moved:.2g}")
    patch = sample.patches[:, :1]
    grown = largest_change(_pool_whole(model, patch), _pool_whole(model, patch, patch, patch))
    found("not_normalised", grown > ROUGH, f"one patch, and three patches equal to it: {grown:.2g} apart")
    # Where the weights are fixed, the changes of two patches add up; where patches compete for weight, they do not.
    changed = first + sample.patches[:, 2:3], second + sample.patches[:, 3:4]
    together = _pool_whole(model, *changed) - both
    apart = _pool_whole(model, changed[0], second) + _pool_whole(model, first, changed[1]) - 2 * both
    bend = largest_change(together, apart)
    found("plain_mean", bend < 1e-3, f"two patches changed at once, or one by one: {bend:.1g} apart")


def _judge_parameters(model: nn.Module, sample: Sample, first_weights: Tensor, found: Found) -> None:
    parameters = dict(model.named_parameters())
    moved = largest_change(first_weights, _weigh_first(model, sample))
    vectors, patches = _run_backward(model, sample, sample.patch_mask)
    listed = {id(one) for one in [*parameters.values(), patches]}
    strays = [tuple(leaf.shape) for leaf in _find_leaves(vectors) if id(leaf) not in listed]
    evidence = f"parameters() lists {len(parameters)}; other tensors that would learn: {len(strays)}; "
    found("unregistered", bool(strays) or moved < TINY, f"{evidence}new parameters move a weight by {moved:.1g}")
    needed = {"patches": patches, **{name: one for name, one in parameters.items() if _matters(model, sample, one)}}
    cut = [name for name, one in needed.items() if one.grad is None or not one.grad.abs().max() > 0]
    found("gradient_cut", bool(cut), f"{', '.join(cut)}: the vectors depend on it, but no gradient reaches it")
    empty = sample.patch_mask.clone()
    empty[0] = False
    _, patches = _run_backward(model, sample, empty)
    bad = [name for name, one in [("patches", patches), *parameters.items()] if _has_nan(one.grad)]
    found("gradient_not_finite", bool(bad), f"one pair has no patch, and the gradient of {', '.join(bad)} is nan")


def _matters(model: nn.Module, sample: Sample, parameter: Tensor) -> bool:
    """Whether other numbers in a parameter change the vectors: a bias before softmax, for example, does not."""
    before, kept = _pool(model, sample.patches, sample.patch_mask), parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.randn_like(parameter))
        after = _pool(model, sample.patches, sample.patch_mask)
        parameter.copy_(kept)
    return largest_change(before, after) > ROUGH


def _run_backward(model: nn.Module, sample: Sample, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The pooled vectors with their graph, and the patches; whatever a gradient reaches has it afterwards."""
    patches = sample.patches.clone().requires_grad_()
    model.zero_grad()
    vectors = model(patches, mask.clone())
    if vectors.requires_grad:
        vectors.float().square().sum().backward(retain_graph=True)
    return vectors, patches


def _find_leaves(vectors: Tensor) -> Iterator[Tensor]:
    """The tensors that a gradient would reach, found by walking back through the graph of what was computed."""
    waiting, seen = [vectors.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [before for before, _ in node.next_functions]


def _has_nan(grad: Tensor | None) -> bool:
    return grad is not None and not bool(grad.isfinite().all())


class _Reader(nn.Module):
    """A pooling and one linear layer, called as a fusion is."""

    def __init__(self, pooling: nn.Module):
        super().__init__()
        self.pooling, self.classify = pooling, nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Tensor, token_mask: Tensor, patches: Tensor, mask: Tensor) -> Tensor:
        return self.classify(self.pooling(patches, mask).float())


def _make_marked(pairs: int = 48) -> Sample:
    """Pictures whose patches each speak for one label; one patch has a mark, and only that one tells the truth."""
    sample, draw, rows = make_sample(pairs, seed=2), torch.Generator().manual_seed(3), torch.arange(pairs)
    said = torch.randint(CLASSES, (pairs, PATCHES), generator=draw)
    marked = rows % TOKENS  # each picture has at least so many patches
    patches = 0.3 * sample.patches + 3 * nn.functional.one_hot(said, WIDTH)
    patches[rows, marked, CLASSES] += 3
    return sample.but(patches=patches, labels=said[rows, marked])


def _tell_gain(answer: Any) -> str:
    marked = _make_marked()
    weights = marked.patch_mask.unsqueeze(-1) / marked.patch_mask.sum(dim=1)[:, None, None]
    mean = (weights * marked.patches).sum(dim=1, keepdim=True).expand_as(marked.patches)
    chosen, averaged = (
        train(_Reader(answer(WIDTH)), one, steps=50, lr=0.05) for one in (marked, marked.but(patches=mean))
    )
    return (
        f"In {len(marked.labels)} made-up pictures only one patch tells the label. A linear layer learned "
        f"{chosen:.2f} of them from your vectors, and {averaged:.2f} from plain means."
    )


def judge_surest_patch(answer: Any, found: Found) -> None:
    draw = np.random.default_rng(0)
    views = draw.dirichlet(np.ones(CLASSES), size=(40, PATCHES))
    given = views.copy()
    names, confidences = _answer(answer, given, found)
    found("changes_input", not np.array_equal(given, views), "patch_views differ before and after the call")
    _answer(answer, views[:1].copy(), found)
    known = sorted(set(names))
    found("not_names", not set(names) & set(LABELS), f"the labels are {', '.join(known[:3])}, not {', '.join(LABELS)}")
    said, sure = np.asarray(LABELS)[views.argmax(axis=2)], views.max(axis=2)  # (pairs, patches): of each patch
    surest = _take(said, sure.argmax(axis=1)), sure.max(axis=1)
    _judge_order(names, confidences, *surest, found)
    agree = (names[:, None] == said).all(axis=0)
    found("same_patch", bool(agree.any()), f"all {len(views)} pictures are answered by patch {agree.argmax()}")
    mean = np.asarray(LABELS)[views.mean(axis=1).argmax(axis=1)]
    found("averaged", np.array_equal(names, mean), "the labels are those of the mean over the patches")
    least = _take(said, sure.argmin(axis=1))
    found("least_sure", np.array_equal(names, least), "the labels are those of the patches that are least sure")
    wrong = int((names != surest[0]).sum())
    found("other_labels", wrong > 0, f"{wrong} of {len(views)} labels are not those of the surest patch")
    off = float(np.abs(confidences - surest[1]).max())
    found("wrong_confidence", not off < 0.01, f"all labels are right; the probabilities are wrong by up to {off:.2f}")


def _answer(answer: Callable, views: np.ndarray, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """The names as text and the confidences as float64, (pairs,) each."""
    pairs, value = len(views), refuse_blank(answer(views))
    two = isinstance(value, tuple | list) and len(value) == 2
    found("shape", not two, f"{type(value).__name__} instead of two sequences")
    names, confidences = np.asarray(value[0]), _to_array(value[1])
    shapes = names.shape, confidences.shape
    found("shape", set(shapes) != {(pairs,)}, f"{pairs} pictures gave labels and probabilities of shapes {shapes}")
    return names.astype(str), confidences


def _judge_order(
    names: np.ndarray, confidences: np.ndarray, surest: np.ndarray, sure: np.ndarray, found: Found
) -> None:
    """Right answers in another order of pairs, or under other names. surest, sure: the right ones, (pairs,)."""
    order, right = confidences.argsort(), sure.argsort()
    same = np.allclose(confidences[order], sure[right], atol=0.01)
    ordered = np.allclose(confidences, sure, atol=0.01)
    first = int((np.abs(confidences - sure) > 0.01).argmax())
    found("out_of_order", same and not ordered, f"the first answer at a wrong place is number {first}")
    renamed = dict(zip(surest, names, strict=True))
    consistent = all(renamed[one] == name for one, name in zip(surest, names, strict=True))
    swapped = {one: name for one, name in renamed.items() if one != name}
    evidence = ", ".join(f"{one} is called {name}" for one, name in sorted(swapped.items()))
    found("labels_swapped", consistent and bool(swapped), evidence)


def _take(table: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return table[np.arange(len(table)), columns]


def _to_array(value: Any) -> np.ndarray:
    """float64, from torch (bf16 too), numpy, pandas or a list."""
    if isinstance(value, Tensor):
        value = value.detach().double().numpy()
    return np.asarray(value, dtype=np.float64)


def judge_standardising(answer: Any, found: Found) -> None:
    vectors, train_rows = _make_vectors()
    given = vectors.copy()
    result = _to_array(refuse_blank(answer(given, train_rows.copy())))
    found("shape", result.shape != vectors.shape, f"{vectors.shape} became {result.shape}")
    found("changes_input", not np.array_equal(given, vectors), "vectors differ before and after the call")
    bad = int((~np.isfinite(result)).sum())
    found(
        "not_finite", bad > 0, f"{bad} of {result.size} numbers are nan or infinite; dimension 0 is constant in train"
    )
    found("per_row", _is_standard(result, axis=1), "each row has mean 0 and deviation 1")
    vectors, result = vectors[:, 1:], result[:, 1:]  # what becomes of the constant dimension is left open
    inside = vectors[train_rows]
    expected = (vectors - inside.mean(axis=0)) / inside.std(axis=0)
    moved = not _is_close(result, expected) and _is_close(np.sort(result, axis=0), np.sort(expected, axis=0))
    found("out_of_order", moved, "the rows are right, but at other places")
    trained = result[train_rows]
    right = _is_standard(trained, axis=0)
    found("all_rows", not right and _is_standard(result, axis=0), "mean 0 and deviation 1 hold over all rows together")
    divisors = vectors.std(axis=0) / np.maximum(result.std(axis=0), 1e-9)
    same = _is_close(divisors, divisors[0]) and not _is_close(divisors, 1)
    found("one_for_all", same, f"all dimensions are divided by the same number, {divisors[0]:.2f}")
    mean = float(np.abs(trained.mean(axis=0)).max())
    found("not_centred", mean > CLOSE, f"a dimension's mean over the training pairs is {mean:.2f} away from 0")
    widths = trained.std(axis=0)
    evidence = f"deviations over the training pairs: from {widths.min():.2f} to {widths.max():.2f}"
    found("not_scaled", not right, evidence)
    off = float(np.abs(result - expected).max())
    found("others_differ", not _is_close(result, expected), f"the training pairs are right, others wrong by {off:.1f}")


def _make_vectors() -> tuple[np.ndarray, np.ndarray]:
    """Vectors (60, 16) float32 and 40 training rows; the others are of another kind. Dimension 0 varies only there."""
    draw = np.random.default_rng(0)
    train_rows = draw.permutation(60)[:40]
    others = np.setdiff1d(np.arange(60), train_rows)
    vectors = draw.normal(draw.uniform(-5, 5, WIDTH), draw.uniform(0.5, 4, WIDTH), (60, WIDTH)).astype(np.float32)
    vectors[others] = 2 * vectors[others] + 3
    vectors[train_rows, 0] = 0.5
    return vectors, train_rows


def _is_standard(values: np.ndarray, axis: int) -> bool:
    """Whether the mean is 0 and the deviation 1 along an axis."""
    return _is_close(values.mean(axis=axis), 0) and _is_close(values.std(axis=axis), 1)


def _is_close(values: np.ndarray, expected: Any) -> bool:
    return bool(np.allclose(values, expected, rtol=CLOSE, atol=CLOSE))


EXERCISES = load_exercises(__file__, "03_image_only", judge_pooling, judge_surest_patch, judge_standardising)
