"""Judges a running trial by its history, and says in its row what became of it: codes, several of them joined."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from core.evaluation.health import Course, Derived, judge, summary
from jobs.results.schema import Attempt

TEXTS = ("verdict", "performance_trend")
SAVED = "seconds_saved"
"""The signal of a trial that ended itself: its epochs left times the mean seconds of one."""
_REFUSED = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class Judge:
    """Follows the history of one trial, so that each epoch is read once.

    Args:
        epochs: of the trial.
        batch_size: the samples of a step; 0 if unknown.
        n_samples: of the training part; 0 if unknown.
    """

    def __init__(self, epochs: int, batch_size: int = 0, n_samples: int = 0) -> None:
        self._known = {"epochs": epochs, "batch_size": batch_size, "n_samples": n_samples}
        self._series: dict[str, list[tuple[int, float]]] = {}
        self._read: list[tuple[int, float, str, float]] = []
        self._count = self._judged = 0
        self._derived = Derived()

    def fill(self, attempt: Attempt, *, ended: bool) -> None:
        """Sets the attempt's texts, and the numbers of its course among its signals."""
        found: dict[str, Any] = summary(self._course(attempt, ended=ended))
        for name in TEXTS:
            setattr(attempt, name, found.pop(name, ""))
        attempt.health |= found

    def hopeless(self, attempt: Attempt, codes: Collection[str]) -> str:
        """Why a trial that is to end with these codes has to, as `COLLAPSED@12: …`; empty if it has not."""
        if not codes:
            return ""
        course, again = self._course(attempt, ended=False), 0 < self._judged == attempt.epochs_done - 1
        self._judged = attempt.epochs_done
        for found in judge(course, codes, again=again):
            return f"{found.code}@{found.epoch}: {found.sentence}"
        return ""

    def _course(self, attempt: Attempt, *, ended: bool) -> Course:
        # A resumed attempt has taken over another history.
        if self._read is not attempt.history or len(attempt.history) < self._count:
            self._read, self._count, self._judged, self._series = attempt.history, 0, 0, {}
            self._derived = Derived()
        for epoch, _, name, value in attempt.history[self._count :]:
            self._series.setdefault(name.removeprefix("health."), []).append((epoch, value))
        self._count = len(attempt.history)
        clusters = len(attempt.cluster_sizes or ())
        derived = self._derived
        return Course(series=self._series, n_clusters=clusters, ended=ended, derived=derived, **self._known)


def left(attempt: Attempt, epochs: int) -> float:
    """The seconds that the epochs left would have taken, by the mean of those done."""
    return (epochs - attempt.epochs_done) * (attempt.seconds or 0.0) / max(1, attempt.epochs_done)


def joined(*reasons: str) -> str:
    """The reasons that are not empty, in one text."""
    return "; ".join(filter(None, reasons))


def kind(error: Exception) -> str:
    """The reason code of an exception from training."""
    # Out of memory, torch's CPU allocator raises a plain RuntimeError, and CUDA libraries raise errors of their own.
    refused = isinstance(error, RuntimeError) and any(words in str(error) for words in _REFUSED)
    # torch's own class, by its name: only the trial itself imports torch.
    is_torchs = any(one.__name__ == "OutOfMemoryError" for one in type(error).__mro__)
    return "OUT_OF_MEMORY" if refused or is_torchs or isinstance(error, MemoryError) else "ERROR"
