"""Which trials of a plan are known by now: all, or those of the cells that a search has chosen so far."""

from __future__ import annotations

from dataclasses import replace

from jobs.planning.plan import Plan


def known(plan: Plan, results: str) -> Plan:
    """The plan with the cells that a search has chosen so far, as the results tell."""
    if plan.study.search.name != "optuna":
        return plan
    from jobs.search.tpe import known_trials

    return replace(plan, trials=known_trials(plan.study, results))
