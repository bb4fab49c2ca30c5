"""Several views of the same samples, as one file holds them: of a video the words, the sound and the pictures.

`core.formats.view_arrays` reads them from arrays, `core.formats.view_tables` from the columns of tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.data.columns import exact_ids, listed
from core.data.dataset import fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from core.errors import DataError


@dataclass(frozen=True, eq=False)
class ViewsOfFile:
    """What was read of one file.

    Attributes:
        file: the file, or the folder of `.npy` files.
        views: by name, in the order in which they are used: (n, features) or (n, steps, features) with NaN where a
            sample lacks it, or a list of n texts, None where one is missing.
        features: the file's names of the features of a view, where they have names.
        labels: (n,), as in the file.
        label_name: the key or column of the labels.
        class_names: the file's names of class 0, 1, ….
        ids: (n,) what the file calls its samples.
        left_out: as in `core.data.dataset.Dataset`.
        notes: what else was decided while reading, in sentences.
    """

    file: Path
    views: dict[str, Any]
    features: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    labels: NDArray[Any] | None = None
    label_name: str = ""
    class_names: tuple[str, ...] = ()
    ids: NDArray[Any] | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return len(next(iter(self.views.values())))


def joined_parts(parts: Sequence[ViewsOfFile], note: str) -> ViewsOfFile:
    """The parts of a file, as train and test, one after the other.

    Raises:
        UserError: they have different views, or only some have labels.
    """
    first = parts[0]
    for one in parts[1:]:
        if _shapes(one) != _shapes(first):
            raise fault(one.file, f"its parts have other views, {_shapes(first)} and {_shapes(one)}: choose a `split`")
        if (one.labels is None) != (first.labels is None):
            raise fault(one.file, "only one of its parts has labels: choose a `split`, or write `labels: none`")
    ids = [one.ids for one in parts if one.ids is not None]
    return replace(
        first,
        views={name: _concatenated([one.views[name] for one in parts]) for name in first.views},
        labels=None if first.labels is None else _concatenated([one.labels for one in parts]),
        ids=exact_ids(ids)[0] if len(ids) == len(parts) else None,
        notes=(note, *first.notes),
    )


def _concatenated(parts: Sequence[Any]) -> Any:
    import numpy as np

    return [text for one in parts for text in one] if isinstance(parts[0], list) else np.concatenate(parts)


def _shapes(part: ViewsOfFile) -> str:
    return listed(f"{name} {'texts' if isinstance(one, list) else one.shape[1:]}" for name, one in part.views.items())


def damaged(file: Path, error: Exception) -> DataError:
    """The error for a file that its reader could not read."""
    reason = " ".join(str(error).split())[:200]
    what = f"it cannot be read as {file.suffix.lower()} ({reason}): it may be cut short, or of another format"
    return fault(file, what)


def text_of(value: Any) -> str | None:
    """A text; None where it is missing."""
    found = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found if isinstance(found, str) and found.strip() else None
