"""The Pareto front of several metrics, and which configurations keep the constraints of their study.

For example, of nmi and seconds: a configuration is on the front if no other one has means at least as good in both and
a better one in one of them. Constraints come first: what breaks one is neither ranked nor on the front.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from core.errors import UserError, counted
from core.evaluation.names import direction
from jobs.analysis.intervals import mean
from jobs.analysis.scores import CONSENSUS, is_loss, metric_column, metric_name
from jobs.results.header import FINISHED
from jobs.study.sections import SECONDS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_LARGEST = 1e100
"""A bound beyond it is none."""

Key = tuple[str, str]
Values = Mapping[int, float]
Limits = tuple[float | None, float | None]
Front = Literal["", "yes", "tied", "unknown", "no"]


class InfeasibleError(UserError):
    """Every configuration with a value of the metric breaks a constraint of its study."""


@dataclass(frozen=True, slots=True)
class Aims:
    """What a study asks for beside the metric that ranks.

    Attributes:
        metrics: The metrics of the front in their order, each with `max` or `min`; empty for no front.
        limits: By metric, the least and the greatest mean that a configuration may have; None for no bound.
        left_out: Why there is no front although the study names metrics; else empty.
    """

    metrics: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    left_out: str = ""

    def comparable(self, rescaling: Sequence[str]) -> Aims:
        """The same without a front if one of its metrics is a loss, where parameters that rescale losses vary."""
        losses = [metric_name(one) for one in self.metrics if is_loss(one)]
        if not losses or not rescaling:
            return self
        why = f"{losses[0]} is a loss, and {', '.join(rescaling)} can rescale it, so its values cannot be compared"
        return replace(self, metrics={}, left_out=why)

    @classmethod
    def of(cls, select: Mapping[str, Any]) -> Aims:
        """The aims in a study's section `select`, see `jobs.results.records.SELECT`."""
        modes = {**(select.get("modes") or {}), select.get("metric"): select.get("mode")}
        found = {name: modes.get(name) or direction(name) for name in select.get("metrics") or ()}
        # Nothing says which values of the others are better.
        metrics = {name: mode for name, mode in found.items() if mode in {"max", "min"}}
        limits = {
            name: (_finite(sides.get("at_least")), _finite(sides.get("at_most")))
            for name, sides in (select.get("constraints") or {}).items()
        }
        return cls(metrics, limits)

    @property
    def columns(self) -> list[str]:
        """The columns that `judge` reads; reading fewer columns is faster."""
        names = dict.fromkeys([*self.metrics, *self.limits])
        return ["reason", SECONDS, *(f"{prefix}{name}" for name in names for prefix in ("", "metric.", "health."))]


NO_AIMS = Aims()


@dataclass(frozen=True, slots=True)
class Standing:
    """How one configuration stands.

    Attributes:
        feasible: Whether it keeps all constraints by its means over the seeds that ended; None if it breaks none and
            has no value for one of them.
        why: The constraints that it breaks, as `INFEASIBLE: …`, or else those for which it has no value; or empty.
        front: `yes`: no other one is at least as good in the means of all metrics and better in one. `tied`: another
            one is, but its seeds do not show that it is better in all of them. `unknown`: as `tied`, with too few
            seeds. `no`: the seeds show it. Empty: it is infeasible, or has no value of one of the metrics.
        values: The values of each metric of the front.
    """

    feasible: bool | None = True
    why: str = ""
    front: Front = ""
    values: Mapping[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])


UNJUDGED = Standing()


def judge(table: pa.Table, aims: Aims) -> dict[Key, Standing]:
    """How the configurations of a table stand, by study and key.

    A seed whose training failed (see `outcomes.lost`) counts as the worst value on the front; constraints are judged
    by the seeds that ended.

    Args:
        table: Rows of one data set, one per trial, with `aims.columns`.
        aims: What the study asks for.
    """
    from jobs.analysis.outcomes import lost  # Slow to import, and a plan reads the aims alone.

    keys: list[Key] = list(zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True))
    limited = {name: by_configuration(table, name) for name in aims.limits}
    wanted = {name: by_configuration(table, name) for name in aims.metrics}
    found: dict[Key, Standing] = {}
    for key in dict.fromkeys(keys):
        feasible, why = _kept({name: values.get(key) for name, values in limited.items()}, aims.limits)
        own = {name: list(values.get(key, {}).values()) for name, values in wanted.items()}
        found[key] = Standing(feasible, why, values=own)
    if CONSENSUS in aims.metrics and len({study for study, _ in keys}) > 1:
        return found  # It is a rank within a study.
    worst = {name: _worst(values, aims.metrics[name]) for name, values in wanted.items()}
    rivals: dict[Key, list[Values]] = {}
    for key, one in found.items():
        if one.feasible is not False and one.values and all(one.values.values()):
            rivals[key] = [values[key] for values in wanted.values()]
    failed = [
        (key, seed)
        for key, seed, is_lost in zip(keys, table["seed"].to_pylist(), lost(table), strict=True)
        if is_lost and key in rivals
    ]
    for key, seed in failed:
        rivals[key] = [{**values, seed: worst[name]} for name, values in zip(wanted, rivals[key], strict=True)]
    marks = front(list(rivals.values()), [mode == "max" for mode in aims.metrics.values()])
    for key, mark in zip(rivals, marks, strict=True):
        found[key] = replace(found[key], front=mark)
    return found


def ranked(table: pa.Table, aims: Aims) -> list[bool]:
    """For each row, whether its configuration breaks no constraint."""
    standings = judge(table, replace(aims, metrics={}))
    keys = zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True)
    return [standings[key].feasible is not False for key in keys]


def front(cells: Sequence[Sequence[Values]], maximise: Sequence[bool]) -> list[Front]:
    """For each configuration, whether it is on the Pareto front.

    That one configuration beats another in all metrics is shown if it is shown in each of them alone (an
    intersection-union test: Berger, Technometrics 24, 1982). In each, the difference must be larger than any between
    equal configurations is in 95 % of sweeps of as many; see `ties.leads`. Equal values without any noise count too.

    Args:
        cells: For each configuration and each metric, the value by seed.
        maximise: For each metric, whether larger is better.
    """
    import numpy as np

    if not cells or not maximise:
        return [""] * len(cells)
    signs = [1.0 if one else -1.0 for one in maximise]
    means = np.array(
        [[sign * mean([*values.values()]) for sign, values in zip(signs, one, strict=True)] for one in cells]
    )
    repeated = np.array([min(map(len, one)) > 1 for one in cells])
    beaten, known, shown = (np.zeros(len(cells), bool) for _ in range(3))
    for place, row in enumerate(means):
        by = np.all(means >= row, axis=1) & np.any(means > row, axis=1)
        beaten[place], known[place] = np.any(by), repeated[place] and np.any(by & repeated)
    places = np.flatnonzero(repeated).tolist()
    if places:
        shown[places] = _shown(
            [[cells[one][at] for one in places] for at in range(len(signs))], maximise, ~beaten[places]
        )
    return [
        "yes" if not is_beaten else "no" if is_shown else "tied" if is_known else "unknown"
        for is_beaten, is_shown, is_known in zip(beaten, shown, known, strict=True)
    ]


def _shown(
    cells: Sequence[Sequence[Values]], maximise: Sequence[bool], unbeaten: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """For each configuration, whether the seeds show that one of the unbeaten beats it; `cells` are by metric."""
    import numpy as np

    from jobs.analysis.ties import Field

    fields = [Field(values, maximise=larger) for values, larger in zip(cells, maximise, strict=True)]
    shown = np.zeros(len(unbeaten), bool)
    for place in np.flatnonzero(unbeaten).tolist():
        gaps, widths = np.array([one.leads(place) for one in fields]).swapaxes(0, 1)
        sure, even = gaps > widths, (gaps == 0) & (widths == 0)
        shown |= (sure | even).all(axis=0) & sure.any(axis=0)
    return shown


def by_configuration(table: pa.Table, metric: str) -> dict[Key, dict[int, float]]:
    """The finite values of a metric, or of `seconds`, of finished trials by configuration and seed."""
    source = column(table.column_names, metric)
    found: dict[Key, dict[int, float]] = {}
    if source is None:
        return found
    rows = (table[name].to_pylist() for name in ("study", "config_key", "seed", "status", source))
    for study, config_key, seed, status, value in zip(*rows, strict=True):
        if status in FINISHED and value is not None and isfinite(value):
            found.setdefault((study, config_key), {})[seed] = value
    return found


def column(names: Collection[str], metric: str) -> str | None:
    """The column of a metric; None if no trial has it."""
    if metric == SECONDS and f"metric.{SECONDS}" not in names:
        return SECONDS if SECONDS in names else None
    try:
        return metric_column(names, metric)
    except UserError:
        return None


def violation(values: Collection[float], limits: Limits) -> float | None:
    """How far the mean of some values is beyond its limits, 0 or less if it is not; None without values.

    It is in units of the limit, so that constraints on quantities of different sizes count alike; of a limit of 0 it is
    in the metric's own unit.
    """
    if not values:
        return None
    centre = mean([*values])
    low, high = limits
    over = [(low - centre) / (abs(low) or 1.0)] if low is not None else []
    over += [(centre - high) / (abs(high) or 1.0)] if high is not None else []
    return max(over, default=0.0)


def _kept(found: Mapping[str, Values | None], limits: Mapping[str, Limits]) -> tuple[bool | None, str]:
    """Whether all constraints are kept, and why not."""
    broken, unknown = [], []
    for name, limit in limits.items():
        values = [*(found[name] or {}).values()]
        over = violation(values, limit)
        if over is None:
            unknown.append(f"{metric_name(name)} has no value")
        elif over > 0:
            broken.append(f"{metric_name(name)} {_told(mean(values), limit)} ({bounds(limit)})")
    if broken:
        return False, f"INFEASIBLE: {'; '.join(broken)}"
    return None if unknown else True, "; ".join(unknown)


def _told(value: float, limits: Limits) -> str:
    """The value with three digits after the point of a small one, or with as many as show that it is beyond a limit."""
    texts = [f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}", *(f"{value:.{n}g}" for n in range(4, 18))]
    return next(one for one in texts if (violation([float(one.replace(",", ""))], limits) or 0) > 0 or one == texts[-1])


def bounds(limits: Limits) -> str:
    """The limits in words: `at least 0.5 and at most 20`."""
    low, high = limits
    told = [f"at least {low:g}"] if low is not None else []
    return " and ".join([*told, *([f"at most {high:g}"] if high is not None else [])])


def notes(standings: Collection[Standing], aims: Aims) -> list[str]:
    """Sentences on the constraints and on the front, for a table that shows both."""
    said: list[str] = []
    if aims.limits:
        told = ", ".join(f"{metric_name(name)} {bounds(one)}" for name, one in aims.limits.items())
        broken, unknown = (sum(one.feasible is verdict for one in standings) for verdict in (False, None))
        ends = [f"{broken} of {counted(len(standings), 'configuration')} broke one"] if broken else []
        ends += [f"whether {unknown} kept all is not known"] if unknown else []
        kept = "all configurations kept it"
        said.append(f"Constraint on the mean over the seeds that ended: {told}; {', '.join(ends) or kept}.")
    if aims.left_out:
        said.append(f"No Pareto front: {aims.left_out}.")
    if aims.metrics and any(one.front for one in standings):
        names = ", ".join(f"{metric_name(name)} ({mode})" for name, mode in aims.metrics.items())
        marks = {one.front for one in standings}
        said.append(f"front, of {names}: yes if no other one is as good in the means of all and better in one.")
        if "tied" in marks:
            said.append("front =: another one is, but the seeds do not show that it is better in each of them.")
        if "unknown" in marks:
            said.append("front ?: another one is, and there are too few seeds to show it.")
    return said


def _worst(values: Mapping[Key, Values], mode: str) -> float:
    found = [value for one in values.values() for value in one.values()]
    return (min if mode == "max" else max)(found, default=0.0)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and abs(value) <= _LARGEST else None
