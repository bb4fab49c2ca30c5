"""`conclus export`: the best configuration as a study of one trial."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import UserError, counted
from jobs.present import inputs, options
from jobs.present.output import deliver, remark, say
from jobs.present.visible import one_line
from jobs.results.names import PARAM

_KEY_PARTS = ("params_json", "plug_ins_json", "data_hash", "protocol", "source")

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.results.storage import Place


@click.command("export")
@click.argument("results", default="results", type=click.Path())
@click.option("--best", is_flag=True, help="The best configuration by the metric; this is the default.")
@options.trial("This trial instead; the first characters of its key do.")
@options.on_metric
@options.mode
@options.where
@options.one_study
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The study file.  [default: it is printed]"
)
@click.option("--yes", is_flag=True, help="Write over a file that is there.")
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    best: bool,
    trial: str | None,
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    out: Path | None,
    *,
    yes: bool,
) -> None:
    """Write the best configuration in the folder RESULTS (default: results) as a study of one trial.

    All its values are written out, with the seed of one of its trials, so `conclus run` repeats that trial. They are
    those of the row's params_json; a row whose columns or keys say something else was changed by somebody, and is
    refused.
    """
    if out is not None and out.exists() and not yes:
        raise UserError(f"--out {out}: this file is there already: name another one, or give --yes")
    inputs.check_one_choice({"--trial": trial, "--best": best})
    from jobs.execution.driver import one_study
    from jobs.planning.one_trial import one_trial_study

    folder = one_study(results, studies, trial)
    if trial is None:
        row, why = _best(results, folder, where, (metric, mode))
    else:
        row, why = _named(results, folder, trial)
    text, foreign = one_trial_study(folder, row, one_line(why))
    deliver(text, out)
    for file in foreign:
        say(
            f"It names the plug-in {file}, which lies in the results: it runs only if you read it and add "
            f"--plug-in {shlex.quote(str(file))}."
        )


def _best(results: str, folder: Place, where: str, wanted: tuple[str | None, str | None]) -> tuple[dict[str, Any], str]:
    """The trial of the best configuration with the smallest seed, and a sentence on how good it is."""
    from jobs.analysis.comparison import leaderboards
    from jobs.analysis.leaderboard import wanted_columns
    from jobs.analysis.scores import across_numbers, metric_name
    from jobs.results.header import FINISHED
    from jobs.results.layout import study_name

    study = study_name(folder)
    metric, mode = inputs.chosen_metric([results], [study], *wanted)
    aims = inputs.chosen_aims([results], [study])
    columns = [*wanted_columns(metric, aims), *_KEY_PARTS]
    table = inputs.rows([results], where=where, studies=[study], columns=columns).table
    boards = leaderboards(table, metric, mode, aims)
    done = [one for one in _rows(table) if one["status"] in FINISHED]
    best = [
        min((one for one in done if one["config_key"] == board.entries[0].config_key), key=_seed) for _, board in boards
    ]
    if len(boards) > 1:
        each = ", ".join(f"--trial {row['trial_key']} ({name})" for (name, _), row in zip(boards, best, strict=True))
        raise UserError(f"The trials are of several data sets. The best of each is one of {each}.")
    board, row = boards[0][1], best[0]
    first = board.entries[0]
    tied = sum(one.tied is not False for one in board.entries[1:])
    others = across_numbers(board.metric, [one.params.get("n_clusters") for one in board.entries])
    others += f"; the seeds cannot tell {tied} of the others from it" if tied else ""
    said = f"{metric_name(board.metric)} {first.score.text} over {counted(first.score.n, 'seed')}{others}"
    if first.score.n > 1:
        remark([f"trial {row['trial_key']} is exported, of seed {row['seed']}, the smallest; --trial names another"])
    return row, f"The best configuration of {study} by conclus export: {said}. The trial is that of seed {row['seed']}."


def _seed(row: dict[str, Any]) -> int:
    return row["seed"]


def _named(results: str, folder: Place, start: str) -> tuple[dict[str, Any], str]:
    from jobs.results.layout import study_name

    study = study_name(folder)
    rows = _rows(inputs.rows([results], studies=[study], columns=[*_KEY_PARTS, f"{PARAM}*"]).table)
    known = {one["trial_key"]: one for one in rows}
    key = inputs.one_trial(
        start, known, f"There is no trial {start!r} in {study}: conclus aggregate --attempts lists them."
    )
    return known[key], f"Trial {key} of {study} by conclus export."


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    params = [name for name in table.column_names if name.startswith(PARAM)]
    names = ["trial_key", "config_key", "seed", "status", *_KEY_PARTS, *params]
    return table.select([name for name in names if name in table.column_names]).to_pylist()
