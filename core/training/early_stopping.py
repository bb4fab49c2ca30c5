"""Early stopping: ends a trial whose score has not become better for a while."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from core.config.trial import EarlyStopping
from core.errors import UserError
from core.evaluation.metrics import AT_THE_END, refuse_unreported

_PLACE = "trial.early_stopping.metric"


def beats(value: float, best: float | None, mode: str) -> bool:
    """Whether a value is better than the best so far (None at first); any number is better than NaN."""
    if best is None or math.isnan(best):
        return best is None or not math.isnan(value)
    return value > best if mode == "max" else value < best


class Patience:
    """Follows one score from epoch to epoch; without a metric it never ends anything.

    Attributes:
        best: the best value so far.
        best_epoch: when that was.
    """

    def __init__(self, config: EarlyStopping, reported: Collection[str] | None = None) -> None:
        """For a trial from its first epoch on; `reported` are the names of its scores, where they are known.

        Raises:
            UserError: a loss or an error is to be maximised, or no epoch before the last reports the metric.
        """
        self._config, self._reported = config, reported
        self._metric = config.metric
        if config.metric is not None and reported is not None:
            before = set(reported) - set(AT_THE_END)
            refuse_unreported(_PLACE, config.metric, before, "the trial's scores before its last epoch")
        if config.metric is not None and config.mode == "max" and _is_error(config.metric):
            raise UserError(
                f"trial.early_stopping: {config.metric} is the better the smaller it is: say `mode: min` as well"
            )
        self.best: float | None = None
        self.best_epoch = 0

    def spent(self, epoch: int, found: Mapping[str, float], *, due: bool) -> bool:
        """Whether an epoch with these scores ends the trial.

        Raises:
            UserError: what the trial reports was not known before, and the metric is none of an epoch's scores that
                was due to be scored.
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
        """For a checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]


def _is_error(metric: str) -> bool:
    return metric.startswith("loss") or metric.endswith(("loss", "mse"))
