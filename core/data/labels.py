"""Reads a column of labels: the classes, and the samples without a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.columns import check_texts, listed
from core.data.dataset import UNLABELLED, fault
from core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Marks a missing whole number, since numpy has no value for it.
NO_NUMBER = -(2**63)
# What is said of what stands for missing names and numbers.
_EMPTY = {"": "empty", str(NO_NUMBER): "empty or NaN"}
# How people write that a sample has no label, in small letters, beside an empty cell and NaN.
WORDS = ("-1", "na", "nan", "n/a", "<na>", "none", "null", "unlabelled", "unlabeled")
# What may mean the same, and is a class until somebody says that it is none.
_DOUBTFUL = ("?", "??", "-", "--", "n.a.", "unknown", "unassigned", "undefined", "missing")


class OneClassError(UserError):
    """All labels are equal."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as a `core.data.dataset.Dataset` holds them.

    Attributes:
        codes: (n_samples,) in 0..n_classes-1, or `UNLABELLED`; None if no sample has a label.
        names: (n_classes,), by code.
        notes: how they were read, where there was something to decide.
        missing: what stands in the file where there is no label, as a person writes it.
    """

    codes: NDArray[np.int64] | None
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def check_labels(raw: NDArray[Any], n_samples: int, where: Path | str) -> NDArray[Any]:
    """Checks one file's labels.

    Args:
        raw: (n_samples,) or (n_samples, 1), whole numbers or strings; NaN, None and "" are no label.
        n_samples: how many samples the file has.
        where: the file, for the message.

    Returns:
        (n_samples,) integers, `NO_NUMBER` for no label; or strings without white space around them.

    Raises:
        UserError: the labels have another length, shape or type, or a value is not a whole number.
    """
    flat = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
    if flat.shape != (n_samples,):
        raise fault(
            where,
            f"the labels have the shape {raw.shape}, but it must be ({n_samples},), one label per sample: "
            "name the right ones with `labels`, or use none with `labels: none`",
        )
    return _values(flat, where)


def _values(raw: NDArray[Any], where: Path | str) -> NDArray[Any]:
    import numpy as np

    kind = raw.dtype.kind
    if kind not in "biufSUO":
        raise fault(where, f"the labels are of type {raw.dtype}, but they must be whole numbers or strings")
    if kind in "biu":
        return raw
    if kind == "f":
        return _whole(raw, where)
    if kind == "S":
        raw = np.char.decode(raw, "utf-8", "replace")
    texts = ["" if one is None or one != one else str(one) for one in raw.tolist()]  # noqa: PLR0124 - NaN
    check_texts(texts, where, lambda number: f"label {number:,}")
    return np.asarray(texts, dtype=object)


def _whole(raw: NDArray[Any], where: Path | str) -> NDArray[np.int64]:
    import numpy as np

    missing = np.isnan(raw)
    wrong = ~missing & ~((np.floor(raw) == raw) & (np.abs(raw) < 2**53))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise fault(
            where,
            f"the label of row {row + 1} (counted from 1) is {str(raw[row])!r}, but it must be a whole number "
            "or a name: name the right ones with `labels`, or use none with `labels: none`",
        )
    return np.where(missing, NO_NUMBER, np.where(missing, 0, raw).astype(np.int64))


def encode_labels(
    raw: NDArray[Any], n_samples: int, where: Path | str, names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers the classes 0, 1, … in sorted order.

    Args:
        raw: whole numbers or strings, as `check_labels` takes them; none is missing.
        n_samples: the number of samples.
        where: the file, for the message.
        names: the file's names of class 0, 1, …; used if `raw` is an index into them.

    Returns:
        The labels (n_samples,) and the class names (n_classes,).

    Raises:
        UserError: as `check_labels`, or there is only one class.
    """
    import numpy as np

    values, codes = np.unique(check_labels(raw, n_samples, where), return_inverse=True)
    if len(values) < 2:
        said = f"all labels are {str(values[0])!r}: scores need 2 classes; `labels: none` uses no labels"
        raise OneClassError(str(fault(where, said)))
    if values.dtype.kind in "iu" and values[0] >= 0 and values[-1] < len(names):
        values = np.asarray(names)[values]
    return codes.astype(np.int64), tuple(str(value) for value in values)


def read_labels(
    raw: NDArray[Any],
    n_samples: int,
    where: Path | str,
    *,
    names: Sequence[str] = (),
    unlabelled: Sequence[int | str] | None = None,
    option: bool = True,
) -> Labels:
    """Numbers the classes 0, 1, … in sorted order, and finds the samples that have no label.

    Args:
        raw: labels as `check_labels` takes them.
        n_samples: the number of samples.
        where: the file, for the message.
        names: the file's names of class 0, 1, …; used if `raw` is an index into them.
        unlabelled: the values that mean no label, beside empty ones and NaN. None means -1 (unless it is one of only
            two values), NA, nan, none, null and unlabelled.
        option: whether the user may write `unlabelled`, which notes advise then.

    Raises:
        UserError: as `check_labels`, or there is only one class, or only value of `unlabelled` is no label.
    """
    import numpy as np

    values, notes = _stripped(check_labels(raw, n_samples, where))
    found = {str(one) for one in np.unique(values).tolist()}
    kinds = found - {"", str(NO_NUMBER)}
    _check_unlabelled(found, kinds, unlabelled, where)
    said, more = _meaning_none(kinds, unlabelled, option=option)
    missing = np.isin(values.astype(str), [*said, "", str(NO_NUMBER)])
    notes = (*notes, *more)
    if missing.all():
        return Labels(None, (), (*notes, f"all {n_samples} samples are unlabelled: there are no labels"))
    codes = np.full(n_samples, UNLABELLED, np.int64)
    codes[~missing], classes = encode_labels(values[~missing], int((~missing).sum()), where, names)
    return Labels(codes, classes, notes, (*sorted(said), *sorted({_EMPTY[one] for one in found - kinds})))


def _check_unlabelled(
    found: set[str], kinds: set[str], unlabelled: Sequence[int | str] | None, where: Path | str
) -> None:
    """Refuses a value of `unlabelled` that does not occur; `found` are the `kinds` and what stands for missing ones."""
    named = [str(one).strip() for one in unlabelled or ()]
    empty = {"", *WORDS} if found > kinds else {""}
    strange = [one for one in named if one not in kinds and one.lower() not in empty]
    if strange:
        raise fault(
            where, f"`unlabelled` names {strange[0]!r}, which is none of its labels: they are {listed(sorted(kinds))}"
        )


def _stripped(values: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Names without white space around them, and notes on names that become one class by that."""
    import numpy as np

    if values.dtype.kind != "O":
        return values, ()
    bare = np.asarray([one.strip() for one in values.tolist()], dtype=object)
    whole = set(values.tolist())
    twice = sorted(one for one in whole if one != one.strip() and one.strip() in whole)
    notes = [f"the labels {one[:40]!r} and {one.strip()[:40]!r} are one class" for one in twice if one.strip()]
    return bare, tuple(notes[:3])


def _meaning_none(
    kinds: set[str], unlabelled: Sequence[int | str] | None, *, option: bool
) -> tuple[set[str], tuple[str, ...]]:
    """Which of the values mean no label, and what was decided about -1 and about those that may mean none."""
    if unlabelled is not None:
        return kinds & {str(one).strip() for one in unlabelled}, ()

    def note(said: str, none: list[str]) -> str:
        written = ", ".join(one if one == "-1" else repr(one) for one in none)
        way = f"`unlabelled: [{written}]` takes it for no label" if option else "leave it empty where it is no label"
        return f"the label {said}; {way}"

    found = {one for one in kinds if one.lower() in WORDS}
    notes: list[str] = []
    if "-1" in found and len(kinds) == 2:
        notes = [note("-1 is a class, as it is one of only two values", ["-1"])]
        found = found - {"-1"}
    if doubtful := sorted(one for one in kinds if one.lower() in _DOUBTFUL):
        notes += [note(f"{', '.join(map(repr, doubtful))} is a class", sorted([*found, *doubtful]))]
    return found, tuple(notes)
