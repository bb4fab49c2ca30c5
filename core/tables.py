"""From a Parquet or text file to arrays, and which key or column holds the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.data import fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

_LABELS = {"y", "label", "labels", "target", "targets"}
# What pandas calls the row numbers it writes along.
_INDEX = {"", "Unnamed: 0", "__index_level_0__"}
_MISSING = {"", "na", "n/a", "#n/a", "null", "none"}


def label_key(file: Path, keys: Collection[str], labels: str | None) -> str | None:
    """The key or column that holds the labels: the one asked for, or the only one with a usual name.

    Returns:
        None where there are none, or `labels` is "none" and no key is called so.

    Raises:
        UserError: there is no such key, or several have usual names.
    """
    if labels is None:
        found = [key for key in keys if key.lower() in _LABELS]
        if len(found) > 1:
            raise fault(file, f"several could be the labels: {listed(found)}; name one: `labels: {found[0]}`")
        return found[0] if found else None
    if labels in keys:
        return labels
    if labels == "none":
        return None
    raise fault(file, f"the option `labels: {labels}` names none of its keys or columns: {listed(keys)}")


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first 20, and how many there are."""
    every = list(names)
    return ", ".join(every[:20]) + (f", … ({len(every)} in all)" if len(every) > 20 else "")


def read_table(
    file: Path, features: str | None, labels: str | None
) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[str, ...]]:
    """Reads a `.parquet`, `.csv` or `.tsv` file.

    Args:
        file: a row per sample.
        features: the column of the samples, or several with commas between; None as in `core.datasets.file`.
        labels: the column of the labels, "none", or None for the usual names.

    Returns:
        Samples (n, columns), missing numbers as nan; labels (n,) or None; names of the columns, (columns,).

    Raises:
        UserError: columns are missing, ambiguous or not numeric, or rows are of different length.
        ValueError, OSError: the file is damaged (pyarrow's errors among them).
    """
    table: Any = _parquet(file) if file.suffix.lower() == ".parquet" else _text(file)
    names: list[str] = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise fault(file, f"several columns are called {listed(map(repr, twice))}: rename them")
    labelled = label_key(file, names, labels)
    columns, samples = _matrix(file, table.select(_feature_columns(file, table, features, labelled)))
    return samples, None if labelled is None else _label_column(file, table, labelled), columns


def _parquet(file: Path) -> Any:
    from pyarrow import parquet

    # Not `read_table`, which takes `key=value` in the names of folders for columns.
    with parquet.ParquetFile(file) as source:
        return source.read()


def _text(file: Path) -> Any:
    from pyarrow import ArrowInvalid, csv

    first, second, delimiter = _first_lines(file)
    header = _is_header(first, second)
    try:
        table = csv.read_csv(
            file,
            read_options=csv.ReadOptions(autogenerate_column_names=not header),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        )
    except ArrowInvalid:
        _check_widths(file, delimiter, len(first))
        raise
    return table.rename_columns([name.strip() for name in table.column_names])


def _first_lines(file: Path) -> tuple[list[str], list[str], str]:
    import csv

    with file.open(encoding="utf-8-sig", newline="") as stream:
        start = stream.readline()
        stream.seek(0)
        delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=start.count)
        rows = (row for row in csv.reader(stream, delimiter=delimiter) if row)
        first, second = next(rows, []), next(rows, [])
    if not first:
        raise fault(file, "it is empty: there must be one line per sample")
    return first, second, delimiter


def _is_header(first: list[str], second: list[str]) -> bool:
    """Whether the first line names columns: by text alone, by text over a number, or by counting them."""
    numbers = [float(field) for field in first if _is_number(field)]
    texts = {field.strip() for field in first if not _is_number(field) and not _is_missing(field)}
    over = any(up.strip() in texts and _is_number(down) for up, down in zip(first, second, strict=False))
    if texts and (not numbers or over or any(text.lower() in _LABELS for text in texts)):
        return True
    count = len(numbers)
    counting = numbers in ([float(i) for i in range(count)], [float(i + 1) for i in range(count)])
    # A few small numbers may be a sample; with pandas' empty name of the index before them they are not.
    return counting and count > (0 if first[0] == "" else 7)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _is_missing(field: str) -> bool:
    return field.strip().lower() in _MISSING


def _check_widths(file: Path, delimiter: str, width: int) -> None:
    import csv

    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        for row in reader:
            if row and len(row) != width:
                line = f"line {reader.line_num} has {len(row)} fields, the first has {width}"
                raise fault(file, f"{line}: all lines must have the same number")


def _feature_columns(file: Path, table: Any, features: str | None, labelled: str | None) -> list[str]:
    names: list[str] = table.column_names
    if features is not None:
        wanted = [features] if features in names else [name.strip() for name in features.split(",")]
        unknown = [repr(name) for name in wanted if name not in names]
        if unknown:
            raise fault(file, f"`features` names {listed(unknown)}, its columns are {listed(names)}")
        return wanted
    rest = [name for name in names if name != labelled and name not in _INDEX]
    lists = [name for name in rest if _is_list(table.schema.field(name).type)]
    if len(lists) > 1:
        raise fault(file, f"several columns hold vectors: {listed(lists)}; name one: `features: {lists[0]}`")
    if not rest:
        raise fault(file, f"no column of it is left for samples, its columns are {listed(names)}")
    return lists or rest


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_real(kind: Any) -> bool:
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def _matrix(file: Path, table: Any) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The table's columns side by side: their names, those of a list numbered, and (rows, columns)."""
    columns: list[str] = []
    blocks: list[NDArray[Any]] = []
    for name in table.column_names:
        if _is_list(table[name].type):
            block = _vectors(file, name, table[name])
            columns.extend(f"{name}[{i}]" for i in range(block.shape[1]))
        else:
            block = _numbers(file, name, table[name])[:, None]
            columns.append(name)
        blocks.append(block)
    return tuple(columns), blocks[0] if len(blocks) == 1 else _side_by_side(blocks)


def _side_by_side(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    """Joins columns as rows and turns the result: one by one each would touch all of the memory."""
    import numpy as np

    kind = np.result_type(np.float32, *{block.dtype for block in blocks})
    return np.ascontiguousarray(np.concatenate([block.T for block in blocks], dtype=kind).T)


def _numbers(file: Path, name: str, column: Any) -> NDArray[Any]:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _is_real(column.type):
        raise _no_number(file, name, column)
    if types.is_integer(column.type) or types.is_floating(column.type):
        return column.to_numpy()
    return column.cast(pa.float64()).to_numpy()


def _no_number(file: Path, name: str, column: Any) -> Exception:
    values = ((row, str(value)) for row, value in enumerate(column.to_pylist(), 1) if value is not None)
    bad = next((pair for pair in values if not _is_number(pair[1]) and not _is_missing(pair[1])), None)
    said = f"row {bad[0]} (counted from 1) is {bad[1][:40]!r}" if bad else f"it is of type {column.type}"
    return fault(
        file,
        f"column {name!r} is not numeric: {said}; mend it, name the columns of numbers with `features` or "
        f"the classes with `labels: {name}`, or make vectors of texts by `conclus embed`",
    )


def _vectors(file: Path, name: str, column: Any) -> NDArray[Any]:
    from pyarrow import compute

    if not _is_real(column.type.value_type):
        raise fault(file, f"column {name!r} holds lists of {column.type.value_type}: they must be of numbers")
    lengths = compute.call_function("list_value_length", [column]).fill_null(0).to_numpy()
    wrong = (lengths != lengths[:1]) | (lengths == 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise fault(
            file,
            f"column {name!r}: the list in row {row + 1} (counted from 1) has {lengths[row]} numbers, the "
            f"first has {lengths[0]}: all must have the same number, at least 1",
        )
    flat = _numbers(file, name, compute.call_function("list_flatten", [column]))
    return flat.reshape(len(column), lengths[0] if len(lengths) else 0)


def _label_column(file: Path, table: Any, name: str) -> NDArray[Any]:
    from pyarrow import types

    column = table[name]
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (_is_real(column.type) or types.is_string(column.type) or types.is_large_string(column.type)):
        raise fault(file, f"the labels in column {name!r} are of type {column.type}: give whole numbers or names")
    if column.null_count:
        row = column.is_null().to_pylist().index(True) + 1
        raise fault(
            file,
            f"the label of row {row} (counted from 1) in column {name!r} is missing, "
            f"{column.null_count} such in all: drop these rows, or go without labels by `labels: none`",
        )
    return column.to_numpy() if not types.is_decimal(column.type) else _numbers(file, name, column)
