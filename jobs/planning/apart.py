"""What a study's results hold beside its plan: trials of another protocol, and of another content of a plug-in."""

from __future__ import annotations

from jobs.planning.plan import Plan
from jobs.results import peek


def contents(plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Of the plug-ins of a plan's trials, by dotted key and name, the sha256 of each content."""
    found: dict[str, dict[str, list[str]]] = {}
    for trial in plan.trials:
        for key, one in trial.plug_ins.items():
            digests = found.setdefault(key, {}).setdefault(one["name"], [])
            if one["sha256"] not in digests:
                digests.append(one["sha256"])
    return found


def told(plan: Plan, results: str) -> list[str]:
    """One line for each protocol, and for each plug-in, whose trials stay in the results and are shown apart."""
    planned = {one.trial_key for one in plan.trials}
    if peek.statuses(results, plan.study.name).statuses.keys() <= planned:
        return []
    from jobs.analysis import apart  # Only now: it needs pyarrow, which most plans do without.
    from jobs.results.reader import load

    own = contents(plan)
    columns = [*apart.COLUMNS, *(f"param.{key}" for key in own)]
    table = load([results], columns=columns, studies=[plan.study.name]).table
    return apart.told(table, own, planned)
