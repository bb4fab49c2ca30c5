"""Which columns and arrays of a file are features, and which only look like numbers to learn from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.dataset import fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

_LABELS = {"y", "label", "labels", "target", "targets"}
_ID = re.compile(r"(.*[_ .-])?(id|ids|uuid|guid|idx|index)|rownames|row_?number", re.IGNORECASE)
_NAME = re.compile(r"(.*[_ .-])?(name|file|filename|path|url|barcode|key|code|sample|cell|accession)", re.IGNORECASE)
_SECOND_LABEL = re.compile(
    r"(labels?|class(es)?|targets?|gt|ground_?truth)([_ .-].*|\d.*)?|.*[_ .-](labels?|class|target|gt)", re.IGNORECASE
)
# Of fewer rows, numbers may well grow by chance.
_FEW = 20


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user says of the columns or arrays of a file; see `core.datasets.file.load`.

    For a trained model `known` are the names of its features, none for arrays; None where there is no model yet. New
    data need not have the labels and ids of the training, and the model tells how it is read.
    """

    features: tuple[str, ...] | None = None
    labels: str | None = None
    ignore: tuple[str, ...] = ()
    id: str | None = None
    decimal: str = "."
    known: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """What was read from one file.

    Attributes:
        file: where from.
        samples: (n, …).
        labels: (n,) as they stand in it.
        columns: names of the features, (features,); none for arrays.
        class_names: what the file calls class 0, 1, ….
        left_out: as in `core.data.dataset.Dataset`.
        label_name: the column or key of the labels.
        ids: (n,) what the file calls its samples.
    """

    file: Path
    samples: NDArray[Any]
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    label_name: str = ""
    ids: NDArray[Any] | None = None


def label_key(file: Path, keys: Collection[str], labels: str | None) -> str | None:
    """The key or column that holds the labels: the one asked for, or the only one with a usual name.

    Returns:
        None where there are none, or `labels` is "none" and no key is called so.

    Raises:
        UserError: there is no such key, or several have usual names.
    """
    if labels is None:
        found = [key for key in keys if key.lower() in _LABELS]
        if len(found) > 1:
            raise fault(file, f"several could be the labels: {listed(found)}; name one: `labels: {found[0]}`")
        return found[0] if found else None
    if labels in keys:
        return labels
    if labels == "none":
        return None
    raise fault(file, f"the option `labels: {labels}` names none of its keys or columns: {listed(keys)}")


def check_named(file: Path, wanted: Wanted, keys: Collection[str]) -> None:
    """Checks that the options `ignore` and `id` name columns or arrays that are there.

    Raises:
        UserError: one is not.
    """
    if wanted.known is not None:
        return
    named = {"ignore": wanted.ignore, "id": () if wanted.id is None else (wanted.id,)}
    for option, names in named.items():
        unknown = [repr(name) for name in names if name not in keys]
        if unknown:
            raise fault(file, f"`{option}` names {listed(unknown)}, it has {listed(keys)}")


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first 20, each cut at 200 characters, and how many there are."""
    every = [cut(one, 200) for one in names]
    return ", ".join(every[:20]) + (f", … ({len(every)} in all)" if len(every) > 20 else "")


def cut(name: str, length: int = 60) -> str:
    """A name of at most so many characters: a header or a class may be a whole text."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def is_label_name(name: str) -> bool:
    """Whether people call a column of labels so."""
    return name.lower() in _LABELS or _SECOND_LABEL.fullmatch(name) is not None


def is_id_name(name: str, *, text: bool) -> bool:
    """Whether people call the names of their samples so; `text`: it holds texts, not numbers."""
    return _ID.fullmatch(name) is not None or (text and _NAME.fullmatch(name) is not None)


def are_whole(values: NDArray[Any]) -> bool:
    """Whether values (n,) are whole numbers, none of them missing."""
    import numpy as np

    if values.dtype.kind == "f":
        return bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    return values.dtype.kind in "iu"


def look_like_index(values: NDArray[Any]) -> bool:
    """Whether whole numbers (n,) count the rows: they only grow, or are n neighbours in any order."""
    import numpy as np

    if len(values) < _FEW or not are_whole(values):
        return False
    order = np.sort(values)
    unique = bool((order[1:] > order[:-1]).all())
    return unique and (bool((order == values).all()) or int(order[-1]) - int(order[0]) == len(values) - 1)
