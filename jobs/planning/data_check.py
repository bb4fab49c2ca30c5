"""Looks at the data of a plan before anything starts, as `plan`, `run` and `submit` do: they refuse the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.config import plugins
from core.config.trial import EarlyStopping, TrialConfig, check_loss, unused
from core.data.dataset import Dataset
from core.data.describe import described, noted
from core.data.modalities import missing
from core.data.stored import dense
from core.errors import UserError
from core.evaluation.names import direction, undeclared
from core.training import data_cache
from core.training.chosen import chosen
from core.training.frozen import is_frozen
from core.training.n_clusters import count_clusters, estimated
from core.training.reported import reported
from core.training.several import check_modalities, check_size
from jobs.analysis.scores import CONSENSUS, LABEL_FREE, impossible, is_loss, rescales_loss, uses_labels
from jobs.planning import plan as planning
from jobs.planning.plan import Plan
from jobs.results.names import MEAN5
from jobs.study.keys import methods
from jobs.study.sections import SECONDS
from jobs.study.space import covering, walk
from jobs.study.study import Study

# So many data sets are described; of a plan with more, how many there are.
_SHOWN = 3
# By so many samples it is seen whether they are pixels in 0..1, and by so much these may miss it.
_FIRST, _ROUNDING = 256, 0.01


@dataclass(frozen=True)
class Checked:
    """A plan whose data can be used.

    Attributes:
        plan: the same; where its data has no labels and its study names no metric, it selects by consensus.
        lines: what each data set was read as, for a person.
        seconds: what reading took.
    """

    plan: Plan
    lines: Sequence[str]
    seconds: float


def check_data(plan: Plan, gates: Mapping[str, str | None] | None = None) -> Checked:
    """Loads every data set of the plan once, one after the other, and checks it for each configuration.

    Args:
        plan: of a study.
        gates: further metrics that its trials must report, by their place in the study file (see `StagedStudy.gates`);
            None stands for the metric that selects.

    Raises:
        UserError: a data set cannot be used or has not enough samples for the clusters, the encoder or the views do
            not fit its samples, a loss cannot be built, or a metric is not reported, or needs labels that are not
            there.
    """
    seconds = 0.0
    lines: list[str] = []
    _refuse_rescaled_front(plan)
    _refuse_impossible(plan.study)
    by_data = _configurations(plan)
    unlabelled, unknown = False, dict[str, None]()
    shapes: dict[str, tuple[str, ...]] = {}
    for place, configurations in enumerate(by_data):
        plug_in = configurations[0].data
        began = time.monotonic()
        data = data_cache.read(plug_in)
        seconds += time.monotonic() - began
        read, sizes = [described(data), *noted(data)], _Sizes(data)
        lacking: dict[tuple[str, EarlyStopping], bool] = {}
        for config in configurations:
            reporting = config.method.name, config.early_stopping  # Nothing else of it decides what is reported.
            is_new = reporting not in lacking
            try:
                count, said = _check(config, data, shapes)
                if is_new:
                    lacking[reporting] = _lacks_labels(plan, config, data, gates or {})
            except UserError as error:
                raise UserError(f"{error} (read: {'; '.join(read)})") from error
            sizes.add(config, count, data)
            unknown |= dict.fromkeys(said)
            if is_new:
                unknown |= dict.fromkeys(_unknown(plan, config, data, gates or {}, lacking=lacking[reporting]))
        unlabelled = unlabelled or any(lacking.values())
        if place < _SHOWN:
            lines += [*read, *sizes.lines()]
        del data  # The next may be as large: one at a time is held.
    if len(by_data) > _SHOWN:
        lines.append(f"and {len(by_data) - _SHOWN} more data sets")
    if unlabelled:
        lines.append(f"no labels to score by: configurations are selected by {CONSENSUS} (`select: {{metric: …}}`)")
        plan = replace(plan, study=replace(plan.study, select=replace(plan.study.select, metric=CONSENSUS)))
    lines += unknown
    return Checked(plan, lines, seconds)


def _configurations(plan: Plan) -> list[list[TrialConfig]]:
    """The plan's configurations by data set; of a search that chooses by results at least its first cell."""
    found: dict[str, dict[str, TrialConfig]] = {}
    for data_hash, key, config in _cells(plan):
        found.setdefault(data_hash, {})[key] = config
    return [list(one.values()) for one in found.values()]


def _cells(plan: Plan) -> Iterator[tuple[str, str, TrialConfig]]:
    for trial in plan.trials:
        yield trial.data_hash, trial.config_key, trial.config
    if plan.study.search.name == "optuna":
        cell = planning.PlannedConfigs(plan.study).make(covering(plan.study.space)[0])
        yield cell.data_hash, cell.key, cell.config


class _Sizes:
    """What a person should know of a data set's numbers of clusters and of its batches."""

    def __init__(self, data: Dataset) -> None:
        # Not the data set itself: it would be held while the next one is read.
        self._name, self._n_classes = data.name, data.n_classes
        self._n_samples = data.part("train").n_samples
        self._counts: set[int] = set()
        self._estimated = ""
        self._batches: set[int] = set()
        self._chosen: dict[str, None] = {}

    def add(self, config: TrialConfig, n_clusters: int, data: Dataset) -> None:
        """Notes a configuration whose trials on the data have so many clusters."""
        if config.n_clusters == "auto" and n_clusters:
            self._estimated = self._estimated or estimated(data.part("train")).described()
        elif n_clusters:
            self._counts.add(n_clusters)
        if "batch_size" not in unused(config.method.name):
            self._batches.add(config.batch_size)
        choices = chosen(config, data)
        self._chosen |= {f"{key}: auto is {one.name}: {one.why}": None for key, one in choices.items()}

    def lines(self) -> Iterator[str]:
        """Lines for what `auto` is, for what differs from the classes, and for batches that hold all samples."""
        name, classes = self._name, self._n_classes
        yield from (f"{name}: {one}" for one in self._chosen)
        if self._estimated:
            known = "" if classes is None else f"; the labels name {classes} classes"
            yield f"{name}: n_clusters: auto is {self._estimated}{known}"
        if classes is not None and (other := sorted(self._counts - {classes})):
            yield f"{name}: n_clusters: {', '.join(map(str, other))}, where the labels name {classes} classes"
        if large := sorted(one for one in self._batches if one > self._n_samples):
            sizes = ", ".join(map(str, large))
            yield f"{name}: batch_size: {sizes} is more than its {self._n_samples:,} samples: a batch is all of them"


def _check(config: TrialConfig, data: Dataset, shapes: dict[str, tuple[str, ...]]) -> tuple[int, tuple[str, ...]]:
    """Checks a configuration against its data.

    Args:
        config: the configuration.
        data: its data set.
        shapes: what encoders said of samples, to which new ones are added: many configurations share an encoder.

    Returns:
        How many clusters its trials have, 0 where they have none or it is not known yet; and what its encoder says.
    """
    method = config.method.name
    # With a frozen encoder, auto is of its vectors, which the first trial computes.
    later = is_frozen(config) and config.n_clusters == "auto"
    count = 0 if later else count_clusters(config, data.part("train"))
    if count == 1:
        raise UserError("trial.n_clusters: 1 cluster is all of the samples: give 2 or more, or auto")
    if config.batch_size < (least := plugins.constant("methods", method, "least_batch", default=1)):
        raise UserError(
            f"trial.batch_size: {config.batch_size} is too small for the method {method}, which contrasts the samples "
            f"of a batch: at least {least} are needed"
        )
    if data.corpus is None and plugins.constant("methods", method, "scores", default=None) == "topics":
        raise UserError(
            f"trial.method: {method} learns topics of documents, and {data.name} has none: use "
            "`data: {name: documents, path: …}`, or a method that clusters samples"
        )
    check_loss(config)
    check_modalities(config, data)
    check_size(config, data)
    _check_pixels(config, data)
    _check_missing(config, data)
    parts = data.sample_shape, config.encoder, config.views, config.optimiser.encoder_learning_rate is None
    key = repr(parts)
    if key not in shapes:
        shapes[key] = _told(config, data)
    return count, shapes[key]


def _told(config: TrialConfig, data: Dataset) -> tuple[str, ...]:
    """Checks the shape of the samples; what the encoder says of them."""
    if is_frozen(config):
        from core.training.frozen import check

        return check(config, data.sample_shape)
    if not _may_misfit(config):
        return ()
    from core.training.fit import check_shape

    return check_shape(config, data.sample_shape, data.modalities)


def _check_pixels(config: TrialConfig, data: Dataset) -> None:
    """Refuses other numbers than pixels in 0..1 where the encoder needs these, by the first samples."""
    if not plugins.constant("encoders", config.encoder.name, "pixels", default=False):
        return
    first = data.samples[:_FIRST]
    low, high = float(first.min()), float(first.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise UserError(
            f"trial.encoder: {config.encoder.name} needs images with pixels in 0..1, and those of {data.name} are in "
            f"{low:g}..{high:g}: give the data the option `scale: unit`"
        )


def _check_missing(config: TrialConfig, data: Dataset) -> None:
    """Refuses an encoder or views that take no samples without one of their modalities, where the data has such."""
    chosen = {"encoder": ("encoders", config.encoder.name), "views": ("views", config.views.name)}
    wrong = [
        (place, name)
        for place, (kind, name) in chosen.items()
        if data.modalities and not plugins.constant(kind, name, "by_modality", default=False)
    ]
    if wrong and (lacking := missing(dense(data.samples), data.modalities)):
        place, name = wrong[0]
        said = ", ".join(f"{view} for {count:,}" for view, count in lacking.items())
        raise UserError(
            f"trial.{place}: {name} takes no samples that lack a view, and of the {data.n_samples:,} of {data.name} "
            f"some do ({said}): use `{place}: {{name: multiview}}`"
        )


def _may_misfit(config: TrialConfig) -> bool:
    """Whether the encoder or the views have to be built to know: it takes torch, seconds to import."""
    if config.optimiser.encoder_learning_rate is not None:
        return True
    chosen: dict[str, Any] = {"encoders": config.encoder.name, "views": config.views.name}
    return not all(plugins.constant(kind, name, "any_shape", default=False) for kind, name in chosen.items())


def _lacks_labels(plan: Plan, config: TrialConfig, data: Dataset, gates: Mapping[str, str | None]) -> bool:
    """Whether the study left it open what selects, and that must go without labels here."""
    if data.is_labelled or not plugins.constant("methods", config.method.name, "clusters", default=True):
        return False
    study = plan.study
    named = {"trial.early_stopping.metric": config.early_stopping.metric, **gates}
    if study.metric_written:
        named["select.metric"] = study.select.metric
    named |= {f"select.metrics.{one}": one for one in study.select.metrics}
    named |= {f"select.constraints.{one}": one for one in study.select.constraints or ()}
    for place, metric in named.items():
        if metric is not None and uses_labels(metric):
            raise UserError(f"{place}: {metric} needs labels, and {data.name} has none: {_OTHERS}")
    lacking = uses_labels(study.select.metric)
    if lacking and (place := next((place for place, metric in gates.items() if metric is None), None)):
        raise UserError(
            f"{place}: {data.name} has no labels, and the consensus that selects then is a rank within one stage: "
            f"name a metric, such as {LABEL_FREE}"
        )
    return lacking


_OTHERS = "name a label-free one, such as label_free, or name its labels by trial.data.labels"


def _unknown(
    plan: Plan, config: TrialConfig, data: Dataset, gates: Mapping[str, str | None], *, lacking: bool
) -> Iterator[str]:
    """Refuses a metric that the trials of a configuration do not report; says of which that is not known."""
    from core.evaluation.names import AT_THE_END, SIGNALS, refuse_unreported
    from core.training.early_stopping import Patience

    names, method, select = reported(config, data), config.method.name, plan.study.select
    Patience(config.early_stopping, names)
    selecting = CONSENSUS if lacking else select.metric
    where = "select.metric" if plan.study.metric_written else "select.metric (left out)"
    named = {where: selecting, **{place: metric or selecting for place, metric in gates.items()}}
    # A trial's time is none of its scores, and every trial has one.
    named |= {f"select.metrics.{one}": one for one in select.metrics if one not in {SECONDS, selecting}}
    named |= {f"select.constraints.{one}": one for one in select.constraints or () if one != SECONDS}
    if CONSENSUS in (select.constraints or ()):
        raise UserError(f"select.constraints: the {CONSENSUS} is a rank among trials and has no bounds: leave it out")
    if names is None:
        _refuse_undeclared(plan.study, named, method)
        for metric in dict.fromkeys(named.values()):
            if metric.removeprefix("health.") not in {CONSENSUS, *SIGNALS} and not uses_labels(metric):
                yield f"whether {metric} is reported is not known: the method {method} does not declare what it reports"
        return
    spelled = {*names, *(f"best.{one}" for one in names)}
    spelled |= {f"{MEAN5}{one}" for one in names if one not in SIGNALS}
    spelled |= {f"{'health' if one in SIGNALS else 'metric'}.{one}" for one in names}
    of = f"the scores of {method} on {data.name}"
    for place, metric in named.items():
        if metric not in spelled and not (metric == CONSENSUS and LABEL_FREE in names):
            timed = {SECONDS} if place.startswith(("select.metrics", "select.constraints")) else {*()}
            refuse_unreported(place, metric, names | timed, of)
    _refuse_undeclared(plan.study, named, method)
    early = plan.study.search.scheduler
    if early != "none" and selecting.rpartition(".")[2] in AT_THE_END:
        refuse_unreported(where, selecting, names - {*AT_THE_END}, f"{of} before the last epoch, which {early} needs")


def _refuse_undeclared(study: Study, named: Mapping[str, str], method: str) -> None:
    """Refuses a metric of which neither the study, nor conclus, nor the method says which values are better."""
    for place, metric in named.items():
        if direction(metric, [method]) or place.startswith("select.constraints"):
            continue
        if place.startswith("select.metrics"):
            raise UserError(f"{place}: nothing declares which values of {metric} are better: leave it out")
        if not (study.mode_written and metric == study.select.metric):
            raise UserError(f"{place}: {undeclared(metric)}: select by it, with `mode: max` or `mode: min`")


def _refuse_rescaled_front(plan: Plan) -> None:
    """Refuses a loss as one of several metrics where the configurations of a data set scale it differently."""
    study = plan.study
    losses = [one for one in study.select.metrics if is_loss(one)]
    plug_ins = {"method.name": methods(study.trial, study.space)}
    varied = dict.fromkeys(key for _, key, _, _ in walk(study.space) if key.partition(".")[0] != "data")
    if losses and (rescaling := [key for key in varied if rescales_loss(key, plug_ins)]):
        raise UserError(
            f"select.metrics: {losses[0]} is a loss, and the study varies {', '.join(rescaling)}, which can rescale "
            "it, so its values cannot be compared: leave it out"
        )


def _refuse_impossible(study: Study) -> None:
    """Refuses a constraint that no value of its metric can keep."""
    for metric, limits in (study.select.constraints or {}).items():
        if said := impossible(metric, limits.get("at_least"), limits.get("at_most")):
            raise UserError(f"select.constraints.{metric}: {said}")
