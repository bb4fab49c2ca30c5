"""Splitting a data set into parts: by a column that says so, or by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.data import PARTS, fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# What people call the parts, in small letters.
_NAMES = {
    "train": 0,
    "training": 0,
    "validation": 1,
    "val": 1,
    "valid": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
}


def named(codes: NDArray[np.int64], names: Sequence[str], where: Path | str) -> NDArray[np.int8]:
    """The parts that a column of labels means, as indices into `PARTS`.

    Args:
        codes: which of `names` each sample has, (n,).
        names: train, validation (val, valid, dev) and test; or 0, 1 and 2; or 0 and 1 for train and test.
        where: the file, for the message.

    Raises:
        UserError: a name is none of these, or there is nothing to train on.
    """
    import numpy as np

    numbers = {"0": 0, "1": 1, "2": 2} if "2" in names else {"0": 0, "1": 2}
    meanings = [(_NAMES | numbers).get(one.strip().lower()) for one in names]
    found = [one for one in meanings if one is not None]
    if len(found) < len(names):
        strange = names[meanings.index(None)]
        raise fault(where, f"{strange!r} is no part of a split: use {', '.join(PARTS)}, or 0, 1, 2")
    if 0 not in found:
        raise fault(where, f"the split has no part to train on, only {', '.join(names)}")
    return np.asarray(found, np.int8)[codes]


def drawn(parts: NDArray[np.int8], part: str, share: float, seed: int, where: Path | str) -> NDArray[np.int8]:
    """The same parts, with a share of the samples to train on moved to another part by chance.

    Args:
        parts: indices into `PARTS`, (n,).
        part: the part that they are moved to.
        share: of those to train on; at least one sample if it is above 0.
        seed: of the chance.
        where: the file, for the message.

    Raises:
        UserError: fewer than 2 samples are left to train on.
    """
    import numpy as np

    rows, target = (parts == 0).nonzero()[0], PARTS.index(part)
    count = max(1, round(share * len(rows))) if share else 0
    if len(rows) - count < 2:
        raise fault(where, f"the {part} part takes {count} of {len(rows)} samples: at least 2 must be left to train on")
    chosen = np.random.default_rng([seed, target]).permutation(rows)[:count]
    result = parts.copy()
    result[chosen] = target
    return result
