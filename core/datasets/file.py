"""Your own data: an npy, npz, Parquet, CSV or TSV file, or a folder of files of one kind.

Arrays are (n, features), or images (n, H, W), (n, C, H, W) or (n, H, W, C) with C of 1, 3 or 4 (`layout` says it of
others); an `.npz` may hold a sparse matrix as scipy saves it. Tables have one row per sample: numeric columns are the
features; if just one column holds lists, of equal length, it is all of them. Pandas' index, ids (`id`, `*_id`,
`index`), second labels (`label*`, `class*`, `target*`, `cluster`, `species`, `cell_type`, `group`, `pred*`, …) and
columns that repeat the labels one to one are left out unless `features` names them, and `conclus plan` tells of it. The
first line of a text file may name the columns; else they are f0, f1, …
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from core.data.arrays import read_npy, read_npz
from core.data.columns import Part, Wanted, few_valued, listed
from core.data.copies import changed_reading, label_copies, repeats
from core.data.dataset import (
    SUFFIXES,
    Dataset,
    check_spread,
    check_values,
    damage,
    fault,
    fingerprint_of,
    user_path,
)
from core.data.labels import Labels, check_labels, read_labels
from core.data.layout import Layout, shaped
from core.data.scaling import offset_and_divisor, scaled
from core.data.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def load(
    *,
    path: str,
    features: str | tuple[str, ...] | None = None,
    labels: str | None = None,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    shape: tuple[int, ...] | None = None,
    ignore: tuple[str, ...] | None = None,
    id: str | None = None,  # noqa: A002 - it is what the option is called
    unlabelled: tuple[int | str, ...] | None = None,
    layout: Literal["nf", "fn", "nhw", "nchw", "nhwc", "hwn", "hwc", "chw"] | None = None,
    decimal: Literal[".", ","] = ".",
) -> Dataset:
    """Loads samples, and labels if there are any.

    Args:
        path: the file, or the folder whose files are joined in the order of their names; either may be the address of
            an object store.
        features: key of the array in an `.npz`, or columns of a table (a list, or text with commas between). Without
            it: the array called x, data, features, embeddings, emb, images or samples, or the only one of
            numbers with 2 or more dimensions; the only column of lists, or else all columns but the labels and those
            that are surely no features.
        labels: key or column of the labels, `none` for no labels. Without it: y, label, labels, target or
            targets, if there, or else class.
        scale: `standard` gives each feature (of images: each channel) mean 0 and variance 1, `unit` maps all numbers to
            0..1, `none` changes nothing; `auto` is `standard` for vectors and `unit` for images.
        shape: the shape of each row, e.g. [1, 28, 28].
        ignore: columns or arrays that are not read.
        id: column or array of the samples' names, which `conclus embed` keeps.
        unlabelled: label values that mean no label. Without it: -1 (unless it is one of only two), NA, nan, none, null,
            unlabelled; empty ones always.
        layout: what the axes of an array are: nf, fn (features x samples), nhw, nchw, nhwc, hwn (images last), or of a
            cube whose pixels are the samples hwc, chw. Without it: the only possible reading with samples first.
        decimal: the decimal point of numbers in CSV and TSV.

    Returns:
        Samples (n, features) or (n, channels, height, width), labels (n,) in sorted order of the classes.

    Raises:
        UserError: the file is missing, damaged or ambiguous, or its data cannot be clustered.
    """
    hashed = fingerprint(
        path=path,
        features=features,
        labels=labels,
        scale=scale,
        shape=shape,
        ignore=ignore,
        id=id,
        unlabelled=unlabelled,
        layout=layout,
        decimal=decimal,
    )
    wanted = _wanted(features=features, labels=labels, ignore=ignore, id=id, decimal=decimal, unlabelled=unlabelled)
    wanted = replace(wanted, copies=label_copies(_files(path), wanted))
    samples, part, axes = _samples(path, wanted, shape, layout)
    check_spread(samples, path)
    found = Labels(None, ())
    if part.labels is not None:
        found = read_labels(part.labels, len(samples), path, names=part.class_names, unlabelled=unlabelled)
    elif unlabelled:
        raise fault(path, "`unlabelled` is of labels, and none are read: leave it out, or name them with `labels`")
    return Dataset(
        user_path(path).absolute().stem,
        scaled(samples, scale),
        found.codes,
        found.names,
        hashed,
        feature_names=part.columns,
        left_out=part.left_out,
        label_name="" if found.codes is None else part.label_name,
        axes=axes,
        notes=(*part.notes, *found.notes, *_told_columns(part, found.codes)),
        ids=part.ids,
        unlabelled=found.missing,
    )


def samples_of(path: str, columns: Sequence[str], *, decimal: str = ".", **options: Any) -> Dataset:
    """The samples of new data for a trained model, unscaled; one sample is enough, and no labels are needed.

    Args:
        path: as for `load`.
        columns: names of the features in training, in their order; empty for arrays.
        decimal: as for `load`.
        options: `features`, `labels`, `shape`, `ignore`, `id` and `layout` as for `load`.

    Returns:
        A data set without labels; `left_out` names the columns that the model does not know.

    Raises:
        UserError: as `load`; or columns are missing.
    """
    import numpy as np

    wanted = Wanted(
        features=_names(options.get("features")),
        labels=options.get("labels"),
        ignore=tuple(options.get("ignore") or ()),
        id=options.get("id"),
        decimal=decimal,
        known=tuple(columns),
    )
    samples, part, axes = _samples(path, wanted, options.get("shape"), options.get("layout"))
    plain = np.ascontiguousarray(samples, dtype=np.result_type(samples.dtype, np.float32))
    name = user_path(path).absolute().stem
    return Dataset(
        name, plain, None, (), "", feature_names=part.columns, left_out=part.left_out, axes=axes, ids=part.ids
    )


def _wanted(**options: Any) -> Wanted:
    """What `load` and `fingerprint` are told of columns and arrays."""
    return Wanted(
        features=_names(options.get("features")),
        labels=options.get("labels"),
        ignore=tuple(options.get("ignore") or ()),
        id=options.get("id"),
        decimal=options.get("decimal") or ".",
        unlabelled=None if options.get("unlabelled") is None else tuple(options["unlabelled"]),
    )


def _names(features: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if features is None:
        return None
    return (features,) if isinstance(features, str) else tuple(features)


def _samples(
    path: str, wanted: Wanted, shape: Sequence[int] | None, layout: Layout | None
) -> tuple[NDArray[Any], Part, tuple[str, ...]]:
    """The samples of all files in their final shape, the joined parts, and the meaning of the axes."""
    parts = [_read(file, wanted, layout) for file in _files(path)]
    _check_same(parts)
    part = parts[0] if len(parts) == 1 else _joined(parts)
    samples, axes = shaped(part.samples, shape, layout, path)
    return samples, part, axes


def _told_columns(part: Part, labels: NDArray[Any] | None) -> Iterator[str]:
    """What a person should see of columns that may be classes or groups."""
    places = few_valued(part.samples)
    if part.columns:
        if names := [part.columns[place] for place in places]:
            yield f"whole numbers of few values: {listed(names)} (`ignore` leaves out what is no feature)"
    elif labels is not None and (copies := [one + 1 for one in places if repeats(part.samples[:, one], labels)]):
        yield f"column {copies[0]} (counted from 1) of the samples repeats the labels one to one: leave it out"


def _joined(parts: Sequence[Part]) -> Part:
    import numpy as np

    labels = [part.labels for part in parts if part.labels is not None]
    ids = [part.ids for part in parts if part.ids is not None]
    return replace(
        parts[0],
        samples=np.concatenate([part.samples for part in parts]),
        labels=np.concatenate(labels) if labels else None,
        ids=np.concatenate(ids) if len(ids) == len(parts) else None,
    )


def fingerprint(
    *,
    path: str,
    features: str | Sequence[str] | None = None,
    labels: str | None = None,
    scale: str = "auto",
    shape: Sequence[int] | None = None,
    **later: Any,
) -> str:
    """The hash of the files' content and of all options except the path; `later` ones count only if they are set.

    Where columns are read otherwise than by earlier versions, their names are part of it: see `core.data.copies`.

    Raises:
        UserError: there are no such files, or none has a known format.
    """
    files = _files(path)
    unset = (None, ".")
    changed = changed_reading(files, _wanted(features=features, labels=labels, **later))
    return fingerprint_of(
        files,
        format=files[0].suffix.lower(),
        features=features,
        labels=labels,
        scale=scale,
        shape=None if shape is None else list(shape),
        **{name: value for name, value in later.items() if value not in unset},
        **changed,
    )


def scaling(*, path: str, scale: str = "auto", **options: Any) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """The offset and the divisor by which `load` scales each feature (of images: each channel); None for no scaling.

    Raises:
        UserError: as `load`.
    """
    if scale == "none":
        return None
    raw = load(path=path, scale="none", **options).samples
    # For images, one number holds for a whole channel.
    offset, divisor = (one.reshape(-1, *(1 for _ in raw.shape[2:])) for one in offset_and_divisor(raw, scale))
    return offset, divisor


def _files(path: str) -> list[Path]:
    place = user_path(path)
    known = f"known formats are {', '.join(SUFFIXES)}"
    if not place.is_dir():
        if place.suffix.lower() not in SUFFIXES:
            raise fault(path, f"its format ({place.suffix or 'no suffix'}) is unknown: {known}")
        return [place]
    try:
        found = [file for file in sorted(place.iterdir()) if file.name[0] not in "._" and file.is_file()]
    except OSError as error:
        raise fault(path, f"the folder cannot be listed ({error.strerror}): you need permission to read it") from error
    found = [file for file in found if file.suffix.lower() in SUFFIXES]
    formats = sorted({file.suffix.lower() for file in found})
    if not found:
        raise fault(path, f"there is no data file in this folder: {known}")
    if len(formats) > 1:
        raise fault(path, f"it has files of several formats ({', '.join(formats)}): name one file, or split it")
    return found


def _read(file: Path, wanted: Wanted, layout: Layout | None) -> Part:
    """Reads and checks one file; an error of a reader becomes one sentence."""
    suffix = file.suffix.lower()
    if wanted.known is None:
        _check_format(file, suffix, wanted, layout)
    try:
        if suffix == ".npy":
            part = read_npy(file, wanted, layout)
        elif suffix == ".npz":
            part = read_npz(file, wanted, layout)
        else:
            part = read_table(file, wanted)
    except damage() as error:
        reason = " ".join(str(error).split())[:200]
        what = f"it cannot be read as {suffix} ({reason}): it may be cut short, or of another format"
        raise fault(file, what) from error
    check_values(part.samples, file, part.columns)
    if part.ids is not None and len(part.ids) != len(part.samples):
        raise fault(file, f"`id` names {len(part.ids)} values for {len(part.samples)} samples: each must have its own")
    if part.labels is None or wanted.known is not None:
        return replace(part, labels=None)
    return replace(part, labels=check_labels(part.labels, len(part.samples), file))


def _check_format(file: Path, suffix: str, wanted: Wanted, layout: Layout | None) -> None:
    """Refuses options that do nothing with files of this format."""
    idle = {
        "decimal": wanted.decimal != "." and suffix not in {".csv", ".tsv"},
        "layout": layout is not None and suffix not in {".npy", ".npz"},
        "features": wanted.features is not None and suffix == ".npy",
    }
    for option in (name for name, does_nothing in idle.items() if does_nothing):
        raise fault(file, f"the option `{option}` does nothing with files of the format {suffix}: leave it out")


def _check_same(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.samples.shape[1:] != first.samples.shape[1:] or part.columns != first.columns:
            raise fault(
                part.file,
                f"it has {_layout(part)}, but {first.file.name} has {_layout(first)}: the files of a "
                "folder must have the same columns (put samples and labels of arrays into one .npz)",
            )
        if _label_kind(part) != _label_kind(first):
            raise fault(
                part.file,
                f"it has {_label_kind(part)}, but {first.file.name} has {_label_kind(first)}: "
                "give all files of a folder labels of one kind, or use none with `labels: none`",
            )


def _layout(part: Part) -> str:
    return f"columns {listed(part.columns)}" if part.columns else f"samples of shape {part.samples.shape[1:]}"


def _label_kind(part: Part) -> str:
    if part.labels is None:
        return "no labels"
    return "labels of text" if part.labels.dtype.kind in "OU" else "labels of numbers"
