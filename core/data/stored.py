"""Samples in the form in which they are stored; rows of them become scaled float32 numbers when they are read.

The module imports nothing heavy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.data.scaling import Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Smaller data sets are held as float32, which needs no conversion at each step: 64 MiB.
FEW = 1 << 24
# A sparse matrix of at most so many numbers, zeros counted, is made dense; larger ones stay sparse. So many numbers are
# also the most that are taken at once where a score or a search needs all samples: 1 GiB.
WHOLE = 1 << 28
# Numbers that are read at once when all are looked at: 16 MiB.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Stored:
    """Samples as they are stored: uint8 images, float16 vectors, or a sparse matrix by rows.

    Attributes:
        values: (n_stored, *sample_shape), perhaps mapped from a file; or a scipy matrix in CSR, (n_stored, features).
        scaling: what is done with the numbers of a row.
        rows: the rows of `values` that are the samples, (n,); None for all.
    """

    values: Any
    scaling: Scaling
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
        return self.values[rows if self.rows is None else self.rows[rows]]

    def take(self, rows: slice | NDArray[np.int64]) -> Stored:
        """Some of the samples, in the same form, without a copy of their values."""
        import numpy as np

        every = np.arange(len(self.values)) if self.rows is None else self.rows
        return replace(self, rows=every[rows])

    def limits(self) -> tuple[float, float]:
        """The smallest and the largest scaled number."""
        import numpy as np

        low, high = np.inf, -np.inf
        step = max(1, _AT_ONCE // max(1, math.prod(self.shape[1:])))
        for start in range(0, len(self), step):
            block = self[slice(start, start + step)]
            low, high = min(low, float(block.min())), max(high, float(block.max()))
        return low, high


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

    if is_sparse(samples):
        if math.prod(samples.shape) > WHOLE:
            return Stored(samples, Scaling.of(samples, scale))
        samples = samples.toarray()
    if samples.dtype in {np.dtype(np.uint8), np.dtype(np.float16)} and samples.size > FEW:
        return Stored(np.ascontiguousarray(samples), Scaling.of(samples, scale))
    return scaled(samples, scale)
