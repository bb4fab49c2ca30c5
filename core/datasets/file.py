"""Your own data: a file of arrays, a table or sparse rows, a folder of such files, or a folder of images.

Arrays are (n, features), or images (n, H, W), (n, C, H, W) or (n, H, W, C) with C of 1, 3 or 4 (`layout` says it of
others); an `.npz` or `.mat` may hold a sparse matrix. Well-known sets of images are read as they are downloaded.
Tables have one row per sample: numeric columns are the features; if just one column holds lists, of equal length, it is
all of them. Pandas' index, ids (`id`, `*_id`, `index`), second labels (`label*`, `class*`, `target*`, `cluster`,
`species`, `cell_type`, `group`, `pred*`, …) and columns that repeat the labels one to one are left out unless
`features` names them, and `conclus plan` tells of it. The first line of a text file may name the columns; else they are
f0, f1, …
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from core.config.schema import PositiveInt
from core.data.columns import Part, Wanted, exact_ids, few_valued, listed
from core.data.dataset import Dataset, check_spread, check_values, fault, fingerprint_from, user_path
from core.data.labels import Labels, check_labels, read_labels
from core.data.layout import shaped
from core.data.prepared import prepared
from core.data.scaling import offset_and_divisor
from core.data.stored import Stored, in_form, is_sparse
from core.formats import registry as formats
from core.formats.copies import changed_reading, label_copies, repeats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Smaller files are read anew by each process, which takes less than a second: 4 MiB.
_SMALL = 1 << 22
# Of an option with this value the fingerprint is as if it was not there; of all others, None.
_UNSET = {"decimal": ".", "broken": "refuse", "log1p": False}


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
    layout: Literal["nf", "fn", "nhw", "nchw", "nhwc", "hwn", "hwcn", "hwc", "chw"] | None = None,
    decimal: Literal[".", ","] = ".",
    sheet: str | None = None,
    view: str | None = None,
    split: Literal["train", "test", "all", "with-unlabelled"] | None = None,
    size: PositiveInt | None = None,
    broken: Literal["refuse", "skip"] = "refuse",
    log1p: bool = False,
    top_genes: PositiveInt | None = None,
) -> Dataset:
    """Loads samples, and labels if there are any.

    Args:
        path: the file, or the folder whose files are joined in the order of their names; either may be the address of
            an object store.
        features: key of the array in an `.npz`, `.mat` or `.h5`, matrix of an `.h5ad` (`layers/counts`, `obsm/X_pca`,
            `raw/X`; else `X`), or columns of a table (a list, or text with commas between). Without it: the array
            called x, data, fea, features, embeddings, emb, images or samples, or the only one of
            numbers with 2 or more dimensions; the only column of lists, or else all columns but the labels and those
            that are surely no features.
        labels: key or column of the labels (of `.h5ad` in `obs`), `none` for no labels. Without it: y, label, labels,
            target or targets, if there, or else class; of `.mat` also gnd, gt, truth or truelabel.
        scale: `standard` gives each feature (of images: each channel) mean 0 and variance 1, `unit` maps all numbers to
            0..1, `none` changes nothing; `auto` is `standard` for vectors and `unit` for images.
        shape: the shape of each row, e.g. [1, 28, 28].
        ignore: columns or arrays that are not read.
        id: column or array of the samples' names, which `conclus embed` keeps.
        unlabelled: label values that mean no label. Without it: -1 (unless it is one of only two), NA, nan, none, null,
            unlabelled; empty ones always.
        layout: what the axes of an array are: nf, fn (features x samples), nhw, nchw, nhwc, hwn or hwcn (images
            last), or of a cube whose pixels are the samples hwc, chw. Without it: the only possible reading with
            samples first; of `.mat` also with samples last, where the labels say so.
        decimal: the decimal point of numbers in CSV and TSV.
        sheet: of an Excel workbook, the sheet that is read. Without it: the only one with cells.
        view: which of several views of the same samples is read, where a file holds some: `view0`, `view1`, …
        split: the part of a data set that comes in two, as CIFAR-10 or arrays `x_train` and `x_test`. Without it: all,
            train first. Of STL-10 `with-unlabelled` adds the images without a class.
        size: the sides of images in pixels: the shorter side is brought to it, and the middle is cut out.
        broken: images that cannot be decoded are refused, or left out and told of (`skip`).
        log1p: of `.h5ad`: counts are taken as log(1 + count).
        top_genes: of `.h5ad`: so many features of the largest variance are kept.

    Returns:
        Samples (n, features) or (n, channels, height, width), labels (n,) in sorted order of the classes.

    Raises:
        UserError: the file is missing, damaged or ambiguous, or its data cannot be clustered.
    """
    options: dict[str, Any] = {
        "features": features,
        "labels": labels,
        "ignore": ignore,
        "id": id,
        "unlabelled": unlabelled,
        "layout": layout,
        "decimal": decimal,
        "sheet": sheet,
        "view": view,
        "split": split,
        "size": size,
        "broken": broken,
        "log1p": log1p,
        "top_genes": top_genes,
    }
    found = formats.found(path)
    hashed = _fingerprint(found, scale=scale, shape=shape, **options)

    def read() -> Dataset:
        data = _load(found, _wanted(**options), shape=shape, scale=scale, hashed=hashed)
        if _fingerprint(found.again(), scale=scale, shape=shape, **options) != hashed:
            raise fault(path, "it changed while it was read: start again when nobody writes to it any more")
        return data

    small = not found.format.cached and found.size < _SMALL
    # The name is that of the path, and not what it was when the entry was made.
    return replace(read() if small else prepared(hashed, read), name=user_path(path).absolute().stem)


def _load(found: formats.DataFiles, wanted: Wanted, *, shape: Sequence[int] | None, scale: str, hashed: str) -> Dataset:
    path = found.path
    wanted = replace(wanted, copies=label_copies(found.tables, wanted))
    samples, part, axes = _samples(found, wanted, shape)
    check_spread(samples, path)
    labels = Labels(None, ())
    if part.labels is not None:
        labels = read_labels(part.labels, samples.shape[0], path, names=part.class_names, unlabelled=wanted.unlabelled)
    elif wanted.unlabelled:
        raise fault(path, "`unlabelled` is of labels, and none are read: leave it out, or name them with `labels`")
    held = in_form(samples, scale)
    return Dataset(
        user_path(path).absolute().stem,
        held,
        labels.codes,
        labels.names,
        hashed,
        feature_names=part.columns,
        left_out=part.left_out,
        label_name="" if labels.codes is None else part.label_name,
        axes=axes,
        notes=(*part.notes, *labels.notes, *_told_columns(part, labels.codes)),
        ids=part.ids,
        unlabelled=labels.missing,
        scaling=_scaling(samples, held, scale),
    )


def _scaling(samples: Any, held: Any, scale: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
    if scale == "none":
        return None
    if isinstance(held, Stored):
        return held.scaling.offset_and_divisor()
    return offset_and_divisor(samples.toarray() if is_sparse(samples) else samples, scale)


def samples_of(path: str, columns: Sequence[str], *, decimal: str = ".", **options: Any) -> Dataset:
    """The samples of new data for a trained model, unscaled; one sample is enough, and no labels are needed.

    Args:
        path: as for `load`.
        columns: names of the features in training, in their order; empty for arrays.
        decimal: as for `load`.
        options: `features`, `labels`, `shape`, `ignore`, `id`, `layout`, `view` and `log1p` as for `load`.

    Returns:
        A data set without labels; `left_out` names the columns that the model does not know.

    Raises:
        UserError: as `load`; or columns are missing.
    """
    import numpy as np

    wanted = replace(_wanted(decimal=decimal, **options), known=tuple(columns))
    samples, part, axes = _samples(formats.found(path), wanted, options.get("shape"))
    if is_sparse(samples):
        samples = samples.toarray()
    plain = np.ascontiguousarray(samples, dtype=np.result_type(samples.dtype, np.float32))
    name = user_path(path).absolute().stem
    return Dataset(
        name, plain, None, (), "", feature_names=part.columns, left_out=part.left_out, axes=axes, ids=part.ids
    )


def _wanted(**options: Any) -> Wanted:
    """What `load` and `fingerprint` are told of columns and arrays."""
    plain = ("labels", "id", "layout", "sheet", "view", "split", "size", "broken", "log1p", "top_genes")
    return Wanted(
        features=_names(options.get("features")),
        ignore=tuple(options.get("ignore") or ()),
        decimal=options.get("decimal") or ".",
        unlabelled=None if options.get("unlabelled") is None else tuple(options["unlabelled"]),
        **{name: options[name] for name in plain if options.get(name) is not None},
    )


def _names(features: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if features is None:
        return None
    return (features,) if isinstance(features, str) else tuple(features)


def _samples(
    found: formats.DataFiles, wanted: Wanted, shape: Sequence[int] | None
) -> tuple[Any, Part, tuple[str, ...]]:
    """The samples of all files in their final shape, the joined parts, and the meaning of the axes."""
    if wanted.known is None:
        _check_options(found, wanted)
    parts = [_checked(one, wanted) for one in found.parts(wanted)]
    _check_same(parts)
    part = _with_ids(parts[0] if len(parts) == 1 else _joined(parts), parts)
    if part.axes and shape is None:
        return part.samples, part, part.axes
    given = part.samples.shape[1:]
    if shape is not None and len(shape) > 1 and len(given) == 3 and 1 not in given and tuple(shape) != given:
        raise fault(
            found.path,
            f"`shape: {list(shape)}` would lay the channels of images of shape {given} side by side: leave it out",
        )
    samples, axes = shaped(part.samples, shape, None if part.axes else wanted.layout, found.path)
    return samples, part, axes


def _told_columns(part: Part, labels: NDArray[Any] | None) -> Iterator[str]:
    """What a person should see of columns that may be classes or groups."""
    places = few_valued(part.samples)
    if part.columns:
        # Features of `.h5ad` are counts, and none of the columns that `ignore` may name.
        if part.file.suffix.lower() != ".h5ad" and (names := [part.columns[place] for place in places]):
            yield f"whole numbers of few values: {listed(names)} (`ignore` leaves out what is no feature)"
    elif labels is not None and (copies := [one + 1 for one in places if repeats(part.samples[:, one], labels)]):
        yield f"column {copies[0]} (counted from 1) of the samples repeats the labels one to one: leave it out"


def _joined(parts: Sequence[Part]) -> Part:
    import numpy as np
    from scipy import sparse

    labels = [part.labels for part in parts if part.labels is not None]
    return replace(
        parts[0],
        samples=(sparse.vstack if is_sparse(parts[0].samples) else np.concatenate)([part.samples for part in parts]),
        labels=np.concatenate(labels) if labels else None,
    )


def _with_ids(part: Part, parts: Sequence[Part]) -> Part:
    """The joined part with the ids of all; without any where a file has none."""
    found = [one.ids for one in parts if one.ids is not None]
    if len(found) < len(parts):
        return replace(part, ids=None)
    ids, missing = exact_ids(found)
    note = f"{missing:,} of {len(ids):,} ids are missing, and are empty texts"
    return replace(part, ids=ids, notes=(*part.notes, note) if missing else part.notes)


def fingerprint(*, path: str, **options: Any) -> str:
    """The hash of the files' content and of all options except the path; see `load`.

    Where columns are read otherwise than by earlier versions, their names are part of it: see `core.formats.copies`.

    Raises:
        UserError: there are no such files, or none has a known format.
    """
    return _fingerprint(formats.found(path), **options)


def _fingerprint(
    found: formats.DataFiles,
    *,
    features: str | Sequence[str] | None = None,
    labels: str | None = None,
    scale: str = "auto",
    shape: Sequence[int] | None = None,
    **later: Any,
) -> str:
    """The hash; the options that came `later` count only if they are set."""
    changed = changed_reading(found.tables, _wanted(features=features, labels=labels, **later))
    return fingerprint_from(
        found.hashes(),
        format=found.suffix,
        features=features,
        labels=labels,
        scale=scale,
        shape=None if shape is None else list(shape),
        **{name: value for name, value in later.items() if value is not None and value != _UNSET.get(name)},
        **changed,
    )


def _checked(part: Part, wanted: Wanted) -> Part:
    """Checks what was read from one file."""
    count = part.samples.shape[0] if part.samples.ndim else 0
    check_values(part.samples, part.file, part.columns)
    if part.ids is not None and len(part.ids) != count:
        raise fault(part.file, f"`id` names {len(part.ids)} values for {count} samples: each must have its own")
    if part.labels is None or wanted.known is not None:
        return replace(part, labels=None)
    return replace(part, labels=check_labels(part.labels, count, part.file))


def _check_options(found: formats.DataFiles, wanted: Wanted) -> None:
    """Refuses options that do nothing with files of this format."""
    unset = Wanted()
    for option in ("decimal", "sheet", "layout", "features", "view", "split", "size", "broken", "log1p", "top_genes"):
        if getattr(wanted, option) != getattr(unset, option) and option not in found.format.options:
            what = "a data set of this kind" if found.format.many else f"files of the format {found.suffix}"
            raise fault(found.files[0], f"the option `{option}` does nothing with {what}: leave it out")


def _check_same(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.first_index != first.first_index:
            bases = f"its indices count from {part.first_index}, those of {first.file.name} from {first.first_index}"
            raise fault(
                part.file,
                f"{bases}, so that one number is two features: join the files into one, or write all from 1",
            )
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
