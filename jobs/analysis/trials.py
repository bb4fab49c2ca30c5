"""Finished trials as arrays: a metric's values and the varied parameters, for the effect and importance analyses.

`gather(table, metric)` reads them from a results table; `Trials` can be made of plain arrays as well.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.config.schema import did_you_mean
from core.errors import UserError, counted
from jobs.analysis import apart, data_sets, outcomes, selection
from jobs.analysis.data_sets import DATA
from jobs.analysis.intervals import resolution, rounding
from jobs.analysis.outcomes import codes, lost, refuse_without_value
from jobs.analysis.samples import constants, need_samples
from jobs.analysis.scores import CONSENSUS, metric_column
from jobs.results.header import FINISHED
from jobs.results.names import PARAM, may_mean, resolve, spelled

Vector = NDArray[np.float64]
Codes = NDArray[np.int64]
Matrix = NDArray[np.float64]
GRID = 6
"""The most values of a number that have one effect each; with more, the effect is a parabola."""
_IMPORTED = " that varies; {}. A column of an imported table may have another name here: conclus import tells which."
_BROKEN = frozenset({"COLLAPSED", "DIVERGED", "TOPIC_COLLAPSE"})
"""Warnings of trials that learned nothing, so that their scores are of no use."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A parameter, or the seed, as it was varied.

    Attributes:
        key: Its dotted key.
        levels: Its different values, numbers in order.
        codes: For each trial, the position of its value in `levels`; -1 if it has none.
    """

    key: str
    levels: tuple[Any, ...]
    codes: Codes

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers and so have an order."""
        return all(isinstance(level, int | float) and not isinstance(level, bool) for level in self.levels)


@dataclass(frozen=True, slots=True)
class Trials:
    """Finished trials with a finite value of one metric.

    Attributes:
        column: The metric's column, such as `metric.nmi`.
        values: Its value per trial.
        seeds: The seeds; an imported row without one has a level of its own.
        data: The name of the data set; see `jobs.analysis.data_sets.names`.
        factors: The parameters that tell these trials apart, by dotted key; see `samples.constants`.
        constant: The value of each other parameter, by dotted key.
        seconds: Wall time per trial; NaN if unknown.
        left_out: Number of finished trials without a finite value.
        with_method: Those of `constant` that go with the method.
        lost: Number of trials whose training failed, which have no value; see `jobs.analysis.outcomes.lost`.
        broken: For each trial, whether it collapsed or diverged, though it has a value; None if none is known to.
    """

    column: str
    values: Vector
    seeds: Factor
    data: Factor
    factors: Mapping[str, Factor]
    constant: Mapping[str, Any]
    seconds: Vector
    left_out: int = 0
    with_method: frozenset[str] = frozenset()
    lost: int = 0
    broken: NDArray[np.bool_] | None = None

    @property
    def plug_ins(self) -> dict[str, tuple[Any, ...]]:
        """The names of the trials' plug-ins by key, as `{"method.name": ("cc", "tcl")}`."""
        names = {key: (value,) for key, value in self.constant.items() if key.endswith(".name")}
        return names | {key: factor.levels for key, factor in self.factors.items() if key.endswith(".name")}

    def goes_with_data(self, key: str) -> bool:
        """Whether a parameter is an option of several data sets: no score is compared across these."""
        return key.startswith(DATA) and len(np.unique(self.data.codes)) > 1

    def groups(self, without: Collection[str] = (), *, seeds: bool) -> Codes:
        """The group number of each trial; trials of a group share the data and all parameters except `without`.

        Args:
            without: Keys of parameters that may differ in a group; with a key of `data`, the data set may differ too.
            seeds: Whether trials of a group also share the seed.
        """
        columns = [self.seeds.codes] if seeds else []
        if not any(key.startswith("data.") for key in without):
            columns.append(self.data.codes)
        columns += [factor.codes for key, factor in self.factors.items() if key not in without]
        return combined(columns, len(self.values))

    def only(self, wanted: NDArray[np.bool_]) -> "Trials":
        """The trials that `wanted` marks; factors keep all their levels."""
        return Trials(
            self.column,
            self.values[wanted],
            _part(self.seeds, wanted),
            _part(self.data, wanted),
            {key: _part(factor, wanted) for key, factor in self.factors.items()},
            self.constant,
            self.seconds[wanted],
            self.left_out,
            self.with_method,
            self.lost,
            None if self.broken is None else self.broken[wanted],
        )

    def within_data(self) -> "Trials":
        """The trials with values as differences from the mean of their data set, and without parameters of the data.

        With one data set, they stay as they are: no score is compared across data sets.
        """
        if len(np.unique(self.data.codes)) < 2:
            return self
        means = np.bincount(self.data.codes, self.values) / np.maximum(np.bincount(self.data.codes), 1)
        factors = {key: factor for key, factor in self.factors.items() if not key.startswith(DATA)}
        return replace(self, values=self.values - means[self.data.codes], factors=factors)

    def by_data_set(self, *keys: str) -> "Trials":
        """The trials with the data set in place of these parameters of it, and without its other parameters.

        An option of several data sets, such as the name of the library that they are of, tells no two of them apart.
        With one data set, or for other parameters, they stay as they are.
        """
        if len(np.unique(self.data.codes)) < 2 or not any(key.startswith(DATA) for key in keys):
            return self
        rest = {key: factor for key, factor in self.factors.items() if not key.startswith(DATA)}
        return replace(self, factors=rest | {key: replace(self.data, key=key) for key in keys if key.startswith(DATA)})

    def limits(self) -> list[str]:
        """Sentences on what any conclusion from these trials leaves open."""
        said = [lost_note(self.lost)] if self.lost else []
        if len(self.values) > 1 and len(np.unique(self.seeds.codes)) == 1:
            said.append("All trials have the same seed: this holds for that seed alone.")
        return said


@dataclass(frozen=True, slots=True)
class Means:
    """The mean of each configuration, and the scatter of its seeds.

    Attributes:
        values: One mean per configuration.
        factors: The parameters that vary, one code per configuration.
        noise: Variance of single trials within a configuration, at least that of rounding; None if nothing was
            repeated.
        freedom: Degrees of freedom of `noise`.
        per_mean: Mean of 1/n over configurations: the noise of a mean is `noise * per_mean`.
        rounded: The variance that rounding adds to a value.
        singles: The values of single trials.
        owners: The configuration of each single trial.
        seeds: The seed of each single trial, numbered from 0.
        counts: Number of trials per configuration.
        seed: Mean square of what a seed adds to all configurations, and its degrees of freedom; None if configurations
            share too few seeds.
        own: Variance of single trials without what a seed adds to all configurations, and its degrees of freedom; None
            if nothing was repeated.
    """

    values: Vector
    factors: Mapping[str, Factor]
    noise: float | None
    freedom: int
    per_mean: float
    rounded: float
    singles: Vector
    owners: Codes
    seeds: Codes
    counts: Codes
    seed: tuple[float, int] | None
    own: tuple[float, int] | None

    @classmethod
    def of(cls, trials: Trials) -> "Means":
        """The means of the trials' configurations."""
        owners = trials.groups(seeds=False)
        _, first = np.unique(owners, return_index=True)
        _, seeds = np.unique(trials.seeds.codes, return_inverse=True)
        counts = np.bincount(owners)
        means = np.bincount(owners, trials.values) / counts
        freedom = len(owners) - len(counts)
        residual = trials.values - means[owners]
        within, repeats = float(residual @ residual), np.bincount(seeds)
        by_seed, others = float((np.bincount(seeds, residual) ** 2 / repeats).sum()), len(repeats) - 1
        rounded = rounding(resolution(trials.values.tolist()))
        factors = {key: replace(factor, codes=factor.codes[first]) for key, factor in trials.factors.items()}
        if len(trials.data.levels) > 1 and not any(key.startswith("data.") for key in factors):
            factors["data"] = replace(trials.data, codes=trials.data.codes[first])
        noise = max(within / freedom, rounded) if freedom else None
        per_mean = float((1 / counts).mean())
        own = None if noise is None else (noise, freedom)
        is_crossed = others > 0 and freedom > others
        if is_crossed:
            own = max((within - by_seed) / (freedom - others), rounded), freedom - others
        seed = (by_seed / others, others) if is_crossed else None
        return cls(means, factors, noise, freedom, per_mean, rounded, trials.values, owners, seeds, counts, seed, own)

    @property
    def variance(self) -> float:
        """The variance of one trial of a randomly picked configuration; not below that within configurations."""
        between = float(self.values.var(ddof=1)) if len(self.values) > 1 else 0.0
        # What a seed adds to all configurations is not in the differences between their means.
        return (self.noise or 0.0) + max(0.0, between - (self.own[0] if self.own else 0.0) * self.per_mean)

    def scatter(self) -> tuple[Vector, Vector] | None:
        """The variance of each mean by the scatter of its seeds, and its degrees of freedom; None without repeats.

        A configuration that was run once has the noise of all.
        """
        if self.noise is None:
            return None
        squares = np.bincount(self.owners, (self.singles - self.values[self.owners]) ** 2)
        own = np.maximum(squares / np.maximum(self.counts - 1, 1), self.rounded)
        is_repeated = self.counts > 1
        variances = np.where(is_repeated, own, self.noise) / self.counts
        return variances, np.where(is_repeated, self.counts - 1, self.freedom).astype(np.float64)


def wanted_columns(metric: str) -> list[str]:
    """The columns that `gather` reads."""
    names = [f"metric.{metric}", f"health.{metric}", metric, "data_hash", "seconds", *outcomes.COLUMNS, *apart.COLUMNS]
    return [f"{PARAM}*", *names, *(selection.COLUMNS if metric == CONSENSUS else ())]


def gather(table: pa.Table, metric: str, columns: Sequence[str] = ()) -> Trials:
    """The finished trials of a results table that have a value of the metric, of one protocol.

    Args:
        table: Rows from `jobs.results.reader`, one per trial, with `wanted_columns(metric)`.
        metric: A metric's name: `nmi`, `best.nmi`, `raw_silhouette`, `consensus`.
        columns: All columns of the results, to suggest a name if the metric is not known.

    Raises:
        UserError: There is no such metric, no finished trial has a value of it, or all are members of populations;
            or it is the consensus, and the trials are not ranked among each other.
    """
    table, _ = apart.split(apart.with_contents(need_samples(table)))
    if metric == CONSENSUS:
        table = selection.with_consensus(table)
        selection.refuse_mixed(table)
    column = metric_column([*table.column_names, *columns], metric)
    finished = np.array([status in FINISHED for status in table["status"].to_pylist()], bool)
    stored = np.array(table[column].to_pylist(), np.float64)
    there = finished & np.isfinite(stored)
    if not there.any():
        refuse_without_value(table, metric, columns)
    params = dict(_params(table, there))
    constant, with_method = constants(params)
    return Trials(
        column=column,
        values=stored[there],
        seeds=factor_of("seed", _picked(table, "seed", there)),
        data=factor_of("data", _data(table, there)),
        factors={key: factor_of(key, values) for key, values in params.items() if key not in constant},
        constant={key: value for key, value in constant.items() if value is not None},
        seconds=np.array(
            _picked(table, "seconds", there) if "seconds" in table.column_names else [None] * int(there.sum()),
            np.float64,
        ),
        left_out=int(finished.sum() - there.sum()),
        with_method=with_method,
        lost=sum(lost(table)),
        broken=np.array([bool(_BROKEN & own) for own in codes(table)], bool)[there]
        if "reason" in table.column_names
        else None,
    )


def lost_note(count: int) -> str:
    """A sentence on trials that are missing because their training failed."""
    return (
        f"{counted(count, 'trial')} failed in training (diverged, out of memory or time, or stopped by a rule of "
        "health) and so are missing here: a value that makes trials fail may look better than it is."
    )


def param_key(name: str, trials: Trials) -> str:
    """The dotted key of a parameter that varies; `method` is short for `method.name`.

    Raises:
        UserError: No parameter or several parameters fit the name, or it has the same value in all trials.
    """
    columns = [f"{PARAM}{key}" for key in (*trials.factors, *trials.constant)]
    plug_in = f"{PARAM}{name.removeprefix(PARAM)}.name"
    ways = {name.removeprefix(PARAM), spelled(name.removeprefix(PARAM))}
    if plug_in not in columns and not any(may_mean(way, one.removeprefix(PARAM)) for way in ways for one in columns):
        near = did_you_mean(name, [ending for one in columns for ending in (one, one.rpartition(".")[2])])
        raise UserError(f"There is no parameter {name!r}{near or _IMPORTED.format(_listed(trials.factors))}")
    column = plug_in if plug_in in columns else resolve(name, columns)
    key = column.removeprefix(PARAM)
    if key in trials.constant:
        value = trials.constant[key]
        shown = int(value) if isinstance(value, float) and value.is_integer() else value  # columns hold floats
        why = (
            "goes with the method: all trials of a method have the same, so its effect cannot be told from the method's"
            if key in trials.with_method
            else f"is {shown!r} in every finished trial, so its effect cannot be measured"
        )
        raise UserError(f"{key} {why}. Name a parameter that varies, as {_listed(trials.factors)}.")
    return key


def factor_of(key: str, values: Sequence[Any]) -> Factor:
    """One value per trial as levels and codes; None stands for no value and is not a level."""
    there = {value for value in values if value is not None}
    levels = tuple(sorted(there, key=lambda value: (isinstance(value, str), value)))
    places: dict[Any, int] = {level: place for place, level in enumerate(levels)} | {None: -1}
    return Factor(key, levels, np.array([places[value] for value in values], np.int64))


def log_spaced(levels: Sequence[Any]) -> bool:
    """Whether numbers are spaced by ratios rather than differences; two are if one is at least twice the other."""
    if not all(isinstance(level, int | float) and level > 0 for level in levels) or len(levels) < 2:
        return False
    if len(levels) == 2:
        return levels[1] >= 2 * levels[0]
    return _unevenness([math.log(level) for level in levels]) < _unevenness(levels)


def _unevenness(levels: Sequence[float]) -> float:
    steps = np.diff(np.array(levels, np.float64))
    return float(steps.std() / steps.mean())


def basis(factor: Factor) -> Matrix:
    """Centred columns that span a parameter's effects; rows without a value are zero. A single value has no columns."""
    there = factor.codes >= 0
    levels, codes = np.unique(factor.codes[there], return_inverse=True)
    if len(levels) < 2:
        return np.zeros((len(there), 0))
    if factor.is_number and len(levels) > GRID:
        ranks = 2 * codes / (len(levels) - 1) - 1
        own = np.stack([ranks, ranks**2], axis=1)
    else:
        own = np.eye(len(levels))[codes][:, 1:]
    columns = np.zeros((len(there), own.shape[1]))
    columns[there] = own - own.mean(axis=0)
    return columns


def combined(columns: Sequence[Codes], count: int) -> Codes:
    """Numbers the distinct rows of the columns from 0; returns the number of each row, shape (count,)."""
    codes = np.zeros(count, np.int64)
    for column in columns:
        _, codes = np.unique(codes * (column.max(initial=0) + 2) + column + 1, return_inverse=True)
    return codes


def _part(factor: Factor, wanted: NDArray[np.bool_]) -> Factor:
    return Factor(factor.key, factor.levels, factor.codes[wanted])


def _params(table: pa.Table, there: NDArray[np.bool_]) -> list[tuple[str, list[Any]]]:
    # The content of a data set counts, not its path on each machine.
    names = sorted(name for name in table.column_names if name.startswith(PARAM) and name != f"{PARAM}data.path")
    return [(name.removeprefix(PARAM), _picked(table, name, there)) for name in names]


def _picked(table: pa.Table, name: str, there: NDArray[np.bool_]) -> list[Any]:
    return [value for value, wanted in zip(table[name].to_pylist(), there, strict=True) if wanted]


def _data(table: pa.Table, there: NDArray[np.bool_]) -> list[str]:
    """The name of each trial's data set, no two of which are equal."""
    found = data_sets.of_rows(table)
    names = data_sets.names(table, found)
    return [names[one] for one, wanted in zip(found, there, strict=True) if wanted]


def _listed(factors: Mapping[str, Factor]) -> str:
    return f"{' and '.join(factors)} {'does' if len(factors) == 1 else 'do'}" if factors else "nothing does here"
