"""Short vectors of samples that are too many numbers to be compared as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.source import Samples, SampleSource
from core.data.stored import WHOLE, Stored
from core.evaluation.label_free import subsample_rows

# The numbers of a short vector.
COMPONENTS = 64
# Rows that are read at once.
_ROWS = 256


def vectors(samples: Samples) -> Tensor:
    """All samples as vectors, (n, numbers), float32, on their device; a missing modality is 0 in all its numbers.

    Samples in stored form that are more than 2^28 numbers together (1 GiB), zeros counted, become vectors of 64: their
    principal components, fitted to the 2,000 samples of `core.evaluation.label_free.Subsample`.

    Reference: Halko, Martinsson and Tropp, "Finding structure with randomness" (SIAM Review 2011), by scikit-learn.
    """
    if not isinstance(samples, SampleSource):
        rows = samples.flatten(1).float()
        return rows.nan_to_num() if rows.isnan().any() else rows
    if samples.stored.size <= WHOLE:
        return samples[:].flatten(1)
    return torch.from_numpy(_reduced(samples.stored)).to(samples.device)


def _reduced(stored: Stored) -> NDArray[np.float32]:
    """The vectors, kept with the samples: the trials of a process share both."""
    found: NDArray[np.float32] | None = vars(stored).get("_reduced")
    if found is None:
        found = _projected(stored, *_axes(stored))
        vars(stored)["_reduced"] = found
    return found


def _axes(stored: Stored) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean (numbers,) and the principal axes (numbers, COMPONENTS) of the subsample."""
    from sklearn.decomposition import PCA

    sample = stored[subsample_rows(len(stored))]
    fitted: Any = PCA(min(COMPONENTS, len(sample)), svd_solver="randomized", random_state=0, copy=False)
    fitted.fit(sample.reshape(len(sample), -1))
    return fitted.mean_.astype(np.float32), np.ascontiguousarray(fitted.components_.T, dtype=np.float32)


def _projected(stored: Stored, mean: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    if stored.is_sparse:
        # The scaling is linear too: it moves to the axes, and the rows stay sparse.
        scaling = stored.scaling
        stretch = scaling.factor / scaling.divisor
        shift = (scaling.offset * stretch + mean) @ axes
        return np.asarray(stored.raw(slice(None)) @ (stretch.reshape(-1, 1) * axes) - shift, dtype=np.float32)
    found = np.empty((len(stored), axes.shape[1]), np.float32)
    for start in range(0, len(stored), _ROWS):
        block = stored[slice(start, start + _ROWS)]
        found[start : start + _ROWS] = (block.reshape(len(block), -1) - mean) @ axes
    return found
