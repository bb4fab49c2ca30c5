"""How fast a folder of images is prepared, against a bare loop of Pillow over all cores that only decodes.

Images of 96 x 96 x 3 are made, as JPEG (quality 90) and as PNG. Preparing lists and hashes the files, decodes them into
the cache, and looks for the smallest and the largest number. In each round both are timed, one after the other; the
share is that of the bare loop's speed, and the median of the rounds is told.

Run: uv run python benchmarks/data_images.py [IMAGES [ROUNDS]]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import rows
from core.datasets import file

SIDE = 96


def make(folder: Path, count: int, suffix: str, **options: Any) -> list[str]:
    """Writes different images into ten class folders: large shapes, and a fine texture upon them, as photos have."""
    rng = np.random.default_rng(0)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    names: list[str] = []
    for place in range(count):
        names.append(str(folder / str(place % 10) / f"{place:06}.{suffix}"))
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        pixels = np.asarray(coarse) + rng.normal(0, 10, (SIDE, SIDE, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(names[-1], **options)
    return names


def decode(name: str) -> int:
    """Decodes one image; one number of it is returned."""
    with Image.open(name) as image:
        return int(np.asarray(image.convert("RGB"))[0, 0, 0])


def bare(names: list[str], cores: int) -> float:
    """Seconds in which all cores decode the images, and nothing else."""
    began = time.perf_counter()
    with get_context("fork").Pool(cores) as pool:
        for _ in pool.imap_unordered(decode, names, 64):
            pass
    return time.perf_counter() - began


def prepared(folder: Path, cache: Path) -> float:
    """Seconds until the data set is in an empty cache and can be used."""
    os.environ["XDG_CACHE_HOME"] = str(cache)
    began = time.perf_counter()
    file.load(path=str(folder))
    seconds = time.perf_counter() - began
    shutil.rmtree(cache)
    return seconds


def main() -> None:
    """Prints the share for JPEG and for PNG."""
    count, rounds = (int(one) for one in (*sys.argv[1:], *("20000", "5")[len(sys.argv) - 1 :]))
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        for suffix, options in (("jpg", {"quality": 90}), ("png", {})):
            folder = Path(place) / suffix
            names = make(folder, count, suffix, **options)
            pairs = [(bare(names, cores), prepared(folder, Path(place) / "cache")) for _ in range(rounds)]
            share = median(loop / ours for loop, ours in pairs)
            speed = median(count / ours for _, ours in pairs)
            rows.tell(
                f"a folder of {count:,} {suffix.upper()} of {SIDE} x {SIDE} prepared, {cores} cores",
                f"{share:.1%} of the speed of a bare Pillow loop, {speed:,.0f} images/s",
            )


if __name__ == "__main__":
    main()
