"""Reads the space of a study file: every range is checked with the trial in which it applies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.config import plugins
from core.config import trial as trial_config
from core.config.schema import Mistakes, Place, did_you_mean
from core.errors import UserError
from jobs.study import space
from jobs.study.keys import belonging, completed, matches, owners, plug_in_fields, varied, which
from jobs.study.paths import located_value
from jobs.study.space import Range, Values
from jobs.study.yaml_document import Document

SPACE = "space"
"""The key of a value's own space, beside the options of its plug-in."""


@dataclass(frozen=True)
class _Level:
    """Where a space stands in the file.

    Attributes:
        trial: The trial in which it applies, with all defaults.
        told: Its place in messages, such as `space.method.tcl`.
        real: Its place in the document, such as `space.method.choice.1.space`.
        chosen: The keys whose values it depends on, each with the number of the value in its list.
    """

    trial: Mapping[str, Any]
    told: Place = (SPACE,)
    real: Place = (SPACE,)
    chosen: tuple[tuple[str, int], ...] = ()

    @property
    def owner(self) -> str:
        """The key whose value has this space, as `method`; empty for the space of the study."""
        return self.chosen[-1][0] if self.chosen else ""


class SpaceReader:
    """Reads the space of a document, makes paths in it absolute, and collects the mistakes in it."""

    def __init__(self, content: Document, folder: Path, mistakes: Mistakes) -> None:
        self._content, self._folder, self._mistakes = content, folder, mistakes
        self._found: list[tuple[Place, str, _Level]] = []

    def read(self, value: Any, trial: Mapping[str, Any]) -> dict[str, Range]:
        """The ranges by dotted key."""
        ranges = self._ranges(value, _Level(trial))
        self._refuse_collisions()
        return ranges

    def _ranges(self, value: Any, level: _Level) -> dict[str, Range]:
        if not isinstance(value, dict):
            self._mistakes.add(level.told, f"{value!r} is wrong: a mapping of keys of the trial to ranges is needed")
            return {}
        ranges: dict[str, Range] = {}
        for key, content in value.items():
            full = matches(key, level.trial)
            told = (*level.told, space.within(level.owner, key))
            for name in (key, *full):
                origin = self._content.origin((*level.real, key))
                self._content.origins[*level.told, space.within(level.owner, name)] = origin
            if len(full) != 1:
                text = (
                    belonging(key, value, level.trial)
                    or _no_value(key, value)
                    or which(key, full, level.trial, level.owner.removesuffix(".name"))
                )
                self._mistakes.add(told, text)
            elif said := belonging(key, value, level.trial) or _not_of(key, full[0], level):
                self._mistakes.add(told, said)
            elif full[0] in ranges:
                self._mistakes.add(told, f"{full[0]} is in the space twice; keep one")
            else:
                value[key] = self._located(full[0], content)
                self._found.append((told, full[0], level))
                if found := self._range(key, full[0], value[key], level):
                    ranges[full[0]] = found
        return ranges

    def _located(self, dotted: str, content: Any) -> Any:
        """The range with relative paths among its values made absolute, as in the trial."""
        if not isinstance(content, dict):
            return content
        return {
            kind: [located_value(dotted, one, self._folder) for one in values] if isinstance(values, list) else values
            for kind, values in content.items()
        }

    def _range(self, key: str, dotted: str, content: Any, level: _Level) -> Range | None:
        own: dict[int, Any] = {}
        plain = content
        if isinstance(content, dict) and dotted in _KINDS:
            plain = {kind: _without_spaces(dotted, values, own) for kind, values in content.items()}
        told = (*level.told, space.within(level.owner, key))
        extra = _beside_range(plain)
        for one in extra:
            self._content.origins[*told, one] = self._content.origin((*level.real, key, one))
            self._mistakes.add(
                (*told, one),
                "unknown key beside the range; a value has a space of its own as "
                "{name: tcl, space: {threshold: {grid: [0.9, 0.95]}}}",
            )
        if extra:
            return None
        try:
            found = space.read_range(plain)
        except ValueError as error:
            self._mistakes.add(told, _nested(key, content) or str(error))
            return None
        for place, value in enumerate(found.examples):
            if not self._is_right(key, dotted, value, replace(level, real=(*level.real, key, *content, str(place)))):
                return None
        return self._with_branches(key, dotted, found, own, replace(level, real=(*level.real, key, *content)))

    def _is_right(self, key: str, dotted: str, value: Any, level: _Level) -> bool:
        """Whether the trial may have this value; a mistake in an option of a plug-in is told with its key and line."""
        inner = Mistakes()
        trial_config.read_whole(varied(level.trial, dotted, value), (), inner)
        for one in inner.found[:1]:
            told: Place = (*level.told, space.within(level.owner, key))
            option = one.place[len(dotted.split(".")) :]
            if isinstance(value, Mapping) and option and option[0] in value:
                told = (*told, space.label(value), *option)
                self._content.origins[told] = self._content.origin((*level.real, *option))
            self._mistakes.add(told, one.text)
        return not inner.found

    def _with_branches(self, key: str, dotted: str, found: Range, own: Mapping[int, Any], level: _Level) -> Range:
        """The range with the spaces of its values; `own` has them as they are written, by number of the value."""
        if not own or not isinstance(found, Values):
            return found
        branches: list[Mapping[str, Range]] = []
        for place, value in enumerate(found.values):
            inner = _Level(
                completed(level.trial, dotted, value),
                (*level.told, space.within(level.owner, key), space.label(value)),
                (*level.real, str(place), SPACE),
                (*level.chosen, (dotted, place)),
            )
            self._content.origins[inner.told] = self._content.origin(inner.real)
            ranges = self._ranges(own[place], inner) if place in own else {}
            self._refuse_given(dotted, value, ranges, inner)
            branches.append(ranges)
        return replace(found, branches=tuple(branches))

    def _refuse_given(self, dotted: str, value: Any, ranges: Mapping[str, Range], level: _Level) -> None:
        """Refuses a range of an option that stands beside the name of its plug-in, too."""
        owner = dotted.removesuffix(".name")
        options = trial_config.flatten(value) if isinstance(value, Mapping) else {}
        given = {f"{owner}.{one}".removesuffix(".name") for one in options if one != "name"}
        for key in ranges:
            if key.removesuffix(".name") in given:
                own = space.within(owner, key)
                text = f"{own} of {space.label(value)} is given beside its name and varied: keep one of them"
                self._mistakes.add((*level.told, own), text)

    def _refuse_collisions(self) -> None:
        """Refuses two ranges that set the same thing and apply together; those of two branches never do."""
        for (first, one, outer), (second, other, inner) in itertools.combinations(self._found, 2):
            if _apply_together(outer, inner) and _collide(one, other, outer, inner):
                self._mistakes.add(second, f"{'.'.join(first)} is varied, too, and both would apply: keep one of them")


_KINDS = {key: kind for kind, key in plug_in_fields()}


def _without_spaces(dotted: str, values: Any, own: dict[int, Any]) -> Any:
    """The values of a plug-in's key without their own spaces, which `own` then has by the number of the value."""
    if not isinstance(values, list):
        return values
    for place, one in enumerate(values):
        if isinstance(one, dict) and SPACE in one and not _is_option(dotted, one):
            own[place] = one[SPACE] = {} if one[SPACE] is None else one[SPACE]
    return [
        {key: value for key, value in one.items() if key != SPACE} if place in own else one
        for place, one in enumerate(values)
    ]


def _is_option(dotted: str, value: Mapping[str, Any]) -> bool:
    """Whether the plug-in of a value has an option called `space`."""
    try:
        return SPACE in {one.name for one in plugins.options(_KINDS[dotted], str(value.get("name")))}
    except UserError:  # The name is wrong, which is told when the value is read.
        return False


def _nested(key: str, content: Any) -> str:
    """The message where a range stands one level too deep, as in `method: {name: {choice: […]}}`."""
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()) or not content:
        return ""
    inner, below = next(iter(content.items()))
    if not set(below) & {*space.KINDS}:
        return ""
    whole = key if inner == "name" else f"{key}.{inner}"
    return f"a range is needed here; for {key}.{inner} write `{whole}: {{{next(iter(below))}: […]}}`"


def _beside_range(content: Any) -> list[str]:
    """The keys beside the only range in a mapping that is no kind of range."""
    if not isinstance(content, dict) or len({*content} & {*space.KINDS}) != 1:
        return []
    return [one for one in content if one not in space.KINDS]


def _no_value(key: str, ranges: Mapping[str, Any]) -> str:
    """The message for `method.tlc.threshold` where `tlc` is none of the values of `method`; empty for another key."""
    for other, content in ranges.items():
        rest = key.removeprefix(f"{other}.").split(".")
        if other in _KINDS and key.startswith(f"{other}.") and len(rest) > 1 and isinstance(content, dict):
            values = [space.label(one) for listed in content.values() if isinstance(listed, list) for one in listed]
            near = did_you_mean(rest[0], values)
            return f"{rest[0]!r} is none of the values of {other}{near or '.'} They are {', '.join(values)}"
    return ""


def _not_of(key: str, full: str, level: _Level) -> str:
    """The message for a short key that means another thing here than in other plug-ins of the kind; else empty."""
    owner = level.owner.removesuffix(".name")
    if owner not in _KINDS or key == full or full.startswith(f"{owner}."):
        return ""
    others = owners(_KINDS[owner], key)
    if not others:
        return ""
    have = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'}"
    name = level.told[-1]
    return f"{name} has no option {key} ({have}): vary it there, or write {full} where that is meant"


def _apply_together(one: _Level, other: _Level) -> bool:
    """Whether one configuration may have both: they do not depend on two values of one key."""
    for mine, theirs in zip(one.chosen, other.chosen, strict=False):
        if mine != theirs:
            return mine[0] != theirs[0]
    return True


def _collide(one: str, other: str, outer: _Level, inner: _Level) -> bool:
    """Whether two keys are one, or one is an option of a plug-in that the other chooses, but not in its branch."""
    first, second = one.removesuffix(".name"), other.removesuffix(".name")
    if first == second:
        return True
    if outer.chosen == inner.chosen or one in dict(inner.chosen) or other in dict(outer.chosen):
        return False
    return any(a in _KINDS and b.startswith(f"{a}.") for a, b in ((first, second), (second, first)))
