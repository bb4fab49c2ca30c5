"""Reads results for a report: every row once without its history, and then the histories of the trials that are shown.

Histories are most of the results. Each is judged as its file is read, and no more than a few files' are held.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jobs.health import courses as judging
from jobs.health.courses import Judged
from jobs.results.reader import HISTORY_COLUMN, Loaded, load, take

if TYPE_CHECKING:
    import pyarrow as pa

Attempt = tuple[str, str, str]
"""Study, trial and attempt: what one row is of."""


@dataclass(slots=True)
class Reading:
    """What to read, and the verdicts found on the way.

    Attributes:
        paths: Results folders.
        studies: Only these are read if there are any.
        columns: The columns to read.
    """

    paths: Sequence[str]
    studies: Sequence[str]
    columns: Sequence[str]
    _judged: dict[Attempt, Judged] = field(default_factory=dict[Attempt, Judged])
    _params: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict[tuple[str, str], Mapping[str, Any]])

    def rows(self, where: str, *, judged: bool) -> Loaded:
        """All rows without histories; with `judged`, their verdicts are kept."""
        if not judged:
            return load(self.paths, where=where, studies=self.studies, columns=self.columns)
        return load(
            self.paths, where=where, studies=self.studies, columns=self.columns, history=True, lighten=self._judge
        )

    def judged(self, table: pa.Table) -> list[Judged]:
        """The verdicts on rows of `rows`, without their numbers."""
        return [self._judged[one] for one in attempts(table)]

    def histories(self, wanted: Collection[Attempt]) -> pa.Table:
        """The rows of these attempts with their histories; one that is gone meanwhile is left out."""

        def chosen(rows: pa.Table) -> pa.Table:
            release()
            return take(rows, [row for row, one in enumerate(attempts(rows)) if one in wanted])

        return load(self.paths, studies=self.studies, columns=self.columns, history=True, lighten=chosen).table

    def _judge(self, rows: pa.Table) -> pa.Table:
        for attempt, one in zip(attempts(rows), judging.judged(rows, with_numbers=False), strict=True):
            # Trials of one configuration share its parameters, and all texts that many have are held once.
            study, trial_key, _ = attempt
            params = self._params.setdefault(
                (study, one.config_key), {sys.intern(name): value for name, value in one.params.items()}
            )
            texts = {name: sys.intern(getattr(one, name)) for name in ("config_key", "status", "reason", "data")}
            self._judged[attempt] = replace(one, **texts, study=study, trial_key=trial_key, params=params)
        release()
        return rows.drop_columns([HISTORY_COLUMN]) if HISTORY_COLUMN in rows.column_names else rows


def release() -> None:
    """Gives back what Arrow holds of tables that are gone: by itself it keeps that for later."""
    from pyarrow import default_memory_pool

    default_memory_pool().release_unused()


def attempts(table: pa.Table) -> list[Attempt]:
    """What each row is of."""
    studies = map(sys.intern, table["study"].to_pylist())
    return list(zip(studies, *(table[name].to_pylist() for name in ("trial_key", "attempt_id")), strict=True))
