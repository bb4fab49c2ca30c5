"""Search by Optuna's TPE: which cell comes next follows from the results of those before, also those of earlier runs.

Optuna keeps nothing: its study is made anew from the result store each time, so that a search goes on after any
accident, and on rows that were copied from another machine. Configurations get all their seeds, and Optuna their mean.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cluster.executor import Event
from core.errors import UserError
from jobs.analysis.scores import within_trial
from jobs.planning.plan import PlannedConfig, PlannedConfigs, PlannedTrial
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.search.source import Next
from jobs.study.space import Integer, LogUniform, Range, Uniform
from jobs.study.study import Study

if TYPE_CHECKING:
    import optuna

FAILED = "failed"

_REPEATS = 50
"""How often a cell that is known is drawn in a row before the space counts as searched."""


@dataclass
class _Asked:
    """A cell of the search, and what its seeds have given."""

    assignment: Mapping[str, Any]
    cell: PlannedConfig
    values: dict[int, float | None] = field(default_factory=dict[int, "float | None"])

    def mean(self) -> float | None:
        """Over the seeds that have a finite value."""
        found = [one for one in self.values.values() if one is not None and math.isfinite(one)]
        return fmean(found) if found else None


class Asking:
    """A source of trials: first what known cells lack, then new cells, up to the study's number of them."""

    def __init__(self, study: Study, results: str) -> None:
        """Rebuilds the search from the store.

        Raises:
            UserError: Optuna is not installed, or the data cannot be read.
        """
        _optuna()
        self._study, self._cells = study, PlannedConfigs(study)
        self._asked = {one.cell.key: one for one in known_cells(study, results)}
        self._waiting: list[PlannedTrial] = []
        self._places: dict[str, tuple[_Asked, int]] = {}
        for one in self._asked.values():
            self._place(one)
        self._exhausted = False

    def take(self) -> Next | None:
        """The next trial; None once the cells are all out, or the space holds no more."""
        if not self._waiting and len(self._asked) < (self._study.search.trials or 0) and not self._exhausted:
            self._ask()
        return Next(self._waiting.pop(0)) if self._waiting else None

    def hear(self, event: Event) -> None:
        """Notes what a seed gave as its row tells it: a failed one has no value, whatever it had reached."""
        if event.kind not in {"finished", "ended", "died"} or event.key not in self._places:
            return
        asked, seed = self._places[event.key]
        failed = event.kind == "died" or event.data.get("status") == FAILED
        asked.values[seed] = None if failed else event.data.get("value")

    def _place(self, asked: _Asked) -> None:
        """Lets the seeds of a cell that have no value wait; every trial's key is made here, once."""
        trials = {seed: asked.cell.trial(seed) for seed in self._study.seeds}
        self._places |= {trial.trial_key: (asked, seed) for seed, trial in trials.items()}
        self._waiting += [trial for seed, trial in trials.items() if seed not in asked.values]

    def _ask(self) -> None:
        # Made anew for each cell: a search that goes on from the store then proposes what this one would have. Kept, it
        # would hold the cells in the order in which they ended, and TPE draws by their order. After 400 cells this
        # takes 20 ms, about as long as TPE's own draw.
        search, distributions = _optuna_study(self._study, list(self._asked.values()))
        for _ in range(_REPEATS):
            trial = search.ask(distributions)
            assignment = {key: _value(one, trial.params[key]) for key, one in self._study.space.items()}
            cell = self._cells.make(assignment)
            if cell.key not in self._asked:
                self._asked[cell.key] = _Asked(assignment, cell)
                self._place(self._asked[cell.key])
                return
            # Its value once more moves the sampler on.
            _close(search, trial, self._asked[cell.key].mean())
        self._exhausted = True


def _close(search: optuna.Study, trial: optuna.Trial, value: float | None) -> None:
    from optuna.trial import TrialState

    if value is None:
        search.tell(trial, state=TrialState.FAIL)
    else:
        search.tell(trial, value)


def known_trials(study: Study, results: str) -> tuple[PlannedTrial, ...]:
    """The trials of the cells that earlier runs of a search have chosen, all seeds of each."""
    return tuple(one.cell.trial(seed) for one in known_cells(study, results) for seed in study.seeds)


def known_cells(study: Study, results: str) -> list[_Asked]:
    """The cells of a search that the store knows, in the order in which they began, with their seeds' values.

    A row belongs to the search when its cell, made anew from its values of the space's keys, has its key: so rows of
    another base configuration, other data or other search spaces are left out.
    """
    made = PlannedConfigs(study)
    found: dict[str, _Asked] = {}
    for row in _rows(study, results):
        assignment = _assignment(study.space, row)
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
    return list(found.values())


def _rows(study: Study, results: str) -> list[dict[str, Any]]:
    """The store's rows of the study, the earliest attempt first, each with its parameters and selection value."""
    from jobs.results.reader import load

    metric = within_trial(study.select.metric)
    columns = ["params_json", f"metric.{metric}", f"health.{metric}"]
    try:
        table = load([results], columns=columns, studies=[study.name]).table
    except UserError:  # nothing has run yet
        return []
    rows = sorted(table.to_pylist(), key=lambda row: row["attempt_id"])
    for row in rows:
        value = row.get(f"metric.{metric}")
        row["value"] = row.get(f"health.{metric}") if value is None else value
        row["params"] = records.parameters(row["params_json"])
    return rows


def _assignment(space: Mapping[str, Range], row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row's values of the space's keys; None where it has not all of them."""
    params = row["params"]
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
    # Another seed for each number of known cells: the same one would draw the same cell again.
    seed = random.Random(f"{study.search.seed}:{len(known)}").getrandbits(32)  # noqa: S311 - a search, not a secret
    sampler = optuna.samplers.TPESampler(seed=seed)
    direction = "maximize" if study.select.mode == "max" else "minimize"
    search = optuna.create_study(sampler=sampler, direction=direction)
    for one in known:
        value = one.mean()
        params = {key: _stored(study.space[key], one.assignment[key]) for key in study.space}
        if value is not None and all(value is not None for value in params.values()):
            search.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
    return search, distributions


def _distribution(one: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(one, LogUniform | Uniform):
        return FloatDistribution(one.low, one.high, log=isinstance(one, LogUniform))
    if isinstance(one, Integer):
        return IntDistribution(one.low, one.high)
    # By place: a value may be a list, which Optuna does not take.
    return CategoricalDistribution(tuple(range(len(one.finite or ()))))


def _value(one: Range, given: Any) -> Any:
    """The space's value for what Optuna gave."""
    return given if isinstance(one, Uniform | Integer) else (one.finite or ())[given]


def _stored(one: Range, value: Any) -> Any:
    """What Optuna would have given for a value of the store; None where the range does not hold it."""
    if isinstance(one, Uniform | Integer):
        return value if one.low <= value <= one.high else None
    return (one.finite or ()).index(value) if value in (one.finite or ()) else None
