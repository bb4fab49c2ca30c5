"""`conclus status`: the state of studies, read from their files alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from jobs.present import options
from jobs.present.output import warn, width
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from jobs.execution.driver import Job
    from jobs.execution.job_end import JobEnd
    from jobs.health.status import StudyStatus
    from jobs.study.notes import StudyNote

_NOTES = 3


@click.command("status")
@click.argument("results", default="results", type=click.Path())
@options.studies
@options.fmt
def command(results: str, studies: tuple[str, ...], fmt: str) -> None:
    """Show the state of the studies in the folder RESULTS (default: results): done, running, failed, best, time left.

    It reads only result files, so it works on a running study, on a copy of its folder, and without the cluster. A
    trial is silent if it has not written for longer than expected: its process may be dead. It is interrupted if it was
    saved at a stop, or if no process of this machine, which ran the study last, runs it any more. Running the study
    again continues the trial. The hours are those of all attempts, failed ones included; card-hours are hours times the
    share of a GPU.
    """
    from jobs.execution import driver, job_end
    from jobs.health.status import standing
    from jobs.results.layout import folders_of, misnamed_folders
    from jobs.study.notes import read_all

    folders = folders_of([results], studies)
    noted = read_all([results], studies)
    found = [
        (standing(folder), job := driver.read(folder), job and job_end.read(folder, job.job)) for folder in folders
    ]
    warn([*misnamed_folders(results), *(sentence for one, *_ in found for sentence in one.warnings)])
    if fmt == "table":
        click.echo("\n\n".join("\n".join(map(one_line, [*_lines(*one), *_noted(noted, one[0])])) for one in found))
    else:
        click.echo(_machine(found, fmt), nl=False)


def _noted(noted: Mapping[str, Sequence[StudyNote]], one: StudyStatus) -> Iterator[str]:
    """The latest notes on a study and its trials."""
    import textwrap

    from jobs.study.notes import sentences

    for sentence in sentences(noted.get(one.study, ()), _NOTES):
        yield from textwrap.wrap(
            one_line(sentence), width(), initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )


def _lines(one: StudyStatus, job: Job | None, end: JobEnd | None) -> Iterator[str]:
    """The state of a study, and its job on a cluster if it has one, with its end."""
    from jobs.present.status import lines

    yield from lines(one, width())
    if job is not None:
        yield f"  job {job.job}"
        yield f"    at {job.address}, submitted {job.submitted} by {job.by}"
    if end is not None:
        yield f"    ended {end.at} with exit code {end.code}" + (end.why and f": {end.why}")


def _machine(found: list[tuple[StudyStatus, Job | None, JobEnd | None]], fmt: str) -> str:
    """For programs: JSON with every trial that has begun, or one row per study."""
    from dataclasses import asdict

    from jobs.present import tables
    from jobs.present.status import STATES
    from jobs.present.visible import json_text

    if fmt == "json":
        content = [
            {**asdict(one), "job": asdict(job) if job else None, "job_end": asdict(end) if end else None}
            for one, job, end in found
        ]
        return json_text(content, indent=1, default=str)
    head = ["study", "planned", "done", *STATES, "missing", "metric", "best", "seconds_left"]
    head += ["hours", "card_hours", "failed_hours", "failed_card_hours"]
    return tables.render(head, [_row(one, STATES) for one, *_ in found], fmt)


def _row(one: StudyStatus, states: Sequence[str]) -> list[Any]:
    best = one.best.score.mean if one.best else None
    counts = [one.count(state) for state in states]
    total = one.used.total
    used = [total.hours, total.card_hours, total.failed_hours, total.failed_card_hours]
    return [one.study, one.planned, one.done, *counts, one.missing, one.metric, best, one.seconds_left, *used]
