"""`conclus serve`: the report as a live page."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.output import say
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence


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
@click.option("--once", is_flag=True, help="End when the studies have ended, or nothing runs them.")
def command(results: str, studies: tuple[str, ...], port: int, *, once: bool) -> None:
    """Show the folder RESULTS (default: results) as a live page in a browser of this machine, until Ctrl-C.

    Above stand the trials that run, with their courses and what is known of the finished ones behind them, and what
    ended last; below the page of `conclus report`, made anew as trials end. It reads only result files, so it also
    works on a copy of a study, which may be copied again and again. Its buttons do what `conclus stop` does.

    With --once the exit code is 3 if trials are left that nothing runs.

    Nothing outside this machine can reach it. The address that is printed opens it once, in one browser, which gets a
    cookie; then another address is printed.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve: {' and '.join(missing)} not installed: uv sync --extra serve --inexact --no-dev")
    from cluster.executor import LEFT
    from jobs.live.server import Live, serve

    live = Live(results, studies, once=once)
    if once:
        live.look()
        if live.is_over:
            say(_ended(results, studies, [one.name for one in live.watched]))
            return
    serve(live, port=port, tell=lambda address: say(f"Open {address}"))
    if once and (left := [advice for one in live.watched if (advice := one.advice(results))]):
        click.echo("\n".join(left))
        sys.exit(LEFT)


def _ended(results: str, studies: Sequence[str], names: Sequence[str]) -> str:
    """That nothing is left to follow, and what shows it."""
    have = f"The studies {one_line(', '.join(names))} have" if len(names) > 1 else f"The study {one_line(*names)} has"
    report = shlex.join(["conclus", "report", results, *(word for one in studies for word in ("--study", one))])
    return f"{have} ended: {report} writes the page; without --once it is served all the same."
