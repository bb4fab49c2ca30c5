"""Seconds and memory of retrieval among 100,000 pairs, and the time of an InfoNCE step over its matrix products.

Run: OMP_NUM_THREADS=1 uv run python benchmarks/retrieval.py [PAIRS]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from statistics import quantiles

import torch

from benchmarks.rows import tell
from core.evaluation.retrieval import ranks
from losses.info_nce import info_nce


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


def step(n: int, dim: int) -> list[float]:
    """The time of a loss and its gradient over that of a step's matrix products, measured in turns: quartiles."""
    p, t = torch.randn(n, dim, requires_grad=True), torch.randn(n, dim)
    bare: list[float] = []
    whole: list[float] = []
    for _ in range(21):
        fixed = p.detach()
        bare.append(seconds(lambda fixed=fixed: (fixed @ t.t()) @ t))
        whole.append(seconds(lambda: info_nce(p, t).backward()))
    return quantiles([own / products for own, products in zip(whole, bare, strict=True)], n=4)


def main() -> None:
    """Tells the rows."""
    torch.set_num_threads(1)
    # The largest first, so that the C library adapts how much freed memory it keeps, as in training.
    for n, dim in ((4096, 1024), (4096, 384), (1024, 384)):
        low, middle, high = step(n, dim)
        tell(
            f"a step of InfoNCE over its bare matrix products, {n:,} x {dim:,}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
        )
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    p, t = torch.randn(n, 128), torch.randn(n, 128)
    taken = seconds(lambda: ranks(p, t))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    tell(f"ranks of {n:,} pairs, both ways, CPU", f"{taken:.0f} s, {peak:.1f} GB")


if __name__ == "__main__":
    main()
