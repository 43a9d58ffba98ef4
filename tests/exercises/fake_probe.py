"""Answers to the exercise `fake_probe`; see exercise_cases.py."""

EVAL = "model.eval()\n"
TEXT = "other_text = model(tokens.roll(1, 0), token_mask.roll(1, 0), patches, patch_mask)"
IMAGE = "other_image = model(tokens, token_mask, patches.roll(1, 0), patch_mask.roll(1, 0))"
BOTH = "tokens.roll(1, 0), token_mask.roll(1, 0), patches.roll(1, 0), patch_mask.roll(1, 0)"
RETURN = "return bool((other_text != before).any()) and bool((other_image != before).any())"

MISTAKES = [
    ("not_bool", {RETURN: "return (other_text != before) & (other_image != before)"}),
    ("not_bool", {RETURN: 'return "both" if (other_text != before).any() else "one"'}),
    (
        "inputs_changed",
        {
            IMAGE: "patches[:] = patches.roll(1, 0)\n        other_image = model(tokens, token_mask, patches, patch_mask)"
        },
    ),
    ("inputs_changed", {TEXT: "other_text = model(tokens.normal_(), token_mask, patches, patch_mask)"}),
    # text and image move together
    ("together", {TEXT: f"other_text = model({BOTH})", IMAGE: "other_image = other_text"}),
    ("together", {" and ": " or "}),
    ("image_untested", {IMAGE: "other_image = other_text"}),
    ("text_untested", {TEXT: "other_text = model(tokens, token_mask, patches.roll(1, 0), patch_mask.roll(1, 0))"}),
    # the answers move with the rows
    (
        "honest_refused",
        {TEXT: f"other_text = model({BOTH}).roll(-1, 0)", IMAGE: "other_image = other_text"},
    ),
    ("honest_refused", {TEXT: "other_text = model(tokens, token_mask.clone(), patches, patch_mask)"}),
    ("honest_refused", {"(other_text != before)": "(other_text == 0)"}),
    # the mean over the pairs stays where it is
    ("honest_refused", {"(other_image != before)": "((other_image.mean(dim=0) - before.mean(dim=0)).abs() > 1e-5)"}),
    ("training_mode", {EVAL: "model.train()\n"}),
    ("presence", {IMAGE: "other_image = model(tokens, token_mask, torch.zeros_like(patches), patch_mask)"}),
    ("presence", {IMAGE: "other_image = model(tokens, token_mask, patches, torch.zeros_like(patch_mask))"}),
    ("faint_missed", {"(other_image != before)": "(other_image.argmax(dim=1) != before.argmax(dim=1))"}),
    ("faint_missed", {"(other_image != before)": "((other_image - before).abs() > 0.05)"}),
    ("few_pairs", {"(other_image != before).any()": "(other_image != before).all()"}),
    ("few_pairs", {"(other_image != before).any()": "(other_image != before)[0].any()"}),
]

ALTERNATIVES = {
    "reversed": {".roll(1, 0), token_mask.roll(1, 0)": ".flip(0), token_mask.flip(0)"},
    "allclose": {RETURN: "return not (torch.allclose(before, other_text) or torch.allclose(before, other_image))"},
    "a random order and numpy": """
import numpy as np
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model = model.eval()
    order = np.random.permutation(len(tokens))
    ask = lambda *sides: model(*sides).detach().numpy()
    plain = ask(tokens, token_mask, patches, patch_mask)
    text = ask(tokens[order], token_mask[order], patches, patch_mask)
    image = ask(tokens, token_mask, patches[order], patch_mask[order])
    return np.abs(text - plain).max() > 1e-6 and np.abs(image - plain).max() > 1e-6
""",
    "noise": """
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model.eval()
    plain = model(tokens, token_mask, patches, patch_mask)
    text = model(torch.randn_like(tokens), token_mask, patches, patch_mask)
    image = model(tokens, token_mask, torch.randn_like(patches), patch_mask)
    return all((other - plain).abs().sum() > 1e-6 for other in (text, image))
""",
    "gradients": """
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model.eval()
    tokens, patches = tokens.clone().requires_grad_(), patches.clone().requires_grad_()
    logits = model(tokens, token_mask, patches, patch_mask)
    wanted = torch.randn_like(logits)
    slopes = torch.autograd.grad(logits, (tokens, patches), wanted, allow_unused=True)
    return all(one is not None and bool(one.any()) for one in slopes)
""",
    "a loop over the sides": """
import torch


@torch.inference_mode()
def uses_both(model, *sides):
    was = model.training
    model.eval()
    plain, used = model(*sides), []
    for first in (0, 2):
        moved = list(sides)
        for place in (first, first + 1):
            moved[place] = torch.cat([sides[place][1:], sides[place][:1]])
        used.append(not torch.equal(plain, model(*moved)))
    model.train(was)
    return used == [True, True]
""",
    "one pair after another": """
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model.eval()
    text = image = False
    for i in range(len(tokens)):
        j = (i + 5) % len(tokens)
        row = lambda a, b: model(tokens[[a]], token_mask[[a]], patches[[b]], patch_mask[[b]])
        text |= not torch.allclose(row(i, i), row(j, i), atol=1e-6)
        image |= not torch.allclose(row(i, i), row(i, j), atol=1e-6)
    return text and image
""",
    "the same dropout in each call": """
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    def ask(text, image):
        torch.manual_seed(1)
        return model(tokens[text], token_mask[text], patches[image], patch_mask[image])

    same = torch.arange(len(tokens))
    other = (same + 1) % len(tokens)
    plain = ask(same, same)
    return not torch.equal(ask(other, same), plain) and not torch.equal(ask(same, other), plain)
""",
    "probabilities in float64": """
import copy

import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model = copy.deepcopy(model).eval().double()
    tokens, patches = tokens.double(), patches.double()
    with torch.no_grad():
        p = model(tokens, token_mask, patches, patch_mask).softmax(1)
        q = model(tokens.flip(0), token_mask.flip(0), patches, patch_mask).softmax(1)
        r = model(tokens, token_mask, patches.flip(0), patch_mask.flip(0)).softmax(1)
    return bool(min((p - q).abs().max(), (p - r).abs().max()) > 1e-9)
""",
    "every text with every image": """
import torch


def uses_both(model, tokens, token_mask, patches, patch_mask):
    model.eval()
    n = len(tokens)
    rows, columns = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
    with torch.no_grad():
        table = model(tokens[rows], token_mask[rows], patches[columns], patch_mask[columns]).view(n, n, -1)
    spread = [float(table.std(dim=side).max()) for side in (0, 1)]
    return min(spread) > 1e-5
""",
    "the answer is a tensor": {
        RETURN: "return torch.stack([(one != before).any() for one in (other_text, other_image)]).all()"
    },
}
