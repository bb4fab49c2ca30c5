"""Looks at the data of a plan before anything starts, as `plan`, `run` and `submit` do: they refuse the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core import registry
from core.config import TrialConfig, check_loss
from core.data import Dataset
from core.describe import described, noted
from core.errors import UserError
from core.n_clusters import count_clusters
from jobs import loaded
from jobs import plan as planning
from jobs.analysis.scores import CONSENSUS, uses_labels
from jobs.plan import Plan

# So many data sets are described; of a plan with more, how many there are.
_SHOWN = 3


@dataclass(frozen=True)
class Checked:
    """A plan whose data can be used.

    Attributes:
        plan: the same; where its data has no labels and its study names no metric, it selects by consensus.
        lines: what each data set was read as, for a person.
        seconds: what reading and checking took.
    """

    plan: Plan
    lines: Sequence[str]
    seconds: float


def check_data(plan: Plan) -> Checked:
    """Loads every data set of the plan once, one after the other, and checks it for each configuration.

    Raises:
        UserError: a data set cannot be used or has not enough samples for the clusters, the encoder or the views do
            not fit its samples, a loss cannot be built, or a metric needs labels that it has not.
    """
    began = time.monotonic()
    lines: list[str] = []
    by_data = _configurations(plan)
    unlabelled = False
    for place, configurations in enumerate(by_data):
        plug_in = configurations[0].data
        data = loaded.read(plug_in)
        for config in configurations:
            _check(config, data)
            unlabelled = _lacks_labels(plan, config, data) or unlabelled
        if place < _SHOWN:
            lines += [described(data), *noted(data)]
        del data  # The next may be as large: one at a time is held.
    if len(by_data) > _SHOWN:
        lines.append(f"and {len(by_data) - _SHOWN} more data sets")
    if unlabelled:
        lines.append(f"no labels to score by: configurations are selected by {CONSENSUS} (`select: {{metric: …}}`)")
        plan = replace(plan, study=replace(plan.study, select=replace(plan.study.select, metric=CONSENSUS)))
    return Checked(plan, lines, time.monotonic() - began)


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
        cell = planning.Cells(plan.study).make({key: one.examples[0] for key, one in plan.study.space.items()})
        yield cell.data_hash, cell.key, cell.config


def _check(config: TrialConfig, data: Dataset) -> None:
    count_clusters(config, data.part("train"))
    check_loss(config)
    if _may_misfit(config):
        from core.fit import check_shape

        check_shape(config, data.sample_shape)


def _may_misfit(config: TrialConfig) -> bool:
    """Whether the encoder or the views have to be built to know: it takes torch, seconds to import."""
    chosen: dict[str, Any] = {"encoders": config.encoder.name, "views": config.views.name}
    return not all(registry.constant(kind, name, "any_shape", default=False) for kind, name in chosen.items())


def _lacks_labels(plan: Plan, config: TrialConfig, data: Dataset) -> bool:
    """Whether the study left it open what selects, and that must go without labels here."""
    if data.labels is not None or not registry.constant("methods", config.method.name, "clusters", default=True):
        return False
    select = plan.study.select
    early = config.early_stopping.metric
    if early is not None and uses_labels(early):
        raise UserError(f"trial.early_stopping.metric: {early} needs labels, and {data.name} has none: {_OTHERS}")
    if not uses_labels(select.metric):
        return False
    if plan.study.metric_written:
        raise UserError(f"select.metric: {select.metric} needs labels, and {data.name} has none: {_OTHERS}")
    return True


_OTHERS = "name a label-free one, such as label_free, or name its labels by trial.data.labels"
