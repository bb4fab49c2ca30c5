"""Small tables that scikit-learn ships: 150 irises, 178 wines, or 569 breast tumours, measured and classified.

Source: Fisher's irises (1936); the wines of Forina et al. and the tumours of Wolberg et al. as UCI has them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from core.data.dataset import Dataset, check_spread, check_values, fault, fingerprint_of
from core.data.labels import encode_labels
from core.errors import UserError

_FILES = {"breast-cancer": "breast_cancer.csv", "iris": "iris.csv", "wine": "wine_data.csv"}


def load(*, table: Literal["breast-cancer", "iris", "wine"] = "wine") -> Dataset:
    """Loads a table as (n_samples, n_features), each feature with mean 0 and variance 1, and its classes.

    Args:
        table: which one: `iris` has 4 features and 3 classes, `wine` 13 and 3, `breast-cancer` 30 and 2.

    Raises:
        UserError: scikit-learn is not installed, or its file is damaged.
    """
    import numpy as np

    file = _file(table)
    try:
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        rows = np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)
        classes = np.array(head.split(",")[2:])[rows[:, -1].astype(np.int64)]
    except (OSError, ValueError, IndexError) as error:
        raise fault(file, f"it is damaged ({error}): install scikit-learn again") from error
    features = rows[:, :-1]
    check_values(features, file)
    check_spread(features, file)
    samples = ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float32)
    labels, names = encode_labels(classes, len(samples), file)
    return Dataset(table, samples, labels, names, fingerprint(table=table))


def fingerprint(*, table: Literal["breast-cancer", "iris", "wine"] = "wine") -> str:
    """The hash of the file.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return fingerprint_of([_file(table)], name="scikit-learn")


def _file(table: str) -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise UserError("data: 'scikit-learn' is not installed: `uv sync --inexact --no-dev`")
    return Path(spec.origin).parent / "datasets" / "data" / _FILES[table]
