"""Decides which columns and arrays of a file are features, and which only look like features."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.dataset import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from core.data.layout import Layout

_LABELS = {"y", "label", "labels", "target", "targets"}
# Holds the labels where nothing of `_LABELS` does.
_CLASS = "class"
_ID = re.compile(r"(.*[_ .-])?(id|ids|uuid|guid|idx|index)|rownames|row_?number", re.IGNORECASE)
_NAME = re.compile(r"(.*[_ .-])?(name|file|filename|path|url|barcode|key|code|sample|cell|accession)", re.IGNORECASE)
_SECOND_LABEL = re.compile(
    r"(labels?|class(es)?|targets?|gt|ground_?truth)([_ .-].*|\d.*)?|.*[_ .-](labels?|class|target|gt)", re.IGNORECASE
)
# Names of classes, clusters and predictions that earlier versions took for features.
_CLASSES = r"(sub|super)[_ .-]?class(es)?|clusters?|species|categor(y|ies)|cell[_ .-]?types?"
_PREDICTED = r"(pred(s|icted|ictions?)?|louvain|leiden)([_ .-].*|\d.*)?"
_LATER_LABEL = re.compile(
    rf"(.*[_ .-])?({_CLASSES}|{_PREDICTED})([_ .-]?\d+)?|groups?|truth|y[_ .-]?(true|pred|fine|coarse)", re.IGNORECASE
)
# Of fewer rows, numbers may well grow by chance.
_FEW = 20
# Of so many rows a column shows whether it has few values, and how many values are few.
_LOOKED_AT = 2000
_VALUES = 50


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The user's options for the columns or arrays of a file; see `core.datasets.file.load`.

    For a trained model `known` are the names of its features, none for arrays; None where there is no model yet. New
    data need not have the labels and ids of the training, and the model tells how it is read. `copies` are the columns
    that repeat the labels, as `core.formats.copies` finds them.
    """

    features: tuple[str, ...] | None = None
    labels: str | None = None
    ignore: tuple[str, ...] = ()
    id: str | None = None
    decimal: str = "."
    sheet: str | None = None
    known: tuple[str, ...] | None = None
    unlabelled: tuple[int | str, ...] | None = None
    copies: tuple[str, ...] = ()
    layout: Layout | None = None
    view: str | None = None
    split: str | None = None
    size: int | None = None
    broken: str = "refuse"
    log1p: bool = False
    top_genes: int | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """The content of one file.

    Attributes:
        file: the path of the file.
        samples: (n, …), an array or a matrix in CSR; a large array may come from `core.data.prepared.room`.
        labels: (n,), as in the file.
        columns: names of the features, (features,); empty for arrays.
        class_names: the file's names of class 0, 1, ….
        left_out: as in `core.data.dataset.Dataset`.
        label_name: the column or key of the labels.
        ids: (n,) what the file calls its samples.
        notes: what else was decided while reading, in sentences.
        axes: what each axis of a stored sample was, as `("height", "width", "channels")`, where the samples have their
            final shape, (n, channels, height, width); empty where that is still to be decided.
        first_index: the number of the first feature in a file of sparse rows, 0 or 1; 0 of others.
    """

    file: Path
    samples: Any
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    label_name: str = ""
    ids: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    first_index: int = 0


def label_key(
    file: Path,
    keys: Collection[str],
    labels: str | None,
    *,
    called: Callable[[str], str] = str,
    usual: Collection[str] = (),
) -> str | None:
    """The key or column that holds the labels: the one asked for, the only one with a usual name, or else `class`.

    Args:
        file: for the message.
        keys: all keys or columns.
        labels: the one asked for.
        called: the name of a key, where keys are paths.
        usual: further names, in small letters, which this format's people give to labels.

    Returns:
        The key; None if there are no labels, or `labels` is "none" and no key has this name.

    Raises:
        UserError: the key does not exist, or several keys have usual names.
    """
    if labels is None:
        named = ([key for key in keys if called(key).lower() in names] for names in (_LABELS, usual, {_CLASS}))
        found = next((one for one in named if one), [])
        if len(found) > 1:
            raise fault(file, f"several could be the labels: {listed(found)}; name one: `labels: {found[0]}`")
        return found[0] if found else None
    if labels in keys:
        return labels
    if labels == "none":
        return None
    raise fault(file, f"the option `labels: {labels}` names none of its keys or columns: {listed(keys)}")


def check_named(file: Path, wanted: Wanted, keys: Collection[str]) -> None:
    """Checks that the columns or arrays in the options `ignore` and `id` exist.

    Raises:
        UserError: one does not exist.
    """
    if wanted.known is not None:
        return
    named = {"ignore": wanted.ignore, "id": () if wanted.id is None else (wanted.id,)}
    for option, names in named.items():
        unknown = [repr(name) for name in names if name not in keys]
        if unknown:
            raise fault(file, f"`{option}` names {listed(unknown)}, but the file has {listed(keys)}")


def check_texts(texts: Iterable[str], where: Path | str, what: Callable[[int], str]) -> None:
    """Checks that texts of a file can be written: half of a character (a lone surrogate of UTF-16) can not.

    Args:
        texts: as they were read.
        where: the file, for the message.
        what: gives what a text is in the message, from its number, counted from 1.

    Raises:
        UserError: a text is no valid Unicode.
    """
    for number, one in enumerate(texts, 1):
        if not one.isascii() and any("\ud800" <= letter <= "\udfff" for letter in one):
            raise fault(where, f"{what(number)}, {cut(one, 200)!a}, is no valid text: half of a character is left")


def printable(name: str) -> str:
    """A file's name with bytes that are no UTF-8 as escapes: nothing else can be written to a file of results."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first 20, each cut at 200 characters, and the total number."""
    every = [cut(one, 200) for one in names]
    return ", ".join(every[:20]) + (f", … ({len(every)} in all)" if len(every) > 20 else "")


def cut(name: str, length: int = 60) -> str:
    """A name of at most so many characters: a header or a class may be a whole text."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def is_label_name(name: str) -> bool:
    """Whether people call a column of labels so."""
    return name.lower() in _LABELS or any(one.fullmatch(name) for one in (_SECOND_LABEL, _LATER_LABEL))


def is_later_label_name(name: str) -> bool:
    """Whether that name says so by a rule that earlier versions had not; see `core.formats.copies.changed_reading`."""
    return _LATER_LABEL.fullmatch(name) is not None and _SECOND_LABEL.fullmatch(name) is None


def is_class_alone(name: str) -> bool:
    """Whether it is the name that means the labels where no other name does."""
    return name.lower() == _CLASS


def is_id_name(name: str, *, text: bool) -> bool:
    """Whether this is a usual name for a column of sample names; `text`: the column holds texts, not numbers."""
    return _ID.fullmatch(name) is not None or (text and _NAME.fullmatch(name) is not None)


def exact_ids(arrays: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], int]:
    """The ids of several files as one array (n,), in which different ids stay different, and how many are missing.

    Whole numbers stay such: as floats, those above 2**53 would become equal. Where values are missing (None) or of
    several kinds, all become texts, and a missing one an empty text.
    """
    import numpy as np

    kinds = {one.dtype.kind for one in arrays}
    if len(kinds) == 1 and "O" not in kinds:
        return np.concatenate(arrays), 0
    values = [value for one in arrays for value in one.tolist()]
    if all(type(value) is int for value in values) and (found := np.asarray(values)).dtype.kind in "iu":
        return found, 0
    texts = ["" if value is None else str(value) for value in values]
    return np.asarray(texts, dtype=object), sum(value is None for value in values)


def are_whole(values: NDArray[Any]) -> bool:
    """Whether all values (n,) are whole numbers and none is missing."""
    import numpy as np

    if values.dtype.kind == "f":
        return bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    return values.dtype.kind in "iu"


def look_like_index(values: NDArray[Any]) -> bool:
    """Whether whole numbers (n,) number the rows: they only grow, or are n steps of one size in any order."""
    import numpy as np

    if len(values) < _FEW or not are_whole(values):
        return False
    order = np.sort(values)
    unique = bool((order[1:] > order[:-1]).all())
    return unique and (bool((order == values).all()) or bool((np.diff(order) == order[1] - order[0]).all()))


def few_valued(samples: NDArray[Any]) -> list[int]:
    """Which columns of samples (n, features) hold whole numbers of few values, as classes and groups do.

    Up to 2,000 rows are looked at, evenly spread; of less than 20 nothing can be said.
    """
    import numpy as np

    if samples.ndim != 2 or samples.shape[0] < _FEW:
        return []
    rows = samples[:: -(-samples.shape[0] // _LOOKED_AT)]
    if hasattr(rows, "indptr"):
        return []  # counts of words and of genes are whole numbers of few values, and features
    whole = (rows == np.floor(rows)).all(axis=0) & (rows != rows[:1]).any(axis=0)
    most = min(_VALUES, len(rows) // 4)
    return [place for place in whole.nonzero()[0].tolist() if len(np.unique(rows[:, place])) <= most]
