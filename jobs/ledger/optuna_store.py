"""Optuna's studies, from its SQLite database or its journal of JSON lines, as runs.

Sources: `optuna/storages/_rdb/models.py`, `optuna/storages/journal/_storage.py` of Optuna 5.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.ledger.databases import is_database, opened, rows
from jobs.ledger.runs import LARGEST, StoredRun, is_outcome

_STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
"""By their numbers in a journal."""
_NAMES = "study:metric_names"
_VALUE = "value"


def runs(path: Path) -> list[StoredRun]:
    """The trials of all studies of a store.

    Raises:
        UserError: it is neither a database nor a journal of Optuna.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give Optuna's database (.db) or journal (.log).")
    return _of_database(path) if is_database(path) else _of_journal(path)


def _of_database(path: Path) -> list[StoredRun]:
    with opened(path) as database:
        found: dict[int, StoredRun] = {}
        named = _metric_names(rows(database, "SELECT study_id, key, value_json FROM study_system_attributes"))
        modes: dict[int, list[Any]] = defaultdict(list)
        for study, mode in rows(
            database, "SELECT study_id, direction FROM study_directions ORDER BY study_id, objective"
        ):
            modes[study].append(mode)
        study_of: dict[int, int] = {}
        about = (
            "SELECT trial_id, number, study_id, study_name, state, datetime_start, datetime_complete "
            "FROM trials JOIN studies USING (study_id) ORDER BY trial_id"
        )
        for key, number, study, name, state, start, end in rows(database, about):
            found[key] = _run(str(number), name, state, start, end)
            _set_goals(found[key], named.get(study, ()), modes[study])
            study_of[key] = study
        for key, name, value, distribution in rows(
            database, "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params"
        ):
            found[key].params[name] = _external(value, _json(distribution))
        for key, objective, value in rows(database, "SELECT trial_id, objective, value FROM trial_values"):
            if value is not None and found[key].is_final:
                found[key].metrics[_named(named.get(study_of[key], ()), objective)] = value
        steps = "SELECT trial_id, step, intermediate_value FROM trial_intermediate_values ORDER BY step"
        for key, step, value in rows(database, steps):
            if value is not None:
                found[key].history.append((step, 0.0, _named(named.get(study_of[key], ()), 0), value))
        for key, name, value in rows(database, "SELECT trial_id, key, value_json FROM trial_user_attributes"):
            _take_attribute(found[key], name, _json(value))
    return list(found.values())


def _of_journal(path: Path) -> list[StoredRun]:
    journal = _Journal()
    try:
        with path.open("rb") as file:
            lines = file.read(LARGEST + 1).split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read: {error.strerror}.") from error
    if sum(map(len, lines)) + len(lines) > LARGEST + 1:
        raise UserError(f"{path} has more than {LARGEST >> 20} MiB.")
    said = [_json(line) for line in lines if line.strip()]
    if not said or not isinstance(said[0], dict) or "op_code" not in said[0]:
        raise UserError(f"{path} is neither a database nor a journal of Optuna.")
    whole = [one for one in said if isinstance(one, dict)]  # The last line may be cut.
    for one in sorted(whole, key=lambda one: one.get("op_code") != 3):  # Names are often given after the trials.
        journal.take(one)
    return journal.runs()


class _Journal:
    """What a journal tells, line by line; studies and trials are numbered in the order of their making."""

    def __init__(self) -> None:
        self._studies: list[str] = []
        self._names: dict[int, Sequence[str]] = {}
        self._modes: list[Sequence[Any]] = []
        self._trials: list[tuple[int, StoredRun, dict[str, Any]]] = []
        self._counts = defaultdict[int, int](int)

    def take(self, said: dict[str, Any]) -> None:
        """Takes in one line; what it does not know it leaves out."""
        code, place = said.get("op_code"), said.get("trial_id")
        if code == 0:
            self._studies.append(str(said.get("study_name", "")))
            self._modes.append(said.get("directions") or ())
        elif code == 3:
            self._names |= _metric_names((said["study_id"], key, one) for key, one in said["system_attr"].items())
        elif code == 4:
            self._begin(said)
        elif code in {5, 6, 7, 8} and isinstance(place, int) and 0 <= place < len(self._trials):
            self._change(code, *self._trials[place], said)

    def runs(self) -> list[StoredRun]:
        """The trials so far."""
        for study, run, attributes in self._trials:
            modes = self._modes[study] if study < len(self._modes) else ()
            _set_goals(run, self._names.get(study, ()), modes)
            for name, value in attributes.items():  # The names of objectives and parameters are theirs alone.
                _take_attribute(run, name, value)
        return [run for _, run, _ in self._trials]

    def _begin(self, said: dict[str, Any]) -> None:
        study = said["study_id"]
        name = self._studies[study] if study < len(self._studies) else ""
        state = _STATES[said["state"]] if "state" in said else "RUNNING"
        run = _run(str(self._counts[study]), name, state, said.get("datetime_start"), said.get("datetime_complete"))
        self._counts[study] += 1
        self._trials.append((study, run, {}))

    def _change(self, code: int, study: int, run: StoredRun, attributes: dict[str, Any], said: dict[str, Any]) -> None:
        names = self._names.get(study, ())
        if code == 5:
            run.params[said["param_name"]] = _external(said["param_value_internal"], _json(said["distribution"]))
        elif code == 6:
            start = said.get("datetime_start")
            ended = _run(run.id, run.name, _STATES[said["state"]], start, said.get("datetime_complete"))
            run.status, run.is_final = ended.status, ended.is_final
            run.started = ended.started if start else run.started
            end = _seconds(said.get("datetime_complete"))
            run.seconds = None if end is None or run.started is None else end - run.started
            for place, value in enumerate((said.get("values") or ()) if run.is_final else ()):
                run.metrics[_named(names, place)] = value
        elif code == 7:
            run.history.append((said["step"], 0.0, _named(names, 0), said["intermediate_value"]))
        else:
            attributes |= said["user_attr"]


def _run(number: str, study: str, state: str, start: str | None, end: str | None) -> StoredRun:
    began, ended = _seconds(start), _seconds(end)
    took = None if began is None or ended is None else ended - began
    # Any other trial's value is what it reported last, which may be another score than the objective.
    return StoredRun(f"{study}-{number}", study, state, began, took, study=study, is_final=state == "COMPLETE")


def _set_goals(run: StoredRun, names: Sequence[str], modes: Sequence[Any]) -> None:
    """Sets the objectives of a run: their names, with `max` or `min`; a journal has Optuna's number for these words.

    Raises:
        UserError: two have one name.
    """
    count = Counter(_named(names, place) for place in range(len(modes)))
    if twice := [name for name, times in count.items() if times > 1]:
        raise UserError(
            f"Two objectives of the study {run.study} are named {twice[0]!r}, so the values of one would be lost: give "
            "each a name of its own with Optuna's study.set_metric_names([…])."
        )
    words = {"MINIMIZE": "min", "MAXIMIZE": "max", 1: "min", 2: "max"}
    run.goals = {_named(names, place): words[mode] for place, mode in enumerate(modes) if mode in words}
    run.renamed = {own: name for place, name in enumerate(names) if (own := _named(names, place)) != name}


def _take_attribute(run: StoredRun, name: str, value: Any) -> None:
    """A user attribute: a number is an outcome, anything else a parameter, unless its name is taken."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in (run.goals if is_number else run.params):
        run.left_out.add(name)
    elif is_number:
        run.metrics[name] = float(value)
    else:
        run.params[name] = value


def _metric_names(attributes: Any) -> dict[int, Sequence[str]]:
    """By study, the names that its objectives were given."""
    found: dict[int, Sequence[str]] = {}
    for study, key, value in attributes:
        told = _json(value) if isinstance(value, str) else value
        if key == _NAMES and isinstance(told, list):
            found[study] = [str(one) for one in told]
    return found


def _named(names: Sequence[str], objective: int) -> str:
    if objective < len(names):
        return names[objective] if is_outcome(names[objective]) else f"reported_{names[objective]}"
    return f"{_VALUE}_{objective}" if objective else _VALUE


def _external(value: Any, distribution: Any) -> Any:
    """The value of a parameter, which is stored as a number, by its distribution."""
    said = distribution if isinstance(distribution, dict) else {}
    choices = said.get("attributes", {}).get("choices")
    if isinstance(choices, list):
        return choices[int(value)] if 0 <= int(value) < len(choices) else None
    return value


def _seconds(text: str | None) -> float | None:
    """A moment in UTC, as Optuna 5 stores it, in seconds since 1970."""
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
