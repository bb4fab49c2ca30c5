"""What a benchmark has measured: printed, and kept for `measure.py`, which writes it to docs/benchmarks.md."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

KEPT_IN = "CONCLUS_MEASURED"
"""The environment variable that names the file in which rows are kept, one JSON object a line."""


def tell(what: str, figures: str | Mapping[str, str]) -> None:
    """Prints one row: what was measured, and its figures or, for a table with more columns, the figures by column."""
    columns = {"measured": figures} if isinstance(figures, str) else dict(figures)
    print(f"{what}: {', '.join(columns.values())}", flush=True)
    if KEPT_IN in os.environ:
        with Path(os.environ[KEPT_IN]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **columns}) + "\n")
