"""Paths in a study file: relative to its folder, and made absolute when it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from core.config import plugins
from core.data import remote
from core.data.analyzer import file_of
from core.data.object_store import is_address
from core.formats import catalog as named
from core.training import weights
from jobs.study.keys import plug_in_fields


def located(kind: str, value: Any, folder: Path) -> Any:
    """A plug-in of the trial as a mapping with absolute paths; a file in CONCLUS_DATA becomes `{name: file, path: …}`.

    Args:
        kind: the kind of plug-in, such as `datasets`.
        value: the plug-in as it is written: a name, or a mapping of its name and options.
        folder: the folder of the study file.
    """
    mapping = {"name": value} if isinstance(value, str) else value
    if not isinstance(mapping, dict) or not isinstance(mapping.get("name", ""), str):
        return value
    name = mapping.get("name", "")
    if plugins.is_path(name):
        mapping = {**mapping, "name": real(folder / name)}
    elif kind == "datasets" and name not in plugins.names(kind) and (found := named.find_named(name)):
        mapping = {**mapping, "name": "file", "path": str(found)}
    for key in ("path", "model", "analyzer", "weights"):
        value = mapping.get(key)
        if kind == "datasets" and key == "path" and isinstance(value, str) and is_address(value):
            remote.checked(value)
        elif isinstance(value, str) and _names_file(kind, key, value):
            mapping = {**mapping, key: _placed(kind, key, value, folder)}
    return mapping


def located_value(dotted: str, value: Any, folder: Path) -> Any:
    """A value in the range of a key with absolute paths; what names no file stays as it is written."""
    kinds = {key: kind for kind, key in plug_in_fields()}
    head, _, last = dotted.rpartition(".")
    if dotted in kinds:
        found = located(kinds[dotted], value, folder)
        return value if found == {"name": value} else found
    if head in kinds and isinstance(value, str):
        found = located(kinds[head], {last: value}, folder)
        # The name of a file in CONCLUS_DATA is not a path and stays unchanged.
        return found[last] if len(found) == 1 else value
    return value


def absolute(value: Any, folder: Path) -> Any:
    """A part of the space with paths of plug-ins made absolute."""
    if isinstance(value, dict):
        return {key: absolute(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [absolute(one, folder) for one in value]
    is_plug_in = isinstance(value, str) and value.endswith(".py")
    return real(folder / value) if is_plug_in else value


def is_file(dotted: str, value: str) -> bool:
    """Whether the value of a key of the trial names a file of this machine, or data at an address."""
    if dotted == weights.KEY:
        return not weights.in_package(value)
    return dotted == "data.path" or (dotted == "data.analyzer" and file_of(value) is not None)


def real(path: str | Path) -> str:
    """The path without links. `Path.resolve` raises at a link that leads to itself; whoever reads the file says so."""
    try:
        return os.path.realpath(path)
    except ValueError:  # It holds a NUL.
        return str(path)


def _placed(kind: str, key: str, value: str, folder: Path) -> str:
    """The path of an option; a data set that is not in the study's folder may be the name of one in CONCLUS_DATA."""
    path = folder / value
    found = named.find_named(value) if kind == "datasets" and key == "path" and not os.path.lexists(path) else None
    return real(found or path)


def _names_file(kind: str, key: str, value: str) -> bool:
    """Whether the value of a plug-in's option is a path."""
    if kind == "encoders" and key in {"model", "weights"}:
        return key == "weights" and not weights.in_package(value)
    return key == "path" or plugins.is_path(value) or file_of(value) is not None
