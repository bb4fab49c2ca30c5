"""Decides which arrays of a file hold samples, labels and ids, for every format of named arrays; reads `.npy`, `.npz`.

The arrays may be in two parts, as `x_train`, `y_train`, `x_test`, `y_test`, or there may be several views of the same
samples, as `X1`, `X2`.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from core.data.columns import Part, Wanted, check_named, exact_ids, is_id_name, is_label_name, label_key, listed
from core.data.dataset import fault
from core.data.layout import arranged, samples_last, shaped
from core.data.prepared import gathered
from core.data.stored import WHOLE, Rows, is_sparse
from core.errors import UserError
from core.formats.named_arrays import (
    FEATURES,
    ArrayHead,
    NamedArrays,
    class_names,
    half_of,
    halves_of,
    labels_of,
    numbered_views,
    wide,
)

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# The start of the reason for an array that holds the names of the samples.
_ID = "id: "
_SPARSE = ("data", "indices", "indptr", "shape")
_COORDINATES = ("row", "col", "data", "shape")
_BAG = ("it has words (`vocab`): `data: {name: documents, path: …}` reads it as documents, for topic models",)


def read(file: Path, wanted: Wanted) -> Part:
    """Reads an `.npy` or `.npz` file.

    Raises:
        UserError: arrays are missing, ambiguous, or hold Python objects.
        ValueError, OSError: the file is damaged.
    """
    return (_read_npy if file.suffix.lower() == ".npy" else _read_npz)(file, wanted)


def _read_npy(file: Path, wanted: Wanted) -> Part:
    labels = wanted.labels
    check_named(file, wanted, ())
    if labels not in {None, "none"}:
        raise fault(file, f"an .npy file has no labels {labels!r}: save samples and labels in one .npz")
    with file.open("rb") as stream:
        samples = _array(file, stream)
    return Part(file, samples if _is_known(wanted) else arranged(samples, wanted.layout, file))


def _array(file: Path, stream: IO[bytes], key: str = "") -> NDArray[Any]:
    """Reads one array; Python objects are refused, since unpickling may run any code."""
    from numpy.lib import format as npy

    if _head(stream).dtype.hasobject:
        what = f"the array {key!r}" if key else "it"
        raise fault(
            file,
            f"{what} holds pickled Python objects (ragged rows?), which are never opened: "
            "save an array of numbers, all rows of one length",
        )
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)


def _head(stream: IO[bytes]) -> ArrayHead:
    from numpy.lib import format as npy

    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return ArrayHead(shape, dtype)


def _read_npz(file: Path, wanted: Wanted) -> Part:
    with contents(file) as held:
        if wanted.features is None and any(held.heads.keys() >= set(one) for one in (_SPARSE, _COORDINATES)):
            samples, notes = _sparse(held)
            bag = _BAG if "vocab" in held.heads else ()
            try:
                return replace(part_of(held, wanted, samples), notes=(*notes, *bag))
            except UserError as error:
                raise UserError("; ".join((str(error), *bag))) from error
        return part_of(held, wanted)


@contextlib.contextmanager
def contents(file: Path) -> Generator[NamedArrays]:
    """The arrays of an `.npz` file; within the with-block they can be read."""
    import zipfile

    with zipfile.ZipFile(file) as archive:

        def read(key: str) -> NDArray[Any]:
            with archive.open(f"{key}.npy") as stream:
                return _array(file, stream, key)

        yield NamedArrays(file, _heads(archive), read)


def _heads(archive: zipfile.ZipFile) -> dict[str, ArrayHead]:
    heads: dict[str, ArrayHead] = {}
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as stream:
                heads[name.removesuffix(".npy")] = _head(stream)
    return heads


def _sparse(held: NamedArrays) -> tuple[Any, tuple[str, ...]]:
    """A sparse matrix as scipy's `save_npz` writes it, by rows; a small one is made dense."""
    from scipy import sparse

    kind = held.read("format").item().decode() if "format" in held.heads else "csr"
    makers: dict[str, Any] = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "coo": sparse.coo_matrix}
    if kind not in makers:
        raise fault(held.file, f"it holds a sparse matrix of the form {kind!r}: save `matrix.tocsr()`")
    *arrays, shape = (held.read(key) for key in (_COORDINATES if kind == "coo" else _SPARSE))
    if kind == "coo":
        row, col, data = arrays
        arrays = [data, (row, col)]
    matrix = makers[kind](tuple(arrays), shape=tuple(shape.reshape(-1).tolist()))
    return _by_rows(matrix)


def _by_rows(matrix: Any) -> tuple[Any, tuple[str, ...]]:
    """As `compressed_rows`; a small matrix becomes a dense array."""
    matrix, notes = compressed_rows(matrix)
    return (matrix if math.prod(matrix.shape) > WHOLE else matrix.toarray()), notes


def compressed_rows(matrix: Any) -> tuple[Any, tuple[str, ...]]:
    """A checked matrix in CSR, and what was done to it.

    Raises:
        ValueError: the matrix is damaged.
    """
    kind = matrix.format
    if kind != "coo":  # whose indices are checked when it is made
        matrix.check_format(full_check=True)
    notes = () if kind == "csr" else (f"the sparse matrix is stored as {kind.upper()}, and was brought to rows (CSR)",)
    return matrix.tocsr(), notes


def part_of(held: NamedArrays, wanted: Wanted, samples: Any = None) -> Part:
    """Reads samples, labels and ids from the arrays of a file.

    Args:
        held: all its arrays.
        wanted: the options.
        samples: a sparse matrix, where several arrays of the file are one; None where an array is to be chosen.

    Raises:
        UserError: arrays are missing or ambiguous.
    """
    halves = {} if samples is not None else halves_of(held, wanted)
    if not halves:
        if wanted.split not in {None, "all"}:
            raise fault(held.file, f"`split: {wanted.split}`: it has no two parts, as x_train and x_test: leave it out")
        check_named(held.file, wanted, held.heads)
        part = _one(held, wanted, samples)
        return replace(part, samples=gathered([part.samples]))
    check_named(held.file, wanted, {*held.heads, *halves["train"]})
    chosen: list[str] = [wanted.split] if wanted.split in halves else list(halves)
    parts = [_one(half_of(held, halves[one]), wanted) for one in chosen]
    first = parts[0]
    if any(one.samples.shape[1:] != first.samples.shape[1:] for one in parts):
        shapes = " and ".join(str(one.samples.shape) for one in parts)
        raise fault(held.file, f"its samples have the shapes {shapes} in {' and '.join(chosen)}: choose a `split`")
    if len({one.labels is None for one in parts}) > 1:
        raise fault(held.file, "only one of its parts has labels: choose a `split`, or write `labels: none`")
    ids = [one.ids for one in parts if one.ids is not None]
    counts = " and ".join(f"{one.samples.shape[0]} of {name}" for one, name in zip(parts, chosen, strict=True))
    return replace(
        first,
        samples=gathered([one.samples for one in parts]),
        labels=None if first.labels is None else _concatenated([one.labels for one in parts]),
        ids=exact_ids(ids)[0] if len(ids) == len(parts) else None,
        notes=(f"the samples are {counts} (`split`)", *first.notes),
    )


def _concatenated(arrays: Sequence[Any]) -> NDArray[Any]:
    import numpy as np

    return np.concatenate(arrays)


def _one(held: NamedArrays, wanted: Wanted, samples: Any = None) -> Part:
    """Chooses among the arrays of one part, and arranges the samples."""
    file, heads = held.file, held.heads
    named = {wanted.id, *wanted.ignore}
    keys = [key for key in heads if key not in named]
    labelled = label_key(file, keys, wanted.labels, called=held.called, usual=held.usual)
    key = "" if samples is not None else _feature_key(held, wanted, labelled)
    if samples is None:
        samples = held.read(key)
    others = {one: head for one, head in heads.items() if one not in {key, *named}}
    beside = [head.shape for one, head in others.items() if one != labelled]
    labels, notes = (None, ()) if labelled is None else labels_of(held, labelled)
    layout = wanted.layout
    if layout is None and held.loose and not _is_known(wanted):
        layout = samples_last(samples.shape, None if labels is None else labels.shape, file)
        notes = (*notes, *_told_layout(samples.shape, layout, labelled=labels is not None))
    if is_sparse(samples):
        samples, more = _turned(samples, layout, file)
        notes = (*notes, *more)
    elif layout is not None or not _is_known(wanted):
        # A trained model knows the shape of its samples: a second reading would be refused there.
        shape = None if labels is None else labels.shape
        samples = arranged(samples, layout, file, beside=beside, labels=shape)
    axes: tuple[str, ...] = ()
    if samples.ndim == 4 and isinstance(samples, Rows):
        samples, axes = shaped(samples, None, "nhwc" if layout == "hwcn" else layout, file)
    # A single number has no length; it is refused by its shape, later.
    left = _left_out(held, others, samples.shape[0], wanted, labelled) if key and samples.ndim else {}
    ids = wanted.id if wanted.id in heads else next((one for one in left if left[one].startswith(_ID)), None)
    return Part(
        file,
        samples,
        labels.reshape(-1) if labels is not None and wanted.layout in {"hwc", "chw"} else labels,
        class_names=class_names(held),
        left_out=tuple(f"{one} ({why.removeprefix(_ID)})" for one, why in left.items()),
        label_name=labelled or "",
        ids=None if ids is None else held.read(ids).reshape(-1),
        notes=notes,
        axes=axes,
    )


def _is_known(wanted: Wanted) -> bool:
    return wanted.layout is None and wanted.known is not None


def _told_layout(shape: tuple[int, ...], layout: str | None, *, labelled: bool) -> tuple[str, ...]:
    if layout is not None:
        said = "as its labels say" if labelled else "as only that axis can be the channels"
        return (f"an array of shape {shape} is read as `layout: {layout}`, {said}",)
    return () if labelled or len(shape) != 2 else ("each row is a sample; `layout: fn` takes each column for one",)


def _turned(samples: Any, layout: str | None, file: Path) -> tuple[Any, tuple[str, ...]]:
    """A sparse matrix by rows of samples; a small one is made dense."""
    if layout not in {None, "nf", "fn"}:
        raise fault(file, f"`layout: {layout}` is not for a sparse matrix, which has two axes")
    return _by_rows(samples.T if layout == "fn" else samples)


def _left_out(
    held: NamedArrays, heads: dict[str, ArrayHead], n_samples: int, wanted: Wanted, labelled: str | None
) -> dict[str, str]:
    """The arrays with a row for each sample that were not read, with the reason."""
    left = dict.fromkeys(wanted.ignore, "ignored") | (
        {} if wanted.id not in held.heads else {wanted.id: f"{_ID}by the option `id`"}
    )
    for key, head in heads.items():
        name = held.called(key)
        if key == labelled or not head.shape or head.shape[0] != n_samples:
            continue
        text = head.dtype.kind in "SU"
        if len(head.shape) == 1 and is_id_name(name, text=text) and (text or head.dtype.kind in "iu"):
            left[key] = f"{_ID}texts" if text else f"{_ID}whole numbers"
        elif is_label_name(name) or (len(head.shape) == 1 and head.dtype.kind in "biuSU"):
            left[key] = f"like a label; `labels: {key}` scores by it"
        else:
            left[key] = f"an array of shape {head.shape}; `features: {key}` learns from it"
    return left


def _feature_key(held: NamedArrays, wanted: Wanted, labelled: str | None) -> str:
    file, heads = held.file, held.heads
    holds = listed(f"{key} {head.shape} {head.dtype}" for key, head in heads.items()) or "nothing"
    if wanted.features is not None:
        features = ", ".join(wanted.features)
        if features in heads:
            return features
        raise fault(file, f"the option `features: {features}` names none of its arrays: {holds}")
    others = {key: head for key, head in heads.items() if key not in {labelled, wanted.id, *wanted.ignore}}
    named = [key for key in others if held.called(key).lower() in FEATURES]
    large = wide(others)
    large = [key for key in large if not is_label_name(held.called(key))] or large
    views = numbered_views(held, large)
    if wanted.view is not None or (views and len(named) != 1):
        return _view(held, wanted, views)
    found = [key for key in large if key in named] or large or named
    if not found:
        raise fault(file, f"no array in it is of numbers with 2 or more dimensions, it holds {holds}")
    if len(found) > 1:
        raise fault(
            file,
            f"several arrays could be the samples, it holds {holds}: name one, as in `features: {found[0]}`",
        )
    return found[0]


def _view(held: NamedArrays, wanted: Wanted, views: Sequence[str]) -> str:
    names = {f"view{place}": key for place, key in enumerate(views)}
    if not views:
        raise fault(held.file, f"`view: {wanted.view}`: it has no views, as X1 and X2: leave the option out")
    if wanted.view not in names:
        said = listed(f"{name} is {key} {held.heads[key].shape}" for name, key in names.items())
        what = "" if wanted.view is None else f", and `view: {wanted.view}` is none of them"
        way = f"choose one, as `view: view0` ({said}), or read all with `name: multiview`"
        raise fault(held.file, f"it holds several views of its samples{what}: {way}")
    return names[wanted.view]
