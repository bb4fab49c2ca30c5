"""Reads the tables of labels that lie beside images: a row for each image, with its name in one of the columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from core.data.columns import Wanted, label_key, listed
from core.data.dataset import fault
from core.errors import counted

if TYPE_CHECKING:
    from pathlib import Path

# The ends of the names of images, and of tables.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
TABLES = (".csv", ".tsv", ".jsonl")
# The columns that name files, the first that a table has; an id is a name without its suffix.
_FILES = (
    *("file_name", "filename", "file", "image", "image_name", "img", "image_path", "path", "filepath", "name"),
    *("image_id", "id"),
)


class Labelled(NamedTuple):
    """The labels of images, empty for an image without; what they are called, and what to tell."""

    labels: list[str]
    name: str
    notes: list[str]


class Names:
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


def suffix(name: str) -> str:
    """The end of a file's name, in small letters; a Path for each of many files would take seconds."""
    return name[name.rfind(".") :].lower() if "." in name else ""


def file_column(folder: Path, name: str, images: Names, asked: str | None = None) -> str:
    """The column of a table that names images, whether these are there or not; empty if it is another table.

    Args:
        folder: of the images.
        name: of the table, from the folder on.
        images: those that are there.
        asked: the column that the user says it is.

    Raises:
        UserError: a table that seems to name images is damaged.
    """
    above = name[: name.rfind("/") + 1]
    usual: list[str] = []
    try:
        for row in _rows(folder / name):
            usual = [one for key in _FILES for one in row if one.lower() == key]
            for column in [asked] if asked else [*usual, *(one for one in row if suffix(str(row[one])) in SUFFIXES)]:
                said = str(row.get(column) or "")
                if images.find(above, said) or (suffix(said) in SUFFIXES and column in {asked, *usual}):
                    return column
    except _RowError as error:
        if usual or error.is_sure:
            raise fault(folder / name, f"it cannot be read as a table of images: {error}") from error
    except (OSError, ValueError, csv.Error):
        return ""
    return ""


def labels_of(folder: Path, images: Names, tables: Sequence[str], names: Sequence[str], wanted: Wanted) -> Labelled:
    """The labels of images by the tables that name them.

    Args:
        folder: of the images.
        images: all that are there.
        tables: as `file_column` finds them, one in each folder.
        names: the images whose labels are asked for, from the folder on.
        wanted: `labels`, `id` (the column of file names) and `broken`.

    Raises:
        UserError: a table is damaged or ambiguous, or names images that are not there.
    """
    if len({one[: one.rfind("/") + 1] for one in tables}) < len(tables):
        raise fault(
            folder,
            f"several tables name its images: {listed(tables)}; move the others away, or use no labels: `labels: none`",
        )
    found, missing, column = dict[str, str](), list[str](), ""
    for one in tables:
        column, rows = _read(folder / one, file_column(folder, one, images, wanted.id), wanted)
        for name, said in rows:
            image = images.find(one[: one.rfind("/") + 1], name)
            if not image:
                missing.append(name)
            elif found.setdefault(image, said) != said:
                raise fault(folder / one, f"it names {image} twice, as {found[image]!r} and as {said!r}: keep one")
    if missing and wanted.broken != "skip":
        raise fault(
            folder,
            f"{counted(len(missing), 'file', 'are')} not there, but named in {listed(tables)}: {listed(missing)}; the "
            "data may be incomplete, or leave out what is missing with `broken: skip`",
        )
    notes = [f"the labels are those of {listed(tables)}"]
    if missing:
        notes.append(f"not there (`broken: skip`): {listed(missing)}")
    if bare := [one for one in names if one not in found]:
        notes.append(f"{counted(len(bare), 'image')} without a row in {listed(tables)}: {listed(bare[:3])}")
    return Labelled([found.get(one, "") for one in names], column, notes)


def _read(file: Path, named: str, wanted: Wanted) -> tuple[str, list[tuple[str, str]]]:
    """The column of the labels, and of each row the name of the image and the label."""
    try:
        rows = list(_rows(file))
    except (OSError, ValueError, csv.Error) as error:
        raise fault(file, f"it cannot be read as a table of images: {error}") from error
    for number, row in enumerate(rows, 1):
        if row.get(named) is None:
            raise fault(file, f"row {number} (counted from 1) has no {named!r}, the name of its image")
    column = _label_column(file, [key for key in rows[0] if key != named], wanted)
    labels = ("" if row.get(column) is None else str(row[column]).strip() for row in rows)
    return column, [(str(row[named]), label) for row, label in zip(rows, labels, strict=True)]


class _RowError(ValueError):
    """A row is no row of a table; `is_sure`: in this format it can only be a mistake."""

    def __init__(self, number: int, what: str, *, is_sure: bool) -> None:
        super().__init__(f"row {number} (counted from 1) {what}")
        self.is_sure = is_sure


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        yield from _json_lines(stream) if suffix(file.name) == ".jsonl" else _delimited(stream)


def _json_lines(stream: Any) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(filter(str.strip, stream), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _RowError(number, "is no JSON", is_sure=True) from error
        if not isinstance(row, dict):
            raise _RowError(number, "is no mapping", is_sure=False)
        yield row


def _delimited(stream: Any) -> Iterator[dict[str, Any]]:
    start = stream.readline()
    stream.seek(0)
    rows = csv.DictReader(stream, delimiter=max(",;\t", key=start.count), restval="")
    sure = any(one.lower() in _FILES[:-3] for one in rows.fieldnames or ())
    for number, row in enumerate(rows, 1):
        if None in row:
            raise _RowError(number, "has more fields than the first line has names of columns", is_sure=sure)
        yield row


def _label_column(file: Path, names: Sequence[str], wanted: Wanted) -> str:
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
