"""All data of a report, read once from the results; drawing is done elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from core.errors import UserError
from jobs.analysis import apart, origin, outcomes, pareto, selection
from jobs.analysis import trials as valued
from jobs.analysis.comparison import Boards, Comparison, comparison, leaderboards
from jobs.analysis.effect import Effect, effect
from jobs.analysis.importance import Importance, importance
from jobs.analysis.interaction import MOST_LEVELS, Interaction, interaction
from jobs.analysis.leaderboard import Leaderboard, wanted_columns
from jobs.analysis.pareto import NO_AIMS, Aims, InfeasibleError
from jobs.analysis.scores import LABEL_FREE, RescaledError, within_trial
from jobs.analysis.selection import MixedError
from jobs.analysis.trials import Trials
from jobs.charts.configurations import key
from jobs.charts.runs import COLUMNS, ChartedTrial, by_configuration, runs
from jobs.health import courses as judging
from jobs.health import curves
from jobs.health.courses import Course
from jobs.health.settings import settings
from jobs.models import topics
from jobs.models.topics import TrialTopics
from jobs.present.health import JudgedTrials, ordered
from jobs.present.names import USUAL, ShownNames
from jobs.report import cluster_contents, cluster_data
from jobs.report.cluster_contents import ClusterContents
from jobs.report.reading import Reading, attempts, release
from jobs.results.layout import folders_of, study_name
from jobs.results.names import METRIC, PARAM
from jobs.results.reader import column_cells, load, take
from jobs.study import notes as noted

if TYPE_CHECKING:
    import pyarrow as pa

Key = tuple[str, str]

MOST = 1000
"""The most configurations of a leaderboard that are shown and drawn."""
_CURVED = 1000
"""The curves of a leaderboard's first configurations are drawn, until they are of so many trials."""
LISTED = 200
"""The most trials whose verdicts are listed, those with codes first."""
_PAIRS = 6
_COURSES = 6
_TOPIC_COURSES = 24
_TOPIC_SCORE = f"{METRIC}npmi"
"""Only topic models report it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The data of a report.

    Attributes:
        metric: The ranking metric, as requested.
        mode: `max` or `min`.
        where: The expression that selected the rows; empty if all were read.
        boards: The leaderboard of each data set, by its name; empty if the metric may not rank these configurations.
        compared: The methods compared over data sets; None without several of them.
        refused: The reason if there is no leaderboard.
        outcomes: How the trials ended.
        origins: The origin of each study.
        choices: For each study, the result of choosing by each label-free criterion.
        signals: Label-free signals by name and configuration.
        curves: Learning curves by metric and configuration: the ranking metric first, then the label-free score and
            the loss.
        clusters: The clusters of the best trial whose clusters are stored, or a sentence that says how to get some;
            empty if nothing is drawn.
        topics: The topics of the best trial of the best configuration that has some, or a sentence that says why there
            are none; None without topic models and without a page.
        topic_courses: The courses of trials of topic models, by a name for the trial, the first of the leaderboard
            first.
        runs: The trials, for drawings.
        trials: The finished trials with a value of the metric, for drawings.
        importance: How much of the metric's variance each parameter explains; None if it cannot be computed.
        unshared: The reason if there is no importance.
        effects: The effect of each parameter on the metric, the largest difference first.
        interactions: The metric over pairs of parameters, those with the largest effects first.
        health: The trials, judged; None without a page.
        courses: The courses to draw, by a name for the trial: those of the best trial and of some with codes.
        skipped: Files that could not be read, as whole sentences.
        notes: Other remarks on the files, as whole sentences.
        labels: How metrics, parameters, methods and data sets are called.
    """

    metric: str
    mode: str
    where: str
    boards: Boards
    compared: Comparison | None
    refused: UserError | None
    outcomes: outcomes.Outcomes
    origins: Sequence[origin.Origin]
    choices: Sequence[selection.CriteriaReport]
    signals: Mapping[str, Mapping[Key, float]]
    curves: Mapping[str, Mapping[Key, curves.Curve]]
    clusters: ClusterContents | str
    topics: TrialTopics | str | None
    topic_courses: Mapping[str, Course]
    runs: Sequence[ChartedTrial]
    trials: Trials | None
    importance: Importance | None
    unshared: str
    effects: Sequence[Effect]
    interactions: Sequence[Interaction]
    health: JudgedTrials | None
    courses: Mapping[str, Course]
    skipped: Sequence[str]
    notes: Sequence[str]
    labels: ShownNames = USUAL

    @property
    def board(self) -> Leaderboard | None:
        """The leaderboard; None if there is none, or one for each of several data sets."""
        return self.boards[0][1] if len(self.boards) == 1 else None

    @property
    def first(self) -> Boards:
        """The leaderboards with the first `MOST` configurations each: a page shows and draws no more."""
        return [(name, replace(board, entries=board.entries[:MOST])) for name, board in self.boards]

    @property
    def by_configuration(self) -> dict[Key, list[ChartedTrial]]:
        """The trials with a value of the metric, by configuration."""
        return by_configuration(self.runs)


def gather(
    paths: Sequence[str],
    metric: str,
    mode: str,
    *,
    aims: Aims = NO_AIMS,
    where: str = "",
    studies: Sequence[str] = (),
    drawn: bool = True,
    paged: bool = True,
) -> Contents:
    """Reads the results below `paths`.

    What breaks a constraint of `aims` is not ranked. If `drawn` is false, it skips the data that only drawings need; if
    `paged` is, that of the page alone: the clusters and the verdicts on the trials.

    Raises:
        UserError: There are no results, `where` is wrong, or no trial has the metric.
    """
    wanted = [
        *wanted_columns(metric, aims),
        *valued.wanted_columns(metric),
        *origin.COLUMNS,
        *COLUMNS,
        *judging.COLUMNS,
        *cluster_contents.COLUMNS,
    ]
    paged = paged and drawn
    reading = Reading(paths, studies, wanted)
    loaded = reading.rows(where, judged=paged).need_rows()
    table = loaded.table
    present, _ = apart.split(table)
    boards, refused = _boards(table, (metric, mode), aims)
    board = boards[0][1] if len(boards) == 1 else None
    trials = _compared(table, metric) if drawn else None
    every = [effect(trials, one, mode) for one in trials.factors] if trials else []
    effects = sorted(every, key=_largest)
    shares, unshared = _importance(trials) if trials and trials.factors else (None, "")
    judged = reading.judged(present) if paged else []
    has_topics = _TOPIC_SCORE in loaded.columns
    best = _best_trials(judged, board)
    topical = _topical(present, board) if paged and has_topics else {}
    curved = _curved(present, boards) if drawn else []
    places = {id(one): place for place, one in enumerate(judged)}
    listed = [places[id(one)] for one in ordered(judged)[:LISTED]]
    histories = _Histories.of(reading, present, {*best.values(), *topical.values(), *curved, *listed})
    for place, one in histories.judged(listed):
        judged[place] = one
    drawn_curves = _curves(histories.rows(curved), _methods(present), metric) if curved else {}
    courses, topic_courses = histories.courses(best), histories.courses(topical)
    del histories
    release()
    return Contents(
        metric=metric,
        mode=mode,
        where=where,
        boards=boards,
        compared=comparison(table, boards) if len(boards) > 1 else None,
        refused=refused,
        outcomes=outcomes.outcomes(table),
        origins=origin.origins(table, origin.read_plans(paths, studies), noted.read_all(paths, studies)),
        choices=selection.criteria_report(table),
        signals=outcomes.signals(present),
        curves=drawn_curves,
        clusters=cluster_contents.of_best(paths, studies, _ranked(present, aims), metric, mode) if paged else "",
        topics=_topics(paths, where, studies, (metric, mode), aims) if paged and has_topics else None,
        topic_courses=topic_courses,
        runs=runs(present, boards[0][1].metric) if paged and boards else (),
        trials=trials,
        importance=shares,
        unshared=unshared,
        effects=effects,
        interactions=_interactions(trials, effects) if trials else (),
        health=JudgedTrials(judged, settings(judged)) if paged else None,
        courses=courses,
        skipped=loaded.skipped,
        notes=loaded.notes,
    )


def _boards(table: pa.Table, ranking: tuple[str, str], aims: Aims) -> tuple[Boards, UserError | None]:
    try:
        return leaderboards(table, *ranking, aims), None
    except (RescaledError, MixedError, InfeasibleError) as error:
        return (), error


def _compared(table: pa.Table, metric: str) -> Trials | None:
    """The trials with their values; None by consensus over several numbers of clusters or data sets."""
    try:
        return valued.gather(table, metric)
    except MixedError:
        return None


@dataclass(frozen=True, slots=True)
class _Histories:
    """The rows with histories of some trials, by the place of each in the table of all."""

    table: pa.Table
    rows_by_place: Mapping[int, int]

    @classmethod
    def of(cls, reading: Reading, table: pa.Table, places: Collection[int]) -> _Histories:
        wanted = {one: place for place, one in enumerate(attempts(table)) if place in places}
        found = reading.histories(wanted) if wanted else table.slice(0, 0)
        return cls(found, {wanted[one]: row for row, one in enumerate(attempts(found))})

    def rows(self, places: Sequence[int]) -> pa.Table:
        return take(self.table, [self.rows_by_place[place] for place in places if place in self.rows_by_place])

    def courses(self, names: Mapping[str, int]) -> dict[str, Course]:
        there = {name: place for name, place in names.items() if place in self.rows_by_place}
        return dict(zip(there, judging.courses(self.rows([*there.values()])), strict=True))

    def judged(self, places: Sequence[int]) -> list[tuple[int, judging.Judged]]:
        there = [place for place in places if place in self.rows_by_place]
        return list(zip(there, judging.judged(self.rows(there)), strict=True))


def _curved(table: pa.Table, boards: Boards) -> list[int]:
    """The places of the trials whose curves are drawn: those of the first configurations of each leaderboard."""
    places: dict[Key, list[int]] = {}
    for place, one in enumerate(zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True)):
        places.setdefault(one, []).append(place)
    found: list[int] = []
    for _, board in boards:
        own: list[int] = []
        for entry in board.entries[:MOST]:
            if len(own) < _CURVED:
                own += places.get(key(entry), [])
        found += own
    return found


def _curves(table: pa.Table, methods: Sequence[str | None], metric: str) -> dict[str, dict[Key, curves.Curve]]:
    there = curves.curve_metrics(table)
    within = within_trial(metric)
    wanted = dict.fromkeys([within, f"{outcomes.HEALTH}{within}", f"{outcomes.HEALTH}{LABEL_FREE}"])
    # The losses of two methods have no common scale.
    if len({*methods} - {None}) < 2:
        wanted["loss"] = None
    found = {name: curves.curves(table, name) for name in wanted if name in there}
    # A single epoch is no curve.
    found = {name: {key: one for key, one in each.items() if len(one.epochs) > 1} for name, each in found.items()}
    return {name: one for name, one in found.items() if one}


def _methods(table: pa.Table) -> list[str | None]:
    """The method of each row, None where it is not known."""
    return column_cells(table, f"{PARAM}method.name")


def _best_trials(judged: Sequence[judging.Judged], board: Leaderboard | None) -> dict[str, int]:
    """A name and the place of the best configuration's first trial, and of one trial for each set of codes."""
    best = key(board.entries[0]) if board else None
    first = [place for place, one in enumerate(judged) if (one.study, one.config_key) == best and one.is_known][:1]
    unwell: dict[tuple[str, ...], int] = {}
    for place, one in enumerate(judged):
        if one.faults and one.is_known and place not in first:
            unwell.setdefault(one.codes, place)
    places = [*first, *unwell.values()][:_COURSES]
    several = len({one.study for one in judged}) > 1
    names = [
        f"{'best: ' if place in first else ''}{f'{one.study} ' if several else ''}{one.trial_key} {one.verdict}"
        for place in places
        for one in [judged[place]]
    ]
    return dict(zip(names, places, strict=True))


def _ranked(table: pa.Table, aims: Aims) -> pa.Table:
    return take(table, [row for row, is_ranked in enumerate(pareto.ranked(table, aims)) if is_ranked])


def _topics(
    paths: Sequence[str], where: str, studies: Sequence[str], ranking: tuple[str, str], aims: Aims
) -> TrialTopics | str | None:
    """The topics of the best trial, read anew: only here are they needed."""
    table = load(paths, where=where, studies=studies, columns=topics.read_columns(ranking[0], aims)).table
    if not topics.has_some(table):
        return None
    try:
        found = topics.choose(table, *ranking, aims=aims)
    except UserError as error:
        return str(error)
    folder = {study_name(one): one for one in folders_of(paths, studies)}.get(found.row["study"])
    return replace(found, texts=cluster_data.beginnings(folder, found.row, found.documents)) if folder else found


def _topical(table: pa.Table, board: Leaderboard | None) -> dict[str, int]:
    """A name and the place of the trials that report scores of topics, one seed of each configuration first."""
    ranks = {key(one): one.rank for one in board.entries} if board else {}
    identity = zip(*(table[name].to_pylist() for name in ("study", "config_key", "seed", "trial_key")), strict=True)
    found = sorted(
        (ranks.get((study, config), len(ranks) + 1), seed, trial, place)
        for place, ((study, config, seed, trial), score) in enumerate(
            zip(identity, table[_TOPIC_SCORE].to_pylist(), strict=True)
        )
        if score is not None
    )[:_TOPIC_COURSES]
    methods = _methods(table)
    names = [
        f"{f'#{rank} ' if rank <= len(ranks) else ''}{methods[place] or ''} {trial} seed {seed}".strip()
        for rank, seed, trial, place in found
    ]
    return dict(zip(names, [place for *_, place in found], strict=True))


def _importance(trials: Trials) -> tuple[Importance | None, str]:
    try:
        return importance(trials), ""
    except UserError as error:
        return None, str(error)


def _largest(one: Effect) -> tuple[float, str]:
    """The sort key that puts the largest difference first."""
    return -max((abs(each.estimate.mean) for each in one.differences if each.estimate), default=0.0), one.key


def _interactions(trials: Trials, effects: Sequence[Effect]) -> list[Interaction]:
    """Interactions of the first pairs of parameters with few values; pairs that no trial has together are left out."""
    keys = [one.key for one in effects if len(one.levels) <= MOST_LEVELS and not trials.goes_with_data(one.key)]
    found = [interaction(trials, *pair) for pair in list(combinations(keys, 2))[:_PAIRS]]
    return [one for one in found if one.refusal or one.cells]
