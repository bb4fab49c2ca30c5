"""Checks that rows of results are as conclus writes them: anybody may have written a file."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from jobs.results.header import STATUSES
from jobs.results.names import METRICS
from jobs.results.schema import (
    FIXED,
    HISTORY,
    IDENTITY,
    LARGEST,
    LONGEST,
    LONGEST_WORD,
    MOST_GPUS,
    MOST_OF_TOPICS,
    MOST_TOPICS,
    YEARS,
)


def misfit(table: pa.Table) -> str:
    """The first mistake in a table's columns, in a few words; empty if conclus could have written it.

    This is the only check of types and ranges, so readers can use the values without further checks.
    `jobs.results.schema.to_table` writes nothing that is refused here.
    """
    if why := misfit_of_types(table.schema):
        return why
    for name in IDENTITY:
        if table[name].null_count:
            return f"{name} lacks values"
    try:
        table.validate(full=True)  # Finds invalid text here, before it is printed.
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0]
    return next((f"{name} {why}" for name in table.column_names if (why := _beyond(name, table[name]))), "")


def misfit_of_types(columns: pa.Schema) -> str:
    """What of the columns' names and types is not as conclus writes them, as `misfit` does."""
    names: set[str] = set()
    for column in columns:
        if column.name in names:
            return f"it has {column.name} twice"
        if not _fits(column.type, _wanted(column.name)):
            return f"{column.name} is {column.type}"
        names.add(column.name)
    return ""


def _wanted(name: str) -> pa.DataType | None:
    if name == "history":
        return HISTORY
    if name.startswith(METRICS):
        return pa.float64()
    return FIXED.field(name).type if name in FIXED.names else None


def _fits(found: pa.DataType, wanted: pa.DataType | None) -> bool:
    """Whether a column of one type fits the other: equal types, numbers of another width, or only nulls."""
    kinds = (pa.types.is_signed_integer, pa.types.is_floating)
    if wanted is None:
        return any(is_kind(found) for is_kind in (*kinds, pa.types.is_boolean, pa.types.is_string, pa.types.is_null))
    if found == wanted or pa.types.is_null(found):
        return True
    return any(is_kind(found) and is_kind(wanted) for is_kind in kinds)


def _beyond(name: str, column: pa.ChunkedArray) -> str:
    """In what way a column's values are out of range, in a few words; empty where they are not."""
    kind = column.type
    if pa.types.is_null(kind):
        return ""
    if name in _RANGES:
        is_within, why = _RANGES[name]
        return "" if is_within(column) else why
    if pa.types.is_list(kind):
        if name == "cluster_sizes" and not _within(_call("list_flatten", column), 0, LARGEST):
            return "has a size below 0"
        return _beyond_in_lists(column) or (_beyond_of_topics(name, column) if name in MOST_OF_TOPICS else "")
    if pa.types.is_floating(kind):
        return _beyond_numbers(name, column)
    is_short = _wanted(name) == pa.int32()
    return "is beyond 32 bits" if is_short and not _within(column, -(2**31), 2**31 - 1) else ""


def _is_status(column: pa.ChunkedArray) -> bool:
    return set(column.to_pylist()) <= set(STATUSES)


def _is_moment(column: pa.ChunkedArray) -> bool:
    first, last = (int(year.timestamp() * 1e6) for year in YEARS)
    return _within(column.cast(pa.int64()), first, last - 1)


def _is_length(column: pa.ChunkedArray) -> bool:
    return _all_finite(column) and _within(column, 0, LONGEST)


def _is_share(column: pa.ChunkedArray) -> bool:
    return _all_finite(column) and _within(column, 0, MOST_GPUS)


_RANGES: dict[str, tuple[Callable[[pa.ChunkedArray], bool], str]] = {
    "status": (_is_status, "is none that conclus knows"),
    "started": (_is_moment, "is before 1970 or after 2261"),
    "seconds": (_is_length, "is no length of time"),
    "own_seconds": (_is_length, "is no length of time"),
    "gpu": (_is_share, "is no number of GPUs"),
}


def _beyond_numbers(name: str, column: pa.ChunkedArray) -> str:
    """A score may be infinite or NaN, as training may come to be; a parameter or anything else may not."""
    if not name.startswith(METRICS) and not _all_finite(column):
        return "is not finite"
    return "" if _is_summable(column) else f"is beyond {LARGEST:g}"


def _beyond_in_lists(column: pa.ChunkedArray) -> str:
    inner = _call("list_flatten", column)
    leaves = inner.flatten() if pa.types.is_struct(inner.type) else [inner]
    if inner.null_count or any(leaf.null_count for leaf in leaves):
        return "lacks values"
    are_summable = all(_is_summable(leaf) for leaf in leaves if pa.types.is_floating(leaf.type))
    return "" if are_summable else f"is beyond {LARGEST:g}"


def _beyond_of_topics(name: str, column: pa.ChunkedArray) -> str:
    most = MOST_OF_TOPICS[name]
    if not _within(_call("list_value_length", column), 0, most):
        return f"has more than {most:,} values"
    inner = _call("list_flatten", column)
    if not pa.types.is_struct(inner.type):
        return ""
    numbers, texts = inner.flatten()[:2]
    if not _within(numbers, 0, MOST_TOPICS - 1):
        return f"has a topic that is none of {MOST_TOPICS:,}"
    is_short = _within(_call("utf8_length", texts), 0, LONGEST_WORD)
    return "" if is_short else f"has a text of more than {LONGEST_WORD:,} characters"


def _is_summable(column: pa.ChunkedArray) -> bool:
    """Whether all that is finite is within `LARGEST`."""
    if _within(column, -LARGEST, LARGEST):  # Mostly so: NaN counts as nothing here, and infinity does not.
        return True
    finite = column.filter(_call("is_finite", column))
    return _within(finite, -LARGEST, LARGEST)


def _all_finite(column: pa.ChunkedArray) -> bool:
    return _call("all", _call("is_finite", column)).as_py() is not False


def _within(column: pa.ChunkedArray, low: float, high: float) -> bool:
    found = _call("min_max", column).as_py()
    return found["min"] is None or (low <= found["min"] and found["max"] <= high)


def _call(function: str, column: Any) -> Any:
    import pyarrow.compute as pc

    return pc.call_function(function, [column])
