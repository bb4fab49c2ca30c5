"""Finds the texts at a path: a column of a table, a folder with a file per text, or scikit-learn's 20 Newsgroups.

A folder `mail/train/sport/1.txt`, `mail/test/rain/2.txt` holds two texts, one to train on and one to test, with the
labels sport and rain.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from core.data.columns import listed, printable
from core.data.dataset import content_hash, damage, fault, tree_hash, user_path
from core.data.pickles import UNPICKLING, plain
from core.formats.records import read_texts, texts_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What stands for scikit-learn's data set where no file has this name, and what can be removed from its texts.
NEWSGROUPS = "20newsgroups"
_REMOVABLE = ("headers", "footers", "quotes")
# The end of the name of a folder that is a part, as in 20news-bydate-train.
_PART = re.compile(r"(?:.*[_.-])?(train|training|test|testing|val|valid|validation|dev)", re.IGNORECASE)
# The line that scikit-learn prints above its messages.
_RULE = 80 * "_"
# A larger file is no document: 16 MiB.
_LARGEST = 1 << 24


@dataclass(frozen=True, eq=False)
class TextSource:
    """The texts that were found.

    Attributes:
        texts: one a document; those of a folder are read when they are asked for.
        labels: (n,) as they stand there; None where there are none.
        label_name: the column of the labels.
        class_names: names of class 0, 1, …, where `labels` are numbers of them.
        split: (n,) the part of each text, as it stands there; None where nothing says it.
        ids: (n,) row numbers from 0, or paths in the folder.
        left_out: the other columns, each with the reason.
        notes: what was decided while reading, in sentences.
    """

    texts: Sequence[str]
    labels: NDArray[Any] | None
    label_name: str
    class_names: tuple[str, ...]
    split: NDArray[Any] | None
    ids: NDArray[Any]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """The options of `core.datasets.documents.load` that say what is read."""

    text: str = "text"
    labels: str | None = None
    split_by: str | None = None
    remove: tuple[str, ...] | None = None


def is_newsgroups(path: str) -> bool:
    """Whether scikit-learn's 20 Newsgroups is meant, and no file of that name; a study makes its paths absolute."""
    return Path(path).name == NEWSGROUPS and not os.path.lexists(path)


def hashes(path: str) -> list[str]:
    """The hashes of what is read: of a file, of the files of a folder with their names, or of scikit-learn's file.

    Raises:
        UserError: there is nothing to read, or it cannot be read.
    """
    if is_newsgroups(path):
        return [content_hash(_newsgroups_file())]
    if (folder := user_path(path)).is_dir():
        return [tree_hash(folder, _names(folder))]
    return [content_hash(texts_file(path))]


def size_of(path: str) -> int:
    """The bytes of what is read.

    Raises:
        UserError: as `hashes`.
    """
    if is_newsgroups(path):
        return _newsgroups_file().stat().st_size
    if (folder := user_path(path)).is_dir():
        return sum(os.stat(one).st_size for one in _names(folder))  # noqa: PTH116 - a Path for each is slow
    return texts_file(path).stat().st_size


def read_source(path: str, options: TextOptions) -> TextSource:
    """The texts at a path.

    Raises:
        UserError: there are none, a file is damaged, or an option does not fit.
    """
    if is_newsgroups(path):
        return _newsgroups(options)
    if (folder := user_path(path)).is_dir():
        return _folder(folder, options)
    return _table(texts_file(path), options)


def _table(file: Path, options: TextOptions) -> TextSource:
    import numpy as np

    # As empty files of a folder, empty texts are left out later, with all that have no word that counts.
    read = read_texts(file, options.text, options.labels, allow_empty=True)
    others = {one.partition(" (")[0] for one in read.left_out}
    part = ("split" if "split" in others else None) if options.split_by is None else options.split_by
    split = None
    if part not in {None, "none"}:
        if part not in {*others, read.label_name}:
            raise fault(file, f"`split_by: {part}` names none of its other columns: {listed(others) or 'it has none'}")
        split = read_texts(file, options.text, part, allow_empty=True).labels
    return TextSource(
        read.texts,
        read.labels,
        read.label_name,
        (),
        split,
        np.arange(len(read.texts)),
        tuple(one for one in read.left_out if part is None or not one.startswith(f"{part} (")),
        (f"the texts are the column {options.text}", *read.notes),
    )


class _Files(Sequence[str]):
    """The texts of files, each read when it is asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> _Files: ...
    def __getitem__(self, place: int | slice) -> str | _Files:
        return _Files(self.names[place]) if isinstance(place, slice) else _text(Path(self.names[place]))


def _text(file: Path) -> str:
    """The text of a file in UTF-8, else in Latin-1, in which every byte is a letter."""
    try:
        content = file.read_bytes() if file.stat().st_size <= _LARGEST else None
    except OSError as error:
        raise fault(file, f"it cannot be read ({error.strerror}): check that you may read all files") from error
    if content is None:
        raise fault(file, f"it has more than {_LARGEST >> 20} MiB: a file is one document; split it, or write a table")
    if b"\0" in content:
        raise fault(file, "it holds bytes of value 0, as no text in UTF-8 does: save it as UTF-8, or move it away")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _names(folder: Path) -> list[str]:
    """The text files below a folder, sorted: those that end in .txt or, as of 20 Newsgroups, have a number for a name.

    Raises:
        UserError: there are none, or the folder cannot be listed.
    """
    found = list[str]()
    try:
        for above, folders, files in os.walk(folder, onerror=_raised):
            folders[:] = sorted(one for one in folders if one[0] not in "._")
            kept = (one for one in files if one[0] not in "._" and (one.lower().endswith(".txt") or one.isdecimal()))
            found += (path for one in kept if os.path.isfile(path := os.path.join(above, one)))  # noqa: PTH113, PTH118
    except OSError as error:
        raise fault(folder, f"it cannot be listed ({error.strerror}): you need permission to read it") from error
    if not found:
        raise fault(folder, "there is no .txt file in this folder or its sub-folders: a file is one document")
    return sorted(found)


def _raised(error: OSError) -> None:
    raise error


def _folder(folder: Path, options: TextOptions) -> TextSource:
    import numpy as np

    _check_folder(folder, options)
    names = _names(folder)
    places = [printable(os.path.relpath(one, folder)) for one in names]
    paths = [Path(one).parts for one in places]
    tops = {one[0] for one in paths if len(one) > 1}
    parts = {one: found[1].lower() for one in tops if (found := _PART.fullmatch(one))}
    halved = bool(parts) and set(parts) == {one[0] for one in paths}
    classes = [one[halved] if len(one) > 1 + halved else "" for one in paths]
    labelled = options.labels is None and len(set(classes) - {""}) > 1
    split = [parts[one[0]] for one in paths] if halved and options.split_by is None else None
    return TextSource(
        _Files(names),
        np.asarray(classes, dtype=object) if labelled else None,
        "folder" if labelled else "",
        (),
        None if split is None else np.asarray(split, dtype=object),
        np.asarray(places),
        (),
        tuple(_told_parts(parts)) if split is not None else (),
    )


def _check_folder(where: Path | str, options: TextOptions) -> None:
    for name, value in (("labels", options.labels), ("split_by", options.split_by)):
        if value not in {None, "none"}:
            said = f"`{name}: {value}` is for a table; here the folders of the texts say it"
            raise fault(where, f"{said}: write `{name}: none` or leave it out")


def _told_parts(parts: dict[str, str]) -> list[str]:
    count = Counter(parts.values())
    return [f"several folders are the part {one}" for one, times in count.items() if times > 1]


def _newsgroups_file() -> Path:
    """The file in which scikit-learn keeps the data set.

    Raises:
        UserError: it is not there.
    """
    home = os.environ.get("SCIKIT_LEARN_DATA") or Path.home() / "scikit_learn_data"
    file = Path(home).expanduser() / "20news-bydate_py3.pkz"
    if not file.is_file():
        said = "scikit-learn's 20 Newsgroups is not on this machine, and conclus downloads nothing: run scikit-learn's"
        raise fault(
            NEWSGROUPS, f"{said} `fetch_20newsgroups()` once, or set SCIKIT_LEARN_DATA to the folder of {file.name}"
        )
    return file


class _Bunch(dict[str, Any]):
    """Stands for scikit-learn's: a mapping with attributes."""


_BUNCH: dict[str, Any] = dict.fromkeys(("sklearn.utils._bunch.Bunch", "sklearn.utils.Bunch"), _Bunch)
# The real file has some 40 MiB.
_UNPACKED = 1 << 28


def _loaded(file: Path, removed: tuple[str, ...]) -> list[Any]:
    """The posts for training and those for testing, as scikit-learn reads them.

    It unpickles the file, which could run any code; so it is first seen to hold nothing but its posts.
    """
    from sklearn.datasets import fetch_20newsgroups

    said = io.StringIO()
    kept: dict[str, Any] = {"data_home": file.parent, "download_if_missing": False}
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(file.read_bytes(), _UNPACKED)
        if unpacking.unconsumed_tail:
            raise pickle.UnpicklingError(f"it holds more than {_UNPACKED >> 20} MiB")
        plain(content, _BUNCH)
        with contextlib.redirect_stdout(said):  # where it says what is wrong with the file
            return [fetch_20newsgroups(subset=one, shuffle=False, remove=removed, **kept) for one in ("train", "test")]
    except (*damage(), *UNPICKLING, zlib.error) as error:
        reason = " ".join(f"{said.getvalue()} {error}".replace(_RULE, "").split())[:200]
        raise fault(file, f"scikit-learn cannot read it ({reason}): let it fetch the data set again") from error


def _newsgroups(options: TextOptions) -> TextSource:
    import numpy as np

    removed = tuple(options.remove or ())  # a trial's options are a list by then
    if strange := [one for one in removed if one not in _REMOVABLE]:
        raise fault(NEWSGROUPS, f"`remove` names {strange[0]!r}: it may name {', '.join(_REMOVABLE)}")
    _check_folder(NEWSGROUPS, options)
    file = _newsgroups_file()
    train, test = _loaded(file, removed)
    names = [str(Path(*Path(one).parts[-3:])) for one in (*train.filenames, *test.filenames)]
    split = np.repeat(np.asarray(["train", "test"], dtype=object), [len(train.data), len(test.data)])
    labels = np.concatenate([train.target, test.target]) if options.labels is None else None
    removal = f"without {listed(removed)}" if removed else "with headers, footers and quotes (`remove` leaves them out)"
    return TextSource(
        [*train.data, *test.data],
        labels,
        "" if labels is None else "newsgroup",
        tuple(train.target_names),
        split if options.split_by is None else None,
        np.asarray(names),
        (),
        (f"the posts are read {removal}",),
    )
