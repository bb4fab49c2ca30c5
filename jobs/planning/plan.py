"""From a study to its trials: an explicit list, each with a key made of its content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.config import plugins
from core.config.trial import PlugIn, TrialConfig, parameters
from core.errors import UserError
from core.seal import canonical_json
from jobs.results import peek
from jobs.results.header import FINISHED
from jobs.study import space
from jobs.study.study import Study

# Part of every key: raised when the meaning of a configuration or the way of scoring changes.
PROTOCOL = 5
LARGEST = 200_000


@dataclass(frozen=True)
class PlannedTrial:
    """One configuration and one seed, with the keys that results are filed under."""

    trial_key: str
    config_key: str
    seed: int
    config: TrialConfig
    parameters: Mapping[str, Any]
    data_hash: str


@dataclass(frozen=True)
class Plan:
    """The trials of a study, in an order in which any prefix is balanced over values and seeds.

    Where a search chooses its cells by results (`open`), `trials` are those of the cells that are known by now.
    """

    study: Study
    trials: tuple[PlannedTrial, ...]
    n_cells: int
    duplicates: int

    @property
    def open(self) -> bool:
        """Whether cells are still to be chosen."""
        return len(self.trials) < self.n_trials

    @property
    def n_trials(self) -> int:
        """How many trials the study has in all."""
        return self.n_cells * len(self.study.seeds)

    def statuses(self, results: str) -> tuple[dict[str, str], list[str]]:
        """The stored status of each planned trial that has one, and warnings about unreadable files."""
        stored, warnings = peek.statuses(results, self.study.name)
        return {one.trial_key: stored[one.trial_key] for one in self.trials if one.trial_key in stored}, warnings

    def missing(self, results: str) -> list[PlannedTrial]:
        """The trials that have no final good row: never run, interrupted or failed.

        One that was stopped early is done where the study stops trials early, and else to be run to its end.
        """
        stored, _ = self.statuses(results)
        done = FINISHED if self.study.search.scheduler == "asha" else ("ok",)
        return [one for one in self.trials if stored.get(one.trial_key) not in done]


@dataclass(frozen=True)
class PlannedConfig:
    """One configuration of a plan, with the key that its trials share."""

    key: str
    config: TrialConfig
    parameters: Mapping[str, Any]
    data_hash: str

    def trial(self, seed: int) -> PlannedTrial:
        """The trial of one seed."""
        return PlannedTrial(_digest(f"{self.key}:{seed}"), self.key, seed, self.config, self.parameters, self.data_hash)


class PlannedConfigs:
    """Makes cells of a study; every data set's fingerprint is taken once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._fingerprints: dict[str, str] = {}

    def make(self, assignment: Mapping[str, Any]) -> PlannedConfig:
        """The cell in which the space's keys have these values.

        Raises:
            UserError: its data cannot be found or read.
        """
        config = self._study.cell(assignment)
        values = parameters(config)
        data_hash = _fingerprint(config.data, self._fingerprints)
        return PlannedConfig(config_key(values, data_hash, _population(self._study)), config, values, data_hash)


def make(study: Study) -> Plan:
    """The plan of a study; that of one whose cells are chosen by results has none of them yet.

    Raises:
        UserError: it has too many trials, or its data cannot be found or read.
    """
    if study.search.name == "optuna":
        PlannedConfigs(study).make({key: one.examples[0] for key, one in study.space.items()})
        return Plan(study, (), study.search.trials or 0, 0)
    assignments = _cells(study)
    made = PlannedConfigs(study)
    cells: dict[str, PlannedConfig] = {}
    for assignment in assignments:
        cell = made.make(assignment)
        cells.setdefault(cell.key, cell)
    kept = list(cells.values())
    order = _order(study, len(kept))
    trials = tuple(kept[cell].trial(study.seeds[seed]) for cell, seed in order)
    return Plan(study, trials, len(kept), len(assignments) - len(kept))


def _population(study: Study) -> Mapping[str, Any] | None:
    """What sets the members of a population apart from ordinary trials: their values change on the way."""
    search = study.search
    if search.scheduler != "pbt":
        return None
    ranges = {key: [type(one).__name__, *one.examples] for key, one in study.space.items()}
    return {"size": search.trials, "seed": search.seed, "grace": search.grace, "space": ranges}


def _cells(study: Study) -> list[dict[str, Any]]:
    if study.search.name == "random":
        count = study.search.trials or 0
        _refuse_too_many(count * len(study.seeds))
        return space.sample(study.space, count, study.search.seed)
    total = 1
    for one in study.space.values():
        total *= len(one.finite or ())
    _refuse_too_many(total * len(study.seeds))
    return space.grid(study.space)


def _refuse_too_many(count: int) -> None:
    if count > LARGEST:
        raise UserError(
            f"the study has {count:,} trials, more than {LARGEST:,}: "
            "use search: {name: random, trials: …}, or fewer values"
        )


def _order(study: Study, n_cells: int) -> list[tuple[int, int]]:
    """(cell, seed) indices in running order."""
    sizes = [len(one.finite or ()) for one in study.space.values()]
    product = 1
    for size in sizes:
        product *= size
    if study.search.name == "random" or product != n_cells:
        return [(cell, seed) for cell, seed in space.balanced_order([n_cells, len(study.seeds)], mixed=False)]
    index = {values: i for i, values in enumerate(space.indices(sizes))}
    return [(index[one[:-1]], one[-1]) for one in space.balanced_order([*sizes, len(study.seeds)])]


def _fingerprint(data: PlugIn, known: dict[str, str]) -> str:
    name = canonical_json({"name": data.name, **data.options}, allow_nan=False)
    if name not in known:
        fingerprint = plugins.function("datasets", data.name, "fingerprint")
        known[name] = fingerprint(**data.options)
    return known[name]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_key(values: Mapping[str, Any], data_hash: str, population: Mapping[str, Any] | None = None) -> str:
    """The key of a configuration: its parameters after defaults and its data's content, wherever that lies.

    Args:
        values: the parameters, by dotted key.
        data_hash: the data's fingerprint.
        population: for a member of a population, what decides how its values change.
    """
    content = {key: value for key, value in values.items() if key != "data.path"}
    identity = {"protocol": PROTOCOL, "data": data_hash, "parameters": content}
    identity |= {"population": population} if population else {}
    return _digest(canonical_json(identity, allow_nan=False))


def counts(plan: Plan, stored: Mapping[str, str]) -> Counter[str]:
    """How many trials are `done`, `failed`, `interrupted` (or running right now) and `missing`."""
    names = {**dict.fromkeys(FINISHED, "done"), "failed": "failed", "running": "interrupted"}
    return Counter(names.get(stored.get(one.trial_key, ""), "missing") for one in plan.trials)
