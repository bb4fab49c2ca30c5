"""`conclus health`: verdicts on trials, their evidence, and which settings die of what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, warn, width

if TYPE_CHECKING:
    import pyarrow as pa

    from core.evaluation.health import Course
    from jobs.health.courses import Judged

_OF_MANY = ("codes", "trials", "settings")
_OF_ONE = ("findings", "changes", "numbers", "course")


@click.command("health")
@options.analysed
@options.trial("Only this trial, in full; the first characters of its key do.")
@options.where
@options.studies
@click.option(
    "--table",
    "part",
    type=click.Choice([*_OF_MANY, *_OF_ONE]),
    metavar="TABLE",
    help=f"Only this table: {', '.join([*_OF_MANY, *_OF_ONE])}; the last four with --trial.  "
    "[csv and json: trials, with --trial findings]",
)
@options.fmt
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    trial: str | None,
    where: str,
    studies: tuple[str, ...],
    part: str | None,
    fmt: str,
    out: Path | None,
) -> None:
    """Show what is wrong with the trials in RESULTS (default: results), and which settings die of what.

    Each trial gets a verdict from its course: OK, or codes such as COLLAPSED@12. Over several trials it counts the
    codes and tests, for each parameter that varies, whether a code depends on it. With --trial it shows one trial: the
    evidence of each code, what it means, what to change, trend, stability, best epochs, and the course. A running
    trial is judged by the epochs that it has.
    """
    if part in _OF_ONE and trial is None:
        raise UserError(f"--table {part} is of one trial: add --trial KEY")
    if part in _OF_MANY and trial is not None:
        raise UserError(f"--table {part} is of all trials: leave out --trial, or give one of {', '.join(_OF_ONE)}")
    paths = results or ("results",)
    table = _table(paths, where, studies)
    fmt = format_of(out, fmt)
    if trial is None:
        deliver(_all(table, fmt, part), out)
        return
    deliver(_one(table, trial, fmt, part, _score(paths, studies)), out)


def _table(paths: Sequence[str], where: str, studies: Sequence[str]) -> pa.Table:
    """The trials of one protocol, with their histories."""
    from jobs.analysis import apart
    from jobs.health.courses import COLUMNS

    loaded = inputs.rows(paths, where=where, studies=studies, columns=COLUMNS, history=True)
    warn(apart.notes(loaded.table))
    return apart.split(loaded.table)[0]


def _score(paths: Sequence[str], studies: Sequence[str]) -> str:
    """The score by which the studies rank their trials; empty where a smaller value is better, or they differ."""
    from jobs.analysis.scores import within_trial
    from jobs.present.chosen import chosen

    try:
        found = chosen(paths, studies, None, None)
    except UserError:
        return ""
    return within_trial(found.metric) if found.mode == "max" else ""


def _all(table: pa.Table, fmt: str, part: str | None) -> str:
    from jobs.health.courses import judged
    from jobs.health.settings import settings
    from jobs.present.effect import PROSE
    from jobs.present.health import TABLES, JudgedTrials, health_text, machine_sheet, notes

    trials = judged(table)
    found = JudgedTrials(trials, settings(trials))
    if fmt in PROSE:
        return health_text(found, fmt, width(), (part,) if part else TABLES)
    remark(notes(found))
    return machine_sheet(found, part or "trials").render(fmt)


def _one(table: pa.Table, start: str, fmt: str, part: str | None, metric: str) -> str:
    from jobs.health.changes import helped
    from jobs.health.courses import courses, judged
    from jobs.present.effect import PROSE
    from jobs.present.trial_health import TABLES, TrialHealth, machine_sheet, trial_text
    from jobs.results.reader import take

    trials = judged(table, metric)
    place = _place(trials, start)
    one = trials[place]
    known = [other for other in trials if other.is_known]
    changes = {code: helped(known, known.index(one), code) for code in one.codes if one.is_known}
    course = courses(take(table, [place]))[0]
    ahead = (
        ""
        if one.has_ended
        else _ahead(table, one, one.score or ("nmi" if _has_labels(one, course, trials) else "label_free"))
    )
    found = TrialHealth(one, course, changes, ahead)
    if fmt in PROSE:
        return trial_text(found, fmt, width(), (part,) if part else TABLES)
    return machine_sheet(found, part or "findings").render(fmt)


def _has_labels(one: Judged, course: Course, trials: Sequence[Judged]) -> bool:
    """Whether a trial without a score yet will be scored against labels; other trials on the same data tell it, too."""
    same = (other for other in trials if other.data == one.data)
    return bool(course.get("classes")) or any("best_epoch_nmi" in other.numbers for other in same)


def _ahead(table: pa.Table, one: Judged, metric: str) -> str:
    """The forecast of the end of a running trial, or why there is none."""
    from jobs.health.forecast import Forecast, forecast

    found = forecast(table, metric, one.study, one.trial_key)
    return f"{found.sentence}." if isinstance(found, Forecast) else f"No forecast: {found.sentence}."


def _place(trials: Sequence[Judged], start: str) -> int:
    key = inputs.one_trial(start, {one.trial_key for one in trials}, _none(trials, start))
    places = [place for place, one in enumerate(trials) if one.trial_key == key]
    if len(places) > 1:
        names = ", ".join(trials[place].study for place in places)
        raise UserError(f"The trial {key} is in several studies ({names}): name one by --study.")
    return places[0]


def _none(trials: Sequence[Judged], start: str) -> str:
    from core.config.schema import nearest

    return f"No trial begins with {start!r}: there are {nearest(start, [one.trial_key for one in trials])}."
