"""`conclus effect`: the effect of one hyper-parameter, from trials that are equal in everything else."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import inputs, options
from jobs.present.output import deliver, format_of, remark, width

if TYPE_CHECKING:
    from jobs.analysis.effect import Effect

_TABLES = ("differences", "values", "slices")


@click.command("effect")
@options.analysed
@click.argument("param", required=False, default="", metavar="PARAM")
@options.on_metric
@options.mode
@options.where
@options.studies
@click.option("--table", "part", type=click.Choice(_TABLES), help="Only this table.  [csv and json: differences]")
@click.option("--slices", type=click.IntRange(0), default=3, show_default=True, help="How many slices to show.")
@options.fmt
@options.out
def command(  # noqa: PLR0917 (click passes them by name)
    results: tuple[str, ...],
    param: str,
    metric: str | None,
    mode: str | None,
    where: str,
    studies: tuple[str, ...],
    part: str | None,
    slices: int,
    fmt: str,
    out: Path | None,
) -> None:
    """Show the effect of the parameter PARAM in RESULTS (default: results).

    It compares trials that are equal in everything else, also in seed and data. It shows the mean difference between
    neighbouring values with its 95 % interval, pairs won and lost, and the metric over PARAM with all else fixed.
    A loss is never ranked over a parameter that rescales it.
    """
    try:
        inputs.check_order(results, [param], "effect")
    except UserError as error:
        if results:
            raise
        missing = str(error) if param else "Name a parameter: conclus effect PARAM"
        varying = _varying(param or "results", (metric, mode), where, studies)
        raise UserError(f"{missing}.{varying}") from error
    found = _found(results or ("results",), param, (metric, mode), where, studies)
    deliver(_text(found, format_of(out, fmt), part, slices), out)


def _varying(path: str, wanted: tuple[str | None, str | None], where: str, studies: Sequence[str]) -> str:
    """A sentence on the parameters that may be named, those that vary over finished trials; empty without trials."""
    try:
        trials, _ = inputs.finished_trials((path,), studies, where, wanted)
    except UserError:  # The parameter is asked for first.
        return ""
    return f" These vary: {', '.join(key for key in trials.factors if not trials.goes_with_data(key)) or 'none'}"


def _found(
    paths: Sequence[str], param: str, wanted: tuple[str | None, str | None], where: str, studies: Sequence[str]
) -> "Effect":
    from jobs.analysis.effect import effect
    from jobs.analysis.trials import param_key

    trials, mode = inputs.finished_trials(paths, studies, where, wanted)
    return effect(trials, param_key(param, trials), mode)


def _text(found: "Effect", fmt: str, part: str | None, slices: int) -> str:
    from jobs.present.effect import PROSE, TABLES, effect_text, machine_sheet

    if fmt in PROSE:
        return effect_text(found, fmt, width(), slices, (part,) if part else TABLES)
    if found.refusal and part in {None, "differences"}:
        raise UserError(f"{found.refusal} --table slices prints the values.")
    remark(found.notes)
    return machine_sheet(found, part or "differences").render(fmt)
