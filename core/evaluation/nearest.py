"""The nearest neighbours of rows: exact up to 50,000 rows, in cells above; found once for the trials of a machine.

Cells: rows are compared with those of the few cells of a k-means whose centroids are nearest to them. On one thread
16 cells of about 512 rows took 15 s for 100,000 rows of 64 numbers. faiss's IVF was twice as fast in 64 dimensions and
half as fast in 384 and more, so no other library is needed.

Reference: Jégou, Douze and Schmid, "Product quantization for nearest neighbor search" (TPAMI 2011), for cells.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.data.dataset import Dataset
from core.data.prepared import entries_folder, prepared, remove
from core.data.told import told
from core.errors import UserError

Metric = Literal["cosine", "euclidean"]
Search = Literal["auto", "exact", "cells"]

# Above so many rows `auto` searches in cells: 50,000 rows of 64 numbers take 12 s exactly and 7 s in cells.
MOST_EXACT = 50_000
# A search of more multiplications is kept: 10,000 rows of 86 numbers, a second.
_QUICK = 1 << 33
# Neighbours are kept in multiples of this, nearest first, so that searches for other counts find them.
_KEPT = 32
# Raised when the neighbours of the same rows become others.
_VERSION = 1
# Rows and columns of scores in memory at once: 16 MiB.
_ROWS, _COLUMNS = 256, 1 << 14
# Rows of a cell; the cells that a row looks into; the rows of a larger cell that one row is compared with.
_CELL, _LOOKED_INTO, _LARGEST = 512, 16, 2048
# The k-means of cells: rows for each cell, and moves of the centroids.
_SAMPLED, _MOVES = 32, 6
# Rows whose exact neighbours are found too, to estimate the recall.
_CHECKED = 256


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest other rows of each row.

    Attributes:
        rows: their numbers, nearest first, (n, count), int32; perhaps mapped from a file.
        recall: the share of the exact neighbours that are among them, estimated on 256 rows; None for an exact search.
    """

    rows: NDArray[np.int32]
    recall: float | None


def nearest(
    rows: Tensor | NDArray[np.float32],
    count: int,
    *,
    metric: Metric = "cosine",
    search: Search = "auto",
    shared: bool = True,
) -> Neighbours:
    """The `count` nearest other rows of each row, nearest first; rows that are as near come in the order of numbers.

    Searches that take longer than about a second are kept in the cache, under a digest of the rows and the options:
    the trials of a machine, later runs and other counts up to the next multiple of 32 share them. A cache that cannot
    be written costs the sharing only, which a warning says.

    Args:
        rows: (n, numbers), on the device that searches; NaN counts as 0.
        count: how many neighbours; all others are neighbours of fewer rows.
        metric: cosine (a zero row is as far from all) or Euclidean distance.
        search: `exact`, in time that grows with the square of n; `cells`, with the recall that the result tells; or
            `auto`: exact up to 50,000 rows.
        shared: False for rows that no other trial has, such as features: what is found is not kept.
    """
    given = torch.as_tensor(rows).flatten(1).float()
    n, numbers = given.shape
    count = min(count, n - 1)
    if search == "auto":
        search = "exact" if n <= MOST_EXACT else "cells"
    if not shared or n * n * numbers <= _QUICK or count < 1:
        return _found(given, count, metric, search)
    whole = _shared(given, min(-(-count // _KEPT) * _KEPT, n - 1), metric, search)
    return Neighbours(whole.rows[:, :count], whole.recall)


def _shared(rows: Tensor, count: int, metric: Metric, search: Search) -> Neighbours:
    """From the cache, or found and put there."""
    n, made = len(rows), list[Neighbours]()

    def make() -> Dataset:
        if not made:
            made.append(_found(rows, count, metric, search))
        recall = {} if made[0].recall is None else {"recall": np.array([made[0].recall], np.float32)}
        samples = cast("NDArray[Any]", made[0].rows)
        return Dataset(f"neighbours by {metric} distance, {search}", samples, None, (), key, arrays=recall)

    key = _key(rows, count, metric, search)
    try:
        data = prepared(key, make)
        if not _is_right(data.samples, n, count):  # damage that the sizes of files do not show
            remove(entries_folder() / key)
            data = prepared(key, make)
    except UserError as error:
        _warn_once(str(error))
        return made[0] if made else _found(rows, count, metric, search)
    recall = float(data.arrays["recall"][0]) if "recall" in data.arrays else None
    return Neighbours(cast("NDArray[np.int32]", data.samples), recall)


def _key(rows: Tensor, count: int, metric: str, search: str) -> str:
    """The digest of the rows and the options; the kind of device is one of them, since it decides how sums round."""
    content = np.ascontiguousarray(rows.cpu().numpy())
    digest = hashlib.sha256(
        f"neighbours {_VERSION} {content.shape} {count} {metric} {search} {rows.device.type} ".encode()
    )
    digest.update(cast("Any", content))
    return digest.hexdigest()


def _is_right(found: Any, n: int, count: int) -> bool:
    right = found.shape == (n, count) and found.dtype == np.int32
    return right and int(found.min()) >= 0 and int(found.max()) < n


@lru_cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"each trial finds the neighbours of the samples anew: {reason}", UserWarning, stacklevel=4)


def _found(rows: Tensor, count: int, metric: Metric, search: Search) -> Neighbours:
    """The neighbours by a search that is not `auto`; it computes on the device of the rows."""
    if count < 1:
        return Neighbours(np.empty((len(rows), 0), np.int32), None)
    points = _Points.of(rows, metric)
    if search == "exact":
        return Neighbours(_exact(points, torch.arange(len(rows), device=rows.device), count).cpu().numpy(), None)
    found = _in_cells(points, count)
    checked = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))[:_CHECKED].to(rows.device)
    shared = found[checked][:, :, None] == _exact(points, checked, count)[:, None, :]
    return Neighbours(found.cpu().numpy(), float(shared.any(dim=2).float().mean()))


@dataclass(frozen=True, eq=False)
class _Points:
    """Points whose order of nearness to one of them is that of falling scores: inner product less `half`.

    Attributes:
        values: (n, numbers).
        half: half of their squared length, (n,); 0 if all are taken to have one length.
    """

    values: Tensor
    half: Tensor

    @classmethod
    def of(cls, rows: Tensor, metric: Metric) -> _Points:
        if rows.isnan().any():
            rows = rows.nan_to_num()
        if metric == "cosine":
            return cls(functional.normalize(rows, dim=1), rows.new_zeros(len(rows)))
        # Far from the origin, distances from inner products would be rounding.
        values = rows - rows.mean(dim=0, dtype=torch.float64).float()
        return cls(values, values.square().sum(dim=1) / 2)

    def scores(self, asked: Tensor, among: Tensor | slice) -> Tensor:
        """The scores of some points for others, (asked, among)."""
        return self.values[asked] @ self.values[among].t() - self.half[among]


def _exact(points: _Points, asked: Tensor, count: int) -> Tensor:
    """The rows of the `count` nearest others of some points, (asked, count), int32.

    Scores are made in blocks of rows and columns, from which the best so far are kept.
    """
    n = len(points.values)
    found = torch.empty((len(asked), count), dtype=torch.int32, device=asked.device)
    for start in range(0, len(asked), _ROWS):
        own = asked[start : start + _ROWS]
        best = torch.empty((2, len(own), 0), device=own.device).double()
        for first in range(0, n, _COLUMNS):
            scores = points.scores(own, slice(first, first + _COLUMNS))
            scores.masked_fill_(
                own[:, None] == torch.arange(first, first + scores.shape[1], device=own.device), -torch.inf
            )
            values, places = _best(scores, count)
            # Doubles hold both exactly. Those of earlier columns come first, and stay so if they are as near.
            both = torch.cat([best, torch.stack([values.double(), (places + first).double()])], dim=2)
            order = both[0].sort(dim=1, descending=True, stable=True).indices[:, :count]
            best = both.gather(2, order.expand(2, -1, -1))
        found[start : start + _ROWS] = best[1].int()
        if n > MOST_EXACT and len(asked) == n:
            told("finding neighbours", start, n)
    return found


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest scores of each row (n, m), falling, and their places; of equal ones those of the first places."""
    width = scores.shape[1]
    values, places = scores.topk(min(count + 1, width), dim=1)
    if width > count:
        # Which of several equal scores topk takes is left open.
        tied = (values[:, count] == values[:, count - 1]).nonzero().squeeze(1)
        values, places = values[:, :count], places[:, :count]
        if len(tied):
            places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :count]
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _in_cells(points: _Points, count: int) -> Tensor:
    """The rows of the nearest others of each point among those of its nearest cells, (n, count), int32."""
    n, device = len(points.values), points.values.device
    centroids = _centroids(points).to(device)
    cells = len(centroids)
    near = _best_cells(points.values, centroids, min(_LOOKED_INTO, cells))
    order = near[:, 0].argsort(stable=True)
    members = order.split(torch.bincount(near[:, 0], minlength=cells).tolist())
    asking = near.flatten().argsort(stable=True) // near.shape[1]
    best = torch.full((n, count), -torch.inf, device=device)
    found = torch.full((n, count), -1, dtype=torch.int32, device=device)
    for cell, asked in enumerate(asking.split(torch.bincount(near.flatten(), minlength=cells).tolist())):
        for own, among in _parts(asked, members[cell]):
            scores = points.scores(own, among).masked_fill_(own[:, None] == among, -torch.inf)
            values, places = scores.topk(min(count, len(among)), dim=1, sorted=False)
            values, rows = torch.cat([best[own], values], dim=1), torch.cat([found[own], among[places].int()], dim=1)
            best[own], places = values.topk(count, dim=1)
            found[own] = rows.gather(1, places)
        told("finding neighbours", cell, cells)
    found, places = found.sort(dim=1)
    found = found.gather(1, best.gather(1, places).sort(dim=1, descending=True, stable=True).indices)
    # Cells with few points may hold fewer than that.
    lacking = best.isinf().any(dim=1).nonzero().squeeze(1)
    found[lacking] = _exact(points, lacking, count)
    return found


def _centroids(points: _Points) -> Tensor:
    """The centroids of cells of about 512 points, by k-means of a sample, (cells, numbers), on the CPU."""
    n = len(points.values)
    cells = max(1, round(n / _CELL))
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: _SAMPLED * cells]
    sample = points.values[drawn.to(points.values.device)].cpu()
    centroids = sample[:cells].clone()
    for _ in range(_MOVES):
        own = _best_cells(sample, centroids, 1).squeeze(1)
        sums, sizes = torch.zeros_like(centroids).index_add_(0, own, sample), torch.bincount(own, minlength=cells)
        centroids = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], centroids)
    return centroids


def _best_cells(points: Tensor, centroids: Tensor, count: int) -> Tensor:
    """The cells with the nearest centroids for each point, nearest first, (n, count).

    They are copied into one array: small ones that stay between the scores of each block would keep the allocator from
    giving those back (4 GB for a million points).
    """
    half = centroids.square().sum(dim=1) / 2
    found = torch.empty((len(points), count), dtype=torch.int64, device=points.device)
    for start in range(0, len(points), _ROWS):
        scores = points[start : start + _ROWS] @ centroids.t() - half
        found[start : start + _ROWS] = scores.topk(count, dim=1).indices
    return found


def _parts(asked: Tensor, members: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Who asks a cell, with whom it is compared: of a very large cell, as of many equal points, with a part of it."""
    parts = -(-len(members) // _LARGEST)
    for part in range(parts):
        among = members[part::parts]
        for own in asked[asked % parts == part].split(_COLUMNS // 2):
            yield own, among
