"""Who used how much: the hours and card-hours of all attempts at a study's trials, those that failed included."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.results.header import FINISHED

COLUMNS = ("source", "own_seconds", "gpu", "by")


@dataclass(frozen=True, slots=True)
class Used:
    """The time that one person's attempts took.

    Attributes:
        by: The person's user name; empty if the rows do not tell it.
        hours: Wall hours of all attempts; two at the same time count twice.
        card_hours: The same, each times its share of a GPU.
        failed_hours: Those of `hours` that a failure lost.
        failed_card_hours: Those of `card_hours` that a failure lost.
    """

    by: str
    hours: float
    card_hours: float
    failed_hours: float
    failed_card_hours: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The time that a study took.

    Attributes:
        people: One entry for each person, the longest first.
        untold: Number of attempts of conclus 0.2.0 and older, which do not tell their own time. They are not counted.
    """

    people: tuple[Used, ...]
    untold: int

    @property
    def total(self) -> Used:
        """The sum over all people."""
        return _sum("", [(one.hours, one.card_hours, one.failed_hours, one.failed_card_hours) for one in self.people])


def usage(table: pa.Table) -> Usage:
    """The time that attempts took.

    An attempt that was killed tells its time up to the last row that it wrote, at most half a minute or one epoch
    before. It counts as failed if its trial failed later and was never done.

    Args:
        table: Rows from `jobs.results.reader`, one per attempt, with those of `COLUMNS` that they have.
    """
    names = [name for name in ("study", "trial_key", "attempt_id", "status", *COLUMNS) if name in table.column_names]
    rows = [row for row in table.select(names).to_pylist() if row.get("source") != "import"]
    trials: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        trials[row["study"], row["trial_key"]].append(row)
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for attempts in trials.values():
        lost = _lost(attempts)
        for row in attempts:
            if (seconds := row.get("own_seconds")) is not None:
                hours, cards = seconds / 3600, seconds / 3600 * (row.get("gpu") or 0.0)
                is_lost = row["attempt_id"] in lost
                found[row.get("by") or ""].append((hours, cards, hours * is_lost, cards * is_lost))
    people = sorted((_sum(by, parts) for by, parts in found.items()), key=lambda one: (-one.hours, one.by))
    return Usage(tuple(people), sum(row.get("own_seconds") is None for row in rows))


def _lost(attempts: Sequence[Mapping[str, Any]]) -> set[str]:
    """The attempts of one trial whose time a failure lost: failed ones, and killed ones of a trial that never ended."""
    failed = [row["attempt_id"] for row in attempts if row["status"] == "failed"]
    done = any(row["status"] in FINISHED for row in attempts)
    killed = [
        row["attempt_id"]
        for row in attempts
        if row["status"] == "running" and not done and failed and row["attempt_id"] < max(failed)
    ]
    return {*failed, *killed}


def _sum(by: str, parts: Sequence[tuple[float, float, float, float]]) -> Used:
    return Used(by, *(sum(part[place] for part in parts) for place in range(4)))
