"""Short vectors of samples that are too many numbers to be compared as they are."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.source import Samples, SampleSource
from core.data.stored import WHOLE, Stored
from core.evaluation.label_free import centred, one_thread, subsample_rows

# The numbers of a short vector.
COMPONENTS = 64
# Rows that are read at once.
_ROWS = 256
# An axis whose variance is a smaller share of the largest is rounding of float32.
_NOISE = 1e-7


def vectors(samples: Samples) -> Tensor:
    """All samples as vectors, (n, numbers), float32, on their device; a missing modality is 0 in all its numbers.

    Sparse samples, and others in stored form that are more than 2^28 numbers together (1 GiB), become vectors of 64:
    their principal components, fitted to the 2,000 samples of `core.evaluation.label_free.Subsample`.
    """
    if not isinstance(samples, SampleSource):
        rows = samples.flatten(1).float()
        return rows.nan_to_num() if rows.isnan().any() else rows
    if samples.stored.size <= WHOLE and not samples.stored.is_sparse:
        return samples[:].flatten(1)
    return torch.from_numpy(_reduced(samples.stored)).to(samples.device)


def _reduced(stored: Stored) -> NDArray[np.float32]:
    """The vectors, kept with the samples: the trials of a process share both."""
    found: NDArray[np.float32] | None = vars(stored).get("_reduced")
    if found is None:
        found = _projected(stored, *_axes(stored.take(subsample_rows(len(stored))), COMPONENTS))
        vars(stored)["_reduced"] = found
    return found


def principal_axes(samples: Samples, most: int) -> tuple[Tensor, Tensor]:
    """The mean (numbers,) and up to `most` principal axes (numbers, axes) of all samples, on their device.

    They are fitted to the 2,000 samples of `core.evaluation.label_free.Subsample`. An axis without variance is zero; a
    missing number counts as 0.
    """
    rows = subsample_rows(len(samples))
    if isinstance(samples, SampleSource):
        found = _axes(samples.stored.take(rows), most)
    else:
        found = _axes(samples[torch.from_numpy(rows).to(samples.device)].cpu().float().nan_to_num().numpy(), most)
    mean, axes = (torch.from_numpy(one).to(samples.device) for one in found)
    return mean, axes


def _axes(sample: NDArray[np.float32] | Stored, most: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean (numbers,) and the principal axes (numbers, up to `most`) of a sample (m, …).

    They come from the inner products of the samples, which are far fewer numbers than the samples are. An axis without
    variance is zero.
    """
    from scipy.linalg import eigh

    m, numbers = len(sample), math.prod(sample.shape[1:])
    count = min(most, m, numbers)
    gram = np.zeros((m, m))
    with one_thread():
        for block, _ in centred(sample):
            gram += block @ block.T
        squares, vectors = eigh(gram, subset_by_index=(m - count, m - 1))
        kept = squares > squares[-1] * _NOISE
        weights = (vectors / np.sqrt(np.where(kept, squares, np.inf)))[:, ::-1].astype(np.float32)
        mean, axes = np.empty(numbers, np.float32), np.empty((numbers, count), np.float32)
        place = 0
        for block, middle in centred(sample):
            part = slice(place, place + block.shape[1])
            mean[part], axes[part] = middle, block.T @ weights
            place = part.stop
    return mean, axes


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
