"""Dotted keys of a trial: which one a short name means, and setting one in nested mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core import config as trial_config
from core import schema


def plug_in_fields() -> list[tuple[str, str]]:
    """The kinds of plug-ins and the keys of the trial that name one, outer ones before those in them."""
    fields = [("datasets", "data"), ("encoders", "encoder"), ("views", "views"), ("methods", "method")]
    return [*fields, ("losses", "method.loss")]


def matches(key: str, trial: Mapping[str, Any]) -> list[str]:
    """The dotted keys of the trial that a key means: itself, or all that end in it."""
    flat = list(trial_config.flatten(trial))
    named = [name for _, name in plug_in_fields() if f"{name}.name" in flat]
    known = [*flat, *named]
    return [key] if key in known else [one for one in known if one.endswith(f".{key}")]


def which(key: str, found: Sequence[str], trial: Mapping[str, Any]) -> str:
    """Why a key means no single one of the trial's; `found` are those that it could mean."""
    if found:
        return f"could mean {' or '.join(found)}; write the whole key"
    flat = trial_config.flatten(trial)
    near = schema.did_you_mean(key, [*flat, *(one.rpartition(".")[2] for one in flat)])
    return f"unknown key{near}; allowed: {', '.join(sorted(flat))}"


def get(mapping: Mapping[str, Any], dotted: str) -> Any:
    """What stands at a dotted key of nested mappings; None where nothing does."""
    found: Any = mapping
    for key in dotted.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def put(mapping: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a dotted key in nested mappings, making those that are missing; a bare plug-in name becomes a mapping."""
    *path, last = dotted.split(".")
    for key in path:
        inner = mapping.get(key)
        mapping[key] = dict(inner) if isinstance(inner, Mapping) else {"name": inner} if isinstance(inner, str) else {}
        mapping = mapping[key]
    mapping[last] = value


def overlay(trial: Mapping[str, Any], assignment: Mapping[str, Any]) -> dict[str, Any]:
    """The trial with dotted keys set, whole sections first, so that a key inside a section is set in the new one."""
    result = dict(trial)
    for key in sorted(assignment, key=lambda one: one.count(".")):
        put(result, key, assignment[key])
    return result
