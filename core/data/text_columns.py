"""A file's column of texts, and its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.columns import is_label_name, label_key, listed
from core.data.dataset import damage, fault, user_path
from core.data.records import SUFFIXES, read_records
from core.data.text_tables import head_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SUFFIXES = (*SUFFIXES, ".csv", ".tsv")


@dataclass(frozen=True, eq=False)
class Texts:
    """What was read from a file of texts.

    Attributes:
        texts: one a row, none of them empty.
        labels: (n,) as they stand in the file; None where there are none.
        label_name: the column of the labels.
        left_out: the other columns, each with the reason.
        notes: what else was decided while reading, in sentences.
    """

    texts: list[str]
    labels: NDArray[Any] | None
    label_name: str
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def texts_file(path: str) -> Path:
    """The file at a path that a user wrote.

    Raises:
        UserError: it is no file of a known format.
    """
    file = user_path(path)
    if file.suffix.lower() not in _SUFFIXES or not file.is_file():
        raise fault(path, f"it is not a file of texts: known formats are {', '.join(_SUFFIXES)}")
    return file


def read_texts(file: Path, text: str, labels: str | None) -> Texts:
    """Reads a column of texts and that of the labels.

    Args:
        file: of rows, as `texts_file` takes it, with names of columns.
        text: the column of the texts.
        labels: as for `core.data.columns.label_key`.

    Raises:
        UserError: the file is damaged, a column is not there or not of texts, a text is missing.
    """
    table, notes = _table(file, text)
    names: list[str] = table.column_names
    if names.count(text) != 1:
        raise fault(file, f"`text: {text}` must name one of its columns: {listed(names)}")
    found = label_key(file, [name for name in names if name != text], labels)
    others = [name for name in names if name not in {text, found}]
    return Texts(
        _texts(file, table[text]),
        None if found is None else _labels(table[found]),
        found or "",
        tuple(f"{name or 'a column without a name'} ({_reason(name)})" for name in others),
        notes,
    )


def _reason(name: str) -> str:
    return f"a label by its name; `labels: {name}` scores by it" if is_label_name(name) else "beside the texts"


def _table(file: Path, text: str) -> tuple[Any, tuple[str, ...]]:
    from pyarrow import csv, string

    try:
        if file.suffix.lower() in SUFFIXES:
            return read_records(file), ()
        head = head_of(file, ".")
        options = {**head.options(), "read_options": csv.ReadOptions(encoding=head.encoding)}
        options["convert_options"] = csv.ConvertOptions(column_types={text: string()}, strings_can_be_null=False)
        return csv.read_csv(file, **options), head.notes
    except damage() as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(file, f"it cannot be read ({reason}): it may be cut short, or of another format") from error


def _texts(file: Path, column: Any) -> list[str]:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if str(kind) not in {"string", "large_string", "string_view"}:
        raise fault(file, f"the column of the texts is of type {column.type}: name a column of texts with `text`")
    texts: list[str | None] = column.to_pylist()
    empty = [row for row, one in enumerate(texts, 1) if one is None or not one.strip()]
    if empty:
        raise fault(
            file, f"the text of row {empty[0]} (counted from 1) is missing, {len(empty)} in all: drop such rows"
        )
    if len(texts) < 2:
        raise fault(file, f"it holds {len(texts)} texts, but clustering needs at least 2")
    return [one for one in texts if one is not None]


def _labels(column: Any) -> NDArray[Any]:
    import numpy as np

    values = column.to_pylist()
    if column.null_count and not any(isinstance(one, str) for one in values):
        values = [math.nan if one is None else one for one in values]
    return np.asarray(values, dtype=object) if any(isinstance(one, str) for one in values) else np.asarray(values)
