"""Splits a data set into parts: by a column, or at random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.data.dataset import PARTS, fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Usual names of the parts, in small letters.
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
    """The parts that a column of labels names, as indices into `PARTS`.

    Args:
        codes: the index into `names` of each sample, (n,).
        names: train, validation (val, valid, dev) and test; or 0, 1 and 2; or 0 and 1 for train and test.
        where: the file, for the message.

    Raises:
        UserError: a name is not one of these, a sample has none, or no sample is for training.
    """
    import numpy as np

    if (codes < 0).any():
        row = int(np.argmax(codes < 0)) + 1
        raise fault(where, f"row {row} (counted from 1) is in no part of the split: use {', '.join(PARTS)}, or 0, 1, 2")
    numbers = {"0": 0, "1": 1, "2": 2} if "2" in names else {"0": 0, "1": 2}
    meanings = [(_NAMES | numbers).get(one.strip().lower()) for one in names]
    found = [one for one in meanings if one is not None]
    if len(found) < len(names):
        strange = names[meanings.index(None)]
        raise fault(where, f"{strange!r} is not a part of a split: use {', '.join(PARTS)}, or 0, 1, 2")
    if 0 not in found:
        raise fault(where, f"the split has no part to train on, only {', '.join(names)}")
    return np.asarray(found, np.int8)[codes]


def check_shares(validation: float, test: float, where: Path | str) -> None:
    """Checks that shares of all samples leave some to train on.

    Raises:
        UserError: together they are all samples or more.
    """
    if validation + test >= 1:
        said = f"`validation: {validation:g}` and `test: {test:g}` are {validation + test:g} of the samples together"
        raise fault(where, f"{said}: they must be less than 1, as some are to be trained on")


def drawn(
    parts: NDArray[np.int8],
    part: str,
    share: float,
    seed: int,
    where: Path | str,
    *,
    groups: NDArray[np.int64] | None = None,
    why: str = "",
) -> NDArray[np.int8]:
    """The same parts, with a random share of the training samples moved to another part.

    Args:
        parts: indices into `PARTS`, (n,).
        part: the part that they are moved to.
        share: the share of the training samples; at least one sample if it is above 0.
        seed: the seed of the draw.
        where: the file, for the message.
        groups: which samples stay together, as `together` gives them, (n,); None where each stands alone.
        why: what joins them, for the message.

    Raises:
        UserError: fewer than 2 samples are left to train on, or a group is too large for such a part.
    """
    import numpy as np

    rows, target = (parts == 0).nonzero()[0], PARTS.index(part)
    count = max(1, round(share * len(rows))) if share else 0
    if len(rows) - count < 2:
        raise fault(where, f"the {part} part takes {count} of {len(rows)} samples: at least 2 must remain for training")
    _, first, unit, sizes = np.unique(
        rows if groups is None else groups[rows], return_index=True, return_inverse=True, return_counts=True
    )
    # Groups are in the order of their first samples: without repeats, the draw is the same as without groups.
    order = np.random.default_rng([seed, target]).permutation(np.argsort(first))
    chosen = _filled(order, sizes, count)
    moved = int(sizes[chosen].sum())
    if sizes.max() > len(rows) - count or len(rows) - moved < max(2, min(moved, count)):
        if len(sizes) == 1:
            way = "no part can be split off: mend what joins them, or give the parts by `split_by`"
        else:
            most = math.floor(1000 * (len(rows) - int(sizes.max())) / len(rows)) / 1000
            way = f"too many for a {part} part of {count}: choose a share of at most {most:g}, or give the parts by "
            way += "`split_by`"
        raise fault(where, f"{sizes.max()} of {len(rows)} samples belong together ({why}): {way}")
    result = parts.copy()
    result[rows[np.isin(unit, chosen)]] = target
    return result


def _filled(order: NDArray[np.int64], sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first groups in this order with at most `count` samples in all; if each is larger, the first smallest one."""
    import numpy as np

    chosen: list[int] = []
    left = count
    for one in order.tolist():
        if not left:
            break
        if sizes[one] <= left:
            chosen.append(one)
            left -= int(sizes[one])
    if count and not chosen:
        chosen = [int(order[np.argmin(sizes[order])])]
    return np.asarray(chosen, np.int64)


def together(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Groups samples that are equal in a column, directly or through other samples.

    Args:
        columns: arrays of the same samples, (n, …).

    Returns:
        The number of each sample's group, (n,).
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # A graph with two kinds of nodes, samples and values: each sample is linked to its values.
    ends: list[NDArray[np.int64]] = []
    nodes = n = len(columns[0])
    for column in columns:
        values, codes = np.unique(_rows(column), return_inverse=True)
        ends.append(nodes + codes.reshape(-1))
        nodes += len(values)
    start, end = np.tile(np.arange(n), len(columns)), np.concatenate(ends)
    graph = coo_array((np.ones(len(end), np.int8), (start, end)), shape=(nodes, nodes))
    _, found = connected_components(graph, directed=False)
    return found[:n].astype(np.int64)


def _rows(column: NDArray[Any]) -> NDArray[np.generic]:
    """Each sample's values as one item that compares by its bytes; -0.0 becomes 0.0."""
    import numpy as np

    flat = column.reshape(len(column), -1)
    flat = np.ascontiguousarray(flat + np.zeros(1, flat.dtype))
    return flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).reshape(-1)
