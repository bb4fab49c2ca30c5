"""Scales the numbers of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


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
