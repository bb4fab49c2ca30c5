"""The documents of a data set as words: how often each occurs in each document, and their order where it is known.

The module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
