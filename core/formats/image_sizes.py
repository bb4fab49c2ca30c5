"""What is said of images that have several sizes."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from core.data.columns import listed
from core.data.dataset import fault
from core.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# So many sizes are all named.
_FEW = 4


def several_sizes(where: Path | str, sizes: Sequence[tuple[int, int]], broken: Sequence[str]) -> Exception:
    """The refusal of images with several sizes, which proposes the median of their shorter sides.

    Args:
        where: the file or folder.
        sizes: of each image, (height, width).
        broken: images that cannot be decoded, each with the reason.
    """
    side = int(median(map(min, sizes)))
    also = f"; {counted(len(broken), 'image')} cannot be decoded: {listed(broken)}" if broken else ""
    return fault(
        where,
        f"its images have several sizes, width x height: {_words(Counter(sizes))}; `size: {side}`, the median, brings "
        f"the shorter side of each to {side} pixels and cuts out the middle{also}",
    )


def _words(sizes: Counter[tuple[int, int]]) -> str:
    """All sizes; of many the smallest, the largest and the most common."""
    by_pixels = sorted(sizes, key=lambda one: (one[0] * one[1], one))
    ((common, _),) = sizes.most_common(1)
    small, large, usual = (f"{width} x {height}" for height, width in (by_pixels[0], by_pixels[-1], common))
    if len(sizes) <= _FEW:
        return listed(f"{width} x {height}" for height, width in by_pixels)
    return f"{len(sizes):,} sizes from {small} to {large}, most often {usual}"
