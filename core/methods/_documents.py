"""What topic models of scikit-learn share: documents as scipy's sparse rows, and shares of topics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.data.corpus import Corpus
from core.errors import UserError
from core.training.method import Setting


def documents_of(setting: Setting, name: str) -> Corpus:
    """The training samples as documents.

    Raises:
        UserError: the data are no documents.
    """
    if setting.corpus is None:
        raise UserError(
            f"the method {name!r} learns topics of documents, and the data has none: use "
            "`data: {name: documents, path: …}`, or a method that clusters samples"
        )
    return setting.corpus


def sparse_matrix(samples: Tensor) -> Any:
    """Samples (n, V), dense or in torch's compressed sparse rows, as a scipy matrix in CSR, float64."""
    from scipy import sparse

    rows = samples.detach().to("cpu", torch.float64)
    if rows.layout != torch.sparse_csr:
        return sparse.csr_matrix(rows.numpy())
    parts = (rows.values().numpy(), rows.col_indices().numpy(), rows.crow_indices().numpy())
    return sparse.csr_matrix(parts, shape=tuple(rows.shape))


def shares(weights: Tensor) -> Tensor:
    """Weights of topics (n, K), not negative, divided by their sum; equal shares for a document without any."""
    total = weights.sum(dim=1, keepdim=True)
    return torch.where(total > 0, weights / total, 1 / weights.shape[1])
