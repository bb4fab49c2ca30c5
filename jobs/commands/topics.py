"""`conclus topics`: the words and documents of a trial's topics, and which of them come again in other seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, warn, width


@click.command("topics")
@options.analysed
@options.trial("This trial; the first characters of its key do.  [default: the best one]")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="The most words of a topic.")
@options.on_metric
@options.mode
@options.where
@options.studies
@options.fmt
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    trial: str | None,
    top: int,
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    fmt: str,
    out: Path | None,
) -> None:
    """Show the topics of a trial in RESULTS (default: results): top words, coherence, documents.

    Without --trial it is the best trial of the best configuration. Each topic is matched with those of the other seeds
    of the same configuration, so that you see which topics come again and which are luck. As CSV or JSON it has the
    weights of the words, too.
    """
    from jobs.analysis import apart
    from jobs.models import topics
    from jobs.models.topic_tables import machine_sheet, notes, topics_text
    from jobs.present.effect import PROSE
    from jobs.report.cluster_data import beginnings
    from jobs.results.layout import folders_of, study_name

    paths = results or ("results",)
    fmt = format_of(out, fmt)
    metric, mode = inputs.chosen_metric(paths, studies, metric, mode)
    aims = inputs.chosen_aims(paths, studies)
    table = inputs.rows(paths, where=where, studies=studies, columns=topics.read_columns(metric, aims)).table
    warn(apart.notes(table))
    found = topics.choose(table, metric, mode, trial, aims=aims)
    folders = {study_name(folder): folder for folder in folders_of(paths, studies)}
    if found.documents and (folder := folders.get(found.row["study"])):
        found = replace(found, texts=beginnings(folder, found.row, found.documents))
    if fmt in PROSE:
        deliver(topics_text(found, fmt, width(), top), out)
        return
    remark(notes(found))
    deliver(machine_sheet(found, fmt, top).render(fmt), out)
