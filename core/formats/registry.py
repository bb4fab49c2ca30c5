"""The formats that the data set `file` reads, and which of them lies at a path.

A new format is one row of `FORMATS` and its module. The module's `read(file, wanted)` reads one file and returns a
`core.data.columns.Part`; it may raise anything of `core.data.dataset.damage` for a damaged file. A format whose samples
are many files of a folder (`many`) has `files(folder)`: the files that are its content (paths, or texts where there are
very many), none if the folder holds something else; `read` is then given the folder. This module and `files` import
nothing heavy.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.columns import listed
from core.data.dataset import content_hash, damage, fault, tree_hash, user_path
from core.errors import counted

if TYPE_CHECKING:
    from core.data.columns import Part, Wanted


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format, or several that one module reads by the same options.

    Attributes:
        module: the module that reads it.
        suffixes: the ends of its files' names, in small letters.
        options: the options of `core.datasets.file.load` that do something with it, besides those for all formats.
        many: whether a folder with many files is one data set.
        cached: whether it is read into the cache however small it is.
        looks: whether a file of its suffixes may be of another format: its module has `holds(file)` to tell.
        called: what messages call a folder of it; for `many` alone.
    """

    module: str
    suffixes: tuple[str, ...]
    options: frozenset[str] = field(default_factory=frozenset[str])
    many: bool = False
    cached: bool = False
    looks: bool = False
    called: str = ""

    def load(self) -> Any:
        """The module that reads it."""
        return importlib.import_module(self.module)


_ARRAYS = frozenset({"features", "layout", "view", "split"})
FORMATS = (
    Format(module="core.formats.arrays", suffixes=(".npz",), options=_ARRAYS),
    Format(module="core.formats.arrays", suffixes=(".npy",), options=frozenset({"layout"})),
    Format(module="core.formats.mat", suffixes=(".mat",), options=_ARRAYS),
    Format(module="core.formats.hdf5", suffixes=(".h5", ".hdf5"), options=_ARRAYS),
    Format(module="core.formats.hdf5", suffixes=(".h5ad",), options=frozenset({"features", "log1p", "top_genes"})),
    Format(
        module="core.formats.known_sets",
        suffixes=(),
        options=frozenset({"features", "split"}),
        many=True,
        called="a well-known set",
    ),
    Format(module="core.formats.known_sets", suffixes=(".tar.gz",), options=frozenset({"split"})),
    Format(
        module="core.formats.images",
        suffixes=(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
        options=frozenset({"split", "size", "broken"}),
        many=True,
        cached=True,
        called="images",
    ),
    Format(
        module="core.formats.image_tables",
        suffixes=(".tar", ".parquet"),
        options=frozenset({"features", "split", "size", "broken"}),
        many=True,
        cached=True,
        looks=True,
        called="tables or archives of images",
    ),
    Format(module="core.formats.tables", suffixes=(".parquet",), options=frozenset({"features"})),
    Format(module="core.formats.tables", suffixes=(".feather", ".arrow"), options=frozenset({"features"})),
    Format(module="core.formats.tables", suffixes=(".jsonl", ".ndjson"), options=frozenset({"features"})),
    Format(module="core.formats.tables", suffixes=(".xlsx",), options=frozenset({"features", "sheet"})),
    Format(module="core.formats.svmlight", suffixes=(".svm", ".svmlight", ".libsvm")),
    Format(module="core.formats.tables", suffixes=(".csv", ".tsv"), options=frozenset({"features", "decimal"})),
)
SUFFIXES = tuple(suffix for one in FORMATS if not one.many for suffix in one.suffixes)


@dataclass(frozen=True)
class DataFiles:
    """What lies at a path.

    Attributes:
        path: as the user wrote it.
        format: its format.
        files: the files that are its content, each of which is read on its own; of a format with `many`, the folder.
        names: the paths of the files in that folder, as texts: there may be very many.
        beside: what else lies in that folder and is left out, by its name there.
    """

    path: str
    format: Format
    files: tuple[Path, ...]
    names: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """The end of the files' names, in small letters."""
        return _suffix(Path(self.names[0]) if self.names else self.files[0])

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(os.stat(one).st_size for one in self.names or self.files)  # noqa: PTH116 - a Path for each is slow

    @property
    def tables(self) -> tuple[Path, ...]:
        """The files of which a column may repeat the labels; none where all files are one data set."""
        return () if self.format.many else self.files

    def hashes(self) -> list[str]:
        """The hash of each file's content, or one of all where a format has `many`.

        Raises:
            UserError: a file cannot be read.
        """
        if self.names:
            return [tree_hash(self.files[0], self.names)]
        return [content_hash(one) for one in self.files]

    def again(self) -> DataFiles:
        """What lies there now; of a folder with many files those of the same format alone are looked for.

        Raises:
            UserError: as `found`.
        """
        if not self.names:
            return found(self.path)
        return replace(self, names=tuple(map(os.fspath, self.format.load().files(self.files[0]))))

    def parts(self, wanted: Wanted) -> list[Part]:
        """Reads everything; an error of a reader becomes one sentence.

        Raises:
            UserError: a file is damaged or ambiguous, or options do not fit it.
        """
        read = self.format.load().read
        found = [self._read(read, one, wanted) for one in self.files]
        if self.beside:
            told = f"left out of the folder: {listed(self.beside)}"
            found[0] = replace(found[0], notes=(*found[0].notes, told))
        return found

    def _read(self, read: Any, file: Path, wanted: Wanted) -> Part:
        try:
            return read(file, wanted)
        except damage() as error:
            reason = " ".join(str(error).split())[:200]
            what = f"it cannot be read as {self.suffix} ({reason}): it may be cut short, or of another format"
            raise fault(file, what) from error


def found(path: str) -> DataFiles:
    """What lies at a path: a file, or a folder whose files are one data set.

    Raises:
        UserError: there is nothing there, or its format is unknown.
    """
    place = user_path(path)
    if not place.is_dir():
        return DataFiles(path, _format_of(place, path), (place,))
    kinds = {one: tuple(map(os.fspath, names)) for one in FORMATS if one.many and (names := one.load().files(place))}
    taken = {name for names in kinds.values() for name in names}
    known = any(not one.suffixes for one in kinds)
    entries = _listed(place, path, deep=known)
    plain = [one for one in entries if _suffix(one) in SUFFIXES and os.fspath(one) not in taken and one.is_file()]
    if kinds:  # a downloaded archive lies beside what was unpacked
        plain = [one for one in plain if _suffix(one) != ".tar.gz"]
    # One image beside other data is a figure, and no data set.
    figures = {one for one, names in kinds.items() if one.called == "images" and len(names) == 1}
    if len(kinds) + bool(plain) > 1:
        kinds = {one: names for one, names in kinds.items() if one not in figures}
    if len(kinds) + bool(plain) > 1:
        said = [f"{one.called} ({_some(place, names)})" for one, names in kinds.items()]
        said += [f"other data ({_some(place, tuple(map(os.fspath, plain)))})"] if plain else []
        raise fault(
            path,
            f"this folder holds several kinds of data: {', '.join(said)}; name one file or "
            "folder as `path`, or move the others away",
        )
    for one, names in kinds.items():
        # Readers of images tell themselves what else lies there.
        beside = () if one.called == "images" else _beside(place, entries, {*names})
        return DataFiles(path, one, (place,), names, beside)
    formats = sorted({_suffix(file) for file in plain})
    if not plain:
        texts = "; .txt files are read by `name: documents`" if any(_suffix(one) == ".txt" for one in entries) else ""
        raise fault(path, f"there is no data file in this folder: {_known()}{texts}")
    if len(formats) > 1:
        raise fault(path, f"it has files of several formats ({', '.join(formats)}): name one file, or split it")
    beside = _beside(place, entries, {os.fspath(one) for one in plain})
    return DataFiles(path, _format_of(plain[0], path), tuple(plain), beside=beside)


def _some(place: Path, names: tuple[str, ...]) -> str:
    """The first of some files by their names in the folder, and how many there are."""
    first = os.path.relpath(names[0], place)
    return first if len(names) == 1 else f"{first} and {counted(len(names) - 1, 'more file')}"


def _beside(place: Path, entries: list[Path], taken: set[str]) -> tuple[str, ...]:
    """The entries of a folder that are not read, nor have anything in them that is."""
    above = {os.fspath(one) for folder in {Path(name).parent for name in taken} for one in (folder, *folder.parents)}
    above |= taken
    free = [one for one in entries if os.fspath(one) not in above]
    return tuple(os.path.relpath(one, place) + "/" * one.is_dir() for one in free)


def _listed(folder: Path, path: str, *, deep: bool) -> list[Path]:
    try:
        found = sorted(folder.rglob("*") if deep else folder.iterdir())
    except OSError as error:
        raise fault(path, f"the folder cannot be listed ({error.strerror}): you need permission to read it") from error
    return [one for one in found if one.name[0] not in "._"]


def _format_of(file: Path, path: str) -> Format:
    suffix = _suffix(file)
    for one in FORMATS:
        if suffix in one.suffixes and not (one.looks and not one.load().holds(file)):
            return one
    raise fault(path, f"its format ({suffix or 'no suffix'}) is unknown: {_known()}")


def _suffix(file: Path) -> str:
    return ".tar.gz" if file.name.lower().endswith(".tar.gz") else file.suffix.lower()


def _known() -> str:
    return f"known formats are {', '.join(dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes))}"
