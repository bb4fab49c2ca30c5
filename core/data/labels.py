"""What stands in a column of labels: classes, and samples that have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.dataset import UNLABELLED, fault
from core.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Stands for a missing whole number, which numpy has no other way to write.
NO_NUMBER = -(2**63)
# How people write that a sample has no label, in small letters, beside an empty cell and NaN.
WORDS = ("-1", "na", "nan", "n/a", "<na>", "none", "null", "unlabelled", "unlabeled")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as a `core.data.dataset.Dataset` holds them.

    Attributes:
        codes: (n_samples,) in 0..n_classes-1, or `UNLABELLED`; None where no sample has one.
        names: (n_classes,), by code.
        notes: how they were read, where there was something to decide.
    """

    codes: NDArray[np.int64] | None
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_labels(raw: NDArray[Any], n_samples: int, where: Path | str) -> NDArray[Any]:
    """Checks one file's labels, as they stand in it.

    Args:
        raw: (n_samples,) or (n_samples, 1), whole numbers or strings; NaN, None and "" are no label.
        n_samples: how many samples the file has.
        where: the file, for the message.

    Returns:
        (n_samples,) integers, `NO_NUMBER` for no label; or strings without white space around them.

    Raises:
        UserError: of another length, shape or type, or a value is fractional.
    """
    flat = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
    if flat.shape != (n_samples,):
        raise fault(
            where,
            f"the labels have the shape {raw.shape}, it must be ({n_samples},), one label per sample: "
            "name the right ones with `labels`, or go without by `labels: none`",
        )
    return _values(flat, where)


def _values(raw: NDArray[Any], where: Path | str) -> NDArray[Any]:
    import numpy as np

    kind = raw.dtype.kind
    if kind not in "biufSUO":
        raise fault(where, f"the labels are of type {raw.dtype}, they must be whole numbers or strings")
    if kind in "biu":
        return raw
    if kind == "f":
        return _whole(raw, where)
    if kind == "S":
        raw = np.char.decode(raw, "utf-8", "replace")
    return np.asarray(["" if one is None or one != one else str(one) for one in raw.tolist()], dtype=object)  # noqa: PLR0124 - NaN


def _whole(raw: NDArray[Any], where: Path | str) -> NDArray[np.int64]:
    import numpy as np

    missing = np.isnan(raw)
    wrong = ~missing & ~((np.floor(raw) == raw) & (np.abs(raw) < 2**53))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise fault(
            where,
            f"the label of row {row + 1} (counted from 1) is {str(raw[row])!r}, it must be a whole number "
            "or a name: name the right ones with `labels`, or go without by `labels: none`",
        )
    return np.where(missing, NO_NUMBER, np.where(missing, 0, raw).astype(np.int64))


def encode_labels(
    raw: NDArray[Any], n_samples: int, where: Path | str, names: Sequence[str] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers the classes 0, 1, … in sorted order.

    Args:
        raw: whole numbers or strings, as `check_labels` takes them; none is missing.
        n_samples: how many samples there are.
        where: the file, for the message.
        names: what the file calls class 0, 1, …; used where `raw` is an index into it.

    Returns:
        The labels (n_samples,) and the class names (n_classes,).

    Raises:
        UserError: as `check_labels`, or there is a single class.
    """
    import numpy as np

    values, codes = np.unique(check_labels(raw, n_samples, where), return_inverse=True)
    if len(values) < 2:
        raise fault(where, f"all labels are {str(values[0])!r}: scores need 2 classes; `labels: none` goes without")
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
) -> Labels:
    """Numbers the classes 0, 1, … in sorted order, and finds the samples that have no label.

    Args:
        raw: labels as `check_labels` takes them.
        n_samples: how many samples there are.
        where: the file, for the message.
        names: what the file calls class 0, 1, …; used where `raw` is an index into it.
        unlabelled: the values that mean no label, beside empty ones and NaN. None for -1 (unless it is one of only
            two values), NA, nan, none, null and unlabelled.

    Raises:
        UserError: as `check_labels`, or there is a single class.
    """
    import numpy as np

    values, notes = _stripped(check_labels(raw, n_samples, where))
    kinds = {str(one) for one in np.unique(values).tolist()} - {"", str(NO_NUMBER)}
    said, more = _meaning_none(kinds, unlabelled)
    missing = np.isin(values.astype(str), [*said, "", str(NO_NUMBER)])
    notes = (*notes, *more)
    if missing.all():
        return Labels(None, (), (*notes, f"all {n_samples} samples are unlabelled: there are no labels"))
    codes = np.full(n_samples, UNLABELLED, np.int64)
    codes[~missing], classes = encode_labels(values[~missing], int((~missing).sum()), where, names)
    if missing.any():
        how = ", ".join(sorted(said) + ["empty"] * bool((missing & ~np.isin(values.astype(str), list(said))).any()))
        notes = (
            *notes,
            f"{counted(int(missing.sum()), 'sample', 'are')} unlabelled ({how}): trained on, left out of scores",
        )
    return Labels(codes, classes, notes)


def _stripped(values: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Names without white space around them, and which are one class by that."""
    import numpy as np

    if values.dtype.kind != "O":
        return values, ()
    bare = np.asarray([one.strip() for one in values.tolist()], dtype=object)
    whole = set(values.tolist())
    twice = sorted(one for one in whole if one != one.strip() and one.strip() in whole)
    notes = [f"the labels {one[:40]!r} and {one.strip()[:40]!r} are one class" for one in twice if one.strip()]
    return bare, tuple(notes[:3])


def _meaning_none(kinds: set[str], unlabelled: Sequence[int | str] | None) -> tuple[set[str], tuple[str, ...]]:
    """Which of the values mean no label, and what was decided about -1."""
    if unlabelled is not None:
        return kinds & {str(one).strip() for one in unlabelled}, ()
    found = {one for one in kinds if one.lower() in WORDS}
    if "-1" in found and len(kinds) == 2:
        note = "the label -1 is a class, as it is one of only two values; `unlabelled: [-1]` takes it for no label"
        return found - {"-1"}, (note,)
    return found, ()
