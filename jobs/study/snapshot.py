"""A copy of a study as it was run: one file with every default and override, and the user's plug-ins beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.data.analyzer import file_of
from core.errors import UserError
from core.seal import is_sealed_text, seal_text
from jobs.results import records, storage
from jobs.results.layout import PLUG_INS, STUDY_YAML, existing
from jobs.results.storage import Place, put
from jobs.study import yaml_document
from jobs.study.sections import Select
from jobs.study.study import Study


def write(study: Study, folder: Place) -> Place:
    """Writes `_study.yaml` and the plug-ins that the study names by path into the folder; returns the study file.

    The folder can be moved: plug-ins are identified by the names and the content of their files. Each content is also
    stored in a folder named by its sha256.

    Raises:
        UserError: two plug-in files have the same name.
        StorageError: the folder cannot be written.
    """
    whole = yaml_document.read(study.whole(), study.name).value
    moved: dict[str, str] = {}
    for path in sorted(set(_plug_ins(whole))):
        moved[path] = f"./{PLUG_INS}/{Path(path).name}"
        if list(moved.values()).count(moved[path]) > 1:
            raise UserError(f"two plug-ins are called {Path(path).name}: rename one, results use the file name")
        content = Path(path).read_bytes()
        put(folder / PLUG_INS / Path(path).name, content)
        # Rows made with earlier contents stay and name them by this digest.
        put(folder / PLUG_INS / sha256(content).hexdigest() / Path(path).name, content)
    put(folder / STUDY_YAML, seal_text(yaml_document.write(_renamed(whole, moved)).encode()))
    return folder / STUDY_YAML


def fetch(folder: Place, scratch: Path) -> tuple[Path, list[str]]:
    """The study file of a snapshot, and warnings; from an object store, a copy in `scratch` with its plug-ins.

    A damaged file is refused later, when the study is read. The warning says that a file has no digest, so that damage
    in it cannot be seen.

    Raises:
        UserError: there is no snapshot.
        StorageError: the object store does not answer.
    """
    file, plug_ins = existing(folder, STUDY_YAML), existing(folder, PLUG_INS)
    if not storage.is_file(file):
        raise UserError(f"{folder} has no {STUDY_YAML} to continue from: use `conclus run STUDY` into the same results")
    content = storage.read_regular(file, yaml_document.LARGEST)
    notes: list[str] = []
    with contextlib.suppress(ValueError):
        notes = [] if is_sealed_text(content) else [records.without_digest(file)]
    if isinstance(file, Path):
        return file, notes
    for one in map(storage.at, storage.files(plug_ins, ".py")):
        put(scratch / plug_ins.name / one.name, storage.read_regular(one))
    put(scratch / file.name, content)
    return scratch / file.name, notes


def select(folder: Place) -> dict[str, Any] | None:
    """What a study selects by, from its copy, see `records.SELECT`; None if that is missing or damaged."""
    try:
        value = yaml_document.load(existing(folder, STUDY_YAML)).value
    except UserError:
        return None
    chosen = value.get("select") if isinstance(value, dict) else None
    if not isinstance(chosen, dict):
        return None
    # `Study.whole` omits the default metric.
    chosen = {"metric": Select.metric} | {key: chosen[key] for key in records.SELECT if key in chosen}
    return chosen if records.fits(chosen, records.SELECT) and chosen.get("mode") in {"max", "min"} else None


def keeps_stopped(folder: Place) -> bool:
    """Whether the search of a study, as its copy tells it, takes a trial that somebody stopped as done."""
    try:
        value = yaml_document.load(existing(folder, STUDY_YAML)).value
    except UserError:
        return False
    search = value.get("search") if isinstance(value, dict) else None
    search = search if isinstance(search, dict) else {"name": search}
    return search.get("name") == "optuna" or search.get("scheduler", "none") != "none"


def _plug_ins(value: Any) -> Iterator[str]:
    """Every text in a value that is the path of a Python file."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _plug_ins(one)
    elif isinstance(value, str) and (path := _file(value)).endswith(".py") and Path(path).is_file():
        yield path


def _file(value: str) -> str:
    """The path in a plug-in's name, without the function that follows the path of an analyzer."""
    named = file_of(value)
    return named[0] if named else value


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(one, names) for one in value]
    return _moved(value, names) if isinstance(value, str) else value


def _moved(value: str, names: dict[str, str]) -> str:
    path = _file(value)
    return names[path] + value[len(path) :] if path in names else value
