"""Documents as bags of words, for topic models: each is a point on the simplex of the words' weights.

A document's weights are its counts times the words' inverse frequencies (smooth, as in scikit-learn, of the training
documents), divided by their sum. They stay sparse.
"""

from __future__ import annotations

from typing import Any

from core.data.corpus import Corpus
from core.data.dataset import Dataset, fault, fingerprint_of, user_path
from core.data.labels import read_labels
from core.data.scaling import Scaling
from core.data.stored import Stored


def load(*, path: str) -> Dataset:
    """Loads documents.

    Args:
        path: an `.npz` file with `data`, `indices`, `indptr`, `shape` and `vocab`; and perhaps `split` (0: train, 1:
            test), `label` and `label_names`.

    Returns:
        Samples (n_documents, n_words) on the simplex, sparse, with the documents themselves as `corpus`.

    Raises:
        UserError: the file is missing, or is not of the right form.
    """
    import numpy as np
    from scipy import sparse

    file = user_path(path)
    with np.load(file) as found:
        needed = ("data", "indices", "indptr", "shape", "vocab")
        if missing := [name for name in needed if name not in found]:
            raise fault(file, f"it lacks {', '.join(missing)}")
        parts = tuple(found[name] for name in needed[:3])
        counts: Any = sparse.csr_matrix(parts, shape=tuple(found["shape"]))
        words = tuple(map(str, found["vocab"]))
        split = found["split"].astype(np.int8) if "split" in found else None
        labels = read_labels(found["label"], counts.shape[0], path, option=False) if "label" in found else None
    return Dataset(
        file.stem,
        simplex(counts, None if split is None else split == 0),
        None if labels is None else labels.codes,
        () if labels is None else labels.names,
        fingerprint(path=path),
        parts=None if split is None else np.where(split == 0, 0, 2).astype(np.int8),
        feature_names=words,
        corpus=Corpus(file.stem, counts),
    )


def fingerprint(*, path: str) -> str:
    """The hash of the file's content and of all options except paths."""
    return fingerprint_of([user_path(path)], format="bag of words")


def simplex(counts: Any, training: Any) -> Stored:
    """TF-IDF of counts (n, V), divided by the row's sum; `training` marks the documents of the frequencies (None: all).

    The places of the numbers are shared with `counts`.
    """
    import numpy as np
    from scipy import sparse

    known = counts if training is None else counts[training]
    occurs = np.bincount(known.indices, minlength=counts.shape[1])
    idf = np.log((1 + known.shape[0]) / (1 + occurs)) + 1
    values = counts.data * idf[counts.indices]
    sums = np.add.reduceat(values, counts.indptr[:-1])
    values = (values / np.repeat(sums, np.diff(counts.indptr))).astype(np.float32)
    one = np.ones(1, np.float32)
    scaling = Scaling(np.zeros(1, np.float32), one, one)
    rows = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    return Stored(rows, scaling, (0.0, float(values.max())))
