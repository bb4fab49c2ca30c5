"""A column of texts, turned into vectors once: by a sentence encoder (`minilm`, your own), by TF-IDF, or by both.

The vectors are kept in the cache folder of conclus under a hash of the texts and the model; reading them back is
mapping a file. `minilm` is all-MiniLM-L6-v2, 384 numbers, about 10 ms per short text on a CPU core. A sentence encoder
knows what a text is about, TF-IDF which words it has: where rare words name the topic, one knows what the other misses.

References: Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019); Wang et al., "MiniLM" (NeurIPS 2020); TF-IDF with a
truncated singular value decomposition is latent semantic analysis (Deerwester et al., JASIS 1990).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import math
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from core.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt
from core.data import sentence_model
from core.data.analyzer import identity, settings, told
from core.data.columns import label_key, listed
from core.data.dataset import Dataset, cache_folder, check_spread, fault, fingerprint_of, user_path
from core.data.labels import Labels, read_labels
from core.data.scaling import scaled
from core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np
    from numpy.typing import NDArray

_SUFFIXES = (".parquet", ".csv", ".tsv")


def load(
    *,
    path: str,
    text: str = "text",
    labels: str | None = None,
    model: str = "tfidf",
    dimensions: PositiveInt = 128,
    tfidf_weight: NonNegativeFloat = 0.0,
    variants: NonNegativeInt = 0,
    word_dropout: Fraction = 0.2,
    word_swap: Fraction = 0.1,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    analyzer: str | None = None,
) -> Dataset:
    """Loads the vectors of texts, and labels where there are any; makes the vectors if nobody has.

    Args:
        path: a Parquet, CSV or TSV file with a row per text; the first line of CSV and TSV names the columns.
        text: the column of the texts.
        labels: the column of the labels, `none` for no labels. Without it: y, label, labels, target or targets.
        model: `tfidf`, `minilm`, or a folder that sentence-transformers can load.
        dimensions: numbers per text of `tfidf`; the others have their own.
        tfidf_weight: length of the TF-IDF vector that is put beside a sentence encoder's (of length 1); 0 for none.
        variants: how many changed copies of each text become vectors too, for `views: variants`; each costs what the
            texts themselves cost, once.
        word_dropout: chance that a copy leaves a word out; a copy that would lose all keeps all.
        word_swap: chance that a copy exchanges a word with the next one, which TF-IDF does not see.
        scale: as in the data set `file`; `none` keeps what the model gives, rows of length 1, mapped from disk.
        analyzer: what TF-IDF counts: each `word`, characters and pairs of them (`char`), words that jieba finds
            (`chinese`), or what a function of your own makes of a text (`PATH.py:function`, a list of strings). Without
            it words, and texts that have no spaces between them are refused.

    Returns:
        Samples (n_texts, features), labels (n_texts,) in sorted order of the classes; with `variants`, the array of
        that name, (n_texts, variants, features).

    Raises:
        UserError: the file, a column or the model is missing or not what it must be.
    """
    import numpy as np

    texts, raw = _read(_file(path), text, labels)
    models = _models(model, dimensions, tfidf_weight, analyzer)
    notes = told(texts, analyzer) if "tfidf" in {one.name for one in models} else ()
    change = _change(variants, word_dropout, word_swap, scale)
    vectors = _vectors(texts, models)
    samples = vectors if scale == "none" else scaled(vectors, scale)
    check_spread(samples, path)
    found = Labels(None, ()) if raw is None else read_labels(raw, len(texts), path)
    hashed = fingerprint(
        path=path,
        text=text,
        labels=labels,
        model=model,
        dimensions=dimensions,
        tfidf_weight=tfidf_weight,
        variants=variants,
        word_dropout=word_dropout,
        word_swap=word_swap,
        scale=scale,
        analyzer=analyzer,
    )
    arrays = {} if change is None else {"variants": _vectors(texts, models, change)}
    notes = (*found.notes, *notes)
    return Dataset(
        _file(path).absolute().stem, np.asarray(samples), found.codes, found.names, hashed, arrays, notes=notes
    )


def fingerprint(
    *,
    path: str,
    text: str = "text",
    labels: str | None = None,
    model: str = "tfidf",
    dimensions: PositiveInt = 128,
    tfidf_weight: NonNegativeFloat = 0.0,
    variants: NonNegativeInt = 0,
    word_dropout: Fraction = 0.2,
    word_swap: Fraction = 0.1,
    scale: Literal["auto", "standard", "unit", "none"] = "auto",
    analyzer: str | None = None,
) -> str:
    """The hash of the file's content, of the model's files if it is a folder, and of all options but paths.

    Raises:
        UserError: there is no such file or model.
    """
    file = _file(path)
    models = [[one.identity(), one.weight] for one in _models(model, dimensions, tfidf_weight, analyzer)]
    change = _change(variants, word_dropout, word_swap, scale)
    return fingerprint_of(
        [file],
        format=file.suffix.lower(),
        text=text,
        labels=labels,
        models=models,
        variants=None if change is None else asdict(change),
        scale=scale,
    )


@dataclass(frozen=True)
class _Model:
    """What makes vectors of texts: `tfidf` or a sentence encoder, and the length that its vectors are given."""

    name: str
    dimensions: int
    weight: float = 1.0
    analyzer: str | None = None

    def identity(self) -> list[object]:
        """What tells this model from others: of a folder, its content."""
        if self.name == "tfidf":
            return [self.name, self.dimensions, *identity(self.analyzer)]
        folder = sentence_model.folder(self.name)
        if self.name == "minilm":
            return [self.name]
        files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name[0] != ".")
        return [fingerprint_of(files, names=[str(file.relative_to(folder)) for file in files])]

    def encode(self, texts: list[str], change: _Change | None) -> NDArray[np.float32]:
        """Vectors (n_texts, dimensions) of length 1; of changed copies, (n_texts, copies, dimensions)."""
        copies = None if change is None else changed(texts, change)
        if self.name == "tfidf":
            vectors = tfidf(texts, dimensions=self.dimensions, copies=copies, analyzer=self.analyzer)
        else:
            vectors = _sentences(sentence_model.folder(self.name), copies or texts)
        return vectors if change is None else vectors.reshape(len(texts), change.copies, -1)


@dataclass(frozen=True)
class _Change:
    """How many changed copies of a text there are, and how likely a word of one is left out or moved."""

    copies: int
    dropout: float
    swap: float


def _models(model: str, dimensions: int, tfidf_weight: float, analyzer: str | None) -> list[_Model]:
    if tfidf_weight and model == "tfidf":
        raise UserError(
            "data: `tfidf_weight` puts TF-IDF beside a sentence encoder: leave it out, or say `model: minilm`"
        )
    if analyzer and model != "tfidf" and not tfidf_weight:
        raise UserError(f"data.analyzer: {model} splits texts by itself: leave it out, or say `model: tfidf`")
    first = _Model(model, dimensions, analyzer=analyzer)
    return [first, _Model("tfidf", dimensions, tfidf_weight, analyzer)] if tfidf_weight else [first]


def _change(variants: int, dropout: float, swap: float, scale: str) -> _Change | None:
    if not variants:
        return None
    if scale != "none":
        raise UserError(f"data: variants keep what the model gives: say `scale: none` instead of {scale}")
    return _Change(variants, dropout, swap)


def _vectors(texts: list[str], models: list[_Model], change: _Change | None = None) -> NDArray[np.float32]:
    """The vectors of all models side by side, those of each from the cache folder if they are there."""
    import numpy as np

    found: list[NDArray[np.float32]] = []
    for one in models:
        key = [_digest(texts), one.identity(), *([] if change is None else [asdict(change)])]
        vectors = cached(f"{_digest(key)}.npy", partial(one.encode, texts, change))
        found.append(vectors if one.weight == 1 else np.float32(one.weight) * vectors)
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def changed(texts: list[str], change: _Change) -> list[str]:
    """The changed copies of each text, those of one text together: always the same ones."""
    import numpy as np

    random = np.random.default_rng(0)
    return [_changed(one.split(), change, random) for one in texts for _ in range(change.copies)]


def _changed(words: list[str], change: _Change, random: np.random.Generator) -> str:
    kept = [word for word, draw in zip(words, random.random(len(words)), strict=True) if draw >= change.dropout]
    kept = kept or list(words)
    for place, draw in enumerate(random.random(len(kept) - 1)):
        if draw < change.swap:
            kept[place], kept[place + 1] = kept[place + 1], kept[place]
    return " ".join(kept)


def _file(path: str) -> Path:
    file = user_path(path)
    if file.suffix.lower() not in _SUFFIXES or not file.is_file():
        raise fault(path, f"it is no file of texts: known formats are {', '.join(_SUFFIXES)}")
    return file


def _read(file: Path, text: str, labels: str | None) -> tuple[list[str], NDArray[Any] | None]:
    """The texts, and the labels as they stand."""
    table = _table(file, text)
    names: list[str] = table.column_names
    if names.count(text) != 1:
        raise fault(file, f"`text: {text}` must name one of its columns, they are {listed(names)}")
    found = label_key(file, [name for name in names if name != text], labels)
    texts = _texts(file, table[text])
    return texts, None if found is None else _labels(table[found])


def _table(file: Path, text: str) -> Any:
    from pyarrow import ArrowException, csv, parquet, string

    try:
        if file.suffix.lower() == ".parquet":
            with parquet.ParquetFile(file) as source:
                return source.read()
        return csv.read_csv(
            file,
            parse_options=csv.ParseOptions(delimiter=_delimiter(file), newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types={text: string()}, strings_can_be_null=False),
        )
    except (ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise fault(file, f"it cannot be read ({reason}): it may be cut short, or of another format") from error


def _delimiter(file: Path) -> str:
    with file.open(encoding="utf-8-sig") as stream:
        start = stream.readline()
    return "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=start.count)


def _texts(file: Path, column: Any) -> list[str]:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if str(kind) not in {"string", "large_string", "string_view"}:
        raise fault(file, f"the column of the texts is of type {column.type}: name one of texts by `text`")
    texts: list[str | None] = column.to_pylist()
    empty = [row for row, one in enumerate(texts, 1) if one is None or not one.strip()]
    if empty:
        raise fault(
            file, f"the text of row {empty[0]} (counted from 1) is missing, {len(empty)} such in all: drop them"
        )
    if len(texts) < 2:
        raise fault(file, f"it holds {len(texts)} texts, clustering needs at least 2")
    return [one for one in texts if one is not None]


def _labels(column: Any) -> NDArray[Any]:
    import numpy as np

    values = column.to_pylist()
    if column.null_count and not any(isinstance(one, str) for one in values):
        values = [math.nan if one is None else one for one in values]
    return np.asarray(values, dtype=object) if any(isinstance(one, str) for one in values) else np.asarray(values)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def tfidf(
    texts: list[str], *, dimensions: int, copies: list[str] | None = None, analyzer: str | None = None
) -> NDArray[np.float32]:
    """Latent semantic analysis: log counts times inverse frequencies, projected, rows of length 1 (or 0).

    Args:
        texts: not empty.
        dimensions: at most one less than there are texts or words.
        copies: what becomes vectors in place of the texts, by the texts' words and their frequencies.
        analyzer: as in `load`.

    Raises:
        UserError: there are no words in the texts.
    """
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    try:
        weighting = TfidfVectorizer(sublinear_tf=True, **settings(analyzer))
        counts = weighting.fit_transform(texts)
    except ValueError as error:
        raise UserError(f"data: no words are left in the texts ({error}): use another column or model") from error
    most = max(1, min(counts.shape) - 1)
    # Texts that are all equal have no variance to explain; that they are is said later.
    with np.errstate(invalid="ignore", divide="ignore"):
        projection = TruncatedSVD(min(dimensions, most), random_state=0)
        vectors = projection.fit_transform(counts)
        if copies is not None:
            vectors = projection.transform(weighting.transform(copies))
    return np.ascontiguousarray(normalize(vectors), dtype=np.float32)


def _sentences(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    import numpy as np

    try:
        library: Any = importlib.import_module("sentence_transformers")
        logging: Any = importlib.import_module("transformers.utils.logging")
    except ImportError as error:
        said = f"data: sentence encoders need sentence-transformers ({error}): {sentence_model.INSTALL}"
        raise UserError(said) from error
    logging.disable_progress_bar()  # Its "Loading weights" would stand among what conclus prints.
    encoder = library.SentenceTransformer(str(folder), local_files_only=True)
    vectors = encoder.encode(texts, batch_size=64, show_progress_bar=False, normalize_embeddings=True)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def cached(name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """An array from the cache folder, mapped; of several processes that need it at once, one makes it.

    Writing to the array changes the memory of this process alone.

    Raises:
        UserError: the cache folder cannot be written.
    """
    import numpy as np

    with _explained():
        file = cache_folder() / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_suffix(".lock").open("w")
    with lock:
        _wait_for(lock)
        if not file.is_file():
            _write(file, make())
    return np.load(file, mmap_mode="c")


@contextlib.contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        where = "set XDG_CACHE_HOME to a folder that is yours to write"
        raise UserError(f"data: the vectors of the texts cannot be kept ({error}): {where}") from error


def _wait_for(lock: IO[str]) -> None:
    """Returns when no other process holds the lock; it is freed with the file, also when a process dies."""
    import fcntl

    fcntl.flock(lock, fcntl.LOCK_EX)


def _write(file: Path, array: NDArray[Any]) -> None:
    """All of it or nothing."""
    import numpy as np

    draft = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with _explained(), draft.open("wb") as stream:
            np.save(stream, array)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
