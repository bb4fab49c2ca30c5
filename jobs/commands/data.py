"""`conclus data`: what is read from a file or a folder, before anything starts."""

from __future__ import annotations

import click

from jobs.present.output import remark, say


@click.command()
@click.argument("path", metavar="PATH")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the study's `data:`, such as size=96 or name=text; repeatable.",
)
def command(path: str, given: tuple[str, ...]) -> None:
    """Show what is read from PATH: samples, shape, classes and their sizes, duplicates, memory.

    PATH is a file or folder of data, its address in an object store, or the name of a data set, such as digits.
    """
    from core.data.describe import described, noted
    from core.training.data_cache import read
    from jobs.planning.data_options import chosen

    data = read(chosen(path, given))
    say(described(data))
    remark(noted(data))
