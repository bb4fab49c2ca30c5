"""The number of clusters of a trial: the configured number, the number of classes, or an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.trial import TrialConfig
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def count_clusters(config: TrialConfig, data: Dataset) -> int:
    """The configured number of clusters; `auto` estimates it from the samples, null takes the number of classes.

    It is 0 for a method that does not cluster.

    Raises:
        UserError: no number is set and there are no classes, or there are fewer samples than clusters.
    """
    if not plugins.constant("methods", config.method.name, "clusters", default=True):
        return 0
    if config.n_clusters == "auto":
        return _estimated(data)
    count = config.n_clusters or data.n_classes
    if count is None:
        raise UserError(
            f"trial.n_clusters: {data.name} has no labels whose classes could be counted: set a number, or auto"
        )
    if count > data.n_samples:
        raise UserError(
            f"trial.n_clusters: {count} clusters are too many for the {data.n_samples} samples of {data.name}"
        )
    return count


_ESTIMATES: dict[tuple[str, bytes | None], int] = {}


def _estimated(data: Dataset) -> int:
    """Cached per data set, part and process, since it takes seconds; parts of a data set share a fingerprint."""
    from core.evaluation.kmeans import estimate_n_clusters

    key = (data.fingerprint, None if data.parts is None else data.parts.tobytes())
    if key not in _ESTIMATES:
        _ESTIMATES[key] = estimate_n_clusters(data.samples)
    return _ESTIMATES[key]
