"""Reads `.mat` files of MATLAB: versions 4 to 7.2 by scipy, and 7.3, which is HDF5.

`fea` and `gnd`, or `X` and `y`, are found by the rules of `core.formats.arrays`. Fields of a struct have names such as
`data/X`, cells have `X{1}`, `X{2}`. A vector is a row or a column. Functions and objects are passed over.

Source: MathWorks, MAT-File Format; of 7.3 there is none, and what is read was seen in its files (`MATLAB_class`).
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.data.columns import Part, Wanted
from core.data.stored import FEW, Rows, is_sparse
from core.formats.arrays import part_of
from core.formats.hdf5 import checked, child, is_hdf5, members, opened
from core.formats.named_arrays import ArrayHead, NamedArrays

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    # What is known of an array, and how to read it.
    Entry = tuple[ArrayHead, Callable[[], Any]]

# What the data sets of this field call labels, beside the usual names.
_LABELS = frozenset({"gnd", "gt", "truth", "truelabel", "truelabels", "true_label", "true_labels", "cls"})
_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
# The format of version 5: the bytes before the first element, and the numbers of types and classes.
_HEAD = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, _MATRIX, _COMPRESSED, 16, 17, 18}
_CLASSES = range(1, 19)
_DEEPEST = 32
# A cell with more members than this holds no views.
_MANY = 64
# A struct in a struct in a cell; deeper ones hold no samples, and references of 7.3 may go in a circle.
_DEEP = 3


def read(file: Path, wanted: Wanted) -> Part:
    """Reads a `.mat` file.

    Raises:
        UserError: arrays are missing or ambiguous.
        ValueError, OSError, RuntimeError: the file is damaged.
    """
    with contents(file) as held:
        return _digits(held, wanted)


@contextlib.contextmanager
def contents(file: Path) -> Generator[NamedArrays]:
    """The arrays of a `.mat` file; within the with-block they can be read.

    Raises:
        ValueError, OSError, RuntimeError: the file is damaged.
    """
    if is_hdf5(file):
        with opened(file) as root:
            yield _contents(file, dict(_of_group(file, root, "", 0)))
        return
    from scipy.io.matlab import MatReadError

    try:
        _check_tags(file)
        yield _contents(file, _of_scipy(file))
    except (MatReadError, TypeError, IndexError, AttributeError, ArithmeticError, struct.error) as error:
        raise ValueError(str(error)) from error


def _check_tags(file: Path) -> None:
    """Checks the types and lengths in a file of version 5, of which scipy believes every one and may crash.

    Raises:
        ValueError: one is wrong.
    """
    content = file.read_bytes() if file.stat().st_size < _HEAD else memoryview(_mapped(file))
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is not None:  # version 4 has no tags
        _check_elements(content, _HEAD, len(content), order, 0)


def _mapped(file: Path) -> Any:
    import mmap

    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _check_elements(content: Any, start: int, end: int, order: str, depth: int) -> None:
    """Checks the elements between two places, and those in matrices; what is compressed has a checksum of its own."""
    first = start
    while start + 8 <= end:
        kind, size = struct.unpack_from(f"{order}II", content, start)
        data, after = start + 8, start + 8 + size + (-size % 8 if depth else 0)
        if kind >> 16:  # a small element: the length, the type and up to 4 bytes
            kind, size, data, after = kind & 0xFFFF, kind >> 16, start + 4, start + 8
        if kind not in _TYPES or data + size > end or (data == start + 4 and size > 4):
            raise ValueError(f"the element at byte {start} is of type {kind} and of {size} bytes")
        if kind == _MATRIX and size:
            if depth > _DEEPEST:
                raise ValueError(f"it has cells in cells at byte {start}")
            _check_elements(content, data, data + size, order, depth + 1)
        elif depth and start == first and struct.unpack_from(f"{order}I", content, data)[0] & 0xFF not in _CLASSES:
            raise ValueError(f"the matrix at byte {start} is of an unknown class")
        start = after


def _contents(file: Path, found: dict[str, Entry]) -> NamedArrays:
    heads = {key: head for key, (head, _) in found.items()}
    return NamedArrays(file, heads, lambda key: found[key][1](), paths=True, usual=_LABELS, loose=True)


def _digits(held: NamedArrays, wanted: Wanted) -> Part:
    """SVHN writes the digit 0 as class 10 (Netzer et al., Reading Digits in Natural Images, 2011)."""
    part = part_of(held, wanted)
    images = held.heads.get("X")
    if (
        part.labels is None
        or images is None
        or images.shape[:3] != (32, 32, 3)
        or not set(part.labels) <= {*range(1, 11)}
    ):
        return part
    return replace(part, labels=part.labels % 10, notes=(*part.notes, "the label 10 is the digit 0, as SVHN writes it"))


def _entry(array: Any) -> Entry:
    return ArrayHead(array.shape, array.dtype), lambda: array


def _of_scipy(file: Path) -> dict[str, Entry]:
    """The arrays of an older file; those of numbers are read when they are needed."""
    import numpy as np
    from scipy.io import loadmat, whosmat

    def value(name: str) -> Any:
        return loadmat(str(file), appendmat=False, variable_names=[name])[name]

    def numbers(name: str) -> Callable[[], Any]:
        return lambda: _in_rows(_flat(value(name)))

    found: dict[str, Entry] = {}
    for name, shape, kind in whosmat(str(file), appendmat=False):
        if not name:  # older versions of scipy read one from a file of zeros
            raise ValueError("it holds a variable without a name")
        if kind in _NUMBERS:
            dtype = np.dtype({"double": "f8", "single": "f4", "logical": "?"}.get(kind, kind))
            found[name] = (ArrayHead(_flat_shape(tuple(shape)), dtype), numbers(name))
        elif kind in {"sparse", "char", "cell", "struct"}:
            found |= dict(_of_value(name, value(name), 0))
    return found


def _in_rows(array: NDArray[Any]) -> Any:
    """Many images stay as they lie, so that they are brought to their order block by block."""
    return Rows(array, tuple(range(array.ndim))) if array.ndim > 2 and array.size > FEW else array


def _flat_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """MATLAB has no vectors and no scalars: they are matrices of one row or column."""
    return tuple(one for one in shape if one != 1) if len(shape) == 2 else shape


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(_flat_shape(array.shape))


def _of_value(key: str, value: Any, depth: int) -> Iterator[tuple[str, Entry]]:
    """The arrays in a value of scipy's reader with their keys."""
    import numpy as np

    if is_sparse(value):
        yield key, _entry(value)
    elif type(value) is not np.ndarray or depth > _DEEP:
        return  # a function, or an object of a class
    elif value.dtype.names:
        for name in value.dtype.names if value.size == 1 else ():
            yield from _of_value(f"{key}/{name}", value[name].item(), depth + 1)
    elif value.dtype.kind == "O":
        cells = value.reshape(-1, order="F").tolist()
        if all(isinstance(one, np.ndarray) and (one.dtype.kind == "U" or not one.size) for one in cells):
            yield key, _entry(np.asarray([str(one.item()) if one.size == 1 else "" for one in cells]))
        else:
            yield from _of_cells(key, cells, lambda name, one: _of_value(name, one, depth + 1))
    elif value.dtype.kind in "biufcU":
        yield key, _entry(_flat(value))


def _of_cells(
    key: str, cells: list[Any], inner: Callable[[str, Any], Iterator[tuple[str, Entry]]]
) -> Iterator[tuple[str, Entry]]:
    """The arrays in a cell, each under its number from 1."""
    if len(cells) <= _MANY:
        for place, one in enumerate(cells, 1):
            yield from inner(f"{key}{{{place}}}", one)


def _of_group(file: Path, group: Any, above: str, depth: int) -> Iterator[tuple[str, Entry]]:
    """The arrays in a file of version 7.3, or in a struct of one; MATLAB's axes are in the opposite order there."""
    for name, one in members(group):
        if not name.startswith("#"):
            yield from _of_node(file, f"{above}{name}", one, depth)


def _of_node(file: Path, key: str, one: Any, depth: int) -> Iterator[tuple[str, Entry]]:
    import h5py

    kind = _class_of(one)
    if depth > _DEEP or "MATLAB_empty" in one.attrs:
        return
    if isinstance(one, h5py.Group):
        if "MATLAB_sparse" in one.attrs:
            yield key, _entry(_sparse(file, one))
        else:
            yield from _of_group(file, one, f"{key}/", depth + 1)
    elif one.dtype == h5py.ref_dtype:
        cells = [one.file[reference] for reference in checked(file, one)[()].reshape(-1)]
        if all(_class_of(cell) == "char" for cell in cells):
            yield key, _entry(_array_of_texts([_text(file, cell) for cell in cells]))
        else:
            yield from _of_cells(key, cells, lambda name, cell: _of_node(file, name, cell, depth + 1))
    elif kind == "char":
        yield key, _entry(_array_of_texts([_text(file, one)]))
    elif one.dtype.kind in "biuf" and one.ndim and (kind in _NUMBERS or not kind):
        rows = Rows(checked(file, one), tuple(reversed(range(one.ndim))))
        shape = _flat_shape(rows.shape)
        yield key, (ArrayHead(shape, rows.dtype), lambda: rows if shape == rows.shape else rows.reshape(shape))


def _class_of(node: Any) -> str:
    kind = node.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _text(file: Path, node: Any) -> str:
    """A row of characters; they are kept as UTF-16."""
    return "" if "MATLAB_empty" in node.attrs else checked(file, node)[()].astype("<u2").tobytes().decode("utf-16-le")


def _array_of_texts(texts: list[str]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(texts, dtype=np.str_)


def _sparse(file: Path, group: Any) -> Any:
    from scipy import sparse

    nodes = {name: child(file, group, name) for name in ("data", "ir", "jc")}  # one without values has `jc` alone
    found = {name: checked(file, node)[()] for name, node in nodes.items() if node is not None}
    shape = (int(group.attrs["MATLAB_sparse"]), len(found["jc"]) - 1)
    return sparse.csc_matrix((found.get("data", []), found.get("ir", []), found["jc"]), shape=shape)
