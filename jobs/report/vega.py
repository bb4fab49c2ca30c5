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
    data = tag("div", hidden=True, data_rows=_text(shared)) if shared else None
    return [join([data if place == 0 else None, _drawing(one, None)]) for place, one in enumerate(own)]


def _drawing(seen: Mapping[str, Any], least: int | None) -> Markup:
    words = tag("p", seen["description"], class_="note")
    width = None if least is None else str(least)
    return tag("div", words, class_="vega", data_chart=_text(seen), data_least=width)


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
