"""Splits texts into words, chooses the words that count, and counts them in each document.

For the texts "A cat, a mat" and "Cats", `WordSequence.of` holds a, cat, a, mat | cats; `chosen` leaves out the words
that are too rare or too common among the training documents, and `counted_words` gives a row of counts for each
document.

The module imports nothing heavy.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.analyzer import settings
from core.data.corpus import blocks_of
from core.data.dataset import fault
from core.data.told import told
from core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Texts between two calls of `told`.
_TOLD = 256

Analyze = Callable[[str], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class VocabularyRules:
    """Which words count; see `core.datasets.documents.load`. None stands for no rule."""

    min_df: int | float | None = None
    max_df: int | float | None = None
    max_features: int | None = None
    stop_words: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class WordSequence:
    """All words of some documents, in their order.

    Attributes:
        names: the different words.
        sequence: the words of all documents one after the other, as places in `names`; -1 for a word that is not among
            them; int32, (n_words,).
        ends: where in `sequence` each document begins and, at last, where it ends, int64, (n + 1,).
    """

    names: tuple[str, ...]
    sequence: NDArray[np.int32]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str], analyze: Analyze, known: Sequence[str] | None = None) -> WordSequence:
        """The words of texts, which are read one after the other; only the places of words are kept.

        Args:
            texts: the documents.
            analyze: splits a text into words.
            known: the words that may occur, and their order; all others are -1. None for every word that is met.
        """
        import numpy as np

        places: dict[str, int]
        if known is None:
            places = defaultdict[str, int]()
            places.default_factory = places.__len__
        else:
            places = _Known(zip(known, range(len(known)), strict=True))
        sequence, ends = array("i"), array("q", [0])
        for done, text in enumerate(texts):
            if done % _TOLD == 0:
                told("splitting texts into words", done, len(texts))
            sequence.extend(map(places.__getitem__, analyze(text)))
            ends.append(len(sequence))
        return cls(tuple(places), np.frombuffer(sequence, np.int32), np.frombuffer(ends, np.int64))


class _Known(dict[str, int]):
    """A word that is not there is -1, and is not added."""

    def __missing__(self, key: str) -> int:
        return -1


def analysis(*, analyzer: str | None, token_pattern: str | None, lowercase: bool) -> Analyze:
    """The function that splits a text into words, as scikit-learn's `CountVectorizer` does.

    Raises:
        UserError: the pattern is not a regular expression with at most one group, or does not go with the analyzer.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    given: dict[str, Any] = settings(analyzer)
    if given and (token_pattern is not None or not lowercase):
        name = "lowercase" if token_pattern is None else "token_pattern"
        raise UserError(f"data.{name}: `analyzer: {analyzer}` splits texts in its own way: leave it out")
    if token_pattern is not None:
        try:
            groups = re.compile(token_pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"data.token_pattern: {token_pattern!r} is not a regular expression ({error})") from error
        if groups > 1:
            raise UserError(f"data.token_pattern: {token_pattern!r} has {groups} groups: use one for the word, or none")
        given["token_pattern"] = token_pattern
    analyze: Analyze = CountVectorizer(lowercase=lowercase, **given).build_analyzer()
    return analyze


def stop_words_of(name: str, where: Path | None) -> frozenset[str]:
    """The stop words: scikit-learn's 318 English ones, none, or the lines of a file in UTF-8.

    Args:
        name: `english`, `none` or the path of the file.
        where: the file; None for the other names.

    Raises:
        UserError: the file cannot be read.
    """
    if name == "none":
        return frozenset()
    if where is None:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return frozenset(ENGLISH_STOP_WORDS)
    try:
        lines = where.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise fault(
            name, f"the stop words cannot be read ({error}): write a file in UTF-8 with a word per line"
        ) from error
    return frozenset(filter(None, map(str.strip, lines)))


def chosen(
    names: Sequence[str], frequencies: NDArray[np.int64], totals: NDArray[np.int64], n: int, rules: VocabularyRules
) -> NDArray[np.int64]:
    """The words that count, as places in `names`, in their order there.

    Args:
        names: all words.
        frequencies: in how many training documents each occurs, (V,).
        totals: how often each occurs in the training documents, (V,).
        n: the number of training documents.
        rules: which words count. Of equally frequent ones, `max_features` takes the first by the alphabet.
    """
    import numpy as np

    least, most = rules.min_df, rules.max_df
    kept = np.ones(len(names), np.bool_)
    if least is not None:
        kept &= frequencies >= (least * n if isinstance(least, float) else least)
    if most is not None:
        kept &= frequencies <= (most * n if isinstance(most, float) else most)
    if rules.stop_words:
        kept &= ~np.fromiter((one in rules.stop_words for one in names), np.bool_, len(names))
    found = kept.nonzero()[0]
    if rules.max_features is not None and len(found) > rules.max_features:
        found = np.asarray(sorted(found.tolist(), key=names.__getitem__), np.int64)
        found = np.sort(found[np.argsort(-totals[found], kind="stable")[: rules.max_features]])
    return found


def frequencies_of(words: WordSequence, training: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """In how many of the training documents each word occurs, and how often in all of them, each (V,)."""
    import numpy as np

    size = len(words.names)
    frequencies, totals = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for start, block in _blocks(words.sequence, words.ends, size):
        rows = block[training[start : start + block.shape[0]]]
        frequencies += np.bincount(rows.indices, minlength=size)
        totals += np.bincount(rows.indices, rows.data, minlength=size).astype(np.int64)
    return frequencies, totals


def counted_words(sequence: NDArray[np.int32], ends: NDArray[np.int64], size: int) -> Any:
    """How often each of `size` words occurs in each document, in CSR of int32, (n, size), indices sorted.

    Args:
        sequence: words of all documents one after the other; -1 counts nothing.
        ends: as in `WordSequence`.
        size: the number of words.
    """
    import numpy as np
    from scipy import sparse

    blocks = [block for _, block in _blocks(sequence, ends, size)]
    if len(blocks) == 1:
        return blocks[0]
    return sparse.vstack(blocks, format="csr", dtype=np.int32)


def _blocks(sequence: NDArray[np.int32], ends: NDArray[np.int64], size: int) -> Iterable[tuple[int, Any]]:
    """The counts of some documents after the others, in CSR, with the place of the first of them."""
    import numpy as np
    from scipy import sparse

    for rows, places in blocks_of(ends):
        part = sequence[places]
        known = part >= 0
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(known)])
        indices = part[known]
        indptr = before[ends[rows.start : rows.stop + 1] - places.start].astype(np.int32)
        shape = (rows.stop - rows.start, size)
        block: Any = sparse.csr_matrix((np.ones(len(indices), np.int32), indices, indptr), shape=shape)
        block.sum_duplicates()
        yield rows.start, block
