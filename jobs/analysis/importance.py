"""Which parameters matter: the variance of a metric, split among parameters, their interactions and luck.

`importance(trials)` is an analysis of variance of type II over the configurations' means (a repeat with another seed
is not a new observation). A parameter gets what it explains beyond all others. A parameter of up to `GRID` values has
one effect per value. One with more values, as in random search, has a parabola over the ranks of its values. Luck is
the variance of single trials between seeds of one configuration.

Other tools use a random forest or PED-ANOVA. Those give scores without errors, split the importance of correlated
parameters by accident, and take 1.8 s to import. Here the shares have intervals (from the non-central F distribution),
and the result names parameters that the trials cannot tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, ncfdtrinc

from core.errors import UserError, counted
from jobs.analysis.intervals import CONFIDENCE, holm
from jobs.analysis.scores import is_loss, metric_name, quality_metric, rescales_loss
from jobs.analysis.trials import Factor, Trials, Vector

GRID = 6
FEWEST_FREEDOM = 4
"""The fewest degrees of freedom of the error for which shares are given."""
MOST_PAIRS = 45
_EXACT = 5000.0
"""Above this value scipy cannot invert the distribution; the normal interval used instead covers 95 to 96 %."""
_ALIASED = 1e-8
_ENTANGLED = 0.1

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """What one parameter, or the interaction of two, explains.

    Attributes:
        keys: One or two dotted keys; `data` for the data set.
        share: Share of the variance between trials, 0 to 1; None if it cannot be told.
        low: Lower end of its 95 % interval, or None.
        high: Upper end, or None.
        p: The p-value of "it explains nothing", or None.
        verdict: `matters`, `not shown to matter`, or why it cannot be told.
    """

    keys: tuple[str, ...]
    share: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Importance:
    """The shares of one metric's variance.

    Attributes:
        column: The metric's column.
        parameters: One share per parameter that varies, the largest first.
        interactions: One per pair of them, the largest first.
        luck: Share of the variance between seeds of one configuration; None if nothing was repeated.
        trials: Number of trials.
        configurations: Number of configurations.
        notes: Sentences on the limits of these numbers.
    """

    column: str
    parameters: tuple[Share, ...]
    interactions: tuple[Share, ...]
    luck: float | None
    trials: int
    configurations: int
    notes: tuple[str, ...]


def importance(trials: Trials) -> Importance:
    """How much of the metric's variance each parameter and each pair of parameters explains.

    Args:
        trials: From `jobs.analysis.trials.gather`.

    Raises:
        UserError: No parameter varies, or the metric is a loss and a parameter that rescales it varies.
    """
    _refuse(trials)
    means = Means.of(trials)
    columns = {key: basis(factor) for key, factor in means.factors.items()}
    columns = {key: one for key, one in columns.items() if one.shape[1]}
    model = LeastSquares(columns, means.values)
    error = _error(model, means)
    total = means.variance
    parameters = [_parameter(model, key, error, total) for key in columns]
    interactions = [_pair(model, pair, means, total) for pair in _pairs(columns)]
    return Importance(
        column=trials.column,
        parameters=_with_verdicts(parameters),
        interactions=_with_verdicts(interactions),
        luck=None if means.noise is None or total == 0 else min(1.0, means.noise / total),
        trials=len(trials.values),
        configurations=len(means.values),
        notes=tuple(_notes(means, columns, error)),
    )


@dataclass(frozen=True, slots=True)
class Means:
    """The mean of each configuration, and the scatter of its seeds.

    Attributes:
        values: One mean per configuration.
        factors: The parameters that vary, one code per configuration.
        noise: Variance of single trials within a configuration; None if nothing was repeated.
        freedom: Degrees of freedom of `noise`.
        per_mean: Mean of 1/n over configurations: the noise of a mean is `noise * per_mean`.
    """

    values: Vector
    factors: Mapping[str, Factor]
    noise: float | None
    freedom: int
    per_mean: float

    @classmethod
    def of(cls, trials: Trials) -> "Means":
        """The means of the trials' configurations."""
        owners = trials.groups(seeds=False)
        _, first = np.unique(owners, return_index=True)
        counts = np.bincount(owners)
        means = np.bincount(owners, trials.values) / counts
        freedom = len(owners) - len(counts)
        within = float(((trials.values - means[owners]) ** 2).sum())
        factors = {key: replace(factor, codes=factor.codes[first]) for key, factor in trials.factors.items()}
        if len(trials.data.levels) > 1 and not any(key.startswith("data.") for key in factors):
            factors["data"] = replace(trials.data, codes=trials.data.codes[first])
        return cls(means, factors, within / freedom if freedom else None, freedom, float((1 / counts).mean()))

    @property
    def variance(self) -> float:
        """The variance of one trial of a randomly picked configuration."""
        between = float(self.values.var(ddof=1)) if len(self.values) > 1 else 0.0
        return between + (self.noise or 0.0) * (1 - self.per_mean)


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


class LeastSquares:
    """Least squares on centred columns; the products of the columns are computed once."""

    def __init__(self, columns: Mapping[str, Matrix], values: Vector) -> None:
        self.columns = columns
        self.values = values - values.mean()
        stacked = np.concatenate(list(columns.values()), axis=1) if columns else np.zeros((len(values), 0))
        self.design = stacked - stacked.mean(axis=0)
        self.gram = self.design.T @ self.design
        self.cross = self.design.T @ self.values
        ends = np.cumsum([0, *(one.shape[1] for one in columns.values())])
        self.places = {key: np.arange(a, b) for key, a, b in zip(columns, ends[:-1], ends[1:], strict=True)}

    def residual(self) -> tuple[float, int]:
        """The residual sum of squares of all columns together, and its degrees of freedom."""
        explained, rank = _explained(self.gram, self.cross)
        return max(0.0, float(self.values @ self.values) - explained), len(self.values) - 1 - rank

    def alone(self, key: str) -> tuple[float, int, float]:
        """The sum of squares that a parameter explains beyond the others; see `_explained_beyond`."""
        own = self.places[key]
        others = np.setdiff1d(np.arange(len(self.gram)), own)
        return _explained_beyond(
            self.gram[np.ix_(own, own)], self.gram[np.ix_(own, others)], self.gram[np.ix_(others, others)],
            (self.cross[own], self.cross[others]),
        )  # fmt: skip

    def added(self, extra: Matrix) -> tuple[float, int, float]:
        """The sum of squares that additional columns explain beyond all others; see `_explained_beyond`."""
        extra = extra - extra.mean(axis=0)
        return _explained_beyond(extra.T @ extra, extra.T @ self.design, self.gram, (extra.T @ self.values, self.cross))


def _explained_beyond(
    own: Matrix, shared: Matrix, others: Matrix, cross: tuple[Vector, Vector]
) -> tuple[float, int, float]:
    """Sum of squares and rank of columns after projecting out the others, and the share of the columns that remains."""
    project = shared @ np.linalg.pinv(others, rcond=_ALIASED, hermitian=True) if others.size else shared
    left = own - project @ shared.T
    scale = float(np.trace(own))
    left[np.abs(left) < _ALIASED * scale] = 0.0
    explained, rank = _explained(left, cross[0] - project @ cross[1], scale)
    return explained, rank, float(np.trace(left)) / scale if scale else 0.0


def _explained(gram: Matrix, cross: Vector, scale: float | None = None) -> tuple[float, int]:
    if not gram.size:
        return 0.0, 0
    roots, vectors = np.linalg.eigh(gram)
    kept = roots > _ALIASED * (roots.max() if scale is None else scale)
    turned = vectors[:, kept].T @ cross
    return float((turned**2 / roots[kept]).sum()), int(kept.sum())


Error = tuple[float, int]


def _error(model: LeastSquares, means: Means) -> Error | None:
    """The error's mean square and degrees of freedom: from the configurations if they suffice, else from the seeds."""
    squares, freedom = model.residual()
    return _chosen_error(squares, freedom, means)


def _chosen_error(squares: float, freedom: int, means: Means) -> Error | None:
    if freedom >= FEWEST_FREEDOM:
        return squares / freedom, freedom
    if means.noise is not None and means.freedom >= FEWEST_FREEDOM:
        return means.noise * means.per_mean, means.freedom
    return None


def _parameter(model: LeastSquares, key: str, error: Error | None, total: float) -> Share:
    squares, rank, left = model.alone(key)
    if rank < model.columns[key].shape[1] and rank < np.linalg.matrix_rank(model.columns[key]):
        return Share((key,), None, None, None, None, f"cannot be told from {_partner(model, key)}")
    share = _share((key,), (squares, rank), error, total, len(model.values))
    if left < _ENTANGLED and share.share is not None:
        return replace(share, verdict=f"hardly told from {_partner(model, key)}")
    return share


def _partner(model: LeastSquares, key: str) -> str:
    """The other parameter that is most correlated with this one."""
    own = model.columns[key]
    others = {other: model.columns[other] for other in model.columns if other != key}
    left = {
        other: LeastSquares({"own": own, other: columns}, model.values).alone("own")[2]
        for other, columns in others.items()
    }
    return min(left, key=left.__getitem__)


def _pairs(columns: Mapping[str, Matrix]) -> list[tuple[str, str]]:
    return list(combinations(columns, 2))[:MOST_PAIRS]


def _pair(model: LeastSquares, pair: tuple[str, str], means: Means, total: float) -> Share:
    first, second = (model.columns[key] for key in pair)
    extra = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
    squares, rank, _ = model.added(extra)
    if rank == 0:
        return Share(pair, None, None, None, None, "no trials for it")
    residual, freedom = model.residual()
    error = _chosen_error(max(0.0, residual - squares), freedom - rank, means)
    return _share(pair, (squares, rank), error, total, len(model.values))


def _share(keys: tuple[str, ...], explained: tuple[float, int], error: Error | None, total: float, count: int) -> Share:
    if error is None:
        return Share(keys, None, None, None, None, "too few trials")
    (squares, rank), (square, freedom) = explained, error
    if total == 0:
        return Share(keys, 0.0, 0.0, 0.0, 1.0, "")
    if square <= _ALIASED * total:
        # With no noise at all, the explained share is certain.
        exact = squares / (count - 1) / total
        return Share(keys, exact, exact, exact, float(exact <= _ALIASED), "")
    ratio = squares / rank / square
    unit = square / (count - 1)
    best = min(total, unit * max(0.0, ratio * rank - rank))
    # The rest of the variance stays fixed over the interval, so the total grows with this share.
    low, high = (_part(unit * end, total - best) for end in _noncentrality(ratio, rank, freedom))
    return Share(keys, best / total, low, high, float(fdtrc(rank, freedom, ratio)), "")


def _part(own: float, rest: float) -> float:
    return own / (own + rest) if own > 0 else 0.0


def _noncentrality(ratio: float, rank: int, freedom: int) -> tuple[float, float]:
    """The 95 % interval of the non-centrality of an F ratio."""
    tail = (1 - CONFIDENCE) / 2
    if ratio * rank < _EXACT:
        return float(ncfdtrinc(rank, freedom, 1 - tail, ratio)), float(ncfdtrinc(rank, freedom, tail, ratio))
    centre = ratio * rank - rank
    half = 1.96 * np.sqrt(2 * rank + 4 * centre + 2 * (ratio * rank) ** 2 / freedom)
    return max(0.0, float(centre - half)), float(centre + half)


def _with_verdicts(shares: Sequence[Share]) -> tuple[Share, ...]:
    """The shares with verdicts (Holm's correction over all of them), the largest first."""
    rejected = iter(holm([one.p for one in shares if one.p is not None]))
    judged = [one if one.p is None else _verdict(one, is_real=next(rejected)) for one in shares]
    return tuple(sorted(judged, key=lambda one: -1.0 if one.share is None else one.share, reverse=True))


def _verdict(one: Share, *, is_real: bool) -> Share:
    own = "matters" if is_real else "not shown to matter"
    return replace(one, verdict=f"{own}; {one.verdict}" if one.verdict else own)


def _refuse(trials: Trials) -> None:
    if not trials.factors:
        raise UserError("No parameter varies over the finished trials, so there is nothing to compare.")
    rulers = [key for key in trials.factors if rescales_loss(key, trials.plug_ins)]
    if is_loss(trials.column) and rulers:
        name = metric_name(trials.column)
        raise UserError(
            f"The variance of {name} cannot be split: the trials differ in {', '.join(rulers)}, which rescales "
            f"the loss. Give a quality metric, such as --on {quality_metric(rulers)}, or hold these fixed with --where."
        )


def _notes(means: Means, columns: Mapping[str, Matrix], error: Error | None) -> list[str]:
    notes = []
    if error is None:
        few = counted(len(means.values), "configuration", "are")
        notes.append(
            f"{few} too few for {counted(len(columns), 'parameter')}, and too little was repeated: add seeds or "
            "configurations."
        )
    if means.noise is None:
        notes.append("Nothing was repeated with another seed, so the share of luck is unknown.")
    pairs = len(columns) * (len(columns) - 1) // 2
    if pairs > MOST_PAIRS:
        notes.append(f"Only the first {MOST_PAIRS} of {pairs} pairs are looked at for interactions.")
    return notes
