"""Charts as a picture for papers and slides, drawn without a browser: PNG, SVG or PDF; the same each time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert

from jobs.charts.paper import on_paper
from jobs.present.visible import visible

_VERSION = "6.4"
_INCH = 96
"""Pixels of Vega in an inch, so a font of 9.4 pixels has 7 points."""
_POINTS = 72
_NARROW = 5.0
"""A picture of fewer inches has one entry of a legend to a line."""
_MARK = 80
_GAP = 14
_RESOLUTION = 300
"""Dots of a PNG per inch."""
_SIZE = re.compile(r'<svg[^>]*?width="([\d.]+)" height="([\d.]+)"')


def figure(charts: Sequence[Mapping[str, Any]], suffix: str, inches: float) -> bytes:
    """The charts one below the other as the bytes of a file.

    Args:
        charts: As Vega-Lite, as the page draws them.
        suffix: `.png`, `.svg` or `.pdf`.
        inches: The width of the picture.
    """
    panels = [vl_convert.vegalite_to_svg(_on_paper(one, inches), vl_version=_VERSION) for one in charts]
    # vl-convert takes a length without a unit as points.
    svg = visible(_stacked(panels, 1 if suffix == ".svg" else _POINTS / _INCH))
    if suffix == ".svg":
        return svg.encode()
    if suffix == ".pdf":
        return vl_convert.svg_to_pdf(svg)
    return vl_convert.svg_to_png(svg, ppi=_RESOLUTION)


def _on_paper(chart: Mapping[str, Any], inches: float) -> dict[str, Any]:
    width = round(inches * _INCH)
    found = on_paper(chart, width)
    if inches < _NARROW:
        found["config"]["legend"] |= {"columns": 1, "labelLimit": width - _MARK}
    return found


def _stacked(panels: Sequence[str], unit: float) -> str:
    """Pictures one below the other on white, a pixel so many units; the names of their parts are made different."""
    sizes = [tuple(map(float, found.groups())) for one in panels if (found := _SIZE.search(one))]
    width, height = max(one[0] for one in sizes), sum(one[1] for one in sizes) + _GAP * (len(sizes) - 1)
    parts = [f'<rect width="{width:g}" height="{height:g}" fill="white"/>']
    below = 0.0
    for place, (panel, size) in enumerate(zip(panels, sizes, strict=True)):
        parts.append(f'<g transform="translate(0,{below:g})">{_renamed(panel, f"p{place}-")}</g>')
        below += size[1] + _GAP
    name = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    sides = f'width="{width * unit:g}" height="{height * unit:g}" viewBox="0 0 {width:g} {height:g}"'
    return f"<svg {name} {sides}>{''.join(parts)}</svg>"


def _renamed(panel: str, start: str) -> str:
    """A picture whose parts are named in their order, as the renderer counts over all that it ever drew."""
    numbers: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        return f"{found[1]}{start}{numbers.setdefault(found[2], len(numbers))}"

    return re.sub(r'( id="|url\(#|href="#)([\w-]+)', name, panel)
