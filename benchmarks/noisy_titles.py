"""Makes pairs of texts from a column of texts: each text with words left out, and the full text.

Run: uv run python benchmarks/noisy_titles.py TITLES.parquet PAIRS.parquet. It uses 10,000 of the texts, of which 2,000
are the test part and 1,000 the validation part, and drops each word with probability 0.3, with a fixed seed.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from pyarrow import parquet

TEXTS = 10_000
PARTS = {"train": 7_000, "validation": 1_000, "test": 2_000}
DROPOUT = 0.3


def shortened(text: str, chance: np.random.Generator) -> str:
    """The text without some of its words; a text that would lose all words keeps all."""
    words = text.split()
    kept = [word for word, draw in zip(words, chance.random(len(words)), strict=True) if draw >= DROPOUT]
    return " ".join(kept or words)


def main() -> None:
    """Writes the pairs."""
    source, target = sys.argv[1:]
    chance = np.random.default_rng(0)
    texts: list[str] = parquet.read_table(source)["text"].to_pylist()
    chosen = [texts[row] for row in chance.permutation(len(texts))[:TEXTS]]
    parts = [name for name, count in PARTS.items() for _ in range(count)]
    noisy = [shortened(one, chance) for one in chosen]
    parquet.write_table(pa.table({"noisy": noisy, "clean": chosen, "part": parts}), target)


if __name__ == "__main__":
    main()
