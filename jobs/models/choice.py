"""Chooses one trial of a study and finds the clusters of its samples."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from core.errors import UserError, counted
from jobs.analysis import apart, selection
from jobs.analysis.chosen import of_study
from jobs.analysis.scores import CONSENSUS, metric_column, metric_name, uses_labels
from jobs.models import assignments
from jobs.models.assignments import KeptClusters
from jobs.present.inputs import one_trial
from jobs.present.output import warn
from jobs.present.tables import cell_text
from jobs.results import storage
from jobs.results.header import FINISHED
from jobs.results.layout import STUDY_YAML, model_folder, study_name
from jobs.results.names import PARAM, short_names
from jobs.results.reader import load

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.results.storage import Place

_NAMED = 4
"""So many parameters of a trial are named in a sentence."""


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
            last epoch. Of equal ones it is the one that began first.
        label_free: the best by consensus instead, which uses no labels.

    Raises:
        UserError: there is no such trial, it is not finished, or no trial has a value of the metric.
    """
    study = study_name(folder)
    found = of_study(folder) if trial is None and not label_free else None
    metric, mode = (found.metric, found.mode) if found else (CONSENSUS, "max")
    names = [*_COLUMNS, *apart.COLUMNS, f"{PARAM}*", *selection.COLUMNS, metric, f"metric.{metric}", f"health.{metric}"]
    loaded = load(folder, columns=names)
    warn([*(found.notes if found else ()), *loaded.notes, *loaded.skipped])
    table = loaded.need_rows().table
    if trial is not None:
        keys = table["trial_key"].to_pylist()
        key = one_trial(
            trial,
            keys,
            f"The study {study} has no trial {trial!r} with a row: `conclus aggregate` "
            "shows its trials with --columns ledger.",
        )
        return _choice(folder, table, keys.index(key), f"trial {key}")
    table, _ = apart.split(table)
    if metric == CONSENSUS:
        table = selection.with_consensus(table)
    column = metric_column(table.column_names, metric)
    row = _best(table, column, mode)
    if row is None:
        raise UserError(f"No finished trial of {study} has a value of {metric!r}: wait for one.")
    value, labels = (
        table[column][row].as_py(),
        "which uses the labels" if uses_labels(column) else "which uses no labels",
    )
    of = counted(sum(status in FINISHED for status in table["status"].to_pylist()), "finished trial")
    why = f"the best of {of} by {metric_name(column)}, {labels}: {value:.3f}"
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
        return  # No trial has been scored.
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


def _best(table: pa.Table, column: str, mode: str) -> int | None:
    """The row with the best finite value among finished trials; of equal ones the attempt that began first."""
    sign = -1 if mode == "max" else 1
    columns = (table[name].to_pylist() for name in (column, "attempt_id", "status"))
    ranked = [
        (sign * value, attempt, row)
        for row, (value, attempt, status) in enumerate(zip(*columns, strict=True))
        if status in FINISHED and value is not None and isfinite(value)
    ]
    return min(ranked)[2] if ranked else None


def _told(table: pa.Table, row: int) -> str:
    """The parameters of a trial that vary in its study, and its seed, in brackets."""
    values = {
        name.removeprefix(PARAM): table[name].to_pylist() for name in table.column_names if name.startswith(PARAM)
    }
    names = short_names(values)
    told = [f"{names[key]} {cell_text(cells[row])}" for key, cells in values.items() if len(set(map(str, cells))) > 1]
    return f" ({', '.join([*told[:_NAMED], 'seed ' + str(table['seed'][row])])})"


def _not_stored(choice: ChosenTrial) -> str:
    """How to get the clusters of a trial that has none: it ran before they were kept, or another one was better."""
    key, place = choice.key, model_folder(choice.folder, choice.key)
    study = shlex.quote(str(choice.folder / STUDY_YAML))
    again = f"conclus run {study} --results again --set select.save_assignments=true"
    embed = f", or use its saved model: conclus embed {shlex.quote(str(place))} DATA --out clusters.parquet"
    return (
        f"trial {key} has no stored clusters: it ran before conclus kept them, or only those of a better trial were to "
        f"be kept. Run it again: {again}{embed if storage.is_folder(place) else ''}"
    )
