"""`conclus next`: proposes the next study from a study's results."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from core.errors import UserError
from jobs.conclusions.arguments import SMALLEST_MARGIN
from jobs.present import options
from jobs.present.output import deliver, say, width, wrapped
from jobs.results.storage import Remote


@click.command("next")
@click.argument("results", default="results", type=click.Path())
@options.on_metric
@options.mode
@options.where
@click.option("--study", "study", help="The study, where RESULTS holds several.")
@click.option(
    "--margin",
    type=options.FiniteRange(min=SMALLEST_MARGIN),
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
    from jobs.conclusions.proposal import proposed
    from jobs.execution.driver import one_study

    folder = one_study(results, [study] if study else [])
    proposal, sentences = proposed(results, folder, where, (metric, mode), margin)
    for line in sentences:
        click.echo("\n".join(wrapped(line, width(), "  ")))
    if out is None:
        click.echo("--out next.yaml writes this study.")
    else:
        deliver(proposal.text, out)
        above = results if isinstance(folder, Remote) else str(folder.parent)
        say(f"Look at it, then: conclus plan {out} --results {above}")
        for file in proposal.foreign:
            say(
                f"{out} names the plug-in {file}, which lies in the results: it runs only if you read it and add "
                f"--plug-in {shlex.quote(str(file))}."
            )
