"""What `n_clusters: auto` finds on data whose classes are known, as the factor between the two, and what it costs.

Run: CONCLUS_DATA=FOLDER OMP_NUM_THREADS=1 uv run python benchmarks/cluster_counts.py [NAME …]. Sets that are not there
are left out and told. Each is read as a person's own file is, with the default scaling. Exit code 1 if fewer than four
fifths of those that were read are within a factor of 1.5.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import tell
from core.config import plugins
from core.errors import UserError
from core.evaluation.cluster_count import estimate_n_clusters

FACTOR, SHARE = 1.5, 0.8
_TABLES = {name: ("scikit-learn", {"table": name}) for name in ("iris", "wine", "breast-cancer")}
_FILES = {
    "stackoverflow": ("file", "emb/stackoverflow_minilm.npz"),
    "banking77": ("file", "emb/banking77_minilm.npz"),
    "tweet89": ("file", "emb/tweet89_minilm.npz"),
    "meld_da": ("file", "emb/meld_da_minilm.npz"),
    "mintrec_text": ("file", "emb/mintrec_text_minilm.npz"),
    "snips": ("text", "text/snips.parquet"),
    "fashion_mnist_10k": ("file", "image/fashion_mnist_10k.npz"),
    "umist": ("file", "image/umist.npz"),
    "scene15": ("multiview", "multiview/mv_scene15.npz"),
    "landuse21": ("multiview", "multiview/mv_landuse21.npz"),
    "pbmc68k_reduced": ("file", "bio/pbmc68k_reduced.npz"),
    "mouse_bladder": ("file", "bio/mouse_bladder.npz"),
}
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (kind, {"path": path}) for name, (kind, path) in _FILES.items()},
    **_TABLES,
    "digits": ("digits", {}),
}


def within(count: int, classes: int) -> bool:
    """Whether two numbers are within a factor of `FACTOR`."""
    return max(count, classes) <= FACTOR * min(count, classes)


def main() -> None:
    """Prints a row for each set, and how many are within the factor."""
    chosen, hits, covered, seconds = sys.argv[1:] or list(SETS), list[str](), list[str](), list[float]()
    read: list[str] = []
    for name in chosen:
        kind, options = SETS[name]
        if "path" in options:
            options = {"path": str(Path(os.environ.get("CONCLUS_DATA", "."), options["path"]))}
        try:
            data = plugins.load("datasets", kind)(**options)
        except UserError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        began = time.process_time()
        found = estimate_n_clusters(data.samples)
        seconds.append(time.process_time() - began)
        read.append(name)
        hits += [name] * within(found.count, data.n_classes)
        covered += [name] * (found.low <= data.n_classes <= found.high)
        said = ", ".join(f"{criterion} {count}" for criterion, count in found.criteria.items())
        factor = math.exp(abs(math.log(found.count / data.n_classes)))
        tell(
            f"`n_clusters: auto`: {name}, {data.n_samples:,} samples of {data.n_classes} classes",
            f"{found.count} (between {found.low} and {found.high}); {said}; a factor of {factor:.2f}; "
            f"{seconds[-1]:.1f} CPU s",
        )
    if not read:
        sys.exit("none of the sets was found: name their folder in CONCLUS_DATA")
    tell(
        f"`n_clusters: auto`: sets within a factor of {FACTOR}, and with the number of classes in the interval",
        f"{len(hits)} and {len(covered)} of {len(read)}; at most {max(seconds):.1f} CPU s",
    )
    if len(hits) < SHARE * len(read):
        sys.exit(f"fewer than {SHARE:.0%} are within a factor of {FACTOR}")


if __name__ == "__main__":
    main()
