"""Proposes the next study file from a study's results: `conclus next`."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from core.config import trial as trial_config
from core.config.schema import Mistakes
from core.errors import UserError
from jobs.analysis import data_sets, pareto
from jobs.analysis.pareto import Aims
from jobs.planning import plan as planning
from jobs.results import records
from jobs.results.layout import PLUG_INS, STUDY_JSON, existing
from jobs.results.names import PARAM
from jobs.results.storage import Place
from jobs.study import keys, space, trust, yaml_document
from jobs.study import study as studies
from jobs.study.plug_ins import plug_in_files
from jobs.study.space import Range, Values

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.analysis.next_step import Advice

_POINTS = 5


@dataclass(frozen=True)
class Proposal:
    """A study that is ready to be written.

    Attributes:
        text: The study file.
        advice: The advice for each parameter, in values that the parameter accepts.
        trials: Number of trials.
        missing: Number of trials without a finished row.
        note: Why `missing` is unknown; empty if it is known.
        foreign: The plug-in files that it names and that are in results.
    """

    text: str
    advice: Sequence[Advice]
    trials: int
    missing: int
    note: str
    foreign: Sequence[Path]


def base_study(folder: Place) -> studies.Study:
    """The study from which the results of a folder come, with the metric that ranked it where its file named none.

    Raises:
        UserError: Its `_study.json` is missing or cannot be read.
    """
    file = existing(folder, STUDY_JSON)
    try:
        record = records.read(file, {"source": (dict, None), "select": records.STUDY["select"]})
        source = record.get("source")
    except FileNotFoundError as error:
        raise UserError(
            f"{file} is missing, so there is no study to continue from. Imported rows have none."
        ) from error
    except records.RecordError as error:
        raise UserError(f"{error}: restore it from the machine that ran the study.") from error
    if source is None:
        raise UserError(f"{file} has no trials, so there is no study to continue from. Imported rows have none.")
    # Its paths are already absolute, so the base folder does not matter.
    study = studies.parse(yaml_document.write(_here(source, folder)), str(file), Path())
    ranked_by = (record.get("select") or {}).get("metric")
    if study.metric_written or not ranked_by:
        return study
    return replace(study, select=replace(study.select, metric=ranked_by))  # The consensus of data without labels.


def _here(value: Any, folder: Place) -> Any:
    """The study with the copies of plug-ins beside the results, where the files that it names are not on this machine.

    A copy lies in results, so it runs only if the user names it.
    """
    if isinstance(value, dict):
        return {key: _here(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [_here(one, folder) for one in value]
    if not isinstance(value, str) or not value.endswith(".py") or Path(value).exists():
        return value
    copy = existing(folder, PLUG_INS) / Path(value).name
    return str(copy.absolute()) if isinstance(copy, Path) and copy.is_file() else value


def propose(study: studies.Study, advice: Sequence[Advice], results: str, most_seeds: int) -> Proposal:
    """The next study. It keeps the name, so trials that are already done count.

    Args:
        study: The study that the results come from.
        advice: The advice for its parameters.
        results: The folder of results, to find trials that are done.
        most_seeds: The most seeds to propose, even if more would be needed.

    Raises:
        UserError: The proposed study is not valid, which would be a bug of conclus.
    """
    accepted = [_accepted(study, one) for one in advice if _trial_of(study, one.key)]
    trial = deepcopy(dict(study.source["trial"]))
    ranges = _advised(study, accepted, trial)
    if any(one.kind == "fix" and one.key == "method.name" for one in accepted):
        trial = _drop_unused(trial, ranges)
    advice = [one for one in accepted if not _is_gone(one.key, study, ranges)]
    content: dict[str, Any] = {
        "study": study.name,
        "trial": trial,
        "space": space.written(ranges),
        "seeds": _seeds(study.seeds, advice, most_seeds),
        "select": asdict(study.select),
        "resources": asdict(study.resources),
        "search": _search(study, ranges),
    }
    text = "".join(f"# {line}\n" for line in ["Proposed by conclus next from the results:", *map(sentence, advice)])
    text += yaml_document.write(content)
    return _counted(text, studies.parse(text, "the next study", Path()), advice, results)


def on_constraints(table: pa.Table, aims: Aims, advised: Collection[str]) -> list[str]:
    """A sentence on the constraints of the study, which advice on one metric does not know, if any are broken.

    Args:
        table: The rows of the study, with its parameters and `aims.columns`.
        aims: What the study asks for.
        advised: The parameters that the advice is on.
    """
    by_value: dict[str, dict[Any, list[bool]]] = {}
    for _, rows in data_sets.split(table):
        standings = pareto.judge(rows, replace(aims, metrics={}))
        keys = zip(rows["study"].to_pylist(), rows["config_key"].to_pylist(), strict=True)
        broken = [standings[key].feasible is False for key in keys]
        for name in (one for one in rows.column_names if one.removeprefix(PARAM) in advised):
            found = by_value.setdefault(name.removeprefix(PARAM).removesuffix(".name"), {})
            for value, is_broken in zip(rows[name].to_pylist(), broken, strict=True):
                found.setdefault(value, []).append(is_broken)
    alone = {
        key: [
            f"{value:.4g}" if isinstance(value, float) else str(value)
            for value, broken in found.items()
            if value is not None and all(broken)
        ]
        for key, found in by_value.items()
        if not all(all(broken) for broken in found.values())
    }
    told = "; ".join(f"{key} {', '.join(values)}" for key, values in alone.items() if values)
    if not told and not any(any(broken) for found in by_value.values() for broken in found.values()):
        return []
    limits = ", ".join(f"{name} {pareto.bounds(one)}" for name, one in aims.limits.items())
    said = f"This advice does not know the study's constraints ({limits})"
    return [f"{said}; no configuration that was run keeps them with: {told}." if told else f"{said}."]


def sentence(one: Advice) -> str:
    """The advice for a parameter and its reason, as one sentence."""
    shown = ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in one.values)
    what = {
        "extend": f"extend to {shown}",
        "refine": f"refine to {shown}",
        "fix": f"fix at {shown}",
        "noisy": f"more seeds over {shown}",
        "open": f"go on with {shown}",
        "keep": "keep",
    }[one.kind]
    return f"{one.key}: {what}; {one.why}."


# Values


def _accepted(study: studies.Study, one: Advice) -> Advice:
    """The advice with values that the parameter accepts; if no new value is allowed, the advice changes."""
    if [key for _, key, _, _ in space.walk(study.space)].count(one.key) > 1:
        return replace(one, kind="keep", why="it has a range of its own for several values of another parameter")
    native = [value for value in (_native(study, one, value) for value in one.values) if value is not None]
    values = tuple(value for i, value in enumerate(native) if value not in native[:i])
    if one.kind == "extend" and not one.is_range and len(values) == 1:
        return replace(one, kind="fix", values=values, why=f"{one.why}, and no value beyond it is allowed")
    if one.is_range and len(values) < 2 and one.kind != "fix":
        return replace(one, kind="keep", values=values, why=f"{one.why}, and no value beyond it is allowed")
    return replace(one, values=tuple(sorted(values)) if _sortable(values) else values)


def _sortable(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _native(study: studies.Study, one: Advice, value: Any) -> Any:
    """The value as written in a study file, new values rounded to two digits; None if the parameter rejects it."""
    return next((found for found in _spellings(value) if _is_allowed(study, one.key, found)), None)


def _spellings(value: Any) -> list[Any]:
    if isinstance(value, float):
        tidy = float(f"{value:.2g}")
        near = tidy if not math.isclose(value, float(f"{value:.6g}"), rel_tol=1e-9) else float(f"{value:.6g}")
        return [int(near), near] if near.is_integer() else [near, round(near)]
    if isinstance(value, str) and value.startswith("["):
        return [json.loads(value)]
    return [value]


def _is_allowed(study: studies.Study, key: str, value: Any) -> bool:
    mistakes = Mistakes()
    trial = deepcopy(dict(_trial_of(study, key) or study.trial))
    trial_config.read_trial(keys.overlay(trial, {key: value}), (), mistakes)
    # Mistakes at other keys do not count: options of the base's plug-in are wrong for another plug-in's name.
    return not [one for one in mistakes.found if ".".join(one.place) == key]


def _trial_of(study: studies.Study, key: str) -> Mapping[str, Any] | None:
    """A trial of the study that has the key: its base, or one with the value in whose space the key is; else None."""
    trials = (
        keys.overlay(study.trial, chosen)
        for _, own, _, chosen in space.walk(study.space)
        if key.removesuffix(".name") == own.removesuffix(".name")
    )
    for trial in (study.trial, *trials):
        whole = trial_config.to_mapping(trial_config.read_whole(trial, (), Mistakes()))
        if key in trial_config.flatten(whole):
            return whole
    return None


# The document


def _advised(study: studies.Study, advice: Sequence[Advice], trial: dict[str, Any]) -> dict[str, Range]:
    """The ranges of the study, replaced where there is advice; values that are fixed go into the trial."""
    listed = study.search.name == "grid"
    ranges = _replaced(study.space, {one.key: one for one in advice}, listed=listed)
    varied = {key for _, key, _, _ in space.walk(study.space)}
    for one in advice:
        field = one.key.removesuffix(".name")
        if field in ranges and field != one.key:
            _choose(trial, ranges, field, one)
        elif one.kind == "fix" and (one.key in ranges or one.key not in varied):
            ranges.pop(one.key, None)
            _fix(trial, one.key, one.values[0])
        elif not {one.key, field} & varied and not any(one.key.startswith(f"{key}.") for key in varied):
            ranges[one.key] = space.read_range(_range(one, listed=listed))
    return ranges


def _choose(trial: dict[str, Any], ranges: dict[str, Range], field: str, one: Advice) -> None:
    """Sets a plug-in of which one choice is left; the space of that choice is then the study's."""
    if one.kind == "fix" and len(ranges[field].examples) == 1:
        chosen = ranges.pop(field)
        trial[field] = chosen.examples[0]
        ranges |= space.branch(chosen, chosen.examples[0])


def _replaced(ranges: Mapping[str, Range], advice: Mapping[str, Advice], *, listed: bool) -> dict[str, Range]:
    """Ranges and those of their values' spaces with the advised values."""
    found: dict[str, Range] = {}
    for key, one in ranges.items():
        found[key] = one
        if isinstance(one, Values):
            branches = tuple(_replaced(space.branch(one, value), advice, listed=listed) for value in one.values)
            found[key] = Values(one.values, branches if one.branches else ())
        named, own = advice.get(f"{key}.name"), advice.get(key)
        if named and named.kind != "keep":
            found[key] = _named(found[key], named)
        elif own and own.kind == "fix":
            found[key] = Values(own.values[:1])
        elif own and own.kind != "keep":
            found[key] = space.read_range(_range(own, listed=listed))
    return found


def _named(one: Range, advice: Advice) -> Range:
    """The choices of a plug-in that have one of the advised names, which results have without folders."""
    names = {str(name).replace("_", "-") for name in advice.values}
    kept = [value for value in one.examples if PurePath(space.label(value)).name.replace("_", "-") in names]
    return Values(tuple(kept), tuple(space.branch(one, value) for value in kept)) if kept else one


def _is_gone(key: str, study: studies.Study, ranges: Mapping[str, Range]) -> bool:
    """Whether a key was varied only for a choice that the next study does not have."""
    before, now = ({own for _, own, _, _ in space.walk(one)} for one in (study.space, ranges))
    return key in before - now and key not in study.space


def _range(one: Advice, *, listed: bool) -> dict[str, Any]:
    if not one.is_range:
        return {"grid": list(one.values)}
    low, high = one.values
    if not listed:
        whole = isinstance(low, int) and isinstance(high, int)
        return {"log_uniform" if one.is_log else "int" if whole else "uniform": [low, high]}
    shares = [i / (_POINTS - 1) for i in range(_POINTS)]
    points = [low * (high / low) ** share if one.is_log else low + (high - low) * share for share in shares]
    whole = isinstance(low, int) and isinstance(high, int)
    return {"grid": sorted({round(point) if whole else float(f"{point:.3g}") for point in points})}


def _fix(trial: dict[str, Any], key: str, value: Any) -> None:
    """Sets the value in the trial; for a plug-in's name, drops options that the new plug-in does not know."""
    head, _, last = key.rpartition(".")
    keys.put(trial, key, value)
    if last != "name":
        return
    mistakes = Mistakes()
    trial_config.read_trial(trial, (), mistakes)
    for place in {one.place for one in mistakes.found if one.place[:-1] == (head,)}:
        trial[head].pop(place[-1], None)


def _drop_unused(trial: dict[str, Any], ranges: dict[str, Range]) -> dict[str, Any]:
    """Leaves out what the one method that is left does not use; returns the trial."""
    names = trial_config.unused(keys.get(trial, "method.name") or trial["method"])
    for key in [one for one in ranges if {one, one.partition(".")[0]} & {*names}]:
        del ranges[key]
    return trial_config.without(trial, names)


def _seeds(seeds: Sequence[int], advice: Sequence[Advice], most: int) -> list[int]:
    wanted = min(most, max([len(seeds), *(one.seeds for one in advice if one.kind == "noisy")]))
    fresh = range(max(seeds) + 1, max(seeds) + 1 + max(0, wanted - len(seeds)))
    return [*seeds, *fresh]


def _search(study: studies.Study, ranges: Mapping[str, Range]) -> dict[str, Any]:
    listed = all(isinstance(one, Values) for _, _, one, _ in space.walk(ranges))
    search = {key: value for key, value in asdict(study.search).items() if value is not None}
    return {"name": "grid"} if listed else search


def _counted(text: str, study: studies.Study, advice: Sequence[Advice], results: str) -> Proposal:
    """The proposal with its numbers of trials; if the data cannot be read here, all trials count as missing."""
    foreign = [file for file in plug_in_files(study) if trust.lies_in_results(file)]
    try:
        plan = planning.make(study)
    except UserError as error:
        cells = study.search.trials or math.prod(space.sizes(study.space))
        count = cells * len(study.seeds)
        return Proposal(
            text, advice, count, count, f"Trials that are already done cannot be counted here: {error}", foreign
        )
    return Proposal(text, advice, len(plan.trials), len(plan.missing(results)), "", foreign)
