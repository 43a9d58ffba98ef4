"""A progress bar for trainings that take hours."""

import pandas as pd

from mmlab.config import RunConfig
from mmlab.course import DEV_SHARE
from mmlab.progress import open_bar
from mmlab.training.crossfit import INNER_FOLDS


class TrainingBar:
    """A bar over all pairs of all epochs: pairs per second, time left, loss, dev accuracy, and which model it is.

    Its methods are `on_model`, `on_epoch` and `on_batch` of `train_run`. The bar appears with the first batch. Early
    stopping makes it jump ahead, never back.
    """

    def __init__(self, config: RunConfig, n_labelled: int) -> None:
        kept = (1 - 1 / INNER_FOLDS) * (1 - 1 / config.folds if config.folds else 1 - DEV_SHARE)
        self.models, self.per_model = max(1, config.folds) * config.seeds, config.epochs * round(kept * n_labelled)
        self.done, self.bar, self.dev, self.loss = 0, None, "", None

    def __enter__(self) -> "TrainingBar":
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.close()

    def on_batch(self, pairs: int, loss: float) -> None:
        """Count a batch of so many pairs with this loss."""
        if self.bar is None:
            self.bar = open_bar(self.models * self.per_model, "", "pair")
            self.bar.update(self.done * self.per_model)
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss
        self.bar.set_description(f"model {min(self.done + 1, self.models)}/{self.models}", refresh=False)
        self.bar.set_postfix_str(f"loss {self.loss:.3f}{self.dev}", refresh=False)
        self.bar.update(min(pairs, (self.done + 1) * self.per_model - self.bar.n))

    def on_epoch(self, history: pd.DataFrame) -> None:
        """Show the dev accuracy of the last epoch."""
        self.dev = f", dev accuracy {history['dev_accuracy'].iloc[-1]:.3f} (epoch {len(history)})"

    def on_model(self, done: int, total: int) -> None:
        """Jump to the end of a model."""
        self.done, self.models, self.loss = done, total, None
        if self.bar is not None:
            self.bar.total = total * self.per_model
            self.bar.update(max(0, done * self.per_model - self.bar.n))
