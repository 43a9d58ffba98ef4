"""Several models that answer as one. Explained in docs/scores.md."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch import nn

from mmlab.config import RunConfig
from mmlab.features import Pairs
from mmlab.training.loop import needed, predict


class EnsembleModel(nn.Module):
    """The models of one fold, of all members: the weighted mean of their answers.

    members: by name, the models of a member; weights: a Series by scenario and member.
    """

    def __init__(self, config: RunConfig, members: dict[str, list[nn.Module]], weights: pd.Series):
        super().__init__()
        self.config, self.scenarios = config, config.trained_scenarios
        self.members, self.weights = members, weights

    def answer(self, pairs: Pairs, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities of each scenario, float64 (n, 3). pairs: as `prepare_pairs` makes them for the ensemble."""
        answers: dict[str, np.ndarray] = {}
        for share, scenarios, model in self.parts():
            one = predict(model, needed(model.config, pairs), rows)
            for scenario in scenarios:
                answers[scenario] = answers.get(scenario, 0) + share[scenario] * one[scenario]
        return answers

    def parts(self) -> Iterator[tuple[dict[str, float], list[str], nn.Module]]:
        """Each model that has a say, with its share in each scenario and the scenarios in which this is above 0."""
        for name, models in self.members.items():
            shares = {scenario: self.weights[scenario, name] / len(models) for scenario in self.scenarios}
            if said := [scenario for scenario, share in shares.items() if share]:
                yield from ((shares, said, model) for model in models)
