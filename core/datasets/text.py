"""A column of texts, turned into vectors once: by a sentence encoder (`minilm`, your own), by TF-IDF, or by both.

The vectors are kept in the cache folder of conclus under a hash of the texts and the model, and are memory-mapped when
read back. `minilm` is all-MiniLM-L6-v2, 384 numbers, about 10 ms per short text on a CPU core. A sentence encoder
captures the meaning of a text, TF-IDF its words. If rare words name the topic, each captures what the other misses.

References: Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019); Wang et al., "MiniLM" (NeurIPS 2020); TF-IDF with a
truncated singular value decomposition is latent semantic analysis (Deerwester et al., JASIS 1990).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.config.schema import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt
from core.data import sentence_model
from core.data.analyzer import identity, settings, told
from core.data.columns import Wanted
from core.data.dataset import Dataset, cache_folder, check_spread, fingerprint_of
from core.data.labels import Labels, read_labels
from core.data.remote import wait_for
from core.data.scaling import scaled
from core.data.told import told as tell
from core.errors import UserError
from core.formats.copies import changed_reading
from core.formats.records import read_texts, texts_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import numpy as np
    from numpy.typing import NDArray

_SENTENCES = 64  # Texts that a sentence encoder takes at once.


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
    """Loads the vectors of texts, and labels if there are any; computes the vectors if they are not cached.

    Args:
        path: a Parquet, Feather, Arrow, JSON Lines, xlsx, CSV or TSV file with a row per text, or its address in an
            object store; the first line of CSV and TSV names the columns.
        text: the column of the texts.
        labels: the column of the labels, `none` for no labels. Without it: y, label, labels, target or targets, or
            else class.
        model: `tfidf`, `minilm`, or a folder that sentence-transformers can load.
        dimensions: numbers per text of `tfidf`; sentence encoders have a fixed number.
        tfidf_weight: length of the TF-IDF vector that is joined to a sentence encoder's (of length 1); 0 for none.
        variants: the number of changed copies of each text that are turned into vectors too, for `views: variants`;
            each copy takes as long as the texts themselves, once.
        word_dropout: the chance that a copy leaves out a word; a copy that would lose all words keeps all.
        word_swap: the chance that a copy swaps a word with the next one; this does not change TF-IDF.
        scale: as in the data set `file`; `none` keeps the model's vectors, of length 1, mapped from disk.
        analyzer: what TF-IDF counts: words (`word`), characters and pairs of them (`char`), words found by jieba
            (`chinese`), or the list of strings that your own function returns for a text (`PATH.py:function`). By
            default words; texts without spaces between words are then refused.

    Returns:
        Samples (n_texts, features), labels (n_texts,) in sorted order of the classes; with `variants`, the array of
        that name, (n_texts, variants, features).

    Raises:
        UserError: the file, a column or the model is missing, or is not of the right form.
    """
    import numpy as np

    read = read_texts(texts_file(path), text, labels)
    texts, raw = read.texts, read.labels
    models = _models(model, dimensions, tfidf_weight, analyzer)
    notes = told(texts, analyzer) if "tfidf" in {one.name for one in models} else ()
    change = _change(variants, word_dropout, word_swap, scale)
    vectors, told_size = _vectors(texts, models)
    samples = vectors if scale == "none" else scaled(vectors, scale)
    check_spread(samples, path)
    found = Labels(None, ()) if raw is None else read_labels(raw, len(texts), path, option=False)
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
    return Dataset(
        texts_file(path).absolute().stem,
        np.asarray(samples),
        found.codes,
        found.names,
        hashed,
        {} if change is None else {"variants": _vectors(texts, models, change)[0]},
        left_out=read.left_out,
        label_name="" if found.codes is None else read.label_name,
        notes=(f"the texts are the column {text}", *read.notes, *told_size, *found.notes, *notes),
        unlabelled=found.missing,
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
    """The hash of the file's content, of the model's files if it is a folder, and of all options except paths.

    Raises:
        UserError: the file or the model does not exist.
    """
    file = texts_file(path)
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
        **changed_reading([file], Wanted(features=(text,), labels=labels, ignore=(text,))),
    )


def vectors_of(
    texts: list[str], *, model: str, dimensions: int, analyzer: str | None
) -> tuple[NDArray[np.float32], list[str]]:
    """The vectors of texts, (n_texts, features) of length 1, from the cache if they are there, and what to say of them.

    Args:
        texts: none of them empty.
        model: as for `load`.
        dimensions: as for `load`.
        analyzer: as for `load`.

    Raises:
        UserError: the model is missing, or no words are left in the texts.
    """
    vectors, said = _vectors(texts, _models(model, dimensions, 0.0, analyzer))
    return vectors, [*said, *(told(texts, analyzer) if model == "tfidf" else ())]


def model_identity(*, model: str, dimensions: int, analyzer: str | None) -> list[object]:
    """The parts of a fingerprint that identify the model.

    Raises:
        UserError: the model is missing.
    """
    return _models(model, dimensions, 0.0, analyzer)[0].identity()


@dataclass(frozen=True)
class _Model:
    """A model that turns texts into vectors, `tfidf` or a sentence encoder, and the length of its vectors."""

    name: str
    dimensions: int
    weight: float = 1.0
    analyzer: str | None = None

    def identity(self) -> list[object]:
        """The parts of a fingerprint that identify the model; a folder counts by its content."""
        if self.name == "tfidf":
            return [self.name, self.dimensions, *identity(self.analyzer)]
        folder = sentence_model.folder(self.name)
        if self.name == "minilm":
            return [self.name]
        files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name[0] != ".")
        return [fingerprint_of(files, names=[str(file.relative_to(folder)) for file in files])]

    def encode(self, texts: list[str], change: _Change | None) -> NDArray[np.float32]:
        """Vectors of length 1, (n_texts, dimensions); for changed copies (n_texts, copies, dimensions)."""
        copies = None if change is None else changed(texts, change)
        if self.name == "tfidf":
            vectors = tfidf(texts, dimensions=self.dimensions, copies=copies, analyzer=self.analyzer)
        else:
            vectors = _sentences(sentence_model.folder(self.name), copies or texts)
        return vectors if change is None else vectors.reshape(len(texts), change.copies, -1)


@dataclass(frozen=True)
class _Change:
    """The number of changed copies of a text, and the chances that a word in one is left out or swapped."""

    copies: int
    dropout: float
    swap: float


def _models(model: str, dimensions: int, tfidf_weight: float, analyzer: str | None) -> list[_Model]:
    if tfidf_weight and model == "tfidf":
        raise UserError("data: `tfidf_weight` joins TF-IDF to a sentence encoder: leave it out, or set `model: minilm`")
    if analyzer and model != "tfidf" and not tfidf_weight:
        raise UserError(f"data.analyzer: {model} splits texts by itself: leave it out, or set `model: tfidf`")
    first = _Model(model, dimensions, analyzer=analyzer)
    return [first, _Model("tfidf", dimensions, tfidf_weight, analyzer)] if tfidf_weight else [first]


def _change(variants: int, dropout: float, swap: float, scale: str) -> _Change | None:
    if not variants:
        return None
    if scale != "none":
        raise UserError(f"data: variants need the model's own vectors: set `scale: none` instead of {scale}")
    return _Change(variants, dropout, swap)


def _vectors(
    texts: list[str], models: list[_Model], change: _Change | None = None
) -> tuple[NDArray[np.float32], list[str]]:
    """The vectors of all models side by side, those of each from the cache folder if they are there.

    And a sentence where TF-IDF has fewer numbers per text than it was asked for.
    """
    import numpy as np

    found: list[NDArray[np.float32]] = []
    told: list[str] = []
    for one in models:
        key = [_digest(texts), one.identity(), *([] if change is None else [asdict(change)])]
        vectors = cached(f"{_digest(key)}.npy", partial(one.encode, texts, change))
        found.append(vectors if one.weight == 1 else np.float32(one.weight) * vectors)
        if one.name == "tfidf" and (size := vectors.shape[-1]) < one.dimensions:
            most = f"{size + 1} texts" if size == len(texts) - 1 else f"{size + 1} different words in the texts"
            told.append(f"`dimensions: {one.dimensions}` became {size}, as there are only {most}")
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1), told


def changed(texts: list[str], change: _Change) -> list[str]:
    """The changed copies of all texts, text by text; always the same ones for the same texts."""
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


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def tfidf(
    texts: list[str], *, dimensions: int, copies: list[str] | None = None, analyzer: str | None = None
) -> NDArray[np.float32]:
    """Latent semantic analysis: log counts times inverse frequencies, projected; rows have length 1 (or 0).

    Args:
        texts: the texts, not empty.
        dimensions: at most the number of texts or words less one.
        copies: turned into vectors in place of the texts, with the words and frequencies of the texts.
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
    if counts.shape[1] < 2:
        raise UserError("data: all texts have but one and the same word: use another column or model")
    most = max(1, min(counts.shape) - 1)
    # Texts that are all equal have no variance to explain; `check_spread` refuses them later.
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
    done = itertools.count(_SENTENCES, _SENTENCES)
    # Its own bar would be another one, and to encode a part at a time would change the last digits of vectors.
    encoder[0].register_forward_hook(lambda *_: tell("encoding texts", min(next(done), len(texts)), len(texts)))
    vectors = encoder.encode(texts, batch_size=_SENTENCES, show_progress_bar=False, normalize_embeddings=True)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def cached(name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """An array from the cache folder, memory-mapped; if several processes need it at once, one of them makes it.

    Writing to the array changes only the memory of this process.

    Raises:
        UserError: the cache folder cannot be written.
    """
    import numpy as np

    with _explained():
        file = cache_folder() / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_suffix(".lock").open("w")
    with lock:
        wait_for(lock)
        if not file.is_file():
            _write(file, make())
    return np.load(file, mmap_mode="c")


@contextlib.contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        where = "set XDG_CACHE_HOME to a folder that you can write to"
        raise UserError(f"data: the vectors of the texts cannot be kept ({error}): {where}") from error


def _write(file: Path, array: NDArray[Any]) -> None:
    """Writes the whole file or nothing."""
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
