"""How many clusters a trial has: as configured, as many as there are classes, or an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.trial import TrialConfig
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def count_clusters(config: TrialConfig, data: Dataset) -> int:
    """The configured number of clusters; `auto` estimates it from the samples, none takes that of the classes.

    It is 0 for a method that does not cluster.

    Raises:
        UserError: neither is known, or there are fewer samples than clusters.
    """
    if not plugins.constant("methods", config.method.name, "clusters", default=True):
        return 0
    if config.n_clusters == "auto":
        return _estimated(data)
    count = config.n_clusters or data.n_classes
    if count is None:
        raise UserError(
            f"trial.n_clusters: {data.name} has no labels to count classes of: give the number of clusters, or auto"
        )
    if count > data.n_samples:
        raise UserError(
            f"trial.n_clusters: {count} clusters are too many for the {data.n_samples} samples of {data.name}"
        )
    return count


_ESTIMATES: dict[tuple[str, bytes | None], int] = {}


def _estimated(data: Dataset) -> int:
    """Once per data set, part and process: it takes seconds. All parts of a data set have one fingerprint."""
    from core.evaluation.kmeans import estimate_n_clusters

    key = (data.fingerprint, None if data.parts is None else data.parts.tobytes())
    if key not in _ESTIMATES:
        _ESTIMATES[key] = estimate_n_clusters(data.samples)
    return _ESTIMATES[key]
