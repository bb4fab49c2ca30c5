"""Reads a ready bag of words from an `.npz` file: the counts as the parts of a matrix by rows, and the words.

`data`, `indices`, `indptr` and `shape` are those of scipy's `csr_matrix`, `vocab` are the names of its columns. `split`
may say which documents are for training, and labels may be there as in any other file of arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.columns import check_texts, label_key, listed
from core.data.dataset import damage, fault
from core.errors import counted
from core.formats.arrays import contents
from core.formats.named_arrays import class_names

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from core.formats.named_arrays import NamedArrays

_PARTS = ("data", "indices", "indptr", "shape", "vocab")
# Counts hardly become smaller than a hundredth when they are packed; a file of zeros becomes a thousandth.
_PACKED, _FREE = 100, 1 << 20
# Counts are held as int32.
_MOST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Bag:
    """What was read from a file.

    Attributes:
        counts: (n, V) in CSR of int32, all above 0, indices sorted and different.
        words: (V,) different texts.
        labels: (n,) as they stand in the file; None where there are none.
        label_name: the array of the labels.
        class_names: the file's names of class 0, 1, ….
        split: (n,) the part of each document, as it stands in the file; None where it says nothing of it.
        notes: what was decided while reading, in sentences.
    """

    counts: Any
    words: tuple[str, ...]
    labels: NDArray[Any] | None
    label_name: str
    class_names: tuple[str, ...]
    split: NDArray[Any] | None
    notes: tuple[str, ...] = ()


def read_bag(file: Path, labels: str | None, split: str | None) -> Bag:
    """Reads a bag of words; nothing of it is trusted.

    Args:
        file: an `.npz` file.
        labels: the array of the labels, as for `core.data.columns.label_key`.
        split: the array of the parts, `none` for none; None for `split` where it is there.

    Raises:
        UserError: the file is damaged, an array is missing, or is not of the right form.
    """
    try:
        with contents(file) as held:
            return _read(held, labels, split)
    except damage() as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(file, f"it cannot be read as .npz ({reason}): it may be cut short, or of another format") from error


def _read(held: NamedArrays, labels: str | None, split: str | None) -> Bag:
    file = held.file
    if missing := [name for name in _PARTS if name not in held.heads]:
        what = "a bag of words holds the arrays data, indices, indptr, shape (of scipy's csr_matrix) and vocab"
        raise fault(file, f"it lacks {listed(missing)}: {what}")
    _check_size(held)
    counts, notes = _counts(held)
    key = label_key(file, [one for one in held.heads if one not in {*_PARTS, "format", "split"}], labels)
    part = ("split" if "split" in held.heads else None) if split is None else split
    if part not in {None, "none", *held.heads}:
        raise fault(file, f"`split_by: {part}` names none of its arrays: {listed(held.heads)}")
    return Bag(
        counts,
        _words(held, counts.shape[1]),
        None if key is None else _of_documents(held, key, counts.shape[0]),
        key or "",
        class_names(held),
        None if part in {None, "none"} else _of_documents(held, str(part), counts.shape[0]),
        notes,
    )


def _check_size(held: NamedArrays) -> None:
    """Refuses a small file that would fill the memory, by the sizes that it tells of its arrays."""
    told = sum(math.prod(one.shape) * one.dtype.itemsize for one in held.heads.values())
    size = held.file.stat().st_size
    if told > _PACKED * size + _FREE:
        said = f"its {size:,} bytes would become {told:,} bytes of arrays: no counts can be packed so tightly"
        raise fault(held.file, f"{said}; write it again with numpy's `savez_compressed`")


def _counts(held: NamedArrays) -> tuple[Any, tuple[str, ...]]:
    """The checked counts, and what was done to them."""
    import numpy as np
    from scipy import sparse

    file = held.file
    data, indices, indptr, shape = (_flat(held, name) for name in _PARTS[:4])
    if shape.dtype.kind not in "iu" or len(shape) != 2 or not all(1 <= one <= _MOST for one in shape.tolist()):
        raise fault(file, f"`shape` is {shape.tolist()[:4]}, but it must be the numbers of documents and words")
    n, size = shape.tolist()
    for name, one in (("indices", indices), ("indptr", indptr)):
        if one.dtype.kind not in "iu":
            raise fault(file, f"`{name}` is of type {one.dtype}, but it must be of whole numbers")
    if len(indptr) != n + 1 or len(indices) != len(data):
        said = f"`indptr` has {len(indptr):,} numbers, `indices` {len(indices):,} and `data` {len(data):,}"
        raise fault(file, f"{said}: for {counted(n, 'document')} it must be {n + 1:,} and twice the same number")
    ends = indptr.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(data) or (np.diff(ends) < 0).any():
        raise fault(file, f"`indptr` must rise from 0 to the {len(data):,} numbers of `data`")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        wrong = indices[(indices < 0) | (indices >= size)][0]
        raise fault(file, f"`indices` holds {wrong}, but the places of {size:,} words are 0 to {size - 1:,}")
    _check_whole(file, data)
    parts = (data.astype(np.int64), indices.astype(np.int32), ends)
    counts: Any = sparse.csr_matrix(parts, shape=(n, size))
    before = counts.nnz
    counts.sum_duplicates()
    twice = before - counts.nnz
    if counts.nnz and int(counts.data.max()) > _MOST:
        raise fault(file, f"`data`: the count {int(counts.data.max()):,} is too large for 32 bits")
    counts.eliminate_zeros()
    notes = (f"{counted(twice, 'count')} of a word that its document had already, added up",) if twice else ()
    return counts.astype(np.int32), notes


def _check_whole(file: Path, data: NDArray[Any]) -> None:
    import numpy as np

    if data.dtype.kind not in "biuf":
        raise fault(file, f"`data` is of type {data.dtype}, but it must be of counts")
    if data.dtype == np.float16:  # It has no number as large as _MOST.
        data = data.astype(np.float32)
    wrong = ~((data >= 0) & (data <= _MOST)) if data.dtype.kind != "b" else np.zeros(0, np.bool_)
    if data.dtype.kind == "f":
        wrong |= ~np.isfinite(data) | (data != np.floor(data))
    if wrong.any():
        place = int(np.argmax(wrong))
        said = f"number {place + 1:,} of `data` is {data[place]}, but it must be how often a word occurs, 0 or more"
        raise fault(file, f"{said}: weights such as TF-IDF are made from the counts here")


def _words(held: NamedArrays, size: int) -> tuple[str, ...]:
    import numpy as np

    if held.heads["vocab"].dtype.hasobject:
        what = "`vocab` holds pickled Python objects, which are never opened: save `np.asarray(vocab, dtype=str)`"
        raise fault(held.file, what)
    found = _flat(held, "vocab")
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    if found.dtype.kind != "U":
        raise fault(held.file, f"`vocab` is of type {found.dtype}, but it must be of texts, the words")
    if len(found) != size:
        raise fault(held.file, f"`vocab` has {counted(len(found), 'word')} for the {size:,} columns of the counts")
    words = tuple(found.tolist())
    check_texts(words, held.file, lambda number: f"word {number:,} of `vocab`")
    if "" in words:
        raise fault(held.file, f"word {words.index('') + 1:,} of `vocab` is empty: give each column a name")
    if len(set(words)) < size:
        seen = set[str]()
        twice = next(one for one in words if one in seen or seen.add(one))
        raise fault(held.file, f"`vocab` holds {twice!r} twice: add up the counts of equal words")
    return words


def _flat(held: NamedArrays, name: str) -> NDArray[Any]:
    if len(held.heads[name].shape) != 1:
        raise fault(held.file, f"`{name}` has the shape {held.heads[name].shape}, but it must have one axis")
    return held.read(name)


def _of_documents(held: NamedArrays, name: str, n: int) -> NDArray[Any]:
    if held.heads[name].shape not in {(n,), (n, 1)}:
        raise fault(held.file, f"`{name}` has the shape {held.heads[name].shape}, but it must be ({n},)")
    return held.read(name).reshape(-1)
