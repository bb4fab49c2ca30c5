"""`conclus confirm`: more seeds for the best configurations, until they are told apart."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import counted
from jobs.present import options
from jobs.present.output import remark, width
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from cluster.executor import Stop
    from jobs.execution.runner import Summary
    from jobs.planning.confirm import Confirmation, Heat
    from jobs.study.study import Study


@click.command("confirm")
@click.argument("place", metavar="RESULTS|STUDY", default="results")
@options.results
@click.option("--study", "name", help="The study, where RESULTS holds several.")
@options.on_metric
@options.mode
@click.option("--top", type=click.IntRange(min=2), default=5, show_default=True, help="So many contenders at most.")
@click.option(
    "--seeds-at-most",
    "most",
    type=click.IntRange(min=2),
    default=12,
    show_default=True,
    help="Seeds per contender, those that are there included. Plan it once: see below.",
)
@click.option(
    "--margin",
    type=options.FiniteRange(min=0),
    default=0.01,
    show_default=True,
    help="A difference of the metric too small to care about.",
)
@click.option("--hours", type=options.FiniteRange(min=0, min_open=True), help="Start no trial after so long.")
@options.workers
@options.ray_address
@options.allow_cpu
@options.plug_in
@options.quiet
def command(  # noqa: PLR0917 (click passes them by name)
    place: str,
    results: str,
    name: str | None,
    metric: str | None,
    mode: str | None,
    top: int,
    most: int,
    margin: float,
    hours: float | None,
    *,
    quiet: bool,
    **where: Any,
) -> None:
    """Run more seeds of the best configuration and of those tied with it, until the seeds tell them apart.

    The study is the one in the folder RESULTS (default: results), or a STUDY file with --results. In each round, every
    contender gets more seeds; one that is found to be worse gets no more. It ends when one contender is left, when the
    remaining ones differ from the best by less than --margin, or at --seeds-at-most. A seed whose training fails counts
    as the worst value. The planned rounds share an error of 5 %: if there is no difference, fewer than 5 in 100 studies
    find one. Raising --seeds-at-most after an undecided end makes a new plan with its own 5 %. The best is also shown
    on the added seeds alone, which did not choose the contenders. The exit code is 1 if the end is undecided, and 3 if
    --hours or the time of its job are over.

    Where the study has several data sets, each has a race of its own. After Ctrl-C, the same command continues;
    finished trials are not run again.
    """
    from cluster.executor import Stop
    from jobs.planning.confirm import Confirmation

    study, results = _study(place, results, name)
    metric, mode = _chosen(study, metric, mode)
    confirmation = Confirmation(study, results, metric, mode, most=most, top=top, margin=margin)
    end, stop = None if hours is None else time.monotonic() + hours * 3600, Stop()
    races = [_Rounds(one, results, where, stop, end, quiet=quiet) for one in confirmation.of_each_data_set()]
    decided = [one.run() for one in races]
    if not all(decided):
        sys.exit(1)


def _study(place: str, results: str, name: str | None) -> tuple[Study, str]:
    """The study, and the place of its results."""
    from jobs.execution.driver import one_study
    from jobs.planning.next_study import base_study
    from jobs.results import storage
    from jobs.results.layout import PREFIX
    from jobs.study import study as studies
    from jobs.study import trust
    from jobs.study.plug_ins import every_file

    if storage.is_file(storage.at(place)):
        study = studies.load(place)
        trust.of_study(Path(place), every_file(study))
        return study, results
    folder = one_study(place, [name] if name else [])
    inside = isinstance(folder, Path) and Path(place).name.startswith(PREFIX)
    return base_study(folder), str(Path(place).parent) if inside else place


def _chosen(study: Study, metric: str | None, mode: str | None) -> tuple[str, str]:
    from jobs.analysis.scores import default_mode
    from jobs.study.keys import methods

    own = study.select
    chosen = metric or own.metric
    return chosen, mode or (
        own.mode if chosen == own.metric else default_mode(chosen, methods(study.trial, study.space))
    )


class _Rounds:
    """Runs one round after the other."""

    def __init__(
        self,
        confirmation: Confirmation,
        results: str,
        where: dict[str, Any],
        stop: Stop,
        end: float | None,
        *,
        quiet: bool,
    ) -> None:
        self._confirmation, self._results, self._where, self._stop = confirmation, results, where, stop
        self._quiet, self._shown = quiet, 0
        self._end = end

    def run(self) -> bool:
        """Runs rounds until the race is decided or cannot continue; returns whether it is decided."""
        heat = self._confirmation.heat()
        if heat.data and not self._quiet:
            click.echo(f"\nData set {one_line(heat.data)}")
        self._show(heat)
        while heat.lacking:
            summary = self._execute(heat)
            wanted = {one.trial_key for one in heat.lacking}
            heat = self._confirmation.heat()
            self._show(heat)
            if left := sum(one.trial_key in wanted for one in heat.lacking):
                _leave(summary, left)
        if not self._quiet:
            click.echo(self._end_text(heat))
        return heat.race.end != "undecided"

    def _execute(self, heat: Heat) -> Summary:
        from jobs.execution import runner as running
        from jobs.execution.console import execute
        from jobs.execution.progress import Progress
        from jobs.study.sections import Budget

        # A budget of nothing is none: what is over since long is spent at once.
        hours = None if self._end is None else max(1e-9, (self._end - time.monotonic()) / 3600)
        plan = self._confirmation.plan(heat)
        ready = running.ready(plan, heat.lacking, self._results, only=Budget(hours=hours), **self._where)
        return execute(ready, self._stop, progress=None if self._quiet else Progress(plan, len(heat.lacking), 0))

    def _show(self, heat: Heat) -> None:
        """Shows the new rounds, and the trials to run next."""
        from jobs.present.race import round_text

        rule = self._confirmation.rule
        if self._quiet:
            return
        if not self._shown:
            remark(heat.left_out)
        for number, (count, standings) in enumerate(heat.race.rounds, 1):
            if number > self._shown:
                click.echo(round_text(heat.board, (number, count, standings), rule, width()), nl=False)
        self._shown = len(heat.race.rounds)
        if heat.lacking:
            who = f"{_seeds(heat)} of {len(heat.race.contenders)} contenders"
            remark([f"{counted(len(heat.lacking), 'trial')} to run: {who}"])

    def _end_text(self, heat: Heat) -> str:
        from jobs.present.race import end_text

        return end_text(heat.board, heat.race, self._confirmation.rule, width())


def _seeds(heat: Heat) -> str:
    seeds = sorted({one.seed for one in heat.lacking})
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _leave(summary: Summary, left: int) -> None:
    """Prints why a round could not be finished, and how to continue."""
    from jobs.execution.console import again

    code = replace(summary, missing=left).exit_code  # what a round lacks is not what the study lacks
    if summary.stopped and not (summary.paused or summary.unwritable or summary.spent):
        remark([f"{counted(left, 'trial')} of this round left; go on with: {again()}"])
        sys.exit(code)
    why = summary.unwritable or (summary.paused and f"the first trials failed alike ({summary.paused})")
    why = why or summary.limit or "trials failed"
    remark([f"undecided: {why}; {counted(left, 'trial')} of this round left; go on with: {again()}"])
    sys.exit(code if summary.spent else 1)
