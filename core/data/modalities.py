"""Data sets of several modalities: where in a sample's row the numbers of each one stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Modality:
    """One kind of measurement of all samples, as text, sound or video; the field also says view.

    A sample's row is the numbers of all modalities, one after the other. Where a sample lacks a modality, its numbers
    there are NaN; so are the steps after the end of a sequence that is shorter than the others.

    Attributes:
        name: the name in the file.
        start: the place of its first number in a sample's row.
        shape: (features,), or (steps, features) for a sequence of vectors.
    """

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The place after its last number."""
        return self.start + math.prod(self.shape)

    @property
    def place(self) -> slice:
        """Where its numbers stand in a row."""
        return slice(self.start, self.stop)


def side_by_side(shapes: dict[str, tuple[int, ...]]) -> tuple[Modality, ...]:
    """The modalities of a row that holds arrays of these shapes (without the samples' axis), in their order."""
    found: list[Modality] = []
    for name, shape in shapes.items():
        found.append(Modality(name, found[-1].stop if found else 0, shape))
    return tuple(found)


def filled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, numbers) with a 0, the mean of scaled numbers, where a modality is missing.

    It is for what compares whole rows, as k-means of the input does. The same array if nothing is missing.
    """
    missing = np.isnan(rows)
    return np.where(missing, np.float32(0), rows) if missing.any() else rows
