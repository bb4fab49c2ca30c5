"""The class of a data set, the checks of its values, and the fingerprint of its content.

The module imports nothing heavy: `conclus plan` needs only fingerprints and names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.data.told import told
from core.errors import DataError, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from core.data.corpus import Corpus
    from core.data.modalities import Modality
    from core.data.stored import Stored

# The parts of a data set: to train on, to choose by, and for the final score.
PARTS = ("train", "validation", "test")
# The label of a sample that has none.
UNLABELLED = -1
# No measurement is larger than this, and squares of much larger float32 numbers overflow.
LARGEST = 1e30
# Files of so many bytes are read at once for their hash: 1 MiB.
_SMALL = 1 << 20
# Files between two calls of `told`: each takes as long as a tenth of a hash.
_TOLD = 64
# A file that was changed in the last second may change again with the same time stamp: its hash is not kept.
_SETTLED_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """A checked data set, in memory or mapped from files.

    Attributes:
        name: the name in reports.
        samples: (n_samples, features), or (n_samples, channels, height, width) for images; C-contiguous. Large ones may
            be in stored form, of which `samples[rows]` are floats.
        labels: (n_samples,) in 0..n_classes-1, `UNLABELLED` for a sample without a label; only for scores, never for
            training. None if no sample has a label.
        class_names: (n_classes,), by label; empty without labels.
        fingerprint: hash of the content and of the options it was read with.
        arrays: further arrays of the same samples by name, (n_samples, …): the targets of pairs, or the variants that
            views draw from.
        parts: the part of each sample, as an index into `PARTS`, shape (n_samples,); None if all are trained on.
        feature_names: the file's names of the features, (features,); empty if they have no names.
        left_out: columns or arrays that were not read as features, each with the reason: `id (unique whole numbers)`.
        label_name: the column or array of the labels; empty where there is none or it has no name.
        axes: what each axis of a stored sample was taken for, as `("height", "width", "channels")`; empty for vectors.
        notes: further sentences on how the data was read, where there was something to decide.
        ids: what the file calls the samples, (n_samples,); None where it has no column of ids.
        unlabelled: what stands in the file where a sample has no label, as `-1` or `empty`.
        scaling: the offset that was subtracted from each feature (of images: channel) and the divisor after that, each
            (1,), or (features,) or (channels,); None where the samples were not scaled.
        modalities: where in a sample's row the numbers of each modality stand; empty for samples of a single one.
        scene: height and width of the scene whose pixels the samples are, and `ids` the numbers of the pixels, row by
            row; empty for others.
        corpus: the samples as documents of words, row by row; None for others. The features are then the words.
        reference: other documents over the same words, in which pairs of words are counted for the coherence of topics;
            None for the training documents.
    """

    name: str
    samples: NDArray[np.float32] | Stored
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    fingerprint: str
    arrays: Mapping[str, NDArray[np.float32]] = field(default_factory=dict[str, Any])
    parts: NDArray[np.int8] | None = None
    feature_names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    label_name: str = ""
    axes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ids: NDArray[Any] | None = None
    unlabelled: tuple[str, ...] = ()
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    scene: tuple[int, ...] = ()
    modalities: tuple[Modality, ...] = ()
    corpus: Corpus | None = None
    reference: Corpus | None = None

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return len(self.samples)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """(features,) or (channels, height, width)."""
        return self.samples.shape[1:]

    @property
    def n_classes(self) -> int | None:
        """The number of classes; None without labels."""
        return None if self.labels is None else len(self.class_names)

    @property
    def held_parts(self) -> tuple[str, ...]:
        """The parts that hold samples."""
        if self.parts is None:
            return PARTS[:1]
        return tuple(name for place, name in enumerate(PARTS) if (self.parts == place).any())

    @property
    def is_labelled(self) -> bool:
        """Whether any sample of the training part has a label."""
        return PARTS[0] in self.labelled_parts

    @property
    def labelled_parts(self) -> tuple[str, ...]:
        """The parts of which any sample has a label."""
        if self.labels is None:
            return ()
        known = self.labels != UNLABELLED
        if self.parts is None:
            return PARTS[:1] if known.any() else ()
        return tuple(name for place, name in enumerate(PARTS) if known[self.parts == place].any())

    def documents(self) -> list[tuple[str, Corpus]]:
        """The documents there are, with the name of their attribute."""
        found = (("corpus", self.corpus), ("reference", self.reference))
        return [(name, one) for name, one in found if one is not None]

    def part(self, name: str) -> Dataset:
        """The samples of one of `PARTS`; without parts, all samples are in the training part."""
        if self.parts is not None:
            return self.take((self.parts == PARTS.index(name)).nonzero()[0])
        return self if name == PARTS[0] else self.take(slice(0))

    def take(self, rows: slice | NDArray[np.int64]) -> Dataset:
        """Some of the samples, with their labels, arrays, parts and ids."""
        return replace(
            self,
            samples=taken(self.samples, rows),
            labels=None if self.labels is None else self.labels[rows],
            arrays={name: array[rows] for name, array in self.arrays.items()},
            parts=None if self.parts is None else self.parts[rows],
            ids=None if self.ids is None else self.ids[rows],
            corpus=self.corpus and self.corpus.take(rows),
        )


def taken(samples: NDArray[np.float32] | Stored, rows: slice | NDArray[np.int64]) -> NDArray[np.float32] | Stored:
    """Some of the samples, in the form in which they are."""
    return samples[rows] if hasattr(samples, "strides") else cast("Stored", samples).take(rows)


def fault(where: Path | str, what: str) -> DataError:
    """The error for a mistake in one file, always as a single line."""
    return DataError(" ".join(f"{where}: {what}".splitlines()))


def damage() -> tuple[type[Exception], ...]:
    """What the readers of files raise at damaged ones; arrow's errors are among these."""
    import csv
    import tokenize
    import zipfile
    import zlib

    plain = (OSError, ValueError, EOFError, RuntimeError, MemoryError, KeyError)
    # numpy takes a head it cannot evaluate for one of Python 2 and tokenises it.
    return (*plain, csv.Error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def check_values(samples: NDArray[Any], where: Path | str, columns: Sequence[str] = ()) -> None:
    """Checks that one file's samples are finite numbers, one row per sample.

    Args:
        samples: the array that was read, of any shape and type.
        where: the file, for the message.
        columns: names of the columns, if they have any.

    Raises:
        UserError: the samples are not real numbers, have fewer than 2 or more than 4 dimensions, are empty, or are not
            finite.
    """
    if samples.dtype.kind not in "biuf":
        raise fault(where, f"the samples are of type {samples.dtype}, but they must be real numbers")
    if not 2 <= samples.ndim <= 4:
        raise fault(
            where,
            f"the samples have the shape {samples.shape}, but it must be (samples, features), "
            "(samples, height, width) or (samples, channels, height, width)",
        )
    if 0 in samples.shape:
        raise fault(where, f"it is empty, of shape {samples.shape}: there are no numbers to learn from")
    if hasattr(samples, "indptr"):
        values: Any = samples.data  # those that are not zero
        _check_finite(values[:, None], f"{where}, values that are not zero", ("value",))
    else:
        _check_finite(samples, where, columns)


def _check_finite(samples: NDArray[Any], where: Path | str, columns: Sequence[str]) -> None:
    import numpy as np

    if samples.dtype.kind != "f":
        return
    good = np.isfinite(samples)
    if good.all() and samples.dtype.itemsize > 2:
        good = np.abs(samples) <= LARGEST
    if good.all():
        return
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(good)), samples.shape))
    value, count = samples[index], good.size - int(np.count_nonzero(good))
    shown = "missing (nan)" if np.isnan(value) else f"{value:g}"
    raise fault(
        where,
        f"{_position(index, columns)} is {shown}, and {counted(count, 'such value', 'are')} in the data: "
        f"every number must be finite and within ±{LARGEST:g}; drop or fill them",
    )


def _position(index: tuple[int, ...], columns: Sequence[str]) -> str:
    place = ", ".join(str(i + 1) for i in index[1:])
    return f"row {index[0] + 1} (counted from 1), column {repr(columns[index[1]]) if columns else place}"


def check_spread(samples: NDArray[Any], where: Path | str) -> None:
    """Checks that a data set has at least 2 different samples.

    Raises:
        UserError: there are fewer than 2 samples, or all of them are equal.
    """
    count = samples.shape[0]
    if count < 2:
        raise fault(where, f"it holds {count} sample, but clustering needs at least 2")
    # The first two nearly always differ; then the others need no check.
    if hasattr(samples, "indptr"):
        same = (samples[0] != samples[1]).nnz == 0 and all((samples[0] != one).nnz == 0 for one in samples)
    else:
        same = bool((samples[0] == samples[1]).all() and (samples == samples[:1]).all())
    if same:
        raise fault(where, f"all {count} samples are equal (constant everywhere): there is nothing to cluster")


def user_path(text: str) -> Path:
    """The path that the user wrote; `~` is not replaced, since shells do that.

    Raises:
        UserError: there is nothing there, it may not be looked at, or it is neither a file nor a folder: who opens a
            FIFO waits until somebody writes to it.
    """
    try:
        path = Path(text)
        mode = path.stat().st_mode
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise fault(text, f"no such file or folder can be read ({reason}): check the path of the data") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise fault(text, "it is a FIFO, a socket or a device: name a file or a folder")
    return path


def fingerprint_of(files: Iterable[Path], **options: object) -> str:
    """The sha256 of the files' content, in order, and of the options that change what is read.

    Raises:
        UserError: a file cannot be read.
    """
    return fingerprint_from((content_hash(path) for path in files), **options)


def fingerprint_from(hashes: Iterable[str], **options: object) -> str:
    """The sha256 of the contents' hashes and of the options that change what is read."""
    content = {"files": list(hashes), "options": options}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def tree_hash(folder: Path, files: Sequence[str]) -> str:
    """The sha256 of the names below a folder and the content of these files of it; cached until one of them changes.

    Raises:
        UserError: a file cannot be read.
    """
    start = os.path.join(folder, "")  # noqa: PTH118 - with the slash at its end; a Path for each file takes seconds
    names = [file[len(start) :] if file.startswith(start) else os.path.relpath(file, folder) for file in files]
    try:
        states = [_state(file) for file in files]
        state = [hashlib.sha256(json.dumps([names, states]).encode()).hexdigest()]
        known = _recall(folder, state)
        if known is not None:
            return known
        digest = hashlib.sha256()
        for place, (name, file) in enumerate(zip(names, files, strict=True)):
            if place % _TOLD == 0:
                told("reading files", place, len(files))
            size = states[place][0]
            small = not file.endswith(".gz") and size <= _SMALL
            found = _hashed_at_once(file, size) if small else _hashed(Path(file))
            digest.update(f"{name}\0{found}\n".encode(errors="surrogateescape"))
    except (OSError, EOFError) as error:
        raise fault(folder, f"its files cannot be read ({error}): check that you may read all of them") from error
    found = digest.hexdigest()
    if time.time_ns() - max((one[-1] for one in states), default=0) > _SETTLED_NS:
        _remember(folder, state, found)
    return found


def content_hash(path: Path) -> str:
    """The sha256 of a file's content (of the unpacked content for `.gz`); it is cached until the file changes.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        state = _state(path)
        known = _recall(path, state)
        if known is not None:
            return known
        found = _hashed(path)
        if _state(path) == state and time.time_ns() - state[-1] > _SETTLED_NS:
            _remember(path, state, found)
    except (OSError, EOFError) as error:
        raise fault(path, f"it cannot be read ({error}): check that it is complete and that you may read it") from error
    return found


def _state(path: Path | str) -> list[int]:
    # The change time too: tools that put back the modification time cannot put back this one.
    status = os.stat(path)  # noqa: PTH116 - see `tree_hash`
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]


def _hashed_at_once(file: str, size: int) -> str:
    # For many small files: `file_digest` makes a large buffer for each, and `open` takes as long as the hash.
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return hashlib.sha256(os.read(descriptor, size + 1)).hexdigest()
    finally:
        os.close(descriptor)


def _hashed(path: Path) -> str:
    import gzip
    import zlib

    if path.suffix != ".gz":
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except zlib.error as error:
        raise OSError(str(error)) from error
    return digest.hexdigest()


def cache_folder() -> Path:
    """The folder for files that conclus can make again: `$XDG_CACHE_HOME/conclus` or `~/.cache/conclus`.

    Raises:
        RuntimeError: there is no home folder.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "conclus"


def _entry(path: Path) -> Path:
    return cache_folder() / "fingerprints" / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()}.json"


def _recall(path: Path, state: list[Any]) -> str | None:
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        entry = cast("dict[str, Any]", json.loads(_entry(path).read_text(encoding="utf-8")))
        return str(entry["sha256"]) if entry["state"] == state else None
    return None


def _remember(path: Path, state: list[Any], found: str) -> None:
    """Stores a hash if possible; the file is moved into place, so readers see all of it or nothing."""
    with contextlib.suppress(OSError, RuntimeError):
        entry = _entry(path)
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = entry.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({"state": state, "sha256": found}), encoding="utf-8")
        draft.replace(entry)
