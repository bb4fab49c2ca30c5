"""Your own data: an npy, npz, Parquet, CSV or TSV file, or a folder of files of one kind.

Arrays are (n, features), or images (n, H, W), (n, C, H, W) or (n, H, W, C) with C of 1, 3 or 4; an `.npz` may
hold a sparse matrix as scipy saves it. Tables have one row per sample: numeric columns are the features; if
just one column holds lists, of equal length, it is all of them. A column without a name, `Unnamed: 0` or
`__index_level_0__` is pandas' index and left out. The first line of a text file may name the columns; else
they are f0, f1, …
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from core.data import (
    SUFFIXES,
    Dataset,
    check_labels,
    check_spread,
    check_values,
    encode_labels,
    fault,
    fingerprint_of,
    user_path,
)
from core.scaling import offset_and_divisor, scaled
from core.tables import label_key, listed, read_table

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FEATURES = {"x", "data", "features", "embeddings", "emb", "images", "samples"}
_CLASS_NAMES = {"names", "label_names", "class_names", "target_names", "classes"}
_SPARSE = ("data", "indices", "indptr", "shape")


def load(
    *,
    path: str,
    features: str | None = None,
    labels: str | None = None,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    shape: tuple[int, ...] | None = None,
) -> Dataset:
    """Loads samples, and labels where there are any.

    Args:
        path: the file, or the folder whose files are joined in the order of their names.
        features: key of the array in an `.npz`, or column of a table (several with commas between). Without
            it: the array called x, data, features, embeddings, emb, images or samples, or the only one of
            numbers with 2 or more dimensions; the only column of lists, or else all columns but the labels.
        labels: key or column of the labels, `none` for no labels. Without it: y, label, labels, target or
            targets, if there.
        scale: `auto` standardises the features of vectors and maps images to 0..1; the others as in
            `core.scaling.scaled`.
        shape: what each row is reshaped to, e.g. [1, 28, 28].

    Returns:
        Samples (n, features) or (n, channels, height, width), labels (n,) in sorted order of the classes.

    Raises:
        UserError: the file is missing, damaged, ambiguous, or not what one can cluster.
    """
    import numpy as np

    parts = [_read(file, features, labels) for file in _files(path)]
    _check_same(parts)
    raw = parts[0].samples if len(parts) == 1 else np.concatenate([part.samples for part in parts])
    samples = scaled(_shaped(raw, shape, path), scale)
    check_spread(samples, path)
    codes, names = None, ()
    known = [part.labels for part in parts if part.labels is not None]
    if known:
        codes, names = encode_labels(np.concatenate(known), len(samples), path, parts[0].class_names)
    hashed = fingerprint(path=path, features=features, labels=labels, scale=scale, shape=shape)
    return Dataset(user_path(path).absolute().stem, samples, codes, names, hashed)


def fingerprint(
    *,
    path: str,
    features: str | None = None,
    labels: str | None = None,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    shape: tuple[int, ...] | None = None,
) -> str:
    """The hash of the files' content and of all options but the path.

    Raises:
        UserError: there are no such files, or none of a known format.
    """
    files = _files(path)
    return fingerprint_of(
        files,
        format=files[0].suffix.lower(),
        features=features,
        labels=labels,
        scale=scale,
        shape=None if shape is None else list(shape),
    )


def scaling(
    *,
    path: str,
    features: str | None = None,
    labels: str | None = None,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    shape: tuple[int, ...] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What `load` subtracts from each feature (of images: each channel), and then divides it by; None for nothing.

    Raises:
        UserError: as `load`.
    """
    if scale == "none":
        return None
    raw = load(path=path, features=features, labels=labels, scale="none", shape=shape).samples
    # Of images one number is that of a whole channel.
    offset, divisor = (one.reshape(-1, *(1 for _ in raw.shape[2:])) for one in offset_and_divisor(raw, scale))
    return offset, divisor


@dataclass(frozen=True)
class _Part:
    """One file's samples (n, …) and labels (n,), and the names of its columns and classes if it has them."""

    file: Path
    samples: NDArray[Any]
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


def _files(path: str) -> list[Path]:
    place = user_path(path)
    known = f"known formats are {', '.join(SUFFIXES)}"
    if not place.is_dir():
        if place.suffix.lower() not in SUFFIXES:
            raise fault(path, f"its format ({place.suffix or 'no suffix'}) is unknown: {known}")
        return [place]
    try:
        found = [file for file in sorted(place.iterdir()) if file.name[0] not in "._" and file.is_file()]
    except OSError as error:
        raise fault(path, f"the folder cannot be listed ({error.strerror}): it must be yours to read") from error
    found = [file for file in found if file.suffix.lower() in SUFFIXES]
    formats = sorted({file.suffix.lower() for file in found})
    if not found:
        raise fault(path, f"there is no data file in this folder: {known}")
    if len(formats) > 1:
        raise fault(path, f"it has files of several formats ({', '.join(formats)}): name one file, or split it")
    return found


def _read(file: Path, features: str | None, labels: str | None) -> _Part:
    """Reads and checks one file, turning whatever a reader says of a damaged one into a sentence."""
    suffix = file.suffix.lower()
    try:
        if suffix == ".npy":
            part = _read_npy(file, labels)
        elif suffix == ".npz":
            part = _read_npz(file, features, labels)
        else:
            part = _Part(file, *read_table(file, features, labels))
    except _broken() as error:
        reason = " ".join(str(error).split())[:200]
        what = f"it cannot be read as {suffix} ({reason}): it may be cut short, or of another format"
        raise fault(file, what) from error
    check_values(part.samples, file, part.columns)
    if part.labels is None:
        return part
    checked = check_labels(part.labels, len(part.samples), file)
    return _Part(file, part.samples, checked, part.columns, part.class_names)


def _broken() -> tuple[type[Exception], ...]:
    """What the readers raise at damaged files; arrow's errors are among these."""
    import csv
    import tokenize
    import zipfile
    import zlib

    plain = (OSError, ValueError, EOFError, RuntimeError, MemoryError, KeyError)
    # numpy takes a head it cannot evaluate for one of Python 2 and tokenises it.
    return (*plain, csv.Error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def _check_same(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.samples.shape[1:] != first.samples.shape[1:] or part.columns != first.columns:
            raise fault(
                part.file,
                f"it has {_layout(part)}, where {first.file.name} has {_layout(first)}: the files of a "
                "folder must have the same columns (and samples and labels of arrays stand in one .npz)",
            )
        if _label_kind(part) != _label_kind(first):
            raise fault(
                part.file,
                f"it has {_label_kind(part)}, {first.file.name} has {_label_kind(first)}: "
                "give all files of a folder labels of one kind, or go without by `labels: none`",
            )


def _layout(part: _Part) -> str:
    return f"columns {listed(part.columns)}" if part.columns else f"samples of shape {part.samples.shape[1:]}"


def _label_kind(part: _Part) -> str:
    if part.labels is None:
        return "no labels"
    return "labels of text" if part.labels.dtype.kind in "OU" else "labels of numbers"


def _shaped(samples: NDArray[Any], shape: Sequence[int] | None, where: Path | str) -> NDArray[Any]:
    """Brings samples to (n, features) or (n, channels, height, width).

    (n, H, W) has one channel; (n, A, B, C) has channels last if C is 1, 3 or 4 and A is not, else first.

    Args:
        samples: (n, …), 2 to 4 dimensions.
        shape: what each sample is reshaped to before, in C order; None leaves it as it is.
        where: the file, for the message.

    Raises:
        UserError: `shape` has not 1 to 3 positive numbers, or another number of values than a sample.
    """
    if shape is not None:
        size = math.prod(samples.shape[1:])
        if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) != size:
            raise fault(
                where,
                f"a sample of {size} values does not fill the option `shape: {list(shape)}`: "
                "give [features], [height, width] or [channels, height, width] with that product",
            )
        samples = samples.reshape(len(samples), *shape)
    if samples.ndim == 3:
        return samples[:, None]
    if samples.ndim == 4 and samples.shape[3] in {1, 3, 4} and samples.shape[1] not in {1, 3, 4}:
        return samples.transpose(0, 3, 1, 2)
    return samples


class _Head(NamedTuple):
    """What the head of a saved array says."""

    shape: tuple[int, ...]
    dtype: Any


def _read_npy(file: Path, labels: str | None) -> _Part:
    if labels not in {None, "none"}:
        raise fault(file, f"an .npy file has no labels {labels!r}: save samples and labels in one .npz")
    with file.open("rb") as stream:
        return _Part(file, _array(file, stream))


def _array(file: Path, stream: IO[bytes], key: str = "") -> NDArray[Any]:
    """Reads one array; Python objects are refused, since unpickling runs whatever code is in them."""
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


def _read_npz(file: Path, features: str | None, labels: str | None) -> _Part:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        heads = _heads(archive)
        labelled = label_key(file, heads, labels)
        if features is None and heads.keys() >= set(_SPARSE):
            samples = _sparse(file, archive, heads)
        else:
            samples = _member(file, archive, _feature_key(file, heads, features, labelled))
        found = None if labelled is None else _member(file, archive, labelled)
        return _Part(file, samples, found, class_names=_class_names(file, archive, heads))


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


def _feature_key(file: Path, heads: dict[str, _Head], features: str | None, labelled: str | None) -> str:
    holds = listed(f"{key} {head.shape} {head.dtype}" for key, head in heads.items()) or "nothing"
    if features is not None:
        if features not in heads:
            raise fault(file, f"the option `features: {features}` names none of its arrays: {holds}")
        return features
    others = {key: head for key, head in heads.items() if key != labelled}
    named = [key for key in others if key.lower() in _FEATURES]
    wide = [key for key, head in others.items() if head.dtype.kind in "biuf" and len(head.shape) > 1]
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


def _sparse(file: Path, archive: zipfile.ZipFile, heads: dict[str, _Head]) -> NDArray[Any]:
    """A matrix in compressed sparse rows, as scipy's `save_npz` writes it, made dense."""
    from scipy import sparse

    if "format" in heads and _member(file, archive, "format") != b"csr":
        raise fault(file, "it holds a sparse matrix that is not by rows: save `matrix.tocsr()`")
    data, indices, indptr, shape = (_member(file, archive, key) for key in _SPARSE)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()))
    matrix.check_format(full_check=True)
    return matrix.toarray()
