"""Early stopping: ends a trial whose score has not become better for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config import EarlyStopping
from core.errors import UserError


class Patience:
    """Follows one score from epoch to epoch; without a metric it never ends anything.

    Attributes:
        best: the best value so far.
        best_epoch: when that was.
    """

    def __init__(self, config: EarlyStopping) -> None:
        """For a trial from its first epoch on.

        Raises:
            UserError: a loss or an error is to be maximised.
        """
        self._metric, self._patience, self._sign = config.metric, config.patience, 1 if config.mode == "max" else -1
        if config.metric is not None and config.mode == "max" and _is_error(config.metric):
            raise UserError(
                f"trial.early_stopping: {config.metric} is the better the smaller it is: say `mode: min` as well"
            )
        self.best: float | None = None
        self.best_epoch = 0

    def spent(self, epoch: int, found: Mapping[str, float], *, due: bool) -> bool:
        """Whether an epoch with these scores ends the trial.

        Raises:
            UserError: the epoch was due to be scored and the metric is none of its scores.
        """
        if self._metric is None:
            return False
        value = found.get(self._metric)
        if value is None and due:
            scores = ", ".join(sorted(found))
            raise UserError(f"trial.early_stopping.metric: {self._metric!r} is none of the trial's scores: {scores}")
        if value is not None and (self.best is None or self._sign * value > self._sign * self.best):
            self.best, self.best_epoch = value, epoch
        return epoch - self.best_epoch >= self._patience and self.best is not None

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]


def _is_error(metric: str) -> bool:
    return metric.startswith("loss") or metric.endswith(("loss", "mse"))
