"""Your own pairs: inputs and their target vectors, from one npz or one table (Parquet, CSV, JSON Lines, …).

In an npz, inputs and targets are two arrays with the same number of rows. In a table they are two columns of lists of
numbers (or several columns each, with commas between). A column of texts is turned into vectors once, as in the data
set `text`. Inputs may be images, as in the data set `file`.

Pairs with equal inputs, equal targets or one group stay in one part, so that no held-out pair was seen in training.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from core.config.schema import Fraction, NonNegativeInt, PositiveInt
from core.data.dataset import Dataset, fault, fingerprint_of
from core.data.labels import OneClassError
from core.data.stored import dense
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
        path: the npz file or the table that holds both, or its address in an object store.
        inputs: the array or column of the inputs (several columns with commas between).
        targets: the array or column of the targets (several columns with commas between).
        split_by: the array or column that says which part a pair is in: train, validation (val, dev), test; or 0, 1, 2;
            or 0 and 1 for train and test. Without it, or where it names no validation part, parts are drawn by chance.
        validation: the share of the pairs that are not for the test to choose by.
        test: the share of all pairs that is kept for the end; a column decides instead. Both together are less than 1.
        split_seed: the seed of the draw of parts. It is not the trial's: all trials of a study have the same parts.
        shape: what each input is reshaped to, e.g. [1, 28, 28].
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
    codes = None
    if group_by is not None:
        with _called(labels="group_by"):
            codes = _codes(read, group_by, path)
    samples, paired = dense(found.samples), dense(paired)
    same = splits.together(samples, paired)
    groups = same if codes is None else splits.together(same, codes)
    drawn = partial(splits.drawn, seed=split_seed, where=path, groups=groups, why=_why(groups, codes))
    if found.labels is None:
        splits.check_shares(validation, test, path)
        split = drawn(np.zeros(len(paired), np.int8), "test", test)
    else:
        split = splits.named(found.labels, found.class_names, path)
    if not (split == 1).any():
        split = drawn(split, "validation", validation)
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
        found.name, samples, None, (), hashed, arrays, split, found.feature_names, notes=_notes(groups, split)
    )


def _codes(read: Callable[[str], Dataset], group_by: str, path: str) -> NDArray[np.int64] | None:
    """The codes of the groups, (n,), of which each pair without a group has one of its own; None without any group."""
    try:
        codes = read(group_by).labels
    except OneClassError as error:
        raise fault(path, f"all pairs are one group by `group_by: {group_by}`: name a column of several") from error
    return None if codes is None else _own(codes)


def _why(groups: NDArray[np.int64], codes: NDArray[np.int64] | None) -> str:
    """What joins the pairs of the largest group."""
    import numpy as np

    if codes is None:
        return "equal inputs or targets join them"
    largest = int(np.unique(codes, return_counts=True)[1].max())
    if largest == int(np.unique(groups, return_counts=True)[1].max()):
        return "they are one group of `group_by`"
    return f"equal inputs or targets join groups of `group_by`, the largest of which has {largest}"


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
