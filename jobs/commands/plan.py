"""`conclus plan`: what a study will run, and what of it is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs import options

if TYPE_CHECKING:
    from jobs.plan import Plan


@click.command()
@options.study
@options.results
@options.overrides
@click.option("--show", is_flag=True, help="Print the whole study with every default, as a study file.")
def command(study: Path, results: str, overrides: tuple[str, ...], *, show: bool) -> None:
    """Check STUDY and show its trials: how many, and how many are done."""
    from jobs import plan as planning
    from jobs import study as studies

    read = studies.load(study, overrides)
    if show:
        click.echo(read.whole(), nl=False)
        return
    plan = planning.known(planning.make(read), results)
    stored, warnings = plan.statuses(results)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join([_headline(plan), *_space(read), _standing(plan, stored)]))


def _headline(plan: Plan) -> str:
    seeds = len(plan.study.seeds)
    text = (
        f"{plan.study.name}: {plan.n_cells} configuration{'s' * (plan.n_cells != 1)} x {seeds} "
        f"seed{'s' * (seeds != 1)} = {plan.n_trials} trials"
    )
    return text + (f" ({plan.duplicates} equal configurations left out)" if plan.duplicates else "")


def _space(study: Any) -> list[str]:
    width = max((len(key) for key in study.space), default=0)
    return [f"  {key:{width}}  {_range(one)}" for key, one in study.space.items()]


def _range(one: Any) -> str:
    if one.finite is not None and len(one.finite) <= 12:
        return ", ".join(str(value) for value in one.finite)
    low, high = one.examples[0], one.examples[-1]
    return f"{low} … {high} ({type(one).__name__.lower()})"


def _standing(plan: Plan, stored: dict[str, str]) -> str:
    from jobs.plan import counts

    found = counts(plan, stored)
    found["missing"] += plan.n_trials - len(plan.trials)
    names = ["done", "failed", "interrupted", "missing"]
    return ", ".join(f"{found[name]} {name}" for name in names if found[name] or name in {"done", "missing"})
