"""Search with Optuna's TPE: the next configuration depends on all earlier results, also those of earlier runs.

What breaks a constraint of the study is worse than all that keeps them, see Optuna's `Trial.set_constraint`.
Optuna stores nothing: its study is rebuilt from the stored results each time. So a search continues after any
interruption, and from rows copied from another machine. Every configuration runs with all seeds; Optuna gets the mean.
"""

from __future__ import annotations

import contextlib
import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import PurePath
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cluster.executor import Event
from core.config.trial import flatten
from core.errors import UserError
from jobs.analysis.pareto import Aims, Limits, column, violation
from jobs.analysis.scores import within_trial
from jobs.planning.plan import PlannedConfig, PlannedConfigs, PlannedTrial
from jobs.planning.source import Next
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.study.space import Integer, LogUniform, Range, Uniform, branch, grid, sample, walk
from jobs.study.study import Study

if TYPE_CHECKING:
    import optuna

FAILED = "failed"

_REPEATS = 50
"""After this many draws in a row of known configurations, the space is listed or counts as exhausted."""
_LISTED = 10_000
"""At most so many configurations of a space are listed."""
_MOST = 100
"""At most so many configurations are tried to find that of a row, whose parameters may be anything."""


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
        search = _optuna_study(self._study, list(self._asked.values()))
        for _ in range(_REPEATS):
            trial = search.ask()
            assignment = _suggested(trial, self._study.space)
            cell = self._cells.make(assignment)
            if self._is_new(assignment, cell):
                return
            # Reporting its value again makes the sampler draw something else.
            known = self._asked[cell.key]
            _close(search, trial, known.mean(), known.violations(_limits(self._study)))
        # TPE draws what was good, so it may leave out the rest of the space: of a list, or of another value's ranges.
        ranges, space = [one for _, _, one, _ in walk(self._study.space)], self._study.space
        is_list = all(one.finite is not None for one in ranges)
        rest = grid(space) if is_list else sample(space, len(self._asked) + _REPEATS, self._study.search.seed)
        self._exhausted = not any(self._is_new(one, self._cells.make(one)) for one in islice(rest, _LISTED))

    def _is_new(self, assignment: Mapping[str, Any], cell: PlannedConfig) -> bool:
        """Queues a configuration if the search does not know it yet."""
        if cell.key in self._asked:
            return False
        self._asked[cell.key] = _Asked(assignment, cell)
        self._enqueue(self._asked[cell.key])
        return True


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
    found: dict[str, _Asked] = {}
    of_key: dict[str, _Asked | None] = {}
    for row in _rows(study, results):
        key = row["config_key"]
        if key not in of_key:
            of_key[key] = _stored_cell(study, made, row)
        if (asked := of_key[key]) is None:
            continue
        found[key] = asked
        if row["status"] in FINISHED and row["seed"] in study.seeds:
            asked.values[row["seed"]] = row["value"]
            asked.limited[row["seed"]] = row["limited"]
    return list(found.values())


def _stored_cell(study: Study, made: PlannedConfigs, row: Mapping[str, Any]) -> _Asked | None:
    """The configuration of a row; None if the search could not have made it."""
    for assignment in islice(_assignments(study.space, row["params"]), _MOST):
        with contextlib.suppress(UserError):
            if (cell := made.make(assignment)).key == row["config_key"]:
                return _Asked(assignment, cell)
    return None


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


def _assignments(space: Mapping[str, Range], params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The configurations of a space that a row with these parameters may be of; the key of the row decides.

    Results hold a plug-in as its options and a path as the name of its file, so several values may fit. A key that the
    row's method does not use, or that is at its default, is not in results.
    """
    if not space:
        yield {}
        return
    (key, one), *others = space.items()
    for value in _fitting(key, one, params):
        for own in _assignments(branch(one, value), params):
            for rest in _assignments(dict(others), params):
                yield {key: value} | own | rest


def _fitting(key: str, one: Range, params: Mapping[str, Any]) -> Sequence[Any]:
    """The values of a range that a row with these parameters may have, the likeliest first."""
    if any(name == key or name.startswith(f"{key}.") for name in params):
        if isinstance(one, Uniform | Integer):
            return [params[key]]
        return [value for value in one.examples if _may_be(key, value, params)] or [params[key]] * (key in params)
    return [one.at(0.5), *one.examples]


def _may_be(key: str, value: Any, params: Mapping[str, Any]) -> bool:
    """Whether a row with these parameters may be of this value, a plug-in or any other."""
    parts = {key: value} if key in params else flatten({key: value if isinstance(value, Mapping) else {"name": value}})
    return all(_as_stored(one) == _as_stored(params.get(name, one)) for name, one in parts.items())


def _as_stored(value: Any) -> Any:
    """A value as it is compared with one of results, which have no folders and may have another spelling of a name."""
    return PurePath(value.partition("?")[0]).name.replace("_", "-") if isinstance(value, str) else value


def _optuna() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError as error:
        raise UserError("search: optuna is not installed: uv sync --extra search --inexact --no-dev") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _optuna_study(study: Study, known: Sequence[_Asked]) -> optuna.Study:
    optuna = _optuna()
    # A different seed for each number of known configurations: the same seed would draw the same one again.
    seed = random.Random(f"{study.search.seed}:{len(known)}").getrandbits(32)  # noqa: S311 - a search, not a secret
    sampler = optuna.samplers.TPESampler(seed=seed)
    direction = "maximize" if study.select.mode == "max" else "minimize"
    search = optuna.create_study(sampler=sampler, direction=direction)
    for one in known:
        value = one.mean()
        told = list(_told(study.space, one.assignment))
        if value is not None and all(given is not None for _, _, given in told):
            params = {name: given for name, _, given in told}
            distributions = {name: _distribution(range_) for name, range_, _ in told}
            over = one.violations(_limits(study))
            search.add_trial(
                optuna.create_trial(params=params, distributions=distributions, value=value, constraints=over)
            )
    return search


def _suggested(trial: optuna.Trial, space: Mapping[str, Range], prefix: str = "") -> dict[str, Any]:
    """The configuration that Optuna suggests: the ranges of a value are asked for after the value is chosen."""
    cell: dict[str, Any] = {}
    for key, one in space.items():
        name = prefix + key
        given = _suggest(trial, name, one)
        cell[key] = _value(one, given)
        cell |= _suggested(trial, branch(one, cell[key]), _inside(name, given))
    return cell


def _suggest(trial: optuna.Trial, name: str, one: Range) -> Any:
    if isinstance(one, Uniform):
        return trial.suggest_float(name, one.low, one.high, log=isinstance(one, LogUniform))
    if isinstance(one, Integer):
        return trial.suggest_int(name, one.low, one.high)
    return trial.suggest_categorical(name, range(len(one.finite or ())))


def _told(
    space: Mapping[str, Range], assignment: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Range, Any]]:
    """What Optuna is told of a configuration: the names that `_suggested` gives, their ranges and their values."""
    for key, one in space.items():
        name, given = prefix + key, _stored(one, assignment[key])
        yield name, one, given
        if given is not None:
            yield from _told(branch(one, assignment[key]), assignment, _inside(name, given))


def _inside(name: str, given: Any) -> str:
    """What the names in the space of a value begin with: two values may have different ranges of one key."""
    return f"{name}={given}/"


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
