"""Several views of each sample, such as the words, the sound and the pictures of a video, in one file.

A view is an array (n, features), or (n, steps, features) for sequences of vectors, of which the array `NAME_lengths` or
`lengths` gives the number of steps. Where a sample lacks a view, its row is NaN, or 0 in the array `NAME_mask` (n,) or
in its column of `mask` (n, views). What is missing stays missing: it is not filled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from core.data.columns import Wanted
from core.data.dataset import Dataset, check_spread, fault, fingerprint_from, user_path
from core.data.labels import Labels, read_labels
from core.data.modalities import Modality, filled, joined
from core.data.prepared import prepared
from core.formats import registry as formats
from core.formats import views as reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Smaller files are read anew by each process: 4 MiB.
_SMALL = 1 << 22


def load(
    *,
    path: str,
    views: tuple[str, ...] | None = None,
    labels: str | None = None,
    sequences: Literal["mean", "keep"] = "mean",
    scale: Literal["auto", "standard", "none"] = "auto",
    ignore: tuple[str, ...] | None = None,
    id: str | None = None,  # noqa: A002 - it is what the option is called
    unlabelled: tuple[int | str, ...] | None = None,
    split: Literal["train", "test", "all"] | None = None,
) -> Dataset:
    """Loads the views side by side as float32, and labels if there are any.

    Args:
        path: an `.npz`, `.mat` or `.h5` file, a folder of `.npy` files, or its address in an object store.
        views: the arrays of the views, in the order in which they are used. Without it: all arrays of
            floats with 2 or 3 axes and a row for each sample, and those numbered as `X1`, `X2`.
        labels: key of the labels, `none` for no labels; without it as in the data set `file`.
        sequences: `mean` averages each sequence over its steps, `keep` keeps the steps; those after the end are NaN.
        scale: `standard` gives each feature mean 0 and variance 1 over the samples that have the view, and divides each
            view by the root of its number of features, so that all views have the same weight in distances; `auto` is
            `standard`, `none` changes nothing.
        ignore: arrays that are not read.
        id: array of the samples' names.
        unlabelled: label values that mean no label; as in the data set `file`.
        split: the part of a file whose arrays come in two, as `text_train` and `text_test`. Without it: all.

    Returns:
        Samples (n, numbers) with their modalities, labels (n,) in sorted order of the classes.

    Raises:
        UserError: the file is missing, damaged or ambiguous, or its data cannot be clustered.
    """
    options: dict[str, Any] = {
        "views": views,
        "labels": labels,
        "sequences": sequences,
        "scale": scale,
        "ignore": ignore,
        "id": id,
        "unlabelled": unlabelled,
        "split": split,
    }
    found = formats.found(path)
    hashed = fingerprint(path=path, **options)

    def read() -> Dataset:
        wanted = Wanted(features=views, labels=labels, ignore=ignore or (), id=id, split=split)
        data = _load(found, wanted, unlabelled=unlabelled, sequences=sequences, scale=scale, hashed=hashed)
        if fingerprint(path=path, **options) != hashed:
            raise fault(path, "it changed while it was read: start again when nobody writes to it any more")
        return data

    # The name is that of the path, and not what it was when the entry was made.
    return replace(read() if found.size < _SMALL else prepared(hashed, read), name=user_path(path).absolute().stem)


def _load(
    found: formats.DataFiles,
    wanted: Wanted,
    *,
    unlabelled: Sequence[int | str] | None,
    sequences: Literal["mean", "keep"],
    scale: Literal["auto", "standard", "none"],
    hashed: str,
) -> Dataset:
    read = reader.read(found, wanted)
    made = joined(read.views, found.path, sequences=sequences, scale=scale)
    check_spread(filled(made.samples), found.path)
    labels = Labels(None, ())
    if read.labels is not None:
        labels = read_labels(read.labels, read.n_samples, found.path, names=read.class_names, unlabelled=unlabelled)
    elif unlabelled:
        raise fault(
            found.path, "`unlabelled` is of labels, and none are read: leave it out, or name them with `labels`"
        )
    return Dataset(
        "",
        made.samples,
        labels.codes,
        labels.names,
        hashed,
        feature_names=tuple(_names(made.modalities)),
        left_out=read.left_out,
        label_name="" if labels.codes is None else read.label_name,
        notes=(*made.notes, *read.notes, *labels.notes),
        ids=read.ids,
        unlabelled=labels.missing,
        scaling=made.scaling,
        modalities=made.modalities,
    )


def _names(modalities: Sequence[Modality]) -> Iterator[str]:
    """The names of the numbers of a row: `text:5`, or `sound:2:5` of the steps of a sequence, counted from 0."""
    for one in modalities:
        width = one.shape[-1]
        for place in range(one.stop - one.start):
            step = f"{place // width}:" if len(one.shape) > 1 else ""
            yield f"{one.name}:{step}{place % width}"


def fingerprint(*, path: str, **options: Any) -> str:
    """The hash of the files' content and of all options except the path; see `load`.

    Raises:
        UserError: there are no such files, or none has a known format.
    """
    found = formats.found(path)
    given = {"sequences": "mean", "scale": "auto", **{name: one for name, one in options.items() if one is not None}}
    # In a folder of arrays the names of the files are the names of the views.
    names = [one.name for one in found.files] if len(found.files) > 1 else []
    return fingerprint_from(found.hashes(), format=found.suffix, names=names, **given)
