"""Studies in stages, each with a gate to the next one: `stages:` in a study file.

Every stage is a study of its own, called `<study>.<stage>`, with its own folder of results. So everything that works
on a study (its lock, its plan, resuming, status, next, confirm, aggregate) also works on a stage. The column `study` of
the rows contains the stage. A trial that two stages share is run in both. Each stage has its own budget.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.config import trial as trial_config
from core.config.schema import Mistakes, Place
from core.errors import UserError, counted
from jobs.analysis.scores import CONSENSUS, LABEL_FREE, direction, impossible
from jobs.planning import plan as planning
from jobs.planning.known import known
from jobs.study import keys, study
from jobs.study.plug_ins import every_file
from jobs.study.sections import Select
from jobs.study.study import STAGES, Reader, Study
from jobs.study.yaml_document import Document

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.analysis.gate import Verdict

KEYS = {
    "name": "the stage's own name",
    "from": "the stage's start: `base` is the file's trial, `best` the best configuration of the stage before",
    "trial": "keys of the trial that this stage sets",
    "space": "the parameters that this stage varies",
    "seeds": "the seeds of this stage; by default the file's",
    "search": "the search of this stage; by default the file's",
    "continue_if": "the condition for the next stage to start",
}
STARTS = ("base", "best")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The condition for the next stage to start: exactly one of `improves`, `at_least` and `at_most`.

    Attributes:
        metric: the metric of the configurations; by default the study's own.
        improves: `interval`: the best is better than the best of the stage before, by more than the interval.
        at_least: a configuration's true value is at least this: its lower 95 % bound, corrected for the number of
            configurations, is.
        at_most: a configuration's true value is at most this: its upper bound, corrected in the same way, is.
        mean: whether `at_least` and `at_most` look at the largest (smallest) mean instead, which is partly luck.
    """

    metric: str | None = None
    improves: Literal["interval"] | None = None
    at_least: float | None = None
    at_most: float | None = None
    mean: bool = False

    @property
    def n_conditions(self) -> int:
        """Number of conditions that are set."""
        return sum(one is not None for one in (self.improves, self.at_least, self.at_most))

    @property
    def conditions(self) -> list[str]:
        """The conditions that are set, in words."""
        words = ["improves by its interval"] if self.improves else []
        is_ = "has a mean of" if self.mean else "is"
        words += [] if self.at_least is None else [f"{is_} at least {self.at_least:g}"]
        return words + ([] if self.at_most is None else [f"{is_} at most {self.at_most:g}"])


@dataclass(frozen=True)
class Stage:
    """One stage of a study file.

    Attributes:
        name: its own name; empty for a study without stages.
        study: the stage as a study; if `from_best`, it has the trial of the stage before until that one has results.
        gate: the condition for the next stage to start.
        from_best: whether it starts from the best configuration of the stage before.
        entry: the stage as written in the file.
    """

    name: str
    study: Study
    gate: Gate | None = None
    from_best: bool = False
    entry: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class StagedStudy:
    """A study file: its stages in order; a file without stages counts as one stage."""

    stages: Sequence[Stage]
    _reader: _Reader | None = None

    def plug_in_files(self) -> list[Path]:
        """The user's plug-in files that any stage may load, trackers too."""
        return sorted({file for one in self.stages for file in every_file(one.study)})

    def at(self, place: int, results: str) -> Study:
        """The study of a stage; if it starts from the best of the stage before, with that configuration as its trial.

        Raises:
            UserError: the stage before has no results yet, or this one cannot start from its best configuration.
        """
        stage = self.stages[place]
        if not stage.from_best or self._reader is None:
            return stage.study
        best = _best(self.at(place - 1, results), results)
        start = trial_config.without(trial_config.to_mapping(best), trial_config.unused(best.method.name))
        return self._reader.stage(place, stage.entry, start)

    def gates(self, place: int) -> dict[str, str | None]:
        """The metrics by which gates compare a stage's trials, by their key in the file; None is the study's own."""
        near = [(at, self.stages[at].gate) for at in (place, place + 1) if at < len(self.stages)]
        return {
            f"{STAGES}.{at}.continue_if.metric": gate.metric
            for at, gate in near
            if gate is not None and (at == place or gate.improves)
        }

    def verdict(self, place: int, results: str) -> Verdict | None:
        """Whether the study may continue after a stage; None if the stage has no gate.

        Raises:
            UserError: no trial has the metric, or it cannot be compared between the two stages.
        """
        gate = self.stages[place].gate
        if gate is None:
            return None
        from jobs.analysis import data_sets
        from jobs.analysis.gate import of_all
        from jobs.analysis.leaderboard import wanted_columns
        from jobs.analysis.pareto import Aims
        from jobs.results.reader import load, take

        select = self.stages[place].study.select
        metric, aims = gate.metric or select.metric, Aims.of(asdict(select))
        now = self._planned(place, results)
        wanted = self._planned(place - 1, results) | now if gate.improves else now
        studies = sorted({name for name, _ in wanted})
        table = load([results], columns=wanted_columns(metric, aims), studies=studies).table
        # Others may be of earlier plug-ins, or of what the data were before.
        cells = zip(table["study"].to_pylist(), table["config_key"].to_pylist(), strict=True)
        table = take(table, [row for row, cell in enumerate(cells) if cell in wanted])
        return of_all([(name, self._met(gate, place, part, now)) for name, part in data_sets.split(table)])

    def _met(self, gate: Gate, place: int, table: pa.Table, now: Collection[tuple[str, str]]) -> Verdict:
        """Whether the trials of one data set meet the gate; `now` are the configurations of the stage itself."""
        from jobs.analysis.gate import improves, reaches, with_lost
        from jobs.analysis.leaderboard import leaderboard
        from jobs.analysis.pareto import Aims
        from jobs.analysis.scores import default_mode

        own = self.stages[place].study
        metric = gate.metric or own.select.metric
        if gate.improves and metric == own.select.metric:
            mode = own.select.mode
        elif gate.improves:
            mode = default_mode(metric, keys.methods(own.trial, own.space))
        else:
            mode = "max" if gate.at_most is None else "min"
        threshold = gate.at_most if gate.at_least is None else gate.at_least
        board = leaderboard(table, metric, mode, Aims.of(asdict(own.select)))
        # What breaks a constraint is never the best, so it opens no gate.
        barred = {(one.study, one.config_key) for one in board.infeasible}
        values, n_lost = with_lost(table, board.metric, maximise=mode == "max", threshold=threshold)
        kept = {key: cell for key, cell in values.items() if key not in barred}
        ones = [cell for key, cell in kept.items() if key in now]
        if gate.improves:
            others = [cell for key, cell in kept.items() if key not in now]
            found = improves(metric, ones, others, maximise=mode == "max")
        else:
            found = reaches(metric, ones, at_least=gate.at_least, at_most=gate.at_most, of_mean=gate.mean)
        told = f" ({counted(n_lost, 'trial')} whose training failed {'counts' if n_lost == 1 else 'count'} as worst)"
        return replace(found, why=found.why + told) if n_lost else found

    def _planned(self, place: int, results: str) -> set[tuple[str, str]]:
        """The study and the key of each configuration of a stage."""
        name = self.stages[place].study.name
        return {(name, one.config_key) for one in known(planning.make(self.at(place, results)), results).trials}


def load(path: str | Path, overrides: Sequence[str] = ()) -> StagedStudy:
    """Reads and checks a study file with or without stages; `dotted.key=value` overrides apply to every stage.

    Raises:
        UserError: one line for each mistake: file, line, key, what is wrong, what would be right.
    """
    content, folder = study.document(path), Path(path).parent
    if not isinstance(content.value, dict) or STAGES not in content.value:
        return StagedStudy((Stage("", Reader(content, folder).read(overrides)),))
    return _Reader(content, folder, overrides).read()


class _Reader:
    """Reads a study file with stages; each stage becomes a document that keeps the line numbers of the file."""

    def __init__(self, content: Document, folder: Path, overrides: Sequence[str]) -> None:
        self._content, self._folder, self._overrides = content, folder, overrides
        self._common = {key: value for key, value in content.value.items() if key != STAGES}
        self._mistakes = Mistakes()
        self._lines: list[str] = []

    def read(self) -> StagedStudy:
        """All stages.

        Raises:
            UserError: the file has mistakes; the message lists all of them.
        """
        entries = self._entries()
        if self._common.get("space"):
            self._mistakes.add(("space",), "belongs to one of the stages")
        gates = [self._gate(place, entry) for place, entry in enumerate(entries)]
        common = Reader(self._document(self._common), self._folder)
        base = self._attempt(lambda: common.read(self._overrides, needs_data=False))
        stages = self._stages(entries, gates, base.named) if base else []
        if lines := [self._content.told(one.place, one.text) for one in self._mistakes.found] + self._lines:
            raise UserError(*dict.fromkeys(lines))
        return StagedStudy(stages, self)

    def _stages(
        self, entries: Sequence[dict[str, Any]], gates: Sequence[Gate | None], base: Mapping[str, Any]
    ) -> list[Stage]:
        stages: list[Stage] = []
        for place, (entry, gate) in enumerate(zip(entries, gates, strict=True)):
            from_best = entry.get("from") == "best"
            start = stages[-1].study.trial if from_best and stages else base
            if from_best and stages and any(key.partition(".")[0] == "data" for key in stages[-1].study.space):
                why = "the stage before varies its data, and no score is compared across data sets: it has no one best"
                self._mistakes.add((STAGES, str(place), "from"), why)
            made = self._attempt(functools.partial(self.stage, place, entry, start))
            if made and gate:
                self._check_gate((STAGES, str(place), "continue_if"), gate, made)
            if made:
                stages.append(Stage(entry["name"], made, gate, from_best, entry))
        return stages

    def _check_gate(self, where: Place, gate: Gate, stage: Study) -> None:
        metric = gate.metric or stage.select.metric
        known = metric == stage.select.metric or direction(metric, keys.methods(stage.trial, stage.space))
        if gate.improves and not known:
            text = f"nothing declares whether larger values of {metric!r} are better: give at_least or at_most"
            self._mistakes.add((*where, "metric"), text)
        sides = [one if isinstance(one, float) else None for one in (gate.at_least, gate.at_most)]
        if said := impossible(metric, *sides):
            self._mistakes.add(where, said)

    def stage(self, place: int, entry: Mapping[str, Any], start: Mapping[str, Any]) -> Study:
        """The study of one stage that starts from the trial `start`.

        Raises:
            UserError: the stage has mistakes.
        """
        over = trial_config.flatten(own) if isinstance(own := entry.get("trial"), dict) else {}
        names = {key: value for key, value in over.items() if key.removesuffix(".name") in _PLUG_INS}
        renamed = deepcopy(dict(start))
        for key in sorted(names, key=lambda one: one.removesuffix(".name").count(".")):
            keys.put(renamed, key.removesuffix(".name"), names[key])
        content = {key: value for key, value in self._common.items() if key not in {"study", "trial", "space"}}
        content["study"] = self._study_name(entry)
        # A plug-in's new name drops the old plug-in's options; this first reading finds the new plug-in's options.
        document = self._document({**content, "trial": renamed}, place)
        base = Reader(document, self._folder).read((), needs_data=False)
        trial, known, origins = base.trial, deepcopy(dict(base.named)), dict[Place, str]()
        for key, value in over.items():
            if key not in names:
                dotted, there = self._key(place, key, trial), (STAGES, str(place), "trial", *key.split("."))
                keys.put(known, dotted, value)
                origins["trial", *dotted.split(".")] = self._content.origin(there)
        content |= {key: entry[key] for key in ("seeds", "search") if key in entry}
        content |= {"trial": known, "space": entry.get("space") or {}}
        overrides = [one for one in self._overrides if one.partition("=")[0] != "study"]
        return Reader(self._document(content, place, origins), self._folder).read(overrides)

    def _study_name(self, entry: Mapping[str, Any]) -> str:
        given = [value for key, _, value in (one.partition("=") for one in self._overrides) if key == "study"]
        return f"{[self._common.get('study'), *given][-1]}.{entry['name']}"

    def _key(self, place: int, key: str, trial: Mapping[str, Any]) -> str:
        found = keys.matches(key, trial)
        if len(found) == 1 or "." in key:
            return found[0] if found else key
        where = (STAGES, str(place), "trial", key)
        raise UserError(self._content.told(where, keys.which(key, found, trial)))

    def _document(
        self, value: Mapping[str, Any], stage: int | None = None, origins: Mapping[Place, str] | None = None
    ) -> Document:
        """A study document from the file's values; keys of a stage get the line numbers of its entry."""
        lines = dict(self._content.origins)
        if stage is not None:
            head = (STAGES, str(stage))
            lines[()] = self._content.origin(head)
            lines |= {
                where[2:]: line for where, line in self._content.origins.items() if where[:2] == head and where[2:]
            }
        return Document(deepcopy(dict(value)), lines | dict(origins or {}))

    def _attempt(self, read: Callable[[], Study]) -> Study | None:
        try:
            return read()
        except UserError as error:
            self._lines += error.lines

    def _entries(self) -> list[dict[str, Any]]:
        """The stages as written, each with a name; mistakes are recorded."""
        written = self._content.value[STAGES]
        if not isinstance(written, list) or not written:
            self._mistakes.add((STAGES,), "a list of stages is needed, each with a name")
            return []
        entries: list[dict[str, Any]] = []
        for place, entry in enumerate(written):
            where = (STAGES, str(place))
            if not isinstance(entry, dict):
                self._mistakes.add(where, f"{entry!r} is wrong: a mapping with a name is needed")
                entry = {"name": f"stage-{place + 1}"}  # noqa: PLW2901 (the wrong entry is not used)
            for key in entry:
                if key not in KEYS:
                    self._mistakes.unknown((*where, key), KEYS)
            self._check_start(where, entry)
            entries.append({**entry, "name": self._own_name(where, entry.get("name"), entries)})
        return entries

    def _own_name(self, where: Place, name: Any, others: Sequence[Mapping[str, Any]]) -> str:
        if not isinstance(name, str) or not study.NAME.fullmatch(name):
            self._mistakes.add((*where, "name"), f"{name!r} is wrong: a name has letters, digits, '.', '_' and '-'")
        elif name in [one["name"] for one in others]:
            self._mistakes.add((*where, "name"), f"{name!r} is used twice: each stage needs its own name")
        return str(name)

    def _check_start(self, where: Place, entry: Mapping[str, Any]) -> None:
        start = entry.get("from", "base")
        if start not in STARTS:
            self._mistakes.add((*where, "from"), f"{start!r} is wrong: base (the file's trial) or best is needed")
        if start == "best" and where[1] == "0":
            self._mistakes.add((*where, "from"), "there is no stage before the first")
        if not isinstance(trial := entry.get("trial") or {}, dict):
            self._mistakes.add((*where, "trial"), f"{trial!r} is wrong: a mapping of keys to values is needed")

    def _gate(self, place: int, entry: Mapping[str, Any]) -> Gate | None:
        if entry.get("continue_if") is None:
            return None
        where = (STAGES, str(place), "continue_if")
        gate = trial_config.read_section(Gate, entry["continue_if"], where, self._mistakes)
        if gate.n_conditions != 1 and isinstance(entry["continue_if"], dict):
            self._mistakes.add(where, "exactly one of improves: interval, at_least and at_most is needed")
        if gate.mean and gate.improves:
            self._mistakes.add((*where, "mean"), "it belongs to at_least and at_most, and improves compares intervals")
        if gate.improves and place == 0:
            self._mistakes.add((*where, "improves"), "there is no stage before the first")
        select = self._common.get("select")
        metric = gate.metric or (select.get("metric") if isinstance(select, dict) else None)
        if metric == CONSENSUS:
            self._mistakes.add(where, f"the consensus is a rank within one stage: give a metric, such as {LABEL_FREE}")
        return gate


_PLUG_INS = {key for _, key in keys.plug_in_fields()}


def _selected(stage: Study, results: str) -> Select:
    """The selection of a stage; without a metric in its file, a stage without labels was selected by consensus."""
    from jobs.present.chosen import chosen
    from jobs.present.output import warn

    if stage.metric_written:
        return stage.select
    ran = chosen([results], [stage.name])
    warn(ran.notes)
    return replace(stage.select, metric=CONSENSUS) if ran.metric == CONSENSUS else stage.select


def _best(stage: Study, results: str) -> trial_config.TrialConfig:
    """The best configuration of a stage by its metric."""
    from jobs.analysis.leaderboard import leaderboard, wanted_columns
    from jobs.analysis.pareto import Aims
    from jobs.results.reader import load, take

    select = _selected(stage, results)
    aims = Aims.of(asdict(select))
    table = load([results], columns=wanted_columns(select.metric, aims), studies=[stage.name]).table
    configs = {one.config_key: one.config for one in known(planning.make(stage), results).trials}
    # Others may be of earlier plug-ins, or of what the data were before.
    table = take(table, [row for row, key in enumerate(table["config_key"].to_pylist()) if key in configs])
    ranked = leaderboard(table, select.metric, select.mode, aims).entries if table.num_rows else ()
    found = next((configs[one.config_key] for one in ranked), None)
    if found is None:
        raise UserError(f"{stage.name} has no results for its planned configurations: run it first")
    return found
