"""Documents as bags of words, for topic models: each is a point on the simplex of the words' weights.

`data: {name: documents, path: news.parquet}` reads a column of texts. `path` may also be a folder of `.txt` files,
whose sub-folders are the labels; `20newsgroups`, scikit-learn's data set, where it is on this machine; or a ready bag
of words, an `.npz` with `data`, `indices`, `indptr`, `shape` and `vocab`.

A document's weights are its counts times the words' inverse frequencies (smooth, as in scikit-learn), divided by their
sum. They stay sparse. Words and frequencies are those of the training documents.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.config.schema import Fraction, NonNegativeInt, PositiveInt
from core.data.corpus import Corpus, blocks_of, inverse_frequencies
from core.data.dataset import Dataset, fault
from core.data.labels import Labels, read_labels
from core.data.prepared import prepared
from core.data.scaling import Scaling
from core.data.stored import Stored
from core.datasets._documents import DocumentReading, name_of
from core.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def load(
    *,
    path: str,
    text: str = "text",
    labels: str | None = None,
    split_by: str | None = None,
    test: Fraction = 0.0,
    split_seed: NonNegativeInt = 0,
    min_df: PositiveInt | Fraction | None = None,
    max_df: PositiveInt | Fraction | None = None,
    max_features: PositiveInt | None = None,
    min_words: PositiveInt = 1,
    stop_words: str | None = None,
    token_pattern: str | None = None,
    lowercase: bool = True,
    analyzer: str | None = None,
    remove: tuple[str, ...] | None = None,
    sublinear_tf: bool = False,
    reference: str | None = None,
) -> Dataset:
    """Loads documents.

    Args:
        path: a Parquet, Feather, Arrow, JSON Lines, xlsx, CSV or TSV file with a row per text, or its address in an
            object store; a folder of `.txt` files (sub-folders are labels, `train` and `test` above them the split);
            `20newsgroups` for scikit-learn's copy of it; or an `.npz` with `data`, `indices`, `indptr`, `shape` and
            `vocab`.
        text: the column of the texts in a table.
        labels: the column or array of the labels, `none` for no labels. Without it: y, label, labels, target or
            targets, or else class; of a folder the sub-folders.
        split_by: the column or array that says which part a document is in: train, validation (val, dev), test; or 0, 1
            and 2; or 0 and 1 for train and test. `none` trains on all. Without it: `split`, or the folders, where they
            are there.
        test: the share of the documents that is drawn for testing, where nothing says the parts.
        split_seed: the seed of the draw. It is not the trial's: all trials of a study have the same parts.
        min_df: a word must occur in so many training documents, or in this share of them (a number with a point;
            1.0 is refused). By default 2; every word of a ready bag.
        max_df: a word may occur in at most so many training documents, from 2 on, or this share of them.
        max_features: the words that are most frequent in the training documents are kept. By default 10,000; all of a
            ready bag.
        min_words: documents with fewer words of the vocabulary are left out.
        stop_words: words that do not count: `english` (scikit-learn's 318), `none`, or a file with a word per line. By
            default `english` where texts are split at spaces.
        token_pattern: the regular expression of a word. By default scikit-learn's: two or more letters or digits.
        lowercase: whether capitals count as small letters.
        analyzer: what splits a text into words: `word` (the pattern above), `chinese` (jieba), `char` (characters and
            pairs of them), or your own function (`PATH.py:function`). By default words; texts without spaces between
            words are then refused.
        remove: of `20newsgroups`, what is left out of a post: headers, footers, quotes. By default nothing, as in
            scikit-learn.
        sublinear_tf: whether the samples have 1 + log(count) in place of the count, as in scikit-learn. Topics of
            adversarial models are then more coherent.
        reference: other documents, in any of these forms, in which the coherence of topics is counted; only words of
            the vocabulary count in them.

    Returns:
        Samples (n_documents, n_words) on the simplex, sparse, with the documents themselves as `corpus`; `ids` are row
        numbers from 0, or paths in the folder.

    Raises:
        UserError: a file is missing, damaged or not of the right form, an option does not fit it, or no words or too
            few training documents are left.
    """
    reading = DocumentReading(
        path=path,
        text=text,
        labels=labels,
        split_by=split_by,
        test=test,
        split_seed=split_seed,
        min_df=min_df,
        max_df=max_df,
        max_features=max_features,
        min_words=min_words,
        stop_words=stop_words,
        token_pattern=token_pattern,
        lowercase=lowercase,
        analyzer=analyzer,
        remove=remove,
        sublinear_tf=sublinear_tf,
        reference=reference,
    )
    key = reading.fingerprint()

    def read() -> Dataset:
        data = _dataset(reading, key)
        if reading.fingerprint() != key:
            raise fault(path, "it changed while it was read: start again when nobody writes to it any more")
        return data

    return replace(read() if reading.is_small() else prepared(key, read), name=name_of(path))


def fingerprint(*, path: str, **options: Any) -> str:
    """The hash of the content of the documents, of the reference and of your own files, and of all options but paths.

    Raises:
        UserError: there are no such files, or an option does not fit them.
    """
    return DocumentReading(path=path, **options).fingerprint()


def samples_of(path: str, words: Sequence[str], idf: Sequence[float], **options: Any) -> Dataset:
    """New documents for a trained model, as rows over the words of its training.

    Args:
        path: as for `load`.
        words: the vocabulary of the training.
        idf: the words' inverse document frequencies in the training documents.
        options: as for `load`; those that choose words or parts are passed over.

    Returns:
        A data set without labels and parts; documents without a word of the vocabulary are left out, and told of.

    Raises:
        UserError: as `load`, or no document has a word of the vocabulary.
    """
    import numpy as np

    reading = DocumentReading(path=path, **options)
    corpus, ids = reading.over(path, words)
    there = np.diff(corpus.values.indptr) > 0
    if not there.any():
        raise fault(path, "none of its documents has a word of the vocabulary that the model was trained on")
    left = int((~there).sum())
    notes = (f"{counted(left, 'document')} without a word of the vocabulary left out",) if left else ()
    corpus = Corpus(corpus.name, corpus.values[there])
    return Dataset(
        corpus.name,
        weighted(corpus.values, np.asarray(idf), sublinear=reading.sublinear_tf),
        None,
        (),
        "",
        feature_names=tuple(words),
        ids=ids[there],
        notes=notes,
        corpus=corpus,
    )


def _dataset(reading: DocumentReading, key: str) -> Dataset:
    found = reading.read()
    labels = Labels(None, ())
    if found.labels is not None:
        labels = read_labels(found.labels, found.counts.shape[0], reading.path, names=found.class_names, option=False)
    name, reference = name_of(reading.path), reading.read_reference(found.words)
    return Dataset(
        name,
        simplex(found.counts, None if found.parts is None else found.parts == 0, sublinear=reading.sublinear_tf),
        labels.codes,
        labels.names,
        key,
        parts=found.parts,
        feature_names=found.words,
        left_out=found.left_out,
        label_name="" if labels.codes is None else found.label_name,
        notes=(*found.notes, *([] if reference is None else [_told(reference)]), *labels.notes),
        ids=found.ids,
        unlabelled=labels.missing,
        corpus=Corpus(name, found.counts, found.sequence, found.ends),
        reference=reference,
    )


def _told(reference: Corpus) -> str:
    """How well a reference covers the words."""
    import numpy as np

    size = reference.values.shape[1]
    absent = size - len(np.unique(reference.values.indices))
    if absent == size:
        raise fault(reference.name, "none of its documents, the `reference`, has a word of the vocabulary")
    lacking = f", in which {absent:,} of the {size:,} words do not occur" if absent else ""
    return f"coherence is counted in {reference.name} ({counted(len(reference), 'document')}){lacking}"


def simplex(counts: Any, training: Any, *, sublinear: bool = False) -> Stored:
    """TF-IDF of counts (n, V), divided by the row's sum; `training` marks the documents of the frequencies (None: all).

    The places of the numbers are shared with `counts`, whose rows are not empty.
    """
    return weighted(counts, inverse_frequencies(counts, training), sublinear=sublinear)


def weighted(counts: Any, idf: NDArray[np.float64], *, sublinear: bool = False) -> Stored:
    """Counts (n, V), or 1 + their logarithm, times `idf` (V,), divided by the row's sum; no row may be empty."""
    import numpy as np
    from scipy import sparse

    values = np.empty(counts.nnz, np.float32)
    for rows, places in blocks_of(counts.indptr):
        often = 1 + np.log(counts.data[places]) if sublinear else counts.data[places]
        block = often * idf[counts.indices[places]]
        ends = counts.indptr[rows.start : rows.stop + 1]
        values[places] = block / np.repeat(np.add.reduceat(block, ends[:-1] - ends[0]), np.diff(ends))
    one = np.ones(1, np.float32)
    scaling = Scaling(np.zeros(1, np.float32), one, one)
    rows = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    return Stored(rows, scaling, (0.0, float(values.max())))
