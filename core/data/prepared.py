"""Data sets that were read once, kept in the cache folder, and memory-mapped: trials of a machine share their pages.

An entry is a folder under the data set's fingerprint: `.npy` files, and `about.json` with a digest. It is put in place
whole. When all entries together pass `$CONCLUS_CACHE_GB` (50), those used longest ago are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.data.corpus import Corpus
from core.data.dataset import Dataset, cache_folder
from core.data.modalities import Modality
from core.data.remote import wait_for
from core.data.scaling import Scaling
from core.data.stored import FEW, HEAD, WHOLE, Stored, head_of, is_sparse
from core.errors import UserError
from core.seal import seal_json, unseal_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Raised when entries are written otherwise: older ones are then made anew.
_VERSION = 5
_GB = 1_000_000_000
_LARGEST_GB = 50.0
_ABOUT = "about.json"
# The digest of larger files is not looked at again: a start would take seconds.
_DIGESTED = 1 << 26
_SPARSE = ("data", "indices", "indptr")
# Numbers that are copied at once: 16 MiB of float32.
_AT_ONCE = 1 << 22
_DRAFT: ContextVar[Path | None] = ContextVar("draft", default=None)


def prepared(key: str, make: Callable[[], Dataset]) -> Dataset:
    """The data set of a fingerprint, from the cache; if several processes need it at once, one of them makes it.

    Args:
        key: the fingerprint.
        make: reads the data set. Large arrays of it may come from `room`, which are then not written twice.

    Raises:
        UserError: the cache cannot be written, or has not enough space; or as `make`.
    """
    folder = entries_folder()
    found = _opened(folder / key)  # an entry is put in place whole: a cache that cannot be written will do
    if found is not None:
        return found
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{key}.lock").open("w")
    with lock:
        wait_for(lock)
        entry = folder / key
        found = _opened(entry)
        if found is not None:
            return found
        for left in folder.glob(f"{key}.*.tmp"):  # of a process that died: who makes it holds the lock
            shutil.rmtree(left, ignore_errors=True)
        draft = folder / f"{key}.{os.getpid()}.tmp"
        token = _DRAFT.set(draft)
        try:
            data = make()
            with _explained(folder):
                draft.mkdir(exist_ok=True)
                _write(draft, data)
                shutil.rmtree(entry, ignore_errors=True)
                draft.rename(entry)
        finally:
            _DRAFT.reset(token)
            shutil.rmtree(draft, ignore_errors=True)
    _bound(folder, keep=key)
    found = _opened(entry)
    return data if found is None else found


def room(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A new array to fill; while a data set is prepared the first is a file of its entry, all others are in memory.

    Raises:
        UserError: the disk has not enough space.
    """
    import numpy as np

    draft = _DRAFT.get()
    if draft is None or (draft / "samples.npy").exists():
        return np.zeros(shape, dtype)
    with _explained(draft.parent):
        draft.mkdir(exist_ok=True)
        needed = HEAD + math.prod(shape) * np.dtype(dtype).itemsize
        _check_space(draft, needed)
        with (draft / "samples.npy").open("wb") as stream:
            stream.write(head_of(shape, np.dtype(dtype)))
            if hasattr(os, "posix_fallocate"):  # Who writes to a mapped file on a full disk is killed. Not on Windows.
                os.posix_fallocate(stream.fileno(), 0, needed)
        whole: Any = np.memmap(draft / "samples.npy", dtype, "r+", HEAD, shape)
        return whole


def gathered(blocks: Sequence[Any]) -> Any:
    """Samples (n, …) of one file as one array; many bytes or halves are put into `room`.

    Args:
        blocks: arrays, or sparse matrices, or what has a shape and a type and gives slices of rows in their order, as
            `core.data.stored.Rows`; they follow one another, and differ in their number of rows alone.
    """
    import numpy as np
    from scipy import sparse

    if is_sparse(blocks[0]):
        return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")
    if len(blocks) == 1 and isinstance(blocks[0], np.ndarray):
        return blocks[0]
    shape = (sum(one.shape[0] for one in blocks), *blocks[0].shape[1:])
    size, dtype = math.prod(shape), np.result_type(*(one.dtype for one in blocks))
    if size > FEW and dtype in {np.dtype(np.uint8), np.dtype(np.float16)}:
        whole = room(shape, dtype)
    else:
        # So many numbers are trained on as float32 anyway, and would take twice the memory.
        whole = np.empty(shape, np.float32 if size > WHOLE and dtype.kind == "f" else dtype)
    step = max(1, _AT_ONCE // max(1, math.prod(shape[1:])))
    place = 0
    for block in blocks:
        for start in range(0, block.shape[0], step):
            rows = block[start : start + step]
            whole[place : place + len(rows)] = rows
            place += len(rows)
    return whole


def entries_folder() -> Path:
    """Where the entries lie.

    Raises:
        UserError: there is no home folder.
    """
    try:
        return cache_folder() / "data"
    except RuntimeError as error:
        raise UserError(f"data: there is no folder for the cache ({error}): set XDG_CACHE_HOME to one") from error


@contextlib.contextmanager
def _explained(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"data: it cannot be kept in the cache {folder} ({reason}): free some space (`conclus cache`), or set "
            "XDG_CACHE_HOME to a folder that you can write to"
        ) from error


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"data: the cache {folder.parent} needs {needed / _GB:.1f} GB for it, and {free / _GB:.1f} GB are free: "
            "remove what is no longer needed (`conclus cache --clear`), or set XDG_CACHE_HOME to a larger disk"
        )


def _write(draft: Path, data: Dataset) -> None:
    """Writes all files of an entry, the description last."""
    import numpy as np

    arrays = dict(_arrays(data))
    _check_space(draft, sum(one.nbytes for name, one in arrays.items() if not _is_there(draft, name, one)))
    for name, array in arrays.items():
        if _is_there(draft, name, array):
            cast("np.memmap[Any, Any]", array).flush()
        else:
            # The array may be another view of the file of that name, which is then replaced, and not written over.
            with (draft / f"{name}.part").open("wb") as stream:
                np.save(stream, array)
                stream.flush()
                os.fsync(stream.fileno())
            (draft / f"{name}.part").rename(draft / f"{name}.npy")
    samples = data.samples
    described = {
        "version": _VERSION,
        "name": data.name,
        "shape": samples.shape,
        "class_names": data.class_names,
        "fingerprint": data.fingerprint,
        "feature_names": data.feature_names,
        "left_out": data.left_out,
        "label_name": data.label_name,
        "axes": data.axes,
        "notes": data.notes,
        "unlabelled": data.unlabelled,
        "scene": data.scene,
        "modalities": [[one.name, one.start, one.shape] for one in data.modalities],
        "sparse_shape": samples.values.shape if isinstance(samples, Stored) and samples.is_sparse else (),
        "limits": samples.limits if isinstance(samples, Stored) else (),
        "documents": {role: [one.name, one.values.shape] for role, one in data.documents()},
        "files": {name: _seen(draft / f"{name}.npy") for name in arrays},
    }
    with (draft / _ABOUT).open("wb") as stream:
        stream.write(seal_json(described))
        stream.flush()
        os.fsync(stream.fileno())


def _is_there(draft: Path, name: str, array: NDArray[Any]) -> bool:
    """Whether an array is the file of `room` already, and not a view of it with other axes."""
    import numpy as np

    file = draft / f"{name}.npy"
    if getattr(array, "filename", None) is None or Path(cast("Any", array).filename) != file.absolute():
        return False
    kept = np.load(file, mmap_mode="r")
    return (kept.shape, kept.dtype, True) == (array.shape, array.dtype, array.flags.c_contiguous)


def _arrays(data: Dataset) -> Iterator[tuple[str, NDArray[Any]]]:
    """All arrays of a data set with the names of their files."""
    samples = data.samples
    values = samples.values if isinstance(samples, Stored) else samples
    if isinstance(samples, Stored):
        yield from ((f"scaling.{name}", getattr(samples.scaling, name)) for name in ("offset", "divisor", "factor"))
    if is_sparse(values):
        yield from ((f"samples.{name}", getattr(values, name)) for name in _SPARSE)
    else:
        yield "samples", values
    for name in ("labels", "parts"):
        if getattr(data, name) is not None:
            yield name, getattr(data, name)
    if data.ids is not None:
        yield "ids", data.ids if data.ids.dtype.kind in "iu" else _texts(data.ids)
    if data.scaling is not None:
        yield from zip(("offset", "divisor"), data.scaling, strict=True)
    yield from ((f"arrays.{name}", array) for name, array in data.arrays.items())
    for role, one in data.documents():
        yield from ((f"{role}.{name}", array) for name, array in one.arrays(samples).items())


def _opened(entry: Path) -> Dataset | None:
    """The data set of an entry, memory-mapped; None if there is none, or it is damaged or of another version."""
    import numpy as np

    try:
        told = about(entry)
        if told["version"] != _VERSION:
            return None
        found: dict[str, Any] = {}
        for name, seen in told["files"].items():
            file = entry / f"{name}.npy"
            if _seen(file) != seen:
                return None
            found[name] = np.load(file, mmap_mode="c", allow_pickle=False)
        samples = _samples(found, told["sparse_shape"], tuple(told["limits"]))
        documents = {role: Corpus.of_arrays(found, role, *one) for role, one in told["documents"].items()}
        with contextlib.suppress(OSError):
            os.utime(entry)  # the entries used longest ago are removed first
    except (OSError, ValueError, KeyError, TypeError):
        return None
    texts = ("class_names", "feature_names", "left_out", "axes", "notes", "unlabelled", "scene")
    return Dataset(
        told["name"],
        samples,
        None if "labels" not in found else np.array(found["labels"]),
        fingerprint=told["fingerprint"],
        arrays={name.removeprefix("arrays."): one for name, one in found.items() if name.startswith("arrays.")},
        parts=found.get("parts"),
        label_name=told["label_name"],
        ids=found.get("ids"),
        scaling=(found["offset"], found["divisor"]) if "offset" in found else None,
        modalities=tuple(Modality(name, start, tuple(shape)) for name, start, shape in told.get("modalities", ())),
        **cast("dict[str, Any]", {name: tuple(told[name]) for name in texts} | documents),
    )


def _samples(found: dict[str, Any], sparse_shape: list[int], limits: Any) -> NDArray[np.float32] | Stored:
    if "scaling.offset" not in found:
        return found["samples"]
    scaling = Scaling(*(found[f"scaling.{name}"] for name in ("offset", "divisor", "factor")))
    if not sparse_shape:
        return Stored(found["samples"], scaling, limits)
    from scipy import sparse

    parts = tuple(found[f"samples.{name}"] for name in _SPARSE)
    return Stored(sparse.csr_matrix(parts, shape=tuple(sparse_shape), copy=False), scaling, limits)


def _seen(file: Path) -> list[Any]:
    """The size of a file and, of one that is read in a moment, the digest of its content."""
    size = file.stat().st_size
    if size > _DIGESTED:
        return [size]
    with file.open("rb") as stream:
        return [size, hashlib.file_digest(stream, "sha256").hexdigest()]


def _texts(ids: NDArray[Any]) -> NDArray[Any]:
    """Ids as texts; one that is not there is empty."""
    import numpy as np

    missing: Any = None
    return np.where(ids == missing, "", ids).astype(str)


def about(entry: Path) -> dict[str, Any]:
    """The description of an entry; empty if it is damaged."""
    try:
        return unseal_json((entry / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return {}


def entries(folder: Path) -> list[Path]:
    """The entries in the cache, those used longest ago first."""
    if not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if one.is_dir() and not one.is_symlink() and (one / _ABOUT).is_file()]
    return sorted(found, key=lambda one: one.stat().st_mtime)


def size_of(folder: Path) -> int:
    """The bytes of the files in a folder."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and not one.is_symlink())


def bound() -> float:
    """The bytes that all entries together may take: `$CONCLUS_CACHE_GB`, or 50 GB.

    Raises:
        UserError: the variable is not a positive number.
    """
    written = os.environ.get("CONCLUS_CACHE_GB")
    try:
        found = _LARGEST_GB if written is None else float(written)
    except ValueError:
        found = -1.0
    if not 0 < found < math.inf:
        raise UserError(f"CONCLUS_CACHE_GB={written!r} is wrong: give the most gigabytes that data may take, as 50")
    return found * _GB


def _bound(folder: Path, keep: str) -> None:
    """Removes the entries used longest ago until the others fit; who has one open keeps its pages."""
    sizes = {one: size_of(one) for one in entries(folder)}
    excess = sum(sizes.values()) - bound()
    for entry, size in sizes.items():
        if excess <= 0:
            return
        if entry.name != keep:
            remove(entry)
            excess -= size


def remove(entry: Path) -> None:
    """Removes an entry: first its name, so that nobody opens half of it.

    Raises:
        UserError: it cannot be removed.
    """
    if entry.is_symlink():  # to a larger disk
        for one in entry.iterdir():
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
        return
    gone = entry.with_name(f"{entry.name}.{os.getpid()}.gone")
    with _explained(entry.parent):
        entry.rename(gone)
        shutil.rmtree(gone)
