"""Turns plain mappings into typed values, and collects all mistakes with their places and what would be right.

Types are ordinary annotations: `int`, `float`, `bool`, `str`, `Literal[...]`, `X | None`, `tuple[X, ...]`,
`Mapping[str, X]`, a `Literal` in place of its `str`, and the bounded numbers below. The module imports nothing heavy,
since the command line checks study files with it.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import types
from collections import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Union, get_args, get_origin

Place = tuple[str, ...]

_MOST_NAMES = 10


@dataclass(frozen=True, kw_only=True)
class PlugIn:
    """A plug-in by name, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Kind:
    """Marks a field or an option whose value is a plug-in of this kind."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """An interval for a number; it includes its ends unless they are marked as open. A message gives `why`, if any."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    why: str = ""

    def holds(self, value: float) -> bool:
        """Whether `value` is inside; NaN never is."""
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'at least'} {self.low:g}" if self.low > -math.inf else ""
        high = f"{'below' if self.high_open else 'at most'} {self.high:g}" if self.high < math.inf else ""
        return " and ".join(part for part in (low, high) if part) or "finite"

    def json_schema(self) -> dict[str, float]:
        """The same bounds as keywords of JSON Schema."""
        low = {"exclusiveMinimum" if self.low_open else "minimum": self.low} if self.low > -math.inf else {}
        high = {"exclusiveMaximum" if self.high_open else "maximum": self.high} if self.high < math.inf else {}
        return low | high


PositiveFloat = Annotated[float, Bounds(low=0, low_open=True)]
NonNegativeFloat = Annotated[float, Bounds(low=0)]
Fraction = Annotated[float, Bounds(low=0, high=1)]
PositiveInt = Annotated[int, Bounds(low=1)]
NonNegativeInt = Annotated[int, Bounds(low=0)]
LossPlugIn = Annotated[PlugIn | str, Kind("losses")]


@dataclass(frozen=True)
class Mistake:
    """One mistake: its place (a path of keys), and a sentence that says what would be right."""

    place: Place
    text: str


@dataclass
class Mistakes:
    """Collects mistakes, so that the user sees all of them at once."""

    found: list[Mistake] = field(default_factory=list[Mistake])

    def add(self, place: Place, text: str) -> None:
        """Adds one mistake."""
        self.found.append(Mistake(place, text))

    def unknown(self, place: Place, allowed: Iterable[str], what: str = "key", others: Sequence[str] = ()) -> None:
        """Adds a mistake for an unknown name, with the nearest known one, and with others that have the name."""
        names = sorted(allowed)
        near = did_you_mean(place[-1], names) or "."
        theirs = f"; {', '.join(others)} {'has' if len(others) == 1 else 'have'} it" if others else ""
        self.add(place, f"unknown {what}{near} Allowed: {nearest(place[-1], names)}{theirs}")


@dataclass(frozen=True)
class Option:
    """One key of a mapping: its name, type, default, and description from the docstring."""

    name: str
    type: Any
    default: Any = None
    required: bool = False
    description: str = ""


def plug_in_kind(hint: Any) -> str | None:
    """The kind of plug-in in the annotation of a field or option; None if there is none."""
    marks = [one for one in get_args(hint)[1:] if isinstance(one, Kind)]
    return marks[0].name if marks else None


_DESCRIBED = re.compile(r" {4}(\w+)(?: \([^)]*\))?: *(.*)")


def descriptions(docstring: str | None) -> dict[str, str]:
    """The description of each name under `Args:` or `Attributes:` in a docstring of Google's style, as one line."""
    found: dict[str, str] = {}
    name = None
    inside = False
    for line in inspect.cleandoc(docstring or "").splitlines():
        if line and not line.startswith(" "):
            name, inside = None, line in {"Args:", "Attributes:"}
        elif inside and (entry := _DESCRIBED.fullmatch(line)):
            name, found[entry[1]] = entry[1], entry[2]
        elif name is not None:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


# What other libraries call the number of topics.
_TOPICS = {"n_topics", "num_topics", "n_components", "topics"}


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The words "; did you mean …?" when something allowed is near, or has these initials (`lr`); else nothing."""
    allowed = list(allowed)
    if name in _TOPICS:
        return "; the number of topics is `trial.n_clusters`."
    short = [one for one in allowed if name and name == "".join(part[:1] for part in one.split("_"))]
    plain = {one.casefold(): one for one in reversed(allowed)}
    near = short or [plain[one] for one in difflib.get_close_matches(name.casefold(), plain, n=1, cutoff=0.55)]
    return f"; did you mean {near[0]!r}?" if near else ""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Names for a message: all, sorted; of more than 10 those most similar to `name`, and how many there are."""
    names = sorted(set(allowed))
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    alike = sorted(names, key=lambda one: -difflib.SequenceMatcher(None, one, name).ratio())[:_MOST_NAMES]
    return f"{', '.join(alike)}, … ({len(names)} in all)"


def read_options(
    mapping: Mapping[str, Any], options: Iterable[Option], place: Place, mistakes: Mistakes
) -> dict[str, Any]:
    """Checks a mapping against its options; the result has all of them, defaults included."""
    known = {option.name: option for option in options}
    for key in mapping:
        if key not in known:
            mistakes.unknown((*place, key), known)
    return {name: _read_one(mapping, option, place, mistakes) for name, option in known.items()}


def _read_one(mapping: Mapping[str, Any], option: Option, place: Place, mistakes: Mistakes) -> Any:
    if option.name in mapping:
        return convert(mapping[option.name], option.type, (*place, option.name), mistakes)
    if option.required:
        mistakes.add((*place, option.name), f"is missing: {describe(option.type)} is needed")
    return option.default


def convert(value: Any, type_: Any, place: Place, mistakes: Mistakes) -> Any:
    """The value converted to its type (an int becomes a float where one is needed); a mistake if it does not fit."""
    try:
        return _converted(value, type_)
    except ValueError:
        mistakes.add(place, f"{value!r} is wrong: {describe(type_)} is needed{_hint(value, type_)}")
        return value


def _converted(value: Any, type_: Any) -> Any:
    origin = get_origin(type_)
    if origin is Annotated:
        return _bounded(value, type_)
    if origin is Literal:
        return _one_of(value, get_args(type_))
    if origin in {Union, types.UnionType}:
        return _first_that_fits(value, get_args(type_))
    if origin is tuple:
        return _sequence(value, _item(type_))
    if origin is abc.Mapping:
        return _mapping(value, *get_args(type_))
    return _plain(value, type_)


def _item(type_: Any) -> Any:
    """The type of each item of a `tuple[X, ...]` or of each value of a `Mapping[str, X]`."""
    return get_args(type_)[get_origin(type_) is abc.Mapping]


def _bounded(value: Any, type_: Any) -> Any:
    base, *checks = get_args(type_)
    number = _converted(value, base)
    if not all(check.holds(number) for check in checks if isinstance(check, Bounds)):
        raise ValueError
    return number


def _one_of(value: Any, allowed: tuple[Any, ...]) -> Any:
    # `1 in (True,)` is true in Python: the types must agree as well.
    if not any(value == one and type(value) is type(one) for one in allowed):
        raise ValueError
    return value


def _first_that_fits(value: Any, types_: tuple[Any, ...]) -> Any:
    for type_ in types_:
        try:
            return _converted(value, type_)
        except ValueError:
            continue
    raise ValueError


def _sequence(value: Any, item_type: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError  # noqa: TRY004 - one kind of error means "does not fit"
    return tuple(_converted(item, item_type) for item in value)


def _mapping(value: Any, key_type: Any, item_type: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError  # noqa: TRY004 - one kind of error means "does not fit"
    return {_converted(name, key_type): _converted(item, item_type) for name, item in value.items()}


def _plain(value: Any, type_: Any) -> Any:
    if type_ is type(None) and value is None:
        return None
    if type_ is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError
        return float(value)
    if type_ in {int, bool, str} and type(value) is type_:
        return value
    raise ValueError


def describe(type_: Any) -> str:
    """A type in words: "a number above 0", "one of 'a', 'b'"."""
    origin, arguments = get_origin(type_), get_args(type_)
    if kind := plug_in_kind(type_):
        return f"one of the {kind} by name, or a mapping of its name and options"
    if origin is Annotated:
        return f"{describe(arguments[0])} {' and '.join(str(check) for check in arguments[1:])}"
    if origin is Literal:
        return "one of " + ", ".join(repr(one) for one in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(describe(one) for one in arguments)
    if origin in {tuple, abc.Mapping}:
        keys = get_args(arguments[0]) if origin is abc.Mapping else ()
        mapping = f"a mapping with {' or '.join(keys)}, each" if keys else "a mapping, each value"
        return f"{'a list, each item' if origin is tuple else mapping} {describe(_item(type_))}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return words.get(type_, str(type_))


_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", type(None): "null"}


def json_schema(type_: Any) -> dict[str, Any]:
    """A type in JSON Schema (draft 2020-12); the schema of a plug-in is in `$defs` under its kind."""
    origin, arguments = get_origin(type_), get_args(type_)
    if kind := plug_in_kind(type_):
        return {"$ref": f"#/$defs/{kind}"}
    if origin is Annotated:
        bounds = [one.json_schema() for one in arguments[1:] if isinstance(one, Bounds)]
        return reduce(or_, bounds, json_schema(arguments[0]))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return {"anyOf": [json_schema(one) for one in arguments]}
    if origin in {tuple, abc.Mapping}:
        kind, key = ("array", "items") if origin is tuple else ("object", "additionalProperties")
        named = {"propertyNames": json_schema(arguments[0])} if get_origin(arguments[0]) is Literal else {}
        return {"type": kind, key: json_schema(_item(type_)), **named}
    return {"type": _JSON_TYPES[type_]}


def _hint(value: Any, type_: Any) -> str:
    """The reason for a bound, the wrong item of a list, or the allowed text nearest to a text; else an empty text."""
    if get_origin(type_) is tuple:
        return _item_hint(value, _item(type_))
    if reason := next((one.why for one in get_args(type_) if isinstance(one, Bounds) and one.why), ""):
        return f": {reason}"
    names = [one for one in get_args(type_) if isinstance(one, str)] if get_origin(type_) is Literal else []
    if isinstance(value, str) and names:
        return did_you_mean(value, names)
    return ""


def _item_hint(value: Any, type_: Any) -> str:
    """The first item that does not fit with the text nearest to it, or that a single item needs brackets."""
    if isinstance(value, str | int | float):
        return f": write [{value}]" if _fits(value, type_) else _hint(value, type_)
    if not isinstance(value, list | tuple):
        return ""
    wrong = next(one for one in value if not _fits(one, type_))
    hint = _hint(wrong, type_)
    return f"; {wrong!r} is not{hint}" if len(value) > 1 else hint


def _fits(value: Any, type_: Any) -> bool:
    try:
        _converted(value, type_)
    except ValueError:
        return False
    return True
