"""`conclus compact`: many small files into a few."""

import click

from jobs.present.output import remark, say


@click.command("compact")
@click.argument("results", default="results", type=click.Path())
def command(results: str) -> None:
    """Gather the finished rows in the folder RESULTS (default: results) in a few files that read faster.

    Nothing is lost whenever this is interrupted; trials that are running are left alone.
    """
    from jobs.results.compact import compact
    from jobs.results.layout import misnamed_folders

    remark(f"Warning: {sentence}" for sentence in misnamed_folders(results))
    for done in compact(results):
        remark(f"Warning: {sentence}" for sentence in done.skipped)
        say(f"{done.study}: {done.rows} rows moved to {done.parts} new files.")
