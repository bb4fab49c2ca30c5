"""Charts of `jobs.charts` as pieces of a page: the words that stand for one, and what draws it in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobs.charts.look import shown
from jobs.report.markup import Markup, tag


def drawing(chart: Mapping[str, Any], least: int | None = None) -> Markup:
    """A chart with its text alternative, which a page without scripts shows instead.

    Args:
        chart: As Vega-Lite, with a `description`; its names may come from strangers, see `look.shown`.
        least: Its least width in pixels; in a narrower window it scrolls sideways.
    """
    seen = shown(chart)
    words = tag("p", seen["description"], class_="note")
    text = json.dumps(seen, allow_nan=False, separators=(",", ":"))
    return tag("div", words, class_="vega", data_chart=text, data_least=None if least is None else str(least))
