"""The contents of a report as a person asks for them: the metric and the aims of the studies, and remarks printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.analysis.leaderboard import wanted_columns
from jobs.analysis.scores import default_mode
from jobs.present.bar import preparing
from jobs.present.inputs import chosen_aims, chosen_metric
from jobs.present.names import USUAL, ShownNames
from jobs.present.output import warn
from jobs.report.contents import Contents, gather
from jobs.results.reader import load


def asked(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    wanted: tuple[str | None, str | None],
    labels: ShownNames = USUAL,
    *,
    front: Sequence[str] = (),
    drawn: bool = True,
    paged: bool = True,
) -> Contents:
    """The contents of a report; prints what is to be known of the files, and of names that fit nothing.

    Args:
        paths: The folders of results.
        where: The expression that selects trials; empty for all.
        studies: The studies to read; none for all.
        wanted: The metric and `max` or `min`; None for the study's own.
        labels: How metrics, parameters, methods and data sets are called.
        front: The metrics of a Pareto front in place of the study's.
        drawn: Whether anything is drawn.
        paged: Whether it is for a page.

    Raises:
        UserError: There are no results, or none with the metric.
    """
    metric, aims = chosen_metric(paths, studies, *wanted), chosen_aims(paths, studies)
    if front:
        modes = {**aims.metrics, **dict([metric])}
        aims = replace(aims, metrics={name: modes.get(name) or default_mode(name) for name in front})
    with preparing():
        found = gather(paths, *metric, aims=aims, where=where, studies=studies, drawn=drawn, paged=paged)
    warn([*found.notes, *found.skipped])
    if labels.own:
        rows = load(paths, where=where, studies=studies, columns=wanted_columns(metric[0], aims))
        warn(labels.check(rows.table, rows.columns))
    return replace(found, labels=labels)
