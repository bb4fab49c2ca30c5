"""Data sets of images that torchvision knows by name, read from files that are there already: nothing is downloaded.

`data: {name: torchvision, set: Food101, path: root}`; `path` is torchvision's `root`. All files in it count for the
identity of a trial, so each set should have a folder of its own. It needs `uv sync --extra vision --inexact --no-dev`.

Source: https://docs.pytorch.org/vision/stable/datasets.html.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from core.config.schema import PositiveInt
from core.data.dataset import Dataset, check_spread, fault, fingerprint_from, tree_hash, user_path
from core.data.labels import read_labels
from core.data.prepared import prepared
from core.data.scaling import offset_and_divisor
from core.data.stored import Stored, in_form
from core.errors import UserError
from core.formats.decoding import decoded

# What each set calls its part for training and its part for testing; an empty text where it has no parts.
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"), ("True", "False")),
    **dict.fromkeys(("FER2013", "Food101", "GTSRB", "STL10", "SVHN", "StanfordCars"), ("train", "test")),
    **dict.fromkeys(("DTD", "Flowers102", "PCAM", "RenderedSST2"), ("train+val", "test")),
    **dict.fromkeys(("FGVCAircraft", "OxfordIIITPet"), ("trainval", "test")),
    **dict.fromkeys(("CLEVRClassification", "Imagenette"), ("train", "val")),
    "Country211": ("train+valid", "test"),
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SEMEION", "SUN397"), ("",)),
}
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


# Images that are handed to a process at once.
_BLOCK = 64


def load(
    *,
    set: str,  # noqa: A002 - it is what the option is called
    path: str,
    split: Literal["train", "test", "all"] = "all",
    size: PositiveInt | None = None,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
) -> Dataset:
    """Loads the images of a set and their classes.

    Args:
        set: torchvision's name of it: CIFAR10, CIFAR100, CLEVRClassification, Caltech101, Caltech256, Country211, DTD,
            EuroSAT, FER2013, FGVCAircraft, FashionMNIST, Flowers102, Food101, GTSRB, Imagenette, KMNIST, MNIST,
            OxfordIIITPet, PCAM, RenderedSST2, SEMEION, STL10, SUN397, SVHN, StanfordCars or USPS.
        path: the folder that torchvision calls `root`.
        split: the part for training (with that for validation, where there is one), for testing, or both in this order.
        size: the sides of images in pixels: the shorter side is brought to it, and the middle is cut out.
        scale: as in the data set `file`.

    Returns:
        Images (n, channels, height, width), labels (n,).

    Raises:
        UserError: torchvision is not installed or does not find its files, the set is unknown, or images have several
            sizes and `size` is missing.
    """
    key = fingerprint(set=set, path=path, split=split, size=size, scale=scale)
    return prepared(key, partial(_load, set, path, split=split, size=size, scale=scale, key=key))


def fingerprint(
    *,
    set: str,  # noqa: A002 - it is what the option is called
    path: str,
    split: str = "all",
    size: int | None = None,
    scale: str = "auto",
) -> str:
    """The hash of all files below `path`, and of the options.

    Raises:
        UserError: there is no such folder, or the set is unknown.
    """
    if set not in _PARTS:
        raise UserError(f"the option `set: {set}` of torchvision is unknown: use {', '.join(sorted(_PARTS))}")
    folder = user_path(path)
    files = sorted(str(one) for one in folder.rglob("*") if one.is_file())
    return fingerprint_from([tree_hash(folder, files)], set=set, split=split, size=size, scale=scale)


def _load(name: str, path: str, *, split: str, size: int | None, scale: str, key: str) -> Dataset:
    import numpy as np

    parts = _opened(name, path, split)
    count = sum(map(len, parts))
    targets: list[int] = []

    def stream() -> Iterator[list[bytes]]:
        targets.clear()
        for part in parts:
            for start in range(0, len(part), _BLOCK):
                pairs = [_pair(path, part, place) for place in range(start, min(start + _BLOCK, len(part)))]
                targets.extend(int(target) for _, target in pairs)
                yield [_packed(image) for image, _ in pairs]

    names = [f"image {place} of {name}" for place in range(count)]
    look = [_packed(_pair(path, parts[0], place)[0]) for place in range(0, len(parts[0]), max(1, len(parts[0]) // 8))]
    images, _, notes = decoded(path, stream, names, look, size=size, skip=False)
    check_spread(images, path)
    labels = read_labels(np.asarray(targets), count, path, names=getattr(parts[0], "classes", None) or ())
    held = in_form(images, scale)
    return Dataset(
        name,
        held,
        labels.codes,
        labels.names,
        key,
        label_name="class",
        axes=("height", "width", "channels") if images.shape[1] > 1 else ("height", "width"),
        notes=(*notes, *labels.notes),
        scaling=None if scale == "none" else _scaling(images, held, scale),
    )


def _scaling(images: Any, held: Any, scale: str) -> tuple[Any, Any]:
    return held.scaling.offset_and_divisor() if isinstance(held, Stored) else offset_and_divisor(images, scale)


def _opened(name: str, path: str, split: str) -> list[Any]:
    """The parts of a set, as torchvision gives them.

    Raises:
        UserError: torchvision is not installed, does not find its files, or the set has no such part.
    """
    parts = _PARTS[name]
    if parts == ("",) and split != "all":
        raise fault(path, f"{name} has no parts for training and testing: leave out `split: {split}`")
    wanted = {"train": parts[:1], "test": parts[1:], "all": parts}[split]
    try:
        kind = getattr(importlib.import_module("torchvision.datasets"), name)
        return [kind(path, **_argument(one)) for part in wanted for one in part.split("+")]
    except ImportError as error:
        raise fault(path, f"{name} needs torchvision ({error}): `uv sync --extra vision --inexact --no-dev`") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).partition(" You can use")[0].split())[:200]
        raise fault(path, f"torchvision finds no {name} there ({reason}): `path` is its `root`") from error


def _argument(part: str) -> dict[str, Any]:
    if not part:
        return {}
    return {"train": part == "True"} if part in {"True", "False"} else {"split": part}


def _pair(path: str, part: Any, place: int) -> tuple[Any, Any]:
    """An image and its class, of which torchvision decodes the image.

    Raises:
        UserError: it cannot be decoded, or claims to be too large.
    """
    try:
        return part[place]
    except Exception as error:  # of damaged files Pillow raises nearly everything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        said = f"image {place} (counted from 0) of a part cannot be decoded ({reason}): copy or download the set again"
        raise fault(path, said) from error


def _packed(image: Any) -> bytes:
    """An image as the bytes of a PNG file, which decoding takes."""
    stream = io.BytesIO()
    (image if image.mode in _MODES else image.convert("RGB")).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
