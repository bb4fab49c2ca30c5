"""Which rows are samples of a configuration, and which parameters tell configurations apart.

A population member is no sample: its values changed while it trained.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import pyarrow as pa

from core.errors import UserError, counted
from core.evaluation.rules import NO_HELP
from core.seal import canonical_json
from jobs.analysis.data_sets import NAME
from jobs.analysis.outcomes import codes, lost
from jobs.results.names import PARAM
from jobs.study.keys import defaults

POPULATION = "pbt"
"""The value of the column `source` for a member of a population; see `jobs.planning.pbt`."""
CONTINUED = "continued_from"
"""The column with the trial from whose state one went on, and its epoch."""
METHOD = "method.name"
"""The key of the method's name, which stands first where several methods are compared."""


def samples(table: pa.Table) -> tuple[pa.Table, int]:
    """The rows that are not members of populations, and the number of members left out."""
    if "source" not in table.column_names:
        return table, 0
    sources = table["source"].to_pylist()
    rows = [row for row, source in enumerate(sources) if source != POPULATION]
    members = len(sources) - len(rows)
    return (table.take(pa.array(rows, pa.int64())), members) if members else (table, 0)


def constants(values: Mapping[str, Sequence[Any]]) -> tuple[dict[str, Any], frozenset[str]]:
    """The parameters that tell no configurations apart, and which of them go with the method.

    Beside nmf, which has no batches, bat has the batch size 64 in all its rows: the method's name says as much. So it
    does of an option of the method: a width of 128 in all rows of bat and 100 in all rows of prodlda.

    Args:
        values: By dotted key, the value of each row; None for none. Where a row names no method, none goes with it.

    Returns:
        The value by key, of an option of the method with several a text such as `100 (prodlda), 128 (bat)`; and the
        keys of those that go with the method.
    """
    methods = values.get(METHOD, ())
    count = 0 if None in methods else len({*methods})
    found: dict[str, Any] = {}
    with_method: set[str] = set()
    for key, cells in sorted(values.items()):
        if len({*cells}) == 1:
            found[key] = cells[0]
        elif key != METHOD and count > 1 and len({*zip(methods, cells, strict=True)}) == count:
            by_method = {method: cell for method, cell in zip(methods, cells, strict=True) if cell is not None}
            several = len({*by_method.values()}) > 1
            if several and not key.startswith("method."):
                continue
            found[key] = _by_method(by_method) if several else next(iter(by_method.values()))
            with_method.add(key)
    return found, frozenset(with_method)


def chosen(constant: Mapping[str, Any], configurations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of the settings that are not as by default, and the names of the method and of the data set.

    Args:
        constant: The settings that tell no configurations apart; see `constants`.
        configurations: All parameters of each configuration, with the names of its plug-ins.
    """
    names = {tuple((key, one) for key, one in each.items() if key.endswith(".name")) for each in configurations}
    usual = [(dict(one).get(METHOD), defaults(dict(one))) for one in names]

    def is_usual(key: str, value: Any) -> bool:
        own = [(method, one[key]) for method, one in usual if key in one]
        told = _by_method({method: one for method, one in own if one is not None})
        # The results have lists as texts.
        plain = (canonical_json(one) if isinstance(one, list) else one for _, one in own)
        return bool(own) and (value == told or all(value == one for one in plain))

    return {key: one for key, one in constant.items() if key in {METHOD, NAME} or not is_usual(key, one)}


def settings(tables: Sequence[pa.Table]) -> tuple[dict[str, Any], frozenset[str]]:
    """The parameters that do not vary, with their value, and those of them that some of the trials do not have.

    What an imported row does not tell is unknown, not another value.
    """
    names = [name for name in tables[0].column_names if name.startswith(PARAM)]
    sources = [one for table in tables for one in imported(table)]
    if all(sources) or not any(sources):
        lone = {name.removeprefix(PARAM): one for name in names if (one := _only(table[name] for table in tables))}
        values = {key: _cells(name, tables) for name in names if (key := name.removeprefix(PARAM)) not in lone}
        found, of_some = constants(values)
        return {key: lone[key][0] if key in lone else found[key] for key in sorted({*lone, *found})}, of_some
    values = {name.removeprefix(PARAM): _cells(name, tables) for name in names}
    pairs = {key: list(zip(cells, sources, strict=True)) for key, cells in values.items()}
    found, of_some = constants({key: [cell for cell, of in each if not of] for key, each in pairs.items()})
    told = {key: {cell for cell, is_imported in pairs[key] if is_imported} for key in found}
    found = {key: value for key, value in found.items() if told[key] <= {None, value}}
    return found, frozenset(key for key in found if key in of_some or (None in told[key] and found[key] is not None))


def _only(columns: Iterable[pa.ChunkedArray]) -> tuple[Any] | None:
    """The one value of all these cells, in a tuple; None where there are several, or no cells."""
    found = {cell for column in columns for cell in column.combine_chunks().unique().to_pylist()}
    return (*found,) if len(found) == 1 else None


def _cells(name: str, tables: Sequence[pa.Table]) -> list[Any]:
    return [cell for one in tables for cell in one[name].to_pylist()]


def best_row(values: Mapping[int, float | None], attempts: Sequence[str | None], *, maximise: bool) -> int | None:
    """The row with the best finite value; of equal ones, as of seeds that change nothing, the attempt that began first.

    Args:
        values: The value by row; rows without a finite one are left out.
        attempts: The `attempt_id` of every row of the table.
        maximise: Whether a larger value is better.
    """
    sign = -1 if maximise else 1
    ranked = [(sign * value, attempts[row] or "", row) for row, value in values.items() if value is not None]
    return min((one for one in ranked if isfinite(one[0])), default=(0, "", None))[2]


def _by_method(values: Mapping[Any, Any]) -> str:
    return ", ".join(sorted(f"{_shown(value)} ({method})" for method, value in values.items()))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def need_samples(table: pa.Table) -> pa.Table:
    """The rows that are not members of populations; there must be at least one.

    Raises:
        UserError: all rows are members of populations.
    """
    found, members = samples(table)
    if members and not found.num_rows:
        raise UserError(
            f"All {members} trials are members of populations (search: pbt): their values changed while they trained, "
            "so they say nothing about a configuration. conclus aggregate lists them."
        )
    return found


def notes(table: pa.Table) -> list[str]:
    """Sentences that a ranking shows about population members and trials stopped early."""
    said: list[str] = []
    _, members = samples(table)
    if members == table.num_rows and members:
        said.append("These trials are members of populations: each began with other values than those shown.")
    elif members:
        said.append(f"{members} members of populations are left out: their values changed while they trained.")
    rows = zip(table["status"].to_pylist(), lost(table), strict=True)
    if early := sum(status == "stopped" and not is_lost for status, is_lost in rows):
        said.append(f"{counted(early, 'trial', 'were')} stopped early: values are those of the epoch that was reached.")
    return said


def import_notes(table: pa.Table) -> list[str]:
    """One sentence with the number of imported rows, if there are any."""
    count = sum(imported(table))
    return [f"{count} of {table.num_rows} rows are imported and unverified."] if count else []


def course_notes(table: pa.Table) -> list[str]:
    """Sentences on how the trials that are ranked were run: warnings, trials that went on from others, imports."""
    return [*_warning_notes(table), *_continued_notes(table), *import_notes(table)]


def _warning_notes(table: pa.Table) -> list[str]:
    """Sentences with the warnings of finished trials, counted by code, and on those whose training did not help."""
    rows = zip(table["status"].to_pylist(), codes(table), strict=True)
    found = Counter(code for status, own in rows if status == "ok" for code in own)
    unhelped = found.pop(NO_HELP, 0)
    told = ", ".join(f"{code} in {count}" for code, count in sorted(found.items()))
    said = [f"Finished trials with a warning (conclus health tells more): {told}."] if found else []
    if unhelped:
        said.append(
            f"In {counted(unhelped, 'trial')} training did not help: the clusters that were found in the input before "
            f"it agree better with the input's neighbours than the trained ones, and are the result ({NO_HELP})."
        )
    return said


def _continued_notes(table: pa.Table) -> list[str]:
    """One sentence with the trials that went on from the states of others, by their epochs."""
    epochs = f"{PARAM}epochs"
    if not {CONTINUED, epochs} <= set(table.column_names):
        return []
    pairs = zip(table[epochs].to_pylist(), table[CONTINUED].to_pylist(), strict=True)
    starts = ((end, (origin or "").rpartition(":")[2]) for end, origin in pairs)
    found = Counter(one for one in starts if one[0] is not None and one[1].isdecimal() and len(one[1]) < 10)
    told = [
        f"{counted(n, 'trial')} of {end:g} epochs from epoch {int(start)}" for (end, start), n in found.most_common(5)
    ]
    if not told:
        return []
    return [f"Continued, so no rivals of the shorter trials that they went on from: {', '.join(told)}."]


def imported(table: pa.Table) -> list[bool]:
    """For each row, whether it comes from a user's own table."""
    if "source" not in table.column_names:
        return [False] * table.num_rows
    return [source == "import" for source in table["source"].to_pylist()]
