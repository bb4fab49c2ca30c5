"""Several views of each sample, such as the words, the sound and the pictures of a video, in one file.

A view is an array (n, features), or (n, steps, features) for sequences of vectors, of which the array `NAME_lengths` or
`lengths` gives the number of steps; in a table it is a column of lists, of lists of lists, or of texts. Where a sample
lacks a view, its row is NaN, its value in a table is empty, or the array `NAME_mask` (n,), or the view's column of
`mask` (n, views), is 0. What is missing stays missing: it is not filled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from core.config.schema import PositiveInt
from core.data.columns import Wanted, listed
from core.data.dataset import Dataset, check_spread, fault, fingerprint_from, user_path
from core.data.labels import Labels, read_labels
from core.data.modalities import Modality, filled, joined, missing
from core.data.prepared import prepared
from core.datasets import text
from core.errors import UserError, counted
from core.formats import registry as formats
from core.formats import view_arrays, view_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from core.formats.views import ViewsOfFile

# Smaller files are read anew by each process: 4 MiB.
_SMALL = 1 << 22
_DEFAULTS: dict[str, Any] = {
    "sequences": "mean",
    "scale": "auto",
    "model": "tfidf",
    "dimensions": 128,
    "analyzer": None,
}


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
    model: str = "tfidf",
    dimensions: PositiveInt = 128,
    analyzer: str | None = None,
) -> Dataset:
    """Loads the views side by side as float32, and labels if there are any.

    Args:
        path: an `.npz`, `.mat` or `.h5` file, a folder of `.npy` files, or a table (Parquet, Feather, Arrow, JSON
            Lines, xlsx, CSV, TSV), or its address in an object store.
        views: the arrays or columns of the views, in the order in which they are used; of a table also the beginning
            of the names of columns of numbers, as `audio_`. Without it: all arrays of floats with 2 or 3 axes and a row
            for each sample, and those numbered as `X1`, `X2`; all columns of lists.
        labels: key or column of the labels, `none` for no labels; without it as in the data set `file`.
        sequences: `mean` averages each sequence over its steps, `keep` keeps the steps; those after the end are NaN.
        scale: `standard` gives each feature mean 0 and variance 1 over the samples that have the view, and then divides
            each view by the root of its number of features over that of a view on average, so that all views have the
            same weight in distances; `auto` is `standard`, `none` changes nothing.
        ignore: arrays or columns that are not read.
        id: array or column of the samples' names.
        unlabelled: label values that mean no label; as in the data set `file`.
        split: the part of a file whose arrays come in two, as `text_train` and `text_test`. Without it: all.
        model: what turns a view of texts into vectors: `tfidf`, `minilm`, or a folder; see the data set `text`.
        dimensions: numbers per text of `tfidf`.
        analyzer: what `tfidf` counts in a text; see the data set `text`.

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
        "model": model,
        "dimensions": dimensions,
        "analyzer": analyzer,
    }
    found = formats.found(path)
    hashed = fingerprint(path=path, **options)

    def read() -> Dataset:
        wanted = Wanted(features=views, labels=labels, ignore=ignore or (), id=id, split=split)
        part = _in_vectors(_read(found, wanted), path, model=model, dimensions=dimensions, analyzer=analyzer)
        data = _joined(part, path, unlabelled=unlabelled, sequences=sequences, scale=scale, hashed=hashed)
        if fingerprint(path=path, **options) != hashed:
            raise fault(path, "it changed while it was read: start again when nobody writes to it any more")
        return data

    # The name is that of the path, and not what it was when the entry was made.
    return replace(read() if found.size < _SMALL else prepared(hashed, read), name=user_path(path).absolute().stem)


def samples_of(path: str, known: Mapping[str, tuple[int, ...]], **options: Any) -> Dataset:
    """The samples of new data for a trained model, unscaled; one sample is enough, and no labels are needed.

    Args:
        path: as for `load`.
        known: the shape of each view in training by its name, (features,) or (steps, features), in their order.
        options: those of the training, as for `load`.

    Returns:
        A data set without labels, whose rows are as those of the training.

    Raises:
        UserError: as `load`; or a view is missing, or has another shape, or is of texts for TF-IDF.
    """
    ignored, labelled = options.get("ignore") or (), None if options.get("labels") is None else "none"
    wanted = Wanted(
        features=tuple(options.get("views") or known),
        labels=labelled,
        ignore=tuple(ignored),
        id=options.get("id"),
        known=tuple(known),
    )
    part = _read(formats.found(path), wanted)
    options = {**_DEFAULTS, **options}
    model = {name: options[name] for name in ("model", "dimensions", "analyzer")}
    if model["model"] == "tfidf" and any(isinstance(one, list) for one in part.views.values()):
        raise UserError("TF-IDF vectors cannot be made for new texts: train with `minilm` or a model folder")
    made = joined(
        _in_vectors(part, path, least=1, **model).views, path, sequences=options["sequences"], scale="none", known=known
    )
    return Dataset(
        user_path(path).absolute().stem,
        made.samples,
        None,
        (),
        "",
        left_out=part.left_out,
        notes=made.notes,
        ids=part.ids,
        modalities=made.modalities,
    )


def texts_of(path: str, **options: Any) -> list[str]:
    """The texts of all views of texts, one view after the other; empty without such a view.

    Args:
        path: as for `load`.
        options: as for `load`.

    Raises:
        UserError: as `load`.
    """
    wanted = Wanted(
        features=options.get("views"),
        labels=options.get("labels"),
        ignore=options.get("ignore") or (),
        id=options.get("id"),
        split=options.get("split"),
    )
    part = _read(formats.found(path), wanted)
    return [one for view in part.views.values() if isinstance(view, list) for one in view if one is not None]


def _read(found: formats.DataFiles, wanted: Wanted) -> ViewsOfFile:
    """The views of what lies at a path; those of texts as texts."""
    suffixes = (*view_arrays.SUFFIXES, *view_tables.SUFFIXES)
    if found.format.many or found.suffix not in suffixes:
        what = "a data set of this kind" if found.format.many else f"a file of the format {found.suffix}"
        raise fault(found.path, f"{what} holds no views: use {', '.join(suffixes)}")
    if len(found.files) > 1 and found.suffix != ".npy":
        said = listed(one.name for one in found.files)
        raise fault(found.path, f"the folder holds {len(found.files)} files ({said}): name the one with the views")
    return (view_arrays if found.suffix in view_arrays.SUFFIXES else view_tables).read(found, wanted)


def _in_vectors(part: ViewsOfFile, path: str, *, least: int = 2, **model: Any) -> ViewsOfFile:
    """The same views, texts as vectors (n, features); NaN where a text is missing. A view needs `least` texts."""
    import numpy as np

    views, notes = dict(part.views), list(part.notes)
    for name, texts in part.views.items():
        if isinstance(texts, list):
            places = [place for place, one in enumerate(texts) if one is not None]
            if len(places) < least:
                held = f"the view {name!r} holds {counted(len(places), 'text')}"
                raise fault(path, f"{held}: at least {least} are needed, or leave it out")
            vectors, said = text.vectors_of([texts[place] for place in places], **model)
            views[name] = np.full((len(texts), vectors.shape[1]), np.nan, np.float32)
            views[name][places] = vectors
            notes += [f"{name} is texts, turned into vectors by {model['model']}", *said]
    if not any(isinstance(one, list) for one in part.views.values()) and (
        model["model"] != "tfidf" or model["analyzer"]
    ):
        raise UserError("data: `model` and `analyzer` are for views of texts, and there are none: leave them out")
    return replace(part, views=views, notes=tuple(notes))


def _joined(
    read: ViewsOfFile,
    path: str,
    *,
    unlabelled: Sequence[int | str] | None,
    sequences: Literal["mean", "keep"],
    scale: Literal["auto", "standard", "none"],
    hashed: str,
) -> Dataset:
    made = joined(read.views, path, sequences=sequences, scale=scale)
    bare = [name for name, count in missing(made.samples, made.modalities).items() if count == len(made.samples)]
    if bare:
        raise fault(path, f"the view {bare[0]!r} is missing for all samples: leave it out of `views`")
    check_spread(filled(made.samples), path)
    labels = Labels(None, ())
    if read.labels is not None:
        labels = read_labels(read.labels, read.n_samples, path, names=read.class_names, unlabelled=unlabelled)
    elif unlabelled:
        raise fault(path, "`unlabelled` is of labels, and none are read: leave it out, or name them with `labels`")
    return Dataset(
        user_path(path).absolute().stem,
        made.samples,
        labels.codes,
        labels.names,
        hashed,
        feature_names=tuple(_names(made.modalities, read.features)),
        left_out=read.left_out,
        label_name="" if labels.codes is None else read.label_name,
        notes=(*made.notes, *read.notes, *labels.notes),
        ids=read.ids,
        unlabelled=labels.missing,
        scaling=made.scaling,
        modalities=made.modalities,
    )


def _names(modalities: Sequence[Modality], columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The names of the numbers of a row: `text:5`, or `sound:2:5` of the steps of a sequence, counted from 0.

    Args:
        modalities: of the row.
        columns: the names of the features of a view, where they have names.
    """
    for one in modalities:
        width = one.shape[-1]
        named = columns.get(one.name, range(width))
        for place in range(one.stop - one.start):
            step = f"{place // width}:" if len(one.shape) > 1 else ""
            yield f"{one.name}:{step}{named[place % width]}"


def fingerprint(*, path: str, **options: Any) -> str:
    """The hash of the files' content and of all options except the path; see `load`.

    Raises:
        UserError: there are no such files, or none has a known format.
    """
    found = formats.found(path)
    given = {**_DEFAULTS, **{name: one for name, one in options.items() if one is not None}}
    identity = text.model_identity(**{name: given.pop(name) for name in ("model", "dimensions", "analyzer")})
    # In a folder of arrays the names of the files are the names of the views.
    names = [one.name for one in found.files] if len(found.files) > 1 else []
    return fingerprint_from(found.hashes(), format=found.suffix, names=names, texts=identity, **given)
