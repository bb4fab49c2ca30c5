"""Which data set each row is of: no score is compared across data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from os.path import commonprefix
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
NAME = f"{DATA}name"
_NAMED_BY = dict.fromkeys(("documents", "file", "multiview", "pairs", "scene", "text"), "path") | {
    "scikit-learn": "table",
    "torchvision": "set",
}
"""Of the plug-ins that read several data sets: the option that tells which. The others are data sets themselves."""
_DIGITS = 8
_OF_STUDY = "study "


class SeveralDataSetsError(UserError):
    """The trials are of several data sets, and no score is compared across data sets."""


def of_rows(table: pa.Table) -> list[str]:
    """The data set of each row, as a text that is equal for rows of the same data.

    It is the hash of the data's content. A row without one, as an imported row, belongs to the only data with its path,
    table or set, if there is one; where it tells a name alone, to the only data that is called so, or is read by the
    plug-in of this name. A row that tells nothing belongs to the only data set of the table, or else to one of its
    study's own.
    """
    hashes = column_cells(table, "data_hash")
    if all(hashes):
        return hashes
    options = _options(table)
    names = [_called(options, place) for place in range(table.num_rows)]
    sources = _sources(options, table.num_rows)
    known: dict[str, set[str]] = {}
    for found, source, *both in zip(hashes, sources, names, options.get("name", names), strict=True):
        for one in {source, *both} - {""} if found else ():
            known.setdefault(one, set()).add(found)
    told = [
        found or ((one := source or name) and _only(known, one)) or ""
        for found, source, name in zip(hashes, sources, names, strict=True)
    ]
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
    """A name for each data set, no two of which are equal: `digits`; of a file, `iris` or `one/iris.csv`.

    Several of one name are told apart by the ends of their paths, else by the options in which they differ, else by
    their hashes.

    Args:
        table: Rows with the parameters of `data`.
        found: The data set of each row; see `of_rows`.
    """
    columns = _options(table)
    paths = column_cells(table, f"{PARAM}{DATA}path")
    first: dict[str, int] = {}
    called: dict[str, str] = {}
    for place, one in enumerate(found):
        if not called.get(one):
            first[one], called[one] = place, _called(columns, place)
    given = {one: name or one.removeprefix("data ") for one, name in called.items()}
    alike: dict[str, list[str]] = {}
    for one, name in given.items():
        alike.setdefault(name, []).append(one)
    told: dict[str, str] = {}
    for name, those in alike.items():
        places = [first[one] for one in those]
        words = _ends(name, [paths[place] for place in places])
        differ = [
            option
            for option, cells in columns.items()
            if option != "path" and len({_shown(cells[place]) for place in places}) > 1
        ]
        for one, place, word in zip(those, places, words, strict=True):
            more = [f"{option}={_shown(columns[option][place])}" for option in differ if words.count(word) > 1]
            told[one] = " ".join([word, *more])
    counts = [*told.values()]
    shared = [len(commonprefix(pair)) for pair in pairwise(sorted(told))]  # noqa: RUF071 - of letters, not of paths
    digits = max(_DIGITS, 1 + max(shared, default=0))
    return {one: f"{name} {one[:digits]}" if counts.count(name) > 1 else name for one, name in told.items()}


def keys_in(name: str, params: Mapping[str, Any]) -> set[str]:
    """The keys of those parameters that a data set's name tells, as `wine` does `data.table=wine`; see `names`."""
    words = name.split()
    keys = {key for key in params if key.startswith(DATA)}
    chosen = f"{DATA}{_naming(params.get(NAME))}"
    return keys & {NAME, chosen, *(key for key in keys if f"{key.removeprefix(DATA)}={_shown(params[key])}" in words)}


def _options(table: pa.Table) -> dict[str, list[Any]]:
    """The options of the data set of each row, by their names."""
    start = f"{PARAM}{DATA}"
    there = sorted(name for name in table.column_names if name.startswith(start))
    return {name.removeprefix(start): table[name].to_pylist() for name in there}


def _called(columns: Mapping[str, Sequence[Any]], place: int) -> str:
    """What a row's data set is called: of a file, its name without its ending; empty where the row does not tell."""
    reader = columns["name"][place] if "name" in columns else None
    option = _naming(reader)
    value = str((columns[option][place] if option in columns else reader) or "")
    return (_pure(value).stem if option == "path" else value) or str(reader or "")


def _sources(columns: Mapping[str, Sequence[Any]], count: int) -> list[str]:
    """Where each row's data are, as `file /home/me/x.csv`; empty where the row tells a name alone."""
    readers = columns.get("name", [None] * count)
    found: list[str] = []
    for place, reader in enumerate(readers):
        option = _naming(reader)
        value = columns[option][place] if option != "name" and option in columns else None
        found.append(f"{str(reader).replace('_', '-')} {value}" if value else "")
    return found


def _naming(reader: Any) -> str:
    """The option that names the data set; results have plug-ins' names with underscores, too."""
    return _NAMED_BY.get(str(reader).replace("_", "-"), "name")


def _ends(name: str, paths: Sequence[Any]) -> list[str]:
    """The shortest ends of the paths that tell them apart; the name where there is no path, or only one."""
    parts = [_pure(str(path)).parts if path else () for path in paths]
    if len({*parts}) < 2:
        return [name] * len(parts)
    several = range(1, max(map(len, parts)) + 1)
    size = next(size for size in several if len({one[-size:] for one in parts}) == len({*parts}))
    return ["/".join(one[-size:]) or name for one in parts]


def _pure(path: str) -> PurePosixPath:
    """A path of any system."""
    return PurePosixPath(PureWindowsPath(path).as_posix())


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _only(by_name: Mapping[str, set[str]], name: str) -> str:
    found = by_name.get(name, set())
    return next(iter(found)) if len(found) == 1 else f"data {name}"
