"""`conclus compact`: moves many small files of results into a few."""

import click

from core.errors import counted
from jobs.present.output import remark, say


@click.command("compact")
@click.argument("results", default="results", type=click.Path())
def command(results: str) -> None:
    """Move the finished rows in the folder RESULTS (default: results) to a few files that are faster to read.

    It can be interrupted at any moment without loss. Running trials are left alone.
    """
    from jobs.present.bar import preparing
    from jobs.results.compact import compact
    from jobs.results.layout import misnamed_folders

    remark(f"Warning: {sentence}" for sentence in misnamed_folders(results))
    with preparing():
        compacted = compact(results)
    for done in compacted:
        for sentence in done.skipped:
            remark([f"Warning: {sentence}"])
        say(f"{done.study}: {counted(done.rows, 'row')} moved to {counted(done.parts, 'new file')}.")
