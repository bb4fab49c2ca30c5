"""Pairs of your own: inputs and the vectors that belong to them, from one npz, Parquet, CSV or TSV file.

Of an npz, inputs and targets are two arrays of as many rows; of a table, two columns of lists of numbers (or several
columns each, with commas between). A column of texts is turned into vectors once, as by the data set `text`. Inputs may
be images, as in the data set `file`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Literal

from core.data import Dataset, fault, fingerprint_of
from core.datasets import file, text
from core.errors import UserError
from core.schema import Fraction, NonNegativeInt, PositiveInt


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
) -> Dataset:
    """Loads inputs and targets as they are, unscaled.

    Args:
        path: the file.
        inputs: the array or column of the inputs (several columns with commas between).
        targets: that of the targets, of the same form.
        split_by: the array or column that says which part a pair is in: train, validation (val, dev), test; or 0, 1, 2;
            or 0 and 1 for train and test. Without it, or where it names no validation part, parts are drawn by chance.
        validation: the share of the pairs that are not for the test to choose by.
        test: the share of all pairs that is kept for the end; a column decides instead.
        split_seed: of that chance. It is not the trial's seed: all trials of a study have the same parts.
        shape: what each input is reshaped to, e.g. [1, 28, 28].
        texts: which of the two are columns of texts.
        model: what makes vectors of texts: `tfidf`, `minilm`, or a folder; see the data set `text`.
        dimensions: numbers per text of `tfidf`.

    Returns:
        Samples (n, features) or images, the array `target` (n, dim), and the parts.

    Raises:
        UserError: the file is missing, damaged, or not what it must be; or too little is left to train on.
    """
    import numpy as np

    from core import parts

    encode = partial(text.load, path=path, model=model, dimensions=dimensions, scale="none")
    with _called(features="inputs", text="inputs", labels="split_by"):
        if texts in {"inputs", "both"}:
            found = encode(text=inputs, labels=split_by or "none")
        else:
            found = file.load(path=path, features=inputs, labels=split_by or "none", scale="none", shape=shape)
    with _called(features="targets", text="targets"):
        if texts in {"targets", "both"}:
            paired = encode(text=targets, labels="none").samples
        else:
            paired = file.load(path=path, features=targets, labels="none", scale="none").samples
    if len(found.samples) != len(paired):
        raise fault(path, f"it has {len(found.samples)} inputs and {len(paired)} targets: each must have its own")
    if found.labels is None:
        split = parts.drawn(np.zeros(len(paired), np.int8), "test", test, split_seed, path)
    else:
        split = parts.named(found.labels, found.class_names, path)
    if not (split == 1).any():
        split = parts.drawn(split, "validation", validation, split_seed, path)
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
    )
    arrays = {"target": np.ascontiguousarray(paired.reshape(len(paired), -1))}
    return Dataset(found.name, found.samples, None, (), hashed, arrays, split, found.feature_names)


@contextmanager
def _called(**names: str) -> Generator[None]:
    """Has the mistakes of the readers of single files call options as they are called here."""
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
) -> str:
    """The hash of the file's content, of what encodes texts, and of all options but the path.

    Raises:
        UserError: there is no such file or model.
    """
    if texts == "none":
        content = file.fingerprint(path=path, features=inputs, labels=split_by, scale="none", shape=shape)
    else:
        content = text.fingerprint(path=path, text=inputs, labels=split_by, model=model, dimensions=dimensions)
        content += file.fingerprint(path=path, shape=shape)
    options = {"validation": validation, "test": test, "split_seed": split_seed, "texts": texts}
    return fingerprint_of([], pairs=content, targets=targets, **options)
