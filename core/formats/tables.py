"""Reads files of rows into arrays: Parquet, Feather, Arrow, JSON Lines, Excel workbooks and text files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from core.data.columns import (
    Part,
    Wanted,
    are_whole,
    check_named,
    is_id_name,
    is_label_name,
    label_key,
    listed,
    look_like_index,
)
from core.data.dataset import fault
from core.formats.records import read_records
from core.formats.text_tables import is_missing, is_number, is_written_number, read_text, ungrouped

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# The names that pandas gives to a column of row numbers.
_INDEX = {"", "Unnamed: 0", "__index_level_0__"}
# The start of the reason for a column that holds the names of the samples.
_ID = "id: "
# A column of texts with more values than these is none of labels.
_CLASSES = 50
# In characters.
_LONGEST_ID = 40


def read(file: Path, wanted: Wanted) -> Part:
    """Reads a file that `core.formats.records` opens, or a `.csv` or `.tsv` file.

    Args:
        file: the file, with a row per sample.
        wanted: the options for its columns.

    Returns:
        Samples (n, columns) with missing numbers as nan, and their labels, ids and names.

    Raises:
        UserError: columns are missing, ambiguous or not numeric, or rows have different lengths.
        ValueError, OSError: the file is damaged (pyarrow's errors among them).
    """
    is_text = file.suffix.lower() in {".csv", ".tsv"}
    table, notes = read_text(file, wanted.decimal) if is_text else (read_records(file, wanted.sheet), ())
    names: list[str] = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise fault(file, f"several columns have the name {listed(map(repr, twice))}: rename them")
    check_named(file, wanted, names)
    labelled = label_key(file, [name for name in names if name not in {wanted.id, *wanted.ignore}], wanted.labels)
    if wanted.known:
        chosen, left = _known_columns(file, table, wanted.known, labelled)
    else:
        chosen, left = _feature_columns(file, table, wanted, labelled)
    features, grouped = ungrouped(table.select(chosen), wanted.decimal) if is_text else (table.select(chosen), ())
    if wanted.features is None and not wanted.known and len(chosen) > 1:
        _check_texts(file, features, wanted)
        _check_counting(file, features, chosen)
    columns, samples = _matrix(file, features, wanted)
    ids = wanted.id if wanted.id in names else next((name for name in left if left[name].startswith(_ID)), None)
    return Part(
        file,
        samples,
        None if labelled is None else label_column(file, table, labelled),
        columns,
        left_out=tuple(f"{name or 'a column without a name'} ({why.removeprefix(_ID)})" for name, why in left.items()),
        label_name=labelled or "",
        ids=None if ids is None else ids_of(table[ids]),
        notes=(*notes, *grouped),
    )


def ids_of(column: Any) -> NDArray[Any]:
    """The ids; with missing ones as objects, since whole numbers would become floats."""
    import numpy as np

    return np.asarray(column.to_pylist(), dtype=object) if column.null_count else column.to_numpy()


def _feature_columns(file: Path, table: Any, wanted: Wanted, labelled: str | None) -> tuple[list[str], dict[str, str]]:
    """The columns of the features, and the columns that are left out with the reason."""
    names: list[str] = table.column_names
    left = dict.fromkeys(wanted.ignore, "ignored") | (
        {} if wanted.id is None else {wanted.id: f"{_ID}by the option `id`"}
    )
    if wanted.features is not None:
        return _asked(file, names, wanted.features), left
    index = _pandas_index(table)
    rest = [name for name in names if name != labelled and name not in left]
    lists = [name for name in rest if is_list(table.schema.field(name).type)]
    if len(lists) > 1:
        way = f"name one, `features: {lists[0]}`, or read all with `name: multiview`"
        raise fault(file, f"several columns hold vectors: {listed(lists)}; {way}")
    for name in rest:
        if reason := f"{_ID}pandas' index" if name in index else _no_feature(name, table[name]):
            left[name] = reason
        elif name in wanted.copies:
            left[name] = f"it repeats the labels one to one; `features: [..., {name}]` learns from it"
        elif lists and name not in lists:
            left[name] = f"beside the vectors of {lists[0]}"
    rest = [name for name in rest if name not in left]
    if not rest:
        said = f"; left out: {listed(f'{name} ({why})' for name, why in left.items())}" if left else ""
        raise fault(file, f"no column is left for the samples; its columns are {listed(names)}{said}")
    return lists or rest, left


def _known_columns(
    file: Path, table: Any, known: tuple[str, ...], labelled: str | None
) -> tuple[list[str], dict[str, str]]:
    """The columns that a model was trained on, in its order, and all others."""
    # The numbers of a list `v` are called v[0], v[1], …
    lists = {name.rpartition("[")[0] for name in known if name.endswith("]")}
    wanted = [name for name in table.column_names if name in lists and is_list(table[name].type)] or list(known)
    missing = [repr(name) for name in wanted if name not in table.column_names]
    if missing:
        raise fault(
            file,
            f"columns are missing that the model was trained on: {listed(missing)}; the file has "
            f"{listed(table.column_names)}",
        )
    rest = [name for name in table.column_names if name not in wanted and name != labelled]
    index = _pandas_index(table)
    reasons = {name: f"{_ID}pandas' index" if name in index else _no_feature(name, table[name]) for name in rest}
    return wanted, {name: reason or "not known to the model" for name, reason in reasons.items()}


def _asked(file: Path, names: list[str], features: tuple[str, ...]) -> list[str]:
    wanted = list(features)
    if len(features) == 1 and features[0] not in names:
        wanted = [name.strip() for name in features[0].split(",")]
    unknown = [repr(name) for name in wanted if name not in names]
    if unknown:
        raise fault(file, f"`features` names {listed(unknown)}, but its columns are {listed(names)}")
    return wanted


def _pandas_index(table: Any) -> set[str]:
    """The columns of a Parquet file that pandas wrote for the index of its rows."""
    metadata = (table.schema.metadata or {}).get(b"pandas")
    try:
        found = {} if metadata is None else json.loads(metadata)
        # An index that only counts the rows is a mapping here, not a column.
        return {one for one in found["index_columns"] if isinstance(one, str)} if found else set()
    except (ValueError, KeyError, TypeError):
        return set()


def _no_feature(name: str, column: Any) -> str:
    """Why a column is certainly not a feature; empty if it may be one."""
    if name in _INDEX:
        return f"{_ID}pandas' index"
    if is_label_name(name):
        return f"a label by its name; `labels: {name}` scores by it"
    if is_text(column.type):
        unique = len(column.unique()) == len(column)
        return f"{_ID}unique texts" if unique and is_id_name(name, text=True) else ""
    if is_id_name(name, text=False) and is_real(column.type) and are_whole(column.to_numpy()):
        return f"{_ID}{'unique ' if len(column.unique()) == len(column) else ''}whole numbers"
    return ""


def _check_texts(file: Path, table: Any, wanted: Wanted) -> None:
    """Refuses columns that are no numbers for different reasons in one message, with all options to set."""
    found = {name: _looks_like(table[name]) for name in table.column_names}
    kinds: dict[str, list[str]] = {}
    for name, kind in found.items():
        kinds.setdefault(kind, []).append(name)
    kinds.pop("", None)
    if len(kinds) < 2:
        return
    options, rest = list[str](), kinds.get("texts", [])
    for kind, option, given in (("ids", "id", wanted.id), ("labels", "labels", wanted.labels)):
        names = kinds.get(kind, [])
        options += [f"`{option}: {names[0]}`"] if names and given is None else []
        rest = [*rest, *names[given is None :]]
    options += ['`decimal: ","`'] if "numbers with decimal commas" in kinds else []
    options += [f"`ignore: [{listed(rest)}]`"] if rest else []
    texts = kinds.get("texts", [])
    more = f"; or cluster the texts: `data: {{name: text, text: {texts[0]}}}`" if texts else ""
    said = "; ".join(f"{listed(map(repr, names))} like {kind}" for kind, names in kinds.items())
    raise fault(file, f"some columns are no features as they stand, but look: {said}. Set {', '.join(options)}{more}")


def _looks_like(column: Any) -> str:
    """What a column of texts, or one that counts the rows, seems to be; empty for numbers."""
    if not is_text(column.type):
        return "ids" if is_real(column.type) and look_like_index(column.to_numpy()) else ""
    values = [one for one in column.unique().to_pylist() if one is not None and not is_missing(one)]
    if all(is_written_number(one, ",") for one in values):
        return "numbers with decimal commas"
    if len(values) == len(column):
        return "ids" if max(map(len, values)) <= _LONGEST_ID else "texts"
    return "labels" if len(values) <= min(_CLASSES, len(column) // 2) else "texts"


def _check_counting(file: Path, table: Any, names: list[str]) -> None:
    """Refuses a column of whole numbers that count the rows but whose name does not show it."""
    for name in names:
        if is_real(table[name].type) and look_like_index(table[name].to_numpy()):
            others = [other for other in names if other != name]
            raise fault(
                file,
                f"column {name!r} counts the rows ({table[name][0]}, {table[name][1]}, …): if it is not a feature "
                f"write `ignore: [{name}]` or `id: {name}`, else `features: [{listed([*others, name])}]`",
            )


def is_list(kind: Any) -> bool:
    """Whether a column's type is a list of any kind."""
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_text(kind: Any) -> bool:
    """Whether a column's type is text."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def is_real(kind: Any) -> bool:
    """Whether a column's type is of real numbers, or of nothing at all."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def _matrix(file: Path, table: Any, wanted: Wanted) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The columns of a table as one array (rows, columns), and their names; those of a list are numbered."""
    columns: list[str] = []
    blocks: list[NDArray[Any]] = []
    for name in table.column_names:
        if is_list(table[name].type):
            block = _vectors(file, name, table[name], wanted)
            columns.extend(f"{name}[{i}]" for i in range(block.shape[1]))
        else:
            block = real_numbers(file, name, table[name], wanted)[:, None]
            columns.append(name)
        blocks.append(block)
    return tuple(columns), blocks[0] if len(blocks) == 1 else _side_by_side(blocks)


def _side_by_side(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    """Joins columns as rows and transposes the result: writing column by column would touch all memory each time."""
    import numpy as np

    kind = np.result_type(np.float32, *{block.dtype for block in blocks})
    return np.ascontiguousarray(np.concatenate([block.T for block in blocks], dtype=kind).T)


def real_numbers(file: Path, name: str, column: Any, wanted: Wanted) -> NDArray[Any]:
    """The numbers of a column (n,), missing ones as nan.

    Raises:
        UserError: it is not of numbers.
    """
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not is_real(column.type):
        raise _no_number(file, name, column, wanted)
    if types.is_integer(column.type) or types.is_floating(column.type):
        return column.to_numpy()
    return column.cast(pa.float64()).to_numpy()


def _no_number(file: Path, name: str, column: Any, wanted: Wanted) -> Exception:
    values = [(row, str(value)) for row, value in enumerate(column.to_pylist(), 1) if value is not None]
    strange = [pair for pair in values if not is_number(pair[1]) and not is_missing(pair[1])]
    # In a column like 1.234,5 the fault lies with what is no number in this way of writing either.
    words = [pair for pair in strange if not is_written_number(pair[1], wanted.decimal)]
    bad = next(iter([*words, *strange]), None)
    said = f"row {bad[0]} (counted from 1) is {bad[1][:40]!r}" if bad else f"it is of type {column.type}"
    pointed = next((value for _, value in values if "." in value and is_number(value)), None)
    if bad is None and pointed is not None:
        said, advice = f"it has decimal points, as in {pointed}", 'leave out `decimal: ","`'
    elif bad and is_number(bad[1].replace(",", ".", 1)):
        option = "give `--decimal ,`" if wanted.known is not None else 'set `decimal: ","`'
        advice = f"it has decimal commas: {option}, or save it with decimal points"
    elif wanted.known is not None:
        advice = "mend it: the model was trained on numbers there"
    else:
        names = len(words) == len(column) == len({value for _, value in words})
        advice = (
            (f"write `id: {name}` if it names the samples; else " if names else "")
            + f"correct it, leave it out with `ignore: [{name}]`, name the columns of numbers with `features`, or the "
            f"classes with `labels: {name}`; for texts use `data: {{name: text, text: {name}}}`, for topic models "
            f"`data: {{name: documents, text: {name}}}`"
        )
    return fault(file, f"column {name!r} is not numeric: {said}; {advice}")


def _vectors(file: Path, name: str, column: Any, wanted: Wanted) -> NDArray[Any]:
    from pyarrow import compute

    if not is_real(column.type.value_type):
        raise fault(file, f"column {name!r} holds lists of {column.type.value_type}: they must be of numbers")
    lengths = compute.call_function("list_value_length", [column]).fill_null(0).to_numpy()
    wrong = (lengths != lengths[:1]) | (lengths == 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise fault(
            file,
            f"column {name!r}: the list in row {row + 1} (counted from 1) has {lengths[row]} numbers, but the "
            f"first has {lengths[0]}: all must have the same number, at least 1",
        )
    flat = real_numbers(file, name, compute.call_function("list_flatten", [column]), wanted)
    return flat.reshape(len(column), lengths[0] if len(lengths) else 0)


def label_column(file: Path, table: Any, name: str) -> NDArray[Any]:
    """The labels of a column (n,), as they stand there.

    Raises:
        UserError: they are neither numbers nor texts.
    """
    import pyarrow as pa
    from pyarrow import types

    column = table[name]
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (is_real(column.type) or is_text(column.type)):
        raise fault(file, f"the labels in column {name!r} are of type {column.type}: give whole numbers or names")
    if types.is_boolean(column.type) or types.is_decimal(column.type) or types.is_null(column.type):
        column = column.cast(pa.float64()) if not types.is_boolean(column.type) or column.null_count else column
    return column.to_numpy()
