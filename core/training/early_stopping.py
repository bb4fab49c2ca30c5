"""Early stopping: ends a trial whose score has not improved for some epochs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from core.config.trial import EarlyStopping
from core.errors import UserError
from core.evaluation.names import AT_THE_END, direction, refuse_unreported

_PLACE = "trial.early_stopping.metric"


def beats(value: float, best: float | None, mode: str) -> bool:
    """Whether a value is better than the best so far (None before the first); any number is better than NaN."""
    if best is None or math.isnan(best):
        return best is None or not math.isnan(value)
    return value > best if mode == "max" else value < best


class Patience:
    """Follows one score from epoch to epoch; without a metric it never ends a trial.

    Attributes:
        best: the best value so far.
        best_epoch: the epoch of the best value.
    """

    def __init__(self, config: EarlyStopping, reported: Collection[str] | None = None) -> None:
        """Starts at the first epoch of a trial; `reported` holds the names of its scores, None if they are unknown.

        Raises:
            UserError: a score whose smaller values are better would be maximised, or no epoch before the last one
                reports the metric.
        """
        self._config, self._reported = config, reported
        self._metric = config.metric
        if config.metric is not None and reported is not None:
            before = set(reported) - set(AT_THE_END)
            refuse_unreported(_PLACE, config.metric, before, "the trial's scores before its last epoch")
        if config.metric is not None and config.mode == "max" and direction(config.metric) == "min":
            raise UserError(f"trial.early_stopping: a smaller {config.metric} is better: set `mode: min` too")
        self.best: float | None = None
        self.best_epoch = 0

    def spent(self, epoch: int, found: Mapping[str, float], *, due: bool) -> bool:
        """Whether an epoch with these scores ends the trial.

        Raises:
            UserError: the names of the scores were not known before, and an epoch that was scored lacks the metric.
        """
        if self._metric is None:
            return False
        value = found.get(self._metric)
        if value is None and due and self._reported is None:
            refuse_unreported(_PLACE, self._metric, found)
        if value is not None and beats(value, self.best, self._config.mode):
            self.best, self.best_epoch = value, epoch
        return epoch - self.best_epoch >= self._config.patience and self.best is not None

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state from a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
