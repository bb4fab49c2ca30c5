"""Your own pairs: inputs and their target vectors, from one npz, Parquet, CSV or TSV file.

In an npz, inputs and targets are two arrays with the same number of rows. In a table they are two columns of lists of
numbers (or several columns each, with commas between). A column of texts is turned into vectors once, as in the data
set `text`. Inputs may be images, as in the data set `file`.

Pairs with equal inputs, equal targets or one group stay in one part, so that no held-out pair was seen in training.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from core.config.schema import Fraction, NonNegativeInt, PositiveInt
from core.data.dataset import Dataset, fault, fingerprint_of
from core.datasets import file, text
from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def load(
    *,
    path: str,
    inputs: str = "input",
    targets: str = "target",
    split_by: str | None = None,
    validation: Fraction = 0.1,
    test: Fraction = 0.1,
    split_seed: NonNegativeInt = 0,
    shape: tuple[int, ...] | None = None,
    texts: Literal["none", "inputs", "targets", "both"] = "none",
    model: str = "minilm",
    dimensions: PositiveInt = 128,
    group_by: str | None = None,
    analyzer: str | None = None,
) -> Dataset:
    """Loads inputs and targets as they are, unscaled.

    Args:
        path: the npz, Parquet, CSV or TSV file that holds both.
        inputs: the array or column of the inputs (several columns with commas between).
        targets: the array or column of the targets (several columns with commas between).
        split_by: the array or column with the part of each pair: train, validation (val, dev), test; or 0, 1, 2; or 0
            and 1 for train and test. Without it the parts are drawn at random; so is a missing validation part.
        validation: the share of the validation part, of the pairs that are not in the test part.
        test: the share of all pairs that is kept for the final score; not used with `split_by`.
        split_seed: the seed of the split. It is not the trial's seed: all trials of a study have the same parts.
        shape: the shape of each input, e.g. [1, 28, 28].
        texts: which of inputs and targets are columns of texts.
        model: the model that turns texts into vectors: `tfidf`, `minilm`, or a folder; see the data set `text`.
        dimensions: numbers per text of `tfidf`.
        group_by: the array or column of groups (a patient, a page): pairs of one group stay in one part; -1, empty and
            `NA` mean no group.
        analyzer: what `tfidf` counts in a text; see the data set `text`.

    Returns:
        Samples (n, features) or images, the array `target` (n, dim), and the parts.

    Raises:
        UserError: the file is missing, damaged or of another form, or too few pairs are left to train on.
    """
    import numpy as np

    from core.data import splits

    encode = partial(text.load, path=path, model=model, dimensions=dimensions, scale="none", analyzer=analyzer)

    def read(column: str | None) -> Dataset:
        if texts in {"inputs", "both"}:
            return encode(text=inputs, labels=column or "none")
        return file.load(path=path, features=inputs, labels=column or "none", scale="none", shape=shape)

    with _called(features="inputs", text="inputs", labels="split_by"):
        found = read(split_by)
    with _called(features="targets", text="targets"):
        if texts in {"targets", "both"}:
            paired = encode(text=targets, labels="none").samples
        else:
            paired = file.load(path=path, features=targets, labels="none", scale="none").samples
    if len(found.samples) != len(paired):
        raise fault(path, f"it has {len(found.samples)} inputs but {len(paired)} targets: there must be equally many")
    with _called(labels="group_by"):
        codes = None if group_by is None else read(group_by).labels
    groups = splits.together(found.samples, paired, *([] if codes is None else [_own(codes)]))
    if found.labels is None:
        split = splits.drawn(np.zeros(len(paired), np.int8), "test", test, split_seed, path, groups=groups)
    else:
        split = splits.named(found.labels, found.class_names, path)
    if not (split == 1).any():
        split = splits.drawn(split, "validation", validation, split_seed, path, groups=groups)
    hashed = fingerprint(
        path=path,
        inputs=inputs,
        targets=targets,
        split_by=split_by,
        validation=validation,
        test=test,
        split_seed=split_seed,
        shape=shape,
        texts=texts,
        model=model,
        dimensions=dimensions,
        group_by=group_by,
        analyzer=analyzer,
    )
    arrays = {"target": np.ascontiguousarray(paired.reshape(len(paired), -1))}
    return Dataset(
        found.name, found.samples, None, (), hashed, arrays, split, found.feature_names, notes=_notes(groups, split)
    )


def _own(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of groups, (n,); each pair without a group gets a code of its own."""
    import numpy as np

    return np.where(codes < 0, -1 - np.arange(len(codes)), codes)


def _notes(groups: NDArray[np.int64], split: NDArray[np.int8]) -> tuple[str, ...]:
    """Notes on pairs that belong together: that they stay in one part, or that the user's split separates them."""
    import numpy as np

    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    repeated = sizes > 1
    if not repeated.any():
        return ()
    pairs, kinds = int(sizes[repeated].sum()), int(repeated.sum())
    said = f"{pairs} of {len(groups)} pairs share their input, target or group with others ({kinds} groups)"
    least, most = np.full(len(sizes), 2), np.zeros(len(sizes), np.int64)
    np.minimum.at(least, group, split)
    np.maximum.at(most, group, split)
    torn = int(sizes[least < most].sum())
    if torn:
        return (f"{said}; `split_by` puts {torn} of these pairs on both sides of the split: scores are too good",)
    return (f"{said}: each group stays in one part",)


@contextmanager
def _called(**names: str) -> Generator[None]:
    """Replaces the option names in error messages of the other readers with the names used here."""
    try:
        yield
    except UserError as error:
        said = str(error)
        for theirs, ours in names.items():
            said = said.replace(f"`{theirs}: ", f"`{ours}: ").replace(f"`{theirs}`", f"`{ours}`")
        raise UserError(said) from error


def fingerprint(
    *,
    path: str,
    inputs: str = "input",
    targets: str = "target",
    split_by: str | None = None,
    validation: Fraction = 0.1,
    test: Fraction = 0.1,
    split_seed: NonNegativeInt = 0,
    shape: tuple[int, ...] | None = None,
    texts: Literal["none", "inputs", "targets", "both"] = "none",
    model: str = "minilm",
    dimensions: PositiveInt = 128,
    group_by: str | None = None,
    analyzer: str | None = None,
) -> str:
    """The hash of the file's content, of the model for texts, and of all options except the path.

    Raises:
        UserError: there is no such file or model.
    """
    if texts == "none":
        content = file.fingerprint(path=path, features=inputs, labels=split_by, scale="none", shape=shape)
    else:
        content = text.fingerprint(
            path=path, text=inputs, labels=split_by, model=model, dimensions=dimensions, analyzer=analyzer
        )
        content += file.fingerprint(path=path, shape=shape)
    options = {"validation": validation, "test": test, "split_seed": split_seed, "texts": texts}
    # Only if it is set: so older fingerprints stay valid.
    options |= {} if group_by is None else {"group_by": group_by}
    return fingerprint_of([], pairs=content, targets=targets, **options)
