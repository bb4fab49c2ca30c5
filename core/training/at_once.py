"""Methods that cluster all samples in one step, as they are: no encoder, no views, no epochs."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.data.source import Samples
from core.evaluation.components import vectors
from core.evaluation.label_free import one_thread
from core.evaluation.outputs import Outputs
from core.training.method import Batch, Method, Setting

_CHUNK = 1024


class AtOnce(Method):
    """Base of these methods: keeps samples with their clusters, and gives another sample the cluster of the nearest.

    A subclass says in its body what it does not use (`unused`), `scores = "head"` and `loss_parts = ()`.
    """

    rows: Tensor
    labels: Tensor

    def __init__(self, setting: Setting, *, unit: bool = False, kept: int | None = None) -> None:
        """Nothing is clustered before the step.

        Args:
            setting: the parts that the method is built from.
            unit: whether samples are compared by cosine: their rows are set to length 1.
            kept: how many rows are kept with their clusters; by default those of all samples.
        """
        super().__init__()
        self.seed, self.n_clusters, self.unit = setting.seed % 2**32, setting.n_clusters, unit
        kept = setting.n_samples if kept is None else kept
        self.register_buffer("rows", torch.zeros(kept, math.prod(setting.sample_shape)))
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
        given = self._vectors(batch.samples)
        rows = torch.empty_like(given)
        rows[batch.rows] = given  # in the order of the data set: chance does not decide between equal samples
        if not bool(rows.isfinite().all()):
            return {"loss": rows.new_tensor(math.nan)}
        with one_thread():
            labels = torch.from_numpy(self.partition(rows.cpu().numpy()).astype(np.int64)).to(rows.device)
        members = functional.one_hot(labels, self.n_clusters).to(rows.dtype)
        means = (members.t() @ rows) / members.sum(dim=0)[:, None].clamp_min(1)
        self.keep(rows, labels)
        return {"loss": (rows - means[labels]).square().sum(dim=1).mean()}

    def outputs(self, samples: Tensor) -> Outputs:
        """The samples as rows, and probability 1 for the cluster of the nearest row that is kept."""
        rows = self._vectors(samples)
        lengths = self.rows.square().sum(dim=1)
        nearest = [(lengths - 2 * part @ self.rows.t()).argmin(dim=1) for part in rows.split(_CHUNK)]
        labels = self.labels[torch.cat(nearest)] if nearest else self.labels[:0]
        return Outputs(rows, functional.one_hot(labels, self.n_clusters).to(rows.dtype))

    def _vectors(self, samples: Samples) -> Tensor:
        rows = vectors(samples)
        return functional.normalize(rows, dim=1) if self.unit else rows
