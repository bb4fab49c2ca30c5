"""`conclus doctor`: checks whether this machine or a cluster can run studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.present import options
from jobs.present.output import width, wrapped

if TYPE_CHECKING:
    from jobs.execution.health_check import CheckResult


@click.command()
@click.option("--address", default="", help="A cluster: its head's host:port, or auto. [default: this machine alone]")
@options.results
@options.fmt
def command(address: str, results: str, fmt: str) -> None:
    """Check this machine, or every node of a running cluster, in under a minute.

    It checks versions, code, the results path, tokens, clocks, memory, disk space and GPUs. The exit code is 1 if
    something is wrong.
    """
    lines = _examined(address, results if "://" in results else str(Path(results).absolute()))
    click.echo(_text(lines, fmt), nl=False)
    if any(line.verdict == "wrong" for line in lines):
        sys.exit(1)


def _examined(address: str, results: str) -> list[CheckResult]:
    from cluster import doctor, ray_head
    from cluster.executor import ClusterError
    from jobs.execution.health_check import CheckResult, examine

    if not address:
        return list(examine(doctor.here, "", results))
    head = ray_head.find(address)
    try:
        with doctor.everywhere(head) as ask:
            return list(examine(ask, head, results))
    except ClusterError as error:
        return [CheckResult("connection", "wrong", head, str(error))]


def _text(lines: list[CheckResult], fmt: str) -> str:
    """The lines as a table; for people, followed by the advice."""
    from jobs.present.tables import Column, render

    heads = [Column("check", right=False), Column("verdict", right=False), Column("found", right=False)]
    cells = [[line.check, line.verdict, line.found] for line in lines]
    if fmt != "table":
        rows = [[*row, line.right] for row, line in zip(cells, lines, strict=True)]
        return render([*heads, Column("right", right=False)], rows, fmt)
    advice = ["\n".join(wrapped(f"{line.check}: {line.right}", width(), "  ")) for line in lines if line.right]
    return render(heads, cells, fmt) + "".join(f"\n{one}\n" for one in advice)
