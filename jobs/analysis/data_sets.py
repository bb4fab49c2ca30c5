"""Which data set each row is of: no score is compared across data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from jobs.results.names import PARAM

COLUMNS = ("data_hash",)
"""What this module reads of the store, beside parameters and what identifies a trial."""


def of_rows(table: pa.Table) -> list[str]:
    """The data set of each row, as a text that is equal for rows of the same data.

    It is the hash of the data's content. A row without one, as an imported row, is told by `data.name`: it belongs to
    the only data with this name, if there is one. A row that tells neither belongs to the only data set of the table,
    or else to one of its study's own.
    """
    hashes = _column(table, "data_hash")
    names = _column(table, f"{PARAM}data.name")
    by_name: dict[str, set[str]] = {}
    for found, name in zip(hashes, names, strict=True):
        if found and name:
            by_name.setdefault(name, set()).add(found)
    told = [found or (name and _only(by_name, name)) or "" for found, name in zip(hashes, names, strict=True)]
    lone = {one for one in told if one}
    rest = next(iter(lone)) if len(lone) == 1 else ""
    return [one or rest or f"study {study}" for one, study in zip(told, table["study"].to_pylist(), strict=True)]


def _only(by_name: Mapping[str, set[str]], name: str) -> str:
    found = by_name.get(name, set())
    return next(iter(found)) if len(found) == 1 else f"data {name}"


def _column(table: pa.Table, name: str) -> Sequence[str | None]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
