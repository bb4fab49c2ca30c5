"""Which parameters matter: the variance of a metric, split among parameters, their interactions and luck.

`importance(trials)` is an analysis of variance of type II over the configurations' means (a repeat with another seed
is not a new observation). A parameter gets what it explains beyond all others. A parameter of up to `GRID` values has
one effect per value. One with more values, as in random search, has a parabola over the ranks of its values. Luck is
the variance of single trials between seeds of one configuration.

Other tools use a random forest or PED-ANOVA. Those give scores without errors, split the importance of correlated
parameters by accident. Here shares have intervals (non-central F), and what the trials cannot tell apart is named.

Every share has two tests, and the larger p-value holds, with the interval of its error. One takes configurations as
independent, with the degrees of freedom for unequal noise of E. Brunner, H. Dette and A. Munk, Box-type approximations
in nonparametric factorial designs, J. Am. Stat. Assoc. 92 (1997). The other takes seeds as independent, as a seed may
favour the same values in all configurations: the error is what the parameter explains in some seeds and not in others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.special import fdtrc, fdtri, ncfdtrinc

from core.errors import UserError, counted
from jobs.analysis.intervals import ALPHA, CONFIDENCE, holm
from jobs.analysis.scores import is_loss, metric_name, quality_metric, rescales_loss
from jobs.analysis.trials import Matrix, Means, Trials, Vector, basis

FEWEST_FREEDOM = 4
"""The fewest degrees of freedom of the error for which shares are given."""
MOST_PAIRS = 45
_EXACT = 5000.0
"""Above this value scipy cannot invert the distribution; the normal interval used instead covers 95 to 96 %."""
_ALIASED, _ENTANGLED = 1e-8, 0.1
_WITHIN = "Values are differences from the mean of their data set: no score is compared across data sets."
_LEAST_SEEDS = 1.5
"""With fewer seeds (counted by their weights), nothing is known of what differs from seed to seed."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one parameter, or the interaction of two, explains.

    Attributes:
        keys: One or two dotted keys.
        share: Share of the variance between trials, 0 to 1; None if it cannot be told.
        low, high: The ends of its 95 % interval, or None.
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
        luck_interval: The ends of its 95 % interval; None if nothing was repeated.
        trials, configurations: How many there are.
        notes: Sentences on the limits of these numbers.
    """

    column: str
    parameters: tuple[Share, ...]
    interactions: tuple[Share, ...]
    luck: float | None
    luck_interval: tuple[float, float] | None
    trials: int
    configurations: int
    notes: tuple[str, ...]


def importance(trials: Trials) -> Importance:
    """How much of the metric's variance each parameter and each pair of parameters explains.

    Args:
        trials: From `jobs.analysis.trials.gather`.

    Raises:
        UserError: No parameter or no value varies, or the metric is a loss and a parameter that rescales it varies.
    """
    _refuse(trials)
    trials = trials.within_data()
    means = Means.of(trials)
    columns = {key: one for key, factor in means.factors.items() if (one := basis(factor)).shape[1]}
    model = _Model(columns, means)
    several = columns.pop("data", None) is not None
    parameters = [_parameter(model, key) for key in columns]
    interactions = [_pair(model, pair) for pair in _pairs(columns)]
    # Half of the error is for the parameters, and half for the pairs, which may be far more.
    error = ALPHA / 2 if any(one.p is not None for one in interactions) else ALPHA
    luck, luck_interval = _luck(model) or (None, None)
    return Importance(
        column=trials.column,
        parameters=_with_verdicts(parameters, error),
        interactions=_with_verdicts(interactions, error),
        luck=luck,
        luck_interval=luck_interval,
        trials=len(trials.values),
        configurations=len(means.values),
        notes=(
            *[_WITHIN] * several,
            *_notes(means, columns, is_known=bool(model.errors(model.basis))),
            *_rounding_notes(means),
            *trials.limits(),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Error:
    """What pure noise would explain, and the degrees of freedom of the F ratio to it."""

    squares: float
    freedom: tuple[float, float]


class _Model:
    """Least squares on centred columns. Spaces of columns are orthonormal, shape (configurations, rank)."""

    def __init__(self, columns: Mapping[str, Matrix], means: Means) -> None:
        self.columns = {key: one - one.mean(axis=0) for key, one in columns.items()}
        self.means = means
        self.values = means.values - means.values.mean()
        self.scatter = means.scatter()
        self.basis = self.space(self.columns.values())

    def space(self, columns: Iterable[Matrix]) -> Matrix:
        """What the columns span."""
        stacked = np.concatenate([np.zeros((len(self.values), 0)), *columns], axis=1)
        return _orthonormal(stacked, None)

    def alone(self, key: str) -> tuple[Matrix, float]:
        """What a parameter spans beyond the others, and the share of its columns that remains."""
        return _beyond(self.columns[key], self.space(one for other, one in self.columns.items() if other != key))

    def errors(self, own: Matrix, extra: Matrix | None = None) -> list[_Error]:
        """The errors of a space, by configurations and by seeds, as far as they are known.

        Args:
            own: The space that is tested.
            extra: A space beside that of the parameters that is fitted, too.
        """
        fitted = self.basis if extra is None else np.concatenate([self.basis, extra], axis=1)
        residual = self.values - fitted @ (fitted.T @ self.values)
        freedom = len(self.values) - 1 - fitted.shape[1]
        rank, least = float(own.shape[1]), own.shape[1] * self.means.rounded * self.means.per_mean
        if self.scatter is not None:
            rank = _box(own, *self.scatter)
        found: list[_Error] = []
        if freedom >= FEWEST_FREEDOM:
            squares = float(residual @ residual) * own.shape[1] / freedom
            rest = freedom if self.scatter is None else _box_beside(fitted, *self.scatter)
            found.append(_Error(max(squares, least), (rank, rest)))
        elif self.scatter is not None and self.means.freedom >= FEWEST_FREEDOM:
            variances, freedoms = self.scatter
            parts = (own**2).sum(axis=1) * variances
            squares = float(parts.sum())
            known = _known(*self._independent(parts, freedoms))
            if least >= squares:  # As in `effect`: equal values tell nothing of their noise, however many they are.
                known = min(known, float(freedoms.min()))
            found.append(_Error(max(squares, least), (rank, min(known, float(self.means.freedom)))))
        if found and (seeds := self._by_seed(own, fitted)):
            found.append(_Error(max(seeds[0], least), (rank, rank * seeds[1])))
        return found

    def _independent(self, parts: Vector, freedoms: Vector) -> tuple[Vector, Vector]:
        """The parts of a sum of variances by the repeated configurations alone, and their degrees of freedom.

        Configurations that were run once have the noise of the others, and so add to the parts of these: they are no
        observations of noise of their own.
        """
        repeated = self.means.counts > 1
        shares = freedoms[repeated] / freedoms[repeated].sum()
        return parts[repeated] + parts[~repeated].sum() * shares, freedoms[repeated]

    def _by_seed(self, own: Matrix, fitted: Matrix) -> tuple[float, float] | None:
        """The expected squares of the space by what it explains in some seeds only, and the freedom per column."""
        means = self.means
        weights = 1 / means.counts[means.owners]
        shares = np.bincount(means.seeds, weights) / len(means.values)
        effective = 1 / float((shares**2).sum())
        if effective < _LEAST_SEEDS:
            return None
        residual = means.singles - means.values.mean() - (fitted @ (fitted.T @ self.values))[means.owners]
        # What a seed adds to all configurations is no effect of a parameter.
        residual -= (np.bincount(means.seeds, weights * residual) / np.bincount(means.seeds, weights))[means.seeds]
        sums = np.zeros((len(shares), own.shape[1]))
        np.add.at(sums, means.seeds, own[means.owners] * (weights * residual)[:, None])
        return float((sums**2).sum()) * effective / (effective - 1), effective - 1


def _orthonormal(columns: Matrix, scale: float | None) -> Matrix:
    """An orthonormal basis of the columns, without directions whose squared length is nothing beside `scale`."""
    if not columns.size:
        return np.zeros((len(columns), 0))
    left, roots, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, roots**2 > _ALIASED * (roots.max() ** 2 if scale is None else scale)]


def _beyond(own: Matrix, others: Matrix) -> tuple[Matrix, float]:
    """An orthonormal basis of the columns beyond the others, and the share of the columns that remains."""
    left = own - others @ (others.T @ own)
    scale = float((own**2).sum())
    return _orthonormal(left, scale), float((left**2).sum()) / scale if scale else 0.0


def _box(own: Matrix, variances: Vector, freedoms: Vector) -> float:
    """Box's degrees of freedom of the squares in a space if each row has its own variance, known by its seeds only."""
    variances = variances / (variances.max() or 1)  # The freedom is the same in any unit, and squares may overflow.
    crossed = own.T @ (own * variances[:, None])
    parts = (own**2).sum(axis=1) * variances
    squares = float((crossed**2).sum() - (parts**2 * 2 / (freedoms + 2)).sum())
    return _between(float(parts.sum()) ** 2, squares, own.shape[1])


def _box_beside(fitted: Matrix, variances: Vector, freedoms: Vector) -> float:
    """The same of the space that is left beside the mean and the fitted one."""
    whole = np.concatenate([np.full((len(fitted), 1), len(fitted) ** -0.5), fitted], axis=1)
    variances = variances / (variances.max() or 1)
    crossed = whole.T @ (whole * variances[:, None])
    inside = (whole**2).sum(axis=1)
    parts = (1 - inside) * variances
    squares = float(((1 - 2 * inside) * variances**2).sum() + (crossed**2).sum())
    squares -= float((parts**2 * 2 / (freedoms + 2)).sum())
    return _between(float(parts.sum()) ** 2, squares, len(whole) - whole.shape[1])


def _known(parts: Vector, freedoms: Vector) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances that have their own."""
    parts = parts / (parts.max() or 1)
    squares = float((parts**2 / (freedoms + 2)).sum())
    return float(parts.sum()) ** 2 / squares if squares > 0 else float(freedoms.sum())


def _between(numerator: float, denominator: float, most: int) -> float:
    """The ratio, from 1 to `most`."""
    return min(float(most), max(1.0, numerator / denominator)) if denominator > 0 else float(most)


def _parameter(model: _Model, key: str) -> Share:
    own, left = model.alone(key)
    if own.shape[1] < np.linalg.matrix_rank(model.columns[key]):
        return Share((key,), None, None, None, None, f"cannot be told from {_partner(model, key)}")
    share = _share(model, (key,), own, model.errors(own))
    if left < _ENTANGLED and share.share is not None:
        return replace(share, verdict=f"hardly told from {_partner(model, key)}")
    return share


def _partner(model: _Model, key: str) -> str:
    """The other parameter that is most correlated with this one."""
    own = model.columns[key]
    left = {
        other: _beyond(own, _orthonormal(columns, None))[1] for other, columns in model.columns.items() if other != key
    }
    return min(left, key=left.__getitem__)


def _pairs(columns: Mapping[str, Matrix]) -> list[tuple[str, str]]:
    return list(combinations(columns, 2))[:MOST_PAIRS]


def _pair(model: _Model, pair: tuple[str, str]) -> Share:
    first, second = (model.columns[key] for key in pair)
    products = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
    own, _ = _beyond(products - products.mean(axis=0), model.basis)
    if not own.shape[1]:
        return Share(pair, None, None, None, None, "no trials for it")
    return _share(model, pair, own, model.errors(own, own))


def _share(model: _Model, keys: tuple[str, ...], own: Matrix, errors: Sequence[_Error]) -> Share:
    if not errors:
        return Share(keys, None, None, None, None, "too few trials")
    total, count = model.means.variance, len(model.values) - 1
    if total == 0:
        return Share(keys, 0.0, 0.0, 0.0, 1.0, "")
    squares = float(((own.T @ model.values) ** 2).sum())
    if max(one.squares for one in errors) <= _ALIASED * total * own.shape[1]:
        # With no noise at all, the explained share is certain.
        exact = squares / count / total
        return Share(keys, exact, exact, exact, float(exact <= _ALIASED), "")
    tested = [one for one in errors if one.squares > 0]
    p, error = max(
        ((float(fdtrc(*one.freedom, squares / one.squares)), one) for one in tested), key=lambda pair: pair[0]
    )
    best = min(total, max(0.0, squares - error.squares) / count)
    unit = error.squares / error.freedom[0] / count
    # The rest of the variance stays fixed over the interval, so the total grows with this share.
    low, high = (_part(unit * end, total - best) for end in _noncentrality(squares / error.squares, *error.freedom))
    return Share(keys, best / total, low, high, p, "")


def _part(own: float, rest: float) -> float:
    return own / (own + rest) if own > 0 else 0.0


def _luck(model: _Model) -> tuple[float, tuple[float, float]] | None:
    """The share of the variance within configurations, with its 95 % interval; None if it is unknown.

    It is y / (x + y), where x is the variance between configurations and y that within them, both by the variance that
    seeds and configurations do not share. Each has an F interval; they are joined by the MOVER rule of G. Y. Zou and
    A. Donner, Construction of confidence limits about effect measures, Stat. Med. 27 (2008).
    """
    means, between = model.means, float(model.values.var(ddof=1)) if len(model.values) > 1 else 0.0
    if model.scatter is None or means.noise is None or means.own is None or means.variance == 0:
        return None
    luck, (own, freedom) = means.noise / means.variance, means.own
    if own <= _ALIASED * means.variance or len(model.values) < 2:
        return luck, (luck, luck)
    rank = _box_beside(np.zeros((len(model.values), 0)), *model.scatter)
    rest = min(freedom, _known(*model.scatter))
    ends = _noncentrality(between / own / means.per_mean, rank, rest)
    x, xs = means.variance / own * (1 - luck), [end * means.per_mean / rank for end in ends]
    y, ys = means.noise / own, [1.0, 1.0]
    if means.seed:
        squares, others = means.seed
        each = len(means.singles) / (others + 1)
        tail = (1 - CONFIDENCE) / 2
        ys = [1 + max(0.0, squares / own / float(fdtri(others, freedom, p)) - 1) / each for p in (1 - tail, tail)]
    low = luck - np.hypot(luck - y / (xs[1] + y), luck - ys[0] / (x + ys[0]))
    high = luck + np.hypot(luck - y / (xs[0] + y), luck - ys[1] / (x + ys[1]))
    return luck, (max(0.0, float(low)), min(1.0, float(high)))


def _noncentrality(ratio: float, rank: float, freedom: float) -> tuple[float, float]:
    """The 95 % interval of the non-centrality of an F ratio."""
    tail = (1 - CONFIDENCE) / 2
    if ratio * rank < _EXACT:
        return float(ncfdtrinc(rank, freedom, 1 - tail, ratio)), float(ncfdtrinc(rank, freedom, tail, ratio))
    centre = ratio * rank - rank
    half = 1.96 * np.sqrt(2 * rank + 4 * centre + 2 * (ratio * rank) ** 2 / freedom)
    return max(0.0, float(centre - half)), float(centre + half)


def _with_verdicts(shares: Sequence[Share], error: float) -> tuple[Share, ...]:
    """The shares with verdicts (Holm's correction over all of them), the largest first."""
    rejected = iter(holm([one.p for one in shares if one.p is not None], error))
    judged = [one if one.p is None else _verdict(one, is_real=next(rejected)) for one in shares]
    return tuple(sorted(judged, key=lambda one: -1.0 if one.share is None else one.share, reverse=True))


def _verdict(one: Share, *, is_real: bool) -> Share:
    own = "matters" if is_real else "not shown to matter"
    return replace(one, verdict=f"{own}; {one.verdict}" if one.verdict else own)


def _refuse(trials: Trials) -> None:
    if not trials.within_data().factors:
        raise UserError("No parameter varies over the finished trials, so there is nothing to compare.")
    name, data = metric_name(trials.column), trials.data.codes.tolist()
    if len({*zip(data, trials.values.tolist(), strict=True)}) == (sets := len({*data})):
        raise UserError(
            f"All finished trials{' of each data set' * (sets > 1)} have the same {name}: there is nothing to explain."
        )
    rulers = [key for key in trials.factors if rescales_loss(key, trials.plug_ins)]
    if is_loss(trials.column) and rulers:
        raise UserError(
            f"The variance of {name} cannot be split: the trials differ in {', '.join(rulers)}, which can "
            f"rescale the loss. Give a quality metric, such as --on {quality_metric(rulers)}, or hold these fixed "
            "with --where."
        )


def _rounding_notes(means: Means) -> list[str]:
    if means.noise is None or not means.rounded > 0 or means.noise > means.rounded:
        return []
    step = (12 * means.rounded) ** 0.5
    return [f"The seeds differ by less than rounding to {step:g} hides: their noise is taken as that of rounding."]


def _notes(means: Means, columns: Mapping[str, Matrix], *, is_known: bool) -> list[str]:
    notes: list[str] = []
    if not is_known:
        few = counted(len(means.values), "configuration", "are")
        notes.append(
            f"{few} too few for {counted(len(columns), 'parameter')}, and too little was repeated: add seeds or "
            "configurations."
        )
    if means.noise is None:
        notes.append(
            "Nothing was repeated with another seed, so the share of luck is unknown, and the verdicts take the noise "
            "as equal in all configurations."
        )
    pairs = len(columns) * (len(columns) - 1) // 2
    if pairs > MOST_PAIRS:
        notes.append(f"Only the first {MOST_PAIRS} of {pairs} pairs are looked at for interactions.")
    return notes
