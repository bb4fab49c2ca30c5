"""Reads HDF5: `.h5` and `.hdf5` files of named arrays, and `.h5ad` files of AnnData.

Arrays in groups are named by their path, as `train/data`; which is which is found as `core.formats.arrays` does it.
Of `.h5ad`, `X` holds the samples, or the layer that `features` names (`layers/counts`, `obsm/X_pca`, `raw/X`), and the
columns of `obs` the labels. Counts are as in the file: they are not normalised to one sum per cell.

Source: AnnData's on-disk format, https://anndata.readthedocs.io/en/stable/fileformat-prose.html; what versions before
0.8 wrote instead was seen in their files.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from core.data.columns import Part, Wanted, check_named, is_label_name, label_key, listed
from core.data.dataset import fault
from core.data.prepared import gathered
from core.data.stored import WHOLE, Rows, is_sparse
from core.formats.arrays import compressed_rows, part_of
from core.formats.named_arrays import ArrayHead, NamedArrays

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Groups in groups; deeper ones hold no samples, and a group may hold itself.
_DEEP = 8
# Numbers that are looked at, and numbers that are read at once: 16 MiB of float32.
_AT_ONCE = 1 << 22


def read(file: Path, wanted: Wanted) -> Part:
    """Reads a `.h5`, `.hdf5` or `.h5ad` file.

    Raises:
        UserError: arrays are missing or ambiguous, or lie in other files.
        OSError, KeyError, ValueError, RuntimeError: the file is damaged.
    """
    if file.suffix.lower() != ".h5ad":
        with contents(file) as held:
            return part_of(held, wanted)
    with opened(file) as root:
        try:
            return _read_h5ad(file, root, wanted)
        except (TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"it is not as AnnData writes it: {error}") from error


@contextlib.contextmanager
def contents(file: Path) -> Generator[NamedArrays]:
    """The arrays of a `.h5` or `.hdf5` file; within the with-block they can be read."""
    with opened(file) as root:
        found = dict(_arrays(root, "", 0))
        heads = {key: ArrayHead(one.shape, _kind(one)) for key, one in found.items()}
        yield NamedArrays(file, heads, lambda key: _array(file, found[key]), paths=True)


@contextlib.contextmanager
def opened(file: Path) -> Generator[Any]:
    """The root of an HDF5 file, to read."""
    import h5py

    with h5py.File(file, "r") as root:
        yield root


def is_hdf5(file: Path) -> bool:
    """Whether a file is of HDF5, whatever its name."""
    import h5py

    return bool(h5py.is_hdf5(file))


def members(group: Any) -> Iterator[tuple[str, Any]]:
    """What lies in a group itself: links to other places and to other files are not followed."""
    import h5py

    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield name, group[name]


def child(file: Path, group: Any, path: str) -> Any:
    """What lies at a path below a group, along links within the file; None if there is nothing.

    Raises:
        UserError: it lies in another file, which is no part of the content that results are of.
    """
    import h5py

    node, steps, followed = group, path.split("/"), 0
    while steps:
        step = steps.pop(0)
        if not step:
            continue
        if not isinstance(node, h5py.Group):
            return None
        link = node.get(step, getlink=True)
        if isinstance(link, h5py.HardLink):
            node = node[step]
        elif isinstance(link, h5py.SoftLink) and followed < _DEEP:
            followed += 1
            node = node.file if link.path.startswith("/") else node
            steps = [*link.path.split("/"), *steps]
        elif isinstance(link, h5py.ExternalLink):
            raise fault(file, f"{path} is a link to another file: copy what lies there into this one")
        else:
            return None
    return node


def needed(file: Path, group: Any, path: str) -> Any:
    """As `child`.

    Raises:
        UserError: it lies in another file.
        KeyError: there is nothing.
    """
    found = child(file, group, path)
    if found is None:
        raise KeyError(f"there is no {path} in {group.name}")
    return found


def checked(file: Path, dataset: Any) -> Any:
    """An array of HDF5 whose values lie in this file: others are not part of the content that results are of.

    Raises:
        UserError: they lie in another file.
    """
    if dataset.external or dataset.is_virtual:
        raise fault(file, f"the values of {dataset.name} lie in other files: save them in this one")
    return dataset


def _arrays(group: Any, above: str, depth: int) -> Iterator[tuple[str, Any]]:
    """All arrays, by their path."""
    import h5py

    for name, one in members(group):
        if isinstance(one, h5py.Dataset) and one.shape is not None:
            yield f"{above}{name}", one
        elif isinstance(one, h5py.Group) and depth < _DEEP:
            yield from _arrays(one, f"{above}{name}/", depth + 1)


def _kind(dataset: Any) -> Any:
    import h5py
    import numpy as np

    return np.dtype(np.str_) if h5py.check_string_dtype(dataset.dtype) else dataset.dtype


def _array(file: Path, dataset: Any) -> Any:
    """An array: texts and vectors at once, others when rows of them are needed."""
    import h5py
    import numpy as np

    checked(file, dataset)
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr(errors="replace")[()], dtype=object)
    return Rows(dataset, tuple(range(dataset.ndim))) if dataset.ndim > 1 else dataset[()]


class _Frame(NamedTuple):
    """A table of AnnData: the names of its rows, and its columns."""

    rows: NDArray[Any]
    columns: dict[str, Callable[[], NDArray[Any]]]


def _read_h5ad(file: Path, root: Any, wanted: Wanted) -> Part:
    matrices = _matrices(file, root)
    path = "X" if wanted.features is None else ", ".join(wanted.features)
    if path not in matrices:
        raise fault(file, f"there is no matrix {path!r} in it: name one of {listed(matrices)}, as in `features: X`")
    if wanted.log1p and path == "X" and child(file, root, "uns/log1p") is not None:
        raise fault(file, "its `uns/log1p` says that X holds logarithms already: leave out `log1p`")
    obs = _frame(file, root, "obs")
    check_named(file, wanted, obs.columns)
    columns = [name for name in obs.columns if name not in {wanted.id, *wanted.ignore}]
    labelled = None if wanted.known is not None else label_key(file, columns, wanted.labels)
    samples, notes = _matrix(file, matrices[path])
    names = () if path.startswith("obsm/") else _names(file, root, "raw/var" if path == "raw/X" else "var")
    if names and len(names) != samples.shape[1]:
        raise fault(file, f"{path} has {samples.shape[1]} columns, but `var` names {len(names)}: is it damaged?")
    if wanted.known and names:
        places = _places(file, names, wanted.known)
        samples, names = samples[:, places], wanted.known
    samples, more = _logged(file, samples, wanted)
    notes = (*notes, *more)
    if wanted.top_genes is not None and wanted.known is None:
        kept = _most_variable(file, samples, wanted.top_genes)
        notes = (*notes, f"{len(kept)} of {samples.shape[1]} features are kept, those of the largest variance")
        samples, names = samples[:, kept], tuple(names[place] for place in kept.tolist()) if names else ()
    like = [name for name in columns if name != labelled and is_label_name(name)]
    return Part(
        file,
        samples,
        None if labelled is None else obs.columns[labelled](),
        columns=tuple(names),
        left_out=tuple(f"{name} (like a label; `labels: {name}` scores by it)" for name in like),
        label_name=labelled or "",
        ids=obs.columns[wanted.id]() if wanted.id in obs.columns else obs.rows,
        notes=notes,
    )


def _matrices(file: Path, root: Any) -> dict[str, Any]:
    """The matrices with a row for each cell, by their path; before version 0.7 `raw/X` was called `raw.X`."""
    raw = child(file, root, "raw/X")
    found = {"X": child(file, root, "X"), "raw/X": child(file, root, "raw.X") if raw is None else raw}
    for name in ("layers", "obsm"):
        group = child(file, root, name)
        found |= {} if group is None else {f"{name}/{key}": one for key, one in members(group)}
    return {path: one for path, one in found.items() if one is not None and (_form(one) or _is_dense(one))}


def _is_dense(node: Any) -> bool:
    return getattr(node, "ndim", None) == 2 and node.dtype.kind in "biuf"


def _form(node: Any) -> str:
    """`csr` or `csc` of a sparse matrix, else an empty text."""
    form = _attribute(node, "encoding-type") or _attribute(node, "h5sparse_format")
    return form.removesuffix("_matrix").removesuffix("_array") if form.startswith("cs") else ""


def _attribute(node: Any, name: str) -> str:
    found = node.attrs.get(name, "")
    return found.decode() if isinstance(found, bytes) else str(found)


def _matrix(file: Path, node: Any) -> tuple[Any, tuple[str, ...]]:
    """A matrix (cells, features): sparse by rows, or dense."""
    import numpy as np
    from scipy import sparse

    form = _form(node)
    if not form:
        return gathered([Rows(checked(file, node), (0, 1))]), ()
    attributes = node.attrs
    shape = tuple(int(one) for one in attributes["shape" if "shape" in attributes else "h5sparse_shape"])
    data, indices, indptr = (checked(file, needed(file, node, name)) for name in ("data", "indices", "indptr"))
    # A matrix that stays sparse is trained on as float32: larger numbers would only take memory.
    large = math.prod(shape) > WHOLE and data.dtype != np.float32
    values = data.astype(np.float32)[()] if large else data[()]
    makers: dict[str, Any] = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
    return compressed_rows(makers[form]((values, indices[()], indptr[()]), shape=shape))


def _places(file: Path, names: Sequence[str], known: Sequence[str]) -> list[int]:
    """The columns of the features of a trained model."""
    places = {name: place for place, name in enumerate(names)}
    missing = [name for name in known if name not in places]
    if missing:
        raise fault(file, f"it lacks features that the model was trained on: {listed(missing)}")
    return [places[name] for name in known]


def _frame(file: Path, root: Any, path: str) -> _Frame:
    """A table, whose columns are read when they are needed.

    Before version 0.8 the categories of a column were beside it; before 0.7 a table was one array of records.
    """
    import h5py

    group = needed(file, root, path)
    if isinstance(group, h5py.Dataset):
        records = checked(file, group)[()]
        first, *others = records.dtype.names
        readers = {name: lambda n=name: _of_records(file, root, records, n) for name in others}
        return _Frame(_texts(records[first]), readers)
    index = _attribute(group, "_index") or "_index"
    order = [one.decode() if isinstance(one, bytes) else str(one) for one in group.attrs.get("column-order", ())]
    nodes = {name: child(file, group, name) for name in order if name != index}
    columns = {name: lambda n=node: _column(file, n) for name, node in nodes.items() if node is not None}
    return _Frame(_column(file, needed(file, group, index)), columns)


def _names(file: Path, root: Any, path: str) -> tuple[str, ...]:
    path = path.replace("/", ".") if child(file, root, path) is None else path
    return tuple(str(one) for one in _frame(file, root, path).rows.tolist())


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    """Values with bytes as texts."""
    import numpy as np

    if values.dtype.kind not in "SO":
        return values
    return np.asarray(
        [one.decode(errors="replace") if isinstance(one, bytes) else one for one in values.tolist()], object
    )


def _of_records(file: Path, root: Any, records: Any, name: str) -> NDArray[Any]:
    values, names = _texts(records[name]), child(file, root, f"uns/{name}_categories")
    return values if names is None else _of_codes(values, _texts(checked(file, names)[()]))


def _column(file: Path, node: Any) -> NDArray[Any]:
    """A column (cells,): numbers or texts, None where a value is missing."""
    import h5py

    if isinstance(node, h5py.Dataset):
        values = _texts(checked(file, node)[()])
        beside = node.attrs.get("categories")
        if beside is None:
            return values
        names = node.file[beside] if isinstance(beside, h5py.Reference) else needed(file, node.file, str(beside))
        return _of_codes(values, _column(file, names))
    if (codes := child(file, node, "codes")) is not None:
        return _of_codes(checked(file, codes)[()], _column(file, needed(file, node, "categories")))
    values, missing = (_column(file, needed(file, node, name)) for name in ("values", "mask"))
    return _with_none(values, missing.astype(bool)) if missing.any() else values


def _of_codes(codes: NDArray[Any], categories: NDArray[Any]) -> NDArray[Any]:
    """The categories (cells,) of codes; -1 is none."""
    return _with_none(categories[codes], codes < 0) if (codes < 0).any() else categories[codes]


def _with_none(values: NDArray[Any], missing: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = values.astype(object)
    found[missing] = None
    return found


def _blocks(samples: Any) -> Iterator[tuple[slice, Any]]:
    """Rows of a matrix, so many at once that it is a few million numbers."""
    numbers = samples.nnz if is_sparse(samples) else samples.size
    step = max(1, _AT_ONCE * samples.shape[0] // max(1, numbers))
    for start in range(0, samples.shape[0], step):
        yield slice(start, start + step), samples[start : start + step]


def _logged(file: Path, samples: Any, wanted: Wanted) -> tuple[Any, tuple[str, ...]]:
    """The samples, as log(1 + x) if that is wanted, and what their values look like."""
    import numpy as np

    values = samples.data if is_sparse(samples) else samples
    some = values.reshape(-1)[:_AT_ONCE]
    low, high = (some.min(), some.max()) if some.size else (0, 0)
    counts = bool(low >= 0 and (some.dtype.kind != "f" or (some == np.floor(some)).all()))
    if not wanted.log1p:
        told = f"the values are whole numbers up to {high:g}: `log1p: true` reads counts as log(1 + count)"
        return samples, (told,) if counts and high > 1 else ()
    if any(block.min() < 0 for _, block in _blocks(samples)):
        raise fault(file, "`log1p` is for counts, and there are numbers below 0: leave it out")
    kind = np.float32 if math.prod(samples.shape) > WHOLE else np.result_type(values.dtype, np.float32)
    if is_sparse(samples):
        samples = samples.astype(kind, copy=False)
        np.log1p(samples.data, out=samples.data)
    else:
        logged = np.empty(samples.shape, kind)
        for rows, block in _blocks(samples):
            logged[rows] = np.log1p(block, dtype=kind)
        samples = logged
    doubt = "" if counts else f"; they are no whole numbers (the largest seen is {high:g}): were they logged before?"
    return samples, (f"values x are read as log(1 + x){doubt}",)


def _most_variable(file: Path, samples: Any, count: int) -> NDArray[Any]:
    """The columns of the largest variance, in their order; of equal ones the first.

    The variance is the mean of the squared differences from the mean, of the numbers as they are trained on. It is the
    plainest of the usual rules: others set it against the mean (Seurat) or a fitted curve (`seurat_v3`).
    """
    import numpy as np

    features = samples.shape[1]
    if count > features:
        raise fault(file, f"`top_genes: {count}` is more than its {features} features: give a smaller number")
    mean, variance, filled = np.zeros(features), np.zeros(features), np.zeros(features)
    for _, block in _blocks(samples):
        if is_sparse(block):
            mean += np.bincount(block.indices, block.data, features)
            filled += np.bincount(block.indices, minlength=features)
        else:
            mean += block.sum(axis=0, dtype=np.float64)
    mean /= samples.shape[0]
    for _, block in _blocks(samples):
        if is_sparse(block):
            variance += np.bincount(block.indices, np.square(block.data - mean[block.indices]), features)
        else:
            variance += np.square(block - mean).sum(axis=0)
    if is_sparse(samples):
        variance += (samples.shape[0] - filled) * np.square(mean)
    return np.sort(np.argsort(-variance, kind="stable")[:count])
