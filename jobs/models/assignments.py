"""The clusters of a trial's samples, kept without its weights: `<study folder>/_assignments/<trial>.<attempt>.pq`.

The files are Parquet, but not called so: `results/**/*.parquet` are rows of trials, as other programs open them. A file
holds one row for each sample of the training part, in the order of the data set:

- `id` (string or int64): the data's own id or file name; if it has none, the row number in the data set, from 0.
- `cluster` (int32): the cluster, from 0, in the last scoring: `metric.*` and `cluster_sizes` of the row are of it.
- `probability` (float32): the probability of that cluster; null for a method without a cluster head.
- `second` (int32): the second-best cluster; null if there is only one cluster.
- `distance` (float32): the distance to the centre of the cluster between features of length 1, from 0 to 2; null where
  the centre is not known.

Its metadata has the header of `jobs.results.header`, with the trial's key, the attempt and the digest of all bytes, and
under `assignment` JSON of `epoch`, `metric` and `value` (of the study's selection), and `part` (`all`, or `train`
if the data has held-out parts).

Both keys are in the name, and reading checks both against the trial's row. So files of two machines never overwrite
each other, and a file of another attempt than the one that counts is never taken for it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import UserError, counted
from jobs.analysis.scores import CONSENSUS, of_epoch, within_trial
from jobs.results import header, records, storage
from jobs.results.header import HeaderRow
from jobs.results.layout import ASSIGNMENTS
from jobs.results.names import MEAN5
from jobs.results.storage import File, Place, StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from core.data.dataset import Dataset
    from core.evaluation.assignment import Assignment
    from jobs.results.schema import Attempt

ENDING = ".pq"
_ABOUT = b"assignment"
_SHAPE = {"epoch": int, "metric": str, "value": (float, int, None), "part": str}
_NAME = re.compile(r"([0-9A-Za-z_-]{1,64})\.([0-9A-Za-z_-]{1,64})\.pq")
_LARGEST_TEXT = 2**31
"""The most bytes of all ids of a file: what one column of strings in Arrow holds."""
_ENCODINGS = {"PLAIN", "RLE", "DELTA_BINARY_PACKED"}
"""Of the ids."""


@dataclass(frozen=True)
class KeptClusters:
    """The clusters of one trial as they are stored.

    Attributes:
        trial_key: the trial.
        attempt_id: the attempt at it.
        epoch: the epoch whose scoring gave the clusters.
        part: `all`, or `train` if the data has held-out parts.
        table: one row per sample, with the columns of this module.
    """

    trial_key: str
    attempt_id: str
    epoch: int
    part: str
    table: pa.Table


def table_of(found: Assignment, ids: pa.Array) -> pa.Table:
    """The columns of this module for an assignment of n samples with these ids."""
    import numpy as np
    import pyarrow as pa

    nothing = pa.nulls(len(ids))
    return pa.table(
        {
            "id": ids,
            "cluster": pa.array(found.clusters.astype(np.int32)),
            "probability": nothing.cast(pa.float32())
            if found.probabilities is None
            else pa.array(found.probabilities, pa.float32()),
            "second": nothing.cast(pa.int32()) if found.seconds is None else pa.array(found.seconds.astype(np.int32)),
            "distance": pa.array(found.distances, pa.float32(), mask=np.isnan(found.distances)),
        }
    )


def ids_of(data: Dataset) -> pa.Array:
    """The id of each sample of the training part: the data's own, else the row number in the data set, from 0."""
    import numpy as np

    rows = np.arange(data.n_samples) if data.parts is None else np.flatnonzero(data.parts == 0)
    return as_ids(rows if data.ids is None else data.ids[rows])


def as_ids(values: NDArray[Any]) -> pa.Array:
    """Ids of any type as int64 if they are whole numbers that fit, else as strings."""
    import numpy as np
    import pyarrow as pa

    if values.dtype.kind in "iu" and np.can_cast(values.dtype, np.int64):
        return pa.array(values.astype(np.int64))
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(values.astype(str).astype(object), pa.string())


@dataclass(frozen=True)
class KeepRule:
    """Which trials of a study keep their clusters.

    Attributes:
        metric: the study's metric; `best.nmi` is the value at the best epoch, `mean5.nmi` the mean of the last five.
        mode: which values are better, `max` or `min`.
        every: all of them. Else a trial's are stored only if no stored ones of its data set are better, and worse ones
            are deleted.
    """

    metric: str
    mode: str
    every: bool

    @classmethod
    def of(cls, metric: str, mode: str, *, every: bool | None) -> KeepRule:
        """The rule of a study; with the consensus all are kept: it compares trials, so none can tell it is the best."""
        return cls(metric, mode, every=bool(every) or metric.endswith(CONSENSUS))

    def rank(self, attempt: Attempt) -> tuple[bool, float, str]:
        """The place of an attempt among others, see `_rank`."""
        return _rank(self.value(attempt), self.mode, attempt.attempt_id)

    def value(self, attempt: Attempt) -> float | None:
        """The value by which the study selects; None without a finite one."""
        name = within_trial(self.metric)
        last = attempt.metrics.get(name, attempt.health.get(name))
        found = {"best.": attempt.best.get(name), MEAN5: attempt.recent.get(name)}.get(of_epoch(self.metric), last)
        return found if found is not None and math.isfinite(found) else None


def keep(
    folder: Place,
    attempt: Attempt,
    scored: tuple[int, Assignment],
    data: Dataset,
    rule: KeepRule,
    *,
    again: bool = True,
) -> None:
    """Stores the clusters of an attempt in a study's folder, if the rule says so.

    Args:
        folder: the study's folder.
        attempt: the finished attempt.
        scored: the epoch of its last scoring, and the clusters.
        data: its data set.
        rule: which trials are kept.
        again: whether an earlier attempt at the trial may have stored some.

    Raises:
        StorageError: they cannot be written.
    """
    place = folder / ASSIGNMENTS
    if storage.is_link(place):  # It may lead out of the results.
        return
    # Where all are kept, they may be 100,000 files: they are read only for those of the trial's earlier attempts.
    own, others = rule.rank(attempt), {} if rule.every and not again else _ranks(folder, rule.mode, attempt.data_hash)
    # A trial runs again if its row was not finished: it was killed after it had stored its clusters. Of two attempts
    # that were stopped the earlier one is the trial's row, so its clusters stay.
    before = [file for file, (row, _) in others.items() if row.trial_key == attempt.trial_key]
    old = [file for file in before if "ok" in {attempt.status, others[file][0].status}]
    beaten = [] if rule.every else [file for file, (_, rank) in others.items() if file not in old and own < rank]
    if not rule.every and len(beaten) + len(old) < len(others):
        return
    epoch, found = scored
    part = "all" if data.parts is None else "train"
    about = {"epoch": epoch, "metric": attempt.best_metric, "value": rule.value(attempt), "part": part}
    about["data"] = attempt.data_hash
    name = f"{attempt.trial_key}.{attempt.attempt_id}{ENDING}"
    storage.put(place / name, _content(table_of(found, ids_of(data)), attempt, about))
    # Every trial deletes only what a stored file beats, so of trials that end at the same time the best one stays.
    forget(file for file in [*old, *beaten] if storage.name_of(file) != name)


def forget(files: Iterable[File]) -> None:
    """Deletes files, some of which another trial may have deleted."""
    for file in files:
        try:
            storage.delete(file)
        except FileNotFoundError:
            continue


def stored(folder: Place) -> dict[tuple[str, str], File]:
    """The files of a study's folder by trial and attempt, as their names say."""
    place = folder / ASSIGNMENTS
    named = [(file, _NAME.fullmatch(storage.name_of(file))) for file in storage.files(place, ENDING)]
    return {(found[1], found[2]): file for file, found in named if found}


def size(folder: Place) -> tuple[int, int]:
    """The number of files in a study's folder, and their bytes together."""
    sizes = [storage.size(file) for file in stored(folder).values()]
    return len(sizes), sum(sizes)


def read(folder: Place, row: Mapping[str, Any]) -> KeptClusters:
    """The clusters of a trial that is stored in a study's folder.

    Args:
        folder: the study's folder.
        row: the trial's row: `trial_key`, `attempt_id` and `cluster_sizes`.

    Raises:
        FileNotFoundError: they are not stored.
        UserError: the file is damaged, or it is not of this trial and attempt.
    """
    wanted = str(row["trial_key"]), str(row["attempt_id"])
    file = stored(folder).get(wanted)
    if file is None:
        raise FileNotFoundError(wanted[0])
    sizes: list[int] = row.get("cluster_sizes") or []
    try:
        about, table = _parsed(storage.read_regular(file), wanted, sizes)
    except FileNotFoundError:
        raise
    except StorageError as error:
        raise UserError(f"{file} cannot be read: {error.reason}") from error
    except (IndexError, KeyError, RecursionError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{file} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return KeptClusters(*wanted, about["epoch"], about["part"], table)


def _content(table: pa.Table, attempt: Attempt, about: Mapping[str, Any]) -> bytes:
    """The bytes of a file, with a digest of all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    whole = {"id": "DELTA_BINARY_PACKED"} if pa.types.is_integer(table.schema.field("id").type) else None
    row = HeaderRow(attempt.trial_key, attempt.attempt_id, attempt.status)
    options: dict[str, Any] = {"use_dictionary": ["cluster", "second"], "column_encoding": whole}
    with pq.ParquetWriter(sink, table.schema, compression="zstd", **options) as writer:
        writer.write_table(table)
        marks = {_ABOUT.decode(): json.dumps(about), header.KEY.decode(): header.encode([row], attempt.study).decode()}
        writer.add_key_value_metadata(marks)
    return header.seal(sink.getvalue().to_pybytes())


def _owner(content: bytes) -> HeaderRow:
    """The trial and the attempt that a file is of, after checking its digest.

    Raises:
        ValueError: it is damaged or not a file of this module.
    """
    found = header.read(content)
    if found is None or not found.is_sealed or len(found.rows) != 1:
        raise ValueError("it was not written by conclus (it has no header)")
    return found.rows[0]


def _about(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    return records.decode((metadata or {}).get(_ABOUT, b""), _SHAPE)


def _parsed(content: bytes, wanted: tuple[str, str], sizes: list[int]) -> tuple[dict[str, Any], pa.Table]:
    """What a file says of itself, and its table, after checking both against the trial's row.

    Raises:
        ValueError: it is not a file of this module, or its clusters are not those of the row.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = _owner(content)
    if (row.trial_key, row.attempt_id) != wanted:
        raise ValueError("it is of another trial, or of another attempt at it")
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        about = _about(file.metadata.metadata)
        _refuse_other(file, sum(sizes))
        # Arrow's threads would let go of `content` when they please: at the end of Python that aborts the process.
        table = file.read(use_threads=False).combine_chunks()
    table.validate(full=True)
    clusters = table["cluster"].to_numpy()
    if clusters.min() < 0 or clusters.max() >= len(sizes):
        raise ValueError("it names clusters that the trial has not")
    if np.bincount(clusters, minlength=len(sizes)).tolist() != sizes:
        raise ValueError("the sizes of its clusters are not those in the trial's row")
    return about, table


def _refuse_other(file: Any, n: int) -> None:
    """Checks rows and types before anything is unpacked: equal values without end take no space in a file."""
    import pyarrow as pa

    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if not rows == file.metadata.num_rows == n or not n:
        raise ValueError(f"it holds {counted(rows, 'sample')}, and the trial's row tells of {n:,}")
    found = {field.name: field.type for field in file.schema_arrow}
    wanted = {"cluster": pa.int32(), "probability": pa.float32(), "second": pa.int32(), "distance": pa.float32()}
    ids = found.pop("id", None)
    if found != wanted or ids not in {pa.int64(), pa.string()}:
        raise ValueError("its columns are not those that conclus writes")
    texts = [group.column(0) for group in groups]
    # A dictionary or a common beginning would unpack to far more than the file tells.
    if any(not set(one.encodings) <= _ENCODINGS for one in texts) or texts[0].path_in_schema != "id":
        raise ValueError("its ids are not encoded as conclus does it")
    if sum(group.total_byte_size for group in groups) > _LARGEST_TEXT:
        raise ValueError("it unpacks to more than 2 GB")


def _rank(value: float | None, mode: str, attempt_id: str) -> tuple[bool, float, str]:
    """The order of attempts, the best first; of equal ones the earliest, so that no two are equal."""
    return value is None, 0.0 if value is None else -value if mode == "max" else value, attempt_id


def _ranks(folder: Place, mode: str, data: str) -> dict[File, tuple[HeaderRow, tuple[bool, float, str]]]:
    """Whose each whole file of the data set is, and its rank; what is not as conclus writes it counts for nothing.

    Files of earlier versions do not tell their data set: they count for each.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[File, tuple[HeaderRow, tuple[bool, float, str]]] = {}
    for named, file in stored(folder).items():
        try:
            content = storage.read_regular(file)
            row = _owner(content)
            if (row.trial_key, row.attempt_id) == named:
                about = _about(pq.read_metadata(pa.BufferReader(content)).metadata)
                if about.get("data", data) == data:
                    found[file] = row, _rank(about["value"], mode, row.attempt_id)
        except (IndexError, KeyError, RecursionError, TypeError, ValueError, OSError):
            continue
    return found
