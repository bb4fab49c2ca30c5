"""Learning curves of configurations: the mean over the seeds, and the seeds of one configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from core.errors import counted
from jobs.analysis.estimates import score
from jobs.analysis.leaderboard import Entry, Leaderboard
from jobs.analysis.scores import bounds
from jobs.charts.configurations import Key, describe, key, told
from jobs.charts.look import (
    ACCENT,
    CROWD,
    INK,
    LEGEND,
    PALETTE,
    SHAPES,
    SOFT,
    TELL,
    broken,
    by_legend,
    declared,
    epoch_axis,
    long_legend,
    opacity,
    picked,
    plain,
    rows,
    zoomed,
)
from jobs.health.curves import Curve
from jobs.present.names import USUAL, ShownNames

_HEIGHT = 230
_FIRST = 4
"""The configurations that are marked."""
_DASHES = ([], [7, 3], [2, 3], [9, 3, 2, 3])
_EDGE = 6
"""Pixels between the edge of the plot and what is drawn, so that no mark is cut."""
_CROWD = 100
"""With more configurations than this, their lines are drawn fainter and of fewer points."""
_BACKGROUND = 16


def draw(
    curves: Mapping[Key, Curve], board: Leaderboard, metric: str, start: int = 0, names: ShownNames = USUAL
) -> dict[str, Any]:
    """The mean curves of all configurations; the first ones of the leaderboard are marked, with their 95 % bands.

    Args:
        curves: The curve of each configuration.
        board: The leaderboard.
        metric: The name of what is drawn.
        start: Its first configuration has the number after this one among those that the page links.
        names: How metrics, parameters, methods and data sets are called.
    """
    lines, title = told(board, names), names.metric(metric)
    order = [entry for entry in board.entries if key(entry) in curves]
    crowd = len(order) > _CROWD
    many = [
        {
            "c": start + entry.rank,
            "told": lines[entry.rank - 1],
            **_thinned(curves[key(entry)], _BACKGROUND if crowd else None),
        }
        for entry in order
    ]
    first = order[:_FIRST]
    shown = broken([f"#{entry.rank} {describe(entry, board, names)}" for entry in first], LEGEND)
    marked = [
        {
            "name": name,
            "c": start + entry.rank,
            "told": lines[entry.rank - 1],
            "dash": dash,
            **_banded(curves[key(entry)], metric),
        }
        for name, entry, dash in zip(shown, first, _DASHES, strict=False)
    ]
    chosen = by_legend("name")
    x, y, low = _epoch(), _height(title), _height(title, field="low")
    faint = 0.1 if crowd else 0.35
    behind = (
        alt.Chart(rows(many))
        .transform_flatten(["epoch", "value"])
        .encode(x=x, y=y, detail=alt.Detail("c:N"), tooltip=TELL)
    )
    strength = alt.OpacityValue(alt.ExprRef(f"!picked ? {faint} : picked[datum.c] ? 0.9 : 0.02"))
    layers = [behind.mark_line(color=SOFT, strokeWidth=1.1, aria=False).encode(opacity=strength).add_params(zoomed())]
    layers += _marked(marked, shown, (x, y, low), chosen)
    words = f"Learning curves, {title}: the mean over the seeds of {counted(len(order), 'configuration')}."
    return declared(layers, _HEIGHT, words, picked(), crowd=len(many) > CROWD)


def seeds(  # noqa: PLR0917 - what it is drawn of, and how
    curve: Curve, reference: Curve, entry: Entry, metric: str, limits: Sequence[float], names: ShownNames = USUAL
) -> dict[str, Any]:
    """One configuration: its seeds, their mean with the 95 % band, and the best one's mean as a dotted line.

    Args:
        curve: Its curve.
        reference: That of the best configuration.
        entry: Its entry of the leaderboard.
        metric: The name of what is drawn.
        limits: The lowest and the highest value, for a common scale of several drawings.
        names: How metrics are called.
    """
    title = names.metric(metric)
    x, y = _epoch(), _height(title, limits)
    thin = [
        {"seed": seed, "told": [f"seed {seed}"], "epoch": list(curve.epochs), "value": _short(values)}
        for seed, values in curve.seeds
    ]
    layers: list[alt.Chart] = []
    if curve.half_widths:
        layers.append(
            _band([_banded(curve, metric)], x, _height(title, limits, "low")).encode(color=alt.ColorValue(ACCENT))
        )
    lines = (
        alt.Chart(rows(thin))
        .transform_flatten(["epoch", "value"])
        .encode(x=x, y=y, detail=alt.Detail("seed:N"), tooltip=TELL)
    )
    layers.append(lines.mark_line(color=ACCENT, strokeWidth=1, opacity=0.55, aria=False).add_params(zoomed()))
    middle = [{"told": ["mean"], "epoch": list(curve.epochs), "value": _short(curve.means)}]
    mean = alt.Chart(rows(middle)).transform_flatten(["epoch", "value"]).encode(x=x, y=y, tooltip=TELL)
    layers.append(mean.mark_line(color=ACCENT, strokeWidth=2.6, aria=False))
    if curve != reference:
        best = [{"told": ["mean of the best"], "epoch": list(reference.epochs), "value": _short(reference.means)}]
        dotted = alt.Chart(rows(best)).transform_flatten(["epoch", "value"]).encode(x=x, y=y, tooltip=TELL)
        layers.append(dotted.mark_line(color=INK, strokeWidth=1.6, strokeDash=[1.5, 3.5], aria=False))
    words = f"#{entry.rank}: {title} of {counted(len(thin), 'seed')}, their mean and its 95 % interval."
    return declared(layers, _HEIGHT - 40, words)


def _marked(
    marked: Sequence[Mapping[str, Any]], names: Sequence[str], axes: tuple[alt.X, alt.Y, alt.Y], chosen: alt.Parameter
) -> list[alt.Chart]:
    x, y, low = axes
    legend = long_legend()
    colours = alt.Color("name:N", scale=alt.Scale(domain=names, range=list(PALETTE[: len(names)])), legend=legend)
    shapes = alt.Shape("name:N", scale=alt.Scale(domain=names, range=list(SHAPES[: len(names)])), legend=legend)
    lines = alt.Chart(rows(marked)).transform_flatten(["epoch", "value"]).encode(x=x, y=y, color=colours, tooltip=TELL)
    seen = "!picked || picked[datum.c]"
    ends = [{**one, "epoch": one["epoch"][-1], "value": one["value"][-1]} for one in marked]
    points = alt.Chart(rows([{name: one[name] for name in ("name", "c", "told", "epoch", "value")} for one in ends]))
    bands = [one for one in marked if one["low"]]
    return [
        *([_band(bands, x, low).encode(color=colours, opacity=opacity(0.12, seen, chosen, weak=0))] if bands else []),
        lines.mark_line(strokeWidth=2.2, aria=False)
        .encode(strokeDash=alt.StrokeDashValue(alt.ExprRef("datum.dash")), opacity=opacity(1, seen, chosen))
        .add_params(chosen),
        points.mark_point(filled=True, size=55, aria=False).encode(
            x=x, y=y, color=colours, shape=shapes, tooltip=TELL, opacity=opacity(1, seen, chosen)
        ),
    ]


def _epoch() -> alt.X:
    scale = alt.Scale(zero=False, nice=False, padding=_EDGE)
    return alt.X("epoch:Q", title=plain("epoch"), axis=epoch_axis(), scale=scale)


def _height(metric: str, limits: Sequence[float] = (), field: str = "value") -> alt.Y:
    domain = list(limits) if limits else alt.Undefined
    scale = alt.Scale(zero=False, nice=False, padding=_EDGE, domain=domain)
    return alt.Y(f"{field}:Q", title=metric, scale=scale, axis=alt.Axis(tickCount=5))


def _band(found: Sequence[Mapping[str, Any]], x: alt.X, low: alt.Y) -> alt.Chart:
    some = [{name: one[name] for name in ("name", "c", "epoch", "low", "high") if name in one} for one in found]
    base = alt.Chart(rows(some)).transform_flatten(["epoch", "low", "high"]).mark_area(opacity=0.12, aria=False)
    return base.encode(x=x, y=low, y2=alt.Y2("high:Q"))


def band_ends(curve: Curve, metric: str) -> tuple[list[float], list[float]]:
    """The lower and the upper end of the 95 % interval at each epoch, within the bounds of the metric.

    They are those that a leaderboard would have of the same values; none for one seed.
    """
    columns = zip(*(row for _, row in curve.seeds), strict=True) if curve.half_widths else ()
    found = [score(values, bounds(metric)) for values in columns]
    return [one.low for one in found if one.low is not None], [one.high for one in found if one.high is not None]


def _banded(curve: Curve, metric: str) -> dict[str, Any]:
    low, high = band_ends(curve, metric)
    return {
        "epoch": list(curve.epochs),
        "value": _short(curve.means),
        "low": _short(low),
        "high": _short(high),
    }


def _thinned(curve: Curve, most: int | None) -> dict[str, list[float]]:
    n = len(curve.epochs)
    places = range(n) if most is None or n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]
    return {"epoch": [curve.epochs[i] for i in places], "value": _short([curve.means[i] for i in places])}


def _short(values: Sequence[float]) -> list[float]:
    """To five digits, for a small page."""
    return [float(f"{value:.5g}") for value in values]
