"""Answers to the exercise `early_stopping`; see exercise_cases.py."""

START = 'best_loss, best_epoch, best = float("inf"), 0, None'
COPY = "copy.deepcopy(model.state_dict())"
STOP = "if epoch - best_epoch >= patience:"
LOAD = "model.load_state_dict(best)"
RETURN = "return model, best_epoch"

MISTAKES = [
    ("epochs_ignored", {"range(1, epochs + 1)": "range(1, epochs)"}),
    ("epochs_ignored", {"for epoch in range(1, epochs + 1):": "epoch = 0\n    while True:\n        epoch += 1"}),
    ("epochs_ignored", {"range(1, epochs + 1)": "range(epochs + 1)"}),
    ("no_dev_loss", {"dev_loss(model)": "10.0 / epoch"}),
    ("dev_in_training", {"model.eval()": "pass"}),
    ("training_in_evaluation", {"        model.train()\n": ""}),
    ("training_in_evaluation", {START: START + "\n    model.train()", "        model.train()\n": ""}),
    ("returned", {RETURN: "return best_epoch, model"}),
    ("returned", {RETURN: "return best_epoch"}),
    ("returned", {RETURN: "pass"}),
    ("returned", {RETURN: "return best, best_epoch"}),
    ("higher_taken", {'float("inf")': '-float("inf")', "loss < best_loss": "loss > best_loss"}),
    ("counted_from_zero", {RETURN: "return model, best_epoch - 1"}),
    ("wrong_epoch", {RETURN: "return model, epoch"}),
    ("wrong_epoch", {RETURN: "return model, epochs"}),
    ("reference", {COPY: "model.state_dict()"}),
    ("reference", {COPY: "dict(model.state_dict())"}),
    ("reference", {COPY: "{name: one.detach() for name, one in model.state_dict().items()}"}),
    ("last_weights", {LOAD: "pass"}),
    ("last_weights", {COPY: "model", LOAD: "model = best"}),
    ("last_weights", {COPY: "copy.copy(model)", LOAD: "model = best"}),
    ("wrong_weights", {COPY: "before", "        model.train()\n": f"        before = {COPY}\n        model.train()\n"}),
    ("wrong_weights", {COPY: "before", START: START + f"\n    before = {COPY}"}),
    ("patience_ignored", {"break": "pass"}),
    ("patience_from_start", {STOP: "if epoch >= patience:"}),
    ("stops_too_early", {STOP: "if epoch - best_epoch >= patience - 1:"}),
    ("stops_too_late", {STOP: "if epoch - best_epoch > patience:"}),
    (
        "patience_not_reset",
        {START: START + "\n    bad = 0", STOP: "bad += loss > best_loss\n        if bad >= patience:"},
    ),
    (
        "compared_with_last",
        {
            START: START + '\n    bad, last = 0, float("inf")',
            STOP: "bad, last = (0 if loss < last else bad + 1), loss\n        if bad >= patience:",
        },
    ),
    ("ties", {"loss < best_loss": "loss <= best_loss"}),
]

ALTERNATIVES = {
    "clones": {COPY: "{name: one.detach().clone() for name, one in model.state_dict().items()}"},
    "whole-copy": {COPY: "copy.deepcopy(model)", LOAD: "model = best"},
    "numpy": {
        COPY: "{name: one.numpy().copy() for name, one in model.state_dict().items()}",
        LOAD: "import torch\n    model.load_state_dict({name: torch.from_numpy(one) for name, one in best.items()})",
    },
    "count": {
        START: START + "\n    bad = 0",
        STOP: "bad = 0 if best_epoch == epoch else bad + 1\n        if bad == patience:",
    },
    "still-model": {
        "model.train()": "model.train(True)",
        "model.eval()": "model.train(False)",
        RETURN: "model.eval()\n    return model, best_epoch",
    },
    "list": {RETURN: "return [model, best_epoch]"},
    "while": """
from copy import deepcopy


def fit_best(net, train, measure, limit, patience):
    losses, states = [], []
    while len(losses) < limit and len(losses) - 1 - (losses.index(min(losses)) if losses else -1) < patience:
        net.train()
        train(net)
        net.eval()
        losses.append(measure(net))
        states.append(deepcopy(net.state_dict()))
    best = losses.index(min(losses))
    net.load_state_dict(states[best])
    return net, best + 1
""",
    "file": """
import io

import torch


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    best, saved, waited, epoch = None, None, 0, 0
    while epoch < epochs and waited < patience:
        model.train()
        train_epoch(model)
        epoch, waited = epoch + 1, waited + 1
        model.eval()
        with torch.no_grad():
            loss = float(dev_loss(model))
        if best is None or loss < best[0]:
            saved, best, waited = io.BytesIO(), (loss, epoch), 0
            torch.save(model.state_dict(), saved)
    saved.seek(0)
    model.load_state_dict(torch.load(saved))
    return model, best[1]
""",
    "vector": """
import numpy as np
from torch.nn.utils import parameters_to_vector, vector_to_parameters


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    history, weights = [], []
    for _ in range(epochs):
        train_epoch(model.train())
        history.append(dev_loss(model.eval()))
        weights.append(parameters_to_vector(model.parameters()).detach().clone())
        if len(history) - np.argmin(history) > patience:
            break
    best = int(np.argmin(history))
    vector_to_parameters(weights[best], model.parameters())
    return model, best + 1
""",
    "in-place": """
import math

import torch


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    kept = [weight.detach().clone() for weight in model.parameters()]
    lowest, best_epoch, left = math.inf, 0, patience
    for epoch in range(epochs):
        model.train()
        train_epoch(model)
        model.eval()
        loss = dev_loss(model)
        left -= 1
        if loss < lowest:
            lowest, best_epoch, left = loss, epoch + 1, patience
            for old, new in zip(kept, model.parameters()):
                old.copy_(new.detach())
        if not left:
            break
    with torch.no_grad():
        for weight, old in zip(model.parameters(), kept):
            weight.copy_(old)
    return model, best_epoch
""",
    "class": """
import pickle


class Stopper:
    def __init__(self, patience):
        self.patience, self.losses, self.kept = patience, {}, None

    def note(self, model, loss):
        if not self.losses or loss < min(self.losses.values()):
            self.kept = pickle.dumps(model.state_dict())
        self.losses[len(self.losses) + 1] = loss

    @property
    def best(self):
        return min(self.losses, key=self.losses.get)

    @property
    def done(self):
        return len(self.losses) - self.best >= self.patience


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    stopper = Stopper(patience)
    for _ in range(epochs):
        model.train()
        train_epoch(model)
        model.eval()
        stopper.note(model, dev_loss(model))
        if stopper.done:
            break
    model.load_state_dict(pickle.loads(stopper.kept))
    return model, stopper.best
""",
    "generator": """
import copy


def train_on(model, train_epoch, dev_loss, epochs):
    for epoch in range(1, epochs + 1):
        model.train()
        train_epoch(model)
        model.eval()
        yield dev_loss(model), epoch, copy.deepcopy(model)


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    best = (float("inf"), 0, model)
    for now in train_on(model, train_epoch, dev_loss, epochs):
        best = min(best, now, key=lambda one: one[0])
        if now[1] - best[1] == patience:
            break
    return best[2], best[1]
""",
    "trains-a-copy": """
import copy


def fit_best(model, train_epoch, dev_loss, epochs, patience):
    best, best_loss, best_epoch, current = None, 1e9, None, copy.deepcopy(model)
    for epoch in range(1, epochs + 1):
        current = copy.deepcopy(current).train()
        train_epoch(current)
        current.eval()
        loss = dev_loss(current)
        if loss < best_loss:
            best, best_loss, best_epoch = current, loss, epoch
        elif epoch >= best_epoch + patience:
            return best, best_epoch
    return best, best_epoch
""",
}
