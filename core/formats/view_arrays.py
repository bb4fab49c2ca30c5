"""Reads several views of the same samples from the arrays of `.npz`, `.mat` and `.h5`, or a folder of `.npy` files.

Other arrays tell of the views: `NAME_lengths` or `lengths` how many steps of each sequence are real, `NAME_mask` (n,)
or (n, steps) what is there (1) or missing (0), and `mask` (n, views) that of all views.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.columns import Wanted, check_named, is_id_name, is_label_name, label_key, listed
from core.data.dataset import damage, fault
from core.data.stored import Rows, is_sparse
from core.formats import arrays, hdf5, mat, named_arrays
from core.formats.named_arrays import ArrayHead, NamedArrays
from core.formats.views import ViewsOfFile, damaged, joined_parts, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from core.formats.registry import DataFiles

SUFFIXES = (".npz", ".npy", ".mat", ".h5", ".hdf5")
# What the names of arrays that tell of views end in.
_TELLING = ("lengths", "mask")
# The start of the reason for an array that holds the names of the samples.
_ID = "id: "


def read(found: DataFiles, wanted: Wanted) -> ViewsOfFile:
    """Reads the views of a file of arrays, or of a folder of `.npy` files.

    Args:
        found: what lies at the path, with a suffix of `SUFFIXES`.
        wanted: `features` names the views and orders them.

    Raises:
        UserError: the file is damaged or ambiguous.
    """
    try:
        with _contents(found) as held:
            return _of_arrays(held, wanted)
    except damage() as error:
        raise damaged(found.files[0], error) from error


@contextlib.contextmanager
def _contents(found: DataFiles) -> Generator[NamedArrays]:
    if found.suffix == ".npy":
        yield _of_folder(found)
        return
    reader: Any = {".npz": arrays, ".mat": mat}.get(found.suffix, hdf5)
    with reader.contents(found.files[0]) as held:
        yield held


def _of_folder(found: DataFiles) -> NamedArrays:
    """The files of a folder as arrays, which are mapped."""
    import numpy as np

    values: dict[str, NDArray[Any]] = {}
    for file in found.files:
        try:
            values[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
        except damage() as error:
            raise damaged(file, error) from error
    heads = {key: ArrayHead(one.shape, one.dtype) for key, one in values.items()}
    return NamedArrays(Path(found.path), heads, values.__getitem__)


def _of_arrays(held: NamedArrays, wanted: Wanted) -> ViewsOfFile:
    """The views among named arrays, those of train and test one after the other."""
    halves = named_arrays.halves_of(held, wanted)
    if not halves:
        if wanted.split not in {None, "all"}:
            raise fault(held.file, f"`split: {wanted.split}`: it has no two parts, as x_train and x_test: leave it out")
        check_named(held.file, wanted, held.heads)
        return _one(held, wanted)
    check_named(held.file, wanted, {*held.heads, *halves["train"]})
    names = [wanted.split] if wanted.split in halves else list(halves)
    found = [_one(named_arrays.half_of(held, halves[name]), wanted) for name in names]
    counts = " and ".join(f"{one.n_samples} of {name}" for one, name in zip(found, names, strict=True))
    return joined_parts(found, f"the samples are {counts} (`split`)")


def _one(held: NamedArrays, wanted: Wanted) -> ViewsOfFile:
    """Chooses among the arrays of one part."""
    taken = {wanted.id, *wanted.ignore}
    keys = [key for key in held.heads if key not in {*taken, *(wanted.features or ())}]
    labelled = label_key(held.file, keys, wanted.labels, called=held.called, usual=held.usual)
    labels, notes = (None, ()) if labelled is None else named_arrays.labels_of(held, labelled)
    count = None if labels is None else len(labels)
    usual = _usual(held, {*taken, labelled}, count)
    chosen = list(usual if wanted.features is None else wanted.features)
    if unknown := [repr(name) for name in chosen if name not in held.heads]:
        raise fault(held.file, f"`views` names {listed(unknown)}, but it holds {_holds(held)}")
    if len({*chosen}) < len(chosen):
        raise fault(held.file, f"`views: [{listed(chosen)}]` names a view twice: name each once")
    if not chosen:
        rows = "rows of numbers" if count is None else f"a row of numbers for each of its {count:,} labels"
        raise fault(held.file, f"no array in it has {rows}, as a view has: it holds {_holds(held)}")
    if wanted.features is None and len(chosen) < 2 and count is not None:
        others = [key for key in _usual(held, {*taken, labelled}, None) if key not in chosen]
        _refuse_short(held, chosen[0], others, count)
    turned = _turned(held, chosen, count)
    telling = _Telling(held, usual)
    views = {key: _view(held, key, telling, turned=turned[key]) for key in chosen}
    n_samples = len(views[chosen[0]])
    left = dict.fromkeys(wanted.ignore, "ignored") | _left_out(held, {*taken, *chosen, labelled}, n_samples)
    ids = (
        wanted.id if wanted.id in held.heads else next((key for key, why in left.items() if why.startswith(_ID)), None)
    )
    if any(turned.values()):
        last = listed(key for key in chosen if turned[key])
        notes = (*notes, f"the samples are the last axis of {last}, as {'its labels' if count else 'their sizes'} say")
    return ViewsOfFile(
        held.file,
        views,
        labels=labels,
        label_name=labelled or "",
        class_names=named_arrays.class_names(held),
        ids=None if ids is None else held.read(ids).reshape(-1),
        left_out=tuple(f"{key} ({why.removeprefix(_ID)})" for key, why in left.items()),
        notes=(*notes, *telling.notes),
    )


def _refuse_short(held: NamedArrays, view: str, others: Sequence[str], count: int) -> None:
    """Refuses to learn from a single view where others would be views but for their number of rows."""
    if others:
        shapes = listed(f"{key} {held.heads[key].shape}" for key in others)
        raise fault(
            held.file,
            f"of its arrays only {view!r} has a row for each of its {count:,} labels, and these have not: {shapes}; "
            f"give them such rows, or name the one view by `views: [{view}]`",
        )


def _holds(held: NamedArrays) -> str:
    return listed(f"{key} {head.shape} {head.dtype}" for key, head in held.heads.items()) or "nothing"


def _usual(held: NamedArrays, taken: set[str | None], count: int | None) -> list[str]:
    """The arrays that are views by their shape and type, in the order of the file: of floats, or numbered as X1, X2."""
    rest = {
        key: head
        for key, head in held.heads.items()
        if key not in taken and not _tells(held, key) and not is_label_name(held.called(key))
    }
    numbered = named_arrays.numbered_views(held, [key for key, head in rest.items() if head.dtype.kind in "biuf"])
    found = [key for key, head in rest.items() if len(head.shape) in {2, 3} and head.dtype.kind == "f"]
    found = sorted({*found, *numbered}, key=list(rest).index)
    return [key for key in found if count is None or count in _ends(held, key)]


def _tells(held: NamedArrays, key: str) -> bool:
    """Whether an array tells which samples have a view, or how long its sequences are."""
    start, _, end = key.rpartition("_")
    return end in _TELLING and (not start or start in held.heads)


def _ends(held: NamedArrays, key: str) -> tuple[int, ...]:
    """The axes that may be the samples: the first, and of MATLAB's matrices the last."""
    shape = held.heads[key].shape
    return (*shape[:1], *(shape[1:] if held.loose and len(shape) == 2 else ()))


def _turned(held: NamedArrays, chosen: Sequence[str], count: int | None) -> dict[str, bool]:
    """Whether the samples are the last axis of each view.

    Raises:
        UserError: the views have no common number of samples, or it is not that of the labels, or both axes may be it.
    """
    ends = {key: _ends(held, key) for key in chosen}
    if count is None:
        first = {one[:1] for one in ends.values()}
        if len(first) == 1:
            return dict.fromkeys(chosen, False)
        last = {one[1:] for one in ends.values()}
        if len(last) == 1 and () not in last:
            return dict.fromkeys(chosen, True)
        shapes = listed(f"{key} {held.heads[key].shape}" for key in chosen)
        raise fault(
            held.file,
            f"its views have different numbers of rows ({shapes}): name those of the same samples with `views`",
        )
    for key, one in ends.items():
        if count not in one:
            raise fault(
                held.file,
                f"the view {key!r} has the shape {held.heads[key].shape}, but there are {count:,} "
                "labels: it must have a row for each",
            )
    sure = {one[0] != count for one in ends.values() if one != (count, count)}
    if len(sure) != 1 and (count, count) in ends.values():
        key = next(key for key, one in ends.items() if one == (count, count))
        raise fault(
            held.file,
            f"the view {key!r} is {count} x {count}: its samples may be the rows or the columns; "
            "save it with a row for each sample, as an .npz",
        )
    return {key: one[0] != count if one != (count, count) else sure == {True} for key, one in ends.items()}


def _left_out(held: NamedArrays, taken: set[str | None], n_samples: int) -> dict[str, str]:
    """The arrays that were not read, with the reason; those that tell of views are."""
    left: dict[str, str] = {}
    for key, (shape, dtype) in held.heads.items():
        name, text = held.called(key), dtype.kind in "SUO"
        if key in taken or _tells(held, key) or not shape:
            continue
        if n_samples not in _ends(held, key):
            left[key] = f"of shape {shape}: not a row for each sample"
        elif len(shape) == 1 and is_id_name(name, text=text) and (text or dtype.kind in "iu"):
            left[key] = f"{_ID}{'texts' if text else 'whole numbers'}"
        elif is_label_name(name):
            left[key] = f"a label by its name; `labels: {key}` scores by it"
        else:
            left[key] = f"{'texts' if text else dtype} of shape {shape}; name it in `views` to learn from it"
    return left


class _Telling:
    """The arrays that tell which samples have a view, and how long its sequences are.

    Args:
        held: all arrays of the file.
        usual: the views that the columns of `mask` stand for, in their order.
    """

    def __init__(self, held: NamedArrays, usual: Sequence[str]) -> None:
        self._held, self._usual = held, usual
        self.notes: list[str] = []

    def absent(self, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """What of a view (n, …) of this shape is not there, (n,) or (n, steps)."""
        import numpy as np

        gone = np.zeros(shape[:-1], bool)
        found = self._lengths(key, shape)
        if found is not None:
            gone |= np.arange(shape[1]) >= found[:, None]
        found = self._mask(key, shape)
        if found is not None:
            gone |= ~(found if found.ndim == gone.ndim else found[:, None])
        return gone

    def _lengths(self, key: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
        name = next((one for one in (f"{key}_lengths", "lengths") if one in self._held.heads), None)
        if name is None or (len(shape) < 3 and name == "lengths"):
            return None
        values = self._read(name)
        if len(shape) < 3 or values.shape != shape[:1]:
            what = f"the view {key!r} has the shape {shape}"
            raise fault(self._held.file, f"{name!r} has the shape {values.shape}, but {what}: one length per sequence")
        if values.dtype.kind not in "iuf" or ((values != values.round()) | (values < 0) | (values > shape[1])).any():
            raise fault(self._held.file, f"{name!r} must be whole numbers from 0 to {shape[1]}, the steps of {key!r}")
        return values

    def _mask(self, key: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
        own = f"{key}_mask"
        name = own if own in self._held.heads else "mask"
        if name not in self._held.heads:
            return None
        values = self._read(name)
        if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
            raise fault(self._held.file, f"{name!r} must be of 1, where the view is there, and 0, where it is missing")
        if name == own:
            if values.shape not in {shape[:1], shape[:2]} or (len(shape) == 2 and values.ndim != 1):
                raise fault(self._held.file, f"{name!r} has the shape {values.shape}, but the view has {shape}")
            return values == 1
        if values.shape != (shape[0], len(self._usual)) or key not in self._usual:
            raise fault(
                self._held.file,
                f"'mask' has the shape {values.shape}, but there are {shape[0]} samples and {len(self._usual)} views "
                f"({listed(self._usual)}): give a column for each of them, or an array {own!r} for each view",
            )
        if not self.notes:
            self.notes.append(f"the columns of mask are the views {listed(self._usual)}; 1 is there, 0 is missing")
        return values[:, self._usual.index(key)] == 1

    def _read(self, name: str) -> NDArray[Any]:
        values = self._held.read(name)
        return values[:] if isinstance(values, Rows) else values


def _view(held: NamedArrays, key: str, telling: _Telling, *, turned: bool) -> Any:
    """One view: an array (n, features) or (n, steps, features), or a list of n texts."""
    import numpy as np

    values: Any = held.read(key)
    values = values[:] if isinstance(values, Rows) else values
    values = values.toarray() if is_sparse(values) else values
    if values.ndim == 1 and values.dtype.kind in "SUO":
        absent = telling.absent(key, (len(values), 1))
        return [None if gone else text_of(one) for one, gone in zip(values.tolist(), absent, strict=True)]
    if values.dtype.kind not in "biuf":
        raise fault(held.file, f"the view {key!r} is of type {values.dtype}: it must be of real numbers or of texts")
    values = values.T if turned else values[:, None] if values.ndim == 1 else values
    if values.ndim not in {2, 3} or 0 in values.shape:
        wanted = "(samples, features), or (samples, steps, features) for sequences"
        raise fault(held.file, f"the view {key!r} has the shape {values.shape}, but it must be {wanted}")
    values = np.asarray(values, np.result_type(values.dtype, np.float32))
    absent = telling.absent(key, values.shape)
    return np.where(absent[..., None], np.nan, values).astype(values.dtype) if absent.any() else values
