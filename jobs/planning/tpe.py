"""Search with Optuna's TPE: the next configuration depends on all earlier results, also those of earlier runs.

What breaks a constraint of the study is worse than all that keeps them, see Optuna's `Trial.set_constraint`.
Optuna stores nothing: its study is rebuilt from the stored results each time. So a search continues after any
interruption, and from rows copied from another machine. Every configuration runs with all seeds; Optuna gets the mean.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cluster.executor import Event
from core.config.trial import unused
from core.errors import UserError
from jobs.analysis.pareto import Aims, Limits, column, violation
from jobs.analysis.scores import within_trial
from jobs.planning.plan import PlannedConfig, PlannedConfigs, PlannedTrial
from jobs.planning.source import Next
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.study.keys import methods
from jobs.study.space import Integer, LogUniform, Range, Uniform
from jobs.study.study import Study

if TYPE_CHECKING:
    import optuna

FAILED = "failed"

_REPEATS = 50
"""The space counts as exhausted after this many draws in a row of known configurations."""


@dataclass
class _Asked:
    """A configuration of the search, the values of its seeds, and those that the constraints are on."""

    assignment: Mapping[str, Any]
    cell: PlannedConfig
    values: dict[int, float | None] = field(default_factory=dict[int, "float | None"])
    limited: dict[int, Mapping[str, float | None]] = field(default_factory=dict[int, "Mapping[str, float | None]"])

    def mean(self) -> float | None:
        """The mean over the seeds with a finite value; None if there are none."""
        found = [one for one in self.values.values() if one is not None and math.isfinite(one)]
        return fmean(found) if found else None

    def violations(self, limits: Mapping[str, Limits]) -> dict[str, float]:
        """For each constraint, how far the mean over the seeds is beyond it; without those that have no value."""
        found: dict[str, float] = {}
        for name, limit in limits.items():
            values = [value for one in self.limited.values() if (value := one.get(name)) is not None]
            over = violation([value for value in values if math.isfinite(value)], limit)
            if over is not None:
                found[name] = over
        return found


class Asking:
    """A source of trials: first the missing ones of known configurations, then new ones up to `search.trials`."""

    def __init__(self, study: Study, results: str) -> None:
        """Rebuilds the search from the stored results.

        Raises:
            UserError: Optuna is not installed, or the data cannot be read.
        """
        _optuna()
        self._study, self._cells = study, PlannedConfigs(study)
        self._asked = {one.cell.key: one for one in known_cells(study, results)}
        self._waiting: list[PlannedTrial] = []
        self._places: dict[str, tuple[_Asked, int]] = {}
        for one in self._asked.values():
            self._enqueue(one)
        self._exhausted = False

    def take(self) -> Next | None:
        """The next trial; None if all configurations are taken or the space is exhausted."""
        if not self._waiting and len(self._asked) < (self._study.search.trials or 0) and not self._exhausted:
            self._draw()
        return Next(self._waiting.pop(0)) if self._waiting else None

    def hear(self, event: Event) -> None:
        """Records a seed's result as its row has it: a failed trial has no value, whatever it had reached."""
        if event.kind not in {"finished", "ended", "died"} or event.key not in self._places:
            return
        asked, seed = self._places[event.key]
        failed = event.kind == "died" or event.data.get("status") == FAILED
        asked.values[seed] = None if failed else event.data.get("value")
        asked.limited[seed] = {} if failed else event.data.get("limited", {})

    def _enqueue(self, asked: _Asked) -> None:
        """Queues the seeds of a configuration that have no value yet; each trial's key is made only here."""
        trials = {seed: asked.cell.trial(seed) for seed in self._study.seeds}
        self._places |= {trial.trial_key: (asked, seed) for seed, trial in trials.items()}
        self._waiting += [trial for seed, trial in trials.items() if seed not in asked.values]

    def _draw(self) -> None:
        # Rebuilt for each configuration, so that a resumed search proposes the same as an uninterrupted one. A study
        # that is kept has its trials in the order in which they ended, and TPE depends on the order. After 400
        # configurations rebuilding takes 20 ms, about as long as TPE's own draw.
        search, distributions = _optuna_study(self._study, list(self._asked.values()))
        for _ in range(_REPEATS):
            trial = search.ask(distributions)
            assignment = {key: _value(one, trial.params[key]) for key, one in self._study.space.items()}
            cell = self._cells.make(assignment)
            if cell.key not in self._asked:
                self._asked[cell.key] = _Asked(assignment, cell)
                self._enqueue(self._asked[cell.key])
                return
            # Reporting its value again makes the sampler draw something else.
            known = self._asked[cell.key]
            _close(search, trial, known.mean(), known.violations(_limits(self._study)))
        self._exhausted = True


def _limits(study: Study) -> Mapping[str, Limits]:
    return Aims.of(asdict(study.select)).limits


def _close(search: optuna.Study, trial: optuna.Trial, value: float | None, violations: Mapping[str, float]) -> None:
    from optuna.trial import TrialState

    for name, one in violations.items():
        trial.set_constraint(name, one)
    if value is None:
        search.tell(trial, state=TrialState.FAIL)
    else:
        search.tell(trial, value)


def known_trials(study: Study, results: str) -> tuple[PlannedTrial, ...]:
    """The trials, all seeds, of the configurations that earlier runs of a search have chosen."""
    return tuple(one.cell.trial(seed) for one in known_cells(study, results) for seed in study.seeds)


def known_cells(study: Study, results: str) -> list[_Asked]:
    """The stored configurations of a search, in the order in which they began, with the values of their seeds.

    A row belongs to the search if the configuration made from its values of the space's keys has the same key. So rows
    of another base configuration, other data or another space are left out.
    """
    made = PlannedConfigs(study)
    # Methods are those of the study and not of the rows, whose names may be anything.
    idle = {PurePath(one).name: unused(one) for one in methods(study.trial, study.space)}
    found: dict[str, _Asked] = {}
    for row in _rows(study, results):
        assignment = _assignment(study.space, row, idle)
        if assignment is None:
            continue
        if row["config_key"] not in found:
            try:
                cell = made.make(assignment)
            except UserError:
                continue
            if cell.key != row["config_key"]:
                continue
            found[cell.key] = _Asked(assignment, cell)
        if row["status"] in FINISHED and row["seed"] in study.seeds:
            found[row["config_key"]].values[row["seed"]] = row["value"]
            found[row["config_key"]].limited[row["seed"]] = row["limited"]
    return list(found.values())


def _rows(study: Study, results: str) -> list[dict[str, Any]]:
    """The stored rows of the study, the earliest attempt first, each with its parameters and selection value."""
    from jobs.results.reader import load

    metric = within_trial(study.select.metric)
    aims = Aims.of(asdict(study.select))
    columns = ["params_json", f"metric.{metric}", f"health.{metric}", *aims.columns]
    try:
        table = load([results], columns=columns, studies=[study.name]).table
    except UserError:  # nothing has run yet
        return []
    sources = {name: column(table.column_names, name) for name in aims.limits}
    rows = sorted(table.to_pylist(), key=lambda row: row["attempt_id"])
    for row in rows:
        value = row.get(f"metric.{metric}")
        row["value"] = row.get(f"health.{metric}") if value is None else value
        row["limited"] = {name: row[source] for name, source in sources.items() if source}
        row["params"] = records.parameters(row["params_json"])
    return rows


def _assignment(
    space: Mapping[str, Range], row: Mapping[str, Any], idle: Mapping[str, tuple[str, ...]]
) -> dict[str, Any] | None:
    """The row's values of the space's keys; None if any is missing.

    A key that the row's method does not use has the middle of its range: any value gives the same configuration.
    """
    names = idle.get(str(row["params"].get("method.name")), ())
    middles = {key: one.at(0.5) for key, one in space.items() if {key, key.partition(".")[0]} & {*names}}
    params = middles | row["params"]
    if not all(key in params for key in space):
        return None
    return {key: params[key] for key in space}


def _optuna() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError as error:
        raise UserError("search: optuna is not installed: uv sync --extra search --inexact") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _optuna_study(study: Study, known: Sequence[_Asked]) -> tuple[optuna.Study, dict[str, Any]]:
    optuna = _optuna()
    distributions = {key: _distribution(one) for key, one in study.space.items()}
    # A different seed for each number of known configurations: the same seed would draw the same one again.
    seed = random.Random(f"{study.search.seed}:{len(known)}").getrandbits(32)  # noqa: S311 - a search, not a secret
    sampler = optuna.samplers.TPESampler(seed=seed)
    direction = "maximize" if study.select.mode == "max" else "minimize"
    search = optuna.create_study(sampler=sampler, direction=direction)
    for one in known:
        value = one.mean()
        params = {key: _stored(study.space[key], one.assignment[key]) for key in study.space}
        if value is not None and all(value is not None for value in params.values()):
            told = one.violations(_limits(study))
            search.add_trial(
                optuna.create_trial(params=params, distributions=distributions, value=value, constraints=told)
            )
    return search, distributions


def _distribution(one: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(one, LogUniform | Uniform):
        return FloatDistribution(one.low, one.high, log=isinstance(one, LogUniform))
    if isinstance(one, Integer):
        return IntDistribution(one.low, one.high)
    # By index, because a value may be a list, which Optuna does not accept.
    return CategoricalDistribution(tuple(range(len(one.finite or ()))))


def _value(one: Range, given: Any) -> Any:
    """The space's value for a value from Optuna."""
    return given if isinstance(one, Uniform | Integer) else (one.finite or ())[given]


def _stored(one: Range, value: Any) -> Any:
    """Optuna's value for a stored value; None if it is not in the range."""
    if isinstance(one, Uniform | Integer):
        return value if one.low <= value <= one.high else None
    return (one.finite or ()).index(value) if value in (one.finite or ()) else None
