# ruff: noqa: RUF001 - the sign of multiplication, as shapes are written
"""A hyperspectral scene: a cube of height x width x bands, and its ground truth, in which 0 is "no class".

Each pixel is a sample, of the spectrum in it, or with `patch` of the square of pixels around it. All pixels are trained
on; scores are of those with a class: `oa`, `balanced_acc` (AA in remote sensing) and `kappa`. A pixel's id is its
number, row by row from 0, so `conclus assign --out map.png` draws the clusters where they lie.

The cube and the truth are `.mat` (MATLAB's versions 5 to 7.3), `.npy` or `.npz` files, in one folder or in one file.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from core.config.schema import PositiveInt
from core.data.dataset import UNLABELLED, Dataset, check_spread, check_values, fault, fingerprint_of, user_path
from core.data.labels import Labels, read_labels
from core.data.prepared import prepared
from core.data.scaling import Scaling, offset_and_divisor, scaled
from core.data.stored import FEW, Stored
from core.formats import cube

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Smaller cubes are read anew by each process: 4 MiB.
_SMALL = 1 << 22


def load(
    *,
    path: str,
    truth: str | None = None,
    patch: PositiveInt = 1,
    bands: PositiveInt | None = None,
    pixels: Literal["all", "labelled"] = "all",
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    layout: Literal["hwc", "whc", "chw", "cwh"] | None = None,
    variable: str | None = None,
    truth_variable: str | None = None,
) -> Dataset:
    """Loads the pixels of a scene, and their classes if there is a ground truth.

    Args:
        path: the file of the cube, or a folder with this file and that of the truth; or its address in an object store.
        truth: the name of the file of the ground truth, which lies beside that of the cube; `none` for no truth.
            Without it: an array in the cube's file that fits the cube.
        patch: the side of the square of pixels around each pixel, odd; beyond an edge the scene is mirrored. 1 is the
            pixel alone.
        bands: the number of principal components of the bands, found in all pixels. Without it: the bands themselves.
        pixels: `all` are trained on, or those that are `labelled`. Scores are always of those that are labelled.
        scale: as in the data set `file`, found in all pixels; `auto` is `standard` for spectra of bands, and `unit` for
            components and patches, which keeps the ratio of their variances.
        layout: the axes of the cube: h is the height, w the width, c the bands. Without it: hwc.
        variable: the name of the cube, where its file holds several arrays with 3 axes.
        truth_variable: the name of the truth, where its file holds several arrays with 2 axes.

    Returns:
        Samples (n, bands) or (n, bands, patch, patch), labels (n,) in sorted order of the classes.

    Raises:
        UserError: a file is missing, damaged or ambiguous, or the truth does not fit the cube.
    """
    import numpy as np

    if patch % 2 == 0:
        raise fault(path, f"`patch: {patch}` has no pixel in its middle: give an odd number, such as {patch + 1}")
    if truth == "none" and truth_variable is not None:
        raise fault(path, f"`truth_variable: {truth_variable}` does nothing with `truth: none`: leave one of them out")
    options: dict[str, Any] = {
        "truth": truth,
        "bands": bands,
        "scale": _scale(scale, patch, bands),
        "layout": layout,
        "variable": variable,
        "truth_variable": truth_variable,
    }
    files = _files(path, truth)
    key = fingerprint(path=path, **options)
    make = partial(_every_pixel, files, key=key, **{name: one for name, one in options.items() if name != "truth"})
    data = make() if files.cube.stat().st_size < _SMALL else prepared(key, make)
    hashed = fingerprint(path=path, patch=patch, pixels=pixels, **options)
    beside = _truths_beside(files) if data.labels is None else []
    notes = [f"no labels are read, but {one} lies beside it: `truth: {one}` scores by it" for one in beside[:1]]
    data = replace(data, name=files.cube.absolute().stem, fingerprint=hashed, notes=(*data.notes, *notes))
    spectra: Any = data.samples
    if pixels == "labelled":
        if data.labels is None:
            raise fault(path, "`pixels: labelled` needs a ground truth: name its file with `truth`")
        data = data.take(np.flatnonzero(data.labels != UNLABELLED))
        note = f"{data.n_samples:,} of {len(spectra):,} pixels are trained on, those with a class"
        data = replace(data, notes=(*data.notes, note))
    return data if patch == 1 else _in_patches(data, spectra, patch)


class _Files(NamedTuple):
    """The file of the cube, and that of the truth; None where there is no truth, the same where nobody says."""

    cube: Path
    truth: Path | None

    @property
    def each(self) -> list[Path]:
        """Both, or the one that there is."""
        return [self.cube] if self.truth in {None, self.cube} else [self.cube, cast("Path", self.truth)]


def _files(path: str, truth: str | None) -> _Files:
    """The files of a scene.

    Raises:
        UserError: there are no such files.
    """
    place = user_path(path)
    named = truth not in {None, "none"}
    if named and "/" in str(truth):
        raise fault(path, f"`truth: {truth}`: write the name of the file alone; it must lie beside that of the cube")
    if place.is_dir():
        found = [one for one in sorted(place.iterdir()) if one.suffix.lower() in cube.SUFFIXES and one.name != truth]
        if len(found) != 1:
            names = ", ".join(one.name for one in found[:20]) or "none"
            raise fault(path, f"beside the truth there must be one file of a cube in this folder, there are: {names}")
        place = found[0]
    beside = user_path(str(place.parent / str(truth))) if named else None
    return _Files(place, beside or (None if truth == "none" else place))


def _truths_beside(files: _Files) -> list[str]:
    """The files that people name so for the truth of this cube, `NAME_gt`; none where the user said what is the truth.

    The cube of `Indian_pines_gt.mat` is often `Indian_pines_corrected.mat`.
    """
    if files.truth != files.cube:
        return []
    found = [one for one in sorted(files.cube.parent.iterdir()) if one.suffix.lower() in cube.SUFFIXES]
    name = files.cube.stem.lower()
    return [one.name for one in found if one.stem.lower().endswith("_gt") and name.startswith(one.stem.lower()[:-3])]


def _every_pixel(
    files: _Files,
    *,
    key: str,
    bands: int | None,
    scale: str,
    layout: cube.Layout | None,
    variable: str | None,
    truth_variable: str | None,
) -> Dataset:
    """All pixels as vectors, scaled, with their classes."""
    import numpy as np

    with cube.opened(files.cube) as variables:
        name, held = cube.chosen(files.cube, variables, variable, 3, "variable")
        label_name, classes = _truth(files, variables, held.shape, truth_variable)
        order = cube.order_of(files.cube, held.shape, None if classes is None else classes.shape, layout)
        array = held.read().transpose(order)
    height, width, depth = array.shape
    spectra = np.array(array, np.result_type(array.dtype, np.float32), order="C").reshape(-1, depth)
    check_values(spectra, f"{files.cube}, pixels row by row")
    check_spread(spectra, files.cube)
    notes = [
        f"{height} × {width} pixels of {depth} bands ({name}); the id of a pixel is row × {width} + column, from 0",
    ]
    scaling = None
    if bands is None:
        scaling = None if scale == "none" else offset_and_divisor(spectra, scale)
    elif bands > depth:
        raise fault(files.cube, f"`bands: {bands}` is more than the {depth} bands of the scene: give fewer")
    else:
        spectra, share = cube.components(np.asarray(spectra, np.float32), bands)
        notes.append(f"{bands} principal components hold {100 * share:.2f} % of the variance")
    labels = Labels(None, ()) if classes is None else _labels(files.truth or files.cube, classes.reshape(-1))
    return Dataset(
        files.cube.stem,
        scaled(spectra, scale),
        labels.codes,
        labels.names,
        key,
        label_name="" if labels.codes is None else label_name,
        notes=(*notes, *labels.notes),
        ids=np.arange(height * width),
        unlabelled=labels.missing,
        scaling=scaling,
        scene=(height, width),
    )


def _truth(
    files: _Files, variables: dict[str, cube.Variable], shape: tuple[int, ...], name: str | None
) -> tuple[str, NDArray[Any] | None]:
    """The name of the ground truth, and its classes (height, width); None where there is none."""
    if files.truth is None:
        return "", None
    if files.truth == files.cube:
        flat = {key: one for key, one in variables.items() if len(one.shape) == 2}
        if name is None:
            flat = {key: one for key, one in flat.items() if set(one.shape) <= set(shape) and min(one.shape) > 1}
            if not flat:
                return "", None
        found, one = cube.chosen(files.cube, flat, name, 2, "truth_variable")
        return found, one.read()
    with cube.opened(files.truth) as others:
        found, one = cube.chosen(files.truth, others, name, 2, "truth_variable")
        return found, one.read()


def _labels(file: Path, classes: NDArray[Any]) -> Labels:
    import numpy as np

    found = np.unique(classes[classes != 0])
    if classes.dtype.kind == "f" and (odd := found[np.isfinite(found) & (found != np.floor(found))]).size:
        raise fault(file, f"the truth has values like {odd[0]:g}, but classes are whole numbers: see `truth_variable`")
    if len(found) == 1:
        raise fault(file, f"the truth has only the class {found[0]:g}: scores need 2 classes; `truth: none` uses none")
    return read_labels(classes, len(classes), file, unlabelled=(0,) if (classes == 0).any() else (), option=False)


def _in_patches(data: Dataset, pixels: NDArray[Any], side: int) -> Dataset:
    """The data set with the patch around each of its pixels; all patches at once only where that is little."""
    import numpy as np

    height, width = data.scene
    patches = cube.Patches(pixels, height, width, side)
    one = np.ones(1, np.float32)
    every = Stored(
        patches,
        Scaling(0 * one, one, one),
        (float(pixels.min()), float(pixels.max())),
        None if data.n_samples == len(pixels) else data.ids,
    )
    sizes = f"{_size(pixels.size)} are held, not {_size(every.size)}"
    note = f"a patch of {side} × {side} pixels is cut when it is read: {sizes}"
    small = every.size <= FEW
    return replace(
        data,
        samples=every[:] if small else every,
        axes=("height", "width", "bands"),
        notes=data.notes if small else (*data.notes, note),
    )


def _size(numbers: int) -> str:
    return f"{4 * numbers / 1e6:,.0f} MB"


def fingerprint(
    *,
    path: str,
    truth: str | None = None,
    patch: int = 1,
    bands: int | None = None,
    pixels: str = "all",
    scale: str = "auto",
    layout: str | None = None,
    variable: str | None = None,
    truth_variable: str | None = None,
) -> str:
    """The hash of both files' content, and of the options except the path.

    Raises:
        UserError: there are no such files, or one cannot be read.
    """
    files = _files(path, truth)
    return fingerprint_of(
        files.each,
        kind="scene",
        labelled=files.truth is not None,
        patch=patch,
        bands=bands,
        pixels=pixels,
        scale=_scale(scale, patch, bands),
        layout=layout,
        variables=[variable, truth_variable],
    )


def _scale(scale: str, patch: int, bands: int | None) -> str:
    if scale != "auto":
        return scale
    return "standard" if patch == 1 and bands is None else "unit"
