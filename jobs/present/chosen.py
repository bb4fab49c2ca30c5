"""Chooses the ranking metric and whether larger is better: from the request, the studies, or the defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.evaluation.names import direction
from jobs.analysis.pareto import NO_AIMS, Aims
from jobs.analysis.scores import default_mode, metric_column
from jobs.results import records
from jobs.results.layout import STUDY_JSON, STUDY_YAML, existing, folders_of
from jobs.results.reader import load
from jobs.results.storage import Place

_DEFAULT_METRIC = "nmi"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A metric and its mode; `notes` has one sentence per damaged file."""

    metric: str
    mode: str
    notes: list[str]


def chosen(paths: Sequence[str], studies: Sequence[str], metric: str | None = None, mode: str | None = None) -> Chosen:
    """The metric and the mode: those requested, else those on which the studies agree, else the defaults.

    A study that selects by nothing, as an imported table, has no say.
    If a `_study.json` is damaged, they are read from the folder's copy of the study file.

    Raises:
        UserError: That copy is damaged too, and metric and mode are not both given.
    """
    notes: list[str] = []
    own = [_select(folder, notes, asked=bool(metric and mode)) for folder in folders_of(paths, studies)]
    return _agreed(paths, own, notes, metric, mode)


def of_study(folder: Place) -> Chosen:
    """The metric and the mode of the study in a folder, see `chosen`."""
    notes: list[str] = []
    return _agreed([folder], [_select(folder, notes, asked=False)], notes)


def _agreed(
    places: Sequence[str | Place],
    own: Sequence[dict[str, Any]],
    notes: list[str],
    metric: str | None = None,
    mode: str | None = None,
) -> Chosen:
    selects = {(select.get("metric"), select.get("mode")) for select in own if select}
    own_metric, own_mode = selects.pop() if len(selects) == 1 else (None, None)
    found = str(metric or own_metric or _DEFAULT_METRIC)
    modes = {(select.get("modes") or {}).get(found) for select in own if select}  # of imported objectives
    said = own_mode if found == own_metric else modes.pop() if len(modes) == 1 else None
    told = mode or said or direction(found)
    if not told:
        metric_column(load(places, columns=()).columns, found)  # a wrong name is told with those that are there
    return Chosen(found, str(told or default_mode(found)), notes)


def aims(folders: Sequence[Place]) -> tuple[Aims, list[str]]:
    """The constraints, and the metrics of the Pareto front, on which the studies in these folders agree.

    Returns:
        The aims, and a sentence if the studies differ in them: then they have none together.
    """
    own = [_select(folder, [], asked=True) for folder in folders]
    found = [Aims.of(select) for select in own if select]
    if all(one == found[0] for one in found):
        return (found[0] if found else NO_AIMS), []
    told = "The studies differ in select.metrics or select.constraints: none of them is used for all of them."
    return NO_AIMS, [f"{told} Name one with --study."]


def _select(folder: Place, notes: list[str], *, asked: bool) -> dict[str, Any]:
    try:
        return records.read(existing(folder, STUDY_JSON), records.STUDY).get("select") or {}
    except FileNotFoundError:
        return {}
    except records.RecordError as error:
        from jobs.study import snapshot  # Slow to import and rarely needed.

        found = snapshot.select(folder)
        if found is None and not asked:
            raise UserError(f"{error}: restore it, or give --metric and --mode.") from error
        instead = f", its metric and mode are taken from {STUDY_YAML}" if found and not asked else ""
        notes.append(f"{error}{instead}: restore it from a copy.")
        return found or {}
