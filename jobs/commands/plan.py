"""`conclus plan`: the trials of a study, and how many are done."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import counted
from jobs.present import options
from jobs.present.output import fitted, remark
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.planning.plan import Plan
    from jobs.planning.stages import StagedStudy


@click.command()
@options.study
@options.results
@options.overrides
@options.plug_in_once
@click.option("--show", is_flag=True, help="Print the whole study with every default, as a study file.")
@click.option(
    "--probe",
    is_flag=True,
    help="Try one epoch of the largest configuration (most parameters x batch size) in a process of its own: "
    "memory, seconds, the resources to ask for, and the time of the whole study.",
)
@click.option(
    "--price",
    metavar="PRICE",
    help="Also estimate the cost: 2.5/gpu-hour, or 0.05/cpu-hour for a core. The estimate is from the trials that are "
    "done, or from --probe.",
)
@click.option("--no-data", is_flag=True, help="Do not look at the data: no check of what `run` would refuse in it.")
def command(
    study: Path,
    results: str,
    overrides: tuple[str, ...],
    *,
    show: bool,
    probe: bool,
    price: str | None,
    no_data: bool,
) -> None:
    """Check STUDY and its data, and show how many trials it has, how many are done, and how long the others will take.

    The time is estimated from the trials that are done, or with --probe from one epoch. It also tells which differences
    between configurations so many seeds can see, by the spread over seeds of earlier trials.
    """
    from jobs.planning import stages
    from jobs.study import trust

    course = stages.load(study, overrides)
    trust.of_study(study, course.plug_in_files(), remember=False)
    if show:
        click.echo("---\n".join(one.study.whole() for one in course.stages), nl=False)
        return
    look = None if no_data else _look
    shown = _stages(course, results, look, probe=probe, price=price)
    click.echo("\n\n".join("\n".join(fitted(one_line(line), sys.stdout) for line in lines) for lines in shown))


def _look(plan: Plan, gates: dict[str, str | None], told: set[str]) -> Plan:
    """Checks the data as `run` does, prints how they were read without repeating lines, and returns what `run` runs."""
    from jobs.planning.data_check import check_data
    from jobs.present.bar import preparing

    with preparing():
        checked = check_data(plan, gates)
    lines = [one for one in checked.lines if one not in told]
    told.update(lines)
    remark(lines)
    if lines:
        remark([f"(data read in {checked.seconds:.1f} s)"])
    return checked.plan


def _stages(
    course: StagedStudy,
    results: str,
    look: Callable[[Plan, dict[str, str | None], set[str]], Plan] | None,
    *,
    probe: bool,
    price: str | None,
) -> Iterator[list[str]]:
    """The lines of each stage; stages after an unfinished one are shown as far as the file determines them."""
    from jobs.planning import apart, power
    from jobs.planning import plan as planning
    from jobs.planning.known import known
    from jobs.present.bar import preparing
    from jobs.present.notices import unheard

    decided, told = True, set[str]()
    for place, stage in enumerate(course.stages):
        read = course.at(place, results) if decided else stage.study
        with preparing():
            plan = known(planning.make(read), results)
        stored, warnings = plan.statuses(results)
        if look is not None:
            plan = look(plan, course.gates(place), told)
        for warning in (*warnings, *unheard(read)):
            remark([f"warning: {warning}"])
        if read.budget.over and _left(plan, stored):
            remark([f"warning: {read.budget.over}"])
        later = "" if decided else ", once it is known"
        start = [f"  from the best of the stage before{later}"] if stage.from_best else []
        counts = planning.counts(plan, stored)
        outlook = _outlook(plan, stored, results, probe=probe, price=price)
        decided = decided and not plan.open and not counts["missing"] + counts["interrupted"]
        yield [
            _headline(plan),
            *_space(read),
            *(f"  {line}" for line in plan.notes),
            *start,
            _standing(plan, stored),
            *(f"  {line}" for line in apart.told(plan, results)),
            *(power.told(plan, results) if _left(plan, stored) else []),
            *outlook,
            *_gate(course, place, results, known=decided),
        ]


def _outlook(plan: Plan, stored: dict[str, str], results: str, *, probe: bool, price: str | None) -> list[str]:
    """How long it will take, and what it will cost: from a probe, or from the trials that are done."""
    from jobs.planning import estimate

    cost = None if price is None else estimate.charge(price, plan.study)
    able = _able(plan)
    if probe:
        return estimate.from_probe(able, cost).split("\n")
    left = _left(plan, stored)
    if left and "ok" in stored.values():
        return estimate.from_done(able, results, left, cost)
    return [estimate.UNMEASURED] if left and cost is not None else []


def _gate(course: StagedStudy, place: int, results: str, *, known: bool) -> list[str]:
    """The condition of a stage's gate, and whether it is met."""
    gate = course.stages[place].gate
    if gate is None:
        return []
    metric = gate.metric or course.stages[place].study.select.metric
    text = f"  continue if {metric} {' and '.join(gate.conditions)}"
    verdict = course.verdict(place, results) if known else None
    if not verdict and len(course.stages[place].study.seeds) == 1 and not gate.mean:
        more = "" if gate.improves else ", or mean: true"
        return [f"{text}: it stays closed, as one seed cannot show it: give more seeds{more}"]
    return [text + (f": {'yes' if verdict.is_open else 'no'}, {verdict.why}" if verdict else "")]


def _headline(plan: Plan) -> str:
    seeds = len(plan.study.seeds)
    text = (
        f"{plan.study.name}: {counted(plan.n_cells, 'configuration')} x "
        f"{counted(seeds, 'seed')} = {counted(plan.n_trials, 'trial')}"
    )
    return text + (f" ({counted(plan.duplicates, 'equal configuration')} left out)" if plan.duplicates else "")


def _space(study: Any) -> list[str]:
    from jobs.study.space import walk

    ranges = list(walk(study.space))
    # A range of the value tcl stands below its key, as `tcl: method.threshold`.
    heads = [
        "  " * len(chosen) + ": ".join([*map(_value, [*chosen.values()][-1:]), key]) for _, key, _, chosen in ranges
    ]
    width = max(map(len, heads), default=0)
    return [f"  {head:{width}}  {_range(one)}" for head, (_, _, one, _) in zip(heads, ranges, strict=True)]


def _range(one: Any) -> str:
    from jobs.study.space import written

    if one.finite is not None and len(one.finite) <= 12:
        return ", ".join(_value(value) for value in one.finite)
    (kind, ends), *_ = written({"": one})[""].items()
    return f"{_value(ends[0])} … {_value(ends[-1])} ({kind})"


def _value(value: Any) -> str:
    """A value in few words: a plug-in with options as `tcl boost=0.5`."""
    if not isinstance(value, dict):
        return str(value)
    return " ".join(str(one) if key == "name" else f"{key}={one}" for key, one in value.items())


def _standing(plan: Plan, stored: dict[str, str]) -> str:
    from jobs.planning.plan import counts

    found = counts(plan, stored)
    found["missing"] += plan.n_trials - len(plan.trials)
    names = ["done", "failed", "interrupted", "missing"]
    return ", ".join(f"{found[name]} {name}" for name in names if found[name] or name in {"done", "missing"})


def _left(plan: Plan, stored: dict[str, str]) -> int:
    """Number of trials still to run."""
    from jobs.planning.plan import counts

    return plan.n_trials - counts(plan, stored)["done"]


def _able(plan: Plan) -> Plan:
    """The plan as this machine can run it: without a GPU, it prints a warning and plans for the CPU."""
    if not plan.study.resources.gpu:
        _tell_absent(plan)
        return plan
    from jobs.planning.cpu_fallback import NO_CARD, on_cpu, without_card

    if not without_card(plan.study):
        _tell_absent(plan)
        return plan
    remark([f"warning: {NO_CARD}: run it on a cluster, or on the CPU with `conclus run --allow-cpu`"])
    return replace(plan, study=on_cpu(plan.study))


def _tell_absent(plan: Plan) -> None:
    """Warns of a kind of card or a custom resource that this machine does not offer, as a cluster may."""
    from cluster.resources import absent
    from jobs.execution.tasks import needs, this_machine_for

    if why := absent(needs(plan.study), [this_machine_for(plan.study)]):
        remark([f"warning: {why}: run it on a cluster"])
