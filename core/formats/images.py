"""Reads images in folders: class folders, one flat folder, or with a table of labels; `train` and `test` above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.data.columns import Part, Wanted, listed, printable
from core.data.dataset import fault
from core.errors import counted
from core.formats.label_tables import SUFFIXES, TABLES, Names, file_column, labels_of, suffix

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# What other programs leave in folders.
_JUNK = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found"}
# What people call the folders of a data set's parts; what is in neither of the two counts for `all` alone.
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev", "eval", "unlabelled", "unlabeled", "extra"), ""
)
# So many images, evenly spread, are looked at to guess the common size.
_LOOKED_AT = 200


@dataclass
class _Tree:
    """The files below a folder, by their names from there: images, other files, and images that are no plain files."""

    images: list[str] = field(default_factory=list[str])
    others: list[str] = field(default_factory=list[str])
    odd: list[str] = field(default_factory=list[str])


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
        [printable(name) for name in names],
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
        ids=np.asarray([printable(names[place]) for place in rows], dtype=object),
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


def _naming(folder: Path, tree: _Tree, wanted: Wanted | None = None) -> list[str]:
    """The tables that name images: in the folder, or in a folder of a part."""
    parents = {"", *(f"{one}/" for one in _tops(tree.images))}
    tables = [one for one in sorted(tree.others) if suffix(one) in TABLES and one[: one.rfind("/") + 1] in parents]
    if not tables:
        return []
    known, column = Names(tree.images), None if wanted is None else wanted.id
    return [one for one in tables if file_column(folder, one, known, column)]


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [one for one in found if one.name[0] != "." and one.name not in _JUNK]
    except OSError as error:
        why = error.strerror or error
        raise fault(folder, f"the folder cannot be listed ({why}): you need permission to read it") from error


def _scanned(folder: Path) -> _Tree:
    """All files below a folder; links to folders are followed, but not to one that leads here."""
    found, images = _Tree(), list[tuple[str, str]]()
    status = folder.stat()
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ((status.st_dev, status.st_ino),))]
    while waiting:
        prefix, above = waiting.pop()
        for entry in _entries(os.path.join(folder, prefix) if prefix else folder):  # noqa: PTH118 - see `files`
            name = prefix + entry.name
            is_image = entry.name.lower().endswith(SUFFIXES)
            if entry.is_file():
                if is_image:
                    images.append((entry.name, name))
                else:
                    found.others.append(name)
            elif entry.is_dir():
                status = entry.stat()
                here = (status.st_dev, status.st_ino)
                if here not in above:
                    waiting.append((f"{name}/", (*above, here)))
            elif is_image:
                found.odd.append(name)
    found.images = [name for _, name in sorted(images)]
    return found


def _tops(names: Sequence[str]) -> set[str]:
    return {name.partition("/")[0] for name in names if "/" in name}


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
    tables = _naming(folder, tree, wanted)
    by_table = bool(tables) and wanted.labels not in {"none", "folder"}
    if wanted.id is not None and wanted.known is None and not by_table:
        said = f"`id: {wanted.id}` names the column of file names in a table, but no table of labels is read: leave it"
        raise fault(folder, f"{said} out")
    if others := [one for one in tree.others if one not in tables]:
        found.notes.append(f"files that are no images: {listed(map(printable, sorted(others)))}")
    if wanted.labels == "none" or wanted.known is not None:
        return found
    if by_table:
        labelled = labels_of(folder, Names(tree.images), tables, found.names, wanted)
        found.labels, found.label_name = labelled.labels, labelled.name
        found.notes += labelled.notes
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
    found.labels, found.label_name = [printable(one) for one in folders], "folder"
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
    if strange and len({_PARTS[one.lower()] for one in parts} - {""}) == 1:
        return prefix, set()  # a class of trains among cars and buses
    if strange or flat:
        said = listed(printable(one) for one in (*strange, *flat[:3]))
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
