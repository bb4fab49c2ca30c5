"""Data sets by name: the files in the folder `$CONCLUS_DATA`."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import UserError
from core.formats.registry import SUFFIXES


def known_names() -> list[str]:
    """The data sets in the folder `$CONCLUS_DATA` and its sub-folders, sorted; empty if the variable is not set."""
    return sorted({path.stem for path in _named_files()})


def find_named(name: str) -> Path | None:
    """The file in `$CONCLUS_DATA`, or in a folder in it, whose name without suffix is `name` ('-' is '_').

    Raises:
        UserError: several files have that name.
    """
    found = [path for path in _named_files() if path.stem.replace("-", "_") == name.replace("-", "_")]
    if len(found) > 1:
        listed = ", ".join(str(path) for path in found)
        raise UserError(f"data: several files are named {name!r}: {listed}; use `data: {{name: file, path: …}}`")
    return found[0] if found else None


def _named_files() -> list[Path]:
    root = os.environ.get("CONCLUS_DATA")
    if not root:
        return []
    found = {path for pattern in ("*", "*/*") for path in Path(root).glob(pattern)}
    return sorted(path for path in found if path.suffix in SUFFIXES and path.is_file() and path.name[0] != ".")
