"""The documents of a data set as words: how often each occurs in each document, and their order where it is known.

The module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

# Numbers that are looked at together: 32 MiB as float64.
_AT_ONCE = 1 << 22
_PLACES = ("indices", "indptr")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents over a vocabulary of V words, whose names are the data set's `feature_names`.

    Attributes:
        name: what the documents are called, as the file's name.
        values: how often each word occurs in each stored document, a scipy matrix in CSR of positive whole numbers,
            (n_stored, V).
        sequence: the words of the stored documents one after the other, as columns of `values`; -1 for a word outside
            the vocabulary; int32, (n_words,). None for a bag of words, whose order is not known.
        ends: where in `sequence` each stored document begins and, at last, where it ends, int64, (n_stored + 1,); None
            without a sequence.
        rows: the stored documents that are meant, (n,); None for all.
    """

    name: str
    values: Any
    sequence: NDArray[np.int32] | None = None
    ends: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.values.shape[0] if self.rows is None else len(self.rows)

    @property
    def counts(self) -> Any:
        """How often each word occurs in each document, a scipy matrix in CSR, (n, V)."""
        return self.values if self.rows is None else self.values[self.rows]

    def take(self, rows: slice | NDArray[np.int64]) -> Corpus:
        """Some of the documents, without a copy of their words."""
        import numpy as np

        every = np.arange(self.values.shape[0]) if self.rows is None else self.rows
        return replace(self, rows=every[rows])

    def arrays(self, samples: Any) -> dict[str, NDArray[Any]]:
        """The arrays that hold all stored documents, by name.

        Args:
            samples: of the data set; the places of words that the documents share with them are left out.
        """
        import numpy as np

        places = getattr(getattr(samples, "values", None), "indices", None)
        shared = places is not None and np.may_share_memory(self.values.indices, places)
        found = {name: getattr(self.values, name) for name in ("data", *(() if shared else _PLACES))}
        order = {"sequence": self.sequence, "ends": self.ends}
        return found | {name: one for name, one in order.items() if one is not None}

    @classmethod
    def of_arrays(cls, found: Mapping[str, NDArray[Any]], role: str, name: str, shape: Sequence[int]) -> Corpus:
        """The documents of `arrays`, without a copy.

        Args:
            found: `ROLE.NAME` of the arrays, and `samples.NAME` of the places that are shared with the samples.
            role: `corpus` or `reference`.
            name: what the documents are called.
            shape: of the counts.
        """
        from scipy import sparse

        places = role if f"{role}.indices" in found else "samples"
        parts = (found[f"{role}.data"], *(found[f"{places}.{one}"] for one in _PLACES))
        counts = sparse.csr_matrix(parts, shape=tuple(shape), copy=False)
        return cls(name, counts, found.get(f"{role}.sequence"), found.get(f"{role}.ends"))


def inverse_frequencies(counts: Any, training: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """log((1 + n) / (1 + df)) + 1 of each word, (V,), for counts (N, V) in CSR; scikit-learn's smooth form.

    `training` marks the n documents that are counted, (N,); None for all.
    """
    import numpy as np

    occurs = np.zeros(counts.shape[1], np.int64)
    n = counts.shape[0] if training is None else int(training.sum())
    for rows, places in blocks_of(counts.indptr):
        found = counts.indices[places]
        if training is not None:
            found = found[np.repeat(training[rows], np.diff(counts.indptr[rows.start : rows.stop + 1]))]
        occurs += np.bincount(found, minlength=len(occurs))
    return np.log((1 + n) / (1 + occurs)) + 1


def blocks_of(ends: NDArray[np.integer[Any]]) -> Iterator[tuple[slice, slice]]:
    """Rows that hold some millions of numbers together, and the places of these numbers.

    Args:
        ends: where each row begins and, at last, where it ends, (n + 1,): the `indptr` of a matrix in CSR.
    """
    import numpy as np

    start, n = 0, len(ends) - 1
    while start < n:
        first = int(ends[start])
        stop = max(start + 1, int(np.searchsorted(ends, first + _AT_ONCE, "right")) - 1)
        yield slice(start, stop), slice(first, int(ends[stop]))
        start = stop
