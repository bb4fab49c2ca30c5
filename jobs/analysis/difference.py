"""What changed between two sets of results, and how the metric of each configuration changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import pyarrow as pa

from core.errors import UserError
from jobs.analysis import apart, data_sets
from jobs.analysis.intervals import ALPHA, Estimate, half_width, mean, paired, paired_p, resolution, rounding
from jobs.analysis.outcomes import lost
from jobs.analysis.samples import constants, samples
from jobs.analysis.scores import is_loss, metric_column, plug_in_names, quality_metric, rescales_loss
from jobs.results import records
from jobs.results.header import FINISHED
from jobs.results.identity import PROTOCOL
from jobs.results.names import PARAM
from jobs.results.reader import column_cells

COLUMNS = ("param.*", *apart.COLUMNS, "code_hash", "data_hash", "env_hash", "env_json", "reason")
"""The columns that this module reads, besides the metric and those that identify a trial."""
_STUDY, _DATA, _PROTOCOL = "study", "data_hash", "protocol"
_PLACE = "data.path"
"""The path of a data set, which is not compared: it does not tell the content."""

_FAILED = {(True, False): "failed in A", (False, True): "failed in B", (True, True): "failed in both"}

ENOUGH_SEEDS = 3
"""The fewest shared seeds from which `=` is said; with two, Student's factor is 12.7."""

Identity = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """Something that has one value in all of A and another in all of B.

    Attributes:
        what: A parameter's dotted key, `code`, or the name of a package.
        before: Its value in A; None if it has none.
        after: Its value in B; None if it has none.
    """

    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Pair:
    """A configuration that is in both A and B.

    Attributes:
        params: The parameters in which configurations differ.
        before: Mean of the metric in A over the shared seeds; if none is shared, over its own; None without any.
        after: The same in B.
        seeds: Number of seeds that both have.
        difference: Mean of B - A over the shared seeds; None without any.
        half_width: Half the 95 % t-interval of that mean; None for fewer than two shared seeds. The intervals of all
            configurations hold together (Bonferroni).
        verdict: `better` or `worse` for B if that interval leaves out 0, `=` if `ENOUGH_SEEDS` shared seeds or more
            show no difference, `?` if fewer show none: they could hardly show one. `failed in A`, `failed in B`
            or `failed in both` if the training failed there with every seed.
    """

    params: Mapping[str, Any]
    before: float | None
    after: float | None
    seeds: int
    difference: float | None
    half_width: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sets of results side by side.

    Attributes:
        metric: The column that is compared.
        mode: `max` or `min`, whichever is better.
        changes: What has one value in all of A and another in all of B.
        pairs: The configurations in both.
        overall: The mean difference over all of them; None for fewer than three pairs of trials.
        only_before: The configurations only in A, by the parameters in which configurations differ.
        only_after: The configurations only in B, likewise.
        imported: Number of rows in both that were imported from a user's own table.
        lost: Number of trials in both whose training failed, which have no value.
        equal: Number of configurations whose scores of all shared seeds are equal to the last digit.
    """

    metric: str
    mode: str
    changes: tuple[ChangedValue, ...]
    pairs: tuple[Pair, ...]
    overall: Estimate | None
    only_before: tuple[Mapping[str, Any], ...]
    only_after: tuple[Mapping[str, Any], ...]
    imported: int
    lost: int
    equal: int


@dataclass(slots=True)
class _Side:
    """One set of results: the parameters and the value of each row."""

    rows: list[dict[str, Any]]
    seeds: list[int]
    values: list[float | None]
    failed: list[bool]
    code: set[str]
    versions: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    imported: int = 0

    def one(self, key: str) -> tuple[bool, Any]:
        """Whether a key has the same value in all rows, and that value."""
        found = {row.get(key) for row in self.rows}
        return len(found) == 1, next(iter(found))

    def failures(self, keys: Sequence[str]) -> set[Identity]:
        """The configurations of which training failed with every seed."""
        rows = [tuple((key, row.get(key)) for key in keys) for row in self.rows]
        failed = {row for row, is_lost in zip(rows, self.failed, strict=True) if is_lost}
        return failed - {row for row, is_lost in zip(rows, self.failed, strict=True) if not is_lost}

    def cells(self, keys: Sequence[str]) -> dict[Identity, dict[int, float]]:
        """The values of each configuration by seed; a configuration is identified by its values of `keys`."""
        cells: dict[Identity, dict[int, float]] = {}
        for row, seed, value in zip(self.rows, self.seeds, self.values, strict=True):
            cell = cells.setdefault(tuple((key, row.get(key)) for key in keys), {})
            if value is not None:
                cell[seed] = value
        return cells


def difference(before: pa.Table, after: pa.Table, metric: str, mode: str) -> Difference:
    """Compares two results tables, A and B.

    A parameter that has one value in all of A and another in all of B counts as changed. Configurations are the same
    if all other parameters and the content of the data agree: no score is compared across data sets. Each seed is
    compared only with the same seed.

    Args:
        before: The rows of A from `read_results` with `COLUMNS` and the metric, one per trial.
        after: The rows of B, likewise.
        metric: A metric's name, such as `nmi`.
        mode: `max` or `min`.

    Raises:
        UserError: Neither has the metric, or it is a loss and a changed parameter rescales it, or no data set is in
            both.
    """
    column = metric_column([*before.column_names, *after.column_names], metric)
    before, after = _with_names(before, after)
    a, b = _side(before, column), _side(after, column)
    keys = sorted({key for row in (*a.rows, *b.rows) for key in row})
    changed = [key for key in keys if _is_changed(a, b, key)]
    _refuse_rescaled(metric, column, [key for key in changed if key != _STUDY], [*a.rows, *b.rows])
    kept = [key for key in keys if key not in changed]
    cells_a, cells_b = a.cells(kept), b.cells(kept)
    telling = _differing_keys([*cells_a, *cells_b])
    shared = sorted(cells_a.keys() & cells_b.keys(), key=str)
    cells = [(_params(one, telling), cells_a[one], cells_b[one]) for one in shared]
    failed_a, failed_b = a.failures(kept), b.failures(kept)
    sides = [(one in failed_a, one in failed_b) for one in shared]
    pairs = [
        replace(pair, verdict=_FAILED.get(side, pair.verdict))
        for pair, side in zip(_pairs(cells, mode), sides, strict=True)
    ]
    return Difference(
        metric=column,
        mode=mode,
        changes=(*_changed_params(a, b, changed), *_changed_code(a, b)),
        pairs=tuple(pairs),
        overall=_overall(cells),
        only_before=tuple(_params(one, telling) for one in sorted(cells_a.keys() - cells_b.keys(), key=str)),
        only_after=tuple(_params(one, telling) for one in sorted(cells_b.keys() - cells_a.keys(), key=str)),
        imported=a.imported + b.imported,
        lost=sum(a.failed) + sum(b.failed),
        equal=sum(_is_equal(a, b) for _, a, b in cells),
    )


def _with_names(before: pa.Table, after: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The tables with the name of each data set in `data_hash`, equal for the same data; see `data_sets.names`.

    Raises:
        UserError: No data set is in both.
    """
    columns = dict.fromkeys([*before.column_names, *after.column_names])
    columns = [name for name in columns if name in {_DATA, _STUDY} or name.startswith(f"{PARAM}{data_sets.DATA}")]
    parts = [table.select([name for name in columns if name in table.column_names]) for table in (before, after)]
    both = pa.concat_tables(parts, promote_options="permissive")
    found = data_sets.of_rows(both)
    names = data_sets.names(both, found)
    told = [names[one] if data_sets.is_known(one) else None for one in found]
    a, b = told[: before.num_rows], told[before.num_rows :]
    if None not in {*a, *b} and a and b and not {*a} & {*b}:
        raise UserError(
            f"A is of {_listed({*a})}, B of {_listed({*b})}: no data set is in both, and no score is compared across "
            "data sets. Give results on the same data."
        )
    return _with_data(before, a), _with_data(after, b)


def _with_data(table: pa.Table, names: Sequence[str | None]) -> pa.Table:
    rest = table.drop_columns(_DATA) if _DATA in table.column_names else table
    return rest.append_column(_DATA, pa.array(names, pa.string()))


def _is_equal(a: Mapping[int, float], b: Mapping[int, float]) -> bool:
    """Whether two or more seeds are shared, and all of them have the same score in both."""
    shared = a.keys() & b.keys()
    return len(shared) > 1 and all(a[seed] == b[seed] for seed in shared)


def _side(table: pa.Table, column: str) -> _Side:
    table, _ = samples(table)
    table = apart.with_contents(table, all_=True)
    params = {name.removeprefix(PARAM): name for name in table.column_names if name.startswith(PARAM)}
    sources = {key: name for key, name in params.items() if key != _PLACE} | {_STUDY: "study", _DATA: "data_hash"}
    cells = {key: table[name].to_pylist() for key, name in sources.items() if name in table.column_names}
    cells[_PROTOCOL] = [PROTOCOL if one is None else one for one in apart.protocols(table)]
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    own = [source != "import" for source in column_cells(table, "source")]
    code = {hash_ for hash_, is_own in zip(column_cells(table, "code_hash"), own, strict=True) if is_own and hash_}
    values = _values(table, column)
    side = _Side(rows, table["seed"].to_pylist(), values, lost(table), code, imported=own.count(False))
    for text in {text for text, is_own in zip(column_cells(table, "env_json"), own, strict=True) if is_own and text}:
        for name, version in records.versions(text).items():
            side.versions.setdefault(name, set()).add(version)
    return side


def _values(table: pa.Table, column: str) -> list[float | None]:
    """The metric of finished trials, None elsewhere."""
    pairs = zip(column_cells(table, column), table["status"].to_pylist(), strict=True)
    return [value if status in FINISHED and value is not None and isfinite(value) else None for value, status in pairs]


def _is_changed(a: _Side, b: _Side, key: str) -> bool:
    (is_one_a, value_a), (is_one_b, value_b) = a.one(key), b.one(key)
    return is_one_a and is_one_b and value_a != value_b


def _refuse_rescaled(metric: str, column: str, changed: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    plug_ins = plug_in_names(rows)
    keys = [key for key in changed if rescales_loss(key, plug_ins)] if is_loss(column) else []
    if keys:
        raise UserError(
            f"A and B cannot be compared by {metric!r}: they differ in {', '.join(keys)}, which can rescale the loss. "
            f"Give a quality metric, such as --metric {quality_metric(keys)}."
        )


def _changed_params(a: _Side, b: _Side, changed: Sequence[str]) -> list[ChangedValue]:
    return [ChangedValue(key, a.one(key)[1], b.one(key)[1]) for key in changed if key != _STUDY]


def _changed_code(a: _Side, b: _Side) -> list[ChangedValue]:
    """Changes of code and packages, which do not belong to a configuration; each side may have several versions."""
    both = {"code": (a.code, b.code)}
    both |= {
        name: (a.versions.get(name, set()), b.versions.get(name, set())) for name in sorted({*a.versions, *b.versions})
    }
    return [
        ChangedValue(name, _listed(x), _listed(y)) for name, (x, y) in both.items() if x != y and (a.code or b.code)
    ]


def _listed(values: Iterable[str | None]) -> str | None:
    return ", ".join(sorted(filter(None, values))) or None


def _differing_keys(cells: Sequence[Identity]) -> set[str]:
    """The keys that tell any two of the configurations apart."""
    rows = [dict(identity) for identity in cells]
    values = {key: [row.get(key) for row in rows] for key in {key for row in rows for key in row}}
    return values.keys() - constants(values)[0].keys()


def _params(identity: Identity, telling: set[str]) -> dict[str, Any]:
    """The parameters to show; a data set by its name, which stands for its other parameters."""
    by_name = _DATA in telling
    return {
        "data" if key == _DATA else key: value
        for key, value in identity
        if key in telling and not (by_name and key.startswith(data_sets.DATA))
    }


Cells = Sequence[tuple[dict[str, Any], dict[int, float], dict[int, float]]]
"""The parameters of each configuration, and its values in A and in B by seed."""


def _rounded(cells: Cells) -> float:
    """The variance that rounding adds to a difference of two values."""
    return 2 * rounding(resolution(value for _, *sides in cells for side in sides for value in side.values()))


def _overall(cells: Cells) -> Estimate | None:
    import numpy as np

    found = [
        (b[seed] - a[seed], place, seed)
        for place, (_, a, b) in enumerate(cells)
        for seed in sorted(a.keys() & b.keys())
    ]
    differences, places, seeds = np.array(found, np.float64).reshape(-1, 3).T
    return paired(differences, places.astype(np.int64), seeds.astype(np.int64), _rounded(cells))


def _pairs(cells: Cells, mode: str) -> list[Pair]:
    rounded = _rounded(cells)
    found = [[b[seed] - a[seed] for seed in sorted(a.keys() & b.keys())] for _, a, b in cells]
    known = max(1, sum(len(differences) > 1 for differences in found))
    told = [len(one) > 1 and paired_p(one, rounded, known) <= ALPHA for one in found]
    return [
        Pair(
            params=params,
            before=_mean_beside(a, b),
            after=_mean_beside(b, a),
            seeds=len(differences),
            difference=mean(differences) if differences else None,
            half_width=half_width(differences, rounded, known),
            verdict=_verdict(differences, mode, is_told=is_told),
        )
        for (params, a, b), differences, is_told in zip(cells, found, told, strict=True)
    ]


def _mean_beside(own: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """The mean over the seeds of both, as that of the difference is; without such seeds, over its own."""
    values = [own[seed] for seed in sorted(own.keys() & other.keys())] or [*own.values()]
    return mean(values) if values else None


def _verdict(differences: Sequence[float], mode: str, *, is_told: bool) -> str:
    if not is_told:
        return "=" if len(differences) >= ENOUGH_SEEDS else "?"
    return "better" if (mean(differences) > 0) == (mode == "max") else "worse"
