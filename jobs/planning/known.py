"""The known trials of a plan: all, or those of the configurations that a search algorithm has chosen so far."""

from __future__ import annotations

from dataclasses import replace

from jobs.planning.plan import Plan


def known(plan: Plan, results: str) -> Plan:
    """The plan with the configurations that a search algorithm has chosen so far, read from the results."""
    if plan.study.search.name != "optuna":
        return plan
    from jobs.planning.tpe import known_trials

    return replace(plan, trials=known_trials(plan.study, results))
