"""A chart away from the page, whose style sheet it then lacks: on paper and in a notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import altair as alt

from jobs.charts.look import TELL_LINES, shown

_WIDTH = 560
"""Pixels of the plot in a notebook."""
_NAME = 320
"""The most pixels of a name there."""
_TOLD = "join(split(datum.told, '\\n'), ' · ')"
"""The lines where the pointer is, in one: a notebook has no style sheet that would break them."""
_PRINT = {
    "ink": "#000000",
    "soft": "#555555",
    "faint": "#e6e6e6",
    "card": "#ffffff",
    "best": "#0072b2",
    "tied": "#d55e00",
    "square": "#009e73",
    "triangle": "#cc79a7",
    "group-0": "#0072b2",
    "group-1": "#d55e00",
    "group-2": "#009e73",
    "group-3": "#cc79a7",
    "group-4": "#e69f00",
    "group-5": "#56b4e9",
    "group-6": "#000000",
    "group-7": "#777777",
}
"""The colours of the style sheet on paper: those of Okabe and Ito, which the colour-blind can tell apart."""


def on_paper(chart: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The chart with the colours of print on white.

    Args:
        chart: As Vega-Lite, as the page draws it.
        width: In pixels.
    """
    text = re.sub(r"var\(--([\w-]+)\)", lambda found: _PRINT[found[1]], json.dumps(shown(chart), allow_nan=False))
    return {**json.loads(text), "width": width, "background": "white"}


def chart(declared: Mapping[str, Any]) -> alt.TopLevelMixin:
    """The chart as an object of Altair, which a notebook draws.

    Args:
        declared: As Vega-Lite, as the page draws it.
    """
    found = _in_one_line(on_paper(declared, _WIDTH))
    # Altair's schema lacks it, and there is room enough, also for the parameters of a configuration.
    found["config"]["legend"].pop("layout", None)
    found["config"]["axis"]["labelLimit"] = _NAME
    return alt.Chart.from_dict(found)


def _in_one_line(declared: Any) -> Any:
    """The chart with tooltips of one line."""
    if isinstance(declared, Mapping):
        return {key: _in_one_line(one) for key, one in declared.items()}
    if isinstance(declared, list):
        return [_in_one_line(one) for one in declared]
    return _TOLD if declared == TELL_LINES else declared
