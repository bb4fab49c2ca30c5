"""Turns columns into rows of results, with keys made from their content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.data.told import told
from core.errors import UserError
from core.seal import canonical_json
from jobs.ledger import names, trackers
from jobs.ledger.cells import Moment, Number
from jobs.ledger.columns import ReadColumn
from jobs.ledger.table import IMAGE
from jobs.results.identity import UNKNOWN
from jobs.results.names import METRIC, PARAM
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id

NO_SCORE = "no score"
"""Why a row without any score or loss counts as failed."""
_UNKNOWN_SEEDS = 10**9
ORIGIN = ("imported_from", "sha256", "line")
"""The keys in `env_json` of an imported row, besides its notes."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The origin of rows.

    Attributes:
        name: The file's name.
        digest: A hash of its bytes.
        lines: The line of each row.
    """

    name: str
    digest: str
    lines: tuple[int, ...]


def attempts(columns: Sequence[ReadColumn], source: SourceFile, study: str, year: int | None) -> list[Attempt]:
    """The rows as attempts with `source` set to `import`; they count as finished unless the table says otherwise.

    A cell of scores that says so (`OOM`) ends a row as failed, and so does the lack of any score or loss, where others
    have one, no column says how runs ended, and the row has no picture that may show one.

    A trial's key is made of its parameters and its seed. Without a seed it uses the date as written, and without a date
    the number among rows with the same parameters. An unknown seed becomes a negative number that no other trial has,
    so that no analysis pairs two runs by mistake.

    Args:
        columns: The result of `understand`.
        source: The file and lines of the rows.
        study: The study that the rows become.
        year: The year of dates without one; None leaves those dates empty.

    Raises:
        UserError: Two rows have the same parameters and the same seed or date, or a date does not exist.
    """
    seen: dict[str, int] = {}
    undated: Counter[str] = Counter()
    unfinished: set[int] = set()
    repeats: Counter[str] = Counter()
    rows: list[Attempt] = []
    for i, line in enumerate(source.lines):
        told("reading rows", i, len(source.lines))
        row = _Row(columns, i)
        config_key = _digest({"import": row.params})
        told_apart = row.identity or f"#{undated[config_key]}"
        undated[config_key] += not row.identity
        trial_key = _digest([config_key, told_apart])
        if trial_key in seen and (row.status != "ok" or seen[trial_key] in unfinished):
            # A run that crashed and was restarted has two rows in a tracker's table.
            repeats[trial_key] += 1
            trial_key = _digest([config_key, told_apart, row.status, repeats[trial_key]])
        if trial_key in seen:
            raise UserError(
                f"{source.name}:{line}: the parameters and the {row.kind} are the same as in line {seen[trial_key]}: "
                "correct or remove one of them."
            )
        seen[trial_key] = line
        if row.status != "ok":
            unfinished.add(line)
        rows.append(_attempt(row, source, line, study=study, keys=(config_key, trial_key), year=year))
    return rows


class _Row:
    """One row, with its values sorted by meaning."""

    def __init__(self, columns: Sequence[ReadColumn], at: int) -> None:
        self.params: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self.moment: Moment | None = None
        self.seed: int | None = None
        self.seconds: float | None = None
        self.status, self.reason = "", ""
        failures: list[str] = []
        for column in columns:
            if column.values[at] is not None:
                self._take(column.target.key, column.values[at], column.header)
            elif column.target.key.startswith(METRIC):
                failures.append(trackers.failure(column.texts[at]) or NO_SCORE)
            elif column.target.key == names.STARTED and column.texts[at]:
                self.notes[f"note.{column.header}"] = column.texts[at]

        said = [one for one in failures if one != NO_SCORE]
        if said and self.status in {"", "ok"}:
            self.status, self.reason = "failed", said[0]
        elif failures and not self.metrics and not self.status and f"note.{IMAGE}" not in self.notes:
            self.status, self.reason = "failed", NO_SCORE
        self.status = self.status or "ok"

    def _take(self, key: str, value: Any, header: str) -> None:
        if key.startswith(PARAM):
            self.params[key.removeprefix(PARAM)] = value.value if isinstance(value, Number) else value
        elif key.startswith(METRIC):
            self.metrics |= _measured(key.removeprefix(METRIC), value)
        elif key == names.STARTED:
            self.moment = value
        elif key == names.SEED:
            self.seed = int(value.value)
        elif key == names.SECONDS:
            self.seconds = value.value
        elif key == names.STATUS:
            self.status, self.reason = value
        elif key == names.NOTE:
            self.notes[f"note.{header}"] = value

    @property
    def kind(self) -> str:
        """What distinguishes this row from others with the same parameters: `seed` or `date`."""
        return "seed" if self.seed is not None else "date"

    @property
    def identity(self) -> str:
        if self.seed is not None:
            return f"seed {self.seed}"
        return self.moment.text if self.moment else ""


def _measured(name: str, value: Number) -> dict[str, float]:
    extra = {f"{name}_spread": value.spread, f"{name}_low": value.low, f"{name}_high": value.high}
    return {name: value.value} | {key: one for key, one in extra.items() if one is not None}


def _attempt(
    row: _Row, source: SourceFile, line: int, *, study: str, keys: tuple[str, str], year: int | None
) -> Attempt:
    config_key, trial_key = keys
    try:
        started = row.moment.at(year) if row.moment else None
    except ValueError as error:
        raise UserError(f"{source.name}:{line}: there is no {row.identity} in the year {year}: {error}.") from error
    origin = dict(zip(ORIGIN, (source.name, source.digest, str(line)), strict=True))
    date = {"note.date": row.moment.text} if row.moment and started is None else {}
    return Attempt(
        study=study,
        trial_key=trial_key,
        config_key=config_key,
        seed=_unknown_seed(study, trial_key) if row.seed is None else row.seed,
        attempt_id=new_attempt_id(),
        status=row.status,
        reason=row.reason,
        source="import",
        started=started,
        seconds=row.seconds,
        params=row.params,
        protocol=UNKNOWN,
        metrics=row.metrics,
        env=origin | row.notes | date,
    )


def _unknown_seed(study: str, trial_key: str) -> int:
    return -1 - int(_digest([study, trial_key]), 16) % _UNKNOWN_SEEDS


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
