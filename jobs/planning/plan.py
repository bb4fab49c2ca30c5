"""The plan of a study: an explicit list of its trials, each with a key made from its content."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from core.config import plugins
from core.config.trial import PlugIn, TrialConfig, parameters, unused
from core.config.trial import plug_ins as plug_in_names
from core.data import remote
from core.errors import UserError, counted
from core.seal import canonical_json
from jobs.analysis.scores import CONSENSUS
from jobs.results import peek, stops
from jobs.results.header import FINISHED
from jobs.results.identity import config_key, trial_key
from jobs.results.layout import study_folder
from jobs.study import keys, plug_ins, space
from jobs.study.study import Study

LARGEST = 200_000

Contents = Mapping[str, Mapping[str, str]]
"""The content of plug-ins, as `jobs.study.plug_ins.contents` tells it."""


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One configuration and one seed, with the keys of their results."""

    trial_key: str
    config_key: str
    seed: int
    config: TrialConfig
    parameters: Mapping[str, Any]
    data_hash: str
    plug_ins: Contents = field(default_factory=dict[str, Mapping[str, str]])


@dataclass(frozen=True)
class Plan:
    """The trials of a study, in an order such that any prefix is balanced over values and seeds.

    If a search algorithm chooses configurations by results (`open`), `trials` has those that are known so far. `notes`
    say which varied keys a method does not use.
    """

    study: Study
    trials: tuple[PlannedTrial, ...]
    n_cells: int
    duplicates: int
    notes: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether a search algorithm has yet to choose configurations."""
        return len(self.trials) < self.n_trials

    @cached_property
    def has_several_data_sets(self) -> bool:
        """Whether its trials are of several data sets: then no one configuration is the best of all."""
        varied = self.open and any(key.partition(".")[0] == "data" for key in self.study.space)
        return varied or len({one.data_hash for one in self.trials}) > 1

    @cached_property
    def cluster_counts(self) -> frozenset[int | str | None]:
        """The `n_clusters` of its trials on one data set; the most, if it differs."""
        found: dict[str, set[int | str | None]] = {}
        for one in self.trials:
            found.setdefault(one.data_hash, set()).add(one.config.n_clusters)
        return frozenset(max(found.values(), key=len, default=()))

    @property
    def has_no_best(self) -> bool:
        """Whether no configuration is the best of all: over several data sets, or by consensus over `n_clusters`."""
        mixed = self.study.select.metric == CONSENSUS and len(self.cluster_counts) > 1
        return mixed or self.has_several_data_sets

    @property
    def n_trials(self) -> int:
        """Total number of trials of the study."""
        return self.n_cells * len(self.study.seeds)

    def statuses(self, results: str) -> tuple[dict[str, str], list[str]]:
        """The stored status of each planned trial that has one, and warnings about unreadable files."""
        stored, warnings = peek.statuses(results, self.study.name)
        return {one.trial_key: stored[one.trial_key] for one in self.trials if one.trial_key in stored}, warnings

    def missing(self, results: str, again: str = "") -> list[PlannedTrial]:
        """The trials without a finished row: never run, interrupted or failed.

        A trial that was stopped early counts as done if the study uses early stopping (`scheduler: asha`, or
        `health.stop`) or somebody asked for it, else it is run to its end. So is the trial with the key `again`,
        whoever stopped it.
        """
        stored, _ = self.statuses(results)
        done = FINISHED if self.study.search.scheduler == "asha" or self.study.health.stop else ("ok",)
        ended = {key for key in stops.asked(study_folder(results, self.study.name)) if stored.get(key) in FINISHED}
        ended.discard(again)
        return [one for one in self.trials if one.trial_key not in ended and stored.get(one.trial_key) not in done]


@dataclass(frozen=True, slots=True)
class PlannedConfig:
    """One configuration of a plan, with the key that its trials share."""

    key: str
    config: TrialConfig
    parameters: Mapping[str, Any]
    data_hash: str
    plug_ins: Contents = field(default_factory=dict[str, Mapping[str, str]])

    def trial(self, seed: int) -> PlannedTrial:
        """The trial of one seed."""
        key = trial_key(self.key, seed)
        return PlannedTrial(key, self.key, seed, self.config, self.parameters, self.data_hash, self.plug_ins)


class PlannedConfigs:
    """Makes configurations of a study; computes the fingerprint of each data set and reads each plug-in file once."""

    def __init__(self, study: Study) -> None:
        self._study, self._base = study, study.base()
        self._fingerprints: dict[str, str] = {}
        self._contents: dict[tuple[Any, ...], Contents] = {}

    def make(self, assignment: Mapping[str, Any]) -> PlannedConfig:
        """The configuration in which the space's keys have these values.

        Raises:
            UserError: its data or a plug-in cannot be found or read.
        """
        config = self._study.cell(assignment, self._base)
        values = parameters(config)
        data_hash = _fingerprint(config.data, self._fingerprints)
        own = self._own(config)
        key = config_key(values, data_hash, _population(self._study), plug_ins=own)
        return PlannedConfig(key, config, values, data_hash, own)

    def _own(self, config: TrialConfig) -> Contents:
        files = (config.data.options.get("analyzer"), config.encoder.options.get("weights"))
        named = (*plug_in_names(config), *files)
        if named not in self._contents:
            self._contents[named] = plug_ins.contents(config)
        return self._contents[named]


def make(study: Study) -> Plan:
    """The plan of a study; without trials if a search algorithm chooses the configurations by results.

    Raises:
        UserError: it has too many trials, its data cannot be found or read, or its scheduler compares trials of several
            data sets.
    """
    if study.search.name == "optuna":
        PlannedConfigs(study).make(space.covering(study.space)[0])
        return _comparable(Plan(study, (), study.search.trials or 0, 0))
    assignments = _cells(study)
    made = PlannedConfigs(study)
    whole = [made.make(assignment) for assignment in assignments]
    cells: dict[str, PlannedConfig] = {}
    for cell in whole:
        cells.setdefault(cell.key, cell)
    kept = list(cells.values())
    order = _order(study, len(kept))
    trials = tuple(kept[cell].trial(study.seeds[seed]) for cell, seed in order)
    notes = tuple(_merged(study, whole, cells))
    return _comparable(Plan(study, trials, len(kept), len(assignments) - len(kept), notes))


def _comparable(plan: Plan) -> Plan:
    """The plan; its scheduler may not compare scores across data sets.

    Raises:
        UserError: it does.
    """
    scheduler = plan.study.search.scheduler
    if scheduler != "none" and plan.has_several_data_sets:
        raise UserError(
            f"{plan.study.name}: search.scheduler: {scheduler} compares the scores of trials while they run, and no "
            "score is compared across data sets: leave it out, or write a study for each data set"
        )
    return plan


def _merged(study: Study, cells: Sequence[PlannedConfig], kept: Mapping[str, PlannedConfig]) -> Iterator[str]:
    """A sentence for each method for which cells of the space are one configuration, since it uses not all keys."""
    varied_for = [
        (key, keys.methods(study.trial, space.narrowed(study.space, chosen)))
        for _, key, _, chosen in space.walk(study.space)
    ]
    for name in keys.methods(study.trial, study.space):
        names = unused(name)
        every = dict.fromkeys(key for key, of in varied_for if name in of)
        varied = [key for key in every if {key, key.partition(".")[0]} & {*names}]
        own = [one for one in cells if one.config.method.name == name]
        different = sum(one.config.method.name == name for one in kept.values())
        if varied and len(own) > different:
            told = f"{counted(different, 'configuration')} with {counted(len(study.seeds), 'seed')} each"
            yield f"{name} does not use {', '.join(varied)}: its {len(own)} cells are {told}"


def _population(study: Study) -> Mapping[str, Any] | None:
    """The settings that enter the keys of a population's members, which differ from ordinary trials; else None."""
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
    _refuse_too_many(math.prod(space.sizes(study.space)) * len(study.seeds))
    return list(space.grid(study.space))


def _refuse_too_many(count: int) -> None:
    if count > LARGEST:
        raise UserError(
            f"the study has {count:,} trials, more than {LARGEST:,}: "
            "use search: {name: random, trials: …}, or fewer values"
        )


def _order(study: Study, n_cells: int) -> list[tuple[int, int]]:
    """(cell, seed) indices in running order."""
    sizes = space.sizes(study.space)
    if study.search.name == "random" or math.prod(sizes) != n_cells:
        return [(cell, seed) for cell, seed in space.balanced_order([n_cells, len(study.seeds)], mixed=False)]
    index = {values: i for i, values in enumerate(space.indices(sizes))}
    return [(index[one[:-1]], one[-1]) for one in space.balanced_order([*sizes, len(study.seeds)])]


def _fingerprint(data: PlugIn, known: dict[str, str]) -> str:
    name = canonical_json({"name": data.name, **data.options}, allow_nan=False)
    if name not in known:
        fingerprint = plugins.function("datasets", data.name, "fingerprint")
        with remote.held(data.options) as (options, _):
            known[name] = fingerprint(**options)
    return known[name]


def counts(plan: Plan, stored: Mapping[str, str]) -> Counter[str]:
    """How many trials are `done`, `failed`, `interrupted` (or running right now) and `missing`."""
    names = {**dict.fromkeys(FINISHED, "done"), "failed": "failed", "running": "interrupted"}
    return Counter(names.get(stored.get(one.trial_key, ""), "missing") for one in plan.trials)
