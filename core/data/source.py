"""What a trial trains on: rows of it become float tensors on the trial's device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.stored import Stored

# The share of a card's free memory that stored samples may take; the rest is for the network.
_OF_THE_CARD = 0.5


class SampleSource:
    """Samples in stored form that give float tensors as a tensor would: `len`, `shape`, `[rows]`, `split`.

    On the CPU the values stay where they are, perhaps in a file that all trials of a machine share. On a card they are
    kept in stored form if they fit into half of its free memory; else they are copied batch by batch, see `read_ahead`.

    Args:
        stored: the samples.
        device: the device of the tensors.
    """

    def __init__(self, stored: Stored, device: torch.device) -> None:
        self.stored, self.device = stored, device
        self.shape = torch.Size(stored.shape)
        self._offset = _unless(0.0, stored.scaling.offset, device)
        self._divisor = _unless(1.0, stored.scaling.divisor, device)
        self._factor = _unless(1.0, stored.scaling.factor, device)
        self._held: Tensor | None = None
        if device.type == "cuda" and not stored.is_sparse and _fits(stored, device):
            self._held = torch.from_numpy(np.ascontiguousarray(stored.raw(slice(None)))).to(device)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def is_streamed(self) -> bool:
        """Whether rows are copied to the card when they are asked for."""
        return self.device.type == "cuda" and self._held is None

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Some samples, scaled and dense, (m, *sample_shape)."""
        if self._held is not None:
            return self.scaled(self._held[rows])
        return self.scaled(self.raw(rows).to(self.device))

    def raw(self, rows: slice | Tensor) -> Tensor:
        """Some samples as stored, dense, on the CPU."""
        chosen: Any = rows if isinstance(rows, slice) else rows.cpu().numpy()
        values = self.stored.raw(chosen)
        if self.stored.is_sparse:
            values = values.toarray()
        # A slice of a file that is mapped read-only is copied: torch has no read-only tensors.
        return torch.from_numpy(np.require(values, requirements=["C", "W"]))

    def scaled(self, values: Tensor) -> Tensor:
        """Stored samples on the device as scaled float32; a new tensor."""
        found = values.to(torch.float32, copy=True)
        if self._offset is not None:
            found.sub_(self._offset)
        if self._divisor is not None:
            found.div_(self._divisor)
        return found if self._factor is None else found.mul_(self._factor)

    def split(self, size: int) -> Iterator[Tensor]:
        """All samples, `size` at a time."""
        rows = range(0, len(self), size)
        return read_ahead(self, [slice(start, start + size) for start in rows])

    def tensor_split(self, count: int) -> Iterator[Tensor]:
        """All samples in `count` parts of nearly equal size, the larger ones first, as torch splits a tensor."""
        ends = [len(one) for one in np.array_split(np.arange(len(self)), count)]
        starts = np.concatenate([[0], np.cumsum(ends)]).tolist()
        return read_ahead(self, [slice(*one) for one in pairwise(starts)])

    def min(self) -> Tensor:
        """The smallest number of the data set."""
        return torch.tensor(self.stored.limits[0])

    def max(self) -> Tensor:
        """The largest number of the data set."""
        return torch.tensor(self.stored.limits[1])


class SparseRows:
    """Sparse samples that give tensors in compressed sparse rows (torch.sparse_csr), (m, features), float32.

    They have the interface of a tensor or a `SampleSource` as far as training and `predict` need it.
    """

    is_streamed = False

    def __init__(self, source: SampleSource) -> None:
        self.stored, self.device, self.shape = source.stored, source.device, source.shape
        with warnings.catch_warnings():  # Torch says once in a process that its sparse tensors are new.
            warnings.simplefilter("ignore")
            torch.eye(1).to_sparse_csr()

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Some samples on the device."""
        chosen: Any = rows if isinstance(rows, slice) else rows.cpu().numpy()
        found = self.stored.raw(chosen)
        ends, columns = (torch.from_numpy(np.asarray(one, np.int64)) for one in (found.indptr, found.indices))
        values = torch.from_numpy(np.array(found.data, np.float32))
        return torch.sparse_csr_tensor(ends, columns, values, found.shape, check_invariants=False).to(self.device)

    def split(self, size: int) -> Iterator[Tensor]:
        """All samples, `size` at a time."""
        return (self[slice(start, start + size)] for start in range(0, len(self), size))


def sparse_rows(samples: Samples) -> Samples | SparseRows:
    """Samples as sparse tensors if they are stored as a sparse matrix without a scaling, else as they are."""
    if isinstance(samples, SampleSource) and samples.stored.is_sparse and samples.stored.scaling.is_neutral:
        return SparseRows(samples)
    return samples


# All samples of a data set, as a tensor on the device or as a source.
Samples = Tensor | SampleSource


def on_device(samples: NDArray[np.float32] | Stored, device: torch.device) -> Samples:
    """All samples on a device: a tensor for float32 numbers, which on the CPU shares their memory, else a source."""
    if isinstance(samples, Stored):
        return SampleSource(samples, device)
    return torch.from_numpy(samples).to(device)


def read_ahead(samples: Samples | SparseRows, parts: Sequence[Any]) -> Iterator[Tensor]:
    """The samples of each part, a slice or row numbers, in order.

    Parts that have to be copied to a card are read and copied while the one before is in use.
    """
    if isinstance(samples, Tensor | SparseRows) or not samples.is_streamed:
        yield from (samples[part] for part in parts)
        return

    def read(part: Any) -> Tensor:
        return samples.raw(part).pin_memory()

    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(read, part) for part in parts[:1]]
        for following in [*parts[1:], None]:
            pinned = waiting.pop().result()
            if following is not None:
                waiting.append(pool.submit(read, following))
            yield samples.scaled(pinned.to(samples.device, non_blocking=True))


def _unless(neutral: float, values: NDArray[np.float32], device: torch.device) -> Tensor | None:
    """One step of the scaling on the device; None if all its numbers are the neutral one."""
    return None if (values == neutral).all() else torch.from_numpy(values.copy()).to(device)


def _fits(stored: Stored, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    one = int(np.dtype(stored.values.dtype).itemsize)
    return stored.size * one <= _OF_THE_CARD * free
