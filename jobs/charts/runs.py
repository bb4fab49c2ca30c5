"""What charts of single trials tell of each: its score, its seed, when it ran and where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from jobs.analysis import selection
from jobs.analysis.outcomes import having, lost
from jobs.charts.configurations import Key
from jobs.results.header import FINISHED
from jobs.results.reader import column_cells

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("reason", "started", "seconds", "host")
"""What `runs` reads beside what identifies a trial and the metric."""


@dataclass(frozen=True, slots=True)
class ChartedTrial:
    """One trial.

    Attributes:
        configuration: The key of its configuration.
        trial: Its key.
        seed: Its seed; negative if unknown.
        status: `running`, `ok`, `stopped` or `failed`.
        value: The finite value of the metric; None if it has none, has not finished, or failed in training.
        is_collapsed: Whether it has the warning `COLLAPSED`.
        host: Where it ran; empty if unknown.
        started: When it began; None if unknown.
        seconds: How long it took; None if unknown.
    """

    configuration: Key
    trial: str
    seed: int
    status: str
    value: float | None
    is_collapsed: bool
    host: str
    started: datetime | None
    seconds: float | None


def runs(table: pa.Table, column: str) -> list[ChartedTrial]:
    """The trials of a results table, in its order.

    Args:
        table: Rows from `jobs.results.reader`, one per trial, with `COLUMNS`.
        column: The metric's column, as of a leaderboard.
    """
    if column == selection.CONSENSUS_COLUMN:
        table = selection.with_consensus(table)
    identity = zip(*(table[name].to_pylist() for name in ("study", "config_key", "trial_key", "seed")), strict=True)
    keys: dict[Key, Key] = {}  # Of many trials, each text once.
    cells = (column_cells(table, name) for name in ("status", column, "host", "started", "seconds"))
    marks = zip(having(table, "COLLAPSED"), lost(table), strict=True)
    return [
        ChartedTrial(
            keys.setdefault((study, config), (study, config)),
            trial,
            -1 if seed is None else seed,
            sys.intern(status),
            _finite(value) if status in FINISHED and not is_lost else None,
            is_collapsed,
            sys.intern(host or ""),
            started,
            _finite(seconds),
        )
        for (study, config, trial, seed), (status, value, host, started, seconds), (is_collapsed, is_lost) in zip(
            identity, zip(*cells, strict=True), marks, strict=True
        )
    ]


def by_configuration(found: Sequence[ChartedTrial]) -> dict[Key, list[ChartedTrial]]:
    """The trials with a value, by configuration."""
    grouped: dict[Key, list[ChartedTrial]] = {}
    for one in found:
        if one.value is not None:
            grouped.setdefault(one.configuration, []).append(one)
    return grouped


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
