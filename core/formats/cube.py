"""Hyperspectral scenes: arrays of a file, axes of a cube, components of its bands, and patches around pixels."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from core.data.columns import listed
from core.data.dataset import damage, fault
from core.errors import UserError
from core.formats.mat import contents

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from core.formats.named_arrays import NamedArrays

Layout = Literal["hwc", "whc", "chw", "cwh"]
SUFFIXES = (".mat", ".npy", ".npz")
_ORDERS: dict[Layout, tuple[int, int, int]] = {"hwc": (0, 1, 2), "whc": (1, 0, 2), "chw": (1, 2, 0), "cwh": (2, 1, 0)}


class Variable(NamedTuple):
    """An array of a file, known by its shape before it is read."""

    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]


@contextlib.contextmanager
def opened(file: Path) -> Generator[dict[str, Variable]]:
    """The arrays of numbers in a file that have 2 or 3 axes, by name; within the with-block they can be read.

    Raises:
        UserError: the format is unknown, or the file is damaged.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES or not file.is_file():
        raise fault(file, f"it is no file of a scene: known formats are {', '.join(SUFFIXES)}")
    try:
        found = (_of_mat if suffix == ".mat" else _of_numpy)(file)
        with found as variables:
            yield {name: one for name, one in variables.items() if len(one.shape) in {2, 3}}
    except UserError:
        raise
    except damage() as error:
        reason = " ".join(str(error).split())[:200]
        what = f"it cannot be read as {suffix} ({reason}): it may be cut short, or of another format"
        raise fault(file, what) from error


@contextlib.contextmanager
def _of_numpy(file: Path) -> Generator[dict[str, Variable]]:
    import numpy as np

    def held(array: NDArray[Any]) -> Variable:
        return Variable(array.shape, lambda: array)

    if file.suffix.lower() == ".npy":
        yield {file.stem: held(np.load(file, allow_pickle=False))}
        return
    with np.load(file, allow_pickle=False) as archive:
        arrays = {str(name): archive[name] for name in archive.files}
        yield {name: held(one) for name, one in arrays.items() if one.dtype.kind in "biuf"}


@contextlib.contextmanager
def _of_mat(file: Path) -> Generator[dict[str, Variable]]:
    def reader(held: NamedArrays, key: str) -> Callable[[], NDArray[Any]]:
        return lambda: held.read(key)[:]

    with contents(file) as held:
        heads = {key: head for key, head in held.heads.items() if head.dtype.kind in "biuf"}
        yield {key: Variable(head.shape, reader(held, key)) for key, head in heads.items()}


def chosen(
    file: Path, variables: dict[str, Variable], name: str | None, axes: int, option: str
) -> tuple[str, Variable]:
    """The array with so many axes: the one that is named, or the only one.

    Raises:
        UserError: there is none, or several.
    """
    holds = listed(f"{key} {one.shape}" for key, one in variables.items()) or "no such arrays of numbers"
    if name is not None:
        if name not in variables or len(variables[name].shape) != axes:
            raise fault(file, f"`{option}: {name}` is none of its arrays with {axes} axes; it holds {holds}")
        return name, variables[name]
    # Vectors are matrices in MATLAB: wavelengths, and numbers of samples.
    found = [key for key, one in variables.items() if len(one.shape) == axes and min(one.shape) > 1]
    if len(found) != 1:
        said = "several of its arrays have" if found else "none of its arrays has"
        more = f": name one, as in `{option}: {found[0]}`" if found else ""
        raise fault(file, f"{said} {axes} axes, it holds {holds}{more}")
    return found[0], variables[found[0]]


def order_of(
    file: Path, cube: tuple[int, ...], truth: tuple[int, ...] | None, layout: Layout | None
) -> tuple[int, int, int]:
    """The axes of a cube that are height, width and bands, so that it fits its ground truth.

    Args:
        file: the cube's, for the message.
        cube: its shape.
        truth: (height, width); None where there is none.
        layout: what the axes are; None for height, width and bands, where that fits.

    Raises:
        UserError: it does not fit.
    """

    def fits(one: Layout) -> bool:
        return truth is None or tuple(cube[axis] for axis in _ORDERS[one][:2]) == truth

    if fits(layout or "hwc"):
        return _ORDERS[layout or "hwc"]
    said = f"the cube of shape {cube} does not fit the ground truth of shape {truth} as `layout: {layout or 'hwc'}`"
    if ways := [one for one in _ORDERS if fits(one)]:
        raise fault(file, f"{said}: write `layout: {' or '.join(ways)}` (h height, w width, c bands)")
    raise fault(file, f"{said}, nor in another way: name the truth of this scene, or leave it out")


def components(pixels: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], float]:
    """Principal components of pixels (n, bands), and their share of the variance.

    Args:
        pixels: changed in place: their mean is taken away.
        count: how many, at most the number of bands.
    """
    import numpy as np
    from sklearn.decomposition import PCA

    # In single precision the covariance of numbers far from 0 would lose its digits.
    pixels -= pixels.mean(axis=0, dtype=np.float64).astype(np.float32)
    model = PCA(count, random_state=0)
    found = model.fit_transform(pixels)
    return np.ascontiguousarray(found, dtype=np.float32), float(model.explained_variance_ratio_.sum())


@dataclass(frozen=True, eq=False)
class Patches:
    """The values of a `core.data.stored.Stored`: the square around each pixel, cut when it is read.

    Beyond an edge the scene is mirrored at its outermost pixels.

    Attributes:
        pixels: (height * width, bands), row by row, perhaps mapped from a file.
        height: of the scene.
        width: of the scene.
        side: of a patch in pixels; odd.
    """

    pixels: NDArray[np.float32]
    height: int
    width: int
    side: int

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(height * width, bands, side, side)."""
        count, bands = self.pixels.shape
        return (count, bands, self.side, self.side)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of the pixels."""
        return self.pixels.dtype

    @property
    def nbytes(self) -> int:
        """What is held: the pixels."""
        return self.pixels.nbytes

    @property
    def base(self) -> NDArray[np.float32]:
        """The array behind it, by which it is known whether the values are mapped from a file."""
        return self.pixels

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """The patches around these pixels, (m, bands, side, side)."""
        import numpy as np

        numbers, around = np.arange(len(self))[rows], np.arange(self.side)
        lines = self._mirrored(self.height)[(numbers // self.width)[:, None] + around]
        columns = self._mirrored(self.width)[(numbers % self.width)[:, None] + around]
        places = lines[:, :, None] * self.width + columns[:, None, :]
        return self.pixels[places].transpose(0, 3, 1, 2)

    def _mirrored(self, size: int) -> NDArray[np.int64]:
        """The places along an axis, with those of the mirrored pixels before and after."""
        import numpy as np

        return np.pad(np.arange(size), self.side // 2, mode="reflect")
