"""Reads `.npy` and `.npz` files, and decides which array holds samples, labels and ids."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from core.data.columns import Part, Wanted, check_named, is_id_name, is_label_name, label_key, listed
from core.data.dataset import fault
from core.data.layout import arranged
from core.data.stored import WHOLE, is_sparse

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FEATURES = {"x", "data", "features", "embeddings", "emb", "images", "samples"}
_CLASS_NAMES = {"names", "label_names", "class_names", "target_names", "classes"}
# The start of the reason for an array that holds the names of the samples.
_ID = "id: "
_SPARSE = ("data", "indices", "indptr", "shape")


class _Head(NamedTuple):
    """Shape and type of a saved array, from its header."""

    shape: tuple[int, ...]
    dtype: Any


def read(file: Path, wanted: Wanted) -> Part:
    """Reads an `.npy` or `.npz` file.

    Raises:
        UserError: arrays are missing, ambiguous, or hold Python objects.
        ValueError, OSError: the file is damaged.
    """
    return (_read_npy if file.suffix.lower() == ".npy" else _read_npz)(file, wanted)


def _read_npy(file: Path, wanted: Wanted) -> Part:
    """Reads a file of one array: samples (n, …).

    Raises:
        UserError: the file holds Python objects, its shape is ambiguous, or an option names a missing array.
        ValueError, OSError: the file is damaged.
    """
    labels = wanted.labels
    check_named(file, wanted, ())
    if labels not in {None, "none"}:
        raise fault(file, f"an .npy file has no labels {labels!r}: save samples and labels in one .npz")
    with file.open("rb") as stream:
        return Part(file, _arranged(_array(file, stream), wanted, file))


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


def _head(stream: IO[bytes]) -> _Head:
    from numpy.lib import format as npy

    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return _Head(shape, dtype)


def _read_npz(file: Path, wanted: Wanted) -> Part:
    """Reads a file of several arrays, or a sparse matrix as scipy saves it.

    Raises:
        UserError: arrays are missing, ambiguous, or hold Python objects.
        ValueError, OSError: the file is damaged.
    """
    import zipfile

    with zipfile.ZipFile(file) as archive:
        heads = _heads(archive)
        check_named(file, wanted, heads)
        named = {wanted.id, *wanted.ignore}
        labelled = label_key(file, [key for key in heads if key not in named], wanted.labels)
        if wanted.features is None and heads.keys() >= set(_SPARSE):
            key, samples = "", _sparse(file, archive, heads)
        else:
            key = _feature_key(file, heads, wanted, labelled)
            samples = _member(file, archive, key)
        others = {one: head for one, head in heads.items() if one not in {key, wanted.id, *wanted.ignore}}
        beside = [head.shape for one, head in others.items() if one != labelled]
        shape = None if labelled is None else heads[labelled].shape
        samples = _arranged(samples, wanted, file, beside=beside, labels=shape)
        # A single number has no length; it is refused by its shape, later.
        left = _left_out(others, samples.shape[0], wanted, labelled) if key and samples.ndim else {}
        ids = wanted.id if wanted.id in heads else next((one for one in left if left[one].startswith(_ID)), None)
        labels = None if labelled is None else _member(file, archive, labelled)
        return Part(
            file,
            samples,
            labels.reshape(-1) if labels is not None and wanted.layout in {"hwc", "chw"} else labels,
            class_names=_class_names(file, archive, heads),
            left_out=tuple(f"{one} ({why.removeprefix(_ID)})" for one, why in left.items()),
            label_name=labelled or "",
            ids=None if ids is None else _member(file, archive, ids).reshape(-1),
        )


def _arranged(
    samples: NDArray[Any],
    wanted: Wanted,
    file: Path,
    *,
    beside: Sequence[tuple[int, ...]] = (),
    labels: tuple[int, ...] | None = None,
) -> NDArray[Any]:
    # A trained model knows the shape of its samples: a second reading would be refused there.
    if wanted.layout is None and wanted.known is not None:
        return samples
    if is_sparse(samples):
        if wanted.layout not in {None, "nf"}:
            raise fault(file, f"`layout: {wanted.layout}` is not for a sparse matrix, which has a sample per row")
        return samples
    return arranged(samples, wanted.layout, file, beside=beside, labels=labels)


def _left_out(heads: dict[str, _Head], n_samples: int, wanted: Wanted, labelled: str | None) -> dict[str, str]:
    """The arrays with a row for each sample that were not read, with the reason."""
    left = dict.fromkeys(wanted.ignore, "ignored") | (
        {} if wanted.id not in heads else {wanted.id: f"{_ID}by the option `id`"}
    )
    for key, head in heads.items():
        if key == labelled or not head.shape or head.shape[0] != n_samples:
            continue
        text = head.dtype.kind in "SU"
        if len(head.shape) == 1 and is_id_name(key, text=text) and (text or head.dtype.kind in "iu"):
            left[key] = f"{_ID}texts" if text else f"{_ID}whole numbers"
        elif is_label_name(key) or (len(head.shape) == 1 and head.dtype.kind in "biuSU"):
            left[key] = f"like a label; `labels: {key}` scores by it"
        else:
            left[key] = f"an array of shape {head.shape}; `features: {key}` learns from it"
    return left


def _heads(archive: zipfile.ZipFile) -> dict[str, _Head]:
    heads: dict[str, _Head] = {}
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as stream:
                heads[name.removesuffix(".npy")] = _head(stream)
    return heads


def _member(file: Path, archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    with archive.open(f"{key}.npy") as stream:
        return _array(file, stream, key)


def _feature_key(file: Path, heads: dict[str, _Head], wanted: Wanted, labelled: str | None) -> str:
    holds = listed(f"{key} {head.shape} {head.dtype}" for key, head in heads.items()) or "nothing"
    if wanted.features is not None:
        features = ", ".join(wanted.features)
        if features not in heads:
            raise fault(file, f"the option `features: {features}` names none of its arrays: {holds}")
        return features
    others = {key: head for key, head in heads.items() if key not in {labelled, wanted.id, *wanted.ignore}}
    named = [key for key in others if key.lower() in _FEATURES]
    wide = [key for key, head in others.items() if head.dtype.kind in "biufc" and len(head.shape) > 1]
    wide = [key for key in wide if not is_label_name(key)] or wide
    found = [key for key in wide if key in named] or wide or named
    if not found:
        raise fault(file, f"no array in it is of numbers with 2 or more dimensions, it holds {holds}")
    if len(found) > 1:
        raise fault(
            file,
            f"several arrays could be the samples, it holds {holds}: name one, as in `features: {found[0]}`",
        )
    return found[0]


def _class_names(file: Path, archive: zipfile.ZipFile, heads: dict[str, _Head]) -> tuple[str, ...]:
    texts = [key for key, head in heads.items() if head.dtype.kind == "U" and len(head.shape) == 1]
    found = [key for key in texts if key.lower() in _CLASS_NAMES]
    return tuple(_member(file, archive, found[0]).tolist()) if len(found) == 1 else ()


def _sparse(file: Path, archive: zipfile.ZipFile, heads: dict[str, _Head]) -> Any:
    """A matrix in compressed sparse rows, as scipy's `save_npz` writes it; a small one is made dense."""
    from scipy import sparse

    if "format" in heads and _member(file, archive, "format") != b"csr":
        raise fault(file, "it holds a sparse matrix that is not by rows: save `matrix.tocsr()`")
    data, indices, indptr, shape = (_member(file, archive, key) for key in _SPARSE)
    matrix: Any = sparse.csr_matrix((data, indices, indptr), shape=tuple(shape.reshape(-1).tolist()))
    matrix.check_format(full_check=True)
    return matrix if math.prod(matrix.shape) > WHOLE else matrix.toarray()
