"""Who used how much: the hours and card-hours of all attempts at a study's trials, those that failed included."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from jobs.results.header import FINISHED
from jobs.results.reader import column_cells

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
    lost = _lost(table)
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    untold = 0
    columns = (column_cells(table, name) for name in ("attempt_id", *COLUMNS))
    for attempt, source, seconds, gpu, by in zip(*columns, strict=True):
        if source == "import":
            continue
        if seconds is None:
            untold += 1
            continue
        hours, cards, is_lost = seconds / 3600, seconds / 3600 * (gpu or 0.0), attempt in lost
        found[by or ""].append((hours, cards, hours * is_lost, cards * is_lost))
    people = sorted((_sum(by, parts) for by, parts in found.items()), key=lambda one: (-one.hours, one.by))
    return Usage(tuple(people), untold)


def _lost(table: pa.Table) -> set[str]:
    """The attempts whose time a failure lost: failed ones, and killed ones before a failure of a trial never done."""
    rows = list(zip(*(table[name].to_pylist() for name in ("study", "trial_key", "attempt_id", "status")), strict=True))
    failed: dict[tuple[str, str], str] = {}
    for study, key, attempt, status in rows:
        if status == "failed":
            failed[study, key] = max(failed.get((study, key), ""), attempt)
    done = {(study, key) for study, key, _, status in rows if status in FINISHED and (study, key) in failed}
    return {
        attempt
        for study, key, attempt, status in rows
        if status == "failed"
        or (status == "running" and (study, key) not in done and attempt < failed.get((study, key), ""))
    }


def _sum(by: str, parts: Sequence[tuple[float, float, float, float]]) -> Used:
    return Used(by, *(sum(part[place] for part in parts) for place in range(4)))
