"""Results opened from Python: `conclus.open`, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.schema import nearest
from core.errors import UserError
from jobs.conclusions import arguments
from jobs.conclusions.frames import Frame, check_frame, framed, of_sheet
from jobs.conclusions.shown import Drawn, Shown
from jobs.present import inputs
from jobs.results.names import METRIC

if TYPE_CHECKING:
    from jobs.analysis.effect import Effect
    from jobs.analysis.importance import Importance
    from jobs.analysis.interaction import Interaction
    from jobs.analysis.trials import Trials
    from jobs.conclusions.clusters import Clusters
    from jobs.conclusions.proposal import NextStudy
    from jobs.conclusions.ranking import Ranking
    from jobs.present.health import JudgedTrials
    from jobs.results.storage import Place

_SLICES = 3
"""Slices of an effect that are shown, as by `conclus effect`."""


def open_results(*paths: str | Path, study: str | Sequence[str] = (), where: str = "") -> Results:
    """Opens results, to ask what the commands answer: `leaderboard`, `effect`, `importance` and the others.

    Each question reads the files anew, so that what a running study has added counts. Remarks on damaged files are
    printed on standard error, as by the commands.

    Args:
        paths: Results folders, `study=…` folders, or single Parquet files; without one, `results`.
        study: The study, or several, to read; by default all.
        where: An expression such as `learning_rate < 1e-3 and method.name == 'cc'`; by default all trials.

    Raises:
        UserError: There are no results, or not of such a study.

    Examples:
        >>> import conclus
        >>> results = conclus.open("results", where="instance_temperature == 0.5")
        >>> results
        results in results of s, where instance_temperature == 0.5
        >>> results.trials(frame="arrow").num_rows
        9
    """
    from jobs.results.layout import folders_of, study_name

    for one in paths:
        arguments.check_path("paths", one, "write a folder of results; several one by one, as 'mine', 'theirs'")
    arguments.check_text("where", where, "write an expression, as 'learning_rate < 1e-3', or leave it out")
    results = Results([str(one) for one in paths or ("results",)], (), where)
    studies = [study] if isinstance(study, str) else study
    if not arguments.are_names(studies):
        there = nearest("", map(study_name, folders_of(results.paths)))
        arguments.wrong("study", study, f"write the name of a study, or a list of names; there are {there}")
    results.studies = [*studies]
    folders_of(results.paths, results.studies)
    return results


class Results:
    """The results in some folders, as `conclus.open` gives them.

    Attributes:
        paths: The folders.
        studies: The studies that are read; none for all.
        where: The expression that selects trials; empty for all.
    """

    def __init__(self, paths: Sequence[str], studies: Sequence[str], where: str) -> None:
        self.paths, self.studies, self.where = list(paths), list(studies), where

    def trials(self, *, frame: Frame = "pandas", history: bool = False) -> Any:
        """The trials, one row each: parameters, scores, status, times.

        Args:
            frame: `pandas`, `polars` or `arrow`: what is returned.
            history: Whether the rows have the column `history` with the scores of all epochs.

        Raises:
            UserError: No trial matches, or the frame's package is not installed.
        """
        check_frame(frame)
        arguments.check_switch("history", history)
        loaded = inputs.rows(self.paths, where=self.where, studies=self.studies, history=history)
        return framed(loaded.table, frame)

    def leaderboard(self, on: str | None = None, mode: str | None = None) -> Drawn[Ranking]:
        """The configurations by their mean over seeds, as `conclus aggregate` ranks them.

        Its tables are `leaderboard` and, over several data sets or metrics, `methods`.

        Args:
            on: What ranks, as `nmi` or `consensus`; after commas others to compare methods by. By default the
                study's own.
            mode: `max` or `min`; by default what is better of the metric.

        Raises:
            UserError: There are no results, none with the metric, or the metric cannot rank them.

        Examples:
            >>> import conclus
            >>> board = conclus.open("results").leaderboard("nmi")
            >>> board.table()[["rank", "optimiser.learning_rate", "nmi_n"]].head(2)
               rank  optimiser.learning_rate  nmi_n
            0     1                   0.0005      3
            1     2                   0.0005      3
        """
        from jobs.conclusions import ranking

        return ranking.shown(ranking.ranked(self.paths, self.where, self.studies, self._wanted(on, mode)))

    def effect(self, parameter: str, on: str | None = None, mode: str | None = None) -> Drawn[Effect]:
        """The effect of one parameter, from trials that are equal in everything else, as `conclus effect` shows it.

        Its tables are `differences`, `values` and `slices`.

        Args:
            parameter: Its name, such as `learning_rate`, or its dotted key.
            on: The score; by default the study's own.
            mode: `max` or `min`; by default what is better of the metric.

        Raises:
            UserError: There is no such parameter, or no trial with the metric.

        Examples:
            >>> import conclus
            >>> effect = conclus.open("results").effect("learning_rate")
            >>> effect.table()[["low", "high", "verdict"]]
                  low    high verdict
            0  0.0001  0.0002  better
            1  0.0002  0.0005  better
            >>> effect.found.mode
            'max'
        """
        from jobs.analysis.effect import effect
        from jobs.present.effect import TABLES, effect_text, machine_sheet

        trials, better = inputs.finished_trials(self.paths, self.studies, self.where, self._wanted(on, mode))
        found = effect(trials, _key("parameter", parameter, trials), better)

        def words(fmt: str, width: int | None) -> str:
            return effect_text(found, fmt, width, _SLICES)

        def draw(kind: str) -> dict[str, Any]:
            from jobs.charts import effect

            if found.refusal:
                raise UserError(found.refusal)
            return effect.draw(found) if kind == "values" else effect.differences(found)

        sheets = {part: lambda part=part: of_sheet(machine_sheet(found, part)) for part in TABLES}
        charts = {kind: lambda kind=kind: draw(kind) for kind in ("values", "differences")}
        return Drawn(found, words, sheets, charts)

    def importance(self, on: str | None = None) -> Drawn[Importance]:
        """Which parameters matter, and how much is luck, as `conclus importance` shows it; its table is `shares`.

        Args:
            on: The score; by default the study's own.

        Raises:
            UserError: The trials are too few or cannot tell parameters apart.

        Examples:
            >>> import conclus
            >>> shares = conclus.open("results").importance().table()
            >>> shares["verdict"][0]
            'matters'
        """
        from jobs.analysis.importance import importance
        from jobs.present.importance import importance_rows, importance_text

        trials, _ = inputs.finished_trials(self.paths, self.studies, self.where, self._wanted(on))
        found = importance(trials)

        def words(fmt: str, width: int | None) -> str:
            return importance_text(found, fmt, width)

        def draw() -> dict[str, Any]:
            from jobs.charts import importance

            return importance.draw(found)

        return Drawn(found, words, {"shares": lambda: of_sheet(importance_rows(found))}, {"shares": draw})

    def interaction(self, first: str, second: str, on: str | None = None) -> Drawn[Interaction]:
        """Whether the effect of one parameter depends on another, as `conclus interaction` shows it.

        Its table is `cells`.

        Args:
            first: The one parameter.
            second: The other.
            on: The score; by default the study's own.

        Raises:
            UserError: There is no such parameter, or no trial with the metric.
        """
        from jobs.analysis.interaction import interaction
        from jobs.present.importance import interaction_rows, interaction_text

        trials, _ = inputs.finished_trials(self.paths, self.studies, self.where, self._wanted(on))
        found = interaction(trials, _key("first", first, trials), _key("second", second, trials))

        def words(fmt: str, width: int | None) -> str:
            return interaction_text(found, fmt, width)

        def draw() -> dict[str, Any]:
            from jobs.charts import heat

            if found.refusal:
                raise UserError(found.refusal)
            return heat.draw(found)

        return Drawn(found, words, {"cells": lambda: of_sheet(interaction_rows(found))}, {"cells": draw})

    def next(self, on: str | None = None, mode: str | None = None, *, margin: float = 0.01) -> NextStudy:
        """The next study that the results propose, as `conclus next` does; `.write("next.yaml")` writes it.

        Its table is `advice`.

        Args:
            on: The score; by default the study's own.
            mode: `max` or `min`; by default what is better of the metric.
            margin: A difference of the metric too small to care about.

        Raises:
            UserError: The results are of several studies, or no parameter varies.
        """
        from jobs.conclusions import proposal

        arguments.check_margin(margin)
        wanted = self._wanted(on, mode)
        path = self._one_path()
        folder = self._one_folder()
        return proposal.shown(*proposal.proposed(path, folder, self.where, wanted, margin))

    def health(self) -> Shown[JudgedTrials]:
        """What is wrong with the trials, and which settings die of what, as `conclus health` shows it.

        Its tables are `trials`, `codes` and `settings`.

        Raises:
            UserError: No trial matches.
        """
        from jobs.analysis import apart
        from jobs.health.courses import COLUMNS, judged
        from jobs.health.settings import settings
        from jobs.present.health import JudgedTrials, health_text, machine_sheet
        from jobs.present.output import warn

        loaded = inputs.rows(self.paths, where=self.where, studies=self.studies, columns=COLUMNS, history=True)
        warn(apart.notes(loaded.table))
        trials = judged(apart.split(loaded.table)[0])
        found = JudgedTrials(trials, settings(trials))

        def words(fmt: str, width: int | None) -> str:
            return health_text(found, fmt, width)

        parts = ("trials", "codes", "settings")
        return Shown(found, words, {part: lambda part=part: of_sheet(machine_sheet(found, part)) for part in parts})

    def clusters(self, trial: str | None = None, *, label_free: bool = False) -> Clusters:
        """The clusters of a trial's samples, as `conclus assign` and `conclus clusters` show them.

        Args:
            trial: The beginning of the trial's key; by default the trial that is best by the study's metric.
            label_free: The best by consensus instead, which uses no labels.

        Raises:
            UserError: The results are of several studies, there is no such trial, or its clusters are not stored.
        """
        from jobs.conclusions.clusters import Clusters
        from jobs.models.choice import choose

        if trial is not None and not arguments.is_name(trial):
            arguments.wrong("trial", trial, 'write the first characters of a key in `.trials()["trial_key"]`')
        arguments.check_switch("label_free", label_free)
        if trial is not None and label_free:
            raise UserError("trial and label_free each name a trial: give one of them.")
        found = choose(self._one_folder(), trial=trial, label_free=label_free)
        return Clusters(found, found.clusters())

    def report(self, out: str | Path = "report.html", on: str | None = None, mode: str | None = None) -> Path:
        """Writes the page of `conclus report`, and returns its path; tables for papers are `conclus report --out …`.

        Args:
            out: The file, which ends in .html.
            on: What ranks; by default the study's own.
            mode: `max` or `min`; by default what is better of the metric.

        Raises:
            UserError: The file ends in something else, or there are no results with the metric.
        """
        from jobs.present.output import made
        from jobs.report import html
        from jobs.report.asked import asked
        from jobs.results.storage import put

        arguments.check_path("out", out, "write the name of a file, as 'report.html'")
        out = Path(out)
        if out.suffix != ".html":
            raise UserError(f"{str(out)!r} should end in .html; `conclus report` writes tables for papers.")
        found = asked(self.paths, self.where, self.studies, self._wanted(on, mode))
        put(out, html.page(found, made()).encode())
        return out

    def _wanted(self, on: str | None, mode: str | None = None) -> tuple[str | None, str | None]:
        """What ranks, and which of its values are better.

        Raises:
            UserError: One of them is no such name.
        """
        from jobs.analysis.scores import metric_name

        if on is not None and not arguments.is_name(on):
            columns = inputs.rows(self.paths, where=self.where, studies=self.studies, columns=()).columns
            there = nearest("", (metric_name(one) for one in columns if one.startswith((METRIC, "health."))))
            arguments.wrong("on", on, f"write the name of a metric, or leave it out; there are {there}")
        if mode is not None:
            arguments.check_choice("mode", mode, ("max", "min"))
        return on, mode

    def _one_path(self) -> str:
        """The single folder of the results.

        Raises:
            UserError: There are several.
        """
        if len(self.paths) > 1:
            raise UserError(f"This is asked of one folder of results: these are {', '.join(self.paths)}.")
        return self.paths[0]

    def _one_folder(self) -> Place:
        """The folder of the one study that is read.

        Raises:
            UserError: There are several, or none.
        """
        from jobs.execution.driver import one_study
        from jobs.results.layout import folders_of, study_name

        path = self._one_path()
        names = [study_name(folder) for folder in folders_of([path], self.studies)]
        if len(names) > 1:
            told = f"conclus.open({path!r}, study={names[0]!r})"
            raise UserError(f"{path} has several studies, {', '.join(names)}: choose one, as {told}")
        return one_study(path, self.studies)

    def __repr__(self) -> str:
        from jobs.present.visible import one_line
        from jobs.results.layout import folders_of, study_name

        names = [study_name(folder) for folder in folders_of(self.paths, self.studies)]
        chosen = f", where {self.where}" if self.where else ""
        return one_line(f"results in {', '.join(self.paths)} of {', '.join(names) or 'no study'}{chosen}")


def _key(name: str, given: str, trials: Trials) -> str:
    """The dotted key of the parameter that an argument names.

    Raises:
        UserError: It names none that varies.
    """
    from jobs.analysis.trials import param_key

    if not arguments.is_name(given):
        arguments.wrong(name, given, f"write the name of a parameter that varies, one of {nearest('', trials.factors)}")
    return param_key(given, trials)
