"""Adds the results of an epoch to the row of an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.models.assignments import ids_of
from jobs.results.schema import Attempt
from jobs.study.sections import SECONDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.data.dataset import Dataset
    from core.evaluation.outputs import Topics
    from core.training.fit import EpochRow


def add(
    attempt: Attempt, row: EpochRow, seconds: float, changing: Mapping[str, float], data: Dataset
) -> dict[str, float]:
    """Adds an epoch to the row of an attempt.

    Args:
        attempt: the attempt.
        row: the epoch.
        seconds: of the trial so far.
        changing: the values of parameters that change.
        data: the data set, to name documents by their ids.

    Returns:
        The epoch's losses and scores, and the signals of an epoch that was scored, by name.
    """
    attempt.seconds, attempt.epochs_done = seconds, row.epoch
    metrics, signals = _plain(row.metrics), _plain(row.health)
    named = metrics | {f"health.{name}": value for name, value in signals.items()}
    named |= {f"hp.{key}": value for key, value in changing.items()}
    attempt.history += [(row.epoch, seconds, name, value) for name, value in named.items()]
    attempt.metrics |= metrics
    attempt.health |= signals
    if row.scores is None:
        return metrics
    attempt.cluster_sizes = _listed(row.scores.cluster_sizes)
    attempt.probe_labels = _listed(row.scores.probe_labels)
    if row.scores.topics is not None:
        _add_topics(attempt, row.scores.topics, data)
    return metrics | _plain(row.scores.health)


def last(attempt: Attempt) -> dict[str, float]:
    """The values of the last epoch, by the names of the history."""
    found: dict[str, float] = {}
    for epoch, _, name, value in reversed(attempt.history):
        if epoch != attempt.epochs_done:
            break
        found[name] = value
    return dict(reversed(found.items()))


def value(attempt: Attempt, metric: str) -> float | None:
    """The value of a metric, or of `seconds`, in the row of an attempt, by the names of a constraint."""
    kinds = {"best": attempt.best, "mean5": attempt.recent, "health": attempt.health, "metric": attempt.metrics}
    kind, _, name = metric.rpartition(".")
    found = kinds[kind].get(name) if kind in kinds else (attempt.metrics | attempt.health).get(metric)
    return attempt.seconds if found is None and metric == SECONDS else found


def _add_topics(attempt: Attempt, found: Topics, data: Dataset) -> None:
    ids = ids_of(data)
    attempt.topics = [
        (topic, word, weight)
        for topic, (words, weights) in enumerate(zip(found.words, found.weights.tolist(), strict=True))
        for word, weight in zip(words, weights, strict=True)
    ]
    attempt.topic_coherence = found.coherence.tolist()
    attempt.topic_documents = [(topic, str(ids[row])) for topic, rows in enumerate(found.documents) for row in rows]
    attempt.topic_scored_on = found.scored_on


def _plain(values: Mapping[str, float]) -> dict[str, float]:
    """The values as Python floats: torch refuses to load numpy scalars, and the trial would restart."""
    return {name: float(value) for name, value in values.items()}


def _listed(numbers: NDArray[np.int64] | None) -> list[int] | None:
    return None if numbers is None else numbers.tolist()
