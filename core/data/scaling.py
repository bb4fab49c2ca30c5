"""Scales the numbers of a data set."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

# Numbers that are read at once when all are looked at: 16 MiB.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Scaling:
    """How the numbers of stored samples are scaled when rows of them are read, in the order of these three.

    Attributes:
        offset: subtracted; float32, (1,), or (features,) or (channels, 1, 1).
        divisor: divides what is left; of the same shape.
        factor: multiplies that; of the same shape.
    """

    offset: NDArray[np.float32]
    divisor: NDArray[np.float32]
    factor: NDArray[np.float32]

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.offset == 0).all() and (self.divisor == 1).all() and (self.factor == 1).all())

    @classmethod
    def of(cls, samples: Any, scale: str) -> tuple[Scaling, NDArray[np.float32], NDArray[np.float32]]:
        """The scaling that `scaled` gives the same numbers, found in blocks of rows.

        Args:
            samples: (n, features) or (n, channels, height, width), of bytes or halves; or a sparse matrix by rows.
            scale: as for `scaled`.

        Returns:
            The scaling, and the smallest and the largest number of each feature or channel.

        Raises:
            UserError: the scale is unknown.
        """
        import numpy as np

        kind = _kind_of(scale, samples)
        found = _Limits.of_sparse(samples) if hasattr(samples, "indptr") else _Limits.of(samples)
        low, high, one = *found, np.ones(1, np.float32)
        if kind == "none":
            return cls(np.zeros(1, np.float32), one, one), low, high
        if kind == "unit":
            least, most = low.min().reshape(1), high.max().reshape(1)
            return cls(least, np.where(most > least, most - least, one), one), low, high
        mean = _mean(samples)
        if hasattr(samples, "indptr"):
            deviation, peak = _sparse_deviation(samples), one
        else:
            peak = np.maximum(high - mean, mean - low)
            peak = np.where((low == high) | (peak == 0), one, peak)
            deviation = _deviation(samples, mean, peak)
        constant = (low == high) | (deviation == 0)
        factor = np.where(constant, 0, 1 / np.where(constant, 1, deviation)).astype(np.float32)
        return cls(mean, peak, factor), low, high

    def offset_and_divisor(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same scaling as the function of this name gives it."""
        import numpy as np

        factor = self.factor.astype(np.float64)
        divisor = self.divisor.astype(np.float64) / np.where(factor == 0, 1, factor)
        return self.offset.astype(np.float64).reshape(-1), divisor.reshape(-1)

    def of_vectors(self, shape: tuple[int, ...], part: slice) -> Scaling:
        """The same for some numbers of samples of a shape, where each sample is a vector."""
        import numpy as np

        steps = (self.offset, self.divisor, self.factor)
        return Scaling(*(np.broadcast_to(one, shape).reshape(-1)[part] for one in steps))

    def limits(self, samples: Any) -> tuple[float, float]:
        """The smallest and the largest number of samples in stored form after the scaling."""
        found = _Limits.of_sparse(samples) if hasattr(samples, "indptr") else _Limits.of(samples)
        low, high = (self.apply(one.copy()) for one in found)
        return float(low.min()), float(high.max())

    def apply(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scales dense float32 samples (m, …) in place, and returns them."""
        samples -= self.offset
        samples /= self.divisor
        samples *= self.factor
        return samples


class _Limits(NamedTuple):
    """The smallest and the largest number of each feature, (features,), or channel, (channels, 1, 1)."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def of(cls, samples: NDArray[Any]) -> _Limits:
        import numpy as np

        shape = _shape(samples)
        low, high = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
        for least, most in _each(_ends, samples):
            low, high = np.minimum(low, least.reshape(shape)), np.maximum(high, most.reshape(shape))
        return cls(low, high)

    @classmethod
    def of_sparse(cls, samples: Any) -> _Limits:
        import numpy as np

        return cls(
            *(one.toarray().reshape(-1).astype(np.float32) for one in (samples.min(axis=0), samples.max(axis=0)))
        )


def _shape(samples: NDArray[Any]) -> tuple[int, ...]:
    """The shape of what is one number of each feature or channel."""
    return samples.shape[1], *(1 for _ in samples.shape[2:])


def _mean(samples: Any) -> NDArray[np.float32]:
    """The mean of each feature, (features,), or channel, (channels, 1, 1)."""
    import numpy as np

    if hasattr(samples, "indptr"):
        return np.asarray(samples.mean(axis=0, dtype=np.float64)).reshape(-1).astype(np.float32)
    shape = _shape(samples)
    total = np.zeros(shape, np.float64)
    for sums in _each(_sums, samples):
        total += sums.reshape(shape)
    return (total / (samples.size // samples.shape[1])).astype(np.float32)


def _each(of: Callable[[NDArray[Any]], Any], samples: NDArray[Any]) -> Iterator[Any]:
    """What a function finds in each block of samples; of bytes on all cores."""
    with ThreadPoolExecutor() as pool:
        yield from (pool.map if _are_pixels(samples) else map)(of, _blocks(samples))


def _are_pixels(samples: NDArray[Any]) -> bool:
    """Whether samples are bytes of images: pixels first, and not as floats, they are several times as fast."""
    return samples.dtype.name == "uint8" and samples.ndim == 4


def _ends(block: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The smallest and the largest number of each feature or channel of some samples."""
    import numpy as np

    if _are_pixels(block):
        flat = block.reshape(*block.shape[:2], -1)
        return flat.min(axis=2).min(axis=0), flat.max(axis=2).max(axis=0)
    floats, axes = block.astype(np.float32), (0, *range(2, block.ndim))
    return floats.min(axis=axes), floats.max(axis=axes)


def _sums(block: NDArray[Any]) -> NDArray[Any]:
    """The sum of each feature or channel of some samples."""
    import numpy as np

    if _are_pixels(block):
        # The sums are whole numbers, and exact.
        return block.reshape(*block.shape[:2], -1).sum(axis=2, dtype=np.uint64).sum(axis=0)
    return block.astype(np.float32).sum(axis=(0, *range(2, block.ndim)), dtype=np.float64)


def _blocks(samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All samples, some rows at a time."""
    step = max(1, _AT_ONCE // max(1, math.prod(samples.shape[1:])))
    for start in range(0, len(samples), step):
        yield samples[start : start + step]


def _deviation(samples: NDArray[Any], mean: NDArray[np.float32], peak: NDArray[np.float32]) -> NDArray[np.float64]:
    """The standard deviation of each feature or channel, as a share of `peak`."""
    import numpy as np

    axes = (0, *range(2, samples.ndim))
    total = np.zeros(mean.shape, np.float64)
    for block in _blocks(samples):
        total += (
            np.square((block.astype(np.float32) - mean) / peak).sum(axis=axes, dtype=np.float64).reshape(mean.shape)
        )
    return np.sqrt(total / (samples.size // samples.shape[1]))


def _sparse_deviation(samples: Any) -> NDArray[np.float64]:
    import numpy as np
    from sklearn.utils.sparsefuncs import mean_variance_axis

    found: Any = mean_variance_axis(samples.astype(np.float64, copy=False), axis=0)
    return np.sqrt(found[1])


def scaled(samples: NDArray[Any], scale: str) -> NDArray[np.float32]:
    """Scales samples to a new float32 array, C-contiguous.

    Args:
        samples: (n, features) or (n, channels, height, width), finite.
        scale: `unit` maps the smallest and the largest number of all to 0 and 1; `standard` gives each feature (of
            images: each channel) mean 0 and variance 1, and a constant one 0; `none` changes nothing; `auto` is
            `unit` for images and `standard` for vectors.

    Raises:
        UserError: the scale is unknown.
    """
    import numpy as np

    kind = _kind_of(scale, samples)
    # float32 represents small integers exactly; larger types keep their precision until they are centred.
    result = _SCALES[kind](samples.astype(np.result_type(samples.dtype, np.float32), order="C"))
    return np.ascontiguousarray(result, dtype=np.float32)


def offset_and_divisor(samples: NDArray[Any], scale: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The offset that `scaled` subtracts, and the divisor after that; they scale later samples in the same way.

    Args:
        samples: as for `scaled`.
        scale: as for `scaled`.

    Returns:
        Offset and divisor, each (1,), or (features,) or (channels,) for `standard`.

    Raises:
        UserError: the scale is unknown.
    """
    import numpy as np

    kind = _kind_of(scale, samples)
    if kind == "none":
        return np.zeros(1), np.ones(1)
    blocks = samples.reshape(len(samples), samples.shape[1] if kind == "standard" else 1, -1)
    low, high = blocks.min(axis=(0, 2)), blocks.max(axis=(0, 2))
    if kind == "unit":
        low = low.astype(np.float64)
        return low, np.where(high > low, high - low, 1)
    mean, deviation = blocks.mean(axis=(0, 2), dtype=np.float64), blocks.std(axis=(0, 2), dtype=np.float64)
    # Compared by equality, since the rounded mean of a constant differs from it.
    constant = (low == high) | (deviation == 0)
    return np.where(constant, low, mean), np.where(constant, 1, deviation)


def _kind_of(scale: str, samples: NDArray[Any]) -> str:
    kind = ("unit" if samples.ndim > 2 else "standard") if scale == "auto" else scale
    if kind not in _SCALES:
        raise UserError(f"the option `scale: {scale}` is unknown: use auto, {', '.join(sorted(_SCALES))}")
    return kind


def _standard(samples: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    axes = (0, *range(2, samples.ndim))
    # Compared by equality, since the rounded mean of a constant differs from it, and the noise would be scaled up.
    constant = samples.min(axis=axes, keepdims=True) == samples.max(axis=axes, keepdims=True)
    samples -= samples.mean(axis=axes, keepdims=True, dtype=np.float64).astype(samples.dtype)
    peak = np.abs(samples).max(axis=axes, keepdims=True)
    samples /= np.where(constant | (peak == 0), 1, peak)
    deviation = np.sqrt(np.square(samples).mean(axis=axes, keepdims=True, dtype=np.float64))
    samples *= np.where(constant | (deviation == 0), 0, 1 / np.where(deviation == 0, 1, deviation)).astype(
        samples.dtype
    )
    return samples


def _unit(samples: NDArray[Any]) -> NDArray[Any]:
    low, high = samples.min(), samples.max()
    samples -= low
    samples /= high - low or 1
    return samples


def _unchanged(samples: NDArray[Any]) -> NDArray[Any]:
    return samples


_SCALES: dict[str, Callable[[Any], Any]] = {"none": _unchanged, "standard": _standard, "unit": _unit}
