"""`conclus compact`: many small files into a few."""

import click

from core.errors import counted


@click.command("compact")
@click.argument("results", default="results", type=click.Path())
def command(results: str) -> None:
    """Gather the finished rows in the folder RESULTS (default: results) in a few files that read faster.

    Nothing is lost whenever this is interrupted; trials that are running are left alone.
    """
    from jobs.results.compact import compact

    for done in compact(results):
        for sentence in done.skipped:
            click.echo(f"Warning: {sentence}", err=True)
        click.echo(f"{done.study}: {counted(done.rows, 'row')} moved to {counted(done.parts, 'new file')}.")
