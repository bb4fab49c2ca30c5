"""Charts of `jobs.charts` as pieces of a page: the words that stand for one, and what draws it in their place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.charts.look import shown
from jobs.report.markup import Markup, join, tag


def drawing(chart: Mapping[str, Any], least: int | None = None) -> Markup:
    """A chart with its text alternative, which a page without scripts shows instead.

    Args:
        chart: As Vega-Lite, with a `description`; its names may come from strangers, see `look.shown`.
        least: Its least width in pixels; in a narrower window it scrolls sideways.
    """
    return _drawing(shown(chart), least)


def together(charts: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Charts of the same rows, which stand in the page once, before the first of them."""
    seen = [shown(one) for one in charts]
    counts = Counter(name for one in seen for name in one.get("datasets", {}))
    shared = {name: one["datasets"][name] for one in seen for name in one.get("datasets", {}) if counts[name] > 1}
    own = [
        {**one, "datasets": {name: rows for name, rows in one.get("datasets", {}).items() if name not in shared}}
        for one in seen
    ]
    data = _block("rows", shared) if shared else None
    return [join([data if place == 0 else None, _drawing(one, None)]) for place, one in enumerate(own)]


def _drawing(seen: Mapping[str, Any], least: int | None) -> Markup:
    words = tag("p", seen["description"], class_="note")
    width = None if least is None else str(least)
    return tag("div", words, _block("chart", seen), class_="vega", data_least=width)


def _block(kind: str, value: Any) -> Markup:
    """Data for the script. A browser does not run it, and it holds no character that could end it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return tag("script", Markup(text), type="application/json", class_=kind)
