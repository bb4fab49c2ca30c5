"""`conclus compact`: moves many small files of results into a few."""

import click


@click.command("compact")
@click.argument("results", default="results", type=click.Path())
def command(results: str) -> None:
    """Move the finished rows in the folder RESULTS (default: results) to a few files that are faster to read.

    It can be interrupted at any moment without loss. Running trials are left alone.
    """
    from jobs.results.compact import compact

    for done in compact(results):
        for sentence in done.skipped:
            click.echo(f"Warning: {sentence}", err=True)
        click.echo(f"{done.study}: {done.rows} rows moved to {done.parts} new files.")
