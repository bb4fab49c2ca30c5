"""A race over seeds as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from core.errors import counted
from jobs.analysis import intervals
from jobs.analysis.estimates import score, shrunk
from jobs.analysis.leaderboard import Leaderboard
from jobs.analysis.race import Race, RaceRule, RaceStanding
from jobs.analysis.scores import bounds, metric_name
from jobs.present.leaderboard import Sheet, params_columns, params_text
from jobs.present.output import wrapped
from jobs.present.tables import Column

Look = tuple[int, int, Sequence[RaceStanding]]
"""A round's number from 1, its number of seeds per configuration, and the standings."""


def round_text(board: Leaderboard, look: Look, rule: RaceRule, width: int) -> str:
    """One round for a terminal: the configurations that raced in it; for the first round, those that remain.

    Where the best alone remains, those that it was told from are shown too, with their leads.

    Args:
        board: The leaderboard with the parameters and the metric.
        look: The round.
        rule: The settings of the race.
        width: Characters per line.
    """
    number, _, standings = look
    left = list(standings) if number > 1 else [one for one in standings if one.verdict != "worse"][: rule.top]
    lines = wrapped(_headline(look, left), width)
    shown = left if len(left) > 1 else list(standings[: rule.top])
    return "\n".join(["", *lines, ""]) + _sheet(board, shown).render("table", width)


def end_text(board: Leaderboard, race: Race, rule: RaceRule, width: int) -> str:
    """The result of the race, in a few lines."""
    count, standings = race.rounds[-1]
    best = standings[0]
    if race.end == "alone":
        text = "Nothing to race: there is no other contender."
    elif race.end == "separated":
        text = "Separated: the best is better than every other contender (error 5 % over all planned rounds)."
    elif race.end == "as good":
        text = (
            f"As good: the {len(race.contenders)} remaining configurations differ from the best by at most "
            f"{_largest_lead(standings):.3g} (95 %), and a difference of {rule.margin:g} does not matter."
        )
    else:
        left, reach = len(race.contenders), _largest_lead(standings)
        text = (
            f"Undecided after {counted(count, 'seed')}: {left} may be the best, and differ from the first by at most "
            f"{reach:.3g} (95 %). To go on, plan anew: --seeds-at-most {count + max(2, count // 2)}, with its own 5 %."
        )
    named = f"The best: {_described(board, best.key)}: {_metric(board)} {_score(board, best.ended)}."
    lines = [text, named, *_corrected(board, race, rule), *_lost(standings)]
    return "\n".join(["", *(part for line in lines for part in wrapped(line, width, "  "))])


def _corrected(board: Leaderboard, race: Race, rule: RaceRule) -> list[str]:
    """The best on the seeds that did not choose the contenders; without such seeds, corrected for the choice."""
    best = race.rounds[-1][1][0]
    limits = bounds(board.metric)
    if best.key not in race.fresh:
        first = [dict(enumerate(one.ended)) for one in race.rounds[0][1]]
        found = shrunk(first, maximise=rule.maximise, bounds=limits)
        return [found.sentence] if found else []
    keys = [best.key, *(key for key in race.fresh if key != best.key)]
    values = list(race.fresh[best.key].values())
    told = f"On the added seeds alone, which did not choose the contenders: {_score(board, values)}"
    found = shrunk([race.fresh[key] for key in keys], maximise=rule.maximise, bounds=limits)
    if found is None:
        return [f"{told}."]
    return [f"{told}; corrected for the choice among the {len(keys)} contenders, it is {found.text}."]


def _lost(standings: Sequence[RaceStanding]) -> list[str]:
    """A sentence on the seeds whose training failed, of those that raced last."""
    count = sum(len(one.values) - len(one.ended) for one in standings)
    return [f"Training failed in {counted(count, 'trial')}: each counts as the worst value."] if count else []


def _score(board: Leaderboard, values: Sequence[float]) -> str:
    return f"{score(values, bounds(board.metric)).text} ({counted(len(values), 'seed')})"


def _largest_lead(standings: Sequence[RaceStanding]) -> float:
    """The largest lead over a remaining configuration that the intervals allow."""
    return max(one.gap + one.half_width for one in standings if one.verdict not in {"best", "worse"})


def _headline(look: Look, shown: Sequence[RaceStanding]) -> str:
    number, count, standings = look
    worse = sum(one.verdict == "worse" for one in standings)
    left_out = len(standings) - worse - len(shown) if number == 1 else 0
    text = f"round {number}: {counted(count, 'seed')}, {counted(len(standings), 'configuration')}"
    text += f", {worse} of them worse" if worse else ""
    return text + (f"; {left_out} more may be as good but are left out (--top)" if left_out else "")


def _sheet(board: Leaderboard, shown: Sequence[RaceStanding]) -> Sheet:
    entries = {entry.config_key: entry for entry in board.entries}
    parts = params_columns(board, [entries[one.key] for one in shown])
    parts = [part for part in parts if len(set(part[1])) > 1] or parts
    columns = [column for column, _ in parts]
    columns += [Column(_metric(board), right=False), Column("the best leads by", right=False), Column("", right=False)]
    limits = bounds(board.metric)
    rows = [[*(values[row] for _, values in parts), *_result_cells(one, limits)] for row, one in enumerate(shown)]
    return Sheet(columns, rows)


def _result_cells(one: RaceStanding, limits: tuple[float, float]) -> tuple[str, str, str]:
    shown = score(one.ended, limits).text
    has_lead = one.verdict != "best" and isfinite(one.gap)
    half = one.half_width if isfinite(one.half_width) else None
    return shown, intervals.plus_minus(one.gap, half) if has_lead else "", one.verdict


def _described(board: Leaderboard, key: str) -> str:
    entry = next(entry for entry in board.entries if entry.config_key == key)
    return params_text(board, entry) or "the only configuration with a value"


def _metric(board: Leaderboard) -> str:
    return metric_name(board.metric)
