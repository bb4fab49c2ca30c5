"""The leaderboards of results, and methods compared over data sets: gathered, and as an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from jobs.conclusions.frames import of_sheet
from jobs.conclusions.shown import Drawn
from jobs.present import comparison as present
from jobs.present import inputs
from jobs.present.effect import paragraphs
from jobs.present.leaderboard import board_sheet, sign_notes

if TYPE_CHECKING:
    from jobs.analysis.comparison import Boards, Comparison
    from jobs.analysis.leaderboard import Leaderboard
    from jobs.results.reader import Loaded


@dataclass(frozen=True, eq=False)
class Ranking:
    """Configurations ranked.

    Attributes:
        boards: The leaderboard of each data set, by its name.
        compared: Methods or configurations compared over the data sets, by each metric.
        loaded: The rows that were read for it.
    """

    boards: Boards
    compared: Sequence[Comparison]
    loaded: Loaded


def ranked(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    wanted: tuple[str | None, str | None],
    *,
    all_metrics: bool = False,
) -> Ranking:
    """The leaderboard of each data set by the first metric, and the comparison of methods by each metric.

    Args:
        paths: The folders of results.
        where: The expression that selects trials; empty for all.
        studies: The studies to read; none for all.
        wanted: The metrics with commas between them, None for the studies' own; and `max` or `min`, None for what is
            better of them.
        all_metrics: Whether to compare also by the further metrics that the studies select by, where none is named.

    Raises:
        UserError: There are no results, none with the metric, or the metric cannot rank them.
    """
    from jobs.analysis.comparison import comparisons, leaderboards
    from jobs.analysis.leaderboard import wanted_columns
    from jobs.analysis.scores import CONSENSUS, EVERY_EPOCH, metric_column
    from jobs.analysis.selection import Probes
    from jobs.study.sections import SECONDS

    given, mode = wanted
    modes = dict(inputs.chosen_metric(paths, studies, name, mode) for name in _names(given))
    aims = inputs.chosen_aims(paths, studies)
    if given is None and all_metrics:
        modes |= {name: one for name, one in aims.metrics.items() if name not in modes}
    probes = Probes()
    columns = [one for name in modes for one in wanted_columns(name, aims)]
    lighten = {} if where else {"lighten": probes.take_out}  # A condition may be on any column.
    loaded = inputs.rows(paths, where=where, studies=studies, columns=columns, **lighten)
    table = loaded.table if where else probes.with_stability(loaded.table)
    for name in modes:
        if name == CONSENSUS:  # The rows lack it; what it is made of was asked for, so only the results tell of it.
            metric_column([EVERY_EPOCH[name], *loaded.columns], name)
        elif name != SECONDS:
            metric_column([*table.column_names, *loaded.columns], name)
    first, *others = modes
    if first == SECONDS:
        raise UserError(f"{SECONDS}, a trial's time, does not rank: begin with a score, as --metric nmi,{SECONDS}.")
    boards = leaderboards(table, first, modes[first], aims)
    return Ranking(boards, comparisons(table, boards, {name: modes[name] for name in others}), loaded)


def _names(metric: str | None) -> list[str | None]:
    """The metrics of `--metric nmi,acc`."""
    if metric is None:
        return [None]
    names = [name.strip() for name in metric.split(",")]
    if not all(names):
        raise UserError(f"--metric {metric!r} names no metric beside a comma: write it as nmi,acc.")
    return [*names]


def shown(found: Ranking) -> Drawn[Ranking]:
    """The leaderboards and comparisons as an object, whose tables are `leaderboard` and, over data sets, `methods`."""
    boards, compared = found.boards, found.compared
    sheets = {"leaderboard": lambda: of_sheet(present.leaderboard_rows(boards, "csv"))}
    if present.is_shown(compared):
        sheets["methods"] = lambda: of_sheet(present.comparison_rows(compared))

    def words(fmt: str, width: int | None) -> str:
        if fmt == "table" or len(boards) > 1:
            return present.text(boards, compared, fmt, width)
        board = boards[0][1]
        blocks = [board_sheet(board, fmt).render(fmt), *sign_notes(board, has_bold=True), *board.notes]
        return paragraphs([*blocks, *present.comparison_blocks(compared, fmt)], fmt, None)

    def draw(board: Leaderboard) -> dict[str, Any]:
        from jobs.charts import leaderboard

        return leaderboard.draw(board)

    alone = len(boards) == 1
    charts = {"leaderboard" if alone else name: lambda board=board: draw(board) for name, board in boards}
    return Drawn(found, words, sheets, charts)
