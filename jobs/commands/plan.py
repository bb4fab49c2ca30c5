"""`conclus plan`: what a study will run, and what of it is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.plan import Plan
    from jobs.stages import Course


@click.command()
@options.study
@options.results
@options.overrides
@click.option("--show", is_flag=True, help="Print the whole study with every default, as a study file.")
def command(study: Path, results: str, overrides: tuple[str, ...], *, show: bool) -> None:
    """Check STUDY and show its trials: how many, and how many are done."""
    from jobs import stages

    course = stages.load(study, overrides)
    if show:
        click.echo("---\n".join(one.study.whole() for one in course.stages), nl=False)
        return
    click.echo("\n\n".join("\n".join(lines) for lines in _stages(course, results)))


def _stages(course: Course, results: str) -> Iterator[list[str]]:
    """The lines of each stage; what follows one that is not done yet is known as far as the file says it."""
    from jobs import plan as planning

    known = True
    for place, stage in enumerate(course.stages):
        read = course.at(place, results) if known else stage.study
        plan = planning.known(planning.make(read), results)
        stored, warnings = plan.statuses(results)
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        start = (
            ["  from the best of the stage before" + ("" if known else ", once it is known")] if stage.from_best else []
        )
        counts = planning.counts(plan, stored)
        known = known and not plan.open and not counts["missing"] + counts["interrupted"]
        yield [
            _headline(plan),
            *_space(read),
            *start,
            _standing(plan, stored),
            *_gate(course, place, results, known=known),
        ]


def _gate(course: Course, place: int, results: str, *, known: bool) -> list[str]:
    """What a stage must reach, and whether it did."""
    gate = course.stages[place].gate
    if gate is None:
        return []
    metric = gate.metric or course.stages[place].study.select.metric
    text = f"  continue if {metric} {' and '.join(gate.conditions)}"
    verdict = course.verdict(place, results) if known else None
    return [text + (f": {'yes' if verdict.is_open else 'no'}, {verdict.why}" if verdict else "")]


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
