"""What a metric's name tells: whether larger is better, and whether the metric uses the labels."""

from collections.abc import Collection, Iterable

from core.config.schema import nearest
from core.data.dataset import PARTS
from core.errors import UserError
from jobs.results.names import MEAN5, METRIC, METRICS, resolve

CONSENSUS = "consensus"
"""The mean rank by label-free criteria among a study's trials; see `jobs.analysis.selection`."""
LABEL_FREE = "label_free"
"""The label-free score of one epoch; see `core.evaluation.label_free.label_free`."""

_LABELLED = frozenset(
    {
        *("acc", "oa", "balanced_acc", "macro_f1", "kappa", "purity"),
        *("nmi", "ami", "ari", "fmi", "f", "pair_f1", "homogeneity", "completeness", "v_measure"),
    }
)
_LOWER_IS_BETTER = frozenset(
    {
        *("davies_bouldin", "perplexity", "seconds", "mse"),
        *("assignment_entropy", "clusters_empty", "imbalance_pred", "label_flips"),
        *("topic_word_overlap", "topic_oov"),
    }
)
_RESCALING = frozenset({"instance_temperature", "cluster_temperature", "temperature", "batch_size", "n_clusters"})
_OF_PAIRS = ("cosine_similarity", "mse", "recall_at_", "mrr", "retrieval_accuracy")
SECONDARY = (
    *("npmi", "topic_diversity", "acc", "nmi", "ari", "fmi", "kmeans_acc", "kmeans_nmi", CONSENSUS),
    *("cosine_similarity", "recall_at_1", "recall_at_10", "mrr"),
)
"""Metrics shown beside the ranking metric, the most informative first."""


def metric_column(columns: Iterable[str], metric: str) -> str:
    """The column of a metric; a label-free signal is found as `health.<name>`, unless `metric.<name>` exists.

    Raises:
        UserError: No column fits the name, or several do; or it needs labels, and no metric of the results uses any.
    """
    names = sorted({name for name in columns if name.startswith(METRICS)})
    if f"health.{metric}" in names and f"metric.{metric}" not in names:
        return f"health.{metric}"
    if uses_labels(metric) and names and not any(map(uses_labels, names)):
        if not any(map(_is_score, names)):
            raise UserError(f"No trial has been scored yet, so none has the metric {metric!r}.")
        if not any(name.startswith("health.") for name in names):
            # An import has no signals, so no consensus either.
            told = nearest(metric, map(metric_name, names))
            raise UserError(f"No trial has a value of {metric!r}: name another metric, such as {told}.")
        raise UserError(f"The metric {metric!r} compares with labels, which these data have not: use {CONSENSUS!r}.")
    return resolve(metric, names)


_OF_EVERY_EPOCH = ("metric.loss", "best.loss", "mean5.loss", "health.")


def _is_score(column: str) -> bool:
    """Whether only an epoch that was scored has it: losses and most signals come with every epoch."""
    return column == f"health.{LABEL_FREE}" or not column.startswith(_OF_EVERY_EPOCH)


def metric_name(column: str) -> str:
    """The name to show for a column: `nmi` for `metric.nmi`; `best.nmi` and `mean5.nmi` stay as they are."""
    return column.removeprefix(METRIC).removeprefix("health.")


def of_epoch(metric: str) -> str:
    """The prefix of columns of the same part of a trial as the metric's: of the last epoch, the best, the last five."""
    return next((prefix for prefix in ("best.", MEAN5) if metric.startswith(prefix)), METRIC)


def bare(metric: str) -> str:
    """The metric's own name: `nmi` for `best.nmi`, `kmeans_nmi` and `test_nmi`, `mse` for `validation_mse`."""
    name = _without_prefix(metric).removeprefix("kmeans_")
    part, _, rest = name.partition("_")
    return rest if part in PARTS else name


def within_trial(metric: str) -> str:
    """The metric that one trial can report: the same name, but the label-free score in place of the consensus."""
    name = _without_prefix(metric)
    return LABEL_FREE if name == CONSENSUS else name


def uses_labels(metric: str) -> bool:
    """Whether the metric compares the clusters with the true classes."""
    return bare(metric) in _LABELLED


def is_loss(metric: str) -> bool:
    """Whether the metric is a training loss or a part of one, on that loss's own scale."""
    name = _without_prefix(metric)
    is_it = name == "loss" or name.startswith("loss_") or name in {f"{part}_loss" for part in PARTS}
    return is_it and not is_loss_share(metric)


def is_loss_share(metric: str) -> bool:
    """Whether the metric is a loss divided by its value for chance, such as `loss_share`."""
    name = _without_prefix(metric)
    return name.startswith("loss_") and name.endswith("share")


def quality_metric(keys: Collection[str]) -> str:
    """A metric to suggest instead of a loss; it depends on the trials' parameters."""
    return "cosine_similarity" if any(key.startswith("method.loss") for key in keys) else "nmi"


def part_of_pairs(metric: str) -> str:
    """The part of the pairs on which a score was measured, a name of `core.data.dataset.PARTS`; else empty."""
    name = _without_prefix(metric)
    part, _, rest = name.partition("_")
    of, name = (part, rest) if part in PARTS else ("validation", name)
    return of if name.removeprefix("reverse_").startswith(_OF_PAIRS) else ""


def default_mode(metric: str) -> str:
    """`max` or `min`, whichever is better for the metric."""
    lower = is_loss(metric) or is_loss_share(metric) or bare(metric) in _LOWER_IS_BETTER
    return "min" if lower else "max"


def rescales_loss(key: str) -> bool:
    """Whether a change of this parameter changes the scale of the loss, so that values cannot be compared."""
    parts = key.split(".")
    if parts[-1] == "weight_decay":
        return False
    is_choice = parts[-1] in {"method", "loss"} or (parts[-1] == "name" and parts[-2:-1] in (["method"], ["loss"]))
    return is_choice or parts[-1] in _RESCALING or "weight" in parts[-1] or "loss" in parts[:-1]


def _without_prefix(metric: str) -> str:
    """A metric's name without the column's prefix: `nmi` for `best.nmi`."""
    return metric.rsplit(".", 1)[-1]
