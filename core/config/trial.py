"""The configuration of one trial: everything that decides its result, except its seed and the content of its data."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import PurePath
from typing import Annotated, Any, Literal

from core.config import plugins, schema
from core.config.schema import (
    Fraction,
    Kind,
    Mistakes,
    NonNegativeFloat,
    Option,
    Place,
    PlugIn,
    PositiveFloat,
    PositiveInt,
    plug_in_kind,
)
from core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """The optimiser of the weights.

    Attributes:
        name: Adam, or AdamW, which separates the weight decay from the gradient.
        learning_rate: the highest learning rate of the schedule.
        encoder_learning_rate: that of the encoder alone, as for one with weights of an earlier training; null: the
            same.
        weight_decay: how strongly weights are pulled to 0.
        schedule: `constant` keeps the learning rate, `cosine` lowers it to 0 along half a cosine.
        warmup: the share of the epochs, at the start, in which the learning rate rises linearly.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    encoder_learning_rate: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Fraction = 0.0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """When the trial is scored.

    Attributes:
        every: the epochs from one scoring to the next; the last epoch is always scored.
    """

    every: PositiveInt = 5


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When a trial that no longer improves is ended.

    Attributes:
        metric: one of the trial's scores, losses or `health` signals, in epochs that have it; null: never stop.
        mode: whether a larger (`max`) or a smaller (`min`) value is better.
        patience: the trial ends after so many epochs without a new best value.
    """

    metric: str | None = None
    mode: Literal["max", "min"] = "max"
    patience: PositiveInt = 10


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One complete, runnable configuration.

    Attributes:
        data: the data set; a study must name it.
        encoder: the network from samples to features.
        views: how random views of a sample are drawn.
        method: the clustering method, with its objective.
        optimiser: the optimiser of the weights.
        n_clusters: the number of clusters; `auto` estimates it, null takes the number of classes.
        batch_size: samples per step.
        epochs: how often training passes over all samples.
        precision: the number format of training: `auto` takes bf16 where it is known to be faster, and f32 elsewhere;
            the result's row says which one it was.
        evaluation: when the trial is scored.
        early_stopping: when a trial that no longer improves is ended.
    """

    data: Annotated[PlugIn, Kind("datasets")] = PlugIn(name="digits")  # noqa: RUF009 - frozen
    encoder: Annotated[PlugIn, Kind("encoders")] = PlugIn(name="auto")  # noqa: RUF009 - frozen
    views: Annotated[PlugIn, Kind("views")] = PlugIn(name="auto")  # noqa: RUF009 - frozen
    method: Annotated[PlugIn, Kind("methods")] = PlugIn(name="conclus")  # noqa: RUF009 - frozen
    optimiser: Optimiser = Optimiser()
    n_clusters: PositiveInt | Literal["auto"] | None = None
    batch_size: PositiveInt = 256
    epochs: PositiveInt = 60
    precision: Literal["auto", "f32", "bf16"] = "auto"
    evaluation: Evaluation = Evaluation()
    early_stopping: EarlyStopping = EarlyStopping()


def read_trial(mapping: Mapping[str, Any], place: Place, mistakes: Mistakes) -> TrialConfig:
    """The configuration that a mapping (the study file's `trial:`) describes, with all defaults.

    What its method does not use is as by default, see `as_used`. Mistakes are collected, not raised. If there is one,
    the result must not be used.
    """
    config = read_whole(mapping, place, mistakes)
    return config if mistakes.found else as_used(config)


def read_whole(mapping: Mapping[str, Any], place: Place, mistakes: Mistakes) -> TrialConfig:
    """As `read_trial`, with what the method does not use as it is written: a study may vary the method."""
    return read_section(TrialConfig, mapping, place, mistakes)


def read_changed(whole: TrialConfig, changed: Mapping[str, Any], place: Place, mistakes: Mistakes) -> TrialConfig:
    """As `read_trial` of the mapping that `whole` was read of, with other sections in place of some."""
    hints, there = _hints(TrialConfig), [one for one in fields(TrialConfig) if one.name in changed]
    found = [_read_field(hints[one.name], one, changed[one.name], (*place, one.name), mistakes) for one in there]
    config = replace(whole, **dict(zip([one.name for one in there], found, strict=True)))
    return config if mistakes.found else as_used(config)


def unused(method: str) -> tuple[str, ...]:
    """The sections and dotted keys of a trial that a method does not use, read without importing it.

    Raises:
        UserError: the method does not exist, or declares something else.
    """
    found = plugins.constant("methods", method, "unused", default=())
    if not isinstance(found, tuple) or not _MAY_BE_UNUSED.issuperset(found):
        raise UserError(
            f"{plugins.source('methods', method)}: 'unused' must be a tuple of sections and keys of a trial, of: "
            f"{', '.join(sorted(_MAY_BE_UNUSED))}"
        )
    return found


def as_used(config: TrialConfig) -> TrialConfig:
    """The configuration with defaults in all that its method does not use; a method without epochs has one.

    Raises:
        UserError: as in `unused`.
    """
    changed, names = dict[str, Any](), unused(config.method.name)
    usual = read_section(TrialConfig, {}, (), Mistakes()) if names else config
    for name in names:
        section, _, key = name.partition(".")
        own = changed.get(section, getattr(config, section))
        plain = getattr(usual, section)
        changed[section] = replace(own, **{key: getattr(plain, key)}) if key else plain
    return replace(config, **changed | ({"epochs": 1} if "epochs" in names else {}))


def refuse_unused(config: TrialConfig, mistakes: Mistakes) -> None:
    """Adds a mistake for each value that is not as by default and that the configuration's method does not use."""
    used = flatten(to_mapping(replace(as_used(config), epochs=TrialConfig.epochs)))
    names = {*unused(config.method.name)}
    for key, value in flatten(to_mapping(config)).items():
        if {key, key.partition(".")[0]} & names and value != used.get(key):
            mistakes.add(tuple(key.split(".")), f"the method {config.method.name} does not use it: leave it out")


def without(mapping: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Nested mappings without these sections and dotted keys."""
    kept = {key: value for key, value in mapping.items() if key not in names}
    for section, key in (name.split(".") for name in names if "." in name):
        if isinstance(inner := kept.get(section), Mapping):
            kept[section] = {one: value for one, value in inner.items() if one != key}
    return kept


def given(written: Mapping[str, Any], names: Collection[str]) -> Iterator[Place]:
    """The places of these sections and dotted keys in a written trial, with the keys inside a section."""
    for name in names:
        section, _, key = name.partition(".")
        value = written.get(section)
        if section in written and not key:
            inner = value if isinstance(value, Mapping) else {}
            yield from [(section, one) for one in inner] or [(section,)]
        elif key and isinstance(value, Mapping) and key in value:
            yield section, key


def read_section(type_: Any, mapping: Any, place: Place, mistakes: Mistakes) -> Any:
    """A frozen dataclass from a mapping of its fields; if there are mistakes, the result must not be used."""
    if not isinstance(mapping, Mapping):
        mistakes.add(place, f"{mapping!r} is wrong: a mapping of keys to values is needed")
        return type_()
    hints = _hints(type_)
    for key in mapping:
        if key not in hints:
            mistakes.unknown((*place, key), hints)
    values = {
        one.name: _read_field(hints[one.name], one, mapping[one.name], (*place, one.name), mistakes)
        for one in fields(type_)
        if one.name in mapping
    }
    for one in fields(type_):
        if one.name not in values and (kind := plug_in_kind(hints[one.name])):
            values[one.name] = read_plug_in(kind, {"name": default_name(one)}, (*place, one.name), mistakes)
    return type_(**values)


@lru_cache(maxsize=64)
def _hints(type_: Any) -> dict[str, Any]:
    """The annotations of a section's fields: a plan reads them for each of its cells."""
    return typing.get_type_hints(type_, include_extras=True)


def section_options(type_: Any) -> tuple[Option, ...]:
    """The keys of a section: the fields of its frozen dataclass, with descriptions from its docstring."""
    hints = _hints(type_)
    said = schema.descriptions(type_.__doc__)
    return tuple(
        Option(one.name, hints[one.name], one.default, description=said.get(one.name, "")) for one in fields(type_)
    )


def default_name(one: Any) -> str:
    """The name of a field's default plug-in."""
    if one.default is MISSING:
        raise TypeError(f"the plug-in field {one.name!r} needs a default")
    return one.default.name


def _read_field(hint: Any, one: Any, value: Any, place: Place, mistakes: Mistakes) -> Any:
    if kind := plug_in_kind(hint):
        return read_plug_in(kind, value, place, mistakes, default=default_name(one))
    if is_dataclass(hint):
        return read_section(hint, value, place, mistakes)
    return schema.convert(value, hint, place, mistakes)


def read_plug_in(kind: str, value: Any, place: Place, mistakes: Mistakes, *, default: str | None = None) -> PlugIn:
    """A plug-in from its mapping `{name: …, option: …}` (or its bare name), options checked and completed."""
    mapping = {"name": value} if isinstance(value, str) else value
    if not isinstance(mapping, Mapping):
        mistakes.add(
            place,
            f"{value!r} is wrong: a mapping with a name is needed, one of {', '.join(plugins.names(kind))}",
        )
        return PlugIn(name="?")
    name = mapping.get("name", default)
    if not isinstance(name, str):
        mistakes.add((*place, "name"), f"{name!r} is wrong: one of {', '.join(plugins.names(kind))} is needed")
        return PlugIn(name="?")
    try:
        known = plugins.options(kind, name)
    except UserError as error:
        mistakes.add((*place, "name"), str(error))
        return PlugIn(name=name)
    name = plugins.listed(kind, name)
    rest = {key: one for key, one in mapping.items() if key != "name"}
    allowed = [*known, Option("name", str)]
    for key in rest:
        if key not in {option.name for option in known}:
            mistakes.unknown((*place, key), (option.name for option in allowed), others=_others(kind, key))
    good = {key: one for key, one in rest.items() if key in {option.name for option in known}}
    inner = {option.name: one for option in known if (one := plug_in_kind(option.type))}
    plain = [option for option in known if option.name not in inner]
    options = schema.read_options({key: one for key, one in good.items() if key not in inner}, plain, place, mistakes)
    for option in known:
        if option.name in inner:
            value = good.get(option.name, option.default)
            where = (*place, option.name)
            options[option.name] = read_plug_in(inner[option.name], value, where, mistakes, default=option.default)
    for names in plugins.constant(kind, name, "exclusive", default=()):
        if len(found := [one for one in names if options.get(one) is not None]) > 1:
            mistakes.add((*place, found[-1]), f"{' and '.join(found)} exclude each other: give one of them")
    return PlugIn(name=name, options=options)


def _others(kind: str, option: str) -> list[str]:
    """The plug-ins of a kind that have an option of this name."""
    found: list[str] = []
    for name in plugins.names(kind):
        with contextlib.suppress(UserError):  # A damaged plug-in that nobody named.
            if option in {one.name for one in plugins.options(kind, name)}:
                found.append(name)
    return found


def to_mapping(config: Any) -> dict[str, Any]:
    """The configuration as plain nested mappings with all defaults; `read_trial` reads it back."""
    return {name: _plain(value) for name, value in vars(config).items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):  # Nearly all: `is_dataclass` takes most of the time.
        return value
    if isinstance(value, PlugIn):
        return {"name": value.name, **{key: _plain(one) for key, one in value.options.items()}}
    if is_dataclass(value):
        return to_mapping(value)
    return list(value) if isinstance(value, tuple) else value


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys: `{"method": {"name": "cc"}}` gives `{"method.name": "cc"}`."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


# Keys that came after results were written, with their defaults: these are left out, so that the keys of trials stay.
_LATER: dict[str, Any] = {
    "optimiser.encoder_learning_rate": None,
    **dict.fromkeys(("data.sheet", "data.view", "data.split", "data.size", "data.top_genes")),
    "data.broken": "refuse",
    "data.log1p": False,
    "views.search": "auto",
}
# Keys whose value is always the path of a file or folder, and those whose value may be one.
FILES = {"data.path", "encoder.weights"}
PATHS = {"data.name", "data.model", "data.analyzer", "encoder.name", "views.name", "method.name", "method.loss.name"}


def parameters(config: TrialConfig) -> dict[str, Any]:
    """The configuration with dotted keys, as results store it; without those that its method does not use.

    Paths of plug-ins and data are cut to file names, so that a study has the same parameters on every machine.
    """
    flat = {key: one for key, one in flatten(to_mapping(config)).items() if key not in _LATER or one != _LATER[key]}
    if idle := unused(config.method.name):
        flat = {key: one for key, one in flat.items() if not {key, key.partition(".")[0]} & {*idle}}
    for key, value in flat.items():
        if isinstance(value, str) and (key in FILES or (key in PATHS and plugins.is_path(value))):
            flat[key] = PurePath(value.partition("?")[0] if "://" in value else value).name
    return flat


def plug_ins(config: TrialConfig) -> Iterator[tuple[str, str, str]]:
    """The dotted key, the kind and the name of every plug-in that a configuration names."""
    for name, value in vars(config).items():
        if isinstance(value, PlugIn):
            yield from _plug_ins(_KINDS[name], value, name)


def _plug_ins(kind: str, chosen: PlugIn, key: str) -> Iterator[tuple[str, str, str]]:
    yield f"{key}.name", kind, chosen.name
    for option in plugins.options(kind, chosen.name):
        value = chosen.options.get(option.name)
        if isinstance(value, PlugIn) and (inner := plug_in_kind(option.type)):
            yield from _plug_ins(inner, value, f"{key}.{option.name}")


_PLAIN = {name: hint for name, hint in _hints(TrialConfig).items() if is_dataclass(hint)}
_KINDS = {name: kind for name, hint in _hints(TrialConfig).items() if (kind := plug_in_kind(hint))}
_NAMES = {*_hints(TrialConfig), *(f"{name}.{key}" for name in _PLAIN for key in _hints(_PLAIN[name]))}
_MAY_BE_UNUSED = _NAMES - {"data", "method"}


def plug_in_files(config: TrialConfig) -> list[str]:
    """The paths of the plug-ins that a configuration names by path."""
    return [name for _, _, name in plug_ins(config) if plugins.is_path(name)]


def build_loss(loss: PlugIn | str) -> Any:
    """The loss in a method's option, built with its options.

    Raises:
        UserError: the loss does not exist, or its options contradict each other.
    """
    chosen = PlugIn(name=loss) if isinstance(loss, str) else loss
    try:
        return plugins.load("losses", chosen.name)(**chosen.options)
    except ValueError as error:
        raise UserError(f"trial.method.loss: {chosen.name}: {error}") from error


def check_loss(config: TrialConfig) -> list[str]:
    """Checks the loss of a configuration, if its method takes one; returns warnings as `CODE=number`.

    A loss that contrasts the samples of a batch has `least_batch`, the smallest batch it can use, and `advised_batch`,
    the smallest that is advised. `SMALL_BATCH=n` warns of a batch of n samples, below the advised size.

    Raises:
        UserError: the loss cannot be built, or a batch is too small for it.
    """
    found: list[str] = []
    for chosen in (one for one in config.method.options.values() if isinstance(one, PlugIn)):
        loss = build_loss(chosen)
        if config.batch_size < (least := getattr(loss, "least_batch", 1)):
            raise UserError(
                f"trial.batch_size: {config.batch_size} is too small for the loss {chosen.name}, which contrasts the "
                f"samples of a batch: use at least {least}, better {loss.advised_batch}"
            )
        if config.batch_size < getattr(loss, "advised_batch", 1):
            found.append(f"SMALL_BATCH={config.batch_size}")
    return found
