"""Choosing without labels: the consensus of label-free criteria, and how good each criterion is where labels exist.

A criterion is judged by the configuration that it chooses. No criterion is best everywhere, and their units differ. So
the consensus averages ranks: the rank of each trial among the finished trials of its study with the same data and
number of clusters, by every criterion on which they differ. (Criteria do not compare numbers of clusters:
`knn_consistency`, for one, is higher for few clusters.) A mean rank depends on which trials are there: worse ones that
are added can change which of the others comes first. It follows the advice of Wang and Ye, "Deep Clustering Evaluation"
(arXiv 2403.14830): scores in a model's own features (`silhouette`, `feature_std`) are not comparable between models and
are not used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import UserError
from core.evaluation.metrics import agreements
from jobs.analysis import apart, data_sets
from jobs.analysis.samples import METHOD, constants, need_samples
from jobs.analysis.scores import CONSENSUS, CRITERIA, LABEL_FREE, NO_FAIR_SCORE, number
from jobs.results.header import FINISHED
from jobs.results.names import PARAM, short_names
from jobs.results.reader import column_cells, take

STABILITY = "stability"
"""The one of `CRITERIA` that is computed here, from `probe_labels`."""
PROBES = "probe_labels"
"""The column of the clusters of probed samples; `Probes` reads it apart."""
OTHERS = (LABEL_FREE, "silhouette", "confidence", "marginal_entropy", "feature_std")
"""Criteria that are reported, but not part of the consensus."""
COLUMNS = (*(f"health.{name}" for name in (*CRITERIA, *OTHERS)), PROBES, *data_sets.COLUMNS)
"""The columns that this module reads, besides scores and parameters."""
CONSENSUS_COLUMN = f"health.{CONSENSUS}"
"""The column of the consensus, which is computed and stored in no file."""
_TOGETHER = 10  # So many configurations are compared at once: of 20,000 trials they are some 4,000.
_TRUTHS = ("nmi", "acc")
_ALONE = f"A single configuration has no rank among others, so {LABEL_FREE} is shown in place of its consensus."
NUMBER = "number of clusters"
_PLACE = {"study": "--study", "data set": "--where", NUMBER: "--where 'n_clusters == {}'"}
"""What trials share that are ranked among each other, and the option that chooses one."""

Vector = NDArray[np.float64]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """One criterion, and the result of choosing by it.

    Attributes:
        criterion: Its name.
        n: Number of configurations that have a value of it.
        correlations: Spearman's rank correlation of the configurations' means with `nmi` and `acc`; None for fewer
            than three configurations, if all are equal, and without labels.
        nmi: NMI of the configuration that it chooses; if several share the highest value, their mean.
        regret: How far that is below the best configuration's NMI.
        params: The varied parameters of the chosen configuration; of the first one if several share the highest value.
    """

    criterion: str
    n: int
    correlations: Mapping[str, float | None]
    nmi: float | None
    regret: float | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CriteriaReport:
    """The criteria of one study.

    Attributes:
        study: Its name; with `n_clusters`, and the data, where it has several.
        best: NMI of its best configuration; None without labels.
        average: Mean NMI of its configurations, the expected result of a random choice.
        choices: One per criterion that has values, the consensus first; none of a single configuration.
    """

    study: str
    best: float | None
    average: float | None
    choices: tuple[Choice, ...]


def with_consensus(table: pa.Table) -> pa.Table:
    """Adds `health.consensus`: each trial's mean rank by `CRITERIA`, from 0 (last) to 1 (first).

    It is ranked among the trials of its study with the same data and `n_clusters`. Finished trials are ranked, not
    means of configurations: the spread over seeds shows how certain a rank is. A criterion with the same value for all
    is not used. A trial is ranked by the criteria that it has, and gets 0.5 if none is usable; with a single cluster it
    is last by the silhouette, which it does not have, and by the consistency of neighbours.

    Args:
        table: Rows from `read_results` with `COLUMNS`, one per trial.

    Returns:
        The table with one more column; NaN for a trial that is not finished or has none of the criteria.
    """
    return table.append_column(CONSENSUS_COLUMN, _column(_consensus(table, _signals(table))))


def _column(values: Vector) -> pa.Array:
    # Not pa.array(values): it imports pandas to check for a series, which takes 0.2 s.
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values)])


class MixedError(UserError):
    """The metric is the consensus, and the trials are not ranked among each other.

    Attributes:
        refused: What is refused, without a full stop.
        option: The option of `conclus aggregate` that chooses some, as `--where 'n_clusters == 2'`.
    """

    def __init__(self, refused: str, option: str, otherwise: str) -> None:
        self.refused, self.option, self._else = refused, option, otherwise
        super().__init__(self.told(option))

    def told(self, choosing: str) -> str:
        """The refusal, with what a person can write to choose some."""
        return f"{self.refused}: choose one with {choosing}, {self._else}"


def refuse_mixed(table: pa.Table) -> None:
    """Refuses to compare trials by consensus that are not ranked among each other.

    Raises:
        MixedError: The trials that have a consensus are of several studies, data sets or numbers of clusters.
    """
    of, one = mixed(table)
    if of:
        raise MixedError(
            f"Trials are compared by consensus only within one {of}, and these have several",
            # What is read from a store stands in a command that is copied: digits alone, whoever wrote it.
            _PLACE[of].format(number(one)) if number(one).isdecimal() else _PLACE[of].partition(" ")[0],
            "or name another metric, as --metric raw_silhouette." + (f" {NO_FAIR_SCORE}" if of == NUMBER else ""),
        )


def ranking_column(table: pa.Table, column: str) -> tuple[str, list[str]]:
    """What ranks: another column than the consensus where a single configuration has finished, with a sentence on it.

    Raises:
        MixedError: It is the consensus, and the trials are not ranked among each other.
    """
    if column == CONSENSUS_COLUMN:
        refuse_mixed(table)
        instead = f"health.{LABEL_FREE}"
        if len(_cells(table)) == 1 and np.isfinite(_numbers(table, instead)).any():
            return instead, [_ALONE]
    return column, []


def mixed(table: pa.Table) -> tuple[str, Any]:
    """What the trials that have a consensus do not share, of those in `_PLACE`, and a value of it; or an empty text."""
    values = table[CONSENSUS_COLUMN].to_pylist()
    places = [place for place, value in zip(_places(table), values, strict=True) if not isnan(value)]
    found = zip(_PLACE, zip(*places, strict=True), strict=False)
    return next(((of, values[0]) for of, values in found if len({*values}) > 1), ("", None))


def criteria_report(table: pa.Table) -> list[CriteriaReport]:
    """How well each criterion's order of the configurations (means over seeds) agrees with the labels.

    There is one report for each study, and where its trials have several data sets or numbers of clusters, for each.

    Args:
        table: Rows from `read_results` with `COLUMNS`, `metric.nmi`, `metric.acc` and `param.*`, one per trial; of
            several protocols one counts (see `jobs.analysis.apart`).

    Raises:
        UserError: all trials are members of populations.
    """
    table, _ = apart.split(apart.with_contents(need_samples(table)))
    signals = _signals(table)
    signals |= {CONSENSUS: _consensus(table, signals)} | {name: _numbers(table, f"metric.{name}") for name in _TRUTHS}
    return [
        _report(take(table, rows.tolist()), title, {key: values[rows] for key, values in signals.items()})
        for title, _, rows in _ranked_together(table)
    ]


def _ranked_together(table: pa.Table) -> list[tuple[str, str, NDArray[np.int64]]]:
    """The rows of the trials that are ranked among each other.

    Each with a title, `s (n_clusters 2, iris)`, and what of it tells them from others of the study; empty if alone.
    """
    places = _rows_by_place(table)
    called = data_sets.names(table, data_sets.of_rows(table))
    found: list[tuple[str, str, NDArray[np.int64]]] = []
    for study, data, count in sorted(places, key=lambda one: (one[0], called[one[1]], number(one[2]).rjust(9))):
        own = [place for place in places if place[0] == study]
        parts = [f"n_clusters {number(count)}"] if len({of for *_, of in own}) > 1 else []
        parts += [called[data]] if len({of for _, of, _ in own}) > 1 else []
        name = ", ".join(parts)
        found.append((f"{study} ({name})" if name else study, name, places[study, data, count]))
    return found


def comparable(table: pa.Table, metric: str) -> list[tuple[str, pa.Table]]:
    """The rows that a metric compares, each part under a name: by consensus those that are ranked among each other.

    By other metrics they are those of a data set.
    """
    if metric != CONSENSUS:
        return data_sets.split(table)
    found = _ranked_together(table)
    apart_by_name = len({name for _, name, _ in found} - {""}) == len(found)
    return [(name if apart_by_name else title, take(table, rows.tolist())) for title, name, rows in found]


def spearman(first: Vector, second: Vector) -> float | None:
    """Spearman's rank correlation over positions where both have a value; None for fewer than three or no spread."""
    # Not from scipy: importing `scipy.stats` takes longer than a whole `conclus aggregate`.
    there = np.isfinite(first) & np.isfinite(second)
    a, b = _ranks(first[there]), _ranks(second[there])
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _signals(table: pa.Table) -> dict[str, Vector]:
    """The criteria by name; NaN if a trial has no value or is not finished."""
    found = {name: _numbers(table, f"health.{name}") for name in (*CRITERIA, *OTHERS)}
    if PROBES in table.column_names:
        found[STABILITY] = _stability(table, _labels(table))
    lone = np.isnan(found["raw_silhouette"]) & np.isfinite(found["knn_consistency"])
    found["raw_silhouette"][lone] = -1.0
    found["knn_consistency"][lone] = 0.0  # In rows of conclus 0.2 it is 1.
    return found


def _numbers(table: pa.Table, column: str) -> Vector:
    """The finite values of finished trials, NaN elsewhere."""
    values = np.full(table.num_rows, np.nan)
    if column in table.column_names:
        stored = np.array(table[column].to_pylist(), np.float64)
        kept = np.isfinite(stored) & np.array([status in FINISHED for status in table["status"].to_pylist()], bool)
        values[kept] = stored[kept]
    return values


class Probes:
    """The clusters of each trial's probed samples, taken out of its rows as they are read.

    They are most of the bytes that a leaderboard reads, and each step that orders or chooses rows would copy them.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[str, ...], NDArray[Any]] = {}

    def take_out(self, table: pa.Table) -> pa.Table:
        """The rows without `probe_labels`."""
        if PROBES not in table.column_names:
            return table
        self._of |= {key: one for key, one in zip(_attempts(table), _labels(table), strict=True) if len(one)}
        return table.drop_columns([PROBES])

    def with_stability(self, table: pa.Table) -> pa.Table:
        """The rows with `health.stability`, which `with_consensus` uses in place of `probe_labels`; forgets these."""
        if not self._of:  # as of an import: no signal is made up for it
            return table
        values = _stability(table, [self._of.get(key, np.empty(0, np.uint8)) for key in _attempts(table)])
        self._of.clear()
        return table.append_column(f"health.{STABILITY}", _column(values))


def _attempts(table: pa.Table) -> Iterable[tuple[str, ...]]:
    return zip(*(table[name].to_pylist() for name in ("study", "trial_key", "attempt_id")), strict=True)


def _labels(table: pa.Table) -> list[NDArray[Any]]:
    """The probed clusters of each row, in a byte each where they are fewer than 256; none where it has none."""
    lists = table[PROBES].combine_chunks()
    # Not to_numpy(): that imports pandas.
    flat = np.from_dlpack(lists.flatten())
    flat = flat.astype(np.uint8) if flat.size and flat.min() >= 0 and flat.max() < 256 else flat
    ends = np.cumsum([count or 0 for count in lists.value_lengths().to_pylist()])
    return np.split(flat, ends[:-1]) if len(ends) else []


def _stability(table: pa.Table, labels: Sequence[NDArray[Any]]) -> Vector:
    """Each trial's mean agreement with the other seeds of its configuration that have as many labels; NaN without."""
    values = np.full(table.num_rows, np.nan)
    alike: dict[tuple[int, int], list[list[int]]] = {}
    for rows in _cells(table).values():
        for length in {len(labels[row]) for row in rows} - {0}:
            same = [row for row in rows if len(labels[row]) == length]
            alike.setdefault((len(same), length), []).append(same)
    for cells in alike.values():
        for start in range(0, len(cells), _TOGETHER):
            some = cells[start : start + _TOGETHER]
            values[np.array(some)] = _means(agreements(np.array([[labels[row] for row in same] for same in some])))
    return values


def _consensus(table: pa.Table, signals: Mapping[str, Vector]) -> Vector:
    values = np.full(table.num_rows, np.nan)
    matrix = np.stack([signals[name] for name in CRITERIA], axis=1)
    there = np.flatnonzero(np.isfinite(matrix).any(axis=1))
    for same in _rows_by_place(table).values():
        rows = np.intersect1d(same, there)
        means = _means(np.stack([_shares(column) for column in matrix[rows].T], axis=1))
        values[rows] = np.where(np.isnan(means), 0.5, means)
    return values


def _places(table: pa.Table) -> list[tuple[Any, ...]]:
    """What trials that are ranked among each other share: the study, the data set and `n_clusters`."""
    counts = column_cells(table, f"{PARAM}n_clusters")
    return list(zip(table["study"].to_pylist(), data_sets.of_rows(table), counts, strict=True))


def _rows_by_place(table: pa.Table) -> dict[tuple[Any, ...], NDArray[np.int64]]:
    """The rows of the trials that are ranked among each other."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, place in enumerate(_places(table)):
        found.setdefault(place, []).append(row)
    return {place: np.array(rows, np.int64) for place, rows in found.items()}


def _shares(values: Vector) -> Vector:
    """Ranks scaled to 0 to 1; NaN where there is no value, and everywhere if all values are equal."""
    shares = np.full(len(values), np.nan)
    there = np.isfinite(values)
    if there.any() and np.ptp(values[there]) > 0:
        shares[there] = _ranks(values[there]) / (there.sum() - 1)
    return shares


def _ranks(values: Vector) -> Vector:
    """Ranks from 0; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[places]


def _means(rows: Vector) -> Vector:
    """The mean of the finite values of each row (…, n); NaN if a row has none."""
    counts = (there := np.isfinite(rows)).sum(axis=-1)
    return np.where(counts, np.where(there, rows, 0.0).sum(axis=-1) / np.maximum(counts, 1), np.nan)


def _cells(table: pa.Table) -> dict[Key, list[int]]:
    """The finished rows of each configuration of each study."""
    cells: dict[Key, list[int]] = {}
    identity = zip(*(table[name].to_pylist() for name in ("study", "config_key", "status")), strict=True)
    for row, (study, config_key, status) in enumerate(identity):
        if status in FINISHED:
            cells.setdefault((study, config_key), []).append(row)
    return cells


def _report(table: pa.Table, study: str, signals: Mapping[str, Vector]) -> CriteriaReport:
    cells = list(_cells(table).values())
    means = {name: _cell_means(values, cells) for name, values in signals.items()}
    known = means["nmi"][np.isfinite(means["nmi"])]
    params = _varying(table, [rows[0] for rows in cells])
    names = [name for name in (CONSENSUS, *CRITERIA, *OTHERS) if len(cells) > 1 and np.isfinite(means[name]).any()]
    return CriteriaReport(
        study=study,
        best=float(known.max()) if known.size else None,
        average=float(known.mean()) if known.size else None,
        choices=tuple(_choice(name, means, params) for name in names),
    )


def _cell_means(values: Vector, cells: Iterable[Sequence[int]]) -> Vector:
    return np.array([_means(values[None, rows])[0] for rows in cells], np.float64)


def _choice(criterion: str, means: Mapping[str, Vector], params: Sequence[Mapping[str, Any]]) -> Choice:
    values, nmi = means[criterion], means["nmi"]
    chosen = np.flatnonzero(values == np.nanmax(values))
    reached = _means(nmi[None, chosen])[0]
    known = bool(np.isfinite(reached))
    return Choice(
        criterion=criterion,
        n=int(np.isfinite(values).sum()),
        correlations={name: spearman(values, means[name]) for name in _TRUTHS},
        nmi=float(reached) if known else None,
        regret=float(np.nanmax(nmi) - reached) if known else None,
        params=params[int(chosen[0])],
    )


def _varying(table: pa.Table, rows: Sequence[int]) -> list[dict[str, Any]]:
    """The parameters of each row that differ between rows, by short name."""
    values = {name: table[name].to_pylist() for name in table.column_names if name.startswith(PARAM)}
    cells = {name.removeprefix(PARAM): [column[row] for row in rows] for name, column in values.items()}
    constant, _ = constants(cells)
    names = short_names(cells)
    varying = sorted((key for key in cells if key not in constant), key=lambda key: key != METHOD)
    return [{names[key]: cells[key][place] for key in varying} for place in range(len(rows))]
