"""Methods that cluster all samples in one step, as they are: no encoder, no views, no epochs."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.evaluation.assignment import centres_of
from core.evaluation.label_free import one_thread
from core.evaluation.outputs import Outputs
from core.training.method import Batch, Method, Setting

_CHUNK = 1024


class AtOnce(Method):
    """Base of these methods: keeps samples with their clusters, and gives another sample the cluster of the nearest.

    Where a sample lacks a modality, it has the modality's mean; with `unit`, zeros. A subclass says in its body what it
    does not use (`unused`), `scores = "head"` and `loss_parts = ()`.
    """

    centre: Tensor
    rows: Tensor
    labels: Tensor

    def __init__(self, setting: Setting, *, unit: bool = False, kept: int | None = None) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            unit: whether samples are compared by cosine: their rows are set to length 1. Else they are centred.
            kept: how many rows are kept with their clusters; by default those of all samples.
        """
        super().__init__()
        self.seed, self.n_clusters, self.unit = setting.seed % 2**32, setting.n_clusters, unit
        numbers, kept = math.prod(setting.sample_shape), setting.n_samples if kept is None else kept
        self.register_buffer("centre", torch.zeros(numbers))
        self.register_buffer("rows", torch.zeros(kept, numbers))
        self.register_buffer("labels", torch.zeros(kept, dtype=torch.int64))
        self.optimisers = {}

    @abstractmethod
    def partition(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The clusters (n,), from 0 up, of all samples as rows (n, numbers); it runs in one thread."""

    def keep(self, rows: Tensor, labels: Tensor) -> None:
        """Keeps the rows (n, numbers) and their clusters (n,) for other samples."""
        self.rows.copy_(rows)
        self.labels.copy_(labels)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Clusters all samples; the loss is their mean squared distance to the mean of their cluster."""
        if not usable(batch.samples):
            return {"loss": self.centre.new_tensor(math.nan)}
        # In the order of the data set: chance does not decide between equal samples.
        given = torch.empty_like(batch.samples)
        given[batch.rows] = batch.samples
        if not self.unit:
            # Far from the origin, distances in float32 would be rounding.
            self.centre.copy_(centre(given))
        rows = self._vectors(given).cpu()
        with one_thread():
            labels = self.partition(rows.numpy()).astype(np.int64)
            middles = centres_of(rows.numpy(), labels, self.n_clusters)
        self.keep(rows, torch.from_numpy(labels))
        squares = np.square(rows.numpy() - middles[labels]).sum(axis=1)
        return {"loss": self.centre.new_tensor(squares.mean())}

    def outputs(self, samples: Tensor) -> Outputs:
        """The samples as rows, and probability 1 for the cluster of the nearest row that is kept."""
        rows, lengths = self._vectors(samples), self.rows.square().sum(dim=1)
        nearest = torch.cat([(lengths - 2 * part @ self.rows.t()).argmin(dim=1) for part in rows.split(_CHUNK)])
        return Outputs(rows, functional.one_hot(self.labels[nearest], self.n_clusters).to(rows.dtype))

    def _vectors(self, samples: Tensor) -> Tensor:
        rows = samples.flatten(1).float() - self.centre
        rows = rows.where(~rows.isnan(), 0.0)
        return functional.normalize(rows, dim=1) if self.unit else rows


def usable(samples: Tensor) -> bool:
    """Whether no sample (n, …) is infinite or consists of NaN alone; NaN in some numbers is a missing modality."""
    rows = samples.flatten(1)
    return not bool(rows.isinf().any()) and not bool(rows.isnan().all(dim=1).any())


def centre(samples: Tensor) -> Tensor:
    """The mean of each number over the samples (n, …) that have it, (numbers,); 0 where none has."""
    return samples.flatten(1).nanmean(dim=0).nan_to_num()
