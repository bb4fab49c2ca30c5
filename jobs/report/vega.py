"""Charts of `jobs.charts` as pieces of a page: the words that stand for one, and what draws it in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobs.present.visible import one_line
from jobs.report.markup import Markup, tag

_OF_OBJECTS = frozenset(
    {
        *("__proto__", "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"),
        *("toString", "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
"""Names that every object of JavaScript has: Vega, which looks names up in objects, cannot draw a group called so."""


def drawing(chart: Mapping[str, Any]) -> Markup:
    """A chart with its text alternative, which a page without scripts shows instead.

    Args:
        chart: As Vega-Lite, with a `description`. Names in it may come from strangers: each text is shown on one line,
            with control characters as escapes.
    """
    shown = _shown(chart)
    words = tag("p", shown["description"], class_="note")
    text = json.dumps(shown, allow_nan=False, separators=(",", ":"))
    return tag("div", words, class_="vega", data_chart=text)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        # A space that is not seen makes it another name.
        return f"{value}\u00a0" if value in _OF_OBJECTS else one_line(value)
    if isinstance(value, Mapping):
        return {key: _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value
