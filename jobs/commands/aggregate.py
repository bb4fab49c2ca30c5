"""`conclus aggregate`: the leaderboard of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError, counted
from jobs.present import inputs, options
from jobs.present.output import PARQUET, deliver, format_of, remark, say, width

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.analysis.comparison import Boards, Comparison
    from jobs.analysis.leaderboard import Entry, Leaderboard
    from jobs.present.leaderboard import Sheet
    from jobs.present.names import ShownNames
    from jobs.results.reader import Loaded

_TABLES = ("leaderboard", "methods")
_NOTES = 20
_LEDGER_PARAMS = ("learning_rate", "cluster_temperature", "instance_temperature", "threshold")
_LEDGER_SCORES = {"loss": "loss", "OA": "oa", "NMI": "nmi", "ARI": "ari", "F": "fmi", "ACC": "acc"}
_ATTEMPT = ("study", "trial_key", "seed", "attempt_id", "status", "source", "reason", "started", "seconds", "host")
_OUT_HELP = "A file to write: the leaderboard as .csv, .md, .tex or .json, or the rows as .parquet."


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown of the leaderboards, and how: the options of these names."""

    fmt: str
    part: str | None
    sort: str | None
    top: int | None
    verbose: bool
    labels: Path | None


@click.command("aggregate")
@options.analysed
@click.option(
    "--on",
    "--metric",
    "metric",
    help="What ranks: nmi, best.acc, loss, or without labels consensus. After commas, others to compare methods by: "
    "nmi,acc.  [default: the study's own, else nmi]",
)
@options.mode
@options.where
@options.studies
@click.option(
    "--table",
    "part",
    type=click.Choice(_TABLES),
    help="Only the leaderboards, or only methods x data sets.  [csv and json: leaderboard]",
)
@click.option(
    "--columns",
    type=click.Choice(["auto", "ledger"]),
    default="auto",
    show_default=True,
    help="ledger: one row per trial, in order of time, with the columns of a hand-kept table, and its data set where "
    "there are several.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Order the rows by a parameter, from low to high, or by a score, from good to bad, instead of by rank; "
    "-COLUMN turns the order round.",
)
@click.option("--top", type=click.IntRange(min=1), help="Show so many rows of each table.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the settings that are the same in all, but for defaults, and notes."
)
@options.labels
@options.fmt
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=_OUT_HELP)
@click.option("--attempts", is_flag=True, help="Every attempt instead of one row per trial.")
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    part: str | None,
    columns: str,
    fmt: str,
    out: Path | None,
    attempts: bool,
    sort: str | None,
    top: int | None,
    verbose: bool,
    labels: Path | None,
) -> None:
    """Gather the results in the folders RESULTS (default: results) and rank the configurations.

    Each configuration is shown with its mean over seeds and the 95 % interval of that mean. Configurations that the
    seeds cannot tell from the best are marked.
    """
    paths = results or ("results",)
    if out and out.suffix == PARQUET:
        given = {"--metric": metric, "--mode": mode, "--table": part, "--sort": sort, "--top": top, "--labels": labels}
        given |= {"--columns": columns if columns != "auto" else None, "--format": fmt if fmt != "table" else None}
        if useless := [name for name, value in given.items() if value is not None]:
            raise UserError(f"{out} gets the rows as they are stored: leave out {', '.join(useless)}")
        _write_rows(paths, where, studies, out, attempts=attempts)
        return
    fmt = format_of(out, fmt)
    if columns == "ledger" or attempts:
        if sort is not None:
            raise UserError("--sort orders leaderboards, and a table of trials is in order of time: leave out one")
        text = _rows_text(paths, where, studies, fmt, top, attempts=attempts)
    else:
        shown = _Shown(fmt, part, sort, top, verbose, labels)
        text = _ranked_text(paths, where, studies, shown, (metric, mode))
    deliver(text, out)


def _write_rows(paths: Sequence[str], where: str, studies: Sequence[str], out: Path, *, attempts: bool) -> None:
    from jobs.results.storage import put
    from jobs.results.writer import serialise

    loaded = inputs.rows(paths, where=where, studies=studies, attempts=attempts, history=True)
    put(out, serialise(loaded.table))
    say(f"Wrote {counted(loaded.table.num_rows, 'row')} to {out}.")


def _rows_text(
    paths: Sequence[str], where: str, studies: Sequence[str], fmt: str, top: int | None, *, attempts: bool
) -> str:
    from jobs.analysis.samples import import_notes

    loaded = inputs.rows(paths, where=where, studies=studies, attempts=attempts)
    table = loaded.table
    sheet = _attempts(table) if attempts else _ledger(table, loaded.columns, exact=fmt in {"csv", "json"})
    remark(import_notes(table))
    if top is not None and top < len(sheet.rows):
        remark([f"{top} of {len(sheet.rows)} rows, the first: --top {top}."])
    return replace(sheet, rows=sheet.rows[:top]).render(fmt, width())


def _ledger(table: pa.Table, columns: Sequence[str], *, exact: bool) -> Sheet:
    """One row per trial in order of time, with the usual columns of a handwritten results table."""
    from jobs.analysis import data_sets
    from jobs.present import tables
    from jobs.present.leaderboard import Sheet
    from jobs.results.reader import column_cells

    table = table.sort_by([("started", "ascending"), ("trial_key", "ascending")])
    sources = [*(_param_column(name, columns) for name in _LEDGER_PARAMS)]
    sources += [f"metric.{name}" for name in _LEDGER_SCORES.values()]
    cells = [table["started"].to_pylist(), *(column_cells(table, source) for source in sources)]
    if not exact:
        cells[1 : 1 + len(_LEDGER_PARAMS)] = map(tables.numbers, cells[1 : 1 + len(_LEDGER_PARAMS)])
    heads = [tables.Column(name, right=name != "date-time") for name in ("date-time", *_LEDGER_PARAMS, *_LEDGER_SCORES)]
    found = data_sets.of_rows(table)
    if len({*found}) > 1:
        called = data_sets.names(table, found)
        heads.insert(1, tables.Column("data set", right=False))
        cells.insert(1, [called[one] for one in found])
    return Sheet(heads, [list(row) for row in zip(*cells, strict=True)])


def _param_column(name: str, columns: Sequence[str]) -> str:
    from jobs.results.names import PARAM, resolve

    params = [column for column in columns if column.startswith(PARAM)]
    known = any(column == PARAM + name or column.endswith(f".{name}") for column in params)
    return resolve(name, params) if known else PARAM + name


def _attempts(table: pa.Table) -> Sheet:
    """Every attempt, one row each."""
    from jobs.present.leaderboard import Sheet
    from jobs.present.tables import Column
    from jobs.results.reader import column_cells

    drops = {"host": 4, "seconds": 2, "started": 3, "source": 1}
    columns = [Column(name, right=name in {"seed", "seconds"}, drop=drops.get(name, 0)) for name in _ATTEMPT]
    return Sheet(columns, [list(row) for row in zip(*(column_cells(table, name) for name in _ATTEMPT), strict=True)])


def _ranked_text(
    paths: Sequence[str],
    where: str,
    studies: Sequence[str],
    form: _Shown,
    wanted: tuple[str | None, str | None],
) -> str:
    from jobs.conclusions.ranking import ranked

    found = ranked(paths, where, studies, wanted, all_metrics=form.part == "methods")
    told = _shown(found.boards, found.compared, form, _names_of(form, found.loaded))
    return told + _noted(paths, studies, form.fmt) if form.verbose else told


def _noted(paths: Sequence[str], studies: Sequence[str], fmt: str) -> str:
    """What people noted on the studies and their trials, below the tables; nothing for CSV and JSON."""
    from jobs.present.effect import PROSE, paragraphs
    from jobs.study.notes import read_all, sentences

    said = [sentences(found, _NOTES) for found in read_all(paths, studies).values()]
    blocks = [paragraphs([one], fmt, width()) for some in said for one in some]
    return "\n" + "".join(blocks) if blocks and fmt in PROSE else ""


def _names_of(form: _Shown, loaded: Loaded) -> ShownNames | None:
    """The names for readers: those of the file, and always in LaTeX; None for the keys that a person types."""
    from jobs.present.names import read_labels

    labels = read_labels(form.labels)
    remark(f"Warning: {one}" for one in labels.check(loaded.table, loaded.columns))
    return labels if form.labels or form.fmt == "latex" else None


def _shown(boards: Boards, compared: Sequence[Comparison], form: _Shown, labels: ShownNames | None) -> str:
    from jobs.present import comparison as present
    from jobs.present.effect import paragraphs

    fmt, part = form.fmt, form.part
    if part == "methods" and not present.is_shown(compared):
        raise UserError(
            "There is nothing to compare: methods x data sets needs two methods or configurations, and two data sets "
            "or, as --metric nmi,acc, two metrics."
        )
    boards = [(name, _arranged(board, form.sort, form.top)) for name, board in boards]
    rows, cut = len(compared[0].rows), []
    if form.top is not None and form.top < rows and present.is_shown(compared):
        cut = [f"{form.top} of {rows} rows of each comparison, the first by rank: --top {form.top}."]
    if fmt in {"csv", "json"}:
        if part == "methods":
            remark([*present.comparison_notes(compared, fmt), *cut])
            return present.comparison_rows(present.first_rows(compared, form.top)).render(fmt)
        remark(present.told(boards))
        return present.leaderboard_rows(boards, fmt).render(fmt)
    lines = width() if fmt == "table" else None
    if fmt != "table" and len(boards) == 1 and not (part != "leaderboard" and present.is_shown(compared)):
        remark(boards[0][1].notes)
        return present.leaderboard_rows(boards, fmt, labels).render(fmt)
    blocks = [] if part == "methods" else present.leaderboard_blocks(boards, fmt, lines, labels, verbose=form.verbose)
    blocks += (
        [] if part == "leaderboard" else [*present.comparison_blocks(compared, fmt, lines, labels, form.top), *cut]
    )
    return paragraphs(blocks, fmt, lines)


def _arranged(board: Leaderboard, sort: str | None, top: int | None) -> Leaderboard:
    """The leaderboard in the order of a column, and cut after so many rows; the ranks stay."""
    entries = board.entries if sort is None else _sorted(board, sort)
    if top is None or len(entries) <= top:
        return replace(board, entries=tuple(entries))
    first = f"by {sort}" if sort else "by rank"
    note = f"{top} of {counted(len(entries), 'configuration')}, the first {first}: --top {top}."
    return replace(board, entries=tuple(entries[:top]), infeasible=(), apart=(), notes=(*board.notes, note))


def _sorted(board: Leaderboard, column: str) -> list[Entry]:
    """The entries by a parameter from low to high, or by a score from good to bad; those without a value last."""
    from core.config.schema import nearest
    from jobs.analysis.scores import default_mode, metric_name
    from jobs.present import pareto
    from jobs.results.names import short_names

    name, back = column.removeprefix("-"), column.startswith("-")
    first = board.entries[0]
    params = {short: key for key, short in short_names([*board.constant, *first.params]).items() if key in first.params}
    params |= {key: key for key in first.params}
    front = {metric_name(one): mode for one, mode in board.aims.metrics.items()}
    aims = pareto.goals(board, board.entries)
    scores = {metric_name(board.metric), *aims, *(one for entry in board.entries for one in entry.secondary)}
    if name in params:
        values = [entry.params[params[name]] for entry in board.entries]
    elif name in scores:
        ranked = name == metric_name(board.metric)
        best = (board.mode if ranked else front.get(name) or default_mode(name)) == "max"
        others = aims.get(name) or [entry.secondary.get(name) for entry in board.entries]
        found = [entry.score for entry in board.entries] if ranked else others
        values = [None if one is None else -one.mean if best else one.mean for one in found]
    else:
        raise UserError(f"--sort {column}: there is no such column: there are {nearest(name, [*params, *scores])}.")
    there = [place for place, value in enumerate(values) if value is not None]
    there.sort(key=lambda place: (isinstance(values[place], str), values[place]), reverse=back)
    return [board.entries[place] for place in [*there, *(i for i, value in enumerate(values) if value is None)]]
