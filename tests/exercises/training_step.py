"""Answers to the exercise `training_step`; see exercise_cases.py."""

LOSS = "F.cross_entropy(model(inputs), labels)"
BACKWARD, STEP, ZERO = "loss.backward()", "optimizer.step()", "optimizer.zero_grad()"
RETURN = "return loss.item()"

MISTAKES = [
    ("no_backward", {BACKWARD: "pass"}),
    ("no_backward", {BACKWARD: "pass", STEP: "pass"}),
    ("gradient_cut", {LOSS: "F.cross_entropy(model(inputs).detach().requires_grad_(), labels)"}),
    ("gradient_cut", {LOSS: "(model(inputs).argmax(dim=1) != labels).float().mean().requires_grad_()"}),
    ("no_step", {STEP: "pass"}),
    ("no_step", {STEP: "for one in model.parameters():\n        one.data -= 0.1 * one.grad"}),
    ("step_without_gradient", {BACKWARD: BACKWARD + "\n    model.zero_grad()"}),
    ("step_without_gradient", {"loss.backward()\n    optimizer.step()": "optimizer.step()\n    loss.backward()"}),
    ("evaluation_mode", {"model.train()": "model.eval()"}),
    ("evaluation_mode", {"model.train()": "pass"}),
    ("softmax_first", {LOSS: "F.cross_entropy(model(inputs).softmax(dim=1), labels)"}),
    ("loss_summed", {LOSS: 'F.cross_entropy(model(inputs), labels, reduction="sum")'}),
    ("labels_wrong", {LOSS: "F.cross_entropy(model(inputs), labels.flip(0))"}),
    ("labels_wrong", {LOSS: "F.cross_entropy(model(inputs), (labels + 1) % 3)"}),
    ("labels_wrong", {LOSS: "F.cross_entropy(model(inputs), model(inputs).argmax(dim=1))"}),
    ("labels_wrong", {LOSS: "F.cross_entropy(model(inputs), labels.clamp(max=1))"}),
    ("other_loss", {LOSS: "-F.cross_entropy(model(inputs), labels)"}),
    ("other_loss", {LOSS: "F.nll_loss(model(inputs), labels)"}),
    ("other_loss", {LOSS: "F.cross_entropy(model(inputs), labels, label_smoothing=0.1)"}),
    ("other_loss", {LOSS: "F.mse_loss(model(inputs), F.one_hot(labels, 3).float())"}),
    ("other_loss", {LOSS: "F.cross_entropy(model(inputs).relu(), labels)"}),
    ("loss_missing", {"    return loss.item()\n": ""}),
    ("graph_kept", {RETURN: "return loss"}),
    ("loss_value", {RETURN: "return loss.item() * len(labels)"}),
    ("loss_value", {RETURN: "return F.cross_entropy(model(inputs), labels).item()"}),
    ("wrong_update", {STEP: "optimizer.step()\n    optimizer.step()"}),
    ("wrong_update", {BACKWARD: BACKWARD + "\n    for one in model.parameters():\n        one.grad.sign_()"}),
    ("accumulates", {ZERO: "pass"}),
]

ALTERNATIVES = {
    "forget-first": {
        "model.train()": "model.train()\n    optimizer.zero_grad()",
        "    optimizer.zero_grad()\n    return": "    return",
    },
    "forget-before-backward": {
        BACKWARD: "optimizer.zero_grad(set_to_none=False)\n    loss.backward()",
        "    optimizer.zero_grad()\n    return": "    return",
    },
    "forget-in-model": {ZERO: "model.zero_grad()"},
    "forget-by-hand": {ZERO: "for one in model.parameters():\n        one.grad = None"},
    "log-softmax-twice": {LOSS: "F.cross_entropy(model(inputs).log_softmax(dim=1), labels)"},
    "likelihood": {LOSS: "F.nll_loss(F.log_softmax(model(inputs), dim=-1), labels)"},
    "one-hot": {LOSS: "F.cross_entropy(model(inputs), F.one_hot(labels, 3).float())"},
    "detached": {RETURN: "return loss.detach()"},
    "numpy-number": {RETURN: "return loss.detach().numpy()"},
    "clipped": {
        BACKWARD: BACKWARD
        + "\n    from torch.nn.utils import clip_grad_norm_\n    clip_grad_norm_(model.parameters(), 1.0)"
    },
    "evaluation-afterwards": {RETURN: "model.eval()\n    return float(loss.detach())"},
    "double": {LOSS: "F.cross_entropy(model(inputs).double(), labels)"},
    "module": """
import torch


def train_step(network, optimiser, x, y):
    criterion = torch.nn.CrossEntropyLoss(reduction="mean")
    network.train(True)
    optimiser.zero_grad(set_to_none=True)
    scores = network.forward(x)
    error = criterion(scores, y)
    torch.autograd.backward(error)
    optimiser.step()
    return error.detach().cpu().item()
""",
    "formula": """
import torch


def train_step(model, optimizer, inputs, labels):
    model.train()
    optimizer.zero_grad()
    logits = model(inputs)
    right = logits[torch.arange(len(labels)), labels]
    loss = (torch.logsumexp(logits, dim=1) - right).mean()
    loss.backward()
    optimizer.step()
    return loss.item()
""",
    "loop-over-pairs": """
import math


def train_step(model, optimizer, inputs, labels):
    optimizer.zero_grad()
    model.train()
    total = 0
    for logits, label in zip(model(inputs), labels):
        chances = logits.exp() / logits.exp().sum()
        total = total - chances[label].log()
    loss = total / len(labels)
    loss.backward()
    optimizer.step()
    return float(loss.detach())
""",
    "small-batches": """
from torch.nn import functional as F


def train_step(model, optimizer, inputs, labels):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(inputs), labels, reduction="none")
    for one in loss:
        (one / len(labels)).backward(retain_graph=True)
    optimizer.step()
    return loss.mean().item()
""",
    "closure": """
from torch.nn import functional as F


def train_step(model, optimizer, inputs, labels):
    model.train()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    return optimizer.step(closure).item()
""",
    "gradients-by-hand": """
import torch
from torch.nn import functional as F


def train_step(model, optimizer, inputs, labels):
    model.train()
    weights = list(model.parameters())
    loss = F.cross_entropy(model(inputs), labels)
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
        weight.grad = gradient
    optimizer.step()
    return loss.item()
""",
    "sixteen-bits": """
import torch
from torch.nn import functional as F


def train_step(model, optimizer, inputs, labels):
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(model(inputs).float(), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()
""",
    "object": """
from torch import nn


class Step:
    loss = nn.CrossEntropyLoss()

    def __call__(self, model, optimizer, inputs, labels):
        model.train()
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = None
        loss = self.loss(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.tolist()


train_step = Step()
""",
}
