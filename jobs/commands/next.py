"""`conclus next`: proposes the next study from a study's results."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError, counted
from jobs.present import inputs, options
from jobs.present.output import deliver, say, width, wrapped
from jobs.present.tables import duration
from jobs.results.storage import Place, Remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.analysis.trials import Trials
    from jobs.planning.next_study import Proposal


@click.command("next")
@click.argument("results", default="results", type=click.Path())
@options.on_metric
@options.mode
@options.where
@click.option("--study", "study", help="The study, where RESULTS holds several.")
@click.option(
    "--margin",
    type=click.FloatRange(min=1e-9),
    default=0.01,
    show_default=True,
    help="A difference of the metric too small to care about.",
)
@options.plug_in
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The study file to write, such as next.yaml."
)
@click.option("--yes", is_flag=True, help="Write over a file that is there.")
def command(  # noqa: PLR0917 (click passes them by name)
    results: str,
    metric: str | None,
    mode: str | None,
    where: str,
    study: str | None,
    margin: float,
    out: Path | None,
    *,
    yes: bool,
) -> None:
    """Propose the next study from the results in RESULTS (default: results).

    For each parameter: if the best value is at an edge of its range, extend the range; if it is inside, refine around
    it; if the metric is flat, fix the value; if it is too noisy, run as many seeds as needed. All pairs of values of
    all parameters are compared, and the tests are corrected for their number. Finished trials are part of the new study
    and are not run again.
    """
    if out is not None and out.exists() and not yes:
        raise UserError(f"--out {out}: this file is there already: name another one, or give --yes")
    from jobs.execution.driver import one_study
    from jobs.results.layout import study_name

    folder = one_study(results, [study] if study else [])
    trials, mode = inputs.finished_trials([results], [study_name(folder)], where, (metric, mode))
    above = results if isinstance(folder, Remote) else str(folder.parent)
    proposal = _proposal(folder, above, trials, mode, margin)
    _say(proposal, trials, _on_constraints(results, study_name(folder), where, [one.key for one in proposal.advice]))
    if out is None:
        click.echo("--out next.yaml writes this study.")
    else:
        deliver(proposal.text, out)
        say(f"Look at it, then: conclus plan {out} --results {above}")
        for file in proposal.foreign:
            say(
                f"{out} names the plug-in {file}, which lies in the results: it runs only if you read it and add "
                f"--plug-in {shlex.quote(str(file))}."
            )


def _proposal(folder: Place, results: str, trials: Trials, mode: str, margin: float) -> Proposal:
    from jobs.analysis.next_step import MOST_SEEDS, advise
    from jobs.planning.next_study import base_study, propose

    if not trials.factors:
        raise UserError("No parameter varies over the finished trials: there is no direction to go in.")
    return propose(base_study(folder), advise(trials, mode, margin), results, MOST_SEEDS)


def _on_constraints(results: str, study: str, where: str, advised: Sequence[str]) -> list[str]:
    from jobs.planning.next_study import on_constraints

    aims = inputs.chosen_aims([results], [study])
    if not aims.limits:
        return []
    columns = ["param.*", "data_hash", *aims.columns]
    return on_constraints(inputs.rows([results], where=where, studies=[study], columns=columns).table, aims, advised)


def _say(proposal: Proposal, trials: Trials, notes: Sequence[str]) -> None:
    from jobs.planning.next_study import sentence

    lines = [*(sentence(one) for one in proposal.advice), *notes]
    lines += [_cost(proposal, float(trials.seconds.mean())), *([proposal.note] if proposal.note else [])]
    for line in lines:
        click.echo("\n".join(wrapped(line, width(), "  ")))


def _cost(proposal: Proposal, seconds: float) -> str:
    text = f"{counted(proposal.trials, 'trial')}, {proposal.missing} of them to run"
    if not seconds >= 0:  # NaN: imported rows do not know
        return f"{text}."
    return f"{text}: about {duration(proposal.missing * seconds)} on one worker ({seconds:.3g} s a trial so far)."
