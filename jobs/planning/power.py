"""What difference between configurations a study can see, told by `conclus plan` before the study starts.

It depends on how many configurations compete, on the seeds, and on the spread of a configuration's score over its
seeds. That is taken from the rows in the results: of the same method on the same data, or else of the same method. A
study of something new has the spread that the documentation tells (`docs/searches.md`), where it tells one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import UserError
from jobs.analysis.scores import CONSENSUS, LABEL_FREE, bounds, metric_name
from jobs.study import keys
from jobs.study.space import walk

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.planning.plan import Plan

CONFIGURATIONS = (2, 3, 5, 10, 30, 100, 300, 1000)
DETECTABLE = {
    2: (16.18, 12.13, 6.82, 5.58, 5.49, 5.95, 6.36, 6.92),
    3: (4.67, 4.3, 3.94, 4.08, 4.46, 5.04, 5.45, 6.05),
    4: (2.99, 3.05, 3.12, 3.41, 3.92, 4.4, 4.87, 5.38),
    5: (2.39, 2.56, 2.74, 3.01, 3.41, 3.94, 4.31, 4.94),
    6: (2.03, 2.21, 2.44, 2.7, 3.16, 3.56, 3.89, 4.49),
    7: (1.81, 2.0, 2.23, 2.48, 2.85, 3.31, 3.67, 4.14),
    8: (1.6, 1.83, 2.03, 2.25, 2.64, 3.06, 3.38, 3.84),
    9: (1.5, 1.72, 1.92, 2.13, 2.49, 2.86, 3.22, 3.6),
    10: (1.41, 1.61, 1.78, 2.0, 2.33, 2.69, 2.98, 3.26),
}
"""For each number of seeds and of `CONFIGURATIONS`: by how many standard deviations over seeds the best one has to be
better than another for `jobs.analysis.ties` to call the other one worse in 80 % of simulated studies of equal noise."""
SPREADS = {
    ("digits", "cc", "acc"): 0.052,
    ("digits", "cc", "nmi"): 0.014,
    ("digits", "conclus", "acc"): 0.010,
    ("digits", "conclus", "nmi"): 0.012,
    ("documents", "gc-atm", "npmi"): 0.035,
    ("documents", "bat", "npmi"): 0.018,
    ("documents", "prodlda", "npmi"): 0.005,
    ("documents", "lda", "npmi"): 0.006,
    ("documents", "nmf", "npmi"): 0.004,
}
"""The standard deviation over three seeds, by data, method and metric, of the runs in `docs/benchmarks.md`."""


@dataclass(frozen=True, slots=True, order=True)
class KnownSpread:
    """A score's standard deviation over seeds, and what it is of."""

    value: float
    of: str


def told(plan: Plan, results: str) -> list[str]:
    """A sentence on the smallest difference that the study can see; none where nothing is compared over seeds.

    Of the consensus it is whether it will compare the trials at all.
    """
    metric, seeds = metric_name(plan.study.select.metric), len(plan.study.seeds)
    if metric == CONSENSUS:
        return _apart(plan)
    count = competing(plan)
    if count < 2 or plan.study.search.scheduler == "pbt":
        return []
    if seeds < 2:
        return ["  with 1 seed no two configurations can be told apart: give more seeds"]
    factor = detectable(count, seeds)
    found = sorted(spreads(plan, results))
    if not found:
        spread = "standard deviations over seeds stay ties in over 20 of 100 studies"
        return [f"  with {seeds} seeds, differences of {metric} under about {factor:.1f} {spread}"]
    least, most = found[0], found[-1]
    low, high = bounds(metric)
    # No two scores differ by more than their whole range.
    ends = [f"{factor * one.value:.2g}" if factor * one.value < high - low else "" for one in (least, most)]
    given = f"spreads from {least.value:.2g} ({least.of}) to {most.value:.2g} ({most.of})"
    if f"{least.value:.2g}" == f"{most.value:.2g}":
        of = " and ".join(dict.fromkeys((least.of, most.of)))
        given = f"the spread of {of} ({least.value:.2g})"
    under = f"under about {ends[0]}" + (f" to {ends[1] or 'any at all'}" if ends[0] != ends[1] else "")
    return [
        f"  with {seeds} seeds and {given},",
        f"  differences of {metric} {under if ends[0] else 'of any size'} stay ties in over 20 of 100 studies",
    ]


def _apart(plan: Plan) -> list[str]:
    is_asked = plan.open and any(key == "n_clusters" for _, key, _, _ in walk(plan.study.space))
    if len(plan.cluster_counts) < 2 and not is_asked:
        return []
    told = "  the consensus does not compare different n_clusters: each has its own ranking"
    if is_asked:
        return [f"{told};", f"  {LABEL_FREE}, by which the search chooses, is not fair to all of them"]
    if not (numbers := [one for one in plan.cluster_counts if isinstance(one, int)]):
        return [told]
    return [f"{told},", f"  as `conclus aggregate --where 'n_clusters == {min(numbers)}'` shows"]


def competing(plan: Plan) -> int:
    """How many configurations compete on one data set; the most, if it differs."""
    if plan.open:
        return plan.n_cells
    cells = {(one.data_hash, one.config_key) for one in plan.trials}
    return max(Counter(data for data, _ in cells).values(), default=0)


def detectable(configurations: int, seeds: int) -> float:
    """The difference, in standard deviations over seeds, that is shown in 80 % of studies; see `DETECTABLE`.

    Between the numbers of configurations it is interpolated by their logarithm; beyond the most seeds it falls as the
    error of a mean does.
    """
    row = DETECTABLE[min(seeds, max(DETECTABLE))]
    scale = math.sqrt(min(1.0, max(DETECTABLE) / seeds))
    most = CONFIGURATIONS[-1]
    if configurations >= most:
        return scale * row[-1]
    place = bisect_right(CONFIGURATIONS, configurations) - 1
    low, high = CONFIGURATIONS[place : place + 2]
    share = math.log(configurations / low) / math.log(high / low)
    return scale * (row[place] + share * (row[place + 1] - row[place]))


def spreads(plan: Plan, results: str) -> set[KnownSpread]:
    """The known spreads of the study's methods on its data, of each pair of them the best known."""
    metric = metric_name(plan.study.select.metric)
    stored = _stored(results, plan.study.select.metric)
    return {one for data, name, method in _pairs(plan) if (one := _known(stored, data, name, method, metric))}


def _pairs(plan: Plan) -> set[tuple[str, str, str]]:
    """The data set, its name and the method of the study's trials."""
    if not plan.open:
        return {(one.data_hash, one.config.data.name, one.config.method.name) for one in plan.trials}
    name = plan.study.trial["data"]["name"]
    return {("", name, method) for method in keys.methods(plan.study.trial, plan.study.space)}


_Squares = dict[tuple[str, str], tuple[float, int]]


def _known(stored: _Squares, data: str, name: str, method: str, metric: str) -> KnownSpread | None:
    if found := stored.get((data, method)):
        return KnownSpread(math.sqrt(found[0] / found[1]), f"{name}/{method} so far")
    others = [found for (_, other), found in stored.items() if other == method]
    if others:
        squares, freedom = (sum(column) for column in zip(*others, strict=True))
        return KnownSpread(math.sqrt(squares / freedom), f"{method} so far")
    if value := SPREADS.get((name, method, metric)):
        return KnownSpread(value, f"{name}/{method} in the docs")
    values = [value for (_, *key), value in SPREADS.items() if key == [method, metric]]
    return KnownSpread(max(values), f"{method} on other data in the docs") if values else None


def _stored(results: str, metric: str) -> _Squares:
    """By data set and method: the squares of finished trials around their configurations' means, and their freedom.

    Results that cannot be read tell nothing; the command says so elsewhere.
    """
    from jobs.results.layout import folders_of

    try:
        if not folders_of([results]):
            return {}
        return dict(_squares(_table(results, metric), metric))
    except UserError:
        return {}


def _table(results: str, metric: str) -> pa.Table:
    from jobs.results.reader import load

    columns = ["data_hash", "param.method.name", metric, f"metric.{metric}", f"health.{metric}"]
    return load([results], columns=columns).table


def _squares(table: pa.Table, metric: str) -> Iterator[tuple[tuple[str, str], tuple[float, int]]]:
    from jobs.analysis.outcomes import by_seed
    from jobs.analysis.scores import metric_column
    from jobs.results.reader import column_cells

    values = by_seed(table, metric_column(table.column_names, metric), ("ok",))
    names = ("study", "config_key", "data_hash", "param.method.name")
    columns = (column_cells(table, name) for name in names)
    of = {(study, key): (data or "", method or "") for study, key, data, method in zip(*columns, strict=True)}
    cells: dict[tuple[str, str], list[list[float]]] = {}
    for key, cell in values.items():
        if len(cell) > 1:
            cells.setdefault(of[key], []).append([*cell.values()])
    for key, found in cells.items():
        if (squares := math.fsum(map(_around_mean, found))) > 0:
            yield key, (squares, sum(len(one) - 1 for one in found))


def _around_mean(values: Iterable[float]) -> float:
    values = [*values]
    centre = math.fsum(values) / len(values)
    return math.fsum((value - centre) ** 2 for value in values)
