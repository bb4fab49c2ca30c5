"""The state of a study in lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from core.errors import counted
from jobs.analysis.leaderboard import Entry
from jobs.analysis.scores import within_trial
from jobs.health.status import StudyStatus, Trial
from jobs.health.usage import Usage, Used
from jobs.present import tables
from jobs.present.bar import RunningRow, running_lines
from jobs.present.effect import labels
from jobs.present.visible import one_line

STATES = ("failed", "running", "silent", "interrupted")
"""States of trials that have begun and are not done, the worst first."""
_SHOWN = 5
_SHORT = 0.1
"""Fewer hours than this are told in seconds or minutes."""


def headline(one: StudyStatus) -> str:
    """`digits: 12 of 24 trials done, 1 failed, 2 running, 9 left`; those that were interrupted are among the last."""
    study = one_line(one.study)
    if not one.planned:
        return f"{study}: nothing has run yet"
    counts = [f"{count} {state}" for state in STATES if state != "interrupted" and (count := one.count(state))]
    # As `conclus run` counts them when it is stopped.
    interrupted = one.count("interrupted")
    left = [f"{one.missing + interrupted} left"] if one.missing + interrupted else []
    begun = f" ({interrupted} interrupted)" if interrupted else ""
    by_hand = f" ({len(one.stopped)} stopped by hand)" if one.stopped else ""
    return ", ".join([f"{study}: {one.done} of {counted(one.planned, 'trial')} done{by_hand}", *counts, *left]) + begun


def unwell(one: StudyStatus) -> str:
    """`; running unwell: t1 COLLAPSED@12 and 3 more`; empty if the rules found nothing in the trials that run."""
    found = [trial for trial in one.begun if trial.state == "running" and trial.verdict not in {"", "OK"}]
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"; running unwell: {one_line(f'{found[0].trial_key} {found[0].verdict}')}{more}"


def hopeless(count: int, saved: float) -> str:
    """`3 trials ended by health.stop, some 2 h saved`."""
    return f"{counted(count, 'trial')} ended by health.stop, some {tables.duration(saved)} saved"


def lines(one: StudyStatus, width: int) -> Iterator[str]:
    """The state of a study: counts, time left, the best configuration, running and failed trials."""
    yield from summary(one, width)
    for state in STATES:
        yield from _trials([trial for trial in one.begun if trial.state == state], width)


def screen(one: StudyStatus, width: int) -> Iterator[str]:
    """The same with all that is known of running trials, as a table."""
    yield from summary(one, width)
    trials = [
        RunningRow(t.trial_key, t.seed, t.epoch, t.epochs, t.loss, t.value, t.seconds_left, t.verdict)
        for t in one.begun
        if t.state == "running"
    ]
    yield from (f"  {line}" for line in running_lines(trials, within_trial(one.metric), width - 2))
    for state in STATES:
        if state != "running":
            yield from _trials([trial for trial in one.begun if trial.state == state], width)


def summary(one: StudyStatus, width: int) -> Iterator[str]:
    """The same without the trials that have begun and are not done."""
    yield headline(one)
    if one.seconds_left is not None:
        rate = "" if one.per_hour is None else f", {tables.amount(one.per_hour)} trials an hour"
        yield f"  about {tables.duration(one.seconds_left)} left{rate}"
    if one.driver:
        yield f"  {one_line(one.driver)} runs the study; at this moment none of its trials runs"
    for name, best in one.bests:
        yield from _best(best, one.metric, f" on {one_line(name)}" if len(one.bests) > 1 else "", width)
    yield from _used(one.used, width)
    for text in one.apart:
        yield from textwrap.wrap(one_line(text), width, initial_indent="  ", subsequent_indent="    ")
    if one.hopeless:
        yield f"  {hopeless(one.hopeless, one.saved)}"
    if one.stopped:
        when = "once no process runs the study, " if one.driver or one.count("running") else ""
        yield f"  stopped by hand ({when}go on with: conclus resume RESULTS --trial KEY,"
        yield "  except under a `scheduler` or optuna, which take them as done)"
        yield from (f"    {one_line(key)}" for key in one.stopped[:_SHOWN])
        if len(one.stopped) > _SHOWN:
            yield f"    … and {len(one.stopped) - _SHOWN} more"


def _best(best: Entry, metric: str, on: str, width: int) -> Iterator[str]:
    names = labels(best.params)
    values = " ".join(
        f"{names[key]}={tables.cell_text(value)}" for key, value in best.params.items() if value is not None
    )
    text = f"best {metric}{on} {best.score.text} ({counted(best.score.n, 'seed')})" + (values and f": {values}")
    yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _used(usage: Usage, width: int) -> Iterator[str]:
    """`3.2 hours, 1.6 card-hours (0.4 of them in failed attempts)`; a line for each person if there are several."""
    untold = f"{counted(usage.untold, 'older attempt')} not counted" if usage.untold else ""
    if total := _hours(usage.total):
        yield f"  {total}" + (untold and f"; {untold}")
    if len(usage.people) > 1:
        for one in usage.people:
            text = f"    {one_line(one.by) or 'unknown'}: {_hours(one)}"
            yield text if len(text) <= width else f"{text[: width - 1]}…"


def _hours(used: Used) -> str:
    """The hours and card-hours of one person; empty if there are none."""
    if not used.hours:
        return ""
    text, failed = _of(used.hours, "hour"), used.failed_hours
    if used.card_hours:
        text, failed = f"{text}, {_of(used.card_hours, 'card-hour')}", used.failed_card_hours
    return text + (f" ({_long(failed)} of them in failed attempts)" if failed else "")


def _of(number: float, unit: str) -> str:
    if number < _SHORT:
        return _long(number) + (" in all" if unit == "hour" else " of a whole card")
    said = tables.amount(number)
    return f"{said} {unit}{'s' * (said != '1')}"


def _long(hours: float) -> str:
    return tables.duration(round(hours * 3600, 3)) if hours < _SHORT else tables.amount(hours)


def _trials(trials: list[Trial], width: int) -> Iterator[str]:
    """A few trials of one state: the failed ones that began last, else those whose files are oldest."""
    shown = trials[-_SHOWN:] if trials and trials[0].state == "failed" else _longest_silent(trials)
    for trial in shown:
        text = f"  {trial.state:11} {trial.trial_key} seed {trial.seed}  {_details(trial)}"
        text = one_line(text)
        yield text if len(text) <= width else f"{text[: width - 1]}…"
    if len(trials) > len(shown):
        yield f"  … and {len(trials) - len(shown)} more {trials[0].state}"


def _longest_silent(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda one: one.heard or 0.0, reverse=True)[:_SHOWN]


def _details(trial: Trial) -> str:
    if trial.state == "failed":
        return trial.reason
    of = f"/{trial.epochs}" if trial.epochs else ""
    last = "" if trial.state == "running" else "last "
    heard = "" if trial.heard is None else f", {last}heard {tables.duration(trial.heard)} ago"
    health = f", {trial.verdict}" if trial.verdict else ""
    return f"epoch {trial.epoch}{of}{health}{heard}" + (f" on {trial.host}" if trial.host else "")
