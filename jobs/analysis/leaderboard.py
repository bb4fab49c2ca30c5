"""Configurations ranked by a metric, with the ones that the seeds cannot tell from the best."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import pyarrow as pa

from core.errors import counted
from jobs.analysis import apart, data_sets, outcomes, pareto, samples, selection
from jobs.analysis.estimates import COLLAPSED, Picked, Score, collapsed, score, shrunk
from jobs.analysis.intervals import fixed, mean, resolution, rounding
from jobs.analysis.outcomes import TopicQuality, below_baseline, composite, having, lost, lost_notes
from jobs.analysis.pareto import NO_AIMS, UNJUDGED, Aims, InfeasibleError, Standing
from jobs.analysis.scores import (
    CONSENSUS,
    EVERY_EPOCH,
    FOUND_COLUMN,
    NO_FAIR_SCORE,
    SECONDARY,
    RescaledError,
    bounds,
    is_loss,
    label_note,
    metric_column,
    metric_name,
    of_epoch,
    plug_in_names,
    rescales_loss,
    scale_notes,
    uses_labels,
)
from jobs.analysis.ties import FEW, FEW_SEEDS, overlap_notes, tied
from jobs.results.header import FINISHED
from jobs.results.names import MEAN5, PARAM
from jobs.results.reader import column_cells, take

_SHOWN = 0.0005
"""Smaller differences are 0 to three decimals."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One configuration.

    Attributes:
        rank: 1 for the best mean, where lost seeds count as the worst value.
        study: The study it belongs to.
        config_key: Its key.
        params: The parameters that vary over the table, by full key without `param.`.
        score: The ranking metric.
        minimum, maximum: Smallest and largest value of that metric over the seeds.
        tied: Whether the seeds cannot tell it from the best; None if it or the best has only one seed.
        failed: Number of its trials that failed.
        lost: Number of its seeds whose training failed: they count as the worst value in `rank` and `tied`, and are in
            no mean; see `outcomes.lost`.
        collapsed: Number of its seeds with the warning `COLLAPSED`, or in a worse group; see `estimates.collapsed`.
        running: Number of its trials that have not ended.
        imported: Number of its trials imported from a user's own table.
        secondary: Other metrics.
        protocol: The protocol of its key; None for imported trials.
        reason: What a person should know of it, as `BELOW_BASELINE: …`; empty if nothing.
        standing: How it stands by the constraints and on the Pareto front of its study.
    """

    rank: int
    study: str
    config_key: str
    params: dict[str, Any]
    score: Score
    minimum: float
    maximum: float
    tied: bool | None
    failed: int
    running: int
    imported: int
    secondary: dict[str, Score]
    protocol: int | None
    reason: str = ""
    lost: int = 0
    collapsed: int = 0
    standing: Standing = UNJUDGED


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The order of the configurations.

    Attributes:
        metric: The ranking column, such as `metric.nmi`.
        mode: `max` or `min`.
        constant: Parameters that tell no configurations apart among those that have a value of the metric or failed in
            training, with their value; see `samples.constants`.
        entries: The configurations that have a value, the best first.
        notes: Sentences on the limits of these numbers.
        apart: Configurations of other protocols, which are not compared with the others.
        of_some: Those of `constant` that go with the method.
        best: The mean of the first configuration, corrected for the choice; None where nothing was chosen, or the
            seeds tell no noise.
        infeasible: Configurations that break a constraint, in the order of the metric; they are not ranked.
        aims: The constraints, and the metrics of the Pareto front.
    """

    metric: str
    mode: str
    constant: dict[str, Any]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    apart: tuple[Entry, ...] = ()
    of_some: frozenset[str] = frozenset()
    best: Picked | None = None
    infeasible: tuple[Entry, ...] = ()
    aims: Aims = NO_AIMS


@dataclass(slots=True)
class _Cell:
    """The trials of one configuration of one study."""

    study: str
    config_key: str
    params: dict[str, Any]
    protocol: int | None
    values: dict[int, float] = field(default_factory=dict[int, float])
    lost: set[int] = field(default_factory=set[int])
    rows: list[int] = field(default_factory=list[int])
    secondary: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    statuses: Counter[str] = field(default_factory=Counter[str])
    valueless: int = 0
    imported: int = 0
    collapsed: int = 0
    standing: Standing = UNJUDGED

    @property
    def place(self) -> tuple[str, str]:
        """What those share that the consensus ranks among each other; all are of one data set."""
        return self.study, str(self.params.get("n_clusters"))


def wanted_columns(metric: str, aims: Aims = NO_AIMS, *, alone: bool = False) -> list[str]:
    """The columns that a leaderboard reads: reading fewer is faster; with `alone`, no scores but the ranking one."""
    own = [f"{PARAM}*", metric, f"metric.{metric}", f"health.{metric}", "data_hash", *outcomes.COLUMNS]
    own.append(samples.CONTINUED)
    others = () if alone else (*(f"{of_epoch(metric)}{name}" for name in SECONDARY), FOUND_COLUMN)
    ranks = () if alone and metric != CONSENSUS else selection.COLUMNS
    return [*own, *others, *apart.COLUMNS, *ranks, *aims.columns]


def leaderboard(table: pa.Table, metric: str, mode: str, aims: Aims = NO_AIMS) -> Leaderboard:
    """Ranks the configurations of a results table by the mean of `metric` over their seeds.

    A configuration is tied with the best one unless it is farther below than in 95 % of sweeps of equal configurations;
    see `jobs.analysis.ties`. Configurations of another protocol (see `jobs.analysis.apart`) are ranked separately.

    Args:
        table: Rows from `read_results`, one per trial; with `selection.COLUMNS` the consensus is shown too.
        metric: A metric's name: `nmi`, `best.nmi`, `mean5.nmi`, a signal such as `raw_silhouette`, or `consensus`.
        mode: `max` or `min`.
        aims: The constraints, and the metrics of the Pareto front; what breaks a constraint is not ranked.

    Raises:
        UserError: There is no such metric; or it is the consensus, and the trials are not ranked among each other.
        NoValueError: No finished trial has a value of it.
        InfeasibleError: All configurations that have one break a constraint.
        SeveralDataSetsError: These trials are of several data sets; see `jobs.analysis.comparison`.
        RescaledError: It is a loss and the configurations differ in a parameter that rescales it.
    """
    about = samples.notes(table)
    told = apart.notes(table)
    only, _ = samples.samples(table)
    table = apart.with_contents(only if only.num_rows else table)
    table, others = map(selection.with_consensus, apart.split(table))
    column, alone = selection.ranking_column(table, metric_column(table.column_names, metric))
    constant, of_some = samples.settings([_ended(one, column) for one in (table, others)])
    cells = _cells(table, column, constant)
    scored = [cell for cell in cells if cell.values]
    if not scored:
        outcomes.refuse_without_value(table, metric)
    data_sets.refuse_several(table, [row for cell in scored for row in cell.rows])
    rescaling = _rescaling(scored, constant)
    if is_loss(column) and rescaling:
        raise RescaledError(metric, rescaling)
    aims = aims.comparable(rescaling)
    standings = pareto.judge(table, aims)
    for cell in scored:
        cell.standing = standings[cell.study, cell.config_key]
    ordered = _order([cell for cell in scored if cell.standing.feasible is not False], mode)
    broken = _order([cell for cell in scored if cell.standing.feasible is False], mode)
    if not ordered:
        why = broken[0].standing.why
        raise InfeasibleError(f"No configuration keeps the study's constraints, so none is the best: {why}.")
    entries = _entries(ordered, column, mode)
    entries = _flag(ordered, entries, mode)
    reasons = below_baseline(dict(_topic_quality(table, column, constant, zip(ordered, entries, strict=True))))
    entries = [replace(one, reason=reasons.get((one.study, one.config_key), one.reason)) for one in entries]
    elsewhere = _order([cell for cell in _cells(others, column, constant) if cell.values], mode)
    best = shrunk([cell.values for cell in ordered], maximise=mode == "max", bounds=bounds(column))
    notes = [
        *_notes(column, cells),
        *alone,
        *pareto.notes([cell.standing for cell in scored], aims),
        *_seed_notes(entries, best),
        *overlap_notes(entries[0].score, [one.score for one in entries if one.tied is False]),
        *scale_notes(column, mode, rescaling, imported=any(cell.imported for cell in scored)),
        *_choice_notes(column, mode, entries, selection.mixed(table)[0]),
        *lost_notes(table, [(one.study, one.config_key) for one in cells if not one.values], constant),
        *samples.course_notes(table),
        *about,
        *told,
    ]
    set_apart, infeasible = (tuple(_entries(some, column, mode)) for some in (elsewhere, broken))
    return Leaderboard(column, mode, constant, tuple(entries), tuple(notes), set_apart, of_some, best, infeasible, aims)


def _ended(table: pa.Table, column: str) -> pa.Table:
    """The rows that have a value of the column or failed in training."""
    ends = zip(table[column].is_valid().to_pylist(), lost(table), strict=True)
    return take(table, [row for row, end in enumerate(ends) if any(end)])


def _cells(table: pa.Table, column: str, constant: Mapping[str, Any]) -> list[_Cell]:
    """The configurations, with the parameters that are not `constant`."""
    identity = zip(*(table[name].to_pylist() for name in ("study", "config_key", "seed", "status")), strict=True)
    names = sorted(name for name in table.column_names if name.startswith(PARAM))
    varying = {key: table[name].to_pylist() for name in names if (key := name.removeprefix(PARAM)) not in constant}
    protocols = apart.protocols(table)
    values = table[column].to_pylist()
    imported, failed, warned = samples.imported(table), lost(table), having(table, "COLLAPSED")
    cells: dict[tuple[str, str], _Cell] = {}
    for row, (study, config_key, seed, status) in enumerate(identity):
        cell = cells.get((study, config_key))
        if cell is None:
            params = {key: column_[row] for key, column_ in varying.items()}
            cell = cells[study, config_key] = _Cell(study, config_key, params, protocols[row])
        cell.statuses[status] += 1
        cell.imported += imported[row]
        if failed[row]:
            cell.lost.add(seed)
        elif status in FINISHED:
            _add(cell, row, seed, values[row])
            cell.collapsed += warned[row] and seed in cell.values
    others, ranked = _secondary_columns(table, column), Counter(cell.place for cell in cells.values() if cell.values)
    for cell in cells.values():
        found = {name: _finite(column_, cell.rows) for name, column_ in others.items()}
        if ranked[cell.place] < 2:  # Its seeds share the ranks: .5 on average, whatever they are.
            found.pop(CONSENSUS, None)
        cell.secondary = {name: numbers for name, numbers in found.items() if numbers}
    return list(cells.values())


def _add(cell: _Cell, row: int, seed: int, value: float | None) -> None:
    if value is None or not isfinite(value):
        cell.valueless += 1
        return
    cell.values[seed] = value
    cell.rows.append(row)


def _finite(column: Sequence[float | None], rows: Sequence[int]) -> list[float]:
    values = [column[row] for row in rows]
    return [value for value in values if value is not None and isfinite(value)]


def _secondary_columns(table: pa.Table, column: str) -> dict[str, list[float | None]]:
    sources = {name: f"{of_epoch(column)}{name}" for name in SECONDARY} | EVERY_EPOCH
    there = set(table.column_names) - {column}
    return {name: table[source].to_pylist() for name, source in sources.items() if source in there}


def _rescaling(cells: Sequence[_Cell], constant: Mapping[str, Any]) -> list[str]:
    """The parameters that differ between configurations and rescale losses."""
    plug_ins = plug_in_names([constant, *(cell.params for cell in cells)])
    varied = [key for key in cells[0].params if len({cell.params[key] for cell in cells}) > 1]
    return [key for key in varied if rescales_loss(key, plug_ins)]


def _order(cells: Iterable[_Cell], mode: str) -> list[_Cell]:
    """The configurations by the mean of `_composite`, the best first."""
    sign, found = -1.0 if mode == "max" else 1.0, list(cells)
    pairs = zip(found, _composite(found, mode), strict=True)
    ordered = sorted(pairs, key=lambda one: (sign * mean(list(one[1].values())), one[0].study, one[0].config_key))
    return [cell for cell, _ in ordered]


def _composite(cells: Sequence[_Cell], mode: str) -> list[dict[int, float]]:
    return composite([cell.values for cell in cells], [cell.lost for cell in cells], maximise=mode == "max")


def _entries(cells: Sequence[_Cell], column: str, mode: str) -> list[Entry]:
    groups = collapsed([cell.values for cell in cells], maximise=mode == "max")
    all_values = {column: [one for cell in cells for one in cell.values.values()]}
    for name in {name for cell in cells for name in cell.secondary}:
        all_values[name] = [one for cell in cells for one in cell.secondary.get(name, ())]
    floors = {name: rounding(resolution(values)) for name, values in all_values.items()}
    return [
        _entry(rank, cell, column, group, floors)
        for rank, (cell, group) in enumerate(zip(cells, groups, strict=True), 1)
    ]


def _entry(rank: int, cell: _Cell, column: str, group: int, floors: Mapping[str, float]) -> Entry:
    """One configuration; `floors` has the variance that rounding adds to each metric."""
    values = list(cell.values.values())
    return Entry(
        rank=rank,
        study=cell.study,
        config_key=cell.config_key,
        params=cell.params,
        score=score(values, bounds(column), floors[column]),
        minimum=min(values),
        maximum=max(values),
        tied=None,
        failed=cell.statuses["failed"],
        running=cell.statuses["running"],
        imported=cell.imported,
        secondary={name: score(others, bounds(name), floors[name]) for name, others in cell.secondary.items()},
        protocol=cell.protocol,
        reason=cell.standing.why,
        standing=cell.standing,
        lost=len(cell.lost),
        collapsed=max(group, cell.collapsed),
    )


def _topic_quality(
    table: pa.Table, column: str, constant: Mapping[str, Any], found: Iterable[tuple[_Cell, Entry]]
) -> Iterable[tuple[tuple[str, str], TopicQuality]]:
    """The NPMI of each configuration that has one, whatever ranks: it is what topics are for."""
    hashes = column_cells(table, "data_hash")
    for cell, entry in found:
        npmi = entry.score if column == f"{of_epoch(column)}npmi" else entry.secondary.get("npmi")
        params = {**constant, **entry.params}
        if npmi is not None and (data := hashes[cell.rows[0]]):
            group = (data, params.get("n_clusters"))
            method = str(params.get("method.name"))
            yield (entry.study, entry.config_key), TopicQuality(method, group, npmi.mean, npmi.n)


def _flag(cells: Sequence[_Cell], entries: Sequence[Entry], mode: str) -> list[Entry]:
    """The entries with `tied` set; it stays None for one seed, and for all if the best has one seed."""
    values = _composite(cells, mode)
    repeated = [i for i, one in enumerate(values) if len(one) > 1]
    if 0 not in repeated:
        return list(entries)
    flags = dict(zip(repeated, tied([values[i] for i in repeated], maximise=mode == "max"), strict=True))
    return [replace(entry, tied=flags.get(i)) for i, entry in enumerate(entries)]


def _seed_notes(entries: Sequence[Entry], best: Picked | None) -> list[str]:
    """Sentences on what the seeds allow to say."""
    compared = sum(entry.tied is not None for entry in entries) > 1
    notes = [best.sentence] if best else []
    notes += [FEW_SEEDS] if compared and min(entry.score.n for entry in entries) <= FEW else []
    return notes + ([COLLAPSED] if any(entry.collapsed for entry in entries) else [])


def _notes(column: str, cells: Sequence[_Cell]) -> list[str]:
    scored = [cell for cell in cells if cell.values]
    notes = [label_note(column)]
    if column.startswith("best."):
        notes.append("Each value is from the trial's best epoch, so it looks better than the value of the last epoch.")
    if column.startswith(MEAN5):
        notes.append("Each value is the mean of the trial's last five reports, or of all if there are fewer.")
    if len(scored) > 1 and all(len(cell.values) == 1 for cell in scored):
        notes.append(
            "Every configuration has one seed, so no two can be told apart. The best of many single runs is partly "
            "lucky and will be worse when repeated. Add seeds to the top ones."
        )
    if waiting := sum(not (cell.values or cell.valueless or cell.lost) for cell in cells):
        notes.append(f"{waiting} of {len(cells)} configurations have no finished value yet.")
    if valueless := sum(cell.valueless for cell in cells):
        notes.append(f"{counted(valueless, 'finished trial', 'have')} no finite value of this metric: left out.")
    return notes


def _choice_notes(column: str, mode: str, entries: Sequence[Entry], mixed: str) -> list[str]:
    """One sentence on the result of choosing without labels, if labels are there to measure it."""
    known = [entry for entry in entries if CONSENSUS in entry.secondary]
    if mixed:
        fair = [NO_FAIR_SCORE] if mixed == selection.NUMBER and column.startswith("health.") else []
        said = f"Consensus is a rank within one {mixed} and cannot be compared between several."
        return [said, *fair] if known else fair
    if len(known) < 2 or mode != "max" or not uses_labels(column):
        return []
    # Reversed, so that the worst counts if several share the highest consensus.
    chosen = max(reversed(known), key=lambda entry: entry.secondary[CONSENSUS].mean)
    below = entries[0].score.mean - chosen.score.mean
    place = "as good as the best" if chosen.rank > 1 else "the best"
    place = f"{fixed(below)} below the best" if below >= _SHOWN else place
    name = metric_name(column)
    return [f"The first by consensus, which uses no labels, has {name} {fixed(chosen.score.mean)}: {place}."]
