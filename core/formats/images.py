"""Reads images in folders: class folders, one flat folder, or with a table of labels; `train` and `test` above them."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from core.data.columns import Part, Wanted, label_key, listed
from core.data.dataset import fault
from core.errors import counted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
_TABLES = (".csv", ".tsv", ".jsonl")
# What other programs leave in folders.
_JUNK = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found"}
# What people call the folders of a data set's parts; what is in neither of the two counts for `all` alone.
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev", "eval", "unlabelled", "unlabeled", "extra"), ""
)
# The columns that name files, the first that a table has; an id is a name without its suffix.
_FILES = (
    *("file_name", "filename", "file", "image", "image_name", "img", "image_path", "path", "filepath", "name"),
    *("image_id", "id"),
)
# So many images, evenly spread, are looked at to guess the common size.
_LOOKED_AT = 200


@dataclass
class _Tree:
    """The files below a folder, by their names from there: images, other files, and images that are no plain files."""

    images: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])
    odd: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Table:
    """A table of labels: its name from the folder, its columns and rows, and the column of the file names."""

    name: str
    columns: list[str]
    rows: list[dict[str, Any]]
    file_column: str

    @property
    def folder(self) -> str:
        """Where the names in it start, with a slash at the end if it is not empty."""
        return self.name[: self.name.rfind("/") + 1]


def files(folder: Path) -> list[str]:
    """The images below a folder and the tables of their labels; none if it holds no images.

    Raises:
        UserError: a folder cannot be listed.
    """
    tree = _scanned(folder)
    if not tree.images:
        return []
    root = os.path.join(folder, "")  # noqa: PTH118 - with the slash at its end
    return [root + name for name in (*tree.images, *_naming(folder, tree))]


def read(folder: Path, wanted: Wanted) -> Part:
    """Reads the images below a folder.

    Args:
        folder: with images, as `files` finds them.
        wanted: `labels` (a column, `folder` or `none`), `id` (the column of file names), `ignore` (class folders),
            `split`, `size` and `broken`.

    Returns:
        Images (n, channels, height, width), uint8, in the order of their names without folders, with labels and names.

    Raises:
        UserError: images cannot be decoded, have several sizes, or their labels are ambiguous.
    """
    import numpy as np

    from core.formats.decoding import block, decoded

    if not folder.is_dir():
        raise fault(folder, "it is one image: name the folder in which the images lie")
    tree = _scanned(folder)
    chosen = _chosen(folder, tree, wanted)
    names = chosen.names
    odd = [f"{name} (it is no plain file)" for name in tree.odd]
    if odd and wanted.broken != "skip":
        raise fault(folder, f"some images are no files: {listed(odd)}; remove them, or leave them out: `broken: skip`")
    if odd:
        chosen.notes.append(f"left out (`broken: skip`): {listed(odd)}")
    root = os.path.join(folder, "")  # noqa: PTH118 - with the slash at its end
    step, size = max(1, len(names) // _LOOKED_AT), block(len(names))
    samples, kept, told = decoded(
        folder,
        lambda: ([root + name for name in names[i : i + size]] for i in range(0, len(names), size)),
        [_printable(name) for name in names],
        [root + name for name in names[::step]],
        size=wanted.size,
        skip=wanted.broken == "skip",
    )
    rows = kept.nonzero()[0].tolist()
    return Part(
        folder,
        samples,
        None if chosen.labels is None else values([chosen.labels[place] for place in rows]),
        left_out=chosen.left,
        label_name=chosen.label_name,
        ids=np.asarray([_printable(names[place]) for place in rows], dtype=object),
        notes=(*chosen.notes, *told),
        axes=("height", "width", "channels") if samples.shape[1] > 1 else ("height", "width"),
    )


def values(labels: Sequence[str]) -> NDArray[Any]:
    """Labels (n,) as whole numbers where all are written so, that 10 comes after 9; else as texts."""
    import numpy as np

    from core.data.labels import NO_NUMBER

    try:
        numbers = [int(one) if one else NO_NUMBER for one in labels]
    except ValueError:
        numbers = []
    plain = all(one == str(number) for one, number in zip(labels, numbers, strict=False) if one)
    if numbers and plain and max(map(abs, numbers)) <= -NO_NUMBER:
        return np.asarray(numbers, dtype=np.int64)
    return np.asarray(labels, dtype=object)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower() if "." in name else ""


def _printable(name: str) -> str:
    """A name with bytes that are no UTF-8 as escapes: nothing else can be written to a file of results."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [one for one in found if one.name[0] != "." and one.name not in _JUNK]
    except OSError as error:
        why = error.strerror or error
        raise fault(folder, f"the folder cannot be listed ({why}): you need permission to read it") from error


def _scanned(folder: Path) -> _Tree:
    """All files below a folder; links to folders are followed, but not to one that leads here."""
    found = _Tree()
    status = folder.stat()
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ((status.st_dev, status.st_ino),))]
    while waiting:
        prefix, above = waiting.pop()
        for entry in _entries(os.path.join(folder, prefix) if prefix else folder):  # noqa: PTH118 - see `files`
            name = prefix + entry.name
            is_image = _suffix(entry.name) in SUFFIXES
            if entry.is_file():
                (found.images if is_image else found.others).append(name)
            elif entry.is_dir():
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                if here not in above:
                    waiting.append((f"{name}/", (*above, here)))
            elif is_image:
                found.odd.append(name)
    found.images.sort(key=lambda name: (name[name.rfind("/") + 1 :], name))
    return found


def _naming(folder: Path, tree: _Tree) -> list[str]:
    """The tables that name images: in the folder, or in a folder of a part."""
    parents = {"", *(f"{one}/" for one in _tops(tree.images))}
    tables = [one for one in sorted(tree.others) if _suffix(one) in _TABLES and one[: one.rfind("/") + 1] in parents]
    if not tables:
        return []
    known = _Names(tree.images)
    return [one for one in tables if _opened(folder, one, known, None, rows=1) is not None]


def _tops(names: Sequence[str]) -> set[str]:
    return {name.partition("/")[0] for name in names if "/" in name}


class _Names:
    """Images by the names that a table may give them: from its folder on, or alone, with or without the suffix."""

    def __init__(self, images: Sequence[str]) -> None:
        self._images = set(images)
        self._alone = {}
        for name in images:
            alone = name[name.rfind("/") + 1 :]
            for key in (alone, alone[: alone.rfind(".")]):
                self._alone[key] = "" if key in self._alone else name

    def find(self, folder: str, name: str) -> str:
        """The image; empty if there is none, or several have this name."""
        plain = name.strip().replace("\\", "/").removeprefix("./")
        return folder + plain if folder + plain in self._images else self._alone.get(plain, "")


def _opened(folder: Path, name: str, known: _Names, file_column: str | None, rows: int | None = None) -> _Table | None:
    """A table whose first row names an image, with all or so many of its rows; None if it is another one."""
    try:
        with (folder / name).open(encoding="utf-8-sig", newline="") as stream:
            lines = _json_lines(stream) if _suffix(name) == ".jsonl" else _delimited(stream)
            found = list(islice(lines, rows))
    except (OSError, ValueError, csv.Error):
        return None
    columns = list(found[0]) if found else []
    usual = [one for key in _FILES for one in columns if one.lower() == key]
    others = [one for one in columns if _suffix(str(found[0][one])) in SUFFIXES]
    candidates = [file_column] if file_column else [*usual, *others]
    table = _Table(name, columns, found, "")
    for column in candidates:
        if column in columns and known.find(table.folder, str(found[0][column])):
            return _Table(name, columns, found, column)
    return None


def _json_lines(stream: Any) -> Iterator[dict[str, Any]]:
    for line in stream:
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is no mapping")
            yield row


def _delimited(stream: Any) -> Iterator[dict[str, Any]]:
    start = stream.readline()
    stream.seek(0)
    yield from csv.DictReader(stream, delimiter=max(",;\t", key=start.count), restval="")


@dataclass
class _Chosen:
    """The images that are read, their labels and what these are called, and what to tell."""

    names: list[str]
    labels: list[str] | None = None
    label_name: str = ""
    left: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list[str])


def _chosen(folder: Path, tree: _Tree, wanted: Wanted) -> _Chosen:
    prefix, parts = _parts(folder, tree.images)
    found = _of_the_split(folder, tree.images, prefix, parts, wanted.split)
    inner = [_inner(one, prefix, parts=bool(parts)) for one in found.names]
    folders = [one.partition("/")[0] if "/" in one else "" for one in inner]
    found.left = _ignored(folder, folders, wanted)
    keep = [place for place, one in enumerate(folders) if one not in wanted.ignore]
    found.names, folders = [found.names[place] for place in keep], [folders[place] for place in keep]
    tables = _naming(folder, tree)
    if others := [one for one in tree.others if one not in tables]:
        found.notes.append(f"files that are no images: {listed(map(_printable, sorted(others)))}")
    if wanted.labels == "none" or wanted.known is not None:
        return found
    if tables and wanted.labels != "folder":
        _label_by_table(folder, tree, tables, found, wanted)
        return found
    if wanted.labels not in {None, "folder"}:
        raise fault(folder, f"`labels: {wanted.labels}` names a column, but no table beside the images names them")
    if not any(folders):
        return found
    if "" in folders and not parts:
        flat = [one for one, above in zip(found.names, folders, strict=True) if not above]
        raise fault(
            folder,
            f"{counted(len(flat), 'image')} beside the class folders ({listed(flat[:3])}): move them into one, or use "
            "no labels with `labels: none`",
        )
    if any(one.count("/") > 1 for one in inner):
        found.notes.append("folders in the class folders are joined: the class is the first folder")
    found.labels, found.label_name = [_printable(one) for one in folders], "folder"
    return found


def _of_the_split(folder: Path, names: list[str], prefix: str, parts: set[str], split: str | None) -> _Chosen:
    if not parts:
        if split is not None:
            raise fault(folder, f"`split: {split}`: it has no folders `train` and `test`: leave the option out")
        return _Chosen(names)
    said = ", ".join(sorted(parts))
    if split in {None, "all"}:
        return _Chosen(names, notes=[f"the images of the folders {said} are read together (`split: train`: of one)"])
    mine = [one for one in names if _PARTS[one[len(prefix) :].partition("/")[0].lower()] == split]
    if not mine:
        raise fault(folder, f"`split: {split}`: none of its folders {said} is for that: leave the option out")
    return _Chosen(mine, notes=[f"of the folders {said} those of `split: {split}` are read"])


def _parts(folder: Path, images: Sequence[str]) -> tuple[str, set[str]]:
    """The folder in which all images lie, with a slash, and in it the folders of parts, if that is what they are."""
    prefix = ""
    while len(tops := _tops([one[len(prefix) :] for one in images])) == 1 and all(
        "/" in one[len(prefix) :] for one in images
    ):
        (top,) = tops
        if top.lower() in _PARTS:
            break
        prefix += f"{top}/"
    parts = {one for one in tops if one.lower() in _PARTS}
    if not any(_PARTS[one.lower()] for one in parts):
        return prefix, set()
    strange = sorted(tops - parts)
    flat = [one for one in images if "/" not in one[len(prefix) :]]
    if strange or flat:
        said = listed(_printable(one) for one in (*strange, *flat[:3]))
        raise fault(
            folder,
            f"its folders {listed(sorted(parts))} are parts of a data set, but {said} beside them is none: name one of "
            "the folders as `path`, or move it away",
        )
    return prefix, parts


def _inner(name: str, prefix: str, *, parts: bool) -> str:
    """The name from where the class folders are."""
    rest = name[len(prefix) :]
    return rest.partition("/")[2] if parts else rest


def _ignored(folder: Path, folders: Sequence[str], wanted: Wanted) -> tuple[str, ...]:
    counts = Counter(folders)
    if wanted.known is None and (unknown := [repr(one) for one in wanted.ignore if one not in counts]):
        raise fault(folder, f"`ignore` names {listed(unknown)}, but its class folders are {listed(sorted(counts))}")
    return tuple(f"{one} (a folder of {counted(counts[one], 'image')}, ignored)" for one in wanted.ignore)


def _label_by_table(folder: Path, tree: _Tree, names: Sequence[str], chosen: _Chosen, wanted: Wanted) -> None:
    if len({one[: one.rfind("/") + 1] for one in names}) < len(names):
        raise fault(
            folder,
            f"several tables name its images: {listed(names)}; move the others away, or use no labels: `labels: none`",
        )
    known, found, missing = _Names(tree.images), dict[str, str](), list[str]()
    for one in names:
        table = _opened(folder, one, known, wanted.id)
        if table is None:
            raise fault(folder / one, "it cannot be read as a table whose first row names an image")
        chosen.label_name = column = _label_column(folder / one, table, wanted)
        for row in table.rows:
            name, label = str(row[table.file_column] or ""), row.get(column)
            image = known.find(table.folder, name)
            said = "" if label is None else str(label).strip()
            if not image:
                missing.append(name)
            elif found.setdefault(image, said) != said:
                raise fault(folder / one, f"it names {image} twice, as {found[image]!r} and as {said!r}: keep one")
    if missing and wanted.broken != "skip":
        raise fault(
            folder,
            f"{counted(len(missing), 'file', 'are')} not there, but named in {listed(names)}: {listed(missing)}; the "
            "data may be incomplete, or leave out what is missing with `broken: skip`",
        )
    chosen.labels = [found.get(one, "") for one in chosen.names]
    chosen.notes.append(f"the labels are those of {listed(names)}")
    if missing:
        chosen.notes.append(f"not there (`broken: skip`): {listed(missing)}")
    if bare := [one for one in chosen.names if one not in found]:
        chosen.notes.append(f"{counted(len(bare), 'image')} without a row in {listed(names)}: {listed(bare[:3])}")


def _label_column(file: Path, table: _Table, wanted: Wanted) -> str:
    names = [one for one in table.columns if one != table.file_column]
    column = label_key(file, names, wanted.labels)
    if column is None and len(names) == 1:
        return names[0]
    if column is None:
        raise fault(
            file,
            f"which of its columns {listed(names)} are the labels? Write it as `labels: {names[0] if names else '…'}`, "
            "or use no labels: `labels: none`",
        )
    return column
