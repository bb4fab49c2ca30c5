"""The plug-in files that a study names, and the content of those of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from core.config import plugins
from core.config import trial as trial_config
from core.config.trial import TrialConfig
from core.data.analyzer import file_of
from core.data.dataset import user_path
from core.training import weights
from jobs.results.identity import ANALYZER
from jobs.study.keys import get, plug_in_fields
from jobs.study.space import walk
from jobs.study.study import Study


def plug_in_files(study: Study) -> tuple[Path, ...]:
    """The user's plug-in files that a study's trials may load."""
    fields = [key for _, key in plug_in_fields()]
    chosen = {name for one in fields if (name := get(study.trial, f"{one}.name")) is not None}
    chosen |= {
        name
        for _, key, one, _ in walk(study.space)
        for value in one.examples
        if (name := _plug_in_name(key, value, fields)) is not None
    }
    chosen |= {named[0] for value in _analyzers(study) if (named := file_of(value))}
    return tuple(sorted(Path(name) for name in chosen if plugins.is_path(name)))


def every_file(study: Study) -> tuple[Path, ...]:
    """The user's files that a run of the study may load: plug-ins of its trials, and trackers."""
    return (*plug_in_files(study), *tracker_files(study))


def tracker_files(study: Study) -> tuple[Path, ...]:
    """The user's own files among the study's trackers."""
    return tuple(Path(name) for name in study.track if plugins.is_path(name))


def contents(config: TrialConfig) -> dict[str, dict[str, str]]:
    """What the plug-ins of a configuration that are not conclus's own hold, as results store it.

    Returns:
        For the dotted key of each, such as `method.name`, or `data.analyzer`: its `name`, of a path the last part, and
        the `sha256` of its file. Empty where all are conclus's own. So is told of the weights of a pretrained encoder.

    Raises:
        UserError: a file is gone or cannot be read.
    """
    named = {key: (name, plugins.digest(kind, name)) for key, kind, name in trial_config.plug_ins(config)}
    analyzer = config.data.options.get("analyzer")
    if isinstance(analyzer, str) and (found := file_of(analyzer)):
        named[ANALYZER] = (analyzer, plugins.file_digest(user_path(found[0])))
    if isinstance(file := config.encoder.options.get("weights"), str):
        named[weights.KEY] = (file, weights.digest(file))
    return {key: {"name": PurePath(name).name, "sha256": sha256} for key, (name, sha256) in named.items() if sha256}


def _analyzers(study: Study) -> list[str]:
    """The text analyzers that the study may use."""
    values = [get(study.trial, "data.analyzer")]
    for _, key, one, _ in walk(study.space):
        values += one.examples if key == "data.analyzer" else []
        values += [value.get("analyzer") for value in one.examples if key == "data" and isinstance(value, Mapping)]
    return [value for value in values if isinstance(value, str)]


def _plug_in_name(key: str, value: Any, fields: Sequence[str]) -> str | None:
    if key in {f"{one}.name" for one in fields}:
        return value
    if key in fields:
        return value["name"] if isinstance(value, Mapping) else value
    return None
