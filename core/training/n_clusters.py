"""The number of clusters of a trial (configured, of the classes, or estimated), and methods that give a table none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config import plugins
from core.config.schema import Mistakes
from core.config.trial import TrialConfig
from core.errors import UserError

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.evaluation.cluster_count import ClusterCount


def count_clusters(config: TrialConfig, data: Dataset) -> int:
    """The configured number of clusters; `auto` estimates it from the samples, null takes the number of classes.

    It is 0 for a method that does not cluster.

    Raises:
        UserError: no number is set and there are no classes, or there are fewer samples than clusters.
    """
    if not plugins.constant("methods", config.method.name, "clusters", default=True):
        return 0
    if config.n_clusters == "auto":
        return estimated(data).count
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


_ESTIMATES: dict[tuple[str, bytes | None], ClusterCount] = {}


def estimated(data: Dataset) -> ClusterCount:
    """What `auto` finds on all samples of a data set, or of a part of one.

    Cached per data set, part and process, since it takes seconds; parts of a data set share a fingerprint.
    """
    from core.evaluation.cluster_count import estimate_n_clusters

    key = (data.fingerprint, None if data.parts is None else data.parts.tobytes())
    if key not in _ESTIMATES:
        _ESTIMATES[key] = estimate_n_clusters(data.samples)
    return _ESTIMATES[key]


def found_signals(config: TrialConfig, data: Dataset, epoch: int) -> dict[str, float]:
    """What `auto` found on the training samples, for the row: the number, and its interval.

    It is told of the first epoch; empty for others, and where the number was given or there are no clusters.
    """
    if epoch > 1 or config.n_clusters != "auto" or not count_clusters(config, data):
        return {}
    found = estimated(data)
    numbers = {"n_clusters_found": found.count, "n_clusters_low": found.low, "n_clusters_high": found.high}
    return {name: float(value) for name, value in numbers.items()}


def refuse_untabular(method: str, mistakes: Mistakes) -> None:
    """Adds a mistake for a method that cannot cluster the rows X of a table of numbers; the method is imported."""
    found = plugins.load("methods", method)
    if not found.clusters:
        mistakes.add(("method", "name"), f"{method!r} does not cluster: use another, such as 'conclus'")
    elif getattr(found, "scores", None) == "topics":
        mistakes.add(
            ("method", "name"),
            f"{method!r} learns topics of documents, which X does not hold: use a study with "
            "`data: {name: documents, path: …}`, or another method, such as 'conclus'",
        )
