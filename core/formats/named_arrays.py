"""The arrays of a file by their names: which are in two parts, which are views of the same samples, and the labels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from core.data.columns import Wanted, check_texts
from core.data.stored import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# What people call the array of the samples, in small letters.
FEATURES = {"x", "data", "fea", "features", "embeddings", "emb", "images", "samples"}
_VIEWS = {*FEATURES, "view", "views", "v"}
_CLASS_NAMES = {"names", "label_names", "class_names", "target_names", "classes"}
_HALF = re.compile(r"(.*?)[_./ -]*(train|test|val)(?:ing|id|idation)?[_./ -]*(.*)", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)[_./ {-]*(\d+)\}?")


class ArrayHead(NamedTuple):
    """Shape and type of a saved array, known before it is read."""

    shape: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True, eq=False)
class NamedArrays:
    """The arrays of a file.

    Attributes:
        file: the path of the file.
        heads: of each array, by its key.
        read: gives the array of a key: a numpy array, a matrix of scipy, or `Rows` of the file.
        paths: whether keys are paths of groups, as `train/data`, whose last part is the name.
        usual: further names of labels, in small letters.
        loose: whether labels may be rows and one-hot, and samples the last axis, as MATLAB's often are.
    """

    file: Path
    heads: dict[str, ArrayHead]
    read: Callable[[str], Any]
    paths: bool = False
    usual: frozenset[str] = field(default_factory=frozenset[str])
    loose: bool = False

    def called(self, key: str) -> str:
        """The name of an array."""
        return key.rpartition("/")[2] if self.paths else key


def halves_of(held: NamedArrays, wanted: Wanted) -> dict[str, dict[str, str]]:
    """For each of `train`, `val` and `test` the key of an array by what its name is without that word.

    Empty if there are not both train and test, or the options or the array of samples have nothing to do with them.
    """
    halves: dict[str, dict[str, str]] = {"train": {}, "val": {}, "test": {}}
    for key in held.heads:
        if (found := _HALF.fullmatch(key)) and key not in wanted.ignore:
            before, half, after = found.groups()
            halves[half.lower()]["/".join(filter(None, (before, after))) or "data"] = key
    both = halves["train"].keys() & halves["test"].keys()
    halves = {half: {name: key for name, key in keys.items() if name in both} for half, keys in halves.items()}
    inside = {key for keys in halves.values() for key in keys.values()}
    large = {key for key in wide(held.heads) if key not in wanted.ignore}
    named = {*(wanted.features or ()), wanted.labels, wanted.id} & held.heads.keys()
    return {half: keys for half, keys in halves.items() if keys} if large and large <= inside and not named else {}


def wide(heads: dict[str, ArrayHead]) -> list[str]:
    """The arrays of numbers with 2 or more axes."""
    return [key for key, head in heads.items() if head.dtype.kind in "biufc" and len(head.shape) > 1]


def half_of(held: NamedArrays, keys: dict[str, str]) -> NamedArrays:
    """The arrays of one part, by their names without that of the part, as `halves_of` gives them."""
    heads = {name: held.heads[key] for name, key in keys.items()}
    return replace(held, heads=heads, read=lambda name: held.read(keys[name]))


def labels_of(held: NamedArrays, key: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The labels (n,), or as they are stored where they are something else; and what was decided."""
    labels = held.read(key)
    labels = labels[:] if isinstance(labels, Rows) else labels
    if not held.loose or labels.ndim != 2:
        return labels, ()
    if 1 in labels.shape:
        return labels.reshape(-1), ()
    hot = labels == 1
    if labels.dtype.kind in "biuf" and (hot | (labels == 0) | (labels == -1)).all():
        for axis in (1, 0):
            if (hot.sum(axis) == 1).all():
                return hot.argmax(axis), (f"the labels {key!r} are one-hot: the classes are counted from 0",)
    return labels, ()


def numbered_views(held: NamedArrays, keys: Sequence[str]) -> list[str]:
    """The arrays whose names are one name and a number, in the order of the numbers; empty if it is only one."""
    found: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        match = _NUMBERED.fullmatch(held.called(key))
        if match and match[1].lower() in _VIEWS:
            found.setdefault(match[1], []).append((int(match[2]), key))
    several = [sorted(one) for one in found.values() if len(one) > 1]
    return [key for _, key in several[0]] if len(several) == 1 else []


def class_names(held: NamedArrays) -> tuple[str, ...]:
    """The file's names of class 0, 1, …; empty where it has none.

    Raises:
        UserError: a name is no valid text.
    """
    texts = [key for key, head in held.heads.items() if head.dtype.kind == "U" and len(head.shape) == 1]
    found = [key for key in texts if held.called(key).lower() in _CLASS_NAMES]
    if len(found) != 1:
        return ()
    names = tuple(held.read(found[0]).tolist())
    check_texts(names, held.file, lambda number: f"name {number:,} of `{found[0]}`")
    return names
