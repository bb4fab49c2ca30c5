"""`conclus schema`: the JSON Schema of the study file, made from the declarations that read it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from core.config.schema import Option

_ABOUT = (
    "What a study file of conclus may hold. Rules that tie several keys together, such as a search that needs the "
    "number of its trials, are checked by `conclus plan` alone. Options of plug-ins that are named by path pass."
)
_NULL = {"type": "null"}


@click.command("schema")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A file to write it to.")
def command(out: Path | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the study file, with which editors complete and check it.

    The first line of a study names it:  # yaml-language-server: $schema=study.schema.json

    It knows the installed plug-ins. Options of your own plug-ins, named by path, are not checked.
    """
    from jobs.present.output import deliver
    from jobs.present.visible import json_text

    deliver(json_text(study_schema(), indent=1), out)


def study_schema() -> dict[str, Any]:
    """The schema of a study file."""
    from core.config import plugins, schema
    from core.config.trial import TrialConfig, section_options
    from jobs.planning import stages
    from jobs.study import study

    options = section_options(TrialConfig)
    sections = {one.name: one.type for one in options if is_dataclass(one.type)}
    sections |= {**study.SECTIONS, "continue_if": stages.Gate}
    fields = {one.name: kind for one in options if (kind := schema.plug_in_kind(one.type))}
    defaults = {fields[one.name]: one.default.name for one in options if one.name in fields}
    keys = _keys(options)
    said = schema.descriptions(study.Study.__doc__)
    said |= {"study": said["name"], study.STAGES: _first_line(stages)}
    shapes, trial, space = _shapes(), _trial(options, keys, fields), _space(keys)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study of conclus",
        "description": _ABOUT,
        "type": "object",
        "properties": {key: _described(shapes[key], said.get(key, "")) for key in (*study.KEYS, study.STAGES)},
        "required": ["study"],
        "additionalProperties": False,
        "allOf": [_data_is_named(), _keys_are_known()],
        "$defs": {
            "trial": trial,
            "trial_keys": {"propertyNames": {"enum": sorted(trial["properties"])}},
            "space": space,
            "space_keys": {
                "propertyNames": {"enum": sorted(space["properties"])},
                "additionalProperties": _in_values({"properties": {"space": _at("space_keys")}}),
            },
            "range": _range(),
            "stage": {
                "type": "object",
                "properties": {key: _described(shapes[key], text) for key, text in stages.KEYS.items()},
                "required": ["name"],
                "additionalProperties": False,
            },
            **{key: _section(kind) for key, kind in sections.items()},
            **{key: one for kind in plugins.ENTRY for key, one in _kind(kind, defaults.get(kind))},
            "names_a_file": _names_a_file(),
        },
    }


def _shapes() -> dict[str, dict[str, Any]]:
    """The allowed values at each key of a study or of a stage."""
    from core.config.schema import json_schema
    from jobs.planning import stages
    from jobs.study import study

    name = {"type": "string", "pattern": f"^{study.NAME.pattern}$"}
    seeds = json_schema(tuple[study.Seed, ...]) | {"minItems": 1, "uniqueItems": True, "default": [0]}
    track = {"type": ["array", "null"], "items": _at("trackers.name"), "uniqueItems": True}
    optional = {key: [_at(key), _NULL] for key in (*study.SECTIONS, "continue_if")}
    optional["search"].append(_at("search/properties/name"))  # search: optuna
    return {
        "study": name,
        "name": name,
        "from": {"enum": list(stages.STARTS), "default": stages.STARTS[0]},
        "trial": _at("trial"),
        "space": _at("space"),
        "seeds": seeds,
        study.TRACK: track,
        study.STAGES: {"type": "array", "minItems": 1, "items": _at("stage")},
        **{key: {"anyOf": found} for key, found in optional.items()},
    }


def _at(place: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{place}"}


def _any(places: Iterable[str]) -> dict[str, Any]:
    first, *others = [_at(one) for one in places]
    return {"anyOf": [first, *others]} if others else first


def _described(shape: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {**shape, "description": text} if text else dict(shape)


def _first_line(documented: Any) -> str:
    return inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]


def _property(option: Option) -> dict[str, Any]:
    """The schema of one option, with its description and default."""
    from core.config.schema import PlugIn, json_schema

    if is_dataclass(option.type):
        return _described(_at(option.name), option.description)
    shape = _described(json_schema(option.type), option.description)
    if not option.required:
        shape["default"] = option.default.name if isinstance(option.default, PlugIn) else option.default
    return shape


def _section(kind: Any) -> dict[str, Any]:
    from core.config.trial import section_options

    properties = {one.name: _property(one) for one in section_options(kind)}
    shape = {"type": "object", "properties": properties, "additionalProperties": False}
    return _described(shape, _first_line(kind))


def _spellings(name: str) -> dict[str, list[str]]:
    """The allowed spellings of a plug-in's name in a study file."""
    return {"enum": sorted({name, name.replace("-", "_")})}


def _kind(kind: str, default: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas of a kind of plug-ins: a name or a mapping; their names; the options of each."""
    from core.config import plugins

    names = plugins.names(kind)
    named = [_described(_spellings(one), plugins.summary(kind, one)) for one in names]
    # A data set may also be a file in $CONCLUS_DATA, by its name.
    other = {"type": "string"} if kind == "datasets" else {"type": "string", "pattern": r"/|\.py$"}
    yield f"{kind}.name", {"anyOf": [*named, other]}
    for one in names:
        properties = {option.name: _property(option) for option in plugins.options(kind, one)}
        inner = {"name": {}, **properties, "space": _at("space")}
        yield f"{kind}.{one}", {"properties": inner, "additionalProperties": False}
    own = [
        {
            "if": {
                "type": "object",
                "properties": {"name": _spellings(one)},
                "required": [] if one == default else ["name"],
            },
            "then": _at(f"{kind}.{one}"),
        }
        for one in names
    ]
    named_or_mapping = [_at(f"{kind}.name"), {"type": "object", "properties": {"name": _at(f"{kind}.name")}}]
    yield f"{kind}.in_space", {"anyOf": named_or_mapping, "allOf": own}
    yield kind, {**_at(f"{kind}.in_space"), "not": {"type": "object", "required": ["space"]}}


def _keys(options: Iterable[Option]) -> dict[str, list[str]]:
    """The keys of a trial, full and short, with the places of their schemas."""
    whole: dict[str, dict[str, str]] = {}
    ends: dict[str, dict[str, str]] = {}
    for key, place, shape in _places(options, "trial"):
        whole.setdefault(key, {}).setdefault(repr(shape), place)
        parts = key.split(".")
        for start in range(1, len(parts)):
            ends.setdefault(".".join(parts[start:]), {}).setdefault(repr(shape), place)
    del ends["name"]  # alone it could mean any plug-in's
    return {key: list(found.values()) for key, found in sorted((ends | whole).items())}


def _places(options: Iterable[Option], at: str, prefix: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Dotted keys of options, with the places of their schemas and the schemas."""
    from core.config import plugins
    from core.config.schema import json_schema, plug_in_kind
    from core.config.trial import section_options

    for one in options:
        key = f"{prefix}{one.name}"
        if kind := plug_in_kind(one.type):
            yield key, kind, _at(kind)
            yield f"{key}.name", f"{kind}.name", _at(f"{kind}.name")
            # A loss inside a loss, which a plug-in may have, is listed only by name.
            for name in plugins.names(kind) if prefix.count(".") < 2 else ():
                yield from _places(plugins.options(kind, name), f"{kind}.{name}", f"{key}.")
        elif is_dataclass(one.type):
            yield from _places(section_options(one.type), one.name, f"{key}.")
        else:
            yield key, f"{at}/properties/{one.name}", json_schema(one.type)


def _trial(options: Iterable[Option], keys: Mapping[str, Iterable[str]], fields: Mapping[str, str]) -> dict[str, Any]:
    """The schema of a trial: its own keys, and the short keys of its sections and plug-ins."""
    own = {one.name: _property(one) for one in options}
    for key in fields:
        shape = own[key]
        own[key] = {"anyOf": [{"$ref": shape.pop("$ref")}, _NULL], **shape}
    rules = [rule for field, kind in fields.items() for rule in _required(field, kind)]
    ends = {key: _any(places) for key, places in keys.items() if key not in own}
    return {"type": ["object", "null"], "properties": own | ends, "allOf": rules}


def _required(field: str, kind: str) -> Iterator[dict[str, Any]]:
    """The required options of a plug-in, which may be in the plug-in's mapping or directly in the trial."""
    from core.config import plugins

    for name in plugins.names(kind):
        for option in (one.name for one in plugins.options(kind, name) if one.required):
            this = {"type": "object", "properties": {"name": _spellings(name)}, "required": ["name"]}
            lacking = {**this, "not": {"required": [option]}}
            condition = {"properties": {field: {"anyOf": [_spellings(name), lacking]}}, "required": [field]}
            elsewhere = {"not": {"required": [f"{field}.{option}"]}}
            yield {"if": condition | elsewhere, "then": {"required": [option]}}


def _space(keys: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The schema of a space; a value that is a plug-in may have a space of its own."""
    from core.config import plugins

    own = {kind: f"{kind}.in_space" for kind in plugins.ENTRY}
    ranges = {
        key: {**_at("range"), **_in_values(_any(own.get(one, one) for one in places))} for key, places in keys.items()
    }
    return {"type": ["object", "null"], "properties": ranges}


def _in_values(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a range whose values have a shape."""
    return {"additionalProperties": {"items": shape}}


def _range() -> dict[str, Any]:
    """The schema of one range; its key's schema says which values are allowed."""
    from jobs.study import space

    values = {"type": "array", "minItems": 1, "uniqueItems": True, "description": _first_line(space.Values)}
    properties: dict[str, Any] = dict.fromkeys(space.LISTS, values)
    for kind, interval in space.INTERVALS.items():
        ends = {"type": "integer" if interval is space.Integer else "number"}
        pair = {"type": "array", "minItems": 2, "maxItems": 2, "items": ends}
        properties[kind] = _described(pair, f"[low, high]: {_first_line(interval)}")
    return {"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1} | {
        "propertyNames": {"enum": list(space.KINDS)}
    }


def _names_a_file() -> dict[str, Any]:
    """A schema that matches a value with the path of a plug-in at any depth, whose options are not known here."""
    this = _at("names_a_file")
    return {
        "anyOf": [
            {"type": "string", "pattern": r"\.py$"},
            {"type": "array", "contains": this},
            {"type": "object", "not": {"additionalProperties": {"not": this}}},
        ]
    }


def _keys_are_known() -> dict[str, Any]:
    """The rule that trials and spaces have only known keys, unless the study names a plug-in by path."""
    closed = {"trial": _at("trial_keys"), "space": _at("space_keys")}
    stages = {"items": {"properties": closed}}
    return {"if": {"not": _at("names_a_file")}, "then": {"properties": {**closed, "stages": stages}}}


def _data_is_named() -> dict[str, Any]:
    """The rule that the trial names its data, unless the space does."""
    anything = {"type": "object", "not": {"propertyNames": {"not": {"pattern": r"^data(\.|$)"}}}}
    in_space = {"properties": {"space": anything}, "required": ["space"]}
    in_trial = {"type": "object", "if": {"not": anything}, "then": {"required": ["data"]}}
    return {"if": {"not": in_space}, "then": {"properties": {"trial": in_trial}, "required": ["trial"]}}
