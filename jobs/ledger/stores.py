"""The local stores and exports of W&B, MLflow, Optuna and Ray Tune, as runs.

Nothing in them is run: no pickle, no YAML tag, no link that leads elsewhere, and every file has a largest size.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.errors import UserError
from jobs.ledger import optuna_store, wandb_file
from jobs.ledger.databases import is_database, mlflow_runs
from jobs.ledger.runs import LARGEST, MOST_RUNS, StoredRun, flat, is_metric

_MLFLOW_STATES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}


def read(kind: str, path: Path) -> list[StoredRun]:
    """The runs of a store.

    Args:
        kind: one of `KINDS`.
        path: its folder or its file.

    Raises:
        UserError: there is none of that kind, or it is not as the tracker writes it.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: give the folder or the file of {kind}.")
    try:
        return KINDS[kind](path)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not as {kind} writes it: {type(error).__name__}.") from error


def _wandb(path: Path) -> list[StoredRun]:
    found: dict[tuple[str, str], StoredRun] = {}
    for file in _files(path, "run-*.wandb"):
        said = wandb_file.read(file)
        key = said.run or file.stem
        run = found.setdefault((said.project, key), StoredRun(key, study=said.project))
        run.name, run.params = said.name or run.name, run.params | flat(said.config)
        began = said.started or run.started
        run.started = min(one for one in (run.started, began) if one is not None) if began else None
        run.status = {None: "running", 0: "finished"}.get(said.exit_code, "failed")
        for step, values in said.history:
            at = values.get("_timestamp")
            since = at - run.started if isinstance(at, int | float) and run.started else 0.0
            run.history += [(step, since, name, float(one)) for name, one in values.items() if is_metric(name, one)]
            run.seconds = since or run.seconds
        run.metrics |= {name: float(one) for name, one in said.summary.items() if is_metric(name, one)}
    return list(found.values())


def _mlflow(path: Path) -> list[StoredRun]:
    if is_database(path):
        return mlflow_runs(path)
    runs: list[StoredRun] = []
    for file in _files(path, "meta.yaml"):
        said = _plain_yaml(_text(file))
        if "run_id" not in said and "run_uuid" not in said:  # It is an experiment's.
            continue
        if said.get("lifecycle_stage") == "deleted":
            continue
        status = said.get("status", "")
        run = StoredRun(said.get("run_id") or said["run_uuid"], said.get("run_name", ""))
        run.status = _MLFLOW_STATES.get(status, status)
        experiment = file.parent.parent / "meta.yaml"
        if path in experiment.parents and _is_own(experiment):
            run.study = _plain_yaml(_text(experiment)).get("name", "")
        began, ended = (_number(said.get(one, "")) for one in ("start_time", "end_time"))
        run.started = None if began is None else began / 1000
        run.seconds = None if began is None or ended is None else (ended - began) / 1000
        for name, one in _named_files(file.parent / "params"):
            run.params[name] = _text(one).strip()
        for name, one in _named_files(file.parent / "metrics"):
            run.history += list(_points(name, _text(one), began or 0.0))
        runs.append(run)
    return runs


def _points(name: str, text: str, began: float) -> Iterator[tuple[int, float, str, float]]:
    """The lines of a metric's file: milliseconds since 1970, the value, the step."""
    for line in text.splitlines():
        at, value, step = (*map(_number, line.split()), None, None, None)[:3]
        if at is not None and value is not None:
            yield int(step or 0), max(0.0, (at - began) / 1000), name, value


def _ray(path: Path) -> list[StoredRun]:
    runs: list[StoredRun] = []
    for file in _files(path, "params.json"):
        folder = file.parent
        run = StoredRun(folder.name, params=flat(_json(_text(file)) or {}))
        if path in folder.parents:
            run.study = folder.parent.relative_to(path).as_posix() if folder.parent != path else path.resolve().name
        last: dict[str, Any] = {}
        for last in _reports(folder):
            step, since = last.get("training_iteration"), last.get("time_total_s") or 0.0
            values = flat({key: one for key, one in last.items() if key != "config"})
            if isinstance(step, int):
                run.history += [(step, since, name, float(one)) for name, one in values.items() if is_metric(name, one)]
        stamp, took = last.get("timestamp"), last.get("time_total_s")
        run.seconds = took
        run.started = stamp - (took or 0.0) if isinstance(stamp, int | float) else None
        ended = "TERMINATED" if last.get("done") in {True, "True"} else "RUNNING"
        run.status = "ERROR" if (folder / "error.txt").exists() or (folder / "error.pkl").exists() else ended
        runs.append(run)
    return runs


def _reports(folder: Path) -> Iterator[dict[str, Any]]:
    """What a trial of Ray Tune reported, from the file of JSON lines, else from the CSV."""
    lines, table = folder / "result.json", folder / "progress.csv"
    if _is_own(lines):
        for line in _text(lines).splitlines():
            if isinstance(said := _json(line), dict):
                yield said
    elif _is_own(table):
        for row in csv.DictReader(_text(table).splitlines()):
            said: dict[str, Any] = {key: _number(one) for key, one in row.items() if key and one}
            step = said.get("training_iteration")
            yield {
                **{key: one for key, one in said.items() if one is not None},
                "training_iteration": None if step is None else int(step),
                "done": row.get("done"),
            }


def _files(path: Path, pattern: str) -> list[Path]:
    """The file itself, or the files of that name at or below a folder, sorted; links are not followed.

    Raises:
        UserError: there is none, or there are too many.
    """
    if path.is_file():
        return [path]
    found: list[Path] = []
    for one in path.rglob(pattern):
        if _is_own(one) and not any(part.is_symlink() for part in one.parents if path in part.parents):
            found.append(one)
        if len(found) > 2 * MOST_RUNS:
            raise UserError(f"{path} has more than {MOST_RUNS:,} runs: give one of its folders.")
    if not found:
        raise UserError(f"{path} has no {pattern}: give the folder that the tracker wrote to.")
    return sorted(found)


def _named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder by their names, which may have slashes."""
    for one in sorted(folder.rglob("*")) if folder.is_dir() and not folder.is_symlink() else ():
        if _is_own(one):
            yield one.relative_to(folder).as_posix(), one


def _is_own(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{file}: the file cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST:
        raise UserError(f"{file} has more than {LARGEST >> 20} MiB.")
    return data.decode(errors="replace")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # A line that was cut.
        return None


def _plain_yaml(text: str) -> dict[str, str]:
    """The `name: value` lines of a file, which is all that MLflow writes there."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith((" ", "-", "#")))
    return {name.strip(): value.strip().strip("'\"") for name, colon, value in pairs if colon}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


KINDS: dict[str, Callable[[Path], list[StoredRun]]] = {
    "wandb": _wandb,
    "mlflow": _mlflow,
    "optuna": optuna_store.runs,
    "ray": _ray,
}
