"""A linear map of documents that are rows of a sparse matrix: the words that a document lacks cost nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy import sparse
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class WordMap(nn.Module):
    """Documents (n, V) times a trained matrix (V, out); the documents are dense, or compressed sparse rows.

    The weights start as those of `nn.Linear` with `fan_in` inputs do, uniform within 1 / sqrt(fan_in).
    """

    def __init__(self, n_words: int, out: int, fan_in: int | None = None) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in or n_words)
        self.weight = nn.Parameter(torch.empty(n_words, out).uniform_(-bound, bound))

    def forward(self, documents: Tensor) -> Tensor:
        """Shape (n, out) from documents (n, V)."""
        if documents.layout == torch.sparse_csr:
            return _Product.apply(documents, self.weight)  # type: ignore[no-any-return]
        return documents @ self.weight


class _Product(torch.autograd.Function):
    """Sparse rows (n, V) times a dense matrix (V, out), with the gradient of the matrix alone.

    On the CPU scipy computes the gradient, in a fixed order: torch would first sort the numbers by words, and that
    takes longer than the product.
    """

    @staticmethod
    def forward(rows: Tensor, weight: Tensor) -> Tensor:
        """The sum of each row's words, weighted."""
        return functional.embedding_bag(
            rows.col_indices(), weight, rows.crow_indices()[:-1], mode="sum", per_sample_weights=rows.values()
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keeps the rows."""
        del output
        ctx.rows = inputs[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The transposed rows times the gradient of the product."""
        rows: Tensor = ctx.rows
        if grad.device.type != "cpu":
            return None, rows.t().to_sparse_csr() @ grad
        parts = (rows.values().numpy(), rows.col_indices().numpy(), rows.crow_indices().numpy())
        transposed: Any = sparse.csr_matrix(parts, shape=tuple(rows.shape)).T
        return None, torch.from_numpy(transposed @ grad.numpy())
