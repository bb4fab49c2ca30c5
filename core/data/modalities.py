"""Data sets of several modalities: where in a sample's row the numbers of each one stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.data.dataset import LARGEST, fault
from core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Modality:
    """One kind of measurement of all samples, as text, sound or video; the field also says view.

    A sample's row is the numbers of all modalities, one after the other. Where a sample lacks a modality, its numbers
    there are NaN; so are the steps after the end of a sequence that is shorter than the others.

    Attributes:
        name: the name in the file.
        start: the place of its first number in a sample's row.
        shape: (features,), or (steps, features) for a sequence of vectors.
    """

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The place after its last number."""
        return self.start + math.prod(self.shape)

    @property
    def place(self) -> slice:
        """Where its numbers stand in a row."""
        return slice(self.start, self.stop)


def side_by_side(shapes: dict[str, tuple[int, ...]]) -> tuple[Modality, ...]:
    """The modalities of a row that holds arrays of these shapes (without the samples' axis), in their order."""
    found: list[Modality] = []
    for name, shape in shapes.items():
        found.append(Modality(name, found[-1].stop if found else 0, shape))
    return tuple(found)


def filled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, numbers) with a 0, the mean of scaled numbers, where a modality is missing.

    It is for what compares whole rows, as k-means of the input does. The same array if nothing is missing.
    """
    import numpy as np

    missing = np.isnan(rows)
    return np.where(missing, np.float32(0), rows) if missing.any() else rows


def missing(samples: NDArray[np.float32], modalities: Sequence[Modality]) -> dict[str, int]:
    """How many samples lack each modality, of those that any sample lacks."""
    import numpy as np

    counts = {one.name: int(np.isnan(samples[:, one.place]).all(axis=1).sum()) for one in modalities}
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, eq=False)
class Joined:
    """Views side by side, as a `core.data.dataset.Dataset` holds them.

    Attributes:
        samples: (n, numbers), scaled; NaN where a sample lacks a view, and after the end of a sequence.
        modalities: where the numbers of each view stand.
        scaling: what was subtracted from each number, and the divisor after that, each (numbers,); None if nothing was.
        notes: what is missing, in sentences.
    """

    samples: NDArray[np.float32]
    modalities: tuple[Modality, ...]
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    notes: tuple[str, ...]


def rows_of(given: Mapping[Any, Any], where: str, known: Mapping[str, tuple[int, ...]] | None) -> Joined:
    """Arrays by name as views side by side, without a scale; sequences are averaged.

    Args:
        given: by name (n, features) or (n, steps, features), with NaN for what is missing.
        where: what they are called in messages.
        known: the shape of each view for a trained model, which has these views and no others; None in training.

    Raises:
        UserError: as of `joined`; a name is no text, a view is no array of numbers of two or three axes, or the views
            are others than those that are known.
    """
    views = _arrays(given, where)
    if known is not None and {*views} != {*known}:
        names = f"the views {', '.join(known)}" if known else "an array"
        raise fault(where, f"it has the views {', '.join(views)}, the model was trained on {names}")
    ordered = {name: views[name] for name in known or views}
    return joined(ordered, where, sequences="mean", scale="none", known=known)


def scaling_of(given: Mapping[Any, Any], where: str, scale: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What `joined` would subtract from each number of the rows of `rows_of`, and the divisor after that.

    Raises:
        UserError: there is no such scale of views.
    """
    import numpy as np

    if scale == "unit":
        raise UserError("scale: 'unit' is not for several views: auto, standard or none is needed")
    made = joined(_arrays(given, where), where, sequences="mean", scale="none" if scale == "none" else "standard")
    return made.scaling or (np.zeros(made.samples.shape[1]), np.ones(made.samples.shape[1]))


def _arrays(given: Mapping[Any, Any], where: str) -> dict[str, NDArray[np.float64]]:
    import numpy as np

    if not given:
        raise fault(where, "the dict is empty: it needs an array for each view")
    found: dict[str, NDArray[np.float64]] = {}
    for name, values in given.items():
        if not isinstance(name, str):
            raise fault(where, f"{name!r} is no name of a view: a text is needed")
        try:
            found[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise fault(where, f"the view {name!r} is no array of numbers: {error}") from error
        shape = found[name].shape
        if len(shape) not in {2, 3} or 0 in shape:
            raise fault(where, f"the view {name!r} has the shape {shape}: (samples, features) is needed")
    return found


def joined(
    views: Mapping[str, NDArray[Any]],
    where: Path | str,
    *,
    sequences: Literal["mean", "keep"],
    scale: Literal["auto", "standard", "none"],
    known: Mapping[str, tuple[int, ...]] | None = None,
) -> Joined:
    """Views of the same samples side by side.

    Args:
        views: by name, (n, features) or (n, steps, features) for sequences; NaN where a sample lacks a view or a step.
        where: the file, for the message.
        sequences: `mean` averages each sequence over its steps, `keep` keeps the steps.
        scale: `standard` gives each feature mean 0 and variance 1 over the samples that have it, and then divides each
            view by the root of its number of features (that are not constant, times the steps) over that of a view on
            average: all views then have the same weight in distances, and a number the variance 1 on average. `auto`
            is the same, `none` changes nothing.
        known: the shape of each view for a trained model; shorter sequences get steps that are missing, and a view that
            all samples lack may have any shape.

    Raises:
        UserError: views differ in their number of samples, a number is not finite, a row or a step is NaN in part, a
            sample has no view, or a view has another shape than is known.
    """
    import numpy as np

    made = {name: _averaged(one) if sequences == "mean" else one for name, one in _checked(views, where).items()}
    if known is not None:
        made = _fitted(made, known, where)
    modalities = side_by_side({name: one.shape[1:] for name, one in made.items()})
    count = len(next(iter(made.values())))
    samples = np.empty((count, modalities[-1].stop), np.float32)
    offset, divisor = np.zeros(samples.shape[1]), np.ones(samples.shape[1])
    there = np.empty((count, len(made)), bool)
    scalings = [_scaling(values) for values in made.values()] if scale != "none" else []
    numbers = np.mean([size for *_, size in scalings]) if scalings else 0.0
    for one, (low, deviation, size) in zip(modalities, scalings, strict=False):
        steps = math.prod(one.shape[:-1])
        offset[one.place] = np.tile(low, steps)
        divisor[one.place] = np.tile(deviation, steps) * np.sqrt(size / numbers)
    for place, (one, values) in enumerate(zip(modalities, made.values(), strict=True)):
        there[:, place] = ~np.isnan(values[..., 0]).reshape(count, -1).all(axis=1)
        samples[:, one.place] = (values.reshape(count, -1) - offset[one.place]) / divisor[one.place]
    bare = np.flatnonzero(there.sum(axis=1) == 0)
    if len(bare):
        said = f"row {bare[0] + 1} (counted from 1) has no view at all, {len(bare):,} such in all: drop such rows"
        raise fault(where, said)
    gone = zip(modalities, (~there).sum(axis=0).tolist(), strict=True)
    notes = tuple(f"{one.name} missing for {missing:,} of {count:,}" for one, missing in gone if missing)
    return Joined(
        samples, modalities, None if scale == "none" else (offset, divisor), (*_told(views, sequences), *notes)
    )


def _fitted(
    views: Mapping[str, NDArray[Any]], known: Mapping[str, tuple[int, ...]], where: Path | str
) -> dict[str, NDArray[Any]]:
    """The same views with as many steps as in training."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    for name, values in views.items():
        shape, wanted = values.shape[1:], tuple(known.get(name, ()))
        bare = bool(wanted) and bool(np.isnan(values).all())
        if not bare and (len(shape) != len(wanted) or shape[-1] != wanted[-1] or shape[0] > wanted[0]):
            raise fault(where, f"the view {name!r} has the shape {shape}, the model was trained on {wanted}")
        found[name] = values
        if shape != wanted:
            found[name] = np.full((len(values), *wanted), np.nan, values.dtype)
            if not bare:
                found[name][:, : shape[0]] = values
    return found


def _told(views: Mapping[str, NDArray[Any]], sequences: str) -> Iterator[str]:
    """What is done with the sequences among views."""
    import numpy as np

    for name, values in views.items():
        if values.ndim == 3:
            steps = (~np.isnan(values[..., 0])).sum(axis=1)
            if not steps.any():
                continue  # It is missing for all samples.
            way = "averaged; `sequences: keep` keeps the steps" if sequences == "mean" else "kept"
            yield f"{name} is sequences of {steps[steps > 0].min()} to {steps.max()} steps, {way}"


def _checked(views: Mapping[str, NDArray[Any]], where: Path | str) -> Mapping[str, NDArray[Any]]:
    """The same views; each number is finite, or a whole row or step is NaN."""
    import numpy as np

    counts = {name: len(one) for name, one in views.items()}
    if len({*counts.values()}) > 1:
        said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise fault(where, f"its views have different numbers of rows ({said}): each must have one for each sample")
    for name, values in views.items():
        missing = np.isnan(values)
        torn = missing.any(axis=-1) & ~missing.all(axis=-1)
        large = ~missing & ~(np.abs(values) <= LARGEST)
        for bad, what in ((torn, "is nan in part"), (large.any(axis=-1), "is not finite, or too large")):
            if bad.any():
                row, *step = (int(one) + 1 for one in np.argwhere(bad)[0])
                at = f"row {row}" + (f", step {step[0]}" if step else "")
                way = f"all must be finite and within ±{LARGEST:g}, or all nan where the view is missing"
                raise fault(where, f"the view {name!r} {what} in {at} (counted from 1): its numbers there {way}")
    return views


def _averaged(values: NDArray[Any]) -> NDArray[Any]:
    """Sequences (n, steps, features) averaged over the steps that are there; NaN where there is none."""
    import numpy as np

    if values.ndim == 2:
        return values
    there = ~np.isnan(values[..., 0])
    total = np.where(there[..., None], values, 0).sum(axis=1, dtype=np.float64)
    count = there.sum(axis=1)[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _scaling(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The offset and the divisor of each feature of a view, (features,), and what its squares are in sum after them.

    That is the mean over the samples that have the view: its features that are not constant, times its steps.
    """
    import numpy as np

    rows = values.reshape(-1, values.shape[-1])
    there = ~np.isnan(rows[:, 0])
    rows = rows if there.all() else rows[there]
    if not len(rows):
        return np.zeros(values.shape[-1]), np.ones(values.shape[-1]), 1.0
    low, high = rows.min(axis=0), rows.max(axis=0)
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    constant = (low == high) | (deviation == 0)
    samples = (~np.isnan(values[..., 0])).reshape(len(values), -1).any(axis=1).sum()
    size = max(1, int((~constant).sum())) * len(rows) / int(samples)
    return np.where(constant, low, mean), np.where(constant, 1, deviation), size
