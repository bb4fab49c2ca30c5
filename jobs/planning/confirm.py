"""More seeds for the best configurations of a study, in rounds: from its rows to a race, and from a race to trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace

from core.errors import UserError, counted
from jobs.analysis import data_sets
from jobs.analysis.leaderboard import Leaderboard, leaderboard, wanted_columns
from jobs.analysis.outcomes import by_seed, lost_seeds
from jobs.analysis.pareto import Aims
from jobs.analysis.race import Race, RaceRule, Values, looks, race
from jobs.analysis.scores import CONSENSUS, LABEL_FREE, metric_name
from jobs.planning import plan as planning
from jobs.planning.known import known
from jobs.planning.plan import Plan, PlannedConfig, PlannedTrial
from jobs.results.reader import load, take
from jobs.study.study import Study


@dataclass(frozen=True)
class Heat:
    """The current state of a confirmation.

    Attributes:
        race: The state of the race.
        board: The leaderboard of all the study's configurations, for their parameters.
        values: The values by seed of each configuration that is done with every seed of the study; NaN for a seed whose
            training failed.
        left_out: Sentences on the other configurations.
        lacking: The trials to run next.
        data: The name of the data set; empty if the study has only one.
    """

    race: Race
    board: Leaderboard
    values: Values
    left_out: Sequence[str]
    lacking: Sequence[PlannedTrial]
    data: str = ""


class Confirmation:
    """Plans more seeds for the best configurations of a study."""

    def __init__(
        self, study: Study, results: str, metric: str, mode: str, *, most: int, top: int, margin: float
    ) -> None:
        """Plans the looks.

        Args:
            study: the study as it was run.
            results: the place of its results.
            metric: the metric to compare by.
            mode: `max` or `min`, whichever is better.
            most: the most seeds per configuration, with the study's own.
            top: the most configurations that get more seeds.
            margin: a difference too small to care about.

        Raises:
            UserError: the study or the metric does not allow more seeds.
        """
        _check(study, metric, most)
        self._results, self._metric, self._mode = results, metric, mode
        self._plan = known(planning.make(study), results)
        self.cells = {one.config_key: one for one in self._plan.trials}
        self.seeds = tuple(itertools.islice(_seeds(study.seeds), most))
        self.rule = RaceRule(looks(len(study.seeds), most), top, margin, mode == "max")

    def of_each_data_set(self) -> list[Confirmation]:
        """One confirmation for each data set: no score is compared across data sets."""
        found: list[Confirmation] = []
        for data in sorted({one.data_hash for one in self.cells.values()}):
            own = copy(self)
            own.cells = {key: one for key, one in self.cells.items() if one.data_hash == data}
            found.append(own)
        return found

    def heat(self) -> Heat:
        """The current state, from the stored rows.

        Raises:
            UserError: no configuration is done with every seed of the study.
        """
        study = self._plan.study
        aims = Aims.of(asdict(study.select))
        table = load([self._results], columns=wanted_columns(self._metric, aims), studies=[study.name]).table
        places = [place for place, key in enumerate(table["config_key"].to_pylist()) if key in self.cells]
        if not places:
            raise UserError(f"{study.name}: no configuration is done with every seed of the study: run it first")
        of_rows = data_sets.of_rows(table)
        names = data_sets.names(table, of_rows)
        table = take(table, places)
        board = leaderboard(table, self._metric, self._mode, aims)
        barred = {one.config_key for one in board.infeasible}
        # Trials that were stopped early are not comparable with trials that ran to the end.
        known, lost = by_seed(table, board.metric, ("ok",)), lost_seeds(table)
        found = {
            key: dict.fromkeys(lost.get((study.name, key), ()), math.nan) | known.get((study.name, key), {})
            for key in self.cells
            if key not in barred
        }
        own = study.seeds
        complete = {
            key: values
            for key, values in found.items()
            if set(own) <= set(values) and any(math.isfinite(values[seed]) for seed in own)
        }
        if not complete:
            raise UserError(f"{study.name}: no configuration is done with every seed of the study: run it first")
        state = race(complete, self.seeds, self.rule)
        lacking = tuple(self._trial(key, seed) for key, seed in state.lacking)
        data = names[of_rows[places[0]]] if len(names) > 1 else ""
        return Heat(state, board, complete, _left_out(found, complete, own, len(barred)), lacking, data)

    def plan(self, heat: Heat) -> Plan:
        """The study's plan with the added trials."""
        known = {one.trial_key for one in self._plan.trials}
        added = [self._trial(key, seed) for key, values in heat.values.items() for seed in values]
        new = {one.trial_key: one for one in [*added, *heat.lacking] if one.trial_key not in known}
        return replace(self._plan, trials=(*self._plan.trials, *new.values()))

    def _trial(self, key: str, seed: int) -> PlannedTrial:
        one = self.cells[key]
        return PlannedConfig(key, one.config, one.parameters, one.data_hash, one.plug_ins).trial(seed)


def _left_out(found: Values, complete: Values, own: Sequence[int], barred: int) -> list[str]:
    """Sentences on the configurations that do not race."""
    others = [values for key, values in found.items() if key not in complete]
    lost = sum(set(own) <= set(values) for values in others)
    told = [
        (lost, "failed in training with every seed, the worst outcome: no contenders"),
        (len(others) - lost, "without all seeds of the study: left out"),
        (barred, "that break a constraint of the study: left out"),
    ]
    return [f"{counted(count, 'configuration')} {why}" for count, why in told if count]


def _seeds(own: Sequence[int]) -> Iterator[int]:
    """A study's seeds, followed by the numbers above its largest seed."""
    return itertools.chain(own, itertools.count(max(own) + 1))


def _check(study: Study, metric: str, most: int) -> None:
    if study.search.scheduler == "pbt":
        raise UserError(f"{study.name}: members of a population change values while they train and cannot be repeated")
    if metric_name(metric) == CONSENSUS:
        raise UserError(
            f"the consensus ranks all trials of a study, so more seeds for a few configurations would change it: "
            f"give another metric, such as --metric {LABEL_FREE}"
        )
    if most <= len(study.seeds):
        raise UserError(f"--seeds-at-most {most}: the study already has {len(study.seeds)} seeds; give a larger number")
