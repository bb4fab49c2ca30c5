"""The meaning of each axis of an array: from the option `layout`, or from the shape if it is unambiguous."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from core.data.dataset import fault

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


Layout = Literal["nf", "fn", "nhw", "nchw", "nhwc", "hwn", "hwcn", "hwc", "chw"]
_WORDS = {"n": "samples", "f": "features", "h": "height", "w": "width", "c": "channels"}
_CHANNELS = {1, 3, 4}


# The possible readings of an array by its number of axes: the first is taken where nothing speaks against it.
_READINGS: dict[int, tuple[Layout, ...]] = {2: ("nf", "fn"), 3: ("nhw", "hwn", "hwc", "chw")}

# The two readings of an array of MATLAB by its number of axes.
_FIRST_OR_LAST: dict[int, tuple[Layout, Layout]] = {2: ("nf", "fn"), 3: ("nhw", "hwn"), 4: ("nhwc", "hwcn")}


def arranged(
    samples: Any,
    layout: Layout | None,
    where: Path | str,
    *,
    beside: Collection[tuple[int, ...]] = (),
    labels: tuple[int, ...] | None = None,
) -> Any:
    """Rearranges an array to one sample per row: (n, …).

    Args:
        samples: an array or `core.data.stored.Rows`, as stored, 2 to 4 dimensions.
        layout: a letter for each axis. `fn` is features x samples, `hwn` and `hwcn` have the images last; `hwc` and
            `chw` are a cube whose pixels are the samples and whose bands are the features; the others have samples
            first.
        where: the file, for the message.
        beside: shapes of the further arrays of the file, without the labels.
        labels: the shape of the labels, where there are any: what does not fit them is no reading.

    Raises:
        UserError: the array has another number of axes, or none is chosen and it may be read in two ways or can only be
            read with its samples not first.
    """
    if layout is None:
        _check_one_reading(samples.shape, where, beside, labels)
        return samples
    if samples.ndim != len(layout):
        raise fault(where, f"`layout: {layout}` has {len(layout)} axes, but the samples have the shape {samples.shape}")
    if layout == "fn":
        return samples.transpose(1, 0)
    if layout == "hwn":
        return samples.transpose(2, 0, 1)
    if layout == "hwcn":
        return samples.transpose(3, 0, 1, 2)
    if layout == "chw":
        samples = samples.transpose(1, 2, 0)
    return samples.reshape(-1, samples.shape[-1]) if layout in {"hwc", "chw"} else samples


def samples_last(shape: tuple[int, ...], labels: tuple[int, ...] | None, where: Path | str) -> Layout | None:
    """The layout of an array of MATLAB, where samples are often the last axis; None where they are the first.

    Args:
        shape: 2 to 4 axes.
        labels: the shape of the labels, where there are any: their number tells the axis.
        where: the file, for the message.

    Raises:
        UserError: both the first and the last axis may be the samples.
    """
    two = _FIRST_OR_LAST.get(len(shape))
    if two is None:
        return None
    if labels is not None:
        fitting = [one for one in two if _fits(shape, one, labels)]
        if len(fitting) > 1:
            raise _two(where, shape, *two)
        return two[1] if fitting == [two[1]] else None
    if len(shape) == 3:
        raise _two(where, shape, *two)
    # Only a colour image has an axis of 1, 3 or 4 there.
    colours = [place for place in (1, 2, 3) if len(shape) == 4 and shape[place] in _CHANNELS]
    return two[1] if colours == [2] else None


def _check_one_reading(
    shape: tuple[int, ...],
    where: Path | str,
    beside: Collection[tuple[int, ...]],
    labels: tuple[int, ...] | None,
) -> None:
    readings = _READINGS.get(len(shape), ())
    fitting: list[Layout] = [one for one in readings if labels is not None and _fits(shape, one, labels)]
    if fitting and fitting[0][0] != "n":
        said = " or ".join(f"{_reading(shape, one)} (`layout: {one}`)" for one in fitting)
        count = math.prod(labels or ())
        raise fault(
            where, f"the shape {shape} fits its {count} labels only as {said}: write that, or name other labels"
        )
    # An array of several axes with as many rows says that samples come first in this file.
    if len(fitting) > 1 and not any(len(one) > 1 and one[0] == shape[0] for one in beside):
        raise _two(where, shape, *fitting)
    if fitting:
        return
    known = [one for one in beside if one != () and one[0] != shape[0]]
    if len(shape) == 2 and any(one in {(shape[1],), (shape[1], 1)} for one in known):
        raise _two(where, shape, "nf", "fn")
    if len(shape) == 3:
        if shape[:2] in beside:
            raise _two(where, shape, "nhw", "hwc")
        if shape[1:] in beside:
            raise _two(where, shape, "nhw", "chw")
        if shape[0] == shape[1] and not any(one[:1] == shape[:1] for one in beside):
            raise _two(where, shape, "nhw", "hwc")


def _fits(shape: tuple[int, ...], layout: Layout, labels: tuple[int, ...]) -> bool:
    """Whether there is a label for each sample."""
    sizes = dict(zip(layout, shape, strict=True))
    if "n" in sizes:
        return labels in {(sizes["n"],), (sizes["n"], 1)}
    return labels in {(sizes["h"], sizes["w"]), (sizes["h"] * sizes["w"],)}


def _two(where: Path | str, shape: tuple[int, ...], *layouts: Layout) -> Exception:
    said = " or ".join(f"{_reading(shape, one)} (`layout: {one}`)" for one in layouts)
    ways = "two ways" if len(layouts) == 2 else f"{len(layouts)} ways"
    scene = "; for the pixels of a hyperspectral cube use `name: scene`" if len(shape) == 3 else ""
    return fault(where, f"the shape {shape} can be read in {ways}, as {said}: set the option to the right one{scene}")


def _reading(shape: tuple[int, ...], layout: Layout) -> str:
    sizes = dict(zip(layout, shape, strict=True))
    if "n" not in sizes:
        return f"{sizes['h'] * sizes['w']} pixels of {sizes['c']} bands each"
    if "f" in sizes:
        lines = "row" if layout == "nf" else "column"
        return f"{sizes['n']} samples of {sizes['f']} features, each {lines} a sample"
    rest = " x ".join(f"{size} ({_WORDS[axis]})" for axis, size in sizes.items() if axis != "n")
    return f"{sizes['n']} images of {rest}"


def shaped(
    samples: Any, shape: Sequence[int] | None, layout: Layout | None, where: Path | str
) -> tuple[Any, tuple[str, ...]]:
    """Reshapes samples to (n, features) or (n, channels, height, width), and returns the meaning of the stored axes.

    (n, H, W) has one channel. In (n, A, B, C) the channels are A or C, whichever is 1, 3 or 4.

    Args:
        samples: (n, …), 2 to 4 dimensions.
        shape: the shape that each sample gets first, in C order; None leaves it as it is.
        layout: as for `arranged`.
        where: the file, for the message.

    Raises:
        UserError: `shape` does not have 1 to 3 positive numbers, or does not fit the values of a sample; or both or
            neither of A and C may be the channels.
    """
    if shape is not None:
        size = math.prod(samples.shape[1:])
        if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) != size:
            raise fault(
                where,
                f"a sample of {size} values does not fill the option `shape: {list(shape)}`: "
                "give [features], [height, width] or [channels, height, width] with that product",
            )
        samples = samples.reshape(len(samples), *shape)
    if samples.ndim == 2:
        return samples, ()
    if samples.ndim == 3:
        return samples[:, None], ("height", "width")
    if layout not in {"nhwc", "nchw"}:
        layout = _channels(samples.shape, where, chosen=shape is not None)
    axes = tuple(_WORDS[axis] for axis in layout[1:])
    return (samples.transpose(0, 3, 1, 2) if layout == "nhwc" else samples), axes


def _channels(shape: tuple[int, ...], where: Path | str, *, chosen: bool) -> Literal["nhwc", "nchw"]:
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first != last:
        return "nchw" if first else "nhwc"
    # With the option `shape` the channels come first.
    if chosen:
        return "nchw"
    raise _two(where, shape, "nchw", "nhwc")
