"""The plug-in files that a study names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.config import plugins
from core.data.analyzer import file_of
from jobs.study.keys import get, plug_in_fields
from jobs.study.study import Study


def plug_in_files(study: Study) -> tuple[Path, ...]:
    """The user's plug-in files that a study's trials may load."""
    fields = [key for _, key in plug_in_fields()]
    chosen = {name for one in fields if (name := get(study.trial, f"{one}.name")) is not None}
    chosen |= {
        name
        for key, one in study.space.items()
        for value in one.examples
        if (name := _plug_in_name(key, value, fields)) is not None
    }
    chosen |= {named[0] for value in _analyzers(study) if (named := file_of(value))}
    return tuple(sorted(Path(name) for name in chosen if plugins.is_path(name)))


def _analyzers(study: Study) -> list[str]:
    """The text analyzers that the study may use."""
    data = study.space.get("data")
    values = [get(study.trial, "data.analyzer")]
    values += study.space["data.analyzer"].examples if "data.analyzer" in study.space else []
    values += [one.get("analyzer") for one in data.examples if isinstance(one, Mapping)] if data else []
    return [value for value in values if isinstance(value, str)]


def _plug_in_name(key: str, value: Any, fields: Sequence[str]) -> str | None:
    if key in {f"{one}.name" for one in fields}:
        return value
    if key in fields:
        return value["name"] if isinstance(value, Mapping) else value
    return None
