"""`conclus status`: how studies stand, read from their files alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jobs import options
from jobs.commands.aggregate import warn, width

if TYPE_CHECKING:
    from jobs.analysis.standing import Standing, Trial
    from jobs.driver import Job

_SHOWN = 5
_STATES = ("failed", "running", "silent", "interrupted")


@click.command("status")
@click.argument("results", default="results", type=click.Path())
@options.studies
@options.fmt
def command(results: str, studies: tuple[str, ...], fmt: str) -> None:
    """Show how the studies in the folder RESULTS (default: results) stand: done, running, failed, best, time left.

    It reads result files only: it works on a running study, on a copy of its folder, and without the cluster. A
    trial is silent when it has not written for longer than it should: its process may be dead; the study run again
    takes it up.
    """
    from jobs import driver
    from jobs.analysis.standing import standing
    from jobs.results.layout import study_folders

    folders = study_folders(results, studies)
    found = [(standing(folder), driver.read(folder)) for folder in folders]
    warn([sentence for one, _ in found for sentence in one.warnings])
    if not found:
        click.echo(f"no study {' or '.join(studies)} in {results}", err=True)
    if fmt == "table":
        click.echo("\n\n".join("\n".join(lines(*one)) for one in found))
    else:
        click.echo(_machine(found, fmt), nl=False)


def headline(one: Standing) -> str:
    """`digits: 12 of 24 trials done, 1 failed, 2 running, 9 missing`."""
    if not one.planned:
        return f"{one.study}: nothing has run yet"
    counts = [f"{count} {state}" for state in _STATES if (count := one.count(state))]
    missing = [f"{one.missing} missing"] if one.missing else []
    return ", ".join([f"{one.study}: {one.done} of {one.planned} trials done", *counts, *missing])


def lines(one: Standing, job: Job | None) -> Iterator[str]:
    """How a study stands, for a person: counts, time left, the best, what runs and what failed."""
    from jobs.tables import duration

    yield headline(one)
    if one.seconds_left is not None:
        rate = "" if one.per_hour is None else f", {one.per_hour:.3g} trials an hour"
        yield f"  about {duration(one.seconds_left)} left{rate}"
    if one.best is not None:
        yield from _best(one)
    for state in _STATES:
        yield from _trials([trial for trial in one.begun if trial.state == state])
    if job is not None:
        yield f"  job {job.job}"
        yield f"    at {job.address}, submitted {job.submitted} by {job.by}"


def _best(one: Standing) -> Iterator[str]:
    import textwrap

    from jobs import tables
    from jobs.results.names import short_names

    best = one.best
    if best is None:
        return
    names = short_names(best.params)
    values = " ".join(f"{names[key]}={tables.cell_text(value)}" for key, value in best.params.items())
    score = tables.plus_minus(best.score.mean, best.score.half_width)
    text = f"best {one.metric} {score} ({best.score.n} seed{'s' * (best.score.n != 1)})" + (values and f": {values}")
    yield from textwrap.wrap(text, width(), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _trials(trials: list[Trial]) -> Iterator[str]:
    """The last few of one state: of the failed those that began last, of the others those longest unheard of."""
    shown = trials[-_SHOWN:] if trials and trials[0].state == "failed" else _longest_silent(trials)
    for trial in shown:
        text = f"  {trial.state:11} {trial.trial_key} seed {trial.seed}  {_told(trial)}"
        yield text if len(text) <= width() else f"{text[: width() - 1]}…"
    if len(trials) > len(shown):
        yield f"  … and {len(trials) - len(shown)} more {trials[0].state}"


def _longest_silent(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda one: one.heard or 0.0, reverse=True)[:_SHOWN]


def _told(trial: Trial) -> str:
    from jobs.tables import duration

    if trial.state == "failed":
        return trial.reason
    of = f"/{trial.epochs}" if trial.epochs else ""
    heard = "" if trial.heard is None else f", {'last ' * (trial.state != 'running')}heard {duration(trial.heard)} ago"
    return f"epoch {trial.epoch}{of}{heard}" + (f" on {trial.host}" if trial.host else "")


def _machine(found: list[tuple[Standing, Job | None]], fmt: str) -> str:
    """For programs: JSON with every trial that has begun, or one row per study."""
    import json
    from dataclasses import asdict

    from jobs import tables

    if fmt == "json":
        content = [{**asdict(one), "job": asdict(job) if job else None} for one, job in found]
        return json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n"
    head = ["study", "planned", "done", *_STATES, "missing", "metric", "best", "seconds_left"]
    return tables.render(head, [_row(one) for one, _ in found], fmt)


def _row(one: Standing) -> list[Any]:
    best = one.best.score.mean if one.best else None
    counts = [one.count(state) for state in _STATES]
    return [one.study, one.planned, one.done, *counts, one.missing, one.metric, best, one.seconds_left]
