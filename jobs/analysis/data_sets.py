"""Which data set each row is of: no score is compared across data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa

from core.errors import UserError
from jobs.results.names import PARAM
from jobs.results.reader import column_cells, take

COLUMNS = ("data_hash",)
"""What this module reads of the store, beside parameters and what identifies a trial."""
DATA = "data."
"""How the keys of a data set begin."""
_DIGITS = 8
_OF_STUDY = "study "


class SeveralDataSetsError(UserError):
    """The trials are of several data sets, and no score is compared across data sets."""


def of_rows(table: pa.Table) -> list[str]:
    """The data set of each row, as a text that is equal for rows of the same data.

    It is the hash of the data's content. A row without one, as an imported row, is told by `data.name`: it belongs to
    the only data with this name, if there is one. A row that tells neither belongs to the only data set of the table,
    or else to one of its study's own.
    """
    hashes = column_cells(table, "data_hash")
    names = column_cells(table, f"{PARAM}data.name")
    by_name: dict[str, set[str]] = {}
    for found, name in zip(hashes, names, strict=True):
        if found and name:
            by_name.setdefault(name, set()).add(found)
    told = [found or (name and _only(by_name, name)) or "" for found, name in zip(hashes, names, strict=True)]
    lone = {one for one in told if one}
    rest = next(iter(lone)) if len(lone) == 1 else ""
    return [one or rest or f"{_OF_STUDY}{study}" for one, study in zip(told, table["study"].to_pylist(), strict=True)]


def is_known(data_set: str) -> bool:
    """Whether a data set of `of_rows` is one that its rows tell, and not whatever their study had."""
    return not data_set.startswith(_OF_STUDY)


def split(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """The rows of each data set under its name, in the order of the names; see `names`."""
    found = of_rows(table)
    if len({*found}) < 2:
        return [(name, table) for name in names(table, found).values()]
    places: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        places.setdefault(one, []).append(place)
    return sorted(
        ((name, take(table, places[one])) for one, name in names(table, found).items()), key=lambda pair: pair[0]
    )


def refuse_several(table: pa.Table, rows: Sequence[int]) -> None:
    """Checks that these rows are of one data set.

    Raises:
        SeveralDataSetsError: They are of several.
    """
    found = of_rows(table)
    if len(there := {found[row] for row in rows}) > 1:
        told = sorted(name for one, name in names(table, found).items() if one in there)
        raise SeveralDataSetsError(
            f"The trials are of {len(told)} data sets ({', '.join(told)}), and no score is compared across data sets: "
            "each needs a ranking of its own."
        )


def names(table: pa.Table, found: Sequence[str]) -> dict[str, str]:
    """A name for each data set, no two of which are equal: `digits`, or `iris.csv` where two are files.

    Args:
        table: Rows with the parameters of `data`.
        found: The data set of each row; see `of_rows`.
    """
    columns = {
        name.removeprefix(f"{PARAM}{DATA}"): table[name].to_pylist()
        for name in sorted(table.column_names)
        if name.startswith(f"{PARAM}{DATA}")
    }
    first: dict[str, int] = {}
    for place, one in enumerate(found):
        if one not in first or not _called(columns, first[one]):
            first[one] = place
    called = {one: _called(columns, place) or one.removeprefix("data ") for one, place in first.items()}
    told: dict[str, str] = {}
    for one, place in first.items():
        alike = [first[other] for other, name in called.items() if name == called[one]]
        differ = {
            option: _shown(option, cells[place])
            for option, cells in columns.items()
            if option != "name" and len({_shown(option, cells[other]) for other in alike}) > 1
        }
        first_word = differ.pop("path", called[one])
        told[one] = " ".join([first_word, *(f"{option}={value}" for option, value in differ.items())])
    counts = [*told.values()]
    return {one: f"{name} {one[:_DIGITS]}" if counts.count(name) > 1 else name for one, name in told.items()}


def _called(columns: Mapping[str, Sequence[Any]], place: int) -> str:
    return str(columns["name"][place] or "") if "name" in columns else ""


def _shown(option: str, value: Any) -> str:
    """The value of an option; of a path, which differs between machines, its last part."""
    if option == "path" and value:
        return PurePosixPath(PureWindowsPath(str(value)).as_posix()).name
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _only(by_name: Mapping[str, set[str]], name: str) -> str:
    found = by_name.get(name, set())
    return next(iter(found)) if len(found) == 1 else f"data {name}"
