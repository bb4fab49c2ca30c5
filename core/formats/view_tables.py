"""Reads several views of the same samples from the columns of a table.

A column of lists of numbers, all of one length, is a view, one of lists of lists a view of sequences, and one of texts
that is named a view of texts. A name that is no column stands for all columns of numbers whose names begin with it, as
`audio_` for `audio_pitch` and `audio_energy`. A row without a value, or with a list of nulls alone, lacks the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.data.columns import Wanted, check_named, is_id_name, is_label_name, label_key, listed
from core.data.dataset import damage, fault
from core.errors import DataError
from core.formats.records import SUFFIXES as _RECORDS
from core.formats.records import read_records
from core.formats.tables import ids_of, is_list, is_real, is_text, label_column, real_numbers
from core.formats.text_tables import read_text
from core.formats.views import ViewsOfFile, damaged, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from core.formats.registry import DataFiles

SUFFIXES = (*_RECORDS, ".csv", ".tsv")
# The reason why the column of the samples' names is no view.
_ID = "the names of the samples"


def read(found: DataFiles, wanted: Wanted) -> ViewsOfFile:
    """Reads the views of a table.

    Args:
        found: what lies at the path, with a suffix of `SUFFIXES`.
        wanted: `features` names the views and orders them.

    Raises:
        UserError: the file is damaged, or columns are missing, ambiguous or of another kind.
    """
    file = found.files[0]
    try:
        table, notes = (read_records(file), ()) if found.suffix in _RECORDS else read_text(file, ".")
        return _of_table(file, table, wanted, notes)
    except damage() as error:
        raise damaged(file, error) from error


def _of_table(file: Path, table: Any, wanted: Wanted, notes: tuple[str, ...]) -> ViewsOfFile:
    names: list[str] = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise fault(file, f"several columns have the name {listed(map(repr, twice))}: rename them")
    if wanted.split is not None:
        raise fault(file, "the option `split` does nothing with a table: leave it out")
    check_named(file, wanted, names)
    taken = {wanted.id, *wanted.ignore}
    free = [name for name in names if name not in {*taken, *(wanted.features or ())}]
    labelled = label_key(file, free, wanted.labels)
    rest = [name for name in names if name not in {*taken, labelled}]
    chosen = _chosen(file, table, wanted, rest)
    used = {name for columns in chosen.values() for name in columns}
    left = dict.fromkeys(wanted.ignore, "ignored") | {
        name: _reason(name, table[name]) for name in rest if name not in used
    }
    ids = wanted.id if wanted.id in names else next((name for name, why in left.items() if why == _ID), None)
    return ViewsOfFile(
        file,
        {name: _view(file, name, table, columns) for name, columns in chosen.items()},
        {name: tuple(columns) for name, columns in chosen.items() if columns != [name]},
        None if labelled is None else label_column(file, table, labelled),
        labelled or "",
        ids=None if ids is None else ids_of(table[ids]),
        left_out=tuple(f"{name or 'a column without a name'} ({why})" for name, why in left.items()),
        notes=notes,
    )


def _reason(name: str, column: Any) -> str:
    """Why a column is no view."""
    if is_label_name(name):
        return f"a label by its name; `labels: {name}` scores by it"
    if is_id_name(name, text=is_text(column.type)) and len(column.unique()) == len(column):
        return _ID
    return "texts; name it in `views` to learn from them" if is_text(column.type) else "not named in `views`"


def _chosen(file: Path, table: Any, wanted: Wanted, rest: list[str]) -> dict[str, list[str]]:
    """The columns of each view by its name."""
    if wanted.features is None:
        found = [name for name in rest if is_list(table.schema.field(name).type) and not is_label_name(name)]
        if not found:
            raise fault(file, f"no column of it holds lists of numbers: name its views in `views`, of {listed(rest)}")
        return {name: [name] for name in found}
    plain = [name for name in rest if not is_list(table.schema.field(name).type)]
    chosen: dict[str, list[str]] = {}
    for name in wanted.features:
        columns = [name] if name in rest else [one for one in plain if one.startswith(name)]
        if not columns:
            raise fault(
                file,
                f"`views` names {name!r}, which is neither a column nor the beginning of columns: "
                f"its columns are {listed(rest)}",
            )
        chosen[name if columns == [name] else name.rstrip("_.-: ") or name] = columns
    columns = [column for one in chosen.values() for column in one]
    if len(chosen) < len(wanted.features) or len(columns) > len({*columns}):
        raise fault(file, f"`views: [{listed(wanted.features)}]` takes a column twice: name each view once")
    return chosen


def _view(file: Path, name: str, table: Any, columns: list[str]) -> Any:
    """One view: an array (n, features) or (n, steps, features) with NaN where it is missing, or a list of n texts."""
    import numpy as np
    from pyarrow import types

    if columns == [name]:
        column = table[name].combine_chunks()
        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        if is_text(kind):
            return [text_of(one) for one in column.to_pylist()]
        if is_list(kind):
            return (_sequences if is_list(kind.value_type) else _vectors)(file, name, column)
    found = [real_numbers(file, one, table[one], Wanted()) for one in columns]
    return np.stack([one.astype(np.result_type(one.dtype, np.float32)) for one in found], axis=1)


def _vectors(file: Path, name: str, column: Any) -> NDArray[Any]:
    """A column of lists as an array (n, features); NaN where there is no list."""
    import numpy as np

    there = ~column.is_null().to_numpy(zero_copy_only=False)
    lengths = _lengths(column)
    width = int(lengths[there][0]) if there.any() else 1
    if (bare := there & (lengths == 0)).any():
        place = f"the list in row {int(bare.argmax()) + 1} (counted from 1)"
        raise fault(file, f"column {name!r}: {place} has no numbers: write null where the view is missing")
    if (wrong := there & (lengths != width)).any():
        row = int(wrong.argmax())
        raise fault(
            file,
            f"column {name!r}: the list in row {row + 1} (counted from 1) has {lengths[row]} numbers, but the first "
            f"has {width}: all must have the same number, and be null where the view is missing",
        )
    found = np.full((len(column), width), np.nan, np.float64)
    found[there] = _flat(file, name, column).reshape(-1, width)
    return found


def _sequences(file: Path, name: str, column: Any) -> NDArray[Any]:
    """A column of lists of lists as an array (n, steps, features); NaN after the end of each."""
    import numpy as np
    from pyarrow import compute

    steps = _lengths(column)
    rows: Any = compute.call_function("list_flatten", [column])
    if not len(rows):
        return np.full((len(column), 1, 1), np.nan, np.float32)
    try:
        vectors = _vectors(file, name, rows)
    except DataError as error:
        raise DataError(str(error).replace("the list in row", "the step")) from error
    found = np.full((len(column), int(steps.max()), vectors.shape[1]), np.nan, vectors.dtype)
    found[np.arange(found.shape[1]) < steps[:, None]] = vectors
    return found


def _lengths(column: Any) -> NDArray[Any]:
    """How many values each list has; 0 of one that is missing."""
    from pyarrow import compute

    return compute.call_function("list_value_length", [column]).fill_null(0).to_numpy()


def _flat(file: Path, name: str, column: Any) -> NDArray[Any]:
    """The numbers of all lists, one after the other; NaN where a list lacks one."""
    import pyarrow as pa
    from pyarrow import compute

    if not is_real(column.type.value_type):
        raise fault(file, f"column {name!r} holds lists of {column.type.value_type}: they must be of numbers")
    numbers: Any = compute.call_function("list_flatten", [column])
    return real_numbers(file, name, pa.chunked_array([numbers]), Wanted())
