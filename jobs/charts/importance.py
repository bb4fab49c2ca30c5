"""How the variance between trials is split among parameters, pairs of them, and luck."""

from __future__ import annotations

from typing import Any

from jobs.analysis.importance import Importance
from jobs.charts.intervals import Row, intervals
from jobs.charts.look import GREEN, OTHER, SOFT, MarkKind
from jobs.present.importance import shown
from jobs.present.names import USUAL, ShownNames

_KINDS = {
    "matters": MarkKind("matters", GREEN, "square"),
    "unknown": MarkKind("not shown to matter", SOFT, "circle", is_filled=False),
    "luck": MarkKind("luck", OTHER, "triangle-up"),
}


def draw(found: Importance, names: ShownNames = USUAL) -> dict[str, Any]:
    """A bar with its interval for each parameter, for the pairs that explain most, and for luck."""
    called = names.by_key({key: None for one in found.parameters for key in one.keys})
    data = [
        Row(
            " x ".join(called[key] for key in one.keys),
            "matters" if one.verdict.startswith("matters") else "unknown",
            one.share,
            one.low,
            one.high,
            "" if one.share is not None else one.verdict,
            [" x ".join(called[key] for key in one.keys), *_share(one.share, one.low, one.high), one.verdict],
        )
        for one in shown(found)
    ]
    if found.luck is not None:
        low, high = found.luck_interval or (None, None)
        data.append(
            Row("luck (the seed)", "luck", found.luck, low, high, told=["the seed", *_share(found.luck, low, high)])
        )
    words = f"Shares of the variance of {names.metric(found.column)} between {found.trials} trials."
    return intervals(data, _KINDS, "share of the variance", words, shares=True)


def _share(share: float | None, low: float | None, high: float | None) -> list[str]:
    if share is None:
        return []
    return [f"{share:.1%}" if low is None or high is None else f"{share:.1%} ({low:.1%} … {high:.1%})"]
