"""Population based training: the worst quarter of the members copies weights and values of the best.

All members of one seed train to the same epoch and wait. Then each member of the worst quarter copies the weights and
values of a member of the best quarter and changes the values a little, and all continue. Waiting costs some time, but
the result depends on the study alone, not on the number of workers or on interruptions.

A member's values change while it trains, so it is not a sample of a configuration. Its rows have `source = pbt` and are
left out of statistics over configurations. Its history contains its values as `hp.<key>`.

Reference:
    M. Jaderberg et al., "Population Based Training of Neural Networks" (2017), with truncation selection.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.executor import Event
from core.config.trial import parameters, to_mapping
from core.errors import UserError
from core.seal import seal_json
from jobs.planning.plan import Plan, PlannedTrial
from jobs.planning.source import Next
from jobs.results import records, storage
from jobs.results.layout import exchange_file, study_folder
from jobs.study import search
from jobs.study.space import Range, Uniform

QUANTILE = 0.25
FACTORS = (0.8, 1.2)
RESAMPLE = 0.25
FAILED = "failed"
_SHAPE = {
    "stage": {str: int},
    "members": {str: {"values": dict, "origin": str | None, "reached": {str: int | float | str | None}}},
}
"""The structure of the population's file."""


@dataclass
class _Member:
    """The state of a member: its values, the member whose weights it continues, and each stage's result or FAILED."""

    trial: PlannedTrial
    values: dict[str, Any]
    origin: str | None = None
    reached: dict[str, float | str | None] = field(default_factory=dict[str, "float | str | None"])


class Population:
    """A source of trials: runs every member to the next exchange, exchanges, and repeats until the last epoch."""

    def __init__(self, plan: Plan, results: str) -> None:
        """Continues from the population's file if an earlier run has written one."""
        study = plan.study
        self._study, self._folder = study, study_folder(results, study.name)
        self._stops = search.exchange_epochs(study.search, study.trial["epochs"])
        keys = list(study.space)
        self._members = {one.trial_key: _Member(one, {key: one.parameters[key] for key in keys}) for one in plan.trials}
        self._stage: dict[int, int] = dict.fromkeys(study.seeds, 0)
        self._file = self._folder / f"_population-{plan.trials[0].config_key}.json"
        self._others: dict[str, Any] = {}
        self._restore()
        self._given: set[str] = set()

    def take(self) -> Next | None:
        """The next member that has not reached the current exchange of its seed."""
        for key, member in self._members.items():
            stage = self._stage[member.trial.seed]
            if stage < len(self._stops) and str(stage) not in member.reached and key not in self._given:
                self._given.add(key)
                return Next(member.trial, self._order(member, stage))
        return None

    def hear(self, event: Event) -> None:
        """Records a member's result; after the last member of its seed, the members exchange."""
        if event.kind not in {"finished", "died"}:
            return
        member = self._members[event.key]
        stage = self._stage[member.trial.seed]
        failed = event.kind == "died" or event.data["status"] == FAILED
        member.reached[str(stage)] = FAILED if failed else event.data["value"]
        self._given.discard(event.key)
        peers = self._peers(member.trial.seed)
        if all(str(stage) in one.reached for one in peers):
            self._exchange(peers, stage)
            self._stage[member.trial.seed] += 1
        self._save()

    def _order(self, member: _Member, stage: int) -> dict[str, Any]:
        config = self._study.cell(member.values)
        return {
            "trial": to_mapping(config),
            "parameters": parameters(config),
            "source": "pbt",
            "after": self._stops[stage - 1] if stage else 0,
            "until": self._stops[stage],
            "inherit": member.origin,
            "changing": sorted(member.values),
        }

    def _peers(self, seed: int) -> list[_Member]:
        return [one for one in self._members.values() if one.trial.seed == seed]

    def _exchange(self, peers: Sequence[_Member], stage: int) -> None:
        """The worst members copy the best; a member that failed or has no value is among the worst."""
        self._forget(peers, stage - 1)
        if stage + 1 >= len(self._stops):
            return
        chance = random.Random(f"{self._study.search.seed}:{peers[0].trial.seed}:{stage}")  # noqa: S311
        ranked = sorted(peers, key=lambda one: _worth(one.reached[str(stage)], self._study.select.mode), reverse=True)
        count = max(1, math.ceil(len(ranked) * QUANTILE))
        alive = [one for one in ranked if not isinstance(one.reached[str(stage)], str)]
        losers = [one for one in ranked if one not in alive[: len(ranked) - count]]
        for one in peers:
            one.origin = one.trial.trial_key
        for one in losers:
            if winners := [best for best in alive[:count] if best is not one]:
                best = chance.choice(winners)
                one.origin = best.trial.trial_key
                one.values = explore(best.values, self._study.space, chance)

    def _forget(self, peers: Sequence[_Member], stage: int) -> None:
        """Deletes the checkpoints of an exchange after all members have continued from it."""
        if stage >= 0:
            for one in peers:
                exchange_file(self._folder, one.trial.trial_key, self._stops[stage]).unlink(missing_ok=True)

    def _save(self) -> None:
        members = self._others | {
            key: {"values": one.values, "origin": one.origin, "reached": one.reached}
            for key, one in self._members.items()
        }
        content = {"stage": {str(seed): stage for seed, stage in self._stage.items()}, "members": members}
        storage.put(self._file, seal_json(content))

    def _restore(self) -> None:
        try:
            content = records.read(self._file, _SHAPE)
        except FileNotFoundError:
            return
        except records.RecordError as error:
            raise UserError(f"{error}: delete it to start the population again") from error
        # Members of seeds that the study no longer has do not continue; `_save` keeps their entries in the file.
        self._others = {key: one for key, one in content["members"].items() if key not in self._members}
        self._stage |= {int(seed): stage for seed, stage in content["stage"].items()}
        for key, stored in content["members"].items():
            if key not in self._members:
                continue
            member = self._members[key]
            member.values, member.origin = stored["values"], stored["origin"]
            stage = str(self._stage[member.trial.seed])
            # A member that failed in the current stage is tried again, like any failed trial.
            member.reached = {
                name: value for name, value in stored["reached"].items() if not (name == stage and value == FAILED)
            }


def _worth(value: float | str | None, mode: str) -> float:
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return -math.inf
    return value if mode == "max" else -value


def explore(values: Mapping[str, Any], space: Mapping[str, Range], chance: random.Random) -> dict[str, Any]:
    """New values near the given ones, inside their ranges: one in four is drawn at random, others change by 0.8 or 1.2.

    A value from a list moves to a neighbour in the list instead.
    """
    return {key: _moved(value, space[key], chance) for key, value in values.items()}


def _moved(value: Any, one: Range, chance: random.Random) -> Any:
    if chance.random() < RESAMPLE:
        return one.at(chance.random())
    if isinstance(one, Uniform):
        return min(max(value * chance.choice(FACTORS), one.low), one.high)
    ordered = sorted(one.finite or ())
    place = ordered.index(value) + chance.choice((-1, 1))
    return ordered[min(max(place, 0), len(ordered) - 1)]
