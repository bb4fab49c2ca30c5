"""Columns that repeat a table's labels under another name: to learn from one is to be told the answer."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from core.data.columns import is_class_alone, is_id_name, is_label_name, is_later_label_name, label_key
from core.data.dataset import UNLABELLED, content_hash, damage
from core.data.labels import WORDS
from core.errors import UserError
from core.formats.records import SUFFIXES, read_records
from core.formats.text_tables import head_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from core.data.columns import Wanted

    Pairs = set[tuple[str, str]]

# Of fewer rows, a column may well go with the labels by chance.
_FEW = 20
# So many rows are looked at first: nearly every column is then known to be no copy.
_GLANCE = 64


class _Opened(NamedTuple):
    """A file's columns or arrays, and how to read some of them in blocks; `tells` where each may be a feature."""

    names: list[str]
    blocks: Callable[[list[str]], Iterator[Any]]
    tells: bool = True


def label_copies(files: Sequence[Path], wanted: Wanted) -> tuple[str, ...]:
    """The columns of which each value goes with one class and each class with one value, in all files together.

    Rows whose label or value says that it is none are passed over.

    Args:
        files: of one format, with the same columns.
        wanted: which columns are what.

    Returns:
        Names in the order of the columns; none of columns with a label's or an id's name, which are left out anyway,
        none where the features are named or are lists, and none of damaged files, of which reading says more.

    Raises:
        UserError: a file cannot be read.
    """
    return _found(tuple((file, content_hash(file)) for file in files), wanted)


def changed_reading(files: Sequence[Path], wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """What fingerprints need of files that are read otherwise than by earlier versions; empty for all others.

    It names the columns that no longer are features by their name or as copies of the labels, and `class` where it has
    become the labels.

    Raises:
        UserError: as `label_copies`.
    """
    if not files:
        return {}
    copies = label_copies(files, wanted)
    try:
        opened = _opened(files[0], wanted)
        labelled = _labelled(files[0], opened, wanted)
    except (UserError, *damage()):
        return {}
    named = {labelled, wanted.id, *wanted.ignore}
    counted = opened.tells and wanted.features is None
    later = [name for name in opened.names if counted and name not in named and is_later_label_name(name)]
    alone = [labelled] if labelled and wanted.labels is None and is_class_alone(labelled) else []
    found = (*alone, *later, *copies)
    return {"read_as_labels": found} if found else {}


@lru_cache(maxsize=16)
def _found(files: tuple[tuple[Path, str], ...], wanted: Wanted) -> tuple[str, ...]:
    """Once for each content: both the fingerprint and the reading need it."""
    try:
        return _copies([file for file, _ in files], wanted)
    except (UserError, *damage()):
        return ()


def _copies(files: Sequence[Path], wanted: Wanted) -> tuple[str, ...]:
    """Reads the files in blocks, no further than until no column can be a copy: most often the first block."""
    found: dict[str, Pairs] | None = None
    rows = 0
    for file in files:
        opened = _opened(file, wanted)
        labelled = _labelled(file, opened, wanted)
        if labelled is None or not opened.tells or wanted.features is not None:
            return ()
        if found is None:
            others = (name for name in opened.names if name not in {labelled, wanted.id, *wanted.ignore})
            found = {name: set() for name in others if not is_label_name(name) and not is_id_name(name, text=False)}
        for block in opened.blocks([labelled, *found]):
            rows += len(block)
            _drop_others(found, block, labelled, wanted)
            if not found:
                return ()
    return tuple(name for name, pairs in (found or {}).items() if _is_copy(pairs, rows, wanted))


def repeats(values: NDArray[Any], labels: NDArray[Any]) -> bool:
    """Whether each value (n,) goes with one class of the labels (n,) and each class with one value, where labelled."""
    import numpy as np

    known = labels != UNLABELLED
    pairs = set(zip(values[known].tolist(), labels[known].tolist(), strict=True))
    return _one_to_one(pairs) and len(pairs) > 1 and int(np.count_nonzero(known)) >= _FEW


def _labelled(file: Path, opened: _Opened, wanted: Wanted) -> str | None:
    names = [name for name in opened.names if name not in {wanted.id, *wanted.ignore}]
    return label_key(file, names, wanted.labels)


def _opened(file: Path, wanted: Wanted) -> _Opened:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _parquet(file)
    if suffix in {".csv", ".tsv"}:
        return _text(file, wanted.decimal)
    if suffix in SUFFIXES:
        return _whole(read_records(file, wanted.sheet))
    names: list[str] = []
    if suffix == ".npz":
        import zipfile

        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    return _Opened(names, lambda _: iter(()), tells=False)


def _parquet(file: Path) -> _Opened:
    from pyarrow import parquet

    def blocks(names: list[str]) -> Iterator[Any]:
        with parquet.ParquetFile(file) as source:
            yield from source.iter_batches(columns=names)

    return _columns(parquet.read_schema(file), blocks)


def _whole(table: Any) -> _Opened:
    """A table that was read at once, as its format has no other way or is seldom of large files."""
    return _columns(table.schema, lambda names: iter(table.select(names).to_batches()))


def _columns(schema: Any, blocks: Callable[[list[str]], Iterator[Any]]) -> _Opened:
    from pyarrow import types

    def is_list(kind: Any) -> bool:
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    def is_plain(kind: Any) -> bool:
        tests = (types.is_primitive, types.is_decimal, types.is_string, types.is_large_string, types.is_dictionary)
        return any(test(kind) for test in tests)

    names = [field.name for field in schema if is_plain(field.type)]
    return _Opened(names, blocks, tells=not any(is_list(field.type) for field in schema))


def _text(file: Path, decimal: str) -> _Opened:
    import pyarrow as pa
    from pyarrow import csv

    head = head_of(file, decimal)
    as_written = {name.strip(): name for name in head.columns}

    def blocks(names: list[str]) -> Iterator[Any]:
        chosen = [as_written[name] for name in names]
        converting = {"column_types": dict.fromkeys(chosen, pa.string()), "include_columns": chosen}
        for block in csv.open_csv(file, **head.options(**converting)):
            yield block.rename_columns(names)

    return _Opened(list(as_written), blocks)


def _drop_others(found: dict[str, Pairs], block: Any, labelled: str, wanted: Wanted) -> None:
    """Notes which values go with which labels in a block, and drops the columns that cannot be copies any more."""
    for name in list(found):
        for part in (block.slice(0, _GLANCE), block):
            found[name] |= _pairs(part, name, labelled)
            if not _one_to_one(_said(found[name], wanted)):
                del found[name]
                break


def _pairs(block: Any, name: str, labelled: str) -> Pairs:
    """The pairs of value and label that occur, as texts."""
    import pyarrow as pa
    from pyarrow import types

    columns: list[Any] = []
    for column in (block.column(name), block.column(labelled)):
        plain = column.cast(column.type.value_type) if types.is_dictionary(column.type) else column
        columns.append(plain.cast(pa.string()).fill_null(""))
    distinct: Any = pa.table(columns, ["value", "label"]).group_by(["value", "label"]).aggregate([])
    texts = ([text.strip() for text in distinct[name].to_pylist()] for name in ("value", "label"))
    return set(zip(*texts, strict=True))


def _said(pairs: Pairs, wanted: Wanted) -> Pairs:
    """The pairs of which neither side says that there is no label."""
    none = {*WORDS, "", *(str(one).strip().lower() for one in wanted.unlabelled or ())}
    return {pair for pair in pairs if none.isdisjoint(text.lower().removesuffix(".0") for text in pair)}


def _one_to_one(pairs: set[tuple[Any, Any]]) -> bool:
    return len(pairs) == len({value for value, _ in pairs}) == len({label for _, label in pairs})


def _is_copy(pairs: Pairs, rows: int, wanted: Wanted) -> bool:
    said = _said(pairs, wanted)
    if len(said) < 2:
        # -1 may be one of two classes.
        said = pairs if _one_to_one(pairs) else said
    return rows >= _FEW and 2 <= len(said) <= rows / 2
