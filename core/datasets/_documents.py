"""Reads documents of words from texts or from a ready bag of words, and chooses the words that count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data import analyzer as analyzers
from core.data import splits
from core.data.corpus import Corpus
from core.data.dataset import check_spread, content_hash, fault, fingerprint_from, user_path
from core.data.object_store import is_address
from core.data.vocabulary import (
    VocabularyRules,
    WordSequence,
    analysis,
    chosen,
    counted_words,
    frequencies_of,
    stop_words_of,
)
from core.errors import UserError, counted
from core.formats import bags, text_sources
from core.formats.text_sources import NEWSGROUPS, TextOptions, is_newsgroups, read_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

# Smaller bags and texts are read anew by each process, which takes less than .3 s: 1 MiB and 512 KiB.
_SMALL_BAG, _SMALL_TEXTS = 1 << 20, 1 << 19
# Of so many texts it shows whether words have spaces between them.
_LOOKED_AT = 2000
# Of texts, where no rule is written: the documents that a word is in, and the words.
_LEAST, _MOST_WORDS = 2, 10_000


@dataclass(frozen=True, kw_only=True)
class DocumentReading:
    """The options of `core.datasets.documents.load`."""

    path: str
    text: str = TextOptions.text
    labels: str | None = None
    split_by: str | None = None
    test: float = 0.0
    split_seed: int = 0
    min_df: int | float | None = None
    max_df: int | float | None = None
    max_features: int | None = None
    min_words: int = 1
    stop_words: str | None = None
    token_pattern: str | None = None
    lowercase: bool = True
    analyzer: str | None = None
    remove: tuple[str, ...] | None = None
    sublinear_tf: bool = False
    reference: str | None = None

    def fingerprint(self) -> str:
        """See `core.datasets.documents.fingerprint`."""
        paths = ("path", "reference", "stop_words", "analyzer")
        given = {name: one for name, one in vars(self).items() if name not in paths and one is not None}
        words = None if self.stop_words in {None, "none", "english"} else content_hash(user_path(str(self.stop_words)))
        return fingerprint_from(
            _hashes(self.path),
            kind="documents",
            **given,
            stop_words=words or self.stop_words,
            analyzer=analyzers.identity(self.analyzer),
            reference=None if self.reference is None else _hashes(self.reference),
        )

    def is_small(self) -> bool:
        """Whether reading takes a moment."""
        return all(
            _size(one) < (_SMALL_BAG if is_bag(one) else _SMALL_TEXTS)
            for one in (self.path, self.reference)
            if one is not None
        )

    def read(self) -> FoundDocuments:
        """The documents, without those that have too few words."""
        self._check()
        return self._without_empty(self._from_bag() if is_bag(self.path) else self._from_texts())

    def read_reference(self, words: Sequence[str]) -> Corpus | None:
        """The reference over the words of the vocabulary; None without one."""
        return None if self.reference is None else self.over(self.reference, words)[0]

    def _check(self) -> None:
        """Refuses options that would do nothing, and those of which 1 and 1.0, equal as numbers, would be confused."""
        if isinstance(self.min_df, float) and self.min_df == 1.0:
            what = "`min_df: 1.0` keeps only words that are in all training documents: for one document, write 1"
            raise fault(self.path, what)
        if isinstance(self.max_df, int) and self.max_df == 1:
            what = "`max_df: 1` keeps only words of a single training document: for all documents, write 1.0"
            raise fault(self.path, f"{what} or leave it out")
        bag = is_bag(self.path)
        texts = [one for one in (self.path, self.reference) if one is not None and not is_bag(one)]
        default = DocumentReading(path=self.path)
        needs = {
            "text": any(not is_newsgroups(one) and not Path(one).is_dir() for one in texts),
            "remove": any(is_newsgroups(one) for one in texts),
            "stop_words": not bag,
            **dict.fromkeys(("token_pattern", "lowercase", "analyzer"), bool(texts)),
        }
        for name, useful in needs.items():
            if getattr(self, name) != getattr(default, name) and not useful:
                kinds = {"text": "a table of texts", "remove": f"`path: {NEWSGROUPS}`"}
                what = f"`{name}` is for {kinds.get(name, 'texts')}"
                what += ", and a ready bag of words has its words already" if bag else ""
                raise fault(self.path, f"{what}: leave it out")

    def _from_bag(self) -> FoundDocuments:
        import numpy as np

        bag = bags.read_bag(user_path(self.path), self.labels, self.split_by)
        parts = self._parts(bag.split, bag.counts.shape[0])
        known = bag.counts if parts is None else bag.counts[parts == 0]
        frequencies = np.bincount(known.indices, minlength=len(bag.words))
        totals = np.bincount(known.indices, known.data, minlength=len(bag.words))
        rules = VocabularyRules(min_df=self.min_df, max_df=self.max_df, max_features=self.max_features)
        columns = chosen(bag.words, frequencies, totals, known.shape[0], rules)
        whole = len(columns) == len(bag.words)
        return FoundDocuments(
            counts=bag.counts if whole else bag.counts[:, columns],
            words=bag.words if whole else tuple(bag.words[one] for one in columns.tolist()),
            labels=bag.labels,
            label_name=bag.label_name,
            class_names=bag.class_names,
            parts=parts,
            ids=np.arange(bag.counts.shape[0]),
            notes=bag.notes if whole else (*bag.notes, _told_words(len(columns), len(bag.words), rules)),
        )

    def _from_texts(self) -> FoundDocuments:
        import numpy as np

        source = read_source(self.path, self._text_options(self.path, labels=self.labels, split_by=self.split_by))
        said = analyzers.told(source.texts[:: max(1, len(source.texts) // _LOOKED_AT)], self.analyzer)
        words, n = WordSequence.of(source.texts, self._analysis()), len(source.texts)
        source = replace(source, texts=())  # they take as much memory as all that follows
        parts = self._parts(source.split, n)
        training = np.ones(n, np.bool_) if parts is None else parts == 0
        rules = VocabularyRules(
            min_df=_LEAST if self.min_df is None else self.min_df,
            max_df=self.max_df,
            max_features=_MOST_WORDS if self.max_features is None else self.max_features,
            stop_words=self._stop_words(),
        )
        columns = chosen(words.names, *frequencies_of(words, training), int(training.sum()), rules)
        columns = np.asarray(sorted(columns.tolist(), key=words.names.__getitem__), np.int64)
        places = np.full(len(words.names), -1, np.int32)
        places[columns] = np.arange(len(columns))
        sequence = places[words.sequence]
        ordered = self.analyzer != "char"  # its pairs of characters come after all single ones
        return FoundDocuments(
            counts=counted_words(sequence, words.ends, len(columns)),
            words=tuple(words.names[one] for one in columns.tolist()),
            sequence=sequence if ordered else None,
            ends=words.ends if ordered else None,
            labels=source.labels,
            label_name=source.label_name,
            class_names=source.class_names,
            parts=parts,
            ids=source.ids,
            left_out=source.left_out,
            notes=(*source.notes, *said, _told_words(len(columns), len(words.names), rules)),
        )

    def over(self, path: str, words: Sequence[str]) -> tuple[Corpus, NDArray[Any]]:
        """Documents as counts of given words, also those without any of them; and what they are called."""
        import numpy as np
        from scipy import sparse

        if is_bag(path):
            bag = bags.read_bag(user_path(path), "none", "none")
            places = {one: place for place, one in enumerate(words)}
            columns = np.fromiter((places.get(one, -1) for one in bag.words), np.int32, len(bag.words))
            found: Any = bag.counts.tocoo()
            kept = columns[found.col] >= 0
            shape = (bag.counts.shape[0], len(words))
            entries = (found.data[kept], (found.row[kept], columns[found.col[kept]]))
            return Corpus(name_of(path), sparse.csr_matrix(entries, shape=shape)), np.arange(shape[0])
        source = read_source(path, self._text_options(path, labels="none", split_by="none"))
        read = WordSequence.of(source.texts, self._analysis(), known=words)
        counts = counted_words(read.sequence, read.ends, len(words))
        order = (None, None) if self.analyzer == "char" else (read.sequence, read.ends)
        return Corpus(name_of(path), counts, *order), source.ids

    def _text_options(self, path: str, **columns: str | None) -> TextOptions:
        return TextOptions(text=self.text, remove=self.remove if is_newsgroups(path) else None, **columns)

    def _analysis(self) -> Any:
        return analysis(
            analyzer=None if self.analyzer == "word" else self.analyzer,
            token_pattern=self.token_pattern,
            lowercase=self.lowercase,
        )

    def _stop_words(self) -> frozenset[str]:
        name = self.stop_words or ("english" if self.analyzer in {None, "word"} else "none")
        return stop_words_of(name, None if name in {"english", "none"} else user_path(name))

    def _parts(self, split: NDArray[Any] | None, n: int) -> NDArray[np.int8] | None:
        """The part of each document; None where all are trained on."""
        import numpy as np

        if split is not None:
            if self.test:
                said = f"`test: {self.test:g}`: the data says already which documents are for testing"
                raise fault(self.path, f"{said}: leave it out, or write `split_by: none`")
            names, codes = np.unique(np.asarray([str(one) for one in split.tolist()]), return_inverse=True)
            return splits.named(codes, names.tolist(), self.path)
        if not self.test:
            return None
        if self.test >= 1:
            raise fault(self.path, f"`test: {self.test:g}` leaves no document to train on: give a share below 1")
        return splits.drawn(np.zeros(n, np.int8), "test", self.test, self.split_seed, self.path)

    def _without_empty(self, found: FoundDocuments) -> FoundDocuments:
        """The documents with enough words; a note tells of the others."""
        import numpy as np

        lengths = np.asarray(found.counts.sum(axis=1)).reshape(-1)
        kept = lengths >= self.min_words
        training = kept if found.parts is None else kept & (found.parts == 0)
        if len(found.words) < 2 or training.sum() < 2:
            left = f"{counted(len(found.words), 'word')} and {counted(int(training.sum()), 'training document')}"
            way = "smaller `min_df` or `min_words`, a larger `max_df`, other `stop_words`, or another column"
            raise fault(self.path, f"only {left} are left, but 2 of each are needed: use a {way}")
        told = f"{lengths[kept].mean():,.0f} words a document"
        if not kept.all():
            few = "without a word" if self.min_words == 1 else f"with fewer than {self.min_words} words"
            told += f"; {counted(int((~kept).sum()), 'document')} {few} of the vocabulary left out"
            found = found.take(kept)
        check_spread(found.counts, self.path)
        return replace(found, notes=(*found.notes, told))


@dataclass(frozen=True, eq=False, kw_only=True)
class FoundDocuments:
    """Documents over a vocabulary, as `Corpus` and `TextSource` describe them."""

    counts: Any
    words: tuple[str, ...]
    labels: NDArray[Any] | None
    label_name: str
    class_names: tuple[str, ...]
    parts: NDArray[np.int8] | None
    ids: NDArray[Any]
    sequence: NDArray[np.int32] | None = None
    ends: NDArray[np.int64] | None = None
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return self.counts.shape[0]

    def take(self, kept: NDArray[np.bool_]) -> FoundDocuments:
        """Some of the documents."""
        import numpy as np

        sequence, ends = self.sequence, self.ends
        if sequence is not None and ends is not None:
            lengths = np.diff(ends)
            sequence = sequence[np.repeat(kept, lengths)]
            ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[kept])])
        return replace(
            self,
            counts=self.counts[kept],
            labels=None if self.labels is None else self.labels.reshape(-1)[kept],
            parts=None if self.parts is None else self.parts[kept],
            ids=self.ids[kept],
            sequence=sequence,
            ends=ends,
        )


def _told_words(kept: int, of: int, rules: VocabularyRules) -> str:
    """How the vocabulary was chosen."""
    why = [f"`{name}: {value}`" for name in ("min_df", "max_df") if (value := getattr(rules, name)) is not None]
    if rules.stop_words:
        why.append(f"without {counted(len(rules.stop_words), 'stop word')}")
    if rules.max_features is not None and kept == rules.max_features:
        why.append(f"`max_features: {kept}`")
    return f"{kept:,} of {counted(of, 'word')} are the vocabulary ({', '.join(why)})"


def is_bag(path: str) -> bool:
    return path.lower().endswith(".npz")


def name_of(path: str) -> str:
    return NEWSGROUPS if is_newsgroups(path) else user_path(path).absolute().stem


def _hashes(path: str) -> list[str]:
    if is_address(path):
        raise UserError(f"data: {path} cannot be read as documents: only `path` may be the address of an object store")
    return [content_hash(user_path(path))] if is_bag(path) else text_sources.hashes(path)


def _size(path: str) -> int:
    return user_path(path).stat().st_size if is_bag(path) else text_sources.size_of(path)
