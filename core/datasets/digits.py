"""Handwritten digits, 1797 images of 8 x 8 pixels in 10 classes, as scikit-learn ships them.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (the test part).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from core.data.dataset import Dataset, check_spread, check_values, fault, fingerprint_of
from core.data.labels import encode_labels
from core.errors import UserError


def load() -> Dataset:
    """Loads the images as (1797, 1, 8, 8) in 0..1 and their digits.

    It reads the file of `sklearn.datasets.load_digits` itself, which saves the second that scikit-learn's import takes.

    Raises:
        UserError: scikit-learn is not installed, or its file is damaged.
    """
    import numpy as np

    file = _file()
    try:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise fault(file, f"it is damaged ({error}): install scikit-learn again") from error
    samples = table[:, :-1].reshape(-1, 1, 8, 8) / np.float32(16)
    check_values(samples, file)
    check_spread(samples, file)
    labels, names = encode_labels(table[:, -1], len(samples), file)
    return Dataset("digits", samples, labels, names, fingerprint())


def fingerprint() -> str:
    """The hash of the file.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return fingerprint_of([_file()], name="digits")


def _file() -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise UserError("data: 'digits' comes with scikit-learn, which is not installed: `uv sync --inexact --no-dev`")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
