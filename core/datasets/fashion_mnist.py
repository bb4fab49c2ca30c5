"""Fashion-MNIST, 70,000 images of 28 x 28 pixels in 10 classes of clothing.

Source: Xiao, Rasul and Vollgraf, Fashion-MNIST: a Novel Image Dataset, 2017 (arXiv:1708.07747); the format is
LeCun's IDX: a big-endian head (type, number of dimensions, dimensions), then the values.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.data.dataset import Dataset, cache_folder, check_spread, check_values, fault, fingerprint_of, user_path
from core.data.labels import check_labels, encode_labels
from core.data.scaling import scaled
from core.errors import UserError
from core.formats.known_sets import read_idx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Where Debian's package dataset-fashion-mnist puts the files.
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_PARTS = {"all": ("train", "t10k"), "train": ("train",), "test": ("t10k",)}
_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip


def load(*, split: Literal["all", "train", "test"] = "all", path: str | None = None) -> Dataset:
    """Loads the images as (n, 1, 28, 28) in 0..1 and their classes.

    Args:
        split: the 60,000 of `train`, the 10,000 of `test`, or both in this order.
        path: a folder with the four IDX files (`train-images-idx3-ubyte` and so on, plain or `.gz`). By default
            `$CONCLUS_DATA/fashion-mnist`, else Debian's package, else a download by torchvision.

    Raises:
        UserError: the folder does not exist, a file is missing, damaged or not the right one, or there is no way to
            get the files.
    """
    import numpy as np

    files = _files(split, path)
    parts = [(_images(images), _labels(labels)) for images, labels in zip(files[::2], files[1::2], strict=True)]
    for (images, labels), file in zip(parts, files[1::2], strict=True):
        check_labels(labels, len(images), file)
    samples = scaled(np.concatenate([images for images, _ in parts])[:, None], "unit")
    check_spread(samples, files[0])
    labels, names = encode_labels(np.concatenate([labels for _, labels in parts]), len(samples), files[1], _CLASSES)
    return Dataset("fashion-mnist", samples, labels, names, fingerprint(split=split, path=path))


def fingerprint(*, split: Literal["all", "train", "test"] = "all", path: str | None = None) -> str:
    """The hash of the unpacked files, so it is the same for every mirror. Downloads them if needed.

    Raises:
        UserError: as `load`.
    """
    return fingerprint_of(_files(split, path), name="fashion-mnist")


def _files(split: str, path: str | None) -> list[Path]:
    """Images and labels of each part, in turn."""
    if split not in _PARTS:
        raise UserError(f"the option `split: {split}` of fashion-mnist is unknown: use {', '.join(_PARTS)}")
    folder = user_path(path) if path is not None else _folder()
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return [_file(folder, f"{part}-{kind}") for part in _PARTS[split] for kind in kinds]


def _file(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise fault(folder, f"the file {name} (or {name}.gz) of Fashion-MNIST is not in this folder: copy it there")


def _folder() -> Path:
    named = os.environ.get("CONCLUS_DATA")
    places = [Path(named) / "fashion-mnist"] if named else []
    for folder in (*places, _DEBIAN):
        if folder.is_dir():
            return folder
    if importlib.util.find_spec("torchvision") is not None:
        return _downloaded()
    raise UserError(
        "data: Fashion-MNIST is not on this machine: (1) install Debian's package dataset-fashion-mnist, or "
        "(2) torchvision, which downloads it, or (3) put its four IDX files into $CONCLUS_DATA/fashion-mnist "
        "or another folder, named by the option `path`"
    )


def _downloaded() -> Path:
    try:
        root = cache_folder() / "torchvision"
        raw = root / "FashionMNIST" / "raw"
        if len(list(raw.glob("*-ubyte"))) < 4:
            datasets: Any = importlib.import_module("torchvision.datasets")
            datasets.FashionMNIST(str(root), download=True)
    except (ImportError, OSError, RuntimeError) as error:
        raise fault("Fashion-MNIST", f"torchvision cannot download it ({error}): give `path` instead") from error
    return raw


def _images(file: Path) -> NDArray[np.uint8]:
    images = read_idx(file)
    check_values(images, file)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise fault(file, f"it holds values of shape {images.shape}, not images of 28 x 28: is it another data set?")
    return images


def _labels(file: Path) -> NDArray[np.uint8]:
    labels = read_idx(file)
    if labels.ndim != 1 or (labels.size and labels.max() > 9):
        raise fault(file, f"it holds values of shape {labels.shape}, not one of 0..9 per image: is it another file?")
    return labels
