"""Samples in the form in which they are stored; rows of them become scaled float32 numbers when they are read.

The module imports nothing heavy.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from core.data.scaling import Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Smaller data sets are held as float32, which needs no conversion at each step: 64 MiB.
FEW = 1 << 24
# A sparse matrix of at most so many numbers, zeros counted, is made dense; larger ones stay sparse. So many numbers are
# also the most that are taken at once where a score or a search needs all samples: 1 GiB.
WHOLE = 1 << 28
# The bytes before the numbers of an array in a file that is filled in place.
HEAD = 4096
# A process maps at most about so many bytes of a file when it chooses rows, 256 MiB; with each row that it touches, the
# system may map so many more, a huge page.
_MAPPED, _AROUND = 1 << 28, 1 << 21


@dataclass(frozen=True, eq=False)
class Stored:
    """Samples as they are stored: uint8 images, float16 vectors, or a sparse matrix by rows.

    Attributes:
        values: (n_stored, *sample_shape), perhaps mapped from a file; or a scipy matrix in CSR, (n_stored, features).
        scaling: what is done with the numbers of a row.
        limits: the smallest and the largest scaled number of all values.
        rows: the rows of `values` that are the samples, (n,); None for all.
    """

    values: Any
    scaling: Scaling
    limits: tuple[float, float]
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.values.shape[0] if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *sample_shape)."""
        return (len(self), *self.values.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers there are, zeros of a sparse matrix counted."""
        return math.prod(self.shape)

    @property
    def is_sparse(self) -> bool:
        """Whether the values are a matrix in compressed sparse rows."""
        return is_sparse(self.values)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some samples, scaled and dense, (m, *sample_shape); a new array."""
        return self.scaling.apply(as_floats(self.raw(rows)))

    def raw(self, rows: slice | NDArray[np.int64]) -> Any:
        """Some samples as they are stored."""
        return self._read(self.values, rows if self.rows is None else self.rows[rows])

    def columns(self, part: slice) -> NDArray[np.float32]:
        """Some numbers of each sample as a vector, scaled and dense, (n, width); a new array."""
        rows = slice(None) if self.rows is None else self.rows
        if self.is_sparse:
            found = self.values[rows][:, part]
        elif hasattr(self.values, "reshape"):
            found = self._read(self.values.reshape(len(self.values), -1)[:, part], rows)
        else:
            found = self.values[rows].reshape(len(self), -1)[:, part]
        return self.scaling.of_vectors(self.shape[1:], part).apply(as_floats(found))

    def _read(self, values: Any, rows: slice | NDArray[np.int64]) -> Any:
        """Rows of the values; those of a large mapped file some at a time, and without the pages of earlier ones.

        The pages stay in the system's memory for all processes; but those that no other maps count as this one's.
        """
        import numpy as np

        pages = getattr(values, "_mmap", None)
        if pages is None or not hasattr(pages, "madvise") or self.values.nbytes <= _MAPPED:  # not on Windows
            return values[rows]
        pages.madvise(mmap.MADV_DONTNEED)
        if isinstance(rows, slice):
            return values[rows]
        found = np.empty((len(rows), *values.shape[1:]), values.dtype)
        step = max(1, _MAPPED // (self.values[:1].nbytes + _AROUND))
        for start in range(0, len(rows), step):
            found[start : start + step] = values[rows[start : start + step]]
            pages.madvise(mmap.MADV_DONTNEED)
        return found

    def take(self, rows: slice | NDArray[np.int64]) -> Stored:
        """Some of the samples, in the same form, without a copy of their values."""
        import numpy as np

        every = np.arange(self.values.shape[0]) if self.rows is None else self.rows
        return replace(self, rows=every[rows])


@dataclass(frozen=True, eq=False)
class Rows:
    """An array that lies in a file, or in memory in another order; rows of it are read when they are needed.

    Attributes:
        values: a data set of HDF5, or an array.
        axes: which axis of `values` is each axis of this array.
    """

    values: Any
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """In the order of `axes`."""
        return tuple(self.values.shape[axis] for axis in self.axes)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.axes)

    @property
    def dtype(self) -> Any:
        """The type of the values."""
        return self.values.dtype

    def transpose(self, *axes: int) -> Rows:
        """The same with its axes in another order."""
        return Rows(self.values, tuple(self.axes[axis] for axis in axes))

    def reshape(self, *shape: Any) -> NDArray[Any]:
        """All values, in another shape."""
        return self[:].reshape(*shape)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows."""
        where = tuple(rows if axis == self.axes[0] else slice(None) for axis in range(self.ndim))
        return self.values[where].transpose(self.axes)


@dataclass(eq=False)
class Records:
    """Images in a file of records of one length, of which rows are read in their order.

    Attributes:
        stream: the file.
        count: how many records there are.
        head: the bytes before each image, which are classes.
        sides: (channels, height, width).
        by_columns: whether an image is stored column by column.
        heads: the bytes before each image that was read.
    """

    stream: IO[bytes]
    count: int
    head: int
    sides: tuple[int, int, int]
    by_columns: bool = False
    heads: list[NDArray[np.uint8]] = field(default_factory=list[Any])

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""
        return (self.count, *self.sides)

    @property
    def dtype(self) -> Any:
        """Bytes."""
        import numpy as np

        return np.dtype(np.uint8)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """The next rows."""
        import numpy as np

        size = self.head + math.prod(self.sides)
        wanted = min(rows.stop, self.count) - rows.start
        records = np.frombuffer(self.stream.read(wanted * size), np.uint8).reshape(wanted, size)
        self.heads.append(records[:, : self.head].copy())  # a view would keep the whole block
        images = records[:, self.head :].reshape(wanted, *self.sides)
        return images.transpose(0, 1, 3, 2) if self.by_columns else images


def head_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The head of an `.npy` file, as long as a page: a file is written several times as fast page by page."""
    from numpy.lib.format import dtype_to_descr, magic

    told = repr({"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}).encode()
    begin = magic(1, 0)
    size = HEAD - len(begin) - 2
    return begin + size.to_bytes(2, "little") + told.ljust(size - 1) + b"\n"


def is_sparse(values: Any) -> bool:
    """Whether values are a sparse matrix of scipy."""
    return hasattr(values, "indptr")


def as_floats(values: Any) -> NDArray[np.float32]:
    """Stored values as a new dense float32 array."""
    import numpy as np

    return np.array(values.toarray() if is_sparse(values) else values, dtype=np.float32, order="C")


def dense(samples: NDArray[np.float32] | Stored) -> NDArray[np.float32]:
    """All samples as floats in memory, for what is not made for more."""
    return samples[:] if isinstance(samples, Stored) else samples


def in_form(samples: Any, scale: str) -> NDArray[np.float32] | Stored:
    """The form in which samples are held: scaled float32, or as they are for many bytes, halves or sparse rows.

    Args:
        samples: (n, features) or (n, channels, height, width), or a sparse matrix by rows.
        scale: as in `core.data.scaling.scaled`.
    """
    import numpy as np

    from core.data.scaling import scaled

    if not is_large(samples):
        return scaled(samples.toarray() if is_sparse(samples) else samples, scale)
    # `ascontiguousarray` would make a plain array of one that is mapped from a file, and the cache a copy of that.
    plain = is_sparse(samples) or samples.flags.c_contiguous
    return as_stored(samples if plain else np.ascontiguousarray(samples), scale)


def is_large(samples: Any) -> bool:
    """Whether samples (n, …), an array or a sparse matrix, are held as they are."""
    if is_sparse(samples):
        return math.prod(samples.shape) > WHOLE
    return samples.dtype.name in {"uint8", "float16"} and samples.size > FEW


def as_stored(values: Any, scale: str) -> Stored:
    """Samples in stored form, with the scaling that `core.data.scaling.scaled` would give them."""
    scaling, low, high = Scaling.of(values, scale)
    ends = [scaling.apply(one.copy()) for one in (low, high)]
    return Stored(values, scaling, (float(ends[0].min()), float(ends[1].max())))
