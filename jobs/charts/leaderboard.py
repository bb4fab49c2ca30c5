"""The first configurations of a leaderboard with their means and 95 % intervals."""

from __future__ import annotations

from typing import Any

from jobs.analysis.leaderboard import Leaderboard
from jobs.charts.configurations import describe, seeds, told, verdict
from jobs.charts.intervals import Row, intervals
from jobs.charts.look import VERDICTS
from jobs.present.names import USUAL, ShownNames

MOST = 30
"""The most configurations of a drawing."""


def draw(board: Leaderboard, names: ShownNames = USUAL) -> dict[str, Any]:
    """The configurations from the best, with what the seeds cannot tell from it."""
    some = board.entries[:MOST]
    found = [
        Row(
            f"#{one.rank} {describe(one, board, names)}",
            verdict(one),
            one.score.mean,
            one.score.low,
            one.score.high,
            told=lines,
        )
        for one, lines in zip(some, told(board, names), strict=False)
    ]
    more = len(board.entries) - len(some)
    name = names.metric(board.metric)
    words = f"{name} of {len(some)} configurations, the best first" + (f", of {more} more not shown." if more else ".")
    return intervals(found, VERDICTS, f"{name}, {seeds(board)}", words)
