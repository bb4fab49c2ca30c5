"""The origin of results: code, data, machines and seeds, from `_study.json` and the rows themselves."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from jobs.analysis import apart
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_JSON, existing, folders_of, study_name
from jobs.results.reader import column_cells
from jobs.results.schema import ELSEWHERE
from jobs.results.storage import Place
from jobs.study.notes import StudyNote

_MADE = ("code_hash", "data_hash", "env_hash", "env_json", "plug_ins_json")
COLUMNS = ("reason", "source", "started", "seconds", "host", "protocol", *_MADE)
"""The columns that this module and `outcomes` read, besides those that identify a trial."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of one study's results.

    Attributes:
        study: Its name.
        plan: The content of its `_study.json`; empty if the file is missing or damaged.
        trials: Number of its rows in the table.
        finished: Number of those that finished.
        imported: Number of those imported from a user's own table.
        elsewhere: Number of those that went on on another kind of device: a rerun need not give the same row.
        seeds: The seeds of these rows.
        hosts: The machines that ran them.
        code: Hashes of the code that trained them.
        plug_ins: Name and sha256 of each plug-in of the person's own.
        protocols: The protocols of their keys, in words.
        data: Hashes of their data.
        environments: Hashes of the environments that they ran in, each with its package versions.
        first: When the first trial began; None if no row tells.
        last: When the last trial began.
        seconds: Wall time of all trials together.
        notes: What people noted on it and its trials, in the order of time.
    """

    study: str
    plan: dict[str, Any]
    trials: int
    finished: int
    imported: int
    elsewhere: int
    seeds: tuple[int, ...]
    hosts: tuple[str, ...]
    code: tuple[str, ...]
    plug_ins: tuple[str, ...]
    protocols: tuple[str, ...]
    data: tuple[str, ...]
    environments: dict[str, dict[str, str]]
    first: datetime | None
    last: datetime | None
    seconds: float
    notes: Sequence[StudyNote] = ()

    @property
    def planned(self) -> int | None:
        """Number of trials in the plan; None if there is no plan."""
        trials = self.plan.get("trials")
        return len(trials) if isinstance(trials, list) else None

    @property
    def commit(self) -> str:
        """The commit of the checkout that ran it, with `+changes` if files differed; empty if unknown."""
        return str(self.plan.get("commit") or "")


def origins(
    table: pa.Table, plans: dict[str, dict[str, Any]], notes: Mapping[str, Sequence[StudyNote]] | None = None
) -> list[Origin]:
    """The origin of each study of a table.

    Args:
        table: Rows from `read_results` with `COLUMNS`, one per trial.
        plans: The result of `read_plans`.
        notes: The result of `jobs.study.notes.read_all`.
    """
    names = table["study"].to_pylist()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    columns = {name: column_cells(table, name) for name in ("seed", "status", *COLUMNS) if name != "started"}
    columns["started"] = _moments(table["started"])
    columns["protocol"] = [one if one is None else apart.name_of(one) for one in apart.protocols(table)]
    found = [_origin(name, plans.get(name, {}), _Rows(columns, rows[name])) for name in sorted(rows)]
    return [replace(one, notes=(notes or {}).get(one.study, ())) for one in found]


def read_plans(paths: Sequence[str], studies: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """The content of `_study.json` by study name, for each study below the given folders with an undamaged one."""
    return {
        study_name(folder): plan
        for folder in folders_of(paths, studies)
        if (plan := _plan(existing(folder, STUDY_JSON)))
    }


def _plan(path: Place) -> dict[str, Any]:
    try:
        return records.read(path, records.STUDY)
    except (FileNotFoundError, records.RecordError):
        return {}  # `jobs.present.chosen` reports a damaged file.


class _Rows:
    """The values of some rows, column by column."""

    def __init__(self, columns: dict[str, list[Any]], rows: Sequence[int]) -> None:
        self._columns = columns
        self._rows = rows

    def __getitem__(self, name: str) -> list[Any]:
        return [self._columns[name][row] for row in self._rows]


def _origin(study: str, plan: dict[str, Any], rows: _Rows) -> Origin:
    started = [moment for moment in rows["started"] if moment is not None]
    return Origin(
        study=study,
        plan=plan,
        trials=len(rows["status"]),
        finished=sum(status in FINISHED for status in rows["status"]),
        imported=rows["source"].count("import"),
        elsewhere=sum(ELSEWHERE in (reason or "") for reason in rows["reason"]),
        seeds=tuple(sorted({seed for seed in rows["seed"] if seed is not None})),
        hosts=_distinct(rows["host"]),
        code=_distinct(rows["code_hash"]),
        plug_ins=_plug_ins(rows["plug_ins_json"]),
        protocols=_distinct(rows["protocol"]),
        data=_distinct(rows["data_hash"]),
        environments=_environments(rows["env_hash"], rows["env_json"]),
        first=min(started, default=None),
        last=max(started, default=None),
        seconds=sum(filter(None, rows["seconds"])),
    )


def _moments(column: pa.ChunkedArray) -> list[datetime | None]:
    # Cast first: to_pylist() of the column itself imports pandas, which takes half a second.
    microseconds = column.cast(pa.int64()).to_pylist()
    return [None if one is None else datetime.fromtimestamp(one / 1e6, UTC) for one in microseconds]


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _plug_ins(texts: Iterable[str | None]) -> tuple[str, ...]:
    told = [records.plug_ins(text) or {} for text in set(texts)]
    return tuple(sorted({f"{one['name']} {one['sha256']}" for found in told for one in found.values()}))


def _environments(hashes: Iterable[str | None], versions: Iterable[str | None]) -> dict[str, dict[str, str]]:
    found = {key: text for key, text in zip(hashes, versions, strict=True) if key}
    return {key: records.versions(found[key]) for key in sorted(found)}
