"""What `--set` changes in the space of a study file, as it is written there.

`--set epochs=3` fixes a key, so it is no longer varied. `--set space.epochs={grid: [3, 6]}` gives another range, and
`--set space.method.tcl.threshold={grid: [0.9]}` gives one in the space of the value `tcl`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.config.schema import Place
from jobs.results.names import spelled
from jobs.study.keys import plug_in_fields
from jobs.study.space import KINDS, label

_PLUG_INS = {key for _, key in plug_in_fields()}


def put_range(ranges: dict[str, Any], words: Sequence[str], value: Any, place: Place = ("space",)) -> Place:
    """Sets a range, or one of its lists if the last word is `grid` or another kind; returns its place in the document.

    Args:
        ranges: The space as it is written; it is changed.
        words: The key, split at its dots; in a branch with the keys and values that lead to it.
        value: The range, or its list.
        place: The place of the space in the document.
    """
    for length in range(1, len(words)):
        key, rest = ".".join(words[:length]), words[length:]
        for kind, number, one in _values(ranges.get(key)):
            name = label(one).split(".")
            if list(rest[: len(name)]) == name and len(rest) > len(name):
                whole = dict(one) if isinstance(one, dict) else {"name": one}
                whole["space"] = dict(whole.get("space") or {})
                ranges[key][kind][number] = whole
                return put_range(whole["space"], rest[len(name) :], value, (*place, key, kind, str(number), "space"))
    if words[-1] in KINDS and len(words) > 1:
        words, value = words[:-1], {words[-1]: value}
    key = ".".join(words)
    ranges[key] = value
    return (*place, key)


def pin(ranges: Any, dotted: str, value: Any) -> None:
    """Removes the ranges of a key that has one value now; of a plug-in, the space of that value stays."""
    for key in [one for one in ranges if _is_it(one, dotted)] if isinstance(ranges, dict) else ():
        if kept := _with_space(ranges[key], value):
            ranges[key] = kept
        else:
            del ranges[key]


def pin_in_branches(ranges: Any, key: str, value: Any) -> list[Place]:
    """Gives a key one value where branches vary it, since a plug-in of a branch replaces that of the trial.

    Returns:
        The places of the ranges that were replaced.
    """
    found: list[Place] = []
    for place, inner in _branches(ranges, ("space",)):
        for name in [one for one in inner if _is_it(one, key) or one.endswith(f".{key}")]:
            inner[name] = _with_space(inner[name], value) or {"grid": [value]}
            found.append((*place, name))
    return found


def _is_it(key: str, dotted: str) -> bool:
    """Whether a key of the space, which may be short, means this one; a plug-in and its name are one thing."""
    if dotted.removesuffix(".name") in _PLUG_INS:
        key, dotted = key.removesuffix(".name"), dotted.removesuffix(".name")
    return any(one == dotted or dotted.endswith(f".{one}") for one in (key, spelled(key)))


def _with_space(content: Any, value: Any) -> dict[str, Any] | None:
    """The range with those of its values that are the wanted plug-in and have a space; None if none is."""
    wanted = value if isinstance(value, Mapping) else {"name": value}
    kept: dict[str, list[Any]] = {}
    for kind, _, one in _values(content):
        if isinstance(one, dict) and "space" in one and all(one.get(key) == own for key, own in wanted.items()):
            kept.setdefault(kind, []).append(one)
    return kept or None


def _values(content: Any) -> Iterator[tuple[str, int, Any]]:
    """The kind of a range's list, and the number of each value in it with the value."""
    for kind, values in content.items() if isinstance(content, dict) else ():
        for number, one in enumerate(values if isinstance(values, list) else ()):
            yield kind, number, one


def _branches(ranges: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The spaces of values, with their places in the document."""
    for key, content in ranges.items() if isinstance(ranges, dict) else ():
        for kind, number, one in _values(content):
            if isinstance(one, dict) and isinstance(inner := one.get("space"), dict):
                where = (*place, key, kind, str(number), "space")
                yield where, inner
                yield from _branches(inner, where)
