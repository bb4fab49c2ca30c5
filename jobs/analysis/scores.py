"""What a metric's name tells: whether larger is better, and whether the metric uses the labels."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from core.config import plugins
from core.config.schema import nearest
from core.data.dataset import PARTS
from core.errors import UserError
from core.evaluation.names import (
    bare,
    direction,
    is_loss_share,
    is_own_loss,
    scale,
    undeclared,
    without_prefix,
)
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
_ALWAYS_RESCALES = frozenset({"data", "views", "batch_size", "n_clusters"})
"""The sections and keys of a trial that change the value of every loss at the same weights."""
_NEVER_RESCALES = frozenset({"optimiser", "epochs", "precision", "evaluation", "early_stopping"})
"""Those that change no loss at the same weights; of all others the method tells."""
_KINDS = {"method": "methods", "method.loss": "losses"}
_OF_PAIRS = ("cosine_similarity", "mse", "recall_at_", "mrr", "retrieval_accuracy")
N_CLUSTERS_FOUND = "n_clusters_found"
"""The number of clusters that `n_clusters: auto` found, a signal of its trial."""
CRITERIA = ("raw_silhouette", "head_kmeans_nmi", "knn_consistency", "mutual_information", "stability")
"""The criteria of the consensus."""
NO_FAIR_SCORE = (
    "No score without labels is fair to all numbers of clusters: `n_clusters: auto` in a study estimates one number "
    "from the data, with an interval."
)
"""What is to be known of scores without labels where the number of clusters varies; see docs/scores.md."""
FOUND_COLUMN = f"health.{N_CLUSTERS_FOUND}"
SECONDARY = (
    *("npmi", "topic_diversity", "acc", "nmi", "ari", "fmi", "kmeans_acc", "kmeans_nmi", CONSENSUS),
    *("cosine_similarity", "recall_at_1", "recall_at_10", "mrr"),
)
"""Metrics shown beside the ranking metric, the most informative first."""
EVERY_EPOCH = {CONSENSUS: f"health.{CONSENSUS}", N_CLUSTERS_FOUND: FOUND_COLUMN}
"""The columns of what is beside it whichever epoch's values rank."""


def metric_column(columns: Iterable[str], metric: str) -> str:
    """The column of a metric; a label-free signal is found as `health.<name>`, unless `metric.<name>` exists.

    Raises:
        UserError: No column fits the name, or several do; or it needs labels, and no metric of the results uses any.
    """
    names = sorted({name for name in columns if name.startswith(METRICS)})
    # A table has the column of the consensus whether or not its trials have signals to be ranked by.
    stored = [name for name in names if name != EVERY_EPOCH[CONSENSUS]]
    is_scored = any(map(_is_score, stored))
    has_labels = any(map(uses_labels, stored))
    is_import = is_scored and not any(name.startswith("health.") for name in stored)
    if is_import and (metric == CONSENSUS or (uses_labels(metric) and not has_labels)):
        # It has no signals, so no consensus either.
        told = nearest(metric, map(metric_name, stored))
        raise UserError(f"No trial has a value of {metric!r}: name another metric, such as {told}.")
    if f"health.{metric}" in names and f"metric.{metric}" not in names:
        return f"health.{metric}"
    needs_labels = uses_labels(metric) and not has_labels
    if not is_scored and (needs_labels or not stored):
        raise UserError(f"No trial has been scored yet, so none has the metric {metric!r}.")
    if needs_labels:
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


def within_trial(metric: str) -> str:
    """The metric that one trial can report: the same name, but the label-free score in place of the consensus."""
    name = without_prefix(metric)
    return LABEL_FREE if name == CONSENSUS else name


def uses_labels(metric: str) -> bool:
    """Whether the metric compares the clusters with the true classes."""
    return bare(metric) in _LABELLED


def label_note(column: str) -> str:
    """A sentence on what ranks, and on whether labels are used for it."""
    name = metric_name(column)
    if part := part_of_pairs(column):
        held = ": the value of the best is too good" if part == "test" else ", which was not trained on"
        return f"Ranked by {name}, of the {part} part{'' if part == 'train' else held}."
    if uses_labels(column):
        return f"Ranked by {name}, which uses the labels."
    if name == CONSENSUS:
        return (
            f"Ranked by consensus, which uses no labels: trials' mean rank by {', '.join(CRITERIA)}. It depends "
            "on which trials are there: other trials beside these can change their order."
        )
    return f"Ranked by {name}, {about_labels(column)}."


def about_labels(metric: str) -> str:
    """Whether the metric uses the labels, to follow its name: "which uses no labels"."""
    if uses_labels(metric):
        return "which uses the labels"
    if metric.startswith("health.") or is_loss_share(metric) or is_own_loss(metric) or scale(metric):
        return "which uses no labels"
    return "a score that nothing declares, so that it is not known whether it uses the labels"


def is_loss(metric: str) -> bool:
    """Whether the metric is a training loss or a part of one, on that loss's own scale: its name holds "loss"."""
    return "loss" in without_prefix(metric).lower() and not is_loss_share(metric)


def quality_metric(keys: Collection[str]) -> str:
    """A metric to suggest instead of a loss; it depends on the trials' parameters."""
    return "cosine_similarity" if any(key.startswith("method.loss") for key in keys) else "nmi"


def part_of_pairs(metric: str) -> str:
    """The part of the pairs on which a score was measured, a name of `core.data.dataset.PARTS`; else empty."""
    name = without_prefix(metric)
    part, _, rest = name.partition("_")
    of, name = (part, rest) if part in PARTS else ("validation", name)
    return of if name.removeprefix("reverse_").startswith(_OF_PAIRS) else ""


def default_mode(metric: str, methods: Iterable[str] = ()) -> str:
    """`max` or `min`, whichever is better for the metric; see `direction`.

    Raises:
        UserError: Nothing declares it.
    """
    if found := direction(metric, methods):
        return found
    raise UserError(f"{undeclared(metric)}: give --mode max or --mode min (in a study file: select.mode)")


def bounds(metric: str) -> tuple[float, float]:
    """The smallest and the largest value that a score can have; infinite where it has no bound or is not known."""
    found = scale(metric)
    return (found.low, found.high) if found else (-math.inf, math.inf)


def impossible(metric: str, at_least: float | None, at_most: float | None) -> str:
    """The words where no value of a metric can be so large or so small, else empty."""
    low, high = bounds(without_prefix(metric))
    if at_least is not None and at_least > high:
        return f"{metric} is never above {high:g}, so it cannot be at least {at_least:g}"
    if at_most is not None and at_most < low:
        return f"{metric} is never below {low:g}, so it cannot be at most {at_most:g}"
    return ""


class RescaledError(UserError):
    """The metric is a loss, and the configurations scale it differently by these parameters."""

    def __init__(self, metric: str, keys: Sequence[str]) -> None:
        """Says what would be right."""
        super().__init__(
            f"The configurations cannot be ranked by {metric!r}: they differ in {', '.join(keys)}, which "
            "can rescale the loss, so a smaller value need not mean a better model. Give a quality metric, such "
            f"as --metric {quality_metric(keys)}, or hold these fixed with --where."
        )


def rescales_loss(key: str, plug_ins: Mapping[str, Collection[Any]] | None = None) -> bool:
    """Whether a change of this parameter may change the value of the loss at the same weights.

    Then values of the loss cannot be compared. What nobody declares may do so: an option of a method that is not
    installed, a parameter of an imported row.

    Args:
        key: The dotted key, such as `method.instance_temperature`.
        plug_ins: The names of the trials' plug-ins by key, as `{"method.name": {"cc", "tcl"}}`. Without names of
            methods, those of conclus are asked.
    """
    section, _, option = key.partition(".")
    if section in _ALWAYS_RESCALES or section in _NEVER_RESCALES:
        return section in _ALWAYS_RESCALES
    names = plug_ins or {}
    if section == "encoder":
        methods = names.get("method.name") or plugins.names("methods")
        return any({section, key} & {*_rescales("methods", one, (section, key))} for one in methods)
    owner, _, option = key.rpartition(".")
    if owner not in _KINDS or option in {"name", "loss"}:
        return True
    kind = _KINDS[owner]
    owners = [one for one in names.get(f"{owner}.name") or plugins.names(kind) if _has_option(kind, one, option)]
    return not owners or any(option in _rescales(kind, one, (option,)) for one in owners)


def scale_notes(metric: str, mode: str, rescaling: Sequence[str], *, imported: bool) -> list[str]:
    """Sentences on what is not known of the values of a loss, or of a score that nothing declares.

    Args:
        metric: Its name or column.
        mode: `max` or `min`, which values count as better.
        rescaling: The parameters that vary and rescale losses, see `rescales_loss`.
        imported: Whether some values are of imported rows.
    """
    notes: list[str] = []
    name, is_a_loss = metric_name(metric), is_loss(metric)
    if not direction(metric):
        better = "Larger" if mode == "max" else "Smaller"
        notes.append(
            f"{better} values of {name} are better, as --mode or the study says: conclus does not know this score."
        )
        if rescaling and not is_a_loss:
            notes.append(
                f"Whether values of {name} at different {' and '.join(rescaling)} can be compared is not known."
            )
    if is_a_loss:
        notes.append(f"A smaller {name} is not yet a better model.")
    if is_a_loss and imported:
        notes.append(
            f"Imported rows tell only their own columns. This order holds if all else that can rescale {name}, such as "
            "a temperature or the batch size, was the same."
        )
    return notes


def plug_in_names(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[Any]]:
    """The names of plug-ins by key, for `rescales_loss`, of rows of parameters by dotted key."""
    found: dict[str, set[Any]] = {}
    for row in rows:
        for key, value in row.items():
            if key.endswith(".name"):
                found.setdefault(key, set()).add(value)
    return found


def _rescales(kind: str, name: Any, unknown: Sequence[str]) -> Collection[str]:
    """What a plug-in declares as rescaling its loss; `unknown` where it declares nothing, or is not installed."""
    # A path that results name is not opened: it may be anything on this machine.
    found = _declared(kind, name, "rescales") if name in plugins.names(kind) else None
    return found if isinstance(found, tuple) else unknown


def _has_option(kind: str, name: Any, option: str) -> bool:
    """Whether a plug-in has an option, or may have it, since it is not installed."""
    return name not in plugins.names(kind) or option in {one.name for one in plugins.options(kind, name)}


def _declared(kind: str, name: str, attribute: str) -> Any:
    """What the class of a plug-in declares; None where it declares nothing or cannot be read."""
    try:
        return plugins.constant(kind, name, attribute, default=None)
    except UserError:
        return None


def number(count: Any) -> str:
    """A number of clusters as a study has it: `2`, which is 2.0 in a column."""
    return str(count).removesuffix(".0")


def numbers_of_clusters(counts: Iterable[Any]) -> list[str]:
    """The different numbers of clusters in their order, of cells that may be empty."""
    return sorted({number(one) for one in counts if one is not None}, key=lambda one: one.rjust(9))


def across_numbers(column: str, counts: Iterable[Any]) -> str:
    """What follows on a best trial that a score without labels chose among several numbers of clusters; else empty."""
    several = numbers_of_clusters(counts)
    if len(several) < 2 or not column.startswith("health."):
        return ""
    return f", across numbers of clusters ({', '.join(several)}), to all of which no score without labels is fair"
