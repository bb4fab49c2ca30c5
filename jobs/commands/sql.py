"""`conclus sql`: a query over results."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from core.errors import UserError, counted
from jobs.present import options
from jobs.present.output import PARQUET, deliver, format_of, say, warn, width


@click.command("sql")
@click.argument("words", nargs=-1, required=True, metavar="[RESULTS]... QUERY")
@options.fmt
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A file: .csv, .md, .tex, .json or .parquet."
)
def command(words: tuple[str, ...], fmt: str, out: Path | None) -> None:
    """Run an SQL QUERY (DuckDB's SQL) over the folders RESULTS (default: results).

    \b
    trials    one row per trial: scores as "metric.nmi",
              parameters as "param.optimiser.learning_rate",
              study, seed, status, source, started, …
    attempts  the same, every attempt
    history   one row per trial, epoch and metric:
              trial_key, epoch, t, metric, value

    Write columns with a dot in double quotes. `describe trials` lists the columns. The query can read only these views,
    no files and no network, and can change nothing.

    \b
    conclus sql "select study, seed, status from trials"
    conclus sql "select max(\\"metric.nmi\\") from trials"
    """  # noqa: D301 - \b is click's mark
    from jobs.results.query import query, values

    *paths, text = words
    if text and not any(sign.isspace() for sign in text):
        raise UserError(f"{text!r} is no query: it comes last, after the folders, and stands in quotes.")
    answer = query(paths or ["results"], text)
    warn(answer.skipped)
    if out and out.suffix == PARQUET:
        _write_parquet(answer.table, out)
        return
    from jobs.present.tables import Column, render

    chosen = format_of(out, fmt)
    columns = [Column(field.name, right=_is_number(field.type)) for field in answer.table.schema]
    rows = zip(*([_plain(value) for value in values(column)] for column in answer.table.columns), strict=True)
    deliver(render(columns, [list(row) for row in rows], chosen, width=width()), out)


def _write_parquet(table: Any, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jobs.results.storage import put

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    put(out, sink.getvalue().to_pybytes())
    say(f"Wrote {counted(table.num_rows, 'row')} to {out}.")


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _plain(value: Any) -> Any:
    """A value in a form for tables and JSON."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [str(one) if isinstance(one, datetime) else _plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain([one])[0] for key, one in value.items()}
    return value if value is None or isinstance(value, bool | int | float | datetime) else str(value)
