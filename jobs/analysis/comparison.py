"""A ranking for each data set, and methods compared over data sets: no score is compared across data sets.

Each data set ranks the methods; what is averaged and tested over data sets are these ranks.

Reference: J. Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.analysis import data_sets, outcomes
from jobs.analysis.data_sets import DATA
from jobs.analysis.estimates import COLLAPSED
from jobs.analysis.intervals import ALPHA
from jobs.analysis.leaderboard import Entry, Leaderboard, leaderboard
from jobs.analysis.outcomes import NoValueError
from jobs.analysis.pareto import NO_AIMS, Aims, InfeasibleError
from jobs.analysis.samples import METHOD
from jobs.analysis.scores import metric_name
from jobs.analysis.ties import FEW_SEEDS
from jobs.results.names import METRIC, PARAM
from jobs.results.reader import take
from jobs.study.sections import SECONDS

FEWEST_SETS = 5
"""The fewest data sets for Friedman's test: with fewer, hardly any ranks could show a difference."""
_SHUFFLES = 10_000
_NUMBER = re.compile(r"\d")
_BLOCK = 1_000_000
"""Number of ranks shuffled at a time."""

Boards = Sequence[tuple[str, Leaderboard]]
"""The name of each data set, and its leaderboard."""


@dataclass(frozen=True, slots=True)
class CellScore:
    """The configuration that stands for a row on a data set.

    Attributes:
        entry: Its entry of the leaderboard of that data set.
        verdict: `best`, `tied` with the best, `worse`, or `unknown` where there are too few seeds to tell.
        among: From so many configurations it was picked by the metric.
    """

    entry: Entry
    verdict: str
    among: int


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A method, or a configuration, on every data set.

    Attributes:
        params: What tells it from the other rows, by dotted key.
        cells: Its score on each data set; None where it has none.
        average_rank: The mean of its ranks on `Comparison.ranked_on`, 1 for the best; None if it is of fewer than two.
        without: The data sets on which it has no score, and why: `failed` where its training failed, so that its rank
            there is the last, or `infeasible` where all its configurations break a constraint, so that it has none.
    """

    params: Mapping[str, Any]
    cells: tuple[CellScore | None, ...]
    average_rank: float | None
    without: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RankTest:
    """Friedman's test of "all methods rank alike", and Nemenyi's critical difference.

    Attributes:
        p: The p-value, from shuffles of the ranks within each data set.
        critical: Two average ranks that differ by as much differ, at an error of 5 % over all pairs, where the test
            finds a difference at all.
    """

    p: float
    critical: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods, or whatever was varied besides the data, on several data sets.

    Attributes:
        metric: The metric's column.
        picked_by: The metric by which the configuration of each cell was picked.
        data: The names of the data sets.
        rows: The methods, the best average rank first.
        ranked_on: The data sets over which ranks are averaged: those on which every row has a score or failed.
        test: Friedman's test over these; None if they are fewer than `FEWEST_SETS`.
    """

    metric: str
    picked_by: str
    data: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    ranked_on: tuple[str, ...]
    test: RankTest | None

    @property
    def is_picked(self) -> bool:
        """Whether any cell was picked among several configurations."""
        return any(cell is not None and cell.among > 1 for row in self.rows for cell in row.cells)


def leaderboards(table: pa.Table, metric: str, mode: str, aims: Aims = NO_AIMS) -> list[tuple[str, Leaderboard]]:
    """The leaderboard of each data set that has a value of the metric, by the names of the data sets.

    Raises:
        UserError: As `leaderboard`: no data set has a value, or the metric may not rank the configurations of one.
    """
    found: list[tuple[str, Leaderboard]] = []
    without: dict[str, NoValueError] = {}
    barred: dict[str, InfeasibleError] = {}
    for name, rows in data_sets.split(table):
        try:
            found.append((name, leaderboard(rows, metric, mode, aims)))
        except NoValueError as error:
            without[name] = error
        except InfeasibleError as error:
            barred[name] = error
    if not found:
        raise next(
            iter([*barred.values(), *without.values()]), NoValueError(f"No finished trial has a value of {metric!r}.")
        )
    said = [f"No finished trial of {', '.join(without)} has a value of {metric}."] if without else []
    said += [f"{name}: {error}" for name, error in barred.items()]
    return [(name, replace(board, notes=(*board.notes, *said))) for name, board in found]


def notes(boards: Boards) -> tuple[list[str], dict[str, list[str]]]:
    """The sentences that hold for all the leaderboards, and those of each by the name of its data set.

    A sentence with a number counts what is in its own leaderboard, but for those that are always the same.
    """
    first, *rest = [board.notes for _, board in boards]
    shared = [
        note
        for note in first
        if not rest
        or (all(note in one for one in rest) and (note in {FEW_SEEDS, COLLAPSED} or not _NUMBER.search(note)))
    ]
    return shared, {name: [note for note in board.notes if note not in shared] for name, board in boards}


def comparisons(table: pa.Table, boards: Boards, others: Mapping[str, str]) -> list[Comparison]:
    """The comparison by the metric of the leaderboards, and the same configurations by each other metric.

    Args:
        table: The rows of the leaderboards.
        boards: From `leaderboards`.
        others: Further metrics, each with its mode.

    Raises:
        UserError: No trial of a cell has one of the further metrics, or it may not rank them.
    """
    first = comparison(table, boards)
    picked = {(cell.entry.study, cell.entry.config_key) for row in first.rows for cell in row.cells if cell is not None}
    keys = zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True)
    rows = take(table, [place for place, key in enumerate(keys) if key in picked])
    if SECONDS in others and f"{METRIC}{SECONDS}" not in rows.column_names:
        rows = rows.append_column(f"{METRIC}{SECONDS}", rows[SECONDS])  # It is no score, so it ranks nowhere else.
    found = [first]
    broken = {(entry.study, entry.config_key) for _, board in boards for entry in board.infeasible}
    keys = zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True)
    kept = take(table, [place for place, key in enumerate(keys) if key not in broken])
    for metric, mode in others.items():
        own = comparison(kept, leaderboards(rows, metric, mode), varied(boards))
        found.append(replace(_as_picked(own, first), picked_by=first.picked_by))
    return found


def comparison(table: pa.Table, boards: Boards, keys: Sequence[str] | None = None) -> Comparison:
    """Compares the methods over data sets; where all are of one method, its configurations.

    A method is represented on each data set by its configuration with the best mean there. It is tied with the best if
    the leaderboard cannot tell one of its configurations from the best. Where the training of all of them failed, it is
    the last; where all that did not fail break a constraint, it has no rank.

    Args:
        table: The rows of the leaderboards.
        boards: The leaderboards of the data sets, by one metric.
        keys: The parameters that tell rows apart; by default those of `varied`.
    """
    keys = varied(boards) if keys is None else keys
    found: dict[tuple[Any, ...], dict[str, list[Entry]]] = {}
    for name, board in boards:
        for entry in board.entries:
            found.setdefault(_row(board, entry, keys), {}).setdefault(name, []).append(entry)
    names = tuple(name for name, _ in boards)
    broken = {(_row(board, entry, keys), name) for name, board in boards for entry in board.infeasible}
    for row, name in _lost(table, keys):
        if name in names and (row, name) not in broken:
            found.setdefault(row, {}).setdefault(name, [])
    cells = {row: tuple(_cell(of.get(name, ())) for name in names) for row, of in found.items()}
    shared = [place for place, name in enumerate(names) if all(name in of for of in found.values())]
    ranks = np.array([_ranks([one[place] for one in cells.values()]) for place in shared]).reshape(-1, len(cells))
    means = ranks.mean(axis=0).tolist() if len(shared) > 1 else [None] * len(cells)
    rows = [
        ComparedRow(
            dict(zip(keys, row, strict=True)),
            one,
            average,
            {name: "failed" for name, of in found[row].items() if not of}
            | {name: "infeasible" for name in names if (row, name) in broken and name not in found[row]},
        )
        for (row, one), average in zip(cells.items(), means, strict=True)
    ]
    column = metric_name(boards[0][1].metric)
    return Comparison(
        metric=boards[0][1].metric,
        picked_by=column,
        data=names,
        rows=tuple(sorted(rows, key=_place)),
        ranked_on=tuple(names[place] for place in shared),
        test=friedman(ranks) if len(shared) >= FEWEST_SETS and len(cells) > 1 else None,
    )


def _row(board: Leaderboard, entry: Entry, keys: Sequence[str]) -> tuple[Any, ...]:
    params = {**board.constant, **entry.params}
    return tuple(params.get(key) for key in keys)


def varied(boards: Boards) -> tuple[str, ...]:
    """The parameters that tell rows apart: the method where there are several, else all that vary besides the data."""
    methods = {{**board.constant, **entry.params}.get(METHOD) for _, board in boards for entry in board.entries}
    if len(methods) > 1:
        return (METHOD,)
    found = {key for _, board in boards for key in board.entries[0].params if not key.startswith(DATA)}
    return tuple(sorted(found))


def friedman(ranks: NDArray[np.float64]) -> RankTest:
    """Friedman's test and Nemenyi's critical difference.

    The p-value is the share of shuffles of the ranks within each data set whose statistic is as large: it holds for any
    number of data sets and for equal ranks, where the chi-square distribution is an approximation.

    Args:
        ranks: The rank of each method on each data set; shape (data sets, methods).
    """
    sets, methods = ranks.shape
    rng = np.random.default_rng(0)
    own = float((ranks.mean(axis=0) ** 2).sum())
    size = max(1, _BLOCK // ranks.size)
    larger = 0
    for start in range(0, _SHUFFLES, size):
        count = min(size, _SHUFFLES - start)
        shuffled = rng.permuted(np.broadcast_to(ranks, (count, sets, methods)), axis=2)
        larger += int(((shuffled.mean(axis=1) ** 2).sum(axis=1) >= own - 1e-9).sum())
    critical = studentised_range(methods) / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * sets))
    return RankTest((1 + larger) / (1 + _SHUFFLES), critical)


def studentised_range(count: int, error: float = ALPHA) -> float:
    """The value that the range of `count` standard normal variables exceeds with probability `error`."""
    z = np.linspace(-9, 9, 3601)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in z])
    low, high = 0.0, 20.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        shifted = np.interp(z - middle, z, below, left=0.0)
        inside = count * float(np.trapezoid(density * (below - shifted) ** (count - 1), z))
        low, high = (middle, high) if inside < 1 - error else (low, middle)
    return high


def _cell(entries: Sequence[Entry]) -> CellScore | None:
    """The best of a row's configurations on one data set."""
    if not entries:
        return None
    first = min(entries, key=lambda entry: entry.rank)
    flags = {entry.tied for entry in entries}
    verdict = "best" if first.rank == 1 else "tied" if True in flags else "unknown" if None in flags else "worse"
    return CellScore(first, verdict, len(entries))


def _lost(table: pa.Table, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The row and the data set of each trial whose training failed."""
    for name, part in data_sets.split(table):
        columns = [
            part[column].to_pylist() if (column := f"{PARAM}{key}") in part.column_names else [None] * part.num_rows
            for key in keys
        ]
        for is_lost, *row in zip(outcomes.lost(part), *columns, strict=True):
            if is_lost:
                yield tuple(row), name


def _ranks(cells: Sequence[CellScore | None]) -> list[float]:
    """The ranks on one data set; equal scores share the mean of their ranks, and those without one are the last."""
    places = [math.inf if cell is None else cell.entry.rank for cell in cells]
    order = np.array(places).argsort(kind="stable").argsort() + 1.0
    scores = [None if cell is None else (cell.entry.score.mean, cell.entry.lost) for cell in cells]
    equal: dict[tuple[float, int] | None, list[int]] = {}
    for place, score in enumerate(scores):
        equal.setdefault(score, []).append(place)
    shared = {score: float(order[rows].mean()) for score, rows in equal.items()}
    return [shared[score] for score in scores]


def _place(row: ComparedRow) -> tuple[float, float, str]:
    """The sort key: the average rank, else the mean of the ranks that there are."""
    there = [cell.entry.rank for cell in row.cells if cell is not None]
    own = sum(there) / len(there) if there else math.inf
    return own if row.average_rank is None else row.average_rank, own, str(dict(row.params))


def _as_picked(found: Comparison, first: Comparison) -> Comparison:
    """The comparison with what the first one tells: from how many each cell was picked, and why others are empty."""
    counts = {cell.entry.config_key: cell.among for row in first.rows for cell in row.cells if cell is not None}
    without = {tuple(row.params.items()): row.without for row in first.rows}
    rows = [
        replace(
            row,
            cells=tuple(cell and replace(cell, among=counts.get(cell.entry.config_key, 1)) for cell in row.cells),
            without={**without.get(tuple(row.params.items()), {}), **row.without},
        )
        for row in found.rows
    ]
    return replace(found, rows=tuple(rows))
