"""Figures for papers and slides: the charts of the page, drawn without a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.errors import UserError
from jobs.analysis.interaction import interaction
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.scores import metric_name
from jobs.analysis.trials import Trials, param_key
from jobs.charts import curves, effect, heat, importance, leaderboard, scatter
from jobs.charts.configurations import key
from jobs.report.contents import Contents
from jobs.report.drawings import detail
from jobs.report.paper import ranked

Chart = dict[str, Any]
WIDTH = 7.0
"""Inches of a figure."""


def charts(contents: Contents, what: str, params: Sequence[str]) -> list[Chart]:
    """The charts of a figure, the uppermost first: of each data set its own.

    Args:
        contents: The result of `jobs.report.contents.gather`.
        what: One of `PLOTS`.
        params: The parameters to draw.

    Raises:
        UserError: There is nothing to draw, a parameter is unknown, or the metric may not rank the configurations.
    """
    return PLOTS[what](contents, params)


def notes(contents: Contents, what: str) -> list[str]:
    """What a person should know of a figure: that it draws another metric than the one asked for, and its heights."""
    if what != "curves" or not contents.curves:
        return []
    metric, found = next(iter(contents.curves.items()))
    name, wanted = (
        metric_name(metric),
        metric_name(contents.boards[0][1].metric) if contents.boards else contents.metric,
    )
    boards = [board for _, board in contents.boards if any(key(entry) in found for entry in board.entries)]
    said = dict.fromkeys(f"{name}: {told}." for board in boards if (told := detail(metric, board)))
    if name == wanted:
        return [*said]
    return [f"Drawn is {name}: no trial has {wanted} at more than one epoch.", *said]


def _of_each(contents: Contents, draw: Callable[[Leaderboard], Sequence[Chart]]) -> list[Chart]:
    """The charts of each leaderboard, the first one of a data set under its name where there are several."""
    boards, found = ranked(contents), list[Chart]()
    for name, board in boards:
        drawn = list(draw(board))
        if drawn and len(boards) > 1:
            drawn[0] = {
                **drawn[0],
                "title": {"text": contents.labels.data_set(name), "anchor": "start", "fontSize": 12},
            }
        found += drawn
    return found


def _leaderboard(contents: Contents, _: Sequence[str]) -> list[Chart]:
    return _of_each(contents, lambda board: [leaderboard.draw(board, contents.labels)])


def _curves(contents: Contents, _: Sequence[str]) -> list[Chart]:
    if not contents.curves:
        raise UserError("There are no learning curves: these rows have no history.")
    metric, found = next(iter(contents.curves.items()))

    def drawn(board: Leaderboard) -> list[Chart]:
        there = any(key(entry) in found for entry in board.entries)
        return [curves.draw(found, board, metric_name(metric), names=contents.labels)] if there else []

    return _of_each(contents, drawn)


def _selection(contents: Contents, _: Sequence[str]) -> list[Chart]:
    found = _of_each(contents, lambda board: [one] if (one := scatter.consensus(board, names=contents.labels)) else [])
    if not found:
        raise UserError("There is no consensus to draw: it needs label-free criteria of at least two configurations.")
    return found


def _pareto(contents: Contents, _: Sequence[str]) -> list[Chart]:
    found = _of_each(contents, lambda board: [*scatter.fronts(board, names=contents.labels).values()])
    if not found:
        raise UserError(
            "There is no Pareto front to draw: name two or more metrics of which configurations have values, as "
            "`pareto nmi seconds`, or in a study as `select: {metrics: [nmi, seconds]}`."
        )
    return found


def _importance(contents: Contents, _: Sequence[str]) -> list[Chart]:
    if contents.importance is None:
        raise UserError(contents.unshared or "No parameter varies over the finished trials: nothing to compare.")
    return [importance.draw(contents.importance, contents.labels)]


def _effect(contents: Contents, params: Sequence[str]) -> list[Chart]:
    wanted = param_key(params[0], _trials(contents))
    one = next(each for each in contents.effects if each.key == wanted)
    if one.refusal:
        raise UserError(one.refusal)
    return [draw(one, contents.labels) for draw in (effect.draw, effect.differences)]


def _interaction(contents: Contents, params: Sequence[str]) -> list[Chart]:
    trials = _trials(contents)
    found = interaction(trials, *(param_key(name, trials) for name in params))
    if found.refusal:
        raise UserError(found.refusal)
    return [heat.draw(found, contents.labels)]


def _trials(contents: Contents) -> Trials:
    if contents.trials is None:
        raise ValueError("read without what drawings need")
    return contents.trials


PLOTS: dict[str, Callable[[Contents, Sequence[str]], list[Chart]]] = {
    "leaderboard": _leaderboard,
    "curves": _curves,
    "selection": _selection,
    "importance": _importance,
    "pareto": _pareto,
    "effect": _effect,
    "interaction": _interaction,
}
"""The figures by name."""
