"""Retrieval by cosine similarity: the rank of each query's own partner among all, in chunks of bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from losses.info_nce import row_ids

# Similarities in memory at a time: 16 MB, and several times that for results made from them.
_HELD = 1 << 22
# Similarities that differ by less than this count as equal.
_ROUNDING = 1e-6
DEPTHS = (1, 5, 10)


def ranks(predictions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The rank of each prediction's own target, and of each target's own prediction; 1 is the best.

    Others that are as similar as the own one rank before it, so constant outputs get the worst ranks. Pairs with equal
    targets are not counted against each other.

    Args:
        predictions: shape (n, dim).
        targets: shape (n, dim), row i belongs to row i of `predictions`.

    Returns:
        Ranks of the targets by prediction and of the predictions by target, each (n,), whole numbers from 1.
    """
    p, t = functional.normalize(predictions, dim=1), functional.normalize(targets, dim=1)
    ids, n = row_ids(targets), len(p)
    unique = len(ids.unique()) == n
    bound = (p * t).sum(dim=1) - _ROUNDING
    forward, backward = torch.ones_like(ids), torch.ones_like(ids)
    size = max(1, _HELD // n)
    for start in range(0, n, size):
        part = slice(start, start + size)
        similar = p[part] @ t.t()
        if unique:
            similar.diagonal(start).fill_(-2)
        else:
            similar.masked_fill_(ids[part, None] == ids, -2)
        forward[part] += (similar >= bound[part, None]).sum(dim=1)
        backward += (similar >= bound).sum(dim=0)
    return forward, backward


def scores(predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """`recall_at_1`, `_5`, `_10` and `mrr` (mean reciprocal rank) of n pairs, and `recall_chance`: 1/n, for rank 1.

    Names without a prefix are for predictions that look for targets; `reverse_` is for the other direction.

    Args:
        predictions: shape (n, dim).
        targets: shape (n, dim), row i belongs to row i of `predictions`.
    """
    found = {"recall_chance": 1 / len(predictions)}
    for prefix, places in zip(("", "reverse_"), ranks(predictions, targets), strict=True):
        for depth in DEPTHS:
            found[f"{prefix}recall_at_{depth}"] = float((places <= depth).double().mean())
        found[f"{prefix}mrr"] = float(places.double().reciprocal().mean())
    return found


def accuracy(predictions: Tensor, targets: Tensor) -> float:
    """The share of predictions (n, dim) whose own target is the most similar of all n; by chance it is 1/n."""
    return float((ranks(predictions, targets)[0] == 1).double().mean())
