"""Chooses one trial of a study and finds the clusters of its samples."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from core.errors import UserError, counted
from jobs.analysis import apart, data_sets, selection
from jobs.analysis.data_sets import SeveralDataSetsError
from jobs.analysis.intervals import fixed
from jobs.analysis.outcomes import refuse_without_value
from jobs.analysis.pareto import NO_AIMS, ranked
from jobs.analysis.samples import METHOD, best_row, constants
from jobs.analysis.scores import CONSENSUS, about_labels, across_numbers, metric_column, metric_name
from jobs.models import assignments
from jobs.models.assignments import KeptClusters
from jobs.present.chosen import aims, of_study
from jobs.present.effect import labels
from jobs.present.inputs import one_trial
from jobs.present.output import warn
from jobs.present.tables import cell_text
from jobs.results import records, storage
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_JSON, STUDY_YAML, existing, model_folder, study_name
from jobs.results.names import PARAM
from jobs.results.reader import column_cells, load, take

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.results.storage import Place

_NAMED = 4
"""So many parameters of a trial are named in a sentence."""
_LISTED = 10
"""So many trials with stored clusters are named in a sentence."""


@dataclass(frozen=True)
class ChosenTrial:
    """A finished trial of a study.

    Attributes:
        folder: the study's folder.
        row: the trial's row by column: what identifies it, `cluster_sizes`, `data_hash` and `params_json`.
        why: a sentence on what it was chosen by.
    """

    folder: Place
    row: dict[str, Any]
    why: str

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.row["trial_key"]

    @property
    def remarks(self) -> list[str]:
        """A sentence if clusters are empty."""
        sizes: list[int] = self.row["cluster_sizes"]
        if len(sizes) - sizes.count(0) == 1:
            return [f"all {counted(sum(sizes), 'sample')} lie in one cluster, so the clusters tell nothing apart"]
        empty = sizes.count(0)
        return [f"{empty} of the {len(sizes)} clusters {'is' if empty == 1 else 'are'} empty"] if empty else []

    def clusters(self) -> KeptClusters:
        """The clusters of its samples.

        Raises:
            UserError: they are not stored, or their file cannot be used.
        """
        try:
            return assignments.read(self.folder, self.row)
        except FileNotFoundError as error:
            raise UserError(_not_stored(self)) from error


def choose(folder: Place, *, trial: str | None = None, label_free: bool = False) -> ChosenTrial:
    """Chooses a finished trial of a study.

    Args:
        folder: the study's folder.
        trial: the beginning of a trial's key; by default the trial with the best value of the study's metric in its
            last epoch, of configurations that break no constraint. Of equal ones it is the one that began first.
        label_free: the best by consensus instead, which uses no labels.

    Raises:
        UserError: there is no such trial, it is not finished, no trial has a value of the metric, or those that have
            one are of several data sets.
    """
    study = study_name(folder)
    found = of_study(folder) if trial is None and not label_free else None
    metric, mode = (found.metric, found.mode) if found else (CONSENSUS, "max")
    names = [*_COLUMNS, *apart.COLUMNS, f"{PARAM}*", *selection.COLUMNS, metric, f"metric.{metric}", f"health.{metric}"]
    wishes = aims([folder])[0] if trial is None else NO_AIMS
    loaded = load(folder, columns=[*names, *wishes.columns])
    warn([*(found.notes if found else ()), *loaded.notes, *loaded.skipped])
    table = loaded.need_rows().table
    if trial is not None:
        keys = table["trial_key"].to_pylist()
        unknown = not any(key.startswith(trial) for key in keys)
        key = one_trial(
            trial,
            keys,
            f"The study {study} has no trial {trial!r} with a row. {_with_clusters(folder) if unknown else ''}",
        )
        row = keys.index(key)
        return _choice(folder, table, row, f"trial {key}{_told(table, row)}")
    table, _ = apart.split(table)
    if metric == CONSENSUS:
        table = selection.with_consensus(table)
        try:
            selection.refuse_mixed(table)
        except selection.MixedError as error:
            raise UserError(f"{error.refused}: name a trial with --trial. {_with_clusters(folder)}") from error
    column = metric_column(table.column_names, metric)
    values = dict(enumerate(table[column].to_pylist()))
    rows = enumerate(zip(table["status"].to_pylist(), ranked(table, wishes), strict=True))
    finished = {row: values[row] for row, (status, is_ranked) in rows if status in FINISHED and is_ranked}
    try:
        data_sets.refuse_several(table, [row for row, one in finished.items() if one is not None and isfinite(one)])
    except SeveralDataSetsError as error:
        raise UserError(f"{error} Name a trial with --trial. {_with_clusters(folder)}") from error
    row = best_row(finished, table["attempt_id"].to_pylist(), maximise=mode == "max")
    if row is None:
        if wishes.limits:
            raise UserError(
                f"No finished trial of {study} has a value of {metric!r} and keeps the study's constraints."
            )
        refuse_without_value(table, metric, loaded.columns)
    value = table[column][row].as_py()
    of = counted(len(finished), "finished trial")
    counts = column_cells(take(table, [row for row, one in finished.items() if one is not None]), f"{PARAM}n_clusters")
    across = "" if metric == CONSENSUS else across_numbers(column, counts)
    why = f"the best of {of} by {metric_name(column)}, {about_labels(column)}: {fixed(value)}{across}"
    return _choice(folder, table, row, f"trial {table['trial_key'][row]}{_told(table, row)} is {why}")


def forget_others(folder: Place) -> None:
    """Deletes the clusters of all trials but the best by consensus, which only all trials together can tell.

    Raises:
        StorageError: they cannot be deleted.
    """
    found = assignments.stored(folder)
    try:
        best = choose(folder, label_free=True).row
    except storage.StorageError:
        raise
    except UserError:
        return  # No trial has been scored, or the trials cannot be compared.
    if (own := (best["trial_key"], best["attempt_id"])) in found:
        assignments.forget(file for trial, file in found.items() if trial != own)


_COLUMNS = ("cluster_sizes", "data_hash", "params_json", "reason")


def _choice(folder: Place, table: pa.Table, place: int, why: str) -> ChosenTrial:
    row = {name: table[name][place].as_py() for name in table.column_names if not name.startswith(PARAM)}
    if row["status"] not in FINISHED:
        raise UserError(f"trial {row['trial_key']} is {row['status']}: clusters are kept when a trial is finished.")
    if not row.get("cluster_sizes"):
        raise UserError(f"trial {row['trial_key']} has no clusters: its method does not assign samples to any.")
    return ChosenTrial(folder, row, why)


def _told(table: pa.Table, row: int) -> str:
    """The parameters of a trial that vary in its study, and its seed, in brackets."""
    values = {
        name.removeprefix(PARAM): table[name].to_pylist() for name in table.column_names if name.startswith(PARAM)
    }
    constant, _ = constants(values)
    varied = sorted((key for key in values if key not in constant), key=lambda key: key != METHOD)
    names = labels(values)
    told = [f"{names[key]} {cell_text(values[key][row])}" for key in varied if values[key][row] is not None]
    return f" ({', '.join([*told[:_NAMED], 'seed ' + str(table['seed'][row])])})"


def _not_stored(choice: ChosenTrial) -> str:
    """Why a trial has no clusters, and how to get them."""
    key, place = choice.key, model_folder(choice.folder, choice.key)
    study = shlex.quote(str(choice.folder / STUDY_YAML))
    again = f"conclus run {study} --results again --set select.save_assignments=true"
    embed = f", or use its saved model: conclus embed {shlex.quote(str(place))} DATA --out clusters.parquet"
    why = (
        "the study was run with `select: {save_assignments: false}`"
        if _keeps_none(choice.folder)
        else "it ran before conclus kept them, or only those of a better trial were to be kept"
    )
    others = f"{_with_clusters(choice.folder)} " if assignments.stored(choice.folder) else ""
    return (
        f"trial {key} has no stored clusters: {why}. {others}"
        f"Run it again: {again}{embed if storage.is_folder(place) else ''}"
    )


def _keeps_none(folder: Place) -> bool:
    """Whether the study says that no clusters are kept."""
    try:
        select = records.read(existing(folder, STUDY_JSON), records.STUDY).get("select") or {}
    except (FileNotFoundError, records.RecordError):
        return False
    return select.get("save_assignments") is False


def _with_clusters(folder: Place) -> str:
    """The trials whose clusters are stored with the study's metric, as a sentence: `ab12 (nmi 0.500), …`.

    Those of each data set are told by themselves, since no score is compared across data sets; by consensus those that
    are ranked among each other.
    """
    stored = assignments.stored(folder)
    found = of_study(folder)
    names = [*_COLUMNS, f"{PARAM}*", *selection.COLUMNS, found.metric, f"metric.{found.metric}"]
    table = load(folder, columns=[*names, f"health.{found.metric}"]).need_rows().table
    if found.metric == CONSENSUS:
        table = selection.with_consensus(table)
    column = metric_column(table.column_names, found.metric)
    sign = -1 if found.mode == "max" else 1
    told: dict[str, str] = {}
    for name, part in selection.comparable(table, found.metric):
        columns = (part[one].to_pylist() for one in (column, "trial_key", "attempt_id"))
        own = [one for one in zip(*columns, strict=True) if one[1:] in stored]
        own.sort(key=lambda one: (one[0] is None or not isfinite(one[0]), sign * (one[0] or 0), one[1]))
        first = [key if value is None else f"{key} ({metric_name(column)} {fixed(value)})" for value, key, _ in own]
        more = f" and {len(own) - _LISTED} more" if len(own) > _LISTED else ""
        told |= {name: ", ".join(first[:_LISTED]) + more} if own else {}
    if not told:
        return "No trial's clusters are stored."
    if len(told) == 1:
        return f"Trials with stored clusters, the best first: {next(iter(told.values()))}."
    of_each = "; ".join(f"{name}: {one}" for name, one in told.items())
    return f"Trials with stored clusters, the best of each first: {of_each}."
