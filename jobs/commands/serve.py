"""`conclus serve`: the report as a live page."""

from __future__ import annotations

import importlib.util

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.output import say


@click.command("serve")
@click.argument("results", default="results", type=click.Path())
@options.studies
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="The port on this machine; a fixed one is what `ssh -L PORT:127.0.0.1:PORT` needs.  [default: any free one]",
)
@click.option("--once", is_flag=True, help="End when the studies have ended.")
def command(results: str, studies: tuple[str, ...], port: int, *, once: bool) -> None:
    """Show the folder RESULTS (default: results) as a live page in a browser of this machine, until Ctrl-C.

    Above stand the trials that run, with their courses and what is known of the finished ones behind them, and what
    ended last; below the page of `conclus report`, made anew as trials end. It reads only result files, so it also
    works on a copy of a study, which may be copied again and again. Its buttons do what `conclus stop` does.

    Nothing outside this machine can reach it. The address that is printed opens it once, in one browser, which gets a
    cookie; then another address is printed.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve: {' and '.join(missing)} not installed: uv sync --extra serve --inexact")
    from jobs.live.server import serve

    serve(results, studies, port=port, once=once, tell=lambda address: say(f"Open {address}"))
