"""Dotted keys of a trial: resolves short names, and reads and sets keys in nested mappings."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from core.config import plugins, schema
from core.config import trial as trial_config
from core.errors import UserError
from jobs.results.names import spelled
from jobs.study.space import Range, covering, label


def plug_in_fields() -> list[tuple[str, str]]:
    """The kinds of plug-ins with the keys of the trial that name one; outer plug-ins before inner ones."""
    fields = [("datasets", "data"), ("encoders", "encoder"), ("views", "views"), ("methods", "method")]
    return [*fields, ("losses", "method.loss")]


def matches(key: str, trial: Mapping[str, Any]) -> list[str]:
    """The dotted keys of the trial that a key may mean: the key itself, or all keys that end in it.

    Where none does, it may be a usual abbreviation, as `lr`.
    """
    flat = list(trial_config.flatten(trial))
    named = [name for _, name in plug_in_fields() if f"{name}.name" in flat]
    known = [*flat, *named]
    for name in (key, spelled(key)):
        if found := [name] if name in known else [one for one in known if one.endswith(f".{name}")]:
            return found
    return []


def which(key: str, found: Sequence[str], trial: Mapping[str, Any], owner: str = "") -> str:
    """The message for a key that does not mean exactly one key of the trial.

    Args:
        key: The key, which may be short.
        found: Its possible meanings.
        trial: The trial with all defaults.
        owner: In the space of a value, its key, such as `method`: the options of this plug-in are listed first.
    """
    if found:
        return f"could mean {' or '.join(found)}; write the whole key"
    flat = trial_config.flatten(trial)
    for kind, field in plug_in_fields():
        option = key.removeprefix(f"{field}.")
        if names := owners(kind, option) if option != key or "." not in key else []:
            have = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'}"
            example = f"{{name: {names[0]}, space: {{{option}: …}}}}"
            alike = [one for one in flat if one.startswith(f"{field}.") and one.endswith(f"_{option}")]
            near = f" it has {' and '.join(alike)};" if alike else ""
            return f"unknown key for this {field};{near} {have} it: vary it there, as {field}: {{grid: [{example}, …]}}"
    near = schema.did_you_mean(key, [*flat, *(one.rpartition(".")[2] for one in flat)])
    own = [one.removeprefix(f"{owner}.") for one in flat if owner and one.startswith(f"{owner}.")]
    allowed = f"{', '.join(sorted(own))}, and all other keys of a trial" if own else schema.nearest(key, flat)
    return f"unknown key{near or '.'} Allowed: {allowed}; `conclus methods` lists all"


def owners(kind: str, option: str) -> list[str]:
    """The plug-ins of a kind that have an option."""
    found: list[str] = []
    for name in plugins.names(kind):
        with contextlib.suppress(UserError):  # A wrong plug-in of others is told when it is used.
            found += [name] if option in {one.name for one in plugins.options(kind, name)} else []
    return found


def belonging(key: str, ranges: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """The message for a key of the space that only some plug-ins of the space have; empty if there is no mistake."""
    for other, content in ranges.items():
        where = matches(other, trial)
        if len(where) != 1 or not _is_plug_in(where[0]) or not isinstance(content, Mapping):
            continue
        values = [one for listed in content.values() if isinstance(listed, list) for one in listed]
        owners = [one for one in values if len(matches(key, completed(trial, where[0], one))) == 1]
        if 0 < len(owners) < len(values):
            names = [label(one) for one in owners]
            field = where[0].removesuffix(".name")
            own = f"{{name: {names[0]}, space: {{{key.removeprefix(f'{field}.')}: …}}}}"
            told = f"only {', '.join(names)} of {where[0]} has this option"
            return f"{told}: vary it there, as {field}: {{grid: [{own}, …]}}"
    return ""


def _is_plug_in(key: str) -> bool:
    return key.removesuffix(".name") in {field for _, field in plug_in_fields()}


def defaults(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The default of each key of a trial with these plug-ins, by dotted key; paths and names that are not known pass.

    Args:
        chosen: The names of plug-ins by dotted key, such as `method.name`; other keys are passed over.
    """
    trial: dict[str, Any] = {}
    for kind, field in plug_in_fields():
        if (name := chosen.get(f"{field}.name")) in plugins.names(kind):
            put(trial, field, {"name": name})
    # What must be given, as the path of a file, is a mistake here; it has no default.
    return trial_config.flatten(trial_config.to_mapping(trial_config.read_whole(trial, (), schema.Mistakes())))


def completed(trial: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The trial with another plug-in and that plug-in's options, defaults included."""
    return trial_config.to_mapping(trial_config.read_whole(varied(trial, key, value), (), schema.Mistakes()))


def varied(trial: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The trial with a key set; another plug-in's name drops the options that only the old one has."""
    result = overlay(trial, {key: value})
    for kind, field in plug_in_fields():
        if key == f"{field}.name" and isinstance(value, str):
            with contextlib.suppress(UserError):  # A wrong name is reported when the trial is read.
                known = {"name", *(one.name for one in plugins.options(kind, value))}
                put(result, field, {name: one for name, one in get(result, field).items() if name in known})
    return result


def get(mapping: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted key of nested mappings; None if there is none."""
    found: Any = mapping
    for key in dotted.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def put(mapping: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets a dotted key in nested mappings and creates missing ones; a bare plug-in name becomes a mapping."""
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


def methods(trial: Mapping[str, Any], ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The names of the methods that a study with this trial and these ranges, by dotted key, may run."""
    found: dict[str, None] = {}
    for cell in covering(ranges):
        chosen = cell.get("method", cell.get("method.name", trial["method"]["name"]))
        name = chosen.get("name", trial_config.TrialConfig.method.name) if isinstance(chosen, Mapping) else chosen
        found[plugins.listed("methods", str(name))] = None
    return tuple(found)


def idle(trial: Mapping[str, Any], ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The sections and dotted keys of a trial that none of a study's methods uses.

    Raises:
        UserError: a method does not exist, or declares in a wrong way what it does not use.
    """
    first, *others = (trial_config.unused(one) for one in methods(trial, ranges))
    return tuple(one for one in first if all(one in other or one.partition(".")[0] in other for other in others))
