"""Where results come from: what `_study.json` and the rows themselves say of code, data, machines and seeds."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from jobs.analysis import apart
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_JSON, existing, folders_of, study_name
from jobs.results.storage import Place

_MADE = ("code_hash", "data_hash", "env_hash", "env_json", "plug_ins_json")
COLUMNS = ("reason", "source", "started", "seconds", "host", "protocol", *_MADE)
"""What this module and `outcomes` read of the store beside what identifies a trial."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One study's.

    Attributes:
        study: Its name.
        plan: The content of its `_study.json`; empty where there is no sound one.
        trials: Rows of it that are here.
        finished: Of those, finished.
        imported: Of those, taken over from a person's own table.
        seeds: The seeds that they have.
        hosts: Machines that they ran on.
        code: Hashes of the code that trained them.
        plug_ins: Name and sha256 of each plug-in of the person's own.
        protocols: The protocols of their keys, in words.
        data: Hashes of their data.
        environments: Hashes of the environments that they ran in, with the versions in words.
        first: When the first of them began; None where no row says.
        last: When the last began.
        seconds: Wall time of all trials together.
    """

    study: str
    plan: dict[str, Any]
    trials: int
    finished: int
    imported: int
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

    @property
    def planned(self) -> int | None:
        """Trials that the plan lists; None where there is none."""
        trials = self.plan.get("trials")
        return len(trials) if isinstance(trials, list) else None

    @property
    def commit(self) -> str:
        """The commit of the checkout that ran it, with `+changes` where files differed; empty where unknown."""
        return str(self.plan.get("commit") or "")


def origins(table: pa.Table, plans: dict[str, dict[str, Any]]) -> list[Origin]:
    """The origin of each study of a table.

    Args:
        table: Rows from `read_results` with `COLUMNS`, one per trial.
        plans: What `read_plans` found.
    """
    names = table["study"].to_pylist()
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    there = set(table.column_names)
    names = [name for name in ("seed", "status", *COLUMNS) if name != "started"]
    columns = {name: table[name].to_pylist() if name in there else [None] * table.num_rows for name in names}
    columns["started"] = _moments(table["started"])
    columns["protocol"] = [one if one is None else apart.name_of(one) for one in apart.protocols(table)]
    return [_origin(name, plans.get(name, {}), _Rows(columns, rows[name])) for name in sorted(rows)]


def read_plans(paths: Sequence[str], studies: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """The `_study.json` of each study below the given folders, by its name; none of a study whose is damaged."""
    return {
        study_name(folder): plan
        for folder in folders_of(paths, studies)
        if (plan := _plan(existing(folder, STUDY_JSON)))
    }


def _plan(path: Place) -> dict[str, Any]:
    try:
        return records.read(path, records.STUDY)
    except (FileNotFoundError, records.RecordError):
        return {}  # Whoever chooses the metric has told of a damaged one.


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
        seeds=tuple(sorted({seed for seed in rows["seed"] if seed is not None})),
        hosts=_known(rows["host"]),
        code=_known(rows["code_hash"]),
        plug_ins=_plug_ins(rows["plug_ins_json"]),
        protocols=_known(rows["protocol"]),
        data=_known(rows["data_hash"]),
        environments=_environments(rows["env_hash"], rows["env_json"]),
        first=min(started, default=None),
        last=max(started, default=None),
        seconds=sum(filter(None, rows["seconds"])),
    )


def _moments(column: pa.ChunkedArray) -> list[datetime | None]:
    # Not to_pylist() of the column itself: that imports pandas, half a second for nothing.
    microseconds = column.cast(pa.int64()).to_pylist()
    return [None if one is None else datetime.fromtimestamp(one / 1e6, UTC) for one in microseconds]


def _known(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _plug_ins(texts: Iterable[str | None]) -> tuple[str, ...]:
    told = [records.plug_ins(text) or {} for text in set(texts)]
    return tuple(sorted({f"{one['name']} {one['sha256']}" for found in told for one in found.values()}))


def _environments(hashes: Iterable[str | None], versions: Iterable[str | None]) -> dict[str, dict[str, str]]:
    found = {key: text for key, text in zip(hashes, versions, strict=True) if key}
    return {key: records.versions(found[key]) for key in sorted(found)}
